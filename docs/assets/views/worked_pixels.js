/**
 * How one number of a step before the encoder was made: by resampling, by copying, by scaling.
 */

import { crop_start } from "../engine/image.js";
import * as resampling from "../engine/resize.js";
import { copy, entry, term, worked_out } from "./arithmetic.js";
import { flat } from "./cells.js";

/** @typedef {import("./arithmetic.js").Pass} Pass */

const STEM = "images.0.";

/** A new pixel, as the weighted sum that the last of the two passes takes. @param {Pass} pass @param {number[]} at */
function resized(pass, [row, column, color]) {
  const { resample, arithmetic, pass_order } = pass.weights.image_processing;
  const { data, shape } = pass.values[`${STEM}image`];
  const [height, width] = shape;
  const [new_height, new_width] = pass.values[`${STEM}resized`].shape;
  const from = (/** @type {number} */ y, /** @type {number} */ x) => entry(pass, `${STEM}image`, [y, x, color]);
  if (resample === "nearest") {
    const y = resampling.nearest_pixels(height, new_height, { arithmetic })[row];
    const x = resampling.nearest_pixels(width, new_width, { arithmetic })[column];
    return copy(pass, `${STEM}image`, [y, x, color], "Copied: the nearest old pixel.");
  }
  if (height === new_height && width === new_width) {
    return copy(pass, `${STEM}image`, [row, column, color], "Copied: the photo has the right size already.");
  }
  const order = resampling.vertical_first([height, width], [new_height, new_width], { pass_order });
  const widths_last = height === new_height || (width !== new_width && order && arithmetic === "pillow");
  // Of the pass before only the lines that are summed here; along a line that keeps its length it changes nothing.
  const [size, new_size, place] = widths_last ? [width, new_width, column] : [height, new_height, row];
  const [length, new_length, other] = widths_last ? [height, new_height, row] : [width, new_width, column];
  const [first, exact, taps] = resampling.resample_coefficients(size, new_size, { resample });
  const weights = resampling.fixed_point(exact, { arithmetic });
  const lines = new Uint8Array(taps * length);
  const pixel = (/** @type {number} */ line, /** @type {number} */ i) => (widths_last ? [i, line] : [line, i]);
  for (let tap = 0; tap < taps; tap++) {
    for (let i = 0; i < length; i++) lines[tap * length + i] = data[flat(shape, [...pixel(first[place] + tap, i), color])];
  }
  const done = resampling.resample_lines({ data: lines, shape: [1, taps, length] }, new_length, { resample, arithmetic });
  const center = Math.min(length - 1, Math.floor(((other + 0.5) * length) / new_length));
  const terms = Array.from({ length: taps }, (_, tap) => {
    const [y, x] = pixel(first[place] + tap, center);
    const value = done.data[tap * new_length + other];
    const label = `${widths_last ? "column" : "row"} ${first[place] + tap + 1} of the photo`;
    return term(label, { value, near: from(y, x).from }, { value: weights[place * taps + tap], text: "weight" });
  }).sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
  const note =
    `Two passes: first along the ${widths_last ? "columns" : "rows"} of the photo, then across them, which is shown. Each ` +
    "line of old pixels is one byte after the first pass; the link leads to the pixel in its middle.";
  return worked_out("out = ∑_j κ_j · byte_j", terms, [{ op: "round", text: "rounded to a byte" }], { note });
}

/** @type {Record<string, (pass: Pass, at: number[], name: string) => import("./arithmetic.js").Worked>} */
export const PIXELS = {
  image(pass, at) {
    const note = "A byte of the photo, as its file has it: nothing before it in the pass makes it.";
    return worked_out("", [term("byte", { value: entry(pass, `${STEM}image`, at).value, text: "as decoded" })], [], { note });
  },
  resized,
  cropped(pass, [row, column, color]) {
    const { crop_size, crop_rule } = pass.weights.image_processing;
    const [height, width] = pass.values[`${STEM}resized`].shape;
    const y = row + crop_start(height, crop_size.height, { rounding: crop_rule });
    const x = column + crop_start(width, crop_size.width, { rounding: crop_rule });
    if (y < 0 || x < 0 || y >= height || x >= width) {
      return worked_out("", [term("nothing", { value: 0, text: "outside" })], [], { note: "Outside the photo stand zeros." });
    }
    return copy(pass, `${STEM}resized`, [y, x, color], "Copied from the middle of the resized photo.");
  },
  rescaled(pass, at) {
    const { rescale_factor: factor } = pass.weights.image_processing;
    const text = `the factor, 1/${Math.round(1 / factor)}`;
    return worked_out("out = image · factor", [term("byte", entry(pass, `${STEM}cropped`, at), { value: factor, text })]);
  },
  normalized(pass, at) {
    const { image_mean, image_std } = pass.weights.image_processing;
    const of = (/** @type {number | number[]} */ values) => (Array.isArray(values) ? values[at[2]] : values);
    return worked_out("out = (image − μ) / σ", [term("pixel", entry(pass, `${STEM}rescaled`, at))], [
      { op: "−", text: "the mean μ of this color", value: of(image_mean) },
      { op: "÷", text: "its deviation σ", value: of(image_std) },
    ]);
  },
  pixel_values: (pass, [, color, row, column]) =>
    copy(pass, `${STEM}normalized`, [row, column, color], "Copied: the color axis is the first one now."),
  patches(pass, [image, patch, value]) {
    const { patch_shape: [high, wide], grid } = pass.weights.config;
    const [color, inner] = [Math.floor(value / (high * wide)), value % (high * wide)];
    const row = Math.floor(patch / grid[1]) * high + Math.floor(inner / wide);
    const column = (patch % grid[1]) * wide + (inner % wide);
    const formula = "patches[n, (c P + i) P + j] = pixels[c, row · P + i, column · P + j]";
    return { ...copy(pass, "pixel_values", [image, color, row, column], "Copied: only its place is another."), formula };
  },
};
