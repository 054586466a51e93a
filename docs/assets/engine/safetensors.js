/**
 * Tensors of a safetensors file: eight bytes that say how long the header is, the header (JSON), then the numbers.
 *
 * Twin of deit_ref/checkpoints/safetensors_reader.py. The caller brings the bytes: fetch in a browser, a file in Node.
 * float16 and bfloat16 become float32, exactly. What is not understood is refused.
 */

import { brief } from "./checks.js";

/** @typedef {import("./arrays.js").NDArray} NDArray */

// A DeiT of 12 blocks takes 20 KB.
const MAX_HEADER = 8 * 2 ** 20;
const BYTES = { F16: 2, BF16: 2, F32: 4 };

/**
 * Every tensor of the file by its name, in float32.
 * @param {ArrayBuffer} buffer the whole file
 * @returns {Record<string, NDArray>}
 */
export function read_safetensors(buffer) {
  if (!(buffer instanceof ArrayBuffer)) {
    throw new Error(
      `A safetensors file must come as an ArrayBuffer, got ${brief(buffer)}: use response.arrayBuffer().`,
    );
  }
  const [header, start] = read_header(buffer);
  /** @type {Record<string, NDArray>} */
  const arrays = Object.create(null); // a tensor may have any name
  for (const [name, entry] of Object.entries(header)) {
    if (name !== "__metadata__") arrays[name] = read_tensor(buffer, name, entry, start);
  }
  return arrays;
}

/** @param {ArrayBuffer} buffer @returns {[Record<string, any>, number]} the header, and where the numbers begin */
function read_header(buffer) {
  const whole = "give a whole file that safetensors has written";
  const view = new DataView(buffer);
  const length = buffer.byteLength < 8 ? -1 : Number(view.getBigUint64(0, true));
  if (length < 2 || length > MAX_HEADER || 8 + length > buffer.byteLength) {
    throw new Error(`This is not a safetensors file: no header fits its ${buffer.byteLength} bytes; ${whole}.`);
  }
  try {
    const header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array(buffer, 8, length)));
    if (header === null || typeof header !== "object" || Array.isArray(header)) throw new Error("no JSON object");
    return [header, 8 + length];
  } catch (error) {
    const reason = brief(/** @type {Error} */ (error).message);
    throw new Error(`This is not a safetensors file: its header is not a JSON object (${reason}); ${whole}.`);
  }
}

/** @param {ArrayBuffer} buffer @param {string} name @param {any} entry @param {number} start @returns {NDArray} */
function read_tensor(buffer, name, entry, start) {
  const { dtype, shape, data_offsets } = entry ?? {};
  if (!Object.hasOwn(BYTES, dtype ?? "")) {
    throw new Error(`${name} must be of dtype ${Object.keys(BYTES).join(", ")}; got ${brief(dtype)}: save it as one.`);
  }
  const wide = BYTES[/** @type {keyof typeof BYTES} */ (dtype)];
  const whole = (/** @type {any} */ list) =>
    Array.isArray(list) && list.every((n) => Number.isSafeInteger(n) && n >= 0);
  const [from, to] = whole(data_offsets) ? data_offsets : [0, -1];
  const count = whole(shape) ? shape.reduce((/** @type {number} */ n, /** @type {number} */ side) => n * side, 1) : -1;
  if (count < 0 || to - from !== count * wide || start + to > buffer.byteLength) {
    throw new Error(
      `${name} must have ${count} numbers of ${wide} bytes inside the file, got the bytes ${brief(data_offsets)} of ` +
        `${buffer.byteLength - start}: download or save the file again.`,
    );
  }
  const bytes = buffer.slice(start + from, start + to); // aligned, whatever the header's length
  if (dtype === "F32") return { data: new Float32Array(bytes), shape };
  const halves = new Uint16Array(bytes);
  return { data: dtype === "F16" ? widened(halves) : widened_bfloat16(halves), shape };
}

/**
 * float16 as float32, by a table of all 65536 values.
 * @param {Uint16Array} halves
 */
function widened(halves) {
  FLOAT16 ??= Float32Array.from({ length: 2 ** 16 }, (_, bits) => float16(bits));
  const data = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) data[i] = FLOAT16[halves[i]];
  return data;
}

/** @type {Float32Array | undefined} */
let FLOAT16;

/**
 * The number of 16 bits: sign, 5 bits of exponent, 10 of fraction.
 * @param {number} bits
 */
function float16(bits) {
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : (fraction / 1024) * 2 ** -14);
}

/**
 * bfloat16 is the upper half of float32.
 * @param {Uint16Array} halves
 */
function widened_bfloat16(halves) {
  return new Float32Array(Uint32Array.from(halves, (bits) => bits << 16).buffer);
}
