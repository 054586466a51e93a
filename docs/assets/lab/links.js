/**
 * Ways from the lab into the book.
 */

import { SITE } from "../data.js";
import { el } from "../dom.js";

/**
 * A link to a chapter, or to a part of it.
 * @param {string} place a page below chapters/, and what stands there after #
 * @param {string} text
 */
export function chapter(place, text) {
  const [page, part] = place.split("#");
  return el("a", { href: new URL(`chapters/${page}/${part ? `#${part}` : ""}`, SITE).href }, text);
}

/** The address of a word's entry. @param {string} word what stands there after # */
export const glossary = (word) => new URL(`glossary/#${word}`, SITE).href;

/**
 * Where a panel is explained: a word for the eye, the chapter's subject for screen readers.
 * @param {string} place see `chapter`
 * @param {string} subject
 */
export function why(place, subject) {
  const link = chapter(place, "chapter");
  link.className = "lab-why";
  link.setAttribute("aria-label", `chapter on ${subject}`);
  return link;
}
