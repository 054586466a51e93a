/**
 * Formulas in the book's notation, without the book's typesetter.
 */

import { el } from "../dom.js";

// What is lowered or raised: in braces, or letters or digits; other letters; anything else.
const PARTS = /([_^])(?:\{([^}]*)\}|(\p{L}+|\d+|⊤))|(\p{L}+)|([^\p{L}_^]+)/gu;

/**
 * Single letters, and pairs below the line, lean; words stand upright: "S_ij = Q_i · K_j / √d".
 * @param {string} text
 * @returns {(HTMLElement | string)[]}
 */
export function formula(text) {
  return [...text.matchAll(PARTS)].map(([all, mark, group, word, letters]) => {
    if (mark) return el(mark === "_" ? "sub" : "sup", {}, ...(group ? formula(group) : leaning(word, 2)));
    return letters ? leaning(letters, 1)[0] : all;
  });
}

const leaning = (/** @type {string} */ letters, /** @type {number} */ most) =>
  /^\p{L}/u.test(letters) && letters.length <= most ? [el("i", {}, letters)] : [letters];
