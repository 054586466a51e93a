"""From a run to a bundled checkpoint with its card."""

import numpy as np
import pytest
import torch
from tiny_data import PLAIN, metrics, write_photos

import deit_ref
from deit_ref.data.opening import open_images
from deit_ref.training import bundle
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
    card = (target / "README.md").read_text(encoding="utf-8")
    assert card.startswith(f"# tiny-{kind}\n")
    seconds = load_state(runs / kind, device=torch.device("cpu"))["seconds"]
    assert f"Seed 5, 4 steps, {seconds / 60:.0f} minutes on an abacus." in card
    assert "| epochs | 2 |" in card
    assert ("| mask_block | 2 |" in card) == (kind == "masked")
    for told in (
        "expected calibration error, of 3 test photos",
        "saved again as JPEG of quality 75",
        "logits divided by",
    ):
        assert (told in card) == (kind != "masked")
    assert ("| alpha | 0.5 |" in card) == (kind == "student")
    if kind == "teacher":
        teacher, names = load_teacher(target)
        assert names == ("blue", "green", "red")
        assert f"{sum(p.numel() for p in teacher.parameters()):,} parameters" in card
        return
    before, after = (dict(named_arrays(deit_ref.load_weights(folder))) for folder in (runs / kind, target))
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array.astype(np.float16).astype(np.float32))
    if kind == "student":
        reached = metrics(runs / kind)[-1]["test"]["top1"]
        assert f"| top-1, 6 test photos | {reached:.2%} |" in card
        assert "--teacher cifar10-teacher" in card
    else:
        assert "guessing the mean color" in card
        assert "%" not in card.split("## Recipe")[0]


def test_a_card_tells_of_strangers_and_the_codes_commit(runs, photos, tmp_path):
    strangers = {"cut-outs on white": open_images(photos, "test")}
    bundle.bundle(runs / "teacher", tmp_path, photos, hardware="h", commit="0c90ac0", strangers=strangers)
    told = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "| top-1, 6 cut-outs on white, nothing learned from | " in told
    assert "`, at commit 0c90ac0\n" in told


def test_the_command_on_a_card_names_the_closest_recipe_and_every_change(runs):
    recipe = RECIPES["cifar10-distilled"].with_changes(epochs=7, erasing=0.0)
    text = bundle.card("x", recipe, {"seed": 0, "step": 1, "seconds": 600}, {"masked_l1": 1.0, "photos": 2,
                       "mean_color": 1.0, "neighbors": 1.0}, count=3, hardware="h")  # fmt: skip
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
