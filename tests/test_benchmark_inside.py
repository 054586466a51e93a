"""What is measured inside trained weights: by hand where that can be done, else against the NumPy chapters."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from strategies import TINY, random_pixels, random_weights
from tiny_data import write_photos

from deit_ref import forward, save_weights
from deit_ref.benchmark import inside
from deit_ref.checkpoints.load import load_weights
from deit_ref.data.opening import open_images
from deit_ref.numpy_backend.heads import classify
from deit_ref.numpy_backend.layers import layer_norm
from deit_ref.trace import Trace
from deit_ref.weights import named_arrays, weights_from_arrays

CONFIG = dataclasses.replace(TINY, image_size=16, num_labels=3)  # a grid of 2 x 2 patches
WEIGHTS = random_weights(CONFIG, "classification-with-teacher", std=0.3)
PIXELS = random_pixels(CONFIG, batch=7)
LABELS = np.array([0, 1, 2, 0, 1, 2, 0])


def changed(weights=WEIGHTS, **arrays):
    found = {**dict(named_arrays(weights)), **{name.replace("__", "."): value for name, value in arrays.items()}}
    return weights_from_arrays(found, weights.config, weights.task, image_processing=weights.image_processing)


def cosine(a, b):
    return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch):
    monkeypatch.setattr(inside, "AT_ONCE", 3)  # so that seven photos are two chunks and a rest


def test_cosines_of_tokens_by_hand_at_the_input_and_by_numpy_in_the_blocks():
    cls, dist, places = np.zeros((1, 1, 32)), np.zeros((1, 1, 32)), np.zeros((1, 6, 32))
    cls[..., 0] = 2.0
    dist[..., :2] = 1.0  # 45 degrees
    places[:, 1, 0] = -1.0  # with its position the second one is at a right angle to the first
    weights = changed(cls_token=cls, dist_token=dist, pos_embed=places)
    found = inside.token_cosines(weights.to("torch", dtype="float32"), torch.from_numpy(PIXELS))
    assert found["learned"] == pytest.approx(math.sqrt(0.5))
    assert found["with positions"] == pytest.approx(0, abs=1e-7)
    trace = Trace()
    forward(weights.to("numpy", dtype="float32"), pixel_values=PIXELS, trace=trace)
    steps = [*trace.matching("blocks.*.output"), trace["norm"]]
    expected = [float(cosine(x[:, 0], x[:, 1]).mean()) for x in steps]
    np.testing.assert_allclose([*found["blocks"], found["end"]], expected, atol=1e-5)
    assert inside.token_path(found) == [found["with positions"], *found["blocks"], found["end"]]


def test_one_token_has_no_cosine():
    plain = random_weights(dataclasses.replace(CONFIG, distilled=False), "classification").to("torch")
    with pytest.raises(ValueError, match="no distillation token: choose others"):
        inside.token_cosines(plain, torch.from_numpy(PIXELS))
    (logits,) = inside.head_logits(plain, torch.from_numpy(PIXELS))
    assert logits.shape == (7, 3)


def test_the_lens_ends_with_the_models_own_answers_and_begins_with_its_tokens():
    pixels, labels = torch.from_numpy(PIXELS), torch.from_numpy(LABELS)
    found = inside.logit_lens(WEIGHTS.to("torch"), pixels, labels)
    output, trace = forward(WEIGHTS, pixel_values=PIXELS), Trace()
    forward(WEIGHTS, pixel_values=PIXELS, trace=trace)
    steps = [trace["embeddings"], *trace.matching("blocks.*.output")]
    for i, (name, head) in enumerate(zip(inside.HEADS, (WEIGHTS.head, WEIGHTS.head_dist), strict=True)):
        normed = [layer_norm(WEIGHTS.norm, x, eps=CONFIG.layer_norm_eps) for x in steps]
        expected = [(classify(head, x[:, i]).argmax(1) == LABELS).mean() for x in normed]
        np.testing.assert_allclose(found[name], expected)
    assert found["class head"][-1] == (output.cls_logits.argmax(1) == LABELS).mean()
    assert found["distillation head"][-1] == (output.distillation_logits.argmax(1) == LABELS).mean()
    assert len({*found["class head"]}) > 1  # else places could be swapped unseen


def test_equal_attention_looks_as_far_as_patches_are_apart():
    """In a grid of 2 x 2 a patch is 0, 1, 1 and sqrt(2) away from the four, itself among them."""
    zeros = {f"blocks__{i}__attn__qkv__{part}": np.zeros(shape, np.float32)
             for i in range(2) for part, shape in (("weight", (96, 32)), ("bias", (96,)))}  # fmt: skip
    found = inside.attention_distances(changed(**zeros).to("torch"), torch.from_numpy(PIXELS))
    np.testing.assert_allclose(found, np.full((2, 4), (2 + math.sqrt(2)) / 4))
    wide = inside.patch_distances((1, 3)).numpy()
    np.testing.assert_array_equal(wide, [[0, 1, 2], [1, 0, 1], [2, 1, 0]])
    assert inside.patch_distances((2, 3))[0, 5] == pytest.approx(math.sqrt(5))  # row by row, as patches are numbered


def test_distances_against_a_loop_over_the_books_attention():
    trace = Trace()
    forward(WEIGHTS, pixel_values=PIXELS, trace=trace)
    places = [(0, 0), (0, 1), (1, 0), (1, 1)]
    expected = np.zeros((2, 4))
    for layer, probabilities in enumerate(trace.matching("blocks.*.attention.probabilities")):
        for head in range(4):
            values = []
            for photo in probabilities[:, head, 2:, 2:]:
                for row, here in zip(photo, places, strict=True):
                    values.append(
                        sum(p * math.dist(here, there) for p, there in zip(row, places, strict=True)) / row.sum()
                    )
            expected[layer, head] = np.mean(values)
    found = inside.attention_distances(WEIGHTS.to("torch"), torch.from_numpy(PIXELS))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found.std() > 0.005


def test_silenced_heads_against_the_books_head_mask():
    found = inside.silenced(WEIGHTS.to("torch"), torch.from_numpy(PIXELS), torch.from_numpy(LABELS))
    whole = (forward(WEIGHTS, pixel_values=PIXELS).logits.argmax(1) == LABELS).mean()
    for layer, head in np.ndindex(2, 4):
        mask = np.ones((2, 4), np.float32)
        mask[layer, head] = 0
        logits = forward(WEIGHTS, pixel_values=PIXELS, head_mask=mask).logits
        assert found[layer, head] == pytest.approx((logits.argmax(1) == LABELS).mean())
    assert (found != whole).any()


def test_the_program_writes_tables_and_figures(tmp_path, capsys):
    photos = write_photos(tmp_path / "photos", train=1, test=3)
    weights = dataclasses.replace(WEIGHTS, class_names=("blue", "green", "red"))
    save_weights(weights, tmp_path / "weights")
    options = ["--data", str(photos), "--json", str(tmp_path), "--png", str(tmp_path), "--photos", "6"]
    assert inside.main([*options, "--weights", str(tmp_path / "weights")]) == 0
    found = {name: json.loads((tmp_path / f"inside_{name}.json").read_text()) for name in
             ("cosine", "lens", "distance", "silenced")}  # fmt: skip
    assert found["cosine"]["command"] == "python -m deit_ref.benchmark.inside --data photos --weights weights"
    assert str(tmp_path) not in json.dumps(found)
    for name, table in found.items():
        assert (tmp_path / f"inside_{name}.png").stat().st_size > 1000
        assert all(len(row) == len(table["columns"]) for row in table["rows"])
        assert table["notes"][0] == "On 6 test photos."
    assert len(found["cosine"]["rows"]) == 5
    assert [row[0] for row in found["silenced"]["rows"]] == ["block 1", "block 2"]
    assert found["lens"]["rows"][-1][0] == "after block 2"
    images = open_images(photos, "test")
    pixel_values, labels = inside.seen(images, load_weights(tmp_path / "weights").image_processing)
    assert pixel_values.shape == (9, 3, 16, 16)
    assert labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert "In patches; equal attention to all patches gives 0.85." in capsys.readouterr().out


def test_weights_without_two_heads_are_refused(tmp_path, capsys):
    save_weights(random_weights(dataclasses.replace(CONFIG, distilled=False)), tmp_path / "plain")
    with pytest.raises(SystemExit):
        inside.main(["--data", str(tmp_path), "--weights", str(tmp_path / "plain")])
    assert "expected weights with two heads that classify" in capsys.readouterr().err
