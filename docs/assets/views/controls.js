/**
 * What is shown in the attention viewer, and how it is drawn.
 */

import { el, radios } from "../dom.js";

/**
 * @typedef {object} Page what its parts are given
 * @property {import("../lab/state.js").Sizes} sizes
 * @property {ReturnType<typeof import("./tokens.js").naming>} names
 * @property {(changes: Partial<import("./chosen.js").Chosen>) => void} set
 * @property {(place: number | null) => void} point
 */

/** @param {Page} page */
export function controls({ sizes: { layers, heads }, set }) {
  /** @type {import("./chosen.js").Chosen & {layer: number, head: number}} */
  let now;
  const numbers = (/** @type {number} */ n) => Array.from({ length: n }, (_, i) => [String(i + 1), String(i + 1)]);
  const kinds = [
    ["attention", "one block’s attention"],
    ["rollout", "rollout up to the block"],
  ];
  const show = radios("Show", "show", kinds, () => now?.show, (value) => set({ show: value }));
  const layer = radios("Block", "layer", numbers(layers), () => now?.layer, (value) => set({ layer: Number(value) }));
  const options = [["0", "mean"], ...numbers(heads)];
  const head = radios("Head", "head", options, () => now?.head, (value) => set({ head: Number(value) }));
  const onclick = () => set({ show: "attention", layer: null, head: null });
  const sharp = el("button.inside-button", { type: "button", onclick }, "Sharpest head");
  const about = el("p.inside-note.views-sharp");
  const pixels = select(
    "Photo shown as",
    [
      ["photo", "the photo itself"],
      ["seen", "the pixels the model sees"],
    ],
    (value) => set({ pixels: value }),
  );
  const scale = select(
    "Color scale",
    [
      ["shared", "one for both maps"],
      ["own", "each map its own"],
      ["full", "0 to 100%"],
    ],
    (value) => set({ scale: value }),
  );
  const range = { type: "range", min: 0, max: 100, step: 5, id: "inside-strength" };
  const strength = el("input", { ...range, oninput: () => set({ colors: Number(strength.value) }) });
  const shown = el("input", { type: "checkbox", onchange: () => set({ numbers: shown.checked }) });
  const drawing = el(
    "div.inside-row",
    {},
    pixels.element,
    scale.element,
    el("label", { for: "inside-strength" }, el("span", {}, "Colors over the photo"), strength),
    el("label.inside-check", {}, shown, el("span", {}, "Numbers in percent")),
  );
  const element = el(
    "form.inside-controls",
    { "aria-label": "What to show", onsubmit: (/** @type {Event} */ event) => event.preventDefault() },
    show.element,
    layer.element,
    head.element,
    el("div", {}, sharp, about),
    el("details.inside-more", {}, el("summary", {}, "How it is drawn"), drawing),
  );

  /**
   * @param {import("./chosen.js").Chosen} chosen @param {import("./looks.js").View} view
   * @param {ReturnType<typeof import("../lab/lens.js").sharpest>} sharpest
   */
  function update(chosen, view, sharpest) {
    now = { ...chosen, layer: view.layer, head: view.head };
    for (const group of [show, layer, head]) group.update();
    head.element.disabled = view.show === "rollout"; // it takes the mean of all heads
    sharp.setAttribute("aria-pressed", String(chosen.layer === null));
    about.textContent =
      `In block ${sharpest.layer}, head ${sharpest.head}, the class token gives a single patch more than in any other ` +
      `head: ${(100 * sharpest.share).toFixed(1)}%.`;
    pixels.box.value = chosen.pixels;
    scale.box.value = chosen.scale;
    strength.value = String(chosen.colors);
    strength.setAttribute("aria-valuetext", `${chosen.colors} percent`);
    shown.checked = chosen.numbers;
  }
  return { element, update };
}

/** @param {string} label @param {string[][]} options value and text @param {(value: any) => void} choose */
function select(label, options, choose) {
  const box = el(
    "select",
    { onchange: () => choose(box.value) },
    ...options.map(([value, text]) => el("option", { value }, text)),
  );
  return { element: el("label", {}, el("span", {}, label), box), box };
}
