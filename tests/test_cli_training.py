"""The commands that train and evaluate, as a user types them, on three classes of tiny photos."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from test_cli import assert_one_line_error, run

import deit_ref
from deit_ref.commands import recipes
from deit_ref.training.recipe import FIELDS, RECIPES
from deit_ref.weights import named_arrays

NAMES = ("ant", "bee", "cat")
TINY = ("--epochs", 1, "--batch-size", 8)
SMALL = (*TINY, "--set", "model=cifar10-small", "warmup_epochs=0")
THERE = "12 photos of 3 classes (ant 4, bee 4, cat 4)"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Photos whose class is the brightest channel: 8 of each to train, 4 to test."""
    folder = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(0)
    for split, count in (("train", 8), ("test", 4)):
        for channel, name in enumerate(NAMES):
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                photo = generator.integers(0, 60, (32, 32, 3), np.uint8)
                photo[..., channel] += 150
                Image.fromarray(photo).save(folder / split / name / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory, data):
    """Finished runs: folder, exit code and standard output of each, by name."""
    home = tmp_path_factory.mktemp("runs")
    teacher = home / "teacher"
    commands = {
        "teacher": ("train-teacher", *TINY),
        "student": ("train", "--recipe", "cifar10-distilled", "--teacher", teacher, *SMALL[2:], "epochs=2"),
        "simmim": ("train", "--recipe", "cifar10-simmim", *SMALL),
        "classic": ("finetune", "--recipe", "cifar10-finetune", "--weights", home / "student", *TINY),
        "both": ("finetune", "--recipe", "cifar10-finetune", "--weights", home / "simmim", "--distillation", "soft",
                 "--teacher", teacher, "--image-size", 40, *TINY),
    }  # fmt: skip
    found = {}
    for name, words in commands.items():
        whole = [sys.executable, "-m", "deit_ref", *map(str, words), "--data", str(data), "--out", str(home / name)]
        found[name] = subprocess.run(whole, capture_output=True, text=True, check=False)
        assert found[name].returncode == 0, found[name].stderr
    return home, found


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", ["teacher", "student", "simmim", "classic", "both"])
def test_a_run_prints_each_epoch_and_what_to_do_next(runs, name):
    home, found = runs
    lines = metrics(home / name)
    printed = found[name].stdout.splitlines()
    assert len(lines) == (2 if name == "student" else 1)
    for line, text in zip(lines, printed, strict=False):
        assert text.startswith(f"epoch {line['epoch']}/{len(lines)}, loss {line['loss']:.4f}, ")
        assert f"learning rate {line['learning_rate']:.3g}" in text
        test = line["test"]
        if name == "simmim":
            assert f"masked L1 {test['masked_l1']:.4f} (mean color {test['mean_color']:.4f}, neigh" in text
        else:
            assert f"accuracy {line['accuracy']:.2%}, test top-1 {test['top1']:.2%}" in text
    following = {"teacher": "--teacher", "simmim": "--weights"}.get(name, "classify photo.jpg --weights")
    assert f"{following} {home / name}" in found[name].stdout
    (last,) = (line for line in printed if line.startswith(f"{home / name}: the "))
    told = {*last.removesuffix(".").replace(" and ", ", ").split(", ")[1:]}
    weights = {"config.json", "preprocessor_config.json", "model.safetensors"}
    assert told == {path.name for path in (home / name).iterdir()} - weights - {".lock"}
    assert "step/s" not in found[name].stderr  # a progress bar is for terminals
    with Image.open(home / name / "metrics.png") as picture:
        assert picture.size[0] == (780 if name == "simmim" else 1560)


def test_classic_fine_tuning_learns_with_the_class_token_alone(runs):
    home, found = runs
    student, classic, both = (deit_ref.load_weights(home / name) for name in ("student", "classic", "both"))
    assert (student.task, classic.task) == ("classification-with-teacher", "classification")
    assert "head_dist.weight, head_dist.bias: not needed" in found["classic"].stderr
    changed = np.abs(student.head.weight - classic.head.weight).max()
    assert 0 < changed < 0.05  # begun from the student's head, and trained
    assert both.task == "classification-with-teacher"
    assert both.config.image_shape == (40, 40)
    assert "interpolated from a grid of (8, 8) to (10, 10)" in found["both"].stderr
    assert student.class_names == classic.class_names == both.class_names == NAMES


