/**
 * Arrays as pictures. Where a row, or a part, of a picture belongs to a token, pointing at it tells which, and the part
 * of any token can be marked.
 */

import { HEAT, SIGNED, colorAt, gradient } from "../colors.js";
import { el } from "../dom.js";
import { digits, facts } from "./numbers.js";
import { scale_of } from "./scales.js";
import { capital } from "./tokens.js";

/**
 * @typedef {object} Context
 * @property {import("../lab/state.js").Sizes} sizes
 * @property {string[]} classes
 * @property {ReturnType<import("./tokens.js").naming>} names
 * @property {string} alt of the photo
 * @property {string} scale "linear", "log" or "rank"
 * @property {string} range "own": each head has its scale; "shared"
 * @property {(at: null | {tokens: number[], text: string}) => void} point what the pointer or the focus is at
 * @property {(token: number) => void} pin
 */

/** @typedef {{elements: HTMLElement[], mark: (token: number | null) => void}} Picture */

/** @param {import("./pass.js").Step} step @param {string} kind how it is drawn @param {Context} context @returns {Picture} */
export function picture(step, kind, context) {
  /** @type {((token: number | null) => void)[]} */
  const marks = [];
  const draw = /** @type {any} */ ({ photo, rgb, planes, tiles, tokens, heads, maps, bars })[kind];
  const elements = draw(step, context, (/** @type {any} */ mark) => marks.push(mark));
  return { elements, mark: (token) => marks.forEach((mark) => mark(token)) };
}

/** Which pictures have a scale of colors, and which of them several heads. @param {string} kind */
export const scaled = (kind) => ["planes", "tokens", "tiles", "heads", "maps"].includes(kind);
export const by_head = (/** @type {string} */ kind) => ["heads", "maps"].includes(kind);

/**
 * @typedef {object} Drawn
 * @property {number} height
 * @property {number} width
 * @property {(row: number, column: number) => number[]} color
 * @property {string} label for those who do not see it
 * @property {string} caption
 * @property {string} [basis] its width
 * @property {(row: number, column: number) => {tokens: number[], text: string}} [tell] what is at a place
 * @property {(token: number) => number[] | null} [area] of a token: top, left, height, width in pixels
 * @property {number[]} [rows] the tokens of its rows; arrow keys go through them
 */

/** @param {Drawn} drawn @param {Context} context @param {(mark: (token: number | null) => void) => void} add */
function figure({ height, width, color, label, caption, basis, tell, area, rows }, { names, point, pin }, add) {
  const canvas = el("canvas", { width, height });
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    pixels.data.set(color(Math.floor(i / width), i % width), 4 * i);
    pixels.data[4 * i + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
  const line = el("i.views-mark", { hidden: true, "aria-hidden": "true" });
  const framed = el("div.views-canvas", {}, canvas, line);
  const element = el("figure", {}, framed, el("figcaption", {}, caption));
  if (basis) element.style.flex = `0 1 ${basis}`;
  const label_of = rows ? framed : canvas;
  label_of.setAttribute("role", rows ? "slider" : "img");
  label_of.setAttribute("aria-label", label);
  if (!tell || !area) return element;

  const at = (/** @type {PointerEvent} */ event) => {
    const box = canvas.getBoundingClientRect();
    const within = (/** @type {number} */ share, /** @type {number} */ count) =>
      Math.min(count - 1, Math.max(0, Math.floor(share * count)));
    return tell(
      within((event.clientY - box.top) / box.height, height),
      within((event.clientX - box.left) / box.width, width),
    );
  };
  canvas.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => point(at(event)));
  canvas.addEventListener("pointerleave", () => point(null));
  canvas.addEventListener("click", (/** @type {PointerEvent} */ event) => pin(at(event).tokens[0]));
  let marked = rows?.[0] ?? null;
  add((token) => {
    const place = token === null ? null : area(token);
    line.hidden = !place;
    if (!place) return;
    const [top, left, high, wide] = place;
    const share = (/** @type {number} */ x, /** @type {number} */ of) => `${(100 * x) / of}%`;
    line.style.inset = `${share(top, height)} auto auto ${share(left, width)}`;
    [line.style.height, line.style.width] = [share(high, height), share(wide, width)];
    if (rows) told((marked = token));
  });
  if (!rows) return element;

  // By keyboard: up and down go from row to row
  const told = (/** @type {number | null} */ token) => {
    const row = rows.indexOf(token ?? -1);
    framed.setAttribute("aria-valuenow", String(Math.max(0, row)));
    framed.setAttribute("aria-valuetext", row < 0 ? "none" : `row ${row}, ${names.name(rows[row])}`);
  };
  framed.tabIndex = 0;
  framed.setAttribute("aria-orientation", "vertical");
  framed.setAttribute("aria-valuemin", "0");
  framed.setAttribute("aria-valuemax", String(rows.length - 1));
  told(rows[0]);
  framed.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const row = Math.max(0, rows.indexOf(marked ?? rows[0]));
    const to = { ArrowUp: row - 1, ArrowDown: row + 1, Home: 0, End: rows.length - 1 }[event.key];
    if (event.key === "Enter" || event.key === " ") pin(rows[row]);
    else if (to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    else point(tell(Math.min(rows.length - 1, Math.max(0, to)), 0));
    event.preventDefault();
  });
  framed.addEventListener("blur", () => point(null));
  return element;
}

