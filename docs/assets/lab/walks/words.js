/**
 * What walks are told with: how numbers are written, and how states are made.
 */

import { START } from "../state.js";

/** @typedef {import("../questions.js").Lab} Lab */
/** @typedef {import("../questions.js").Seen} Seen */
/** @typedef {import("../state.js").State} State */
/** @typedef {{state: State, text: string}} Shown */
/** @typedef {{name: string, title: string, steps: ((lab: Lab) => Promise<Shown>)[], holds: (lab: Lab) => Promise<boolean>}} Walk */

export const best = (/** @type {number[]} */ values) => values.indexOf(Math.max(...values));
export const percent = (/** @type {number} */ share) => `${(100 * share).toFixed(1)}%`;
export const points = (/** @type {number} */ change) => `${(100 * Math.abs(change)).toFixed(1)} points`;
export const order_of = (/** @type {number[]} */ values) => [...values.keys()].sort((a, b) => values[b] - values[a]);
export const abs = (/** @type {number[]} */ values) => values.map(Math.abs);
export const rising = (/** @type {number[]} */ values) => [...values].sort((a, b) => a - b);
export const up_or_down = (/** @type {number} */ change) => `${change < 0 ? "falls" : "rises"} by ${points(change)}`;

/** What a state is made of, besides what is looked at. @param {string} photo @param {Partial<State>} [changes] */
export const of = (photo, changes = {}) => ({ ...START, photo, ...changes });

/** @param {Lab} lab @param {Seen} seen */
export const said = ({ classes }, { shares: { mean } }) => `${classes[best(mean)]}, ${percent(mean[best(mean)])}`;

/** @param {Lab} lab @param {number} place */
export const place_of = ({ sizes }, place) =>
  `row ${Math.floor(place / sizes.grid[1]) + 1}, column ${(place % sizes.grid[1]) + 1}`;

/** The photo of most walks. */
export const CAT = "chelsea";

/** Numbers that look random, the same everywhere (Park and Miller's generator). @param {number} seed */
export function generator(seed) {
  let x = seed;
  return () => (x = (x * 48271) % 2147483647) / 2147483647;
}

/** All patches but these. @param {Lab} lab @param {number[]} kept */
export const all_but = ({ sizes }, kept) => [...Array(sizes.patches).keys()].filter((place) => !kept.includes(place));

/** The largest difference of two answers. @param {Seen} one @param {Seen} other */
export const apart = (one, other) => Math.max(...one.shares.mean.map((share, i) => Math.abs(share - other.shares.mean[i])));

/** float32 adds in another order. */
export const same = 1e-4;
