/**
 * What logits say: shares of the classes, and the most probable ones.
 *
 * Twin of `probabilities` and `top` in deit_ref/outputs.py, as functions, because outputs are plain objects that go
 * from a worker to its page.
 */

import { sigmoid } from "./activations.js";
import { integer } from "./checks.js";
import { softmax } from "./layers.js";

/** @typedef {import("./arrays.js").NDArray} NDArray */
/** @typedef {{logits: NDArray, class_names: string[] | null, problem_type: string | null}} Answer */

/**
 * Softmax over the classes, each row sums to 1; a sigmoid for each label of a multi-label model.
 * @param {Answer} output of a classification, with or without teacher
 * @returns {NDArray} (batch, num_labels)
 */
export function probabilities({ logits, class_names, problem_type }) {
  if (class_names?.length === 0) {
    throw new Error("A model without labels has no classes, so no probabilities and no top: read output.logits.");
  }
  if (problem_type === "regression" || (problem_type === null && logits.shape[1] === 1)) {
    throw new Error("A regression model has no classes, so no probabilities and no top: read output.logits.");
  }
  return problem_type === "multi_label_classification" ? sigmoid(logits) : softmax(logits);
}

/**
 * For each image the k most probable classes, best first, as [name, probability].
 * @param {Answer} output of a classification, with or without teacher
 * @param {number} [k]
 * @returns {[string, number][][]}
 */
export function top(output, k = 5) {
  integer("k", k);
  const { data, shape } = probabilities(output);
  const name = (/** @type {number} */ label) => output.class_names?.[label] ?? `LABEL_${label}`;
  return Array.from({ length: shape[0] }, (_, image) => {
    const row = [...data.subarray(image * shape[1], (image + 1) * shape[1])];
    const order = row.map((_, label) => label).sort((one, other) => row[other] - row[one]); // stable
    return order.slice(0, k).map((label) => /** @type {[string, number]} */ ([name(label), row[label]]));
  });
}
