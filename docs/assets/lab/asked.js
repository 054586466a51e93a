/**
 * The last answer of the model to a question that may be asked again.
 */

import { session } from "./session.js";

/** @typedef {import("./state.js").State} State */

/**
 * What a question needs besides the answer: options for the engine, and steps of the pass.
 * @typedef {{options?: {output_attentions?: boolean, output_hidden_states?: boolean}, trace?: string[]}} Needs
 */

/** @param {string} [lane] in which only the newest question is answered */
export function asked(lane) {
  /** @type {{key: string, result: import("../engine/client.js").Result | null}} */
  let last = { key: "", result: null };
  const key_of = (/** @type {State} */ state, /** @type {Needs} */ needs) => JSON.stringify([session.key_of(state), needs]);

  return {
    /** What was answered last, if it was to this. @param {State} state @param {Needs} needs */
    known: (state, needs) => (key_of(state, needs) === last.key ? last.result : null),

    /** Null if a newer question of the lane came first. @param {State} state @param {Needs} needs */
    async ask(state, needs) {
      const key = key_of(state, needs);
      if (key === last.key) return last.result;
      const result = await session.answer({ state, lane, ...needs });
      if (result) last = { key, result };
      return result;
    },
  };
}
