"""The lab's states, its lines of Python and its walks, in Node: what the page says is what Python prints."""

import contextlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine import node
from test_chapter_instances import ask
from tolerances import assert_close

import deit_ref
from deit_ref.numpy_backend.layers import softmax
from deit_ref.photos import bundled_photo

DOCS = Path(__file__).parents[1] / "docs"
PRETRAINED = bundled_photo().parent
MODELS = ("cifar10-distilled", "cifar10-simmim")
ORDER = np.random.default_rng(5).permutation(64).tolist()

# What is done, and what is asked: each way to change the model alone, and some together.
ASKS: list[tuple[str, dict[str, Any]]] = [
    ("answer", {}),
    ("answer", {"hidden": [0, 1, 2, 27, 63]}),
    ("answer", {"hidden": [9, 10], "how": "gray", "photo": "coffee"}),
    ("answer", {"without_dist": True}),
    ("answer", {"silenced": [0, 5, 23]}),
    ("answer", {"order": ORDER}),
    ("answer", {"order": ORDER, "positions": "moved", "hidden": [3], "photo": "rocket"}),
    ("answer", {"positions": "none"}),
    (
        "answer",
        {"order": ORDER, "positions": "none", "how": "gray", "hidden": [1, 2], "silenced": [7], "without_dist": True},
    ),
    ("guess", {"how": "mask", "hidden": list(range(0, 64, 2))}),
    ("guess", {"how": "mask", "hidden": [5], "order": ORDER, "silenced": [1], "without_dist": True}),
    ("attention", {"look": "attention", "query": 30, "layer": 2, "head": 3}),
    ("attention", {"look": "attention", "hidden": [4]}),
    ("rollout", {"look": "rollout", "layer": 3, "query": 1}),
    ("rollout", {"look": "rollout"}),
    ("lens", {"hidden": [20, 21]}),
    ("effects", {"look": "effects", "how": "gray"}),
    ("effects", {"look": "effects"}),
]


@pytest.fixture(scope="module")
def lab_data() -> Any:
    sys.path.insert(0, str(DOCS))
    import lab_data

    return lab_data


