/**
 * A photo as a state leaves it, on a canvas: patches at their places, some hidden, with colors that stand for numbers.
 */

import { HEAT, SIGNED, colorAt, css } from "../colors.js";

/**
 * @typedef {object} View
 * @property {any} picture a canvas, the square that the model sees
 * @property {number[] | null} [order] which patch stands at each place
 * @property {number[]} [hidden] places
 * @property {string} [how] what hides them, see `State.how`
 * @property {ArrayLike<number> | null} [shares] a number for each place
 * @property {number} [most] the number that gets the last color; with `signed` its negative gets the first
 * @property {boolean} [signed]
 * @property {number} [strength] of the colors over the photo, from 0 to 1
 */

/** @type {WeakMap<HTMLCanvasElement, {picture: any, key: string}>} what stands on a canvas */
const drawn = new WeakMap();

const GRAY = "rgb(124 116 104)"; // what normalizing subtracts: 0 to the model

/**
 * @param {HTMLCanvasElement} canvas
 * @param {View} view
 * @param {import("./state.js").Sizes} sizes
 */
export function painted(canvas, view, { grid: [rows, columns], patches }) {
  const { picture, order = null, hidden = [], how = "attention", shares = null, most = 1, signed = false, strength = 0.72 } = view;
  const key = JSON.stringify([order, hidden, how, shares && Array.from(shares), most, signed, strength]);
  const last = drawn.get(canvas);
  if (last?.picture === picture && last.key === key) return; // a picture that stays costs the browser nothing
  drawn.set(canvas, { picture, key });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const [width, height] = [canvas.width / columns, canvas.height / rows];
  const [from_width, from_height] = [picture.width / columns, picture.height / rows];
  const corner = (/** @type {number} */ place) => [place % columns, Math.floor(place / columns)];
  context.imageSmoothingEnabled = picture.width > 2 * columns * 4;
  if (!order) context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  else {
    for (let place = 0; place < patches; place++) {
      const [[x, y], [from_x, from_y]] = [corner(place), corner(order[place])];
      const from = /** @type {const} */ ([from_x * from_width, from_y * from_height, from_width, from_height]);
      context.drawImage(picture, ...from, x * width, y * height, width, height);
    }
  }
  for (const place of hidden) {
    const [x, y] = corner(place);
    hide(context, how, x * width, y * height, width, height);
  }
  if (shares) {
    for (let place = 0; place < patches; place++) {
      const [x, y] = corner(place);
      const t = most > 0 ? shares[place] / most : 0;
      context.fillStyle = signed ? css(colorAt(SIGNED, (t + 1) / 2), 0.78) : css(colorAt(HEAT, t), strength);
      context.fillRect(x * width, y * height, width, height);
    }
  }
  if (canvas.width > 100) lines(context, canvas, columns, rows);
}

/** @param {CanvasRenderingContext2D} context @param {string} how
 * @param {number} x @param {number} y @param {number} width @param {number} height */
function hide(context, how, x, y, width, height) {
  context.fillStyle = how === "gray" ? GRAY : how === "mask" ? "rgb(24 106 59)" : "rgb(20 23 29 / 88%)";
  context.fillRect(x, y, width, height);
  if (how === "gray") return;
  context.save();
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip();
  context.strokeStyle = "rgb(255 255 255 / 35%)";
  context.lineWidth = Math.max(1, width / 30);
  for (let i = -2; i <= 4; i++) {
    context.beginPath();
    context.moveTo(x + (i * width) / 3, y);
    // Nobody may look: slanting lines. The mask token: upright ones.
    context.lineTo(x + (i * width) / 3 + (how === "mask" ? 0 : height * 0.7), y + height);
    context.stroke();
  }
  context.restore();
}

/** @param {CanvasRenderingContext2D} context @param {{width: number, height: number}} size
 * @param {number} columns @param {number} rows */
function lines(context, { width, height }, columns, rows) {
  context.fillStyle = "rgb(255 255 255 / 28%)";
  for (let i = 1; i < columns; i++) context.fillRect(Math.round((i * width) / columns), 0, 1, height);
  for (let i = 1; i < rows; i++) context.fillRect(0, Math.round((i * height) / rows), width, 1);
}
