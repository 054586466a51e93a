/**
 * The attention viewer: where two tokens look, in the numbers of a pass of the model over the session's photo.
 */

import { addressKeeper, el, fromAddress } from "../dom.js";
import { answer } from "../lab/answer.js";
import { board } from "../lab/board.js";
import { sharpest } from "../lab/lens.js";
import { canvas_of } from "../lab/photo.js";
import { shares_of } from "../lab/questions.js";
import { session } from "../lab/session.js";
import { START } from "../lab/state.js";
import { from_address, to_address } from "./chosen.js";
import { controls } from "./controls.js";
import { looks, percent } from "./looks.js";
import { map } from "./map.js";
import { open } from "./open.js";
import { overview } from "./overview.js";
import { naming } from "./tokens.js";

const SIDES = /** @type {const} */ (["left", "right"]);

/** @param {HTMLElement} root @param {AbortSignal} signal */
export async function start(root, signal) {
  const [asked, keepInAddress] = [fromAddress(), addressKeeper()];
  const opened = await open(root, signal, asked.photo);
  if (!opened) return;
  const { sizes, classes, photos, credit } = opened;
  const { prefix, tokens } = sizes;
  const names = naming(sizes);
  let chosen = from_address(asked, sizes);
  /** @type {null | {photo: import("../lab/photo.js").Photo, look: ReturnType<typeof looks>, sharp: ReturnType<typeof sharpest>,
   *  shares: Record<string, number[]>}} the last pass */
  let pass = null;

  const page = { sizes, names, set, point };
  const steering = controls(page);
  const all = overview(page);
  const maps = SIDES.map((side) => map(side, page));
  const onpick = (/** @type {number} */ place) => set({ left: prefix + place });
  const plain = board({ sizes, label: "the photo, cut into patches", tool: "pick", onpick, onpoint: point });
  plain.use("pick");
  const said = answer({ classes, signal });
  const about = el("p.inside-note");
  const wrong = el("p", { role: "alert", hidden: true });
  root.replaceChildren(
    photos,
    wrong,
    el(
      "div.views-main",
      {},
      el(
        "div.views-right",
        {},
        el("div.views-beside", {}, plain.element, said.element),
        el("div.views-more", {}, said.details, about),
      ),
      el("div.views-controls", {}, steering.element, all.element),
      el("div.inside-panels", {}, ...maps.map(({ element }) => element), legend()),
    ),
  );
  session.subscribe(changed, signal);
  await changed();

  function legend() {
    const even = `Spread evenly, each of the ${tokens} tokens would get ${percent(1 / tokens)}%.`;
    const how = "Click a patch, or one of the two tokens, to look from it; by keyboard: arrow keys, then Enter.";
    return el("p.inside-note", {}, `${how} ${even}`);
  }

  /** @param {Partial<import("./chosen.js").Chosen>} changes */
  function set(changes) {
    const view = seen();
    // Who chooses a layer keeps the head that is shown, and the other way round.
    if (changes.layer !== null && ("layer" in changes || "head" in changes || changes.show === "rollout")) {
      chosen = { ...chosen, layer: view.layer, head: view.head };
    }
    chosen = { ...chosen, ...changes };
    keep();
    draw();
  }

  function keep() {
    keepInAddress(to_address(session.state.photo, chosen, sizes));
  }

  /** What is shown, with the sharpest look in the place of nothing chosen. */
  function seen() {
    const { layer, head } = chosen.layer === null && pass ? pass.sharp : chosen;
    return { show: chosen.show, layer: layer ?? sizes.layers, head: head ?? 0 };
  }

  /** A place that the pointer or the focus is at, on all photos. @param {number | null} place */
  function point(place) {
    for (const { outline } of [plain, ...maps]) outline(place === null ? [] : [place]);
    for (const one of maps) one.tell(place);
  }

  async function changed() {
    const { photo, state } = session;
    if (!photo || photo.name !== state.photo || photo === pass?.photo) return; // it is on its way, or shown
    root.setAttribute("aria-busy", "true");
    try {
      const untouched = { ...START, photo: photo.name };
      const result = await session.answer({ state: untouched, lane: "viewer", options: { output_attentions: true } });
      if (!result || signal.aborted || photo !== session.photo) return;
      const { attentions } = result.output;
      const other = pass !== null;
      pass = { photo, look: looks(attentions), sharp: sharpest(attentions, prefix), shares: shares_of(result.output) };
      if (other || location.search) keep(); // without what names nothing here
      wrong.hidden = true;
      draw();
    } catch (error) {
      wrong.textContent = `The model could not be asked: ${/** @type {Error} */ (error).message}`;
      wrong.hidden = false;
    } finally {
      root.removeAttribute("aria-busy");
    }
  }

  function draw() {
    if (!pass) return;
    const { photo, look, sharp, shares } = pass;
    const view = seen();
    const picture = chosen.pixels === "seen" ? canvas_of(photo.seen) : photo.picture;
    const rows = SIDES.map((side) => look(chosen[side], view));
    const largest = rows.map((row) => Math.max(...row.slice(prefix)));
    const most = { shared: Math.max(...largest), full: 1 };
    maps.forEach((one, i) => {
      const { [SIDES[i]]: token, scale, colors, numbers } = chosen;
      const top = scale === "own" ? largest[i] : most[scale];
      one.draw({ picture, view, token, shares: rows[i], most: top, strength: colors / 100, numbers, alt: photo.alt, name: photo.name });
    });
    plain.draw({ picture, chosen: chosen.left < prefix ? null : chosen.left - prefix });
    plain.grid.setAttribute("aria-label", `The photo: ${photo.alt}, cut into patches`);
    steering.update(chosen, view, sharp);
    all.draw(view, chosen.left, look);
    said.draw(shares, null);
    about.textContent = credit();
  }
}
