/**
 * Chapter 6: the encoder, the same block over and over.
 *
 * Twin of deit_ref/numpy_backend/encoder.py. Input -> output: tokens (batch, tokens, dim) -> tokens (batch, tokens,
 * dim). Both branches of a block read a normalized copy and add their result to the token.
 */

import { activate } from "./activations.js";
import { add } from "./arrays.js";
import { multi_head_attention } from "./attention.js";
import { layer_norm, linear } from "./layers.js";
import { record, scope } from "./trace.js";

/** @typedef {import("./arrays.js").NDArray} NDArray */
/** @typedef {import("./trace.js").Trace} Trace */
/** @typedef {import("./config.js").DeiTConfig} DeiTConfig */

/**
 * Widen each token, bend, and narrow it again: $\mathrm{fc2}(\sigma(\mathrm{fc1}(x)))$.
 * @param {import("./weights.js").Mlp} weights fc1 (intermediate_size, dim) and fc2 (dim, intermediate_size)
 * @param {NDArray} x (batch, tokens, dim), normalized
 * @param {{activation: string, trace?: Trace | null}} options trace: records fc1, activation and fc2
 * @returns {NDArray} (batch, tokens, dim)
 */
export function mlp(weights, x, { activation, trace = null }) {
  let hidden = record(trace, "fc1", linear(weights.fc1, x)); // (batch, tokens, intermediate)
  hidden = record(trace, "activation", activate(hidden, { name: activation }));
  return record(trace, "fc2", linear(weights.fc2, hidden)); // (batch, tokens, dim)
}

/**
 * One block: $z' = z + \mathrm{MHA}(\mathrm{LN}(z))$, then $z'' = z' + \mathrm{MLP}(\mathrm{LN}(z'))$.
 * @param {import("./weights.js").Block} weights norm1, attn, norm2, mlp
 * @param {NDArray} x (batch, tokens, dim)
 * @param {object} options
 * @param {DeiTConfig} options.config num_attention_heads, layer_norm_eps and hidden_act
 * @param {NDArray | null} [options.head_mask] (heads,), see `attention.scaled_dot_product_attention`
 * @param {NDArray | null} [options.attention_mask] (batch, tokens), see there
 * @param {Trace | null} [options.trace] records norm1, attention.*, norm2, mlp.* and output
 * @returns {NDArray} (batch, tokens, dim)
 */
export function encoder_block(weights, x, { config, head_mask = null, attention_mask = null, trace = null }) {
  const eps = config.layer_norm_eps;
  let normed = record(trace, "norm1", layer_norm(weights.norm1, x, { eps }));
  let branch = multi_head_attention(weights.attn, normed, {
    num_heads: config.num_attention_heads,
    head_mask,
    attention_mask,
    trace: scope(trace, "attention"),
  });
  x = add(x, branch);
  normed = record(trace, "norm2", layer_norm(weights.norm2, x, { eps }));
  branch = mlp(weights.mlp, normed, { activation: config.hidden_act, trace: scope(trace, "mlp") });
  return record(trace, "output", add(x, branch)); // (batch, tokens, dim)
}

/**
 * All blocks one after the other, then the last layer norm.
 * @param {import("./weights.js").DeiTWeights} weights blocks and norm are used, and config
 * @param {NDArray} x (batch, tokens, dim), embeddings
 * @param {object} [options]
 * @param {NDArray | null} [options.head_mask] (layers, heads), one row per layer
 * @param {NDArray | null} [options.attention_mask] (batch, tokens), for all layers
 * @param {Trace | null} [options.trace] records blocks.<i>.* and norm
 * @returns {NDArray} (batch, tokens, dim)
 */
export function encoder(weights, x, { head_mask = null, attention_mask = null, trace = null } = {}) {
  const heads = weights.config.num_attention_heads;
  weights.blocks.forEach((block, i) => {
    x = encoder_block(block, x, {
      config: weights.config,
      head_mask: head_mask && { data: head_mask.data.subarray(i * heads, (i + 1) * heads), shape: [heads] },
      attention_mask,
      trace: scope(trace, `blocks.${i}`),
    });
  });
  return record(trace, "norm", layer_norm(weights.norm, x, { eps: weights.config.layer_norm_eps }));
}
