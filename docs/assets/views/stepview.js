/**
 * One step as it is shown: what is said of it, its picture, another one beside it, and where one of its numbers comes from.
 */

import { el, radios } from "../dom.js";
import { flat, inside } from "./cells.js";
import { describe, numbers } from "./described.js";
import { of_all_blocks, title_of } from "./pass.js";
import { picture, ranged, scaled } from "./pictures.js";

/** @typedef {import("./pass.js").Step} Step */

/**
 * @param {object} options
 * @param {any} options.kinds of steps.json
 * @param {any} options.state of the stepper
 * @param {(changes: object) => void} options.set
 * @param {any} options.context what all pictures are given, see `figure.js`
 * @param {ReturnType<typeof import("./beside.js").beside>} options.second
 * @param {ReturnType<typeof import("./origin.js").origin>} options.from
 */
export function stepview({ kinds, state, set, context, second, from }) {
  const pills = ["linear", "log", "rank"].map((scale) => [scale, scale]);
  const scale = radios("Colors", "scale", pills, () => state.scale, (scale) => set({ scale }));
  const ranges = [
    ["own", "each head its own"],
    ["shared", "all heads alike"],
    ["blocks", "all blocks alike"],
  ];
  const range = radios("Scale", "range", ranges, () => state.range, (range) => set({ range }));
  const scales = el("div.views-scales", {}, scale.element, range.element, second.controls);
  const head = el("div.views-head");
  const pictures = el("div.inside-pictures");
  const which = el("h3.views-which", {}, "This step");
  const pair = el("div.views-pair", {}, el("div", {}, which, pictures), second.element);
  const foot = el("div.views-foot");
  // Not seen before there is something to see.
  const element = el("section.views-step.views-away", { "aria-label": "The step" }, head, scales, pair, from.element, foot);
  /** @type {import("./pictures.js").Picture[]} */
  let shown = [];
  let known = /** @type {any[]} */ ([]); // what the pictures are of
  let wide = 0;

  /** @param {Step} step @param {Step[]} steps @param {string} alt of the photo */
  function drawn(step, steps, alt) {
    const { picture: kind } = kinds[step.kind];
    // A step that has no scale of that kind keeps its own.
    const range = ranged(kind, step) ? state.range : "own";
    const all_blocks = (/** @type {Step} */ of) => of_all_blocks(steps, of);
    return picture(step, kind, { ...context, alt, scale: state.scale, range, all_blocks });
  }

  /** @param {Step[]} steps @param {number} at @param {string} alt of the photo */
  function draw(steps, at, alt) {
    const other = second.step_of(steps, at);
    const { scale, range, beside } = state;
    const now = [steps, at, scale, range, beside];
    if (now.some((value, i) => value !== known[i])) draw_pictures(steps, steps[at], other, alt); // else only a number
    known = now;
    element.classList.remove("views-away");
    draw_number(steps, steps[at], other);
    steady();
  }

  /** @param {Step[]} steps @param {Step} step @param {Step | null} other @param {string} alt */
  function draw_pictures(steps, step, other, alt) {
    const kind = kinds[step.kind];
    for (const group of [scale, range]) group.update();
    scale.element.disabled = !scaled(kind.picture);
    range.element.disabled = !ranged(kind.picture, step);
    const focused = [...pair.querySelectorAll(".views-canvas")].indexOf(document.activeElement);
    shown = [step, ...(other ? [other] : [])].map((one) => drawn(one, steps, alt));
    head.replaceChildren(...describe(step, kind));
    pictures.dataset.picture = kind.picture;
    pictures.replaceChildren(...shown[0].elements);
    second.draw(other, other ? title_of(other.name, kinds) : "", shown[1]?.elements ?? [], other ? kinds[other.kind].picture : "");
    pair.classList.toggle("views-two", Boolean(other));
    which.hidden = !other;
    const reachable = () => /** @type {HTMLElement[]} */ ([...foot.querySelectorAll("a, summary")]);
    const held = reachable().indexOf(/** @type {any} */ (document.activeElement));
    foot.replaceChildren(...numbers(step, kind, foot.querySelector("details")?.open ?? false));
    if (held >= 0) reachable()[Math.min(held, reachable().length - 1)]?.focus({ preventScroll: true });
    if (focused >= 0) {
      const canvases = pair.querySelectorAll(".views-canvas");
      /** @type {HTMLElement} */ (canvases[Math.min(focused, canvases.length - 1)])?.focus({ preventScroll: true });
    }
  }

  /** The number that is explained, and beside it the largest that it was made of. @param {Step[]} steps @param {Step} step
   * @param {Step | null} other */
  function draw_number(steps, step, other) {
    const { shape } = step.value;
    const cell = state.cell && inside(shape, state.cell) ? state.cell : null;
    const made = from.draw(steps, cell && { step: step.name, at: cell });
    shown[0].cell(cell && flat(shape, cell));
    if (!other) return;
    const inputs = made?.terms.flatMap(({ factors }) => factors.map(({ from }) => from)) ?? [];
    const input = inputs.find((place) => place?.step === other.name);
    shown[1].cell(input ? flat(other.value.shape, input.at) : null);
  }

  /** What is below never comes nearer, so that nothing moves under the pointer on the way through the steps. */
  function steady() {
    if (wide !== element.clientWidth) element.style.minHeight = "";
    wide = element.clientWidth;
    element.style.minHeight = `${element.offsetHeight}px`;
  }

  return {
    element,
    draw,
    /** @param {number | null} token */
    mark: (token) => shown.forEach(({ mark }) => mark(token)),
    /** The pictures come onto the screen. */
    reveal: () => pair.scrollIntoView({ block: "nearest" }),
    /** The focus goes to the number in the picture. */
    to_number() {
      const marked = pictures.querySelector(".views-cell:not([hidden])")?.closest(".views-canvas");
      const target = /** @type {HTMLElement | null} */ (marked ?? pictures.querySelector(".views-chosen button"));
      target?.focus({ preventScroll: true });
      target?.scrollIntoView({ block: "nearest" });
    },
  };
}
