/**
 * Arrays: numbers and a shape, row by row, and the few loops over them that all chapters use.
 *
 * This engine is the book's third mirror: every module has the name of a chapter of deit_ref/numpy_backend, every
 * function the name and the arguments of the function there (snake_case included), with what is keyword-only in Python
 * in one object of options. Dropout, stochastic depth and most losses belong to training and stay in Python.
 * Numbers are kept in float32 and computed in float64, which is what JavaScript has. No function but
 * `add_to` changes its arguments.
 *
 * This module stands for NumPy itself.
 */

/**
 * @typedef {{data: Float32Array, shape: number[]}} NDArray
 * @typedef {{data: Uint8Array | Uint8ClampedArray, shape: number[]}} Bytes
 * @typedef {{data: Float32Array | Uint8Array | Uint8ClampedArray, shape: number[]}} AnyArray
 */

/**
 * How many numbers a shape holds.
 * @param {number[]} shape
 */
export function size(shape) {
  return shape.reduce((product, side) => product * side, 1);
}

/**
 * Numbers as an array; its shape must hold as many.
 * @template {Float32Array | Uint8Array | Uint8ClampedArray} T
 * @param {T} data
 * @param {number[]} shape
 * @returns {{data: T, shape: number[]}}
 */
export function array(data, shape) {
  if (data.length !== size(shape)) {
    throw new Error(`A shape of (${shape.join(", ")}) holds ${size(shape)} numbers, got ${data.length}: give another.`);
  }
  return { data, shape };
}

/**
 * Nested lists of numbers or booleans as an array of float32; an array stays as it is.
 * @param {any} values
 * @returns {NDArray}
 */
export function as_array(values) {
  if (values?.data && values?.shape) return array(Float32Array.from(values.data), values.shape);
  const shape = [];
  for (let level = values; Array.isArray(level); level = level[0]) shape.push(level.length);
  return array(Float32Array.from([values].flat(Infinity), Number), shape);
}

/**
 * All zeros.
 * @param {number[]} shape
 * @returns {NDArray}
 */
export function zeros(shape) {
  return { data: new Float32Array(size(shape)), shape };
}

/**
 * The same numbers in another shape, in which one side may be -1; they are not copied.
 * @template {AnyArray} A
 * @param {A} x
 * @param {number[]} shape
 * @returns {A}
 */
export function reshape(x, shape) {
  const known = size(shape.filter((side) => side >= 0));
  const sides = shape.map((side) => (side < 0 ? (known ? x.data.length / known : 0) : side));
  return /** @type {A} */ (array(x.data, sides));
}

/**
 * A copy with its axes in another order.
 * @template {AnyArray} A
 * @param {A} x
 * @param {number[]} axes
 * @returns {A}
 */
export function transpose(x, axes) {
  const strides = x.shape.map((_, axis) => size(x.shape.slice(axis + 1)));
  const shape = axes.map((axis) => x.shape[axis]);
  const steps = axes.map((axis) => strides[axis]);
  const data = new /** @type {any} */ (x.data.constructor)(x.data.length);
  const last = axes.length - 1;
  const [inner, step] = [shape[last], steps[last]];
  const place = new Array(last).fill(0);
  for (let to = 0, from = 0; to < data.length;) {
    for (let i = 0, at = from; i < inner; i++, at += step) data[to++] = x.data[at];
    for (let axis = last - 1; axis >= 0; axis--) {
      from += steps[axis];
      if (++place[axis] < shape[axis]) break;
      from -= steps[axis] * shape[axis];
      place[axis] = 0;
    }
  }
  return /** @type {A} */ ({ data, shape });
}

/**
 * A copy of what lies between `start` and `stop` along axis 1, as x[:, start:stop]; negative numbers count from behind.
 * @param {NDArray} x (batch, tokens, ...)
 * @param {number} start
 * @param {number} [stop]
 * @returns {NDArray}
 */
export function slice_tokens(x, start, stop = x.shape[1]) {
  const [batch, tokens, ...rest] = x.shape;
  const [first, end] = [start, stop].map((place) => (place < 0 ? place + tokens : place));
  const width = size(rest);
  const out = zeros([batch, end - first, ...rest]);
  for (let b = 0; b < batch; b++) {
    const part = x.data.subarray((b * tokens + first) * width, (b * tokens + end) * width);
    out.data.set(part, b * part.length);
  }
  return out;
}

/**
 * Arrays one behind the other along axis 1; one of batch 1 stands before every row of the batch.
 * @param {NDArray[]} parts (batch or 1, tokens, dim)
 * @returns {NDArray} (batch, tokens, dim)
 */
export function concatenate_tokens(parts) {
  const batch = Math.max(...parts.map((part) => part.shape[0]));
  const rest = parts[0].shape.slice(2);
  const out = zeros([batch, parts.reduce((sum, part) => sum + part.shape[1], 0), ...rest]);
  for (let b = 0, to = 0; b < batch; b++) {
    for (const part of parts) {
      const length = part.data.length / part.shape[0];
      const from = part.shape[0] === 1 ? 0 : b * length;
      out.data.set(part.data.subarray(from, from + length), to);
      to += length;
    }
  }
  return out;
}

/**
 * x + y, entry by entry; y may lack leading axes of x, or have 1 there, and is then added to all.
 * @param {NDArray} x
 * @param {NDArray} y
 * @returns {NDArray}
 */
export function add(x, y) {
  return add_to({ data: x.data.slice(), shape: x.shape }, y);
}

/**
 * x += y, for an x that nobody else holds.
 * @param {NDArray} x
 * @param {NDArray} y as in `add`
 * @returns {NDArray} x
 */
export function add_to(x, y) {
  const period = y.data.length;
  if (x.data.length % period !== 0) {
    throw new Error(`Arrays of the shapes (${x.shape.join(", ")}) and (${y.shape.join(", ")}) cannot be added.`);
  }
  for (let start = 0; start < x.data.length; start += period) {
    for (let i = 0; i < period; i++) x.data[start + i] += y.data[i];
  }
  return x;
}

/**
 * f of every entry.
 * @param {(value: number) => number} f
 * @param {NDArray} x
 * @returns {NDArray}
 */
export function map(f, x) {
  const out = zeros(x.shape);
  for (let i = 0; i < out.data.length; i++) out.data[i] = f(x.data[i]);
  return out;
}
