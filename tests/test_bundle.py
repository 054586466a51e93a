"""The two programs around training: from a run to a bundled checkpoint with its card, and the distillation table."""

import json

import numpy as np
import pytest
import torch
from tiny_data import PLAIN, metrics, write_photos

import deit_ref
from deit_ref.benchmark import distillation
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


def test_a_card_tells_of_cut_outs_and_the_codes_commit(runs, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "stamps", lambda folder: open_images(folder, "test"))
    bundle.bundle(runs / "teacher", tmp_path, photos, hardware="h", commit="0c90ac0", pictures=photos)
    told = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "| top-1, 6 cut-outs on white (tuxpaint-stamps-default), not learned from | " in told
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


@pytest.fixture
def tiny_table(monkeypatch):
    monkeypatch.setitem(distillation.RECIPES, "cifar10-table", Recipe(**SHORT))


def test_the_table_trains_each_way_for_each_seed_and_goes_on_where_it_was(tiny_table, runs, photos, tmp_path, capsys):
    words = ["--data", str(photos), "--teacher", str(runs / "teacher"), "--out", str(tmp_path / "out")]
    words += ["--json", str(tmp_path / "t.json"), "--png", str(tmp_path / "t.png"), "--epochs", "1", "--seeds", "2"]
    assert distillation.main(words) == 0
    printed = capsys.readouterr().out
    record = json.loads((tmp_path / "t.json").read_text())
    assert record["recipe"]["epochs"] == 1
    assert record["ways"] == distillation.WAYS
    assert record["rows"] == distillation.rows(record["results"])
    assert "--seeds 2 --epochs 1" in record["command"]
    assert {way: [run["seed"] for run in runs] for way, runs in record["results"].items()} == {
        "no teacher": [0, 1],
        "soft": [0, 1],
        "hard": [0, 1],
    }
    for way, folder in (("soft", "soft-1"), ("no teacher", "no-teacher-1")):
        test = metrics(tmp_path / "out" / folder)[-1]["test"]
        run = record["results"][way][1]
        assert (run["average"], run["class head"], run["distillation head"]) == (
            test["top1"],
            test["cls_top1"],
            test["distillation_top1"],
        )
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")
    changed = [(path, path.stat().st_mtime_ns) for path in sorted((tmp_path / "out").rglob("*.*"))]
    assert distillation.main(words) == 0
    assert capsys.readouterr().out == printed
    assert json.loads((tmp_path / "t.json").read_text()) == record
    assert [(path, path.stat().st_mtime_ns) for path in sorted((tmp_path / "out").rglob("*.*"))] == changed


def test_the_table_gives_mean_and_deviation_in_percent():
    def runs(*values):
        return [{"class head": v, "distillation head": v + 0.1, "average": v + 0.2} for v in values]

    text = distillation.table({"no teacher": runs(0.5), "hard": runs(0.6, 0.7)})
    assert text.splitlines() == [
        "| taught by | class head | distillation head | average |",
        "| --- | --- | --- | --- |",
        "| no teacher | 50.00 | 60.00 | 70.00 |",
        "| hard | 65.00 ± 7.07 | 75.00 ± 7.07 | 85.00 ± 7.07 |",
    ]
