/**
 * What the residual stream holds after every block: the logit lens, and how long and how alike the tokens are.
 */

import { el } from "../../dom.js";
import { percent } from "../answer.js";
import { chart } from "../chart.js";
import { BRANCHES, followed } from "./followed.js";
import { lens, stream } from "../lens.js";
import { why } from "../links.js";
import { best } from "../questions.js";

/** @typedef {import("../page.js").Page} Page */

const COLUMNS = ["after", "class head", "distillation head"];

/** @param {Page} page */
export function inside(page) {
  const { sizes, classes, parts } = page;
  const one_class = followed(page);
  const table = el("div.lab-lens", { role: "table", "aria-label": "what both heads would say after every block" });
  const lengths = el("div");
  const likeness = el("div");
  const element = el(
    "div",
    {},
    el("h3", {}, "The logit lens"),
    el(
      "p.inside-note",
      {},
      "The last norm and both heads, put to the residual stream before the first block and after each. They were trained " +
        "to read its end. ",
      why("heads#the-answer-after-each-block", "the logit lens"),
    ),
    table,
    one_class.element,
    el("h3", {}, "How long the tokens are ", why("encoder", "the stream")),
    lengths,
    el("h3", {}, "How alike they are ", why("distillation#what-the-two-tokens-become", "what the two tokens become")),
    likeness,
  );

  function update(/** @type {any} */ result) {
    if (!result) return;
    const { output } = result;
    const said = lens(parts, output.hidden_states);
    table.replaceChildren(
      el("div.deit-hidden", { role: "row" }, ...COLUMNS.map((name) => el("span", { role: "columnheader" }, name))),
      ...said.map((shares, i) =>
        el(
          "div",
          { role: "row", "data-block": i },
          el("span", { role: "rowheader" }, i ? `block ${i}` : "start"),
          ...["class", "distillation"].map((head) => {
            const winner = best(shares[head]);
            const share = el("i");
            share.style.width = percent(shares[head][winner]);
            const bar = el("span.inside-bar", { "aria-hidden": "true" }, share);
            const text = `${classes[winner]} ${percent(shares[head][winner], 0)}`;
            return el(`span.inside-${head}`, { role: "cell", "data-shares": shares[head].join(" ") }, text, bar);
          }),
        ),
      ),
    );
    one_class.draw({ ...result, shares: said });
    const places = stream(output.hidden_states, sizes);
    const line = (title, color, values) => ({ title, color, values });
    lengths.replaceChildren(
      chart([
        line("class token", "var(--deit-cls)", places.map(({ cls }) => cls)),
        line("distillation token", "var(--deit-dist)", places.map(({ dist }) => dist)),
        line("patches, mean", "var(--deit-image)", places.map(({ patches }) => patches)),
      ]),
    );
    likeness.replaceChildren(
      chart(
        [
          line("class and distillation token", "var(--deit-dist)", places.map(({ two }) => two)),
          line("two patches, mean", "var(--deit-image)", places.map(({ alike }) => alike)),
        ],
        1,
      ),
    );
  }
  const needs = { options: { output_hidden_states: true }, trace: BRANCHES };
  return { element, needs, tool: () => "brush", note: "Drag over the photo to hide patches, and see what changes inside.", update };
}
