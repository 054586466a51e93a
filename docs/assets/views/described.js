/**
 * What is said of a step: its facts, the line of code that made it, and some of its numbers.
 */

import { SITE } from "../data.js";
import { el } from "../dom.js";
import { corner, digits, facts } from "./numbers.js";
import { block_of } from "./pass.js";

/** @typedef {import("./pass.js").Step} Step */

/** @param {Step} step @param {any} kind of steps.json */
export function describe({ name, group, value }, { title, sentence }) {
  const { dtype, min, max, mean } = facts(value);
  const fact = (/** @type {string} */ term, /** @type {string} */ text, /** @type {number} */ exactly = NaN) => {
    const more = Number.isNaN(exactly) ? {} : { title: `exactly ${exactly}`, "data-value": exactly };
    return el("div", {}, el("dt", {}, term), el("dd", more, text));
  };
  return [
    el("h2", {}, title),
    el("p.views-sentence", {}, sentence.replace("{block}", String(block_of(group)))),
    el(
      "dl.inside-facts",
      {},
      fact("name", name),
      fact("shape", `(${value.shape.join(", ")})`),
      fact("dtype", dtype),
      fact("smallest", digits(min), min),
      fact("largest", digits(max), max),
      fact("mean", digits(mean), mean),
    ),
  ];
}

/** @param {Step} step @param {any} kind of steps.json @param {boolean} opened whether the numbers are to be seen */
export function numbers({ name, value }, kind, opened) {
  const { index, rows } = corner(value);
  const [number, title] = kind.chapter;
  const link = (/** @type {string} */ to, /** @type {string} */ text) => el("a", { href: new URL(to, SITE).href }, text);
  const line = (/** @type {number[]} */ row, /** @type {number} */ i) => {
    const cells = row.map((x) => el("td", { title: String(x) }, digits(x)));
    return el("tr", {}, el("th", { scope: "row" }, String(i)), ...cells);
  };
  const table = el("table", {}, el("caption", {}, `The first numbers of ${name}, each row with its index`), el("tbody", {}, ...rows.map(line)));
  const python = el("p", {}, "In Python: ", el("code", {}, `trace["${name}"]${index}`));
  const scroll = { tabindex: 0, role: "region", "aria-label": "Some of the numbers" };
  return [
    el(
      "div.inside-code",
      {},
      link(kind.source_link, `${kind.module}.py, line ${kind.line}`),
      `, in ${kind.function}. `,
      link(kind.chapter_link, `Chapter ${number}: ${title}`),
      el("pre", { tabindex: 0, role: "region", "aria-label": "the line of code" }, el("code", {}, kind.code)),
    ),
    el(
      "details.inside-table",
      { open: opened },
      el("summary", {}, "Some of the numbers, to check"),
      el("div.inside-scroll", scroll, python, table),
    ),
  ];
}
