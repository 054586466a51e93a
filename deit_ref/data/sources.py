"""What lies in a folder or an archive: a tree of names, and how to open the photo at each."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias

from deit_ref import photo_names, photos

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
    return Source(tree, str(path), path.absolute().name, photos.open_file, str)
