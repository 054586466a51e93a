/**
 * Chapter 16, continued: pixels with alpha.
 *
 * Twin of deit_ref/numpy_backend/pixels.py, without its pixels of more than 8 bits, which no browser decodes to.
 */

import * as checks from "./checks.js";
import { resize } from "./resize.js";

/** @typedef {import("./arrays.js").Bytes} Bytes */

/**
 * color * alpha / 255, rounded; alpha, the last channel, stays.
 * @param {Bytes} image (height, width, channels)
 * @returns {Bytes} (height, width, channels)
 */
export function premultiply(image) {
  return colors(image, (color, alpha) => {
    const product = color * alpha + 128;
    return ((product >> 8) + product) >> 8;
  });
}

/**
 * min(floor(255 color / alpha), 255); as it is where alpha is 0 or 255.
 * @param {Bytes} image (height, width, channels)
 * @returns {Bytes} (height, width, channels)
 */
export function unpremultiply(image) {
  return colors(image, (color, alpha) =>
    alpha === 0 || alpha === 255 ? color : Math.min(Math.floor((255 * color) / alpha), 255),
  );
}

/**
 * A resized copy, byte for byte as from Pillow's Image.resize in modes LA and RGBA.
 * @param {Bytes} image (height, width, channels), two or more channels; the last one is alpha
 * @param {[number, number]} size [height, width] in pixels
 * @param {{resample?: string, pass_order?: string}} [options] as in `resize`
 * @returns {Bytes} (new_height, new_width, channels)
 */
export function resize_with_alpha(image, size, { resample = "bicubic", pass_order = "pillow-13" } = {}) {
  checks.image(image);
  const [height, width, channels] = image.shape;
  if (channels < 2) throw new Error("An image with alpha must have two channels or more, got 1: use resize.");
  const options = { resample, pass_order };
  // What is only copied loses nothing: neither multiplied nor divided.
  if (resample === "nearest" || (size[0] === height && size[1] === width)) return resize(image, size, options);
  return unpremultiply(resize(premultiply(image), size, options));
}

/**
 * f(color, alpha) for every color; alpha stays.
 * @param {Bytes} image
 * @param {(color: number, alpha: number) => number} f
 * @returns {Bytes}
 */
function colors(image, f) {
  const channels = image.shape[2];
  const data = Uint8Array.from(image.data);
  for (let start = 0; start < data.length; start += channels) {
    const alpha = data[start + channels - 1];
    for (let i = start; i < start + channels - 1; i++) data[i] = f(data[i], alpha);
  }
  return { data, shape: image.shape };
}
