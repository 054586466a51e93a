/**
 * The same in Python, folded until it is asked for.
 */

import { el } from "../dom.js";
import { button, buttons } from "./controls.js";
import { python } from "./python.js";

/**
 * @param {object} options
 * @param {import("./state.js").Sizes} options.sizes
 * @param {any[]} options.photos see `Supply.photos`
 * @param {(text: string, words: string) => void} options.copy
 */
export function lines({ sizes, photos, copy }) {
  const of_photos = {
    packaged: (/** @type {string} */ name) => photos.some((photo) => photo.name === name && photo.packaged),
    file: (/** @type {string} */ name) => photos.find((photo) => photo.name === name)?.file.split("/").at(-1) ?? "photo.jpg",
  };
  const code = el("code");
  const element = el(
    "details.inside-more.lab-python",
    {},
    el("summary", {}, "The same in Python"),
    el("pre", { tabindex: 0 }, code),
    buttons(button("Copy", () => copy(code.textContent, "The lines are copied."))),
  );

  /** @param {import("./state.js").State} state @param {string} tab */
  function draw(state, tab) {
    const asked = state.look !== "answer" ? state.look : tab === "inside" ? "lens" : "answer";
    code.textContent = python(state, sizes, of_photos, asked);
  }
  return { element, draw };
}
