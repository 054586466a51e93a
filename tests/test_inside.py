"""The data of the attention viewer, the stepper and the map: what the pages show is what the model computed."""

import base64
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from engine import node
from PIL import Image

import deit_ref
from deit_ref.chapters import CHAPTERS
from deit_ref.config import DeiTConfig
from deit_ref.image_processing import ImageProcessing
from deit_ref.photos import bundled_photo, load_image
from deit_ref.variants import VARIANTS

DOCS = Path(deit_ref.__file__).parents[1] / "docs"
LAYERS, HEADS, GRID, TOKENS = 2, 2, (4, 4), 18
PROCESSING = ImageProcessing(size={"shortest_edge": 32}, crop_size=32)
MAP = ElementTree.parse(DOCS / "figures/map.svg").getroot()


def _inside_data() -> ModuleType:
    spec = importlib.util.spec_from_file_location("inside_data", DOCS / "inside_data.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


inside_data = _inside_data()


def model(**changes: Any) -> Any:
    sizes = {"hidden_size": 16, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "intermediate_size": 24}
    config = DeiTConfig(**{**sizes, "image_size": 32, "patch_size": 8, "num_labels": 5, **changes})
    return deit_ref.init_weights(
        config, "classification-with-teacher", seed=3, image_processing=PROCESSING, class_names=tuple("abcde")
    )


@pytest.fixture(scope="module")
def weights() -> Any:
    return model(initializer_range=0.5)


@pytest.fixture(scope="module")
def files(weights: Any) -> dict[str, bytes]:
    return inside_data.files(weights)


@pytest.fixture(scope="module")
def trace(weights: Any) -> deit_ref.Trace:
    trace = deit_ref.Trace()
    deit_ref.forward(weights, bundled_photo("chelsea"), trace=trace)
    return trace


@pytest.fixture(scope="module")
def book(files: dict[str, bytes]) -> Any:
    return json.loads(files["inside/steps.json"])


def test_the_part_that_the_model_sees() -> None:
    photo = load_image(bundled_photo("chelsea"))
    trace = deit_ref.Trace()
    deit_ref.preprocess(photo, PROCESSING, trace=trace)
    seen = trace["images.0.cropped"]
    part = inside_data.same_part(photo, seen, PROCESSING)
    small = np.asarray(Image.fromarray(part).resize((32, 32), Image.Resampling.BICUBIC), dtype=float)
    assert np.abs(small - seen).mean() < 6


def test_a_padded_crop_shows_what_the_model_saw() -> None:
    photo, seen = np.zeros((20, 30, 3), np.uint8), np.ones((32, 32, 3), np.uint8)
    processing = ImageProcessing(size={"shortest_edge": 16}, crop_size=32)
    assert inside_data.same_part(photo, seen, processing) is seen


def test_another_task_is_refused() -> None:
    weights = deit_ref.init_weights(DeiTConfig(num_hidden_layers=0), "classification", seed=0)
    with pytest.raises(ValueError, match="both heads"):
        inside_data.files(weights)


# The stepper


def test_every_kind_of_step_is_explained(book: Any, trace: deit_ref.Trace) -> None:
    assert {name.split(".")[-1] for name in trace} == set(inside_data.STEPS) == set(book)
    for kind, step in book.items():
        assert "{" not in step["sentence"].replace("{block}", "")
        assert step["sentence"].endswith(".")
        assert step["picture"] == inside_data.STEPS[kind].picture


def test_all_blocks_are_made_by_the_same_lines(weights: Any) -> None:
    with inside_data._watched() as places:
        deit_ref.forward(weights, bundled_photo("chelsea"), trace=deit_ref.Trace())
    for name, place in places.items():
        assert place == places[name.replace("blocks.1.", "blocks.0.")]


def test_code_stands_where_the_page_says(book: Any) -> None:
    chapters = {chapter.name: [chapter.number, chapter.title] for chapter in CHAPTERS}
    for step in book.values():
        source = (inside_data.CODE / f"{step['module']}.py").read_text(encoding="utf-8").splitlines()
        code = step["code"].splitlines()
        assert [line.strip() for line in source[step["line"] - 1 :][: len(code)]] == [line.strip() for line in code]
        assert f"def {step['function']}(" in "\n".join(source[: step["line"]])
        assert step["chapter"] == chapters[step["module"]]


@pytest.mark.parametrize(
    ("name", "function", "part"),
    [
        ("images.0.resized", "_preprocess_one", "resize("),
        ("images.0.cropped", "_preprocess_one", "center_crop("),
        ("patches", "patch_embed", "patchify("),
        ("tokens", "embed", "prepend_tokens("),
        ("embeddings", "embed", "add_pos_embed("),
        ("blocks.1.attention.q", "multi_head_attention", "split_heads("),
        ("blocks.1.attention.v", "multi_head_attention", "split_heads("),
        ("blocks.1.attention.scores", "scaled_dot_product_attention", "k.swapaxes("),
        ("blocks.1.attention.probabilities", "scaled_dot_product_attention", "softmax(scores)"),
        ("blocks.0.mlp.activation", "mlp", "activate("),
        ("blocks.0.output", "encoder_block", "x + drop_path("),
        ("norm", "encoder", "layer_norm("),
        ("logits", "classification_with_teacher", "classify_with_teacher("),
    ],
)
def test_code_is_the_statement_that_made_the_step(book: Any, name: str, function: str, part: str) -> None:
    step = book[name.split(".")[-1]]
    assert step["function"] == function
    assert part in step["code"]


def test_the_second_addition_makes_the_output(book: Any) -> None:
    assert book["output"]["line"] > book["norm2"]["line"]


def test_watching_ends() -> None:
    before = sys.gettrace()

    def stop() -> None:
        with inside_data._watched():
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stop()
    assert sys.gettrace() is before


def test_files_are_small(files: dict[str, bytes]) -> None:
    assert sum(map(len, files.values())) < 40_000


# Where one number comes from

CELLS = 12  # of each step, drawn; the largest and the smallest number come along
SMALL = {"patches": "tiles", "norm": "tokens", "blocks.1.attention.k": "heads", "blocks.1.attention.scores": "maps"}


# Shrunk by the heights first, by the widths first, along one axis alone, made larger, and as they are.
SIZES = [(90, 33), (40, 200), (32, 64), (50, 32), (20, 11), (32, 32)]
ODD = [np.random.default_rng(3).integers(0, 256, (*size, 3), np.uint8) for size in SIZES]


def _sent(photo: np.ndarray) -> dict[str, Any]:
    return {"bytes": base64.b64encode(photo.tobytes()).decode(), "shape": photo.shape}


@pytest.fixture(scope="module")
def pass_of_the_page() -> tuple[deit_ref.Trace, list[tuple[str, tuple[int, ...]]], dict[str, Any]]:
    """A pass in NumPy, some places in its arrays, and how the page says that these numbers are made."""
    photo = load_image(bundled_photo("coffee"))
    trace = deit_ref.Trace()
    deit_ref.forward(deit_ref.load_weights(), photo, trace=trace)
    random = np.random.default_rng(7)
    cells = [
        (name, tuple(int(i) for i in np.unravel_index(place, value.shape)))
        for name, value in trace.items()
        for place in [value.argmin(), value.argmax(), *random.integers(value.size, size=CELLS)]
    ]
    question = {
        "folder": str(bundled_photo().parent / "cifar10-distilled"),
        "photo": _sent(photo),
        "odd": [_sent(photo) for photo in ODD],
        "cells": [{"step": name, "at": at} for name, at in cells],
        "maps": SMALL,
    }
    driver = Path(__file__).with_name("worked_in_node.mjs")
    done = subprocess.run([node(), driver], input=json.dumps(question), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return trace, cells, json.loads(done.stdout)


def test_every_number_is_made_as_the_page_says(pass_of_the_page: Any) -> None:
    trace, cells, answer = pass_of_the_page
    assert set(answer["explained"]) == set(inside_data.STEPS)
    for (name, at), made in zip(cells, answer["found"], strict=True):
        value = trace[name]
        slack = 1e-5 * float(np.abs(value).max())
        assert made["total"] == pytest.approx(float(value[at]), rel=0, abs=slack), (name, at)
        learned = name == "pos_embed" or (name == "tokens" and at[1] < 2)
        assert (made["linked"] == 0) == (learned or name.endswith(".image")), name
        assert made["linked"] or made["note"].endswith(".")  # the way back goes on, or the page says why not


def test_bytes_of_a_resized_photo_are_made_as_the_page_says(pass_of_the_page: Any) -> None:
    processing = deit_ref.load_weights().image_processing
    assert processing is not None
    for photo, found in zip(ODD, pass_of_the_page[2]["odd"], strict=True):
        trace = deit_ref.Trace()
        deit_ref.preprocess(photo, processing, trace=trace)
        np.testing.assert_array_equal(found, trace["images.0.resized"].ravel()[::41])


def test_the_last_number_becomes_the_share(pass_of_the_page: Any) -> None:
    trace, cells, answer = pass_of_the_page
    powers = np.exp(trace["logits"][0].astype(np.float64))
    shares = [(at[1], made["after"]) for (name, at), made in zip(cells, answer["found"], strict=True) if made["after"]]
    assert len(shares) == CELLS + 2
    for label, made in shares:
        assert made["total"] == pytest.approx(powers[label] / powers.sum(), abs=1e-6)


def test_small_pictures_are_mean_sizes(pass_of_the_page: Any) -> None:
    trace, _, answer = pass_of_the_page
    for (name, picture), found in zip(SMALL.items(), answer["maps"], strict=True):
        size = np.abs(trace[name][0])
        by_patch = {"tiles": (1,), "tokens": (1,), "heads": (0, 2), "maps": (1,)}[picture]
        expected = size.mean(axis=by_patch, dtype=np.float64)[..., 0 if picture == "tiles" else 2 :]
        np.testing.assert_allclose(found, expected.reshape(-1, 64), rtol=1e-4)


# The walk


def test_the_walk_says_what_is_so(pass_of_the_page: Any) -> None:
    trace, _, answer = pass_of_the_page
    stops = [stop["text"] for stop in answer["walk"]["stops"]]
    states = [stop["state"] for stop in answer["walk"]["stops"]]
    assert "ten steps" in (DOCS / "steps.md").read_text(encoding="utf-8")
    assert len(stops) == 10
    for state, text in zip(states, stops, strict=True):
        assert state["name"] in trace
        assert state.get("beside", "before") == "before" or state["beside"] in trace
        assert not re.search("NaN|undefined|Infinity", text)
    spread = trace["patches"][0].std(axis=-1, dtype=np.float64)
    patch = int(spread.argmax())
    assert f"row {patch // 8 + 1}, column {patch % 8 + 1}" in stops[1]
    assert f"{spread.max():.4f}" in stops[1]
    assert f"{spread.mean():.4f}" in stops[1]
    token = 2 + patch
    assert f"number {token + 1} of 66" in stops[2]  # the first is number 1
    for name in ("tokens", "pos_embed"):
        assert f"{np.abs(trace[name][0, token]).mean(dtype=np.float64):.4f}" in stops[2]
    shares = trace["blocks.0.attention.probabilities"][0, :, token]
    head, key = np.unravel_index(shares.argmax(), shares.shape)
    assert states[3]["cell"] == states[4]["cell"] == [0, head, token, key]
    assert f"{trace['blocks.0.attention.scores'][0, head, token, key]:.4f}".replace("-", "−") in stops[3]
    assert f"{100 * shares.max():.1f}%" in stops[4]
    added, before = (np.linalg.norm(trace[n][0, token]) for n in ("blocks.0.attention.proj", "embeddings"))
    assert f"{100 * added / before:.1f}%" in stops[5]
    assert f"{100 * (trace['blocks.0.mlp.fc1'][0, token] < 0).mean():.1f}% of them negative" in stops[6]
    alike = []
    for name in ("embeddings", states[7]["name"]):
        x = trace[name][0, 2:].astype(np.float64)
        x /= np.linalg.norm(x, axis=-1, keepdims=True)
        alike.append((np.sum(x @ x.T) - 64) / (64 * 63))
        assert f"{alike[-1]:.4f}" in stops[7]
    assert ("more alike" in stops[7]) == (alike[1] > alike[0])
    names = deit_ref.load_weights().class_names or ()
    powers = np.exp(trace["logits"][0].astype(np.float64))
    assert f"{names[int(powers.argmax())]}, {100 * powers.max() / powers.sum():.1f}%" in stops[9]


def test_the_walk_says_otherwise_where_it_is_otherwise(pass_of_the_page: Any) -> None:
    walk = pass_of_the_page[2]["walk"]
    for place, one, other in [
        (2, "what is seen is", "the place is"),
        (5, "most of the token goes on", "outweighs what it was"),
        (6, ": few speak", ": many speak"),
        (7, "more alike", "less alike"),
        (8, "Both say", "They disagree"),
    ]:
        said = [one in walk[which][place]["text"] for which in ("stops", "otherwise")]
        assert said[0] != said[1], place
        assert all((other in walk[which][place]["text"]) != (one in walk[which][place]["text"]) for which in walk)


# The map


def shapes() -> list[tuple[str, str]]:
    """(with words, as shown without JavaScript)."""
    texts = [text for text in MAP.iter() if "data-shape" in text.attrib]
    return [(text.attrib["data-shape"], text.text or "") for text in texts]


def test_the_map_shows_deit_base_without_javascript() -> None:
    base = inside_data.sizes(VARIANTS["deit-base-distilled-patch16-224"])
    assert len(shapes()) > 20
    for words, shown in shapes():
        assert words.format(**base) == shown
    assert "deit-base-distilled-patch16-224" in (DOCS / "assets/map.js").read_text()


def test_the_maps_shapes_are_those_of_a_run(weights: Any, trace: deit_ref.Trace) -> None:
    sizes = inside_data.sizes(weights.config)
    run = {str(tuple(value.shape)) for value in trace.values()}
    config = weights.config
    run |= {"2", f"encoder block, {LAYERS} times"}
    run |= {f"(1, {config.hidden_size})", f"(1, {GRID[0] * GRID[1]}, {config.hidden_size})"}  # after split_tokens
    for words, _ in shapes():
        said = words.format(**sizes).removeprefix("3 × ").replace("height, width", "300, 451")
        assert said in run, words


def test_variants_are_the_published_models_and_the_bundled_one(files: dict[str, bytes], weights: Any) -> None:
    variants = json.loads(files["inside/variants.json"])
    assert [variant["name"] for variant in variants[:-1]] == list(VARIANTS)
    for variant in variants[:-1]:
        config = VARIANTS[variant["name"]]
        patches = (variant["height"] // 16) ** 2
        assert variant["patches"] == patches
        assert variant["tokens"] == patches + (2 if "distilled" in variant["name"] else 1)
        assert variant["dim"] == config.hidden_size == 64 * variant["heads"]
        assert (variant["layers"], variant["head_dim"], variant["num_labels"]) == (12, 64, 1000)
        assert variant["hidden"] == 4 * variant["dim"]
    assert variants[-1]["tokens"] == TOKENS
    assert variants[-1]["num_labels"] == weights.config.num_labels


def test_each_box_links_to_its_chapter() -> None:
    links = [link.attrib for link in MAP.iter("{http://www.w3.org/2000/svg}a")]
    targets = {link["{http://www.w3.org/1999/xlink}href"] for link in links}
    names = {chapter.name for chapter in CHAPTERS if chapter.name in chapter.torch} - {
        "model",
        "relevance",
        "activations",
    }
    assert targets == {f"../chapters/{name}.md" for name in names}


# The pages


def test_the_pages_numbers_are_the_bundled_models() -> None:
    from deit_ref.training.recipe import MODELS

    config = MODELS["cifar10"]
    assert config.grid == (8, 8)
    assert config.num_prefix_tokens == 2
    text = (DOCS / "viewer.md").read_text()
    assert "8 × 8 patches" in text
    assert "66 tokens" in text
    assert "1.52%" in text
    assert f"{100 / 66:.2f}" == "1.52"


OWN = [
    "colors.js",
    "data.js",
    "dom.js",
    "inside.js",
    "map.js",
    "inside.css",
    "steps.css",
    *Path(DOCS / "assets").glob("views/*.js"),
]


@pytest.mark.parametrize("name", OWN, ids=lambda name: Path(name).name)
def test_nothing_comes_from_another_host(name: str | Path) -> None:
    text = (DOCS / "assets" / name).read_text(encoding="utf-8")
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|//[a-z]+(?!\.w3\.org/2000/svg)\.|@import", text)
