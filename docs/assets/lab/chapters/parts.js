/**
 * What the small instances in the chapters are made of. They share the session's photo and state with each other and
 * with the lab.
 */

import { SITE } from "../../data.js";
import { el } from "../../dom.js";
import { board } from "../board.js";
import { button } from "../controls.js";
import { about } from "../picker.js";
import { session } from "../session.js";
import { spoken } from "../spoken.js";
import { is_untouched, painted_over, untouched } from "../state.js";

/** A state that the classifier answers: one made for the model that guesses pixels is not, and begins anew. */
export const of_classifier = (state) => (state.how === "mask" ? { ...untouched(state), how: "attention" } : state);

/**
 * The frame of an instance: what is asked, its parts, and a line for screen readers that says what has come out.
 * @param {HTMLElement} root
 * @param {string} name for screen readers
 * @param {string} ask what a reader can find out
 * @param {AbortSignal} signal
 * @param {(Node | string)[]} parts
 * @returns {(text: string) => void} says something once things have come to rest
 */
export function frame(root, name, ask, signal, ...parts) {
  const { element, say } = spoken(signal);
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", name);
  root.replaceChildren(el("p.play-ask", {}, el("b", {}, "Try it. "), ask), ...parts, element);
  return say;
}

/** Which photo: those of the site, or the reader's own. @param {AbortSignal} signal */
export async function chooser(signal) {
  const [{ classes }, photos] = await Promise.all([session.model(), session.photos()]);
  const select = el("select", { onchange: () => session.set({ photo: select.value }) });
  select.append(...photos.map(({ name, title }) => el("option", { value: name }, title)));
  const own = el("option", { value: "own", hidden: true }, "Your photo");
  select.append(own);
  const note = el("p.inside-note");
  const file = el("input", { type: "file", accept: "image/*", hidden: true, onchange: bring });
  const choose = button("Your own …", () => file.click());
  const whole = button("Undo what was done to it", () => {
    session.set(untouched(session.state));
    if (whole.hidden) choose.focus(); // this button goes
  });
  const element = el(
    "div.play-photos",
    {},
    el("label.inside-check", {}, el("span", {}, "Photo"), select),
    choose,
    file,
    whole,
    el("a", { href: new URL("lab/", SITE).href }, "More in the lab"),
    note,
  );

  async function bring() {
    if (!file.files.length) return;
    try {
      await session.bring(file.files[0]);
    } catch (error) {
      note.textContent = error.message;
    }
    file.value = ""; // the same file may be chosen again
  }

  function draw() {
    const { photo } = session;
    own.hidden = own.disabled = session.state.photo !== "own" && !session.loaded.has("photo own");
    select.value = session.state.photo;
    whole.hidden = is_untouched(session.state);
    if (photo) note.textContent = session.problem || about(photo, classes);
  }
  session.subscribe(draw, signal);
  draw();
  return element;
}

/**
 * Asks with every change of the state, and draws the newest answer.
 * @template T
 * @param {AbortSignal} signal
 * @param {() => Promise<T | null>} ask
 * @param {(found: T) => void} draw
 */
export function follow(signal, ask, draw) {
  let newest = 0;
  const run = async () => {
    const mine = ++newest;
    try {
      const found = await ask();
      if (found !== null && mine === newest && !signal.aborted) draw(found);
    } catch (error) {
      console.error(error);
    }
  };
  session.subscribe(run, signal);
  return signal.aborted ? Promise.resolve() : run();
}

/**
 * The photo under a brush that hides patches. A finger that turns out to scroll the page hides nothing.
 * @param {import("../state.js").Sizes} sizes
 * @param {() => number[]} hidden now
 * @param {(hidden: number[], continues: boolean) => void} set
 */
export function brushed(sizes, hidden, set) {
  const photo = board({
    sizes,
    label: "the photo; hide patches of it",
    onpaint: (places, on, continues) => set(painted_over(hidden(), places, on), continues),
  });
  photo.use("brush");
  let before = /** @type {number[]} */ ([]);
  photo.grid.addEventListener("pointerdown", () => (before = hidden()), { capture: true });
  photo.grid.addEventListener("pointercancel", () => set(before, true));
  return photo;
}
