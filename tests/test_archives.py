"""Zips and tars of class folders: as every program packs them, and as nobody should."""

import bz2
import gzip
import io
import lzma
import os
import tarfile
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from test_cifar import cifar_files
from test_data import CLASSES, ORDER, below, both, contents, write_folder, write_zip

from deit_ref import photos
from deit_ref.data import tars, zips
from deit_ref.data.layout import MissingSplit
from deit_ref.data.opening import open_images, open_splits
from deit_ref.data.survey import look_at_both

PACK = {
    ".tar": bytes,
    ".tar.gz": gzip.compress,
    ".tgz": gzip.compress,
    ".tar.bz2": bz2.compress,
    ".tar.xz": lzma.compress,
}


def tar_bytes(files, *, kind=tarfile.PAX_FORMAT, extra=()):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=kind) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in extra:
            tar.addfile(member)
    return stream.getvalue()


def write_tar(path, files, **options):
    suffix = next(suffix for suffix in sorted(PACK, key=len, reverse=True) if path.name.endswith(suffix))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(PACK[suffix](tar_bytes(files, **options)))
    return path


def check(images, offset=0):
    """They are the photos of `contents`, in order."""
    assert images.class_names == CLASSES
    assert [name[-len(end) :] for name, (end, _) in zip(images.names, ORDER, strict=True)] == [end for end, _ in ORDER]
    for i, (name, label) in enumerate(ORDER):
        assert images.labels[i] == label
        np.testing.assert_array_equal(images.read(i), photos.load_image(io.BytesIO(contents(offset=offset)[name])))


@pytest.mark.parametrize("suffix", PACK)
def test_tars(suffix, tmp_path):
    path = write_tar(tmp_path / f"flowers{suffix}", below("flowers", {**contents(), "LICENSE.txt": b"free"}))
    images = open_images(path, "train")
    check(images)
    assert images.names[0] == f"{path}: flowers/Ant/a.jpg"
    assert images.skipped == {".txt": (1, "LICENSE.txt")}
    assert images.place == f"{path}/flowers"
    with pytest.raises(MissingSplit, match="has no split 'test'"):
        open_images(path, "test")
    both_splits = write_tar(tmp_path / f"both{suffix}", both("./Training", "./Testing"))
    check(open_images(both_splits, "train"))
    check(open_images(both_splits, "test"), offset=10)
    # One archive for each split, beside each other.
    write_tar(tmp_path / "parts" / f"train{suffix}", contents())
    write_tar(tmp_path / "parts" / f"Valid{suffix}", below("valid", contents(offset=10)))
    check(open_images(tmp_path / "parts", "train"))
    check(open_images(tmp_path / "parts", "test"), offset=10)


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_foreign_names_in_tars(kind, tmp_path):
    deep = "/".join(["folder" * 5] * 4)  # more than the 100 bytes of the oldest header
    files = {"cat/ü.png": contents()["cat/b.jpeg"], f"cat/{deep}/1.png": contents()["cat/b.jpeg"], **contents()}
    images = open_images(write_tar(tmp_path / "d.tgz", files, kind=kind), "train")
    assert len(images) == 7
    assert any(name.endswith(f"cat/{deep}/1.png") for name in images.names)


@pytest.mark.parametrize("prefix", ["./", "all/", "./a/b/", ""])
@pytest.mark.parametrize("windows", [False, True])
def test_zips_of_every_program(prefix, windows, tmp_path):
    files = {(prefix + name).replace("/", "\\" if windows else "/"): content for name, content in contents().items()}
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo("x")
            entry.filename, entry.create_system = name, 0 if windows else 3
            archive.writestr(entry, content)
    images = open_images(tmp_path / "d.zip", "train")
    assert images.class_names == CLASSES
    assert [os.path.basename(name.replace("\\", "/")) for name in images.names] == [
        end.split("/")[-1] for end, _ in ORDER
    ]
    np.testing.assert_array_equal(images.read(4), photos.load_image(io.BytesIO(contents()["dog/2.png"])))


def test_a_backslash_in_a_name_stays_one_where_folders_are_told_by_slashes(tmp_path):
    images = open_images(
        write_zip(tmp_path / "d.zip", {**contents(), "cat/a\\b.png": contents()["dog/2.png"]}), "train"
    )
    assert len(images) == 6
    assert images.class_names == CLASSES


def link(name, to="/etc/passwd", kind=tarfile.SYMTYPE):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, to
    return member


