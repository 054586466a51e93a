"""Every photo read once, before any work: what it is, what is wrong with it, and which are there twice."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from deit_ref.data.images import ImageSet
from deit_ref.photos import exif_orientation


class Examined(NamedTuple):
    """What one photo is.

    Attributes:
        shape: (height, width) as it is read; None if it cannot be.
        turned: whether it is stored turned or mirrored, by its EXIF orientation.
        content: a digest of its bytes.
        problem: why it cannot be read.
    """

    shape: tuple[int, int] | None = None
    turned: bool = False
    content: bytes = b""
    problem: str | None = None


def examine(images: ImageSet, *, progress: Callable[[int], object] | None = None) -> list[Examined]:
    """Read every photo, by a thread per processor.

    Args:
        images: the photos.
        progress: called with the number of photos that were read since the last call.
    """
    chunk = 32

    def some(start: int) -> list[Examined]:
        return [_one(images, i) for i in range(start, min(start + chunk, len(images)))]

    found: list[Examined] = []
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for examined in pool.map(some, range(0, len(images), chunk)):
            found.extend(examined)
            if progress is not None:
                progress(len(examined))
    return found


def _one(images: ImageSet, i: int) -> Examined:
    try:
        turned = False
        if images.open is not None:
            with images.open(i) as file:
                turned = exif_orientation(file) != 1
        return Examined(images.read(i).shape[:2], turned, content(images, i))
    except (ValueError, OSError) as error:
        return Examined(problem=str(error))


def content(images: ImageSet, i: int) -> bytes:
    """A digest of photo i as it is stored; copies of a photo have the same."""
    if images.open is None:  # pixels that lie in memory
        return hashlib.sha256(images.read(i).tobytes()).digest()
    found = hashlib.sha256()
    with images.open(i) as file:
        while data := file.read(2**20):
            found.update(data)
    return found.digest()


class Doubles(NamedTuple):
    """Photos of the same bytes.

    Attributes:
        in_both: one pair of names for each photo that is in train and in test.
        in_two_classes: one pair of names for each photo that is in two classes.
        again: how many photos are there already, in the same class of the same split.
    """

    in_both: list[tuple[str, str]]
    in_two_classes: list[tuple[str, str]]
    again: int


def doubles(sets: Mapping[str, ImageSet], found: Mapping[str, Sequence[Examined]]) -> Doubles:
    """Which of the photos are the same, of all splits together."""
    places: dict[bytes, list[tuple[str, str, str]]] = {}  # content to (split, class name, name)
    for split, examined in found.items():
        images = sets[split]
        for i, one in enumerate(examined):
            if one.problem is None:
                where = split, images.class_names[images.labels[i]], images.names[i]
                places.setdefault(one.content, []).append(where)
    groups = [group for group in places.values() if len(group) > 1]

    def pairs(column: int) -> list[tuple[str, str]]:
        """The first name, and the first that differs from it in split (0) or class (1)."""
        others = ([place[2] for place in group if place[column] != group[0][column]] for group in groups)
        return [(group[0][2], other[0]) for group, other in zip(groups, others, strict=True) if other]

    again = sum(len(group) - len({place[:2] for place in group}) for group in groups)
    return Doubles(pairs(0), pairs(1), again)
