"""What lies in a folder or an archive: a tree of names, and how to open the photo at each."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias

from deit_ref import photo_files, photo_names

MAX_BYTES = 2**26  # of a photo in an archive, which is read into memory
TOO_LARGE = f"larger than {MAX_BYTES >> 20} MiB"

Parts: TypeAlias = tuple[str, ...]  # ("train", "cat", "1.jpg")


class Entry(NamedTuple):
    """A photo that has not been read: what opens it, and how many bytes it has."""

    key: Any
    size: int


class Tree(NamedTuple):
    """Folders and photos below a root by their names, and the other files with the reason that they are none."""

    folders: set[Parts]
    files: dict[Parts, Entry]
    left_out: list[tuple[Parts, str]]


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
    """Add a file: as a photo, or to those left out, because its name is no photo's or for a reason of its own."""
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
    parts = tuple(part for part in raw if part not in ("", ".", ".."))
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


def broken(name: str, error: Exception) -> ValueError:
    """What to raise for an entry that its archive does not give out."""
    return ValueError(
        f"{name!r} is broken or cannot be read ({str(error) or type(error).__name__}): expected a whole image file. "
        "Get it again."
    )


def from_folder(path: Path) -> Source:
    """What lies below a folder, links included."""
    tree = Tree(set(), {}, [])
    for parts, entry, is_folder in photo_names.walk(str(path)):
        if is_folder:
            tree.folders.add(parts)
        elif os.path.isfile(entry.path):
            put(tree, parts, entry.path, entry.stat().st_size)
        else:  # a pipe may wait for ever
            put(tree, parts, entry.path, 0, "no file, or a link to nothing")
    return Source(tree, str(path), path.absolute().name, photo_files.open_file, str)
