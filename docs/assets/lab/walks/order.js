/**
 * Attention has no order: positions have.
 */

import { shuffled } from "../state.js";
import { apart, best, generator, of, percent, said, same } from "./words.js";

/** @typedef {import("./words.js").Walk} Walk */
/** @typedef {import("../questions.js").Lab} Lab */
/** @typedef {import("../state.js").State} State */

const MOOSE = "moose";
const SHUFFLE = 3; // its seed

/** @param {Lab} lab */
async function orders(lab) {
  const order = shuffled(lab.sizes.patches, generator(SHUFFLE));
  const [plain, mixed, moved, none, none_mixed] = await Promise.all(
    [
      of(MOOSE),
      of(MOOSE, { order }),
      of(MOOSE, { order, positions: "moved" }),
      of(MOOSE, { positions: "none" }),
      of(MOOSE, { order, positions: "none" }),
    ].map((state) => lab.run(/** @type {State} */ (state))),
  );
  return { order, plain, mixed, moved, none, none_mixed };
}

/** @type {Walk} */
export const order = {
  name: "order",
  title: "Who knows where a patch was?",
  steps: [
    async (lab) => ({
      state: of(MOOSE),
      text: `A moose: ${said(lab, await lab.run(of(MOOSE)))}. We are about to shuffle its patches. What will be left?`,
    }),
    async (lab) => {
      const { order, mixed, plain } = await orders(lab);
      const answer = best(plain.shares.mean);
      return {
        state: of(MOOSE, { order }),
        text:
          `You would not know it; the model answers ${said(lab, mixed)}. ${lab.classes[answer]} went from ` +
          `${percent(plain.shares.mean[answer])} to ${percent(mixed.shares.mean[answer])}, so it does notice.`,
      };
    },
    async () => ({
      state: of(MOOSE, { order: null }),
      text:
        "How does the model know where a patch is? Nothing in attention says so: each token compares itself with all " +
        "others, in no order. It knows from a vector that is added to every patch, the learned position of its place.",
    }),
    async (lab) => {
      const { order, moved, plain } = await orders(lab);
      return {
        state: of(MOOSE, { order, positions: "moved" }),
        text:
          "The same shuffle, but every patch takes the position of its old place along. The answer: " +
          `${said(lab, moved)}. That is the unshuffled one: no class differs by more than ` +
          `${(100 * apart(moved, plain)).toFixed(4)}%, which is rounding.`,
      };
    },
    async (lab) => {
      const { none } = await orders(lab);
      return {
        state: of(MOOSE, { positions: "none" }),
        text:
          "And now without positions: all are zero, the patches back in order. The model was not trained for this. " +
          `${said(lab, none)}.`,
      };
    },
    async (lab) => {
      const { order, none_mixed, none } = await orders(lab);
      return {
        state: of(MOOSE, { order, positions: "none" }),
        text:
          `Shuffled, still without positions: ${said(lab, none_mixed)}. It is the same answer (largest difference ` +
          `${(100 * apart(none, none_mixed)).toFixed(4)}%). To a transformer without positions, a photo and its ` +
          "shuffled patches are one and the same: a bag of patches.",
      };
    },
    async () => ({
      state: of(MOOSE),
      text:
        "So the order of the tokens says nothing by itself: all that the model knows of places is in the position " +
        "vectors. Swap single patches yourself under “Shuffle”, with and without positions.",
    }),
  ],
  async holds(lab) {
    const { plain, mixed, moved, none, none_mixed } = await orders(lab);
    return apart(moved, plain) < same && apart(none, none_mixed) < same && apart(mixed, plain) > 0.05;
  },
};
