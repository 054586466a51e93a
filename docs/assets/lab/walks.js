/**
 * Guided walks: each step does something to the state and says what is seen, in numbers that are computed then and
 * there. `holds` is what the walk is for: the tests ask it of the bundled weights, and the page says so when it fails.
 *
 * A walk asks its numbers of a lab, see `questions.js`, which is the same in a page and in Node.
 */

import { START, shuffled } from "./state.js";

/** @typedef {import("./questions.js").Lab} Lab */
/** @typedef {import("./questions.js").Seen} Seen */
/** @typedef {import("./state.js").State} State */
/** @typedef {{state: Partial<State>, text: string}} Shown */
/** @typedef {{name: string, title: string, steps: ((lab: Lab) => Promise<Shown>)[], holds: (lab: Lab) => Promise<boolean>}} Walk */

const best = (/** @type {number[]} */ values) => values.indexOf(Math.max(...values));
const percent = (/** @type {number} */ share) => `${(100 * share).toFixed(1)}%`;
const points = (/** @type {number} */ change) => `${(100 * Math.abs(change)).toFixed(1)} points`;
const order_of = (/** @type {number[]} */ values) => [...values.keys()].sort((a, b) => values[b] - values[a]);
const abs = (/** @type {number[]} */ values) => values.map(Math.abs);
const rising = (/** @type {number[]} */ values) => [...values].sort((a, b) => a - b);
const up_or_down = (/** @type {number} */ change) => `${change < 0 ? "falls" : "rises"} by ${points(change)}`;

/** What a state is made of, besides what is looked at. @param {string} photo @param {Partial<State>} [changes] */
const of = (photo, changes = {}) => ({ ...START, photo, ...changes });

/** @param {Lab} lab @param {Seen} seen */
const said = ({ classes }, { shares: { mean } }) => `${classes[best(mean)]}, ${percent(mean[best(mean)])}`;

/** @param {Lab} lab @param {number} place */
const place_of = ({ sizes }, place) =>
  `row ${Math.floor(place / sizes.grid[1]) + 1}, column ${(place % sizes.grid[1]) + 1}`;

const CAT = "chelsea";
const MOST = 4; // patches that are left over in the second walk
const SHUFFLE = 3; // the seed of the shuffle in the third

/** Numbers that look random, the same everywhere (Park and Miller's generator). @param {number} seed */
function generator(seed) {
  let x = seed;
  return () => (x = (x * 48271) % 2147483647) / 2147483647;
}

/** All patches but these. @param {Lab} lab @param {number[]} kept */
const all_but = ({ sizes }, kept) => [...Array(sizes.patches).keys()].filter((place) => !kept.includes(place));

/** @param {Lab} lab */
async function looked_at(lab) {
  const whole = await lab.run(of(CAT));
  const effects = await lab.effects(of(CAT, { how: "gray" }));
  const answer = best(whole.shares.mean);
  const [attended] = order_of(whole.attended);
  const [matters] = order_of(abs(effects));
  const rank = order_of(whole.attended).indexOf(matters) + 1;
  return { whole, effects, answer, attended, matters, rank };
}

