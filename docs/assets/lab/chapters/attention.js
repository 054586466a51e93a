/**
 * Chapter 5: where a patch looks, and what softmax does when a key is masked.
 */

import { HEAT, gradient } from "../../colors.js";
import { el, radios } from "../../dom.js";
import { percent } from "../answer.js";
import { board } from "../board.js";
import { button } from "../controls.js";
import { sharpest } from "../lens.js";
import { place_name } from "../places.js";
import { session } from "../session.js";
import { START } from "../state.js";
import { e_to, number, table } from "../tables.js";
import { attended } from "./attended.js";
import { dragged } from "./dragged.js";
import { chooser, follow, frame, of_classifier } from "./parts.js";

const SPECIAL = ["class token", "distillation token"];
const FIRST = 26; // the patch that looks at first
const LISTED = 4; // patches in the table, besides the prefix tokens

/** @param {HTMLElement} root @param {AbortSignal} signal */
export async function start(root, signal) {
  const { sizes } = await session.model();
  await session.begin();
  const { prefix, layers, heads } = sizes;
  const masked = new Set();
  let begun = session.state.query !== START.query; // before, a patch looks, not the class token
  let pass = /** @type {any} */ (null); // steps and attentions of what its key describes

  function look(changes, continues = false) {
    begun ||= "query" in changes;
    session.set(changes, { continues });
  }
  const map = board({ sizes, label: "the photo; arrow keys move the patch that looks", tool: "pick", onpick: ask_from });
  map.use("pick");
  map.element.classList.add("play-drag");
  dragged(map.grid, sizes, (place, continues) => ask_from(place, continues));
  const choices = (n) => Array.from({ length: n }, (_, i) => [String(i), String(i + 1)]);
  const layer = radios("Block", "play-layer", choices(layers), () => String(chosen().layer), (value) => look({ head: chosen().head, layer: Number(value) }));
  const head = radios("Head", "play-head", choices(heads), () => String(chosen().head), (value) => look({ layer: chosen().layer, head: Number(value) }));
  const bar = el("span.inside-gradient", { "aria-hidden": "true" });
  bar.style.background = gradient(HEAT);
  const high = el("span");
  const specials = SPECIAL.slice(0, prefix).map((name, token) =>
    button(`${name} looks`, () => look({ query: token }), { "data-token": token }),
  );
  const results = el("div.inside-scroll", { tabindex: 0, role: "region", "aria-label": "Scores and shares" });
  const note = el("p.play-result");
  const buttons = el("div.lab-buttons", {}, ...specials, button("Unmask all", () => unmask()));
  const say = frame(
    root,
    "Where a patch looks",
    "Drag the outlined patch over the photo, or use the arrow keys. Then mask the key that gets most: all other scores " +
      "stay as they are. By what factor does every other share grow?",
    signal,
    el(
      "div.play-two",
      {},
      el("div", {}, map.element, el("div.inside-scale", {}, el("span", {}, "0"), bar, high), buttons),
      el("div", {}, el("div.play-row", {}, layer.element, head.element), results, note),
    ),
    await chooser(signal),
  );

  /** The head that is looked at: that of the state, else a sharp one. */
  function chosen() {
    const { layer, head, query: token } = session.state;
    const query = begun ? token : prefix + FIRST;
    if (head >= 0 || !pass) return { layer: (layer + layers) % layers, head: Math.max(head, 0), query };
    return { layer: pass.sharp.layer - 1, head: pass.sharp.head - 1, query };
  }

  function ask_from(place, continues = false) {
    if (session.state.query !== prefix + place) look({ query: prefix + place }, continues);
  }

  function unmask() {
    masked.clear();
    draw();
  }

  function draw() {
    const at = chosen();
    const steps = pass.layers[at.layer];
    const before = attended(steps, { ...at, masked: [] });
    const { scores, powers, shares } = attended(steps, { ...at, masked: [...masked] });
    const patches = shares.slice(prefix);
    const most = Math.max(...patches);
    const query_place = at.query >= prefix ? at.query - prefix : null;
    map.draw({
      picture: pass.photo.picture,
      order: session.state.order,
      shares: patches,
      most,
      number: (i) => (masked.has(prefix + i) ? "×" : ""),
      chosen: query_place,
    });
    high.textContent = percent(most);
    layer.update();
    head.update();
    for (const special of specials) special.setAttribute("aria-pressed", String(Number(special.dataset.token) === at.query));
    root.dataset.shares = JSON.stringify(shares);
    const who = query_place === null ? SPECIAL[at.query] : `The patch in ${place_name(query_place, sizes)}`;
    const target = patches.indexOf(most);
    const told = `${who} looks most at ${place_name(target, sizes)}, ${percent(most)}.`;
    show_table(before, { scores, powers, shares }, told);
    say(note.textContent);
  }

  function show_table(before, { scores, powers, shares }, told) {
    // The rows stay while keys are masked: they are those of the shares before.
    const order = [...before.shares.keys()].slice(prefix).sort((a, b) => before.shares[b] - before.shares[a]);
    const listed = [...Array(prefix).keys(), ...order.slice(0, LISTED)];
    const others = order.slice(LISTED);
    const sum = (values, keys) => keys.reduce((total, key) => total + values[key], 0);
    const name = (token) => (token < prefix ? SPECIAL[token] : place_name(token - prefix, sizes));
    const rows = listed.map((token) => {
      const toggle = () => {
        if (!masked.delete(token)) masked.add(token);
        if (masked.size === shares.length) masked.delete(token); // somebody must be left
        draw();
        results.querySelector(`[data-token="${token}"]`)?.focus();
      };
      const on = masked.has(token);
      const action = button(on ? "unmask" : "mask", toggle, { "data-token": token, "aria-label": `${on ? "unmask" : "mask"} ${name(token)}` });
      return [name(token), number(scores[token]), number(powers[token], 3), percent(before.shares[token]), percent(shares[token]), action];
    });
    const all = [...shares.keys()];
    rows.push([`${others.length} others`, "", number(sum(powers, others), 3), percent(sum(before.shares, others)), percent(sum(shares, others)), ""]);
    rows.push(["sum", "", number(sum(powers, all), 3), percent(sum(before.shares, all)), percent(sum(shares, all)), ""]);
    results.replaceChildren(
      table("s is the score, max the largest one; a share is the power, divided by the sum.", ["key", "score s", e_to("s − max"), "share", "now", ""], rows),
    );
    const gone = sum(before.shares, [...masked]);
    const grown = `${percent(gone)} are gone; each other share is ${number(1 / (1 - gone), 3)} times as large.`;
    note.textContent = `${told} ${masked.size ? grown : "Nothing is masked."}`;
  }

  await follow(
    signal,
    async () => {
      const state = of_classifier(session.state);
      const key = session.key_of(state);
      if (key === pass?.key) return pass;
      const photo = await session.photo_of(state.photo);
      const trace = ["q", "k", "v"].map((name) => `blocks.*.attention.${name}`);
      const result = await session.answer({ state, lane: "attention", trace, options: { output_attentions: true } });
      if (!result) return null;
      const step = (i, name) => result.trace[`blocks.${i}.attention.${name}`];
      const found = Array.from({ length: layers }, (_, i) => ({ q: step(i, "q"), k: step(i, "k"), v: step(i, "v") }));
      return { key, photo, layers: found, sharp: sharpest(result.output.attentions, prefix, prefix + FIRST) };
    },
    (found) => {
      if (found !== pass) masked.clear();
      pass = found;
      draw();
    },
  );
}
