/**
 * What can lie over the photo: where a token looks, and what hiding each patch does.
 */

import { HEAT, SIGNED, gradient } from "../../colors.js";
import { el, radios, roving } from "../../dom.js";
import { attention_rollout } from "../../engine/attention.js";
import { percent, points } from "../answer.js";
import { look as row_of } from "../lens.js";
import { why } from "../links.js";
import { painted } from "../painted.js";
import { place_name } from "../places.js";
import { rank_correlation } from "../ranks.js";
import { spoken } from "../spoken.js";
import { watched } from "../watched.js";

/** @typedef {import("../page.js").Page} Page */

const WAYS = { attention: "nobody may look there", gray: "the patch turns gray" };
const PREFIX = ["class token", "distillation token"];

/**
 * What lies over the photo of a state, from a pass of it.
 * @param {import("../state.js").State} state
 * @param {import("../../engine/arrays.js").NDArray[]} attentions
 * @param {number} layers
 * @returns {number[]} what the query takes from each token
 */
export function shares_over(state, attentions, layers) {
  if (state.look !== "rollout") return row_of(attentions, state);
  const up_to = (state.layer + layers) % layers; // -1 is the last
  const { data, shape } = attention_rollout(attentions.slice(0, up_to + 1));
  return [...data.subarray(state.query * shape[2], (state.query + 1) * shape[2])];
}

