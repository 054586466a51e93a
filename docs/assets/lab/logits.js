/**
 * From the logits of both heads to the shares of the answer, a class a row, folded until it is asked for.
 */

import { el, roving } from "../dom.js";
import { percent } from "./answer.js";
import { button, buttons, slider } from "./controls.js";
import { chapter } from "./links.js";
import { LOGITS, best } from "./questions.js";
import { bar, e_to, number, table } from "./tables.js";

/**
 * Every step from logits to shares.
 * @param {ArrayLike<number>} cls logits of the class head
 * @param {ArrayLike<number>} distillation those of the distillation head
 * @param {number} temperature 1 is the model
 * @returns {{mean: number[], powers: number[], sum: number, shares: number[], of_shares: number[]}} powers: e to the
 *   mean logit less the largest one, divided by the temperature; of_shares: the mean of what each head says alone, which
 *   is not what the model answers
 */
export function worked_out(cls, distillation, temperature = 1) {
  const mean = Array.from(cls, (logit, k) => (logit + distillation[k]) / 2);
  const [one, other] = [cls, distillation].map((logits) => shares_at(logits, temperature).shares);
  return { mean, ...shares_at(mean, temperature), of_shares: one.map((share, k) => (share + other[k]) / 2) };
}

/** @param {ArrayLike<number>} logits @param {number} temperature */
function shares_at(logits, temperature) {
  const largest = Math.max(...Array.from(logits));
  const powers = Array.from(logits, (logit) => Math.exp((logit - largest) / temperature));
  const sum = powers.reduce((total, power) => total + power, 0);
  return { powers, sum, shares: powers.map((power) => power / sum) };
}

/**
 * @param {object} options
 * @param {string[]} options.classes
 * @param {HTMLElement[]} options.rows elements that stand for the classes elsewhere, and light up together with a row
 */
