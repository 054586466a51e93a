/**
 * Chapter 16: resampling, byte for byte as Pillow. (The browser's canvas scales otherwise.)
 *
 * Twin of deit_ref/numpy_backend/resize.py, which tells the three details that decide the bytes. Input -> output: bytes
 * (height, width, channels) -> the same of another size.
 */

import { transpose } from "./arrays.js";
import * as checks from "./checks.js";
import { supported_resample } from "./image_processing.js";

/** @typedef {import("./arrays.js").Bytes} Bytes */
/** @typedef {"pillow" | "torchvision"} Arithmetic */

/** @param {number} x */
const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));

/** 1 for -1/2 < x <= 1/2, else 0: the mean of the pixels inside. @param {number} x */
export function box(x) {
  return x > -0.5 && x <= 0.5 ? 1 : 0;
}

/** 1 - |x| for |x| < 1, else 0: straight lines between pixels. @param {number} x */
export function bilinear(x) {
  return Math.max(1 - Math.abs(x), 0);
}

/** sinc(x) (0.54 + 0.46 cos(pi x)) for |x| < 1, else 0; Pillow has the two numbers in float32. @param {number} x */
export function hamming(x) {
  const [mean, wave] = [Math.fround(0.54), Math.fround(0.46)];
  if (x === 0) return 1;
  return Math.abs(x) < 1 ? sinc(x) * (mean + wave * Math.cos(Math.PI * x)) : 0;
}

