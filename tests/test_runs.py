"""Whole runs on tiny photos: every kind of training, and that its result is read everywhere."""

import dataclasses
import logging
import unicodedata

import numpy as np
import pytest
import torch
from tiny_data import EVERYTHING, PLAIN, metrics, write_photos

import deit_ref
from deit_ref.checkpoints.load import load_weights
from deit_ref.data.opening import open_images
from deit_ref.torch_backend.model import TASKS
from deit_ref.training import run as runs
from deit_ref.training.batches import mean_and_std
from deit_ref.training.evaluate import evaluate
from deit_ref.training.recipe import MODELS, Recipe
from deit_ref.training.run import teach_from, train
from deit_ref.training.teacher import is_teacher, load_teacher, new_teacher, save_teacher
from deit_ref.weights import named_arrays

LEARN = {**PLAIN, "epochs": 3, "learning_rate": 2e-3, "ema_decay": None}
TEACHER = {**PLAIN, "task": "teacher", "optimizer": "sgd", "learning_rate": 0.2, "epochs": 8, "ema_decay": None}


def run(photos, out, changes=LEARN, *, seed=3, more=None, **recipe):
    train(Recipe(**{**changes, **recipe}), photos, out, seed=seed, bfloat16=False, device="cpu", **(more or {}))
    return out


def right_colour(photos):
    """A teacher that knows: the brightest channel, where blue is class 0."""
    return 10 * photos.mean(dim=(2, 3)).flip(1)


def assert_read_everywhere(folder, task, photos):
    """load_weights, both backends and transformers agree on the run's weights."""
    import transformers

    weights = load_weights(folder)
    assert weights.task == task
    images = open_images(photos, "test")
    pixel_values = deit_ref.preprocess([images.read(i) for i in range(len(images))], weights.image_processing)
    logits = deit_ref.forward(weights, pixel_values=pixel_values).logits
    x = torch.from_numpy(pixel_values)
    mirrored = deit_ref.forward(weights, pixel_values=pixel_values, backend="torch").logits
    np.testing.assert_allclose(mirrored.numpy(), logits, rtol=0, atol=1e-5)
    kind = {
        "classification": "DeiTForImageClassification",
        "classification-with-teacher": "DeiTForImageClassificationWithTeacher",
    }[task]
    theirs = getattr(transformers, kind).from_pretrained(folder).eval()
    with torch.no_grad():
        np.testing.assert_allclose(theirs(x).logits.numpy(), logits, rtol=0, atol=1e-5)
    tree = weights.to("torch")
    found = evaluate(lambda x: TASKS[task](tree, x), images, weights.image_processing, device=torch.device("cpu"))
    written = metrics(folder)[-1]["test"]
    assert {**found, "loss": 0} == {**written, "loss": 0}
    assert found["loss"] == pytest.approx(written["loss"], rel=1e-4)
    return weights


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"), train=10, test=3)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory, photos):
    return run(photos, tmp_path_factory.mktemp("teacher"), TEACHER)


@pytest.fixture(scope="module")
def distilled(tmp_path_factory, photos, teacher):
    return run(photos, tmp_path_factory.mktemp("distilled"), distillation="hard", more={"teacher": teacher})


def test_a_teacher_learns_and_is_read(teacher, photos):
    last = metrics(teacher)[-1]
    assert last["epoch"] == 8
    assert last["accuracy"] > 0.8
    assert is_teacher(teacher)
    network, names = load_teacher(teacher)
    assert names == ("blue", "green", "red")
    images = open_images(photos, "test")
    x = torch.from_numpy(np.stack([images.read(i) for i in range(9)])).permute(0, 3, 1, 2).float() / 255
    right = network(x).argmax(dim=1).numpy() == images.labels
    assert right.mean() == last["test"]["top1"] > 0.6


def test_a_teacher_of_photos_of_all_sizes(tmp_path):
    write_photos(tmp_path / "photos", train=2, size=(19, 31))
    write_photos(tmp_path / "photos", train=1, size=(40, 18), seed=1)
    run(tmp_path / "photos", tmp_path / "out", TEACHER, epochs=1, batch_size=3)
    assert metrics(tmp_path / "out")[0]["test"]["photos"] == 6


def test_a_distilled_student_learns_and_is_read(distilled, photos):
    last = metrics(distilled)[-1]
    assert last["accuracy"] > 0.9
    assert last["test"]["top1"] > 0.9
    assert last["test"]["distillation_top1"] > 0.6
    weights = assert_read_everywhere(distilled, "classification-with-teacher", photos)
    assert weights.class_names == ("blue", "green", "red")


