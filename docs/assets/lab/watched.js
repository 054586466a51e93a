/**
 * What takes many passes.
 */

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
    try {
      await work({
        signal: mine.signal,
        tell: (done, all) => (said.textContent = `${done} of ${all} passes`),
      });
      said.textContent = "";
    } catch (error) {
      if (mine === running) said.textContent = mine.signal.aborted ? "Stopped." : error.message;
    } finally {
      if (mine === running) stop.hidden = true;
    }
  }
  return { elements: [begin, stop], run, stop: () => running?.abort() };
}
