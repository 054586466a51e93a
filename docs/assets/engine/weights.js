/**
 * The weights of a DeiT as one tree: `weights.blocks[3].attn.qkv.weight`, under the original checkpoint's names.
 *
 * Twin of deit_ref/weights.py.
 */

import { some } from "./checks.js";

/**
 * @typedef {import("./arrays.js").NDArray} NDArray
 * @typedef {{weight: NDArray, bias: NDArray | null}} Linear weight (out, in), bias (out,)
 * @typedef {{weight: NDArray, bias: NDArray}} LayerNorm (dim,) each
 * @typedef {{proj: Linear}} PatchEmbed proj.weight (dim, channels, patch_height, patch_width)
 * @typedef {{qkv: Linear, proj: Linear}} Attention qkv (3 * dim, dim), rows q, then k, then v; proj (dim, dim)
 * @typedef {{fc1: Linear, fc2: Linear}} Mlp fc1 (intermediate_size, dim), fc2 (dim, intermediate_size)
 * @typedef {{norm1: LayerNorm, attn: Attention, norm2: LayerNorm, mlp: Mlp}} Block
 */

/**
 * @typedef {object} DeiTWeights
 * @property {import("./config.js").DeiTConfig} config
 * @property {string} task "features", "classification", "classification-with-teacher" or "masked-image-modeling"
 * @property {import("./image_processing.js").ImageProcessing | null} image_processing
 * @property {string[] | null} class_names
 * @property {PatchEmbed} patch_embed
 * @property {NDArray} cls_token (1, 1, dim)
 * @property {NDArray | null} dist_token (1, 1, dim)
 * @property {NDArray | null} mask_token (1, 1, dim)
 * @property {NDArray} pos_embed (1, prefix tokens + patches, dim)
 * @property {Block[]} blocks
 * @property {LayerNorm} norm
 * @property {Linear | null} pooler
 * @property {Linear | null} head
 * @property {Linear | null} head_dist
 * @property {Linear | null} decoder
 */

export const TASKS = ["features", "classification", "classification-with-teacher", "masked-image-modeling"];

/**
 * Name and shape of every array that a model of this config and task has.
 * @param {import("./config.js").DeiTConfig} config
 * @param {string} task
 * @param {{pooler?: boolean, mask_token?: boolean}} [options]
 * @returns {Record<string, number[]>}
 */
export function array_shapes(config, task, { pooler = true, mask_token = false } = {}) {
  if (task === "classification-with-teacher" && !config.distilled) {
    throw new Error(`The task ${task} needs a distillation token: use a config of model_type "deit".`);
  }
  const [dim, hidden] = [config.hidden_size, config.intermediate_size];
  /** @type {Record<string, number[]>} */
  const shapes = {
    "patch_embed.proj.weight": [dim, config.num_channels, ...config.patch_shape],
    "patch_embed.proj.bias": [dim],
    cls_token: [1, 1, dim],
  };
  if (config.distilled) shapes.dist_token = [1, 1, dim];
  if (mask_token || task === "masked-image-modeling") shapes.mask_token = [1, 1, dim];
  shapes.pos_embed = [1, config.num_prefix_tokens + config.grid[0] * config.grid[1], dim];
  const linear = (
    /** @type {string} */ name,
    /** @type {number} */ rows,
    /** @type {number} */ columns,
    bias = true,
  ) => {
    shapes[`${name}.weight`] = [rows, columns];
    if (bias) shapes[`${name}.bias`] = [rows];
  };
  const layer_norm = (/** @type {string} */ name) => {
    shapes[`${name}.weight`] = [dim];
    shapes[`${name}.bias`] = [dim];
  };
  for (let i = 0; i < config.num_hidden_layers; i++) {
    layer_norm(`blocks.${i}.norm1`);
    linear(`blocks.${i}.attn.qkv`, 3 * dim, dim, config.qkv_bias);
    linear(`blocks.${i}.attn.proj`, dim, dim);
    layer_norm(`blocks.${i}.norm2`);
    linear(`blocks.${i}.mlp.fc1`, hidden, dim);
    linear(`blocks.${i}.mlp.fc2`, dim, hidden);
  }
  layer_norm("norm");
  if (task === "features" && pooler) linear("pooler", config.pooler_output_size, dim);
  if (task.startsWith("classification") && config.num_labels) linear("head", config.num_labels, dim);
  if (task === "classification-with-teacher" && config.num_labels) linear("head_dist", config.num_labels, dim);
  if (task === "masked-image-modeling") {
    linear("decoder", config.stride_shape[0] * config.stride_shape[1] * config.num_channels, dim);
  }
  return shapes;
}

/**
 * The tree built from arrays under the names of `array_shapes`.
 * @param {Record<string, NDArray>} arrays
 * @param {import("./config.js").DeiTConfig} config
 * @param {string} task
 * @param {object} options
 * @param {import("./image_processing.js").ImageProcessing | null} options.image_processing
 * @param {string[] | null} [options.class_names] one per label
 * @returns {DeiTWeights}
 */
export function weights_from_arrays(arrays, config, task, { image_processing, class_names = null }) {
  const optional = { pooler: "pooler.weight" in arrays, mask_token: "mask_token" in arrays };
  check_shapes(array_shapes(config, task, optional), arrays);
  const linear = (/** @type {string} */ name) => ({
    weight: arrays[`${name}.weight`],
    bias: arrays[`${name}.bias`] ?? null,
  });
  const head = (/** @type {string} */ name) => (`${name}.weight` in arrays ? linear(name) : null);
  const block = (/** @type {number} */ i) => ({
    norm1: linear(`blocks.${i}.norm1`),
    attn: { qkv: linear(`blocks.${i}.attn.qkv`), proj: linear(`blocks.${i}.attn.proj`) },
    norm2: linear(`blocks.${i}.norm2`),
    mlp: { fc1: linear(`blocks.${i}.mlp.fc1`), fc2: linear(`blocks.${i}.mlp.fc2`) },
  });
  return /** @type {DeiTWeights} */ ({
    config,
    task,
    image_processing,
    class_names,
    patch_embed: { proj: linear("patch_embed.proj") },
    cls_token: arrays.cls_token,
    dist_token: arrays.dist_token ?? null,
    mask_token: arrays.mask_token ?? null,
    pos_embed: arrays.pos_embed,
    blocks: Array.from({ length: config.num_hidden_layers }, (_, i) => block(i)),
    norm: linear("norm"),
    pooler: head("pooler"),
    head: head("head"),
    head_dist: head("head_dist"),
    decoder: head("decoder"),
  });
}

/**
 * Compare names and shapes; an Error lists every difference.
 * @param {Record<string, number[]>} expected
 * @param {Record<string, NDArray>} arrays
 */
function check_shapes(expected, arrays) {
  const missing = Object.keys(expected).filter((name) => !(name in arrays));
  const unexpected = Object.keys(arrays).filter((name) => !(name in expected));
  const wrong = Object.keys(expected).filter(
    (name) => name in arrays && String(arrays[name].shape) !== String(expected[name]),
  );
  const problems = [];
  if (missing.length) problems.push(`missing: ${some(missing)}`);
  if (unexpected.length) problems.push(`unexpected: ${some(unexpected)}`);
  if (wrong.length) {
    const listed = wrong.map((name) => `${name} has shape (${arrays[name].shape}), expected (${expected[name]})`);
    problems.push(some(listed, { most: 4 }));
  }
  if (problems.length) {
    throw new Error(
      `The weights do not fit the config; ${problems.join("; ")}. Take config.json and weights of one model.`,
    );
  }
}
