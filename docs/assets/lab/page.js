/**
 * The lab: a photo, what is done to it and to the model, and what the model then answers.
 */

import { el, fromAddress, keepInAddress } from "../dom.js";
import { answer } from "./answer.js";
import { asked } from "./asked.js";
import { board } from "./board.js";
import { button, buttons } from "./controls.js";
import { guess } from "./guess.js";
import { guide } from "./guide.js";
import { inside } from "./inside.js";
import { logits } from "./logits.js";
import { look } from "./look.js";
import { painted } from "./painted.js";
import * as panels from "./panels.js";
import { about, picker } from "./picker.js";
import { python } from "./python.js";
import { questions, shares_of } from "./questions.js";
import { session } from "./session.js";
import { START, from_address, pixels_of, swapped, to_address, untouched } from "./state.js";

const TABS = { hide: "Hide", shuffle: "Shuffle", heads: "Heads", look: "Look", inside: "Inside", masked: "Masked" };

/**
 * What panels are given.
 * @typedef {object} Page
 * @property {typeof session} session
 * @property {import("./state.js").Sizes} sizes
 * @property {string[]} classes
 * @property {any} parts of the classifier's weights
 * @property {import("./questions.js").Lab} questions
 * @property {AbortSignal} signal
 * @property {(tab: string) => void} open
 * @property {(tool: import("./board.js").Tool) => void} use
 * @property {() => void} redraw
 * @property {(state: import("./state.js").State) => void} shown a walk has set this state
 */

