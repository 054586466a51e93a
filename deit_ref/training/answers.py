"""What a model answered for labeled photos, and what follows: shares, the confusion matrix, the worst mistakes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Answers:
    """One entry per photo, in the photos' order.

    Attributes:
        labels: what the photos are, as positions of classes.
        answers: the most probable class.
        probabilities: that of the answer, 0..1.
        losses: cross entropy.
        in_top5: whether the label is one of the five most probable classes.
        head_is_right: for models of two heads, whether each was right alone, by its name in the metrics.
    """

    labels: Array
    answers: Array
    probabilities: Array
    losses: Array
    in_top5: Array
    head_is_right: Mapping[str, Array]

    @property
    def is_right(self) -> Array:
        """Whether the answer is the label."""
        right: Array = self.answers == self.labels
        return right


def shares(found: Answers, class_names: tuple[str, ...]) -> dict[str, Any]:
    """ "photos"; "top1", "top5", and for two heads "cls_top1" and "distillation_top1" (0..1); "loss"; "per_class".

    A class without photos has no share, and is not in "per_class".
    """
    per_class = {
        name: float(found.is_right[found.labels == label].mean())
        for label, name in enumerate(class_names)
        if (found.labels == label).any()
    }
    return {
        "photos": len(found.labels),
        "top1": float(found.is_right.mean()),
        "top5": float(found.in_top5.mean()),
        "loss": float(found.losses.mean()),
        **{name: float(right.mean()) for name, right in found.head_is_right.items()},
        "per_class": per_class,
    }


def confusion(found: Answers, classes: int) -> Array:
    """How many photos of each class (rows) were given each answer (columns): int64 (classes, classes)."""
    places = found.labels * classes + found.answers
    return np.bincount(places, minlength=classes**2).reshape(classes, classes)


def worst_mistakes(found: Answers, *, most: int) -> Array:
    """Positions of wrongly answered photos, the surest answer first."""
    wrong = np.flatnonzero(~found.is_right)
    return wrong[np.argsort(-found.probabilities[wrong], kind="stable")][:most]


def details(
    found: Answers, class_names: tuple[str, ...], photo_names: Sequence[str], *, mistakes: int = 10
) -> dict[str, Any]:
    """What the shares do not tell.

    Returns:
        "right": number of photos; "interval": of "top1"; "most_frequent": the "class" of most photos, and the "share"
        that would be right if it were always answered; "confusion": "counts", a row for each of the "classes" that are
        photographed or answered, a column for each answer; "mistakes": the surest wrong answers, as "photo", "class",
        "answer" and "probability".
    """
    right, photos = int(found.is_right.sum()), len(found.labels)
    counts = confusion(found, len(class_names))
    occurring = np.flatnonzero(counts.sum(axis=0) + counts.sum(axis=1))
    per_class = counts.sum(axis=1)
    return {
        "right": right,
        "interval": list(interval(right, photos)),
        "most_frequent": {"class": class_names[per_class.argmax()], "share": float(per_class.max()) / photos},
        "confusion": {
            "classes": [class_names[label] for label in occurring],
            "counts": counts[np.ix_(occurring, occurring)].tolist(),
        },
        "mistakes": [
            {
                "photo": photo_names[i],
                "class": class_names[found.labels[i]],
                "answer": class_names[found.answers[i]],
                "probability": float(found.probabilities[i]),
            }
            for i in worst_mistakes(found, most=mistakes)
        ],
    }


def interval(right: int, photos: int) -> tuple[float, float]:
    r"""Wilson's 95% interval of a share that was measured on so many photos.

    $$\frac{p + z^2 / 2n \pm z \sqrt{p (1 - p) / n + z^2 / 4n^2}}{1 + z^2 / n}, \quad z = 1.96$$
    """
    z, p = 1.96, right / photos
    middle, half = p + z * z / (2 * photos), z * math.sqrt(p * (1 - p) / photos + (z / (2 * photos)) ** 2)
    return (middle - half) / (1 + z * z / photos), (middle + half) / (1 + z * z / photos)
