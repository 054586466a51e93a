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

import { request_of } from "./request.js";
import { START, doing, model_of } from "./state.js";
import * as store from "./store.js";
import { Supply } from "./supply.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./photo.js").Photo} Photo */

const DEEP = 200; // changes that undo() can take back

class Session extends Supply {
  constructor() {
    super();
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
    this.brought = 0; // own photos so far
    this.bringing = 0; // own photos so far, those that are not decoded yet, too
    this.taken = 0; // which of them was decoded last; older ones come too late
    this.problem = ""; // why another photo than the one that was chosen is shown
    /** @type {Set<() => void>} */
    this.listeners = new Set();
  }

  // What the reader does

  /** The first model and the photo of the state; where that cannot be had, the photo of `START`. */
  async begin() {
    await this.model();
    const { photo: name } = this.state;
    let photo = null;
    try {
      photo = await this.photo_of(name);
    } catch (error) {
      if (name === START.photo) throw error;
    }
    if (this.state.photo !== name) return this.begin(); // another one was chosen since
    if (!photo) {
      this.state = { ...this.state, photo: START.photo };
      return this.begin();
    }
    this.photo = photo;
    this.tell();
  }

  /** Another state, from an address: a beginning, and no change that could be undone. @param {State} state
   * @param {State | null} before */
  open(state, before) {
    [this.state, this.before, this.past, this.future] = [state, before, [], []];
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
    this.problem = "";
    this.state = state;
    if (!other) return this.tell();
    store.remember_choice(state.photo);
    this.photo_of(state.photo).then(
      (photo) => {
        if (this.state.photo !== state.photo) return; // another one was chosen since
        this.photo = photo;
        this.tell();
      },
      (error) => this.stay(state, error), // it is gone, or could not be fetched
    );
    this.tell(); // that it was chosen, while it is on its way
  }

  /** With the photo that is there, as the one that was chosen cannot be had. @param {State} state @param {Error} error */
  stay(state, error) {
    if (this.state.photo !== state.photo || !this.photo) return;
    this.problem = `The photo stays, as the other one could not be had: ${error.message}`;
    this.state = { ...this.state, photo: this.photo.name };
    this.tell();
  }

  /**
   * The reader's own photo, from a file or a camera; an Error in a line if it is none.
   * @param {Blob} blob
   * @returns {Promise<boolean>} whether it is the photo now
   */
  async bring(blob) {
    const mine = ++this.bringing;
    const { photo: shown } = this.state;
    const own = await this.photo_from(blob);
    if (mine < this.taken) return false; // a later one was faster, or all are forgotten
    this.taken = mine;
    this.loaded.set("photo own", Promise.resolve(own));
    this.brought += 1;
    await store.keep(blob);
    if (mine !== this.taken) return false;
    if (this.state.photo === "own") this.photo = own;
    else if (this.state.photo !== shown) return false; // another one was chosen since
    this.set({ photo: "own" });
    return true;
  }

  /** Take the reader's own photo out of this browser. */
  async forget() {
    this.taken = ++this.bringing;
    if (this.state.photo === "own") this.set({ photo: START.photo });
    if (this.before?.photo === "own") this.compare_with(null);
    await store.forget();
    this.loaded.delete("photo own"); // last: who asks for it before finds it here
  }

  /** Called with every change of state or photo. @param {() => void} listener @param {AbortSignal} signal */
  subscribe(listener, signal) {
    if (signal.aborted) return;
    this.listeners.add(listener);
    signal.addEventListener("abort", () => this.listeners.delete(listener));
  }

  tell() {
    for (const listener of this.listeners) listener();
  }

  // What the model says

  /** Equal for states that give the same numbers. Each own photo has the same name, but numbers of its own.
   * @param {State} state */
  key_of(state) {
    return JSON.stringify([doing(state), state.photo === "own" && this.brought]);
  }

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
