/**
 * Where one number comes from: its arithmetic, and the way back through the pass, from input to input.
 */

import { SITE } from "../data.js";
import { el } from "../dom.js";
import { session } from "../lab/session.js";
import { in_one_line, table } from "./card.js";
import { COLORS, axes, called, flat, inside, key, neighbor } from "./cells.js";
import { formula } from "./formula.js";
import { facts, signed } from "./numbers.js";
import { title_of } from "./pass.js";
import { worked } from "./worked.js";

/** @typedef {import("./cells.js").Place} Place */

const HINT =
  "Click a number in a picture to see how it was made; by keyboard, go to a picture, to a row, then along it, and press Enter.";
const DEEP = 100; // places that Back leads to
const PARTS = ["blocks", "patch_embed", "cls_token", "dist_token"];

/**
 * @param {object} options
 * @param {any} options.kinds of steps.json
 * @param {any} options.context sizes, classes and names
 * @param {(place: Place | null, token?: number | null, how?: string) => void} options.show another number, or none; how:
 *   "link" where the browser's Back shall return to the one before
 * @param {() => void} options.leave the focus goes back to the picture
 */
export function origin({ kinds, context, show, leave }) {
  const { classes, names } = context;
  /** @type {(Place & {linked?: boolean})[]} linked: the browser's Back leads there, too */
  let trail = [];
  let ahead = /** @type {Place[]} */ ([]); // where the browser's Forward leads
  let returning = /** @type {number | null} */ (null); // where of the trail the browser is on its way
  let values = /** @type {Record<string, any>} */ ({});
  let weights = /** @type {any} */ (null);
  let here = /** @type {Place | null} */ (null);
  let wanted = ""; // on the screen, once it is there; "by key": with the focus

  const button = (/** @type {string} */ text, /** @type {string} */ title, /** @type {() => void} */ onclick) =>
    el("button.inside-button", { type: "button", title, "aria-label": title, onclick }, text);
  const back = button("← Back", "back to the number before", () => back_to(trail.length - 1));
  /** @type {[number, number, number][]} */
  const ways = [[0, -1, 0], [-1, 0, 0], [1, 0, 0], [0, 1, 0]];
  const [left, up, down, right] = ways;
  const moves = [
    button("←", "the number to the left", () => step(left)),
    button("↑", "the number above", () => step(up)),
    button("↓", "the number below", () => step(down)),
    button("→", "the number to the right", () => step(right)),
  ];
  const color = button("", "another color of this pixel", () => step([0, 0, 1]));
  const close = button("Close", "close", () => (leave(), show(null)));
  const bar = el("div.views-origin-bar", { role: "group", "aria-label": "Other numbers" }, back, ...moves, color, close);
  const way = el("ol.views-trail", { "aria-label": "The way here" });
  const heading = el("h2", { tabindex: -1 });
  const rule = el("p.views-formula");
  const said = el("p.views-said", { role: "status" });
  const body = el("div.views-arithmetics");
  const head = el("div.views-origin-head", {}, heading, bar);
  const label = { "aria-label": "Where one number comes from" };
  const element = el("section.views-origin", label, way, head, said, rule, body);
  element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Escape" && here) leave();
    else if (event.key === "Backspace" && trail.length) back_to(trail.length - 1);
    else return;
    event.preventDefault();
  });

  const kind_of = (/** @type {string} */ step) => kinds[/** @type {string} */ (step.split(".").at(-1))];
  const title = (/** @type {string} */ step) => title_of(step, kinds);
  const there = ({ step, at }) => step in values && inside(values[step].shape, at);
  const value_of = ({ step, at }) => values[step].data[flat(values[step].shape, at)];
  const words = ({ step, at }) => called(kind_of(step).picture, values[step].shape, at, context);
  const name = (/** @type {Place} */ place) => `${title(place.step)}: ${words(place)}`;

  /** @param {Place} one @param {Place | null} other */
  const same = (one, other) => one.step === other?.step && key(one.at) === key(other.at);

  /** Onto the way that Back leads. @param {Place & {linked?: boolean}} place */
  const remember = (place) => (trail = [...trail, place].slice(-DEEP));

  /** @param {number} i of the trail */
  function back_to(i) {
    const linked = trail.slice(i).filter((place) => place.linked).length;
    if (linked) {
      returning = i;
      return history.go(-linked); // so that Back in the page and in the browser are the same; returned() follows
    }
    const place = trail[i];
    trail = trail.slice(0, i);
    move(place);
  }

  /** The browser went back or forward to a number. @param {Place | null} place @returns {boolean} whether it is shown now */
  function returned(place) {
    const to = returning === null ? place : trail[returning];
    if (!to || !there(to)) return false;
    const i = returning ?? trail.findLastIndex((one) => same(one, to));
    returning = null;
    if (here && same(to, here)) return true; // only the part of the page was another
    const j = ahead.findIndex((one) => same(one, to));
    const now = here ? [here] : [];
    if (i >= 0) [trail, ahead] = [trail.slice(0, i), [...trail.slice(i + 1), ...now, ...ahead]];
    else if (j < 0) [trail, ahead] = [[], []]; // from before the page was loaded
    else {
      for (const one of [...now, ...ahead.slice(0, j)]) remember({ ...one, linked: true });
      ahead = ahead.slice(j + 1);
    }
    move(to);
    return true;
  }

  /** @param {Place} place */
  function follow(place) {
    if (here) remember({ ...here, linked: true });
    ahead = [];
    move(place, "link");
  }

  /** Without anything moving under the pointer. @param {Place} place @param {string} [how] */
  function move(place, how) {
    const top = element.getBoundingClientRect().top;
    show(place, undefined, how);
    scrollBy(0, element.getBoundingClientRect().top - top);
    heading.focus({ preventScroll: true });
  }

  /** The one beside it in the picture, if there is one. @param {[number, number, number]} by rows, columns and colors
   * @returns {Place | null} */
  function beside(by) {
    const at = here && neighbor(kind_of(here.step).picture, values[here.step].shape, here.at, by);
    return here && at && { step: here.step, at };
  }

  /** @param {[number, number, number]} by */
  function step(by) {
    const place = beside(by);
    if (place) show(place);
  }

  /**
   * @param {import("./pass.js").Step[]} steps @param {Place | null} place
   */
  function draw(steps, place) {
    if (values[steps[0].name] !== steps[0].value) values = Object.fromEntries(steps.map((one) => [one.name, one.value]));
    trail = trail.filter(there);
    here = place && there(place) ? place : null;
    element.classList.toggle("views-empty", !here);
    back.hidden = !trail.length;
    for (const one of [...moves, color, close, rule, heading]) one.hidden = !here;
    draw_trail();
    if (!here) {
      if (said.textContent !== HINT) said.textContent = HINT; // or it is said again
      body.replaceChildren();
      return null;
    }
    const now = here;
    ways.forEach((by, i) => moves[i].setAttribute("aria-disabled", String(!beside(by))));
    const { color: axis } = axes(kind_of(now.step).picture, values[now.step].shape);
    color.hidden = axis < 0;
    color.textContent = `${COLORS[now.at[axis]] ?? ""} ↻`;
    heading.textContent = `${signed(value_of(now))} in ${title(now.step)}: ${words(now)}`;
    heading.title = `exactly ${value_of(now)}`;
    if (wanted === "by key") heading.focus({ preventScroll: true });
    if (weights) return explain(now);
    said.textContent = "The weights are on their way …";
    body.replaceChildren();
    load().then(
      () => here === now && element.isConnected && show(now),
      (error) => (said.textContent = `The weights could not be had: ${error.message}`),
    );
    return null;
  }

  async function load() {
    const [engine, { name: model, parts }] = await Promise.all([session.engine(), session.model()]);
    const more = await session.once("weights of the steps", () => engine.weights(PARTS, model));
    weights = { ...parts, ...more };
  }

  /** @param {Place} now */
  function explain(now) {
    const made = worked({ values, weights, title, token: names.name, classes }, now);
    const { number, title: of, link: to } = kind_of(now.step).formula;
    const link = el("a", { href: new URL(to, SITE).href }, `Chapter ${number}: ${of}`);
    rule.replaceChildren(...(made.formula ? [el("span.views-math", {}, ...formula(made.formula)), " "] : []), link);
    const { terms: [largest, , , more] } = made;
    const most = `The largest of ${made.terms.length} products: ${largest.label}, ${signed(largest.value)}. `;
    const line = made.operations.length || (made.terms.length > 1 && !more) ? `${in_one_line(made)}. ` : "";
    said.textContent = `${line}${more ? most : ""}${made.note ? `${made.note} ` : ""}${agreement(now, made.total)}`;
    body.replaceChildren(...table(made, { follow, name }));
    if (wanted) element.scrollIntoView({ block: "nearest" });
    wanted = "";
    return made;
  }

  /** What is computed here beside what the pass computed. @param {Place} now @param {number} total */
  function agreement(now, total) {
    const value = value_of(now);
    const { min, max } = facts(values[now.step]);
    if (Math.abs(total - value) > 1e-5 * Math.max(-min, max)) {
      return `In the array: ${signed(value)}, of the bytes that Pillow decodes; your browser decodes this photo a little otherwise.`;
    }
    return signed(total) === signed(value) ? "" : `In the array: ${signed(value)}, because it holds float32.`;
  }

  function draw_trail() {
    const few = trail.slice(-4);
    const crumb = (/** @type {Place} */ place, /** @type {number} */ i) => {
      const at = trail.length - few.length + i;
      const label = `back to ${signed(value_of(place))}, ${name(place)}`;
      const onclick = () => back_to(at);
      const text = `${kind_of(place.step).title} ${signed(value_of(place))}`;
      return el("li", {}, el("button.views-link", { type: "button", title: name(place), "aria-label": label, onclick }, text));
    };
    const more = trail.length > few.length ? [el("li", {}, `${trail.length - few.length} more`)] : [];
    way.replaceChildren(...more, ...few.map(crumb));
    way.hidden = !trail.length;
  }

  return {
    element,
    draw,
    load,
    remember,
    returned,
    /** What is drawn next comes onto the screen. @param {boolean} by_key whether it gets the focus */
    reveal: (by_key) => (wanted = by_key ? "by key" : "by pointer"),
  };
}
