/**
 * Guided walks: each step does something to the state and says what is seen, in numbers that are computed then and
 * there. `holds` is what the walk is for: the tests ask it of the bundled weights, and the page says so when it fails.
 *
 * A walk asks its numbers of a lab, see `questions.js`, which is the same in a page and in Node.
 */

import { heads } from "./walks/heads.js";
import { importance } from "./walks/importance.js";
import { less } from "./walks/less.js";
import { no_photo } from "./walks/nothing.js";
import { order } from "./walks/order.js";

/** @type {import("./walks/words.js").Walk[]} */
export const WALKS = [importance, less, order, heads, no_photo];
