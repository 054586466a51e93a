/**
 * The sizes of a model, and how its photos are prepared, from the files that lie beside the weights.
 *
 * Twin of deit_ref/config.py (names and defaults are those of transformers' DeiTConfig).
 */

import { ACTIVATIONS } from "./activations.js";
import * as checks from "./checks.js";

/**
 * @typedef {object} DeiTConfig
 * @property {number} hidden_size dim, the length of a token
 * @property {number} num_hidden_layers number of encoder blocks
 * @property {number} num_attention_heads divides hidden_size
 * @property {number} intermediate_size length of a token inside the mlp
 * @property {string} hidden_act
 * @property {number} layer_norm_eps
 * @property {[number, number]} image_shape [height, width] in pixels
 * @property {[number, number]} patch_shape [height, width] of a patch in pixels
 * @property {[number, number]} stride_shape [height, width] of what the masked-image decoder draws for one token
 * @property {[number, number]} grid [rows, columns] of patches that the position embeddings were made for
 * @property {number} num_channels
 * @property {boolean} qkv_bias whether queries, keys and values have a bias
 * @property {number} pooler_output_size
 * @property {string} pooler_act
 * @property {number} num_labels
 * @property {string | null} problem_type
 * @property {boolean} distilled true for DeiT (cls and dist token), false for plain ViT models (cls token only)
 * @property {number} num_prefix_tokens 2 or 1
 * @property {boolean} output_hidden_states
 * @property {boolean} output_attentions
 */

const PROBLEM_TYPES = ["regression", "single_label_classification", "multi_label_classification"];

const DEFAULTS = {
  hidden_size: 768,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  intermediate_size: 3072,
  hidden_act: "gelu",
  layer_norm_eps: 1e-12,
  image_size: 224,
  patch_size: 16,
  num_channels: 3,
  qkv_bias: true,
  encoder_stride: 16,
  pooler_output_size: null,
  pooler_act: "tanh",
  num_labels: 2,
  problem_type: null,
  output_hidden_states: false,
  output_attentions: false,
};

/**
 * Read a transformers config.json; fields it lacks get their defaults.
 * @param {any} values the parsed file
 * @returns {DeiTConfig}
 */
export function config_from_dict(values) {
  if (values === null || typeof values !== "object" || Array.isArray(values)) {
    throw new Error(`A config must be a JSON object, got ${checks.brief(values)}: give the content of config.json.`);
  }
  const model_type = checks.choice("model_type", values.model_type ?? "deit", ["deit", "vit"]);
  /** @type {any} */
  const chosen = {};
  for (const [name, value] of Object.entries(DEFAULTS)) chosen[name] = values[name] ?? value;
  // transformers derives the number of labels from their names, and so must we.
  if (values.id2label) chosen.num_labels = Object.keys(values.id2label).length;
  const { hidden_size, num_attention_heads } = chosen;
  chosen.pooler_output_size ??= hidden_size;
  for (const name of ["hidden_size", "num_attention_heads", "intermediate_size", "num_channels"]) {
    checks.integer(name, chosen[name]);
  }
  for (const name of ["num_hidden_layers", "num_labels"]) checks.integer(name, chosen[name], { minimum: 0 });
  if (!(chosen.layer_norm_eps >= 0 && chosen.layer_norm_eps < 1)) {
    throw new Error(`layer_norm_eps must lie in [0, 1), got ${checks.brief(chosen.layer_norm_eps)}.`);
  }
  for (const name of ["hidden_act", "pooler_act"]) checks.choice(name, chosen[name], Object.keys(ACTIVATIONS));
  if (chosen.problem_type !== null) checks.choice("problem_type", chosen.problem_type, PROBLEM_TYPES);
  if (hidden_size % num_attention_heads) {
    throw new Error(
      `hidden_size must be a multiple of num_attention_heads, got ${hidden_size} and ${num_attention_heads}.`,
    );
  }
  const [height, width] = checks.pair("image_size", chosen.image_size);
  const [patch_height, patch_width] = checks.pair("patch_size", chosen.patch_size);
  if (height % patch_height || width % patch_width) {
    throw new Error(
      `image_size must be a multiple of patch_size, got ${height}x${width} pixels and patches of ` +
        `${patch_height}x${patch_width}: the last rows or columns would belong to no patch.`,
    );
  }
  const { image_size, patch_size, encoder_stride, ...rest } = chosen;
  return Object.freeze({
    ...rest,
    image_shape: [height, width],
    patch_shape: [patch_height, patch_width],
    stride_shape: checks.pair("encoder_stride", encoder_stride),
    grid: [height / patch_height, width / patch_width],
    distilled: model_type === "deit",
    num_prefix_tokens: model_type === "deit" ? 2 : 1,
  });
}
