"""Class folders of photos, on disk or in a zip: which files belong to a split, their classes, and their pixels."""

import io
import os
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from deit_ref import photos

Array: TypeAlias = np.ndarray[Any, Any]
# The fields of `data.ImageSet`.
Labelled: TypeAlias = tuple[Array, tuple[str, ...], list[str], Callable[[int], Array]]

SPLITS = {"train": ("train",), "test": ("test", "val", "validation")}
MAX_BYTES = 2**26  # of one image file

_TOO_LARGE = f"it is larger than {MAX_BYTES >> 20} MiB"
# What zipfile and Pillow's decoders raise for broken files, as in photos.py.
_BROKEN: tuple[type[Exception], ...] = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError)
_BROKEN = (*_BROKEN, RuntimeError, MemoryError, AssertionError, struct.error, zlib.error, zipfile.BadZipFile)
# photos.load_image changes the filters of warnings, which belong to all threads.
_CONVERTING = threading.Lock()


class MissingSplit(ValueError):
    """There are photos, but none of this split."""


class _Tree(NamedTuple):
    """Folders and image files below a root, as tuples of names; the values of `files` are what opens them."""

    folders: set[tuple[str, ...]]
    files: dict[tuple[str, ...], Any]


def read_folder(path: Path, split: str) -> Labelled:
    """Photos below a folder.

    Raises:
        ValueError: as `data.open_images`.
    """
    tree = _Tree(set(), {})
    for parts, file, is_folder in _walk(str(path), (), ()):
        if is_folder:
            tree.folders.add(parts)
        elif _is_photo(file):
            tree.files[parts] = file

    def fetch(file: str) -> bytes:
        if not os.path.isfile(file):  # a pipe may wait for ever
            raise ValueError("it is no file, or a link to nothing")
        with open(file, "rb") as opened:
            return opened.read(MAX_BYTES + 1)

    return _labelled(tree, path.absolute().name, split, str(path), fetch, str)


def _walk(folder: str, parts: tuple[str, ...], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str, bool]]:
    """What lies below a folder and whether it is one; no link is followed that leads back to a folder above."""
    with os.scandir(folder) as entries:
        found = [entry for entry in entries if _visible(entry.name)]
    above = (*above, os.path.realpath(folder))
    for entry in found:
        below = (*parts, entry.name)
        # A link to itself makes entry.is_dir() fail, and os.path.isdir say no.
        is_folder = os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()
        if is_folder and entry.is_symlink() and os.path.realpath(entry.path) in above:
            continue
        yield below, entry.path, is_folder
        if is_folder:
            yield from _walk(entry.path, below, above)


