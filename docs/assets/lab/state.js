/**
 * What is done to the model and its photo, as one plain object. Nothing here touches the page, so that it runs in Node,
 * too.
 */

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

/** Null where every patch is at its own place. */
export const in_order = (/** @type {number[]} */ order) => (order.every((patch, place) => patch === place) ? null : order);

/**
 * Which patches are hidden when the hidden ones and these are put together, or these are taken out.
 * @param {number[]} hidden @param {number[]} places @param {boolean} on
 */
export function painted_over(hidden, places, on) {
  const all = new Set(hidden);
  for (const place of places) {
    if (on) all.add(place);
    else all.delete(place);
  }
  return [...all].sort((a, b) => a - b);
}
