/**
 * Patches at other places, with and without their positions.
 */

import { el, radios } from "../../dom.js";
import { button, buttons } from "../controls.js";
import { why } from "../links.js";
import { shuffled } from "../state.js";

/** @typedef {import("../page.js").Page} Page */

/** @param {Page} page */
export function shuffle({ session, sizes }) {
  const positions = radios(
    "The position embeddings",
    "positions",
    [
      ["kept", "stay at their places"],
      ["moved", "move along with the patches"],
      ["none", "are zero"],
    ],
    () => session.state.positions,
    (positions) => session.set({ positions }),
  );
  const element = el(
    "div",
    {},
    buttons(
      button("Shuffle", () => session.set({ order: shuffled(sizes.patches) })),
      button("Back in order", () => session.set({ order: null })),
    ),
    positions.element,
    el(
      "p.inside-note",
      {},
      "Attention itself has no order: a patch knows its place only from the vector that is added to it. Let the " +
        "vectors move along, and a shuffle changes nothing; make them zero, and no shuffle does. ",
      why("positions", "position embeddings"),
    ),
  );
  const note = "Drag a patch onto another to swap them, or click one, then the other.";
  return { element, tool: () => "swap", note, update: positions.update };
}
