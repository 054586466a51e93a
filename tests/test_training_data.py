"""Every layout of labelled photos, and every way it can be wrong; hostile pickles that must not run."""

import gzip
import io
import os
import pickle
import tarfile
import threading
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from deit_ref import photos
from deit_ref.training import cifar, data, folders


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
        images = data.open_images(path, split)
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
    images = data.open_images(path, "train")
    assert (images.class_names, len(images)) == (CLASSES, 5)
    with pytest.raises(ValueError, match="no split 'test': looked for test or val or validation with a folder per"):
        data.open_images(path, "test")


@pytest.mark.parametrize("packed", [False, True])
def test_what_is_called_val_is_no_train_split(packed, tmp_path):
    files = contents()
    path = write_zip(tmp_path / "val.zip", files) if packed else write_folder(tmp_path / "val", files)
    assert len(data.open_images(path, "test")) == 5
    with pytest.raises(ValueError, match="no split 'train': looked for train"):
        data.open_images(path, "train")


def test_the_other_split_is_not_taken_for_the_wanted_one(tmp_path):
    path = write_folder(tmp_path / "d", below("test", contents()))
    with pytest.raises(ValueError, match=r"no split 'train'.*found test"):
        data.open_images(path, "train")
    # ImageNet's test photos have no classes, its val photos do.
    path = write_folder(tmp_path / "e", {**both("train", "val"), "test/1.jpg": encoded(0)})
    assert len(data.open_images(path, "test")) == 5


def test_a_class_may_be_called_train(tmp_path):
    path = write_folder(tmp_path / "d", contents({"train/1.png": 0, "car/1.png": 1, "test/1.png": 2}))
    assert data.open_images(path, "train").class_names == ("car", "test", "train")
    path = write_folder(tmp_path / "e", below("train", contents({"train/1.png": 0, "car/1.png": 1})))
    assert data.open_images(path, "train").class_names == ("car", "train")


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ({}, "no images in .*expected a folder per class with .*.jpg"),
        ({"cat/a.txt": b""}, "no images in"),
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
        data.open_images(path, "train")


def test_paths_that_are_wrong(tmp_path):
    with pytest.raises(ValueError, match=r"There is no .*nowhere"):
        data.open_images(tmp_path / "nowhere", "train")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(ValueError, match=r"a.txt is neither a folder, a .zip nor"):
        data.open_images(tmp_path / "a.txt", "train")
    (tmp_path / "a.zip").write_bytes(b"PK nonsense")
    with pytest.raises(ValueError, match=r"a.zip is not a zip that can be read"):
        data.open_images(tmp_path / "a.zip", "train")
    with pytest.raises(ValueError, match="split must be"):
        data.open_images(tmp_path, "val")


def test_a_name_twice_in_a_zip(tmp_path):
    path = write_zip(tmp_path / "a.zip", contents())
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("cat/b.jpeg", b"other")
    with pytest.raises(ValueError, match=r"holds cat/b.jpeg twice"):
        data.open_images(path, "train")


def test_links_are_followed_and_loops_left_out(tmp_path):
    path = write_folder(tmp_path / "d", contents())
    (path / "dog" / "up").symlink_to(path)
    (path / "loop").symlink_to(path)
    (path / "emu").symlink_to(write_folder(tmp_path / "away", {"1.png": encoded(7)}))
    images = data.open_images(path, "train")
    assert images.class_names == ("Ant", "cat", "dog", "emu")
    np.testing.assert_array_equal(images.read(5), pixels(7))
    (path / "cat" / "self.png").symlink_to(path / "cat" / "self.png")
    os.mkfifo(path / "cat" / "pipe.png")
    images = data.open_images(path, "train")
    for name in ("self.png", "pipe.png"):
        with pytest.raises(ValueError, match=f"{name} cannot be read .it is no file, or a link to nothing"):
            images.read([shown.endswith(name) for shown in images.names].index(True))


@pytest.mark.parametrize("packed", [False, True])
def test_a_broken_image_names_its_file(packed, tmp_path):
    files = contents()
    files["dog/1.PNG"] = files["dog/1.PNG"][:60]
    files["cat/b.jpeg"] = b"no image at all"
    path = write_zip(tmp_path / "d.zip", files) if packed else write_folder(tmp_path / "d", files)
    images = data.open_images(path, "train")
    start = r"d\.zip: " if packed else "d/"
    with pytest.raises(ValueError, match=f"{start}dog/1.PNG cannot be read .*expected a whole image"):
        images.read(3)
    with pytest.raises(ValueError, match=f"{start}cat/b.jpeg cannot be read .it is none of JPEG, PNG"):
        images.read(2)
    with pytest.raises(ValueError, match=f"{start}cat/b.jpeg cannot be read"):
        data.in_memory(images)


