/**
 * Heads that are silent, and what each of them does to the answer.
 */

import { el, roving } from "../../dom.js";
import { points } from "../answer.js";
import { button, buttons } from "../controls.js";
import { why } from "../links.js";
import { painted_over } from "../state.js";
import { watched } from "../watched.js";

/** @typedef {import("../page.js").Page} Page */

/** @param {Page} page */
export function heads({ session, sizes, questions, signal }) {
  const { layers, heads } = sizes;
  let effects = /** @type {number[] | null} */ (null);
  let of = ""; // what was done when they were asked for
  let asked = ""; // what is done where they are being asked for
  const cells = Array.from({ length: layers }, (_, layer) =>
    Array.from({ length: heads }, (__, head) => {
      const i = layer * heads + head;
      return el("button.lab-head", { type: "button", tabindex: i ? -1 : 0, onclick: () => toggle([i]) });
    }),
  );
  const rows = cells.map((line, layer) => {
    const whole = line.map((_, head) => layer * heads + head);
    return el("div.lab-layer", {}, button(`block ${layer + 1}`, () => toggle(whole)), ...line);
  });
  const grid = el("div.lab-heads", { role: "group", "aria-label": "heads" }, ...rows);
  grid.style.setProperty("--columns", heads);
  grid.addEventListener("keydown", (event) => roving(cells, event));
  const said = el("p.lab-said", { role: "status" });
  const each = watched("What does each do?", said, signal, async (watch) => {
    const state = session.state;
    const key = (asked = session.key_of(state));
    effects = await questions.single(state, watch);
    of = key;
    update();
  });
  const element = el(
    "div",
    {},
    el(
      "p.inside-note",
      {},
      "Click a head to silence it: its output is multiplied by zero. A block’s name takes all of it. ",
      why("attention#heads-split-and-merge", "heads"),
    ),
    grid,
    buttons(button("All on", () => session.set({ silenced: [] })), ...each.elements, why("relevance#heads-head_importance", "what heads do to an answer")),
    said,
  );

  session.subscribe(() => asked !== session.key_of(session.state) && each.stop(), signal); // on any tab

  function toggle(numbers) {
    const on = numbers.some((i) => !session.state.silenced.includes(i));
    session.set({ silenced: painted_over(session.state.silenced, numbers, on) });
  }

  function update() {
    const { silenced, how } = session.state;
    each.elements[0].disabled = how === "mask";
    const key = session.key_of(session.state);
    if (of && of !== key) {
      [effects, of] = [null, ""];
      said.textContent = "";
    }
    cells.flat().forEach((cell, i) => {
      const silent = silenced.includes(i);
      cell.setAttribute("aria-pressed", String(silent));
      const change = effects && !silent ? points(effects[i]) : "";
      cell.textContent = silent ? "off" : change || `${(i % heads) + 1}`;
      const name = `head ${(i % heads) + 1} of block ${Math.floor(i / heads) + 1}`;
      cell.setAttribute("aria-label", `${name}, ${silent ? "silent" : "on"}${change ? `: ${change} points without it` : ""}`);
      cell.style.setProperty("--strength", effects ? String(Math.min(1, Math.abs(effects[i]) * 5)) : "0");
    });
  }
  return { element, tool: () => "brush", note: "Drag over the photo to hide patches as well.", update };
}
