/**
 * What can be told of an array in a few numbers. Nothing here touches the page.
 */

/** @typedef {import("../engine/arrays.js").AnyArray} AnyArray */

/** @param {number} x */
export const digits = (x) =>
  Number.isInteger(x) ? String(x) : Math.abs(x) >= 1e-3 ? x.toFixed(4) : x.toExponential(3);

/** With a true minus, for formulas. @param {number} x */
export const signed = (x) => digits(x).replace(/^-/, "−");

/** @param {AnyArray} array */
export function facts({ data }) {
  let [min, max, sum] = [Infinity, -Infinity, 0];
  for (const x of data) {
    if (x < min) min = x;
    if (x > max) max = x;
    sum += x;
  }
  return { dtype: data instanceof Float32Array ? "float32" : "uint8", min, max, mean: sum / data.length };
}

/**
 * Its first numbers, and how Python gets at them.
 * @param {AnyArray} array
 * @returns {{index: string, rows: number[][]}}
 */
export function corner({ data, shape }) {
  if (shape.length === 2) return { index: "[0]", rows: [[...data.slice(0, shape[1])]] };
  const image = shape.length === 3 && shape[2] <= 4; // channels last
  const [height, width] = image ? shape : shape.slice(-2);
  const step = image ? shape[2] : 1;
  const rows = Array.from({ length: Math.min(4, height) }, (_, row) =>
    Array.from({ length: Math.min(6, width) }, (__, column) => data[(row * width + column) * step]),
  );
  const first = "0, ".repeat(shape.length - 2);
  return { index: image ? "[:4, :6, 0]" : `[${first}:4, :6]`, rows };
}

/** A row of an array whose last axis it is. @param {AnyArray} array @param {number} row @returns {number[]} */
export function row_of({ data, shape }, row) {
  const width = shape[shape.length - 1];
  return Array.from(data.subarray(row * width, (row + 1) * width));
}

/** Mean cosine of the tokens of two patches. @param {AnyArray} array @param {import("../lab/state.js").Sizes} sizes */
export function cosine(array, { prefix, patches }) {
  const rows = Array.from({ length: patches }, (_, i) => row_of(array, prefix + i));
  const units = rows.map((row) => {
    const length = Math.hypot(...row);
    return row.map((x) => x / length);
  });
  const sum = units[0].map((_, i) => units.reduce((total, unit) => total + unit[i], 0));
  return (Math.hypot(...sum) ** 2 - patches) / (patches * (patches - 1)); // all pairs, without each with itself
}
