/**
 * The stepper: each array that one forward pass makes, in order, with its picture and the line of code that makes it.
 */

import { getJson } from "../data.js";
import { el, fromAddress, keepInAddress, radios } from "../dom.js";
import { board } from "../lab/board.js";
import { session } from "../lab/session.js";
import { describe, numbers } from "./described.js";
import { flow } from "./flow.js";
import { open } from "./open.js";
import { block_of, group_title, steps_of } from "./pass.js";
import { by_head, picture, scaled } from "./pictures.js";
import { capital, naming } from "./tokens.js";

const REST = "Point at a row of a picture, or at a patch, to see what belongs together; click to keep it.";

/** @param {HTMLElement} root @param {AbortSignal} signal */
export async function start(root, signal) {
  const asked = fromAddress();
  const [kinds, opened] = await Promise.all([getJson("steps.json", signal), open(root, signal, asked.photo)]);
  if (!opened) return;
  const { sizes, classes, photos, credit } = opened;
  const { prefix } = sizes;
  const names = naming(sizes);
  const one_of = (value, values) => (values.includes(value) ? value : values[0]);
  const state = {
    name: asked.step, // by its name, because it stays when the photo changes
    folded: asked.fold !== "off",
    scale: one_of(asked.scale, ["linear", "log", "rank"]),
    range: one_of(asked.range, ["own", "shared"]),
    token: names.token(asked.token, /** @type {number | null} */ (null)),
  };
  /** @type {import("./pass.js").Step[]} */
  let steps = [];
  let photo = null; // whose steps these are
  let shown = null; // the picture
  let wide = 0;

  const button = (text, label, onclick) => el("button.inside-button", { type: "button", title: label, onclick }, text);
  const first = button("First", "first step", () => go(visible()[0]));
  const back = button("← Back", "step back", () => move(-1));
  const next = button("Next →", "next step", () => move(1));
  const last = button("Last", "last step", () => go(visible().at(-1)));
  const slider = el("input", {
    type: "range",
    min: 0,
    "aria-label": "step",
    oninput: () => go(visible()[Number(slider.value)]),
  });
  const said = el("p.inside-where", { role: "status" });
  const fold = el("input", { type: "checkbox", onchange: () => set({ folded: fold.checked }) });
  fold.checked = state.folded;
  const way = flow({ go });
  const [linear, log, rank] = ["linear", "log", "rank"].map((scale) => [scale, scale]);
  const scale = radios("Colors", "scale", [linear, log, rank], () => state.scale, (scale) => set({ scale }));
  const ranges = [
    ["own", "each head its own"],
    ["shared", "all heads alike"],
  ];
  const range = radios("Scale", "range", ranges, () => state.range, (range) => set({ range }));
  const onpick = (place) => pin(prefix + place);
  const whole = board({ sizes, label: "", tool: "pick", onpick, onpoint: (place) => point(at_patch(place)) });
  whole.use("pick");
  const readout = el("p.inside-readout", {}, REST);
  const about = el("p.inside-note");
  const wrong = el("p", { role: "alert", hidden: true });
  const head = el("div.views-head");
  const pictures = el("div.inside-pictures");
  const foot = el("div.views-foot");
  const scales = el("div.views-scales", {}, scale.element, range.element);
  const view = el("section.views-step", { "aria-label": "The step" }, head, scales, pictures, foot);
  const toolbar = { role: "group", "aria-label": "Move through the steps" };
  const others = `fold blocks 2 to ${sizes.layers}`;
  root.replaceChildren(
    photos,
    wrong,
    el(
      "div.inside-stepper",
      {},
      el("div.inside-toolbar", toolbar, first, back, next, last, slider, said),
      el("div.views-way", {}, way.element, el("label.inside-check", {}, fold, el("span", {}, others))),
      el("div.views-beside", {}, whole.element, el("div", {}, readout, about)),
      view,
    ),
  );
  const moves = { ArrowRight: 1, ArrowLeft: -1 };
  const with_more = (event) => event.altKey || event.ctrlKey || event.metaKey || event.shiftKey;
  root.addEventListener("keydown", (event) => {
    const own = "input, [role=gridcell], .inside-scroll, pre"; // there, arrow keys do something else
    if (!(event.key in moves) || with_more(event) || event.target.matches(own)) return;
    event.preventDefault();
    move(moves[event.key]);
  });
  // Arrow keys also work when nothing on the page has the focus.
  document.addEventListener(
    "keydown",
    (event) => {
      if (event.key in moves && event.target === document.body && !with_more(event)) move(moves[event.key]);
    },
    { signal },
  );
  session.subscribe(changed, signal);
  await changed();

  // Moving

  function at() {
    return Math.max(
      0,
      steps.findIndex(({ name }) => name === state.name),
    );
  }

  function visible() {
    const here = at();
    const folded = ({ group, kind }) => state.folded && block_of(group) > 1 && kind !== "output";
    return [...steps.keys()].filter((i) => i === here || !folded(steps[i]));
  }

  function move(by) {
    const open = visible();
    go(open[open.indexOf(at()) + by]);
  }

  function go(to) {
    if (to !== undefined && to !== at()) set({ name: steps[to].name });
  }

  function set(changes) {
    Object.assign(state, changes);
    keep();
    draw();
  }

  function keep() {
    const { name, folded, scale, range, token } = state;
    const pinned = token === null ? {} : { token: names.key(token) };
    const step = name ?? steps[0].name;
    keepInAddress({ photo: session.state.photo, step, fold: folded ? "on" : "off", scale, range, ...pinned });
  }

  // Tokens

  /** The same token on the photo and in all pictures; null: the one that was kept, if there is one. */
  function point(there) {
    const { tokens, text } = there ?? at_token(state.token);
    whole.outline(tokens.filter((token) => token >= prefix).map((token) => token - prefix));
    shown?.mark(tokens[0] ?? null);
    readout.textContent = text;
  }

  function at_token(token) {
    if (token === null) return { tokens: [], text: REST };
    return { tokens: [token], text: `${capital(names.name(token))}: token ${token}. Click it again to let it go.` };
  }

  function at_patch(place) {
    if (place === null) return null;
    const token = prefix + place;
    return { tokens: [token], text: `${capital(names.name(token))}: token ${token}` };
  }

  function pin(token) {
    state.token = state.token === token ? null : token;
    keep();
    draw_photo();
    point(null);
  }

  // What is shown

  async function changed() {
    const now = session.photo;
    if (!now || now.name !== session.state.photo || now === photo) return; // it is on its way, or shown
    root.setAttribute("aria-busy", "true");
    try {
      const made = await steps_of(now);
      if (!made || signal.aborted || now !== session.photo) return;
      const other = photo !== null;
      [steps, photo] = [made, now];
      if (other) keep();
      wrong.hidden = true;
      about.textContent = credit();
      draw_photo();
      draw();
    } catch (error) {
      wrong.textContent = `The model could not be asked: ${error.message}`;
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
    const step = steps[here];
    const { title, picture: kind } = kinds[step.kind];
    const place = open.indexOf(here);
    // A button that is switched off would lose the focus, and the arrow keys with it.
    for (const control of [first, back]) control.setAttribute("aria-disabled", String(place === 0));
    for (const control of [next, last]) control.setAttribute("aria-disabled", String(place === open.length - 1));
    slider.max = String(open.length - 1);
    slider.value = String(place);
    const where = `Step ${here + 1} of ${steps.length}: ${group_title(step.group)}, ${title}`;
    slider.setAttribute("aria-valuetext", where);
    said.textContent = where;
    way.draw(steps, (kind) => kinds[kind].title, here);
    for (const group of [scale, range]) group.update();
    scale.element.disabled = !scaled(kind);
    range.element.disabled = !by_head(kind);
    const focused = pictures.contains(document.activeElement);
    const { scale: colors, range: heads } = state;
    const context = { sizes, classes, names, alt: photo.alt, scale: colors, range: heads, point, pin };
    shown = picture(step, kind, context);
    head.replaceChildren(...describe(step, kinds[step.kind]));
    pictures.dataset.picture = kind;
    pictures.replaceChildren(...shown.elements);
    foot.replaceChildren(...numbers(step, kinds[step.kind], foot.querySelector("details")?.open ?? false));
    if (focused) pictures.querySelector("[tabindex='0']")?.focus({ preventScroll: true });
    point(null);
    steady();
  }

  /** What is below never comes nearer, so that nothing moves under the pointer on the way through the steps. */
  function steady() {
    if (wide !== view.clientWidth) view.style.minHeight = "";
    wide = view.clientWidth;
    view.style.minHeight = `${view.offsetHeight}px`;
  }
}
