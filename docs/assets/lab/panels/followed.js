/**
 * One class through the blocks: its share after each, and what every block adds to its logit.
 */

import { el } from "../../dom.js";
import { HEADS } from "../answer.js";
import { chart } from "../chart.js";
import { chapter } from "../links.js";
import { best } from "../questions.js";
import { sums } from "../sums.js";
import { number, table } from "../tables.js";

/** The steps of a pass that are needed. */
export const BRANCHES = ["blocks.*.attention.proj", "blocks.*.mlp.fc2"];

/** @param {import("../page.js").Page} page */
export function followed({ classes, parts }) {
  let last = /** @type {any} */ (null);
  const select = el("select", { onchange: () => draw(last) });
  select.append(el("option", { value: "" }, "the answer"), ...classes.map((name, k) => el("option", { value: k }, name)));
  const lines = el("div");
  const added = el("div.inside-scroll.lab-sums", { tabindex: 0, role: "region", "aria-label": "What adds up to the logit" });
  const told = el("p.lab-worked");
  const element = el(
    "div",
    {},
    el("h3", {}, "Follow one class"),
    el("label.inside-check", {}, el("span", {}, "Class"), select),
    lines,
    el("h3", {}, "What adds up to it"),
    el(
      "p.inside-note",
      {},
      "Each block adds twice to the ",
      chapter("encoder", "stream"),
      ", and the heads read the sum. So a logit is a sum, too: of what was there at the start, of each branch, and of the " +
        "bias. The last norm divides by the deviation of the whole stream, which is held fixed here. What all classes get " +
        "alike changes no share.",
    ),
    told,
    added,
  );

  /**
   * @param {{output: any, trace: any, shares: Record<string, number[]>[]}} pass shares: the logit lens of it
   */
  function draw(pass) {
    last = pass;
    const { output, trace, shares } = pass;
    const label = select.value === "" ? best([...output.logits.data]) : Number(select.value);
    const line = (/** @type {string} */ head, /** @type {string} */ color) => ({
      title: HEADS[head].title,
      color,
      values: shares.map((each) => each[head][label]),
    });
    lines.replaceChildren(
      chart([line("class", "var(--deit-cls)"), line("distillation", "var(--deit-dist)"), line("mean", "var(--inside-line)")], 1),
    );
    const steps = (/** @type {string} */ name) => shares.slice(1).map((_, i) => trace[`blocks.${i}.${name}`]);
    const branches = { embeddings: output.hidden_states[0], attention: steps("attention.proj"), mlp: steps("mlp.fc2") };
    show(sums(parts, branches, label), label);
  }

  /** @param {Record<"class" | "distillation", import("../sums.js").Sum>} found @param {number} label */
  function show(found, label) {
    const both = [found.class, found.distillation];
    const rows = [
      { name: "start", values: both.map(({ start }) => start) },
      ...found.class.attention.flatMap((_, i) => [
        { name: `block ${i + 1}, attention`, values: both.map(({ attention }) => attention[i]) },
        { name: `block ${i + 1}, mlp`, values: both.map(({ mlp }) => mlp[i]) },
      ]),
      { name: "bias", values: both.map(({ bias }) => bias) },
    ];
    const most = Math.max(...rows.flatMap(({ values }) => values.map(Math.abs)));
    const kinds = ["cls", "dist"];
    const cell = (/** @type {number} */ value, /** @type {number} */ head) =>
      el("span.lab-signed", { "data-value": value }, signed(value), axis(value / most, kinds[head]));
    const total = both.map(({ logit }) => signed(logit));
    added.replaceChildren(
      table(
        `The logit of ${classes[label]}: parts and their sum`,
        ["", HEADS.class.title, HEADS.distillation.title],
        [...rows.map(({ name, values }) => [name, ...values.map(cell)]), ["sum: the logit", ...total]],
      ),
    );
    const largest = both.map((_, head) => {
      const { name, values } = rows.reduce((a, b) => (Math.abs(b.values[head]) > Math.abs(a.values[head]) ? b : a));
      return `${name}, ${signed(values[head])}`;
    });
    told.textContent = `The largest part for the class head: ${largest[0]}. For the distillation head: ${largest[1]}.`;
  }
  return { element, draw };
}

const signed = (/** @type {number} */ value) => `${value > 0 ? "+" : ""}${number(value)}`;

/** A bar to the right for what is added, to the left for what is taken away. @param {number} part @param {string} kind */
function axis(part, kind) {
  const filled = el("i");
  filled.style.width = `${50 * Math.abs(part)}%`;
  filled.style.marginInlineStart = `${50 + 50 * Math.min(0, part)}%`;
  return el(`span.inside-bar.inside-${kind}`, { "aria-hidden": "true" }, filled);
}
