/**
 * Chapter 15: from a photo to what the model sees.
 *
 * Twin of deit_ref/numpy_backend/image.py, bit for bit. Input -> output: photos (height, width, channels) as bytes, of
 * any sizes -> pixel_values (batch, channels, height, width) in float32, by resize, center crop, rescale and normalize.
 */

import { transpose } from "./arrays.js";
import * as checks from "./checks.js";
import { resized_shape, round } from "./image_processing.js";
import { resize_with_alpha } from "./pixels.js";
import { resize } from "./resize.js";
import { record, scope } from "./trace.js";

/** @typedef {import("./arrays.js").NDArray} NDArray */
/** @typedef {import("./arrays.js").Bytes} Bytes */
/** @typedef {import("./trace.js").Trace} Trace */

/**
 * Where the middle `out_size` of `in_size` pixels begin; below 0, that many zeros stand before the image.
 * @param {number} in_size
 * @param {number} out_size
 * @param {{rounding: string}} options "floor", "truncate" or "round", where the difference is odd
 * @returns {number}
 */
export function crop_start(in_size, out_size, { rounding }) {
  checks.choice("rounding", rounding, ["floor", "truncate", "round"]);
  const half = (in_size - out_size) / 2;
  if (rounding === "floor") return Math.floor(half);
  return rounding === "truncate" || in_size < out_size ? Math.trunc(half) : round(half);
}

/**
 * Cut out the middle; where the image is too small, zeros stand around it.
 * @template {import("./arrays.js").AnyArray} A
 * @param {A} image (height, width, channels), values in 0..255, or fractions in 0..1
 * @param {[number, number]} size [height, width] in pixels
 * @param {{rounding?: string}} [options] see `crop_start`
 * @returns {A} (new_height, new_width, channels)
 */
export function center_crop(image, size, { rounding = "floor" } = {}) {
  checks.image(image, { fractions: true });
  const [in_height, in_width, channels] = image.shape;
  const [height, width] = checks.pair("size", size);
  const top = crop_start(in_height, height, { rounding });
  const left = crop_start(in_width, width, { rounding });
  const data = new /** @type {any} */ (image.data.constructor)(height * width * channels);
  const [begin, end] = [Math.max(left, 0), Math.min(left + width, in_width)];
  for (let y = Math.max(top, 0); y < Math.min(top + height, in_height); y++) {
    const part = image.data.subarray((y * in_width + begin) * channels, (y * in_width + end) * channels);
    data.set(part, ((y - top) * width + begin - left) * channels);
  }
  return /** @type {A} */ ({ data, shape: [height, width, channels] });
}

/**
 * image * factor; 1/255 takes 0..255 to 0..1.
 * @param {import("./arrays.js").AnyArray} image (height, width, channels)
 * @param {number} factor
 * @param {{arithmetic?: string}} [options] "pillow" rounds once; "torchvision" rounds the factor to float32 first
 * @returns {NDArray} (height, width, channels)
 */
export function rescale(image, factor, { arithmetic = "pillow" } = {}) {
  const scale = arithmetic === "torchvision" ? Math.fround(factor) : factor;
  return { data: Float32Array.from(image.data, (value) => value * scale), shape: image.shape };
}

/**
 * $(\text{image} - \mu) / \sigma$ in float32, per channel.
 * @param {NDArray} image (height, width, channels), what `rescale` returned
 * @param {number | number[]} mean a number for all channels, or one per channel
 * @param {number | number[]} std likewise
 * @returns {NDArray} (height, width, channels)
 */
export function normalize(image, mean, std) {
  const channels = image.shape[2];
  const means = channel_values("mean", mean, channels);
  const stds = channel_values("std", std, channels);
  const one = (/** @type {number} */ value, /** @type {number} */ i) =>
    Math.fround(value - means[i % channels]) / stds[i % channels];
  return { data: image.data.map(one), shape: image.shape };
}

