/**
 * One session for all pages of a visit: one worker, each model loaded once and when it is first needed, one photo, one
 * state. Modules outlive Material's change of pages, so all of this does, too. After the files are there, no request
 * is made, and nothing is sent anywhere.
 *
 *     import { session } from "./lab/session.js";
 *     session.subscribe(draw, signal);           // draw() on every change of state or photo, until the signal aborts
 *     await session.begin();                      // the classifier and the photo of the state are there now
 *     session.set({ hidden: [27, 28] });          // a change that undo() takes back
 *     const result = await session.answer({ lane: "page" });   // of the state as it is; null if a newer one was asked
 */

import { getBytes, getJson } from "../data.js";
import { Client } from "../engine/client.js";
import * as photo from "./photo.js";
import { MODELS, START, model_of, request_of, sizes_of } from "./state.js";
import * as store from "./store.js";

/** @typedef {import("./state.js").State} State */
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
const DEEP = 200; // changes that undo() can take back

class Session {
  constructor() {
    /** @type {State} */
    this.state = { ...START, photo: store.last_choice() ?? START.photo };
    /** @type {Photo | null} that of the state, once it is there */
    this.photo = null;
    /** @type {State | null} what the answer is compared with; null: the same photo, untouched */
    this.before = null;
    /** @type {State[]} */
    this.past = [];
    /** @type {State[]} */
    this.future = [];
    /** @type {Map<string, Promise<any>>} what is loaded, or on its way */
    this.loaded = new Map();
    /** @type {Set<() => void>} */
    this.listeners = new Set();
  }

  // What there is

  /** Once for the visit; a failure is forgotten, so that it can be tried again. @template T @param {string} key
   * @param {() => Promise<T>} load @returns {Promise<T>} */
  once(key, load) {
    let loading = this.loaded.get(key);
    if (!loading) {
      loading = load();
      loading.catch(() => this.loaded.delete(key));
      this.loaded.set(key, loading);
    }
    return loading;
  }

  /** @returns {Promise<Client>} */
  engine() {
    return this.once("engine", async () => {
      const address = new URL("../engine/worker.js", import.meta.url);
      return new Client(new Worker(address, { type: "module", name: "deit_ref" }));
    });
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
    const blob = await read(entry.file);
    const whole = (await photo.decoded(blob)).pixels;
    const seen = await photo.exact(await read(entry.seen));
    const prepared = await this.prepared(seen);
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
    const { pixels, note } = await photo.decoded(blob);
    const prepared = await this.prepared(pixels);
    const picture = await photo.cut(pixels, photo.seen_part(parts.image_processing, pixels.width, pixels.height));
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

  // What the reader does

  /** The first model and the photo of the state; where that cannot be had, the photo of `START`. */
  async begin() {
    await this.model();
    try {
      this.photo = await this.photo_of(this.state.photo);
    } catch (error) {
      if (this.state.photo === START.photo) throw error;
      this.state = { ...this.state, photo: START.photo };
      this.photo = await this.photo_of(START.photo);
    }
    this.tell();
  }

  /** Another state, from an address: a beginning, and no change that could be undone. @param {State} state
   * @param {State | null} before */
  open(state, before) {
    [this.state, this.before, this.past, this.future] = [state, before, [], []];
  }

  /** Everything else that may be asked for later, so that no request is made then. */
  async fetch_all() {
    await this.model(MODELS.guesser);
    for (const { name } of await this.photos()) await this.photo_of(name);
  }

  /**
   * A change. Undo takes it back, unless it only continues the last one, as the next patch under a brush does.
   * @param {Partial<State>} changes @param {{continues?: boolean}} [options]
   */
  set(changes, { continues = false } = {}) {
    if (!continues) this.past = [...this.past, this.state].slice(-DEEP);
    this.future = [];
    this.become({ ...this.state, ...changes });
  }

  undo() {
    const before = this.past.pop();
    if (!before) return;
    this.future.push(this.state);
    this.become(before);
  }

  redo() {
    const after = this.future.pop();
    if (!after) return;
    this.past.push(this.state);
    this.become(after);
  }

  /** The state to compare with from now on. @param {State | null} state */
  compare_with(state) {
    this.before = state;
    this.tell();
  }

  /** @param {State} state */
  become(state) {
    const other = state.photo !== this.state.photo;
    this.state = state;
    if (!other) return this.tell();
    store.remember_choice(state.photo);
    this.photo_of(state.photo).then(
      (photo) => {
        if (this.state.photo !== state.photo) return; // another one was chosen since
        this.photo = photo;
        this.tell();
      },
      () => this.begin(), // it is gone
    );
  }

  /** The reader's own photo, from a file or a camera; an Error in a line if it is none. @param {Blob} blob */
  async bring(blob) {
    const own = await this.photo_from(blob);
    this.loaded.set("photo own", Promise.resolve(own));
    await store.keep(blob);
    if (this.state.photo === "own") this.photo = own;
    this.set({ photo: "own" });
  }

  /** Take the reader's own photo out of this browser. */
  async forget() {
    this.loaded.delete("photo own");
    await store.forget();
    if (this.state.photo === "own") this.set({ photo: START.photo });
  }

  /** Called with every change of state or photo. @param {() => void} listener @param {AbortSignal} signal */
  subscribe(listener, signal) {
    this.listeners.add(listener);
    signal.addEventListener("abort", () => this.listeners.delete(listener));
  }

  tell() {
    for (const listener of this.listeners) listener();
  }

  // What the model says

  /**
   * One pass of a state over its photo; null if a newer one of the lane came first.
   * @param {{state?: State, lane?: string, trace?: string[], options?: object}} [request] options for the engine, too
   * @returns {Promise<import("../engine/client.js").Result | null>}
   */
  async answer({ state = this.state, lane, trace, options = {} } = {}) {
    const [engine, { sizes, parts }, { pixel_values }] = await Promise.all([
      this.engine(),
      this.model(model_of(state)),
      this.photo_of(state.photo),
    ]);
    const request = request_of(state, { pixel_values, pos_embed: parts.pos_embed, sizes });
    return engine.run({ ...request, options: { ...request.options, ...options }, lane, trace });
  }
}

export const session = new Session();
