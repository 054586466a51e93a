/**
 * One array, or a part of it, as a figure: pixels in colors, a mark on the part of a token and one on a single number.
 * A pointer finds numbers by where it is; arrow keys go from row to row, and within a row from number to number.
 */

import { HEAT, SIGNED, colorAt, gradient } from "../colors.js";
import { el } from "../dom.js";
import { scale_of } from "./scales.js";

/**
 * @typedef {object} Context
 * @property {import("../lab/state.js").Sizes} sizes
 * @property {string[]} classes
 * @property {ReturnType<typeof import("./tokens.js").naming>} names
 * @property {string} alt of the photo
 * @property {string} scale "linear", "log" or "rank"
 * @property {string} range "own": each head has its scale; "shared"; "blocks": one for this step in all blocks
 * @property {(step: import("./pass.js").Step) => ArrayLike<number>} all_blocks the numbers of this step in all blocks
 * @property {(at: null | {tokens: number[], text: string}) => void} point what the pointer or the focus is at
 * @property {(token: number) => void} pin
 * @property {(step: import("./pass.js").Step, i: number, by_key: boolean) => void} pick the number at i of its data
 */

/** @typedef {{mark: (token: number | null) => void, cell: (i: number | null) => void}} Marks
 *   cell: the number at i of the step's data */

/**
 * @typedef {object} Drawn
 * @property {import("./pass.js").Step} step
 * @property {number} height
 * @property {number} width
 * @property {(row: number, column: number) => number[]} color
 * @property {string} label for those who do not see it
 * @property {string} caption
 * @property {string} [basis] its width
 * @property {(row: number, column: number) => {tokens: number[], text: string}} tell what is at a place
 * @property {(token: number) => number[] | null} area of a token: top, left, height, width in pixels
 * @property {number[]} [rows] the tokens of its rows
 * @property {(row: number, column: number) => number} index of a place in the step's data
 * @property {(i: number) => number[] | null} where the other way: row and column; null for elsewhere
 */

/** @param {Drawn} drawn @param {Context} context @param {(marks: Marks) => void} add */
export function figure(drawn, { names, point, pin, pick }, add) {
  const { step, height, width, label, caption, basis, tell, area, rows, index, where } = drawn;
  const canvas = painted(drawn);
  const line = el("i.views-mark", { hidden: true, "aria-hidden": "true" });
  const dot = el("i.views-cell", { hidden: true, "aria-hidden": "true" });
  const slider = { role: "slider", "aria-orientation": "vertical", "aria-valuemin": 0, "aria-valuemax": height - 1 };
  const framed = el("div.views-canvas", { tabindex: 0, "aria-label": label, ...slider }, canvas, line, dot);
  const element = el("figure", {}, framed, el("figcaption", {}, caption));
  if (basis) element.style.flex = `0 1 ${basis}`;

  let row = 0;
  let column = /** @type {number | null} */ (rows ? null : 0); // null: the whole row
  let chosen = /** @type {number[] | null} */ (null); // whose number is being explained
  const share = (/** @type {number} */ x, /** @type {number} */ of) => `${(100 * x) / of}%`;

  // By pointer
  const at = (/** @type {PointerEvent} */ event) => {
    const box = canvas.getBoundingClientRect();
    const within = (/** @type {number} */ part, /** @type {number} */ count) =>
      Math.min(count - 1, Math.max(0, Math.floor(part * count)));
    return /** @type {const} */ ([
      within((event.clientY - box.top) / box.height, height),
      within((event.clientX - box.left) / box.width, width),
    ]);
  };
  canvas.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => point(tell(...at(event))));
  canvas.addEventListener("pointerleave", () => point(null));
  canvas.addEventListener("click", (/** @type {PointerEvent} */ event) => pick(step, index(...at(event)), false));

  // By keyboard
  framed.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "Enter" || event.key === " ") {
      if (column === null && rows) pin(rows[row]);
      else pick(step, index(row, column ?? 0), true);
    } else {
      const to = moved(event.key);
      if (!to) return;
      [row, column] = to;
      point(tell(row, column ?? 0));
      told();
      show(column === null ? null : [row, column]);
    }
    event.preventDefault();
  });
  framed.addEventListener("blur", () => {
    point(null);
    show(chosen);
  });

  /** @param {string} key @returns {[number, number | null] | null} */
  function moved(key) {
    const keep = (/** @type {number} */ x, /** @type {number} */ count) => Math.min(count - 1, Math.max(0, x));
    const down = { ArrowUp: -1, ArrowDown: 1, PageUp: -10, PageDown: 10 }[key];
    if (down) return [keep(row + down, height), column];
    if (key === "ArrowLeft") return [row, column ? column - 1 : rows ? null : 0];
    if (key === "ArrowRight") return [row, column === null ? 0 : keep(column + 1, width)];
    if (key !== "Home" && key !== "End") return null;
    const last = key === "End";
    return column === null ? [last ? height - 1 : 0, null] : [row, last ? width - 1 : 0];
  }

  function told() {
    framed.setAttribute("aria-valuenow", String(row));
    const text = column === null && rows ? names.name(rows[row]) : tell(row, column ?? 0).text;
    framed.setAttribute("aria-valuetext", text);
  }

  // Marks
  /** @param {number[] | null} place */
  function show(place) {
    dot.hidden = !place;
    if (!place) return;
    dot.style.insetBlockStart = share(place[0] + 0.5, height);
    dot.style.insetInlineStart = share(place[1] + 0.5, width);
    [dot.style.height, dot.style.width] = [share(1, height), share(1, width)];
  }
  add({
    mark(token) {
      const place = token === null ? null : area(token);
      line.hidden = !place;
      if (!place) return;
      const [top, left, high, wide] = place;
      line.style.inset = `${share(top, height)} auto auto ${share(left, width)}`;
      [line.style.height, line.style.width] = [share(high, height), share(wide, width)];
      if (!rows || !rows.includes(/** @type {number} */ (token))) return;
      row = rows.indexOf(/** @type {number} */ (token));
      told();
    },
    cell(i) {
      chosen = i === null ? null : where(i);
      if (chosen) [row, column] = chosen;
      told();
      show(chosen);
    },
  });
  told();
  return element;
}

/** @param {Drawn} drawn */
function painted({ height, width, color }) {
  const canvas = el("canvas", { width, height });
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    pixels.data.set(color(Math.floor(i / width), i % width), 4 * i);
    pixels.data[4 * i + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

/** Shares from 0 on HEAT; numbers of both signs on SIGNED, with 0 in the middle.
 * @param {import("./pass.js").Step} step @param {ArrayLike<number>} values that the scale is for @param {Context} context */
export function colors({ kind }, values, { scale: chosen }) {
  const signed = kind !== "probabilities";
  const scale = scale_of(values, chosen, { signed });
  const of = (/** @type {number} */ x) => (signed ? colorAt(SIGNED, (scale.of(x) + 1) / 2) : colorAt(HEAT, scale.of(x)));
  return { ...scale, of, bar: gradient(signed ? SIGNED : HEAT) };
}

/** @param {{low: string, high: string, bar: string}} scale */
export function legend({ low, high, bar }) {
  const line = el("span.inside-gradient", { "aria-hidden": "true" });
  line.style.background = bar;
  return el("div.inside-whole", {}, el("div.inside-scale", {}, el("span", {}, low), line, el("span", {}, high)));
}
