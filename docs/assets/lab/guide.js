/**
 * The guided walks on a page: one step at a time, with its numbers computed when it is reached.
 */

import { el } from "../dom.js";
import { button } from "./controls.js";
import { WALKS } from "./walks.js";

/** @param {import("./page.js").Page & {walks?: any[], reached?: () => void}} page walks: those to choose from; reached:
 *   called with each step that can be read; shown: before its state is set */
export function guide({ session, questions, signal, shown, reached, walks = WALKS }) {
  let walk = /** @type {import("./walks/words.js").Walk | null} */ (null);
  let at = 0;
  let asked = 0;
  const title = el("h2", { tabindex: -1 });
  const text = el("p", { role: "status" });
  const count = el("span.lab-count");
  const back = button("← Back", () => go(at - 1));
  const next = button("Next →", () => {
    if (next.getAttribute("aria-disabled") !== "true") return at + 1 < walk.steps.length ? go(at + 1) : leave();
  });
  const card = el(
    "section.inside-card.lab-walk",
    { "aria-label": "A walk", hidden: true },
    title,
    text,
    el("div.lab-buttons", {}, back, next, count, button("Leave", () => leave())),
  );
  const list = el(
    "div.lab-walks",
    { role: "group", "aria-label": "Show me" },
    el("span", {}, "Show me:"),
    ...walks.map((one) => button(one.title, () => begin(one), { "data-walk": one.name })),
  );

  function begin(one) {
    walk = one;
    card.hidden = false;
    title.textContent = one.title;
    session.compare_with(null);
    title.focus({ preventScroll: true });
    reached?.();
    return go(0);
  }

  function leave() {
    walk = null;
    asked += 1; // a step that is being computed comes to nothing
    card.hidden = true;
    mark();
    list.querySelector("button").focus();
  }

  function mark() {
    for (const one of list.querySelectorAll("[data-walk]")) {
      one.setAttribute("aria-pressed", String(one.dataset.walk === walk?.name));
    }
  }

  async function go(to) {
    if (!walk || to < 0) return;
    at = to;
    mark();
    const mine = ++asked;
    card.dataset.step = "loading";
    back.setAttribute("aria-disabled", String(to === 0));
    next.textContent = to + 1 < walk.steps.length ? "Next →" : "Done";
    count.textContent = `${to + 1} of ${walk.steps.length}`;
    next.setAttribute("aria-disabled", "true"); // a step that asks to decide first is not gone past
    const passes = el("span", { "aria-hidden": "true" });
    text.replaceChildren("Computing … ", passes);
    const tell = (/** @type {number} */ done, /** @type {number} */ all) => (passes.textContent = `${done} of ${all} passes`);
    try {
      const step = await walk.steps[to](counted(questions, tell));
      if (mine !== asked || signal.aborted) return;
      shown(step.state);
      session.set(step.state);
      const last = to + 1 === walk.steps.length;
      const doubt =
        last && !(await walk.holds(questions)) ? " (With these weights the surprise does not show: look at the numbers.)" : "";
      if (mine !== asked) return;
      text.textContent = step.text + doubt;
      card.dataset.step = String(to);
      reached?.();
    } catch (error) {
      if (mine === asked) text.textContent = `This step could not be computed: ${error.message}.`;
    } finally {
      if (mine === asked) next.setAttribute("aria-disabled", "false");
    }
  }
  /** The same step, where what it is told of has changed. */
  const again = () => walk && go(at);
  return {
    list,
    card,
    again,
    /** How many steps are done before the one on the card, and of how many. */
    get place() {
      return { at, of: walk?.steps.length ?? 0 };
    },
  };
}

/** The same questions, telling of each pass of those that take many. */
function counted(/** @type {any} */ questions, /** @type {(done: number, all: number) => void} */ tell) {
  const long = ["effects", "single", "dispensable"];
  const told = long.map((name) => [name, (/** @type {any} */ state) => questions[name](state, { tell })]);
  return Object.assign(Object.create(questions), Object.fromEntries(told));
}
