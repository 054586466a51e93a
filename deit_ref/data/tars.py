"""Class folders in a tar, packed or not. Nothing is written to disk by a name that stands in it.

A tar stays open and is read where a photo lies. A packed one (.gz, .bz2, .xz) has no places to go to, so its photos are
copied to one temporary file without a name, and it may unpack to `MAX_UNPACKED` bytes.
"""

import bz2
import gzip
import logging
import lzma
import shutil
import tarfile
import tempfile
import threading
import weakref
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

from deit_ref.data.sources import MAX_BYTES, TOO_LARGE, NamedBytes, Source, Tree, put_by_name, stem
from deit_ref.photo_files import unreadable

logger = logging.getLogger("deit_ref")

MAX_UNPACKED = 2**35
MAGIC = b"ustar"  # at byte 257

PACKED: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_BROKEN = (tarfile.TarError, OSError, ValueError, EOFError, zlib.error, lzma.LZMAError)
# Names and attributes that stand before an entry, and which tarfile reads into memory.
_BEFORE = {
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
}


class Place(NamedTuple):
    """Where a photo's bytes lie in a file."""

    name: str
    start: int
    size: int


def from_tar(path: Path) -> Source:
    """What lies in a tar.

    Raises:
        ValueError: it is not a tar, holds a name twice, or unpacks to more than `MAX_UNPACKED` bytes.
    """
    tree = Tree()
    with ExitStack() as closing:
        try:
            file: BinaryIO = closing.enter_context(open(path, "rb"))
            start = file.read(8)
            file.seek(0)
            unpack = next((unpack for magic, unpack in PACKED.items() if start.startswith(magic)), None)
            if unpack is None:
                with tarfile.open(fileobj=file, mode="r:", tarinfo=_Header) as tar:
                    for member, reason in _members(tar):
                        put_by_name(tree, path, member.name, _at(member.offset_data, member), member.size, reason)
            else:
                logger.info("%s is packed: its photos are unpacked to a temporary file first.", path)
                with unpack(file) as stream, tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header) as tar:
                    file = closing.enter_context(tempfile.TemporaryFile())
                    _copy_photos(tar, tree, path, file)
        except _BROKEN as error:
            raise ValueError(
                f"{path} is not a tar that can be read ({error}): get it again, or unpack it and give the folder."
            ) from error
        kept = closing.pop_all()
    lock = threading.Lock()

    def call(place: Place) -> str:
        return f"{path}: {place.name}"

    def opened(place: Place) -> BinaryIO:
        try:
            with lock:
                file.seek(place.start)
                return NamedBytes(file.read(place.size), call(place))
        except OSError as error:
            raise unreadable(repr(call(place)), error) from error

    weakref.finalize(opened, kept.close)  # once nobody can ask for a photo any more
    return Source(tree, str(path), stem(path.name), opened, call)


def _copy_photos(tar: tarfile.TarFile, tree: Tree, path: Path, file: BinaryIO) -> None:
    for member, reason in _members(tar):
        if tar.offset > MAX_UNPACKED:
            raise ValueError(f"it unpacks to more than {MAX_UNPACKED >> 30} GiB")
        content = None if reason else tar.extractfile(member)
        if put_by_name(tree, path, member.name, _at(file.tell(), member), member.size, reason) and content:
            shutil.copyfileobj(content, file)


def _at(start: int, member: tarfile.TarInfo) -> Place:
    return Place(member.name, start, member.size)


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
        if header.type in _BEFORE and header.size > MAX_BYTES:
            raise ValueError(f"a name or its attributes are {TOO_LARGE}")
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
            yield member, TOO_LARGE if member.size > MAX_BYTES else None
