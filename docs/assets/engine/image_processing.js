/**
 * What happens to a photo before the model sees it: resize, center crop, rescale, normalize.
 *
 * Twin of deit_ref/image_processing.py, which explains every field (names and defaults are those of transformers'
 * DeiTImageProcessor). `apply_exif` and `input_data_format` say how files are read, which is the browser's part.
 */

import * as checks from "./checks.js";

/**
 * @typedef {object} ImageProcessing
 * @property {boolean} do_resize
 * @property {Record<string, number>} size pixels after the resize, see `resized_shape`
 * @property {string} resample one of `RESAMPLING`
 * @property {boolean} do_center_crop
 * @property {{height: number, width: number}} crop_size
 * @property {boolean} do_rescale
 * @property {number} rescale_factor
 * @property {boolean} do_normalize
 * @property {number[] | number} image_mean
 * @property {number[] | number} image_std
 * @property {boolean} do_convert_rgb whether images of other modes are turned to RGB (alpha is laid on white)
 * @property {string} crop_rounding "floor" or "round"
 * @property {string} arithmetic "pillow" or "torchvision"
 * @property {boolean} alpha whether the last channel is alpha, by which the others are multiplied while resizing
 * @property {string} pass_order "pillow-13" or "pillow-12"
 * @property {string} crop_rule the rounding that `crop_start` takes
 */

/** Pillow's numbers, which preprocessor files use. @type {Record<string, number>} */
export const RESAMPLING = { nearest: 0, lanczos: 1, bilinear: 2, bicubic: 3, box: 4, hamming: 5 };
export const ARITHMETICS = ["pillow", "torchvision"];

const PROCESSORS = /^(DeiT|ViT)(ImageProcessor(Fast|Pil)?|FeatureExtractor)$/;
const VIT = { size: 224, resample: "bilinear", do_center_crop: false };
const DEFAULTS = {
  do_resize: true,
  size: 256,
  default_to_square: true,
  resample: "bicubic",
  do_center_crop: true,
  crop_size: 224,
  do_rescale: true,
  rescale_factor: 1 / 255,
  do_normalize: true,
  image_mean: [0.5, 0.5, 0.5],
  image_std: [0.5, 0.5, 0.5],
  do_convert_rgb: true,
  crop_rounding: "floor",
  arithmetic: "pillow",
  alpha: false,
  pass_order: "pillow-13",
};
const SIZE_KEYS = ["height,width", "shortest_edge", "longest_edge,shortest_edge", "max_height,max_width"];
const MAX_PIXELS = 4096 * 4096;

/**
 * Read a transformers preprocessor_config.json; fields it lacks get the defaults of the processor it names.
 * @param {any} values the parsed file
 * @returns {ImageProcessing}
 */
export function image_processing_from_dict(values) {
  const kind = values.image_processor_type ?? values.feature_extractor_type ?? "DeiTImageProcessor";
  if (!PROCESSORS.test(kind)) {
    throw new Error(`image_processor_type must be that of a DeiT or a ViT, got ${checks.brief(kind)}: write another.`);
  }
  const defaults = kind.startsWith("ViT") ? { ...DEFAULTS, ...VIT } : DEFAULTS;
  /** @type {any} */
  const chosen = {};
  for (const [name, value] of Object.entries(defaults)) chosen[name] = values[name] ?? value;
  const { default_to_square, ...rest } = chosen;
  if (values.do_pad)
    throw new Error("do_pad is on, but padding a batch to one size is not done here: remove it, and crop.");
  rest.size = as_size("size", rest.size, !default_to_square);
  rest.crop_size = as_size("crop_size", rest.crop_size, false);
  if (!("height" in rest.crop_size)) {
    throw new Error(`crop_size must be a height and a width, got ${checks.brief(rest.crop_size)}.`);
  }
  const named = Object.keys(RESAMPLING).find((name) => RESAMPLING[name] === rest.resample);
  rest.resample = supported_resample(named ?? rest.resample, rest.arithmetic);
  if (rest.alpha && (rest.do_convert_rgb || rest.arithmetic !== "pillow")) {
    throw new Error(
      'alpha: true needs do_convert_rgb: false, because RGB has no alpha, and arithmetic: "pillow", because ' +
        `torchvision takes no account of it; got ${rest.do_convert_rgb} and ${checks.brief(rest.arithmetic)}.`,
    );
  }
  checks.choice("crop_rounding", rest.crop_rounding, ["floor", "round"]);
  checks.choice("pass_order", rest.pass_order, ["pillow-13", "pillow-12"]);
  if ([rest.image_std].flat().includes(0)) throw new Error("image_std must not contain 0: the image is divided by it.");
  const fast = rest.arithmetic === "torchvision" && rest.crop_rounding === "floor";
  return Object.freeze({ ...rest, crop_rule: fast ? "truncate" : rest.crop_rounding });
}

