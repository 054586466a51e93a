"""The small instances of the model in the chapters: what they compute, in Node, against the NumPy book."""

import dataclasses
import doctest
import json
import math
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine import node

import deit_ref
from deit_ref.numpy_backend import attention, losses, patches
from deit_ref.numpy_backend.backward.losses import hard_distillation_vjp, soft_distillation_vjp
from deit_ref.numpy_backend.layers import softmax
from deit_ref.photos import bundled_photo
from deit_ref.trace import Trace
from deit_ref.weights import array_shapes

DOCS = Path(__file__).parent.parent / "docs"
FOLDER = DOCS / "assets/lab/chapters"
DRIVER = """
import { readFileSync } from "node:fs";
const revived = (value) => {
  if (Array.isArray(value)) return value.map(revived);
  if (value === null || typeof value !== "object") return value;
  if (value.data && value.shape) return { data: Float32Array.from(value.data), shape: value.shape };
  return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, revived(entry)]));
};
const results = [];
for (const [module, name, ...given] of JSON.parse(readFileSync(0, "utf8"))) {
  const found = (await import(new URL(`${module}.js`, process.argv[1])))[name];
  results.push(typeof found === "function" ? found(...revived(given)) : found);
}
console.log(JSON.stringify(results));
"""


def ask(*calls: tuple[Any, ...]) -> list[Any]:
    """What functions of the modules return, in one process: (module, function, ...arguments)."""

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return {"data": value.ravel().tolist(), "shape": value.shape}
        return value.tolist() if isinstance(value, np.generic) else str(value)

    done = subprocess.run(
        [node(), "--input-type=module", "--eval", DRIVER, f"{FOLDER.as_uri()}/"],
        input=json.dumps(calls, default=plain),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def examples(chapter: str, word: str) -> list[doctest.Example]:
    """Those of the one code block of a chapter that holds the word."""
    text = (DOCS / "chapters" / f"{chapter}.md").read_text(encoding="utf-8")
    (block,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if word in block)
    return doctest.DocTestParser().get_examples(block)


def assert_near(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(found), expected, rtol=2e-6, atol=1e-6)


@pytest.fixture(scope="module")
def run() -> tuple[Any, Trace]:
    weights, trace = deit_ref.load_weights(), Trace()
    deit_ref.forward(weights, bundled_photo(), trace=trace, backend="numpy")
    return weights, trace


def test_the_example_by_hand_begins_with_the_numbers_of_the_chapter():
    block = examples("attention", "w_q, w_k = 3")
    names: dict[str, Any] = {}
    for example in block:
        if not example.want:
            exec(example.source, names)
    (example,) = ask(("hand", "EXAMPLE"))
    expected = {key: names[key].tolist() for key in ("w_q", "w_k", "w_v")}
    expected["tokens"] = [names[name] for name in ask(("hand", "NAMES"))[0]]
    assert example == {**expected, "divisor": 2**0.5}
    second = {**example, "tokens": [*example["tokens"][:2], names["ear"]]}
    shown = ask(("hand", "worked_out", example), ("hand", "worked_out", second))
    lines = [f"{np.round(f['shares'][0], 3).tolist()} {np.round(f['answers'][0], 3).tolist()}\n" for f in shown]
    assert "".join(lines) == block[-1].want
    text = (DOCS / "chapters/attention.md").read_text(encoding="utf-8").split("{ #by-hand }")[1]
    for value in (shown[0]["scores"][0][1], shown[0]["powers"][0][1], shown[0]["powers"][0][2]):
        assert f"{value:.2f}" in text
    assert f"their sum, {sum(shown[0]['powers'][0]):.2f}:" in text


def test_the_example_by_hand_with_other_numbers():
    generator = np.random.default_rng(3)
    tokens, w_q, w_k, w_v = (generator.normal(size=shape) for shape in ((3, 2), (2, 2), (2, 2), (2, 2)))
    given = {"tokens": tokens.tolist(), "w_q": w_q.tolist(), "w_k": w_k.tolist(), "w_v": w_v.tolist(), "divisor": 0.3}
    (found,) = ask(("hand", "worked_out", given))
    scores = (tokens @ w_q.T) @ (tokens @ w_k.T).T / 0.3
    for name, expected in {
        "queries": tokens @ w_q.T,
        "products": 0.3 * scores,
        "scores": scores,
        "powers": np.exp(scores),
        "shares": softmax(scores),
        "answers": softmax(scores) @ (tokens @ w_v.T),
    }.items():
        np.testing.assert_allclose(found[name], expected, rtol=3e-5, atol=1e-6, err_msg=name)


def test_losses_begin_with_the_numbers_of_the_chapter():
    block = examples("losses", "for tau in (1.0, 10.0, 40.0)")
    (example,) = ask(("losses", "EXAMPLE"))
    names: dict[str, Any] = {}
    for line in block:
        if line.source.startswith(("import", "from", "student")):
            exec(line.source, names)
    assert names["teacher"].tolist() == [example["teacher"]]
    assert names["student"].tolist() == [example["cls"]] == [example["distillation"]]
    found = ask(*(("losses", "worked_out", {**example, "alpha": 1, "tau": tau}) for tau in (1, 10, 40)))
    assert [f"{one['loss']:.4f}" for one in found] == block[-1].want.split()


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_the_loss_and_its_gradient_are_those_of_the_book(kind):
    generator = np.random.default_rng(4)
    teacher, distillation, cls = (3 * generator.normal(size=(1, 3)) for _ in range(3))
    example = {"teacher": teacher[0].tolist(), "distillation": distillation[0].tolist(), "cls": cls[0].tolist()}
    given = (cls, distillation, teacher, np.array([2]))
    (found,) = ask(("losses", "worked_out", {**example, "label": 2, "kind": kind, "alpha": 0.3, "tau": 2.5}))
    soft = {"tau": 2.5} if kind == "soft" else {}
    loss, back = (soft_distillation_vjp if soft else hard_distillation_vjp)(*given, alpha=0.3, **soft)
    assert_near(found["loss"], loss)
    assert_near([found["gradient_cls"], found["gradient_distillation"]], np.concatenate(back()))
    assert_near(found["from_label"], losses.cross_entropy(cls, np.array([2])))
    assert_near(0.7 * found["from_label"] + 0.3 * found["from_teacher"], loss)
    assert_near(found["student"], softmax(distillation / (2.5 if soft else 1))[0])


def test_where_a_number_of_a_row_comes_from():
    image = np.arange(2 * 3 * 4 * 6).reshape(1, 6, 4, 6) % 72  # 3 channels of (4, 6) come first
    image = image[:, :3]
    rows = patches.patchify(image.astype(float), patch_shape=(2, 3))
    found = ask(*(("patches", "origin", n, {"patch_shape": (2, 3)}) for n in range(18)))
    assert [image[0, c, 2 + i, 3 + j] for c, i, j in found] == rows[0, 3].tolist()  # the fourth patch begins at (2, 3)


def test_cosines_of_positions(run):
    weights, _ = run
    positions = weights.pos_embed[0].astype(np.float64)
    unit = positions / np.linalg.norm(positions, axis=1, keepdims=True)
    tokens = (0, 2, 40)
    answers = ask(*(("positions", "cosines", weights.pos_embed, token) for token in tokens))
    for token, found in zip(tokens, answers, strict=True):
        np.testing.assert_allclose(found, unit @ unit[token], atol=1e-5)


def test_shares_with_masked_keys_and_the_sharpest_head(run):
    _, trace = run
    q, k, v = (trace[f"blocks.2.attention.{name}"] for name in "qkv")
    mask = np.ones((1, q.shape[2]), bool)
    mask[0, [0, 5, 33]] = False
    masked = Trace()
    attention.scaled_dot_product_attention(q, k, v, attention_mask=mask, trace=masked)
    layer = {"q": q, "k": k, "v": v}
    attentions = trace.matching("blocks.*.attention.probabilities")
    queries = range(0, 66, 13)
    special = [np.where(np.arange(66) == 1, 0.9, shares).astype(np.float32) for shares in attentions]
    plain, some, of_patches, *sharp = ask(
        ("attended", "attended", layer, {"head": 1, "query": 30, "masked": []}),
        ("attended", "attended", layer, {"head": 1, "query": 30, "masked": [0, 5, 33]}),
        ("../lens", "sharpest", special, 2, queries[1]),
        *(("../lens", "sharpest", attentions, 2, query) for query in queries),
    )
    assert_near(plain["scores"], trace["blocks.2.attention.scores"][0, 1, 30])
    assert_near(plain["shares"], trace["blocks.2.attention.probabilities"][0, 1, 30])
    assert_near(some["shares"], masked["probabilities"][0, 1, 30])
    gone = sum(plain["shares"][i] for i in (0, 5, 33))
    assert_near(some["shares"][7] / plain["shares"][7], 1 / (1 - gone))
    assert_near(np.divide(some["powers"], sum(some["powers"])), some["shares"])
    shares = np.concatenate(attentions)[:, :, queries].astype(np.float64)
    most = shares[..., 2:].max(axis=-1)  # (blocks, heads, queries)
    for found, of_query in zip(sharp, np.moveaxis(most, -1, 0), strict=True):
        assert (found["layer"] - 1, found["head"] - 1) == np.unravel_index(of_query.argmax(), of_query.shape)
        assert_near(found["share"], of_query.max())
    assert len({(found["layer"], found["head"]) for found in sharp}) > 1  # the query matters
    assert of_patches == sharp[1]  # whatever the distillation token gets


def test_what_follows_from_the_sizes_of_a_model():
    (published,) = ask(("sizes", "PUBLISHED"))
    names = [
        f"deit-{name}-distilled-patch16-{size}"
        for name, size in (("tiny", 224), ("small", 224), ("base", 224), ("base", 384))
    ]
    for found, sizes, name in zip(
        ask(*(("sizes", "follows", sizes) for sizes in published.values())), published.values(), names, strict=True
    ):
        config = dataclasses.replace(deit_ref.VARIANTS[name], num_labels=1000)
        assert (config.image_size, config.patch_size, config.hidden_size) == tuple(
            sizes[x] for x in ("image", "patch", "dim")
        )
        assert (config.num_attention_heads, config.num_hidden_layers) == (sizes["heads"], sizes["blocks"])
        shapes = array_shapes(config, "classification-with-teacher")
        assert found["learned"] == sum(math.prod(shape) for shape in shapes.values())
        assert found["patches"] == config.num_patches
        assert found["tokens"] == shapes["pos_embed"][1]
        assert found["values"] == math.prod(shapes["patch_embed.proj.weight"][1:])
    base, large = ask(*(("sizes", "follows", published[name]) for name in ("DeiT-B", "DeiT-B at 384")))
    shares = [
        one["products"][part] / one["work"] for one, part in ((base, "looking"), (base, "mlp"), (large, "looking"))
    ]
    printed = " ".join(f"{one['work'] / 1e9:.2f}" for one in (base, large)), [round(share, 3) for share in shares]
    text = (DOCS / "chapters/model.md").read_text(encoding="utf-8")
    assert f"{printed[0].split()[0]}\n>>> round(count * attention / total, 3), round(count * mlp / total, 3)" in text
    assert f"({printed[1][0]}, {printed[1][1]})" in text
    assert f"({printed[0].split()[1]}, {printed[1][2]})" in text


@pytest.mark.parametrize("sizes", [{"image": 232, "patch": 16}, {"dim": 192, "heads": 5}])
def test_sizes_that_fit_no_model_are_refused_as_in_python(sizes):
    given = {"image": 224, "patch": 16, "dim": 192, "heads": 3, "blocks": 12, **sizes}
    with pytest.raises(ValueError, match="must be a multiple of") as refused:
        deit_ref.DeiTConfig(
            image_size=given["image"],
            patch_size=given["patch"],
            hidden_size=given["dim"],
            num_attention_heads=given["heads"],
        )
    with pytest.raises(subprocess.CalledProcessError) as failed:
        ask(("sizes", "follows", given))
    assert str(refused.value) in failed.value.stderr


def test_mixtures_of_both_heads_and_where_an_answer_settles():
    cls, dist = np.array([3.0, 1.0, 0.0]), np.array([0.0, 2.0, 2.5])
    parts = (0, 0.5, 0.8)
    answers = ask(*(("heads", "mixed", cls.tolist(), dist.tolist(), part) for part in parts))
    for part, found in zip(parts, answers, strict=True):
        np.testing.assert_allclose(found, softmax((1 - part) * cls + part * dist), atol=1e-6)
    said = [{"class": [0.9, 0.1]}, {"class": [0.2, 0.8]}, {"class": [0.6, 0.4]}, {"class": [0.7, 0.3]}]
    assert ask(("lens", "settled", said, "class"), ("lens", "settled", said[2:], "class")) == [2, 0]
    (middle,) = ask(("simmim", "middle", {"grid": [4, 8], "patches": 32}))
    assert middle == [10, 11, 12, 13, 18, 19, 20, 21]
