"""The experiment on tiny photos: what is trained, what is taken as it is, and what the tables say."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from tiny_data import CLASSES, PLAIN, write_photos

from deit_ref.benchmark import distillation, tables
from deit_ref.benchmark import runs as trainings
from deit_ref.benchmark.distillation import main
from deit_ref.benchmark.experiment import Experiment, first_pull, scores_of
from deit_ref.benchmark.teachers import Asked
from deit_ref.benchmark.ways import QUESTIONS, WAYS
from deit_ref.checkpoints.load import load_weights
from deit_ref.data.opening import open_splits
from deit_ref.training.batches import Batches
from deit_ref.training.lock import locked
from deit_ref.training.recipe import MODELS, RECIPES, Recipe
from deit_ref.training.teacher import new_teacher, save_teacher

TINY = Recipe(**{**PLAIN, "epochs": 2, "learning_rate": 2e-3, "ema_decay": None})


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Photos, two teachers, and a recipe "tiny"."""
    monkeypatch.setitem(RECIPES, "tiny", TINY)
    write_photos(tmp_path / "photos", train=6, test=3)
    for seed in (0, 1):
        teacher = new_teacher(3, seed=seed, image_size=16, widths=(4, 4, 4))
        save_teacher(teacher, tmp_path / f"teacher-{seed}", class_names=CLASSES)
    return tmp_path


def command(place, *words):
    data, teachers = ["--data", str(place / "photos")], ["--teacher", str(place / "teacher-0")]
    teachers += ["--teacher", f"deit={place / 'teacher-1'}"]
    files = ["--json", str(place / "tables"), "--png", str(place / "figures")]
    return [*words, *data, *teachers, *files, "--out", str(place / "runs"), "--recipe", "tiny"]


def opened(place, **sources):
    splits = open_splits(place / "photos", TINY.image_processing)
    return Experiment(TINY, splits, place / "runs", sources or {"convnet": str(place / "teacher-0")})


def read(place, name):
    return json.loads((place / "tables" / f"distillation_{name}.json").read_text(encoding="utf-8"))


def test_runs_are_named_by_what_they_are_and_trained_once(place, capsys, monkeypatch):
    trained = []
    real = trainings.train
    monkeypatch.setattr(trainings, "train", lambda *a, **options: trained.append(a[2].name) or real(*a, **options))
    assert main(command(place, "token", "--seeds", "1")) == 0
    runs = ["no-teacher-one-token-0", "no-teacher-0", "hard-one-token-0", "hard-two-class-tokens-0", "hard-0"]
    assert trained == runs
    assert main(command(place, "teacher", "token", "--seeds", "1")) == 0
    assert trained == [*runs, "hard-from-a-deit-0", "hard-from-both-0"]
    said = capsys.readouterr().out
    found = read(place, "token")
    assert found["columns"][0] in said
    assert found["notes"][0] == "In percent of the test photos, of one seed."
    assert [row[0] for row in found["rows"]] == list(QUESTIONS["token"])
    assert {name: len(each) for name, each in found["results"].items()} == dict.fromkeys(QUESTIONS["token"], 1)
    assert all(len(row) == len(found["columns"]) for row in found["rows"])
    assert found["rows"][0][2:] == [""] * 3  # of one head there is no mean
    alike = read(place, "cosine")
    assert [row[0] for row in alike["rows"]] == [way for way in QUESTIONS["token"] if "one token" not in way]
    assert all(len(row) == len(alike["columns"]) for row in alike["rows"])
    assert alike["notes"][0] == "Mean of the test photos, of one seed."
    assert "results" not in alike  # they are beside the accuracies
    assert [row[0] for row in read(place, "in_training")["rows"]] == ["convnet", "deit"]
    assert len(read(place, "in_training")["notes"]) == 1  # no student, no seeds
    assert found["command"] == (
        "python -m deit_ref.benchmark.distillation token --data photos --seeds 1 --teacher convnet=teacher-0 "
        "--teacher deit=teacher-1"
    )
    assert str(place) not in json.dumps(found)
    assert found["budget"] == {
        "runs": 5,
        "photos": 5 * 2 * 18,
        "seconds": round(sum(run["seconds"] for each in found["results"].values() for run in each)),
        "threads": [torch.get_num_threads()],
    }
    assert found["ways"]["hard, one token"]["changes"]["shared_targets"] is True
    for name in ("token", "cosine", "teacher"):
        assert (place / "figures" / f"distillation_{name}.png").stat().st_size > 1000
    assert load_weights(place / "runs" / "hard-one-token-0").task == "classification"


