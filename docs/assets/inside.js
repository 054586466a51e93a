// Pages that look inside the model: finds their places, starts and stops them. The parts are fetched by the pages that
// need them.
const PARTS = {
  viewer: () => import("./viewer.js"),
  steps: () => import("./steps.js"),
  map: () => import("./map.js"),
};

export const SITE = new URL("../", import.meta.url);
const DATA = new URL("inside/", SITE);

let page = null;

function mount() {
  const roots = [...document.querySelectorAll("[data-inside]")];
  if (page && roots.length && roots.every((root) => root.dataset.insideState)) return; // the same page again
  page?.abort(); // takes the listeners of the page before along
  page = new AbortController();
  for (const root of roots) start(root, page.signal);
}

async function start(root, signal) {
  root.dataset.insideState = "loading";
  try {
    const { start: startPart } = await PARTS[root.dataset.inside]();
    if (signal.aborted) return;
    await startPart(root, signal);
    if (!signal.aborted) root.dataset.insideState = "ready";
  } catch (error) {
    if (signal.aborted) return;
    root.dataset.insideState = "failed";
    root.append(
      el(
        "p",
        { role: "alert" },
        `This part of the page could not be loaded: ${error.message}. Serve the folder of the ` +
          "site with python -m http.server and open it from there; files opened directly cannot fetch their data.",
      ),
    );
    console.error(error);
  }
}

// What the parts share

/** A new element: el("p.note", {title: "x", onclick: f}, "text", child). */
export function el(what, attributes = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

async function get(name, signal) {
  const response = await fetch(new URL(name, DATA), { signal });
  if (!response.ok) throw new Error(`${name}: ${response.status} ${response.statusText}`);
  return response;
}

export const getJson = async (name, signal) => (await get(name, signal)).json();
export const getBytes = async (name, signal) => (await get(name, signal)).arrayBuffer();
export const dataUrl = (name) => new URL(name, DATA).href;

/** float32 numbers that were written little endian, on any machine. */
export function float32(buffer) {
  const view = new DataView(buffer);
  return Float32Array.from({ length: buffer.byteLength / 4 }, (_, i) => view.getFloat32(4 * i, true));
}

// Björn Ottosson's OKLab: equal steps of lightness, chroma and hue look equally large.
function oklch(lightness, chroma, hue) {
  const a = chroma * Math.cos((hue * Math.PI) / 180);
  const b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ].map((x) => Math.round(255 * Math.min(1, Math.max(0, x <= 0.0031308 ? 12.92 * x : 1.055 * x ** (1 / 2.4) - 0.055))));
}

const table = (color) => Array.from({ length: 256 }, (_, i) => color(i / 255));

/** From 0 (dark blue) over magenta to 1 (pale yellow): lightness grows in equal steps. */
export const HEAT = table((t) => oklch(0.24 + 0.7 * t, 0.1 + 0.38 * t * (1 - t), 280 + 175 * t));

/** From 0 (teal, most negative) over white to 1 (crimson, most positive): lightness falls evenly to both sides. */
export const SIGNED = table((t) => {
  const strength = Math.abs(2 * t - 1);
  return oklch(0.98 - 0.53 * strength, 0.17 * strength, t < 0.5 ? 195 : 15);
});

export const colorAt = (colors, t) => colors[Math.round(255 * Math.min(1, Math.max(0, t)))];
export const css = ([red, green, blue], alpha = 1) => `rgba(${red},${green},${blue},${alpha})`;

export function gradient(colors) {
  const stops = Array.from({ length: 17 }, (_, i) => css(colors[Math.round((255 * i) / 16)]));
  return `linear-gradient(to right, ${stops.join(", ")})`;
}

/** Keep the view in the address's query (what stands after #, Material's navigation overwrites while one scrolls). */
export function keepInAddress(values) {
  const address = new URL(location.href);
  address.search = new URLSearchParams(values);
  history.replaceState(history.state, "", address);
}

export const fromAddress = () => Object.fromEntries(new URLSearchParams(location.search));

/** Arrow keys, Home and End move the focus over a grid of cells (rows of elements); one of them is a tab stop. */
export function roving(cells, event) {
  const row = cells.findIndex((line) => line.includes(event.target));
  if (row < 0) return;
  const column = cells[row].indexOf(event.target);
  const last = cells[row].length - 1;
  const moves = {
    ArrowLeft: [row, column - 1],
    ArrowRight: [row, column + 1],
    ArrowUp: [row - 1, column],
    ArrowDown: [row + 1, column],
    Home: event.ctrlKey ? [0, 0] : [row, 0],
    End: event.ctrlKey ? [cells.length - 1, last] : [row, last],
    PageUp: [0, column],
    PageDown: [cells.length - 1, column],
  };
  if (!moves[event.key] || event.altKey || event.metaKey) return;
  event.preventDefault();
  const [toRow, toColumn] = moves[event.key];
  const next = cells[toRow]?.[toColumn];
  if (!next) return;
  event.target.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}

// Material emits document$ for each page, also when it is reached without loading anew; other sites have no document$.
if (window.document$) window.document$.subscribe(mount);
else if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", mount);
else mount();
