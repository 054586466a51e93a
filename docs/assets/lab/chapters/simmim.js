/**
 * Chapter 13: hide patches, and watch the guess.
 */

import { el } from "../../dom.js";
import { button } from "../controls.js";
import { guess } from "../guess.js";
import { session } from "../session.js";
import { MODELS, shuffled, untouched } from "../state.js";
import { brushed, chooser, follow, frame } from "./parts.js";

/** The square in the middle, half as high and as wide as the photo. @param {{grid: number[], patches: number}} sizes */
export function middle({ grid: [rows, columns], patches }) {
  const inside = (/** @type {number} */ i, /** @type {number} */ count) => i >= count / 4 && i < (3 * count) / 4;
  return [...Array(patches).keys()].filter((place) => inside(Math.floor(place / columns), rows) && inside(place % columns, columns));
}

/** @param {HTMLElement} root @param {AbortSignal} signal */
export async function start(root, signal) {
  const [{ sizes, parts }] = await Promise.all([session.model(MODELS.guesser), session.begin()]);
  let begun = session.state.hidden.length > 0;
  /** What is hidden here: as everywhere, but something at first. */
  const state = () => /** @type {import("../state.js").State} */ ({
    ...untouched(session.state),
    how: "mask",
    hidden: begun || session.state.hidden.length ? session.state.hidden : middle(sizes),
  });
  const set = (hidden, continues = false) => {
    begun = true;
    session.set({ ...state(), hidden }, { continues });
  };
  const photo = brushed(sizes, () => state().hidden, set);
  const drawn = guess(/** @type {any} */ ({ sizes, parts }));
  const at_random = (share) => () => {
    const order = shuffled(sizes.patches) ?? [...Array(sizes.patches).keys()];
    set(order.slice(0, Math.round(share * sizes.patches)).sort((a, b) => a - b));
  };
  const say = frame(
    root,
    "Hide patches and watch the guess",
    "Drag over the photo to hide patches, and again to show them. Hide an eye alone; then as many patches at random. Which " +
      "are guessed better, and when is the guess no better than one plain color?",
    signal,
    el(
      "div.play-two",
      {},
      el(
        "div",
        {},
        photo.element,
        el(
          "div.lab-buttons",
          {},
          button("Half at random", at_random(0.5)),
          button("The middle", () => set(middle(sizes))),
          button("Show all", () => set([])),
        ),
      ),
      el("div", {}, drawn.element, drawn.details),
    ),
    await chooser(signal),
  );

  await follow(
    signal,
    async () => {
      const of = state();
      const shown = await session.photo_of(of.photo);
      const result = await session.answer({ state: of, lane: "simmim" });
      return result && { output: result.output, of, shown };
    },
    ({ output, of, shown }) => {
      photo.draw({ picture: shown.picture, hidden: of.hidden, how: of.how });
      say(drawn.draw(output, shown.pixel_values, of.hidden));
      root.dataset.hidden = of.hidden.join(".");
      root.dataset.loss = String(output.loss);
    },
  );
}
