/**
 * How a page that looks inside begins: the model, the session's one photo, and the photos to choose from.
 */

import { el } from "../dom.js";
import { about, picker } from "../lab/picker.js";
import { session } from "../lab/session.js";

const GONE = "The link was made with a photo that stayed with its maker; here is another.";

/**
 * @param {HTMLElement} root
 * @param {AbortSignal} signal of the page
 * @param {string | undefined} asked the photo that the address names
 * @returns {Promise<null | {sizes: import("../lab/state.js").Sizes, classes: string[], parts: any, photos: HTMLElement,
 *   credit: () => string}>} null where the page is gone
 */
export async function open(root, signal, asked) {
  root.append(el("p.views-loading", { role: "status" }, "The model is on its way to your browser …"));
  const [{ sizes, classes, parts }, entries] = await Promise.all([session.model(), session.photos()]);
  if (signal.aborted) return null;
  const known = [...entries.map(({ name }) => name), "own"];
  if (asked !== session.state.photo && known.includes(asked)) {
    session.open({ ...session.state, photo: asked }, session.before);
  }
  await session.begin();
  if (signal.aborted) return null;
  const gone = asked === "own" && session.photo?.name !== "own" ? `${GONE} ` : "";
  const { element: photos } = await picker({ signal, target: root, classes });
  const credit = () => `${gone}${about(/** @type {any} */ (session.photo), classes)}`;
  return signal.aborted ? null : { sizes, classes, parts, photos, credit };
}
