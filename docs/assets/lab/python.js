/**
 * The lines of Python that do the same with `deit_ref`. The tests run them and compare.
 */

import { MODELS, is_untouched } from "./state.js";

const list = (/** @type {number[]} */ numbers) => `[${numbers.join(", ")}]`;
const pair = (/** @type {number[]} */ numbers) => `(${numbers.join(", ")})`;

/**
 * @param {import("./state.js").State} state
 * @param {import("./state.js").Sizes} sizes
 * @param {{packaged: (photo: string) => boolean, file: (photo: string) => string}} photos which ones come with the
 *   package, and the names of the files of others
 * @param {"answer" | "attention" | "rollout" | "effects" | "lens" | "guess"} [asked] what is printed
 * @returns {string}
 */
export function python(state, sizes, { packaged, file }, asked = "answer") {
  const { grid, patch_shape, prefix, tokens, patches, layers, heads } = sizes;
  const guesses = state.how === "mask";
  const effects = asked === "effects";
  const own_pixels = Boolean(effects || state.order || (state.how === "gray" && state.hidden.length));
  const needs = { numpy: false, dataclasses: state.positions !== "kept" };
  /** @type {string[]} */
  const imports = [];
  const lines = [];
  const options = [];
  if (packaged(state.photo)) imports.push("from deit_ref.photos import bundled_photo");
  const photo = packaged(state.photo) ? `bundled_photo("${state.photo}")` : `"${file(state.photo)}"`;
  lines.push(`weights = deit_ref.load_weights(${guesses ? `"${MODELS.guesser}"` : ""})`);

  if (state.order) lines.push(`order = ${list(state.order)}`);
  if (own_pixels) {
    imports.push("from deit_ref.numpy_backend.patches import patchify, unpatchify");
    lines.push(`pixels = deit_ref.preprocess(${photo}, weights.image_processing)`);
    lines.push(`patches = patchify(pixels, patch_shape=${pair(patch_shape)})${state.order ? "[:, order]" : ""}`);
    if (state.how === "gray" && state.hidden.length) lines.push(`patches[:, ${list(state.hidden)}] = 0`);
    lines.push(`pixels = unpatchify(patches, patch_shape=${pair(patch_shape)}, grid=${pair(grid)})`);
  }
  if (state.positions !== "kept" && (state.order || state.positions === "none")) {
    lines.push("positions = weights.pos_embed.copy()");
    lines.push(`positions[:, ${prefix}:] = ${state.positions === "none" ? "0" : `positions[:, ${prefix}:][:, order]`}`);
    lines.push("weights = dataclasses.replace(weights, pos_embed=positions)");
  } else needs.dataclasses = false;
  const shut = state.how === "attention" ? state.hidden.map((place) => prefix + place) : [];
  if (state.without_dist) shut.unshift(1);
  if (shut.length || (effects && state.how === "attention")) {
    needs.numpy = true;
    lines.push(`attention_mask = np.ones((1, ${tokens}), bool)`);
    if (shut.length) lines.push(`attention_mask[0, ${list(shut)}] = False`);
    options.push("attention_mask=attention_mask");
  }
  if (state.silenced.length) {
    needs.numpy = true;
    const [of_layer, of_head] = [Math.floor, (/** @type {number} */ i) => i].map((f, k) =>
      list(state.silenced.map((i) => (k ? i % heads : f(i / heads)))),
    );
    lines.push(`head_mask = np.ones((${layers}, ${heads}))`);
    lines.push(`head_mask[${of_layer}, ${of_head}] = 0`);
    options.push("head_mask=head_mask");
  }
  if (guesses) {
    needs.numpy = true;
    lines.push(`hidden = np.zeros((1, ${patches}), bool)`);
    if (state.hidden.length) lines.push(`hidden[0, ${list(state.hidden)}] = True`);
    options.push("bool_masked_pos=hidden");
  }
  if (asked === "attention" || asked === "rollout") options.push("output_attentions=True");
  if (asked === "lens") options.push("output_hidden_states=True");

  const given = own_pixels ? "pixel_values=pixels" : photo;
  lines.push(`output = deit_ref.forward(${["weights", given, ...options].join(", ")})`);
  if (effects) {
    needs.numpy = true;
    lines.push(...without_each(state, sizes, options));
  } else lines.push(...printed(state, sizes, guesses && asked === "answer" ? "guess" : asked, imports));
  if (is_untouched(state) && !guesses && asked === "answer" && !own_pixels) {
    lines.splice(0, lines.length, `print(deit_ref.forward(deit_ref.load_weights(), ${photo}).top(3))`);
  }
  const standard = needs.dataclasses ? ["import dataclasses", ""] : [];
  const third = needs.numpy ? ["import numpy as np", ""] : [];
  return [...standard, ...third, "import deit_ref", ...imports.sort(), "", ...lines].join("\n");
}

