/**
 * The engine of docs/assets/engine behind a pipe, for tests/engine.py: it reads batches of calls and writes what they
 * return. A batch is two lengths (32 bits each), a JSON header, and the arrays of the header one after the other.
 */

import { readdirSync } from "node:fs";

const folder = new URL("../docs/assets/engine/", import.meta.url);
const KINDS = { float32: Float32Array, float64: Float64Array, uint8: Uint8Array };
const modules = {};
for (const file of readdirSync(folder)) {
  if (file.endsWith(".js") && file !== "worker.js") modules[file.slice(0, -3)] = await import(new URL(file, folder));
}
const { Trace } = modules.trace;
const kept = new Map(); // weights, by the name that the tests gave them

/** What the header says, with arrays, weights and traces in their places. */
function decoded(value, arrays, traces) {
  if (Array.isArray(value)) return value.map((entry) => decoded(entry, arrays, traces));
  if (value === null || typeof value !== "object") return value;
  if ("$array" in value) return arrays[value.$array];
  if ("$kept" in value) return kept.get(value.$kept);
  if ("$trace" in value) {
    traces.push(new Trace(value.$trace));
    return traces.at(-1);
  }
  return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, decoded(entry, arrays, traces)]));
}

/** The other way: arrays move to `blobs`, and their places hold their numbers. */
function encoded(value, blobs) {
  if (Array.isArray(value)) return value.map((entry) => encoded(entry, blobs));
  if (value === undefined) return null;
  if (ArrayBuffer.isView(value)) return encoded({ data: value, shape: [value.length] }, blobs);
  if (value === null || typeof value !== "object") return value;
  if (value instanceof Map) return [...value].map(([name, entry]) => [name, encoded(entry, blobs)]);
  if (ArrayBuffer.isView(value.data)) {
    const dtype = value.data.constructor.name.replace("Array", "").replace("Clamped", "").toLowerCase();
    blobs.push(value.data);
    return { $array: blobs.length - 1, dtype, shape: value.shape };
  }
  return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, encoded(entry, blobs)]));
}

/** Messages to the service of the worker, all at once, and its answers in the order in which they come. */
async function conversation(messages) {
  const { port1: page, port2: worker } = new MessageChannel();
  modules.service.serve(worker);
  const answers = [];
  const all = new Promise((resolve) => {
    page.onmessage = ({ data }) => {
      answers.push(data);
      if (answers.length === messages.filter(({ type }) => type !== "cancel").length) resolve();
    };
  });
  for (const message of messages) page.postMessage(message);
  await all;
  page.close();
  return answers;
}

/** One call: {module, function, arguments}, {keep, files}, {messages}, {signatures} or {names}. */
async function answer(call, arrays) {
  const traces = [];
  const given = decoded(call, arrays, traces);
  if (given.messages) return conversation(given.messages);
  if (given.signatures) {
    const functions = Object.entries(modules[given.signatures]).filter(([, value]) => typeof value === "function");
    return Object.fromEntries(functions.map(([name, value]) => [name, String(value)]));
  }
  if (given.keep) {
    kept.set(given.keep, modules.checkpoints.load_weights(given.files));
    return null;
  }
  const target = modules[given.module][given.function];
  const value = typeof target === "function" ? await target(...given.arguments) : target;
  return traces.length ? { value, trace: traces[0].steps } : value;
}

async function batch(header, body) {
  let offset = 0;
  const arrays = header.arrays.map(({ dtype, shape }) => {
    const length = shape.reduce((product, side) => product * side, 1) * (KINDS[dtype]?.BYTES_PER_ELEMENT ?? 1);
    const bytes = Uint8Array.from(body.subarray(offset, (offset += length))).buffer;
    return dtype === "buffer" ? bytes : { data: new KINDS[dtype](bytes), shape };
  });
  const results = [];
  const blobs = [];
  for (const call of header.calls) {
    try {
      results.push({ value: encoded(await answer(call, arrays), blobs) });
    } catch (error) {
      results.push({ error: error.message, stack: error.stack });
    }
  }
  const json = Buffer.from(JSON.stringify(results));
  const bytes = blobs.map((blob) => Buffer.from(blob.buffer, blob.byteOffset, blob.byteLength));
  const lengths = Buffer.alloc(8);
  lengths.writeUInt32LE(json.length, 0);
  lengths.writeUInt32LE(bytes.reduce((sum, blob) => sum + blob.length, 0), 4);
  process.stdout.write(Buffer.concat([lengths, json, ...bytes]));
}

let [parts, size] = [[], 0];
for await (const chunk of process.stdin) {
  parts.push(chunk);
  size += chunk.length;
  if (size < 8) continue;
  if (parts[0].length < 8) parts = [Buffer.concat(parts)];
  const [json, body] = [parts[0].readUInt32LE(0), parts[0].readUInt32LE(4)];
  if (size < 8 + json + body) continue;
  const whole = Buffer.concat(parts);
  [parts, size] = [[], 0]; // the other side waits for the answer before it sends more
  await batch(JSON.parse(whole.subarray(8, 8 + json).toString()), whole.subarray(8 + json));
}
