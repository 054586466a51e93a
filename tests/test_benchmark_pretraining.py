"""Whether masked pre-training helps: the photos that are drawn, and the program."""

import dataclasses
import json

import numpy as np
import pytest
from strategies import TINY, random_weights
from tiny_data import PLAIN, write_photos

from deit_ref import save_weights
from deit_ref.benchmark import pretraining, runs
from deit_ref.benchmark.pretraining import few
from deit_ref.data.opening import open_splits
from deit_ref.training.recipe import RECIPES, Recipe
from deit_ref.training.run import train

CONFIG = dataclasses.replace(TINY, image_size=16, patch_size=4, encoder_stride=4, num_labels=3)


def test_few_photos_are_so_many_of_each_class(tmp_path):
    images = open_splits(write_photos(tmp_path, train=6, test=1))["train"]
    drawn = [few(images, 2, seed=seed) for seed in (0, 0, 1)]
    assert [np.bincount(some.labels).tolist() for some in drawn] == [[2, 2, 2]] * 3
    names = [[*some.names] for some in drawn]
    assert names[0] == names[1] != names[2]
    with pytest.raises(ValueError, match="at most the 6 photos of the smallest class, got 7"):
        few(images, 7, seed=0)


def test_the_program_trains_each_student_once(tmp_path, capsys, monkeypatch):
    photos = write_photos(tmp_path / "photos", train=6, test=3)
    masked = random_weights(CONFIG, "masked-image-modeling", std=0.3, mask_token=True)
    save_weights(
        dataclasses.replace(masked, image_processing=Recipe(image_size=16).image_processing), tmp_path / "weights"
    )
    changes = {"batch_size": 6, "ema_decay": None, "optimizer": "adamw", "model": "cifar10-small", "image_size": 16}
    monkeypatch.setitem(RECIPES, "cifar10-finetune", Recipe(**{**PLAIN, **changes}))
    seen = []

    def watched(recipe, splits, folder, **options):
        given = recipe.epochs, recipe.learning_rate, options["start"] is None, options["seed"], len(splits["train"])
        seen.append(given)
        train(recipe, splits, folder, **options)

    monkeypatch.setattr(runs, "train", watched)
    files = ["--out", str(tmp_path / "runs"), "--json", str(tmp_path / "table.json")]
    command = ["--data", str(photos), "--weights", str(tmp_path / "weights"), "--each", "4"]
    command += ["--epochs", "1", "2", "--seeds", "2", *files]
    assert pretraining.main(command) == 0
    assert seen == [
        (epochs, rate, new, seed, 12) for epochs in (1, 2) for seed in (0, 1) for new in (True, False)
        for rate in (5e-4, 2e-3)
    ]  # fmt: skip
    found = json.loads((tmp_path / "table.json").read_text(encoding="utf-8"))
    assert found["columns"][1:] == ["1 epoch", "2 epochs"]
    assert [row[0] for row in found["rows"]] == [*found["results"]]
    for name, *cells in found["rows"]:
        for cell, (one, other) in zip(cells, found["results"][name].values(), strict=True):
            assert cell == f"{50 * (one + other):.2f} ± {100 * abs(one - other) / 2**0.5:.2f}"
    lines = (tmp_path / "runs" / "new-weights-0.0005-2-epochs-1" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["test"]["top1"] == found["results"]["new weights, 0.0005"]["2"][1]
    monkeypatch.setattr(runs, "train", None)  # nothing is trained again
    capsys.readouterr()
    assert pretraining.main(command) == 0
    assert capsys.readouterr().out.splitlines()[2:] == ["| " + " | ".join(row) + " |" for row in found["rows"]]
