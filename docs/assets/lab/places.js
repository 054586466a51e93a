/**
 * Places on the grid of patches, counted row by row from 0.
 */

/** Row and column of a place, counted from 1. @param {number} place @param {{grid: number[]}} sizes */
export const place_name = (place, { grid: [, columns] }) =>
  `row ${Math.floor(place / columns) + 1}, column ${(place % columns) + 1}`;

/** "1 patch" or "2 patches". @param {number} number */
export const counted = (number) => `${number} ${number === 1 ? "patch" : "patches"}`;

/**
 * The place under a pointer, or the nearest one. By coordinates, because a finger keeps the element on which it came
 * down.
 * @param {{clientX: number, clientY: number}} pointer
 * @param {Element} element that shows the grid
 * @param {{grid: number[]}} sizes
 */
export function place_under({ clientX, clientY }, element, { grid: [rows, columns] }) {
  const box = element.getBoundingClientRect();
  const within = (/** @type {number} */ share, /** @type {number} */ count) =>
    Math.min(count - 1, Math.max(0, Math.floor(share * count)));
  const row = within((clientY - box.top) / box.height, rows);
  return row * columns + within((clientX - box.left) / box.width, columns);
}

/** @param {{grid: number[]}} sizes */
export function places(sizes) {
  const [rows, columns] = sizes.grid;
  const corner = (/** @type {number} */ place) => [Math.floor(place / columns), place % columns];
  return {
    name_of: (/** @type {number} */ place) => place_name(place, sizes),

    /** All places on the straight way from one to another. @param {number} from @param {number} to */
    way(from, to) {
      const [[y, x], [to_y, to_x]] = [corner(from), corner(to)];
      const steps = Math.max(Math.abs(to_y - y), Math.abs(to_x - x), 1);
      return Array.from({ length: steps + 1 }, (_, i) => {
        const [row, column] = [y + ((to_y - y) * i) / steps, x + ((to_x - x) * i) / steps];
        return Math.round(row) * columns + Math.round(column);
      });
    },

    /** All places of a rectangle, two of whose corners these are. @param {number} from @param {number} to */
    rectangle(from, to) {
      const between = (/** @type {number} */ one, /** @type {number} */ other, /** @type {number} */ x) =>
        Math.min(one, other) <= x && x <= Math.max(one, other);
      const [[y, x], [to_y, to_x]] = [corner(from), corner(to)];
      return [...Array(rows * columns).keys()].filter((place) => {
        const [row, column] = corner(place);
        return between(y, to_y, row) && between(x, to_x, column);
      });
    },
  };
}
