/**
 * Checks of what callers hand in: each returns the value, or throws an Error of one line that says what was expected,
 * what came and what to do.
 *
 * Twin of deit_ref/checks.py, as far as the engine needs it.
 */

/**
 * What came, for a message: one short line, whatever it is.
 * @param {unknown} value
 * @returns {string}
 */
export function brief(value) {
  let text;
  try {
    text = JSON.stringify(value) ?? String(value);
  } catch {
    text = `something of type ${typeof value}`;
  }
  text = text.replace(/\s+/g, " ");
  return text.length > 200 ? `${text.slice(0, 150)} [...] ${text.slice(-40)}` : text;
}

/**
 * The first few of many names, and how many more there are.
 * @param {Iterable<string>} names
 * @param {{most?: number}} [options]
 * @returns {string}
 */
export function some(names, { most = 8 } = {}) {
  const listed = [...names];
  const tail = listed.length > most ? ` and ${listed.length - most} more` : "";
  return listed.slice(0, most).join(", ") + tail;
}

/**
 * `value`, which must be one of `choices`; the message lists them.
 * @param {string} name
 * @param {any} value
 * @param {Iterable<string>} choices
 * @returns {string}
 */
export function choice(name, value, choices) {
  const allowed = [...choices];
  if (!allowed.includes(value)) {
    throw new Error(`${name} must be one of ${allowed.join(", ")}; got ${brief(value)}.`);
  }
  return value;
}

/**
 * `value`, which must be a whole number and at least `minimum`.
 * @param {string} name
 * @param {any} value
 * @param {{minimum?: number}} [options]
 * @returns {number}
 */
export function integer(name, value, { minimum = 1 } = {}) {
  if (!Number.isSafeInteger(value) || value < minimum) {
    throw new Error(`${name} must be an integer of at least ${minimum}, got ${brief(value)}.`);
  }
  return value;
}

/**
 * A number as [value, value], or two as [height, width].
 * @param {string} name
 * @param {any} value
 * @returns {[number, number]}
 */
export function pair(name, value) {
  const both = Array.isArray(value) ? value : [value, value];
  if (both.length !== 2) {
    throw new Error(`${name} must be an integer or a pair [height, width], got ${brief(value)}.`);
  }
  return [integer(`${name}[0]`, both[0]), integer(`${name}[1]`, both[1])];
}

/**
 * Bytes (height, width, channels), no axis empty; or numbers in 0..1 where `fractions` may come.
 * @param {any} value
 * @param {{fractions?: boolean}} [options]
 */
export function image(value, { fractions = false } = {}) {
  const { data, shape } = value ?? {};
  const bytes = data instanceof Uint8Array || data instanceof Uint8ClampedArray;
  if (!(bytes || (fractions && data instanceof Float32Array)) || shape?.length !== 3 || shape.includes(0)) {
    const came = `${data?.constructor?.name ?? typeof value} ${brief(shape ?? null)}`;
    throw new Error(
      `An image must be {data, shape} of bytes (height, width, channels), no axis empty; got ${came}: ` +
        "give a canvas's ImageData to load_image first.",
    );
  }
}
