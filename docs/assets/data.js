// What pages fetch, from this site and no other: addresses below the site, wherever it is served.

export const SITE = new URL("../", import.meta.url);
const DATA = new URL("inside/", SITE);

async function get(name, signal) {
  const response = await fetch(new URL(name, DATA), { signal });
  if (!response.ok) throw new Error(`${name}: ${response.status} ${response.statusText}`);
  return response;
}

export const getJson = async (name, signal) => (await get(name, signal)).json();
export const getBytes = async (name, signal) => (await get(name, signal)).arrayBuffer();
export const dataUrl = (name) => new URL(name, DATA).href;

/** float32 numbers that were written little endian, on any machine. */
export function float32(buffer) {
  const view = new DataView(buffer);
  return Float32Array.from({ length: buffer.byteLength / 4 }, (_, i) => view.getFloat32(4 * i, true));
}