def test_a_student_of_one_token_learns_and_is_read(tmp_path, distilled, photos):
    start = load_weights(distilled)
    more = {"start": start, "task": "classification"}
    run(photos, tmp_path, epochs=1, more=more)
    weights = assert_read_everywhere(tmp_path, "classification", photos)
    assert weights.config.distilled == start.config.distilled
    assert metrics(tmp_path)[-1]["test"]["top1"] > 0.9


@pytest.mark.parametrize("kind", ["soft, a function", "hard, a DeiT"])
def test_other_teachers(tmp_path, photos, distilled, kind):
    """With alpha 1 all that is learned comes from the teacher, which is asked in 0..1 and with mixed photos."""
    asked = []

    def ask(x):
        asked.append((float(x.min()), float(x.max())))
        return right_colour(x)

    options = {"soft, a function": ("soft", ask), "hard, a DeiT": ("hard", distilled)}
    distillation, teacher = options[kind]
    run(photos, tmp_path, distillation=distillation, alpha=1.0, tau=1.0, epochs=4, more={"teacher": teacher})
    test = metrics(tmp_path)[-1]["test"]
    assert test["distillation_top1"] > 0.9
    if distillation == "soft":
        assert len(asked) == 4 * 5
        assert min(low for low, _ in asked) > -1e-6
        assert 0.7 < max(high for _, high in asked) < 1 + 1e-6
    assert load_weights(tmp_path).task == "classification-with-teacher"


def test_a_deit_as_teacher_sees_photos_as_it_learned_them(distilled, photos):
    """Whatever mean and std the student has."""
    weights, images = load_weights(distilled), open_images(photos, "test")
    student = deit_ref.ImageProcessing(size=16, crop_size=16, image_mean=0.25, image_std=2.0)
    ask, _ = teach_from(distilled, images.class_names, student, Recipe(**LEARN), device=torch.device("cpu"))
    of_student, of_teacher = (
        deit_ref.preprocess([images.read(i) for i in range(9)], processing)
        for processing in (student, weights.image_processing)
    )
    expected = deit_ref.forward(weights, pixel_values=of_teacher).logits
    np.testing.assert_allclose(ask(torch.from_numpy(of_student)), expected, rtol=0, atol=1e-4)


def test_masked_pre_training_then_fine_tuning(tmp_path, photos, caplog):
    simmim = {**LEARN, "task": "masked-image-modeling", "epochs": 4, "mask_ratio": 0.5}
    run(photos, tmp_path / "simmim", simmim)
    lines = metrics(tmp_path / "simmim")
    assert lines[-1]["loss"] < 0.8 * lines[0]["loss"]
    assert "accuracy" not in lines[0]
    assert lines[-1]["test"]["masked_l1"] < 0.8 * lines[0]["test"]["masked_l1"]
    assert lines[-1]["test"]["mean_color"] == lines[0]["test"]["mean_color"]  # the same masks each time
    start = load_weights(tmp_path / "simmim")
    assert start.task == "masked-image-modeling"
    with caplog.at_level(logging.WARNING, "deit_ref"):
        run(photos, tmp_path / "fine", more={"start": start})
    assert "decoder" in caplog.text
    assert "drawn from seed 3" in caplog.text
    assert metrics(tmp_path / "fine")[-1]["test"]["top1"] > 0.9
    assert_read_everywhere(tmp_path / "fine", "classification-with-teacher", photos)
    with pytest.raises(ValueError, match="Fine-tuning learns classes, the recipe's task is 'masked-image-modeling'"):
        run(photos, tmp_path / "again", simmim, more={"start": start})


def test_fine_tuning_with_distillation_new_classes_and_resolution(tmp_path, distilled, caplog):
    classes = ("azure", "grass")
    photos = write_photos(tmp_path / "photos", size=(24, 24), classes=classes, seed=5)
    start = load_weights(distilled)
    with caplog.at_level(logging.WARNING, "deit_ref"):
        run(
            photos, tmp_path / "out", image_size=24, distillation="hard",
            more={"start": start, "teacher": lambda x: right_colour(x)[:, :2]},
        )  # fmt: skip
    assert "interpolated from a grid of (4, 4) to (6, 6)" in caplog.text
    assert "the classes are not those of the weights but azure, grass: their heads are made anew" in caplog.text
    weights = assert_read_everywhere(tmp_path / "out", "classification-with-teacher", photos)
    assert weights.class_names == classes
    assert weights.config.image_shape == (24, 24)
    assert weights.image_processing.crop_size == {"height": 24, "width": 24}
    assert metrics(tmp_path / "out")[-1]["test"]["top1"] > 0.9


