/**
 * A guided walk through a forward pass, stop by stop, see `lab/walks.js`. What is said of this photo is computed when one
 * comes there, and where it is otherwise, it is said otherwise. Nothing here touches the page.
 */

import { best, order_of, percent } from "../lab/walks/words.js";
import { cosine, row_of, signed } from "./numbers.js";

/** @typedef {import("../engine/arrays.js").AnyArray} AnyArray */

/**
 * @typedef {object} Passed what the stops are told of
 * @property {Record<string, AnyArray>} values by the names of the trace
 * @property {import("../lab/state.js").Sizes} sizes
 * @property {ReturnType<typeof import("./tokens.js").naming>} names
 * @property {string[]} classes
 */

/** @typedef {{name: string, token?: number, cell?: number[], beside?: string}} There
 *   name: the step; token: that is kept; cell: the number that is explained; beside: as in `stepstate.js` */
/** @typedef {(passed: Passed) => Promise<{state: There, text: string}>} Stop */

const FIRST = "blocks.0.";

const mean = (/** @type {number[]} */ x) => x.reduce((sum, value) => sum + value, 0) / x.length;
const size = (/** @type {number[]} */ x) => mean(x.map(Math.abs));
const length = (/** @type {number[]} */ x) => Math.hypot(...x);
const spread = (/** @type {number[]} */ x) => Math.sqrt(mean(x.map((value) => (value - mean(x)) ** 2)));
const times = (/** @type {number} */ x) => x.toFixed(x < 10 ? 1 : 0);

/** The patch whose pixels differ most, which the walk follows. @param {Passed} passed */
function followed({ values: { patches }, sizes }) {
  const spreads = Array.from({ length: sizes.patches }, (_, i) => spread(row_of(patches, i)));
  return { token: sizes.prefix + best(spreads), most: Math.max(...spreads), others: mean(spreads) };
}

/** Where the patch looks in the first block, in the head with the largest share. @param {Passed} passed */
function look(passed) {
  const { values, sizes } = passed;
  const { token } = followed(passed);
  const shares = values[`${FIRST}attention.probabilities`];
  const rows = Array.from({ length: sizes.heads }, (_, head) => row_of(shares, head * sizes.tokens + token));
  const head = best(rows.map((row) => Math.max(...row)));
  const scores = row_of(values[`${FIRST}attention.scores`], head * sizes.tokens + token);
  return { token, head, key: best(rows[head]), shares: rows[head], scores, cell: [0, head, token, best(rows[head])] };
}

/** What the patch's token looks at, in words. @param {Passed} passed @param {ReturnType<typeof look>} at */
const looked_at = ({ names }, { token, key }) => (token === key ? "its own" : `that of the ${names.name(key)}`);

