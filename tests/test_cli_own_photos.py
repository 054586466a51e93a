"""From a folder of photos to a model and what it is worth, by the commands that a user types."""

import dataclasses
import errno
import json
import os
import re
import shutil
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
from PIL import Image
from test_cli import assert_one_line_error, run

import deit_ref
from deit_ref.commands.evaluation import confusion_table
from deit_ref.commands.learned import Run, run_of
from deit_ref.commands.terminal import counting
from deit_ref.commands.training import _epochs_per_line
from deit_ref.data.images import ImageSet
from deit_ref.training.recipe import RECIPES

NAMES = ("mug", "plant", "shoe")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Six photos of each of three colors, larger than the model sees them, some stored turned; and two copies."""
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for channel, name in enumerate(NAMES):
        (folder / name).mkdir()
        for i in range(6):
            photo = generator.integers(0, 60, (60, 80, 3), np.uint8)
            photo[:, i : i + 50, channel] += 150
            exif = Image.Exif()
            exif[274] = 6 if i % 3 == 0 else 1
            Image.fromarray(photo).save(folder / name / f"IMG_{i}.jpg", quality=95, exif=exif)
    for i in (7, 8):
        shutil.copy(folder / "mug" / "IMG_2.jpg", folder / "mug" / f"IMG_{i}.jpg")
    return folder


@pytest.fixture(scope="module")
def tuned(tmp_path_factory, photos):
    """The folder of a run by the shortest command, but for the number of epochs; and what it said."""
    from contextlib import redirect_stderr, redirect_stdout
    from io import StringIO

    from deit_ref.commands import main

    out = tmp_path_factory.mktemp("runs") / "mine"
    with redirect_stdout(StringIO()) as printed, redirect_stderr(StringIO()) as said:
        assert main(["finetune", str(photos), "--out", str(out), "--epochs", "5"]) == 0, said.getvalue()
    return out, printed.getvalue(), said.getvalue()


def test_nothing_but_photos_makes_a_model_that_is_judged_by_photos_it_has_not_seen(tuned):
    out, printed, said = tuned
    assert "there are no test photos: 3 of 20 are held out to judge by, 0.2 of each class" in said
    # The copies count as one photo, and stay together.
    assert re.search(r"the recipe own-photos is fitted: batch_size 4 instead of 16 \(there are 1[57] photos\)", said)
    weights = deit_ref.load_weights(out)
    assert weights.class_names == NAMES
    assert (weights.task, weights.config.image_shape) == ("classification", (32, 32))
    lines = [line for line in printed.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 5
    assert re.search(r"^  top-1 +\d+\.\d\d%  \d of 3 photos$", printed, re.M)
    assert re.search(r"^ +mug  plant  shoe$", printed, re.M)
    assert f"  deit-ref classify photo.jpg --weights {out}\n" in printed
    found = json.loads((out / "evaluation.json").read_text())
    assert (found["photos"], found["confusion"]["classes"]) == (3, list(NAMES))
    assert np.array(found["confusion"]["counts"]).sum(axis=1).tolist() == [1, 1, 1]
    assert found["top1"] == pytest.approx(
        json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])["test"]["top1"]
    )
    for name in ("confusion.png", "metrics.png"):
        with Image.open(out / name) as picture:
            assert picture.width > 500


def test_evaluate_and_classify_go_on_from_there(capsys, photos, tuned, tmp_path):
    out, printed, _ = tuned
    following = [line.split()[1:] for line in printed.splitlines() if line.startswith("  deit-ref evaluate")]
    assert len(following) == 1
    code, text, err = run(capsys, *following[0], "--json", "--confusion", tmp_path / "c.png")
    assert code == 0, err
    found, before = json.loads(text), json.loads((out / "evaluation.json").read_text())
    assert {name: found[name] for name in before} == before
    assert found["split"] == "train, 0.2 of it held out"
    with Image.open(tmp_path / "c.png") as again, Image.open(out / "confusion.png") as first:
        assert again.tobytes() == first.tobytes()
    code, text, _ = run(capsys, "classify", photos / "mug" / "IMG_1.jpg", "--weights", out, "--json")
    assert code == 0
    assert {entry["class"] for entry in json.loads(text)["top"]} == set(NAMES)


def test_photos_of_some_of_the_classes_are_judged(capsys, photos, tuned, tmp_path):
    for name in ("mug", "shoe"):
        shutil.copytree(photos / name, tmp_path / "test" / name)
    words = ("evaluate", tmp_path, "--weights", tuned[0], "--no-check")
    code, text, err = run(capsys, *words)
    assert code == 0
    assert err.splitlines()[1:] == ["deit-ref: the photos are of 2 of the 3 classes that the weights know: mug, shoe."]
    assert text.startswith("14 photos, split test\n")
    assert "the surest mistakes" in text or "100.00%  14 of 14" in text
    found = json.loads(run(capsys, *words, "--json")[1])
    assert list(found["per_class"]) == ["mug", "shoe"]
    for wrong in found["mistakes"]:
        assert wrong["class"] in wrong["photo"]
        assert wrong["class"] != wrong["answer"]
    shutil.rmtree(tmp_path / "test" / "mug")
    code, text, err = run(capsys, *words)
    assert code == 0
    assert "of 1 of the 3 classes that the weights know: shoe." in err
    assert text.startswith("6 photos, split test\n")
    for path in list((tmp_path / "test" / "shoe").iterdir())[1:]:
        path.unlink()
    assert run(capsys, *words)[1].startswith("1 photo, split test\n")
    code, text, err = run(capsys, "evaluate", tmp_path / "test", "--split", "test", "--weights", tuned[0])
    assert (code, text.splitlines()[0]) == (0, "1 photo, split test")
    assert "deit-ref: test: 1 photo of 1 class (shoe 1) in " in err
    (tmp_path / "test" / "shoe").rename(tmp_path / "test" / "Shoe")
    assert_one_line_error(run(capsys, *words), "Only the spelling differs of 'Shoe' and 'shoe': rename the folders")


def test_photos_of_a_mac_are_the_same_elsewhere(capsys, photos, tmp_path):
    """Names of another form of Unicode: the run goes on, and the weights know classes and photos."""
    composed, decomposed = (unicodedata.normalize(form, "Käse") for form in ("NFC", "NFD"))
    for number, name in enumerate((decomposed, composed)):
        shutil.copytree(photos / "mug", tmp_path / str(number) / name)
        shutil.copytree(photos / "shoe", tmp_path / str(number) / "Kz")
    words = ("--out", tmp_path / "mine", "--epochs", 2, "--val-split", 0.3)
    code, _, err = run(capsys, "finetune", tmp_path / "0", *words)
    assert code == 0, err
    assert deit_ref.load_weights(tmp_path / "mine").class_names == ("Kz", composed)
    code, _, err = run(capsys, "finetune", tmp_path / "1", *words, "--resume")
    assert code == 0, err
    code, out, err = run(capsys, "evaluate", tmp_path / "1", "--weights", tmp_path / "mine", "--json")
    assert (code, json.loads(out)["photos"]) == (0, 4), err
    assert "judged by the 0.3 that the run of these weights has held out" in err
    assert "warning" not in err


def test_photos_that_were_learned_from_are_known(capsys, photos, tuned, tmp_path):
    words = ("evaluate", photos, "--weights", tuned[0], "--json")
    held_out = json.loads((tuned[0] / "evaluation.json").read_text())
    code, text, err = run(capsys, *words)
    assert code == 0
    assert "judged by the 0.2 that the run of these weights has held out" in err
    assert "learned from" not in err
    found = json.loads(text)
    assert {name: found[name] for name in held_out} == held_out
    assert found["split"] == "train, 0.2 of it held out"
    assert "learned from 17 of these 20 photos" in run(capsys, *words, "--split", "train")[2]
    # Another share or seed holds out others.
    for options in (("--val-split", 0.5), ("--val-split", 0.2, "--seed", 1)):
        said = re.search(r"learned from (\d+) of these (\d+) photos", run(capsys, *words, *options)[2])
        assert said is not None
        assert 0 < int(said[1]) <= int(said[2])
    # The same photos without one of them are others.
    shutil.copytree(photos, tmp_path / "train")
    (tmp_path / "train" / "shoe" / "IMG_0.jpg").unlink()
    assert "learned from" not in run(capsys, "evaluate", tmp_path, *words[2:], "--split", "train")[2]


def test_other_photos_are_not_divided_as_those_of_the_run(capsys, photos, tuned, tmp_path):
    others = tmp_path / "others"
    shutil.copytree(photos, others)
    (others / "shoe" / "IMG_0.jpg").unlink()
    words = ("evaluate", others, "--weights", tuned[0], "--json")
    code, text, err = run(capsys, *words)
    assert code == 0
    assert "are not those that the run of these weights was given (20, here 19): all are judged by" in err
    assert "held out" not in err
    assert (json.loads(text)["photos"], json.loads(text)["split"]) == (19, "train")
    assert "what is held out here may have been learned from" in run(capsys, *words, "--val-split", 0.2)[2]


@pytest.mark.parametrize("told", [None, 3, {"photos": 3}, {"photos": {"train": {"count": 1}}}, {"held_out": "x"}])
def test_weights_may_tell_nothing_of_a_run(told, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"provenance": told}))
    assert run_of(str(tmp_path)) is None
    assert run_of(str(tmp_path / "absent")) is run_of(None) is None


def test_there_is_no_test_part_to_judge_by(capsys, photos, tuned):
    assert_one_line_error(run(capsys, "evaluate", photos), "has no split 'test'", "--val-split 0.2")
    words = ("evaluate", photos, "--weights", tuned[0], "--val-split", 0.2)
    assert_one_line_error(run(capsys, *words, "--split", "train"), "leave out --split")
    for share, message in ((1, "expected a share of less than 1"), (0, "holds out no photo to judge by")):
        assert_one_line_error(run(capsys, *words[:5], share), message)


def test_nothing_is_held_out_where_none_is_wanted_or_photos_are_there_for_it(capsys, photos, tmp_path):
    quick = ("--epochs", 1, "--batch-size", 8, "--set", "warmup_epochs=0")
    code, text, err = run(capsys, "finetune", photos, "--out", tmp_path / "all", "--val-split", 0, *quick)
    assert code == 0, err
    assert "nothing is evaluated" in err
    assert "held out" not in err
    assert "top-1" not in text
    assert not (tmp_path / "all" / "evaluation.json").exists()
    assert "  deit-ref evaluate NEW --weights" in text
    code, text, err = run(capsys, "evaluate", photos, "--weights", tmp_path / "all")
    assert (code, text) == (2, "")
    assert err.endswith("The weights have learned from all photos that are there: judge by others.\n")
    err = run(capsys, "evaluate", photos, "--weights", tmp_path / "all", "--val-split", 0.2)[2]
    assert "learned from 3 of these 3 photos" in err
    for split in ("train", "test"):
        shutil.copytree(photos, tmp_path / "data" / split)
    words = ("finetune", tmp_path / "data", "--out", tmp_path / "more", *quick)
    assert_one_line_error(run(capsys, *words, "--val-split", 0.2), "has 20 test photos", "leave out --val-split")
    code, text, err = run(capsys, *words)
    assert code == 0
    assert "held out" not in err
    assert "20 photos that were not learned from" in text
    assert re.search(rf"deit-ref evaluate {tmp_path / 'data'} --weights {tmp_path / 'more'}$", text, re.M)


def test_models_of_gray_photos_name_a_photo_that_is_not(capsys, tmp_path):
    """When it is learned from, when the run is judged, and when the weights are."""
    config = deit_ref.DeiTConfig(8, 1, 2, 16, image_size=16, patch_size=8, num_channels=1)
    processing = deit_ref.ImageProcessing(
        size=16, crop_size=16, image_mean=(0.5,), image_std=(0.5,), do_convert_rgb=False
    )
    weights = deit_ref.init_weights(config, "classification", seed=0, image_processing=processing)
    deit_ref.save_weights(weights, tmp_path / "gray")
    for split in ("train", "test"):
        for i in range(6):
            folder = tmp_path / split / "ab"[i % 2]
            folder.mkdir(parents=True, exist_ok=True)
            Image.new("L", (20, 20), 40 * i).save(folder / f"{split}{i}.png")
    words = ("finetune", tmp_path, "--weights", tmp_path / "gray", "--epochs", 1)
    assert run(capsys, *words, "--out", tmp_path / "mine")[0] == 0
    colored = tmp_path / "test" / "b" / "test1.png"
    Image.new("RGB", (20, 20), (9, 8, 7)).save(colored)
    again = (*words, "--out", tmp_path / "again")
    for one in (again, ("evaluate", tmp_path, "--weights", tmp_path / "mine")):
        code, _, err = run(capsys, *one)
        assert code == 2
        assert err.splitlines()[-1] == (
            f"deit-ref: error: {colored} has 3 channels, the weights want 1: convert it, or take it away."
        )


def test_what_is_learned_is_not_written_among_the_photos(capsys, photos, tmp_path):
    words = ("finetune", photos, "--epochs", 1, "--out")
    for out in (photos / "mine", photos, photos / "mug" / ".." / "mine"):
        assert_one_line_error(run(capsys, *words, out), f"among the class folders of {photos}", "choose a folder")
    assert sorted(path.name for path in photos.iterdir()) == [*NAMES]
    shutil.copytree(photos, tmp_path / "train")  # no class stands beside the split
    quick = ("--batch-size", 8, "--set", "warmup_epochs=0", "--val-split", 0)
    assert run(capsys, words[0], tmp_path, *words[2:], tmp_path / "mine", *quick)[0] == 0


def test_a_folder_that_cannot_be_written_is_found_out_before_photos_are_read(capsys, photos, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    words = ("finetune", photos, "--out")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        assert_one_line_error(run(capsys, *words, out), "must be a folder that can be written into: choose another")
    monkeypatch.setattr("os.access", lambda place, mode: str(place) != str(tmp_path))
    assert_one_line_error(run(capsys, *words, tmp_path / "new" / "below"), "must be a folder that can be written into")
    assert not (tmp_path / "new").exists()


def test_who_is_interrupted_while_the_run_is_judged_is_told_how_to_go_on(capsys, photos, tmp_path, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    words = ("finetune", photos, "--out", tmp_path / "out", "--epochs", 1)
    with monkeypatch.context() as patch:
        patch.setattr("deit_ref.commands.training.judged", interrupted)
        code, _, err = run(capsys, *words)
    assert code == 130
    assert err.endswith(f"interrupted: the same command with --resume goes on in {tmp_path / 'out'}.\n")
    assert run(capsys, *words, "--resume")[0] == 0
    assert (tmp_path / "out" / "evaluation.json").exists()


def test_a_disk_that_fills_up_costs_no_step(capsys, photos, tmp_path, monkeypatch):
    def full(*args, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    words = ("finetune", photos, "--out", tmp_path / "out", "--epochs", 1)
    for what in ("training.run.save_weights", "commands.training.write_png"):
        with monkeypatch.context() as patch:
            patch.setattr(f"deit_ref.{what}", full)
            code, _, err = run(capsys, *words, *(["--resume"] if (tmp_path / "out").exists() else []))
        assert code == 2
        assert "No space left on device), but the checkpoint there is whole: make room" in err.splitlines()[-1]
    assert run(capsys, *words, "--resume")[0] == 0
    assert (tmp_path / "out" / "confusion.png").exists()


def test_the_only_photo_of_a_class_is_learned_from(capsys, photos, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(photos / "shoe", data / "shoe")
    (data / "cup").mkdir()
    shutil.copy(photos / "mug" / "IMG_1.jpg", data / "cup")
    quick = ("--epochs", 1, "--batch-size", 4, "--set", "warmup_epochs=0")
    code, text, err = run(capsys, "finetune", data, "--out", tmp_path / "out", "--val-split", 0.3, *quick)
    assert code == 0, err
    assert "2 of 7 are held out to judge by, 0.3 of each class" in err
    assert "All photos of cup are learned from: there is one of each." in err
    assert re.search(r"^  shoe +\d+\.\d\d%$", text, re.M)
    assert not re.search(r"^  cup +\d", text, re.M)


def test_a_recipe_for_own_photos_takes_the_size_of_the_weights():
    recipe = RECIPES["own-photos"]
    assert (recipe.of_size(224).image_size, recipe.of_size(224).padding) == (224, 28)
    assert recipe.of_size(32) == recipe
    assert recipe.of_size(224, {"padding"}).padding == recipe.padding
    assert recipe.of_size(224, {"image_size"}) == recipe


def test_weights_of_another_size_keep_it(capsys, photos, tmp_path):
    config = deit_ref.DeiTConfig(32, 1, 2, 64, image_size=48, patch_size=8)
    deit_ref.save_weights(deit_ref.init_weights(config, "classification", seed=0), tmp_path / "large")
    words = ("finetune", photos, "--weights", tmp_path / "large", "--epochs", 1, "--no-check", "--seed", 3)
    code, _, err = run(capsys, *words, "--out", tmp_path / "tuned")
    assert code == 0, err
    tuned = deit_ref.load_weights(tmp_path / "tuned")
    assert tuned.config.image_shape == (48, 48)
    assert tuned.image_processing.crop_size == {"height": 48, "width": 48}
    assert tuned.image_processing.apply_exif
    assert "warmup_epochs 0.1 instead of 3 (a tenth of the epochs)" in err
    code, _, err = run(capsys, "evaluate", photos, "--weights", tmp_path / "tuned", "--no-check")
    assert code == 0, err
    assert "judged by the 0.2 that the run of these weights has held out" in err  # with the run's seed, and no other
    code, _, err = run(capsys, *words, "--out", tmp_path / "small", "--image-size", 24, "--no-exif")
    assert code == 0, err
    tuned = deit_ref.load_weights(tmp_path / "small")
    assert (tuned.config.image_shape, tuned.image_processing.apply_exif) == ((24, 24), False)


@pytest.mark.parametrize(
    ("photos", "epochs", "batch", "expected"), [(72, 75, 16, 5), (72, 5, 16, 1), (9999, 30, 16, 1)]
)
def test_short_epochs_are_told_together(photos, epochs, batch, expected):
    recipe = RECIPES["own-photos"].with_changes(epochs=epochs, batch_size=batch)
    assert _epochs_per_line(recipe, photos) == expected


def test_names_that_the_terminal_has_no_letters_for_are_shown_by_their_codes(photos, tuned, tmp_path):
    """As where output goes into a file on a system whose encoding is not UTF-8."""
    for name in ("mug", "shoe"):
        shutil.copytree(photos / name, tmp_path / "test" / name)
    weights = dataclasses.replace(deit_ref.load_weights(tuned[0]), class_names=("mug", "plant", "\U0001f45f"))
    (tmp_path / "test" / "shoe").rename(tmp_path / "test" / "\U0001f45f")
    deit_ref.save_weights(weights, tmp_path / "weights")
    words = [sys.executable, "-m", "deit_ref", "evaluate", tmp_path, "--weights", tmp_path / "weights", "--no-check"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(words, capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert rb"\U0001f45f" in done.stdout


def test_names_of_classes_stay_on_their_line():
    lines = confusion_table([[1, 2], [3, 4]], ("a\nb", "n" * 300))
    assert len(lines) == 4
    assert lines[2].startswith("  a\\nb ")
    assert max(map(len, lines)) < 80


def test_a_table_leaves_out_rows_without_photos():
    lines = confusion_table([[3, 10, 0], [0, 0, 0], [0, 2, 7]], ("ant", "bee", "cat"))
    assert lines[1:] == ["       ant  bee  cat", "  ant    3   10    .", "  cat    .    2    7"]


def test_of_many_classes_the_most_frequent_mistakes_are_listed():
    counts = 9 * np.eye(30, dtype=int)
    counts[4, 7], counts[7, 4], counts[1, 2] = 3, 1, 5
    lines = confusion_table(counts.tolist(), [f"class {i}" for i in range(30)])
    assert lines == [
        "most often confused",
        "  class 1, taken for class 2: 5 of 14",
        "  class 4, taken for class 7: 3 of 12",
        "  class 7, taken for class 4: 1 of 10",
    ]


def test_reading_is_told_now_and_then(capsys):
    with counting(7, every=3) as done:
        for _ in range(7):
            done()
    assert capsys.readouterr().err == "deit-ref: 3 of 7 photos\ndeit-ref: 6 of 7 photos\n"


def test_photos_were_learned_from_only_if_their_digest_says_so():
    labels, names = np.zeros(4, np.int64), [str(i) for i in range(4)]
    images = ImageSet(labels, ("a", "b"), names, lambda i: None, digest="one")
    run = Run(held_out=0.0, seed=0, photos=4, digest="one", tests=0)
    assert run.learned_from(images) is images
    assert run.learned_from(dataclasses.replace(images, digest="two")) is None
    assert run._replace(photos=5).learned_from(images) is None
