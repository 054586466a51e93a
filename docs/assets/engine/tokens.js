/**
 * Chapter 2: the tokens that are not patches.
 *
 * Twin of deit_ref/numpy_backend/tokens.py. Input -> output: patch tokens (batch, patches, dim) -> all tokens (batch,
 * prefix + patches, dim), and back; with `embed`, pixels -> what the encoder reads.
 */

import { concatenate_tokens, reshape, slice_tokens, zeros } from "./arrays.js";
import { patch_embed, patch_grid } from "./patches.js";
import { add_pos_embed, interpolate_pos_embed } from "./positions.js";
import { record } from "./trace.js";

/** @typedef {import("./arrays.js").NDArray} NDArray */
/** @typedef {import("./trace.js").Trace} Trace */
/** @typedef {import("./weights.js").DeiTWeights} DeiTWeights */

/**
 * Replace hidden patches by the mask token: $z (1 - m) + t m$.
 * @param {NDArray} mask_token (1, 1, dim), t, learned
 * @param {NDArray} x (batch, patches, dim), before the positions are added
 * @param {NDArray} bool_masked_pos (batch, patches), m, 1 where a patch is hidden; numbers between 0 and 1 blend
 * @returns {NDArray} (batch, patches, dim)
 */
export function mask_tokens(mask_token, x, bool_masked_pos) {
  const dim = x.shape[2];
  const masked = zeros(x.shape);
  for (let i = 0; i < x.data.length; i++) {
    const m = bool_masked_pos.data[Math.floor(i / dim)];
    masked.data[i] = x.data[i] * (1 - m) + mask_token.data[i % dim] * m;
  }
  return masked;
}

/**
 * Put the class token and, if there is one, the distillation token before every image's patches.
 * @param {NDArray} cls_token (1, 1, dim)
 * @param {NDArray | null} dist_token (1, 1, dim); null in plain ViT models
 * @param {NDArray} x (batch, patches, dim)
 * @returns {NDArray} (batch, tokens, dim)
 */
export function prepend_tokens(cls_token, dist_token, x) {
  return concatenate_tokens(dist_token ? [cls_token, dist_token, x] : [cls_token, x]);
}

/**
 * The class token, the distillation token (null in plain ViT models) and the patch tokens of every image.
 * @param {NDArray} x (batch, tokens, dim), ordered as `prepend_tokens` does
 * @param {{distilled: boolean}} options whether the second token is the distillation token
 * @returns {[NDArray, NDArray | null, NDArray]} (batch, dim), (batch, dim), (batch, patches, dim)
 */
export function split_tokens(x, { distilled }) {
  const [batch, , dim] = x.shape;
  const cls_token = reshape(slice_tokens(x, 0, 1), [batch, dim]);
  if (!distilled) return [cls_token, null, slice_tokens(x, 1)];
  return [cls_token, reshape(slice_tokens(x, 1, 2), [batch, dim]), slice_tokens(x, 2)];
}

/**
 * All that comes before the encoder: patches to tokens, some hidden, cls and dist in front, positions added.
 * @param {DeiTWeights} weights patch_embed, the tokens and pos_embed are used
 * @param {NDArray} pixel_values (batch, channels, height, width), normalized
 * @param {object} [options]
 * @param {NDArray | null} [options.bool_masked_pos] (batch, patches), patches to hide
 * @param {boolean} [options.interpolate_pos_encoding] fit the positions to the images' size
 * @param {Trace | null} [options.trace] records patches, patch_embed, masked, tokens, pos_embed and embeddings
 * @returns {NDArray} (batch, tokens, dim)
 */
export function embed(
  weights,
  pixel_values,
  { bool_masked_pos = null, interpolate_pos_encoding = false, trace = null } = {},
) {
  const config = weights.config;
  const [height, width] = pixel_values.shape.slice(2);
  const [own_height, own_width] = config.image_shape;
  if (!interpolate_pos_encoding && (height !== own_height || width !== own_width)) {
    throw new Error(
      `The model was made for ${own_height}x${own_width} pixels, got ${height}x${width}: ` +
        "resize the images, or set interpolate_pos_encoding: true.",
    );
  }
  let x = record(trace, "patch_embed", patch_embed(weights.patch_embed, pixel_values, { trace }));
  if (bool_masked_pos) {
    const mask_token = /** @type {NDArray} */ (weights.mask_token);
    x = record(trace, "masked", mask_tokens(mask_token, x, bool_masked_pos));
  }
  x = record(trace, "tokens", prepend_tokens(weights.cls_token, weights.dist_token, x));
  let pos_embed = weights.pos_embed;
  const grid = patch_grid(height, width, { patch_shape: config.patch_shape });
  if (grid[0] !== config.grid[0] || grid[1] !== config.grid[1]) {
    const { num_prefix_tokens, grid: source_grid } = config;
    pos_embed = interpolate_pos_embed(pos_embed, { num_prefix_tokens, source_grid, target_grid: grid });
  }
  return record(trace, "embeddings", add_pos_embed(pos_embed, x, { trace }));
}
