/**
 * Where tokens look, in numbers, and the same in words and in Python. Nothing here touches the page.
 */

import { attention_rollout } from "../engine/attention.js";
import { look } from "../lab/lens.js";
import { SPECIAL, capital } from "./tokens.js";

/** @typedef {import("../engine/arrays.js").NDArray} NDArray */

/**
 * @typedef {object} View
 * @property {string} show "attention" or "rollout"
 * @property {number} layer from 1
 * @property {number} head from 1; 0 is the mean of all
 */

export const percent = (/** @type {number} */ share) => (100 * share).toFixed(2);
/** float32 needs up to nine digits to be told from its neighbors. @param {number} share */
export const exact = (share) => String(Number(share.toPrecision(9)));

/**
 * Rows of a pass: how much a token takes from each.
 * @param {NDArray[]} attentions
 * @returns {(token: number, view: View) => number[]}
 */
export function looks(attentions) {
  /** @type {Map<number, NDArray>} */
  const rollouts = new Map();
  return (token, { show, layer, head }) => {
    if (show === "attention") return look(attentions, { layer: layer - 1, head: head - 1, query: token });
    const rollout = rollouts.get(layer) ?? attention_rollout(attentions.slice(0, layer));
    rollouts.set(layer, rollout);
    const tokens = rollout.shape[2];
    return [...rollout.data.subarray(token * tokens, (token + 1) * tokens)];
  };
}

/** @param {View} view */
export function title({ show, layer, head }) {
  if (show === "rollout") return `Rollout up to block ${layer}`;
  return `Block ${layer}, ${head ? `head ${head}` : "mean of the heads"}`;
}

/**
 * @param {View} view @param {number} token @param {number[]} shares
 * @param {ReturnType<typeof import("./tokens.js").naming>} names @param {number} prefix
 */
export function summary(view, token, shares, names, prefix) {
  const patches = shares.slice(prefix);
  const order = [...patches.keys()].sort((a, b) => patches[b] - patches[a]);
  const place = (/** @type {number} */ i) => `${names.place(prefix + i)} (${percent(patches[i])}%)`;
  const special = SPECIAL.slice(0, prefix)
    .map((name, i) => `${percent(shares[i])}% to ${i === token ? "itself" : `the ${name}`}`)
    .join(" and ");
  const itself = token >= prefix ? ` Its own place gets ${percent(shares[token])}%.` : "";
  return (
    `${title(view)}, ${names.name(token)}: looks most at ${place(order[0])}, then at ${place(order[1])} and ` +
    `${place(order[2])}. ${capital(special)}.${itself}`
  );
}

/** @param {View} view @param {number} token @param {import("../lab/state.js").Sizes} sizes */
export function in_python({ show, layer, head }, token, { prefix, grid: [rows, columns] }) {
  const reshaped = `${prefix}:].reshape(${rows}, ${columns})`;
  if (show === "rollout") return `attention_rollout(output.attentions[:${layer}])[0, ${token}, ${reshaped}`;
  if (head) return `output.attentions[${layer - 1}][0, ${head - 1}, ${token}, ${reshaped}`;
  return `output.attentions[${layer - 1}][0].mean(axis=0)[${token}, ${reshaped}`;
}

/** Where the stepper tells how a share was made; null where it is not an entry of an array: a mean of heads, rollout.
 * @param {View} view @param {number} token @param {number} other that it looks at */
export function in_stepper({ show, layer, head }, token, other) {
  if (show === "rollout" || !head) return null;
  return { step: `blocks.${layer - 1}.attention.probabilities`, cell: `0.${head - 1}.${token}.${other}` };
}
