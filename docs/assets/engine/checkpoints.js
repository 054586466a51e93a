/**
 * A checkpoint folder, as transformers and `deit_ref.save_weights` write it, as weights.
 *
 * Twin of deit_ref/checkpoints: of its many layouts this reads one, transformers', as on disk since version 4.
 */

import { brief, some } from "./checks.js";
import { config_from_dict } from "./config.js";
import { image_processing_from_dict } from "./image_processing.js";
import { read_safetensors } from "./safetensors.js";
import { array_shapes, weights_from_arrays } from "./weights.js";

/** @typedef {import("./arrays.js").NDArray} NDArray */

// Ours, and the stored names of what makes it up, without "deit." or "vit." before them.
/** @type {Record<string, string>} */
const EMBEDDINGS = {
  cls_token: "embeddings.cls_token",
  dist_token: "embeddings.distillation_token",
  mask_token: "embeddings.mask_token",
  pos_embed: "embeddings.position_embeddings",
  "patch_embed.proj": "embeddings.patch_embeddings.projection",
  norm: "layernorm",
};
/** @type {Record<string, string[]>} */
const BLOCK = {
  norm1: ["layernorm_before"],
  "attn.qkv": ["attention.attention.query", "attention.attention.key", "attention.attention.value"],
  "attn.proj": ["attention.output.dense"],
  norm2: ["layernorm_after"],
  "mlp.fc1": ["intermediate.dense"],
  "mlp.fc2": ["output.dense"],
};
/** @type {Record<string, Record<string, string>>} */
const HEADS = {
  features: { pooler: "pooler.dense" },
  classification: { head: "classifier" },
  "classification-with-teacher": { head: "cls_classifier", head_dist: "distillation_classifier" },
  "masked-image-modeling": { decoder: "decoder.0" },
};
/** @type {Record<string, string>} */
const ARCHITECTURES = {
  Model: "features",
  ForImageClassification: "classification",
  ForImageClassificationWithTeacher: "classification-with-teacher",
  ForMaskedImageModeling: "masked-image-modeling",
};

/**
 * The weights in the three files of a checkpoint.
 * @param {object} files
 * @param {ArrayBuffer} files.weights model.safetensors, as it is
 * @param {any} files.config config.json, parsed
 * @param {any} [files.preprocessor_config] preprocessor_config.json, parsed; without it only pixel_values can be read
 * @returns {import("./weights.js").DeiTWeights}
 */
export function load_weights({ weights, config: values, preprocessor_config = null }) {
  const config = config_from_dict(values);
  const image_processing = preprocessor_config && image_processing_from_dict(preprocessor_config);
  const task = task_of(values);
  const stored = read_safetensors(weights);
  const prefix = task === "features" ? "" : config.distilled ? "deit." : "vit.";
  const bare = new Map(Object.entries(stored).map(([name, array]) => [without(name, prefix, task), array]));
  const optional = {
    pooler: bare.has("pooler.dense.weight"),
    mask_token: bare.has(EMBEDDINGS.mask_token),
  };
  /** @type {Record<string, NDArray>} */
  const arrays = {};
  for (const name of Object.keys(array_shapes(config, task, optional))) {
    const parts = stored_parts(name, task);
    const missing = parts.filter((part) => !bare.has(part));
    if (missing.length) {
      throw new Error(
        `The weights lack ${some(missing)} for the task ${task}, got ${some(bare.keys())}: give a file in ` +
          "transformers' layout (deit_ref.save_weights writes it).",
      );
    }
    arrays[name] = joined(
      name,
      parts.map((part) => /** @type {NDArray} */ (bare.get(part))),
    );
    parts.forEach((part) => bare.delete(part));
  }
  if (bare.size) {
    throw new Error(
      `The weights hold ${some(bare.keys())}, which no ${task} model has: take config.json and weights of one model.`,
    );
  }
  return weights_from_arrays(arrays, config, task, { image_processing, class_names: class_names_of(values) });
}

/**
 * The task, from the one architecture that config.json names.
 * @param {any} values
 */
function task_of(values) {
  const [, suffix] = /^(?:DeiT|ViT)(\w+)$/.exec(String(values.architectures ?? "")) ?? [];
  if (!suffix || !Object.hasOwn(ARCHITECTURES, suffix)) {
    const known = Object.keys(ARCHITECTURES).map((name) => `DeiT${name}`);
    throw new Error(
      `"architectures" in config.json must be one of ${known.join(", ")}; got ${brief(values.architectures ?? null)}.`,
    );
  }
  return ARCHITECTURES[suffix];
}

/** @param {string} name @param {string} prefix @param {string} task */
function without(name, prefix, task) {
  const head = Object.values(HEADS[task]).some((stored) => name.startsWith(`${stored}.`));
  return !head && name.startsWith(prefix) ? name.slice(prefix.length) : name;
}

/**
 * The stored names of what makes up our array `name`: query, key and value for qkv, else one.
 * @param {string} name
 * @param {string} task
 * @returns {string[]}
 */
function stored_parts(name, task) {
  if (name in EMBEDDINGS) return [EMBEDDINGS[name]];
  const [, module, kind] = /** @type {RegExpExecArray} */ (/^(.*)\.(weight|bias)$/.exec(name));
  const block = /^blocks\.(\d+)\.(.*)$/.exec(module);
  if (block) return BLOCK[block[2]].map((part) => `encoder.layer.${block[1]}.${part}.${kind}`);
  return [`${EMBEDDINGS[module] ?? HEADS[task][module]}.${kind}`];
}

/**
 * Our array `name` from what is stored: query, key and value become the rows of qkv, in this order.
 * @param {string} name
 * @param {NDArray[]} parts
 * @returns {NDArray}
 */
function joined(name, parts) {
  const [first] = parts;
  // A 1x1 convolution in transformers; to us the linear map that it is.
  if (name === "decoder.weight") return { data: first.data, shape: first.shape.slice(0, 2) };
  if (parts.length === 1) return first;
  const data = new Float32Array(parts.reduce((length, part) => length + part.data.length, 0));
  let to = 0;
  for (const part of parts) {
    data.set(part.data, to);
    to += part.data.length;
  }
  return { data, shape: [parts.reduce((rows, part) => rows + part.shape[0], 0), ...first.shape.slice(1)] };
}

/**
 * The names in config.json, unless they are transformers' placeholders.
 * @param {any} values
 * @returns {string[] | null}
 */
function class_names_of(values) {
  if (!values.id2label) return null;
  const numbers = Object.keys(values.id2label);
  if (numbers.some((number, i) => number !== String(i))) {
    throw new Error(`"id2label" in config.json must have the keys "0", "1", ... in order; got ${some(numbers)}.`);
  }
  /** @type {string[]} */
  const names = Object.values(values.id2label);
  return names.every((name, i) => name === `LABEL_${i}`) ? null : names;
}
