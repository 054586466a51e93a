/**
 * What a state asks of the engine. Nothing here touches the page, so that it runs in Node, too.
 */

import { model_of } from "./state.js";

/** @typedef {import("../engine/arrays.js").NDArray} NDArray */
/** @typedef {import("./state.js").State} State */
/** @typedef {import("./state.js").Sizes} Sizes */

/**
 * What `Client.run` takes.
 * @param {State} state
 * @param {{pixel_values: NDArray, pos_embed: NDArray, sizes: Sizes}} model pos_embed of `model_of(state)`
 */
export function request_of(state, { pixel_values, pos_embed, sizes }) {
  const { prefix, patches, tokens, layers, heads } = sizes;
  /** @type {any} */
  const options = { pixel_values: pixels_of(state, pixel_values, sizes) };
  const shut = state.how === "attention" ? state.hidden.map((place) => prefix + place) : [];
  if (state.without_dist) shut.push(1);
  if (shut.length) options.attention_mask = [one_but(tokens, shut)];
  if (state.how === "mask") options.bool_masked_pos = [one_but(patches, state.hidden).map((open) => 1 - open)];
  if (state.silenced.length) {
    const mask = one_but(layers * heads, state.silenced);
    options.head_mask = Array.from({ length: layers }, (_, i) => mask.slice(i * heads, (i + 1) * heads));
  }
  const replace = state.positions === "kept" ? {} : { pos_embed: positions_of(state, pos_embed, sizes) };
  return { model: model_of(state), options, replace };
}

/** @param {number} length @param {number[]} zeros */
function one_but(length, zeros) {
  const ones = new Array(length).fill(1);
  for (const i of zeros) ones[i] = 0;
  return ones;
}

/**
 * Patches at their new places; those that are hidden by gray get 0, which is the mean color that normalizing subtracts.
 * @param {State} state @param {NDArray} pixel_values (1, channels, height, width) @param {Sizes} sizes
 * @returns {NDArray}
 */
export function pixels_of({ order, hidden, how }, pixel_values, { grid, patch_shape, patches }) {
  const gray = new Set(how === "gray" ? hidden : []);
  if (!order && !gray.size) return pixel_values;
  const { data: from, shape } = pixel_values;
  const [, channels, height, width] = shape;
  const data = new Float32Array(from.length);
  const first = (/** @type {number} */ i) =>
    Math.floor(i / grid[1]) * patch_shape[0] * width + (i % grid[1]) * patch_shape[1];
  for (let place = 0; place < patches; place++) {
    if (gray.has(place)) continue;
    const patch = order ? order[place] : place;
    for (let row = 0; row < channels * patch_shape[0]; row++) {
      const line = Math.floor(row / patch_shape[0]) * height * width + (row % patch_shape[0]) * width;
      const start = line + first(patch);
      data.set(from.subarray(start, start + patch_shape[1]), line + first(place));
    }
  }
  return { data, shape };
}

/**
 * @param {State} state @param {NDArray} pos_embed (1, tokens, dim) @param {Sizes} sizes
 * @returns {NDArray}
 */
export function positions_of({ positions, order }, pos_embed, { prefix, patches }) {
  if (positions === "kept") return pos_embed;
  const dim = pos_embed.shape[2];
  const data = pos_embed.data.slice();
  for (let place = 0; place < patches; place++) {
    const to = (prefix + place) * dim;
    if (positions === "none") data.fill(0, to, to + dim);
    else if (order) {
      const from = (prefix + order[place]) * dim;
      data.set(pos_embed.data.subarray(from, from + dim), to);
    }
  }
  return { data, shape: pos_embed.shape };
}