def test_what_is_measured_of_a_run(place):
    runs = opened(place)
    runs.run("hard", 3)
    folder = runs.folder("hard", 3)
    found, answers = json.loads((folder / "measured.json").read_text()), runs.answers("hard", 3)
    line = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    labels = runs.splits["test"].labels
    assert found["seed"] == 3
    assert found["photos"] == 36
    assert found["class head"] == line["test"]["cls_top1"] == (answers["class head"] == labels).mean()
    assert found["distillation head"] == line["test"]["distillation_top1"]
    assert found["mean of logits"] == line["test"]["top1"]
    assert found["differ"] == (answers["mean of logits"] != answers["mean of probabilities"]).mean()
    assert len(found["cosines"]["blocks"]) == MODELS["cifar10-small"].num_hidden_layers


def test_a_finished_run_of_something_else_is_no_answer(place):
    opened(place).run("hard", 0)
    other = dataclasses.replace(opened(place), recipe=TINY.with_changes(epochs=3))
    with pytest.raises(ValueError, match=r"something else \(epochs 2, now 3\): choose another --out, or delete"):
        other.run("hard", 0)
    with pytest.raises(ValueError, match="another teacher"):
        opened(place, convnet=str(place / "teacher-1")).run("hard", 0)
    with pytest.raises(ValueError, match=r"No teacher is called deit: add --teacher deit=FOLDER"):
        opened(place).run("hard, from a DeiT", 0)


def test_teachers_are_opened_once_and_remember_together_what_each_said_alone(place):
    runs = opened(place, convnet=str(place / "teacher-0"), deit=str(place / "teacher-1"))
    photos = torch.rand(2, 3, 16, 16)
    both = runs.teacher(("convnet", "deit"))(photos)
    assert runs.teacher(("deit",)) is runs.teacher(("deit",))
    alone = [runs.teacher((name,))(photos).softmax(1) for name in ("convnet", "deit")]
    torch.testing.assert_close(both.softmax(1), sum(alone) / 2)
    assert {path.name for path in (place / "runs").iterdir()} == {"answers-convnet.sqlite", "answers-deit.sqlite"}


def test_a_run_that_was_cut_off_goes_on_and_ends_as_if_it_had_not_been(place, monkeypatch):
    whole = dataclasses.replace(opened(place), out=place / "whole")
    whole.run("hard", 0)
    real = Batches.__call__

    def failing(self, step):
        if step == 4:
            raise RuntimeError("cut off")
        return real(self, step)

    monkeypatch.setattr(Batches, "__call__", failing)
    with pytest.raises(RuntimeError, match="cut off"):
        opened(place).run("hard", 0)
    assert not (place / "runs" / "hard-0" / "measured.json").exists()
    assert opened(place).results(["hard"], 1) == {}
    monkeypatch.undo()
    opened(place).run("hard", 0)
    ours, theirs = (load_weights(folder / "hard-0") for folder in (place / "runs", place / "whole"))
    np.testing.assert_array_equal(ours.head.weight, theirs.head.weight)


def test_a_run_of_another_process_is_passed_over(place, caplog):
    with locked(place / "runs" / "no-teacher-0"):
        assert main(command(place, "teaching", "--seeds", "1", "--only", "no teacher", "hard")) == 0
    assert "no teacher, seed 0 is passed over" in caplog.text
    assert [row[0] for row in read(place, "teaching")["rows"]] == ["hard"]