@pytest.fixture(scope="module")
def lab(lab_data: Any) -> dict[str, Any]:
    """All answers of one process of Node."""
    processing = deit_ref.load_weights(MODELS[0]).image_processing
    assert processing is not None
    pixels = {photo["name"]: deit_ref.preprocess(photo["file"], processing) for photo in lab_data.photos()}
    question = {
        "folders": {model: str(PRETRAINED / model) for model in MODELS},
        "photos": {name: {"data": value.ravel().tolist(), "shape": value.shape} for name, value in pixels.items()},
        "asks": [{"asked": asked, "state": changes} for asked, changes in ASKS]
        + [{"state": s} for s in drawn_states()],
        "walks": True,
        "nonsense": {
            "photo": "nobody",
            "hidden": "5-99",
            "how": "magic",
            "order": "1.2.3",
            "silenced": "x",
            "layer": "9",
            "head": "-2",
            "query": "1e1",
        },
    }
    driver = Path(__file__).with_name("lab_in_node.mjs")
    done = subprocess.run([node(), driver], input=json.dumps(question), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def drawn_states() -> list[dict[str, Any]]:
    random = np.random.default_rng(3)
    some = lambda below: sorted(random.choice(below, random.integers(below), replace=False).tolist())  # noqa: E731
    return [
        {
            "photo": str(random.choice(["chelsea", "coffee", "rocket"])),
            "hidden": some(64),
            "how": str(random.choice(["attention", "gray", "mask"])),
            "order": random.permutation(64).tolist() if random.random() < 0.5 else None,
            "positions": str(random.choice(["kept", "moved", "none"])),
            "silenced": some(24),
            "without_dist": bool(random.random() < 0.5),
            "look": str(random.choice(["answer", "attention", "rollout", "effects"])),
            "query": int(random.integers(66)),
            "layer": int(random.integers(-1, 6)),
            "head": int(random.integers(-1, 4)),
        }
        for _ in range(30)
    ]


@pytest.mark.parametrize("i", range(len(ASKS)), ids=lambda i: f"{ASKS[i][0]}-{'-'.join(ASKS[i][1]) or 'untouched'}")
def test_the_lines_of_python_give_the_numbers_of_the_page(lab: dict[str, Any], i: int) -> None:
    asked, answer = ASKS[i][0], lab["answers"][i]
    printed, values = io.StringIO(), {}
    with contextlib.redirect_stdout(printed), np.printoptions(precision=9, floatmode="fixed", threshold=10_000):
        exec(answer["python"], values)
    if asked == "answer" and "output" in values:
        found = values["output"].logits[0]
        assert "print(output.top(3))" in answer["python"]
    elif asked == "answer":  # one line, which keeps nothing
        shares = [float(x) for x in re.findall(r"\d\.\d+(?:e-?\d+)?", printed.getvalue())]
        logits = np.array(answer["numbers"])
        expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        assert_close(np.array(shares, np.float32), np.sort(expected)[:-4:-1].astype(np.float32), "float32")
        return
    elif asked == "guess":
        found = np.array([values["output"].loss])
    else:
        found = np.array([float(x) for x in re.findall(r"-?\d\.\d*(?:e-?\d+)?", printed.getvalue())])
    expected = np.array(answer["numbers"])
    assert found.shape == expected.shape
    # Changes are differences of shares, and take their rounding along.
    scale = 1.0 if asked == "effects" else np.abs(expected).max()
    assert np.abs(found - expected).max() <= 1e-5 * scale


def test_states_survive_the_address(lab: dict[str, Any]) -> None:
    for answer in lab["answers"]:
        assert answer["back"] == answer["state"]
        assert all(re.fullmatch(r"[\w.\-]*", value) for value in answer["address"].values())
    assert lab["answers"][0]["address"] == {}
    assert lab["answers"][1]["address"] == {"hidden": "0-2.27.63"}
    assert lab["nonsense"] == lab["start"]


@pytest.mark.parametrize("walk", ["importance", "less", "order", "heads", "nothing"])
def test_the_surprise_of_a_walk_is_there_on_the_bundled_weights(lab: dict[str, Any], walk: str) -> None:
    found = lab["walks"][walk]
    assert found["holds"], f"“{found['title']}” does not hold on these weights: look for another surprise in walks.js."
    assert 6 <= len(found["steps"]) <= 10
    for step in found["steps"]:
        assert set(step["state"]) == set(lab["start"])
        assert "NaN" not in step["text"]
        assert "undefined" not in step["text"]


def test_there_are_five_walks(lab: dict[str, Any]) -> None:
    assert len(lab["walks"]) == 5


def test_from_logits_to_shares() -> None:
    output: Any = deit_ref.forward(deit_ref.load_weights(), bundled_photo())
    cls, distillation = output.cls_logits[0], output.distillation_logits[0]
    model, warm = ask(*(("../logits", "worked_out", cls.tolist(), distillation.tolist(), tau) for tau in (1, 2.5)))
    assert_close(np.array(model["mean"], np.float32), output.logits[0], "float32")
    assert_close(np.array(model["shares"], np.float32), output.probabilities[0], "float32")
    assert max(model["powers"]) == 1
    np.testing.assert_allclose(model["shares"], np.divide(model["powers"], model["sum"]))
    assert_close(np.array(warm["shares"], np.float32), softmax(output.logits / np.float32(2.5))[0], "float32")
    of_shares = (softmax(cls) + softmax(distillation)) / 2
    assert_close(np.array(model["of_shares"], np.float32), of_shares, "float32")
    assert np.abs(of_shares - output.probabilities[0]).max() > 1e-4  # not what the model answers


@pytest.mark.parametrize("photo", ["chelsea", "coffee"])
def test_what_each_block_adds_sums_to_the_logit(photo: str) -> None:
    weights, trace = deit_ref.load_weights(), deit_ref.Trace()
    output: Any = deit_ref.forward(weights, bundled_photo(photo), trace=trace)
    branches = {
        "embeddings": trace["embeddings"],
        "attention": trace.matching("blocks.*.attention.proj"),
        "mlp": trace.matching("blocks.*.mlp.fc2"),
    }
    layers = {name: vars(getattr(weights, name)) for name in ("norm", "head", "head_dist")}
    parts = {"config": {"layer_norm_eps": weights.config.layer_norm_eps}, **layers}
    labels = [int(output.logits[0].argmax()), 0, 7]
    stream = trace[f"blocks.{weights.config.num_hidden_layers - 1}.output"][0].astype(np.float64)
    for label, found in zip(
        labels, ask(*(("../sums", "sums", parts, branches, label) for label in labels)), strict=True
    ):
        for token, (head, name, logits) in enumerate(
            [("class", "head", output.cls_logits), ("distillation", "head_dist", output.distillation_logits)]
        ):
            one = found[head]
            summed = one["start"] + sum(one["attention"]) + sum(one["mlp"]) + one["bias"]
            assert summed == pytest.approx(one["logit"], abs=1e-9)
            assert one["logit"] == pytest.approx(float(logits[0, label]), abs=1e-4)
            toward = weights.norm.weight * layers[name]["weight"][label] / stream[token].std()
            for kind in ("attention", "mlp"):
                expected = [(x[0, token] - x[0, token].mean()) @ toward for x in branches[kind]]
                np.testing.assert_allclose(one[kind], expected, atol=1e-4)


# What the build puts beside the page.


def test_the_site_carries_the_models_as_they_are_and_what_they_see(lab_data: Any) -> None:
    from PIL import Image

    files = lab_data.files()
    for model in MODELS:
        for name in ("config.json", "preprocessor_config.json", "model.safetensors"):
            assert files[f"inside/models/{model}/{name}"] == (PRETRAINED / model / name).read_bytes()
    weights = deit_ref.load_weights()
    assert weights.image_processing is not None
    for photo in json.loads(files["inside/lab.json"])["photos"]:
        assert photo["credit"]
        assert photo["license"]
        assert photo["alt"]
        assert photo["label"] is None or photo["label"] in (weights.class_names or ())
        seen = np.asarray(Image.open(io.BytesIO(files[f"inside/{photo['seen']}"])))
        small = Image.open(io.BytesIO(files[f"inside/{photo['small']}"]))
        assert small.size == (128, 128)
        assert np.abs(np.asarray(small.resize((32, 32))).astype(int) - seen).mean() < 8  # the part that the model sees
        whole = deit_ref.preprocess(io.BytesIO(files[f"inside/{photo['file']}"]), weights.image_processing)
        np.testing.assert_array_equal(deit_ref.preprocess(seen, weights.image_processing), whole)


@pytest.mark.parametrize("path", sorted((DOCS / "assets" / "lab").rglob("*.js")), ids=lambda path: path.name)
def test_nothing_is_sent_and_nothing_comes_from_another_host(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(
        r"https?://(?!www\.w3\.org/2000/svg)|@import|XMLHttpRequest|sendBeacon|WebSocket|fetch\(", text
    )
