/**
 * What is chosen in the attention viewer, to and from its address. Nothing here touches the page.
 */

import { naming } from "./tokens.js";

/**
 * @typedef {object} Chosen
 * @property {"attention" | "rollout"} show
 * @property {number | null} layer from 1; null with `head`: those of the sharpest look
 * @property {number | null} head from 1; 0 is the mean of all
 * @property {number} left the token that looks in the left map
 * @property {number} right
 * @property {"shared" | "own" | "full"} scale
 * @property {"photo" | "seen"} pixels the photo itself, or what the model sees
 * @property {number} colors their strength in percent
 * @property {boolean} numbers
 */

/**
 * What is not understood is as at the beginning.
 * @param {Record<string, string>} asked @param {import("../lab/state.js").Sizes} sizes
 * @returns {Chosen}
 */
export function from_address(asked, sizes) {
  const { layers, heads, prefix } = sizes;
  const names = naming(sizes);
  const one_of = (/** @type {string} */ value, /** @type {any[]} */ values) =>
    values.includes(value) ? value : values[0];
  const number = (/** @type {string} */ value, /** @type {number} */ most, /** @type {number} */ otherwise) => {
    const n = Number(value);
    return Number.isInteger(n) && n >= 1 && n <= most ? n : otherwise;
  };
  const show = one_of(asked.show, ["attention", "rollout"]);
  const layer = number(asked.layer, layers, 0);
  const head = asked.head === "mean" ? 0 : number(asked.head, heads, -1);
  const any = show === "rollout" || layer > 0 || head >= 0; // an address that names one of them means no other
  const strength = asked.colors === undefined ? 70 : Number(asked.colors);
  return {
    show,
    layer: any ? layer || layers : null,
    head: any ? Math.max(head, 0) : null,
    left: names.token(asked.left, 0),
    right: names.token(asked.right, prefix > 1 ? 1 : 0),
    scale: one_of(asked.scale, ["shared", "own", "full"]),
    pixels: one_of(asked.pixels, ["photo", "seen"]),
    colors: strength >= 0 && strength <= 100 ? strength : 70,
    numbers: asked.numbers !== "off",
  };
}

/** @param {string} photo @param {Chosen} chosen @param {import("../lab/state.js").Sizes} sizes */
export function to_address(photo, { layer, head, left, right, numbers, ...more }, sizes) {
  const names = naming(sizes);
  return {
    photo,
    ...(layer === null ? {} : { layer, head: head || "mean" }),
    left: names.key(left),
    right: names.key(right),
    ...more,
    numbers: numbers ? "on" : "off",
  };
}
