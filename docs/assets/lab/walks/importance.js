/**
 * What is looked at most may matter little.
 */

import { abs, best, of, order_of, percent, place_of, points, said, up_or_down } from "./words.js";

/** @typedef {import("./words.js").Walk} Walk */
/** @typedef {import("../questions.js").Lab} Lab */

const OWL = "owl";

/** @param {Lab} lab */
async function looked_at(lab) {
  const whole = await lab.run(of(OWL));
  const effects = await lab.effects(of(OWL, { how: "gray" }));
  const answer = best(whole.shares.mean);
  const [attended] = order_of(whole.attended);
  const [matters] = order_of(abs(effects));
  const rank = order_of(whole.attended).indexOf(matters) + 1;
  return { whole, effects, answer, attended, matters, rank };
}

/** @type {Walk} */
export const importance = {
  name: "importance",
  title: "Does attention show what matters?",
  steps: [
    async (lab) => ({
      state: of(OWL),
      text: `An owl. The model answers ${said(lab, await lab.run(of(OWL)))}. What does this answer rest on?`,
    }),
    async () => ({
      state: of(OWL, { look: "attention" }),
      text:
        "Attention looks like a reply: these are the shares that the class token takes from each patch in the last " +
        "layer, the mean of the heads. Bright patches get most.",
    }),
    async (lab) => {
      const { whole, attended } = await looked_at(lab);
      return {
        state: of(OWL, { look: "attention" }),
        text:
          `The brightest is in ${place_of(lab, attended)}: ${percent(whole.attended[attended])}, where an even share ` +
          `would be ${percent(1 / lab.sizes.tokens)}. What will happen if it turns gray? Decide before you go on.`,
      };
    },
    async (lab) => {
      const { attended, effects, answer } = await looked_at(lab);
      return {
        state: of(OWL, { how: "gray", hidden: [attended] }),
        text: `It is gray now, and ${lab.classes[answer]} ${up_or_down(effects[attended])}. That is all.`,
      };
    },
    async (lab) => {
      const { effects } = await looked_at(lab);
      return {
        state: of(OWL, { look: "effects", how: "gray" }),
        text:
          "Another way to ask: turn each patch gray, one at a time, and see what it does to the answer " +
          `(${lab.sizes.patches} passes). Red patches speak for the answer, teal ones against it; the largest ` +
          `effect is ${points(Math.max(...abs(effects)))}.`,
      };
    },
    async (lab) => {
      const { matters, effects, answer, rank } = await looked_at(lab);
      return {
        state: of(OWL, { how: "gray", hidden: [matters] }),
        text:
          `The patch that matters most is in ${place_of(lab, matters)}. Without it ${lab.classes[answer]} ` +
          `${up_or_down(effects[matters])}. By attention it was number ${rank} of ${lab.sizes.patches}.`,
      };
    },
    async (lab) => {
      const { attended, matters, effects, rank } = await looked_at(lab);
      return {
        state: of(OWL, { look: "attention" }),
        text:
          `The patch that is looked at most moved the answer by ${points(effects[attended])}, number ${rank} moved it by ` +
          `${points(effects[matters])}. Attention says with which weights values are averaged, not what those values ` +
          "are, nor what becomes of them. To test a reason, change the photo. Now try a different photo: does its " +
          "brightest patch matter?",
      };
    },
  ],
  async holds(lab) {
    const { attended, matters, effects } = await looked_at(lab);
    return Math.abs(effects[attended]) * 3 < Math.abs(effects[matters]);
  },
};
