/**
 * Chapter 1: a photo cut up, its patches as rows, and where each number of a row comes from.
 */

import { el, roving } from "../../dom.js";
import { patchify } from "../../engine/patches.js";
import { board } from "../board.js";
import { place_name } from "../places.js";
import { session } from "../session.js";
import { number } from "../tables.js";
import { chooser, follow, frame } from "./parts.js";

const COLORS = ["red", "green", "blue"];

/**
 * Where entry n of a patch's row comes from: [channel, pixel row, pixel column] in the patch, counted from 0.
 * @param {number} n
 * @param {{patch_shape: [number, number]}} sizes
 */
export function origin(n, { patch_shape: [height, width] }) {
  return [Math.floor(n / (height * width)), Math.floor(n / width) % height, n % width];
}

/** Bytes of a color that shows a number of one channel, -2 black and 2 bright. @param {number} value @param {number} channel */
export function tint(value, channel) {
  const light = Math.min(255, Math.max(0, (255 * (value + 2)) / 4));
  return [0, 1, 2].map((c) => Math.round(c === channel ? light : light * 0.35));
}

/** @param {HTMLElement} root @param {AbortSignal} signal */
export async function start(root, signal) {
  const { sizes } = await session.model();
  await session.begin();
  const [height, width] = sizes.patch_shape;
  const area = height * width;
  let place = 27;
  let chosen = 0; // entry of the row
  let rows = /** @type {import("../../engine/arrays.js").NDArray} */ ({ data: new Float32Array(), shape: [] });

  const photo = board({ sizes, label: "the photo, cut into patches", tool: "pick", onpick: (one) => {
    place = one;
    draw();
  } });
  photo.use("pick");
  const all = el("canvas.play-all", { role: "img", onclick: (event) => {
    place = row_at(event);
    draw();
  } });
  const readout = el("p.play-result");
  const pixels = grid(height, width, (i, j) => (chosen = Math.floor(chosen / area) * area + i * width + j), "pixel");
  const numbers = COLORS.map((color, c) => grid(height, width, (i, j) => (chosen = c * area + i * width + j), color));
  const say = frame(
    root,
    "Your photo, cut up",
    `Click a patch, then a pixel of it. A patch is ${3 * area} numbers, ${area} for each color. Where in the row are the ` +
      "three numbers of one pixel? And what does the row of a patch look like in which nothing happens?",
    signal,
    el(
      "div.play-columns",
      {},
      el("div", {}, photo.element),
      el("figure.play-figure", {}, all, el("figcaption", {}, `${sizes.patches} patches, a row of ${3 * area} numbers each`)),
      el("figure.play-figure", {}, pixels.element, el("figcaption", {}, "the chosen patch, its pixels")),
    ),
    el(
      "div.play-entries",
      {},
      ...numbers.map(({ element }, c) => el("div", {}, el("span", {}, `${COLORS[c]}: ${c * area} to ${c * area + area - 1}`), element)),
    ),
    readout,
    await chooser(signal),
  );

  function row_at(event) {
    const box = all.getBoundingClientRect();
    return Math.min(sizes.patches - 1, Math.floor(((event.clientY - box.top) / box.height) * sizes.patches));
  }

  /** Cells of a patch, one of which a click or a key chooses. */
  function grid(count, length, choose, name) {
    const cells = Array.from({ length: count }, (_, i) =>
      Array.from({ length }, (__, j) =>
        el("button.play-cell", { type: "button", tabindex: i + j ? -1 : 0, onclick: () => pick(i, j) }),
      ),
    );
    function pick(i, j) {
      choose(i, j);
      draw();
    }
    const element = el("div.play-grid", { role: "group", "aria-label": name }, ...cells.flat());
    element.style.setProperty("--columns", String(length));
    element.addEventListener("keydown", (event) => roving(cells, event));
    return { element, cells: cells.flat() };
  }

  /** The bytes of a pixel of the chosen patch, before they were normalized. */
  function colors(n) {
    const { data, shape } = session.photo.seen;
    const y = Math.floor(place / sizes.grid[1]) * height + Math.floor(n / width);
    const start = (y * shape[1] + (place % sizes.grid[1]) * width + (n % width)) * 3;
    return [...data.subarray(start, start + 3)];
  }

  function draw() {
    const { picture } = session.photo;
    photo.draw({ picture, chosen: place });
    const length = rows.shape[2];
    const row = rows.data.subarray(place * length, (place + 1) * length);
    paint_all(length);
    const [, i, j] = origin(chosen, sizes);
    const pixel = i * width + j;
    pixels.cells.forEach((cell, n) => {
      cell.style.background = `rgb(${colors(n)})`;
      cell.setAttribute("aria-pressed", String(n === pixel));
      cell.setAttribute("aria-label", `pixel in row ${Math.floor(n / width) + 1}, column ${(n % width) + 1}`);
    });
    numbers.forEach(({ cells }, c) =>
      cells.forEach((cell, n) => {
        const value = row[c * area + n];
        const color = tint(value, c);
        cell.style.background = `rgb(${color})`;
        cell.style.color = color[0] * 0.3 + color[1] * 0.59 + color[2] * 0.11 > 110 ? "#000" : "#fff";
        cell.textContent = number(value, 1);
        cell.setAttribute("aria-pressed", String(n === pixel));
        cell.setAttribute("aria-label", `number ${c * area + n}: ${COLORS[c]}, ${number(value)}`);
      }),
    );
    const entries = COLORS.map((_, c) => c * area + pixel);
    const told =
      `Patch ${place} (${place_name(place, sizes)}), pixel in its row ${i + 1}, column ${j + 1}: numbers ` +
      `${entries.slice(0, 2).join(", ")} and ${entries[2]} of the row, (c · ${height} + ${i}) · ${width} + ${j} for ` +
      `c = 0, 1 and 2. They are ${entries.map((n) => number(row[n])).join(", ")}.`;
    readout.textContent = told;
    say(told);
  }

  function paint_all(length) {
    const [across, down] = [5, 5]; // of one number, in pixels of the canvas
    [all.width, all.height] = [across * length, down * sizes.patches];
    all.setAttribute("aria-label", `all ${sizes.patches} rows; row ${place} is marked`);
    const context = all.getContext("2d");
    rows.data.forEach((value, n) => {
      const [row, column] = [Math.floor(n / length), n % length];
      context.fillStyle = `rgb(${tint(value, Math.floor(column / area))})`;
      context.fillRect(column * across, row * down, across, down);
    });
    context.lineWidth = 2;
    context.strokeStyle = "#fff";
    context.strokeRect(1, place * down, all.width - 2, down);
  }

  await follow(
    signal,
    async () => patchify((await session.photo_of(session.state.photo)).pixel_values, sizes),
    (found) => {
      rows = found;
      draw();
    },
  );
}
