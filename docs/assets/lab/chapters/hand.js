/**
 * Chapter 5, by hand: three tokens, three matrices, and what each token takes from the others; all numbers can be
 * changed.
 */

import { el, radios } from "../../dom.js";
import { as_array, map, reshape } from "../../engine/arrays.js";
import { scaled_dot_product_attention } from "../../engine/attention.js";
import { linear } from "../../engine/layers.js";
import { Trace } from "../../engine/trace.js";
import { button, field, slider } from "../controls.js";
import { bar, e_to, number, table, vector } from "../tables.js";
import { frame } from "./parts.js";

export const NAMES = ["fur", "ear", "grass"];

/** The chapter's numbers. `divisor` is what scores are divided by, the root of head_dim there. */
export const EXAMPLE = {
  tokens: [[1, 0], [0, 1], [-1, -1]],
  w_q: [[3, 0], [0, 3]],
  w_k: [[0, 1], [1, 0]],
  w_v: [[1, 1], [0, 2]],
  divisor: Math.SQRT2,
};

/**
 * Every step, for all tokens.
 * @param {typeof EXAMPLE} example
 * @returns {Record<string, number[][]>} queries, keys, values, products, scores, powers, shares and answers, a row per
 *   token
 */
export function worked_out({ tokens, w_q, w_k, w_v, divisor }) {
  const x = as_array(tokens);
  const [q, k, v] = [w_q, w_k, w_v].map((weight) => linear({ weight: as_array(weight), bias: null }, x));
  const [count, dim] = q.shape;
  const one_head = (/** @type {any} */ y) => reshape(y, [1, 1, count, dim]);
  // The function divides by the root of the number of features; whatever else is asked for, the queries bring along.
  const asking = map((value) => (value * Math.sqrt(dim)) / divisor, q);
  const trace = new Trace();
  const answers = scaled_dot_product_attention(one_head(asking), one_head(k), one_head(v), { trace });
  const rows = (/** @type {any} */ y, width = count) =>
    Array.from({ length: count }, (_, i) => [...y.data.subarray(i * width, (i + 1) * width)]);
  const scores = rows(trace.get("scores"));
  return {
    queries: rows(q, dim),
    keys: rows(k, dim),
    values: rows(v, dim),
    products: scores.map((row) => row.map((score) => score * divisor)),
    scores,
    powers: scores.map((row) => row.map(Math.exp)),
    shares: rows(trace.get("probabilities")),
    answers: rows(answers, dim),
  };
}

/** @param {HTMLElement} root @param {AbortSignal} signal */
export function start(root, signal) {
  let example = structuredClone(EXAMPLE);
  let asks = 0;
  const inputs = el("div.play-matrices");
  const results = el("div.inside-scroll", { tabindex: 0, role: "region", "aria-label": "Results" });
  const answer = el("p.play-result");
  const who = radios("Who looks", "hand-who", NAMES.map((name, i) => [String(i), name]), () => String(asks), (i) => {
    asks = Number(i);
    draw();
  });
  const scale = slider({
    label: "Scores are divided by",
    min: 0.1,
    max: 10,
    value: EXAMPLE.divisor,
    log: true,
    text: (value) => (Math.abs(value - Math.SQRT2) < 0.005 ? "√2" : number(value)),
    change: (divisor) => {
      example.divisor = divisor;
      draw();
    },
  });
  const buttons = el(
    "div.lab-buttons",
    {},
    button("Grass becomes a second ear", () => fill({ ...example, tokens: [...example.tokens.slice(0, 2), [0, 1]] })),
    button("Back to the chapter’s numbers", () => fill(EXAMPLE)),
  );
  const say = frame(
    root,
    "The example by hand, with numbers that you can change",
    "Change any number; all others follow. Can you make the fur look for grass, by changing one matrix only? And what " +
      "happens to the shares if the scores are not divided, or divided by 10?",
    signal,
    inputs,
    el("div.play-row", {}, who.element, scale.element),
    results,
    answer,
    buttons,
  );

  function matrix(title, key, names = []) {
    const rows = example[key].map((row, i) =>
      el(
        "div.play-numbers",
        {},
        names[i] ? el("span", {}, names[i]) : null,
        ...row.map((value, j) =>
          field(`${title}, ${names[i] ?? `row ${i + 1}`}, number ${j + 1}`, value, (now) => {
            example[key][i][j] = now;
            draw();
          }),
        ),
      ),
    );
    return el("fieldset.play-matrix", {}, el("legend", {}, title), ...rows);
  }

  function fill(next) {
    example = structuredClone(next);
    const matrices = { w_q: "W_Q: queries", w_k: "W_K: keys", w_v: "W_V: values" };
    inputs.replaceChildren(
      matrix("Tokens", "tokens", NAMES),
      ...Object.entries(matrices).map(([key, title]) => matrix(title, key)),
    );
    scale.put(example.divisor);
    draw();
  }

  function draw() {
    const found = worked_out(example);
    const { queries, keys, values, products, scores, powers, shares, answers } = found;
    const total = powers[asks].reduce((sum, power) => sum + power, 0);
    const rows = NAMES.map((name, j) => [
      name,
      vector(keys[j]),
      number(products[asks][j]),
      number(scores[asks][j]),
      number(powers[asks][j]),
      number(shares[asks][j], 3),
      bar(shares[asks][j]),
      vector(values[j]),
    ]);
    rows.push(["sum", "", "", "", number(total), number(shares[asks].reduce((sum, share) => sum + share, 0), 3), "", ""]);
    const query = `The ${NAMES[asks]}’s query is ${vector(queries[asks])}.`;
    results.replaceChildren(table(query, ["token", "key", "query · key", "score", e_to("score"), "share", "", "value"], rows));
    const most = shares[asks].indexOf(Math.max(...shares[asks]));
    const told =
      `The ${NAMES[asks]} takes most from the ${NAMES[most]}, ${number(shares[asks][most], 3)}. ` +
      `Its answer, the values times their shares: ${vector(answers[asks], 3)}.`;
    answer.textContent = told;
    root.dataset.shares = JSON.stringify(shares[asks]);
    root.dataset.answer = JSON.stringify(answers[asks]);
    say(told);
  }

  fill(EXAMPLE);
}