/** @type {Stop[]} */
const STOPS = [
  async ({ values }) => {
    const [photo, seen] = [values["images.0.image"], values["images.0.cropped"]];
    const [height, width] = photo.shape;
    const ratio = photo.data.length / seen.data.length;
    const rest = ratio > 1 ? `one for every ${times(ratio)} of the photo’s` : "as many as the photo’s, or more";
    return {
      state: { name: "images.0.cropped" },
      text:
        `The photo has ${width} x ${height} pixels. This is all that the model gets to see: ${seen.data.length} numbers, ` +
        `${rest}. What can be read from them still?`,
    };
  },
  async (passed) => {
    const { token, most, others } = followed(passed);
    const { sizes, names } = passed;
    return {
      state: { name: "patches", token },
      text:
        `Cut into ${sizes.patches} patches. The pixels of the ${names.name(token)} differ most from each other: their ` +
        `deviation is ${signed(most)}, and ${signed(others)} in the mean of all patches. We follow this one.`,
    };
  },
  async (passed) => {
    const { values, sizes } = passed;
    const { token } = followed(passed);
    const [what, where] = [values.tokens, values.pos_embed].map((array) => size(row_of(array, token)));
    const louder = what > where ? [what / where, "what is seen", "the place"] : [where / what, "the place", "what is seen"];
    return {
      state: { name: "embeddings", token, beside: "before" },
      text:
        `The patch is a row of ${values.tokens.shape[2]} numbers now, number ${token + 1} of ${sizes.tokens}: two learned tokens ` +
        `stand in front. Its position was added. In the mean its numbers had the size ${signed(what)}, those of the ` +
        `position ${signed(where)}: ${louder[1]} is ${times(/** @type {number} */ (louder[0]))} times as large as ${louder[2]}.`,
    };
  },
  async (passed) => {
    const at = look(passed);
    const { token, head, key, scores, cell } = at;
    return {
      state: { name: `${FIRST}attention.scores`, token, cell },
      text:
        `Block 1, head ${head + 1}: of all keys, ${looked_at(passed, at)} fits the query of our patch best. The score is ` +
        `${signed(scores[key])}; the mean of its row is ${signed(mean(scores))}. Below are the products that it is made of.`,
    };
  },
  async (passed) => {
    const at = look(passed);
    const { token, key, shares, scores, cell } = at;
    const even = 1 / shares.length;
    return {
      state: { name: `${FIRST}attention.probabilities`, token, cell, beside: "before" },
      text:
        `Softmax makes shares of scores. ${signed(scores[key] - mean(scores))} above the mean of the row became ` +
        `${percent(shares[key])}, which is ${times(shares[key] / even)} times an even share (${percent(even)}). The order ` +
        "within a row stays; differences become ratios.",
    };
  },
  async (passed) => {
    const { values } = passed;
    const { token } = followed(passed);
    const [before, added] = ["embeddings", `${FIRST}attention.proj`].map((step) => length(row_of(values[step], token)));
    const much =
      added < before
        ? "so most of the token goes on as it was"
        : "more than the token itself, so what was looked at outweighs what it was";
    return {
      state: { name: `${FIRST}attention.proj`, token },
      text:
        `What the patch took from the others, mixed by one matrix, is added to its token. As a vector it has the length ` +
        `${signed(added)}, the token ${signed(before)}: ${percent(added / before)}, ${much}.`,
    };
  },
  async (passed) => {
    const { values } = passed;
    const { token } = followed(passed);
    const before = row_of(values[`${FIRST}mlp.fc1`], token);
    const negative = before.filter((x) => x < 0).length / before.length;
    const after = row_of(values[`${FIRST}mlp.activation`], token);
    const strongest = order_of(after.map(Math.abs));
    let [kept, sum] = [0, 0];
    const all = after.reduce((total, x) => total + Math.abs(x), 0);
    while (sum < all / 2) sum += Math.abs(after[strongest[kept++]]);
    return {
      state: { name: `${FIRST}mlp.activation`, token, beside: "before" },
      text:
        `The mlp widens the token to ${before.length} numbers, ${percent(negative)} of them negative, and bends: those come ` +
        `close to 0. Of the sizes that are left, ${kept} numbers hold half of the sum` +
        (kept / after.length < 0.25 ? ": few speak for this patch." : ": many speak for this patch."),
    };
  },
  async ({ values, sizes }) => {
    const last = `blocks.${sizes.layers - 1}.output`;
    const [before, after] = ["embeddings", last].map((step) => cosine(values[step], sizes));
    const change = after > before ? "The patches have become more alike" : "The patches have become less alike";
    return {
      state: { name: last, beside: "embeddings" },
      text:
        `${sizes.layers} blocks later. ${change}: the mean cosine of two patches’ tokens was ${signed(before)} before the ` +
        `first block, and is ${signed(after)} after the last. Both arrays stand side by side.`,
    };
  },
  async ({ values, classes }) => {
    const [by_cls, by_dist] = ["cls_logits", "distillation_logits"].map((step) => best(row_of(values[step], 0)));
    const agree =
      by_cls === by_dist
        ? `Both say ${classes[by_cls]}.`
        : `They disagree: the class head says ${classes[by_cls]}, the distillation head ${classes[by_dist]}.`;
    return {
      state: { name: "distillation_logits", beside: "before" },
      text:
        "Of all tokens only two are read: the class token by one head, the distillation token by the other. No patch is, " +
        `not even ours; what it had to say, it said in the blocks. ${agree}`,
    };
  },
  async ({ values, classes }) => {
    const [logits, by_cls, by_dist] = ["logits", "cls_logits", "distillation_logits"].map((step) => row_of(values[step], 0));
    const answer = best(logits);
    const powers = logits.map((x) => Math.exp(x - logits[answer]));
    const share = 1 / powers.reduce((sum, x) => sum + x, 0);
    const head = by_cls[answer] > by_dist[answer] ? "class head" : "distillation head";
    return {
      state: { name: "logits", cell: [0, answer] },
      text:
        `The mean of both is the answer: ${classes[answer]}, ${percent(share)}. The larger part is from the ${head}. Now go ` +
        "back: click that part below, then the largest of what it is made of, again and again. How many clicks away is " +
        "a pixel?",
    };
  },
];

/** @type {{name: string, title: string, steps: Stop[], holds: () => Promise<boolean>}} */
export const TOUR = {
  name: "pass",
  title: "A walk through the pass",
  steps: STOPS,
  holds: async () => true, // each stop says what is so with this photo
};
