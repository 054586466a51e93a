/**
 * Every array that one forward pass over a photo makes, by its name in the trace, and what is said of each.
 */

import { decoded } from "../lab/photo.js";
import { session } from "../lab/session.js";
import { START } from "../lab/state.js";

/** @typedef {import("../engine/arrays.js").AnyArray} AnyArray */

/**
 * @typedef {object} Step
 * @property {string} name in the trace
 * @property {string} kind the last part of its name, by which steps.json knows it
 * @property {string} group "embed", "blocks.<i>" or "heads"
 * @property {AnyArray} value
 */

/**
 * @param {import("../lab/photo.js").Photo} photo
 * @returns {Promise<Step[] | null>} null if another pass was asked for since
 */
export async function steps_of(photo) {
  const [engine, { name: model }] = await Promise.all([session.engine(), session.model()]);
  const prepare = async (/** @type {any} */ image) =>
    /** @type {any} */ (await engine.preprocess({ model, images: [image], trace: ["*"] })).trace;
  const trace = await prepare((await decoded(photo.blob)).pixels);
  // This browser may decode a JPEG a little otherwise than the NumPy book did. What the model sees is the book's.
  if (!photo.own) Object.assign(trace, from_seen(trace, await prepare(photo.seen)));
  const request = { state: { ...START, photo: photo.name }, lane: "steps", trace: ["*"] };
  const result = await session.answer(request);
  return result && listed({ ...trace, ...result.trace });
}

/** The steps of `exact` from the last one in bytes on. @param {Record<string, AnyArray>} trace @param {any} exact */
function from_seen(trace, exact) {
  const names = Object.keys(trace);
  const seen = names.findLastIndex((name) => !(trace[name].data instanceof Float32Array));
  return Object.fromEntries(names.slice(seen).map((name) => [name, exact[name]]));
}

/** @param {Record<string, AnyArray>} trace @returns {Step[]} */
function listed(trace) {
  let group = "embed";
  return Object.entries(trace).map(([name, value]) => {
    const parts = name.split(".");
    if (parts[0] === "blocks") group = parts.slice(0, 2).join(".");
    else if (group !== "embed") group = "heads"; // after the last block
    return { name, kind: /** @type {string} */ (parts.at(-1)), group, value };
  });
}

/** @param {string} group */
export const block_of = (group) => (group.startsWith("blocks.") ? Number(group.split(".")[1]) + 1 : 0);

/** @param {string} group */
export function group_title(group) {
  if (group === "embed") return "From the photo to tokens";
  return group === "heads" ? "From tokens to answers" : `Block ${block_of(group)}`;
}
