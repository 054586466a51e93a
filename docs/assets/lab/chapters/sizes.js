/**
 * Chapter 8: what follows from the five sizes of a model: tokens, scores, learned numbers and work.
 */

import { el } from "../../dom.js";
import { size } from "../../engine/arrays.js";
import { config_from_dict } from "../../engine/config.js";
import { array_shapes } from "../../engine/weights.js";
import { percent } from "../answer.js";
import { button, buttons, slider } from "../controls.js";
import { number, table } from "../tables.js";
import { frame } from "./parts.js";

/** The published models with a distillation token. */
export const PUBLISHED = {
  "DeiT-Ti": { image: 224, patch: 16, dim: 192, heads: 3, blocks: 12 },
  "DeiT-S": { image: 224, patch: 16, dim: 384, heads: 6, blocks: 12 },
  "DeiT-B": { image: 224, patch: 16, dim: 768, heads: 12, blocks: 12 },
  "DeiT-B at 384": { image: 384, patch: 16, dim: 768, heads: 12, blocks: 12 },
};

const CLASSES = 1000;
const TASK = "classification-with-teacher";

/**
 * What follows from the sizes; an Error where there is no such model, in the package's words.
 * @param {{image: number, patch: number, dim: number, heads: number, blocks: number}} sizes
 */
export function follows({ image, patch, dim, heads, blocks }) {
  const config = config_from_dict({
    image_size: image,
    patch_size: patch,
    hidden_size: dim,
    num_attention_heads: heads,
    num_hidden_layers: blocks,
    intermediate_size: 4 * dim,
    num_labels: CLASSES,
  });
  const patches = config.grid[0] * config.grid[1];
  const tokens = config.num_prefix_tokens + patches;
  const values = config.num_channels * patch * patch;
  const shapes = Object.values(array_shapes(config, TASK));
  const products = {
    looking: blocks * 2 * tokens * tokens * dim,
    linear: blocks * 4 * tokens * dim * dim,
    mlp: blocks * 2 * tokens * dim * config.intermediate_size,
    ends: patches * values * dim + 2 * dim * CLASSES,
  };
  return {
    rows: config.grid[0],
    patches,
    tokens,
    values,
    head_dim: dim / heads,
    scores: tokens * tokens,
    learned: shapes.reduce((sum, shape) => sum + size(shape), 0),
    products,
    work: Object.values(products).reduce((sum, product) => sum + product, 0),
  };
}

const WORK = {
  looking: "tokens looking at each other",
  linear: "queries, keys, values and their mixture",
  mlp: "mlp",
  ends: "patch embedding and heads",
};

/** @param {HTMLElement} root @param {AbortSignal} signal */
export function start(root, signal) {
  let sizes = { ...PUBLISHED["DeiT-B"] };
  const ranges = {
    image: { label: "Image side", min: 16, max: 640, step: 8 },
    patch: { label: "Patch side", min: 2, max: 32, step: 1 },
    dim: { label: "dim", min: 48, max: 1536, step: 48 },
    heads: { label: "Heads", min: 1, max: 24, step: 1 },
    blocks: { label: "Blocks", min: 1, max: 24, step: 1 },
  };
  const sliders = Object.entries(ranges).map(([name, range]) => {
    const change = (/** @type {number} */ value) => {
      sizes = { ...sizes, [name]: value };
      draw();
    };
    const text = (/** @type {number} */ value) => (name === "image" || name === "patch" ? `${value} px` : String(value));
    return { name, ...slider({ ...range, value: sizes[name], text, change }) };
  });
  const [right, below] = [el("i.play-rest"), el("i.play-rest")];
  const grid = el("div.play-cut", { role: "img" }, right, below);
  const caption = el("figcaption");
  const results = el("div.inside-scroll", { tabindex: 0, role: "region", "aria-label": "What follows" });
  const parts = Object.fromEntries(Object.keys(WORK).map((name) => [name, el(`i.play-${name}`)]));
  const told = el("p.play-result");
  const say = frame(
    root,
    "The sizes of a model and what follows from them",
    "Halve the patches of DeiT-B: how many times as many tokens, scores and learned numbers? Give it twice the heads: what " +
      "changes? And from which image size on does DeiT-Ti spend more than half of its work on tokens looking at each other?",
    signal,
    buttons(...Object.entries(PUBLISHED).map(([name, of]) => button(name, () => choose(of)))),
    el("div.play-sliders", {}, ...sliders.map(({ element }) => element)),
    el(
      "div.play-two",
      {},
      el("figure.play-figure", {}, grid, caption),
      el("div", {}, results, el("div.play-work", { "aria-hidden": "true" }, ...Object.values(parts)), told),
    ),
  );

  function choose(/** @type {typeof sizes} */ of) {
    sizes = { ...of };
    for (const { name, put } of sliders) put(sizes[name]);
    draw();
  }

  function draw() {
    const { image, patch } = sizes;
    const rest = image % patch;
    const side = `${(100 * patch) / image}%`;
    grid.style.backgroundSize = `${side} ${side}`;
    for (const [strip, edge] of /** @type {const} */ ([[right, "width"], [below, "height"]])) {
      strip.style[edge] = `${(100 * rest) / image}%`;
    }
    const whole = Math.floor(image / patch);
    caption.textContent = `${whole} × ${whole} patches${rest ? `; ${rest} rows and ${rest} columns of pixels are left` : ""}`;
    grid.setAttribute("aria-label", caption.textContent);
    try {
      show(follows(sizes));
    } catch (error) {
      refuse(/** @type {Error} */ (error));
    }
    say(told.textContent);
  }

  /** @param {ReturnType<typeof follows>} found */
  function show(found) {
    const { image, patch, dim, heads, blocks } = sizes;
    const n = (/** @type {number} */ value) => value.toLocaleString("en-US");
    results.replaceChildren(
      table(
        "What follows from the sizes",
        ["what", "how many", "because"],
        [
          ["patches", n(found.patches), `${image} / ${patch} = ${found.rows}, squared`],
          ["tokens", n(found.tokens), "two stand in front"],
          ["numbers in a patch", n(found.values), `3 · ${patch} · ${patch}`],
          ["features a head", n(found.head_dim), `${dim} / ${heads}`],
          ["scores a head", n(found.scores), `${n(found.tokens)} squared`],
          ["scores in all", n(found.scores * heads * blocks), `${heads} heads, ${blocks} blocks`],
          ["learned numbers", n(found.learned), `both heads for ${n(CLASSES)} classes`],
          ["multiplications", `${number(found.work / 1e9)} billion`, "in products of matrices"],
        ],
      ),
    );
    const shares = Object.entries(WORK).map(([name, words]) => {
      const share = found.products[name] / found.work;
      parts[name].style.width = percent(share, 3);
      return el("span", {}, el(`i.play-${name}`), `${percent(share)} ${words}`);
    });
    told.replaceChildren("Of the multiplications: ", ...shares);
    root.dataset.learned = String(found.learned);
    root.dataset.looking = String(found.products.looking / found.work);
  }

  /** @param {Error} error */
  function refuse({ message }) {
    for (const part of Object.values(parts)) part.style.width = "0";
    results.replaceChildren();
    const { image, patch } = sizes;
    const silently =
      image % patch
        ? " Where patches are cut by a convolution, the last rows and columns are left out without a word, unless somebody checks."
        : "";
    told.textContent = `deit_ref refuses to make this model: ${message}${silently}`;
    delete root.dataset.learned;
  }

  draw();
}
