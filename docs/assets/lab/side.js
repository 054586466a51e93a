/**
 * What stands beside the photo: the answer, or the guess, and what it is compared with.
 */

import { el } from "../dom.js";
import { answer } from "./answer.js";
import { compared } from "./compared.js";
import { guess } from "./guess.js";
import { logits } from "./logits.js";
import { shares_of } from "./questions.js";
import { pixels_of } from "./request.js";
import { spoken } from "./spoken.js";

/** @typedef {{state: import("./state.js").State, photo: import("./photo.js").Photo, output: any}} Seen */

/** @param {import("./page.js").Page} page */
export function side(page) {
  const { classes, sizes, signal } = page;
  const said = answer({ classes, signal });
  const worked = logits({ classes, rows: said.rows });
  const guessed = guess(page);
  const live = spoken(signal);
  const before = compared(page);
  const of_answer = [said.element, said.details, worked.element];
  const of_guess = [guessed.element, guessed.details, live.element];
  const details = [said.details, worked.element, guessed.details];
  const element = el("div.lab-side", {}, said.element, guessed.element, ...details, before.element, live.element);

  /** Before anything is known of a state. @param {import("./state.js").State} state */
  function update({ how }) {
    before.update();
    for (const part of of_answer) part.hidden = how === "mask";
    for (const part of of_guess) part.hidden = how !== "mask";
  }

  /** @param {Seen} now @param {(Seen & {over: object}) | null} then what it is compared with, once that is known */
  function draw(now, then) {
    const guesses = now.state.how === "mask";
    if (guesses) live.say(guessed.draw(now.output, pixels_of(now.state, now.photo.pixel_values, sizes), now.state.hidden));
    if (!then) return;
    const shares = shares_of(then.output);
    before.draw(then.state, then.photo, then.over, shares);
    if (guesses) return;
    said.draw(shares_of(now.output), shares);
    worked.draw(now.output);
  }
  return { element, update, draw };
}
