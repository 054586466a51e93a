/**
 * Undo, redo, a link to what is seen, and a line that says what came of it.
 */

import { el } from "../dom.js";
import { button, buttons } from "./controls.js";
import { session } from "./session.js";
import { untouched } from "./state.js";

/**
 * @param {object} options
 * @param {HTMLElement} options.root where the keys work, too
 * @param {() => void} options.write_address
 */
export function toolbar({ root, write_address }) {
  const status = el("p.lab-said", { role: "status" });
  const undo = button("Undo", () => session.undo(), { title: "Ctrl+Z" });
  const redo = button("Redo", () => session.redo(), { title: "Ctrl+Shift+Z" });
  const reset = button("Reset", () => session.set(untouched(session.state)));
  const link = button("Copy a link", () => {
    write_address();
    const own = session.state.photo === "own" ? " It does not hold your photo, which stays here." : "";
    copy(location.href, `The link to what you see is copied.${own}`);
  });
  const element = buttons(undo, redo, reset, link);
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", "Changes");
  root.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || event.key.toLowerCase() !== "z") return;
    event.preventDefault();
    if (event.shiftKey) session.redo();
    else session.undo();
  });

  /** @param {string} text @param {string} words what is said then */
  async function copy(text, words) {
    try {
      await navigator.clipboard.writeText(text);
      status.textContent = words;
    } catch {
      status.textContent = `The browser lets nothing be copied here; this is it: ${text}`;
    }
  }

  function update() {
    undo.setAttribute("aria-disabled", String(!session.past.length));
    redo.setAttribute("aria-disabled", String(!session.future.length));
  }
  return { element, status, copy, update };
}
