/**
 * Chapter 8: the whole model, and what it can be asked.
 *
 * Twin of deit_ref/numpy_backend/model.py. Input -> output: normalized pixels (batch, channels, height, width) -> one
 * kind of output per task.
 */

import { encoder } from "./encoder.js";
import { classify, classify_with_teacher, pooler } from "./heads.js";
import { masked_l1 } from "./losses.js";
import { patch_grid } from "./patches.js";
import { reconstruct } from "./simmim.js";
import { embed, split_tokens } from "./tokens.js";
import { Trace, record } from "./trace.js";

/**
 * @typedef {import("./arrays.js").NDArray} NDArray
 * @typedef {import("./weights.js").DeiTWeights} DeiTWeights
 */

/**
 * What `encode` and all four tasks take.
 * @typedef {object} Options
 * @property {NDArray | null} [bool_masked_pos] (batch, patches), patches to hide
 * @property {NDArray | null} [head_mask] (layers, heads), numbers that multiply each head's attention probabilities
 * @property {NDArray | null} [attention_mask] (batch, tokens), 0 for tokens that nobody may look at
 * @property {boolean} [interpolate_pos_encoding] accept images of another size than the model's
 * @property {boolean} [output_hidden_states] what to keep; the others come back as null
 * @property {boolean} [output_attentions]
 * @property {Trace | null} [trace] records every step
 */

/**
 * Tokens after the last norm, and what was kept on the way.
 * @typedef {{x: NDArray, hidden_states: NDArray[] | null, attentions: NDArray[] | null}} Encoded
 */

/**
 * Pixels to tokens that have seen each other: what all four tasks begin with.
 * @param {DeiTWeights} weights of any task
 * @param {NDArray} pixel_values (batch, channels, height, width), normalized
 * @param {Options} [options]
 * @returns {Encoded} x: (batch, tokens, dim)
 */
export function encode(
  weights,
  pixel_values,
  {
    bool_masked_pos = null,
    head_mask = null,
    attention_mask = null,
    interpolate_pos_encoding = false,
    output_hidden_states = false,
    output_attentions = false,
    trace = null,
  } = {},
) {
  // What is to be returned is what a trace keeps, so the chapters need no second way to hand it out.
  const wanted = output_hidden_states ? ["embeddings", "blocks.*.output"] : [];
  if (output_attentions) wanted.push("blocks.*.attention.probabilities");
  const kept = new Trace(wanted, { also: trace });
  const inner = wanted.length ? kept : trace;
  let x = embed(weights, pixel_values, { bool_masked_pos, interpolate_pos_encoding, trace: inner });
  x = encoder(weights, x, { head_mask, attention_mask, trace: inner });
  return {
    x,
    hidden_states: output_hidden_states ? [...kept.matching("embeddings"), ...kept.matching("blocks.*.output")] : null,
    attentions: output_attentions ? kept.matching("blocks.*.attention.probabilities") : null,
  };
}

/**
 * The tokens themselves and, with pooler weights, the pooler's summary.
 * @param {DeiTWeights} weights of the task "features"
 * @param {NDArray} pixel_values (batch, channels, height, width), normalized
 * @param {Options} [options]
 */
export function features(weights, pixel_values, options = {}) {
  const { x, hidden_states, attentions } = encode(weights, pixel_values, options);
  let summary = null;
  if (weights.pooler) {
    const [cls_token] = split_tokens(x, { distilled: weights.config.distilled });
    summary = pooler(weights.pooler, cls_token, { activation: weights.config.pooler_act });
    record(options.trace, "pooler", summary);
  }
  return { last_hidden_state: x, pooler_output: summary, hidden_states, attentions };
}

/**
 * Name the image from its class token.
 * @param {DeiTWeights} weights of the task "classification"
 * @param {NDArray} pixel_values (batch, channels, height, width), normalized
 * @param {Options} [options]
 */
export function classification(weights, pixel_values, options = {}) {
  const { x, hidden_states, attentions } = encode(weights, pixel_values, options);
  const [cls_token] = split_tokens(x, { distilled: weights.config.distilled });
  const logits = record(options.trace, "logits", classify(weights.head, cls_token));
  return { logits, hidden_states, attentions, ...naming(weights) };
}

/**
 * Name the image from its class token and its distillation token, and take the mean.
 * @param {DeiTWeights} weights of the task "classification-with-teacher"
 * @param {NDArray} pixel_values (batch, channels, height, width), normalized
 * @param {Options} [options]
 */
export function classification_with_teacher(weights, pixel_values, options = {}) {
  const { x, hidden_states, attentions } = encode(weights, pixel_values, options);
  const [cls_token, dist_token] = split_tokens(x, { distilled: true });
  const [logits, cls_logits, distillation_logits] = classify_with_teacher(
    weights.head,
    weights.head_dist,
    cls_token,
    /** @type {NDArray} */ (dist_token),
  );
  record(options.trace, "cls_logits", cls_logits);
  record(options.trace, "distillation_logits", distillation_logits);
  record(options.trace, "logits", logits);
  return { logits, cls_logits, distillation_logits, hidden_states, attentions, ...naming(weights) };
}

/**
 * Draw the image again, hidden patches included.
 * @param {DeiTWeights} weights of the task "masked-image-modeling"
 * @param {NDArray} pixel_values (batch, channels, height, width), normalized
 * @param {Options} [options] bool_masked_pos: patches to hide; null hides nothing and gives no loss
 */
export function masked_image_modeling(weights, pixel_values, { bool_masked_pos = null, ...options } = {}) {
  const { x, hidden_states, attentions } = encode(weights, pixel_values, { bool_masked_pos, ...options });
  const { patch_shape } = weights.config;
  const grid = patch_grid(pixel_values.shape[2], pixel_values.shape[3], { patch_shape });
  const reconstruction = reconstruct(weights, x, { grid, trace: options.trace });
  const loss = bool_masked_pos && masked_l1(reconstruction, pixel_values, bool_masked_pos, { patch_shape });
  return { reconstruction, loss, hidden_states, attentions };
}

/** What `outputs.probabilities` and `outputs.top` need to know. @param {DeiTWeights} weights */
function naming({ class_names, config: { problem_type, num_labels } }) {
  return { class_names: num_labels === 0 ? [] : class_names, problem_type };
}

/** @type {Record<string, (weights: DeiTWeights, pixel_values: NDArray, options?: Options) => any>} */
export const TASKS = {
  features,
  classification,
  "classification-with-teacher": classification_with_teacher,
  "masked-image-modeling": masked_image_modeling,
};
