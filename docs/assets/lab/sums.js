/**
 * What adds up to the logit of a class: the stream is a sum, and the heads read it by a matrix.
 */

/** @typedef {import("../engine/arrays.js").NDArray} NDArray */

/**
 * @typedef {object} Sum the parts of one logit, which add up to it
 * @property {number} start of the embeddings
 * @property {number[]} attention of each block's attention
 * @property {number[]} mlp of each block's mlp
 * @property {number} bias of the last norm and of the head
 * @property {number} logit all of them together
 */

/**
 * How much each branch that was added to the stream adds to a class's logit. The last norm divides by the deviation of
 * the whole sum, which is held fixed here; then all that follows is linear, and the logit is a sum of parts.
 * @param {any} parts of the weights: config, norm, head, head_dist
 * @param {{embeddings: NDArray, attention: NDArray[], mlp: NDArray[]}} branches (1, tokens, dim) each; attention and mlp
 *   of each block, as they were added
 * @param {number} label number of the class
 * @returns {Record<"class" | "distillation", Sum>} by head
 */
export function sums({ config, norm, head, head_dist }, { embeddings, attention, mlp }, label) {
  const dim = embeddings.shape[2];
  const of_head = (/** @type {number} */ token, /** @type {any} */ { weight, bias }) => {
    const rows = [embeddings, ...attention, ...mlp].map(({ data }) => data.subarray(token * dim, (token + 1) * dim));
    const stream = Float64Array.from({ length: dim }, (_, i) => rows.reduce((sum, row) => sum + row[i], 0));
    const mean = mean_of(stream);
    const deviation = Math.sqrt(mean_of(stream.map((x) => (x - mean) ** 2)) + config.layer_norm_eps);
    const toward = weight.data.subarray(label * dim, (label + 1) * dim);
    const read = (/** @type {Float32Array} */ row) => {
      const middle = mean_of(row);
      return row.reduce((sum, x, i) => sum + ((x - middle) / deviation) * norm.weight.data[i] * toward[i], 0);
    };
    const [start, ...found] = rows.map(read);
    const shift = norm.bias.data.reduce((/** @type {number} */ sum, /** @type {number} */ x, /** @type {number} */ i) => sum + x * toward[i], 0);
    const of_bias = shift + (bias?.data[label] ?? 0);
    const logit = found.reduce((sum, x) => sum + x, start + of_bias);
    return { start, attention: found.slice(0, attention.length), mlp: found.slice(attention.length), bias: of_bias, logit };
  };
  return { class: of_head(0, head), distillation: of_head(1, head_dist) };
}

const mean_of = (/** @type {Float32Array | Float64Array} */ values) => {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
};
