/**
 * The lab: a photo, what is done to it and to the model, and what the model then answers.
 */

import { addressKeeper, el, fromAddress } from "../dom.js";
import { from_address, to_address } from "./address.js";
import { asked } from "./asked.js";
import { board } from "./board.js";
import { earlier } from "./compared.js";
import { guide } from "./guide.js";
import { lines } from "./lines.js";
import { heads } from "./panels/heads.js";
import { hide } from "./panels/hide.js";
import { inside } from "./panels/inside.js";
import { look } from "./panels/look.js";
import { masked } from "./panels/masked.js";
import { shuffle } from "./panels/shuffle.js";
import { about, picker } from "./picker.js";
import { questions } from "./questions.js";
import { session } from "./session.js";
import { side } from "./side.js";
import { START, painted_over, swapped } from "./state.js";
import { TABS, as_panel, fitting, of_walk, opened, tablist } from "./tabs.js";
import { toolbar } from "./toolbar.js";

/**
 * What panels are given. A panel is {element, needs, tool, note, update}: what it shows, what it needs to know of a pass
 * besides the answer (nothing, if it does not say), what a pointer on the photo does while it is open, a line that says
 * so, and how it follows the state and the pass, which is null until it is there.
 * @typedef {object} Page
 * @property {typeof session} session
 * @property {import("./state.js").Sizes} sizes
 * @property {string[]} classes
 * @property {any} parts of the classifier's weights
 * @property {import("./questions.js").Lab} questions
 * @property {AbortSignal} signal
 * @property {(tab: string) => void} open
 * @property {(tool: import("./board.js").Tool) => void} use
 * @property {() => void} redraw soon, once for all that ask until then
 * @property {(state: import("./state.js").State) => void} shown a walk will set this state
 */

