/**
 * What can be done to the model, a panel for each way. A panel is {element, needs, tool, note, update}: what it shows,
 * what it needs to know of a pass besides the answer (nothing, if it does not say), what a pointer on the photo does
 * while it is open, a line that says so, and how it follows the state and the pass, which is null until it is there.
 */

import { el, radios, roving } from "../dom.js";
import { points } from "./answer.js";
import { button, buttons } from "./controls.js";
import { why } from "./links.js";
import { START, doing, shuffled } from "./state.js";

/** @typedef {import("./page.js").Page} Page */

/** Which patches are hidden when the hidden ones and these are put together, or these are taken out. */
export function painted_over(hidden, places, on) {
  const all = new Set(hidden);
  for (const place of places) {
    if (on) all.add(place);
    else all.delete(place);
  }
  return [...all].sort((a, b) => a - b);
}

/** @param {Page} page */
export function hide({ session, sizes, open, use }) {
  const all = [...Array(sizes.patches).keys()];
  const tool = brushes(use, "tool");
  const how = radios(
    "How",
    "how",
    [
      ["attention", "nobody may look there"],
      ["gray", "gray pixels"],
      ["mask", "mask token"],
    ],
    () => session.state.how,
    (how) => (how === "mask" ? open("masked") : session.set({ how })),
  );
  const dist = el("input", { type: "checkbox", onchange: () => session.set({ without_dist: dist.checked }) });
  const invert = () => session.set({ hidden: all.filter((place) => !session.state.hidden.includes(place)) });
  const element = el(
    "div",
    {},
    tool.element,
    how.element,
    buttons(
      button("Show all", () => session.set({ hidden: [] })),
      button("Hide all", () => session.set({ hidden: all })),
      button("Swap hidden and shown", invert),
    ),
    el(
      "label.inside-check",
      {},
      dist,
      el("span", {}, "Nobody may look at the distillation token ", why("tokens", "the distillation token")),
    ),
    el(
      "p.inside-note",
      {},
      "“Nobody may look there” masks the attention: softmax gives these patches a share of zero. Gray pixels are seen, " +
        "and are gray. The mask token is what the model learned to find in the place of a hidden patch when it learned " +
        "to guess pixels; it opens the tab “Masked”. ",
      why("attention#scaled-dot-product-attention", "attention and its mask"),
    ),
  );
  const update = () => {
    how.update();
    dist.checked = session.state.without_dist;
  };
  return { element, tool: tool.current, note: "Drag over the photo to hide patches, once more to show them.", update };
}

/** Brush or rectangle. */
export function brushes(use, name) {
  let chosen = "brush";
  const choose = (name) => use((chosen = name));
  const options = [
    ["brush", "brush"],
    ["rectangle", "rectangle"],
  ];
  const tool = radios("Paint with", name, options, () => chosen, choose);
  return { element: tool.element, current: () => chosen };
}

/** @param {Page} page */
export function shuffle({ session, sizes }) {
  const positions = radios(
    "The position embeddings",
    "positions",
    [
      ["kept", "stay at their places"],
      ["moved", "move along with the patches"],
      ["none", "are zero"],
    ],
    () => session.state.positions,
    (positions) => session.set({ positions }),
  );
  const element = el(
    "div",
    {},
    buttons(
      button("Shuffle", () => session.set({ order: shuffled(sizes.patches) })),
      button("Back in order", () => session.set({ order: null })),
    ),
    positions.element,
    el(
      "p.inside-note",
      {},
      "Attention itself has no order: a patch knows its place only from the vector that is added to it. Let the " +
        "vectors move along, and a shuffle changes nothing; make them zero, and no shuffle does. ",
      why("positions", "position embeddings"),
    ),
  );
  const note = "Drag a patch onto another to swap them, or click one, then the other.";
  return { element, tool: () => "swap", note, update: positions.update };
}

/** @param {Page} page */
export function heads({ session, sizes, questions, signal }) {
  const { layers, heads } = sizes;
  let effects = /** @type {number[] | null} */ (null);
  let of = ""; // what was done when they were asked for
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
    effects = await questions.single(state, watch);
    of = doing(state);
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

  function toggle(numbers) {
    const on = numbers.some((i) => !session.state.silenced.includes(i));
    session.set({ silenced: painted_over(session.state.silenced, numbers, on) });
  }

  function update() {
    const { silenced, how } = session.state;
    each.elements[0].disabled = how === "mask";
    if (of && of !== doing(session.state)) {
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

/**
 * A button for something that takes many passes, with its progress and a way out.
 * @param {string} text
 * @param {HTMLElement} said
 * @param {AbortSignal} signal of the page
 * @param {(watch: import("./questions.js").Watch) => Promise<void>} work
 */
export function watched(text, said, signal, work) {
  let running = /** @type {AbortController | null} */ (null);
  const begin = button(text, run);
  const stop = button("Stop", () => running?.abort());
  stop.hidden = true;
  signal.addEventListener("abort", () => running?.abort());

  async function run() {
    running?.abort();
    const mine = (running = new AbortController());
    stop.hidden = false;
    try {
      await work({
        signal: mine.signal,
        tell: (done, all) => (said.textContent = `${done} of ${all} passes`),
      });
      said.textContent = "";
    } catch (error) {
      if (mine === running) said.textContent = mine.signal.aborted ? "Stopped." : error.message;
    } finally {
      if (mine === running) stop.hidden = true;
    }
  }
  return { elements: [begin, stop], run, stop: () => running?.abort() };
}

/** @param {Page} page */
export function masked({ session, sizes, use }) {
  const tool = brushes(use, "mask-tool");
  const at_random = (share) => () => {
    const order = shuffled(sizes.patches) ?? [...Array(sizes.patches).keys()];
    session.set({ hidden: order.slice(0, Math.round(share * sizes.patches)).sort((a, b) => a - b) });
  };
  const element = el(
    "div",
    {},
    tool.element,
    buttons(
      button("Hide half at random", at_random(0.5)),
      button("Hide three quarters", at_random(0.75)),
      button("Show all", () => session.set({ hidden: START.hidden })),
    ),
    el(
      "p.inside-note",
      {},
      "This is another model of the same size, which was trained without labels: patches were replaced by a mask " +
        "token, and it had to guess their pixels from the rest. Its answer is the guess. What is not hidden it was never " +
        "asked to draw. ",
      why("simmim", "masked images"),
    ),
  );
  return { element, tool: tool.current, note: "Drag over the photo to hide patches and watch the guess.", update() {} };
}