def test_zip_bombs_and_broken_entries(tmp_path, monkeypatch):
    big = write_zip(tmp_path / "big.zip", {**contents(), "emu/1.png": bytes(2**26 + 1)})
    images = data.open_images(big, "train")
    with pytest.raises(ValueError, match=r"emu/1.png cannot be read .it is larger than 64 MiB"):
        images.read(5)
    # The limit is that of what comes out, too, not only of what the directory says.
    images = data.open_images(write_zip(tmp_path / "a.zip", contents()), "train")
    monkeypatch.setattr(folders, "MAX_BYTES", 100)
    entry = zipfile.ZipFile(tmp_path / "a.zip").getinfo("cat/b.jpeg")
    assert entry.file_size > 100
    with pytest.raises(ValueError, match="larger than"):
        images.read(2)
    monkeypatch.undo()
    # Stated 50 bytes, though more come out.
    raw = bytearray(write_zip(tmp_path / "lie.zip", contents()).read_bytes())
    size = entry.file_size.to_bytes(4, "little")
    assert raw.count(size) >= 1
    (tmp_path / "lie.zip").write_bytes(raw.replace(size, (50).to_bytes(4, "little")))
    with pytest.raises(ValueError, match=r"lie.zip: cat/b.jpeg cannot be read"):
        data.open_images(tmp_path / "lie.zip", "train").read(2)
    packed = write_zip(tmp_path / "bz.zip", contents(), zipfile.ZIP_BZIP2)
    with pytest.raises(ValueError, match="packed otherwise than stored or deflated"):
        data.open_images(packed, "train").read(0)


def test_files_on_disk_have_the_same_limits(tmp_path, monkeypatch):
    images = data.open_images(write_folder(tmp_path / "d", contents()), "train")
    monkeypatch.setattr(folders, "MAX_BYTES", 40)
    with pytest.raises(ValueError, match=r"Ant/a.jpg cannot be read .it is larger"):
        images.read(0)
    monkeypatch.undo()
    # Pillow itself only warns up to twice its limit.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=r"a.jpg cannot be read .it has more than 20 pixels"):
            images.read(0)


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
    images = data.open_images(tmp_path / "d", "train")
    for i, name in enumerate(("cat/1.jpg", "cat/2.png", "dog/1.png", "dog/2.gif", "dog/3.png")):
        assert images.read(i).shape == (6, 5, 3)
        np.testing.assert_array_equal(images.read(i), photos.load_image(tmp_path / "d" / name))
    assert images.read(4)[0, 0].tolist() == [255] * 3  # see-through on white


def test_threads_read_what_one_reads(tmp_path):
    names = {f"{kind}/{i}.png": 50 * (kind == "b") + i for kind in "ab" for i in range(50)}
    images = data.open_images(write_zip(tmp_path / "d.zip", contents(names)), "train")
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
    counts = []
    np.testing.assert_array_equal(data.in_memory(images, progress=counts.append), np.stack(expected))
    assert sum(counts) == 100
    assert data.fits_in_memory(images, most=100 * 90)
    assert not data.fits_in_memory(images, most=100 * 90 - 1)


def test_other_sizes_do_not_fit(tmp_path):
    files = {**contents(), "cat/c.png": encoded(9, shape=(5, 6, 3))}
    images = data.open_images(write_folder(tmp_path / "d", files), "train")
    with pytest.raises(ValueError, match=r"one size, 6 x 5 as .*Ant/a.jpg; .*cat/c.png has 5 x 6"):
        data.in_memory(images)
    assert not data.fits_in_memory(images)


def test_subset_keeps_classes_and_order(tmp_path):
    images = data.open_images(write_folder(tmp_path / "d", contents()), "train")
    part = data.subset(images, [4, 0, 4])
    assert (part.labels.tolist(), part.class_names) == ([2, 0, 2], CLASSES)
    assert [name[-9:] for name in part.names] == ["dog/2.png", "Ant/a.jpg", "dog/2.png"]
    np.testing.assert_array_equal(part.read(2), images.read(4))
    for wrong in ([5], [-1], [], [0.5], [[0]], [True]):
        with pytest.raises(ValueError, match=r"indices as one row of whole numbers in 0..4"):
            data.subset(images, wrong)


def test_classes_that_differ(tmp_path):
    def named(*names):
        return data.ImageSet(np.zeros(1, np.int64), names, ["x"], lambda i: pixels(0))

    data.check_same_classes(named("a", "b"), named("a", "b"))
    with pytest.raises(ValueError, match=r"only in train: a, c; only in test: z. Rename"):
        data.check_same_classes(named("a", "b", "c"), named("b", "z"))
    with pytest.raises(ValueError, match="their order differs"):
        data.check_same_classes(named("a", "b"), named("b", "a"))


