// Colors that stand for numbers, and how they are written in CSS.

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
