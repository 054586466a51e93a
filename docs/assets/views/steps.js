/**
 * The stepper: each array that one forward pass makes, in order, with its picture and the line of code that makes it.
 */

import { getJson } from "../data.js";
import { addressKeeper, el, fromAddress } from "../dom.js";
import { board } from "../lab/board.js";
import { session } from "../lab/session.js";
import { beside } from "./beside.js";
import { axes, index_of, key, token_of } from "./cells.js";
import { flow } from "./flow.js";
import { open } from "./open.js";
import { origin } from "./origin.js";
import { block_of, group_title, steps_of } from "./pass.js";
import { stepbar } from "./stepbar.js";
import { from_address, settle, to_address } from "./stepstate.js";
import { stepview } from "./stepview.js";
import { naming, told } from "./tokens.js";
import { walk } from "./walk.js";

const REST = "Point at a row of a picture, or at a patch, to see what belongs together; click to keep it.";
const AGAIN = ". Click it again to let it go.";

/** @param {HTMLElement} root @param {AbortSignal} signal */
export async function start(root, signal) {
  const [asked, keepInAddress] = [fromAddress(), addressKeeper()];
  const [kinds, opened] = await Promise.all([getJson("steps.json", signal), open(root, signal, asked.photo)]);
  if (!opened) return;
  const { sizes, classes, photos, credit } = opened;
  const { prefix } = sizes;
  const names = naming(sizes);
  const state = from_address(asked, names);
  /** @type {import("./pass.js").Step[]} */
  let steps = [];
  let photo = null; // whose steps these are

  const bar = stepbar({ root, move, slide: go, signal });
  const fold = el("input", { type: "checkbox", onchange: () => set({ folded: fold.checked }) });
  fold.checked = state.folded;
  const way = flow({ go, kinds, sizes });
  const second = beside({
    current: () => state.beside,
    choose: (name) => set({ beside: name }),
    shown: () => state.name,
    go: (name) => go(steps.findIndex((step) => step.name === name)),
  });
  const from = origin({ kinds, context: { sizes, classes, names }, show, leave: () => view.to_number() });
  const context = { sizes, classes, names, point, pin, pick };
  const view = stepview({ kinds, state, set, context, second, from });
  const onpick = (place) => pin(prefix + place);
  const onpoint = (place) => point(place === null ? null : told(names, prefix + place));
  const whole = board({ sizes, label: "", tool: "pick", onpick, onpoint });
  whole.use("pick");
  const tour = walk({ signal, sizes, classes, steps: () => steps, arrive });
  const readout = el("p.inside-readout", {}, REST);
  const about = el("p.inside-note");
  const wrong = el("p", { role: "alert", hidden: true });
  root.replaceChildren(
    photos,
    wrong,
    tour.list,
    el(
      "div.inside-stepper",
      {},
      bar.element,
      el("div.views-way", {}, way.element, el("label.inside-check", {}, fold, el("span", {}, `fold blocks 2 to ${sizes.layers}`))),
      el("div.views-beside", {}, whole.element, el("div", {}, readout, tour.card, about)),
      view.element,
    ),
  );
  session.subscribe(changed, signal);
  const { pathname } = location;
  const page = /** @type {any} */ (window); // asked by a script of the page, see steps.md
  page.insideBack = (/** @type {PopStateEvent} */ event) => location.pathname === pathname && popped(event);
  signal.addEventListener("abort", () => delete page.insideBack);
  await changed();

  // Moving

  function at() {
    return steps.findIndex(({ name }) => name === state.name);
  }

  function visible() {
    const here = at();
    const folded = ({ group, kind }) => state.folded && block_of(group) > 1 && kind !== "output";
    return [...steps.keys()].filter((i) => i === here || !folded(steps[i]));
  }

  function move(way) {
    const open = visible();
    const place = open.indexOf(at());
    return go(open[{ first: 0, back: place - 1, next: place + 1, last: open.length - 1 }[way]]);
  }

  function go(to) {
    if (to === undefined || to < 0 || to === at()) return false;
    if (state.cell) from.remember({ step: state.name, at: state.cell });
    set({ name: steps[to].name, cell: null });
    return true;
  }

  function set(changes) {
    Object.assign(state, changes);
    keep();
    draw();
  }

  function keep() {
    keepInAddress(to_address(session.state.photo, state, names));
  }

  /** At a stop of the walk. @param {import("./tour.js").There} there */
  function arrive({ name, token, cell, beside }) {
    set({ name, token: token ?? state.token, cell: cell ?? null, beside: beside ?? "off" });
    draw_photo();
    view.reveal();
  }

  // Tokens

  /** The same token on the photo and in all pictures; null: the one that was kept, if there is one. */
  function point(there) {
    const kept = state.token === null ? { tokens: [], text: REST } : told(names, state.token, AGAIN);
    const { tokens, text } = there ?? kept;
    whole.outline(tokens.filter((token) => token >= prefix).map((token) => token - prefix));
    view.mark(tokens[0] ?? null);
    readout.textContent = text;
  }

  function pin(token) {
    state.token = state.token === token ? null : token;
    keep();
    draw_photo();
    point(null);
  }

  // Numbers

  /** A number of a picture; the same one again lets it go. */
  function pick({ name, kind, value }, i, by_key) {
    const place = index_of(value.shape, i);
    const before = name === state.name ? state.cell : null;
    const { color } = axes(kinds[kind].picture, value.shape);
    if (color >= 0 && before) place[color] = before[color]; // a pixel has three
    if (before && key(before) === key(place)) return show(null, null);
    if (state.cell) from.remember({ step: state.name, at: state.cell });
    from.reveal(by_key);
    show({ step: name, at: place });
  }

  /** Where this number comes from; null: none. Its token comes along. `how`: "link" where the browser's Back shall return. */
  function show(place, token = state.token, how = "") {
    if (how === "link") history.pushState(history.state, "", location.href);
    const step = steps.find(({ name }) => name === place?.step);
    if (step) token = token_of(kinds[step.kind].picture, step.value.shape, place.at, sizes) ?? token;
    set(step ? { name: step.name, cell: place.at, token } : { cell: null, token });
    draw_photo();
  }

  /** The browser went back or forward, along a chain of numbers. */
  function popped(event) {
    const { name, cell, token } = from_address(fromAddress(), names);
    const elsewhere = name !== state.name || key(cell ?? []) !== key(state.cell ?? []);
    if (elsewhere) event.stopImmediatePropagation(); // for Material there is nothing to do
    if (from.returned(cell && { step: name, at: cell }) || cell || !steps.some((step) => step.name === name)) return;
    if (name !== state.name || state.cell) set({ name, cell, token });
  }

  // What is shown

  async function changed() {
    const now = session.photo;
    if (!now || now.name !== session.state.photo || now === photo) return; // it is on its way, or shown
    root.setAttribute("aria-busy", "true");
    try {
      const made = await steps_of(now);
      if (!made || signal.aborted || now !== session.photo) return;
      if (state.cell) await from.load(); // what is drawn first stays
      const other = photo !== null;
      [steps, photo] = [made, now];
      settle(state, steps);
      if (other || location.search) keep(); // without what names nothing here
      wrong.hidden = true;
      about.textContent = credit();
      draw_photo();
      draw();
      if (other) tour.again();
    } catch (error) {
      wrong.textContent = `The model could not be asked: ${/** @type {Error} */ (error).message}`;
      wrong.hidden = false;
    } finally {
      root.removeAttribute("aria-busy");
    }
  }

  function draw_photo() {
    whole.draw({ picture: photo.picture, chosen: (state.token ?? 0) < prefix ? null : state.token - prefix });
    whole.grid.setAttribute("aria-label", `The photo: ${photo.alt}, cut into patches`);
  }

  function draw() {
    if (!steps.length) return;
    const [here, open] = [at(), visible()];
    const { group, kind } = steps[here];
    const where = `Step ${here + 1} of ${steps.length}: ${group_title(group)}, ${kinds[kind].title}`;
    bar.draw({ step: here, of: steps.length, first: here === open[0], last: here === open.at(-1), where });
    way.draw(steps, here);
    view.draw(steps, here, photo.alt);
    tour.moved(state.name);
    point(null);
  }
}
