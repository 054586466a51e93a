/**
 * What a worker does with the messages of its page, so that the page never stalls and no stale answer reaches it.
 *
 * Messages to the worker, each with an `id` of the sender's choice that the answer repeats:
 *   {id, type: "load", model, files}            `checkpoints.load_weights(files)`, kept under the name `model`
 *   {id, type: "preprocess", model, images, trace}
 *   {id, type: "run", model, images, options, replace, trace, lane}
 *   {id, type: "weights", model, names}         copies of parts of the tree, such as ["pos_embed", "head"]
 *   {id, type: "cancel", lane}                  forget what waits in a lane
 * `options` are those of `api.forward`, pixel_values among them; `trace` is a list of patterns of names, or nothing.
 * `replace` are parts of the tree that take the place of the model's own in this one pass, as dataclasses.replace does
 * in Python: {pos_embed: {data, shape}}.
 * A request in a `lane` takes the place of one that still waits there; requests in lanes go before those without one,
 * so that an answer to a click need not wait for a long row of others. One pass runs at a time and is never cut short.
 *
 * Messages from the worker:
 *   {id, type: "loaded", task, config, class_names}
 *   {id, type: "weights", parts}
 *   {id, type: "result", output, trace, milliseconds}   trace: {name: array}; all buffers are handed over, not copied
 *   {id, type: "superseded"}                            by a newer request of its lane, or canceled
 *   {id, type: "error", message}
 */

import { forward, photos } from "./api.js";
import { load_weights } from "./checkpoints.js";
import { brief, choice } from "./checks.js";
import { Trace } from "./trace.js";

/**
 * Answer the messages of a port: a worker's own scope, or one end of a MessageChannel.
 * @param {any} port
 */
export function serve(port) {
  /** @type {Map<string, import("./weights.js").DeiTWeights>} */
  const models = new Map();
  /** @type {any[]} */
  let waiting = [];
  let due = false;

  port.onmessage = (/** @type {MessageEvent} */ { data: request }) => {
    if (request.lane) {
      const stale = waiting.filter((other) => other.lane === request.lane);
      waiting = waiting.filter((other) => other.lane !== request.lane);
      for (const { id } of stale) port.postMessage({ id, type: "superseded" });
    }
    if (request.type === "cancel") return;
    waiting.push(request);
    schedule();
  };

  function schedule() {
    if (due) return;
    due = true;
    // After all messages that are there already: the newest of a lane is the one to answer.
    setTimeout(() => {
      due = false;
      const urgent = waiting.findIndex((request) => request.lane);
      const [request] = waiting.splice(Math.max(urgent, 0), 1);
      if (request) {
        const [answer, buffers] = answered(request);
        port.postMessage({ id: request.id, ...answer }, buffers);
      }
      if (waiting.length) schedule();
    });
  }

  /** @param {any} request @returns {[object, ArrayBuffer[]]} */
  function answered(request) {
    try {
      const steps = { load, run, preprocess: prepare, weights: copied };
      const type = /** @type {keyof typeof steps} */ (choice("type", request.type, Object.keys(steps)));
      const answer = steps[type](request);
      return [answer, answer.type === "result" ? buffers_of(answer) : []];
    } catch (error) {
      return [{ type: "error", message: error instanceof Error ? error.message : brief(error) }, []];
    }
  }

  /** @param {any} request */
  function load({ model = "model", files }) {
    const weights = load_weights(files);
    models.set(model, weights);
    return { type: "loaded", task: weights.task, config: weights.config, class_names: weights.class_names };
  }

  /** @param {string} model */
  function loaded(model) {
    const weights = models.get(model);
    if (!weights) throw new Error(`No model is loaded as ${brief(model)}: send its files in a message "load" first.`);
    return weights;
  }

  /** @param {any} request */
  function run({ model = "model", images = null, options = {}, replace = {}, trace: patterns = [] }) {
    const weights = { ...loaded(model), ...replace };
    return timed(patterns, (trace) => forward(weights, images, { ...options, trace }));
  }

  /** @param {any} request */
  function copied({ model = "model", names }) {
    const weights = /** @type {Record<string, any>} */ (loaded(model));
    const parts = Object.fromEntries(
      names.map((/** @type {string} */ name) => [choice("names", name, Object.keys(weights)), weights[name]]),
    );
    return { type: "weights", parts };
  }

  /** @param {any} request */
  function prepare({ model = "model", images, trace: patterns = [] }) {
    return timed(patterns, (trace) => ({ pixel_values: photos(loaded(model), images, null, trace) }));
  }
}

/** @param {string[]} patterns @param {(trace: Trace) => any} work */
function timed(patterns, work) {
  const trace = new Trace(patterns);
  const start = performance.now();
  const output = work(trace);
  return { type: "result", output, trace: Object.fromEntries(trace.steps), milliseconds: performance.now() - start };
}

/** The buffers of all arrays in a tree, each once. @param {any} tree @returns {ArrayBuffer[]} */
function buffers_of(tree) {
  const found = new Set();
  const visit = (/** @type {any} */ value) => {
    if (ArrayBuffer.isView(value)) found.add(value.buffer);
    else if (value !== null && typeof value === "object") Object.values(value).forEach(visit);
  };
  visit(tree);
  return [...found];
}
