/**
 * The buttons that move through the steps, and a clock that presses one of them.
 */

import { el } from "../dom.js";

const BEAT = 1500; // milliseconds that a step stays while they play

/**
 * @param {object} options
 * @param {HTMLElement} options.root of the stepper
 * @param {(to: "first" | "back" | "next" | "last") => boolean} options.move whether there was a step to go to
 * @param {(step: number) => void} options.slide to that one of all steps, folded or not
 * @param {AbortSignal} options.signal
 */
export function stepbar({ root, move, slide, signal }) {
  const button = (/** @type {string} */ text, /** @type {string} */ label, /** @type {() => void} */ onclick) =>
    el("button.inside-button", { type: "button", title: label, onclick }, text);
  const first = button("First", "first step", () => move("first"));
  const back = button("← Back", "step back", () => move("back"));
  const next = button("Next →", "next step", () => move("next"));
  const last = button("Last", "last step", () => move("last"));
  const play = button("Play", "one step after the other; any key or click ends it", () => (beat ? stop() : begin()));
  const onslide = () => slide(Number(slider.value));
  const slider = el("input", { type: "range", min: 0, "aria-label": "step", oninput: onslide });
  const said = el("p.inside-where", { role: "status" });
  const label = { role: "group", "aria-label": "Move through the steps" };
  const element = el("div.inside-toolbar", label, first, back, next, last, play, slider, said);

  let beat = 0;
  function begin() {
    if (!move("next")) return;
    beat = window.setInterval(() => move("next") || stop(), BEAT);
    play.textContent = "Pause";
  }
  function stop() {
    clearInterval(beat);
    beat = 0;
    play.textContent = "Play";
  }
  const ended = (/** @type {any} */ event) => {
    const click = event.target === play && (event.type === "pointerdown" || ["Enter", " "].includes(event.key));
    if (beat && !click) stop(); // a click on the button does so itself
  };
  for (const kind of ["pointerdown", "keydown", "visibilitychange"]) {
    document.addEventListener(kind, ended, { signal, capture: true, passive: true });
  }
  signal.addEventListener("abort", stop);

  const moves = /** @type {Record<string, "next" | "back">} */ ({ ArrowRight: "next", ArrowLeft: "back" });
  const own = "input, [role=gridcell], .views-canvas, .inside-scroll, pre"; // there, arrow keys do something else
  const pressed = (/** @type {any} */ event, /** @type {boolean} */ here) => {
    const more = event.altKey || event.ctrlKey || event.metaKey || event.shiftKey;
    if (!(event.key in moves) || more || !here) return;
    event.preventDefault();
    move(moves[event.key]);
  };
  root.addEventListener("keydown", (event) => pressed(event, !/** @type {Element} */ (event.target).matches(own)));
  // Arrow keys also work when nothing on the page has the focus.
  document.addEventListener("keydown", (event) => pressed(event, event.target === document.body), { signal });

  /** @param {{step: number, of: number, first: boolean, last: boolean, where: string}} here which of all steps it is, and
   * whether it is the first or the last of those that are not folded */
  function draw(here) {
    // A button that is switched off would lose the focus, and the arrow keys with it.
    for (const control of [first, back]) control.setAttribute("aria-disabled", String(here.first));
    for (const control of [next, last, play]) control.setAttribute("aria-disabled", String(here.last));
    slider.max = String(here.of - 1);
    slider.value = String(here.step);
    slider.setAttribute("aria-valuetext", here.where);
    if (said.textContent !== here.where) said.textContent = here.where; // else it would be said again
  }
  return { element, draw };
}
