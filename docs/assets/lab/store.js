/**
 * The reader's own photo, kept between pages and visits: in this browser (IndexedDB), and nowhere else. A browser that
 * keeps nothing, as in private windows, makes these do nothing.
 */

const [NAME, SHELF, KEY] = ["deit_ref", "photos", "own"];

/** @param {IDBTransactionMode} mode @param {(shelf: IDBObjectStore) => IDBRequest} ask @returns {Promise<any>} */
async function asked(mode, ask) {
  const done = (/** @type {any} */ request) =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  let base;
  try {
    const opening = indexedDB.open(NAME, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(SHELF);
    base = await done(opening);
    return await done(ask(base.transaction(SHELF, mode).objectStore(SHELF)));
  } catch {
    return undefined;
  } finally {
    base?.close();
  }
}

/** As bytes: WebKit's private sessions keep those, but no Blob. @param {Blob} blob */
export async function keep(blob) {
  const bytes = await blob.arrayBuffer();
  return asked("readwrite", (shelf) => shelf.put({ bytes, type: blob.type }, KEY));
}

/** @returns {Promise<Blob | undefined>} */
export async function kept() {
  const found = await asked("readonly", (shelf) => shelf.get(KEY));
  return found?.bytes ? new Blob([found.bytes], { type: found.type }) : found; // once it was a Blob
}

export const forget = () => asked("readwrite", (shelf) => shelf.delete(KEY));

/** The name of the photo that was chosen last in this visit. */
export function last_choice() {
  try {
    return sessionStorage.getItem(`${NAME}-photo`);
  } catch {
    return null; // where there is no storage, as in Node
  }
}

/** @param {string} name */
export function remember_choice(name) {
  try {
    sessionStorage.setItem(`${NAME}-photo`, name);
  } catch {
    // then it is not remembered
  }
}