/** @param {HTMLElement} root @param {AbortSignal} signal */
export async function start(root, signal) {
  root.append(el("p.lab-loading", { role: "status" }, "The model is on its way: 2.4 MB, once."));
  const [{ classes, sizes, parts }, photos] = await Promise.all([session.model(), session.photos()]);
  const address = fromAddress();
  const named = [...photos.map(({ name }) => name), "own"];
  const read = (values) => from_address(values, sizes, named);
  if (Object.keys(address).some((name) => name in START || name === "before")) {
    session.open(read(address), address.before === undefined ? null : read(Object.fromEntries(new URLSearchParams(address.before))));
  }
  await session.begin();
  if (signal.aborted) return;

  let tab = fitting(session.state, Object.hasOwn(TABS, address.tab ?? "") ? address.tab : "hide");
  const [current, before] = [asked("lab"), asked()];
  let writing = 0; // the address, soon
  signal.addEventListener("abort", () => clearTimeout(writing));
  let before_photo = /** @type {import("./photo.js").Photo | null} */ (null);
  const ask = async (state) => (await session.answer({ state, options: { output_attentions: true } })).output;
  const lab = questions({ sizes, classes, ask });

  const photo_board = board({
    sizes,
    label: "the photo, cut into patches",
    onpaint: (places, on, continues) =>
      session.set({ hidden: panels.painted_over(session.state.hidden, places, on) }, { continues }),
    onpick: (place) => session.state.look !== "effects" && session.set({ query: sizes.prefix + place }),
    onswap: (one, other) => session.set({ order: swapped(session.state, one, other, sizes) }),
    onpoint: (place) => (readout.textContent = place === null ? note() : told(place)),
  });
  /** @type {Page} */
  const page = {
    session,
    sizes,
    classes,
    parts,
    questions: lab,
    signal,
    open,
    use: photo_board.use,
    redraw: draw,
    shown: (state) => (tab = fitting(state, of_walk(state))),
  };
  const made = {
    hide: panels.hide(page),
    shuffle: panels.shuffle(page),
    heads: panels.heads(page),
    look: look(page),
    inside: inside(page),
    masked: panels.masked(page),
  };
  const said = answer({ classes, signal });
  const worked = logits({ classes, rows: said.rows });
  const guessed = guess(page);
  const walks = guide(page);
  const pick = await picker({ signal, target: root, classes });
  const readout = el("p.inside-readout");
  const credit = el("p.inside-note");
  const picture_before = el("canvas", { width: 192, height: 192, role: "img" });
  const then_said = el("p");
  const code = el("code");
  const status = el("p.lab-said", { role: "status" });
  if (address.photo === "own" && session.state.photo !== "own") {
    status.textContent = "The link is of a photo that only its sender’s browser has; this is another one.";
  }
  const tools = toolbar();
  const tabs = tablist();
  const compared = el(
    "section.lab-before",
    { "aria-label": "Before" },
    picture_before,
    el("div", {}, el("h3", {}, "Before"), then_said, tools.keep, tools.unkeep),
  );
  root.replaceChildren(
    pick.element,
    walks.list,
    walks.card,
    el(
      "div.lab-main",
      {},
      el("div.lab-controls", {}, tabs.element, ...Object.values(made).map(({ element }) => element)),
      el("div.lab-photo", {}, photo_board.element, readout, tools.element, status, credit),
      el("div.lab-side", {}, said.element, guessed.element, said.details, worked.element, guessed.details, compared),
    ),
    el(
      "details.inside-more.lab-python",
      {},
      el("summary", {}, "The same in Python"),
      el("pre", { tabindex: 0 }, code),
      buttons(button("Copy", () => copy(code.textContent, "The lines are copied."))),
    ),
  );
  for (const [name, { element }] of Object.entries(made)) {
    element.id = `lab-${name}`;
    element.setAttribute("role", "tabpanel");
    element.setAttribute("aria-labelledby", `lab-tab-${name}`);
    element.classList.add("lab-panel");
  }
  root.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || event.key.toLowerCase() !== "z") return;
    event.preventDefault();
    if (event.shiftKey) session.redo();
    else session.undo();
  });
  const python_photos = {
    packaged: (name) => photos.some((photo) => photo.name === name && photo.packaged),
    file: (name) => photos.find((photo) => photo.name === name)?.file.split("/").at(-1) ?? "photo.jpg",
  };
  session.subscribe(changed, signal);
  photo_board.use(made[tab].tool());
  await changed();
  pick.filled.then(() => session.fetch_all()).catch(() => {}); // what is missing then is fetched when it is asked for

  // What the reader does

  function open(name) {
    const { how, look } = session.state;
    /** @type {any} */
    const changes = {};
    if (name === "masked") changes.how = "mask";
    else if (how === "mask") changes.how = "attention";
    if (name === "look") changes.look = look === "answer" ? "attention" : look;
    else changes.look = "answer";
    tab = name;
    session.set(changes, { continues: true });
  }


  function toolbar() {
    const undo = button("Undo", () => session.undo(), { title: "Ctrl+Z" });
    const redo = button("Redo", () => session.redo(), { title: "Ctrl+Shift+Z" });
    const reset = button("Reset", () => session.set(untouched(session.state)));
    const keep = button("Compare with the state as it is now", () => session.compare_with(session.state));
    const unkeep = button("Compare with the photo as it was", () => session.compare_with(null));
    const link = button("Copy a link", () => {
      write_address();
      const own = session.state.photo === "own" ? " It does not hold your photo, which stays here." : "";
      copy(location.href, `The link to what you see is copied.${own}`);
    });
    const update = () => {
      undo.setAttribute("aria-disabled", String(!session.past.length));
      redo.setAttribute("aria-disabled", String(!session.future.length));
      unkeep.hidden = !session.before;
    };
    const element = el("div.lab-buttons", { role: "group", "aria-label": "Changes" }, undo, redo, reset, link);
    return { element, keep, unkeep, update };
  }

  async function copy(text, words) {
    try {
      await navigator.clipboard.writeText(text);
      status.textContent = words;
    } catch {
      status.textContent = `The browser lets nothing be copied here; this is it: ${text}`;
    }
  }

  function tablist() {
    const all = Object.entries(TABS).map(([name, title]) =>
      el("button.lab-tab", { type: "button", role: "tab", id: `lab-tab-${name}`, "aria-controls": `lab-${name}`, onclick: () => open(name) }, title),
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
    const update = () =>
      all.forEach((one, i) => {
        const chosen = Object.keys(TABS)[i] === tab;
        one.setAttribute("aria-selected", String(chosen));
        one.tabIndex = chosen ? 0 : -1;
      });
    return { element, update };
  }

  function note() {
    return made[tab].note;
  }

  /** What is at a place, for the line under the photo. */
  function told(place) {
    const cell = photo_board.grid.querySelector(`[data-place="${place}"]`);
    const exact = cell.dataset.value ? ` (exactly ${cell.dataset.value})` : "";
    return `${cell.getAttribute("aria-label")}${exact}`.replace(/^r/, "R");
  }

  // What follows from it

  async function changed() {
    const { state, photo } = session;
    if (photo?.name !== state.photo) return; // another change follows when it is there
    const start = performance.now();
    const was = tab;
    tab = fitting(state, tab);
    if (was !== tab || root.dataset.tab !== tab) photo_board.use(made[tab].tool());
    root.dataset.tab = tab;
    root.dataset.busy = "true";
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
      root.dataset.busy = "false";
      root.dataset.took = (performance.now() - start).toFixed(1);
    } catch (error) {
      status.textContent = `The model could not be asked: ${error.message}`;
    }
  }

  function write_address() {
    clearTimeout(writing);
    const compared = session.before ? { before: String(new URLSearchParams(to_address(session.before))) } : {};
    keepInAddress({ ...to_address(session.state), ...compared, ...(tab === "hide" ? {} : { tab }) });
  }

  /** The state to compare with, looked at in the same way. */
  function earlier(state) {
    const { look, query, layer, head } = state;
    const of = session.before ?? untouched(state);
    return { ...of, look, query, layer, head, how: of.how === "mask" ? "attention" : of.how };
  }

  /** What is to be known of a pass besides the answer. */
  function needs() {
    return made[tab].needs ?? {};
  }

  function needs_before({ look }) {
    return look === "attention" || look === "rollout" ? made.look.needs : {};
  }

  function draw() {
    const { state, photo } = session;
    if (!photo) return;
    const now = current.known(state, needs());
    const { hidden, how, order } = state;
    const over = state.look === "answer" ? {} : made.look.over(now?.output, state);
    const chosen = state.look === "attention" || state.look === "rollout" ? state.query - sizes.prefix : undefined;
    photo_board.draw({ picture: photo.picture, order, hidden, how, chosen, ...over });
    photo_board.grid.setAttribute("aria-label", `${photo.alt}, cut into patches`);
    tabs.update();
    tools.update();
    for (const [name, { element }] of Object.entries(made)) element.hidden = name !== tab;
    made[tab].update(now);
    if (!photo_board.grid.matches(":hover, :focus-within")) readout.textContent = note();
    credit.textContent = about(photo, classes);
    code.textContent = python(state, sizes, python_photos, said_in_python(state));
    const guesses = how === "mask";
    for (const part of [said.element, said.details, worked.element]) part.hidden = guesses;
    for (const part of [guessed.element, guessed.details]) part.hidden = !guesses;
    if (!now) return;
    if (guesses) guessed.draw(now.output, pixels_of(state, photo.pixel_values, sizes), hidden);
    const of = earlier(state);
    const then = before.known(of, needs_before(of));
    if (!then || !before_photo) return;
    const shares_before = shares_of(then.output);
    if (!guesses) {
      said.draw(shares_of(now.output), shares_before);
      worked.draw(now.output);
    }
    draw_before(of, then.output, shares_before);
  }

  function draw_before(of, output, shares) {
    const { hidden, how, order } = of;
    const over = of.look === "answer" ? {} : made.look.over(output, of);
    painted(picture_before, { picture: before_photo.picture, order, hidden, how, ...over }, sizes);
    picture_before.setAttribute("aria-label", `before: ${before_photo.alt}${hidden.length ? `, ${hidden.length} patches hidden` : ""}`);
    const winner = shares.mean.indexOf(Math.max(...shares.mean));
    then_said.textContent = `${classes[winner]} ${(100 * shares.mean[winner]).toFixed(1)}%`;
  }

  function said_in_python(state) {
    if (state.look !== "answer") return state.look;
    if (tab === "inside" && state.how !== "mask") return "lens";
    return "answer";
  }
}

/** The tab that a state needs, if not any will do. */
function fitting(state, tab) {
  if (state.how === "mask") return "masked";
  if (state.look !== "answer") return "look";
  return tab === "masked" || tab === "look" ? "hide" : tab;
}

/** The tab where a walk's step could have been done by hand. */
function of_walk(state) {
  if (state.order || state.positions !== "kept") return "shuffle";
  return state.silenced.length ? "heads" : "hide";
}
