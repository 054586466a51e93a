/**
 * Most heads can go, and one counts more than most of them together.
 */

import { abs, best, of, order_of, points, rising, said, up_or_down } from "./words.js";

/** @typedef {import("./words.js").Walk} Walk */
/** @typedef {import("../questions.js").Lab} Lab */

const MOOSE = "moose";

/** @param {Lab} lab */
async function spared(lab) {
  const whole = await lab.run(of(MOOSE));
  const single = await lab.single(of(MOOSE));
  const dispensable = rising(await lab.dispensable(of(MOOSE)));
  const strongest = order_of(abs(single))[0];
  return {
    whole,
    single,
    dispensable,
    strongest,
    answer: best(whole.shares.mean),
    without: await lab.run(of(MOOSE, { silenced: dispensable })),
    alone: await lab.run(of(MOOSE, { silenced: [strongest] })),
  };
}

/** @param {Lab} lab @param {number} i */
const head_of = ({ sizes }, i) => `head ${(i % sizes.heads) + 1} of block ${Math.floor(i / sizes.heads) + 1}`;

/** @type {Walk} */
export const heads = {
  name: "heads",
  title: "Does every head count?",
  steps: [
    async (lab) => ({
      state: of(MOOSE),
      text:
        `A moose, the largest kind of deer. The model answers ${said(lab, await lab.run(of(MOOSE)))}, and ` +
        `${lab.sizes.layers * lab.sizes.heads} heads had a part in it. How much does one of them count?`,
    }),
    async (lab) => {
      const { single } = await spared(lab);
      const small = single.filter((effect) => Math.abs(effect) < 0.05).length;
      return {
        state: of(MOOSE, { silenced: [order_of(abs(single)).at(-1) ?? 0] }),
        text:
          "Each head was silenced once by itself: its output times zero. Of the " +
          `${single.length} heads, ${small} change the answer by less than 5 points; the one that is silent now changes ` +
          `it by ${points(Math.min(...abs(single)))}.`,
      };
    },
    async (lab) => {
      const { strongest, alone, whole, answer } = await spared(lab);
      return {
        state: of(MOOSE, { silenced: [strongest] }),
        text:
          `But without ${head_of(lab, strongest)} the model says ${said(lab, alone)}: ${lab.classes[answer]} ` +
          `${up_or_down(alone.shares.mean[answer] - whole.shares.mean[answer])}.`,
      };
    },
    async (lab) => {
      const { dispensable } = await spared(lab);
      return {
        state: of(MOOSE, { silenced: dispensable.slice(0, Math.ceil(dispensable.length / 2)) }),
        text:
          "Let us go the other way, and silence head after head, those with the smallest effect first. A head without " +
          "which the answer would be a different class stays. Here half of those that go are silent. How many can go?",
      };
    },
    async (lab) => {
      const { dispensable, single, without } = await spared(lab);
      return {
        state: of(MOOSE, { silenced: dispensable }),
        text: `${dispensable.length} of ${single.length}. What is left says ${said(lab, without)}.`,
      };
    },
    async (lab) => {
      const { strongest, dispensable } = await spared(lab);
      const also = dispensable.includes(strongest)
        ? ", and the head that counted most alone is among the silent ones: in other company it is not needed"
        : ", and the head that counted most alone is one of those";
      const left = lab.sizes.layers * lab.sizes.heads - dispensable.length;
      return {
        state: of(MOOSE, { silenced: dispensable }),
        text:
          `${left} heads are left${also}. What one head is worth depends on the others. “This head does that” is ` +
          "a claim about all of them. Silence others under “Heads”.",
      };
    },
  ],
  async holds(lab) {
    const { dispensable, single, strongest } = await spared(lab);
    const median = rising(abs(single))[Math.floor(single.length / 2)];
    return dispensable.length * 2 > single.length && Math.abs(single[strongest]) > 4 * median;
  },
};