/** @param {HTMLElement} root @param {AbortSignal} signal */
export async function start(root, signal) {
  const [address, keepInAddress] = [fromAddress(), addressKeeper()];
  root.append(el("p.lab-loading", { role: "status" }, "The model is on its way: 2.4 MB, once."));
  const [{ classes, sizes, parts }, photos] = await Promise.all([session.model(), session.photos()]);
  if (signal.aborted) return;
  const read = (values) => from_address(values, sizes, [...photos.map(({ name }) => name), "own"]);
  if (Object.keys(address).some((name) => name in START || name === "before")) {
    const before = address.before === undefined ? null : read(Object.fromEntries(new URLSearchParams(address.before)));
    session.open(read(address), before);
  }
  await session.begin();
  const compared = session.before && (await session.photo_of(session.before.photo).catch(() => "gone"));
  if (compared === "gone") session.compare_with(null);
  if (signal.aborted) return;

  let tab = fitting(session.state, Object.hasOwn(TABS, address.tab ?? "") ? address.tab : "hide");
  const [current, before] = [asked("lab"), asked()];
  let writing = 0; // the address, soon
  signal.addEventListener("abort", () => clearTimeout(writing));
  let pointed = /** @type {number | null} */ (null); // the place under the pointer, or with the focus
  let failed = false; // the last pass, or the photo before it
  let frame = 0; // in which all is drawn anew
  let before_photo = /** @type {import("./photo.js").Photo | null} */ (null);
  const ask = async (state) => (await session.answer({ state, options: { output_attentions: true } })).output;
  const photo_board = board({
    sizes,
    label: "the photo, cut into patches",
    onpaint: (places, on, continues) =>
      session.set({ hidden: painted_over(session.state.hidden, places, on) }, { continues }),
    onpick: (place) => session.state.look !== "effects" && session.set({ query: sizes.prefix + place }),
    onswap: (one, other) => session.set({ order: swapped(session.state, one, other, sizes) }),
    onpoint: (place) => {
      pointed = place;
      tell();
    },
  });
  /** @type {Page} */
  const page = {
    session,
    sizes,
    classes,
    parts,
    questions: questions({ sizes, classes, ask, key_of: (state) => session.key_of(state) }),
    signal,
    open,
    use: photo_board.use,
    redraw: () => (frame ||= requestAnimationFrame(() => {
      frame = 0;
      draw();
    })),
    shown: (state) => (tab = fitting(state, of_walk(state))),
  };
  const made = {
    hide: hide(page),
    shuffle: shuffle(page),
    heads: heads(page),
    look: look(page),
    inside: inside(page),
    masked: masked(page),
  };
  const beside = side(page);
  const walks = guide({ ...page, reached: () => together(walks.card) });
  const pick = await picker({ signal, target: root, classes });
  const tools = toolbar({ root, write_address });
  const tabs = tablist(open);
  const readout = el("p.inside-readout");
  const credit = el("p.inside-note");
  const in_python = lines({ sizes, photos, copy: tools.copy });
  if (address.photo === "own" && session.state.photo !== "own") {
    tools.status.textContent = "The link is of a photo that only its sender’s browser has; this is another one.";
  } else if (compared === "gone") {
    tools.status.textContent = "What the link compares with is a photo that only its sender’s browser has.";
  }
  for (const [name, { element }] of Object.entries(made)) as_panel(name, element);
  const panels = Object.values(made).map(({ element }) => element);
  root.replaceChildren(
    pick.element,
    walks.list,
    el(
      "div.lab-main",
      {},
      el("div.lab-controls", {}, walks.card, tabs.element, ...panels),
      el("div.lab-photo", {}, photo_board.element, readout, tools.element, tools.status, credit),
      beside.element,
    ),
    in_python.element,
  );
  session.subscribe(changed, signal);
  await changed();
  pick.filled.then(() => session.fetch_all()).catch(() => {}); // what is missing then is fetched when it is asked for

  function open(name) {
    tab = name;
    session.set(opened(session.state, name), { continues: true });
  }

  /** A walk's card and the photo on the screen, if they are not. @param {HTMLElement} card */
  function together(card) {
    const boxes = [card, photo_board.element].map((element) => element.getBoundingClientRect());
    const covered = beside.element.querySelector("section:not([hidden])").getBoundingClientRect();
    const top = covered.left < boxes[0].right ? covered.bottom : 48; // on a phone the answer stays above
    if (boxes.every((box) => box.top >= top - 1 && box.bottom <= innerHeight)) return;
    root.querySelector(".lab-main").scrollIntoView({ block: "start" });
  }

  /** What is at the place that is pointed at, in the line under the photo. */
  function tell() {
    if (pointed === null) return (readout.textContent = made[tab].note);
    const cell = photo_board.grid.querySelector(`[data-place="${pointed}"]`);
    const exact = cell.dataset.exact ? ` (exactly ${cell.dataset.exact})` : "";
    readout.textContent = `${cell.getAttribute("aria-label")}${exact}`.replace(/^r/, "R");
  }

  async function changed() {
    const { state, photo } = session;
    root.dataset.busy = "true"; // what stands there is of another state until it is answered
    if (photo?.name !== state.photo) return; // another change follows when it is there
    const start = performance.now();
    tab = fitting(state, tab);
    if (root.dataset.tab !== tab) photo_board.use(made[tab].tool());
    root.dataset.tab = tab;
    clearTimeout(writing);
    writing = setTimeout(write_address, 300); // browsers refuse an address that changes with every patch
    draw();
    try {
      const result = await current.ask(state, needs());
      if (!result || signal.aborted || session.state !== state) return;
      root.dataset.pass = result.milliseconds.toFixed(1);
      const of = earlier(state);
      [, before_photo] = await Promise.all([before.ask(of, needs_before(of)), session.photo_of(of.photo)]);
      if (session.state !== state || signal.aborted) return;
      draw();
      if (failed || session.problem) tools.status.textContent = session.problem;
      failed = Boolean(session.problem); // what is said of it goes with the next answer
      root.dataset.busy = "false";
      root.dataset.took = (performance.now() - start).toFixed(1);
    } catch (error) {
      if (session.state !== state || signal.aborted) return;
      root.dataset.busy = "failed";
      failed = true;
      tools.status.textContent = `The model could not be asked: ${error.message}`;
    }
  }

  function write_address() {
    clearTimeout(writing);
    const before = session.before ? { before: String(new URLSearchParams(to_address(session.before))) } : {};
    keepInAddress({ ...to_address(session.state), ...before, ...(tab === "hide" ? {} : { tab }) });
  }

  function needs() {
    return made[tab].needs ?? {};
  }

  function needs_before({ look }) {
    return look === "attention" || look === "rollout" ? made.look.needs : {};
  }

  function over(output, state) {
    return state.look === "answer" ? {} : made.look.over(output, state);
  }

  function draw() {
    const { state, photo } = session;
    if (!photo) return;
    const now = current.known(state, needs());
    const { hidden, how, order } = state;
    const chosen = state.look === "attention" || state.look === "rollout" ? state.query - sizes.prefix : undefined;
    photo_board.draw({ picture: photo.picture, order, hidden, how, chosen, ...over(now?.output, state) });
    photo_board.grid.setAttribute("aria-label", `${photo.alt}, cut into patches`);
    tools.update();
    tabs.update(tab);
    const held = panels.find((panel) => panel.contains(document.activeElement));
    for (const [name, { element }] of Object.entries(made)) element.hidden = name !== tab;
    if (held?.hidden) document.getElementById(`lab-tab-${tab}`)?.focus({ preventScroll: true });
    made[tab].update(now);
    tell();
    credit.textContent = about(photo, classes);
    in_python.draw(state, tab);
    beside.update(state);
    if (!now) return;
    const of = earlier(state);
    const then = before.known(of, needs_before(of));
    const seen = then && before_photo && { state: of, photo: before_photo, output: then.output, over: over(then.output, of) };
    beside.draw({ state, photo, output: now.output }, seen);
  }
}
