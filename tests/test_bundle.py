"""From a run to a bundled checkpoint with its card."""

import dataclasses

import numpy as np
import pytest
import torch
from tiny_data import PLAIN, metrics, write_photos

import deit_ref
from deit_ref.data.opening import open_images
from deit_ref.training import bundle
from deit_ref.training.card import card
from deit_ref.training.recipe import RECIPES, Recipe
from deit_ref.training.run import train
from deit_ref.training.state import load_state
from deit_ref.training.teacher import load_teacher
from deit_ref.weights import named_arrays

SHORT = {**PLAIN, "epochs": 2, "ema_decay": None}
KINDS = {
    "teacher": {**SHORT, "task": "teacher", "optimizer": "sgd", "learning_rate": 0.2},
    "student": {**SHORT, "distillation": "hard"},
    "masked": {**SHORT, "task": "masked-image-modeling", "mask_block": 2},
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"), train=4, test=2)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, photos):
    folder = tmp_path_factory.mktemp("runs")
    for kind, changes in KINDS.items():
        teacher = folder / "teacher" if kind == "student" else None
        train(Recipe(**changes), photos, folder / kind, teacher=teacher, seed=5, bfloat16=False, device="cpu")
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_becomes_half_precision_files_and_a_card_of_what_they_reach(kind, runs, photos, tmp_path, capsys):
    target = tmp_path / f"tiny-{kind}"
    assert bundle.main([str(runs / kind), str(target), "--data", str(photos), "--hardware", "an abacus"]) == 0
    assert "photos" in capsys.readouterr().out
    assert "F16" in str((target / "model.safetensors").read_bytes()[:400])
    told = (target / "README.md").read_text(encoding="utf-8")
    assert told.startswith(f"# tiny-{kind}\n")
    seconds = load_state(runs / kind, device=torch.device("cpu"))["seconds"]
    assert f"Trained with seed 5: 4 steps, {seconds / 60:.0f} minutes on an abacus." in told
    assert "| epochs | 2 |" in told
    assert ("| mask_block | 2 |" in told) == (kind == "masked")
    for words in (
        "expected calibration error, of 3 test photos",
        "saved again as JPEG of quality 75",
        "logits divided by",
    ):
        assert (words in told) == (kind != "masked")
    assert ("| alpha | 0.5 |" in told) == (kind == "student")
    if kind == "teacher":
        teacher, names = load_teacher(target)
        assert names == ("blue", "green", "red")
        assert f"{sum(p.numel() for p in teacher.parameters()):,} parameters" in told
        return
    before, after = (dict(named_arrays(deit_ref.load_weights(folder))) for folder in (runs / kind, target))
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array.astype(np.float16).astype(np.float32))
    if kind == "student":
        reached = metrics(runs / kind)[-1]["test"]["top1"]
        assert f"| top-1, 6 test photos | {reached:.2%} |" in told
        assert "--teacher cifar10-teacher" in told
    else:
        assert "guessing the mean color" in told
        assert "%" not in told.split("## Recipe")[0]


def test_a_card_tells_of_strangers_and_the_codes_commit(runs, photos, tmp_path):
    strangers = {"cut-outs on white": open_images(photos, "test")}
    bundle.bundle(runs / "teacher", tmp_path, photos, hardware="h", commit="0c90ac0", strangers=strangers)
    told = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "| top-1, 6 cut-outs on white, nothing learned from | " in told
    assert "`, at commit 0c90ac0\n" in told


def state(recipe, **changes):
    return {"recipe": dataclasses.asdict(recipe), "seed": 0, "step": 1, "seconds": 600, **changes}


FOUND = {"masked_l1": 1.0, "photos": 2, "mean_color": 1.0, "neighbors": 1.0}


def test_the_command_on_a_card_names_the_closest_recipe_and_every_change():
    recipe = RECIPES["cifar10-distilled"].with_changes(epochs=7, erasing=0.0)
    text = card("x", state(recipe), FOUND, count=3, hardware="h")
    assert "--recipe cifar10-distilled --data cifar10 --out x --seed 0 --teacher cifar10-teacher" in text
    assert "--set epochs=7 --set erasing=0.0" in text
    assert "10 minutes on h" in text
    for row in (
        "| epochs | 7 | 300 |",
        "| optimizer | muon | adamw |",
        "| surround | 0.4 | 0.0 |",
        "| padding | 4 |  |",
    ):
        assert row in text.splitlines()


def test_a_card_of_a_run_that_began_with_anothers_weights_tells_of_both():
    first, second = (RECIPES["cifar10-distilled"].with_changes(epochs=epochs) for epochs in (7, 9))
    states = state(first), state(second, seed=1, step=5, seconds=1200)
    text = card("x", states[1], FOUND, count=3, hardware="h", before=states[:1])
    teacher = "--teacher cifar10-teacher --set epochs"
    assert (
        f"- Command: `deit-ref train --recipe cifar10-distilled --data cifar10 --out first --seed 0 {teacher}=7`, then "
        "`deit-ref finetune --weights first --recipe cifar10-distilled --data cifar10 --out x --seed 1 "
        f"{teacher}=9`\n"
    ) in text
    assert "- Trained with seed 0: 1 steps, 10 minutes, then with seed 1: 5 steps, 20 minutes on h.\n" in text
    assert "Of the last command; the first has epochs 7.\n" in text
    assert "| epochs | 9 | 300 |" in text.splitlines()
    text = card("x", state(first), FOUND, count=3, hardware="h", before=states)
    assert f"--out second --seed 1 {teacher}=9`, then `deit-ref finetune --weights second " in text
    assert "Of the last command; the first has nothing else; the second has epochs 9.\n" in text


def test_a_card_names_the_run_whose_weights_were_begun_with_and_no_other(runs, photos, tmp_path):
    start, recipe = deit_ref.load_weights(runs / "student"), Recipe(**KINDS["student"])
    same = {"teacher": runs / "teacher", "task": start.task, "bfloat16": False, "device": "cpu"}
    train(recipe, photos, tmp_path / "second", start=start, seed=6, **same)
    with pytest.raises(
        ValueError, match="second did not begin with new weights: give all runs before it as begun_from"
    ):
        bundle.bundle(tmp_path / "second", tmp_path / "x", photos, hardware="h")
    with pytest.raises(ValueError, match=r"second did not begin with those of \S*masked: give all runs before it"):
        bundle.bundle(tmp_path / "second", tmp_path / "x", photos, hardware="h", begun_from=[runs / "masked"])
    bundle.bundle(tmp_path / "second", tmp_path / "x", photos, hardware="h", begun_from=[runs / "student"])
    assert "deit-ref finetune --weights first " in (tmp_path / "x" / "README.md").read_text(encoding="utf-8")