def test_fine_tuning_begins_where_the_checkpoint_is(tmp_path, photos, distilled):
    run(photos, tmp_path, epochs=1, learning_rate=0.0, min_learning_rate=0.0, more={"start": load_weights(distilled)})
    for (name, a), (_, b) in zip(
        named_arrays(load_weights(distilled)), named_arrays(load_weights(tmp_path)), strict=True
    ):
        np.testing.assert_array_equal(a, b, err_msg=name)


def test_everything_at_once(tmp_path, photos, teacher):
    run(photos, tmp_path, EVERYTHING, optimizer="muon", distillation="soft", tau=3.0, more={"teacher": teacher})
    assert [line["epoch"] for line in metrics(tmp_path)] == [1, 2]
    assert_read_everywhere(tmp_path, "classification-with-teacher", photos)


def test_without_test_photos_nothing_is_evaluated(tmp_path, caplog):
    photos = write_photos(tmp_path / "photos", train=2, test=0)
    with caplog.at_level(logging.WARNING, "deit_ref"):
        run(photos, tmp_path / "out", epochs=1)
    assert "nothing is evaluated" in caplog.text
    assert "test" not in metrics(tmp_path / "out")[0]


def test_what_does_not_go_together(tmp_path, photos, teacher, distilled):
    out = tmp_path / "out"
    colors = write_photos(tmp_path / "photos", train=3, classes=("blue", "red"))
    hard = {**LEARN, "distillation": "hard"}
    with pytest.raises(ValueError, match=r"knows 3 classes .* the photos are of 2 classes"):
        run(colors, out, hard, more={"teacher": teacher})
    with pytest.raises(ValueError, match=r"knows 3 classes .* the photos are of 2 classes"):
        run(colors, out, hard, more={"teacher": distilled})
    decomposed = (unicodedata.normalize("NFD", "grün"), "x")
    save_teacher(new_teacher(2, seed=0, image_size=16, widths=(8, 8, 8)), tmp_path / "mac", class_names=decomposed)
    processing = load_weights(distilled).image_processing
    composed = tuple(unicodedata.normalize("NFC", name) for name in decomposed)
    teach_from(tmp_path / "mac", composed, processing, Recipe(**LEARN), device=torch.device("cpu"))
    with pytest.raises(ValueError, match=r"must classify images of 24x24 pixels.*16x16 pixels"):
        run(photos, out, hard, image_size=24, more={"teacher": distilled})
    with pytest.raises(ValueError, match=r"logits have shape \(6, 2\), the student's \(6, 3\)"):
        run(photos, out, hard, more={"teacher": lambda x: x.mean(dim=(2, 3))[:, :2]})
    with pytest.raises(ValueError, match="'soft' and 'hard' need a teacher"):
        run(photos, tmp_path / "b", hard)
    with pytest.raises(ValueError, match="'none' has none"):
        run(photos, tmp_path / "b", more={"teacher": teacher})
    with pytest.raises(ValueError, match="task must be one of classification, classification-with-teacher"):
        run(photos, tmp_path / "b", more={"task": "masked-image-modeling", "start": load_weights(distilled)})
    with pytest.raises(ValueError, match="leave out the task"):
        run(photos, tmp_path / "b", more={"task": "classification"})
    with pytest.raises(ValueError, match="A teacher begins with random weights"):
        run(photos, tmp_path / "b", TEACHER, more={"start": load_weights(distilled)})
    for more, message in (
        ({"assess_every": 0}, "assess_every must be at least 1, got 0"),
        ({"held_out": 1.0}, r"held_out must lie in \[0, 1\), got 1"),
    ):
        with pytest.raises(ValueError, match=message):
            run(photos, tmp_path / "b", more=more)
    with pytest.raises(ValueError, match="seed must be at least 0, got -1"):
        run(photos, tmp_path / "b", seed=-1)
    assert not (tmp_path / "b").exists()


class Stop(Exception):
    """What comes before it is all that a test wants to see."""


def handed(monkeypatch, name, photos, out, recipe=LEARN, **options):
    """What `train` hands to a function of its module, which then is not called."""
    seen = []

    def stop(*arguments, **named):
        seen.append((arguments, named))
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(runs, name, stop)
        with pytest.raises(Stop):
            train(Recipe(**recipe), photos, out, device="cpu", **options)
    return seen[0]


