/**
 * Chapter 7: what both heads would say after every block, and how long the class token is by then.
 */

import { el } from "../../dom.js";
import { percent } from "../answer.js";
import { lens, stream } from "../lens.js";
import { best } from "../questions.js";
import { session } from "../session.js";
import { bar, number } from "../tables.js";
import { brushed, chooser, follow, frame, of_classifier } from "./parts.js";

const HEADS = { class: "class head", distillation: "distillation head" };

/**
 * After which block an answer stands that does not change any more; 0 is the embeddings.
 * @param {Record<string, number[]>[]} said see `lens`
 * @param {string} head
 */
export function settled(said, head) {
  const answers = said.map((shares) => best(shares[head]));
  let place = answers.length - 1;
  while (place > 0 && answers[place - 1] === answers.at(-1)) place--;
  return place;
}

/** @param {HTMLElement} root @param {AbortSignal} signal */
export async function start(root, signal) {
  const { sizes, classes, parts } = await session.model();
  await session.begin();
  let follows = ""; // a class; "" is what is answered in the end
  const state = () => of_classifier(session.state);
  const set = (hidden, continues) => session.set({ ...state(), hidden }, { continues });
  const photo = brushed(sizes, () => state().hidden, set);
  const select = el("select", { onchange: () => {
    follows = select.value;
    draw();
  } });
  select.append(el("option", { value: "" }, "the final answer"), ...classes.map((name) => el("option", { value: name }, name)));
  const rows = el("div.play-lens", { role: "table", "aria-label": "after every block" });
  const note = el("p.play-result");
  let found = /** @type {any} */ (null);
  const say = frame(
    root,
    "What the model would say after every block",
    "After which block does the final answer stand, and do both heads agree on the way? Drag over the photo to hide a part of " +
      "it: does the answer appear later, or another one?",
    signal,
    el(
      "div.play-two",
      {},
      el("div", {}, photo.element),
      el("div", {}, el("label.inside-check", {}, el("span", {}, "The bars show"), select), rows, note),
    ),
    await chooser(signal),
  );

  function draw() {
    const { said, lengths, state: of, photo: shown } = found;
    photo.draw({ picture: shown.picture, order: of.order, hidden: of.hidden, how: of.how });
    const followed = follows ? classes.indexOf(follows) : best(said.at(-1).mean);
    const longest = Math.max(...lengths.map(({ cls }) => cls));
    const line = (title, ...cells) => el("div", { role: "row" }, el("span", { role: "rowheader" }, title), ...cells);
    const head_row = el(
      "div",
      { role: "row" },
      ...["after", "class head", "distillation head", "length of class token"].map((text) => el("span", { role: "columnheader" }, text)),
    );
    rows.replaceChildren(
      head_row,
      ...said.map((shares, i) => {
        const cells = Object.keys(HEADS).map((head) => {
          const own = best(shares[head]);
          const words = `${classes[own]} ${percent(shares[head][own], 0)}`;
          return el(`span.inside-${head}`, { role: "cell", title: `${classes[followed]}: ${percent(shares[head][followed])}` }, words, bar(shares[head][followed], head));
        });
        const { cls } = lengths[i];
        const length = el("span.inside-cls", { role: "cell" }, number(cls, 1), bar(cls / longest, "cls"));
        return line(i ? `block ${i}` : "start", ...cells, length);
      }),
    );
    root.dataset.lens = JSON.stringify(said.map((shares) => Object.keys(HEADS).map((head) => shares[head])));
    root.dataset.lengths = JSON.stringify(lengths.map(({ cls }) => cls));
    const places = Object.entries(HEADS).map(([head, name]) => {
      const place = settled(said, head);
      return `the ${name}’s ${classes[best(said.at(-1)[head])]} stands ${place ? `after block ${place}` : "from the start"}`;
    });
    const told = `${places.join("; ")}.`;
    note.textContent = told[0].toUpperCase() + told.slice(1);
    say(note.textContent);
  }

  await follow(
    signal,
    async () => {
      const of = state();
      const shown = await session.photo_of(of.photo);
      const result = await session.answer({ state: of, lane: "lens", options: { output_hidden_states: true } });
      if (!result) return null;
      const { hidden_states } = result.output;
      return { said: lens(parts, hidden_states), lengths: stream(hidden_states, sizes), state: of, photo: shown };
    },
    (answer) => {
      found = answer;
      draw();
    },
  );
}
