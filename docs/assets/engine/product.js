/**
 * The matrix product, in which nearly all time is spent: x @ w.T, as `rows @ weights.weight.T` in NumPy.
 *
 * Both factors are read along their last axis. In the plain triple loop every multiplication waits for two numbers from
 * memory; here 4 rows of x meet 4 rows of w at once, so that 8 numbers that were read serve 16 multiplications, and the
 * 16 sums stay in the processor's registers until they are whole.
 */

import { zeros } from "./arrays.js";

/** @typedef {import("./arrays.js").NDArray} NDArray */

/**
 * The products of all rows of x with all rows of w: $y_{ij} = \sum_k x_{ik} w_{jk}$.
 *
 * @param {NDArray} x (*batch, rows, inner)
 * @param {NDArray} w (columns, inner) for the whole batch, or (*batch, columns, inner)
 * @returns {NDArray} (*batch, rows, columns)
 */
export function product(x, w) {
  const [rows, inner] = x.shape.slice(-2);
  const columns = w.shape[w.shape.length - 2];
  const out = zeros([...x.shape.slice(0, -1), columns]);
  if (w.shape.length === 2) {
    block(x.data, w.data, out.data, inner ? x.data.length / inner : 0, inner, columns);
    return out;
  }
  const matrices = inner && rows ? x.data.length / (rows * inner) : 0;
  for (let m = 0; m < matrices; m++) {
    block(
      x.data.subarray(m * rows * inner, (m + 1) * rows * inner),
      w.data.subarray(m * columns * inner, (m + 1) * columns * inner),
      out.data.subarray(m * rows * columns, (m + 1) * rows * columns),
      rows,
      inner,
      columns,
    );
  }
  return out;
}

/**
 * One product, in blocks of 4 x 4. The last block of a row or column of blocks lies at the border, where it computes a
 * few numbers once more; factors of fewer than 4 rows go the plain way.
 * @param {Float32Array} x
 * @param {Float32Array} w
 * @param {Float32Array} out
 * @param {number} rows
 * @param {number} inner
 * @param {number} columns
 * @returns {void}
 */
function block(x, w, out, rows, inner, columns) {
  if (rows < 4 || columns < 4) return plain(x, w, out, rows, inner, columns);
  for (let right = 4; right < columns + 4; right += 4) {
    const j = Math.min(right, columns) - 4;
    for (let below = 4; below < rows + 4; below += 4) {
      const i = Math.min(below, rows) - 4;
      const [a, b, c, d] = [i * inner, (i + 1) * inner, (i + 2) * inner, (i + 3) * inner];
      const [p, q, r, s] = [j * inner, (j + 1) * inner, (j + 2) * inner, (j + 3) * inner];
      let ap = 0, aq = 0, ar = 0, as = 0;
      let bp = 0, bq = 0, br = 0, bs = 0;
      let cp = 0, cq = 0, cr = 0, cs = 0;
      let dp = 0, dq = 0, dr = 0, ds = 0;
      for (let k = 0; k < inner; k++) {
        const xa = x[a + k], xb = x[b + k], xc = x[c + k], xd = x[d + k];
        const wp = w[p + k];
        ap += xa * wp; bp += xb * wp; cp += xc * wp; dp += xd * wp;
        const wq = w[q + k];
        aq += xa * wq; bq += xb * wq; cq += xc * wq; dq += xd * wq;
        const wr = w[r + k];
        ar += xa * wr; br += xb * wr; cr += xc * wr; dr += xd * wr;
        const ws = w[s + k];
        as += xa * ws; bs += xb * ws; cs += xc * ws; ds += xd * ws;
      }
      let to = i * columns + j;
      out[to] = ap; out[to + 1] = aq; out[to + 2] = ar; out[to + 3] = as;
      to += columns;
      out[to] = bp; out[to + 1] = bq; out[to + 2] = br; out[to + 3] = bs;
      to += columns;
      out[to] = cp; out[to + 1] = cq; out[to + 2] = cr; out[to + 3] = cs;
      to += columns;
      out[to] = dp; out[to + 1] = dq; out[to + 2] = dr; out[to + 3] = ds;
    }
  }
}

/** One number after the other. @type {typeof block} */
function plain(x, w, out, rows, inner, columns) {
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      let sum = 0;
      for (let k = 0; k < inner; k++) sum += x[i * inner + k] * w[j * inner + k];
      out[i * columns + j] = sum;
    }
  }
}
