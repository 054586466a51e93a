/**
 * What a visit has fetched or been given: one worker, the models, the photos; each once, when it is first needed.
 */

import { getBytes, getJson } from "../data.js";
import { Client } from "../engine/client.js";
import * as photo from "./photo.js";
import { MODELS, sizes_of } from "./state.js";
import * as store from "./store.js";

/** @typedef {import("./photo.js").Photo} Photo */

/**
 * @typedef {object} Model
 * @property {string} name
 * @property {string} task
 * @property {string[]} classes
 * @property {import("./state.js").Sizes} sizes
 * @property {any} parts of its weights: config, image_processing, pos_embed, norm, head, head_dist, decoder, mask_token
 */

const PARTS = ["config", "image_processing", "pos_embed", "norm", "head", "head_dist", "decoder", "mask_token"];

export class Supply {
  constructor() {
    /** @type {Map<string, Promise<any>>} what is loaded, or on its way */
    this.loaded = new Map();
    /** @type {Client | null} */
    this.client = null;
  }

  /** Once for the visit; a failure is forgotten, so that it can be tried again. @template T @param {string} key
   * @param {() => Promise<T>} load @returns {Promise<T>} */
  once(key, load) {
    if (this.client?.failed) this.begin_anew();
    let loading = this.loaded.get(key);
    if (!loading) {
      loading = load();
      loading.catch(() => {
        if (this.loaded.get(key) === loading) this.loaded.delete(key);
      });
      this.loaded.set(key, loading);
    }
    return loading;
  }

  /** @returns {Promise<Client>} */
  engine() {
    return this.once("engine", async () => {
      const address = new URL("../engine/worker.js", import.meta.url);
      return (this.client = new Client(new Worker(address, { type: "module", name: "deit_ref" })));
    });
  }

  /** After the worker has failed: all but the photos was in it. */
  begin_anew() {
    this.client = null;
    for (const key of this.loaded.keys()) if (!key.startsWith("photo")) this.loaded.delete(key);
  }

  /** @param {string} [name] @returns {Promise<Model>} */
  model(name = MODELS.classifier) {
    return this.once(`model ${name}`, async () => {
      const file = (/** @type {string} */ of) => `models/${name}/${of}`;
      const [engine, config, preprocessor_config, weights] = await Promise.all([
        this.engine(),
        getJson(file("config.json")),
        getJson(file("preprocessor_config.json")),
        getBytes(file("model.safetensors")),
      ]);
      const loaded = await engine.load({ config, preprocessor_config, weights }, name);
      const parts = await engine.weights(PARTS, name);
      const classes = loaded.class_names ?? [];
      return { name, task: loaded.task, classes, sizes: sizes_of(loaded.config), parts };
    });
  }

  /** Entries of photos.json. @returns {Promise<any[]>} */
  async photos() {
    return (await this.once("photos", () => getJson("lab.json"))).photos;
  }

  /** @param {string} name of photos.json, or "own" @returns {Promise<Photo>} */
  photo_of(name) {
    return this.once(`photo ${name}`, () => (name === "own" ? this.own() : this.bundled(name)));
  }

  /** @param {string} name @returns {Promise<Photo>} */
  async bundled(name) {
    const entry = (await this.photos()).find((one) => one.name === name);
    if (!entry) throw new Error(`There is no photo ${name} here.`);
    const { parts } = await this.model();
    const read = async (/** @type {string} */ file) => new Blob([await getBytes(file)]);
    const [blob, exact] = await Promise.all([entry.file, entry.seen].map(read));
    const whole = (await photo.decoded(blob)).pixels;
    const prepared = await this.prepared(await photo.exact(exact));
    const credit = `${entry.credit} (${entry.license}), ${entry.source}`;
    const picture = await photo.cut(whole, photo.seen_part(parts.image_processing, whole.width, whole.height));
    const { title, alt, label } = entry;
    return { name, title, alt, label, own: false, credit, note: "", blob, picture, ...prepared };
  }

  /** @returns {Promise<Photo>} */
  async own() {
    const blob = await store.kept();
    if (!blob) throw new Error("There is no photo of yours in this browser: choose one.");
    return this.photo_from(blob);
  }

  /** @param {Blob} blob @returns {Promise<Photo>} */
  async photo_from(blob) {
    const { parts } = await this.model();
    const { pixels, note: smaller } = await photo.decoded(blob);
    const prepared = await this.prepared(pixels);
    const { width, height } = pixels;
    const part = photo.seen_part(parts.image_processing, width, height);
    const picture = await photo.cut(pixels, part);
    const note = [smaller, photo.cut_away(part, width, height)].filter(Boolean).join(" ");
    const [title, alt] = ["Your photo", "your own photo"];
    return { name: "own", title, alt, label: null, own: true, credit: "", note, blob, picture, ...prepared };
  }

  /** @param {ImageData} pixels */
  async prepared(pixels) {
    const { name } = await this.model();
    const result = await (await this.engine()).preprocess({ model: name, images: [pixels], trace: ["images.0.*"] });
    const steps = /** @type {any[]} */ (Object.values(/** @type {any} */ (result).trace));
    const seen = steps.filter(({ data }) => !(data instanceof Float32Array)).at(-1);
    return { seen, pixel_values: /** @type {any} */ (result).output.pixel_values };
  }

  /** Everything else that may be asked for later, so that no request is made then. */
  async fetch_all() {
    const photos = (await this.photos()).map(({ name }) => this.photo_of(name));
    await Promise.all([this.model(MODELS.guesser), ...photos]);
  }
}
