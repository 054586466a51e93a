/**
 * What can be asked of a state besides its answer: what each patch and each head does to it. Answers are numbers and
 * are remembered, so that a second question costs nothing.
 */

import { softmax } from "../engine/layers.js";
import { look } from "./lens.js";
import { doing } from "./state.js";

/** @typedef {import("./state.js").State} State */

/**
 * @typedef {object} Seen what a state answers
 * @property {Record<string, number[]>} shares of the classes by "mean", "class" and "distillation"
 * @property {number[]} attended what the class token takes from each patch in the last layer, the mean of the heads
 */

/**
 * @typedef {object} Lab
 * @property {import("./state.js").Sizes} sizes
 * @property {string[]} classes
 * @property {(state: State) => Promise<Seen>} run
 * @property {(state: State, options?: Watch) => Promise<number[]>} effects by how much the share of the answer changes
 *   when each patch is hidden, too
 * @property {(state: State, options?: Watch) => Promise<number[]>} single how it changes when each head is silent, too
 * @property {(state: State, options?: Watch) => Promise<number[]>} dispensable heads that can be silenced one after the
 *   other, those with the smallest effect first, while the answer stays the same class
 */

/** @typedef {{signal?: AbortSignal, tell?: (done: number, of: number, so_far: number[]) => void}} Watch */

const MOST = 600; // states whose answers are remembered

export const LOGITS = { mean: "logits", class: "cls_logits", distillation: "distillation_logits" };

/** Shares of the classes by each head. @param {any} output of the classifier @returns {Record<string, number[]>} */
export function shares_of(output) {
  return Object.fromEntries(Object.entries(LOGITS).map(([head, name]) => [head, [...softmax(output[name]).data]]));
}

export const best = (/** @type {number[]} */ values) => values.indexOf(Math.max(...values));

/**
 * @param {object} options
 * @param {import("./state.js").Sizes} options.sizes
 * @param {string[]} options.classes
 * @param {(state: State) => Promise<any>} options.ask a pass of the classifier, with attentions; its output
 * @param {(state: State) => string} [options.key_of] equal for states that give the same numbers
 * @returns {Lab & {forget: () => void}}
 */
export function questions({ sizes, classes, ask, key_of = doing }) {
  /** @type {Map<string, Promise<Seen>>} */
  const known = new Map();

  /** @param {State} state @returns {Promise<Seen>} */
  function run(state) {
    const key = key_of(state.hidden.length ? state : { ...state, how: "attention" }); // nothing hidden is nothing hidden
    let seen = known.get(key);
    if (!seen) {
      seen = ask(state).then((output) => ({
        shares: shares_of(output),
        attended: look(output.attentions, { layer: -1, head: -1, query: 0 }).slice(sizes.prefix),
      }));
      known.set(key, seen);
      seen.catch(() => known.delete(key));
      if (known.size > MOST) known.delete(/** @type {string} */ (known.keys().next().value));
    }
    return seen;
  }

  /** @param {State} state @param {(State | null)[]} changed null: as it is @param {Watch} watch */
  async function changes(state, changed, { signal, tell }) {
    const { mean } = (await run(state)).shares;
    const answer = best(mean);
    const found = [];
    for (const other of changed) {
      signal?.throwIfAborted();
      found.push(other ? (await run(other)).shares.mean[answer] - mean[answer] : 0);
      tell?.(found.length, changed.length, found);
    }
    return found;
  }

  /** @param {number} patches */
  const all = (patches) => [...Array(patches).keys()];
  const with_one = (/** @type {number[]} */ numbers, /** @type {number} */ one) =>
    [...numbers, one].sort((a, b) => a - b);

  /** @type {Lab["effects"]} */
  const effects = (state, watch = {}) => {
    const without = (/** @type {number} */ place) =>
      state.hidden.includes(place) ? null : { ...state, hidden: with_one(state.hidden, place) };
    return changes(state, all(sizes.patches).map(without), watch);
  };

  /** @type {Lab["single"]} */
  const single = (state, watch = {}) => {
    const without = (/** @type {number} */ head) =>
      state.silenced.includes(head) ? null : { ...state, silenced: with_one(state.silenced, head) };
    return changes(state, all(sizes.layers * sizes.heads).map(without), watch);
  };

  /** @type {Lab["dispensable"]} */
  async function dispensable(state, { signal, tell } = {}) {
    const answer = best((await run(state)).shares.mean);
    const alone = await single(state, { signal });
    const order = all(alone.length).sort((a, b) => Math.abs(alone[a]) - Math.abs(alone[b]));
    let silenced = state.silenced;
    for (const [i, head] of order.entries()) {
      signal?.throwIfAborted();
      if (silenced.includes(head)) continue;
      const fewer = with_one(silenced, head);
      if (best((await run({ ...state, silenced: fewer })).shares.mean) === answer) silenced = fewer;
      tell?.(i + 1, order.length, silenced);
    }
    return silenced;
  }

  return { sizes, classes, run, effects, single, dispensable, forget: () => known.clear() };
}
