"""Class folders in a zip, which stays open and is read where a photo lies."""

import stat
import threading
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

from deit_ref.data.sources import MAX_BYTES, TOO_LARGE, NamedBytes, Source, Tree, put_by_name, stem
from deit_ref.photo_files import unreadable

MAGIC = (b"PK\x03\x04", b"PK\x05\x06")  # the second begins an empty one
_BROKEN = (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError, RuntimeError, zlib.error)


def from_zip(path: Path) -> Source:
    """What lies in a zip, which stays open.

    Raises:
        ValueError: it is not a zip, or holds a name twice.
    """
    try:
        archive = zipfile.ZipFile(path)
    except _BROKEN as error:
        raise ValueError(
            f"{path} is not a zip that can be read ({error}): get it again, its end may be missing."
        ) from error
    tree = Tree()
    for entry in archive.infolist():
        entry.filename = _meant(entry)
        kind = entry.external_attr >> 16
        reason = None
        if stat.S_ISLNK(kind):
            reason = "a link"
        elif entry.flag_bits & 1:
            reason = "encrypted (unpack it with its password)"
        elif entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            reason = "packed otherwise than stored or deflated"  # which Python unpacks without a limit of memory
        elif entry.file_size > MAX_BYTES:
            reason = TOO_LARGE
        # Programs of Windows have written their own separator; elsewhere a name may hold one.
        name = entry.filename if "/" in entry.filename else entry.filename.replace("\\", "/")
        put_by_name(tree, path, name, entry, entry.file_size, reason)
    lock = threading.Lock()

    def call(entry: zipfile.ZipInfo) -> str:
        return f"{path}: {entry.filename}"

    def opened(entry: zipfile.ZipInfo) -> BinaryIO:
        try:
            with lock, archive.open(entry) as file:
                return NamedBytes(file.read(MAX_BYTES), call(entry))
        except _BROKEN as error:
            raise unreadable(repr(call(entry)), error) from error

    return Source(tree, str(path), stem(path.name), opened, call)


def _meant(entry: zipfile.ZipInfo) -> str:
    """The name of an entry. A Mac writes UTF-8 and does not say so, and without that a name is read by cp437."""
    try:
        says_so = entry.flag_bits & 0x800
        return entry.filename if says_so else entry.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return entry.filename
