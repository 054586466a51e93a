/**
 * Chapter 5: attention, the one place where tokens see each other.
 *
 * Twin of deit_ref/numpy_backend/attention.py. Input -> output: tokens (batch, tokens, dim) -> tokens (batch, tokens,
 * dim).
 */

import { map, reshape, transpose, zeros } from "./arrays.js";
import { linear, softmax } from "./layers.js";
import { product } from "./product.js";
import { record } from "./trace.js";

/** @typedef {import("./arrays.js").NDArray} NDArray */
/** @typedef {import("./trace.js").Trace} Trace */

/**
 * Queries, keys and values of every head, from features ordered (q, k, v), then head, then head_dim.
 * @param {NDArray} qkv (batch, tokens, 3 * heads * head_dim)
 * @param {{num_heads: number}} options
 * @returns {[NDArray, NDArray, NDArray]} (batch, heads, tokens, head_dim) each
 */
export function split_heads(qkv, { num_heads }) {
  const [batch, tokens, features] = qkv.shape;
  const head_dim = features / (3 * num_heads);
  let x = reshape(qkv, [batch, tokens, 3, num_heads, head_dim]);
  x = transpose(x, [2, 0, 3, 1, 4]); // (3, batch, heads, tokens, head_dim)
  const length = x.data.length / 3;
  const part = (/** @type {number} */ i) => ({
    data: x.data.subarray(i * length, (i + 1) * length),
    shape: [batch, num_heads, tokens, head_dim],
  });
  return [part(0), part(1), part(2)];
}

/**
 * Write the heads' results side by side again: the inverse of `split_heads` for one of its three parts.
 * @param {NDArray} x (batch, heads, tokens, head_dim)
 * @returns {NDArray} (batch, tokens, dim)
 */
export function merge_heads(x) {
  const [batch, heads, tokens, head_dim] = x.shape;
  return reshape(transpose(x, [0, 2, 1, 3]), [batch, tokens, heads * head_dim]); // (batch, tokens, dim)
}

/**
 * $\mathrm{Attention}(Q, K, V) = \mathrm{softmax}(Q K^\top / \sqrt{d}) V$, with d = head_dim.
 * @param {NDArray} q (batch, heads, tokens, head_dim), queries
 * @param {NDArray} k (batch, heads, tokens, head_dim), keys
 * @param {NDArray} v (batch, heads, tokens, head_dim), values
 * @param {object} [options]
 * @param {NDArray | null} [options.head_mask] (heads,), each head's probabilities are multiplied by its number
 * @param {NDArray | null} [options.attention_mask] (batch, tokens), 0 for tokens that nobody may look at
 * @param {Trace | null} [options.trace] records scores and probabilities (the latter as they meet v)
 * @returns {NDArray} (batch, heads, tokens, head_dim)
 */
export function scaled_dot_product_attention(q, k, v, { head_mask = null, attention_mask = null, trace = null } = {}) {
  const [, heads, tokens, head_dim] = q.shape;
  // Scaling the queries is scaling the scores, on a shorter array.
  const scale = head_dim ** -0.5;
  const scaled = map((value) => value * scale, q); // (batch, heads, tokens, head_dim)
  const scores = product(scaled, k); // (batch, heads, tokens, tokens)
  if (attention_mask) {
    for (let i = 0; i < scores.data.length; i++) {
      const image = Math.floor(i / (heads * tokens * tokens));
      if (!attention_mask.data[image * tokens + (i % tokens)]) scores.data[i] = -Infinity;
    }
  }
  record(trace, "scores", scores);
  const probabilities = softmax(scores); // (batch, heads, tokens, tokens)
  if (head_mask) {
    for (let i = 0; i < probabilities.data.length; i++) {
      probabilities.data[i] *= head_mask.data[Math.floor(i / (tokens * tokens)) % heads];
    }
  }
  record(trace, "probabilities", probabilities);
  return product(probabilities, transpose(v, [0, 1, 3, 2])); // (batch, heads, tokens, head_dim)
}

/**
 * Attention in several heads: one product makes all queries, keys and values, one mixes what the heads found.
 * @param {import("./weights.js").Attention} weights qkv (3 * dim, dim) and proj (dim, dim)
 * @param {NDArray} x (batch, tokens, dim), normalized
 * @param {object} options
 * @param {number} options.num_heads divides dim
 * @param {NDArray | null} [options.head_mask] (heads,), see `scaled_dot_product_attention`
 * @param {NDArray | null} [options.attention_mask] (batch, tokens), see there
 * @param {Trace | null} [options.trace] records q, k, v, scores, probabilities, context and proj
 * @returns {NDArray} (batch, tokens, dim)
 */
export function multi_head_attention(weights, x, { num_heads, head_mask = null, attention_mask = null, trace = null }) {
  const [q, k, v] = split_heads(linear(weights.qkv, x), { num_heads });
  record(trace, "q", q);
  record(trace, "k", k);
  record(trace, "v", v);
  const context = scaled_dot_product_attention(q, k, v, { head_mask, attention_mask, trace });
  const merged = record(trace, "context", merge_heads(context)); // (batch, tokens, dim)
  return record(trace, "proj", linear(weights.proj, merged));
}

/**
 * How much each token of the last layer draws on each input token, followed through all layers:
 * $R_l = (\rho I + (1 - \rho) \bar A_l) R_{l-1}$, $R_0 = I$, with $\bar A_l$ the mean over the heads.
 * @param {NDArray[]} attentions (batch, heads, tokens, tokens) per layer, first layer first
 * @param {{residual?: number}} [options] $\rho$, the share of the residual connection
 * @returns {NDArray} (batch, tokens, tokens)
 */
export function attention_rollout(attentions, { residual = 0.5 } = {}) {
  if (attentions.length === 0) {
    throw new Error("attention_rollout needs the attentions of at least one layer: use output_attentions: true.");
  }
  const [batch, heads, tokens] = attentions[0].shape;
  const area = tokens * tokens;
  let rollout = zeros([batch, tokens, tokens]);
  for (let i = 0; i < rollout.data.length; i++) rollout.data[i] = (i % area) % (tokens + 1) === 0 ? 1 : 0;
  for (const attention of attentions) {
    const mixed = zeros([batch, tokens, tokens]);
    for (let i = 0; i < mixed.data.length; i++) {
      const [image, place] = [Math.floor(i / area), i % area];
      let mean = 0;
      for (let head = 0; head < heads; head++) mean += attention.data[(image * heads + head) * area + place] / heads;
      mixed.data[i] = (1 - residual) * mean + (place % (tokens + 1) === 0 ? residual : 0);
    }
    rollout = product(mixed, transpose(rollout, [0, 2, 1]));
  }
  return rollout;
}
