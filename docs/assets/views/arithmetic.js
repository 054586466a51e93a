/**
 * What the arithmetic of one number is made of. All of it has one form: terms, which are products, are added up; then one
 * operation after the other is done with the sum. Nothing here touches the page.
 */

import { flat } from "./cells.js";

/**
 * @typedef {import("./cells.js").Place} Place
 * @typedef {import("../engine/arrays.js").AnyArray} AnyArray
 */

/**
 * @typedef {object} Pass
 * @property {Record<string, AnyArray>} values by the names of the trace
 * @property {any} weights parts of the tree: blocks, patch_embed, the tokens, norm and both heads, and config
 * @property {(step: string) => string} title of a step
 * @property {(token: number) => string} token its name
 * @property {string[]} classes
 */

/** @typedef {{value: number, from?: Place, near?: Place, text?: string}} Factor
 *   from: the entry that it is; near: one that it was made of; text: what it is, where it is not an entry */
/** @typedef {{label: string, factors: Factor[], value: number}} Term value: the product of its factors; in a sum of
 *   powers, e to the power of what is left when the largest is subtracted */
/** @typedef {{op: string, text: string, value: number | null, from?: Place, parts?: Term[], total: number}} Operation
 *   value: the other number; parts: what that is the sum of; total: what comes out */
/**
 * @typedef {object} Worked
 * @property {string} formula in the book's notation, see `formula.js`
 * @property {Term[]} terms
 * @property {number} sum of all terms
 * @property {Operation[]} operations
 * @property {number} total
 * @property {string} [note] a sentence: what kind of number it is, or why nothing is computed
 * @property {{name: string, x: number, y: number}} [curve] the point on the curve of an activation
 * @property {{title: string, worked: Worked}} [after] what becomes of it outside the trace
 */

/** @type {Record<string, (total: number, value: number) => number>} */
const OPERATIONS = {
  "+": (total, value) => total + value,
  "−": (total, value) => total - value,
  "×": (total, value) => total * value,
  "÷": (total, value) => total / value,
  e: (total) => Math.exp(total),
  round: (total) => Math.floor(Math.min(Math.max(total + 0.5, 0), 255)),
};

/** @param {string} label @param {Factor[]} factors @returns {Term} */
export const term = (label, ...factors) => ({ label, factors, value: factors.reduce((y, { value }) => y * value, 1) });

/**
 * @param {string} formula @param {Term[]} terms
 * @param {{op: string, text: string, value?: number, from?: Place, parts?: Term[]}[]} [operations]
 * @param {Partial<Worked>} [more]
 * @returns {Worked}
 */
export function worked_out(formula, terms, operations = [], more = {}) {
  const sum = terms.reduce((y, { value }) => y + value, 0);
  let total = sum;
  const done = operations.map((operation) => {
    const value = operation.value ?? null;
    total = OPERATIONS[operation.op](total, value ?? 0);
    return { ...operation, value, total };
  });
  return { formula, terms, sum, operations: done, total, ...more };
}

/** An entry as a factor. @param {Pass} pass @param {string} step @param {number[]} at @returns {Factor} */
export function entry({ values }, step, at) {
  const { data, shape } = values[step];
  return { value: data[flat(shape, at)], from: { step, at } };
}

/** @param {Pass} pass @param {string} step @param {number[]} at @param {string} note */
export const copy = (pass, step, at, note) => worked_out("", [term(pass.title(step), entry(pass, step, at))], [], { note });
