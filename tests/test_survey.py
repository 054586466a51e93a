"""The report before any work: what it counts, what it finds wrong, and that it is all of it."""

import io
import json
import sys

import numpy as np
import pytest
from test_archives import write_tar
from test_cifar import cifar_files
from test_data import below, both, contents, encoded, write_folder, write_zip
from test_one_reader import turned_photos

from deit_ref.data.examine import content, examine
from deit_ref.data.images import ImageSet
from deit_ref.data.opening import open_images
from deit_ref.data.survey import look_at_both, readable, report_on
from deit_ref.image_processing import ImageProcessing


def surveyed(path, **options):
    sets, problems = look_at_both(path)
    return report_on(sets, problems=problems, **options)


def classes(*, train=4, test=2, kinds=("cat", "dog")):
    """Name to PNG, each another one."""
    counts = {"train": train, "test": test}
    names = [f"{split}/{kind}/{i}.png" for split in counts for kind in kinds for i in range(counts[split])]
    return {name: encoded(seed) for seed, name in enumerate(names)}


@pytest.mark.parametrize("pack", [write_folder, write_zip, write_tar])
def test_all_is_well(pack, tmp_path):
    suffix = {write_folder: "", write_zip: ".zip", write_tar: ".tar.gz"}[pack]
    path = pack(tmp_path / f"d{suffix}", classes())
    progress = []
    report = surveyed(path, progress=progress.append)
    assert report.problems == ()
    assert report.notes == ()
    assert sum(progress) == 12
    train, test = report.splits["train"], report.splits["test"]
    assert (train.classes, train.photos, train.place) == ({"cat": 4, "dog": 4}, 8, f"{path}/train")
    assert (test.classes, test.broken, test.turned, test.smallest) == ({"cat": 2, "dog": 2}, (), 0, (6, 5))
    text = str(report)
    assert f"train: {path}/train, 6x5 pixels\n" in text
    assert "cat           4        2\ndog           4        2\nphotos        8        4" in text
    assert report.short()[0] == f"train: 8 photos of 2 classes (cat 4, dog 4) in {path}/train, 6x5 pixels"
    assert json.loads(json.dumps(report.to_dict()))["splits"]["test"]["photos"] == 4


def test_everything_that_is_broken_is_named_and_the_rest_is_left(tmp_path):
    files = classes()
    files["train/cat/1.png"] = files["train/cat/1.png"][:60]
    files["train/dog/3.png"] = b"no image"
    files["test/dog/0.png"] = b""
    path = write_folder(tmp_path / "d", files)
    report = surveyed(path)
    assert [broken.name for broken in report.splits["train"].broken] == [
        f"{path}/train/{name}.png" for name in ("cat/1", "dog/3")
    ]
    first, second = report.problems
    assert first == "2 of train cannot be read, 6 are left."
    assert second == "1 of test cannot be read, 3 are left."
    for text in (str(report), "\n".join(report.short())):  # each thing once
        assert text.count("broken: '") == 3
        for words in ("cat/1.png' is broken or cannot be read", "dog/3.png' is not an image", "dog/0.png' is empty"):
            assert text.count(words) == 1
    assert not report.to_dict()["ok"]
    images = open_images(path, "train")
    rest = readable(images, report.splits["train"])
    assert (len(rest), rest.labels.tolist()) == (6, [0, 0, 0, 1, 1, 1])
    assert [rest.read(i).shape for i in range(6)] == [(6, 5, 3)] * 6
    assert rest.digest != images.digest
    test = open_images(path, "test")
    assert readable(images, surveyed(path, read=False).splits["train"]) is images
    assert len(readable(test, report.splits["test"])) == 3


def test_a_class_of_which_nothing_can_be_read(tmp_path):
    files = {name: b"x" if "/dog/" in name else content for name, content in classes().items()}
    path = write_folder(tmp_path / "d", files)
    report = surveyed(path)
    with pytest.raises(ValueError, match=r"No photo of dog in .*d/train can be read, such as .*dog/0.png"):
        readable(open_images(path, "train"), report.splits["train"])


def test_photos_in_both_splits_and_in_two_classes(tmp_path):
    files = classes()
    files["test/cat/leak.png"] = files["train/cat/2.png"]
    files["test/dog/wrong.png"] = files["train/cat/3.png"]
    files["train/dog/other.png"] = files["train/cat/0.png"]
    files["train/dog/copy.png"] = files["train/dog/1.png"]
    path = write_folder(tmp_path / "d", files)
    report = surveyed(path)
    both_splits, two_classes = report.problems
    assert both_splits == (
        f"the same photos are both in train and in test, 2 of them, such as {path}/train/cat/2.png and "
        f"{path}/test/cat/leak.png: keep one."
    )
    assert two_classes.startswith(
        f"the same photos are in two classes, 2 of them, such as {path}/train/cat/0.png and {path}/train/dog/other.png"
    )
    assert report.notes[-1] == "1 photo is there a second time, in the same class and split."