/**
 * [height, width] that an image of `height` x `width` pixels is resized to.
 * @param {ImageProcessing} processing
 * @param {number} height
 * @param {number} width
 * @returns {[number, number]}
 */
export function resized_shape(processing, height, width) {
  const [new_height, new_width] = unchecked_shape(processing.size, height, width);
  if (new_height < 1 || new_width < 1 || new_height * new_width > MAX_PIXELS) {
    throw new Error(
      `An image of ${height} x ${width} pixels would be resized to ${new_height} x ${new_width} by ` +
        `size=${checks.brief(processing.size)}: crop it first, or give \`size\` a height and a width.`,
    );
  }
  return [new_height, new_width];
}

/** @param {Record<string, number>} size @param {number} height @param {number} width @returns {[number, number]} */
function unchecked_shape(size, height, width) {
  if ("height" in size) return [size.height, size.width];
  if ("max_height" in size) {
    const scale = Math.min(size.max_height / height, size.max_width / width);
    return [Math.trunc(height * scale), Math.trunc(width * scale)];
  }
  const [short, long] = height <= width ? [height, width] : [width, height];
  let [edge, exact] = [size.shortest_edge, size.shortest_edge];
  const longest = size.longest_edge ?? Infinity;
  if ((long / short) * edge > longest) {
    exact = (longest * short) / long;
    edge = round(exact);
  }
  // An image whose shorter edge is right already is left alone, even where the longer one is a little too long.
  const other = short === edge && "longest_edge" in size ? long : Math.trunc((exact * long) / short);
  return height <= width ? [edge, other] : [other, edge];
}

/**
 * The nearest whole number, halves to the even one, as round() in Python.
 * @param {number} value
 */
export function round(value) {
  const low = Math.floor(value);
  if (value - low !== 0.5) return Math.round(value);
  return low % 2 ? low + 1 : low;
}

/**
 * The filter's name, which the arithmetic must know: torchvision has no box and no hamming.
 * @param {any} resample
 * @param {any} arithmetic
 * @returns {string}
 */
export function supported_resample(resample, arithmetic) {
  checks.choice("resample", resample, Object.keys(RESAMPLING));
  if (checks.choice("arithmetic", arithmetic, ARITHMETICS) === "torchvision" && /box|hamming/.test(resample)) {
    throw new Error(
      `resample="${resample}" is not known to arithmetic="torchvision", which has nearest, bilinear, bicubic and ` +
        'lanczos: choose one of those, or arithmetic="pillow".',
    );
  }
  return resample;
}

/** @param {string} name @param {any} value @param {boolean} shortest_edge @returns {Record<string, number>} */
function as_size(name, value, shortest_edge) {
  if (value !== null && typeof value === "object" && !Array.isArray(value)) {
    if (!SIZE_KEYS.includes(Object.keys(value).sort().join())) {
      throw new Error(
        `${name} must have one of these sets of keys: ${SIZE_KEYS.join("; ")}; got ${checks.brief(value)}.`,
      );
    }
    for (const key of Object.keys(value)) checks.integer(`${name}.${key}`, value[key]);
    return value;
  }
  if (shortest_edge && !Array.isArray(value)) return { shortest_edge: checks.integer(name, value) };
  const [height, width] = checks.pair(name, value);
  return { height, width };
}
