/**
 * How one number of a pass was made from its inputs, with the numbers of this pass: computed anew, in float64. The tests
 * hold it to the arrays. Nothing here touches the page.
 */

import { activate } from "../engine/activations.js";
import { copy, entry, term, worked_out } from "./arithmetic.js";
import { flat, indexed } from "./cells.js";
import { PIXELS } from "./worked_pixels.js";

/**
 * @typedef {import("./arithmetic.js").Pass} Pass
 * @typedef {import("./arithmetic.js").Term} Term
 * @typedef {import("./arithmetic.js").Worked} Worked
 * @typedef {import("../engine/arrays.js").AnyArray} AnyArray
 */

const LEARNED = "Learned in training and the same for every photo: it is read from the weights, and nothing computes it.";
const learned = (/** @type {AnyArray} */ { data }, /** @type {number} */ i) =>
  worked_out("", [term("weight", { value: data[i], text: "learned" })], [], { note: LEARNED });

const largest_first = (/** @type {Term[]} */ terms) => terms.sort((a, b) => Math.abs(b.value) - Math.abs(a.value));

/**
 * One output of a linear map.
 * @param {Pass} pass @param {string} formula @param {import("../engine/weights.js").Linear} weights
 * @param {number} out which @param {string} step that it reads @param {number[]} at the row there
 */
function linear(pass, formula, { weight, bias }, out, step, at) {
  const width = pass.values[step].shape[at.length];
  const what = step === "patches" ? "value" : "feature";
  const terms = Array.from({ length: width }, (_, i) => {
    const w = weight.data[out * width + i];
    return term(indexed(what, i), entry(pass, step, [...at, i]), { value: w, text: "weight" });
  });
  const shift = bias ? [{ op: "+", text: "the bias", value: bias.data[out] }] : [];
  return worked_out(formula, largest_first(terms), shift);
}

/** @param {Pass} pass @param {number[]} at @param {import("../engine/weights.js").LayerNorm} weights
 * @param {string[]} inputs steps whose sum is normalized */
function norm(pass, [image, token, column], { weight, bias }, inputs) {
  const width = weight.data.length;
  const rows = inputs.map((step) => pass.values[step].data.subarray(token * width, (token + 1) * width));
  const x = Array.from({ length: width }, (_, i) => rows.reduce((sum, row) => sum + row[i], 0));
  const mean = x.reduce((sum, value) => sum + value, 0) / width;
  const variance = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / width;
  const terms = inputs.map((step) => term(pass.title(step), entry(pass, step, [image, token, column])));
  return worked_out("(x − μ) / √(σ^2 + ϵ) ⊙ γ + β", terms, [
    { op: "−", text: `the mean μ of this token’s ${width} numbers`, value: mean },
    { op: "÷", text: "their deviation, √(σ² + ϵ)", value: Math.sqrt(variance + pass.weights.config.layer_norm_eps) },
    { op: "×", text: "the weight γ of this feature", value: weight.data[column] },
    { op: "+", text: "its bias β", value: bias.data[column] },
  ]);
}

/** @param {Pass} pass @param {string} formula @param {string} step @param {number[]} at a row of scores
 * @param {number} chosen @param {(i: number) => string} name */
function softmax(pass, formula, step, at, chosen, name) {
  const count = pass.values[step].shape[at.length];
  const scores = Array.from({ length: count }, (_, i) => entry(pass, step, [...at, i]));
  const largest = scores.reduce((most, score) => (score.value > most.value ? score : most));
  const parts = scores.map((score, i) => ({
    label: name(i),
    factors: [score],
    value: Math.exp(score.value - largest.value),
  }));
  const sum = parts.reduce((y, { value }) => y + value, 0);
  return worked_out(formula, [term(name(chosen), scores[chosen])], [
    { op: "−", text: "the largest of its row", value: largest.value, from: largest.from },
    { op: "e", text: "e to that power" },
    { op: "÷", text: `the sum of all ${count} powers`, value: sum, parts: largest_first(parts) },
  ]);
}

/** Where a step of a block finds its inputs and weights. @param {Pass} pass @param {string} name */
function block(pass, name) {
  const i = Number(name.split(".")[1]);
  const stem = `blocks.${i}.`;
  return { ...pass.weights.blocks[i], stem, before: i ? `blocks.${i - 1}.output` : "embeddings" };
}

/** Queries, keys and values by one matrix. @param {number} part @param {string} letter */
const from_norm1 = (part, letter) => (/** @type {Pass} */ pass, /** @type {number[]} */ at, /** @type {string} */ name) => {
  const { stem, attn } = block(pass, name);
  const [image, head, token, column] = at;
  const [, heads, , head_dim] = pass.values[name].shape;
  const out = (part * heads + head) * head_dim + column;
  return linear(pass, `${letter} = x W_${letter}^⊤ + b_${letter}`, attn.qkv, out, `${stem}norm1`, [image, token]);
};

