"""Weights for photos of another size: positions by hand and by the peers' own functions, and the program."""

import dataclasses
import json

import numpy as np
import pytest
import scipy.ndimage
from PIL import Image
from strategies import TINY, random_pixels, random_weights
from tiny_data import CLASSES, PLAIN, write_photos

from deit_ref import forward, save_weights
from deit_ref.benchmark import resolution, runs
from deit_ref.benchmark.resolution import WAYS, resized
from deit_ref.data.opening import open_splits
from deit_ref.numpy_backend.positions import interpolate_pos_embed
from deit_ref.training.recipe import RECIPES, Recipe

CONFIG = dataclasses.replace(TINY, image_size=16, patch_size=4, encoder_stride=4, num_labels=3)
WEIGHTS = dataclasses.replace(
    random_weights(CONFIG, "classification-with-teacher", std=0.3),
    class_names=CLASSES,
    image_processing=Recipe(image_size=16).image_processing,
)


@pytest.mark.parametrize("size", [12, 20, 24])
def test_positions_are_those_of_this_project_of_pillows_resize_and_of_scipys_zoom(size):
    """Smoothing, as timm does it, is what Pillow does to photos, its cubic too."""
    grids = {"source_grid": (4, 4), "target_grid": (size // 4, size // 4)}
    found = {way: resized(WEIGHTS, size, way).pos_embed for way in WAYS}
    ours = interpolate_pos_embed(WEIGHTS.pos_embed, num_prefix_tokens=2, **grids)
    np.testing.assert_allclose(found["bicubic"], ours, atol=2e-6)
    plane = WEIGHTS.pos_embed[0, 2:].reshape(4, 4, -1)
    for i in range(plane.shape[-1]):
        theirs = Image.fromarray(plane[:, :, i]).resize(grids["target_grid"], Image.Resampling.BICUBIC)
        np.testing.assert_allclose(found["bicubic, smoothed"][0, 2:, i], np.asarray(theirs).ravel(), atol=1e-6)
    zoomed = scipy.ndimage.zoom(plane, (size / 16, size / 16, 1), order=1).reshape(1, -1, plane.shape[-1])
    linear = found["linear, corners in place"]
    np.testing.assert_allclose(linear[:, 2:], zoomed, atol=1e-6)
    np.testing.assert_array_equal(linear[:, :2], WEIGHTS.pos_embed[:, :2])
    assert len({array.tobytes() for array in found.values()}) == 3


def test_resized_weights_take_photos_of_their_size_and_are_otherwise_the_same():
    large = resized(WEIGHTS, 24, "bicubic")
    assert large.config.image_shape == (24, 24)
    assert large.image_processing.size == {"shortest_edge": 24}
    assert large.class_names == CLASSES
    pixels = random_pixels(dataclasses.replace(CONFIG, image_size=24))
    expected = forward(WEIGHTS, pixel_values=pixels, interpolate_pos_encoding=True).logits
    np.testing.assert_allclose(forward(large, pixel_values=pixels).logits, expected, atol=1e-5)
    for way in WAYS:
        np.testing.assert_array_equal(resized(WEIGHTS, 16, way).pos_embed, WEIGHTS.pos_embed)


def test_the_program_measures_before_and_after_and_tunes_once(tmp_path, capsys, monkeypatch):
    photos = write_photos(tmp_path / "photos", train=6, test=3)
    save_weights(WEIGHTS, tmp_path / "weights")
    changes = {"epochs": 2, "batch_size": 6, "learning_rate": 5e-3, "ema_decay": None, "optimizer": "adamw"}
    monkeypatch.setitem(RECIPES, "cifar10-finetune", Recipe(**{**PLAIN, **changes}))
    files = ["--out", str(tmp_path / "runs"), "--json", str(tmp_path / "table.json")]
    command = ["--data", str(photos), "--weights", str(tmp_path / "weights"), "--sizes", "12", "16", "--epochs", "3"]
    command += ["--tuned", "bicubic", *files]
    assert resolution.main(command) == 0
    found = json.loads((tmp_path / "table.json").read_text(encoding="utf-8"))
    assert [row[0] for row in found["rows"]] == [f"{size} pixels, {way}" for size in (12, 16) for way in WAYS]
    test = open_splits(photos)["test"]
    logits = forward(WEIGHTS, [test.read(i) for i in range(len(test))]).logits
    assert found["results"]["16 pixels, bicubic"]["before"] == pytest.approx((logits.argmax(1) == test.labels).mean())
    tuned = {name: values["after"] for name, values in found["results"].items() if "after" in values}
    assert tuned == {
        row[0]: pytest.approx(float(row[2].rstrip("%")) / 100, abs=1e-4) for row in found["rows"] if row[2]
    }
    assert list(tuned) == ["12 pixels, bicubic", "16 pixels, bicubic"]
    lines = (tmp_path / "runs" / "12-bicubic" / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 3
    assert json.loads(lines[-1])["test"]["top1"] == pytest.approx(found["results"]["12 pixels, bicubic"]["after"])
    assert found["command"].endswith("--data photos --weights weights --sizes 12 16 --epochs 3 --tuned bicubic")
    assert found["notes"][1] == "Fine-tuning: 3 epochs at the new size."
    monkeypatch.setattr(runs, "train", None)  # nothing is trained again
    assert resolution.main(command) == 0
    assert json.loads((tmp_path / "table.json").read_text(encoding="utf-8"))["results"] == found["results"]
    assert str(tmp_path) not in (tmp_path / "table.json").read_text(encoding="utf-8")


def test_fine_tuning_needs_a_folder(tmp_path, capsys):
    with pytest.raises(SystemExit):
        resolution.main(["--data", str(tmp_path), "--epochs", "1"])
    assert "expected --out with --epochs" in capsys.readouterr().err
