/**
 * Whether two sets of numbers put the same things in the same order.
 */

/** Spearman's: 1 where both put the places in one order, −1 in opposite ones; NaN where one has no order.
 * @param {number[]} one @param {number[]} other */
export function rank_correlation(one, other) {
  const middle = (one.length - 1) / 2;
  const [a, b] = [ranks(one), ranks(other)].map((values) => values.map((rank) => rank - middle));
  const product = (/** @type {number[]} */ x, /** @type {number[]} */ y) => x.reduce((sum, value, i) => sum + value * y[i], 0);
  return product(a, b) / Math.sqrt(product(a, a) * product(b, b));
}

/** From 0; equal values share the mean of their ranks. @param {number[]} values */
function ranks(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return values.map((value) => (sorted.indexOf(value) + sorted.lastIndexOf(value)) / 2);
}