/** Cubic convolution with a = -1/2, whose weights below 0 keep edges sharp. @param {number} x */
export function bicubic(x) {
  const a = -0.5;
  x = Math.abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/** sinc(x) sinc(x / 3) for |x| < 3, else 0. @param {number} x */
export function lanczos(x) {
  return Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0;
}

/** The kernel and its support: beyond that distance it is 0. @type {Record<string, [(x: number) => number, number]>} */
export const FILTERS = {
  box: [box, 0.5],
  bilinear: [bilinear, 1],
  hamming: [hamming, 1],
  bicubic: [bicubic, 2],
  lanczos: [lanczos, 3],
};

/**
 * The old pixel that each new pixel copies.
 * @param {number} in_size
 * @param {number} out_size
 * @param {{arithmetic?: string}} [options] "pillow" adds up steps in float64, "torchvision" multiplies in float32
 * @returns {number[]} (new_size,)
 */
export function nearest_pixels(in_size, out_size, { arithmetic = "pillow" } = {}) {
  const step = in_size / out_size;
  let place = 0.5 * step;
  return Array.from({ length: out_size }, (_, i) => {
    if (arithmetic === "torchvision") {
      return Math.min(Math.trunc(Math.fround((i + 0.5) * Math.fround(step))), in_size - 1);
    }
    if (i > 0) place += step;
    return Math.trunc(place);
  });
}

/**
 * Which old pixels make each new pixel along one axis, and with what weights.
 * @param {number} in_size
 * @param {number} out_size
 * @param {{resample: string}} options the kernel, one of `FILTERS`; it is stretched when shrinking
 * @returns {[number[], Float64Array, number]} the first pixel of each window (new_size,), the weights of all its
 *   pixels (new_size, taps), those not needed 0, and taps
 */
export function resample_coefficients(in_size, out_size, { resample }) {
  const [kernel, support] = FILTERS[checks.choice("resample", resample, Object.keys(FILTERS))];
  const scale = in_size / out_size;
  const stretch = Math.max(scale, 1);
  const reach = support * stretch;
  const centers = Array.from({ length: out_size }, (_, i) => (i + 0.5) * scale);
  const low = centers.map((center) => Math.max(Math.trunc(center - reach + 0.5), 0));
  const high = centers.map((center) => Math.min(Math.trunc(center + reach + 0.5), in_size));
  const taps = high.reduce((most, end, i) => Math.max(most, end - low[i]), 0);
  const first = low.map((start) => Math.min(start, in_size - taps));
  const weights = new Float64Array(out_size * taps);
  for (let i = 0; i < out_size; i++) {
    let sum = 0;
    for (let pixel = low[i]; pixel < high[i]; pixel++) {
      const weight = kernel((pixel - centers[i] + 0.5) * (1 / stretch));
      weights[i * taps + pixel - first[i]] = weight;
      sum += weight; // from left to right, as Pillow does
    }
    for (let tap = 0; tap < taps; tap++) weights[i * taps + tap] /= sum;
  }
  return [first, weights, taps];
}

/**
 * Weights rounded to multiples of $2^{-p}$, halves away from 0.
 * @param {Float64Array} weights
 * @param {{arithmetic?: string}} [options] p is 22, or with "torchvision" the largest one whose 2^p w all fit 16 bits
 * @returns {Float64Array}
 */
export function fixed_point(weights, { arithmetic = "pillow" } = {}) {
  let p = 22;
  if (arithmetic === "torchvision") {
    const largest = weights.reduce((most, weight) => Math.max(most, weight), -Infinity);
    p = 0;
    while (p < 22 && Math.trunc(0.5 + largest * 2 ** (p + 1)) < 2 ** 15) p++;
  }
  return weights.map((weight) => Math.trunc(weight * 2 ** p + (weight < 0 ? -0.5 : 0.5)) / 2 ** p);
}

/**
 * One pass: each line becomes `out_size` pixels, by the kernel named `resample`. All sums are exact in float64.
 * @param {Bytes} planes (channels, lines, in_size)
 * @param {number} out_size
 * @param {{resample: string, arithmetic?: string}} options
 * @returns {Bytes} (channels, lines, new_size)
 */
export function resample_lines(planes, out_size, { resample, arithmetic = "pillow" }) {
  const [channels, lines, in_size] = planes.shape;
  if (in_size === out_size) return planes;
  const [first, exact, taps] = resample_coefficients(in_size, out_size, { resample });
  const weights = fixed_point(exact, { arithmetic });
  const data = new Uint8Array(channels * lines * out_size);
  for (let line = 0, to = 0; line < channels * lines; line++) {
    for (let i = 0; i < out_size; i++, to++) {
      let [sum, from] = [0, line * in_size + first[i]];
      for (let tap = i * taps; tap < (i + 1) * taps; tap++) sum += weights[tap] * planes.data[from++];
      data[to] = Math.min(Math.max(sum + 0.5, 0), 255);
    }
  }
  return { data, shape: [channels, lines, out_size] };
}

/**
 * Whether the heights are resampled before the widths.
 * @param {number[]} shape [height, width]
 * @param {number[]} size [height, width]
 * @param {{pass_order: string}} options "pillow-13": when the height shrinks, and by more than twice what the width
 *   loses; "pillow-12": never
 * @returns {boolean}
 */
export function vertical_first(shape, size, { pass_order }) {
  const [[height, width], [new_height, new_width]] = [shape, size];
  checks.choice("pass_order", pass_order, ["pillow-13", "pillow-12"]);
  return pass_order === "pillow-13" && new_height < height && height - new_height > 2 * (width - new_width);
}

/**
 * A resized copy, byte for byte as from Pillow's Image.resize in modes L and RGB.
 * @param {Bytes} image (height, width, channels); channels are treated alike and apart
 * @param {[number, number]} size [height, width] in pixels
 * @param {object} [options]
 * @param {string} [options.resample] "nearest", "box", "bilinear", "hamming", "bicubic" or "lanczos"
 * @param {string} [options.pass_order] "pillow-13" or "pillow-12", see `vertical_first`
 * @param {string} [options.arithmetic] "pillow", or "torchvision": weights of 16 bits, widths always first
 * @returns {Bytes} (new_height, new_width, channels)
 */
export function resize(image, size, { resample = "bicubic", pass_order = "pillow-13", arithmetic = "pillow" } = {}) {
  checks.image(image);
  const [height, width] = checks.pair("size", size);
  const downward = vertical_first(image.shape.slice(0, 2), [height, width], { pass_order });
  if (supported_resample(resample, arithmetic) === "nearest") {
    const rows = nearest_pixels(image.shape[0], height, { arithmetic });
    const columns = nearest_pixels(image.shape[1], width, { arithmetic });
    return picked(image, rows, columns); // (new_height, new_width, channels)
  }
  let planes = transpose(image, [2, 0, 1]); // (channels, height, width)
  const options = { resample, arithmetic };
  const columns = (/** @type {Bytes} */ x) => resample_lines(x, width, options);
  const rows = (/** @type {Bytes} */ x) =>
    x.shape[1] === height ? x : transpose(resample_lines(transpose(x, [0, 2, 1]), height, options), [0, 2, 1]);
  planes = downward && arithmetic === "pillow" ? columns(rows(planes)) : rows(columns(planes));
  return transpose(planes, [1, 2, 0]); // (new_height, new_width, channels)
}

/** image[rows][:, columns]. @param {Bytes} image @param {number[]} rows @param {number[]} columns @returns {Bytes} */
function picked(image, rows, columns) {
  const [, width, channels] = image.shape;
  const data = new Uint8Array(rows.length * columns.length * channels);
  let to = 0;
  for (const row of rows) {
    for (const column of columns) {
      for (let c = 0; c < channels; c++) data[to++] = image.data[(row * width + column) * channels + c];
    }
  }
  return { data, shape: [rows.length, columns.length, channels] };
}
