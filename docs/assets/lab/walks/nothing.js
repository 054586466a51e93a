/**
 * The model answers when it sees nothing, and always the same.
 */

import { CAT, apart, best, of, percent, said, same } from "./words.js";

/** @typedef {import("./words.js").Walk} Walk */
/** @typedef {import("../questions.js").Lab} Lab */
/** @typedef {import("../state.js").State} State */

const OTHER = "rocket";

/** @param {Lab} lab */
async function nothing(lab) {
  const hidden = [...Array(lab.sizes.patches).keys()];
  const [whole, empty, other, other_empty, gray] = await Promise.all(
    [of(CAT), of(CAT, { hidden }), of(OTHER), of(OTHER, { hidden }), of(CAT, { hidden, how: "gray" })].map((state) =>
      lab.run(/** @type {State} */ (state)),
    ),
  );
  return { hidden, whole, empty, other, other_empty, gray, answer: best(whole.shares.mean) };
}

/** @type {Walk} */
export const no_photo = {
  name: "nothing",
  title: "What if it sees nothing?",
  steps: [
    async (lab) => ({
      state: of(CAT),
      text: `The model answers ${said(lab, await lab.run(of(CAT)))}. How much of that does it owe to the photo?`,
    }),
    async (lab) => {
      const { hidden } = await nothing(lab);
      const half = hidden.filter((place) => place % lab.sizes.grid[1] < lab.sizes.grid[1] / 2);
      const seen = await lab.run(of(CAT, { hidden: half }));
      return {
        state: of(CAT, { hidden: half }),
        text: `Half of it is hidden: ${said(lab, seen)}. What will it say when everything is?`,
      };
    },
    async (lab) => {
      const { hidden, empty } = await nothing(lab);
      return {
        state: of(CAT, { hidden }),
        text:
          `No token may look at any patch. The two special tokens see only each other, and the model still answers: ` +
          `${said(lab, empty)}.`,
      };
    },
    async (lab) => {
      const { other } = await nothing(lab);
      return { state: of(OTHER), text: `Another photo. With all of it: ${said(lab, other)}. And when all is hidden?` };
    },
    async (lab) => {
      const { hidden, other_empty, empty } = await nothing(lab);
      return {
        state: of(OTHER, { hidden }),
        text:
          `${said(lab, other_empty)}, the same to the last digit (difference ${apart(other_empty, empty)}). Of course: ` +
          "nothing of the photo reaches the answer. This is what the model says without looking.",
      };
    },
    async (lab) => {
      const { hidden, gray } = await nothing(lab);
      return {
        state: of(CAT, { hidden, how: "gray" }),
        text:
          `A gray photo is not nothing: here all patches are gray, and may be looked at. ${said(lab, gray)}. “Take it ` +
          "away” has no one meaning; what a patch is worth depends on what stands in its place.",
      };
    },
    async (lab) => {
      const { whole, empty, answer } = await nothing(lab);
      return {
        state: of(CAT),
        text:
          `${lab.classes[answer]}: ${percent(empty.shares.mean[answer])} without a photo, ` +
          `${percent(whole.shares.mean[answer])} with it. Whoever explains an answer has to say: compared with what?`,
      };
    },
  ],
  async holds(lab) {
    const { empty, other_empty, gray } = await nothing(lab);
    const even = 1 / lab.classes.length;
    return apart(empty, other_empty) === 0 && Math.max(...empty.shares.mean) > 2 * even && apart(empty, gray) > 0.1;
  },
};
