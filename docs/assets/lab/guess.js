/**
 * What the model that guesses pixels makes of a photo whose patches are hidden.
 */

import { el } from "../dom.js";
import { bytes_of, canvas_of } from "./photo.js";
import { counted } from "./places.js";

/** @param {import("./page.js").Page} page */
export function guess({ sizes, parts }) {
  const [drawn, photo] = ["What the model draws", "The photo as it sees it"].map((title) => {
    const canvas = el("canvas.lab-pixels", { width: 32, height: 32, role: "img", "aria-label": title });
    return { canvas, figure: el("figure", {}, canvas, el("figcaption", {}, title)) };
  });
  const only = el("input", { type: "checkbox", checked: true, onchange: () => last && draw(...last) });
  const said = el("p.lab-headline");
  const note = el("p.inside-note");
  let last = /** @type {[any, any, number[]] | null} */ (null);
  const element = el(
    "section.lab-guess",
    { "aria-label": "The guess" },
    said,
    el("div.lab-two", {}, drawn.figure, photo.figure),
  );
  const check = el("label.inside-check", {}, only, el("span", {}, "the hidden patches only; the others are the photo’s"));
  const details = el("div.lab-all", {}, check, note);

  /** @param {any} output @param {import("../engine/arrays.js").NDArray} pixels @param {number[]} hidden
   * @returns {string} what has come out, for readers who hear it */
  function draw(output, pixels, hidden) {
    last = [output, pixels, hidden];
    const mask = new Set(hidden);
    const kept = only.checked ? (place) => !mask.has(place) : () => false;
    put(drawn.canvas, pasted(output.reconstruction, pixels, kept, sizes));
    put(photo.canvas, pixels);
    element.dataset.loss = String(output.loss);
    if (!hidden.length) {
      said.replaceChildren(el("strong", {}, "Nothing is hidden"));
      note.textContent = "Hide patches, and the model guesses them.";
      return "Nothing is hidden.";
    }
    const plain = mean_error(pixels, hidden, sizes);
    const error = output.loss.toFixed(3);
    said.replaceChildren(el("strong", {}, `Off by ${error} on average`));
    note.textContent =
      "The mean absolute error of a hidden pixel’s color, in standard deviations. " +
      (plain === null ? "" : `The mean color of what is visible, painted there, would be off by ${plain.toFixed(3)}.`);
    return `${counted(hidden.length)} ${hidden.length === 1 ? "is" : "are"} hidden; the guess is off by ${error}.`;
  }

  function put(canvas, values) {
    const from = canvas_of(bytes_of(values, parts.image_processing));
    [canvas.width, canvas.height] = [from.width, from.height];
    canvas.getContext("2d").drawImage(from, 0, 0);
  }
  return { element, details, draw };
}

/** Places of patches: those of `base` where it is kept, else those of `image`. */
export function pasted(image, base, is_kept, { grid, patch_shape }) {
  const [, channels, height, width] = base.shape;
  const data = image.data.slice();
  for (let i = 0; i < data.length; i++) {
    const y = Math.floor(i / width) % height;
    const place = Math.floor(y / patch_shape[0]) * grid[1] + Math.floor((i % width) / patch_shape[1]);
    if (is_kept(place)) data[i] = base.data[i];
  }
  return { data, shape: [1, channels, height, width] };
}

/**
 * How far off the mean color of the visible patches is in the hidden ones; null where all are hidden.
 * @param {import("../engine/arrays.js").NDArray} pixels @param {number[]} hidden @param {import("./state.js").Sizes} sizes
 */
export function mean_error({ data, shape: [, channels, height, width] }, hidden, { grid, patch_shape, patches }) {
  if (hidden.length === patches) return null;
  const mask = new Set(hidden);
  let error = 0;
  for (let c = 0; c < channels; c++) {
    const values = { true: [], false: [] };
    for (let i = 0; i < height * width; i++) {
      const place =
        Math.floor(Math.floor(i / width) / patch_shape[0]) * grid[1] + Math.floor((i % width) / patch_shape[1]);
      values[String(mask.has(place))].push(data[c * height * width + i]);
    }
    const mean = values.false.reduce((sum, value) => sum + value, 0) / values.false.length;
    error += values.true.reduce((sum, value) => sum + Math.abs(value - mean), 0) / values.true.length / channels;
  }
  return error;
}