@pytest.mark.parametrize("name", ["teacher", "student", "classic"])
def test_evaluate_agrees_with_the_run(capsys, data, runs, name):
    home, _ = runs
    last = metrics(home / name)[-1]["test"]
    words = ("evaluate", "--data", data, "--weights", home / name)
    code, out, err = run(capsys, *words, "--json", "--batch-size", 5, "--device", "cpu")
    assert (code, err) == (0, f"deit-ref: test: {THERE} in {data}/test, 32x32 pixels\n")
    found = json.loads(out)
    assert (found["photos"], found["split"], found["weights"]) == (12, "test", str(home / name))
    assert found["per_class"] == last["per_class"]
    # A teacher is stored in float16.
    assert found["loss"] == pytest.approx(last["loss"], rel=2e-2 if name == "teacher" else 1e-3)
    assert ("distillation_top1" in found) == (name == "student")
    code, out, err = run(capsys, *words, "--no-check")
    assert (code, err) == (0, f"deit-ref: test: {THERE} in {data}/test\n")
    assert re.search(rf"^  top-1 +{found['top1']:.2%}  {found['right']} of 12 photos$", out, re.M)
    assert re.search(rf"^  cat +{found['per_class']['cat']:.2%}$", out, re.M)
    assert ("distillation head" in out) == (name == "student")


def test_evaluate_of_the_other_split_and_of_hidden_patches(capsys, data, runs):
    home, _ = runs
    out = run(capsys, "evaluate", "--data", data, "--weights", home / "student", "--split", "train", "--json")[1]
    assert json.loads(out)["photos"] == 24
    words = ("evaluate", "--data", data, "--weights", home / "simmim", "--block", 2)
    last = metrics(home / "simmim")[-1]["test"]
    found = json.loads(run(capsys, *words, "--json")[1])
    for name in ("masked_l1", "mean_color", "neighbors"):
        assert found[name] == pytest.approx(last[name], rel=1e-4)
    for option, value in (("--mask-ratio", 0.5), ("--block", 1)):
        result = run(capsys, "evaluate", data, "--weights", home / "student", option, value)
        assert_one_line_error(result, f"{option} is of weights that guess hidden patches, and these classify")
    for name in ("student", "simmim"):
        result = run(capsys, "evaluate", data, "--weights", home / name, "--seed", 0)
        assert_one_line_error(
            result, "--seed chooses what --val-split holds out: add --val-split R, or leave out --seed"
        )
    out = run(capsys, *words, "--mask-ratio", 0.25)[1]
    assert out.startswith("12 photos, split test, 25% hidden in squares of 2x2 patches\n")
    assert f"{found['masked_l1']:.4f}" not in out  # another share hidden is another number


def test_trained_weights_classify(capsys, data, runs):
    home, _ = runs
    code, out, err = run(capsys, "classify", data / "test" / "ant" / "0.png", "--weights", home / "classic", "--json")
    assert (code, err) == (0, "")
    assert {entry["class"] for entry in json.loads(out)["top"]} == set(NAMES)


def test_classes_of_other_names_are_taken_in_order_and_said(capsys, data, runs, tmp_path):
    for name, other in zip(NAMES, ("x", "y", "z"), strict=True):
        (tmp_path / "test").mkdir(exist_ok=True)
        os.symlink(data / "test" / name, tmp_path / "test" / other)
    words = ("evaluate", "--weights", runs[0] / "student", "--json", "--data")
    code, out, err = run(capsys, *words, tmp_path)
    assert code == 0
    said = "deit-ref: warning: classes are compared by their order, not by name: 'x' is taken for 'ant'."
    assert err.splitlines()[-1] == said
    same = json.loads(run(capsys, *words, data)[1])
    assert list(json.loads(out)["per_class"].values()) == list(same["per_class"].values())
    (tmp_path / "test" / "z").rename(tmp_path / "test" / "bee")
    assert_one_line_error(run(capsys, *words, tmp_path), "3 classes (ant, bee, cat), and not x, y")
    (tmp_path / "test" / "bee").unlink()
    assert_one_line_error(run(capsys, *words, tmp_path), "know 3 classes (ant, bee, cat), and not x, y")