NAMES = [b"plane", b"car", b"bird"]


def batch(seed, images=2, **changes):
    rows = np.random.default_rng(seed).integers(0, 256, (images, 3072), np.uint8)
    labels = [(seed + i) % 3 for i in range(images)]
    return {b"data": rows, b"labels": labels, b"filenames": [b"x.png"] * images, b"batch_label": b"b", **changes}


def cifar_files(protocol=2, **changes):
    values = {f"data_batch_{i}": batch(i) for i in range(1, 6)}
    values |= {"test_batch": batch(9, images=3), "batches.meta": {b"label_names": NAMES, b"num_vis": 3072}}
    files = {name: pickle.dumps(value, protocol) for name, value in values.items()}
    return {**files, **changes}


def write_tar(path, files):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def as_python_2(value):
    """Protocol 2 as Python 2 wrote it: bytes as BINSTRING, and numpy.core."""
    if isinstance(value, bytes):
        return b"T" + len(value).to_bytes(4, "little") + value
    if isinstance(value, int):
        return b"M" + value.to_bytes(2, "little")
    if isinstance(value, list):
        return b"](" + b"".join(map(as_python_2, value)) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(as_python_2(part) for item in value.items() for part in item) + b"u"
    rows, columns = map(as_python_2, value.shape)
    made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
    dtype = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    return made + b"(K\x01" + rows + columns + b"\x86" + dtype + b"\x89" + as_python_2(value.tobytes()) + b"tb"


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, "python 2"])
@pytest.mark.parametrize("place", ["archive", "beside", "folder", "above"])
def test_cifar_archive(place, protocol, tmp_path):
    files = cifar_files(2 if protocol == "python 2" else protocol)
    if protocol == "python 2":
        files = {name: b"\x80\x02" + as_python_2(pickle.loads(content)) + b"." for name, content in files.items()}
        assert pickle.loads(files["test_batch"], encoding="bytes")[b"labels"] == [0, 1, 2]
    if place in ("archive", "beside"):
        path = write_tar(tmp_path / "cifar-10-python.tar.gz", files)
    else:
        path = write_folder(tmp_path / "cifar-10-batches-py", files)
    path = tmp_path if place in ("beside", "above") else path
    train, test = (data.open_images(path, split) for split in ("train", "test"))
    assert train.class_names == test.class_names == ("plane", "car", "bird")  # not sorted
    assert train.labels.tolist() == [1, 2, 2, 0, 0, 1, 1, 2, 2, 0]
    assert test.labels.tolist() == [0, 1, 2]
    for images, i, seed, row in ((train, 3, 2, 1), (test, 2, 9, 2)):
        rows = batch(seed, images=2 + (seed == 9))[b"data"]
        expected = rows[row].reshape(3, 32, 32).transpose(1, 2, 0)  # (32, 32, 3)
        np.testing.assert_array_equal(images.read(i), expected)
        np.testing.assert_array_equal(data.in_memory(images)[i], expected)
    assert train.names[3].endswith("data_batch_2, image 1")
    train.read(0)[:] = 0  # a copy
    assert train.read(0).any()


class Runs:
    def __init__(self, function, *arguments):
        self.what = function, arguments

    def __reduce__(self):
        return self.what


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("where", ["whole", "data", "label", "class name"])
@pytest.mark.parametrize("kind", ["system", "eval", "nested", "getattr"])
def test_pickles_are_not_run(kind, where, protocol, tmp_path):
    ran = tmp_path / "ran"
    write = f"__import__('os').mkdir({str(ran)!r})"
    hostile = {
        "system": Runs(os.system, f"mkdir {ran}"),
        "eval": Runs(eval, write),
        "nested": Runs(print, Runs(eval, write)),
        "getattr": Runs(getattr, Runs(eval, write), "__class__"),
    }[kind]
    pickle.loads(pickle.dumps(hostile, protocol))
    assert ran.exists()  # it does run where pickles are run
    ran.rmdir()
    inside = {
        "whole": {"data_batch_1": hostile},
        "data": {"data_batch_1": batch(1, **{"data": hostile})},
        "label": {"data_batch_1": {**batch(1), b"labels": [hostile, 0]}},
        "class name": {"batches.meta": {b"label_names": [b"a", hostile]}},
    }[where]
    changed = {name: pickle.dumps(value, protocol) for name, value in inside.items()}
    path = write_tar(tmp_path / "cifar-10-python.tar.gz", cifar_files(**changed))
    with pytest.raises(ValueError, match=r"is not the CIFAR-10 archive: nothing in it was run .it asks for"):
        data.open_images(path, "train")
    assert not ran.exists()


