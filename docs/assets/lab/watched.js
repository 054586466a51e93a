/**
 * What takes many passes.
 */

import { el } from "../dom.js";
import { button } from "./controls.js";

/**
 * A button for something that takes many passes, with its progress and a way out.
 * @param {string} text
 * @param {HTMLElement} said
 * @param {AbortSignal} signal of the page
 * @param {(watch: import("./questions.js").Watch) => Promise<void>} work
 */
export function watched(text, said, signal, work) {
  let running = /** @type {AbortController | null} */ (null);
  const begin = button(text, run);
  const stop = button("Stop", () => running?.abort());
  stop.hidden = true;
  signal.addEventListener("abort", () => running?.abort());

  async function run() {
    running?.abort();
    const mine = (running = new AbortController());
    stop.hidden = false;
    const passes = el("span", { "aria-hidden": "true" }); // a screen reader would say every one
    said.replaceChildren(passes);
    let of = 0;
    try {
      await work({
        signal: mine.signal,
        tell: (done, all) => (passes.textContent = `${done} of ${(of = all)} passes`),
      });
      if (mine === running && !mine.signal.aborted) said.textContent = `Done: ${of} passes.`;
    } catch (error) {
      if (mine === running) said.textContent = mine.signal.aborted ? "Stopped." : error.message;
    } finally {
      if (mine === running) {
        if (stop === document.activeElement) begin.focus(); // who stands on what disappears
        stop.hidden = true;
      }
    }
  }
  return { elements: [begin, stop], run, stop: () => running?.abort() };
}