def test_splits_of_other_classes_and_of_none(tmp_path):
    files = {**below("train", contents()), **below("test", contents({"dog/1.png": 30, "emu/1.png": 31}))}
    (problem,) = surveyed(write_folder(tmp_path / "d", files)).problems
    assert "only in train: Ant, cat; only in test: emu" in problem
    report = surveyed(write_folder(tmp_path / "e", contents()))
    assert (report.problems, [*report.splits]) == ((), ["train"])
    assert report.notes[0] == "there are no photos of the split test."
    with pytest.raises(ValueError, match="There are no images"):
        surveyed(write_folder(tmp_path / "f", {"cat/a.txt": b""}))


def test_what_is_wrong_with_class_folders_is_told_all_at_once(tmp_path):
    files = {**classes(), "train/stray.png": encoded(70), "train/gnu/a.txt": b"", "train/emu/deep/1.png": encoded(71)}
    report = surveyed(write_folder(tmp_path / "d", files))
    assert len(report.problems) == 4
    for problem, words in zip(
        report.problems,
        [
            "stray.png lies beside the class folders",
            "train/emu holds no photos itself, only folders (deep)",
            "train/gnu holds no images, only 1 .txt",
            "only in train: emu, gnu",
        ],
        strict=True,
    ):
        assert words in problem
    assert report.splits["train"].classes == {"cat": 4, "dog": 4, "emu": 1, "gnu": 0}


def test_a_split_that_cannot_be_read_does_not_hide_the_other(tmp_path):
    path = write_folder(tmp_path / "d", {name: content for name, content in classes().items() if "train" in name})
    (path / "test.zip").write_bytes(b"<html>")
    report = surveyed(path)
    assert report.splits["train"].photos == 8
    (problem,) = report.problems
    assert problem.startswith(f"{path}/test.zip is a web page (HTML)")


