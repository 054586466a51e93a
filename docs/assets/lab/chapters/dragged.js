/**
 * A chosen patch that is dragged over the photo.
 */

import { place_under } from "../places.js";

/**
 * A patch moves under a mouse that is held, under a finger that takes hold of it, and by arrow keys.
 * @param {HTMLElement} grid of a board
 * @param {import("../state.js").Sizes} sizes
 * @param {(place: number, continues: boolean) => void} move
 */
export function dragged(grid, sizes, move) {
  let holds = false;
  grid.addEventListener("pointerdown", (event) => {
    holds = event.pointerType !== "touch" || /** @type {Element} */ (event.target).closest("[aria-selected=true]") !== null;
  });
  grid.addEventListener("pointermove", (event) => {
    if (!holds || !event.buttons) return;
    const place = place_under(event, grid, sizes);
    const find = (/** @type {string} */ what) => /** @type {HTMLElement} */ (grid.querySelector(what));
    const cell = find(`[data-place="${place}"]`);
    if (cell === document.activeElement) return;
    find("[tabindex='0']").tabIndex = -1; // keys go on from there
    cell.tabIndex = 0;
    cell.focus({ preventScroll: true });
    move(place, true);
  });
  grid.addEventListener("keydown", (event) => {
    // The board has moved the focus.
    if (/^(Arrow|Home|End|Page)/.test(event.key)) move(Number(/** @type {HTMLElement} */ (document.activeElement).dataset.place), true);
  });
}
