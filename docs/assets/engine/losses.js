/**
 * Chapter 9: how far a guess of hidden pixels is off, and what the two kinds of teaching make small.
 *
 * Twin of deit_ref/numpy_backend/losses.py; the losses that only training needs stay in Python. Input -> output:
 * predictions and targets -> one number.
 */

import { map } from "./arrays.js";
import * as checks from "./checks.js";
import { patch_grid } from "./patches.js";

/** @typedef {import("./arrays.js").NDArray} NDArray */

/**
 * $\log p_k = x_k - \log \sum_j e^{x_j}$, without overflow.
 * @param {NDArray} x (*batch, classes)
 * @returns {NDArray} (*batch, classes)
 */
export function log_softmax(x) {
  const classes = x.shape[x.shape.length - 1];
  const y = map((value) => value, x);
  for (let start = 0; start < y.data.length; start += classes) {
    const row = y.data.subarray(start, start + classes);
    const largest = Math.max(...row);
    const sum = row.reduce((total, value) => total + Math.exp(value - largest), 0);
    for (let k = 0; k < classes; k++) row[k] -= largest + Math.log(sum);
  }
  return y;
}

/**
 * The surprise at the right answer: $-\frac1B \sum_i \log p_i[t_i]$, or with shares
 * $-\frac1B \sum_i \sum_k t_{ik} \log p_{ik}$.
 * @param {NDArray} logits (batch, classes)
 * @param {number[] | NDArray} labels a list of class numbers, or the shares of all classes (batch, classes)
 * @param {{ignore_index?: number}} [options] rows of this class number are left out, and B counts the others
 * @returns {number}
 */
export function cross_entropy(logits, labels, { ignore_index = -100 } = {}) {
  const [batch, classes] = logits.shape;
  const { data } = log_softmax(logits);
  let [surprise, images] = [0, 0];
  for (let i = 0; i < batch; i++) {
    if (Array.isArray(labels) && labels[i] === ignore_index) continue;
    images += 1;
    if (Array.isArray(labels)) surprise -= data[i * classes + labels[i]];
    else for (let k = i * classes; k < (i + 1) * classes; k++) surprise -= labels.data[k] * data[k];
  }
  return surprise / images;
}

/**
 * Mean absolute error on hidden pixels: $\sum M |x - \hat x| / ((\sum M + 10^{-5}) \cdot \text{channels})$.
 * @param {NDArray} reconstruction (batch, channels, height, width), what the model drew
 * @param {NDArray} pixel_values (batch, channels, height, width), normalized
 * @param {NDArray} bool_masked_pos (batch, patches), 1 where a patch was hidden; nothing hidden gives 0
 * @param {{patch_shape: [number, number]}} options [height, width] of a patch in pixels
 * @returns {number}
 */
export function masked_l1(reconstruction, pixel_values, bool_masked_pos, { patch_shape }) {
  const [batch, channels, height, width] = pixel_values.shape;
  const [rows, columns] = patch_grid(height, width, { patch_shape });
  let [difference, hidden] = [0, 0];
  for (let b = 0, i = 0; b < batch; b++) {
    for (let c = 0; c < channels; c++) {
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++, i++) {
          const patch = Math.floor(y / patch_shape[0]) * columns + Math.floor(x / patch_shape[1]);
          const m = bool_masked_pos.data[b * rows * columns + patch];
          difference += Math.abs(pixel_values.data[i] - reconstruction.data[i]) * m;
          hidden += m / channels;
        }
      }
    }
  }
  return difference / (hidden + 1e-5) / channels;
}

/**
 * Learn the label with one token and the teacher's decision with the other:
 * $(1 - \alpha) \, \mathrm{CE}(o_\text{cls}, t) + \alpha \, \mathrm{CE}(o_\text{dist}, \arg\max o_\text{teacher})$.
 * @param {NDArray} cls_logits (batch, classes), the student's class head
 * @param {NDArray} distillation_logits (batch, classes), its distillation head
 * @param {NDArray} teacher_logits (batch, classes)
 * @param {number[] | NDArray} labels see `cross_entropy`
 * @param {{alpha?: number}} [options] the teacher's share
 * @returns {number}
 */
export function hard_distillation(cls_logits, distillation_logits, teacher_logits, labels, { alpha = 0.5 } = {}) {
  const [batch, classes] = teacher_logits.shape;
  const decisions = Array.from({ length: batch }, (_, i) => {
    const row = teacher_logits.data.subarray(i * classes, (i + 1) * classes);
    return row.indexOf(Math.max(...row));
  });
  return (1 - alpha) * cross_entropy(cls_logits, labels) + alpha * cross_entropy(distillation_logits, decisions);
}

/**
 * Learn the label with one token and the teacher's whole distribution with the other:
 * $(1 - \alpha) \, \mathrm{CE}(o_\text{cls}, t) + \alpha \, \frac{\tau^2}{B C} \sum_{i,k} p_{\text{teacher},ik} \,
 * (\log p_{\text{teacher},ik} - \log p_{\text{student},ik})$, both softmax at the temperature $\tau$.
 * @param {NDArray} cls_logits (batch, classes), the student's class head
 * @param {NDArray} distillation_logits (batch, classes), its distillation head
 * @param {NDArray} teacher_logits (batch, classes)
 * @param {number[] | NDArray} labels see `cross_entropy`
 * @param {object} [options]
 * @param {number} [options.alpha] the teacher's share
 * @param {number} [options.tau] temperature, above 0
 * @param {string} [options.divided_by] "entries" (B C), or "images" (B)
 * @returns {number}
 */
export function soft_distillation(
  cls_logits,
  distillation_logits,
  teacher_logits,
  labels,
  { alpha = 0.5, tau = 1, divided_by = "entries" } = {},
) {
  checks.choice("divided_by", divided_by, ["entries", "images"]);
  const [teacher, student] = [teacher_logits, distillation_logits].map((logits) =>
    log_softmax(map((value) => value / tau, logits)),
  );
  const [batch, classes] = teacher_logits.shape;
  let divergence = 0;
  teacher.data.forEach((log_p, i) => (divergence += Math.exp(log_p) * (log_p - student.data[i])));
  divergence *= tau ** 2 / (divided_by === "entries" ? batch * classes : batch);
  return (1 - alpha) * cross_entropy(cls_logits, labels) + alpha * divergence;
}
