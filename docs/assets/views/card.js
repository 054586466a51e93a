/**
 * The arithmetic of one number as a table in which every input leads to where it comes from.
 */

import { el } from "../dom.js";
import { activate } from "../engine/activations.js";
import { signed } from "./numbers.js";

/** @typedef {import("./arithmetic.js").Worked} Worked @typedef {import("./arithmetic.js").Term} Term */
/** @typedef {import("./arithmetic.js").Factor} Factor @typedef {import("./cells.js").Place} Place */

const FEW = 5; // terms that are shown; the others as their sum

/** In one line, with the sum of the terms where they are many. @param {Worked} worked */
export function in_one_line({ terms, sum, operations, total }) {
  const few = terms.length <= 3;
  const products = terms.map(({ factors }) => factors.map(({ value }) => within(value)).join(" × "));
  let text = few ? products.join(" + ").replaceAll(/\+ \((−[^)]*)\)(?! ×)/g, (_, negative) => `− ${negative.slice(1)}`) : signed(sum);
  let added = few && terms.length > 1;
  for (const { op, value } of operations) {
    const x = value ?? 0;
    if (op === "e") text = `e^(${text})`;
    else if (op === "round") text = `${text}, rounded`;
    else if ("+−".includes(op)) text = `${text} ${x < 0 ? (op === "+" ? "−" : "+") : op} ${signed(Math.abs(x))}`;
    else text = `${added ? `(${text})` : text} ${op} ${within(x)}`;
    added = "+−".includes(op);
  }
  text = text.replace(/^(e\^\()?\((−[^()]*)\)/, "$1$2"); // what stands first needs no parentheses
  return text === signed(total) ? text : `${text} = ${signed(total)}`;
}

const within = (/** @type {number} */ x) => (x < 0 ? `(${signed(x)})` : signed(x));

/**
 * @param {Worked} worked
 * @param {{follow: (place: Place) => void, name: (place: Place) => string}} options
 * @returns {HTMLElement[]}
 */
export function table({ terms, sum, operations, total, curve, after }, options) {
  const rows = added_up(terms, options);
  const many = terms.length > 1;
  const SO_FAR = "result so far";
  if (many && operations.length) rows.push(row("views-sum", `sum of ${terms.length}`, [], signed(sum)), heads("then", "input", SO_FAR));
  for (const { op, text, value, from, parts, total: now } of operations) {
    if (parts) {
      rows.push(heads("the powers: e to each score, less the largest", "score", "power"), ...added_up(parts, options));
      rows.push(heads("then", "input", SO_FAR));
    }
    const how = value === null ? [] : [number({ value, from }, options)];
    rows.push(row("views-op", `${"+−×÷".includes(op) ? op : "→"} ${text}`, how, signed(now)));
  }
  if (many || operations.length) rows.push(row("views-total", "result", [], signed(total)));
  const share = after ? [el("h3", {}, after.title), el("p", {}, in_one_line(after.worked)), ...table(after.worked, options)] : [];
  const inputs = terms.some(({ factors }) => factors.length > 1) ? "inputs" : "input";
  const first = many ? "adds" : operations.length ? SO_FAR : "result";
  const head = el("thead", {}, heads("made of", inputs, first));
  return [
    el("table.views-arithmetic", { "aria-label": "The arithmetic, line by line" }, head, el("tbody", {}, ...rows)),
    ...(curve ? [plot(curve)] : []),
    ...share,
  ];
}

/** What the columns hold from here on. @param {string} what @param {string} how @param {string} result */
function heads(what, how, result) {
  const cells = [what, how, result].map((text) => el("th", { scope: "col" }, text));
  return el("tr.views-columns", {}, ...cells, el("td"));
}

