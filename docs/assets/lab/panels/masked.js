/**
 * Hiding patches from the model that guesses pixels.
 */

import { el } from "../../dom.js";
import { brushes, button, buttons } from "../controls.js";
import { why } from "../links.js";
import { START, shuffled } from "../state.js";

/** @typedef {import("../page.js").Page} Page */

/** @param {Page} page */
export function masked({ session, sizes, use }) {
  const tool = brushes(use, "mask-tool");
  const at_random = (share) => () => {
    const order = shuffled(sizes.patches) ?? [...Array(sizes.patches).keys()];
    session.set({ hidden: order.slice(0, Math.round(share * sizes.patches)).sort((a, b) => a - b) });
  };
  const element = el(
    "div",
    {},
    tool.element,
    buttons(
      button("Hide half at random", at_random(0.5)),
      button("Hide three quarters", at_random(0.75)),
      button("Show all", () => session.set({ hidden: START.hidden })),
    ),
    el(
      "p.inside-note",
      {},
      "This is another model of the same size, which was trained without labels: patches were replaced by a mask " +
        "token, and it had to guess their pixels from the rest. Its answer is the guess. What is not hidden it was never " +
        "asked to draw. ",
      why("simmim", "masked images"),
    ),
  );
  return { element, tool: tool.current, note: "Drag over the photo to hide patches and watch the guess.", update() {} };
}
