/**
 * What the small instances in the chapters are made of. They share the session's photo and state with each other and
 * with the lab.
 */

import { SITE } from "../../data.js";
import { el } from "../../dom.js";
import { board } from "../board.js";
import { painted_over } from "../panels.js";
import { about } from "../picker.js";
import { session } from "../session.js";
import { is_untouched, untouched } from "../state.js";

export const number = (/** @type {number} */ value, digits = 2) => {
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const text = Math.abs(value).toFixed(digits);
  return value < 0 && Number(text) !== 0 ? `−${text}` : text;
};

export const vector = (/** @type {ArrayLike<number>} */ values, digits = 2) =>
  `(${Array.from(values, (value) => short(value, digits)).join(", ")})`;

/** Without zeros at the end. */
export const short = (/** @type {number} */ value, digits = 2) => number(value, digits).replace(/\.?0+$/, "");

export const button = (text, onclick, more = {}) => el("button.inside-button", { type: "button", onclick, ...more }, text);

/** A state that the classifier answers: one made for the model that guesses pixels is not, and begins anew. */
export const of_classifier = (state) => (state.how === "mask" ? { ...untouched(state), how: "attention" } : state);

/** Row and column of a place, counted from 1. @param {number} place @param {{grid: number[]}} sizes */
export const place_name = (place, { grid }) => `row ${Math.floor(place / grid[1]) + 1}, column ${(place % grid[1]) + 1}`;

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
  const live = el("p.lab-live.deit-hidden", { role: "status" });
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", name);
  root.replaceChildren(el("p.play-ask", {}, el("b", {}, "Try it. "), ask), ...parts, live);
  let speaking = 0;
  signal.addEventListener("abort", () => clearTimeout(speaking));
  return (text) => {
    clearTimeout(speaking);
    speaking = setTimeout(() => (live.textContent = text), 500);
  };
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
  const whole = button("Undo what was done to it", () => session.set(untouched(session.state)));
  const element = el(
    "div.play-photos",
    {},
    el("label.inside-check", {}, el("span", {}, "Photo"), select),
    button("Your own …", () => file.click()),
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
    if (photo) note.textContent = about(photo, classes);
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
  return run();
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

/** A number that can be changed. @param {string} label @param {number} value @param {(value: number) => void} change */
export function field(label, value, change) {
  const input = el("input", { type: "number", step: "any", "aria-label": label, value: short(value, 3).replace("−", "-") });
  input.addEventListener("input", () => {
    if (input.value !== "" && Number.isFinite(input.valueAsNumber)) change(input.valueAsNumber);
  });
  return input;
}

/**
 * A slider with its value. Its steps are even in the logarithm where `log` says so.
 * @param {{label: string, min: number, max: number, value: number, log?: boolean, text: (value: number) => string,
 *   change: (value: number) => void}} options
 */
export function slider({ label, min, max, value, log = false, text, change }) {
  const [to, from] = log ? [Math.log, Math.exp] : [(x) => x, (x) => x];
  const input = el("input", { type: "range", min: to(min), max: to(max), step: "any", "aria-label": label });
  const shown = el("output");
  const put = (now) => {
    input.value = String(to(now));
    shown.textContent = text(now);
    input.setAttribute("aria-valuetext", text(now));
  };
  input.addEventListener("input", () => {
    const now = from(input.valueAsNumber);
    put(now);
    change(now);
  });
  input.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    if (!way) return; // "any" has no step of its own that would suit
    event.preventDefault();
    const now = Math.min(max, Math.max(min, from(input.valueAsNumber + (way * (to(max) - to(min))) / 50)));
    put(now);
    change(now);
  });
  put(value);
  return { element: el("label.play-slider", {}, el("span", {}, label), input, shown), put };
}

/** e to a power, as it is written. @param {string} power */
export const e_to = (power) => el("span", {}, "e", el("sup", {}, power));

/** A part of a bar, from 0 to 1. @param {number} share @param {string} kind whose color it has */
export function bar(share, kind = "average") {
  const filled = el("i");
  filled.style.width = `${100 * share}%`;
  return el(`span.inside-bar.inside-${kind}`, { "aria-hidden": "true" }, filled);
}

/** A table: its head, and rows whose first cell names them. @param {string} caption @param {(string | Node)[]} head */
export function table(caption, head, rows) {
  return el(
    "table",
    {},
    el("caption", {}, caption),
    el("thead", {}, el("tr", {}, ...head.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, ...rows.map(([name, ...cells]) => el("tr", {}, el("th", { scope: "row" }, name), ...cells.map((content) => el("td", {}, content))))),
  );
}