def _is_photo(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in photos.SUFFIXES


def _visible(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"


def read_zip(path: Path, split: str) -> Labelled:
    """Photos in a zip, which stays open.

    Raises:
        ValueError: as `data.open_images`, or it is no zip.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ValueError(f"{path} is not a zip that can be read ({error}): get it again.") from error
    tree = _Tree(set(), {})
    for entry in archive.infolist():
        parts = tuple(part for part in entry.filename.split("/") if part)
        if parts and all(map(_visible, parts)):
            tree.folders.update(parts[:depth] for depth in range(1, len(parts)))
            if entry.is_dir():
                tree.folders.add(parts)
            elif _is_photo(parts[-1]):
                if parts in tree.files:
                    raise ValueError(
                        f"{path} holds {entry.filename} twice: expected one image per name. Pack it again."
                    )
                tree.files[parts] = entry
    lock = threading.Lock()

    def fetch(entry: zipfile.ZipInfo) -> bytes:
        if entry.file_size > MAX_BYTES:
            raise ValueError(_TOO_LARGE)
        # Python unpacks the other kinds without a limit of memory.
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError("it is packed otherwise than stored or deflated; pack it again")
        with lock, archive.open(entry) as opened:
            return opened.read(MAX_BYTES + 1)

    return _labelled(tree, path.stem, split, str(path), fetch, lambda entry: f"{path}: {entry.filename}")


def _labelled(
    tree: _Tree, name: str, split: str, shown: str, fetch: Callable[[Any], bytes], call: Callable[[Any], str]
) -> Labelled:
    root = _class_root(tree, name, split, shown)
    depth = len(root)
    files = sorted(parts for parts in tree.files if parts[:depth] == root)
    class_names = tuple(sorted(parts[-1] for parts in _children(tree, root)))
    place = "/".join([shown, *root])
    if not files:
        suffixes = ", ".join(sorted(photos.SUFFIXES))
        raise ValueError(f"There are no images in {place}: expected a folder per class with {suffixes} files.")
    for parts in files:
        if len(parts) == depth + 1:
            raise ValueError(f"{call(tree.files[parts])} lies beside the class folders: move it into one, or away.")
    found = {parts[depth] for parts in files}
    for class_name in class_names:
        if class_name not in found:
            raise ValueError(f"The class folder {place}/{class_name} holds no images: fill it or remove it.")
    if len(class_names) < 2:
        raise ValueError(f"Expected at least 2 class folders in {place}, got {', '.join(class_names)} alone.")
    labels = {class_name: label for label, class_name in enumerate(class_names)}
    names = [call(tree.files[parts]) for parts in files]
    keys = [tree.files[parts] for parts in files]

    def read(i: int) -> Array:
        return _decode(lambda: fetch(keys[i]), names[i])

    return np.array([labels[parts[depth]] for parts in files], np.int64), class_names, names, read


def _children(tree: _Tree, root: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [parts for parts in tree.folders if len(parts) == len(root) + 1 and parts[:-1] == root]


def _class_root(tree: _Tree, name: str, split: str, shown: str) -> tuple[str, ...]:
    """The folder whose folders are the classes of this split."""
    named = {word: part for part, words in SPLITS.items() for word in words}
    # A class may be called "train" too: the part of a split holds folders, a class only files.
    holders = {parts[:-1] for parts in tree.folders}
    root: tuple[str, ...] = ()
    while True:
        children = _children(tree, root)
        parts = {child[-1].lower(): child for child in children if child[-1].lower() in named and child in holders}
        for word in SPLITS[split]:
            if word in parts:
                return parts[word]
        alone = len(children) == 1 and children[0] in holders
        if parts or not alone or any(file[:-1] == root for file in tree.files):
            break
        root = children[0]
    if parts or named.get(name.lower(), "train") != split:
        words = " or ".join(SPLITS[split])
        raise MissingSplit(
            f"{shown} has no split {split!r}: looked for {words} with a folder per class in it"
            f"{f', found {chr(44).join(sorted(parts))}' if parts else ''}. Name the folder that holds it."
        )
    return root


def _decode(fetch: Callable[[], bytes], name: str) -> Array:
    """One image file as photos.load_image reads it."""
    from PIL import Image, UnidentifiedImageError

    bombs: tuple[type[Exception], ...] = (Image.DecompressionBombError, Image.DecompressionBombWarning)
    try:
        data = fetch()
        if len(data) > MAX_BYTES:
            raise ValueError(_TOO_LARGE)
        Image.init()
        with Image.open(io.BytesIO(data), formats=[kind for kind in photos.FORMATS if kind in Image.OPEN]) as image:
            limit = Image.MAX_IMAGE_PIXELS
            if limit and image.width * image.height > limit:
                raise ValueError(f"it has more than {limit:,} pixels")
            image.load()
            # What load_image does with nearly all photos, three times as fast.
            if image.mode == "RGB" and not image.has_transparency_data:
                return np.array(image)
            with _CONVERTING:
                return photos.load_image(image)
    except (*_BROKEN, *bombs) as error:
        unknown = isinstance(error, UnidentifiedImageError)
        why = f"it is none of {', '.join(photos.FORMATS)}" if unknown else str(error) or type(error).__name__
        raise ValueError(f"{name} cannot be read ({why}): expected a whole image file. Get it again.") from error
