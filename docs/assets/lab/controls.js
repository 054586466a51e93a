/**
 * Buttons, tools, sliders and fields.
 */

import { el, radios } from "../dom.js";
import { short } from "./tables.js";

export const button = (text, onclick, more = {}) => el("button.inside-button", { type: "button", onclick, ...more }, text);

/** A row of buttons. */
export const buttons = (...children) => el("div.lab-buttons", {}, ...children);

/** A number that can be changed. @param {string} label @param {number} value @param {(value: number) => void} change */
export function field(label, value, change) {
  const input = el("input", { type: "number", step: "any", "aria-label": label, value: short(value, 3).replace("−", "-") });
  input.addEventListener("input", () => {
    if (input.value !== "" && Number.isFinite(input.valueAsNumber)) change(input.valueAsNumber);
  });
  return input;
}

/**
 * A slider with its value. Its steps are even in the logarithm where `log` says so.
 * @param {{label: string, min: number, max: number, value: number, step?: number | "any", log?: boolean,
 *   text: (value: number) => string, change: (value: number) => void}} options
 */
export function slider({ label, min, max, value, step = "any", log = false, text, change }) {
  const [to, from] = log ? [Math.log, Math.exp] : [(x) => x, (x) => x];
  const input = el("input", { type: "range", min: to(min), max: to(max), step, "aria-label": label });
  const shown = el("output", { "aria-hidden": "true" }); // the slider says it
  const put = (now) => {
    input.value = String(to(now));
    shown.textContent = text(now);
    input.setAttribute("aria-valuetext", text(now));
  };
  input.addEventListener("input", () => {
    const now = from(input.valueAsNumber);
    put(now);
    change(now);
  });
  input.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    if (!way || step !== "any") return; // "any" has no step of its own that would suit
    event.preventDefault();
    const now = Math.min(max, Math.max(min, from(input.valueAsNumber + (way * (to(max) - to(min))) / 50)));
    put(now);
    change(now);
  });
  put(value);
  return { element: el("label.play-slider", {}, el("span", {}, label), input, shown), put };
}

/** Brush or rectangle. */
export function brushes(use, name) {
  let chosen = "brush";
  const choose = (name) => use((chosen = name));
  const options = [
    ["brush", "brush"],
    ["rectangle", "rectangle"],
  ];
  const tool = radios("Paint with", name, options, () => chosen, choose);
  return { element: tool.element, current: () => chosen };
}
