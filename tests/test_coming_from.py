"""docs/coming_from.md, read and run: what it says to write there and here, and that both give the same.

transformers' column runs here. timm's was run by make_timm_lines.py, which keeps what each line gave: see the page.
"""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from coming_from import blocks, plain, rows, run, sampled, section, stand_in, write_stand_in
from PIL import Image
from tiny_data import CLASSES, write_photos
from tolerances import BOUNDS, assert_close

import deit_ref
from deit_ref.checkpoints import hub
from deit_ref.commands import main
from deit_ref.photos import bundled_photo
from deit_ref.weights import named_arrays

GOLDEN = json.loads((Path(__file__).parent / "golden" / "timm_lines.json").read_text(encoding="utf-8"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where a reader stands: with a photo of a cat."""
    shutil.copy(bundled_photo("chelsea"), tmp_path / "cat.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def assert_same(there, here, bound="transformers"):
    """Plain values: arrays and numbers within the table's bound, all else equal."""
    assert isinstance(here, list | dict) == isinstance(there, list | dict)
    if isinstance(there, dict) and set(there) == {"shape", "values"}:
        assert here["shape"] == there["shape"]
        there, here = np.array(there["values"]), np.array(here["values"])
    if isinstance(there, dict):
        assert here.keys() == there.keys()
        for name in there:
            assert_same(there[name], here[name], bound)
    elif isinstance(there, list):
        assert len(here) == len(there)
        for a, b in zip(there, here, strict=True):
            assert_same(a, b, bound)
    elif isinstance(there, np.ndarray):
        assert_close(here, there, bound)
    elif isinstance(there, float):
        assert here == pytest.approx(there, rel=BOUNDS[bound])
    else:
        assert here == there


def run_rows(text, there, here, gives=None):
    """Both columns of each row, or what the left one gave; each in the names of the rows before it."""
    for number, row in enumerate(rows(text)):
        try:
            left = plain(run(row.there, there)) if gives is None else gives[number]
            assert left is not None, "nothing to compare: let the row end with a value"
            right = plain(run(row.here, here))
            right = right if gives is None else sampled(right)
            bound = "float16" if "float16" in row.here else "transformers"
            if row.differs:
                with pytest.raises(AssertionError):
                    assert_same(left, right, bound)
            else:
                assert_same(left, right, bound)
        except BaseException as error:
            error.add_note(f"{row.there}\n-- here --\n{row.here}")
            raise


def test_there_and_back(folder, capsys):
    text, names = section("There and back"), {}
    for block in blocks(text):
        exec(block, names)
    weights, again, classifier = (names[name] for name in ("weights", "again", "classifier"))
    assert (again.config, again.class_names, again.task) == (weights.config, weights.class_names, weights.task)
    assert again.image_processing == weights.image_processing
    arrays = dict(named_arrays(again))
    for name, array in named_arrays(weights):
        np.testing.assert_array_equal(arrays[name], array, err_msg=name)
    x = deit_ref.preprocess(str(folder / "cat.jpg"), weights.image_processing, backend="torch")
    with torch.no_grad():
        theirs = classifier.model(x).logits
    for ours in (weights, again):
        for backend in ("numpy", "torch"):
            logits = deit_ref.forward(ours, str(folder / "cat.jpg"), backend=backend).logits
            assert_close(logits, theirs, "transformers", backend)
    printed = capsys.readouterr().out.splitlines()
    ours, theirs = (plain(run(line, {})) for line in printed[-2:])
    assert_same(theirs, ours)
    assert [name for name, _ in ours] == ["cat", "dog"]


def test_what_finetune_writes_goes_there_too(folder):
    """The page's command, for one epoch on tiny photos."""
    from transformers import pipeline

    deit_ref.save_weights(deit_ref.load_weights(), "mine")
    write_photos(folder / "photos", train=2, test=1, size=(40, 32))
    (command,) = re.findall("^deit-ref (finetune .*)$", section("From transformers"), re.M)
    assert main([*command.split(), "--epochs", "1", "--batch-size", "6"]) == 0
    answers = pipeline("image-classification", model="mine-tuned")("cat.jpg")
    assert_same(plain(answers), plain(deit_ref.forward(deit_ref.load_weights("mine-tuned"), "cat.jpg").top()[0]))
    assert sorted(answer["label"] for answer in answers) == sorted(CLASSES)


def test_what_transformers_does_not_know_comes_back(folder):
    """apply_exif and its kin pass through transformers' files, and are not acted on there."""
    from transformers import AutoImageProcessor

    weights = deit_ref.load_weights()
    changes = {"apply_exif": True, "crop_rounding": "round", "arithmetic": "torchvision", "pass_order": "pillow-12"}
    processing = dataclasses.replace(weights.image_processing, **changes)
    deit_ref.save_weights(dataclasses.replace(weights, image_processing=processing), "mine")
    processor = AutoImageProcessor.from_pretrained("mine")
    processor.save_pretrained("mine")
    assert deit_ref.load_weights("mine").image_processing == processing
    assert_close(plain(weights.image_processing), plain(processor), "transformers")


def test_turned_photos_in_a_pipeline(folder):
    """The pipeline turns what it reads from a file; this package does when the folder says so."""
    from transformers import pipeline

    exif = Image.Exif()
    exif[0x0112] = 3
    Image.open("cat.jpg").save("turned.jpg", exif=exif)
    weights = deit_ref.load_weights()
    processing = dataclasses.replace(weights.image_processing, apply_exif=True)
    deit_ref.save_weights(dataclasses.replace(weights, image_processing=processing), "mine")
    answers = pipeline("image-classification", model="mine")("turned.jpg", top_k=10)
    assert_same(plain(answers), plain(deit_ref.forward(deit_ref.load_weights("mine"), "turned.jpg").top(10)[0]))
    with pytest.raises(AssertionError):
        assert_same(plain(answers), plain(deit_ref.forward(weights, "turned.jpg").top(10)[0]))


@pytest.mark.filterwarnings("ignore:task=.* drops:UserWarning")
def test_lines_of_transformers(folder):
    text = section("From transformers")
    there = {}
    for block in [*blocks(section("There and back")), *blocks(text)]:
        exec(block, there)
    torch.manual_seed(0)
    run_rows(text, there, dict(there))


@pytest.mark.filterwarnings("ignore:task=.* drops:UserWarning")
def test_lines_of_timm(folder, monkeypatch):
    text = section("From timm")
    lines = [line for line, _ in GOLDEN["lines"]]
    assert [row.there for row in rows(text)] == lines, "run tests/make_timm_lines.py: a line of timm has changed"

    def download(name, revision):
        place = folder / name
        if not place.exists():
            write_stand_in(place.name.partition(".")[0], place)
        return place

    monkeypatch.setattr(hub, "download", download)
    arrays = named_arrays(stand_in("deit_tiny_patch16_224"))
    torch.save({name: torch.from_numpy(array) for name, array in arrays}, "deit.pth")
    (block,) = blocks(text)
    names = {}
    exec(block, names)
    run_rows(text, {}, names, gives=[gives for _, gives in GOLDEN["lines"]])


def test_the_page_says_which_versions_ran():
    assert f"run once by timm {GOLDEN['versions']['timm']}" in section("From timm").replace("\n", " ")
    assert f"by transformers {'.'.join(transformers.__version__.split('.')[:2])}," in section("From transformers")
