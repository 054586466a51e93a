/**
 * A small map of the forward pass: its parts, and the steps of the part where one is. Both are ways to get elsewhere.
 */

import { el } from "../dom.js";
import { block_of, group_title } from "./pass.js";
import { paint } from "./small.js";

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

const WIDE = "(min-width: 60.01rem)"; // steps.css shows pictures from there on

/**
 * @param {object} options
 * @param {(i: number) => void} options.go to the step of that number
 * @param {any} options.kinds of steps.json
 * @param {import("../lab/state.js").Sizes} options.sizes
 */
export function flow({ go, kinds, sizes }) {
  const parts = el("ol.views-parts");
  const inner = el("div.views-steps");
  const element = el("nav.views-flow", { "aria-label": "Map of the forward pass" }, parts, inner);
  /** @type {Step[] | null} */
  let drawn = null;
  let group = "";
  let painted = false; // whether the pictures are those of the steps
  /** @type {Map<number, HTMLElement>} */
  const nodes = new Map();

  /** @param {Step[]} steps @param {number} at */
  function draw(steps, at) {
    const groups = [...new Set(steps.map((step) => step.group))];
    if (drawn?.length !== steps.length) {
      parts.replaceChildren(...groups.map(part));
      group = "";
    }
    if (drawn !== steps) painted = false;
    drawn = steps;
    const held = inner.contains(document.activeElement);
    if (group !== steps[at].group) {
      group = steps[at].group;
      inner.replaceChildren(...within(group));
      painted = false;
    }
    if (!painted && matchMedia(WIDE).matches) pictures();
    for (const button of parts.querySelectorAll("button")) {
      current(button, button.dataset.group === group ? "true" : null);
    }
    for (const [i, node] of nodes) current(node, i === at ? "step" : null);
    const node = nodes.get(at);
    if (held && !inner.contains(document.activeElement)) node?.focus({ preventScroll: true });
    if (node) inner.scrollLeft = node.offsetLeft - (inner.clientWidth - node.offsetWidth) / 2;
  }

  /** Those of the part where one is; the others when one comes there. */
  function pictures() {
    painted = true;
    for (const [i, node] of nodes) {
      const step = /** @type {Step[]} */ (drawn)[i];
      const canvas = /** @type {HTMLCanvasElement} */ (node.querySelector("canvas"));
      node.title = `${kinds[step.kind].title}; ${paint(canvas, step, kinds[step.kind].picture, sizes)}`;
    }
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

  /** @param {string} name */
  function within(name) {
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
      const list = el("div.views-column", {}, ...column.map((step) => node(step, steps.indexOf(step))));
      list.style.gridColumn = String(i + 1);
      return list;
    });
    return [...arches, ...lists];
  }

  /** @param {Step} step @param {number} i */
  function node(step, i) {
    const words = kinds[step.kind].title;
    const short = SHORT[step.kind] ?? step.kind;
    const name = words.toLowerCase().includes(short.toLowerCase()) ? words : `${short}: ${words}`; // what one sees is in it
    const options = { type: "button", title: words, "aria-label": name, onclick: () => go(i) };
    const canvas = el("canvas", { width: 1, height: 1, "aria-hidden": "true" });
    const button = el("button.views-node", options, canvas, el("span", {}, short));
    nodes.set(i, button);
    return button;
  }

  return { element, draw };
}
