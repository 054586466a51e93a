/**
 * A few patches make the model surer than all of them.
 */

import { all_but, best, of, order_of, percent, place_of, said, up_or_down } from "./words.js";

/** @typedef {import("./words.js").Walk} Walk */
/** @typedef {import("../questions.js").Lab} Lab */
/** @typedef {import("../questions.js").Seen} Seen */

const OWL = "owl";
const MOST = 4; // patches that are left over

/** @param {Lab} lab */
async function few(lab) {
  const whole = await lab.run(of(OWL));
  const effects = await lab.effects(of(OWL));
  const speaking = order_of(effects.map((effect) => -effect)).slice(0, MOST);
  const attended = order_of(whole.attended).slice(0, MOST);
  const left = (/** @type {number[]} */ kept) => of(OWL, { hidden: all_but(lab, kept) });
  return {
    answer: best(whole.shares.mean),
    whole,
    by_effect: left(speaking),
    by_attention: left(attended),
    seen_effect: await lab.run(left(speaking)),
    seen_attention: await lab.run(left(attended)),
    against: order_of(effects)[0],
    effects,
  };
}

/** @type {Walk} */
export const less = {
  name: "less",
  title: "Can less of the photo say more?",
  steps: [
    async (lab) => ({
      state: of(OWL),
      text:
        `An owl. The model answers ${said(lab, await lab.run(of(OWL)))}. Can a part of the photo be worth more than all ` +
        "of it?",
    }),
    async (lab) => {
      const { against, effects, answer } = await few(lab);
      return {
        state: of(OWL, { hidden: [against] }),
        text:
          `Hide the patch in ${place_of(lab, against)}: nobody may look there. ${lab.classes[answer]} ` +
          `${up_or_down(effects[against])}. This patch spoke against the answer.`,
      };
    },
    async (lab) => ({
      state: of(OWL, { look: "effects" }),
      text:
        `All ${lab.sizes.patches} patches have been hidden in turn. Without a red patch the answer loses, without a ` +
        `teal one it gains. We now keep only the ${MOST} that are most red.`,
    }),
    async (lab) => {
      const { by_effect, seen_effect, whole, answer } = await few(lab);
      return {
        state: by_effect,
        text:
          `${MOST} of ${lab.sizes.patches} patches are left, and the answer is ${said(lab, seen_effect)}. With all of ` +
          `them it was ${percent(whole.shares.mean[answer])}.`,
      };
    },
    async () => ({
      state: of(OWL, { look: "attention" }),
      text: `Let us choose another ${MOST}: those that the class token attends to most. What will they be worth?`,
    }),
    async (lab) => {
      const { by_attention, seen_attention, answer } = await few(lab);
      return {
        state: by_attention,
        text:
          `The ${MOST} most attended: ${said(lab, seen_attention)}. ${lab.classes[answer]} has ` +
          `${percent(seen_attention.shares.mean[answer])}.`,
      };
    },
    async (lab) => {
      const { by_effect } = await few(lab);
      return {
        state: by_effect,
        text:
          "So a surer answer is not a better seen photo: the model never learned to look at so little, and may be sure " +
          "of anything. And these patches were picked by the answer: whoever looks for patches that explain it finds some.",
      };
    },
  ],
  async holds(lab) {
    const { seen_effect, seen_attention, whole, answer } = await few(lab);
    const share = (/** @type {Seen} */ seen) => seen.shares.mean[answer];
    return share(seen_effect) > share(whole) && share(seen_attention) < share(whole);
  },
};
