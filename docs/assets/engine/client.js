/**
 * The page's side of a worker: every message as a function that returns a promise.
 */

/**
 * @typedef {object} Result
 * @property {any} output of the task, see `model`
 * @property {Record<string, import("./arrays.js").AnyArray>} trace the steps that were asked for
 * @property {number} milliseconds that it took in the worker
 */

export class Client {
  /** @param {any} port a Worker, or one end of a MessageChannel */
  constructor(port) {
    this.port = port;
    this.sent = 0;
    /** @type {Map<number, {resolve: (value: any) => void, reject: (reason: Error) => void}>} */
    this.open = new Map();
    /** @type {Error | null} after which nothing is answered */
    this.failed = null;
    port.onmessage = (/** @type {MessageEvent} */ { data }) => this.receive(data);
    port.onerror = (/** @type {any} */ event) => {
      const reason = new Error(`The worker failed: ${event.message ?? "its files could not be read"}.`);
      this.failed = reason;
      port.terminate?.();
      for (const { reject } of this.open.values()) reject(reason);
      this.open.clear();
    };
  }

  /**
   * @param {object} files see `checkpoints.load_weights`
   * @param {string} [model] a name, where there are several
   * @returns {Promise<{task: string, config: import("./config.js").DeiTConfig, class_names: string[] | null}>}
   */
  load(files, model = "model") {
    return this.send({ type: "load", model, files });
  }

  /**
   * One pass; null if a newer request in the same lane came before it began.
   * @param {{model?: string, images?: any[], options?: object, replace?: object, trace?: string[], lane?: string}} request
   * @returns {Promise<Result | null>}
   */
  run(request) {
    return this.send({ ...request, type: "run" });
  }

  /**
   * Photos as pixel_values, which many passes can share.
   * @param {{model?: string, images: any[], trace?: string[], lane?: string}} request
   * @returns {Promise<Result | null>}
   */
  preprocess(request) {
    return this.send({ ...request, type: "preprocess" });
  }

  /**
   * Copies of parts of a model's weights, see `DeiTWeights`.
   * @param {string[]} names such as ["pos_embed", "head"]
   * @param {string} [model]
   * @returns {Promise<any>}
   */
  async weights(names, model = "model") {
    return (await this.send({ type: "weights", model, names })).parts;
  }

  /** Forget what waits in a lane; its promises give null. @param {string} lane */
  cancel(lane) {
    this.port.postMessage({ type: "cancel", lane });
  }

  /** @param {any} message @returns {Promise<any>} */
  send(message) {
    if (this.failed) return Promise.reject(this.failed);
    const id = ++this.sent;
    return new Promise((resolve, reject) => {
      this.open.set(id, { resolve, reject });
      this.port.postMessage({ ...message, id });
    });
  }

  /** @param {any} message */
  receive({ id, type, message, ...answer }) {
    const waiting = this.open.get(id);
    this.open.delete(id);
    if (type === "error") waiting?.reject(new Error(message));
    else waiting?.resolve(type === "superseded" ? null : answer);
  }
}
