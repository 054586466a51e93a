"""A run is trained once, goes on where it was cut off, and a finished one of something else is not an answer."""

import json

import pytest
from tiny_data import CLASSES, PLAIN, write_photos

from deit_ref.benchmark import runs
from deit_ref.benchmark.runs import trained_once
from deit_ref.data.images import subset
from deit_ref.data.opening import open_splits
from deit_ref.training.recipe import Recipe
from deit_ref.training.student import new_weights

TINY = Recipe(**{**PLAIN, "epochs": 2, "learning_rate": 2e-3, "ema_decay": None, "batch_size": 6})


def test_a_finished_run_is_taken_and_one_of_something_else_is_refused(tmp_path, monkeypatch):
    splits = open_splits(write_photos(tmp_path / "photos", train=6, test=3))
    start, other = (new_weights(TINY, class_names=CLASSES, seed=seed) for seed in (0, 1))
    folder = tmp_path / "run"
    options = {"device": "cpu", "bfloat16": False}
    trained_once(TINY, splits, folder, start=start, **options)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert ["test" in line for line in lines] == [False, True]  # evaluated once, at the end
    monkeypatch.setattr(runs, "train", None)  # nothing is trained again
    trained_once(TINY, splits, folder, start=start, **options)
    fewer = {**splits, "train": subset(splits["train"], range(12))}
    for changes, message in (
        ({"recipe": TINY.with_changes(epochs=3)}, r"\(epochs 2, now 3\): choose another --out, or delete the folder"),
        ({"start": other}, r"\(other weights to begin with\)"),
        ({"start": None}, r"\(other weights to begin with\)"),
        ({"splits": fewer}, r"\(other photos to learn from\)"),
        ({"seed": 1}, r"\(seed 0, now 1\)"),
    ):
        with pytest.raises(ValueError, match=f"run of something else {message}"):
            trained_once(**{"recipe": TINY, "splits": splits, "folder": folder, "start": start, **changes})


def test_a_run_that_was_cut_off_goes_on(tmp_path, monkeypatch):
    asked = {}
    monkeypatch.setattr(runs, "train", lambda *args, **options: asked.update(options))
    trained_once(TINY, {}, tmp_path, seed=4)
    assert (asked["resume"], asked["assess_every"], asked["seed"]) == (False, 2, 4)
    (tmp_path / "checkpoint.pt").touch()
    trained_once(TINY, {}, tmp_path)
    assert asked["resume"]