def test_what_is_left_out_is_counted_and_lost_photos_are_wrong(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    files = {**classes(), "train/cat/a.txt": b"", "test/cat/b.txt": b"", "train/dog/c.mov": b"", "train/dog/.d": b""}
    path = write_folder(tmp_path / "d", {**files, "train/dog/1.heic": b"", "train/cat/2.HEIC": b""})
    report = surveyed(path)
    assert report.problems == (
        "photos of train are left out: 2 .heic (pip install pillow-heif to read them), such as cat/2.HEIC.",
    )
    assert report.notes[0] == "other files are left out: 2 .txt, 1 .mov."


def test_other_folders_of_a_split_are_named(tmp_path):
    path = write_folder(tmp_path / "d", {**both("train", "test"), **below("val", contents(offset=20))})
    assert surveyed(path).notes[0] == f"val is not used: test is {path}/test."
    write_folder(path, below("Test", contents(offset=20)))
    assert surveyed(path).notes[0] == f"Test, val are not used: test is {path}/test."


def test_classes_that_are_spelled_alike_are_pointed_out_once(tmp_path):
    report = surveyed(write_folder(tmp_path / "d", classes(kinds=("cat", "Cat", "dog"))))
    assert report.problems == ()
    assert report.notes == ("only the spelling differs of the classes 'Cat' and 'cat': join those that are one.",)
    other = {**classes(test=0), **below("test", contents({"cat/1.png": 90, "Dog/1.png": 91}))}
    report = surveyed(write_folder(tmp_path / "e", other))
    assert (len(report.problems), report.notes) == (1, ())


def test_splits_without_class_folders_are_no_classes(tmp_path):
    path = write_folder(tmp_path / "d", contents({"train/1.png": 0, "val/1.png": 1}))
    (problem,) = surveyed(path).problems
    assert "are called like splits (train, val) and hold no folders: make a folder per class in each" in problem


def test_photos_outside_the_splits_are_said_once(tmp_path):
    files = {**classes(), "unlabeled/1.png": encoded(70), "unlabeled/2.png": encoded(71)}
    for path in (write_folder(tmp_path / "d", files), write_zip(tmp_path / "d.zip", files)):
        assert surveyed(path).problems == (
            "2 photos lie outside train and test, such as unlabeled/1.png: move them in, or away.",
        )


@pytest.mark.parametrize("name", ["train.rar", "train.7z", "Training.tar.zst"])
def test_an_archive_of_a_split_that_is_not_read_is_no_missing_split(name, tmp_path):
    path = write_folder(tmp_path / "d", below("test", contents()))
    (path / name).write_bytes(b"Rar!\x1a\x07\0")
    (problem,) = surveyed(path).problems
    assert problem == f"{path}/{name} is a RAR archive, not a zip or a tar: unpack it and give the folder."


def test_an_archive_without_a_split_in_its_name_is_pointed_out(tmp_path):
    write_zip(tmp_path / "d" / "flowers.zip", contents())
    with pytest.raises(ValueError, match=r"in it are 1 \.zip: unpack flowers\.zip, or give it instead"):
        surveyed(tmp_path / "d")


@pytest.mark.parametrize(
    ("apply_exif", "words"),
    [(None, "finetune turns them"), (True, "they are turned upright"), (False, "they are taken as they are stored")],
)
def test_photos_that_are_stored_turned_are_counted(apply_exif, words, tmp_path):
    path = write_folder(tmp_path / "d", turned_photos(count=4))
    report = surveyed(path, apply_exif=apply_exif)
    assert (report.splits["train"].turned, report.splits["test"].turned) == (6, 6)
    assert report.notes[-1].startswith(f"12 of 16 photos are stored turned: {words}")
    assert report.problems == ()


def test_sizes_are_of_photos_as_they_are_read_and_small_ones_are_counted(tmp_path):
    files = {**classes(), "train/cat/big.png": encoded(50, shape=(40, 60, 3))}
    files["train/dog/wide.png"] = encoded(51, shape=(20, 50, 3))
    path = write_folder(tmp_path / "d", files)
    report = surveyed(path, image_shape=(32, 32))
    assert report.notes == ("13 photos have less than the 32x32 pixels that the model sees, and are enlarged.",)
    assert report.short()[0].endswith("/train, 6x5 to 40x60 pixels (height x width)")
    (path / "train/cat/0.png").write_bytes(b"")
    assert surveyed(path, read=False).short()[0].endswith("/train")
    turned = write_folder(tmp_path / "e", turned_photos(count=4))
    sets, _ = look_at_both(turned, ImageProcessing(apply_exif=True))
    assert report_on(sets, apply_exif=True).splits["train"].largest == (24, 24)


def test_without_reading_only_names_are_looked_at(tmp_path):
    files = {**classes(), "train/cat/1.png": b"broken", "train/cat/a.txt": b""}
    report = surveyed(write_folder(tmp_path / "d", files), read=False)
    assert (report.problems, report.notes) == ((), ("other files are left out: 1 .txt.",))


def test_the_archive_of_cifar(tmp_path):
    report = surveyed(write_folder(tmp_path / "cifar-10-batches-py", cifar_files()))
    assert report.splits["train"].classes == {"plane": 3, "car": 3, "bird": 4}
    assert report.problems == ()
    assert report.splits["test"].largest == (32, 32)


def test_many_photos_are_reported_in_order(tmp_path):
    names = {f"{kind}/{i:03}.png": i for kind in ("a", "b") for i in range(70)}
    files = {name: b"broken" if seed % 7 == 0 else encoded(seed + 100 * ("b" in name)) for name, seed in names.items()}
    report = surveyed(write_folder(tmp_path / "d", files))
    places = [broken.place for broken in report.splits["train"].broken]
    assert places == [i for i in range(140) if i % 70 % 7 == 0]
    assert str(report).count("broken: '") == 20
    short = "\n".join(report.short())
    assert short.count("broken: '") == 5
    assert f"broken: 15 more in {tmp_path}/d, which deit-ref check names.\n" in short
    np.testing.assert_array_equal(sorted(places), places)


@pytest.mark.parametrize("count", [1, 31, 32, 33, 64, 65])
def test_every_photo_is_examined_once_and_in_its_place(count):
    """However many there are: they are read by 32 at a time."""
    images = ImageSet(
        np.zeros(count, np.int64), ("a", "b"), [str(i) for i in range(count)],
        lambda i: np.full((i + 1, 2, 3), i, np.uint8),
    )  # fmt: skip
    told = []
    found = examine(images, progress=told.append)
    assert [one.shape for one in found] == [(i + 1, 2) for i in range(count)]
    assert len({one.content for one in found}) == sum(told) == count


@pytest.mark.parametrize("size", [2**20 - 1, 2**20, 2**20 + 1, 2**21 + 1])
def test_files_are_told_apart_to_their_last_byte(size):
    files = [b"x" * (size - 1) + end for end in (b"a", b"b", b"a")]
    images = ImageSet(
        np.zeros(3, np.int64), ("a", "b"), list("012"), lambda i: None, open=lambda i: io.BytesIO(files[i])
    )
    found = [content(images, i) for i in range(3)]
    assert found[0] == found[2] != found[1]


def test_sizes_are_told_by_area_and_small_is_what_is_too_low_or_too_narrow():
    shapes = [(10, 40), (20, 10), (50, 50), (15, 15), (100, 30)]
    images = ImageSet(
        np.array([0, 1, 0, 1, 0]), ("a", "b"), list("01234"), lambda i: np.full((*shapes[i], 3), i, np.uint8)
    )
    report = report_on({"train": images}, image_shape=(15, 15)).splits["train"]
    assert (report.smallest, report.largest, report.small) == ((20, 10), (100, 30), 2)
    assert report_on({"train": images}, image_shape=(16, 11)).splits["train"].small == 3
    assert report_on({"train": images}).splits["train"].small == 0
