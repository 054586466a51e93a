/**
 * Hiding patches, and the distillation token.
 */

import { el, radios } from "../../dom.js";
import { brushes, button, buttons } from "../controls.js";
import { why } from "../links.js";

/** @typedef {import("../page.js").Page} Page */

/** @param {Page} page */
export function hide({ session, sizes, open, use }) {
  const all = [...Array(sizes.patches).keys()];
  const tool = brushes(use, "tool");
  const how = radios(
    "How",
    "how",
    [
      ["attention", "nobody may look there"],
      ["gray", "gray pixels"],
      ["mask", "mask token"],
    ],
    () => session.state.how,
    (how) => (how === "mask" ? open("masked") : session.set({ how })),
  );
  const dist = el("input", { type: "checkbox", onchange: () => session.set({ without_dist: dist.checked }) });
  const invert = () => session.set({ hidden: all.filter((place) => !session.state.hidden.includes(place)) });
  const element = el(
    "div",
    {},
    tool.element,
    how.element,
    buttons(
      button("Show all", () => session.set({ hidden: [] })),
      button("Hide all", () => session.set({ hidden: all })),
      button("Swap hidden and shown", invert),
    ),
    el(
      "div",
      {},
      el("label.inside-check", {}, dist, el("span", {}, "Nobody may look at the distillation token")),
      " ",
      why("tokens", "the distillation token"),
    ),
    el(
      "p.inside-note",
      {},
      "“Nobody may look there” masks the attention: softmax gives these patches a share of zero. Gray pixels are seen, " +
        "and are gray. The mask token is what the model learned to find in the place of a hidden patch when it learned " +
        "to guess pixels; it opens the tab “Masked”. ",
      why("attention#scaled-dot-product-attention", "attention and its mask"),
    ),
  );
  const update = () => {
    how.update();
    dist.checked = session.state.without_dist;
  };
  return { element, tool: tool.current, note: "Drag over the photo to hide patches, once more to show them.", update };
}
