"""A held-out part of the photos: a model is judged by photos that it has not learned from."""

from typing import Any, TypeAlias

import numpy as np

from deit_ref import checks
from deit_ref.data.images import ImageSet, subset

Array: TypeAlias = np.ndarray[Any, Any]


def held_out(labels: Array, *, share: float, seed: int) -> tuple[Array, Array]:
    """Places of the photos to learn from, and of those that are held out; both ascending.

    Each class is divided by itself, so that none is missing on a side: the share is rounded, but at least one photo of
    a class stays on each side. The only photo of a class is learned from. Which photos of a class are held out depends
    on the seed, the class's position and its number of photos alone.

    Args:
        labels: (photos,) positions of classes.
        share: of the photos to hold out.
        seed: chooses them.

    Raises:
        ValueError: share does not lie between 0 and 1, or no class has two photos.
    """
    checks.number("share", share, low=0, high=1, includes_low=False)
    chosen = []
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        count = min(max(round(share * len(places)), 1), len(places) - 1)
        chosen.append(np.random.default_rng([seed, int(label)]).permutation(places)[:count])
    test = np.sort(np.concatenate(chosen)) if chosen else np.empty(0, np.int64)
    if not len(test):
        raise ValueError(
            f"No class has two photos, so none of the {len(labels)} can be held out: add photos, or hold out none."
        )
    return np.setdiff1d(np.arange(len(labels)), test), test


def divided(images: ImageSet, *, share: float, seed: int) -> tuple[ImageSet, ImageSet]:
    """The photos to learn from, and those that are held out, see `held_out`."""
    train, test = held_out(images.labels, share=share, seed=seed)
    return subset(images, train), subset(images, test)
