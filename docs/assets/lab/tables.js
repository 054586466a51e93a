/**
 * Numbers as they are written, and tables of them.
 */

import { el } from "../dom.js";

export const number = (/** @type {number} */ value, digits = 2) => {
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  const text = size < 1e6 ? size.toFixed(digits) : size.toExponential(digits).replace("+", "");
  return value < 0 && Number(text) !== 0 ? `−${text}` : text;
};

export const vector = (/** @type {ArrayLike<number>} */ values, digits = 2) =>
  `(${Array.from(values, (value) => short(value, digits)).join(", ")})`;

/** Without zeros at the end. */
export const short = (/** @type {number} */ value, digits = 2) => {
  const [text, ...power] = number(value, digits).split("e");
  return [text.replace(/\.?0+$/, ""), ...power].join("e");
};

/** e to a power, as it is written. @param {string} power */
export const e_to = (power) => el("span", {}, "e", el("sup", {}, power));

/** A part of a bar, from 0 to 1. @param {number} share @param {string} kind whose color it has */
export function bar(share, kind = "average") {
  const filled = el("i");
  filled.style.width = `${100 * share}%`;
  return el(`span.inside-bar.inside-${kind}`, { "aria-hidden": "true" }, filled);
}

/** A table: its head, and rows whose first cell names them. @param {string} caption @param {(string | Node)[]} head */
export function table(caption, head, rows) {
  return el(
    "table",
    {},
    el("caption", {}, caption),
    el("thead", {}, el("tr", {}, ...head.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, ...rows.map(([name, ...cells]) => el("tr", {}, el("th", { scope: "row" }, name), ...cells.map((content) => el("td", {}, content))))),
  );
}
