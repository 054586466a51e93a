/**
 * Tokens by their numbers, as pages name them: they, and rows and columns of patches, are counted from 1.
 */

export const SPECIAL = ["class token", "distillation token"];

/** @param {import("../lab/state.js").Sizes} sizes */
export function naming({ prefix, grid: [rows, columns], tokens }) {
  const at = (/** @type {number} */ token) => [
    Math.floor((token - prefix) / columns) + 1,
    ((token - prefix) % columns) + 1,
  ];
  return {
    /** @param {number} token */
    place(token) {
      const [row, column] = at(token);
      return `row ${row}, column ${column}`;
    },
    /** @param {number} token */
    name(token) {
      const [row, column] = at(token);
      return token < prefix ? SPECIAL[token] : `patch in row ${row}, column ${column}`;
    },
    /** @param {number} token */
    number: (token) => `token ${token + 1} of ${tokens}`,
    /** As an address has it. @param {number} token */
    key: (token) => (token < prefix ? ["class", "distillation"][token] : at(token).join("-")),
    /** @template T @param {string | undefined} key @param {T} otherwise @returns {number | T} */
    token(key, otherwise) {
      const special = ["class", "distillation"].indexOf(key ?? "");
      if (special >= 0) return special < prefix ? special : otherwise;
      const found = /^(\d+)-(\d+)$/.exec(key ?? "");
      if (!found) return otherwise;
      const [row, column] = [Number(found[1]), Number(found[2])];
      const inside = row >= 1 && row <= rows && column >= 1 && column <= columns;
      const token = prefix + (row - 1) * columns + column - 1;
      return inside && token < tokens ? token : otherwise;
    },
  };
}

/** What is said of a token, as pictures tell it. @param {ReturnType<typeof naming>} names @param {number} token */
export function told(names, token, more = "") {
  return { tokens: [token], text: `${capital(names.name(token))}: ${names.number(token)}${more}` };
}

export const capital = (/** @type {string} */ text) => text[0].toUpperCase() + text.slice(1);
