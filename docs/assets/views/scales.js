/**
 * From numbers to places on a scale of colors: as they are, by their logarithm, or by their rank. The logarithm and the
 * rank let a map be read in which one number is far larger than all others. Nothing here touches the page.
 */

import { digits } from "./numbers.js";

const DECADES = 3; // that the logarithm shows below the largest number

/**
 * @param {ArrayLike<number>} values
 * @param {string} kind "linear", "log" or "rank"
 * @param {{signed: boolean}} options signed: 0 in the middle; otherwise from 0, and nothing below
 * @returns {{of: (x: number) => number, low: string, high: string}} of: from 0 to 1, signed from -1 to 1
 */
export function scale_of(values, kind, { signed }) {
  let most = 0;
  for (let i = 0; i < values.length; i++) most = Math.max(most, Math.abs(values[i]));
  most ||= 1;
  const sizes = {
    linear: (/** @type {number} */ size) => size / most,
    log: (/** @type {number} */ size) => Math.max(0, 1 + Math.log10(size / most || Number.MIN_VALUE) / DECADES),
    rank: kind === "rank" ? ranks(values) : () => 0,
  };
  const of_size = /** @type {any} */ (sizes)[kind];
  const of = (/** @type {number} */ x) => Math.sign(x) * of_size(Math.abs(x));
  const small = { linear: "0", log: `${digits(most / 10 ** DECADES)} or less`, rank: "the smallest" };
  const high = kind === "rank" ? "the largest" : digits(most);
  const low = signed ? (kind === "rank" ? "the most negative" : digits(-most)) : /** @type {any} */ (small)[kind];
  return { of, low, high };
}

/** How many of the sizes are below, as a share of all that can be. @param {ArrayLike<number>} values */
function ranks(values) {
  const sorted = Float64Array.from(values, Math.abs).sort();
  const last = Math.max(1, sorted.length - 1);
  return (/** @type {number} */ size) => {
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle] < size) low = middle + 1;
      else high = middle;
    }
    return Math.min(1, low / last);
  };
}
