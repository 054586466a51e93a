"""Class folders in a zip or a tar. Nothing is written to disk by a name that stands in an archive.

A zip stays open and is read where a photo lies, and so is a tar. A packed tar (.gz, .bz2, .xz) has no places to go to,
so its photos are copied to one nameless temporary file, at most `MAX_UNPACKED` bytes.
"""

import bz2
import gzip
import logging
import lzma
import shutil
import stat
import tarfile
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self, cast

from deit_ref import photo_names
from deit_ref.data.sources import NamedBytes, Source, Tree, put

logger = logging.getLogger("deit_ref")

ZIPS, TARS = (".zip",), (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
SUFFIXES = ZIPS + TARS
MAX_BYTES = 2**26  # of one photo, as it is held in memory
MAX_UNPACKED = 2**35

_PACKED: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_BROKEN_ZIP = (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError, RuntimeError, zlib.error)
_BROKEN_TAR = (tarfile.TarError, OSError, ValueError, EOFError, zlib.error, lzma.LZMAError)
_TOO_LARGE = f"larger than {MAX_BYTES >> 20} MiB"
_EXTENDED = {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE}
_EXTENDED |= {tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}


def from_archive(path: Path) -> Source:
    """What lies in an archive whose name ends in one of `SUFFIXES`.

    Raises:
        ValueError: it cannot be read, holds a name twice, or unpacks to more than `MAX_UNPACKED` bytes.
    """
    return from_zip(path) if path.name.lower().endswith(ZIPS) else from_tar(path)


def from_zip(path: Path) -> Source:
    """What lies in a zip, which stays open.

    Raises:
        ValueError: it is no zip, or holds a name twice.
    """
    try:
        archive = zipfile.ZipFile(path)
    except _BROKEN_ZIP as error:
        raise ValueError(f"{path} is not a zip that can be read ({error}): get it again.") from error
    tree = Tree(set(), {}, [])
    for entry in archive.infolist():
        kind = entry.external_attr >> 16
        reason = None
        if stat.S_ISLNK(kind):
            reason = "a link"
        elif entry.flag_bits & 1:
            reason = "encrypted"
        elif entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            reason = "packed otherwise than stored or deflated"  # which Python unpacks without a limit of memory
        elif entry.file_size > MAX_BYTES:
            reason = _TOO_LARGE
        # Programs of Windows have written their own separator; elsewhere a name may hold one.
        name = entry.filename if "/" in entry.filename else entry.filename.replace("\\", "/")
        _add(tree, path, name, entry, entry.file_size, reason)
    lock = threading.Lock()

    def call(entry: zipfile.ZipInfo) -> str:
        return f"{path}: {entry.filename}"

    def opened(entry: zipfile.ZipInfo) -> BinaryIO:
        try:
            with lock, archive.open(entry) as file:
                return NamedBytes(file.read(MAX_BYTES), call(entry))
        except _BROKEN_ZIP as error:
            raise _broken(call(entry), error) from error

    return Source(tree, str(path), path.stem, opened, call)


class _Place(NamedTuple):
    """Where a photo's bytes lie in a file."""

    name: str
    start: int
    size: int


def from_tar(path: Path) -> Source:
    """What lies in a tar, packed or not.

    Raises:
        ValueError: it is no tar, holds a name twice, or unpacks to more than `MAX_UNPACKED` bytes.
    """
    tree = Tree(set(), {}, [])
    try:
        file: BinaryIO = open(path, "rb")  # noqa: SIM115  # stays open, as photos are read from it later
        start = file.read(8)
        file.seek(0)
        unpack = next((unpack for magic, unpack in _PACKED.items() if start.startswith(magic)), None)
        if unpack is None:
            with tarfile.open(fileobj=file, mode="r:", tarinfo=_Header) as tar:
                for member, reason in _members(tar):
                    _add(tree, path, member.name, _place(member, member.offset_data), member.size, reason)
        else:
            logger.info("%s is packed: its photos are first unpacked to a temporary file.", path)
            packed, file = file, cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115
            with packed, unpack(packed) as stream, tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header) as tar:
                for member, reason in _members(tar):
                    if tar.offset > MAX_UNPACKED:
                        raise ValueError(f"it unpacks to more than {MAX_UNPACKED >> 30} GiB")
                    content = None if reason else tar.extractfile(member)
                    if _add(tree, path, member.name, _place(member, file.tell()), member.size, reason) and content:
                        shutil.copyfileobj(content, file)
    except _BROKEN_TAR as error:
        raise ValueError(
            f"{path} is not a tar that can be read ({error}): get it again, or unpack it and give the folder."
        ) from error
    lock = threading.Lock()

    def call(place: _Place) -> str:
        return f"{path}: {place.name}"

    def opened(place: _Place) -> BinaryIO:
        try:
            with lock:
                file.seek(place.start)
                return NamedBytes(file.read(place.size), call(place))
        except OSError as error:
            raise _broken(call(place), error) from error

    name = path.name.lower()
    stem = path.name[: -len(next(suffix for suffix in sorted(TARS, key=len, reverse=True) if name.endswith(suffix)))]
    return Source(tree, str(path), stem, opened, call)


class _Header(tarfile.TarInfo):
    """A header that ends the reading where it is broken, instead of the archive; and which asks for no more memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if any(buf):  # else it is the end
                raise ValueError(str(error)) from error
            raise
        if header.type in _EXTENDED and header.size > MAX_BYTES:
            raise ValueError(f"a name or its attributes are {_TOO_LARGE}")
        return header


def _members(tar: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, str | None]]:
    """Files and folders, each with the reason that it cannot be used, if there is one."""
    while (member := tar.next()) is not None:
        tar.members = []  # type: ignore[attr-defined]  # or it keeps a kilobyte of each
        if member.isdir():
            member.name += "/"
        if member.issym() or member.islnk():
            yield member, "a link"
        elif not (member.isreg() or member.isdir()) or member.issparse():
            yield member, "no plain file"
        else:
            yield member, _TOO_LARGE if member.size > MAX_BYTES else None


def _place(member: tarfile.TarInfo, start: int) -> _Place:
    return _Place(member.name, start, member.size)


def _add(tree: Tree, path: Path, name: str, key: Any, size: int, reason: str | None) -> bool:
    """Put an entry of an archive where its name says; whether it is a photo to be read."""
    raw = name.split("/")
    parts = tuple(part for part in raw if part not in ("", ".", ".."))
    if not parts or any(map(photo_names.is_ignored, parts)):
        return False
    if name.startswith("/") or ".." in raw or raw[0].endswith(":"):
        reason = "with a name that leads out of the archive"
    elif name.endswith("/"):
        tree.folders.add(parts)
    tree.folders.update(parts[:depth] for depth in range(1, len(parts)))
    if name.endswith("/"):
        return False
    if parts in tree.files:
        raise ValueError(f"{path} holds {name} twice: expected one image per name. Pack it again.")
    put(tree, parts, key, size, reason)
    return parts in tree.files


def _broken(name: str, error: Exception) -> ValueError:
    return ValueError(
        f"{name!r} is broken or cannot be read ({str(error) or type(error).__name__}): expected a whole image file. "
        "Get it again."
    )