def test_the_pull_is_that_of_the_loss(place):
    """Hard: half of sqrt(0.9) for ten classes, here half of sqrt(2/3) for three; soft: K times more by images."""
    runs = opened(place)
    images, teacher = runs.splits["train"], runs.teacher(("convnet",))

    def pull(**changes):
        recipe = TINY.with_changes(**changes)
        return first_pull(recipe, images, None if recipe.distillation == "none" else teacher, seed=0)

    assert pull(distillation="hard") == pytest.approx(0.5 * np.sqrt(2 / 3), rel=0.05)
    released = pull(distillation="soft", tau=3.0)
    assert pull(distillation="soft", tau=3.0, soft_division="images") == pytest.approx(3 * released, rel=1e-5)
    assert pull(distillation="soft", tau=3.0, alpha=1.0) == pytest.approx(2 * released, rel=1e-5)
    assert pull() == pytest.approx(0.5 * np.sqrt(2 / 3) * 0.9, rel=0.05)  # labels are smoothed


def test_both_means_of_two_heads():
    one, other = torch.tensor([[4.0, 0.0, 3.0]]), torch.tensor([[0.0, 3.0, 2.0]])
    found = scores_of([one, other])
    torch.testing.assert_close(found["mean of logits"], torch.tensor([[2.0, 1.5, 2.5]]))
    torch.testing.assert_close(found["mean of probabilities"], (one.softmax(1) + other.softmax(1)) / 2)
    assert [name for name, values in found.items() if int(values.argmax()) == 2] == ["mean of logits"]
    assert list(scores_of([one])) == ["class head"]


def runs_of(*accuracies, **more):
    names = ("class head", "distillation head", "mean of logits", "mean of probabilities")
    cosines = {"learned": 0.1, "with positions": 0.2, "blocks": [0.3, 0.4], "end": 0.5}
    return [
        {"seed": seed, **dict.fromkeys(names, a), "differ": 0.01, "pull": 0.474, "cosines": cosines, **more}
        for seed, a in enumerate(accuracies)
    ]


def test_tables_by_hand():
    results = {"no teacher": runs_of(0.5), "hard": runs_of(0.6, 0.7)}
    assert tables.by_heads(results)[1] == [["no teacher", *["50.00"] * 4], ["hard", *["65.00 ± 7.07"] * 4]]
    assert tables.by_pull(results)[1] == [
        ["no teacher", "0.474", "", "1.00"],
        ["hard", "0.474 ± 0.000", "1.00", "1.00 ± 0.00"],  # of the seed that has a student without a teacher
    ]
    nine = {"no teacher": runs_of(0.5, pull=0.3), "soft, equation 2, weight 0.9": runs_of(0.5, pull=0.4)}
    assert tables.by_pull(nine)[1][1][2] == "6.67"  # the label's is 0.3 at a weight of a half, 0.06 at a tenth
    one = [{"seed": 0, "class head": 0.25}]
    both = {"no teacher, one token": one, "hard": runs_of(0.6)}
    assert tables.by_heads(both)[1] == [["no teacher, one token", "25.00", *[""] * 3], ["hard", *["60.00"] * 4]]
    assert tables.by_cosine(both)[1] == [["hard", "0.100", "0.200", "0.300", "0.400", "0.500"]]
    parts = {"all augmentation": runs_of(0.5), "all but mixup": runs_of(0.46), "crop and flip alone": runs_of(0.52)}
    assert tables.by_augmentation(parts)[1] == [
        ["all augmentation", "50.00", "+0.00"],
        ["all but mixup", "46.00", "-4.00"],
        ["crop and flip alone", "52.00", "+2.00"],
    ]
    assert {*tables.TABLES} == {*QUESTIONS}


def test_a_table_of_one_seed_tells_the_spread_of_another(place):
    assert main(command(place, "teaching", "--seeds", "2", "--only", "no teacher")) == 0
    assert main(command(place, "augmentation", "--seeds", "1", "--only", "all augmentation")) == 0
    spread = read(place, "teaching")["rows"][0][3]
    assert read(place, "teaching")["notes"][0].endswith("mean ± standard deviation of 2 seeds.")
    assert "±" in spread
    assert read(place, "augmentation")["notes"][-1].endswith(f"usual augmentation: {spread}.")
    assert [row[0] for row in read(place, "augmentation")["rows"]] == ["all augmentation"]


