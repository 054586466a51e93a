/**
 * The stepper's arithmetic without a page, for tests/test_inside.py. Reads {folder, photo, cells, maps, odd} from stdin, and
 * writes how each of these numbers is made: its total, and where its factors are said to come from; what the walk says, and
 * what it says where all is the other way round; the small pictures of some steps, which `maps` names; and every 41st
 * resized byte of photos of odd sizes.
 */

import { readFileSync } from "node:fs";

const load = (path) => import(new URL(`../docs/assets/${path}.js`, import.meta.url));
const [api, checkpoints, { Trace }, cells, { worked, EXPLAINED }, { sizes_of }, { naming }, { TOUR }, small] = await Promise.all(
  [
    "engine/api",
    "engine/checkpoints",
    "engine/trace",
    "views/cells",
    "views/worked",
    "lab/state",
    "views/tokens",
    "views/tour",
    "views/small",
  ].map(load),
);
const given = JSON.parse(readFileSync(0));
const json = (file) => JSON.parse(readFileSync(`${given.folder}/${file}.json`));
const weights = checkpoints.load_weights({
  weights: Uint8Array.from(readFileSync(`${given.folder}/model.safetensors`)).buffer,
  config: json("config"),
  preprocessor_config: json("preprocessor_config"),
});
const image = ({ bytes, shape }) => ({ data: Uint8Array.from(Buffer.from(bytes, "base64")), shape });
const trace = new Trace();
api.forward(weights, [image(given.photo)], { trace });
const values = Object.fromEntries(trace.steps);
const names = naming(sizes_of(weights.config));
const pass = { values, weights, title: (step) => step, token: names.name, classes: weights.class_names };

/** Every number that is said to be an entry of an array is that entry. */
function check({ terms, operations }) {
  const factors = terms.concat(operations.flatMap(({ parts }) => parts ?? [])).flatMap((term) => term.factors);
  for (const { value, from, near } of [...factors, ...operations]) {
    const { step, at } = from ?? near ?? {};
    if (step && !cells.inside(values[step].shape, at)) throw new Error(`${step} has no ${at}`);
    if (from && values[step].data[cells.flat(values[step].shape, at)] !== value) throw new Error(`${step} ${at} is not ${value}`);
  }
  return { linked: factors.filter(({ from, near }) => from ?? near).length };
}

const found = given.cells.map(({ step, at }) => {
  const made = worked(pass, { step, at });
  const after = made.after ? { total: made.after.worked.total, ...check(made.after.worked) } : null;
  return { total: made.total, terms: made.terms.length, note: made.note ?? "", after, ...check(made) };
});
const sizes = sizes_of(weights.config);
const walked = (values) =>
  Promise.all(TOUR.steps.map((stop) => stop({ values, sizes, names, classes: weights.class_names })));
const last = `blocks.${sizes.layers - 1}.output`;
const changed = (name, change) => ({ shape: values[name].shape, data: values[name].data.map(change) });
const stops = await walked(values);
const said = (i, text) => stops[i].text.includes(text);
const otherwise = {
  ...values,
  "images.0.image": values["images.0.resized"],
  tokens: values.pos_embed,
  pos_embed: values.tokens,
  embeddings: values[last],
  [last]: values.embeddings,
  "blocks.0.attention.proj": changed("blocks.0.attention.proj", (x) => (said(5, "most of") ? 1e4 * x : 1e-4 * x)),
  "blocks.0.mlp.activation": changed("blocks.0.mlp.activation", (x) => (said(6, "few") ? Math.sign(x) : x ** 9)),
  cls_logits: said(8, "Both") ? changed("cls_logits", (x) => -x) : values.distillation_logits,
};
const maps = Object.entries(given.maps).map(([name, picture]) =>
  small.sizes_of_patches(values[name], picture, sizes).map((map) => [...map]),
);
const walk = { stops, otherwise: await walked(otherwise) };
const odd = given.odd.map((photo) => {
  const seen = new Trace();
  api.photos(weights, [image(photo)], null, seen);
  const { data, shape } = seen.get("images.0.resized");
  const passed = { ...pass, values: Object.fromEntries(seen.steps) };
  const some = Array.from({ length: Math.ceil(data.length / 41) }, (_, i) => cells.index_of(shape, 41 * i));
  return some.map((at) => worked(passed, { step: "images.0.resized", at }).total);
});
process.stdout.write(JSON.stringify({ found, explained: EXPLAINED, walk, maps, odd }));