export function logits({ classes, rows }) {
  let output = /** @type {any} */ (null);
  let temperature = 1;
  let chosen = /** @type {number | null} */ (null); // a class; null: the one that is answered
  const heat = slider({
    label: "Temperature T",
    min: 0.1,
    max: 10,
    value: temperature,
    log: true,
    text: (value) => (value === 1 ? "1" : number(value)),
    change: (value) => {
      temperature = Math.abs(Math.log(value)) < 0.025 ? 1 : value; // the model's own is easy to find again
      if (temperature === 1) heat.put(1);
      fill();
    },
  });
  const back = button("Back to 1", () => {
    temperature = 1;
    heat.put(1);
    fill();
  });
  const results = el("div.inside-scroll");
  const told = el("p.lab-worked", { id: "lab-worked" });
  const compared = el("p.inside-note.lab-compared");
  const names = classes.map((name, k) =>
    el("button.lab-name", { type: "button", tabindex: k ? -1 : 0, "aria-describedby": "lab-worked", onclick: () => choose(k) }, name),
  );
  const element = el(
    "details.inside-more.lab-logits",
    { ontoggle: () => fill() },
    el("summary", {}, "From logits to this answer"),
    el(
      "p.inside-note",
      {},
      "Each head gives every class a ",
      chapter("heads#one-head-classify", "logit"),
      ". The model takes the ",
      chapter("heads#two-heads-and-their-mean-classify_with_teacher", "mean of the two"),
      ", and ",
      chapter("layers#softmax", "softmax"),
      " turns the means into shares.",
    ),
    results,
    told,
    compared,
    el("div.lab-heat", {}, heat.element, buttons(back)),
    el(
      "p.inside-note",
      {},
      "Here the means are divided by the temperature before softmax. A teacher’s logits are divided in the same way ",
      chapter("losses#the-teachers-probabilities-soft_distillation", "in soft distillation"),
      ".",
    ),
  );
  results.addEventListener("keydown", (event) => roving(names.map((name) => [name]), event));
  // Moves alone: a pointer that rests comes over other rows when the table is written anew.
  for (const kind of ["pointermove", "focusin", "click"]) {
    results.addEventListener(kind, (event) => {
      const row = /** @type {Element} */ (event.target).closest("[data-class]");
      if (row) choose(Number(/** @type {HTMLElement} */ (row).dataset.class));
    });
  }
  rows.forEach((row, k) => {
    for (const kind of ["pointermove", "click"]) row.addEventListener(kind, () => element.open && choose(k));
  });

  /** @param {number} k */
  function choose(k) {
    if (chosen === k) return;
    chosen = k;
    tell();
  }

  function fill() {
    if (!output || !element.open) {
      rows.forEach((row) => row.classList.remove("lab-linked"));
      return;
    }
    const { cls, distillation, found, own } = numbers();
    const had = names.indexOf(/** @type {any} */ (document.activeElement));
    const answered = best(found.mean);
    const lines = names.map((name, k) => {
      const share = el("span.lab-share", {}, percent(found.shares[k]), bar(found.shares[k]));
      const mark = el("i.lab-own", { title: `the model: ${percent(own.shares[k])}` });
      mark.style.left = `${100 * own.shares[k]}%`;
      share.lastElementChild?.append(mark);
      return [name, number(cls[k]), number(distillation[k]), number(found.mean[k]), number(found.powers[k], 3), share];
    });
    const head = ["class", "class head", "dist. head", "mean m", e_to("(m − max) / T"), "share"];
    const sum = percent(found.shares.reduce((total, share) => total + share, 0));
    const filled = table("", head, [...lines, ["sum", "", "", "", number(found.sum, 3), sum]]);
    filled.querySelector("caption")?.remove();
    filled.setAttribute("aria-label", `Logits and shares at a temperature of ${number(temperature)}`);
    [...filled.querySelectorAll("tbody tr")].slice(0, classes.length).forEach((row, k) => {
      /** @type {HTMLElement} */ (row).dataset.class = String(k);
      row.classList.toggle("lab-best", k === answered);
    });
    results.replaceChildren(filled);
    if (had >= 0) names[had].focus(); // it stood in the table before
    back.setAttribute("aria-disabled", String(temperature === 1));
    element.dataset.shares = JSON.stringify(found.shares);
    tell();
  }

  function numbers() {
    const [cls, distillation] = [LOGITS.class, LOGITS.distillation].map((name) => output[name].data);
    const own = worked_out(cls, distillation);
    return { cls, distillation, own, found: temperature === 1 ? own : worked_out(cls, distillation, temperature) };
  }

  /** The arithmetic of one class, in a sentence. */
  function tell() {
    if (!output || !element.open) return;
    const { cls, distillation, found, own } = numbers();
    const answered = best(found.mean);
    const k = chosen ?? answered;
    rows.forEach((row, i) => row.classList.toggle("lab-linked", i === k));
    for (const row of results.querySelectorAll("[data-class]")) {
      row.classList.toggle("lab-linked", /** @type {HTMLElement} */ (row).dataset.class === String(k));
    }
    const largest = Math.max(...found.mean);
    const power = temperature === 1 ? "" : ` / ${number(temperature)}`;
    told.replaceChildren(
      el("b", {}, `${classes[k]}: `),
      `(${number(cls[k])} + ${bracketed(distillation[k])}) / 2 = ${number(found.mean[k])}; `,
      e_to(`${power ? "(" : ""}${number(found.mean[k])} − ${bracketed(largest)}${power ? `)${power}` : ""}`),
      ` = ${number(found.powers[k], 3)}; ${number(found.powers[k], 3)} / ${number(found.sum, 3)} = ${percent(found.shares[k])}.`,
    );
    compared.textContent =
      temperature === 1
        ? `The mean of both heads’ shares would be ${percent(found.of_shares[k])}.`
        : `The model itself, at 1, gives ${classes[k]} ${percent(own.shares[k])}, the mark in the bar. The order stays.`;
  }

  return {
    element,
    /** @param {any} now the classifier's output */
    draw(now) {
      output = now;
      fill();
    },
  };
}

/** A number after an operator. @param {number} value */
const bracketed = (value) => (value < 0 ? `(${number(value)})` : number(value));
