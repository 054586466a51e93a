/**
 * A state as the query of an address, and back. Nothing here touches the page, so that it runs in Node, too.
 */

import { START, in_order } from "./state.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./state.js").Sizes} Sizes */

/** Numbers as "3-5.12": runs and single ones. @param {number[]} numbers rising */
export function runs(numbers) {
  const parts = [];
  for (let i = 0; i < numbers.length; i++) {
    const first = i;
    while (numbers[i + 1] === numbers[i] + 1) i++;
    parts.push(first === i ? `${numbers[i]}` : `${numbers[first]}-${numbers[i]}`);
  }
  return parts.join(".");
}

/** The other way; null if it is anything else. @param {string} text @param {number} below */
export function numbers_of(text, below) {
  const numbers = [];
  for (const part of text.split(".")) {
    const found = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(part);
    if (!found) return null;
    const [first, last] = [Number(found[1]), Number(found[2] ?? found[1])];
    if (last >= below || first > last) return null;
    for (let i = first; i <= last; i++) numbers.push(i);
  }
  return numbers;
}

/** What differs from `START`, as texts. @param {State} state @returns {Record<string, string>} */
export function to_address(state) {
  /** @type {Record<string, string>} */
  const values = {};
  for (const [name, value] of Object.entries(state)) {
    const text = (/** @type {any} */ x) =>
      x === null ? "" : Array.isArray(x) ? (name === "order" ? x.join(".") : runs(x)) : String(x);
    if (text(value) !== text(/** @type {any} */ (START)[name])) values[name] = text(value);
  }
  return values;
}

/**
 * A state from what an address says; what is not understood is as in `START`.
 * @param {Record<string, string>} values @param {Sizes} sizes @param {string[]} photos their names
 * @returns {State}
 */
export function from_address(values, sizes, photos) {
  const one_of = (/** @type {string} */ name, /** @type {any[]} */ allowed) =>
    allowed.find((value) => String(value) === values[name]) ?? /** @type {any} */ (START)[name];
  const set = (/** @type {string} */ name, /** @type {number} */ below) =>
    [...new Set(numbers_of(values[name] ?? "", below) ?? [])].sort((one, other) => one - other);
  const upTo = (/** @type {number} */ from, /** @type {number} */ below) =>
    Array.from({ length: below - from }, (_, i) => from + i);
  const order = (values.order ?? "").split(".").map(Number);
  const sorted = [...order].sort((one, other) => one - other);
  return {
    photo: one_of("photo", photos),
    hidden: set("hidden", sizes.patches),
    how: one_of("how", ["attention", "gray", "mask"]),
    order: order.length === sizes.patches && sorted.every((patch, i) => patch === i) ? in_order(order) : null,
    positions: one_of("positions", ["kept", "moved", "none"]),
    silenced: set("silenced", sizes.layers * sizes.heads),
    without_dist: values.without_dist === "true",
    look: one_of("look", ["answer", "attention", "rollout", "effects"]),
    query: one_of("query", upTo(0, sizes.tokens)),
    layer: one_of("layer", upTo(-1, sizes.layers)),
    head: one_of("head", upTo(-1, sizes.heads)),
  };
}
