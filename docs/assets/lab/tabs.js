/**
 * The tabs of what can be done, and which of them a state needs.
 */

import { el } from "../dom.js";

/** @typedef {import("./state.js").State} State */

export const TABS = { hide: "Hide", shuffle: "Shuffle", heads: "Heads", look: "Look", inside: "Inside", masked: "Masked" };

/** The tab that a state needs, if not any will do. @param {State} state @param {string} tab */
export function fitting(state, tab) {
  if (state.how === "mask") return "masked";
  if (state.look !== "answer") return "look";
  return tab === "masked" || tab === "look" ? "hide" : tab;
}

/** The tab where a walk's step could have been done by hand. @param {State} state */
export function of_walk(state) {
  if (state.order || state.positions !== "kept") return "shuffle";
  return state.silenced.length ? "heads" : "hide";
}

/** What becomes of a state when a tab is opened. @param {State} state @param {string} tab @returns {Partial<State>} */
export function opened({ how, look }, tab) {
  return {
    how: tab === "masked" ? "mask" : how === "mask" ? "attention" : how,
    look: tab !== "look" ? "answer" : look === "answer" ? "attention" : look,
  };
}

/** Name a panel as a tab's. @param {string} name @param {HTMLElement} element */
export function as_panel(name, element) {
  element.id = `lab-${name}`;
  element.setAttribute("role", "tabpanel");
  element.setAttribute("aria-labelledby", `lab-tab-${name}`);
  element.classList.add("lab-panel");
}

/** @param {(name: string) => void} open */
export function tablist(open) {
  const all = Object.entries(TABS).map(([name, title]) =>
    el(
      "button.lab-tab",
      { type: "button", role: "tab", id: `lab-tab-${name}`, "aria-controls": `lab-${name}`, onclick: () => open(name) },
      title,
    ),
  );
  const element = el("div.lab-tabs", { role: "tablist", "aria-label": "What to do" }, ...all);
  element.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const next = all[(all.indexOf(document.activeElement) + by + all.length) % all.length];
    next.focus();
    next.click();
  });
  const update = (/** @type {string} */ tab) =>
    all.forEach((one, i) => {
      const chosen = Object.keys(TABS)[i] === tab;
      one.setAttribute("aria-selected", String(chosen));
      one.tabIndex = chosen ? 0 : -1;
    });
  return { element, update };
}