def of_kind(name, kind):
    member = tarfile.TarInfo(name)
    member.type = kind
    return member


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_what_leads_out_of_a_tar_is_left_out_and_counted(suffix, tmp_path):
    photo = contents()["dog/2.png"]
    outside = {"../cat/b.jpeg": photo, "cat/../../1.png": photo, "/cat/1.png": photo, "C:/cat/1.png": photo}
    links = [link("cat/l.png"), link("cat/h.png", "dog/2.png", tarfile.LNKTYPE), of_kind("cat/p.png", tarfile.FIFOTYPE)]
    path = write_tar(
        tmp_path / f"d{suffix}", {**contents(), **outside}, extra=[*links, of_kind("cat/b.png", tarfile.BLKTYPE)]
    )
    images = open_images(path, "train")
    check(images)
    counts = {reason: count for reason, (count, _) in images.skipped.items()}
    assert counts == {"with a name that leads out of the archive": 4, "a link": 2, "no plain file": 2}
    assert sorted(os.listdir(tmp_path)) == [path.name]


def test_what_leads_out_of_a_zip_is_left_out_and_counted(tmp_path):
    photo = contents()["dog/2.png"]
    path = write_zip(tmp_path / "d.zip", {**contents(), "../cat/1.png": photo, "/cat/1.png": photo, "C:\\1.png": photo})
    with zipfile.ZipFile(path, "a") as archive:
        entry = zipfile.ZipInfo("cat/link.png")
        entry.create_system, entry.external_attr = 3, 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")
    images = open_images(path, "train")
    check(images)
    counts = {reason: count for reason, (count, _) in images.skipped.items()}
    assert counts == {"with a name that leads out of the archive": 3, "a link": 1}


def test_encrypted_entries_are_counted(tmp_path):
    path = write_zip(tmp_path / "d.zip", contents())
    raw = bytearray(path.read_bytes())
    place = raw.index(b"PK\x01\x02")  # the directory's first entry: dog/2.png
    raw[place + 8] |= 1
    path.write_bytes(raw)
    images = open_images(path, "train")
    assert (len(images), images.skipped) == (4, {"encrypted (unpack it with its password)": (1, "dog/2.png")})


def test_a_name_twice_in_a_tar(tmp_path):
    first, second = tar_bytes(contents()), tar_bytes({"cat/b.jpeg": b"other"})
    (tmp_path / "d.tar").write_bytes(first[: first.rstrip(b"\0").__len__() // 512 * 512 + 512] + second)
    with pytest.raises(ValueError, match=r"holds cat/b.jpeg twice"):
        open_images(tmp_path / "d.tar", "train")


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_tar_that_is_cut_is_refused(suffix, share, tmp_path):
    path = write_tar(tmp_path / f"d{suffix}", {**contents(), "dog/noise.png": np.random.default_rng(0).bytes(9000)})
    whole = path.read_bytes().rstrip(b"\0") if suffix == ".tar" else path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ValueError, match=r"is not a tar that can be read .*unpack it and give the folder"):
        open_images(path, "train")


@pytest.mark.parametrize("suffix", [".tar", ".tgz"])
def test_a_broken_header_in_the_middle_loses_no_photo_in_silence(suffix, tmp_path):
    raw = bytearray(tar_bytes(contents()))
    raw[raw.index(b"cat/b.jpeg") + 148] ^= 1  # its checksum
    (tmp_path / f"d{suffix}").write_bytes(PACK[suffix](bytes(raw)))
    with pytest.raises(ValueError, match=r"is not a tar that can be read .*bad checksum"):
        open_images(tmp_path / f"d{suffix}", "train")


def test_what_is_no_tar(tmp_path):
    for name, content in (
        ("a.tar", b"no tar" * 200),
        ("b.tgz", gzip.compress(b"no tar" * 200)),
        ("c.tar.xz", b"\xfd7zXZ"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} is not a tar that can be read"):
            open_images(tmp_path / name, "train")


@pytest.mark.parametrize("suffix", [*PACK, ".zip"])
def test_an_archive_is_read_by_what_is_in_it(suffix, tmp_path):
    """Whatever it is called; by itself, and as one of two splits beside each other."""
    right = tmp_path / f"right{suffix}"
    right = write_zip(right, contents()) if suffix == ".zip" else write_tar(right, contents())
    for name in ("x.zip", "x.tar", "x.tgz", "x.rar", "x.bin", "x"):
        check(open_images(right.rename(tmp_path / name), "train"))
        right = tmp_path / name
    (tmp_path / "parts").mkdir()
    images = open_images(right.rename(tmp_path / "parts" / "test.zip"), "test")  # still called like a split
    check(images)
    assert images.digest == open_images(tmp_path / "parts", "test").digest


@pytest.mark.parametrize("name", ["photos.zip", "photos.tar.gz", "photos.rar", "photos"])
@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"", r"is empty \(0 bytes\), .*get it again"),
        (b"Rar!\x1a\x07\0more", "is a RAR archive, not a zip or a tar: unpack it and give the folder"),
        (b"7z\xbc\xaf\x27\x1cmore", "is a 7z archive, not a zip or a tar: unpack it"),
        (b"\x28\xb5\x2f\xfdmore", "is packed by Zstandard, not a zip or a tar: unpack it"),
        (b"<!DOCTYPE html><html>Sign in", r"is a web page \(HTML\), not .*: download the file itself, by its direct"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS .*: git lfs pull"),
    ],
)
def test_what_no_archive_of_ours_is_gets_its_own_remedy(name, start, words, tmp_path):
    (tmp_path / name).write_bytes(start)
    with pytest.raises(ValueError, match=f"{name} {words}"):
        open_images(tmp_path / name, "train")


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".zip"])
def test_an_archive_of_both_splits_is_opened_once(suffix, tmp_path, monkeypatch):
    path = tmp_path / f"d{suffix}"
    path = write_zip(path, both("train", "test")) if suffix == ".zip" else write_tar(path, both("train", "test"))
    opened = []
    for module, name in ((tars, "from_tar"), (zips, "from_zip")):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda path, real=real: opened.append(path) or real(path))
    for find in (open_splits, lambda path: look_at_both(path)[0]):
        sets = find(path)
        assert opened == [path]
        check(sets["train"])
        check(sets["test"], offset=10)
        opened.clear()


