/**
 * Chapter 4: the layers that everything else is made of.
 *
 * Twin of deit_ref/numpy_backend/layers.py. Input -> output: arrays of any leading shape, features on the last axis ->
 * the same leading shape.
 */

import { add_to, reshape, zeros } from "./arrays.js";
import { product } from "./product.js";

/** @typedef {import("./arrays.js").NDArray} NDArray */
/** @typedef {import("./weights.js").Linear} Linear */
/** @typedef {import("./weights.js").LayerNorm} LayerNorm */

/**
 * A matrix product and a shift: $y = x W^\top + b$.
 * @param {Linear} weights weight (out_features, in_features); bias (out_features,) or null
 * @param {NDArray} x (*batch, in_features)
 * @returns {NDArray} (*batch, out_features)
 */
export function linear(weights, x) {
  const rows = reshape(x, [-1, x.shape[x.shape.length - 1]]); // (rows, in_features)
  const y = product(rows, weights.weight); // (rows, out_features)
  if (weights.bias) add_to(y, weights.bias);
  return reshape(y, [...x.shape.slice(0, -1), weights.weight.shape[0]]); // (*batch, out_features)
}

/**
 * Give every token mean 0 and variance 1, then scale and shift each feature.
 *
 * $y = (x - \mu) / \sqrt{\sigma^2 + \epsilon} \odot \gamma + \beta$, with $\mu$ and $\sigma^2$ (divided by dim, not
 * dim - 1) over one token's own features.
 * @param {LayerNorm} weights weight and bias, (dim,) each
 * @param {NDArray} x (*batch, dim)
 * @param {{eps: number}} options 1e-12 in transformers' checkpoints, 1e-6 in the original ones
 * @returns {NDArray} (*batch, dim)
 */
export function layer_norm(weights, x, { eps }) {
  const dim = x.shape[x.shape.length - 1];
  const [gamma, beta] = [weights.weight.data, weights.bias.data];
  const y = zeros(x.shape);
  for (let start = 0; start < x.data.length; start += dim) {
    const token = x.data.subarray(start, start + dim);
    let [sum, squares] = [0, 0];
    for (let i = 0; i < dim; i++) sum += token[i];
    const mean = sum / dim;
    for (let i = 0; i < dim; i++) squares += (token[i] - mean) * (token[i] - mean);
    const scale = 1 / Math.sqrt(squares / dim + eps);
    for (let i = 0; i < dim; i++) y.data[start + i] = (token[i] - mean) * scale * gamma[i] + beta[i];
  }
  return y;
}

/**
 * Turn scores into shares that are positive and sum to 1: $p_i = e^{x_i} / \sum_j e^{x_j}$.
 *
 * Subtracting the largest score first changes nothing in the formula (it cancels) and keeps $e^x$ finite.
 * @param {NDArray} x (*batch, scores)
 * @returns {NDArray} (*batch, scores)
 */
export function softmax(x) {
  const scores = x.shape[x.shape.length - 1];
  const y = zeros(x.shape);
  for (let start = 0; start < x.data.length; start += scores) {
    let largest = -Infinity;
    for (let i = start; i < start + scores; i++) largest = Math.max(largest, x.data[i]);
    let sum = 0;
    for (let i = start; i < start + scores; i++) sum += y.data[i] = Math.exp(x.data[i] - largest);
    for (let i = start; i < start + scores; i++) y.data[i] /= sum;
  }
  return y;
}
