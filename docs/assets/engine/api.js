/**
 * forward: the one function that most callers need.
 *
 * Twin of `forward` in deit_ref/api.py and of the checks in deit_ref/inputs.py. There is one backend here, float32, and
 * no generator and no labels, which belong to training.
 */

import { as_array } from "./arrays.js";
import { brief } from "./checks.js";
import { preprocess } from "./image.js";
import { TASKS } from "./model.js";
import { load_image } from "./photos.js";

/**
 * @typedef {import("./arrays.js").NDArray} NDArray
 * @typedef {import("./weights.js").DeiTWeights} DeiTWeights
 * @typedef {import("./image_processing.js").ImageProcessing} ImageProcessing
 */

/**
 * Run a model on images, from pixels to the answer of its task. Masks may be nested lists of booleans or numbers.
 * @param {DeiTWeights} weights from `checkpoints.load_weights`
 * @param {any[] | null} images what `photos.load_image` takes, of any sizes; or null, with pixel_values
 * @param {object} [options]
 * @param {any} [options.pixel_values] instead of images: (batch, channels, height, width), already prepared
 * @param {ImageProcessing | null} [options.image_processing] instead of the weights' own
 * @param {any} [options.bool_masked_pos] (batch, patches), true where a patch is hidden; needs a mask token
 * @param {any} [options.head_mask] (heads,) or (layers, heads), numbers that multiply the attention probabilities
 * @param {any} [options.attention_mask] (batch, tokens), false for tokens that nobody may look at; cls and dist count
 * @param {boolean} [options.interpolate_pos_encoding] accept images of another size than the model's
 * @param {boolean | null} [options.output_hidden_states] what to return; null means as the config says
 * @param {boolean | null} [options.output_attentions]
 * @param {import("./trace.js").Trace | null} [options.trace] a new Trace, which then holds every step
 * @returns {any} the output of the task, see `model`
 */
export function forward(
  weights,
  images = null,
  {
    pixel_values = null,
    image_processing = null,
    bool_masked_pos = null,
    head_mask = null,
    attention_mask = null,
    interpolate_pos_encoding = false,
    output_hidden_states = null,
    output_attentions = null,
    trace = null,
  } = {},
) {
  if ((images === null) === (pixel_values === null)) {
    const given = images === null ? "neither" : "both";
    throw new Error(`Expected images (photos of any size) or pixel_values (prepared floats), got ${given}: give one.`);
  }
  const pixels = images === null ? prepared(pixel_values) : photos(weights, images, image_processing, trace);
  return TASKS[weights.task](weights, pixels, {
    bool_masked_pos: patch_mask(bool_masked_pos, weights, pixels),
    head_mask: every_head(head_mask, weights),
    attention_mask: token_mask(attention_mask, weights, pixels),
    interpolate_pos_encoding,
    output_hidden_states: output_hidden_states ?? weights.config.output_hidden_states,
    output_attentions: output_attentions ?? weights.config.output_attentions,
    trace,
  });
}

/**
 * @param {DeiTWeights} weights @param {any[]} images
 * @param {ImageProcessing | null} image_processing
 * @param {import("./trace.js").Trace | null} trace
 */
export function photos(weights, images, image_processing, trace) {
  const processing = image_processing ?? weights.image_processing;
  if (!processing) {
    throw new Error("images need an image_processing, and the weights came without: give preprocessor_config.json.");
  }
  const { do_convert_rgb } = processing;
  const loaded = images.map((image) => load_image(image, { do_convert_rgb }));
  return preprocess(loaded, processing, { trace });
}

/** @param {any} values @returns {NDArray} */
function prepared(values) {
  const pixels = as_array(values);
  if (pixels.shape.length !== 4 || pixels.shape.includes(0)) {
    throw new Error(`pixel_values must have the shape (batch, channels, height, width), got (${pixels.shape}).`);
  }
  return pixels;
}

/** (batch, patches), between 0 and 1. @param {any} values @param {DeiTWeights} weights @param {NDArray} pixels */
function patch_mask(values, weights, pixels) {
  if (values === null) return null;
  if (!weights.mask_token) {
    throw new Error("bool_masked_pos needs weights with a mask token: load a masked-image-modeling checkpoint.");
  }
  const { stride_shape, patch_shape } = weights.config;
  if (weights.task === "masked-image-modeling" && String(stride_shape) !== String(patch_shape)) {
    throw new Error(
      "The loss compares the reconstruction with the image, so encoder_stride must equal patch_size; got " +
        `${stride_shape} and ${patch_shape}: leave bool_masked_pos out to reconstruct only.`,
    );
  }
  const mask = as_array(values);
  check_shape(
    "bool_masked_pos",
    mask,
    [[pixels.shape[0], num_patches(weights, pixels)]],
    "one entry per image and patch",
  );
  if (!mask.data.every((value) => value >= 0 && value <= 1)) {
    throw new Error("bool_masked_pos must be true or false, or between 0 and 1; got values outside.");
  }
  return mask;
}

/** (layers, heads), from one row for all layers. @param {any} values @param {DeiTWeights} weights */
function every_head(values, weights) {
  if (values === null) return null;
  const { num_hidden_layers: layers, num_attention_heads: heads } = weights.config;
  const mask = as_array(values);
  check_shape("head_mask", mask, [[heads], [layers, 1], [layers, heads]], "one entry per head, or one row per layer");
  if (!mask.data.every(Number.isFinite)) throw new Error("head_mask must hold finite numbers, got NaN or infinity.");
  const [of_layer, of_head] = [mask.shape.length === 1 ? 0 : mask.shape[1], mask.shape.at(-1) === heads ? 1 : 0];
  const place = (/** @type {number} */ i) => Math.floor(i / heads) * of_layer + (i % heads) * of_head;
  return as_array({
    data: Array.from({ length: layers * heads }, (_, i) => mask.data[place(i)]),
    shape: [layers, heads],
  });
}

/** (batch, tokens), 0 or 1. @param {any} values @param {DeiTWeights} weights @param {NDArray} pixels */
function token_mask(values, weights, pixels) {
  if (values === null) return null;
  const mask = as_array(values);
  const tokens = weights.config.num_prefix_tokens + num_patches(weights, pixels);
  check_shape(
    "attention_mask",
    mask,
    [[pixels.shape[0], tokens]],
    "one entry per image and token, cls and dist included",
  );
  if (!mask.data.every((value) => value === 0 || value === 1)) {
    throw new Error("attention_mask must hold true and false, or 1 and 0, and nothing between.");
  }
  for (let start = 0; start < mask.data.length; start += tokens) {
    if (!mask.data.subarray(start, start + tokens).includes(1)) {
      throw new Error(
        "attention_mask must leave at least one token of every image: softmax over nothing is not a number.",
      );
    }
  }
  return mask;
}

/** @param {string} name @param {NDArray} mask @param {number[][]} shapes @param {string} words */
function check_shape(name, mask, shapes, words) {
  if (!shapes.some((shape) => String(shape) === String(mask.shape))) {
    const listed = shapes.map((shape) => `(${shape.join(", ")})`).join(" or ");
    throw new Error(`${name} must have the shape ${listed}, ${words}; got ${brief(mask.shape)}.`);
  }
}

/** Of these images, of any size. @param {DeiTWeights} weights @param {NDArray} pixels */
function num_patches(weights, pixels) {
  const [patch_height, patch_width] = weights.config.patch_shape;
  return Math.floor(pixels.shape[2] / patch_height) * Math.floor(pixels.shape[3] / patch_width);
}
