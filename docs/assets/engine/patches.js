/**
 * Chapter 1: an image becomes a sequence of patches, and each patch a token.
 *
 * Twin of deit_ref/numpy_backend/patches.py. Input -> output: pixels (batch, channels, height, width) -> tokens (batch,
 * patches, dim).
 */

import { reshape, transpose } from "./arrays.js";
import { linear } from "./layers.js";
import { record } from "./trace.js";

/** @typedef {import("./arrays.js").NDArray} NDArray */
/** @typedef {import("./trace.js").Trace} Trace */

/**
 * [rows, columns] of patches in an image; an Error if it is not a whole number of patches.
 * @param {number} height
 * @param {number} width
 * @param {{patch_shape: [number, number]}} options [height, width] of a patch in pixels
 * @returns {[number, number]}
 */
export function patch_grid(height, width, { patch_shape }) {
  if (height % patch_shape[0] || width % patch_shape[1]) {
    throw new Error(
      `An image must be a whole number of patches: ${height}x${width} pixels are not a multiple of ` +
        `${patch_shape[0]}x${patch_shape[1]}. Resize or crop it first.`,
    );
  }
  return [height / patch_shape[0], width / patch_shape[1]];
}

/**
 * Cut images into patches, row by row from the top left, and write each as one row: channel, pixel row, pixel column.
 * @param {NDArray} pixel_values (batch, channels, height, width)
 * @param {{patch_shape: [number, number]}} options [height, width] of a patch in pixels
 * @returns {NDArray} (batch, patches, patch_values)
 */
export function patchify(pixel_values, { patch_shape }) {
  const [batch, channels, height, width] = pixel_values.shape;
  const [rows, columns] = patch_grid(height, width, { patch_shape });
  const [patch_height, patch_width] = patch_shape;
  let x = reshape(pixel_values, [batch, channels, rows, patch_height, columns, patch_width]);
  x = transpose(x, [0, 2, 4, 1, 3, 5]); // (batch, rows, columns, channels, patch_height, patch_width)
  return reshape(x, [batch, rows * columns, channels * patch_height * patch_width]); // (batch, patches, patch_values)
}

/**
 * Put patches back together: the inverse of `patchify`.
 * @param {NDArray} patches (batch, patches, patch_values)
 * @param {{patch_shape: [number, number], grid: [number, number]}} options grid: [rows, columns] of patches
 * @returns {NDArray} (batch, channels, height, width)
 */
export function unpatchify(patches, { patch_shape, grid }) {
  const [[patch_height, patch_width], [rows, columns], batch] = [patch_shape, grid, patches.shape[0]];
  let x = reshape(patches, [batch, rows, columns, -1, patch_height, patch_width]);
  x = transpose(x, [0, 3, 1, 4, 2, 5]); // (batch, channels, rows, patch_height, columns, patch_width)
  return reshape(x, [batch, -1, rows * patch_height, columns * patch_width]);
}

/**
 * Map every patch to a token: $z_p = E x_p + b$.
 * @param {import("./weights.js").PatchEmbed} weights proj.weight (dim, channels, patch_height, patch_width), proj.bias
 * @param {NDArray} pixel_values (batch, channels, height, width), normalized
 * @param {{trace?: Trace | null}} [options] records patches
 * @returns {NDArray} (batch, patches, dim)
 */
export function patch_embed(weights, pixel_values, { trace = null } = {}) {
  const [dim, channels, patch_height, patch_width] = weights.proj.weight.shape;
  if (pixel_values.shape[1] !== channels) {
    throw new Error(
      `The model reads images of ${channels} channels, got ${pixel_values.shape[1]} ` +
        `(shape (${pixel_values.shape.join(", ")}), expected (batch, channels, height, width)).`,
    );
  }
  const patches = patchify(pixel_values, { patch_shape: [patch_height, patch_width] });
  record(trace, "patches", patches); // (batch, patches, patch_values)
  const matrix = reshape(weights.proj.weight, [dim, -1]); // (dim, patch_values)
  return linear({ weight: matrix, bias: weights.proj.bias }, patches); // (batch, patches, dim)
}
