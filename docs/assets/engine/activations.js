/**
 * Chapter 17: the bends between two products.
 *
 * Twin of deit_ref/numpy_backend/activations.py, where the formulas and their sources stand. JavaScript has no erf, and
 * needs none: the book's float32 form of GELU gives the normal distribution by a logistic function, here too.
 */

import { map, zeros } from "./arrays.js";
import * as checks from "./checks.js";

/** @typedef {import("./arrays.js").NDArray} NDArray */

// P of `normal_share`, from the constant term up, as `python -m deit_ref.benchmark.gelu` fits it.
const [P0, P1, P2, P3, P4, P5, P6] = [
  1.59576854, 0.0726682984, -6.60535074e-5, -0.000110546742, 7.94813719e-6, -2.67566129e-7, 3.6278485e-9,
];

/**
 * The share of a normal distribution below x: $\Phi(x) \approx 1 / (1 + e^{-x P(x^2)})$.
 * @param {number} x
 */
function normal_share(x) {
  const square = x * x;
  const power = P0 + square * (P1 + square * (P2 + square * (P3 + square * (P4 + square * (P5 + square * P6)))));
  return 1 / (1 + Math.exp(-x * power));
}

/**
 * x, weighted by the share of a normal distribution that lies below it: $x \, \Phi(x)$, exact in float32.
 * @param {NDArray} x
 * @returns {NDArray} the same shape
 */
export function gelu(x) {
  const out = zeros(x.shape);
  // A loop of its own, which is faster than `map`: nearly all bends of a pass are these.
  for (let i = 0; i < out.data.length; i++) out.data[i] = x.data[i] * normal_share(x.data[i]);
  return out;
}

/**
 * The approximation with tanh, off by up to 4.7e-4; DeiT does not use it.
 * @param {NDArray} x
 * @returns {NDArray} the same shape
 */
export function gelu_tanh(x) {
  const root = Math.sqrt(2 / Math.PI);
  return map((value) => 0.5 * value * (1 + Math.tanh(root * (value + 0.044715 * value ** 3))), x);
}

/**
 * $1 / (1 + e^{-x})$.
 * @param {NDArray} x
 * @returns {NDArray} the same shape
 */
export function sigmoid(x) {
  return map(logistic, x);
}

/**
 * $\log(1 + e^x)$, without overflow.
 * @param {NDArray} x
 * @returns {NDArray} the same shape
 */
export function softplus(x) {
  return map(log_sum, x);
}

/**
 * $\lambda x$ above 0, $\lambda \alpha (e^x - 1)$ below.
 * @param {NDArray} x
 * @returns {NDArray} the same shape
 */
export function selu(x) {
  const [scale, alpha] = [1.0507009873554805, 1.6732632423543772];
  return map((value) => scale * (value > 0 ? value : alpha * Math.expm1(value)), x);
}

/**
 * The share of a normal distribution of mean 0.707107 and deviation 0.282095 that lies below x.
 * @param {NDArray} x
 * @returns {NDArray} the same shape
 */
export function laplace(x) {
  return map((value) => normal_share((value - 0.707107) / 0.282095), x);
}

/** @param {number} x */
const logistic = (x) => 1 / (1 + Math.exp(-x));
/** @param {number} x */
const log_sum = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
/** @param {number} low @param {number} x @param {number} high */
const clip = (low, x, high) => Math.min(Math.max(x, low), high);

/**
 * The names of transformers' ACT2FN, and selu.
 * @type {Record<string, (x: NDArray) => NDArray>}
 */
export const ACTIVATIONS = {
  gelu,
  gelu_10: (x) => map((value) => clip(-10, value, 10), gelu(x)),
  gelu_accurate: gelu_tanh,
  gelu_fast: gelu_tanh,
  gelu_new: gelu_tanh,
  gelu_python: gelu,
  gelu_python_tanh: gelu_tanh,
  gelu_pytorch_tanh: gelu_tanh,
  hardswish: (x) => map((value) => (value * clip(0, value + 3, 6)) / 6, x),
  laplace,
  leaky_relu: (x) => map((value) => (value > 0 ? value : 0.01 * value), x),
  linear: (x) => x,
  mish: (x) => map((value) => value * Math.tanh(log_sum(value)), x),
  quick_gelu: (x) => map((value) => value * logistic(1.702 * value), x),
  relu: (x) => map((value) => Math.max(value, 0), x),
  relu2: (x) => map((value) => Math.max(value, 0) ** 2, x),
  relu6: (x) => map((value) => clip(0, value, 6), x),
  selu,
  sigmoid,
  silu: (x) => map((value) => value * logistic(value), x),
  sqrtsoftplus: (x) => map((value) => Math.sqrt(log_sum(value)), x),
  swish: (x) => map((value) => value * logistic(value), x),
  tanh: (x) => map(Math.tanh, x),
};

/**
 * The activation of that name from `ACTIVATIONS`; another name is an Error that lists them.
 * @param {NDArray} x
 * @param {{name: string}} options
 * @returns {NDArray} the same shape
 */
export function activate(x, { name }) {
  return ACTIVATIONS[checks.choice("activation", name, Object.keys(ACTIVATIONS))](x);
}
