/**
 * Chapter 3: how alike the position embeddings of two places are.
 */

import { SIGNED, gradient } from "../../colors.js";
import { el } from "../../dom.js";
import { board } from "../board.js";
import { place_name } from "../places.js";
import { session } from "../session.js";
import { number } from "../tables.js";
import { frame } from "./parts.js";

/**
 * The cosine of one token's vector with those of all.
 * @param {import("../../engine/arrays.js").NDArray} x (1, tokens, dim)
 * @param {number} token
 * @returns {number[]} (tokens,)
 */
export function cosines({ data, shape: [, tokens, dim] }, token) {
  const row = (/** @type {number} */ i) => data.subarray(i * dim, (i + 1) * dim);
  const dot = (/** @type {Float32Array} */ a, /** @type {Float32Array} */ b) => a.reduce((sum, x, k) => sum + x * b[k], 0);
  const length = (/** @type {number} */ i) => Math.sqrt(dot(row(i), row(i)));
  return Array.from({ length: tokens }, (_, i) => dot(row(token), row(i)) / (length(token) * length(i)));
}

/** @param {HTMLElement} root @param {AbortSignal} signal */
export async function start(root, signal) {
  const { sizes, parts } = await session.model();
  const { prefix } = sizes;
  const blank = el("canvas", { width: 8, height: 8 }); // a place has no picture
  const context = blank.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, 8, 8);
  let place = 0;
  const map = board({ sizes, label: "the places of the patches", tool: "pick", onpick: (one) => {
    place = one;
    draw();
  } });
  map.use("pick");
  const bar = el("span.inside-gradient", { "aria-hidden": "true" });
  bar.style.background = gradient(SIGNED);
  const readout = el("div.play-side");
  const say = frame(
    root,
    "Places that are alike",
    "Click a place: each color says how alike its vector and that of another place are. Nobody told the model which places " +
      "are neighbors. Does a row or a column matter more? And how alike are a corner and its mirror image? (In training, " +
      "photos were mirrored at random.)",
    signal,
    el(
      "div.play-two",
      {},
      el("div", {}, map.element, el("div.inside-scale", {}, el("span", {}, "−1"), bar, el("span", {}, "1"))),
      readout,
    ),
  );

  function draw() {
    const found = cosines(parts.pos_embed, prefix + place);
    const patches = found.slice(prefix);
    map.draw({ picture: blank, shares: patches, signed: true, number: (i) => number(patches[i], 1), chosen: place });
    root.dataset.cosines = JSON.stringify(patches);
    const columns = sizes.grid[1];
    const mean = (/** @type {(i: number) => boolean} */ is) => {
      const values = patches.filter((_, i) => i !== place && is(i));
      return number(values.reduce((sum, value) => sum + value, 0) / values.length);
    };
    const [row, column] = [Math.floor(place / columns), place % columns];
    const order = [...patches.keys()].filter((i) => i !== place).sort((a, b) => patches[b] - patches[a]);
    const line = (text, value) => el("li", {}, el("span", {}, text), el("b", {}, value));
    const told = `Most like ${place_name(place, sizes)} is ${place_name(order[0], sizes)}`;
    readout.replaceChildren(
      el("p.play-result", {}, `${told}, with a cosine of ${number(patches[order[0]])}.`),
      el(
        "ul.play-list",
        { "aria-label": "mean cosines" },
        line("mean of the same row", mean((i) => Math.floor(i / columns) === row)),
        line("mean of the same column", mean((i) => i % columns === column)),
        line("mean of all others", mean((i) => Math.floor(i / columns) !== row && i % columns !== column)),
        line(`least: ${place_name(order.at(-1), sizes)}`, number(patches[order.at(-1)])),
        ...["class token", "distillation token"].slice(0, prefix).map((name, i) => line(name, number(found[i]))),
      ),
    );
    say(`${told}, ${number(patches[order[0]])}.`);
  }

  draw();
}
