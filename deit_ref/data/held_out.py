"""A held-out part of the photos: a model is judged by photos that it has not learned from."""

import os
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import numpy as np

from deit_ref import checks
from deit_ref.data.examine import content
from deit_ref.data.images import ImageSet, subset

Array: TypeAlias = np.ndarray[Any, Any]


def divided(images: ImageSet, *, share: float, seed: int) -> tuple[ImageSet, ImageSet]:
    """The photos to learn from, and those that are held out, see `held_out`; copies of a photo stay on one side."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        contents = list(threads.map(lambda i: content(images, i), range(len(images))))
    train, test = held_out(images.labels, share=share, seed=seed, contents=contents)
    return subset(images, train), subset(images, test)


def held_out(
    labels: Array, *, share: float, seed: int, contents: Sequence[Hashable] | None = None
) -> tuple[Array, Array]:
    """Places of the photos to learn from, and of those that are held out; both ascending.

    Each class is divided by itself, so that none is missing on a side: the share is rounded, but at least one photo of
    a class stays on each side. The only photo of a class is learned from. Which photos of a class are held out depends
    on the seed, the class's position and its number of photos alone.

    Args:
        labels: (photos,) positions of classes.
        share: of the photos to hold out.
        seed: chooses them.
        contents: photos of a class with the same entry are copies of one, and count as one.

    Raises:
        ValueError: share does not lie between 0 and 1, or no class has two photos.
    """
    checks.number("share", share, low=0, high=1, includes_low=False)
    chosen: list[int] = []
    for label in np.unique(labels):
        copies: dict[Hashable, list[int]] = {}
        for place in np.flatnonzero(labels == label).tolist():
            copies.setdefault(place if contents is None else contents[place], []).append(place)
        groups = list(copies.values())
        count = min(max(round(share * len(groups)), 1), len(groups) - 1)
        order = np.random.default_rng([seed, int(label)]).permutation(len(groups))
        chosen += [place for group in order[:count] for place in groups[group]]
    test = np.sort(np.array(chosen, np.int64))
    if not len(test):
        raise ValueError(
            f"No class has two photos, so none of the {len(labels)} can be held out: add photos, or hold out none."
        )
    return np.setdiff1d(np.arange(len(labels)), test), test
