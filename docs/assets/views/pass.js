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

/** Counted from 1; 0 outside of blocks. @param {string} group or the name of a step */
export const block_of = (group) => (group.startsWith("blocks.") ? Number(group.split(".")[1]) + 1 : 0);

/** @param {string} group */
export function group_title(group) {
  if (group === "embed") return "From the photo to tokens";
  return group === "heads" ? "From tokens to answers" : `Block ${block_of(group)}`;
}

/** A step by its name, in words. @param {string} name @param {any} kinds of steps.json */
export function title_of(name, kinds) {
  const [block, { title }] = [block_of(name), kinds[/** @type {string} */ (name.split(".").at(-1))]];
  return block ? `Block ${block}, ${title}` : title;
}

/** @type {WeakMap<Step[], Map<string, Float32Array>>} */
const put_together = new WeakMap();

/** The numbers of a step in all blocks, one array after the other. @param {Step[]} steps @param {Step} step */
export function of_all_blocks(steps, { kind }) {
  const made = put_together.get(steps) ?? new Map();
  put_together.set(steps, made);
  if (!made.has(kind)) {
    const arrays = steps.filter((step) => step.kind === kind).map(({ value }) => value.data);
    const all = new Float32Array(arrays.reduce((sum, { length }) => sum + length, 0));
    arrays.reduce((start, array) => (all.set(array, start), start + array.length), 0);
    made.set(kind, all);
  }
  return made.get(kind);
}
