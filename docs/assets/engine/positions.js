/**
 * Chapter 3: where a patch came from.
 *
 * Twin of deit_ref/numpy_backend/positions.py. Input -> output: position embeddings of one grid of patches -> of
 * another; tokens -> tokens that know their place.
 */

import { add, concatenate_tokens, reshape, slice_tokens, transpose, zeros } from "./arrays.js";
import { product } from "./product.js";
import { record } from "./trace.js";

/** @typedef {import("./arrays.js").NDArray} NDArray */
/** @typedef {import("./trace.js").Trace} Trace */

/**
 * Position embeddings for another grid of patches: $P' = W_\text{rows} P W_\text{columns}^\top$ for each feature.
 * @param {NDArray} pos_embed (1, tokens, dim): first the prefix tokens, which have no place and stay, then the patches
 * @param {object} options
 * @param {number} options.num_prefix_tokens 2 for DeiT, 1 for plain ViT
 * @param {[number, number]} options.source_grid [rows, columns] that pos_embed was learned for
 * @param {[number, number]} options.target_grid [rows, columns] of the image at hand
 * @returns {NDArray} (1, new_tokens, dim)
 */
export function interpolate_pos_embed(pos_embed, { num_prefix_tokens, source_grid, target_grid }) {
  const [rows, columns] = source_grid;
  if (pos_embed.shape[1] !== num_prefix_tokens + rows * columns) {
    throw new Error(
      `${num_prefix_tokens} prefix tokens and a grid of ${rows}x${columns} make ` +
        `${num_prefix_tokens + rows * columns} positions, got ${pos_embed.shape[1]}.`,
    );
  }
  const dim = pos_embed.shape[2];
  const prefix = slice_tokens(pos_embed, 0, num_prefix_tokens);
  let plane = reshape(slice_tokens(pos_embed, num_prefix_tokens), [rows, columns, dim]);
  const row_weights = bicubic_weights(rows, target_grid[0]); // (new_rows, rows)
  const column_weights = bicubic_weights(columns, target_grid[1]); // (new_columns, columns)
  plane = product(transpose(plane, [1, 2, 0]), row_weights); // (columns, dim, new_rows)
  plane = product(transpose(plane, [1, 2, 0]), column_weights); // (dim, new_rows, new_columns)
  plane = reshape(transpose(plane, [1, 2, 0]), [1, -1, dim]); // (1, new_rows * new_columns, dim)
  return concatenate_tokens([prefix, plane]); // (1, new_tokens, dim)
}

/**
 * The matrix that resamples a line of `size` values at `new_size` evenly spread places, by Keys' cubic with a = -0.75.
 *
 * Beyond the border the last value is repeated. Places are computed in float32, as torch does.
 * @param {number} size
 * @param {number} new_size
 * @returns {NDArray} (new_size, size)
 */
function bicubic_weights(size, new_size) {
  const a = -0.75;
  const scale = Math.fround(size / new_size);
  const weights = zeros([new_size, size]);
  for (let i = 0; i < new_size; i++) {
    const place = Math.fround(Math.fround(scale * (i + 0.5)) - 0.5);
    const first = Math.floor(place);
    for (const offset of [-1, 0, 1, 2]) {
      const d = Math.abs(place - (first + offset));
      const near = ((a + 2) * d - (a + 3)) * d * d + 1;
      const far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
      const neighbor = Math.min(Math.max(first + offset, 0), size - 1);
      weights.data[i * size + neighbor] += d <= 1 ? near : far; // at the border several fall on the same value
    }
  }
  return weights;
}

/**
 * Add to every token the vector of its place: $z + E_{pos}$.
 * @param {NDArray} pos_embed (1, tokens, dim), prefix tokens included
 * @param {NDArray} x (batch, tokens, dim)
 * @param {{trace?: Trace | null}} [options] records pos_embed
 * @returns {NDArray} (batch, tokens, dim)
 */
export function add_pos_embed(pos_embed, x, { trace = null } = {}) {
  return add(x, record(trace, "pos_embed", pos_embed));
}
