/**
 * What the residual stream holds after every block: what both heads would say of it, how long its tokens are, and how
 * alike. Pure functions of what a pass returns.
 */

import { classify_with_teacher } from "../engine/heads.js";
import { layer_norm, softmax } from "../engine/layers.js";
import { split_tokens } from "../engine/tokens.js";

/** @typedef {import("../engine/arrays.js").NDArray} NDArray */

/**
 * The logit lens: the last norm and both heads on the stream as it enters the first block, and after each.
 * @param {any} parts of the weights: config, norm, head, head_dist
 * @param {NDArray[]} hidden_states (1, tokens, dim) each
 * @returns {Record<string, number[]>[]} shares of the classes by "mean", "class" and "distillation"
 */
export function lens({ config, norm, head, head_dist }, hidden_states) {
  return hidden_states.map((x) => {
    const [cls_token, dist_token] = split_tokens(layer_norm(norm, x, { eps: config.layer_norm_eps }), {
      distilled: true,
    });
    const logits = classify_with_teacher(head, head_dist, cls_token, /** @type {NDArray} */ (dist_token));
    const [mean, cls, dist] = logits.map((row) => [...softmax(row).data]);
    return { mean, class: cls, distillation: dist };
  });
}

/**
 * Lengths of the tokens and the cosines between them, at each place of the stream.
 * @param {NDArray[]} hidden_states (1, tokens, dim) each
 * @param {{prefix: number}} sizes
 * @returns {{cls: number, dist: number, patches: number, two: number, alike: number}[]} three lengths, that of patches
 *   their mean; the cosine of class and distillation token; the mean cosine of two patches
 */
export function stream(hidden_states, { prefix }) {
  return hidden_states.map(({ data, shape: [, tokens, dim] }) => {
    const token = (/** @type {number} */ i) => data.subarray(i * dim, (i + 1) * dim);
    const dot = (/** @type {Float32Array} */ a, /** @type {Float32Array} */ b) => a.reduce((s, x, i) => s + x * b[i], 0);
    const lengths = Array.from({ length: tokens }, (_, i) => Math.sqrt(dot(token(i), token(i))));
    const patches = lengths.slice(prefix);
    // The mean cosine of all pairs is that of the sum of the unit vectors with itself, without each with itself.
    const sum = new Float32Array(dim);
    patches.forEach((length, i) => token(prefix + i).forEach((x, k) => (sum[k] += x / length)));
    const n = patches.length;
    return {
      cls: lengths[0],
      dist: lengths[1],
      patches: patches.reduce((s, x) => s + x, 0) / n,
      two: dot(token(0), token(1)) / (lengths[0] * lengths[1]),
      alike: (dot(sum, sum) - n) / (n * (n - 1)),
    };
  });
}

/**
 * The row of a token: how much it takes from each. `layer` and `head` as in `State`.
 * @param {NDArray[]} attentions (1, heads, tokens, tokens) each
 * @param {{layer: number, head: number, query: number}} state
 * @returns {number[]} (tokens,)
 */
export function look(attentions, { layer, head, query }) {
  const { data, shape } = /** @type {NDArray} */ (attentions.at(layer));
  const [, heads, tokens] = shape;
  const row = (/** @type {number} */ h) => data.subarray((h * tokens + query) * tokens, (h * tokens + query + 1) * tokens);
  if (head >= 0) return [...row(head)];
  const mean = new Array(tokens).fill(0);
  for (let h = 0; h < heads; h++) row(h).forEach((share, i) => (mean[i] += share / heads));
  return mean;
}

/**
 * The head in which a token gives a single patch the largest share.
 * @param {NDArray[]} attentions (1, heads, tokens, tokens) each
 * @param {number} prefix tokens before the patches
 * @param {number} [query]
 * @returns {{layer: number, head: number, share: number}} counted from 1
 */
export function sharpest(attentions, prefix, query = 0) {
  let found = { layer: 0, head: 0, share: 0 };
  attentions.forEach(({ shape }, layer) => {
    for (let head = 0; head < shape[1]; head++) {
      const share = Math.max(...look(attentions, { layer, head, query }).slice(prefix));
      if (share > found.share) found = { layer: layer + 1, head: head + 1, share };
    }
  });
  return found;
}
