/**
 * A small map of the forward pass: its parts, and the steps of the part where one is. Both are ways to get elsewhere.
 */

import { el } from "../dom.js";
import { block_of, group_title } from "./pass.js";

/** @typedef {import("./pass.js").Step} Step */

// Words for a narrow place, where the title of a step has too many; and which steps stand beside one another.
/** @type {Record<string, string>} */
const SHORT = {
  image: "photo",
  resized: "resize",
  cropped: "crop",
  rescaled: "0 to 1",
  normalized: "normalize",
  pixel_values: "pixels",
  patches: "patches",
  patch_embed: "embed",
  tokens: "tokens",
  pos_embed: "positions",
  embeddings: "sum",
  norm1: "norm",
  norm2: "norm",
  probabilities: "softmax",
  fc1: "widen",
  activation: "bend",
  fc2: "narrow",
  cls_logits: "class",
  distillation_logits: "distill.",
  logits: "mean",
};
const BESIDE = [["tokens", "pos_embed"], ["q", "k", "v"], ["cls_logits", "distillation_logits"]];
/** Ways around: what goes in at the first of these is added after the last. */
const AROUND = [["norm1", "proj"], ["norm2", "fc2"]];

/** @param {{go: (i: number) => void}} options go: to the step of that number */
export function flow({ go }) {
  const parts = el("ol.views-parts");
  const inner = el("div.views-steps");
  const element = el("nav.views-flow", { "aria-label": "Map of the forward pass" }, parts, inner);
  /** @type {Step[] | null} */
  let drawn = null;
  let group = "";
  /** @type {Map<number, HTMLElement>} */
  const nodes = new Map();

  /** @param {Step[]} steps @param {(kind: string) => string} title @param {number} at */
  function draw(steps, title, at) {
    const groups = [...new Set(steps.map((step) => step.group))];
    if (drawn?.length !== steps.length) {
      parts.replaceChildren(...groups.map(part));
      group = "";
    }
    drawn = steps;
    if (group !== steps[at].group) {
      group = steps[at].group;
      inner.replaceChildren(...within(group, title));
    }
    for (const button of parts.querySelectorAll("button")) {
      current(button, button.dataset.group === group ? "true" : null);
    }
    for (const [i, node] of nodes) current(node, i === at ? "step" : null);
    const node = nodes.get(at);
    if (node) inner.scrollLeft = node.offsetLeft - (inner.clientWidth - node.offsetWidth) / 2;
  }

  const current = (/** @type {HTMLElement} */ element, /** @type {string | null} */ value) =>
    value ? element.setAttribute("aria-current", value) : element.removeAttribute("aria-current");

  /** @param {string} name of a group */
  function part(name) {
    const [title, block] = [group_title(name), block_of(name)];
    const text = block ? String(block) : name === "embed" ? "photo" : "answers";
    const options = { type: "button", title, "aria-label": title, "data-group": name, onclick: () => enter(name) };
    return el("li", {}, el("button", options, text));
  }

  /** To the same step of another block, else to the first of the group. @param {string} name */
  function enter(name) {
    const steps = /** @type {Step[]} */ (drawn);
    const here = [...nodes].find(([, node]) => node.hasAttribute("aria-current"))?.[0] ?? 0;
    const same = steps.findIndex((step) => step.group === name && step.kind === steps[here].kind);
    go(same >= 0 ? same : steps.findIndex((step) => step.group === name));
  }

  /** @param {string} name @param {(kind: string) => string} title */
  function within(name, title) {
    nodes.clear();
    /** @type {Step[][]} */
    const columns = [];
    const steps = /** @type {Step[]} */ (drawn);
    for (const step of steps.filter((step) => step.group === name)) {
      const beside = BESIDE.find((kinds) => kinds.includes(step.kind));
      if (beside?.includes(columns.at(-1)?.[0].kind ?? "")) columns.at(-1)?.push(step);
      else columns.push([step]);
    }
    inner.style.setProperty("--columns", String(columns.length));
    const column_of = (/** @type {string} */ kind) => columns.findIndex((steps) => steps[0].kind === kind) + 1;
    const arches = AROUND.filter(([first]) => column_of(first)).map(([first, last]) => {
      const arch = el("span.views-arch", { title: "goes on unchanged, and is added", "aria-hidden": "true" }, "+");
      arch.style.gridColumn = `${column_of(first)} / ${column_of(last) + 1}`;
      return arch;
    });
    const lists = columns.map((column, i) => {
      const list = el("div.views-column", {}, ...column.map((step) => node(step, steps.indexOf(step), title)));
      list.style.gridColumn = String(i + 1);
      return list;
    });
    return [...arches, ...lists];
  }

  /** @param {Step} step @param {number} i @param {(kind: string) => string} title */
  function node(step, i, title) {
    const words = title(step.kind);
    const options = { type: "button", title: words, "aria-label": words, onclick: () => go(i) };
    const button = el("button.views-node", options, SHORT[step.kind] ?? step.kind);
    nodes.set(i, button);
    return button;
  }

  return { element, draw };
}
