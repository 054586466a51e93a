/**
 * All layers and heads at a glance: a small map for each, to choose one.
 */

import { HEAT, colorAt } from "../colors.js";
import { el, roving } from "../dom.js";
import { percent } from "./looks.js";

/** @param {import("./controls.js").Page} page */
export function overview({ sizes, names, set }) {
  const { layers, heads, prefix, grid: [rows, columns] } = sizes;
  const caption = el("p.inside-note");
  const cells = Array.from({ length: layers }, (_, layer) =>
    Array.from({ length: heads }, (__, head) => {
      const canvas = el("canvas", { width: columns, height: rows, "aria-hidden": "true" });
      const place = { "data-layer": layer + 1, "data-head": head + 1 };
      return el("div.inside-thumb", { role: "gridcell", tabindex: layer + head ? -1 : 0, ...place }, canvas);
    }),
  );
  const header = Array.from({ length: heads }, (_, head) => el("span", { role: "columnheader" }, `head ${head + 1}`));
  const grid = el(
    "div.inside-overview",
    { role: "grid", "aria-label": "All blocks and heads" },
    el("div", { role: "row" }, el("span", { role: "columnheader" }, "Block"), ...header),
    ...cells.map((line, layer) =>
      el("div", { role: "row" }, el("span", { role: "rowheader" }, String(layer + 1)), ...line),
    ),
  );
  grid.style.setProperty("--columns", String(heads));
  const pick = (/** @type {any} */ event) => {
    const cell = event.target.closest("[data-layer]");
    if (cell) set({ show: "attention", layer: Number(cell.dataset.layer), head: Number(cell.dataset.head) });
  };
  grid.addEventListener("click", pick);
  grid.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      pick(event);
    } else roving(cells, event);
  });
  const element = el("section.views-all", { "aria-label": "All blocks and heads" }, caption, grid);

  /**
   * @param {import("./looks.js").View} view @param {number} token that looks
   * @param {ReturnType<typeof import("./looks.js").looks>} look
   */
  function draw(view, token, look) {
    caption.textContent =
      `What the ${names.name(token)} looks at, as in the left map, in every block and head; each from 0 to its own ` +
      "largest share.";
    cells.flat().forEach((cell) => {
      const [layer, head] = [Number(cell.dataset.layer), Number(cell.dataset.head)];
      const shares = look(token, { show: "attention", layer, head }).slice(prefix);
      const most = Math.max(...shares);
      const context = cell.firstChild.getContext("2d");
      const pixels = context.createImageData(columns, rows);
      shares.forEach((share, i) => pixels.data.set([...colorAt(HEAT, share / most), 255], 4 * i));
      context.putImageData(pixels, 0, 0);
      const chosen = view.show === "attention" && view.layer === layer && view.head === head;
      cell.setAttribute("aria-selected", String(chosen));
      cell.title = `block ${layer}, head ${head}: largest share ${percent(most)}%`;
      cell.setAttribute("aria-label", `block ${layer}, head ${head}: largest share ${percent(most)} percent`);
    });
  }
  return { element, draw };
}
