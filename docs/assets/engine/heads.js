/**
 * Chapter 7: from tokens to answers.
 *
 * Twin of deit_ref/numpy_backend/heads.py. Input -> output: the class and the distillation token (batch, dim) -> logits
 * (batch, num_labels).
 */

import { activate } from "./activations.js";
import { add, map } from "./arrays.js";
import { linear } from "./layers.js";

/** @typedef {import("./arrays.js").NDArray} NDArray */
/** @typedef {import("./weights.js").Linear} Linear */

/**
 * A summary of the image: $\sigma(W z_\text{cls} + b)$.
 * @param {Linear} weights (pooler_output_size, dim)
 * @param {NDArray} cls_token (batch, dim), after the last norm
 * @param {{activation: string}} options "tanh" in transformers
 * @returns {NDArray} (batch, pooler_features)
 */
export function pooler(weights, cls_token, { activation }) {
  return activate(linear(weights, cls_token), { name: activation });
}

/**
 * One score per class: $W z + b$.
 * @param {Linear | null} weights (num_labels, dim); null (num_labels = 0) returns the token itself
 * @param {NDArray} token (batch, dim), the class or the distillation token after the last norm
 * @returns {NDArray} (batch, num_labels)
 */
export function classify(weights, token) {
  return weights === null ? token : linear(weights, token);
}

/**
 * Both heads and their mean.
 * @param {Linear | null} head (num_labels, dim), for the class token
 * @param {Linear | null} head_dist (num_labels, dim), for the distillation token
 * @param {NDArray} cls_token (batch, dim), after the last norm
 * @param {NDArray} dist_token (batch, dim), after the last norm
 * @returns {[NDArray, NDArray, NDArray]} logits, cls_logits, distillation_logits, (batch, num_labels) each
 */
export function classify_with_teacher(head, head_dist, cls_token, dist_token) {
  const cls_logits = classify(head, cls_token);
  const distillation_logits = classify(head_dist, dist_token);
  const logits = map((sum) => sum / 2, add(cls_logits, distillation_logits));
  return [logits, cls_logits, distillation_logits];
}
