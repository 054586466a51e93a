/**
 * Chapter 9, of which the engine needs one loss: how far a guess of hidden pixels is off.
 *
 * Twin of deit_ref/numpy_backend/losses.py; the losses that training needs stay in Python.
 */

import { patch_grid } from "./patches.js";

/** @typedef {import("./arrays.js").NDArray} NDArray */

/**
 * Mean absolute error on hidden pixels: $\sum M |x - \hat x| / ((\sum M + 10^{-5}) \cdot \text{channels})$.
 * @param {NDArray} reconstruction (batch, channels, height, width), what the model drew
 * @param {NDArray} pixel_values (batch, channels, height, width), normalized
 * @param {NDArray} bool_masked_pos (batch, patches), 1 where a patch was hidden; nothing hidden gives 0
 * @param {{patch_shape: [number, number]}} options [height, width] of a patch in pixels
 * @returns {number}
 */
export function masked_l1(reconstruction, pixel_values, bool_masked_pos, { patch_shape }) {
  const [batch, channels, height, width] = pixel_values.shape;
  const [rows, columns] = patch_grid(height, width, { patch_shape });
  let [difference, hidden] = [0, 0];
  for (let b = 0, i = 0; b < batch; b++) {
    for (let c = 0; c < channels; c++) {
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++, i++) {
          const patch = Math.floor(y / patch_shape[0]) * columns + Math.floor(x / patch_shape[1]);
          const m = bool_masked_pos.data[b * rows * columns + patch];
          difference += Math.abs(pixel_values.data[i] - reconstruction.data[i]) * m;
          hidden += m / channels;
        }
      }
    }
  }
  return difference / (hidden + 1e-5) / channels;
}
