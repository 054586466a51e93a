/**
 * Arrays as pictures. Where a row, or a part, of a picture belongs to a token, pointing at it tells which; the part of any
 * token can be marked, and any number be asked for where it comes from.
 */

import { el } from "../dom.js";
import { called, flat, in_array, index_of } from "./cells.js";
import { colors, figure, legend } from "./figure.js";
import { digits, facts } from "./numbers.js";
import { photo, planes, rgb, squares } from "./pixels.js";
import { capital } from "./tokens.js";

/** @typedef {import("./pass.js").Step} Step */
/** @typedef {import("./figure.js").Context} Context */
/** @typedef {import("./figure.js").Marks & {elements: HTMLElement[]}} Picture */
/** @typedef {(marks: import("./figure.js").Marks) => void} Add */

/** @param {Step} step @param {string} kind how it is drawn @param {Context} context @returns {Picture} */
export function picture(step, kind, context) {
  /** @type {import("./figure.js").Marks[]} */
  const all = [];
  const draw = /** @type {any} */ ({ photo, rgb, planes, tiles, tokens, heads, maps, bars })[kind];
  const elements = draw(step, context, (/** @type {any} */ marks) => all.push(marks));
  return {
    elements,
    mark: (token) => all.forEach(({ mark }) => mark(token)),
    cell: (i) => all.forEach(({ cell }) => cell(i)),
  };
}

/** Which pictures have a scale of colors; and which of them one that is not only their own. @param {string} kind */
export const scaled = (kind) => ["planes", "tokens", "tiles", "heads", "maps"].includes(kind);
const by_head = (/** @type {string} */ kind) => ["heads", "maps"].includes(kind);
export const ranged = (/** @type {string} */ kind, /** @type {Step} */ { group }) =>
  by_head(kind) || (scaled(kind) && group.startsWith("blocks."));

/** What a scale is for. @param {Step} step @param {Context} context */
const whole = (step, { range, all_blocks }) => (range === "blocks" ? all_blocks(step) : step.value.data);

/** @param {Step} step @param {Context} context @param {Add} add */
const tiles = (step, context, add) => [squares(step, context, add), ...matrix(step, "tiles", context, add, "22rem")];

/** @param {Step} step @param {Context} context @param {Add} add */
const tokens = (step, context, add) => matrix(step, "tokens", context, add, "100%");

/** What is said of the number at i of the data. @param {Step} step @param {string} kind how it is drawn @param {number} i
 * @param {Context} context */
function entry({ value: { data, shape } }, kind, i, context) {
  const at = index_of(shape, i);
  return `${capital(called(kind, shape, at, context))}: ${digits(data[i])}, ${in_array(at)}`;
}

/** @param {Step} step @param {string} kind @param {Context} context @param {Add} add @param {string} basis */
function matrix(step, kind, context, add, basis) {
  const { data, shape } = step.value;
  const { sizes: { tokens: all, prefix } } = context;
  const width = /** @type {number} */ (shape.at(-1));
  const height = data.length / width;
  const before = height === all ? 0 : prefix; // patches only: the first row is a patch
  const scale = colors(step, whole(step, context), context);
  const index = (/** @type {number} */ row, /** @type {number} */ column) => row * width + column;
  const where = (/** @type {number} */ i) => [Math.floor(i / width), i % width];
  const color = (/** @type {number} */ row, /** @type {number} */ column) => scale.of(data[index(row, column)]);
  const tell = (/** @type {number} */ row, /** @type {number} */ column) => {
    return { tokens: [row + before], text: entry(step, kind, index(row, column), context) };
  };
  const area = (/** @type {number} */ token) => (token < before ? null : [token - before, 0, 1, width]);
  const rows = Array.from({ length: height }, (_, row) => row + before);
  const caption = before
    ? `${height} rows, one per patch, row by row from the top left; ${width} columns, one per feature.`
    : `${height} rows, one per token: class token, distillation token, then the patches; ${width} columns, one per feature.`;
  const { min, max } = facts(step.value);
  const label = `Heat map of ${step.name}: ${caption} From ${digits(min)} to ${digits(max)}.`;
  const drawn = { step, height, width, color, label, caption, basis, tell, area, rows, index, where };
  const element = figure(drawn, context, add);
  // A very wide array gets pixels that are higher than wide, so that its rows can be told apart.
  element.querySelector("canvas").style.aspectRatio = String(Math.min(width / height, 2.5));
  return [element, legend(scale)];
}

/** @param {Step} step @param {Context} context @param {Add} add */
function heads(step, context, add) {
  const [, , height, width] = step.value.shape;
  const caption = `In each head ${height} rows, one per token, and ${width} columns.`;
  return each_head(step, "heads", context, add, caption);
}

/** @param {Step} step @param {Context} context @param {Add} add */
function maps(step, context, add) {
  const caption =
    "Row: the token that looks. Column: the token that it looks at. The first two are the class and the distillation " +
    "token.";
  return each_head(step, "maps", context, add, caption);
}

/** @param {Step} step @param {"heads" | "maps"} kind maps: columns are tokens, too @param {Context} context @param {Add} add
 * @param {string} caption */
function each_head(step, kind, context, add, caption) {
  const { data, shape } = step.value;
  const [, heads, height, width] = shape;
  const { range } = context;
  const shared = colors(step, whole(step, context), context);
  const figures = Array.from({ length: heads }, (_, head) => {
    const values = data.subarray(head * height * width, (head + 1) * height * width);
    const scale = range === "own" ? colors(step, values, context) : shared;
    const index = (/** @type {number} */ row, /** @type {number} */ column) => flat(shape, [0, head, row, column]);
    const where = (/** @type {number} */ i) => (index_of(shape, i)[1] === head ? index_of(shape, i).slice(2) : null);
    const color = (/** @type {number} */ row, /** @type {number} */ column) => scale.of(data[index(row, column)]);
    const tell = (/** @type {number} */ row, /** @type {number} */ column) => {
      const tokens = kind === "maps" ? [row, column] : [row];
      return { tokens, text: entry(step, kind, index(row, column), context) };
    };
    const area = (/** @type {number} */ token) => [token, 0, 1, width];
    const rows = Array.from({ length: height }, (__, row) => row);
    const end = range === "own" ? `, to ${scale.high}` : "";
    const label = `Heat map of ${step.name}, head ${head + 1}: ${caption}`;
    const title = `head ${head + 1}${end}`;
    const drawn = { step, height, width, color, label, caption: title, tell, area, rows, index, where };
    return figure(drawn, context, add);
  });
  const signed = step.kind !== "probabilities";
  const own = { low: signed ? "−largest" : "0", high: "largest of the head", bar: shared.bar };
  return [...figures, el("p.inside-note.inside-whole", {}, caption), legend(range === "own" ? own : shared)];
}

/** @param {Step} step @param {Context} context @param {Add} add */
function bars(step, { classes, pick }, add) {
  const { name, value } = step;
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
    const onclick = (/** @type {MouseEvent} */ event) => pick(step, i, event.detail === 0); // 0: by key
    const number = el("button.views-link", { type: "button", onclick, "aria-label": `${classes[i]}: ${digits(x)}` }, digits(x));
    return el("li", { title: String(x) }, of_class, axis, el("b", {}, number));
  });
  add({
    mark() {},
    cell: (chosen) => rows.forEach((row, i) => row.classList.toggle("views-chosen", i === chosen)),
  });
  const element = el("ol.inside-bars", {}, ...rows);
  if (name.startsWith("cls")) element.classList.add("inside-cls");
  if (name.startsWith("dist")) element.classList.add("inside-dist");
  return [element];
}
