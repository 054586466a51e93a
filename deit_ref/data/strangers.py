"""Pictures of CIFAR-10's classes that are none of CIFAR-10's: how a model does outside of what it has seen.

Two lists of pictures of Debian's packages: cut-outs on white, which are stamps of a children's paint program, and
photographs of a program for children to learn with. Both were written, with their labels, before a model was trained to
do well on them; the pictures are not copied here, and nothing learns from them.
"""

import dataclasses
import io
import os
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from deit_ref.checkpoints.files import read_json
from deit_ref.data.images import ImageSet
from deit_ref.data.qt_resources import resources
from deit_ref.photos import load_image

Array = np.ndarray[Any, Any]


def stamps(folder: str | os.PathLike[str]) -> ImageSet:
    """The listed cut-outs of CIFAR-10's ten classes, each on a white square.

    Args:
        folder: where tuxpaint-stamps-default keeps its pictures, /usr/share/tuxpaint/stamps on Debian.

    Raises:
        ValueError: a picture is missing.
    """
    found = _listed("stamps.json", Path(folder), lambda path: path if path.is_file() else None)
    return dataclasses.replace(found, read=lambda i: squared(found.read(i)))


def photographs(folder: str | os.PathLike[str]) -> ImageSet:
    """The listed photographs, of four of CIFAR-10's ten classes.

    Args:
        folder: where gcompris-qt-data keeps its resources, /usr/share/gcompris-qt/rcc on Debian. A picture's name is a
            resource file's and its place in it.

    Raises:
        ValueError: a picture is missing, or a file holds no resources.
    """
    found: dict[Path, bytes] = {}
    for file in sorted(Path(folder).glob("*.rcc")):
        found |= {file / name: content for name, content in resources(file.read_bytes()).items()}
    return _listed("photographs.json", Path(folder), found.get)


def squared(image: Array) -> Array:
    """An image in the middle of a white square whose side is its longer one: no part of it is cropped later."""
    height, width, channels = image.shape
    side = max(height, width)
    square = np.full((side, side, channels), 255, dtype=np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = image
    return square


def _listed(name: str, folder: Path, opened: Callable[[Path], Path | bytes | None]) -> ImageSet:
    listed = read_json(Path(str(files("deit_ref.data") / name)))
    pictures = [(name, label) for label, names in enumerate(listed["classes"].values()) for name in names]
    found: list[Path | bytes] = []
    for name, _ in pictures:
        if (file := opened(folder / name)) is not None:
            found.append(file)
        else:
            raise ValueError(
                f"{folder / name} is not there: give the folder of {listed['package']} {listed['version']}, such as "
                f"{listed['folder']}."
            )

    def read(i: int) -> Array:
        file = found[i]
        return load_image(io.BytesIO(file) if isinstance(file, bytes) else file)

    return ImageSet(
        labels=np.array([label for _, label in pictures], dtype=np.int64),
        class_names=tuple(listed["classes"]),
        names=[name for name, _ in pictures],
        read=read,
    )
