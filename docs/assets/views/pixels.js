/**
 * Pictures of steps before the encoder: arrays of pixels, as pixels.
 */

import { COLORS, flat, in_array, index_of, pixel_in } from "./cells.js";
import { colors, figure, legend } from "./figure.js";
import { facts } from "./numbers.js";
import { capital } from "./tokens.js";

/** @typedef {import("./pass.js").Step} Step @typedef {import("./figure.js").Context} Context */

/** What belongs to a pixel of a picture of this size; patches only where it is what the model reads.
 * @param {Context} context @param {number[]} size height and width */
function patches({ sizes: { grid, patch_shape, prefix }, names }, [height, width]) {
  const read = height === grid[0] * patch_shape[0] && width === grid[1] * patch_shape[1];
  return {
    /** @param {number} row @param {number} column @param {string} values @param {number[]} at */
    told(row, column, values, at) {
      const pixel = `${pixel_in(row, column)}: ${values}, ${in_array(at)}`;
      if (!read) return { tokens: [], text: capital(pixel) };
      const token = prefix + Math.floor(row / patch_shape[0]) * grid[1] + Math.floor(column / patch_shape[1]);
      return { tokens: [token], text: `${capital(names.name(token))}: ${pixel}` };
    },
    /** @param {number} token */
    area(token) {
      const [row, column] = [Math.floor((token - prefix) / grid[1]), (token - prefix) % grid[1]];
      return !read || token < prefix ? null : [row * patch_shape[0], column * patch_shape[1], ...patch_shape];
    },
  };
}

/** Rows, columns and colors: (height, width, 3). `every`: of so many pixels one is shown.
 * @param {Step} step @param {Context} context @param {number} every */
function of_pixels({ value: { data, shape } }, context, every = 1) {
  const [height, width, channels] = shape;
  const { told, area } = patches(context, shape);
  const start = (/** @type {number} */ row, /** @type {number} */ column) => (row * width + column) * every * channels;
  const values = (/** @type {number} */ row, /** @type {number} */ column) =>
    COLORS.map((name, c) => `${name} ${Number(data[start(row, column) + c].toFixed(4))}`).join(", ");
  return {
    height: Math.ceil(height / every),
    width: Math.ceil(width / every),
    start,
    area,
    tell: (/** @type {number} */ row, /** @type {number} */ column) =>
      told(row * every, column * every, values(row, column), [row * every, column * every]),
    index: start, // its first color
    where: (/** @type {number} */ i) => index_of(shape, i).slice(0, 2).map((x) => Math.floor(x / every)),
  };
}

/** @param {Step} step @param {Context} context @param {any} add */
export function photo(step, context, add) {
  const { data, shape: [height, width] } = step.value;
  const every = Math.ceil(Math.max(height, width) / 900); // more pixels than that no screen shows here
  const pixels = of_pixels(step, context, every);
  const color = (/** @type {number} */ row, /** @type {number} */ column) => {
    const i = pixels.start(row, column);
    return [data[i], data[i + 1], data[i + 2]];
  };
  const basis = `min(28rem, ${Math.round((22 * width) / height)}rem)`;
  const label = `The photo: ${context.alt}`;
  return [figure({ step, ...pixels, color, label, caption: `${width} x ${height} pixels`, basis }, context, add)];
}

/** @param {Step} step @param {Context} context @param {any} add */
export function rgb(step, context, add) {
  const { data, shape: [height, width] } = step.value;
  const { dtype, min, max } = facts(step.value);
  // Bytes are shown as they are; floats, stretched from their smallest to their largest value.
  const shown = (/** @type {number} */ x) => (dtype === "uint8" ? x : (255 * (x - min)) / (max - min || 1));
  const pixels = of_pixels(step, context);
  const color = (/** @type {number} */ row, /** @type {number} */ column) =>
    [0, 1, 2].map((c) => shown(data[pixels.start(row, column) + c]));
  const label = `The photo at ${width} x ${height} pixels: ${context.alt}`;
  const basis = width > height ? "27rem" : "18rem";
  return [figure({ step, ...pixels, color, label, caption: `${width} x ${height} pixels`, basis }, context, add)];
}

/** @param {Step} step @param {Context} context @param {any} add */
export function planes(step, context, add) {
  const { data, shape } = step.value;
  const [, channels, height, width] = shape;
  const names = channels === 3 ? COLORS : Array.from({ length: channels }, (_, i) => `channel ${i + 1}`);
  const scale = colors(step, data, context);
  const { told, area } = patches(context, [height, width]);
  const figures = names.map((caption, c) => {
    const index = (/** @type {number} */ row, /** @type {number} */ column) => flat(shape, [0, c, row, column]);
    const where = (/** @type {number} */ i) => (index_of(shape, i)[1] === c ? index_of(shape, i).slice(2) : null);
    const value = (/** @type {number} */ row, /** @type {number} */ column) => data[index(row, column)];
    const color = (/** @type {number} */ row, /** @type {number} */ column) => scale.of(value(row, column));
    const tell = (/** @type {number} */ row, /** @type {number} */ column) =>
      told(row, column, `${caption} ${value(row, column).toFixed(4)}`, [0, c, row, column]);
    const label = `The ${caption} channel of the normalized photo`;
    const drawn = { step, height, width, color, label, caption, basis: "12rem", tell, area, index, where };
    return figure(drawn, context, add);
  });
  return [...figures, legend(scale)];
}

/** The rows of the array as squares again. @param {Step} step @param {Context} context @param {any} add */
export function squares(step, context, add) {
  const { sizes: { grid: [rows, columns], patch_shape: [high, wide], prefix }, names } = context;
  const { data, shape } = step.value;
  const { min, max } = facts(step.value);
  const [height, width] = [rows * (high + 1) - 1, columns * (wide + 1) - 1]; // with a line between
  const place_of = (/** @type {number} */ row, /** @type {number} */ column) =>
    Math.floor(row / (high + 1)) * columns + Math.floor(column / (wide + 1));
  /** Of the pixel, or of the last one before a line. @param {number} row @param {number} column */
  const index = (row, column) => {
    const [y, x] = [Math.min(row % (high + 1), high - 1), Math.min(column % (wide + 1), wide - 1)];
    return place_of(row, column) * shape[2] + y * wide + x;
  };
  const where = (/** @type {number} */ i) => {
    const [, place, value] = index_of(shape, i);
    const inner = value % (high * wide);
    return [
      Math.floor(place / columns) * (high + 1) + Math.floor(inner / wide),
      (place % columns) * (wide + 1) + (inner % wide),
    ];
  };
  const color = (/** @type {number} */ row, /** @type {number} */ column) => {
    if (row % (high + 1) === high || column % (wide + 1) === wide) return [255, 255, 255];
    const i = index(row, column);
    return [0, 1, 2].map((c) => (255 * (data[i + c * high * wide] - min)) / (max - min || 1));
  };
  const tell = (/** @type {number} */ row, /** @type {number} */ column) => {
    const place = place_of(row, column);
    const number = `number ${place + 1} of ${rows * columns}, ${in_array([0, place])}`;
    return { tokens: [prefix + place], text: `${capital(names.name(prefix + place))}: ${number}` };
  };
  const area = (/** @type {number} */ token) => {
    const [row, column] = [Math.floor((token - prefix) / columns), (token - prefix) % columns];
    return token < prefix ? null : [row * (high + 1), column * (wide + 1), high, wide];
  };
  const label = `The photo cut into ${rows} by ${columns} patches`;
  const caption = `${rows * columns} patches, numbered row by row`;
  return figure({ step, height, width, color, label, caption, basis: "18rem", tell, area, index, where }, context, add);
}
