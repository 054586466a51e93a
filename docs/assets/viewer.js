// The attention viewer: where a token looks, in numbers that are the model's own.
import { HEAT, colorAt, css, gradient } from "./colors.js";
import { dataUrl, float32, getBytes, getJson } from "./data.js";
import { el, fromAddress, keepInAddress, radios, roving } from "./dom.js";

const PREFIX_NAMES = ["class token", "distillation token"];
const SIDES = ["left", "right"];
const percent = (share) => (100 * share).toFixed(2);
// float32 needs up to nine digits to be told from its neighbors.
const exact = (share) => String(Number(share.toPrecision(9)));

export async function start(root, signal) {
  const { model, photos } = await getJson("photos.json", signal);
  const [rows, columns] = model.grid;
  const { layers, heads, tokens, prefix, classes } = model;
  const state = readState();
  const loaded = new Map();
  let data = null; // of the chosen photo: { attentions, rollouts }

  root.replaceChildren();
  const controls = makeControls();
  const overview = makeOverview();
  const panels = SIDES.map(makePanel);
  const predictions = el("div.inside-predictions");
  root.append(
    controls.element,
    el("div.inside-panels", {}, ...panels.map((panel) => panel.element)),
    makeLegend(),
    overview.element,
    el("section.inside-card", { "aria-label": "Predictions" }, el("h2", {}, "What the two heads answer"), predictions),
  );

  // State: everything that is chosen, all of it in the address

  function readState() {
    const asked = fromAddress();
    const oneOf = (value, values) => (values.includes(value) ? value : values[0]);
    const number = (value, highest, otherwise) => {
      const n = Number(value);
      return Number.isInteger(n) && n >= 1 && n <= highest ? n : otherwise;
    };
    const token = (value, otherwise) => {
      if (value === "class") return 0;
      if (value === "distillation" && prefix > 1) return 1;
      const [row, column] = (value ?? "").split("-").map(Number);
      const inside = Number.isInteger(row) && row >= 1 && row <= rows && column >= 1 && column <= columns;
      return inside && Number.isInteger(column) ? prefix + (row - 1) * columns + column - 1 : otherwise;
    };
    const strength = asked.colors === undefined ? 70 : Number(asked.colors);
    return {
      photo: oneOf(
        asked.photo,
        photos.map((photo) => photo.name),
      ),
      show: oneOf(asked.show, ["attention", "rollout"]),
      layer: number(asked.layer, layers, layers),
      head: asked.head === "mean" ? 0 : number(asked.head, heads, 0), // 0: the mean of all
      left: token(asked.left, 0),
      right: token(asked.right, prefix > 1 ? 1 : 0),
      scale: oneOf(asked.scale, ["shared", "own", "full"]),
      photoAs: oneOf(asked.pixels, ["photo", "seen"]),
      colors: strength >= 0 && strength <= 100 ? strength : 70,
      numbers: asked.numbers !== "off",
    };
  }

  const tokenKey = (token) =>
    token < prefix
      ? ["class", "distillation"][token]
      : `${Math.floor((token - prefix) / columns) + 1}-${((token - prefix) % columns) + 1}`;

  function writeState() {
    keepInAddress({
      photo: state.photo,
      show: state.show,
      layer: state.layer,
      head: state.head || "mean",
      left: tokenKey(state.left),
      right: tokenKey(state.right),
      scale: state.scale,
      pixels: state.photoAs,
      colors: state.colors,
      numbers: state.numbers ? "on" : "off",
    });
  }

  function set(changes) {
    Object.assign(state, changes);
    writeState();
    if ("photo" in changes) {
      choosePhoto().catch((error) =>
        root.prepend(el("p", { role: "alert" }, `The photo could not be loaded: ${error.message}.`)),
      );
    } else draw();
  }

  async function choosePhoto() {
    const name = state.photo;
    root.setAttribute("aria-busy", "true");
    try {
      if (!loaded.has(name)) {
        const numbers = float32(await getBytes(`${name}.bin`, signal));
        const size = layers * heads * tokens * tokens;
        loaded.set(name, { attentions: numbers.subarray(0, size), rollouts: numbers.subarray(size) });
      }
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    } finally {
      root.removeAttribute("aria-busy");
    }
    if (signal.aborted || state.photo !== name) return;
    data = loaded.get(name);
    draw();
  }

  // Numbers

  /** The row of `token`: how much it takes from each token. */
  function look(token, { show, layer, head } = state) {
    if (show === "rollout") {
      const first = ((layer - 1) * tokens + token) * tokens;
      return data.rollouts.subarray(first, first + tokens);
    }
    const row = (h) => {
      const first = (((layer - 1) * heads + h) * tokens + token) * tokens;
      return data.attentions.subarray(first, first + tokens);
    };
    if (head) return row(head - 1);
    const mean = new Float64Array(tokens);
    for (let h = 0; h < heads; h++) row(h).forEach((value, i) => (mean[i] += value / heads));
    return mean;
  }

  function inPython(token) {
    const { layer, head } = state;
    const reshaped = `${prefix}:].reshape(${rows}, ${columns})`;
    if (state.show === "rollout") return `attention_rollout(output.attentions[:${layer}])[0, ${token}, ${reshaped}`;
    if (head) return `output.attentions[${layer - 1}][0, ${head - 1}, ${token}, ${reshaped}`;
    return `output.attentions[${layer - 1}][0].mean(axis=0)[${token}, ${reshaped}`;
  }

  const largestPatch = (shares) => Math.max(...shares.subarray(prefix));

  // Names

  function tokenName(token) {
    if (token < prefix) return PREFIX_NAMES[token];
    const [, row, column] = patchPlace(token);
    return `patch in row ${row}, column ${column}`;
  }

  function patchPlace(token) {
    const i = token - prefix;
    return [i, Math.floor(i / columns) + 1, (i % columns) + 1];
  }

  const capital = (text) => text[0].toUpperCase() + text.slice(1);

  function viewName() {
    if (state.show === "rollout") return `Rollout up to layer ${state.layer}`;
    return `Layer ${state.layer}, ${state.head ? `head ${state.head}` : "mean of the heads"}`;
  }

  function summary(token, shares) {
    const order = [...shares.subarray(prefix).keys()].sort((a, b) => shares[prefix + b] - shares[prefix + a]);
    const place = (i) => {
      const [, row, column] = patchPlace(prefix + i);
      return `row ${row}, column ${column} (${percent(shares[prefix + i])}%)`;
    };
    const special = PREFIX_NAMES.slice(0, prefix)
      .map((name, i) => `${percent(shares[i])}% to ${i === token ? "itself" : `the ${name}`}`)
      .join(" and ");
    const itself = token >= prefix ? ` Its own place gets ${percent(shares[token])}%.` : "";
    return (
      `${viewName()}, ${tokenName(token)}: looks most at ${place(order[0])}, then at ${place(order[1])} and ` +
      `${place(order[2])}. ${capital(special)}.${itself}`
    );
  }

  // Controls

  function makeControls() {
    const upTo = (n, first) => [...first, ...Array.from({ length: n }, (_, i) => [String(i + 1), String(i + 1)])];
    const groups = [
      radios(
        "Photo",
        "photo",
        photos.map((p) => [p.name, p.title]),
        () => state.photo,
        (photo) => set({ photo }),
      ),
      radios(
        "Show",
        "show",
        [
          ["attention", "one layer’s attention"],
          ["rollout", "rollout up to the layer"],
        ],
        () => state.show,
        (show) => set({ show }),
      ),
      radios(
        "Layer",
        "layer",
        upTo(layers, []),
        () => String(state.layer),
        (layer) => set({ layer: Number(layer) }),
      ),
      radios(
        "Head",
        "head",
        upTo(heads, [["0", "mean"]]),
        () => String(state.head),
        (head) => set({ head: Number(head) }),
      ),
    ];
    const headGroup = groups[3].element;
    const pixels = select(
      "Photo shown as",
      [
        ["photo", "the photo itself"],
        ["seen", "the pixels the model sees"],
      ],
      () => state.photoAs,
      (photoAs) => set({ photoAs }),
    );
    const scale = select(
      "Color scale",
      [
        ["shared", "one for both maps"],
        ["own", "each map its own"],
        ["full", "0 to 100%"],
      ],
      () => state.scale,
      (value) => set({ scale: value }),
    );
    const strength = el("input", {
      type: "range",
      min: 0,
      max: 100,
      step: 5,
      id: "inside-strength",
      oninput: (event) => set({ colors: Number(event.target.value) }),
    });
    const numbers = el("input", { type: "checkbox", onchange: (event) => set({ numbers: event.target.checked }) });
    const element = el(
      "form.inside-controls",
      { "aria-label": "What to show", onsubmit: (e) => e.preventDefault() },
      ...groups.map((group) => group.element),
      el(
        "details.inside-more",
        {},
        el("summary", {}, "How it is drawn"),
        el(
          "div.inside-row",
          {},
          pixels.element,
          scale.element,
          el("label", { for: "inside-strength" }, el("span", {}, "Colors over the photo"), strength),
          el("label.inside-check", {}, numbers, el("span", {}, "Numbers in percent")),
        ),
      ),
    );
    const update = () => {
      groups.forEach((group) => group.update());
      pixels.update();
      scale.update();
      headGroup.disabled = state.show === "rollout"; // it takes the mean of all heads
      strength.value = state.colors;
      strength.setAttribute("aria-valuetext", `${state.colors} percent`);
      numbers.checked = state.numbers;
    };
    return { element, update };
  }

  function select(label, options, current, choose) {
    const box = el(
      "select",
      { onchange: (event) => choose(event.target.value) },
      ...options.map(([value, text]) => el("option", { value }, text)),
    );
    return { element: el("label", {}, el("span", {}, label), box), update: () => (box.value = current()) };
  }

  function makeLegend() {
    return el(
      "p.inside-note",
      {},
      "Pick another token to look from: click a patch or one of the two tokens above the " +
        "photo; with the keyboard, go to a photo, move with the arrow keys, press Enter. ",
      `Spread evenly, each of the ${tokens} tokens would get ${percent(1 / tokens)}%.`,
    );
  }

  // One photo with a grid over it, one token that looks

  function makePanel(side) {
    const title = el("h2", { id: `inside-${side}-title` });
    const specials = PREFIX_NAMES.slice(0, prefix).map((name, token) => {
      const button = el("button.inside-special", {
        type: "button",
        "data-token": token,
        onclick: () => set({ [side]: token }),
      });
      const number = el("b");
      const bar = el("i");
      button.append(el("span", {}, name), number, el("span.inside-bar", { "aria-hidden": "true" }, bar));
      button.classList.add(["inside-cls", "inside-dist"][token]);
      return { button, number, bar, name };
    });
    const image = el("img", { alt: "", width: 300, height: 300 });
    const cells = Array.from({ length: rows }, (_, row) =>
      Array.from({ length: columns }, (__, column) => {
        const token = prefix + row * columns + column;
        return el("div.inside-cell", { role: "gridcell", tabindex: -1, "data-token": token }, el("span"));
      }),
    );
    cells[0][0].tabIndex = 0;
    const grid = el(
      "div.inside-grid",
      { role: "grid", "aria-labelledby": `inside-${side}-title`, "data-side": side },
      ...cells.map((line) => el("div", { role: "row" }, ...line)),
    );
    grid.style.setProperty("--columns", columns);
    const readout = el("p.inside-readout");
    const rest = "Point at a patch, or move to it, for its exact share.";
    const pick = (event) => {
      const cell = event.target.closest("[data-token]");
      if (!cell) return;
      for (const line of cells) for (const other of line) other.tabIndex = other === cell ? 0 : -1;
      set({ [side]: Number(cell.dataset.token) });
    };
    grid.addEventListener("click", pick);
    grid.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        pick(event);
      } else roving(cells, event);
    });
    const tell = (event) => {
      const cell = event.target.closest("[data-token]");
      if (cell) readout.textContent = `${capital(tokenName(Number(cell.dataset.token)))}: ${cell.dataset.value}`;
    };
    grid.addEventListener("pointerover", tell);
    grid.addEventListener("focusin", tell);
    grid.addEventListener("pointerleave", () => (readout.textContent = rest));
    const scaleEnd = el("span");
    const scale = el(
      "div.inside-scale",
      {},
      el("span", {}, "0%"),
      el("span.inside-gradient", { "aria-hidden": "true" }),
      scaleEnd,
    );
    scale.children[1].style.background = gradient(HEAT);
    const even = el("i", { title: `an even share: ${percent(1 / tokens)}%` });
    scale.children[1].append(even);
    const text = el("p.inside-summary", { "aria-live": "polite", "data-side": side });
    const python = el("code");
    const table = el("details.inside-table", { ontoggle: () => drawTable() }, el("summary", {}, "The same as a table"));
    const element = el(
      "section.inside-panel.inside-card",
      { "aria-labelledby": `inside-${side}-title` },
      title,
      el("div.inside-specials", {}, ...specials.map((special) => special.button)),
      el("div.inside-photo", {}, image, grid),
      scale,
      readout,
      text,
      el("p.inside-python", {}, "In Python: ", python),
      table,
    );
    readout.textContent = rest;

    function draw(most) {
      const token = state[side];
      const shares = look(token);
      const photo = photos.find(({ name }) => name === state.photo);
      title.textContent = `Looking from: ${tokenName(token)}`;
      const source = dataUrl(`${photo.name}.${state.photoAs === "seen" ? "png" : "jpg"}`);
      if (image.src !== source) image.src = source;
      image.classList.toggle("inside-pixels", state.photoAs === "seen");
      image.alt = `Photo: ${photo.alt}`;
      specials.forEach(({ button, number, bar, name }, i) => {
        number.textContent = `${percent(shares[i])}%`;
        bar.style.width = `${percent(shares[i])}%`;
        button.dataset.value = exact(shares[i]);
        button.title = `exactly ${exact(shares[i])}`;
        button.setAttribute("aria-pressed", String(i === token));
        button.setAttribute("aria-label", `${name} gets ${percent(shares[i])} percent; look from it`);
      });
      grid.classList.toggle("inside-no-numbers", !state.numbers);
      for (const line of cells) {
        for (const cell of line) {
          const patch = Number(cell.dataset.token);
          const share = shares[patch];
          const [, row, column] = patchPlace(patch);
          cell.style.backgroundColor = css(colorAt(HEAT, most > 0 ? share / most : 0), state.colors / 100);
          cell.firstChild.textContent = percent(share);
          cell.dataset.value = exact(share);
          cell.title = `exactly ${exact(share)}`;
          cell.setAttribute("aria-label", `row ${row}, column ${column}: ${percent(share)} percent`);
          cell.setAttribute("aria-selected", String(patch === token));
        }
      }
      scaleEnd.textContent = `${percent(most)}%`;
      even.style.insetInlineStart = `${Math.min(100, 100 / tokens / most)}%`;
      even.hidden = 1 / tokens > most;
      const said = summary(token, shares);
      if (text.textContent !== said) text.textContent = said;
      python.textContent = inPython(token);
      drawTable();
    }

    function drawTable() {
      table.querySelector(".inside-scroll")?.remove();
      if (!table.open || !data) return;
      const shares = look(state[side]);
      const number = (token) => el("td", { title: `exactly ${exact(shares[token])}` }, percent(shares[token]));
      const line = (row) =>
        el(
          "tr",
          {},
          el("th", { scope: "row" }, `row ${row + 1}`),
          ...Array.from({ length: columns }, (_, column) => number(prefix + row * columns + column)),
        );
      table.append(
        el(
          "div.inside-scroll",
          { tabindex: 0, role: "region", "aria-label": "Table of shares" },
          el(
            "table",
            {},
            el(
              "caption",
              {},
              `${viewName()}, ${tokenName(state[side])}: shares in percent. ` +
                PREFIX_NAMES.slice(0, prefix)
                  .map((name, i) => `${capital(name)}: ${percent(shares[i])}.`)
                  .join(" "),
            ),
            el(
              "thead",
              {},
              el(
                "tr",
                {},
                el("td"),
                ...Array.from({ length: columns }, (_, column) => el("th", { scope: "col" }, `col. ${column + 1}`)),
              ),
            ),
            el("tbody", {}, ...Array.from({ length: rows }, (_, row) => line(row))),
          ),
        ),
      );
    }

    return { element, draw };
  }

  // All layers and heads at a glance

  function makeOverview() {
    const caption = el("p.inside-note");
    const cells = Array.from({ length: layers }, (_, layer) =>
      Array.from({ length: heads }, (__, head) => {
        const canvas = el("canvas", { width: columns, height: rows, "aria-hidden": "true" });
        return el(
          "div.inside-thumb",
          { role: "gridcell", tabindex: -1, "data-layer": layer + 1, "data-head": head + 1 },
          canvas,
        );
      }),
    );
    cells[0][0].tabIndex = 0;
    const header = el(
      "div",
      { role: "row" },
      el("span", { role: "columnheader" }, "Layer"),
      ...Array.from({ length: heads }, (_, head) => el("span", { role: "columnheader" }, `head ${head + 1}`)),
    );
    const grid = el(
      "div.inside-overview",
      { role: "grid", "aria-label": "All layers and heads" },
      header,
      ...cells.map((line, layer) =>
        el("div", { role: "row" }, el("span", { role: "rowheader" }, String(layer + 1)), ...line),
      ),
    );
    grid.style.setProperty("--columns", heads);
    const pick = (event) => {
      const cell = event.target.closest("[data-layer]");
      if (!cell) return;
      set({ show: "attention", layer: Number(cell.dataset.layer), head: Number(cell.dataset.head) });
    };
    grid.addEventListener("click", pick);
    grid.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        pick(event);
      } else roving(cells, event);
    });
    const element = el(
      "details.inside-card.inside-all",
      { open: true, ontoggle: () => draw() },
      el("summary", {}, "All layers and heads at a glance"),
      caption,
      grid,
    );

    function draw() {
      if (!element.open || !data) return;
      const token = state.left;
      caption.textContent =
        `What the ${tokenName(token)} (the left photo’s choice) looks at, each map from 0 to its own ` +
        "largest share. Choose one to see it large.";
      for (const line of cells) {
        for (const cell of line) {
          const [layer, head] = [Number(cell.dataset.layer), Number(cell.dataset.head)];
          const shares = look(token, { show: "attention", layer, head });
          const most = largestPatch(shares);
          const context = cell.firstChild.getContext("2d");
          const pixels = context.createImageData(columns, rows);
          shares.subarray(prefix).forEach((share, i) => pixels.data.set([...colorAt(HEAT, share / most), 255], 4 * i));
          context.putImageData(pixels, 0, 0);
          const chosen = state.show === "attention" && state.layer === layer && state.head === head;
          cell.setAttribute("aria-selected", String(chosen));
          cell.setAttribute("aria-label", `layer ${layer}, head ${head}: largest share ${percent(most)} percent`);
          cell.title = `layer ${layer}, head ${head}: largest share ${percent(most)}%`;
        }
      }
    }

    return { element, draw };
  }

  // Predictions

  function drawPredictions() {
    const photo = photos.find(({ name }) => name === state.photo);
    const best = (head) =>
      classes[photo.heads[head].probabilities.indexOf(Math.max(...photo.heads[head].probabilities))];
    const card = (head, title, note) => {
      const { probabilities, logits } = photo.heads[head];
      const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]).slice(0, 5);
      return el(
        "div",
        { class: `inside-answer inside-${head}`, "data-head": head },
        el("h3", {}, title),
        el("p", {}, note),
        el(
          "ol",
          {},
          ...order.map((i) => {
            const bar = el("i");
            bar.style.width = `${100 * probabilities[i]}%`;
            return el(
              "li",
              {
                "data-probability": String(probabilities[i]),
                title: `exactly ${probabilities[i]}; logit ${exact(logits[i])}`,
              },
              el("span", {}, classes[i]),
              el("b", {}, `${percent(probabilities[i])}%`),
              el("span.inside-bar", { "aria-hidden": "true" }, bar),
            );
          }),
        ),
      );
    };
    const agree =
      best("class") === best("distillation")
        ? `Both heads answer ${best("class")}, and so does their average.`
        : `The class head answers ${best("class")}, the distillation head ${best("distillation")}; ` +
          `their average answers ${best("average")}.`;
    predictions.replaceChildren(
      el("p", {}, agree),
      el(
        "div.inside-answers",
        {},
        card("class", "Class head", "reads the class token, learned from labels"),
        card("distillation", "Distillation head", "reads the distillation token, learned from a teacher"),
        card("average", "Average", "the mean of both heads’ logits: the model’s answer"),
      ),
    );
  }

  function draw() {
    if (!data) return;
    controls.update();
    const largest = SIDES.map((side) => largestPatch(look(state[side])));
    SIDES.forEach((_, i) => {
      panels[i].draw(state.scale === "full" ? 1 : state.scale === "own" ? largest[i] : Math.max(...largest));
    });
    overview.draw();
    drawPredictions();
  }

  await choosePhoto();
}