/** @param {Page} page */
export function look({ session, sizes, signal, questions, redraw }) {
  const { prefix, layers, heads } = sizes;
  const set = (changes) => session.set(changes);
  const numbers = (n) => Array.from({ length: n }, (_, i) => [String(i), String(i + 1)]);
  const views = [
    ["attention", "one block’s attention"],
    ["rollout", "rollout up to the block"],
    ["effects", "what hiding each does"],
  ];
  const state = () => session.state;
  const view = radios("Show", "look", views, () => state().look, (name) => set({ look: name }));
  const layer = radios("Block", "layer", numbers(layers), last_as_number, (value) => set({ layer: Number(value) }));
  const options = [["-1", "mean"], ...numbers(heads)];
  const head = radios("Head", "head", options, () => String(state().head), (value) => set({ head: Number(value) }));
  const specials = PREFIX.slice(0, prefix).map((name, token) => {
    const [number, bar] = [el("b"), el("i")];
    const of_token = el(
      "button.inside-special",
      { type: "button", "data-token": token, onclick: () => set({ query: token }) },
      el("span", {}, name),
      number,
      el("span.inside-bar", { "aria-hidden": "true" }, bar),
    );
    of_token.classList.add(["inside-cls", "inside-dist"][token]);
    return { element: of_token, number, bar };
  });
  const thumbs = Array.from({ length: layers }, (_, i) =>
    Array.from({ length: heads }, (__, k) => {
      const canvas = el("canvas", { width: 40, height: 40, "aria-hidden": "true" });
      const label = `block ${i + 1}, head ${k + 1}`;
      const onclick = () => set({ layer: i, head: k });
      return el("button.lab-map", { type: "button", tabindex: i + k ? -1 : 0, title: label, "aria-label": label, onclick }, canvas);
    }),
  );
  const all = el("div.lab-maps", { role: "group", "aria-label": "all blocks and heads" }, ...thumbs.flat());
  all.style.setProperty("--columns", heads);
  all.addEventListener("keydown", (event) => roving(thumbs, event));
  const [low, high] = [el("span"), el("span")];
  const bar = el("span.inside-gradient", { "aria-hidden": "true" });
  const scale = el("div.inside-scale.lab-scale", {}, low, bar, high);
  const said = el("p.lab-said", { role: "status" });
  const live = spoken(signal);
  const attended = el(
    "div",
    {},
    layer.element,
    head.element,
    el("div.inside-specials", {}, ...specials.map(({ element }) => element)),
    el(
      "p.inside-note",
      {},
      "Each map: a block (from above) and a head (from the left). ",
      why("attention#where-real-heads-look", "attention"),
    ),
    all,
    live.element,
  );
  let effects = /** @type {number[] | null} */ (null);
  let of = ""; // what was done when they were asked for
  const map = watched("Hide each patch in turn", said, signal, async (watch) => {
    const asked = session.key_of(state());
    effects = [];
    of = asked;
    await questions.effects(state(), {
      ...watch,
      tell: (done, all, so_far) => {
        if (of !== asked) return;
        effects = [...so_far];
        watch.tell(done, all, so_far);
        redraw();
      },
    });
  });
  const way = el("span.lab-way");
  const agreement = el("p.lab-agreement", { role: "status" });
  const hiding = el(
    "div",
    {},
    el(
      "p.inside-note",
      {},
      "Red: without this patch the answer loses, so it speaks for it. Teal: without it the answer gains. ",
      way,
      why("relevance#the-test-hide-it", "what a decision rests on"),
    ),
    el("div.lab-buttons", {}, ...map.elements),
    said,
    agreement,
  );
  const rollout = el(
    "p.inside-note",
    {},
    "Rollout multiplies the attention of all blocks up to this one, the way past each included. ",
    why("relevance#attention-rollout", "rollout"),
  );
  const element = el("div", {}, view.element, rollout, scale, attended, hiding);

  /** @param {any} output @param {number[]} all of the effects */
  function agreeing({ attentions }, all) {
    const attended = row_of(attentions, { layer: -1, head: -1, query: 0 }).slice(prefix);
    const open = [...all.keys()].filter((place) => !state().hidden.includes(place));
    const rank = rank_correlation(open.map((place) => attended[place]), open.map((place) => Math.abs(all[place])));
    if (Number.isNaN(rank)) return "";
    return (
      "Rank correlation of the size of these effects and the attention of the class token in the last block: " +
      `${signed(rank, 2)} (1: the same order; 0: no relation).`
    );
  }

  function last_as_number() {
    return String((state().layer + layers) % layers);
  }

  /** @param {any} output @param {import("../state.js").State} of_state */
  function over(output, of_state) {
    if (of_state.look === "effects") {
      if (session.key_of(of_state) !== of || !effects) return {};
      const shares = Array.from({ length: sizes.patches }, (_, i) => -(effects[i] ?? 0));
      const number = (/** @type {number} */ i) => (i in effects ? points(-shares[i]) : "–"); // not tried yet
      const exact = (/** @type {number} */ i) => (i in effects ? `${signed(100 * effects[i])} points` : "");
      return { shares, signed: true, most: Math.max(...shares.map(Math.abs)), number, unit: " points", exact };
    }
    if (!output?.attentions) return {};
    const shares = shares_over(of_state, output.attentions, layers);
    const patches = shares.slice(prefix);
    const number = (/** @type {number} */ i) => (100 * patches[i]).toFixed(1);
    const exact = (/** @type {number} */ i) => `${100 * patches[i]}%`;
    return { shares: patches, most: Math.max(...patches), number, unit: "%", exact, all: shares };
  }

  function update(now) {
    for (const group of [view, layer, head]) group.update();
    const shown = over(now?.output, state());
    const hides = state().look === "effects";
    attended.hidden = hides;
    hiding.hidden = !hides;
    way.textContent = `Hidden means: ${WAYS[state().how] ?? ""}; the tab Hide has the other way. `;
    rollout.hidden = state().look !== "rollout";
    head.element.disabled = state().look === "rollout";
    scale.hidden = shown.most === undefined;
    bar.style.background = gradient(shown.signed ? [...SIGNED] : HEAT);
    low.textContent = shown.signed ? `rises without it: ${points(shown.most ?? 0)}` : "0%";
    high.textContent = shown.signed ? `falls: ${points(-(shown.most ?? 0))}` : percent(shown.most ?? 0);
    specials.forEach(({ element, number, bar }, token) => {
      element.setAttribute("aria-pressed", String(state().query === token));
      number.textContent = shown.all ? percent(shown.all[token]) : "";
      bar.style.width = shown.all ? percent(shown.all[token]) : "0";
      if (shown.all) element.dataset.value = String(shown.all[token]);
    });
    if (hides) {
      agreement.textContent = effects?.length === sizes.patches && shown.shares && now ? agreeing(now.output, effects) : "";
      if (of !== session.key_of(state()) && state().how !== "mask") map.run();
      return;
    }
    if (effects && effects.length < sizes.patches) of = ""; // it goes on when it is looked at again
    map.stop();
    if (!now) return;
    const { query } = state();
    const from = PREFIX[query] ?? `patch in ${place_name(query - prefix, sizes)}`;
    const patches = shown.all.slice(prefix);
    const most = patches.indexOf(Math.max(...patches));
    const of_head = state().look === "rollout" || state().head < 0 ? "" : `, head ${state().head + 1}`;
    const block = `${state().look === "rollout" ? "Rollout up to block" : "Block"} ${Number(last_as_number()) + 1}${of_head}`;
    live.say(`${block}: the ${from} looks most at ${place_name(most, sizes)}, ${percent(patches[most])}.`);
    thumbs.forEach((line, i) =>
      line.forEach((thumb, k) => {
        const shares = row_of(now.output.attentions, { layer: i, head: k, query: state().query }).slice(prefix);
        const chosen = state().look === "attention" && String(i) === last_as_number() && state().head === k;
        thumb.setAttribute("aria-pressed", String(chosen));
        small(thumb.firstChild, shares, sizes);
      }),
    );
  }
  return {
    element,
    needs: { options: { output_attentions: true } },
    tool: () => "pick",
    get note() {
      return state().look === "effects" ? "" : "Click a patch to look from it: to see what its token takes from each.";
    },
    update,
    over,
  };
}

/** @param {number} value @param {number} [digits] all of them, if not given */
function signed(value, digits) {
  const size = Math.abs(value);
  return `${value < 0 ? "−" : "+"}${digits === undefined ? size : size.toFixed(digits)}`;
}

/** A map without its photo. */
function small(canvas, shares, sizes) {
  blank ??= Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  painted(canvas, { picture: blank, shares, most: Math.max(...shares) }, sizes);
}

let blank = /** @type {HTMLCanvasElement | null} */ (null);
