"""Cut-outs: pictures of CIFAR-10's classes that are no photos of CIFAR-10, each on a white square.

They are stamps of a children's paint program, in Debian's package tuxpaint-stamps-default. The list and its labels were
written before a model was trained to do well on them; the pictures are not copied here, and nothing learns from them.
"""

import os
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from deit_ref.checkpoints.files import read_json
from deit_ref.data.images import ImageSet
from deit_ref.photos import load_image


def stamps(folder: str | os.PathLike[str]) -> ImageSet:
    """The listed cut-outs of CIFAR-10's ten classes.

    Args:
        folder: where the package keeps its pictures, /usr/share/tuxpaint/stamps on Debian.

    Raises:
        ValueError: a picture is missing.
    """
    listed = read_json(Path(str(files("deit_ref.data") / "stamps.json")))
    pictures = [(name, label) for label, names in enumerate(listed["classes"].values()) for name in names]
    paths = [Path(folder) / name for name, _ in pictures]
    for path in paths:
        if not path.is_file():
            raise ValueError(
                f"{path} is not there: give the folder of stamps of {listed['package']} {listed['version']}, such as "
                f"{listed['folder']}."
            )
    return ImageSet(
        labels=np.array([label for _, label in pictures], dtype=np.int64),
        class_names=tuple(listed["classes"]),
        names=[name for name, _ in pictures],
        read=lambda i: squared(load_image(paths[i])),
    )


def squared(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """An image in the middle of a white square whose side is its longer one: no part of it is cropped later."""
    height, width, channels = image.shape
    side = max(height, width)
    square = np.full((side, side, channels), 255, dtype=np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = image
    return square
