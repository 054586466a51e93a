/**
 * What a screen reader says of a change: once, when things have come to rest, so that a brush does not make it stutter.
 */

import { el } from "../dom.js";

/** @param {AbortSignal} signal of the page */
export function spoken(signal) {
  const element = el("p.lab-live.deit-hidden", { role: "status" });
  let speaking = 0;
  signal.addEventListener("abort", () => clearTimeout(speaking));

  /** @param {string} text */
  function say(text) {
    clearTimeout(speaking);
    speaking = setTimeout(() => element.textContent !== text && (element.textContent = text), 350);
  }
  return { element, say };
}