/** The largest terms, and the others as one. @param {Term[]} terms @param {any} options */
function added_up(terms, options) {
  const shown = terms.length > FEW + 1 ? terms.slice(0, FEW) : terms;
  const others = terms.slice(shown.length);
  const most = Math.max(...shown.map(({ value }) => Math.abs(value)));
  const rows = shown.map(({ label, factors, value }) => {
    const how = factors.flatMap((factor, i) => (i ? [" × ", number(factor, options)] : [number(factor, options)]));
    const line = row("views-term", label, how, signed(value), terms.length > 1 ? value / most : 0);
    const linked = factors.map(({ from, near }) => from ?? near).filter(Boolean);
    if (linked.length === 1) leads(line, () => options.follow(linked[0]));
    return line;
  });
  const rest = others.reduce((y, { value }) => y + value, 0);
  if (others.length) rows.push(row("views-term", `${others.length} others`, [], signed(rest)));
  return rows;
}

/** By pointer the whole line leads where its one input does; by keyboard that is a button. @param {HTMLElement} line
 * @param {() => void} follow */
function leads(line, follow) {
  line.classList.add("views-leads");
  line.addEventListener("click", (event) => {
    if (!(/** @type {Element} */ (event.target).closest("button"))) follow();
  });
}

/** @param {string} kind @param {string} what @param {(Node | string)[]} how @param {string} result @param {number} [size]
 * from -1 to 1 */
function row(kind, what, how, result, size = 0) {
  const bar = el("i", { "aria-hidden": "true" });
  bar.style.inlineSize = `${100 * Math.min(1, Math.abs(size))}%`;
  if (size < 0) bar.className = "views-negative";
  const cells = [el("td.views-how", {}, ...how), el("td.views-result", {}, result), el("td.views-size", {}, bar)];
  return el(`tr.${kind}`, {}, el("th", { scope: "row" }, what), ...cells);
}

/** A number; a button where it is an entry of another step. @param {Factor} factor @param {any} options */
function number({ value, from, near, text }, { follow, name }) {
  const place = from ?? near;
  if (!place) return el("span", { title: text ? `${text}, exactly ${value}` : `exactly ${value}` }, signed(value));
  const title = `${near ? "near " : ""}${name(place)}`;
  const label = `${signed(value)}, ${title}`;
  const data = { "data-step": place.step, "data-at": place.at.join(".") };
  return el("button.views-link", { type: "button", title, "aria-label": label, onclick: () => follow(place), ...data }, signed(value));
}

const SVG = "http://www.w3.org/2000/svg";

/** The curve of an activation and one point on it. @param {{name: string, x: number, y: number}} point */
function plot({ name, x, y }) {
  const reach = Math.max(4, Math.ceil(Math.abs(x)));
  const places = Float32Array.from({ length: 81 }, (_, i) => (reach * (i - 40)) / 40);
  const values = activate({ data: places, shape: [81] }, { name }).data;
  const [low, high] = [Math.min(...values) - 0.4, Math.max(...values)];
  const shape = (/** @type {string} */ tag, /** @type {Record<string, any>} */ attributes) => {
    const element = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
    return element;
  };
  const right = (/** @type {number} */ value) => 100 + (95 * value) / reach;
  const down = (/** @type {number} */ value) => 5 + (90 * (high - value)) / (high - low);
  const label = `The curve of ${name} from ${-reach} to ${reach}, with the point ${signed(x)}, ${signed(y)}`;
  const axis = { stroke: "currentColor", opacity: 0.35 };
  const svg = shape("svg", { viewBox: "0 0 200 100", role: "img", "aria-label": label });
  svg.append(
    shape("line", { x1: 5, x2: 195, y1: down(0), y2: down(0), ...axis }),
    shape("line", { x1: 100, x2: 100, y1: 2, y2: 98, ...axis }),
    shape("polyline", {
      points: Array.from(places, (place, i) => `${right(place).toFixed(1)},${down(values[i]).toFixed(1)}`).join(" "),
      fill: "none",
      stroke: "currentColor",
      "stroke-width": 1.5,
    }),
    shape("line", { x1: right(x), x2: right(x), y1: down(0), y2: down(y), stroke: "currentColor", "stroke-dasharray": "2 2" }),
    shape("circle", { cx: right(x), cy: down(y), r: 3.5, class: "views-point" }),
  );
  return el("figure.views-curve", {}, svg);
}
