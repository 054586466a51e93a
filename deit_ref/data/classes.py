"""Class names of photos, of other photos and of weights: labels mean the same only where the names do.

Names are the same where they look the same, whichever form of Unicode they are stored in (`photo_names.composed`).
"""

import dataclasses
import unicodedata
from collections.abc import Iterable

import numpy as np

from deit_ref import checks
from deit_ref.data.images import ImageSet
from deit_ref.photo_names import composed


def labelled_as(images: ImageSet, names: tuple[str, ...] | None, count: int) -> tuple[ImageSet, str]:
    """The photos with the labels of weights, which may know more classes than there are photos of.

    Classes are matched by name, in any order. Only where no name is shared, and their number is the same, are they
    taken in order.

    Args:
        images: labeled by their folders.
        names: of the weights' classes; None means they have none, and folders may be called LABEL_0, LABEL_1, ...
        count: how many classes the weights know.

    Returns:
        The photos, and a sentence about what was made of their classes, empty where they are the weights' own.

    Raises:
        ValueError: the weights do not know some of the classes.
    """
    folders = composed_names(images.class_names)
    if names == images.class_names:
        return images, ""
    by_place = tuple(f"LABEL_{i}" for i in range(count))
    if names is None and {*folders} <= {*by_place}:
        names = by_place
    if names is not None:
        names = composed_names(names)
    if names is not None and {*folders} <= {*names}:
        places = np.array([names.index(folder) for folder in folders], np.int64)
        said = f"the photos are of {len(folders)} of the {count} classes that the weights know: {checks.some(folders)}."
        relabelled = dataclasses.replace(images, labels=places[images.labels], class_names=names)
        return relabelled, said if len(folders) < count else ""
    alike = spelled_alike(folders, names or ())
    if count != len(folders) or alike or (names is not None and {*names} & {*folders}):
        known = checks.amount(count, "class", "classes")
        if names is None:
            raise ValueError(
                f"The weights know {known} by their places alone, the class folders are {checks.some(folders)}: call "
                f"each by its place, LABEL_0 to LABEL_{count - 1}, or write the names into the weights' config.json as "
                "id2label."
            )
        strange = [folder for folder in folders if folder not in names]
        raise ValueError(
            f"The weights know {known} ({checks.some(names)}), and not {checks.some(strange)}: expected class folders "
            f"of the same names.{alike}"
        )
    first = "the weights' first class" if names is None else repr(names[0])
    said = f"warning: classes are compared by their order, not by name: {folders[0]!r} is taken for {first}."
    return dataclasses.replace(images, class_names=names or folders), said


def check_same_classes(train: ImageSet, test: ImageSet) -> None:
    """Labels mean the same in both.

    Raises:
        ValueError: they do not; it says which names differ.
    """
    ours, theirs = composed_names(train.class_names), composed_names(test.class_names)
    if ours == theirs:
        return
    only = [sorted({*a} - {*b}) for a, b in ((ours, theirs), (theirs, ours))]
    parts = [
        f"only in {part}: {', '.join(names)}" for part, names in zip(("train", "test"), only, strict=True) if names
    ]
    raise ValueError(
        f"Expected the same classes in train and test; {'; '.join(parts) or 'their order differs'}. Rename or remove "
        f"what differs.{spelled_alike(theirs, ours)}"
    )


def composed_names(names: Iterable[str]) -> tuple[str, ...]:
    """The names as they are to be compared."""
    return tuple(map(composed, names))


def spelled_alike(ours: tuple[str, ...], theirs: tuple[str, ...]) -> str:
    """A sentence on names that differ only in case, spaces, underscores, hyphens or what is not seen; else empty."""
    known = {_plain(name): name for name in theirs}
    pairs = [(name, known[_plain(name)]) for name in ours if name not in theirs and _plain(name) in known]
    return f" Only the spelling differs of {_listed(pairs)}: rename the folders." if pairs else ""


def alike_among(names: Iterable[str]) -> str:
    """A sentence on names of one list that differ as those of `spelled_alike`; empty where none do."""
    first: dict[str, str] = {}
    pairs = [(first[_plain(name)], name) for name in names if first.setdefault(_plain(name), name) != name]
    return f"only the spelling differs of the classes {_listed(pairs)}: join those that are one." if pairs else ""


def _listed(pairs: list[tuple[str, str]]) -> str:
    return checks.some((f"{one!r} and {other!r}" for one, other in pairs), most=3)


def _plain(name: str) -> str:
    letters = unicodedata.normalize("NFKC", name).casefold()
    return "".join(
        letter for letter in letters if letter not in "_-" and unicodedata.category(letter) not in ("Zs", "Cc", "Cf")
    )
