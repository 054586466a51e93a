/**
 * Chapter 7: the answers of both heads, and every mixture of them.
 */

import { el } from "../../dom.js";
import { as_array } from "../../engine/arrays.js";
import { softmax } from "../../engine/layers.js";
import { percent } from "../answer.js";
import { button, slider } from "../controls.js";
import { best } from "../questions.js";
import { session } from "../session.js";
import { START } from "../state.js";
import { number } from "../tables.js";
import { brushed, chooser, follow, frame, of_classifier } from "./parts.js";

/**
 * Softmax of (1 - share) times the class head's logits and share times the distillation head's.
 * @param {ArrayLike<number>} cls @param {ArrayLike<number>} dist @param {number} share one half is the model's answer
 * @returns {number[]}
 */
export const mixed = (cls, dist, share) =>
  [...softmax(as_array([Array.from(cls, (logit, k) => (1 - share) * logit + share * dist[k])])).data];

/** What to hide: nothing, then each half of a photo. @param {import("../state.js").Sizes} sizes */
export function halves({ patches, grid: [rows, columns] }) {
  const where = (/** @type {(row: number, column: number) => boolean} */ hides) =>
    Array.from({ length: patches }, (_, i) => i).filter((i) => hides(Math.floor(i / columns), i % columns));
  return {
    "": where(() => false),
    left: where((_, column) => column < columns / 2),
    right: where((_, column) => column >= columns / 2),
    upper: where((row) => row < rows / 2),
    lower: where((row) => row >= rows / 2),
  };
}

/** @param {HTMLElement} root @param {AbortSignal} signal */
export async function start(root, signal) {
  const { sizes, classes } = await session.model();
  await session.begin();
  let share = 0.5;
  let found = /** @type {any} */ (null);
  const state = () => of_classifier(session.state);
  const set = (hidden, continues) => session.set({ ...state(), hidden }, { continues });
  const photo = brushed(sizes, () => state().hidden, set);
  const rows = classes.map((name) => {
    const bars = ["cls", "average", "dist"].map((kind) => el("i", { class: `inside-${kind}` }));
    const text = el("b");
    return { element: el("li", {}, el("span", {}, name), el("span.play-three", { "aria-hidden": "true" }, ...bars), text), bars, text };
  });
  const mix = slider({
    label: "Mixture",
    min: 0,
    max: 1,
    value: share,
    text: (value) => `${percent(1 - value, 0)} class head, ${percent(value, 0)} distillation head`,
    change: (value) => {
      share = value;
      draw();
    },
  });
  const note = el("p.play-result");
  const searched = el("span", { role: "status" });
  const say = frame(
    root,
    "Both heads and what lies between",
    "Orange is the class head, violet the distillation head, the thick bar a mixture; half and half is the model’s answer. " +
      "Move the slider. Then hide patches until the two heads disagree: what does their mean say?",
    signal,
    el(
      "div.play-two",
      {},
      el("div", {}, photo.element, el("div.lab-buttons", {}, button("Find a photo on which they disagree", search), searched)),
      el("div", {}, mix.element, el("ol.play-classes", {}, ...rows.map(({ element }) => element)), note),
    ),
    await chooser(signal),
  );

  let searches = 0;

  async function search() {
    const mine = ++searches;
    const begun = session.state;
    searched.textContent = "";
    try {
      const found = await one_to_disagree_on(() => signal.aborted || mine !== searches || session.state !== begun);
      if (!found) {
        if (mine === searches) searched.textContent = "The search has ended, as something was changed.";
        return;
      }
      if (found.state) session.set(found.state);
      searched.textContent = found.told;
    } catch (error) {
      if (mine === searches) searched.textContent = `It was not found: ${error.message}`;
    }
  }

  /** Over all photos of the site, first untouched, then with a half hidden. Null if it is given up. @param {() => boolean} over */
  async function one_to_disagree_on(over) {
    const photos = await session.photos();
    for (const [part, hidden] of Object.entries(halves(sizes))) {
      for (const { name, title } of photos) {
        const state = { ...START, photo: name, hidden };
        const result = await session.answer({ state });
        if (over()) return null;
        const { cls_logits, distillation_logits } = result.output;
        if (best([...cls_logits.data]) === best([...distillation_logits.data])) continue;
        return { state, told: part ? `${title}, without its ${part} half.` : `${title}.` };
      }
    }
    return { state: null, told: "They agree on every photo here: hide patches." };
  }

  function draw() {
    const { cls, dist, state: of, photo: shown } = found;
    photo.draw({ picture: shown.picture, order: of.order, hidden: of.hidden, how: of.how });
    const [of_cls, between, of_dist] = [0, share, 1].map((part) => mixed(cls, dist, part));
    rows.forEach(({ element, bars, text }, k) => {
      [of_cls, between, of_dist].forEach((shares, i) => (bars[i].style.width = `${100 * shares[k]}%`));
      text.textContent = percent(between[k]);
      element.classList.toggle("lab-best", k === best(between));
    });
    root.dataset.shares = JSON.stringify([of_cls, between, of_dist]);
    const names = [of_cls, of_dist].map((shares) => `${classes[best(shares)]}, ${percent(Math.max(...shares))}`);
    const agreed = best(of_cls) === best(of_dist);
    const told = `Class head: ${names[0]}. Distillation head: ${names[1]}. ` + (agreed ? "They agree." : turn(cls, dist));
    note.textContent = told;
    say(`${told} The mixture: ${classes[best(between)]}, ${percent(Math.max(...between))}.`);
  }

  /** Where on the way from one head to the other the answer turns first. */
  function turn(cls, dist) {
    const first = best([...cls]);
    const at = Array.from({ length: 101 }, (_, i) => i / 100).find((part) => best(mixed(cls, dist, part)) !== first);
    return `They disagree; the mixture leaves ${classes[first]} at a share of ${number(at)} for the distillation head.`;
  }

  await follow(
    signal,
    async () => {
      const of = state();
      const shown = await session.photo_of(of.photo);
      const result = await session.answer({ state: of, lane: "heads" });
      if (!result) return null;
      const { cls_logits, distillation_logits } = result.output;
      return { cls: cls_logits.data, dist: distillation_logits.data, state: of, photo: shown };
    },
    (answer) => {
      found = answer;
      draw();
    },
  );
}
