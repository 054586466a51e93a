/**
 * The guided walk on the stepper's page; its parts are fetched when someone sets out.
 */

import { el } from "../dom.js";
import { naming } from "./tokens.js";

/**
 * @param {object} options
 * @param {AbortSignal} options.signal
 * @param {import("../lab/state.js").Sizes} options.sizes
 * @param {string[]} options.classes
 * @param {() => import("./pass.js").Step[]} options.steps of the photo that is shown
 * @param {(there: import("./tour.js").There) => void} options.arrive
 */
export function walk({ signal, sizes, classes, steps, arrive }) {
  const card = el("div.views-walk");
  const onclick = () => begin();
  const start = el("button.inside-button", { type: "button", onclick }, "A walk through the pass");
  const list = el("div.views-walks", {}, el("div.lab-walks", {}, el("span", {}, "Show me:"), start));
  let guided = /** @type {any} */ (null);

  async function begin() {
    start.setAttribute("aria-disabled", "true");
    const [{ guide }, { TOUR }] = await Promise.all([import("../lab/guide.js"), import("./tour.js")]);
    if (signal.aborted || guided) return;
    const questions = {
      get values() {
        return Object.fromEntries(steps().map(({ name, value }) => [name, value]));
      },
      ...{ sizes, classes, names: naming(sizes) },
    };
    const session = { set: arrive, compare_with() {} };
    guided = guide({ session, questions, signal, shown() {}, walks: [TOUR] });
    list.replaceChildren(guided.list);
    card.replaceChildren(guided.card);
    guided.list.querySelector("button").click();
  }

  /** With another photo, the same stop says something else. */
  const again = () => guided?.again();
  return { list, card, again };
}
