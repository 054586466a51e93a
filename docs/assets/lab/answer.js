/**
 * What the model answers: both heads and their mean, a bar for each class, and what has changed since before.
 */

import { el } from "../dom.js";
import { glossary } from "./links.js";
import { best } from "./questions.js";
import { spoken } from "./spoken.js";

export const HEADS = {
  mean: { title: "mean", words: "the mean of both heads’ logits: the model’s answer", href: "" },
  class: { title: "class head", words: "reads the class token", href: glossary("classifier-head") },
  distillation: {
    title: "distillation head",
    words: "reads the distillation token",
    href: glossary("distillation-token"),
  },
};

export const percent = (/** @type {number} */ share, digits = 1) => `${(100 * share).toFixed(digits)}%`;

/** In points of a percent, with its sign. @param {number} change */
export function points(change, digits = 1) {
  const text = (100 * Math.abs(change)).toFixed(digits);
  return Number(text) === 0 ? "0" : `${change < 0 ? "−" : "+"}${text}`;
}

/**
 * @param {object} options
 * @param {string[]} options.classes
 * @param {AbortSignal} options.signal
 */
export function answer({ classes, signal }) {
  const headline = el("p.lab-headline");
  const live = spoken(signal);
  const rows = classes.map((name) => {
    const bar = (kind) => el(`i.lab-${kind}`);
    const [mean, cls, dist, ghost] = ["mean", "class", "distillation", "before"].map(bar);
    for (const each of [mean, cls, dist]) each.style.width = 0; // until there is an answer
    ghost.hidden = true;
    const [number, change] = [el("b"), el("span.lab-change")];
    const bars = el("span.lab-bars", { "aria-hidden": "true" }, mean, cls, dist, ghost);
    return { row: el("li", {}, el("span", {}, name), bars, number, change), mean, cls, dist, ghost, number, change };
  });
  const legend = el(
    "p.lab-legend",
    {},
    ...Object.entries(HEADS).map(([head, { title, words, href }]) =>
      el("span", { title: words }, el(`i.lab-${head}`, { "aria-hidden": "true" }), href ? el("a", { href }, title) : title),
    ),
    el("span", {}, el("i.lab-before", { "aria-hidden": "true" }), "mean before"),
  );
  const element = el("section.lab-answer", { "aria-label": "The answer" }, headline, live.element);
  const list = el("ol.lab-classes", {}, ...rows.map(({ row }) => row));
  const details = el("div.lab-all", {}, list, legend);
  let said = /** @type {number[]} */ ([]);

  /**
   * @param {Record<string, number[]>} now see `questions.shares_of`
   * @param {Record<string, number[]> | null} before null where there is nothing to compare with
   */
  function draw(now, before) {
    const winner = best(now.mean);
    const width = (share) => `${(100 * share).toFixed(2)}%`;
    rows.forEach(({ row, mean, cls, dist, ghost, number, change }, i) => {
      mean.style.width = width(now.mean[i]);
      cls.style.width = width(now.class[i]);
      dist.style.width = width(now.distillation[i]);
      ghost.hidden = !before;
      if (before) ghost.style.left = width(before.mean[i]);
      number.textContent = percent(now.mean[i]);
      number.title = `exactly ${now.mean[i]}`;
      const moved = before ? Math.round(1000 * (now.mean[i] - before.mean[i])) : 0; // as it is written
      change.textContent = moved ? points(moved / 1000) : "";
      change.dataset.sign = String(Math.sign(moved));
      for (const head of Object.keys(HEADS)) row.dataset[head] = String(now[head][i]);
      row.classList.toggle("lab-best", i === winner);
    });
    const change = rows[winner].change.textContent && ` (${rows[winner].change.textContent})`;
    const others = ["class", "distillation"].map((head) => {
      const own = best(now[head]);
      return el(`span.inside-${head}`, { title: HEADS[head].words }, `${HEADS[head].title}: ${classes[own]} ${percent(now[head][own])}`);
    });
    headline.replaceChildren(el("strong", {}, `${classes[winner]} ${percent(now.mean[winner])}${change}`), ...others);
    if (now.mean.every((share, i) => share === said[i])) return; // something else was drawn
    said = now.mean;
    const [own, other] = [now, before ?? now].map(in_words);
    live.say(`The answer: ${own}${other === own ? "" : `, before ${other}`}.`);
  }

  const in_words = (/** @type {Record<string, number[]>} */ { mean }) => `${classes[best(mean)]}, ${percent(mean[best(mean)])}`;

  return { element, details, rows: rows.map(({ row }) => row), draw };
}
