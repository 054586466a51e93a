/**
 * Entries of arrays: where they stand in memory, as Python has them, and in words. Nothing here touches the page.
 */

/** @typedef {{step: string, at: number[]}} Place an entry of a step's array: its index as in Python, from 0 */

export const COLORS = ["red", "green", "blue"];

/** Of an index, where in `data`. @param {number[]} shape @param {number[]} at */
export const flat = (shape, at) => at.reduce((i, x, axis) => i * shape[axis] + x, 0);

/** The other way. @param {number[]} shape @param {number} i @returns {number[]} */
export function index_of(shape, i) {
  const at = new Array(shape.length);
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    at[axis] = i % shape[axis];
    i = Math.floor(i / shape[axis]);
  }
  return at;
}

/** @param {number[]} shape @param {number[]} at */
export const inside = (shape, at) =>
  at.length === shape.length && at.every((x, axis) => Number.isInteger(x) && x >= 0 && x < shape[axis]);

/** As an address has it. @param {number[]} at */
export const key = (at) => at.join(".");
/** @param {string | undefined} text @returns {number[] | null} */
export const from_key = (text) => (/^\d+(\.\d+)+$/.test(text ?? "") ? /** @type {string} */ (text).split(".").map(Number) : null);

/**
 * Which axes of a picture's array go down, across, and through the colors of a pixel.
 * @param {string} picture @param {number[]} shape
 */
export function axes(picture, shape) {
  if (picture === "photo" || picture === "rgb") return { down: 0, across: 1, color: 2 };
  return { down: picture === "bars" ? -1 : shape.length - 2, across: shape.length - 1, color: -1 };
}

/**
 * The entry beside another one in its picture; null where the picture ends.
 * @param {string} picture @param {number[]} shape @param {number[]} at
 * @param {[number, number, number]} by rows, columns and colors
 */
export function neighbor(picture, shape, at, [rows, columns, colors]) {
  const { down, across, color } = axes(picture, shape);
  if ((rows && down < 0) || (colors && color < 0)) return null;
  const to = [...at];
  if (rows) to[down] += rows;
  to[across] += columns;
  if (colors) to[color] = (to[color] + colors) % shape[color];
  return inside(shape, to) ? to : null;
}

/** A place along an axis that has no name of its own, as in Python: from 0, and said to be so.
 * @param {string} what @param {number} i */
export const indexed = (what, i) => `${what} ${i} (index)`;

/** Where it stands in the array, in Python. @param {number[]} at */
export const in_array = (at) => `at [${at.join(", ")}]`;

/** As all that is counted in words, from 1. @param {number} row @param {number} column */
export const pixel_in = (row, column) => `pixel in row ${row + 1}, column ${column + 1}`;

/**
 * An entry in words. Heads, and rows and columns of patches and of pixels, count from 1; features are indices.
 * @param {string} picture how its step is drawn
 * @param {number[]} shape
 * @param {number[]} at
 * @param {{names: ReturnType<typeof import("./tokens.js").naming>, classes: string[],
 *   sizes: import("../lab/state.js").Sizes}} context
 */
export function called(picture, shape, at, { names, classes, sizes: { tokens, prefix } }) {
  const last = at[at.length - 1];
  const token = (/** @type {number} */ row) => names.name(row);
  if (picture === "photo" || picture === "rgb") return `${pixel_in(at[0], at[1])}, ${COLORS[at[2]]}`;
  if (picture === "planes") return `${COLORS[at[1]]}, ${pixel_in(at[2], at[3])}`;
  if (picture === "heads") return `head ${at[1] + 1}, ${token(at[2])}, ${indexed("feature", last)}`;
  if (picture === "maps") return `head ${at[1] + 1}, ${token(at[2])} looks at ${token(last)}`;
  if (picture === "bars") return classes[last];
  return `${token(at[1] + (shape[1] === tokens ? 0 : prefix))}, ${indexed(picture === "tiles" ? "value" : "feature", last)}`;
}

/** The token that an entry belongs to; null for none. @param {string} picture @param {number[]} shape @param {number[]} at
 * @param {import("../lab/state.js").Sizes} sizes @returns {number | null} */
export function token_of(picture, shape, at, { tokens, prefix, patches, grid, patch_shape: [high, wide] }) {
  if (picture === "heads" || picture === "maps") return at[2];
  if (picture === "tokens") return at[1] + (shape[1] === tokens ? 0 : prefix);
  if (picture === "tiles") return at[1] + prefix;
  if (picture === "bars" || picture === "photo") return null;
  const [row, column] = picture === "planes" ? at.slice(2) : at;
  const size = picture === "planes" ? shape.slice(2) : shape;
  if (size[0] !== grid[0] * high || size[1] !== grid[1] * wide) return null;
  const place = Math.floor(row / high) * grid[1] + Math.floor(column / wide);
  return place < patches ? prefix + place : null;
}

