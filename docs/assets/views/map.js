/**
 * One map of the attention viewer: where a token looks, over the photo, in words, in Python and as a table.
 */

import { HEAT, gradient } from "../colors.js";
import { SITE } from "../data.js";
import { el } from "../dom.js";
import { board } from "../lab/board.js";
import { exact, in_python, in_stepper, percent, summary, title } from "./looks.js";
import { SPECIAL, capital } from "./tokens.js";

const REST = "Point at a patch, or move to it, for its exact share.";

/** @param {"left" | "right"} side @param {import("./controls.js").Page} page */
export function map(side, { sizes, names, set, point }) {
  const { prefix, tokens, grid: [rows, columns] } = sizes;
  /** @type {null | {view: import("./looks.js").View, token: number, shares: number[]}} */
  let shown = null;
  /** @type {number | null} */
  let pointed = null; // a place
  const id = `inside-${side}-title`;
  const heading = el("h2", { id });
  const specials = SPECIAL.slice(0, prefix).map((name, token) => {
    const [number, bar] = [el("b"), el("i")];
    const button = el(
      "button.inside-special",
      { type: "button", "data-token": token, onclick: () => set({ [side]: token }) },
      el("span", {}, name),
      number,
      el("span.inside-bar", { "aria-hidden": "true" }, bar),
    );
    button.classList.add(["inside-cls", "inside-dist"][token]);
    return { button, number, bar, name };
  });
  const onpick = (/** @type {number} */ place) => set({ [side]: prefix + place });
  const photo = board({ sizes, label: "", tool: "pick", onpick, onpoint: point });
  photo.use("pick");
  photo.grid.removeAttribute("aria-label");
  photo.grid.setAttribute("aria-labelledby", id);
  photo.grid.dataset.side = side;
  const readout = el("p.inside-readout", {}, REST);
  const end = el("span");
  const even = el("i", { title: `an even share: ${percent(1 / tokens)}%` });
  const bar = el("span.inside-gradient", { "aria-hidden": "true" }, even);
  bar.style.background = gradient(HEAT);
  const text = el("p.inside-summary", { "aria-live": "polite", "data-side": side });
  const python = el("code");
  const made = el("a", {}, "How the largest share of a patch was made");
  const origin = el("p.inside-origin", {}, made);
  const table = el("details.inside-table", { ontoggle: () => draw_table() }, el("summary", {}, "The same as a table"));
  const element = el(
    "section.inside-panel",
    { "aria-labelledby": id },
    heading,
    el("div.inside-specials", {}, ...specials.map(({ button }) => button)),
    photo.element,
    el("div.inside-scale", {}, el("span", {}, "0%"), bar, end),
    readout,
    text,
    el("p.inside-python", {}, "In Python: ", python),
    origin,
    table,
  );

  /** The share of a place, in all of its digits. @param {number | null} place */
  function tell(place) {
    pointed = place;
    const token = prefix + (place ?? 0);
    const told = place === null || !shown ? REST : `${capital(names.name(token))}: ${exact(shown.shares[token])}`;
    readout.textContent = told;
  }

  /**
   * @param {{picture: HTMLCanvasElement, view: import("./looks.js").View, token: number, shares: number[], most: number,
   *   strength: number, numbers: boolean, alt: string, name: string}} look name: of the photo
   */
  function draw({ picture, view, token, shares, most, strength, numbers, alt, name }) {
    const before = shown?.token;
    shown = { view, token, shares };
    heading.textContent = `Looking from: ${names.name(token)}`;
    const patches = shares.slice(prefix);
    const number = (/** @type {number} */ place) => percent(patches[place]);
    const chosen = token < prefix ? null : token - prefix;
    photo.draw({ picture, shares: patches, most, strength, number, unit: "%", chosen });
    photo.grid.classList.toggle("inside-no-numbers", !numbers);
    photo.grid.title = "";
    photo.grid.setAttribute("aria-description", `Photo: ${alt}`);
    text.setAttribute("aria-live", side === "left" || token !== before ? "polite" : "off"); // a block changes both
    specials.forEach(({ button, number, bar, name }, i) => {
      number.textContent = `${percent(shares[i])}%`;
      bar.style.width = `${percent(shares[i])}%`;
      button.dataset.value = exact(shares[i]);
      button.title = `exactly ${exact(shares[i])}`;
      button.setAttribute("aria-pressed", String(i === token));
      button.setAttribute("aria-label", `${name} gets ${percent(shares[i])} percent; look from it`);
    });
    end.textContent = `${percent(most)}%`;
    even.style.insetInlineStart = `${Math.min(100, 100 / tokens / most)}%`;
    even.hidden = 1 / tokens > most;
    const said = summary(view, token, shares, names, prefix);
    if (text.textContent !== said) text.textContent = said;
    python.textContent = in_python(view, token, sizes);
    const step = in_stepper(view, token, prefix + patches.indexOf(Math.max(...patches)));
    origin.classList.toggle("views-away", !step); // its place stays
    made.href = step ? new URL(`steps/?${new URLSearchParams({ photo: name, ...step })}`, SITE).href : "";
    tell(pointed);
    draw_table();
  }

  function draw_table() {
    table.querySelector(".inside-scroll")?.remove();
    if (!table.open || !shown) return;
    const { view, token, shares } = shown;
    const range = (/** @type {number} */ n) => Array.from({ length: n }, (_, i) => i);
    const number = (/** @type {number} */ token) =>
      el("td", { title: `exactly ${exact(shares[token])}` }, percent(shares[token]));
    const line = (/** @type {number} */ row) =>
      el(
        "tr",
        {},
        el("th", { scope: "row" }, `row ${row + 1}`),
        ...range(columns).map((column) => number(prefix + row * columns + column)),
      );
    const special = SPECIAL.slice(0, prefix).map((name, i) => `${capital(name)}: ${percent(shares[i])}.`);
    const caption = `${title(view)}, ${names.name(token)}: shares in percent. ${special.join(" ")}`;
    const heads = range(columns).map((column) => el("th", { scope: "col" }, `col. ${column + 1}`));
    const whole = el(
      "table",
      {},
      el("caption", {}, caption),
      el("thead", {}, el("tr", {}, el("td"), ...heads)),
      el("tbody", {}, ...range(rows).map(line)),
    );
    table.append(el("div.inside-scroll", { tabindex: 0, role: "region", "aria-label": "Table of shares" }, whole));
  }

  return { element, draw, tell, outline: photo.outline };
}