/** Shares from 0 on HEAT; numbers of both signs on SIGNED, with 0 in the middle.
 * @param {import("./pass.js").Step} step @param {ArrayLike<number>} values @param {Context} context */
function colors({ kind }, values, { scale: chosen }) {
  const signed = kind !== "probabilities";
  const scale = scale_of(values, chosen, { signed });
  const of = (/** @type {number} */ x) => (signed ? colorAt(SIGNED, (scale.of(x) + 1) / 2) : colorAt(HEAT, scale.of(x)));
  return { ...scale, of, bar: gradient(signed ? SIGNED : HEAT) };
}

/** @param {{low: string, high: string, bar: string}} scale */
function legend({ low, high, bar }) {
  const line = el("span.inside-gradient", { "aria-hidden": "true" });
  line.style.background = bar;
  return el("div.inside-whole", {}, el("div.inside-scale", {}, el("span", {}, low), line, el("span", {}, high)));
}

/** The patch of a pixel, in a picture of the pixels that the model reads. @param {Context} context @param {number[]} size */
function patches({ sizes: { grid, patch_shape, prefix }, names }, [height, width]) {
  if (height !== grid[0] * patch_shape[0] || width !== grid[1] * patch_shape[1]) return {};
  return {
    tell: (/** @type {number} */ row, /** @type {number} */ column) => {
      const place = Math.floor(row / patch_shape[0]) * grid[1] + Math.floor(column / patch_shape[1]);
      const text = `${capital(names.name(prefix + place))}: pixel in row ${row}, column ${column}`;
      return { tokens: [prefix + place], text };
    },
    area: (/** @type {number} */ token) => {
      const [row, column] = [Math.floor((token - prefix) / grid[1]), (token - prefix) % grid[1]];
      return token < prefix ? null : [row * patch_shape[0], column * patch_shape[1], ...patch_shape];
    },
  };
}

// The kinds of pictures

/** @param {import("./pass.js").Step} step @param {Context} context @param {any} add */
function photo({ value: { data, shape } }, context, add) {
  const [height, width, channels] = shape;
  const every = Math.ceil(Math.max(height, width) / 900); // more pixels than that no screen shows here
  const color = (/** @type {number} */ row, /** @type {number} */ column) => {
    const i = (row * every * width + column * every) * channels;
    return [data[i], data[i + 1], data[i + 2]];
  };
  const size = { height: Math.ceil(height / every), width: Math.ceil(width / every) };
  const basis = `min(28rem, ${Math.round((22 * width) / height)}rem)`;
  const caption = `${width} x ${height} pixels`;
  return [figure({ ...size, color, label: `The photo: ${context.alt}`, caption, basis }, context, add)];
}

