"""What a run runs on, in a few numbers, so that it never goes on with something else.

A recipe and a seed say how a run goes; which photos, which weights to begin with, which teacher and which numerics they
meet is written down here, kept in the checkpoint, and told by the config.json that comes of it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from deit_ref import checks
from deit_ref.arrays import digest_of_arrays
from deit_ref.data.images import ImageSet
from deit_ref.image_processing import ImageProcessing


def fingerprint(
    train: ImageSet,
    test: ImageSet | None,
    *,
    image_processing: ImageProcessing,
    start: Iterable[tuple[str, Any]] | None,
    teacher: Iterable[tuple[str, Any]] | str | None,
    numerics: Mapping[str, Any],
    held_out: float = 0.0,
) -> dict[str, Any]:
    """What a run runs on, in values that JSON has.

    Args:
        train, test: the photos: their number, the digest of their names and sizes, and that of what 64 of them hold.
        image_processing: how they are prepared.
        start: names and arrays that it begins with; None means random weights, which follow from recipe and seed.
        teacher: names and arrays; what to call a teacher without; or None.
        numerics: such as whether matrix products run in bfloat16.
        held_out: the share of the photos to learn from that is held out as `test`.
    """
    photos = {
        name: {"count": len(images), "digest": images.digest, "contents": _contents(images)}
        for name, images in (("train", train), ("test", test))
        if images is not None
    }
    return {
        "class_names": list(train.class_names),
        "photos": photos,
        "image_processing": image_processing.to_dict(),
        "start": None if start is None else digest_of_arrays(start),
        "teacher": teacher if teacher is None or isinstance(teacher, str) else digest_of_arrays(teacher),
        "numerics": dict(numerics),
        "held_out": held_out,
    }


def _contents(images: ImageSet, *, most: int = 64) -> str:
    """Of some files spread over the set: others may have the same names and sizes."""
    found = hashlib.sha256()
    if images.open is not None:
        for place in np.unique(np.linspace(0, len(images) - 1, most).astype(int)):
            with images.open(int(place)) as file:
                found.update(file.read())
    return found.hexdigest()


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What is not the same in two fingerprints, in words; nothing where they are equal."""
    found = []
    if then["class_names"] != now["class_names"]:
        found.append(f"the classes {checks.some(then['class_names'])}, now {checks.some(now['class_names'])}")
    for split in ("train", "test"):
        a, b = then["photos"].get(split), now["photos"].get(split)
        if a == b:
            continue
        if a is None or b is None:
            found.append(
                f"{'no' if a is None else a['count']} {split} photos, now {'none' if b is None else b['count']}"
            )
        elif a["count"] != b["count"]:
            found.append(f"{a['count']} {split} photos, now {b['count']}")
        else:
            found.append(f"other {split} photos (as many, of other names, sizes or contents)")
    if then["start"] != now["start"]:
        found.append(f"other weights to begin with ({_short(then['start'])}, now {_short(now['start'])})")
    if then["teacher"] != now["teacher"]:
        found.append(f"another teacher ({_short(then['teacher'])}, now {_short(now['teacher'])})")
    if then["held_out"] != now["held_out"]:
        found.append(f"{then['held_out']:g} of the photos held out, now {now['held_out']:g}")
    for part in ("numerics", "image_processing"):
        a, b = then[part], now[part]
        found += [f"{name} {a.get(name)!r}, now {b.get(name)!r}" for name in {**a, **b} if a.get(name) != b.get(name)]
    return found


def _short(digest: str | None) -> str:
    return "none" if digest is None else digest[:8] if len(digest) == 64 else digest
