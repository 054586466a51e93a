/**
 * Photos on their way from wherever they come to what the model reads. Nothing leaves the browser.
 */

import { resized_shape } from "../engine/image_processing.js";
import { crop_start } from "../engine/image.js";

const MAX_MEGABYTES = 50;
const MAX_PIXELS = 16e6; // more than that some browsers have no canvas for

/**
 * @typedef {object} Photo
 * @property {string} name "own", or that of photos.json
 * @property {string} title
 * @property {string} alt
 * @property {string | null} label its class, where it lies within the classes; null where not, or unknown
 * @property {boolean} own whether the reader brought it
 * @property {string} credit a line; empty for the reader's own
 * @property {string} note what was done to a reader's own before it is resized, and what is cut away; may be empty
 * @property {Blob} blob the file
 * @property {HTMLCanvasElement} picture the part that the model sees, in the photo's own pixels, not too many
 * @property {import("../engine/arrays.js").Bytes} seen the pixels that the model sees (height, width, 3)
 * @property {import("../engine/arrays.js").NDArray} pixel_values (1, channels, height, width)
 */

/**
 * A file, a pasted or dropped item as pixels, turned as its EXIF says.
 * @param {Blob} blob
 * @returns {Promise<{pixels: ImageData, note: string}>}
 */
export async function decoded(blob) {
  const name = /** @type {any} */ (blob).name ?? "the photo";
  if (blob.size > MAX_MEGABYTES * 1e6) {
    throw new Error(`${name} has ${Math.round(blob.size / 1e6)} MB; photos up to ${MAX_MEGABYTES} MB are taken.`);
  }
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, { imageOrientation: "from-image", colorSpaceConversion: "default" });
  } catch {
    throw new Error(
      `${name} is not a photo that this browser can read${blob.type ? ` (${blob.type})` : ""}: take a JPEG, PNG or WebP.`,
    );
  }
  const { width, height } = bitmap;
  const scale = Math.min(1, Math.sqrt(MAX_PIXELS / (width * height)));
  const pixels = drawn(bitmap, Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale)));
  bitmap.close();
  const note = scale < 1 ? `The browser first made it smaller, from ${width} x ${height} pixels.` : "";
  return { pixels, note };
}

/**
 * The pixels of a PNG as they are in the file. @param {Blob} blob @returns {Promise<ImageData>}
 */
export async function exact(blob) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  return drawn(bitmap, bitmap.width, bitmap.height);
}

/** What a camera shows now. @param {HTMLVideoElement} video @returns {Promise<Blob>} */
export async function frame(video) {
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  /** @type {any} */ (canvas.getContext("2d")).drawImage(video, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

/** @param {CanvasImageSource} image @param {number} width @param {number} height @returns {ImageData} */
function drawn(image, width, height) {
  const context = /** @type {any} */ (new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true }));
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

/**
 * Where in a photo the part lies that the model sees: [left, top, width, height] in the photo's pixels; null if the
 * model also sees zeros around it.
 * @param {import("../engine/image_processing.js").ImageProcessing} processing
 * @param {number} width
 * @param {number} height
 * @returns {[number, number, number, number] | null}
 */
export function seen_part(processing, width, height) {
  const [new_height, new_width] = processing.do_resize ? resized_shape(processing, height, width) : [height, width];
  if (!processing.do_center_crop) return [0, 0, width, height];
  const size = processing.crop_size;
  if (size.height > new_height || size.width > new_width) return null;
  const top = crop_start(new_height, size.height, { rounding: processing.crop_rule });
  const left = crop_start(new_width, size.width, { rounding: processing.crop_rule });
  const [x, y] = [width / new_width, height / new_height];
  return [left * x, top * y, size.width * x, size.height * y];
}

/**
 * What the model never sees of a photo, in a sentence; empty if it sees all of it.
 * @param {[number, number, number, number] | null} part as `seen_part` gives it
 * @param {number} width of the photo
 * @param {number} height
 */
export function cut_away(part, width, height) {
  const lost = part === null ? 0 : Math.round(100 * (1 - (part[2] * part[3]) / (width * height)));
  const sides = width > height ? "left and right" : "above and below";
  return lost > 0 ? `The model sees the middle of it: ${lost}%, ${sides}, is cut away.` : "";
}

/**
 * That part, to be looked at.
 * @param {ImageData} pixels of the whole photo
 * @param {[number, number, number, number] | null} part
 * @param {number} [most] pixels on its longer side
 * @returns {Promise<HTMLCanvasElement>}
 */
export async function cut(pixels, part, most = 512) {
  const [left, top, width, height] = part ?? [0, 0, pixels.width, pixels.height];
  const scale = Math.min(1, most / Math.max(width, height));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.imageSmoothingQuality = "high";
  const bitmap = await createImageBitmap(pixels);
  context.drawImage(bitmap, left, top, width, height, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return canvas;
}

/** Bytes (height, width, 3) on a canvas, a pixel each. @param {import("../engine/arrays.js").Bytes} bytes */
export function canvas_of({ data, shape: [height, width] }) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = context.createImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = data[3 * i + c];
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/**
 * Normalized values as bytes again, for a picture of them.
 * @param {import("../engine/arrays.js").NDArray} pixel_values (1, 3, height, width)
 * @param {import("../engine/image_processing.js").ImageProcessing} processing
 * @returns {import("../engine/arrays.js").Bytes} (height, width, 3)
 */
export function bytes_of({ data, shape: [, channels, height, width] }, { image_mean, image_std, rescale_factor }) {
  const bytes = new Uint8ClampedArray(height * width * channels);
  const of = (/** @type {number | number[]} */ values, /** @type {number} */ c) => [values].flat()[c] ?? [values].flat()[0];
  for (let c = 0; c < channels; c++) {
    for (let i = 0; i < height * width; i++) {
      const value = data[c * height * width + i] * of(image_std, c) + of(image_mean, c);
      bytes[i * channels + c] = value / rescale_factor; // rounds, and keeps within 0 to 255
    }
  }
  return { data: bytes, shape: [height, width, channels] };
}