/** @param {import("./pass.js").Step} step @param {Context} context @param {any} add */
function rgb({ value }, context, add) {
  const { data, shape: [height, width, channels] } = value;
  const { dtype, min, max } = facts(value);
  // Bytes are shown as they are; floats, stretched from their smallest to their largest value.
  const shown = (/** @type {number} */ x) => (dtype === "uint8" ? x : (255 * (x - min)) / (max - min || 1));
  const color = (/** @type {number} */ row, /** @type {number} */ column) =>
    [0, 1, 2].map((c) => shown(data[(row * width + column) * channels + c]));
  const label = `The photo at ${width} x ${height} pixels: ${context.alt}`;
  const caption = `${width} x ${height} pixels`;
  const basis = width > height ? "27rem" : "18rem";
  return [figure({ height, width, color, label, caption, basis, ...patches(context, [height, width]) }, context, add)];
}

/** @param {import("./pass.js").Step} step @param {Context} context @param {any} add */
function planes(step, context, add) {
  const { data, shape: [, channels, height, width] } = step.value;
  const names = channels === 3 ? ["red", "green", "blue"] : Array.from({ length: channels }, (_, i) => `channel ${i}`);
  const scale = colors(step, data, context);
  const figures = names.map((caption, c) => {
    const color = (/** @type {number} */ row, /** @type {number} */ column) =>
      scale.of(data[(c * height + row) * width + column]);
    const label = `The ${caption} channel of the normalized photo`;
    const more = patches(context, [height, width]);
    return figure({ height, width, color, label, caption, basis: "12rem", ...more }, context, add);
  });
  return [...figures, legend(scale)];
}

/** @param {import("./pass.js").Step} step @param {Context} context @param {any} add */
function tiles(step, context, add) {
  const { sizes: { grid: [rows, columns], patch_shape: [high, wide], prefix }, names } = context;
  const { data, shape } = step.value;
  const { min, max } = facts(step.value);
  const [height, width] = [rows * (high + 1) - 1, columns * (wide + 1) - 1];
  const color = (/** @type {number} */ row, /** @type {number} */ column) => {
    const [y, x] = [row % (high + 1), column % (wide + 1)];
    if (y === high || x === wide) return [255, 255, 255];
    const patch = Math.floor(row / (high + 1)) * columns + Math.floor(column / (wide + 1));
    const value = (/** @type {number} */ c) => data[patch * shape[2] + (c * high + y) * wide + x];
    return [0, 1, 2].map((c) => (255 * (value(c) - min)) / (max - min || 1));
  };
  const tell = (/** @type {number} */ row, /** @type {number} */ column) => {
    const place = Math.floor(row / (high + 1)) * columns + Math.floor(column / (wide + 1));
    return { tokens: [prefix + place], text: `${capital(names.name(prefix + place))}: row ${place} of the array` };
  };
  const area = (/** @type {number} */ token) => {
    const [row, column] = [Math.floor((token - prefix) / columns), (token - prefix) % columns];
    return token < prefix ? null : [row * (high + 1), column * (wide + 1), high, wide];
  };
  const label = `The photo cut into ${rows} by ${columns} patches`;
  const caption = `${rows * columns} patches, numbered row by row`;
  const squares = figure({ height, width, color, label, caption, basis: "18rem", tell, area }, context, add);
  return [squares, ...matrix(step, context, add, "22rem")];
}

const tokens = (/** @type {any} */ step, /** @type {Context} */ context, /** @type {any} */ add) =>
  matrix(step, context, add, "100%");

/** @param {import("./pass.js").Step} step @param {Context} context @param {any} add @param {string} basis */
function matrix(step, context, add, basis) {
  const { data, shape } = step.value;
  const { sizes: { tokens: all, prefix }, names } = context;
  const width = /** @type {number} */ (shape.at(-1));
  const height = data.length / width;
  const before = height === all ? 0 : prefix; // patches only: the first row is a patch
  const scale = colors(step, data, context);
  const color = (/** @type {number} */ row, /** @type {number} */ column) => scale.of(data[row * width + column]);
  const tell = (/** @type {number} */ row, /** @type {number} */ column) => {
    const value = digits(data[row * width + column]);
    const text = `Row ${row}, ${names.name(row + before)}; column ${column}: ${value}`;
    return { tokens: [row + before], text };
  };
  const area = (/** @type {number} */ token) => (token < before ? null : [token - before, 0, 1, width]);
  const rows = Array.from({ length: height }, (_, row) => row + before);
  const caption = before
    ? `${height} rows, one per patch, row by row from the top left; ${width} columns, one per feature.`
    : `${height} rows, one per token: class token, distillation token, then the patches; ${width} columns, one per feature.`;
  const { min, max } = facts(step.value);
  const label = `Heat map of ${step.name}: ${caption} From ${digits(min)} to ${digits(max)}.`;
  const element = figure({ height, width, color, label, caption, basis, tell, area, rows }, context, add);
  // A very wide array gets pixels that are higher than wide, so that its rows can be told apart.
  element.querySelector("canvas").style.aspectRatio = String(Math.min(width / height, 2.5));
  return [element, legend(scale)];
}