def test_who_agrees_with_whom(place, monkeypatch):
    given = {
        ("no teacher", 0): {"mean of logits": [0, 0, 1, 1]},
        ("hard", 0): {"class head": [0, 0, 0, 0], "distillation head": [0, 0, 1, 2], "mean of logits": [0, 0, 0, 2]},
        ("hard", 1): {"class head": [0, 1, 2, 0], "distillation head": [0, 1, 2, 0], "mean of logits": [0, 1, 2, 0]},
    }
    whole = opened(place)
    monkeypatch.setattr(
        Experiment, "answers", lambda self, way, seed: {k: np.array(v) for k, v in given[way, seed].items()}
    )
    monkeypatch.setattr(Experiment, "answers_of", lambda self, name: np.array([0, 0, 1, 2]))
    test = dataclasses.replace(whole.splits["test"], labels=np.array([0, 1, 1, 2]))
    whole = dataclasses.replace(whole, splits={"test": test})
    columns, rows = tables.agreement(whole, {"no teacher": runs_of(0.5), "hard": runs_of(0.5, 0.5)})
    assert columns == ["different answers", "labels", "convnet", "no teacher", "its own other head"]
    assert rows == [
        ["convnet", "25.00", "0.00", "", ""],
        ["no teacher", "50.00", "25.00", "", ""],
        ["hard: class head", "62.50 ± 17.68", "62.50 ± 17.68", "50.00", "25.00 ± 35.36"],
        ["hard: distillation head", "37.50 ± 17.68", "37.50 ± 53.03", "25.00", "25.00 ± 35.36"],
        ["hard: both", "50.00 ± 0.00", "50.00 ± 35.36", "50.00", ""],
    ]


def test_what_a_teacher_says_of_mixed_photos(place):
    """A teacher that always says class 0, and photos that are mixed with those of the reversed batch."""
    mixed = TINY.with_changes(mixup=0.8, cutmix=1.0, mix_probability=1.0)
    whole = dataclasses.replace(opened(place), recipe=mixed)
    whole._teachers["convnet"] = Asked(lambda photos: torch.eye(3)[[0] * len(photos)], "0")
    batches = Batches(whole.splits["train"], mixed, mixed.image_processing, seed=0, device=torch.device("cpu"))
    labels = np.concatenate([whole.splits["train"].labels[batches.indices(step)] for step in range(3)])
    partners = np.concatenate([part[::-1] for part in np.split(labels, 3)])
    larger = np.concatenate([batches(step).targets.numpy().argmax(axis=1) for step in range(3)])
    found = whole.said_in_training("convnet")
    inside = (labels == 0) | (partners == 0)
    assert found == {
        "the label": pytest.approx(1 / 3),
        "mixed: the larger share": pytest.approx((larger == 0).mean()),
        "mixed: the smaller": pytest.approx((inside & (larger != 0)).mean()),
        "mixed: neither": pytest.approx((~inside).mean()),
    }
    assert min(found.values()) > 0
    assert tables.in_training(whole)[1] == [["convnet", *(f"{100 * share:.2f}" for share in found.values())]]


def test_every_way_is_a_recipe_and_answers_a_question():
    table = RECIPES["cifar10-table"]
    for name, way in WAYS.items():
        recipe = table.with_changes(**way.changes)
        assert (recipe.distillation == "none") == (not way.teachers), name
    assert {way for ways in QUESTIONS.values() for way in ways} == {*WAYS}
    folders = {Experiment(table, {}, distillation.Path("runs"), {}).folder(way, 0).name for way in WAYS}
    assert len(folders) == len(WAYS)
    changed = {
        name: {*WAYS["all augmentation"].changes.items()} ^ {*WAYS[name].changes.items()}
        for name in QUESTIONS["augmentation"]
    }
    # One thing at a time: a field that is there with another value counts twice.
    assert {name: len(difference) for name, difference in changed.items()} == {
        **dict.fromkeys(changed, 2), "all augmentation": 0, "all but mixup and cutmix": 4, "crop and flip alone": 12
    }  # fmt: skip


def test_teachers_have_names(place, capsys):
    with pytest.raises(SystemExit):
        main([*command(place, "teaching"), "--teacher", str(place / "teacher-1")])
    assert "expected a name for each teacher, got convnet, deit twice" in capsys.readouterr().err
