"""Every layout of labeled photos, and every way it can be wrong; hostile pickles that must not run."""

import dataclasses
import io
import os
import shutil
import threading
import unicodedata
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_data import write_photos

from deit_ref import photo_names, photos
from deit_ref.data import images as image_sets
from deit_ref.data import zips
from deit_ref.data.layout import SPLITS
from deit_ref.data.opening import look, open_images, open_splits
from deit_ref.data.sources import ARCHIVES
from deit_ref.image_processing import ImageProcessing


def pixels(seed, shape=(6, 5, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def encoded(seed, kind="PNG", shape=(6, 5, 3)):
    file = io.BytesIO()
    Image.fromarray(pixels(seed, shape)).save(file, kind)
    return file.getvalue()


# Written in an order that is not the sorted one; capitals sort first.
FILES = {"dog/2.png": 0, "dog/1.PNG": 1, "cat/b.jpeg": 2, "Ant/deep/er/x.png": 3, "Ant/a.jpg": 4}
ORDER = [("Ant/a.jpg", 0), ("Ant/deep/er/x.png", 0), ("cat/b.jpeg", 1), ("dog/1.PNG", 2), ("dog/2.png", 2)]
CLASSES = ("Ant", "cat", "dog")
JUNK = ["dog/notes.txt", "dog/.hidden.png", ".cache/x.png", "__MACOSX/dog/._1.png"]


def contents(files=None, *, offset=0):
    kinds = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
    files = FILES if files is None else files
    return {name: encoded(seed + offset, kinds[os.path.splitext(name)[1].lower()]) for name, seed in files.items()}


def write_folder(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def write_zip(path, files, kind=zipfile.ZIP_DEFLATED):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def below(prefix, files):
    return {f"{prefix}/{name}": content for name, content in files.items()}


def both(train, test):
    return {**below(train, contents()), **below(test, contents(offset=10))}


LAYOUTS = {
    "folders": lambda at: write_folder(at / "d", both("train", "test")),
    "val": lambda at: write_folder(at / "d", both("train", "val")),
    "validation": lambda at: write_folder(at / "d", both("train", "validation")),
    "deep": lambda at: write_folder(at / "d", both("ILSVRC/Data/train", "ILSVRC/Data/val")),
    "one zip": lambda at: write_zip(at / "d.zip", both("train", "test")),
    "deep zip": lambda at: write_zip(at / "d.zip", both("photos/train", "photos/val")),
    "bare zips": lambda at: (
        (
            write_zip(at / "d" / "train.zip", contents()),
            write_zip(at / "d" / "test.zip", contents(offset=10)),
        )[0].parent
    ),
    "zips with tops": lambda at: (
        (
            write_zip(at / "d" / "train.zip", below("train", contents())),
            write_zip(at / "d" / "val.zip", below("val", contents(offset=10))),
        )[0].parent
    ),
    "zips with other tops": lambda at: (
        (
            write_zip(at / "d" / "train.zip", below("a/b", contents()), zipfile.ZIP_STORED),
            write_zip(at / "d" / "test.zip", below("c", contents(offset=10))),
        )[0].parent
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout, tmp_path):
    path = LAYOUTS[layout](tmp_path)
    for split, offset in (("train", 0), ("test", 10)):
        images = open_images(path, split)
        assert images.class_names == CLASSES
        assert images.labels.dtype == np.int64
        assert images.labels.tolist() == [label for _, label in ORDER]
        assert len(images) == 5
        for i, (name, _) in enumerate(ORDER):
            assert images.names[i].endswith(name)
            file = write_folder(tmp_path / "one", {os.path.basename(name): contents(offset=offset)[name]})
            read = images.read(i)
            assert read.dtype == np.uint8
            np.testing.assert_array_equal(read, photos.load_image(file / os.path.basename(name)))
    # A zip is named with its entry.
    if "zip" in layout:
        assert ".zip: " in images.names[0]


@pytest.mark.parametrize("packed", [False, True])
def test_class_folders_alone_are_the_train_split(packed, tmp_path):
    files = {**contents(), **dict.fromkeys(JUNK, b"junk")}
    path = write_zip(tmp_path / "d.zip", files) if packed else write_folder(tmp_path / "d", files)
    images = open_images(path, "train")
    assert (images.class_names, len(images)) == (CLASSES, 5)
    with pytest.raises(ValueError, match=r"no split 'test': looked for test or testing or val or .* with a folder per"):
        open_images(path, "test")


@pytest.mark.parametrize("packed", [False, True])
def test_what_is_called_val_is_no_train_split(packed, tmp_path):
    files = contents()
    path = write_zip(tmp_path / "val.zip", files) if packed else write_folder(tmp_path / "val", files)
    assert len(open_images(path, "test")) == 5
    with pytest.raises(ValueError, match="no split 'train': looked for train"):
        open_images(path, "train")


def test_the_other_split_is_not_taken_for_the_wanted_one(tmp_path):
    path = write_folder(tmp_path / "d", below("test", contents()))
    with pytest.raises(ValueError, match=r"no split 'train'.*found test"):
        open_images(path, "train")
    # ImageNet's test photos have no classes, its val photos do.
    path = write_folder(tmp_path / "e", {**both("train", "val"), "test/1.jpg": encoded(0)})
    assert len(open_images(path, "test")) == 5


def test_what_is_called_like_a_split_says_so(tmp_path):
    path = write_folder(tmp_path / "dev", contents())
    with pytest.raises(ValueError, match=r"no split 'train'.*dev itself is called otherwise.*"):
        open_images(path, "train")


def test_a_class_may_be_called_train(tmp_path):
    path = write_folder(tmp_path / "d", contents({"train/1.png": 0, "car/1.png": 1, "test/1.png": 2}))
    assert open_images(path, "train").class_names == ("car", "test", "train")
    path = write_folder(tmp_path / "e", below("train", contents({"train/1.png": 0, "car/1.png": 1})))
    assert open_images(path, "train").class_names == ("car", "train")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("train", ["train", "Training", "TRAIN"])
@pytest.mark.parametrize("test", ["Testing", "Valid", "eval", "DEV", "validation"])
def test_splits_as_people_call_them(train, test, packed, tmp_path):
    files = {**both(f"data/{train}", f"data/{test}"), "data/README.txt": b""}
    path = write_zip(tmp_path / "d.zip", files) if packed else write_folder(tmp_path / "d", files) / "data"
    for split, name, offset in (("train", train, 0), ("test", test, 10)):
        images = open_images(path, split)
        assert (images.class_names, len(images), images.unused) == (CLASSES, 5, ())
        assert images.place.endswith(f"/{name}")
        np.testing.assert_array_equal(images.read(4), pixels(offset))


@pytest.mark.parametrize("packed", [False, True])
def test_of_several_test_splits_one_is_taken_and_the_others_are_named(packed, tmp_path):
    files = {**both("train", "val"), **below("Test", contents(offset=20)), **below("dev", contents())}
    path = write_zip(tmp_path / "d.zip", files) if packed else write_folder(tmp_path / "d", files)
    images = open_images(path, "test")
    np.testing.assert_array_equal(images.read(4), pixels(20))
    assert images.place.endswith("/Test")
    assert images.unused == ("val", "dev")
    assert open_images(path, "train").unused == ()


@pytest.mark.parametrize("packed", [False, True])
def test_small_letters_come_first_and_the_others_are_named(packed, tmp_path):
    files = {**both("train", "Test"), **below("test", contents(offset=20)), **below("TRAIN", contents(offset=30))}
    path = write_zip(tmp_path / "d.zip", files) if packed else write_folder(tmp_path / "d", files)
    splits = open_splits(path)
    assert [(images.place, images.unused) for images in splits.values()] == [
        (f"{path}/train", ("TRAIN",)),
        (f"{path}/test", ("Test",)),
    ]
    np.testing.assert_array_equal(splits["test"].read(4), pixels(20))


def test_archives_and_a_folder_of_one_split_are_named_too(tmp_path):
    path = write_folder(tmp_path / "d", both("train", "test"))
    for name in ("test.zip", "Test.zip", "train.zip"):
        write_zip(path / name, contents(offset=20))
    splits = open_splits(path)
    np.testing.assert_array_equal(splits["test"].read(4), pixels(10))
    assert (splits["train"].unused, splits["test"].unused) == (("train.zip",), ("test.zip", "Test.zip"))


def test_hidden_folders_make_no_split(tmp_path):
    """Notebooks leave .ipynb_checkpoints where they were opened, also beside test photos without classes."""
    files = {**both("train", "val"), "test/1.png": encoded(0), "test/.ipynb_checkpoints/1.png": encoded(0)}
    assert open_images(write_folder(tmp_path / "d", files), "test").place.endswith("/val")


FORMS = [unicodedata.normalize(form, "K\u00e4se") for form in ("NFC", "NFD")]


@pytest.mark.parametrize("packed", [False, True])
def test_names_of_either_form_of_unicode_are_one(packed, tmp_path):
    """A Mac stores an umlaut as two characters; the same photos then have the same classes, order and digest."""
    found = []
    for number, name in enumerate(FORMS):
        files = {f"{name}/{name}.png": encoded(1), "Kz/1.png": encoded(2)}  # decomposed "a" would come before "z"
        place = tmp_path / str(number) / "train"
        path = write_zip(place.with_suffix(".zip"), files) if packed else write_folder(place, files)
        images = open_images(path, "train")
        np.testing.assert_array_equal(images.read(images.class_names.index(FORMS[0])), pixels(1))
        found.append((images.class_names, images.labels.tolist(), images.digest))
    assert found[0] == found[1]
    assert found[0][0] == ("Kz", FORMS[0])


def test_two_files_of_one_name_in_two_forms_are_no_photo_twice(tmp_path):
    files = {f"{FORMS[0]}/1.png": encoded(1), f"{FORMS[1]}/1.png": encoded(2), f"{FORMS[1]}/2.png": encoded(3)}
    files["x/1.png"] = encoded(4)
    images = open_images(write_folder(tmp_path / "d", files), "train")
    assert (images.class_names, images.labels.tolist()) == ((FORMS[0], "x"), [0, 0, 1])
    assert images.skipped == {"with a name that is there already, in another form of Unicode": (1, f"{FORMS[0]}/1.png")}
    with pytest.raises(ValueError, match=r"1\.png twice"):
        open_images(write_zip(tmp_path / "d.zip", files), "train")


def test_a_zip_of_a_mac_that_does_not_say_utf8(tmp_path):
    name = FORMS[1].encode()
    path = write_zip(tmp_path / "d.zip", {f"{'?' * len(name)}/1.png": encoded(1), "x/1.png": encoded(2)})
    path.write_bytes(path.read_bytes().replace(b"?" * len(name), name))
    images = open_images(path, "train")
    assert images.class_names == (FORMS[0], "x")
    assert images.names[0] == f"{path}: {FORMS[1]}/1.png"
    np.testing.assert_array_equal(images.read(0), pixels(1))
    # Those of Windows are read as before.
    path = write_zip(tmp_path / "e.zip", {"K?se/1.png": encoded(1), "x/1.png": encoded(2)})
    path.write_bytes(path.read_bytes().replace(b"K?se", "K\u00e4se".encode("cp437")))
    assert open_images(path, "train").class_names == (FORMS[0], "x")


@pytest.fixture
def deny(monkeypatch):
    """Make folders refuse to be listed, as they would to anybody but root."""
    refused = set()

    def checked(real):
        def call(place="."):
            if os.fspath(place) in refused:
                raise PermissionError(13, "Permission denied", os.fspath(place))
            return real(place)

        return call

    for name in ("listdir", "scandir"):
        monkeypatch.setattr(os, name, checked(getattr(os, name)))
    return lambda *folders: refused.update(map(os.fspath, folders))


def test_folders_that_cannot_be_opened_are_said_in_one_line(deny, tmp_path):
    path = write_folder(tmp_path / "d", {**both("train", "test"), "train/cat/deep/1.png": encoded(7)})
    deny(path / "train" / "dog")
    words = r"train/dog cannot be opened \(permission denied\): chmod"
    with pytest.raises(ValueError, match=words):
        open_images(path, "train")
    assert len(open_images(path, "test")) == 5
    (images, problems) = look(path)("train")
    assert (images.class_names, len(images), len(problems)) == (CLASSES, 4, 1)
    deny(path / "train" / "cat" / "deep")
    (problem,) = look(path)("train")[1]
    assert problem.startswith(f"2 folders cannot be opened, such as this: {path}/train/cat/deep cannot be opened (perm")
    deny(path / "test")  # a split as a whole
    with pytest.raises(ValueError, match="d/test cannot be opened"):
        open_images(path, "test")
    deny(path)
    with pytest.raises(ValueError, match="d cannot be opened"):
        open_splits(path)


def test_a_folder_that_may_be_listed_but_not_entered(tmp_path, monkeypatch):
    class Entry:
        """As os.scandir gives it where the folder has no x."""

        def __init__(self, entry):
            self.name, self.path, self.is_dir, self.is_symlink = entry.name, entry.path, entry.is_dir, entry.is_symlink

        def stat(self):
            raise PermissionError(13, "Permission denied", self.path)

    real = photo_names.walk
    monkeypatch.setattr(
        photo_names,
        "walk",
        lambda *given, **options: (
            (parts, Entry(entry) if parts[0] == "dog" else entry, is_folder)
            for parts, entry, is_folder in real(*given, **options)
        ),
    )
    path = write_folder(tmp_path / "d", contents())
    (path / "dog" / "x.png").symlink_to("nowhere")
    (images, (problem,)) = look(path)("train")
    assert problem.startswith(f"{path}/dog cannot be opened (permission denied): chmod u+rX")
    assert (len(images), images.skipped) == (3, {"no file, or a link to nothing": (1, "dog/x.png")})


def test_a_split_below_a_folder_that_stands_alone_cannot_be_opened(deny, tmp_path):
    path = write_folder(tmp_path / "d", both("all/train", "all/test"))
    deny(path / "all" / "train")
    with pytest.raises(ValueError, match="all/train cannot be opened"):
        open_images(path, "train")
    assert len(open_images(path, "test")) == 5


@pytest.mark.parametrize("packed", [False, True])
def test_a_class_folder_that_holds_only_folders_is_refused(packed, tmp_path):
    files = {**below("flowers_train", contents()), **below("flowers_test", contents(offset=10))}
    path = write_zip(tmp_path / "d.zip", files) if packed else write_folder(tmp_path / "d", files)
    with pytest.raises(
        ValueError,
        match=r"class folder .*/flowers_test holds no photos itself, only folders \(Ant, cat, dog\): if those are the "
        r"classes give .*/flowers_test as the data, if it is a split call it train or test, .*\(1 more",
    ):
        open_images(path, "train")
    if not packed:
        assert open_images(path / "flowers_test", "train").class_names == CLASSES


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ({}, "no images in .*expected a folder per class with .*.jpg"),
        ({"cat/a.txt": b""}, "no images in"),
        ({"1.png": b"x", "2.png": b"x"}, "no class folders in .*, only 2 photos, such as 1.png: make a folder per"),
        ({"cat/1.png": b"x"}, "at least 2 class folders in .*got cat alone"),
        ({"cat/1.png": b"x", "dog/1.png": b"x", "emu/1.txt": b""}, "class folder .*/emu holds no images"),
        ({"cat/1.png": b"x", "dog/1.png": b"x", "out.png": b"x"}, "out.png lies beside the class folders"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_layouts_that_are_wrong(files, match, packed, tmp_path):
    (tmp_path / "d").mkdir()
    path = write_zip(tmp_path / "d.zip", files) if packed else write_folder(tmp_path / "d", files)
    with pytest.raises(ValueError, match=match):
        open_images(path, "train")


def test_paths_that_are_wrong(tmp_path):
    with pytest.raises(ValueError, match=r"There is no .*nowhere"):
        open_images(tmp_path / "nowhere", "train")
    (tmp_path / "a.txt").write_text("cats")
    with pytest.raises(ValueError, match=r"a.txt is neither a folder nor an archive .\.zip, \.tar, "):
        open_images(tmp_path / "a.txt", "train")
    (tmp_path / "a.zip").write_bytes(b"PK nonsense")
    with pytest.raises(ValueError, match=r"a.zip is not a zip that can be read"):
        open_images(tmp_path / "a.zip", "train")
    with pytest.raises(ValueError, match="split must be"):
        open_images(tmp_path, "val")


def test_a_name_twice_in_a_zip(tmp_path):
    path = write_zip(tmp_path / "a.zip", contents())
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("cat/b.jpeg", b"other")
    with pytest.raises(ValueError, match=r"holds cat/b.jpeg twice"):
        open_images(path, "train")


def test_links_are_followed_and_loops_left_out(tmp_path):
    path = write_folder(tmp_path / "d", contents())
    (path / "dog" / "up").symlink_to(path)
    (path / "loop").symlink_to(path)
    (path / "emu").symlink_to(write_folder(tmp_path / "away", {"1.png": encoded(7)}))
    images = open_images(path, "train")
    assert images.class_names == ("Ant", "cat", "dog", "emu")
    np.testing.assert_array_equal(images.read(5), pixels(7))
    (path / "cat" / "self.png").symlink_to(path / "cat" / "self.png")
    os.mkfifo(path / "cat" / "pipe.png")
    images = open_images(path, "train")
    assert len(images) == 6
    ((reason, (count, example)),) = images.skipped.items()
    assert (reason, count) == ("no file, or a link to nothing", 2)
    assert example in ("cat/self.png", "cat/pipe.png")


@pytest.mark.parametrize("packed", [False, True])
def test_a_broken_image_names_its_file(packed, tmp_path):
    files = contents()
    files["dog/1.PNG"] = files["dog/1.PNG"][:60]
    files["cat/b.jpeg"] = b"no image at all"
    path = write_zip(tmp_path / "d.zip", files) if packed else write_folder(tmp_path / "d", files)
    images = open_images(path, "train")
    start = r"d\.zip: " if packed else "d/"
    with pytest.raises(ValueError, match=f"{start}dog/1.PNG' is broken or cannot be read .*expected a whole image"):
        images.read(3)
    with pytest.raises(ValueError, match=f"{start}cat/b.jpeg' is not an image that can be read: expected one of JPEG"):
        images.read(2)
    with pytest.raises(ValueError, match=f"{start}cat/b.jpeg' is not an image"):
        image_sets.in_memory(images)


def test_zip_bombs_and_broken_entries(tmp_path, monkeypatch):
    big = write_zip(tmp_path / "big.zip", {**contents(), "cat/1.png": bytes(2**26 + 1)})
    images = open_images(big, "train")
    assert (len(images), images.skipped) == (5, {"larger than 64 MiB": (1, "cat/1.png")})
    # Stated 50 bytes, though more come out.
    write_zip(tmp_path / "lie.zip", contents())
    entry = zipfile.ZipFile(tmp_path / "lie.zip").getinfo("cat/b.jpeg")
    raw = bytearray((tmp_path / "lie.zip").read_bytes())
    size = entry.file_size.to_bytes(4, "little")
    assert raw.count(size) >= 1
    (tmp_path / "lie.zip").write_bytes(raw.replace(size, (50).to_bytes(4, "little")))
    with pytest.raises(ValueError, match=r"lie.zip: cat/b.jpeg' is broken or cannot be read"):
        open_images(tmp_path / "lie.zip", "train").read(2)
    packed = write_zip(tmp_path / "bz.zip", contents(), zipfile.ZIP_BZIP2)
    with pytest.raises(ValueError, match=r"no images in .*5 packed otherwise than stored or deflated"):
        open_images(packed, "train")


def test_images_of_too_many_pixels_are_refused_by_threads_too(tmp_path, monkeypatch):
    images = open_images(write_folder(tmp_path / "d", contents()), "train")
    # Pillow itself only warns up to twice its limit, by filters that belong to all threads.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)

    def refused(i):
        with pytest.raises(ValueError, match="is too large: expected at most 20 pixels"):
            images.read(i % 5)
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(refused, range(40)))


def test_gray_alpha_and_palettes_are_read_as_load_image_does_and_exif_is_not_applied(tmp_path):
    alpha = pixels(1, (6, 5, 4))
    for kind in ("cat", "dog"):
        (tmp_path / "d" / kind).mkdir(parents=True)
    exif = Image.Exif()
    exif[274] = 6
    color = Image.fromarray(pixels(2))
    color.save(tmp_path / "d/cat/1.jpg", exif=exif)
    Image.fromarray(alpha).save(tmp_path / "d/cat/2.png")
    Image.fromarray(pixels(3)[:, :, 0]).save(tmp_path / "d/dog/1.png")
    color.quantize(8).save(tmp_path / "d/dog/2.gif")
    color.save(tmp_path / "d/dog/3.png", transparency=tuple(int(v) for v in pixels(2)[0, 0]))
    images = open_images(tmp_path / "d", "train")
    for i, name in enumerate(("cat/1.jpg", "cat/2.png", "dog/1.png", "dog/2.gif", "dog/3.png")):
        assert images.read(i).shape == (6, 5, 3)
        np.testing.assert_array_equal(images.read(i), photos.load_image(tmp_path / "d" / name))
    assert images.read(4)[0, 0].tolist() == [255] * 3  # see-through on white


def test_threads_read_what_one_reads(tmp_path):
    names = {f"{kind}/{i}.png": 50 * (kind == "b") + i for kind in "ab" for i in range(50)}
    images = open_images(write_zip(tmp_path / "d.zip", contents(names)), "train")
    expected = [images.read(i) for i in range(100)]
    filters = list(warnings.filters)
    barrier = threading.Barrier(4)

    def all_of_them(start):
        barrier.wait()
        return [(i % 100, images.read(i % 100)) for i in range(start, start + 100)]

    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(all_of_them, (0, 25, 50, 75)):
            for i, image in result:
                np.testing.assert_array_equal(image, expected[i])
    assert warnings.filters == filters
    np.testing.assert_array_equal(image_sets.in_memory(images), np.stack(expected))


def test_other_sizes_do_not_fit(tmp_path):
    files = {**contents(), "cat/c.png": encoded(9, shape=(5, 6, 3))}
    images = open_images(write_folder(tmp_path / "d", files), "train")
    with pytest.raises(ValueError, match=r"one size, 6 x 5 as .*Ant/a.jpg; .*cat/c.png has 5 x 6"):
        image_sets.in_memory(images)


def test_subset_keeps_classes_and_order(tmp_path):
    images = open_images(write_folder(tmp_path / "d", contents()), "train")
    part = image_sets.subset(images, [4, 0, 4])
    assert (part.labels.tolist(), part.class_names) == ([2, 0, 2], CLASSES)
    assert [name[-9:] for name in part.names] == ["dog/2.png", "Ant/a.jpg", "dog/2.png"]
    np.testing.assert_array_equal(part.read(2), images.read(4))
    for wrong in ([5], [-1], [], [0.5], [[0]], [True]):
        with pytest.raises(ValueError, match=r"indices as one row of whole numbers in 0..4"):
            image_sets.subset(images, wrong)


def test_the_page_names_every_split_and_suffix():
    page = (Path(__file__).parents[1] / "docs" / "photos.md").read_text(encoding="utf-8")
    words = [word for names in SPLITS.values() for word in names]
    for word in [*words, *photo_names.SUFFIXES, *photo_names.HEIC_SUFFIXES, *ARCHIVES[:3]]:
        assert f"`{word}`" in page, word


def test_photos_outside_the_splits_are_counted(tmp_path):
    write_photos(tmp_path / "set", train=2, test=1)
    for name in ("more_cats/1.png", "train2/c/0.png", "loose.png"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(b"never read")
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "set")
    for place in (tmp_path / "set", packed):
        images = open_images(place, "train")
        assert len(images) == 6
        count, example = images.skipped["photos outside the splits"]
        assert count == 3
        assert example in ("loose.png", "more_cats/1.png")


@pytest.mark.parametrize("count", [1, 15, 16, 17, 33, 47])
def test_all_photos_come_into_memory_and_the_first_other_size_is_found(count):
    photo = np.random.default_rng(count).integers(0, 256, (count, 5, 4, 3), np.uint8)
    images = image_sets.ImageSet(
        np.arange(count) % 2, ("a", "b"), [f"photo {i}" for i in range(count)], lambda i: photo[i]
    )
    np.testing.assert_array_equal(image_sets.in_memory(images), photo)
    for place in {count - 1, count // 2} - {0}:
        other = dataclasses.replace(images, read=lambda i, place=place: photo[i][: 5 - (i == place)])
        with pytest.raises(ValueError, match=f"one size, 5 x 4 as photo 0; photo {place} has 4 x 4"):
            image_sets.in_memory(other)


def test_files_and_orientations_go_with_the_photos(tmp_path):
    """Of a set and of a part in another order: what is opened is the photo's own file, and it is turned if asked."""
    photo = np.random.default_rng(0).integers(0, 256, (4, 3, 3), np.uint8)
    exif = Image.Exif()
    exif[274] = 8
    for name in ("a/1.png", "a/2.png", "b/3.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(photo + np.uint8(int(name[2]))).save(tmp_path / name, exif=exif)
    stored, upright = (
        open_images(tmp_path, "train", ImageProcessing(apply_exif=apply_exif)) for apply_exif in (False, True)
    )
    part = image_sets.subset(upright, [2, 0])
    for images, numbers in ((upright, (1, 2, 3)), (part, (3, 1))):
        for i, number in enumerate(numbers):
            np.testing.assert_array_equal(images.read(i), np.rot90(photo + np.uint8(number)))
            with images.open(i) as file:
                assert file.read() == (tmp_path / f"{'aab'[number - 1]}/{number}.png").read_bytes()
    np.testing.assert_array_equal(stored.read(0), photo + np.uint8(1))
    digests = {images.digest for images in (upright, part, image_sets.subset(upright, [0, 2]))}
    assert len(digests) == 3


def test_a_digest_is_of_names_sizes_and_their_order():
    rows = [("a/1.png", 10), ("b/2.png", 20)]
    others = [[("a/1.png", 11), rows[1]], [("a/2.png", 10), rows[1]], rows[::-1], rows[:1], [("a/1.png", 1), ("0b", 2)]]
    assert len({image_sets.digest_of(each) for each in (rows, *others)}) == 1 + len(others)
    assert image_sets.digest_of(iter(rows)) == image_sets.digest_of(rows)


def test_labelled_photos_keep_their_channels_if_they_are_not_converted(tmp_path):
    for name in ("a/1.png", "b/2.png"):
        (tmp_path / name).parent.mkdir()
        Image.new("L", (4, 5), 7).save(tmp_path / name)
    kept = open_images(tmp_path, "train", ImageProcessing(do_convert_rgb=False))
    assert (kept.read(0).shape, open_images(tmp_path, "train").read(0).shape) == ((5, 4, 1), (5, 4, 3))


def test_a_photo_in_a_zip_may_have_exactly_the_limits_bytes(tmp_path, monkeypatch):
    files = {"a/1.png": encoded(1), "b/2.png": encoded(2)}
    write_zip(tmp_path / "d.zip", files)
    largest = max(map(len, files.values()))
    monkeypatch.setattr(zips, "MAX_BYTES", largest)
    images = open_images(tmp_path / "d.zip", "train")
    assert (len(images), images.skipped) == (2, {})
    assert [images.read(i).shape for i in range(2)] == [(6, 5, 3)] * 2
    monkeypatch.setattr(zips, "MAX_BYTES", largest - 1)
    with pytest.raises(ValueError, match="larger than 64 MiB"):
        open_images(tmp_path / "d.zip", "train")


@pytest.mark.parametrize("names", [("train", "test"), ("Train", "VAL"), ("Training", "Dev")])
def test_splits_without_class_folders_are_told_whatever_their_letters(names, tmp_path):
    write_folder(tmp_path / "d", {f"{name}/1.png": encoded(1) for name in names})
    with pytest.raises(ValueError, match=r"are called like splits \(.*\) and hold no folders") as caught:
        open_images(tmp_path / "d", "train")
    assert all(name in str(caught.value) for name in names)
