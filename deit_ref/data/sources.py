"""What lies in a folder or an archive: a tree of names, and how to open the photo at each."""

import io
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias

from deit_ref import photo_files, photo_names

MAX_BYTES = 2**26  # of a photo in an archive, which is read into memory
TOO_LARGE = f"larger than {MAX_BYTES >> 20} MiB"
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_PACKED = (*ARCHIVES, ".rar", ".7z", ".tar.zst", ".tzst")  # those that are not read are refused by what they are

Parts: TypeAlias = tuple[str, ...]  # ("train", "cat", "1.jpg")


class Entry(NamedTuple):
    """A photo that has not been read: what opens it, and how many bytes it has."""

    key: Any
    size: int


@dataclass(frozen=True)
class Tree:
    """What lies below a root, by names in their composed form (`photo_names.composed`).

    Attributes:
        folders: all of them.
        files: the photos.
        left_out: the other files, each with the reason that it is none.
        closed: folders that cannot be opened, each with the error.
    """

    folders: set[Parts] = field(default_factory=set)
    files: dict[Parts, Entry] = field(default_factory=dict)
    left_out: list[tuple[Parts, str]] = field(default_factory=list)
    closed: dict[Parts, OSError] = field(default_factory=dict)


class Source(NamedTuple):
    """A tree, what messages call its root, the root's own name, and what opens and names the photo of a key."""

    tree: Tree
    shown: str
    name: str
    open: Callable[[Any], BinaryIO]
    call: Callable[[Any], str]


class NamedBytes(io.BytesIO):
    """Bytes that are read as a file of this name."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self.name = name


def put(tree: Tree, parts: Parts, key: Any, size: int, reason: str | None = None) -> None:
    """Add a file: as a photo, or to those left out, because its name is not a photo's or for a reason of its own."""
    reason = photo_names.why_left_out(parts[-1]) or reason
    if reason is None:
        tree.files[parts] = Entry(key, size)
    else:
        tree.left_out.append((parts, reason))


def put_by_name(tree: Tree, path: Path, name: str, key: Any, size: int, reason: str | None) -> bool:
    """Add an entry of the archive `path` where its name says, a folder's ends in "/"; whether it is a photo to be read.

    Raises:
        ValueError: there is an entry of this name.
    """
    raw = name.split("/")
    parts = tuple(photo_names.composed(part) for part in raw if part not in ("", ".", ".."))
    if not parts or any(map(photo_names.is_ignored, parts)):
        return False
    folder = name.endswith("/")
    if name.startswith("/") or ".." in raw or raw[0].endswith(":"):
        reason = "with a name that leads out of the archive"
    else:
        tree.folders.update(parts[:depth] for depth in range(1, len(parts) + folder))
    if folder:
        return False
    if reason is None and parts in tree.files:
        raise ValueError(f"{path} holds {name} twice: expected one image per name. Pack it again.")
    put(tree, parts, key, size, reason)
    return reason is None and parts in tree.files


def is_packed(name: str) -> bool:
    """Whether a file is called like an archive, of a kind that is read or not."""
    return name.lower().endswith(_PACKED)


def stem(name: str) -> str:
    """An archive's name without its suffix, all of .tar.gz."""
    suffix = max((suffix for suffix in _PACKED if name.lower().endswith(suffix)), key=len, default="")
    return name[: -len(suffix)] if suffix else os.path.splitext(name)[0]


def from_folder(path: Path) -> Source:
    """What lies below a folder, links included."""
    tree = Tree()

    def composed(parts: Parts) -> Parts:
        return tuple(map(photo_names.composed, parts))

    def closed(parts: Parts, error: OSError) -> None:
        tree.closed[composed(parts)] = error

    for raw, entry, is_folder in photo_names.walk(str(path), on_error=closed):
        parts = composed(raw)
        if is_folder:
            tree.folders.add(parts)
            continue
        try:
            size = _size(entry)
        except PermissionError as error:
            closed(raw[:-1], error)
            continue
        reason = None if size is not None else "no file, or a link to nothing"
        if size is not None and parts in tree.files:
            reason = "with a name that is there already, in another form of Unicode"
        put(tree, parts, entry.path, size or 0, reason)
    return Source(tree, str(path), path.absolute().name, photo_files.open_file, str)


def _size(entry: os.DirEntry[str]) -> int | None:
    """Bytes of a file; None for a link to nothing, and for a pipe or a device, which may wait for ever.

    Raises:
        PermissionError: its folder may be listed, but not be entered.
    """
    try:
        found = entry.stat()
    except OSError as error:
        if isinstance(error, PermissionError) and not entry.is_symlink():
            raise
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
