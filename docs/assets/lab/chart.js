/**
 * Lines over the blocks.
 */

import { el } from "../dom.js";

const SVG = "http://www.w3.org/2000/svg";

/**
 * Lines over the blocks, with the numbers as a text for those who do not see them.
 * @param {{title: string, color: string, values: number[]}[]} lines values: before the first block and after each
 * @param {number} [top] the largest number on the scale
 */
export function chart(lines, top = Math.max(...lines.flatMap(({ values }) => values))) {
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
