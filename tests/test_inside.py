"""The data of the attention viewer, the stepper and the map: what the pages show is what the model computed."""

import importlib.util
import io
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

import deit_ref
from deit_ref.chapters import CHAPTERS
from deit_ref.config import DeiTConfig
from deit_ref.image_processing import ImageProcessing
from deit_ref.numpy_backend.attention import attention_rollout
from deit_ref.photos import BUNDLED_PHOTOS, bundled_photo, load_image
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


# The viewer


@pytest.mark.parametrize("photo", BUNDLED_PHOTOS)
def test_attentions_and_rollouts_are_the_models(files: dict[str, bytes], weights: Any, photo: str) -> None:
    output = deit_ref.forward(weights, bundled_photo(photo), output_attentions=True)
    numbers = np.frombuffer(files[f"inside/{photo}.bin"], "<f4")
    size = LAYERS * HEADS * TOKENS * TOKENS
    attentions = numbers[:size].reshape(LAYERS, HEADS, TOKENS, TOKENS)
    rollouts = numbers[size:].reshape(LAYERS, TOKENS, TOKENS)
    for layer in range(LAYERS):
        np.testing.assert_array_equal(attentions[layer], output.attentions[layer][0])
        np.testing.assert_array_equal(rollouts[layer], attention_rollout(output.attentions[: layer + 1])[0])


@pytest.mark.parametrize("i", range(len(BUNDLED_PHOTOS)))
def test_predictions_are_the_models(files: dict[str, bytes], weights: Any, i: int) -> None:
    book = json.loads(files["inside/photos.json"])
    photo = book["photos"][i]
    assert photo["name"] == BUNDLED_PHOTOS[i]
    output = deit_ref.forward(weights, bundled_photo(photo["name"]))
    logits = {"class": output.cls_logits, "distillation": output.distillation_logits, "average": output.logits}
    for head, expected in logits.items():
        np.testing.assert_array_equal(np.float32(photo["heads"][head]["logits"]), expected[0])
    average = dict(zip(book["model"]["classes"], photo["heads"]["average"]["probabilities"], strict=True))
    assert average == dict(output.top(5)[0])


def test_every_photo_is_described(files: dict[str, bytes]) -> None:
    photos = json.loads(files["inside/photos.json"])["photos"]
    assert {photo["name"] for photo in photos} == set(inside_data.PHOTOS) == set(BUNDLED_PHOTOS)


@pytest.mark.parametrize("photo", BUNDLED_PHOTOS)
def test_the_photo_below_the_grid_is_what_the_model_saw(files: dict[str, bytes], weights: Any, photo: str) -> None:
    trace = deit_ref.Trace()
    deit_ref.forward(weights, bundled_photo(photo), trace=trace)
    seen = np.asarray(Image.open(io.BytesIO(files[f"inside/{photo}.png"])))
    np.testing.assert_array_equal(seen, trace["images.0.cropped"])
    # The larger one shows the same part: made as small, it looks the same.
    large = np.asarray(Image.open(io.BytesIO(files[f"inside/{photo}.jpg"])))
    small = np.asarray(Image.fromarray(large).resize((32, 32), Image.Resampling.BICUBIC), dtype=float)
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


def test_steps_are_the_traces(book: Any, trace: deit_ref.Trace) -> None:
    assert [step["name"] for step in book["steps"]] == list(trace)
    for step in book["steps"]:
        value = trace[step["name"]]
        assert step["shape"] == list(value.shape)
        assert step["dtype"] == str(value.dtype)
        assert (step["min"], step["max"]) == (float(value.min()), float(value.max()))
        assert step["mean"] == pytest.approx(float(value.mean(dtype=np.float64)), rel=1e-12)
        few = eval(f"value{step['index']}", {"value": value})  # as the page says
        np.testing.assert_array_equal(np.array(step["corner"]).reshape(few.shape), few)


def test_pictures_hold_every_value(book: Any, files: dict[str, bytes], trace: deit_ref.Trace) -> None:
    ends: dict[str, int] = {}
    for step in book["steps"]:
        value = trace[step["name"]].astype(np.float64)
        if step["picture"] == "bars":
            np.testing.assert_array_equal(np.float32(step["values"]), trace[step["name"]][0])
        elif step["picture"] == "photo":
            photo = load_image(io_image(files["inside/steps-photo.jpg"]))
            np.testing.assert_array_equal(photo, value)
        else:
            data = np.frombuffer(files[f"inside/steps-{step['group']}.bin"], np.uint8)
            assert step["offset"] == ends.get(step["group"], 0)  # one after the other
            ends[step["group"]] = step["offset"] + value.size
            levels = data[step["offset"] : ends[step["group"]]].reshape(value.shape)
            span = step["max"] - step["min"]
            np.testing.assert_allclose(step["min"] + levels / 255 * span, value, atol=span / 255 * 0.501)
    for group, end in ends.items():
        assert len(files[f"inside/steps-{group}.bin"]) == end


def io_image(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def test_equal_values_are_drawn(weights: Any) -> None:
    assert inside_data.quantized(np.full((2, 3), 7.0)).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_every_kind_of_step_is_explained(book: Any, trace: deit_ref.Trace) -> None:
    assert {name.split(".")[-1] for name in trace} == set(inside_data.STEPS)
    for step in book["steps"]:
        assert "{" not in step["sentence"]
        assert step["sentence"].endswith(".")
        assert step["picture"] == inside_data.STEPS[step["name"].split(".")[-1]].picture
    assert [group["title"] for group in book["groups"]] == [
        "From the photo to tokens",
        *(f"Block {i + 1}" for i in range(LAYERS)),
        "From tokens to answers",
    ]


def test_code_stands_where_the_page_says(book: Any) -> None:
    chapters = {chapter.name: [chapter.number, chapter.title] for chapter in CHAPTERS}
    for step in book["steps"]:
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
    step = next(step for step in book["steps"] if step["name"] == name)
    assert step["function"] == function
    assert part in step["code"]


def test_the_second_addition_makes_the_output(book: Any) -> None:
    step = next(step for step in book["steps"] if step["name"] == "blocks.0.output")
    feed_forward = next(step for step in book["steps"] if step["name"] == "blocks.0.norm2")
    assert step["line"] > feed_forward["line"]


def test_watching_ends() -> None:
    before = sys.gettrace()

    def stop() -> None:
        with inside_data._watched():
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stop()
    assert sys.gettrace() is before


def test_files_are_small() -> None:
    """With the bundled model's sizes: 8 x 8 patches, dim 128, six blocks."""
    config = {"hidden_size": 128, "num_hidden_layers": 6, "num_attention_heads": 4, "intermediate_size": 512}
    files = inside_data.files(model(**config, patch_size=4))
    assert sum(len(content) for name, content in files.items() if "steps" in name) < 3e6
    assert all(len(files[f"inside/{photo}.bin"]) < 6e5 for photo in BUNDLED_PHOTOS)
    assert sum(map(len, files.values())) < 4e6


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
    assert "8 x 8 patches" in text
    assert "66 tokens" in text
    assert "1.52%" in text
    assert f"{100 / 66:.2f}" == "1.52"


@pytest.mark.parametrize("name", ["inside.js", "viewer.js", "steps.js", "map.js", "inside.css"])
def test_nothing_comes_from_another_host(name: str) -> None:
    text = (DOCS / "assets" / name).read_text(encoding="utf-8")
    assert not re.search(r"https?://|//[a-z]+\.|@import", text)
