/**
 * Photos: what a browser decodes becomes bytes (height, width, channels).
 *
 * Twin of `load_image` in deit_ref/photos.py for arrays. Decoding is the browser's own and may differ from Pillow's in
 * a byte here and there, and it turns photos as their EXIF says (unless
 * createImageBitmap gets imageOrientation: "none").
 */

import * as checks from "./checks.js";
import { round } from "./image_processing.js";

/** @typedef {import("./arrays.js").Bytes} Bytes */

/**
 * One image as RGB: gray is repeated, alpha is laid on white, $\text{rgb} \cdot a + 255 (1 - a)$, rounded.
 * @param {any} image a canvas's ImageData, or bytes {data, shape} (height, width, channels)
 * @param {{do_convert_rgb?: boolean}} [options] false leaves the channels as they are
 * @returns {Bytes} (height, width, 3)
 */
export function load_image(image, { do_convert_rgb = true } = {}) {
  const given = image?.shape ? image : { data: image?.data, shape: [image?.height, image?.width, 4] };
  checks.image(given);
  const [height, width, channels] = given.shape;
  if (!do_convert_rgb || channels === 3) return given;
  if (channels !== 1 && channels !== 4) {
    throw new Error(`Expected 1 (gray), 3 (RGB) or 4 (RGBA) channels, got ${channels}: choose the channels.`);
  }
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