def test_an_interrupted_run_says_how_to_go_on_and_does(capsys, data, tmp_path, monkeypatch):
    from deit_ref.training import loop

    words = ("train", "--recipe", "cifar10-table", "--data", data, "--out", tmp_path / "a", *SMALL, "erasing=0")
    whole = (*words[:6], tmp_path / "b", *words[7:])
    learning_rate, asked = loop.learning_rate, []

    def interrupting(recipe, epoch):
        asked.append(epoch)
        if len(asked) == 2:
            signal.raise_signal(signal.SIGINT)
        return learning_rate(recipe, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "learning_rate", interrupting)
        code, out, err = run(capsys, *words)
    assert (code, out) == (130, "")
    said = f"deit-ref: interrupted: the same command with --resume goes on in {tmp_path / 'a'}."
    assert err.splitlines()[-1] == said
    assert_one_line_error(run(capsys, *words), "holds a run already", "resume")
    code, out, err = run(capsys, *words, "--seed", 5, "--resume")
    assert (code, out) == (2, "")
    assert "another recipe: seed 0, now 5" in err.splitlines()[-1]
    assert run(capsys, *words, "--resume")[0] == run(capsys, *whole)[0] == 0
    a, b = (dict(named_arrays(deit_ref.load_weights(tmp_path / name))) for name in "ab")
    for name, array in a.items():
        np.testing.assert_array_equal(array, b[name])


