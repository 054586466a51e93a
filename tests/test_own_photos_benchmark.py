"""The program that the recipe own-photos was chosen by: what it draws, how it divides, and that it goes on."""

import json

import numpy as np
import pytest
from PIL import Image

from deit_ref.benchmark import own_photos
from deit_ref.benchmark.own_photos import COLUMNS, DRAWN, WAYS
from deit_ref.data.opening import open_images, open_splits
from deit_ref.image_processing import ImageProcessing


def test_drawings_are_those_of_their_seed_and_kind():
    first, again, other = (
        np.asarray(own_photos.drawing(kind, (80, 60), np.random.default_rng(seed)))
        for kind, seed in (("mug", 1), ("mug", 1), ("shoe", 1))
    )
    assert first.shape == (60, 80, 3)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_folder_as_a_phone_stores_it(tmp_path):
    own_photos.draw(tmp_path / "photos", each=4, size=(80, 60))
    files = sorted((tmp_path / "photos" / "plant").iterdir())
    assert [file.name for file in files] == [f"IMG_100{i}.jpg" for i in range(4)]
    sizes = []
    for file in files:
        with Image.open(file) as image:
            sizes.append((image.size, image.getexif().get(0x0112)))
    assert sizes == [((60, 80), 6), ((80, 60), None), ((80, 60), None), ((60, 80), 6)]
    upright = open_images(tmp_path / "photos", "train", ImageProcessing(apply_exif=True))
    assert {upright.read(i).shape for i in range(len(upright))} == {(60, 80, 3)}
    with pytest.raises(FileExistsError):
        own_photos.draw(tmp_path / "photos")


def test_nothing_is_drawn_among_other_drawings(tmp_path, capsys):
    (tmp_path / "mug").mkdir()
    with pytest.raises(SystemExit) as stopped:
        own_photos.main(["--draw", str(tmp_path)])
    assert stopped.value.code == 2
    assert f"{tmp_path} holds drawings already: choose another name" in capsys.readouterr().err
    assert not [*(tmp_path / "mug").iterdir()]


def test_the_first_of_each_class_are_learned_from():
    splits = own_photos.drawn(train=2, test=3, seed=0)
    assert splits["train"].labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert splits["test"].labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert splits["test"].class_names == DRAWN
    assert {*splits["train"].names}.isdisjoint(splits["test"].names)


def test_photos_of_cifar(tmp_path):
    generator = np.random.default_rng(0)
    for name in {*own_photos.ALIKE, *own_photos.SIDES}:
        (tmp_path / "test" / name).mkdir(parents=True)
        for i in range(4):
            Image.fromarray(generator.integers(0, 256, (8, 8, 3), np.uint8)).save(tmp_path / f"test/{name}/{i}.png")
    known = own_photos.photographed(tmp_path, train=1, test=3, seed=0)
    assert (len(known["train"]), len(known["test"])) == (3, 9)
    images = open_images(tmp_path, "test")
    whole = {images.read(i).tobytes(): images.class_names[images.labels[i]] for i in range(len(images))}
    assert [whole[known["test"].read(i).tobytes()] for i in range(9)] == [
        name for name in own_photos.ALIKE for _ in "123"
    ]
    sides = own_photos.upright_or_not(tmp_path, train=2, test=3, seed=0)
    for images in sides.values():
        for i, label in enumerate(images.labels):
            assert images.read(i)[:: -1 if label else 1].tobytes() in whole


def test_one_run_and_a_command_that_goes_on(tmp_path, monkeypatch, capsys):
    splits = own_photos.drawn(train=4, test=2, seed=0)
    assert 0 <= own_photos.accuracy(splits, {"epochs": 2, "batch_size": 4, "steps": 0.5, "both": True}, seed=0) <= 1
    asked = []

    def accuracy(splits, changes, *, seed):
        asked.append((len(splits["train"]), changes, seed))
        return 0.5 + seed / 10

    monkeypatch.setattr(own_photos, "accuracy", accuracy)
    for name in ("photographed", "upright_or_not"):
        monkeypatch.setattr(own_photos, name, lambda data, **_: splits)
    words = ["--data", str(tmp_path), "--json", str(tmp_path / "t.json"), "--ways", "own-photos", "both tokens"]
    assert own_photos.main(words) == 0
    assert [changes for _, changes, _ in asked] == [{}] * 3 + [{"both": True}] * 3
    assert own_photos.main([*words, "--seeds", "2"]) == 0
    assert [seed for *_, seed in asked] == [0] * 6 + [1] * 6  # what was measured is not measured again
    record = json.loads((tmp_path / "t.json").read_text())
    assert record["columns"] == COLUMNS
    assert record["rows"] == [[way, "55.0", "55.0", "55.0"] for way in ("own-photos", "both tokens")]
    assert capsys.readouterr().out.endswith("| both tokens | 55.0 | 55.0 | 55.0 |\n")
    assert {*record["ways"]} < {*WAYS}
    with pytest.raises(SystemExit):
        own_photos.main([])


def test_drawn_photos_are_opened_as_any_others(tmp_path, monkeypatch):
    draw = own_photos.draw
    monkeypatch.setattr(own_photos, "draw", lambda folder: draw(folder, size=(40, 30)))
    assert own_photos.main(["--draw", str(tmp_path / "photos")]) == 0
    splits = open_splits(tmp_path / "photos")
    assert [*splits] == ["train"]
    assert np.bincount(splits["train"].labels).tolist() == [30, 30, 30]