def test_bombs(tmp_path, monkeypatch):
    large = write_tar(tmp_path / "large.tgz", {**contents(), "cat/large.png": bytes(2**26 + 1)})
    images = open_images(large, "train")
    assert (len(images), images.skipped) == (5, {"larger than 64 MiB": (1, "cat/large.png")})
    monkeypatch.setattr(tars, "MAX_UNPACKED", 2**16)
    with pytest.raises(ValueError, match="it unpacks to more than 0 GiB"):
        open_images(large, "train")
    monkeypatch.undo()
    # A name or its attributes may claim any length, and tarfile would take so much memory.
    monkeypatch.setattr(tars, "MAX_BYTES", 1000)
    path = write_tar(tmp_path / "names.tgz", {**contents(), f"cat/{'x/' * 2000}1.png": b""})
    with pytest.raises(ValueError, match="a name or its attributes are larger than"):
        open_images(path, "train")


def test_threads_read_a_packed_tar_and_nothing_stays_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    names = {f"{kind}/{i}.png": 50 * (kind == "b") + i for kind in "ab" for i in range(50)}
    files = contents(names)
    images = open_images(write_tar(tmp_path / "d.tgz", files), "train")
    assert os.listdir(tmp_path / "temporary") == []  # it has no name
    expected = {name: photos.load_image(io.BytesIO(content)) for name, content in files.items()}
    with ThreadPoolExecutor(4) as pool:
        for name, image in zip(images.names, pool.map(images.read, range(100)), strict=True):
            np.testing.assert_array_equal(image, expected[name.split(": ")[1]])


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_a_folder_and_an_archive_of_it_have_one_digest(suffix, tmp_path):
    def packed(name, files):
        path = tmp_path / f"{name}{suffix}"
        return write_zip(path, files) if suffix == ".zip" else write_tar(path, files)

    folder = open_images(write_folder(tmp_path / "d" / "train", {**contents(), "cat/notes.txt": b""}), "train")
    digests = {open_images(packed("train", contents()), "train").digest, folder.digest}
    digests.add(open_images(packed("all", both("x/train", "x/test")), "train").digest)
    assert len(digests) == 1
    changed = [
        {**contents(), "dog/3.png": b"x"},
        {name: content for name, content in contents().items() if name != "dog/2.png"},
        {name.replace("dog", "hound"): content for name, content in contents().items()},
        {**contents(), "dog/2.png": contents()["dog/2.png"] + b"\0"},
    ]
    for i, files in enumerate(changed):
        digests.add(open_images(packed(f"changed{i}", files), "train").digest)
    assert len(digests) == 5


def test_an_archive_of_cifar_by_any_name(tmp_path):
    path = write_tar(tmp_path / "mine.tgz", below("cifar-10-batches-py", cifar_files()))
    images = open_images(path, "train")
    assert images.class_names == ("plane", "car", "bird")
    assert images.digest == open_images(write_folder(tmp_path / "cifar-10-batches-py", cifar_files()), "train").digest
    assert images.digest != open_images(path, "test").digest