/** @type {Walk} */
const importance = {
  name: "importance",
  title: "Attention is not importance",
  steps: [
    async (lab) => ({
      state: of(CAT),
      text: `A cat. The model answers ${said(lab, await lab.run(of(CAT)))}. What does this answer rest on?`,
    }),
    async () => ({
      state: of(CAT, { look: "attention" }),
      text:
        "Attention looks like a reply: these are the shares that the class token takes from each patch in the last " +
        "layer, the mean of the heads. Bright patches get most.",
    }),
    async (lab) => {
      const { whole, attended } = await looked_at(lab);
      return {
        state: of(CAT, { look: "attention" }),
        text:
          `The brightest is in ${place_of(lab, attended)}: ${percent(whole.attended[attended])}, where an even share ` +
          `would be ${percent(1 / lab.sizes.tokens)}. What will happen if it turns gray? Decide before you go on.`,
      };
    },
    async (lab) => {
      const { attended, effects, answer } = await looked_at(lab);
      return {
        state: of(CAT, { how: "gray", hidden: [attended] }),
        text: `It is gray now, and ${lab.classes[answer]} ${up_or_down(effects[attended])}. That is all.`,
      };
    },
    async (lab) => {
      const { effects } = await looked_at(lab);
      return {
        state: of(CAT, { look: "effects", how: "gray" }),
        text:
          "Another way to ask: turn each patch gray, one at a time, and see what it does to the answer " +
          `(${lab.sizes.patches} passes). Red patches speak for the answer, teal ones against it; the largest ` +
          `effect is ${points(Math.max(...abs(effects)))}.`,
      };
    },
    async (lab) => {
      const { matters, effects, answer, rank } = await looked_at(lab);
      return {
        state: of(CAT, { how: "gray", hidden: [matters] }),
        text:
          `The patch that matters most is in ${place_of(lab, matters)}. Without it ${lab.classes[answer]} ` +
          `${up_or_down(effects[matters])}. By attention it was number ${rank} of ${lab.sizes.patches}.`,
      };
    },
    async (lab) => {
      const { attended, matters, effects } = await looked_at(lab);
      const times = Math.abs(effects[matters] / effects[attended]);
      return {
        state: of(CAT, { look: "attention" }),
        text:
          `One patch counts ${times.toFixed(0)} times as much as the one that is looked at most. Attention says with ` +
          "which weights values are averaged, not what those values are, nor what becomes of them. To test a reason, " +
          "change the photo. Now try another photo: does its brightest patch matter?",
      };
    },
  ],
  async holds(lab) {
    const { attended, matters, effects } = await looked_at(lab);
    return Math.abs(effects[attended]) * 3 < Math.abs(effects[matters]);
  },
};

