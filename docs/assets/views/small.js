/**
 * A step's array as a picture the size of a button: pixels as they are, otherwise how large the numbers of each patch are.
 */

import { HEAT, colorAt } from "../colors.js";
import { digits, facts } from "./numbers.js";

/** @typedef {import("./pass.js").Step} Step */

/**
 * The mean size of the numbers that belong to each patch; of maps from token to token, what each patch gets from all
 * tokens, a map for each head. Nothing here touches the page.
 * @param {import("../engine/arrays.js").AnyArray} value
 * @param {string} picture how the step is drawn
 * @param {import("../lab/state.js").Sizes} sizes
 * @returns {Float64Array[]} (patches,) each
 */
export function sizes_of_patches({ data, shape }, picture, { prefix, patches, tokens }) {
  const maps = picture === "maps";
  const [heads, rows, width] = shape.length === 4 ? shape.slice(1) : [1, shape[1], shape[2]];
  const first = (maps ? width : rows) === tokens ? prefix : 0;
  const found = Array.from({ length: maps ? heads : 1 }, () => new Float64Array(patches));
  for (let i = 0; i < data.length; i++) {
    const place = (maps ? i % width : Math.floor(i / width) % rows) - first;
    if (place >= 0) found[maps ? Math.floor(i / (rows * width)) : 0][place] += Math.abs(data[i]);
  }
  const count = maps ? rows : heads * width;
  return found.map((sums) => sums.map((sum) => sum / count));
}

/**
 * @param {HTMLCanvasElement} canvas @param {Step} step @param {string} picture
 * @param {import("../lab/state.js").Sizes} sizes
 * @returns {string} what it shows
 */
export function paint(canvas, { value }, picture, sizes) {
  if (picture === "bars") return bars(canvas, value.data);
  if (["photo", "rgb", "planes"].includes(picture)) return pixels(canvas, value, picture);
  const [rows, columns] = sizes.grid;
  const maps = sizes_of_patches(value, picture, sizes);
  const across = Math.ceil(Math.sqrt(maps.length));
  const down = Math.ceil(maps.length / across);
  const context = begin(canvas, across * (columns + 1) - 1, down * (rows + 1) - 1);
  const [low, high] = [Math.min(...maps.flatMap((map) => [...map])), Math.max(...maps.flatMap((map) => [...map]))];
  maps.forEach((map, i) => {
    const image = context.createImageData(columns, rows);
    map.forEach((size, place) => image.data.set([...colorAt(HEAT, (size - low) / (high - low || 1)), 255], 4 * place));
    context.putImageData(image, (i % across) * (columns + 1), Math.floor(i / across) * (rows + 1));
  });
  const what = picture === "maps" ? "what each patch gets, by head" : "mean size of each patch’s numbers";
  return `${what}: ${digits(low)} (dark) to ${digits(high)}`;
}

/** @param {HTMLCanvasElement} canvas @param {number} width @param {number} height */
function begin(canvas, width, height) {
  [canvas.width, canvas.height] = [width, height];
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
}

const SIDE = 44; // pixels at most

/** @param {HTMLCanvasElement} canvas @param {import("../engine/arrays.js").AnyArray} value @param {string} picture */
function pixels(canvas, { data, shape }, picture) {
  const planes = picture === "planes"; // (1, colors, height, width), not (height, width, colors)
  const [height, width] = planes ? shape.slice(2) : shape;
  const every = Math.max(1, Math.max(height, width) / SIDE);
  const [high, wide] = [Math.floor(height / every), Math.floor(width / every)];
  const context = begin(canvas, wide, high);
  const image = context.createImageData(wide, high);
  const { min: low, max: most } = data instanceof Float32Array ? facts({ data, shape }) : { min: 0, max: 255 };
  for (let i = 0; i < high * wide; i++) {
    const place = Math.floor(Math.floor(i / wide) * every) * width + Math.floor((i % wide) * every);
    const value = (/** @type {number} */ c) => data[planes ? c * height * width + place : place * shape[2] + c];
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = (255 * (value(c) - low)) / (most - low || 1);
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return `${width} x ${height} pixels`;
}

/** @param {HTMLCanvasElement} canvas @param {ArrayLike<number>} data */
function bars(canvas, data) {
  const values = Array.from(data);
  const [low, high] = [Math.min(0, ...values), Math.max(0, ...values)];
  const context = begin(canvas, SIDE, SIDE);
  const step = SIDE / values.length;
  const down = (/** @type {number} */ x) => (SIDE * (high - x)) / (high - low || 1);
  values.forEach((x, i) => {
    context.fillStyle = x === high ? "#d98a1f" : "#8a94a6";
    context.fillRect(i * step, Math.min(down(x), down(0)), step - 1, Math.max(1, Math.abs(down(x) - down(0))));
  });
  return "a bar for each class";
}
