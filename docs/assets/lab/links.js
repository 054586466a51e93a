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