/** @param {import("./pass.js").Step} step @param {Context} context @param {any} add */
function heads(step, context, add) {
  const [, , height, width] = step.value.shape;
  const caption = `In each head ${height} rows, one per token, and ${width} columns.`;
  return each_head(step, context, add, caption, () => []);
}

/** @param {import("./pass.js").Step} step @param {Context} context @param {any} add */
function maps(step, context, add) {
  const caption =
    "Row: the token that looks. Column: the token that it looks at. The first two are the class and the distillation " +
    "token.";
  return each_head(step, context, add, caption, (column) => [column]);
}

/** @param {import("./pass.js").Step} step @param {Context} context @param {any} add @param {string} caption
 * @param {(column: number) => number[]} looked_at the tokens of a column */
function each_head(step, context, add, caption, looked_at) {
  const { data, shape: [, heads, height, width] } = step.value;
  const { names, range } = context;
  const shared = colors(step, data, context);
  const figures = Array.from({ length: heads }, (_, head) => {
    const values = data.subarray(head * height * width, (head + 1) * height * width);
    const scale = range === "own" ? colors(step, values, context) : shared;
    const color = (/** @type {number} */ row, /** @type {number} */ column) => scale.of(values[row * width + column]);
    const tell = (/** @type {number} */ row, /** @type {number} */ column) => {
      const others = looked_at(column);
      const looks = others.length ? ` looks at ${names.name(column)}` : `; column ${column}`;
      const text = `Head ${head + 1}, row ${row}, ${names.name(row)}${looks}: ${digits(values[row * width + column])}`;
      return { tokens: [row, ...others], text };
    };
    const area = (/** @type {number} */ token) => [token, 0, 1, width];
    const rows = head ? undefined : Array.from({ length: height }, (__, row) => row);
    const end = range === "own" ? `, to ${scale.high}` : "";
    const label = `Heat map of ${step.name}, head ${head + 1}: ${caption}`;
    const drawn = { height, width, color, label, caption: `head ${head + 1}${end}`, tell, area, rows };
    return figure(drawn, context, add);
  });
  const signed = step.kind !== "probabilities";
  const own = { low: signed ? "minus the head’s largest" : "0", high: "the head’s largest", bar: shared.bar };
  return [...figures, el("p.inside-note.inside-whole", {}, caption), legend(range === "own" ? own : shared)];
}

/** @param {import("./pass.js").Step} step @param {Context} context */
function bars({ name, value }, { classes }) {
  const values = [...value.data];
  const [low, most] = [Math.min(0, ...values), Math.max(0, ...values)];
  const percent = (/** @type {number} */ x) => (100 * (x - low)) / (most - low || 1);
  const best = Math.max(...values);
  const rows = values.map((x, i) => {
    const bar = el("i");
    bar.style.insetInlineStart = `${percent(Math.min(0, x))}%`;
    bar.style.width = `${percent(Math.max(0, x)) - percent(Math.min(0, x))}%`;
    const of_class = el(x === best ? "strong" : "span", {}, classes[i]);
    const axis = el("span.inside-axis", { "aria-hidden": "true" }, bar);
    return el("li", { title: String(x) }, of_class, axis, el("b", {}, digits(x)));
  });
  const element = el("ol.inside-bars", {}, ...rows);
  if (name.startsWith("cls")) element.classList.add("inside-cls");
  if (name.startsWith("dist")) element.classList.add("inside-dist");
  return [element];
}