def nest(depth):
    return b"N" + b"\x85" + b"2\x86" * depth


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "pickle"),
        (b"\x80\x02}", "pickle exhausted"),
        (b"\x80\x02].", "expected a dictionary, got list"),
        (b"a.", "pop from empty list"),
        (b"}r\xff\xff\xff\xff.", "expected data"),  # the largest memo index takes no memory
        (b"}(" + nest(60) + b"Nu.", "a key is tuple|DUP"),
        (b"N" * (2**20 + 2) + b".", "too long"),
        (b"(cos\nsystem\no.", "asks for os.system"),
        (b"(S'touch x'\nios\nsystem\n.", "opcode INST"),
        (b"cnumpy\nndarray\n)R.", "calls numpy.ndarray otherwise"),
        (b"\x82\x01.", "opcode EXT1"),
        (b"Pxyz\n.", "opcode PERSID"),
        (b"}}b.", "BUILD on what is no array"),
        (pickle.dumps({"data": np.array([os], dtype=object).astype(str), "labels": []}, 2), "expected data"),
        (pickle.dumps(batch(1, **{"x": {1: 2}}), 2), "a key is int"),
    ],
)
def test_pickles_that_are_none_of_cifar(content, match, tmp_path):
    path = write_folder(tmp_path / "cifar-10-batches-py", cifar_files(data_batch_3=content))
    with pytest.raises(
        ValueError, match=f"data_batch_3 is not the CIFAR-10 archive: nothing in it was run .*({match})"
    ):
        data.open_images(path, "train")


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ({b"data": np.zeros((2, 3072), object)}, "expected data"),
        ({b"data": np.zeros((2, 3072), np.int8)}, "expected data"),
        ({b"data": np.zeros((2, 3071), np.uint8)}, "expected data"),
        ({b"data": np.zeros(6144, np.uint8)}, "expected data"),
        ({b"data": np.zeros((2, 3072), np.uint8, "F")}, "expected data"),
        ({b"data": b"x" * 6144}, "expected data"),
        ({b"labels": [0]}, "as many labels"),
        ({b"labels": [0, 3]}, r"labels in 0..2, got 3"),
        ({b"labels": [0, -1]}, r"got -1"),
        ({b"labels": [0, True]}, r"got True"),
        ({b"labels": [0, 0.0]}, r"got 0.0|opcode BINFLOAT"),
    ],
)
def test_batches_that_are_wrong(value, match, tmp_path):
    changed = pickle.dumps({**batch(4), **value}, 2)
    path = write_folder(tmp_path / "cifar-10-batches-py", cifar_files(data_batch_4=changed))
    with pytest.raises(ValueError, match=f"data_batch_4 is not .*({match})"):
        data.open_images(path, "train")


@pytest.mark.parametrize("names", [[b"a"], [b"a", b"a"], [b"a", 3], b"ab", None])
def test_class_names_that_are_wrong(names, tmp_path):
    meta = pickle.dumps({b"label_names": names}, 2)
    path = write_folder(tmp_path / "cifar-10-batches-py", cifar_files(**{"batches.meta": meta}))
    with pytest.raises(ValueError, match=r"batches.meta is not .*label_names, a list of different names"):
        data.open_images(path, "train")


def test_archives_that_are_wrong(tmp_path, monkeypatch):
    files = cifar_files()
    path = tmp_path / "cifar-10-python.tar.gz"
    missing = {name: content for name, content in files.items() if name != "data_batch_5"}
    with pytest.raises(ValueError, match="data_batch_5 is missing"):
        data.open_images(write_tar(path, missing), "train")
    assert len(data.open_images(path, "test")) == 3
    path.write_bytes(b"no gzip")
    with pytest.raises(ValueError, match=r"tar.gz is not the CIFAR-10 archive.*gzip"):
        data.open_images(path, "train")
    path.write_bytes(gzip.compress(b"no tar" * 200))
    with pytest.raises(ValueError, match=r"tar.gz is not the CIFAR-10 archive"):
        data.open_images(path, "train")
    whole = write_tar(path, files).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"tar.gz is not the CIFAR-10 archive"):
        data.open_images(path, "train")
    path.write_bytes(whole)
    monkeypatch.setattr(cifar, "MAX_FILE", 7000)
    with pytest.raises(ValueError, match="test_batch is larger"):
        data.open_images(path, "test")
    monkeypatch.setattr(cifar, "MAX_ARCHIVE", 9000)
    with pytest.raises(ValueError, match="unpacks to more than"):
        data.open_images(path, "test")
    monkeypatch.undo()
    with tarfile.open(path, "w:gz") as tar:
        link = tarfile.TarInfo("x/batches.meta")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(ValueError, match=r"batches.meta is missing"):
        data.open_images(path, "test")
