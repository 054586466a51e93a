/**
 * The state that the answer is compared with: its photo, looked at in the same way, and its answer.
 */

import { el } from "../dom.js";
import { percent } from "./answer.js";
import { button } from "./controls.js";
import { painted } from "./painted.js";
import { counted } from "./places.js";
import { best } from "./questions.js";
import { session } from "./session.js";
import { untouched } from "./state.js";

/** @typedef {import("./state.js").State} State */

/** What `state` is compared with. @param {State} state @returns {State} */
export function earlier({ look, query, layer, head, ...state }) {
  const of = session.before ?? untouched(/** @type {State} */ (state));
  return { ...of, look, query, layer, head, how: of.how === "mask" ? "attention" : of.how };
}

/** @param {import("./page.js").Page} page */
export function compared({ sizes, classes }) {
  const picture = el("canvas", { width: 192, height: 192, role: "img" });
  const said = el("p");
  const keep = button("Compare with the state as it is now", () => session.compare_with(session.state));
  const unkeep = button("Compare with the photo as it was", () => {
    session.compare_with(null);
    keep.focus(); // this button goes
  });
  const element = el(
    "section.lab-before",
    { "aria-label": "Before" },
    picture,
    el("div", {}, el("h2", {}, "Before"), said, keep, unkeep),
  );

  /**
   * @param {State} of
   * @param {import("./photo.js").Photo} photo
   * @param {object} over what lies over the photo, see `painted`
   * @param {Record<string, number[]>} shares
   */
  function draw({ hidden, how, order }, photo, over, { mean }) {
    painted(picture, { picture: photo.picture, order, hidden, how, ...over }, sizes);
    const of_patches = hidden.length ? `, ${counted(hidden.length)} hidden` : "";
    picture.setAttribute("aria-label", `before: ${photo.alt}${of_patches}`);
    said.textContent = `${classes[best(mean)]} ${percent(mean[best(mean)])}`;
  }
  return { element, draw, update: () => (unkeep.hidden = !session.before) };
}