/** By the last part of a step's name. @type {Record<string, (pass: Pass, at: number[], name: string) => Worked>} */
const KINDS = {
  ...PIXELS,
  patch_embed(pass, [image, patch, column]) {
    return linear(pass, "z_n = x_n E^⊤ + b", pass.weights.patch_embed.proj, column, "patches", [image, patch]);
  },
  tokens(pass, [image, token, column]) {
    const { cls_token, dist_token, config } = pass.weights;
    const prefix = config.num_prefix_tokens;
    if (token < prefix) return learned([cls_token, dist_token][token], column);
    return copy(pass, "patch_embed", [image, token - prefix, column], "Copied: patch tokens stand behind the two special ones.");
  },
  pos_embed: (pass, at) => learned(pass.weights.pos_embed, flat(pass.weights.pos_embed.shape, at)),
  embeddings: (pass, at) =>
    worked_out("z + E_pos", ["tokens", "pos_embed"].map((step) => term(pass.title(step), entry(pass, step, at)))),
  norm1(pass, at, name) {
    const { before, norm1 } = block(pass, name);
    return norm(pass, at, norm1, [before]);
  },
  q: from_norm1(0, "Q"),
  k: from_norm1(1, "K"),
  v: from_norm1(2, "V"),
  scores(pass, [image, head, query, key], name) {
    const { stem } = block(pass, name);
    const d = pass.values[`${stem}attention.q`].shape[3];
    const terms = Array.from({ length: d }, (_, i) =>
      term(
        indexed("feature", i),
        entry(pass, `${stem}attention.q`, [image, head, query, i]),
        entry(pass, `${stem}attention.k`, [image, head, key, i]),
      ),
    );
    const root = { op: "÷", text: `√d, with d = ${d}`, value: Math.sqrt(d) };
    return worked_out("S = Q K^⊤ / √d", largest_first(terms), [root]);
  },
  probabilities(pass, [image, head, query, key], name) {
    const scores = `${block(pass, name).stem}attention.scores`;
    return softmax(pass, "A_ij = e^{S_ij} / ∑_k e^{S_ik}", scores, [image, head, query], key, pass.token);
  },
  context(pass, [image, token, column], name) {
    const { stem } = block(pass, name);
    const [, , tokens, head_dim] = pass.values[`${stem}attention.v`].shape;
    const [head, i] = [Math.floor(column / head_dim), column % head_dim];
    const terms = Array.from({ length: tokens }, (_, j) =>
      term(
        pass.token(j),
        entry(pass, `${stem}attention.probabilities`, [image, head, token, j]),
        entry(pass, `${stem}attention.v`, [image, head, j, i]),
      ),
    );
    return worked_out("Y = A V", largest_first(terms), [], {
      note: `${indexed("Feature", column)} is ${indexed("feature", i)} of head ${head + 1}.`,
    });
  },
  proj(pass, [image, token, column], name) {
    const { stem, attn } = block(pass, name);
    const formula = "Concat(Y_1, …, Y_h) W_O^⊤ + b_O";
    return linear(pass, formula, attn.proj, column, `${stem}attention.context`, [image, token]);
  },
  norm2(pass, at, name) {
    const { stem, before, norm2 } = block(pass, name);
    return norm(pass, at, norm2, [before, `${stem}attention.proj`]);
  },
  fc1(pass, [image, token, column], name) {
    const { stem, mlp } = block(pass, name);
    return linear(pass, "x W_1^⊤ + b_1", mlp.fc1, column, `${stem}norm2`, [image, token]);
  },
  activation(pass, at, name) {
    const { hidden_act } = pass.weights.config;
    const from = entry(pass, `${block(pass, name).stem}mlp.fc1`, at);
    const x = from.value;
    const y = activate({ data: Float32Array.of(x), shape: [1] }, { name: hidden_act }).data[0];
    const share = hidden_act === "gelu" ? "Φ(x), the share of a normal distribution that lies below x" : "what the curve makes of it";
    const bend = { op: "×", text: share, value: x ? y / x : 0.5 };
    const formula = hidden_act === "gelu" ? "GELU(x) = x Φ(x)" : "act(x)";
    return worked_out(formula, [term("x", from)], [bend], { curve: { name: hidden_act, x, y } });
  },
  fc2(pass, [image, token, column], name) {
    const { stem, mlp } = block(pass, name);
    return linear(pass, "act(x W_1^⊤ + b_1) W_2^⊤ + b_2", mlp.fc2, column, `${stem}mlp.activation`, [image, token]);
  },
  output(pass, at, name) {
    const { stem, before } = block(pass, name);
    const steps = [before, `${stem}attention.proj`, `${stem}mlp.fc2`];
    const terms = steps.map((step) => term(pass.title(step), entry(pass, step, at)));
    return worked_out("z + MHA(LN(z)) + MLP(LN(z′))", terms, [], { note: "z′ is z with the result of attention added." });
  },
  norm(pass, at) {
    const last = pass.weights.blocks.length - 1;
    return norm(pass, at, pass.weights.norm, [last < 0 ? "embeddings" : `blocks.${last}.output`]);
  },
  cls_logits: (pass, [image, label]) =>
    linear(pass, "o_cls = z_cls W_cls^⊤ + b_cls", pass.weights.head, label, "norm", [image, 0]),
  distillation_logits: (pass, [image, label]) =>
    linear(pass, "o_dist = z_dist W_dist^⊤ + b_dist", pass.weights.head_dist, label, "norm", [image, 1]),
  logits(pass, at) {
    const heads = ["cls_logits", "distillation_logits"];
    const terms = heads.map((step) => term(pass.title(step), entry(pass, step, at)));
    const share = softmax(pass, "p_k = e^{o_k} / ∑_j e^{o_j}", "logits", [at[0]], at[1], (i) => pass.classes[i]);
    const after = { title: "What becomes of it: the share of this class in the answer", worked: share };
    return worked_out("o = ½ (o_cls + o_dist)", terms, [{ op: "÷", text: "there are two heads", value: 2 }], { after });
  },
};

/** The kinds of steps whose numbers can be explained. */
export const EXPLAINED = Object.keys(KINDS);

/** @param {Pass} pass @param {import("./cells.js").Place} place @returns {Worked} */
export const worked = (pass, { step, at }) => KINDS[/** @type {string} */ (step.split(".").at(-1))](pass, at, step);
