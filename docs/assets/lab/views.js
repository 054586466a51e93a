/**
 * What can be looked at: where a token looks, what hiding each patch does, and what the stream holds after every block.
 */

import { HEAT, SIGNED, gradient } from "../colors.js";
import { el, radios, roving } from "../dom.js";
import { attention_rollout } from "../engine/attention.js";
import { percent, points } from "./answer.js";
import { lens, look as row_of, stream } from "./lens.js";
import { painted } from "./painted.js";
import { watched } from "./panels.js";
import { best } from "./questions.js";
import { doing } from "./state.js";

/** @typedef {import("./page.js").Page} Page */

const PREFIX = ["class token", "distillation token"];

/**
 * What lies over the photo of a state, from a pass of it.
 * @param {import("./state.js").State} state
 * @param {import("../engine/arrays.js").NDArray[]} attentions
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
    ["attention", "one layer’s attention"],
    ["rollout", "rollout up to the layer"],
    ["effects", "what hiding each does"],
  ];
  const state = () => session.state;
  const view = radios("Show", "look", views, () => state().look, (name) => set({ look: name }));
  const layer = radios("Layer", "layer", numbers(layers), last_as_number, (value) => set({ layer: Number(value) }));
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
      const label = `layer ${i + 1}, head ${k + 1}`;
      const onclick = () => set({ layer: i, head: k });
      return el("button.lab-map", { type: "button", tabindex: i + k ? -1 : 0, title: label, "aria-label": label, onclick }, canvas);
    }),
  );
  const all = el("div.lab-maps", { role: "group", "aria-label": "all layers and heads" }, ...thumbs.flat());
  all.style.setProperty("--columns", heads);
  all.addEventListener("keydown", (event) => roving(thumbs, event));
  const [low, high] = [el("span"), el("span")];
  const bar = el("span.inside-gradient", { "aria-hidden": "true" });
  const scale = el("div.inside-scale", {}, low, bar, high);
  const said = el("p.lab-said", { role: "status" });
  const attended = el(
    "div",
    {},
    layer.element,
    head.element,
    el("div.inside-specials", {}, ...specials.map(({ element }) => element)),
    el("p.inside-note", {}, "Each map: a layer (from above) and a head (from the left)."),
    all,
  );
  let effects = /** @type {number[] | null} */ (null);
  let of = ""; // what was done when they were asked for
  const map = watched("Hide each patch in turn", said, signal, async (watch) => {
    const asked = doing(state());
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
  const hiding = el(
    "div",
    {},
    el(
      "p.inside-note",
      {},
      "Red: without this patch the answer loses, so it speaks for it. Teal: without it the answer gains. As the state " +
        "says, patches turn gray, or nobody may look there.",
    ),
    el("div.lab-buttons", {}, ...map.elements),
    said,
  );
  const element = el("div", {}, view.element, scale, attended, hiding);

  function last_as_number() {
    return String((state().layer + layers) % layers);
  }

  /** @param {any} output @param {import("./state.js").State} of_state */
  function over(output, of_state) {
    if (of_state.look === "effects") {
      if (doing(of_state) !== of || !effects) return {};
      const shares = Array.from({ length: sizes.patches }, (_, i) => -(effects[i] ?? 0));
      return { shares, signed: true, most: Math.max(...shares.map(Math.abs)), number: (i) => points(-shares[i]) };
    }
    if (!output?.attentions) return {};
    const shares = shares_over(of_state, output.attentions, layers);
    const patches = shares.slice(prefix);
    return { shares: patches, most: Math.max(...patches), number: (i) => (100 * patches[i]).toFixed(1), all: shares };
  }

  function update(now) {
    for (const group of [view, layer, head]) group.update();
    const shown = over(now.output, state());
    const hides = state().look === "effects";
    attended.hidden = hides;
    hiding.hidden = !hides;
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
      if (of !== doing(state()) && state().how !== "mask") map.run();
      return;
    }
    map.stop();
    if (!now.output?.attentions) return;
    thumbs.forEach((line, i) =>
      line.forEach((thumb, k) => {
        const shares = row_of(now.output.attentions, { layer: i, head: k, query: state().query }).slice(prefix);
        const chosen = state().look === "attention" && String(i) === last_as_number() && state().head === k;
        thumb.setAttribute("aria-pressed", String(chosen));
        small(thumb.firstChild, shares, sizes);
      }),
    );
  }
  const note = "Click a patch to look from it.";
  return { element, tool: () => "pick", note, update, over };
}

