/**
 * A photo with the grid of its patches over it, to be looked at and painted on: by mouse, by touch, by keyboard.
 */

import { el, roving } from "../dom.js";
import { painted } from "./painted.js";
import { place_under, places } from "./places.js";

/** @typedef {"brush" | "rectangle" | "pick" | "swap"} Tool */

/**
 * @param {object} options
 * @param {import("./state.js").Sizes} options.sizes
 * @param {string} options.label of the grid
 * @param {Tool} [options.tool]
 * @param {(places: number[], on: boolean, continues: boolean) => void} [options.onpaint] by brush or rectangle
 * @param {(place: number) => void} [options.onpick]
 * @param {(one: number, other: number) => void} [options.onswap]
 * @param {(place: number | null) => void} [options.onpoint] a patch under the pointer or with the focus
 */
export function board({ sizes, label, tool = "brush", onpaint, onpick, onswap, onpoint }) {
  const [rows, columns] = sizes.grid;
  const canvas = el("canvas", { width: 512, height: 512, "aria-hidden": "true" }); // the cells tell
  const cells = Array.from({ length: rows }, (_, row) =>
    Array.from({ length: columns }, (__, column) =>
      el("div.inside-cell", { role: "gridcell", tabindex: -1, "data-place": row * columns + column }, el("span")),
    ),
  );
  const flat = cells.flat();
  flat[0].tabIndex = 0;
  const lines = cells.map((line) => el("div", { role: "row" }, ...line));
  const grid = el("div.inside-grid", { role: "grid", "aria-label": label }, ...lines);
  const element = el("div.inside-photo.lab-board", {}, canvas, grid);
  let marked = new Set();
  /** @type {{from: number, last: number, on: boolean, painted: boolean} | null} */
  let stroke = null;
  let held = /** @type {number | null} */ (null); // the first corner, or the patch that is to change places
  const labels = flat.map(() => "");

  const { name_of, way, rectangle } = places(sizes);
  const place_of = (target) => {
    const cell = target.closest?.("[data-place]");
    return cell ? Number(cell.dataset.place) : null;
  };
  const place_at = (event) => place_under(event, grid, sizes);

  function outline(marked_out) {
    const chosen = new Set(marked_out);
    flat.forEach((cell, place) => cell.classList.toggle("lab-outlined", chosen.has(place)));
    name();
  }

  function name() {
    flat.forEach((cell, place) => cell.setAttribute("aria-label", `${labels[place]}${place === held ? ", taken" : ""}`));
  }

  // Pointers: coordinates, not targets, because a finger keeps the element on which it came down
  grid.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const place = place_at(event);
    focus(place);
    if (tool === "pick") return; // a click does
    grid.setPointerCapture(event.pointerId);
    stroke = { from: place, last: place, on: !marked.has(place), painted: false };
    if (tool === "brush") paint([place]);
    else outline([place]);
  });
  grid.addEventListener("pointermove", (event) => {
    const place = place_at(event);
    if (event.pointerType !== "touch" || stroke) onpoint?.(place);
    if (!stroke || place === stroke.last) return;
    if (tool === "brush") paint(way(stroke.last, place).slice(1));
    else outline(tool === "rectangle" ? rectangle(stroke.from, place) : [stroke.from, place]);
    stroke.last = place;
  });
  grid.addEventListener("pointerup", () => {
    const done = stroke;
    stroke = null;
    if (!done || tool === "brush") return;
    outline([]);
    if (tool === "rectangle") onpaint?.(rectangle(done.from, done.last), done.on, false);
    else if (done.from !== done.last) exchange(done.from, done.last);
    else take(done.from);
  });
  grid.addEventListener("pointercancel", () => {
    stroke = null;
    outline([]);
  });
  grid.addEventListener("pointerleave", () => onpoint?.(null));
  grid.addEventListener("click", (event) => {
    if (tool === "pick") onpick?.(place_at(event));
  });

  function paint(touched) {
    const changed = touched.filter((place) => marked.has(place) !== stroke.on);
    if (!changed.length) return;
    onpaint?.(changed, stroke.on, stroke.painted);
    stroke.painted = true;
  }

  /** The first of two to exchange, or the second. */
  function take(place) {
    if (held === null) held = place;
    else if (held === place) held = null;
    else return exchange(held, place);
    outline(held === null ? [] : [held]);
  }

  function exchange(one, other) {
    held = null;
    outline([]);
    onswap?.(one, other);
  }

  // Keys
  grid.addEventListener("focusin", (event) => onpoint?.(place_of(event.target)));
  grid.addEventListener("focusout", () => onpoint?.(null));
  grid.addEventListener("keydown", (event) => {
    const place = place_of(event.target);
    if (place === null) return;
    if (event.key === "Escape") {
      held = null;
      outline([]);
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      act(place);
    } else {
      roving(cells, event);
      const now = place_of(document.activeElement);
      if (event.shiftKey && tool === "brush" && now !== null && now !== place) {
        if (marked.has(now) !== marked.has(place)) onpaint?.([now], marked.has(place), true);
      }
      if (tool === "rectangle" && held !== null && now !== null) outline(rectangle(held, now));
    }
  });

  function act(place) {
    if (tool === "pick") onpick?.(place);
    else if (tool === "brush") onpaint?.([place], !marked.has(place), false);
    else if (tool === "swap") take(place);
    else if (held === null) outline([(held = place)]);
    else {
      const inside = rectangle(held, place);
      const on = !marked.has(held);
      held = null;
      outline([]);
      onpaint?.(inside, on, false);
    }
  }

  function focus(place) {
    for (const cell of flat) cell.tabIndex = -1;
    flat[place].tabIndex = 0;
    flat[place].focus({ preventScroll: true });
  }

  return {
    element,
    grid,
    /** A frame around these places, until another is drawn. */
    outline,
    /** @param {Tool} chosen */
    use(chosen) {
      tool = chosen;
      held = null;
      outline([]);
      element.dataset.tool = chosen;
      grid.setAttribute("aria-multiselectable", String(chosen === "brush" || chosen === "rectangle"));
    },
    /**
     * @param {import("./painted.js").View & {number?: (place: number) => string, unit?: string,
     *   exact?: (place: number) => string, chosen?: number | null}} view number: what stands in each patch; unit: of it,
     *   for readers who hear it; exact: the same in full, with its unit; chosen: a patch with a frame, null for none,
     *   else those that are hidden count
     */
    draw({ number, unit = "", exact, chosen, ...view }) {
      marked = new Set(view.hidden);
      painted(canvas, view, sizes);
      flat.forEach((cell, place) => {
        const text = number ? number(place) : "";
        cell.firstChild.textContent = text;
        cell.dataset.exact = exact?.(place) ?? "";
        cell.dataset.value = view.shares ? String(view.shares[place]) : "";
        cell.setAttribute("aria-selected", String(chosen === undefined ? marked.has(place) : place === chosen));
        const moved = view.order && view.order[place] !== place ? `, holds the patch of ${name_of(view.order[place])}` : "";
        const hidden = marked.has(place) ? ", hidden" : "";
        labels[place] = `${name_of(place)}${moved}${hidden}${text ? `: ${text}${unit}` : ""}`;
      });
      name();
    },
  };
}
