/**
 * What the residual stream holds after every block: the logit lens, and how long and how alike the tokens are.
 */

import { el } from "../dom.js";
import { percent } from "./answer.js";
import { lens, stream } from "./lens.js";
import { best } from "./questions.js";

/** @typedef {import("./page.js").Page} Page */

/** @param {Page} page */
export function inside({ sizes, classes, parts }) {
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
        "to read its end.",
    ),
    table,
    el("h3", {}, "How long the tokens are"),
    lengths,
    el("h3", {}, "How alike they are"),
    likeness,
  );

  function update({ output }) {
    if (!output?.hidden_states) return;
    if (!output.logits) {
      table.replaceChildren(el("p.inside-note", {}, "The model that guesses pixels has no heads to ask."));
    } else {
      const places = lens(parts, output.hidden_states);
      table.replaceChildren(
        ...places.map((shares, i) =>
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
    }
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
  return { element, tool: () => "brush", note: "Drag over the photo to hide patches, and see what changes inside.", update };
}

const SVG = "http://www.w3.org/2000/svg";

/** Lines over the blocks, with the numbers as a text for those who do not see them. */
function chart(lines, top = Math.max(...lines.flatMap(({ values }) => values))) {
  const [width, height, left, bottom] = [280, 96, 26, 14];
  const shape = (name, attributes) => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const n = lines[0].values.length;
  const low = Math.min(0, ...lines.flatMap(({ values }) => values));
  const x = (i) => left + (i * (width - left - 8)) / (n - 1);
  const y = (value) => 6 + (1 - (value - low) / (top - low)) * (height - bottom - 10);
  const words = lines.map(({ title, values }) => `${title}: ${values.map((v) => v.toFixed(2)).join(", ")}`).join("; ");
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": words });
  const text = (content, at) => {
    const element = shape("text", { ...at, "font-size": 9, fill: "currentColor" });
    element.textContent = content;
    return element;
  };
  for (const value of [low, top]) {
    svg.append(shape("line", { x1: left, x2: width - 8, y1: y(value), y2: y(value), stroke: "currentColor", opacity: 0.25 }));
    svg.append(text(value === 0 ? "0" : value.toFixed(top > 2 ? 0 : 1), { x: left - 4, y: y(value) + 3, "text-anchor": "end" }));
  }
  for (let i = 0; i < n; i++) svg.append(text(i ? String(i) : "start", { x: x(i), y: height - 2, "text-anchor": "middle" }));
  for (const { color, values } of lines) {
    const places = values.map((value, i) => `${x(i).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
    svg.append(shape("polyline", { points: places, fill: "none", style: `stroke: ${color}; stroke-width: 2` }));
  }
  const legend = el("p.lab-legend", {});
  for (const { title, color, values } of lines) {
    const mark = el("i", { "aria-hidden": "true" });
    mark.style.background = color;
    legend.append(el("span", {}, mark, `${title} ${values.at(-1).toFixed(2)}`));
  }
  return el("figure.lab-chart", {}, svg, legend);
}
