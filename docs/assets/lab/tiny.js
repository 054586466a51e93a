/**
 * The lab's smallest form, on the home page: hide a patch, and the answers of both heads move. The picture is there
 * already; the model is fetched when a reader touches it.
 */

import { SITE } from "../data.js";
import { el } from "../dom.js";

const MODULES = () =>
  Promise.all([
    import("./session.js"),
    import("./board.js"),
    import("./answer.js"),
    import("./questions.js"),
    import("./state.js"),
    import("./address.js"),
  ]);

/** @param {HTMLElement} root @param {AbortSignal} signal */
export function start(root, signal) {
  const [left, right] = root.querySelectorAll(".deit-row > div");
  const still = /** @type {SVGElement} */ (left.querySelector("svg"));
  const said = el("p.lab-said", { role: "status" });
  const begin_here = el("button.inside-button", { type: "button", onclick: () => begin(null) }, "Hide a patch");
  const under = el("div.lab-buttons", {}, begin_here, said);
  left.append(under);
  still.classList.add("lab-still");
  still.addEventListener("click", (event) => {
    const box = still.getBoundingClientRect();
    begin([(event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width]);
  });
  let begun = false;

  /** @param {[number, number] | null} at shares of height and width; null: by the button */
  async function begin(at) {
    if (begun) return;
    begun = true;
    said.textContent = "The model is on its way …";
    try {
      await live(at);
    } catch (error) {
      begun = false;
      said.textContent = `The model could not be loaded: ${/** @type {Error} */ (error).message}`;
    }
  }

  /** @param {[number, number] | null} at */
  async function live(at) {
    const [{ session }, { board }, { answer }, { shares_of }, { START, painted_over }, { to_address }] = await MODULES();
    const [{ sizes, classes }, photo] = await Promise.all([session.model(), session.photo_of(START.photo)]);
    const ask = async (/** @type {any} */ of) => {
      const result = await session.answer({ state: of, lane: "tiny" });
      return result && shares_of(result.output);
    };
    const before = await ask(START);
    if (signal.aborted) return;
    let state = START;
    const label = `The photo: ${photo.alt}, cut into patches; choose one to hide it`;
    const photo_board = board({ sizes, label, tool: "pick", onpick: toggle });
    photo_board.use("pick");
    const answers = answer({ classes, signal });
    const all = el("button.inside-button", { type: "button", onclick: () => become([]) }, "Show all");
    const more = el("a", {}, "Go on in the lab");
    const held = under.contains(document.activeElement); // else the reader is elsewhere by now
    still.replaceWith(photo_board.element);
    under.replaceChildren(all, more);
    right.replaceChildren(answers.element, answers.details);
    const [rows, columns] = sizes.grid;
    if (at) toggle(Math.floor(at[0] * rows) * columns + Math.floor(at[1] * columns));
    else {
      become([]);
      if (held) photo_board.grid.querySelector("[tabindex='0']").focus({ preventScroll: true });
    }

    /** @param {number} place */
    function toggle(place) {
      become(painted_over(state.hidden, [place], !state.hidden.includes(place)));
    }

    /** @param {number[]} hidden */
    async function become(hidden) {
      state = { ...START, hidden };
      const here = state;
      photo_board.draw({ picture: photo.picture, hidden });
      more.href = new URL(`lab/?${new URLSearchParams(to_address(state))}`, SITE).href;
      const now = await ask(state);
      if (now && here === state && !signal.aborted) answers.draw(now, before);
    }
  }
}