/** A map without its photo. */
function small(canvas, shares, sizes) {
  const blank = { width: 1, height: 1 };
  const picture = Object.assign(document.createElement("canvas"), blank);
  painted(canvas, { picture, shares, most: Math.max(...shares) }, sizes);
}

/** @param {Page} page */
export function inside({ sizes, classes, parts }) {
  const table = el("div.lab-lens", { role: "table", "aria-label": "what both heads would say after every block" });
  const lengths = el("div");
  const likeness = el("div");
  const element = el(
    "div",
    {},
    el("h3", {}, "The logit lens"),
    el(
      "p.inside-note",
      {},
      "The last norm and both heads, put to the residual stream before the first block and after each. They were trained " +
        "to read its end.",
    ),
    table,
    el("h3", {}, "How long the tokens are"),
    lengths,
    el("h3", {}, "How alike they are"),
    likeness,
  );

  function update({ output }) {
    if (!output?.hidden_states) return;
    if (!output.logits) {
      table.replaceChildren(el("p.inside-note", {}, "The model that guesses pixels has no heads to ask."));
    } else {
      const places = lens(parts, output.hidden_states);
      table.replaceChildren(
        ...places.map((shares, i) =>
          el(
            "div",
            { role: "row", "data-block": i },
            el("span", { role: "rowheader" }, i ? `block ${i}` : "start"),
            ...["class", "distillation"].map((head) => {
              const winner = best(shares[head]);
              const share = el("i");
              share.style.width = percent(shares[head][winner]);
              const bar = el("span.inside-bar", { "aria-hidden": "true" }, share);
              const text = `${classes[winner]} ${percent(shares[head][winner], 0)}`;
              return el(`span.inside-${head}`, { role: "cell", "data-shares": shares[head].join(" ") }, text, bar);
            }),
          ),
        ),
      );
    }
    const places = stream(output.hidden_states, sizes);
    const line = (title, color, values) => ({ title, color, values });
    lengths.replaceChildren(
      chart([
        line("class token", "var(--deit-cls)", places.map(({ cls }) => cls)),
        line("distillation token", "var(--deit-dist)", places.map(({ dist }) => dist)),
        line("patches, mean", "var(--deit-image)", places.map(({ patches }) => patches)),
      ]),
    );
    likeness.replaceChildren(
      chart(
        [
          line("class and distillation token", "var(--deit-dist)", places.map(({ two }) => two)),
          line("two patches, mean", "var(--deit-image)", places.map(({ alike }) => alike)),
        ],
        1,
      ),
    );
  }
  return { element, tool: () => "brush", note: "Drag over the photo to hide patches, and see what changes inside.", update };
}

const SVG = "http://www.w3.org/2000/svg";

/** Lines over the blocks, with the numbers as a text for those who do not see them. */
function chart(lines, top = Math.max(...lines.flatMap(({ values }) => values))) {
  const [width, height, left, bottom] = [280, 96, 26, 14];
  const shape = (name, attributes) => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const n = lines[0].values.length;
  const low = Math.min(0, ...lines.flatMap(({ values }) => values));
  const x = (i) => left + (i * (width - left - 8)) / (n - 1);
  const y = (value) => 6 + (1 - (value - low) / (top - low)) * (height - bottom - 10);
  const words = lines.map(({ title, values }) => `${title}: ${values.map((v) => v.toFixed(2)).join(", ")}`).join("; ");
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": words });
  const text = (content, at) => {
    const element = shape("text", { ...at, "font-size": 9, fill: "currentColor" });
    element.textContent = content;
    return element;
  };
  for (const value of [low, top]) {
    svg.append(shape("line", { x1: left, x2: width - 8, y1: y(value), y2: y(value), stroke: "currentColor", opacity: 0.25 }));
    svg.append(text(value === 0 ? "0" : value.toFixed(top > 2 ? 0 : 1), { x: left - 4, y: y(value) + 3, "text-anchor": "end" }));
  }
  for (let i = 0; i < n; i++) svg.append(text(i ? String(i) : "start", { x: x(i), y: height - 2, "text-anchor": "middle" }));
  for (const { color, values } of lines) {
    const places = values.map((value, i) => `${x(i).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
    svg.append(shape("polyline", { points: places, fill: "none", style: `stroke: ${color}; stroke-width: 2` }));
  }
  const legend = el("p.lab-legend", {});
  for (const { title, color, values } of lines) {
    const mark = el("i", { "aria-hidden": "true" });
    mark.style.background = color;
    legend.append(el("span", {}, mark, `${title} ${values.at(-1).toFixed(2)}`));
  }
  return el("figure.lab-chart", {}, svg, legend);
}
