/**
 * Chapter 5: what one query takes from each key, in one head.
 */

import { scaled_dot_product_attention } from "../../engine/attention.js";
import { Trace } from "../../engine/trace.js";

/** @typedef {import("../../engine/arrays.js").NDArray} NDArray */

/**
 * One query in one head: scores, their powers and shares over all keys, some of which may be masked.
 * @param {{q: NDArray, k: NDArray, v: NDArray}} layer (1, heads, tokens, head_dim) each
 * @param {{head: number, query: number, masked: number[]}} options masked: tokens that this layer may not look at
 */
export function attended({ q, k, v }, { head, query, masked }) {
  const [, , tokens, head_dim] = q.shape;
  const of_head = (/** @type {NDArray} */ x) => ({
    data: x.data.subarray(head * tokens * head_dim, (head + 1) * tokens * head_dim),
    shape: [1, 1, tokens, head_dim],
  });
  const attention_mask = { data: new Float32Array(tokens).fill(1), shape: [1, tokens] };
  for (const token of masked) attention_mask.data[token] = 0;
  const trace = new Trace();
  scaled_dot_product_attention(of_head(q), of_head(k), of_head(v), { attention_mask, trace });
  const row = (/** @type {string} */ name) => [...trace.get(name).data.subarray(query * tokens, (query + 1) * tokens)];
  const scores = row("scores");
  const largest = Math.max(...scores);
  return { scores, powers: scores.map((score) => Math.exp(score - largest)), shares: row("probabilities") };
}