def test_only_the_first_process_speaks(capsys, data, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    from deit_ref.training import run as training

    def train(*args, report, **kwargs):
        training.logger.warning("said by all")

    monkeypatch.setattr(training, "train", train)
    words = ("train", "--recipe", "cifar10-table", "--data", data, "--out", tmp_path / "x")
    assert run(capsys, *words) == (0, "", "")


def test_recipes_change_by_words():
    change = recipes.changed_recipe
    recipe = change("cifar10-distilled", [("clip_norm", "none"), ("epochs", "3"), ("ema_warmup", "False")])
    expected = RECIPES["cifar10-distilled"].with_changes(clip_norm=None, epochs=3, ema_warmup=False)
    assert recipe == expected
    # "none" is a word where a field is a word, and nothing where it may be missing.
    assert change("cifar10-distilled", [("distillation", "none"), ("crop", "none")]).distillation == "none"
    assert change("deit-300", [("learning_rate_batch", "none"), ("learning_rate", "1e-3")]).scaled_learning_rate == 1e-3
    for changes, message in {
        (("epoch", "3"),): "Did you mean 'epochs'",
        (("epochs", "3.5"),): "epochs must be a whole number, got '3.5'",
        (("clip_norm", "x"),): "clip_norm must be a number or none, got 'x'",
        (("ema_warmup", "1"),): "ema_warmup must be true or false",
        (("epochs", "none"),): "epochs must be a whole number, got 'none'",
        (("epochs", "3"), ("epochs", "4")): "epochs is given twice",
        (("epochs", "0"),): "at least 1",
    }.items():
        with pytest.raises(ValueError, match=re.escape(message)):
            change("deit-300", changes)
    with pytest.raises(ValueError, match=r"--recipe must be one of .*Did you mean 'cifar10-table'"):
        change("cifar10-tabel", [])


def test_show_prints_every_field_and_trains_nothing(capsys):
    code, out, err = run(
        capsys, "train", "--recipe", "cifar10-table", "--show", "--set", "clip_norm=2.5", "--epochs", 7
    )
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == list(FIELDS)
    assert re.search(r"^clip_norm +2.5 +\(deit-300: None\)$", out, re.M)
    assert re.search(r"^epochs +7 ", out, re.M)
    assert re.search(r"^label_smoothing +0.1$", out, re.M)


def test_mistakes_are_one_line_and_leave_nothing(capsys, data, runs, tmp_path, monkeypatch):
    home, _ = runs
    out = tmp_path / "out"
    place = ("--data", data, "--out", out)
    table = ("train", "--recipe", "cifar10-table", *place)
    for words, message in {
        ("train",): "train needs --recipe and DATA and --out",
        ("finetune",): "finetune needs DATA and --out",
        ("finetune", data, *place): "DATA is given twice",
        ("train", "--recipe", "cifar10-tabel", *place): "Did you mean 'cifar10-table'",
        ("train", "--recipe", "cifar10-teacher", *place): "does not train the task 'teacher'",
        ("train-teacher", "--recipe", "cifar10-table", *place): "choose one of cifar10-teacher",
        ("finetune", "--weights", home / "student", "--recipe", "cifar10-simmim", *place): "cifar10-finetune",
        ("train", "--recipe", "cifar10-distilled", *place): "--teacher",
        (*table, "--teacher", home / "teacher"): "--distillation hard",
        (*table, "--set", "epochs"): "expected field=value",
        (*table, "--set", "epochs=2", "--epochs", 3): "given twice",
        (*table, "--batch-size", 0): "--batch-size",
        (*table, "--device", "abacus"): "abacus",
        (*table, "--resume"): "no checkpoint.pt to resume",
        ("train", "--recipe", "cifar10-table", "--data", tmp_path / "no", "--out", out): "There is no",
        ("finetune", "--weights", home / "student", "--recipe", "cifar10-finetune", "--set", "model=cifar10", *place): (
            "the model is that of --weights"
        ),
        ("evaluate",): "evaluate needs DATA",
        ("evaluate", "--data", data, "--weights", tmp_path / "absent"): "absent",
    }.items():
        assert_one_line_error(run(capsys, *words), message)
    # Photos are said to be there before they are too few.
    code, printed, err = run(capsys, *table, "--batch-size", 99)
    assert (code, printed) == (2, "")
    assert err.splitlines()[-1].startswith("deit-ref: error: batch_size 99 is more than the 24 photos")
    assert not out.exists()
    deit_ref.save_weights(deit_ref.load_weights(home / "student"), out)
    assert_one_line_error(run(capsys, *table), "holds other weights, which would be lost")
    features = tmp_path / "features"
    with pytest.warns(UserWarning, match="drops"):
        deit_ref.save_weights(deit_ref.load_weights(home / "student", task="features"), features)
    code, printed, err = run(capsys, "evaluate", "--data", data, "--weights", features)
    assert (code, printed) == (2, "")
    assert "got the task 'features'" in err.splitlines()[-1]
    regression = deit_ref.load_weights(home / "student")
    config = dataclasses.replace(regression.config, problem_type="regression")
    deit_ref.save_weights(dataclasses.replace(regression, config=config), tmp_path / "regression")
    judged = run(capsys, "evaluate", "--data", data, "--weights", tmp_path / "regression")
    assert_one_line_error(judged, "got the problem_type 'regression'")
    for name, words in {"tqdm": (), "torch": (), "kornia": ("--set", "rand_augment=2")}.items():
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            assert_one_line_error(run(capsys, *table, *words), name, "pip install -c constraints.txt '.[train]'")


def test_help_shows_examples_and_recipes(capsys):
    everything = run(capsys, "--help")[1]
    for command in ("train-teacher", "train", "finetune", "evaluate"):
        code, out, err = run(capsys, command, "--help")
        assert (code, err) == (0, "")
        assert f"examples:\n  deit-ref {command} " in out
        assert re.search(rf"\n +{command}\s", everything)
        listed = {name for name in RECIPES if f"\n  {name} " in out}
        tasks = {"train": ("classification", "masked-image-modeling"), "finetune": ("classification",)}
        assert listed == {name for name, recipe in RECIPES.items() if recipe.task in tasks.get(command, ())}


def test_test_photos_are_looked_at_every_so_many_epochs_and_after_the_last(capsys, data, tmp_path):
    words = ("train-teacher", "--data", data, "--out", tmp_path / "out", "--epochs", 5, "--batch-size", 8)
    code, out, err = run(capsys, *words, "--evaluate-every", 2)
    assert code == 0, err
    assert [line["epoch"] for line in metrics(tmp_path / "out") if "test" in line] == [2, 4, 5]
    assert [line.split("/")[0] for line in out.splitlines() if line.startswith("epoch")] == [
        "epoch 2",
        "epoch 4",
        "epoch 5",
    ]
    assert run(capsys, *words, "--evaluate-every", 0)[0] == 2