/** @param {Lab} lab */
async function few(lab) {
  const whole = await lab.run(of(CAT));
  const effects = await lab.effects(of(CAT));
  const speaking = order_of(effects.map((effect) => -effect)).slice(0, MOST);
  const attended = order_of(whole.attended).slice(0, MOST);
  const left = (/** @type {number[]} */ kept) => of(CAT, { hidden: all_but(lab, kept) });
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
const less = {
  name: "less",
  title: "Less photo, surer answer",
  steps: [
    async (lab) => ({
      state: of(CAT),
      text: `The whole photo: ${said(lab, await lab.run(of(CAT)))}. Can a part of it be worth more than all of it?`,
    }),
    async (lab) => {
      const { against, effects, answer } = await few(lab);
      return {
        state: of(CAT, { hidden: [against] }),
        text:
          `Hide the patch in ${place_of(lab, against)}: nobody may look there. ${lab.classes[answer]} ` +
          `${up_or_down(effects[against])}. This patch spoke against the answer.`,
      };
    },
    async (lab) => ({
      state: of(CAT, { look: "effects" }),
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
      state: of(CAT, { look: "attention" }),
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

/** @param {Lab} lab */
async function orders(lab) {
  const order = shuffled(lab.sizes.patches, generator(SHUFFLE));
  const [plain, mixed, moved, none, none_mixed] = await Promise.all(
    [
      of(CAT),
      of(CAT, { order }),
      of(CAT, { order, positions: "moved" }),
      of(CAT, { positions: "none" }),
      of(CAT, { order, positions: "none" }),
    ].map((state) => lab.run(/** @type {State} */ (state))),
  );
  return { order, plain, mixed, moved, none, none_mixed };
}

/** The largest difference of two answers. @param {Seen} one @param {Seen} other */
const apart = (one, other) => Math.max(...one.shares.mean.map((share, i) => Math.abs(share - other.shares.mean[i])));
const same = 1e-4; // float32 adds in another order

/** @type {Walk} */
const order = {
  name: "order",
  title: "Who knows where a patch was?",
  steps: [
    async (lab) => ({
      state: of(CAT),
      text: `A cat: ${said(lab, await lab.run(of(CAT)))}. We are about to shuffle its patches. What will be left?`,
    }),
    async (lab) => {
      const { order, mixed, plain } = await orders(lab);
      const answer = best(plain.shares.mean);
      return {
        state: of(CAT, { order }),
        text:
          `You would not know it; the model answers ${said(lab, mixed)}. ${lab.classes[answer]} went from ` +
          `${percent(plain.shares.mean[answer])} to ${percent(mixed.shares.mean[answer])}, so it does notice.`,
      };
    },
    async () => ({
      state: of(CAT, { order: null }),
      text:
        "How does the model know where a patch is? Nothing in attention says so: each token compares itself with all " +
        "others, in no order. It knows from a vector that is added to every patch, the learned position of its place.",
    }),
    async (lab) => {
      const { order, moved, plain } = await orders(lab);
      return {
        state: of(CAT, { order, positions: "moved" }),
        text:
          "The same shuffle, but every patch takes the position of its old place along. The answer: " +
          `${said(lab, moved)}. That is the unshuffled one: no class differs by more than ` +
          `${(100 * apart(moved, plain)).toFixed(4)}%, which is rounding.`,
      };
    },
    async (lab) => {
      const { none } = await orders(lab);
      return {
        state: of(CAT, { positions: "none" }),
        text:
          "And now without positions: all are zero, the patches back in order. The model was not trained for this. " +
          `${said(lab, none)}.`,
      };
    },
    async (lab) => {
      const { order, none_mixed, none } = await orders(lab);
      return {
        state: of(CAT, { order, positions: "none" }),
        text:
          `Shuffled, still without positions: ${said(lab, none_mixed)}. It is the same answer (largest difference ` +
          `${(100 * apart(none, none_mixed)).toFixed(4)}%). To a transformer without positions, a photo and its ` +
          "shuffled patches are one and the same: a bag of patches.",
      };
    },
    async () => ({
      state: of(CAT),
      text:
        "So the order of the tokens is worth nothing, and the position vectors are worth everything. Swap single " +
        "patches yourself under “Shuffle”, with and without positions.",
    }),
  ],
  async holds(lab) {
    const { plain, mixed, moved, none, none_mixed } = await orders(lab);
    return apart(moved, plain) < same && apart(none, none_mixed) < same && apart(mixed, plain) > 0.05;
  },
};

const CUP = "coffee";

/** @param {Lab} lab */
async function spared(lab) {
  const whole = await lab.run(of(CUP));
  const single = await lab.single(of(CUP));
  const dispensable = rising(await lab.dispensable(of(CUP)));
  const strongest = order_of(abs(single))[0];
  return {
    whole,
    single,
    dispensable,
    strongest,
    answer: best(whole.shares.mean),
    without: await lab.run(of(CUP, { silenced: dispensable })),
    alone: await lab.run(of(CUP, { silenced: [strongest] })),
  };
}

/** @param {Lab} lab @param {number} i */
const head_of = ({ sizes }, i) => `head ${(i % sizes.heads) + 1} of layer ${Math.floor(i / sizes.heads) + 1}`;

/** @type {Walk} */
const heads = {
  name: "heads",
  title: "One head against the others",
  steps: [
    async (lab) => ({
      state: of(CUP),
      text:
        `A cup of coffee, which is none of the model’s classes. It answers ${said(lab, await lab.run(of(CUP)))}, and ` +
        `${lab.sizes.layers * lab.sizes.heads} heads had a part in it. How much does one of them count?`,
    }),
    async (lab) => {
      const { single } = await spared(lab);
      const small = single.filter((effect) => Math.abs(effect) < 0.05).length;
      return {
        state: of(CUP, { silenced: [order_of(abs(single)).at(-1) ?? 0] }),
        text:
          "Each head was silenced once by itself: its output times zero. Of the " +
          `${single.length} heads, ${small} change the answer by less than 5 points; the one that is silent now changes ` +
          `it by ${points(Math.min(...abs(single)))}.`,
      };
    },
    async (lab) => {
      const { strongest, alone, whole, answer } = await spared(lab);
      return {
        state: of(CUP, { silenced: [strongest] }),
        text:
          `But without ${head_of(lab, strongest)} the model says ${said(lab, alone)}: ${lab.classes[answer]} ` +
          `${up_or_down(alone.shares.mean[answer] - whole.shares.mean[answer])}.`,
      };
    },
    async (lab) => {
      const { dispensable } = await spared(lab);
      return {
        state: of(CUP, { silenced: dispensable.slice(0, Math.ceil(dispensable.length / 2)) }),
        text:
          "Let us go the other way, and silence head after head, those with the smallest effect first, as long as the " +
          "answer stays the same class. Here half of them are silent. How many can go?",
      };
    },
    async (lab) => {
      const { dispensable, single, without } = await spared(lab);
      return {
        state: of(CUP, { silenced: dispensable }),
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
        state: of(CUP, { silenced: dispensable }),
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
const no_photo = {
  name: "nothing",
  title: "The answer to nothing",
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
          `No token may look at any patch. The two special tokens see only themselves, and the model still answers: ` +
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

/** @type {Walk[]} */
export const WALKS = [importance, less, order, heads, no_photo];
