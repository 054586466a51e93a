"""`deit-ref check`, `--exif`, and what commands say of folders of photos, as a user types them."""

import argparse
import json
import os
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_archives import write_tar
from test_cli import assert_one_line_error, run
from test_data import write_folder, write_zip
from test_one_reader import CLASSES, photo, seeded, turned_photos
from test_survey import classes
from tiny_data import PLAIN, write_photos

import deit_ref
from deit_ref.commands.survey import looked_over
from deit_ref.data.opening import open_splits
from deit_ref.photos import bundled_photo
from deit_ref.training.recipe import Recipe
from deit_ref.training.run import train
from deit_ref.training.teacher import new_teacher, save_teacher


@pytest.fixture
def weights(tmp_path):
    """A small checkpoint of the classes "bottom" and "top"."""
    deit_ref.save_weights(seeded(), tmp_path / "weights")
    return tmp_path / "weights"


def test_check_of_photos(capsys, tmp_path):
    path = write_folder(tmp_path / "d", classes())
    code, out, err = run(capsys, "check", path)
    assert (code, err) == (0, "")
    assert "photos        8        4" in out
    code, out, _ = run(capsys, "check", path, "--json")
    found = json.loads(out)
    assert (code, found["ok"], found["what"]) == (0, True, str(path))
    assert found["splits"]["train"]["classes"] == {"cat": 4, "dog": 4}
    files = {**classes(), "train/cat/1.png": b"broken", "test/dog/x.png": classes()["train/dog/0.png"]}
    for pack, name in ((write_folder, "e"), (write_zip, "e.zip"), (write_tar, "e.tgz")):
        code, out, _ = run(capsys, "check", pack(tmp_path / name, files))
        assert code == 1
        assert out.count("train/cat/1.png' is not an image") == 1
        assert "warning: 1 of train cannot be read, 7 are left.\n" in out
        assert "warning: the same photos are both in train and in test, 1 of them" in out
        code, out, _ = run(capsys, "check", tmp_path / name, "--json")
        found = json.loads(out)
        assert (code, found["ok"], len(found["problems"])) == (1, False, 2)
        assert found["splits"]["train"]["broken"][0]["name"].endswith("train/cat/1.png")


def test_check_of_photos_for_weights(capsys, tmp_path, weights):
    path = write_folder(tmp_path / "d", turned_photos(count=4))
    _, out, _ = run(capsys, "check", path)
    assert "note: 12 of 16 photos are stored turned: finetune turns them upright" in out
    _, out, _ = run(capsys, "check", path, "--weights", weights)
    assert "12 of 16 photos are stored turned: they are taken as they are stored" in out
    assert "less than" not in out
    deit_ref.save_weights(seeded(apply_exif=True), weights)
    _, out, _ = run(capsys, "check", path, "--weights", weights)
    assert "12 of 16 photos are stored turned: they are turned upright" in out
    _, out, _ = run(capsys, "check", write_folder(tmp_path / "e", classes()), "--weights", weights)
    assert "12 photos have less than the 16x16 pixels that the model sees" in out


def test_check_counts_many_photos_as_it_goes(capsys, tmp_path):
    write_photos(tmp_path / "d", train=400, test=2, size=(2, 2))
    code, _, err = run(capsys, "check", tmp_path / "d")
    assert code == 0
    assert err == "deit-ref: 1000 of 1206 photos\n"


@pytest.mark.parametrize("form", ["folder", "file"])
def test_check_of_weights(form, capsys, weights):
    what = weights if form == "folder" else weights / "model.safetensors"
    code, out, err = run(capsys, "check", what)
    assert (code, err) == (0, "")
    for words in ("task        classification-with-teacher", "16x16 pixels, 3 channels", "classes     2: bottom, top"):
        assert words in out
    code, out, _ = run(capsys, "check", what, "--json")
    found = json.loads(out)
    assert (code, found["class_names"], found["config"]["hidden_size"]) == (0, [*CLASSES], 16)
    tree = seeded()
    tree.head.weight[0, 0] = np.nan
    tree.head_dist.weight[:] = 0
    deit_ref.save_weights(tree, weights)
    code, out, _ = run(capsys, "check", what)
    assert code == 1
    assert "warning: 1 of 32 values of head.weight are NaN or infinite" in out
    assert "note: all values of head_dist.weight are 0" in out


