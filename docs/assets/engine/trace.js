/**
 * Trace: the named arrays between pixels and answer, in the order they were made.
 *
 * Twin of deit_ref/trace.py, with the same names for the same steps. Arrays are copied when they are recorded, so that
 * a page may send them away, buffers and all, without taking the weights with them.
 */

/** @typedef {import("./arrays.js").AnyArray} AnyArray */

/**
 * Ordered names (`blocks.3.attention.probabilities`) and arrays.
 */
export class Trace {
  /**
   * @param {string[] | null} [only] patterns of the names to keep, such as ["blocks.*.output"]; null keeps all
   * @param {{also?: Trace | null}} [options] another trace that is told everything too
   */
  constructor(only = null, { also = null } = {}) {
    if (only !== null && !(Array.isArray(only) && only.every((pattern) => typeof pattern === "string"))) {
      throw new Error(`only must be a list of patterns such as ["blocks.*"], or null for all; got ${typeof only}.`);
    }
    this.only = only && only.map(expression);
    this.also = also;
    this.prefix = "";
    /** @type {Map<string, any>} */
    this.steps = new Map();
  }

  /**
   * The array of that name.
   * @param {string} name
   * @returns {any}
   */
  get(name) {
    if (!this.steps.has(name)) throw new Error(`This Trace holds no ${name}: see names().`);
    return this.steps.get(name);
  }

  /** All names, in the order they were recorded. */
  names() {
    return [...this.steps.keys()];
  }

  /**
   * The arrays whose names match `pattern`, in order.
   * @param {string} pattern such as "blocks.*.output"
   * @returns {any[]}
   */
  matching(pattern) {
    const wanted = expression(pattern);
    return [...this.steps].filter(([name]) => wanted.test(name)).map(([, value]) => value);
  }

  /** @param {string} name */
  keeps(name) {
    return this.only === null || this.only.some((pattern) => pattern.test(this.prefix + name));
  }
}

/**
 * Keep `value` under `name`, if there is a trace that wants it; return it.
 * @template {AnyArray} A
 * @param {Trace | null | undefined} trace
 * @param {string} name
 * @param {A} value
 * @returns {A}
 */
export function record(trace, name, value) {
  if (!trace) return value;
  record(trace.also, name, value);
  if (trace.keeps(name)) {
    if (trace.steps.has(trace.prefix + name)) {
      throw new Error(`This Trace already holds ${trace.prefix}${name}: use a new Trace for each call.`);
    }
    trace.steps.set(trace.prefix + name, { data: value.data.slice(), shape: [...value.shape] });
  }
  return value;
}

/**
 * A trace that records into `trace` under names that begin with `name` and a dot.
 * @param {Trace | null | undefined} trace
 * @param {string} name
 * @returns {Trace | null}
 */
export function scope(trace, name) {
  if (!trace) return null;
  const inner = new Trace(null, { also: scope(trace.also, name) });
  inner.only = trace.only;
  inner.prefix = `${trace.prefix}${name}.`;
  inner.steps = trace.steps;
  return inner;
}

/**
 * A pattern of names (* for any text, ? for one letter, [ab] and [!ab] for one of some) as a regular expression.
 * @param {string} pattern
 */
function expression(pattern) {
  const parts = pattern.split(/(\*|\?|\[!?[^\]]+\])/).map((part, i) => {
    if (i % 2 === 0) return part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    return part === "*" ? ".*" : part === "?" ? "." : part.replace("[!", "[^");
  });
  return new RegExp(`^${parts.join("")}$`, "s");
}