/** A pass for every patch that is not yet hidden. @param {import("./state.js").State} state
 * @param {import("./state.js").Sizes} sizes @param {string[]} options @returns {string[]} */
function without_each({ how }, { patches, prefix, grid, patch_shape }, options) {
  const gray = how === "gray";
  const what = gray ? "patches" : "attention_mask";
  const place = gray ? "np.arange(PATCHES)" : "PREFIX + np.arange(PATCHES)";
  const pixels = gray
    ? `unpatchify(each, patch_shape=${pair(patch_shape)}, grid=${pair(grid)})`
    : "np.repeat(pixels, PATCHES, axis=0)";
  const given = options.map((option) => {
    if (!option.startsWith("attention_mask")) return option;
    return gray ? "attention_mask=np.repeat(attention_mask, PATCHES, axis=0)" : "attention_mask=each";
  });
  return [
    `each = np.repeat(${what}, PATCHES, axis=0)`,
    `each[np.arange(PATCHES), ${place}] = ${gray ? 0 : "False"}`,
    `without = deit_ref.forward(${["weights", `pixel_values=${pixels}`, ...given].join(", ")})`,
    "answer = output.logits[0].argmax()",
    `print((without.probabilities - output.probabilities)[:, answer].reshape${pair(grid)})`,
  ].map((line) => line.replaceAll("PATCHES", String(patches)).replaceAll("PREFIX", String(prefix)));
}

/** @param {import("./state.js").State} state @param {import("./state.js").Sizes} sizes @param {string} asked
 * @param {string[]} imports @returns {string[]} */
function printed({ query, layer, head }, { prefix, grid, layers }, asked, imports) {
  const map = `${prefix}:].reshape${pair(grid)}`;
  if (asked === "attention") {
    const of = `output.attentions[${layer}][0`;
    return [`print(${head < 0 ? `${of}].mean(axis=0)[` : `${of}, ${head}, `}${query}, ${map})`];
  }
  if (asked === "rollout") {
    imports.push("from deit_ref.numpy_backend.attention import attention_rollout");
    const up_to = (layer + layers) % layers; // -1 is the last
    return [`print(attention_rollout(output.attentions[: ${up_to + 1}])[0, ${query}, ${map})`];
  }
  if (asked === "lens") {
    imports.push("from deit_ref.numpy_backend.heads import classify_with_teacher");
    imports.push("from deit_ref.numpy_backend.layers import layer_norm, softmax");
    imports.push("from deit_ref.numpy_backend.tokens import split_tokens");
    return [
      "for x in output.hidden_states:",
      "    x = layer_norm(weights.norm, x, eps=weights.config.layer_norm_eps)",
      "    cls_token, dist_token, _ = split_tokens(x, distilled=True)",
      "    logits, *_ = classify_with_teacher(weights.head, weights.head_dist, cls_token, dist_token)",
      "    print(weights.class_names[logits[0].argmax()], softmax(logits)[0].max())",
    ];
  }
  if (asked === "guess") return ["print(output.loss, output.reconstruction.shape)"];
  return ["print(output.top(3))"];
}
