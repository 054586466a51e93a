// The map: the shapes of another model. Without this script it shows those of DeiT-Base.
import { getJson } from "./data.js";
import { addressKeeper, el, fromAddress } from "./dom.js";

const SHOWN = "deit-base-distilled-patch16-224"; // whose shapes stand in the figure

export async function start(root, signal) {
  const variants = await getJson("variants.json", signal);
  const box = el(
    "select",
    { onchange: () => show(box.value) },
    ...variants.map(({ name }) => el("option", { value: name }, name)),
  );
  const said = el("p.inside-note", { role: "status" });
  root.prepend(el("div.inside-row", {}, el("label", {}, el("span", {}, "Shapes of"), box)), said);
  const [asked, keepInAddress] = [fromAddress().model, addressKeeper()];
  box.value = variants.some(({ name }) => name === asked) ? asked : SHOWN;
  fill(box.value);

  function show(name) {
    keepInAddress({ model: name });
    fill(name);
  }

  function fill(name) {
    const sizes = variants.find((variant) => variant.name === name);
    for (const text of root.querySelectorAll("[data-shape]")) {
      text.textContent = text.dataset.shape.replace(/\{(\w+)\}/g, (_, word) => sizes[word]);
    }
    for (const part of root.querySelectorAll("[data-only='distilled']"))
      part.classList.toggle("absent", !sizes.distilled);
    for (const text of root.querySelectorAll("[data-single]")) {
      text.dataset.both ??= text.textContent;
      text.textContent = sizes.distilled ? text.dataset.both : text.dataset.single;
    }
    said.textContent =
      `${sizes.layers} blocks, ${sizes.heads} heads of ${sizes.head_dim}, ${sizes.patches} patches and ` +
      `${sizes.tokens - sizes.patches} further token${sizes.distilled ? "s" : ": no distillation token, one head"}.`;
  }
}
