/**
 * A second step beside the one that is shown: the one before, or one that is kept.
 */

import { el, radios } from "../dom.js";

/** @typedef {import("./pass.js").Step} Step */

/**
 * @param {object} options
 * @param {() => string} options.current "off", "before", or the name of the step that is kept
 * @param {(beside: string) => void} options.choose
 * @param {() => string} options.shown the name of the step that is shown
 * @param {(name: string) => void} options.go
 */
export function beside({ current, choose, shown, go }) {
  const kind = () => (["off", "before"].includes(current()) ? current() : "kept");
  const options = [
    ["off", "nothing"],
    ["before", "the step before"],
    ["kept", "this step, kept"],
  ];
  const radio = radios("Beside", "beside", options, kind, (value) => choose(value === "kept" ? shown() : value));
  const there = el("button.views-link", { type: "button", title: "go there", onclick: () => go(there.value) });
  const keep = el("button.views-link", { type: "button", onclick: () => keep_shown() }, "keep the other instead");
  const which = el("span");
  const pictures = el("div.inside-pictures");
  const head = el("h3.views-which", {}, which, there, keep);
  const element = el("section.views-second", { "aria-label": "The step beside", hidden: true }, head, pictures);

  function keep_shown() {
    choose(shown());
    if (keep.hidden) there.focus({ preventScroll: true });
  }

  /** The step that belongs there, if any. @param {Step[]} steps @param {number} at that is shown */
  function step_of(steps, at) {
    if (kind() === "off") return null;
    const found = kind() === "before" ? steps[at - 1] : steps.find(({ name }) => name === current());
    return found ?? null;
  }

  /** @param {Step | null} step @param {string} title @param {HTMLElement[]} elements @param {string} picture */
  function draw(step, title, elements, picture) {
    radio.update();
    element.hidden = !step;
    if (!step) return pictures.replaceChildren();
    which.textContent = kind() === "before" ? "Before: " : "Kept: ";
    there.textContent = title;
    there.value = step.name;
    keep.hidden = kind() !== "kept" || current() === shown();
    pictures.dataset.picture = picture;
    pictures.replaceChildren(...elements);
  }
  return { controls: radio.element, element, pictures, step_of, draw };
}