def test_what_a_run_was_asked_for_reaches_the_loop(tmp_path, photos, monkeypatch):
    (tmp_path / "checkpoint.pt").touch()
    told = {"seed": 5, "resume": True, "bfloat16": True, "held_out": 0.25, "assess_every": 3, "report": print}
    (module, _, batches, recipe), named = handed(monkeypatch, "fit", photos, tmp_path, **told)
    assert recipe == Recipe(**LEARN)
    assert {name: named[name] for name in ("seed", "resume", "assess_every", "report", "autocast", "folder")} == {
        "seed": 5, "resume": True, "assess_every": 3, "report": print, "autocast": True, "folder": tmp_path
    }  # fmt: skip
    assert named["runs_on"]["held_out"] == 0.25
    assert named["runs_on"]["numerics"] == {"bfloat16": True, "device": "cpu", "processes": 1}
    assert (batches.seed, batches.channels, batches.rank, batches.world) == (5, 3, 0, 1)
    again = handed(monkeypatch, "fit", photos, tmp_path, seed=6)
    assert again[1]["resume"] is False
    assert not torch.equal(again[0][0].weights.head.weight, module.weights.head.weight)


def test_photos_are_opened_as_the_weights_to_begin_with_see_them(tmp_path, photos, monkeypatch):
    config = dataclasses.replace(MODELS["cifar10-small"], num_channels=1, num_labels=3)
    start = deit_ref.init_weights(config, "classification", seed=0)
    gray = dataclasses.replace(
        start.image_processing, do_convert_rgb=False, apply_exif=True, image_mean=0.3, image_std=0.7
    )
    start = dataclasses.replace(start, image_processing=gray)
    (_, processing), _ = handed(monkeypatch, "open_splits", photos, tmp_path, start=start)
    assert (processing.do_convert_rgb, processing.apply_exif) == (False, True)
    opened = {"train": open_images(photos, "train", processing)}
    opened["train"] = dataclasses.replace(opened["train"], read=lambda i: np.full((16, 16, 1), i, np.uint8))
    (module, _, batches, _), _ = handed(monkeypatch, "fit", opened, tmp_path, start=start)
    assert batches.channels == 1
    assert (module.image_processing.image_mean, module.image_processing.image_std) == (0.3, 0.7)
    assert (float(batches.mean), float(batches.std)) == pytest.approx((0.3, 0.7))


def test_a_new_teacher_knows_the_photos_colors_before_the_first_step(tmp_path, photos, monkeypatch):
    (module, *_), _ = handed(monkeypatch, "fit", photos, tmp_path, TEACHER)
    images = open_images(photos, "train")
    x = torch.from_numpy(np.stack([images.read(i) for i in range(30)])).permute(0, 3, 1, 2).float() / 255
    seen = module.whiten(x).transpose(0, 1).flatten(1).double()[:12]
    torch.testing.assert_close(torch.cov(seen), torch.eye(12).double(), atol=0.05, rtol=0)
    torch.testing.assert_close(seen.mean(dim=1), torch.zeros(12).double(), atol=1e-3, rtol=0)


def test_a_teacher_is_asked_about_gray_photos_in_three_equal_colors():
    gray = deit_ref.ImageProcessing(size=16, crop_size=16, image_mean=0.25, image_std=2.0)
    ask, digest = teach_from(lambda x: x, ("a", "b"), gray, Recipe(**LEARN), device=torch.device("cpu"))
    pixels = torch.rand(2, 1, 16, 16)
    torch.testing.assert_close(ask((pixels - 0.25) / 2), pixels.expand(-1, 3, -1, -1))
    assert digest == "a function"


def test_a_teacher_looks_once_where_it_teaches(teacher, photos):
    """A photo whose halves are of two colors, unlike its mirror image."""
    network, names = load_teacher(teacher)
    recipe = Recipe(**LEARN)
    ask, _ = teach_from(teacher, names, recipe.image_processing, recipe, device=torch.device("cpu"))
    mean, std = mean_and_std(recipe.image_processing, torch.device("cpu"))
    x = torch.rand(4, 3, 16, 16)
    found = ask((x - mean) / std)
    torch.testing.assert_close(found, network.look(x), rtol=1e-3, atol=1e-4)
    assert not torch.allclose(found, network(x), rtol=1e-2, atol=1e-3)
