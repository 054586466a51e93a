/**
 * The lab's pure modules beside the engine, without a page, for tests/test_lab.py. Reads one JSON text from stdin:
 * {folders: {model: path}, photos: {name: {data, shape}}, asks: [...], walks: true}, and writes what was asked for.
 */

import { readFileSync } from "node:fs";

const module = (path) => import(new URL(`../docs/assets/${path}.js`, import.meta.url));
const [api, checkpoints] = await Promise.all(["engine/api", "engine/checkpoints"].map(module));
const [address, lens, look, python, questions, request, state, walks] = await Promise.all(
  ["address", "lens", "panels/look", "python", "questions", "request", "state", "walks"].map((name) => module(`lab/${name}`)),
);
const given = JSON.parse(readFileSync(0));
const models = Object.fromEntries(
  Object.entries(given.folders).map(([name, folder]) => {
    const json = (file) => JSON.parse(readFileSync(`${folder}/${file}.json`));
    const weights = Uint8Array.from(readFileSync(`${folder}/model.safetensors`)).buffer;
    const files = { weights, config: json("config"), preprocessor_config: json("preprocessor_config") };
    return [name, checkpoints.load_weights(files)];
  }),
);
const classifier = models[state.MODELS.classifier];
const sizes = state.sizes_of(classifier.config);

function passed(of) {
  const weights = models[state.model_of(of)];
  const { data, shape } = given.photos[of.photo];
  const pixel_values = { data: Float32Array.from(data), shape };
  const { options, replace } = request.request_of(of, { pixel_values, pos_embed: weights.pos_embed, sizes });
  const all = { ...options, output_attentions: true, output_hidden_states: true };
  return api.forward({ ...weights, ...replace }, null, all);
}

const lab = questions.questions({ sizes, classes: classifier.class_names, ask: async (of) => passed(of) });
const names = Object.keys(given.photos);
const photos = { packaged: () => true, file: (name) => `${name}.jpg` };
const numbers = {
  answer: (of, output) => [...output.logits.data],
  guess: (of, output) => [output.loss ?? 0],
  attention: (of, output) => look.shares_over(of, output.attentions, sizes.layers).slice(sizes.prefix),
  effects: (of) => lab.effects(of),
  lens: (of, output) => lens.lens(classifier, output.hidden_states).map(({ mean }) => Math.max(...mean)),
};
numbers.rollout = numbers.attention;

const answers = [];
for (const { state: changes, asked } of given.asks) {
  const of = { ...state.START, ...changes };
  const values = address.to_address(of);
  answers.push({
    state: of,
    address: values,
    back: address.from_address(values, sizes, names),
    python: asked && python.python(of, sizes, photos, asked),
    numbers: asked && (await numbers[asked](of, passed(of))),
  });
}
const found = {};
if (given.walks) {
  for (const walk of walks.WALKS) {
    const steps = [];
    for (const step of walk.steps) steps.push(await step(lab));
    found[walk.name] = { title: walk.title, holds: await walk.holds(lab), steps };
  }
}
const nonsense = address.from_address(given.nonsense ?? {}, sizes, names);
process.stdout.write(JSON.stringify({ answers, walks: found, nonsense, start: state.START }));
