/**
 * Choosing a photo: those of the site, or the reader's own by file, drop, paste or camera.
 */

import { dataUrl } from "../data.js";
import { el } from "../dom.js";
import { button, buttons } from "./controls.js";
import { frame } from "./photo.js";
import { session } from "./session.js";
import { kept } from "./store.js";

/** What a browser says of a camera that it does not have or may not use, in words. @type {Record<string, string>} */
const NO_CAMERA = {
  NotAllowedError: "The camera may not be used here: the browser’s settings for this page can allow it.",
  NotFoundError: "No camera was found.",
  OverconstrainedError: "No camera was found.",
  NotReadableError: "The camera cannot be read: another program may be using it.",
};

/**
 * @param {object} options
 * @param {AbortSignal} options.signal of the page
 * @param {HTMLElement} options.target what gets a frame while a file is dragged over the page
 * @param {string[]} options.classes of the model
 */
export async function picker({ signal, target, classes }) {
  const entries = await session.photos();
  const said = el("p.lab-said", { role: "status" });
  const row = el("div.lab-photos", { role: "radiogroup", "aria-label": "Photo" });
  const size = { width: 64, height: 64 };
  const boxes = new Map(
    entries.map(({ name, title, small }) => [name, thumb(name, title, el("img", { src: dataUrl(small), alt: "", ...size }))]),
  );
  const own_picture = el("canvas", { ...size, "aria-hidden": "true" });
  const own = thumb("own", "yours", own_picture);
  own.label.hidden = true;
  row.append(...[...boxes.values(), own].map(({ label }) => label));
  const file = el("input", { type: "file", accept: "image/*", hidden: true, onchange: () => bring(file.files[0]) });
  const choose = button("Your photo …", () => file.click());
  const forget = button("Forget my photo", () => session.forget().then(fill_own).then(() => choose.focus()));
  const camera = button("Camera", open_camera);
  camera.hidden = !navigator.mediaDevices?.getUserMedia;
  const stage = el("div.lab-camera", { hidden: true });
  const element = el(
    "div.lab-picker",
    {},
    row,
    el(
      "div",
      {},
      buttons(choose, file, camera, forget),
      el("p.inside-note", {}, "Or drop a photo on this page, or paste one. It stays in this browser."),
    ),
    stage,
    said,
  );

  function thumb(name, title, picture) {
    const input = el("input", { type: "radio", name: "lab-photo", value: name, onchange: () => session.set({ photo: name }) });
    const label = el("label.lab-thumb", { title }, input, picture, el("span", {}, title));
    return { label, input };
  }

  async function fill_own() {
    own.label.hidden = forget.hidden = !(session.loaded.has("photo own") || (await kept()));
    if (own.label.hidden) return;
    const { picture } = await session.photo_of("own");
    own_picture.getContext("2d").drawImage(picture, 0, 0, own_picture.width, own_picture.height);
  }

  /** @param {Blob | null | undefined} blob @returns {Promise<boolean>} whether it is the photo now */
  async function bring(blob) {
    if (!blob) return false;
    said.textContent = "";
    target.setAttribute("aria-busy", "true");
    try {
      const taken = await session.bring(blob);
      await fill_own();
      return taken;
    } catch (error) {
      said.textContent = error.message;
      return false;
    } finally {
      target.removeAttribute("aria-busy");
      file.value = ""; // the same file may be chosen again
    }
  }

  let asking = false; // for the camera
  async function open_camera() {
    if (asking || !stage.hidden) return;
    asking = true;
    said.textContent = "";
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch (error) {
      said.textContent = NO_CAMERA[error.name] ?? `No picture from the camera: ${error.message}`;
      return;
    } finally {
      asking = false;
    }
    const off = () => stream.getTracks().forEach((track) => track.stop());
    if (signal.aborted) return off(); // the page was left before the browser had asked
    const video = el("video", { autoplay: true, muted: true, playsinline: true, "aria-label": "what the camera sees" });
    video.srcObject = stream;
    const close = () => {
      off();
      said.textContent = "";
      stage.replaceChildren();
      stage.hidden = true;
      camera.focus();
    };
    signal.addEventListener("abort", off);
    const take = async () => {
      if (!video.videoWidth) return (said.textContent = "The camera shows nothing yet.");
      const picture = await frame(video);
      if (!stage.contains(video)) return; // it was canceled
      close();
      await bring(picture);
    };
    stage.onkeydown = ({ key }) => key === "Escape" && close();
    stage.replaceChildren(video, buttons(button("Take the photo", take), button("Cancel", close)));
    stage.hidden = false;
    said.textContent = "The camera is on.";
  }

  // On the whole page: beside a target the browser would open the file, and the page be gone.
  const on_page = (/** @type {string} */ kind, /** @type {(event: DragEvent) => void} */ then) =>
    document.addEventListener(kind, /** @type {EventListener} */ (then), { signal });
  on_page("dragover", (event) => {
    if (![...event.dataTransfer.items].some(({ kind }) => kind === "file")) return;
    event.preventDefault();
    target.classList.add("lab-dropping");
  });
  on_page("dragleave", ({ relatedTarget }) => {
    if (!relatedTarget) target.classList.remove("lab-dropping"); // it left the window
  });
  on_page("drop", async (event) => {
    target.classList.remove("lab-dropping");
    const files = [...event.dataTransfer.files];
    if (!files.length) return;
    event.preventDefault();
    const chosen = files.find(({ type }) => type.startsWith("image/")) ?? files[0];
    const well = await bring(chosen);
    if (well && files.length > 1) said.textContent = `One photo at a time: of the ${files.length} files, this is ${chosen.name}.`;
    if (said.textContent) said.scrollIntoView({ block: "nearest" }); // it may have been dropped far below
  });
  document.addEventListener(
    "paste",
    (event) => {
      const item = [...event.clipboardData.items].find(({ kind, type }) => kind === "file" && type.startsWith("image/"));
      if (item) bring(item.getAsFile());
    },
    { signal },
  );

  function draw() {
    for (const { input } of [...boxes.values(), own]) input.checked = input.value === session.state.photo;
    for (const { name, label } of entries) {
      boxes.get(name).label.classList.toggle("lab-outside", label === null || !classes.includes(label));
    }
  }

  session.subscribe(draw, signal);
  draw();
  const filled = fill_own();
  filled.catch((error) => (said.textContent = error.message));
  return { element, filled };
}

/** A line on the photo that is chosen. @param {import("./photo.js").Photo} photo @param {string[]} classes */
export function about({ own, label, credit, note }, classes) {
  if (own) return `Your photo; it stays in this browser. ${note}`.trim();
  const inside = label !== null && classes.includes(label);
  return `${inside ? "" : "Outside the model’s classes: whatever it answers is wrong. "}Photo: ${credit}.`;
}
