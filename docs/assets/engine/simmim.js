/**
 * Chapter 13: masked image modeling, guessing pixels that were hidden.
 *
 * Twin of deit_ref/numpy_backend/simmim.py. Input -> output: patch tokens (batch, patches, dim) -> an image (batch,
 * channels, height, width).
 */

import { reshape, slice_tokens, transpose } from "./arrays.js";
import { linear } from "./layers.js";
import { record } from "./trace.js";

/** @typedef {import("./arrays.js").NDArray} NDArray */
/** @typedef {import("./trace.js").Trace} Trace */

/**
 * Lay out each token's features as a tile of pixels:
 * $\text{out}[c, y s + i, x s + j] = \text{in}[y, x, c s^2 + i s + j]$.
 * @param {NDArray} x (batch, rows, columns, channels * s * s), channel first
 * @param {{stride_shape: [number, number]}} options [height, width] of a tile in pixels
 * @returns {NDArray} (batch, channels, height, width)
 */
export function pixel_shuffle(x, { stride_shape }) {
  const [batch, rows, columns] = x.shape;
  const [tile_height, tile_width] = stride_shape;
  x = reshape(x, [batch, rows, columns, -1, tile_height, tile_width]);
  x = transpose(x, [0, 3, 1, 4, 2, 5]); // (batch, channels, rows, tile_height, columns, tile_width)
  return reshape(x, [batch, -1, rows * tile_height, columns * tile_width]);
}

/**
 * Draw the image that the tokens describe.
 * @param {import("./weights.js").DeiTWeights} weights decoder and config are used
 * @param {NDArray} x (batch, tokens, dim), after the last norm
 * @param {object} options
 * @param {[number, number]} options.grid [rows, columns] of patches
 * @param {boolean} [options.shifted_slice] as transformers 4 did in DeiT models: take the tokens [1:-1]
 * @param {Trace | null} [options.trace] records decoder and reconstruction
 * @returns {NDArray} (batch, channels, height, width)
 */
export function reconstruct(weights, x, { grid, shifted_slice = false, trace = null }) {
  const prefix = weights.config.num_prefix_tokens;
  const patches = shifted_slice && prefix === 2 ? slice_tokens(x, 1, -1) : slice_tokens(x, prefix);
  const decoder = /** @type {import("./weights.js").Linear} */ (weights.decoder);
  const features = record(trace, "decoder", linear(decoder, patches)); // (batch, patches, features)
  const tiles = reshape(features, [x.shape[0], ...grid, -1]); // (batch, rows, columns, features)
  const { stride_shape } = weights.config;
  return record(trace, "reconstruction", pixel_shuffle(tiles, { stride_shape }));
}
