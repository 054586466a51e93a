"""CIFAR-10's own archive, and hostile pickles in it that must not run."""

import gzip
import io
import os
import pickle
import tarfile

import numpy as np
import pytest
from test_data import write_folder

from deit_ref.data import cifar
from deit_ref.data.images import in_memory
from deit_ref.data.opening import open_images

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
    train, test = (open_images(path, split) for split in ("train", "test"))
    assert train.class_names == test.class_names == ("plane", "car", "bird")  # not sorted
    assert train.labels.tolist() == [1, 2, 2, 0, 0, 1, 1, 2, 2, 0]
    assert test.labels.tolist() == [0, 1, 2]
    for images, i, seed, row in ((train, 3, 2, 1), (test, 2, 9, 2)):
        rows = batch(seed, images=2 + (seed == 9))[b"data"]
        expected = rows[row].reshape(3, 32, 32).transpose(1, 2, 0)  # (32, 32, 3)
        np.testing.assert_array_equal(images.read(i), expected)
        np.testing.assert_array_equal(in_memory(images)[i], expected)
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
        open_images(path, "train")
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
        (b"}}b.", "BUILD on what is not an array"),
        (pickle.dumps({"data": np.array([os], dtype=object).astype(str), "labels": []}, 2), "expected data"),
        (pickle.dumps(batch(1, **{"x": {1: 2}}), 2), "a key is int"),
    ],
)
def test_pickles_that_are_none_of_cifar(content, match, tmp_path):
    path = write_folder(tmp_path / "cifar-10-batches-py", cifar_files(data_batch_3=content))
    with pytest.raises(
        ValueError, match=f"data_batch_3 is not the CIFAR-10 archive: nothing in it was run .*({match})"
    ):
        open_images(path, "train")


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
        open_images(path, "train")


@pytest.mark.parametrize("names", [[b"a"], [b"a", b"a"], [b"a", 3], b"ab", None])
def test_class_names_that_are_wrong(names, tmp_path):
    meta = pickle.dumps({b"label_names": names}, 2)
    path = write_folder(tmp_path / "cifar-10-batches-py", cifar_files(**{"batches.meta": meta}))
    with pytest.raises(ValueError, match=r"batches.meta is not .*label_names, a list of different names"):
        open_images(path, "train")


def test_archives_that_are_wrong(tmp_path, monkeypatch):
    files = cifar_files()
    path = tmp_path / "cifar-10-python.tar.gz"
    missing = {name: content for name, content in files.items() if name != "data_batch_5"}
    with pytest.raises(ValueError, match="data_batch_5 is missing"):
        open_images(write_tar(path, missing), "train")
    assert len(open_images(path, "test")) == 3
    path.write_bytes(b"no gzip")
    with pytest.raises(ValueError, match=r"tar.gz is not the CIFAR-10 archive.*gzip"):
        open_images(path, "train")
    path.write_bytes(gzip.compress(b"no tar" * 200))
    with pytest.raises(ValueError, match=r"tar.gz is not the CIFAR-10 archive"):
        open_images(path, "train")
    whole = write_tar(path, files).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"tar.gz is not the CIFAR-10 archive"):
        open_images(path, "train")
    path.write_bytes(whole)
    monkeypatch.setattr(cifar, "MAX_FILE", 7000)
    with pytest.raises(ValueError, match="test_batch is larger"):
        open_images(path, "test")
    monkeypatch.setattr(cifar, "MAX_ARCHIVE", 9000)
    with pytest.raises(ValueError, match="unpacks to more than"):
        open_images(path, "test")
    monkeypatch.undo()
    with tarfile.open(path, "w:gz") as tar:
        link = tarfile.TarInfo("x/batches.meta")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(ValueError, match=r"batches.meta is missing"):
        open_images(path, "test")