/**
 * Both in one step, $(\text{image} - \mu / f) / (\sigma / f)$ in float32, as torchvision's processor.
 * @param {import("./arrays.js").AnyArray} image (height, width, channels)
 * @param {number} factor
 * @param {number | number[]} mean
 * @param {number | number[]} std
 * @returns {NDArray} (height, width, channels)
 */
export function rescale_and_normalize(image, factor, mean, std) {
  const inverse = Math.fround(1 / factor);
  const scaled = (/** @type {string} */ name, /** @type {number | number[]} */ values) => [
    ...channel_values(name, values, image.shape[2]).map((value) => value * inverse),
  ];
  const floats = { data: Float32Array.from(image.data), shape: image.shape };
  return normalize(floats, scaled("mean", mean), scaled("std", std));
}

/** @param {string} name @param {number | number[]} values @param {number} channels @returns {Float32Array} */
function channel_values(name, values, channels) {
  const listed = Array.isArray(values) ? values : new Array(channels).fill(values);
  if (listed.length !== channels) {
    throw new Error(
      `${name} must be a number, or one number for each of the image's ${channels} channels; got ` +
        `${checks.brief(values)}. Give as many values as the images have channels.`,
    );
  }
  return Float32Array.from(listed);
}

/**
 * Photos of any sizes to one batch, by the steps that `processing` switches on.
 * @param {Bytes[]} images (height, width, channels) each, at least one
 * @param {import("./image_processing.js").ImageProcessing} processing
 * @param {{trace?: Trace | null}} [options] gets images.<i>.image, .resized, .cropped, .rescaled, .normalized of the
 *   steps that run, and pixel_values
 * @returns {NDArray} pixel_values (batch, channels, height, width)
 */
export function preprocess(images, processing, { trace = null } = {}) {
  if (images.length === 0) throw new Error("preprocess needs at least one image, got an empty list.");
  const processed = images.map((image, i) => preprocess_one(image, processing, scope(trace, `images.${i}`)));
  const [{ shape }] = processed;
  const shapes = new Set(processed.map((image) => `(${image.shape.join(", ")})`));
  if (shapes.size > 1) {
    throw new Error(
      `The images of a batch must have one shape after processing, got (height, width, channels) ` +
        `${checks.some(shapes)}: give \`size\` a height and a width, or switch do_center_crop on, or call once per image.`,
    );
  }
  const stacked = new Float32Array(images.length * processed[0].data.length);
  processed.forEach((image, i) => stacked.set(image.data, i * image.data.length));
  const batch = { data: stacked, shape: [images.length, ...shape] }; // (batch, height, width, channels)
  return record(trace, "pixel_values", transpose(batch, [0, 3, 1, 2]));
}

/**
 * @param {any} image
 * @param {import("./image_processing.js").ImageProcessing} processing
 * @param {Trace | null} trace
 * @returns {NDArray} (height, width, channels)
 */
function preprocess_one(image, processing, trace) {
  const { arithmetic, rescale_factor: factor, image_mean: mean, image_std: std } = processing;
  checks.image(image, { fractions: !processing.do_resize });
  record(trace, "image", image);
  if (processing.do_resize) {
    const { resample, pass_order } = processing;
    const size = resized_shape(processing, image.shape[0], image.shape[1]);
    const options = { resample, pass_order };
    image = processing.alpha
      ? resize_with_alpha(image, size, options)
      : resize(image, size, { arithmetic, ...options });
    record(trace, "resized", image);
  }
  if (processing.do_center_crop) {
    const { height, width } = processing.crop_size;
    image = record(trace, "cropped", center_crop(image, [height, width], { rounding: processing.crop_rule }));
  }
  if (processing.do_rescale && processing.do_normalize && arithmetic === "torchvision") {
    return record(trace, "normalized", rescale_and_normalize(image, factor, mean, std));
  }
  /** @type {NDArray} */
  let pixels = { data: Float32Array.from(image.data), shape: image.shape };
  if (processing.do_rescale) pixels = record(trace, "rescaled", rescale(image, factor, { arithmetic }));
  return processing.do_normalize ? record(trace, "normalized", normalize(pixels, mean, std)) : pixels;
}