def test_check_tells_weights_that_do_not_read_back(capsys, weights, monkeypatch):
    from deit_ref.checkpoints import inspection

    def changed(tree, folder):
        deit_ref.save_weights(replace(tree, class_names=("x", "y")), folder)

    monkeypatch.setattr(inspection, "save_weights", changed)
    code, out, _ = run(capsys, "check", weights)
    assert code == 1
    assert "warning: a copy does not read back as it was written: class_names changed." in out


def test_check_of_what_is_bundled_and_of_a_teacher(capsys, tmp_path):
    for name in ("cifar10-distilled", "cifar10-teacher"):
        code, out, _ = run(capsys, "check", name)
        assert code == 0
        assert "classes     10: airplane" in out
    teacher = new_teacher(2, seed=0, image_size=16, widths=(8, 8, 8))
    with torch.no_grad():
        teacher.head.weight[0, 0] = torch.inf
    save_teacher(teacher, tmp_path / "teacher", class_names=CLASSES)
    code, out, _ = run(capsys, "check", tmp_path / "teacher")
    assert code == 1
    assert "values of head.weight are NaN or infinite" in out


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of two epochs of two steps."""
    folder = tmp_path_factory.mktemp("runs")
    recipe = Recipe(**{**PLAIN, "batch_size": 9})
    train(recipe, write_photos(folder / "data"), folder / "out", device="cpu", bfloat16=False)
    return folder / "out"


def test_check_of_a_run(capsys, tmp_path, finished):
    shutil.copytree(finished, tmp_path / "out")
    code, out, _ = run(capsys, "check", tmp_path / "out")
    assert code == 0
    assert "classes     3: blue, green, red" in out
    assert "run         2 of 2 epochs, step 4, seed 0, train photos: 18, test photos: 6" in out
    words = ("classify", bundled_photo(), "--weights", tmp_path / "out" / "checkpoint.pt")
    assert_one_line_error(run(capsys, *words), "goes on from, not its weights", f"pass its folder, {tmp_path / 'out'}/")
    (tmp_path / "out" / "config.json").unlink()
    (tmp_path / "out" / "model.safetensors").unlink()
    assert_one_line_error(run(capsys, *words), "the run has not ended", "--resume")
    code, out, _ = run(capsys, "check", tmp_path / "out", "--json")
    found = json.loads(out)
    assert (code, found["run"]["step"], found["run"]["recipe"]["epochs"]) == (0, 4, 2)
    assert "has not ended" in found["notes"][0]
    whole = torch.load(tmp_path / "out" / "checkpoint.pt", weights_only=True)
    assert "metrics.jsonl" not in out  # the line of the last epoch may be missing until the run has ended
    for damage in ("bytes", "field", "number", "metrics"):
        torch.save(whole, tmp_path / "out" / "checkpoint.pt")
        if damage == "bytes":
            (tmp_path / "out" / "checkpoint.pt").write_bytes(b"damaged")
        elif damage == "metrics":
            (tmp_path / "out" / "metrics.jsonl").write_text("[]\n")
        else:
            changed = {**whole, "average": {**whole["average"], "head/bias": torch.full((3,), torch.nan)}}
            if damage == "field":
                del changed["seed"]
            torch.save(changed, tmp_path / "out" / "checkpoint.pt")
        code, out, _ = run(capsys, "check", tmp_path / "out")
        assert code == 1
        assert "warning: " in out
        assert ("metrics.jsonl" if damage == "metrics" else "checkpoint.pt") in out
        assert ("head/bias" in out) == (damage == "number")


@pytest.mark.parametrize(
    ("told", "step", "words"),
    [
        ([1, 2], 4, ""),
        ([1], 4, "lacks the lines of these epochs: 2."),
        ([], 4, "lacks the lines of these epochs: 1, 2."),
        ([1, 1, 2], 4, "holds lines twice, in another order or of another run: expected one for each epoch."),
        ([2, 1], 4, "holds lines twice"),
        ([1, 2, 3], 4, "tells of epoch 3, and the checkpoint is older, of step 4"),
        ([1, 2], 3, "the weights are of a run that has ended, and the checkpoint is of step 3 of 4."),
        ([1, 2], 5, "the checkpoint is of step 5, expected 0 to 4: it is damaged."),
    ],
)
def test_check_compares_metrics_with_the_checkpoint(told, step, words, capsys, tmp_path, finished):
    folder = shutil.copytree(finished, tmp_path / "run")
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    torch.save({**state, "step": step}, folder / "checkpoint.pt")
    lines = [json.dumps({"epoch": epoch, "step": 2 * epoch}) + "\n" for epoch in told]
    (folder / "metrics.jsonl").write_text("".join(lines))
    code, out, _ = run(capsys, "check", folder)
    assert (code, words in out) == (1 if words else 0, True)
    (folder / "metrics.jsonl").write_text('{"epoch": 1, "step": 3}\n')
    assert "of another run, such as epoch 1 at step 3" in run(capsys, "check", folder)[1] or step == 5


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_check_of_a_run_whose_weights_are_damaged_says_that_they_can_be_written_again(name, capsys, tmp_path, finished):
    folder = shutil.copytree(finished, tmp_path / "run")
    (folder / name).write_bytes(b"")
    code, out, _ = run(capsys, "check", folder)
    assert code == 1
    assert "run         2 of 2 epochs, step 4" in out
    assert f"warning: {folder}/{name}" in out
    assert "note: the run itself is whole: the command that began it writes the weights again with --resume." in out
    (folder / "checkpoint.pt").write_bytes(b"")
    code, out, _ = run(capsys, "check", folder)
    assert (code, out.count("warning: "), "with --resume" in out) == (1, 2, False)


def test_check_of_a_run_that_was_interrupted(capsys, tmp_path, finished):
    folder = shutil.copytree(finished, tmp_path / "run")
    for name in ("config.json", "model.safetensors"):
        (folder / name).unlink()
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    for step, told, epochs in ((4, 1, 2), (3, 1, 1), (1, 0, 0)):
        torch.save({**state, "step": step}, folder / "checkpoint.pt")
        lines = [json.dumps({"epoch": epoch, "step": 2 * epoch}) + "\n" for epoch in range(1, told + 1)]
        (folder / "metrics.jsonl").write_text("".join(lines))
        code, out, _ = run(capsys, "check", folder)
        assert code == 0, out
        assert f"run         {epochs} of 2 epochs, step {step}, seed 0" in out
        assert "note: the run has not ended" in out


def test_a_class_folder_that_cannot_be_opened_is_one_problem(capsys, tmp_path, monkeypatch, weights):
    folder = write_folder(tmp_path / "d", classes())
    real = os.scandir

    def scandir(path):
        if os.fspath(path) == str(folder / "train" / "cat"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    code, out, _ = run(capsys, "check", folder, "--json")
    found = json.loads(out)
    assert (code, found["splits"]["train"]["classes"]) == (1, {"cat": 0, "dog": 4})
    (problem,) = found["problems"]
    assert problem.startswith(f"{folder}/train/cat cannot be opened (permission denied): chmod")
    assert_one_line_error(
        run(capsys, "train", folder, "--recipe", "cifar10-table", "--out", tmp_path / "out"), "train/cat cannot be open"
    )


def test_what_check_finds_wrong_at_once_and_what_it_cannot_do(capsys, tmp_path, weights):
    write_folder(tmp_path / "d", {"1.jpg": photo("top", 0, 1), "2.jpg": photo("top", 1, 1)})
    code, out, _ = run(capsys, "check", tmp_path / "d")
    assert code == 1
    assert "There are no class folders" in out
    (tmp_path / "empty").mkdir()
    code, out, _ = run(capsys, "check", tmp_path / "empty")
    assert (code, out.startswith("warning: There are no images in ")) == (1, True)
    (weights / "model.safetensors").write_bytes(b"damaged")
    code, out, _ = run(capsys, "check", weights)
    assert code == 1
    assert "model.safetensors" in out
    assert_one_line_error(
        run(capsys, "check", tmp_path / "nowhere"), "There is no ", "nowhere: expected photos in class"
    )
    assert_one_line_error(run(capsys, "check", weights, "--weights", weights), "is a checkpoint: leave it out")


@pytest.mark.parametrize("command", ["classify", "inspect", "compare", "attention", "preprocess"])
def test_exif_turns_photos_upright(command, capsys, tmp_path, weights):
    for name, orientation in (("turned", 6), ("upright", 1)):
        (tmp_path / f"{name}.png").write_bytes(photo("top", 3, orientation, format="PNG"))
    pictures = {"attention": ".png", "preprocess": ".npy"}

    def answer(name, *words):
        out = tmp_path / f"out{pictures.get(command, '')}"
        words = (*words, *(("--out", out, "--force") if command in pictures else ()))
        code, printed, err = run(capsys, command, tmp_path / f"{name}.png", "--weights", weights, *words)
        assert code == 0
        return (out.read_bytes() if command in pictures else printed.replace("turned", "upright")), err

    upright, err = answer("upright")
    assert "stored turned" not in err
    as_stored, err = answer("turned")
    assert "warning: " in err
    assert "turned.png is stored turned and is taken as stored: --exif turns it upright." in err
    turned, err = answer("turned", "--exif")
    assert "stored turned" not in err
    assert turned == upright != as_stored
    # Weights that turn photos do so without being asked, and --no-exif stops them.
    deit_ref.save_weights(seeded(apply_exif=True), weights)
    assert answer("turned")[0] == turned
    assert answer("turned", "--no-exif")[0] == as_stored


def test_many_turned_photos_are_counted_and_not_listed(capsys, tmp_path, weights):
    folder = write_folder(tmp_path / "d", turned_photos(count=4))
    for command, words in (("classify", ()), ("preprocess", ("--out", tmp_path / "x.png"))):
        code, _, err = run(capsys, command, folder, "--weights", weights, *words)
        assert code == 0
        assert err.count("stored turned") == 1
        assert "warning: 12 of 16 photos are stored turned and are taken as stored, such as " in err
        _, _, err = run(capsys, command, folder, "--weights", weights, "--exif", *words)
        assert "stored turned" not in err


def test_evaluate_turns_as_the_weights_say_or_as_it_is_told(capsys, tmp_path, weights):
    folder = write_folder(tmp_path / "d", turned_photos())
    found = {}
    for saved in (False, True):
        deit_ref.save_weights(seeded(apply_exif=saved), weights)
        for words in ((), ("--exif",), ("--no-exif",)):
            code, out, _ = run(capsys, "evaluate", "--data", folder, "--weights", weights, "--json", *words)
            assert code == 0
            found[saved, *words] = json.loads(out)["loss"]
    assert found[(False,)] == found[False, "--no-exif"] == found[True, "--no-exif"]
    assert found[(True,)] == found[False, "--exif"] == found[True, "--exif"]
    assert found[(True,)] != found[(False,)]


@pytest.mark.parametrize(
    ("words", "kept"),
    [((), True), (("--no-exif",), False), (("--exif",), True), (("--set", "apply_exif=false"), False)],
)
def test_finetune_turns_photos_unless_told_not_to_and_the_weights_keep_it(words, kept, capsys, tmp_path, weights):
    folder = write_folder(tmp_path / "d", turned_photos(count=4))
    code, _, err = run(
        capsys, "finetune", "--weights", weights, "--recipe", "cifar10-finetune", "--data", folder,
        "--out", tmp_path / "out", "--epochs", 1, "--batch-size", 4, "--image-size", 16, "--device", "cpu", *words,
    )  # fmt: skip
    assert code == 0, err
    assert deit_ref.load_weights(tmp_path / "out").image_processing.apply_exif is kept


def test_folders_without_a_photo_say_what_is_there(capsys, tmp_path, weights, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "empty").mkdir()
    write_folder(tmp_path / "phone", {"1.heic": b"", "2.HEIC": b"", "3.mov": b"", ".DS_Store": b""})
    for command, words in (("classify", ()), ("preprocess", ("--out", tmp_path / "x.png")), ("inspect", ())):
        result = run(capsys, command, tmp_path / "empty", "--weights", weights, *words)
        assert_one_line_error(result, "is a folder", "it is empty")
        result = run(capsys, command, tmp_path / "phone", "--weights", weights, *words)
        assert_one_line_error(result, "in it are 2 .heic (pip install pillow-heif to read them), 1 .mov")
    (tmp_path / "phone" / "4.jpg").write_bytes(photo("top", 0, 1))
    code, out, err = run(capsys, "classify", tmp_path / "phone", "--weights", weights)
    assert code == 0
    assert out.startswith(str(tmp_path / "phone" / "4.jpg"))
    assert "left out are 2 .heic (pip install pillow-heif to read them), 1 .mov." in err


def broken_photos(tmp_path):
    """Photos of three colors, one of each split broken, and a text among them."""
    folder = write_photos(tmp_path / "d", train=6, test=3)
    (folder / "train" / "red" / "2.png").write_bytes(b"no image")
    (folder / "test" / "blue" / "0.png").write_bytes((folder / "test" / "blue" / "0.png").read_bytes()[:50])
    (folder / "train" / "red" / "notes.txt").touch()
    return folder


@pytest.mark.parametrize("command", ["train", "train-teacher", "finetune"])
def test_training_says_what_there_is_and_goes_on_without_broken_photos(command, capsys, tmp_path, weights):
    folder = broken_photos(tmp_path)
    words = {
        "train": ("--recipe", "cifar10-table", "--set", "image_size=16", "warmup_epochs=0"),
        "train-teacher": ("--set", "image_size=16", "warmup_epochs=0"),
        "finetune": ("--weights", weights, "--recipe", "cifar10-finetune", "--image-size", 16),
    }[command]
    common = ("--data", folder, "--epochs", 1, "--batch-size", 4, "--device", "cpu")
    code, _, err = run(capsys, command, *common, "--out", tmp_path / "out", *words)
    assert code == 0, err
    lines = [line.removeprefix("deit-ref: ") for line in err.splitlines()]
    assert lines[0] == f"train: 18 photos of 3 classes (blue 6, green 6, red 6) in {folder}/train, 16x16 pixels"
    assert lines[1] == f"test: 9 photos of 3 classes (blue 3, green 3, red 3) in {folder}/test, 16x16 pixels"
    assert "note: other files are left out: 1 .txt." in lines
    (first, second) = [line for line in lines if line.startswith("broken: ")]
    assert first.startswith(f"broken: '{folder}/train/red/2.png' is not an image")
    assert second.startswith(f"broken: '{folder}/test/blue/0.png' is broken")
    assert "warning: 1 of train cannot be read, 17 are left." in lines
    assert "warning: 1 of test cannot be read, 8 are left." in lines
    (line,) = (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line)["test"]["photos"] == 8
    # Without the look, the first broken photo ends the run.
    code, _, err = run(capsys, command, *common, "--out", tmp_path / "other", "--no-check", *words)
    assert code == 2
    assert "cannot be read, " not in err
    assert "/test/blue/0.png' is broken" in err or "/train/red/2.png' is not an image" in err


def test_evaluate_says_what_there_is_and_goes_on_without_broken_photos(capsys, tmp_path, weights):
    folder = write_folder(tmp_path / "d", {**turned_photos(count=4), "test/top/x.jpg": b"no image"})
    code, out, err = run(capsys, "evaluate", "--data", folder, "--weights", weights, "--json")
    assert (code, json.loads(out)["photos"]) == (0, 8)
    lines = err.replace("deit-ref: ", "").splitlines()
    assert lines[0] == f"test: 9 photos of 2 classes (bottom 4, top 5) in {folder}/test, 24x24 pixels"
    assert any(line.startswith("note: 6 of 9 photos are stored turned: they are taken as they are") for line in lines)
    assert "warning: 1 of test cannot be read, 8 are left." in lines
    code, out, err = run(capsys, "evaluate", "--data", folder, "--weights", weights, "--no-check")
    assert (code, out) == (2, "")
    assert "test/top/x.jpg' is not an image that can be read" in err


@pytest.mark.parametrize(("world", "rank", "said"), [(1, 0, True), (2, 0, True), (2, 1, False)])
def test_of_several_processes_each_looks_at_names_alone_and_the_first_speaks(
    world, rank, said, capsys, tmp_path, monkeypatch
):
    folder = broken_photos(tmp_path)
    args = argparse.Namespace(no_check=False)
    monkeypatch.setenv("WORLD_SIZE", str(world))
    monkeypatch.setenv("RANK", str(rank))
    left = looked_over(open_splits(folder), args, apply_exif=False, image_shape=(16, 16))
    assert [len(images) for images in left.values()] == ([17, 8] if world == 1 else [18, 9])
    err = capsys.readouterr().err
    assert ("train: 18 photos" in err, "cannot be read" in err) == (said, world == 1)
