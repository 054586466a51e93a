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
  const failed = el("span", { role: "status" });
  const list = el("div.views-walks", {}, el("div.lab-walks", {}, el("span", {}, "Show me:"), start, failed));
  let guided = /** @type {any} */ (null);
  let away = false;
  let stop = ""; // the step where the last one is
  const said = el("span", { role: "status" });
  const back = el("button.views-link", { type: "button", onclick: () => back_to_it() }, "Back to it");
  const left = el("div.views-left.views-away", {}, said, " ", back); // its place is kept

  async function begin() {
    start.setAttribute("aria-disabled", "true");
    const parts = await Promise.all([import("../lab/guide.js"), import("./tour.js")]).catch(() => null);
    if (signal.aborted || guided) return;
    if (!parts) {
      start.removeAttribute("aria-disabled");
      failed.textContent = "The walk could not be loaded: reload the page.";
      return;
    }
    const [{ guide }, { TOUR }] = parts;
    const questions = {
      get values() {
        return Object.fromEntries(steps().map(({ name, value }) => [name, value]));
      },
      ...{ sizes, classes, names: naming(sizes) },
    };
    const set = (/** @type {import("./tour.js").There} */ there) => {
      stop = there.name;
      arrive(there);
    };
    const session = { set, compare_with() {} };
    guided = guide({ session, questions, signal, shown() {}, walks: [TOUR] });
    guided.card.querySelector(".lab-buttons").before(left);
    list.replaceChildren(guided.list);
    card.replaceChildren(guided.card);
    guided.list.querySelector("button").click();
  }

  function back_to_it() {
    guided.again();
    guided.card.querySelector(".lab-buttons button:nth-child(2)").focus(); // this button goes
  }

  /** With another photo, the same stop says something else; who has left it is not called back. */
  const again = () => !away && guided?.again();

  /** What the card says belongs to a stop; whoever goes elsewhere by other ways is told. @param {string} name of the step */
  function moved(name) {
    if (!guided) return;
    away = name !== stop;
    left.classList.toggle("views-away", !away);
    const { at, of } = guided.place;
    const where = at + 1 < of ? `You have left the walk at stop ${at + 1} of ${of}.` : "You go on by yourself now."; // the last sends away
    const told = away ? where : "";
    if (said.textContent !== told) said.textContent = told; // else it would be said again
  }
  return { list, card, again, moved };
}
