/**
 * What is chosen in the stepper, to and from its address. Nothing here touches the page.
 */

import { from_key, inside, key } from "./cells.js";

/**
 * @typedef {object} Chosen
 * @property {string} name of the step, because that stays when the photo changes
 * @property {boolean} folded
 * @property {string} scale "linear", "log" or "rank"
 * @property {string} range "own", "shared" or "blocks"
 * @property {string} beside "off", "before", or the name of a step that is kept
 * @property {number | null} token that is kept
 * @property {number[] | null} cell the number that is explained
 */

/** @typedef {ReturnType<typeof import("./tokens.js").naming>} Names */

/** @param {Record<string, string>} asked @param {Names} names @returns {Chosen} */
export function from_address(asked, names) {
  const one_of = (/** @type {string} */ value, /** @type {string[]} */ values) =>
    values.includes(value) ? value : values[0];
  return {
    name: asked.step,
    folded: asked.fold !== "off",
    scale: one_of(asked.scale, ["linear", "log", "rank"]),
    range: one_of(asked.range, ["own", "shared", "blocks"]),
    beside: asked.beside ?? "off",
    token: names.token(asked.token, /** @type {number | null} */ (null)),
    cell: from_key(asked.cell),
  };
}

/** What names no step of this pass is as at the beginning. @param {Chosen} chosen @param {import("./pass.js").Step[]} steps */
export function settle(chosen, steps) {
  const of = (/** @type {string} */ name) => steps.find((step) => step.name === name);
  if (!of(chosen.name)) [chosen.name, chosen.cell] = [steps[0].name, null];
  if (chosen.beside !== "before" && !of(chosen.beside)) chosen.beside = "off";
  const { shape } = /** @type {import("./pass.js").Step} */ (of(chosen.name)).value;
  if (chosen.cell && !inside(shape, chosen.cell)) chosen.cell = null;
}

/** @param {string} photo @param {Chosen} chosen @param {Names} names */
export function to_address(photo, { name, folded, scale, range, beside, token, cell }, names) {
  return {
    ...{ photo, step: name, fold: folded ? "on" : "off", scale, range },
    ...(beside === "off" ? {} : { beside }),
    ...(token === null ? {} : { token: names.key(token) }),
    ...(cell ? { cell: key(cell) } : {}),
  };
}
