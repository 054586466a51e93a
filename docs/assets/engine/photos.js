/**
 * Photos: what a browser decodes becomes bytes (height, width, 3).
 *
 * Twin of `load_image` in deit_ref/photos.py for arrays. Decoding is the browser's own and may differ from Pillow's in
 * a byte here and there; all that follows does not.
 */

import * as checks from "./checks.js";
import { round } from "./image_processing.js";

/** @typedef {import("./arrays.js").Bytes} Bytes */

/**
 * One image as RGB: gray is repeated, alpha is laid on white, $\text{rgb} \cdot a + 255 (1 - a)$, rounded.
 * @param {any} image a canvas's ImageData, or bytes {data, shape} (height, width, channels) of 1, 3 or 4 channels
 * @returns {Bytes} (height, width, 3)
 */
export function load_image(image) {
  const given = image?.shape ? image : { data: image?.data, shape: [image?.height, image?.width, 4] };
  checks.image(given);
  const [height, width, channels] = given.shape;
  if (![1, 3, 4].includes(channels)) {
    throw new Error(`Expected 1 (gray), 3 (RGB) or 4 (RGBA) channels, got ${channels}: choose the channels.`);
  }
  if (channels === 3) return given;
  const data = new Uint8Array(height * width * 3);
  for (let pixel = 0; pixel < height * width; pixel++) {
    const alpha = channels === 4 ? given.data[pixel * 4 + 3] / 255 : 1;
    for (let c = 0; c < 3; c++) {
      const color = given.data[channels === 4 ? pixel * 4 + c : pixel];
      data[pixel * 3 + c] = round(color * alpha + 255 * (1 - alpha));
    }
  }
  return { data, shape: [height, width, 3] };
}
