/**
 * What is done to the model and its photo, as one plain object, and what follows from it: a request to the engine and
 * an address. Nothing here touches the page, so that it runs in Node, too.
 */

/** @typedef {import("../engine/arrays.js").NDArray} NDArray */

/**
 * @typedef {object} State
 * @property {string} photo a name from photos.json, or "own"
 * @property {number[]} hidden places on the grid, row by row from 0, rising
 * @property {"attention" | "gray" | "mask"} how what hides them: nobody may look there; gray pixels; the mask token of
 *   the model that guesses pixels (so the answer is its guess)
 * @property {number[] | null} order which patch of the photo stands at each place; null: all at their own
 * @property {"kept" | "moved" | "none"} positions: of the places; moved along with the patches; zero
 * @property {number[]} silenced heads, layer * heads + head, rising
 * @property {boolean} without_dist nobody may look at the distillation token
 * @property {"answer" | "attention" | "rollout" | "effects"} look what lies over the photo: nothing, one layer's
 *   attention, rollout, or what hiding each patch does to the answer
 * @property {number} query the token that looks
 * @property {number} layer from 0; -1 is the last
 * @property {number} head from 0; -1 is the mean of all
 */

/** @typedef {ReturnType<typeof sizes_of>} Sizes */

/** @type {State} */
export const START = Object.freeze({
  photo: "chelsea",
  hidden: [],
  how: "attention",
  order: null,
  positions: "kept",
  silenced: [],
  without_dist: false,
  look: "answer",
  query: 0,
  layer: -1,
  head: -1,
});

export const MODELS = { classifier: "cifar10-distilled", guesser: "cifar10-simmim" };

/** @param {import("../engine/config.js").DeiTConfig} config */
export function sizes_of(config) {
  const { grid, patch_shape, num_prefix_tokens: prefix, num_hidden_layers: layers, num_attention_heads: heads } = config;
  const patches = grid[0] * grid[1];
  return { grid, patch_shape, prefix, layers, heads, patches, tokens: prefix + patches };
}

/** @param {State} state */
export const model_of = (state) => (state.how === "mask" ? MODELS.guesser : MODELS.classifier);

/** Whether the model answers as it was trained, and sees all of the photo as it is. @param {State} state */
export const is_untouched = (state) =>
  !state.hidden.length && !state.order && state.positions === "kept" && !state.silenced.length && !state.without_dist;

/** What is done, without what is looked at: states that agree in it give the same numbers. @param {State} state */
export function doing({ photo, hidden, how, order, positions, silenced, without_dist }) {
  return JSON.stringify({ photo, hidden, how, order, positions, silenced, without_dist });
}

/** With nothing done, but looked at as before. @param {State} state @returns {State} */
export function untouched(state) {
  const { hidden, order, positions, silenced, without_dist } = START;
  return { ...state, hidden, order, positions, silenced, without_dist };
}

/** The two patches at these places, exchanged. @param {State} state @param {number} one @param {number} other */
export function swapped(state, one, other, /** @type {Sizes} */ { patches }) {
  const order = [...(state.order ?? natural(patches))];
  [order[one], order[other]] = [order[other], order[one]];
  return in_order(order);
}

/** @param {number} patches @param {() => number} [random] numbers from 0 to below 1 */
export function shuffled(patches, random = Math.random) {
  const order = natural(patches);
  for (let i = patches - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return in_order(order);
}

const natural = (/** @type {number} */ patches) => Array.from({ length: patches }, (_, i) => i);
const in_order = (/** @type {number[]} */ order) => (order.every((patch, place) => patch === place) ? null : order);

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

// The address

/** Numbers as "3-5.12": runs and single ones. @param {number[]} numbers rising */
export function runs(numbers) {
  const parts = [];
  for (let i = 0; i < numbers.length; i++) {
    const first = i;
    while (numbers[i + 1] === numbers[i] + 1) i++;
    parts.push(first === i ? `${numbers[i]}` : `${numbers[first]}-${numbers[i]}`);
  }
  return parts.join(".");
}

/** The other way; null if it is anything else. @param {string} text @param {number} below */
export function numbers_of(text, below) {
  const numbers = [];
  for (const part of text.split(".")) {
    const found = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(part);
    if (!found) return null;
    const [first, last] = [Number(found[1]), Number(found[2] ?? found[1])];
    if (last >= below || first > last) return null;
    for (let i = first; i <= last; i++) numbers.push(i);
  }
  return numbers;
}

/** What differs from `START`, as texts. @param {State} state @returns {Record<string, string>} */
export function to_address(state) {
  /** @type {Record<string, string>} */
  const values = {};
  for (const [name, value] of Object.entries(state)) {
    const text = (/** @type {any} */ x) =>
      x === null ? "" : Array.isArray(x) ? (name === "order" ? x.join(".") : runs(x)) : String(x);
    if (text(value) !== text(/** @type {any} */ (START)[name])) values[name] = text(value);
  }
  return values;
}

/**
 * A state from what an address says; what is not understood is as in `START`.
 * @param {Record<string, string>} values @param {Sizes} sizes @param {string[]} photos their names
 * @returns {State}
 */
export function from_address(values, sizes, photos) {
  const one_of = (/** @type {string} */ name, /** @type {any[]} */ allowed) =>
    allowed.find((value) => String(value) === values[name]) ?? /** @type {any} */ (START)[name];
  const set = (/** @type {string} */ name, /** @type {number} */ below) =>
    [...new Set(numbers_of(values[name] ?? "", below) ?? [])].sort((one, other) => one - other);
  const upTo = (/** @type {number} */ from, /** @type {number} */ below) =>
    Array.from({ length: below - from }, (_, i) => from + i);
  const order = (values.order ?? "").split(".").map(Number);
  const sorted = [...order].sort((one, other) => one - other);
  return {
    photo: one_of("photo", photos),
    hidden: set("hidden", sizes.patches),
    how: one_of("how", ["attention", "gray", "mask"]),
    order: order.length === sizes.patches && sorted.every((patch, i) => patch === i) ? in_order(order) : null,
    positions: one_of("positions", ["kept", "moved", "none"]),
    silenced: set("silenced", sizes.layers * sizes.heads),
    without_dist: values.without_dist === "true",
    look: one_of("look", ["answer", "attention", "rollout", "effects"]),
    query: one_of("query", upTo(0, sizes.tokens)),
    layer: one_of("layer", upTo(-1, sizes.layers)),
    head: one_of("head", upTo(-1, sizes.heads)),
  };
}
