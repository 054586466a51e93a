"""All photos looked at before any work, and a report of it."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from deit_ref import checks, photo_names
from deit_ref.data.classes import alike_among, check_same_classes
from deit_ref.data.examine import Doubles, Examined, doubles, examine
from deit_ref.data.images import ImageSet, subset
from deit_ref.data.layout import SPLITS, MissingSplit
from deit_ref.data.opening import OUTSIDE, lone_class, look
from deit_ref.data.report import Broken, Report, SplitReport
from deit_ref.image_processing import ImageProcessing

_TURNING = {
    None: "finetune turns them upright, other commands do with --exif",
    True: "they are turned upright",
    False: "they are taken as they are stored, --exif turns them upright",
}


def look_at_both(
    path: str | os.PathLike[str], processing: ImageProcessing | None = None
) -> tuple[dict[str, ImageSet], tuple[str, ...]]:
    """The photos of the splits that there are, and what is wrong with a split or its class folders, a sentence each.

    Raises:
        ValueError: there is no photo in class folders.
    """
    opened = look(path, processing)
    sets: dict[str, ImageSet] = {}
    problems: list[str] = []
    failed: list[ValueError] = []
    for split in SPLITS:
        try:
            sets[split], wrong = opened(split)
        except ValueError as error:
            failed.append(error)
        else:
            problems += (*wrong, *lone_class(sets[split]))
    serious = [error for error in failed if not isinstance(error, MissingSplit)]
    if not sets:
        raise (serious or failed)[0]
    return sets, (*problems, *map(str, serious))


def report_on(
    sets: Mapping[str, ImageSet],
    *,
    problems: Iterable[str] = (),
    apply_exif: bool | None = None,
    image_shape: tuple[int, int] | None = None,
    read: bool = True,
    progress: Callable[[int], object] | None = None,
) -> Report:
    """Look at all photos.

    Args:
        sets: the photos of "train", "test" or both.
        problems: what is known already to be wrong.
        apply_exif: whether the model that shall see them turns photos; None means that there is none yet.
        image_shape: (height, width) of what it sees.
        read: whether every photo is read; otherwise only names are looked at.
        progress: as in `examine`.
    """
    found = {split: examine(images, progress=progress) if read else [] for split, images in sets.items()}
    splits = {split: _one_split(images, found[split], image_shape) for split, images in sets.items()}
    twice = doubles(sets, found)
    wrong = (*problems, *_problems(sets, splits), *_doubled(twice))
    return Report(splits, wrong, tuple(_notes(splits, twice, apply_exif=apply_exif, image_shape=image_shape)))


def readable(images: ImageSet, found: SplitReport) -> ImageSet:
    """The photos without those that cannot be read.

    Raises:
        ValueError: no photo of some class is left.
    """
    if not found.broken:
        return images
    places = np.setdiff1d(np.arange(len(images)), [broken.place for broken in found.broken])
    had, left = ({images.class_names[label] for label in labels} for labels in (images.labels, images.labels[places]))
    if had != left:
        raise ValueError(
            f"No photo of {checks.some(sorted(had - left))} in {found.place} can be read, such as "
            f"{found.broken[0].reason} Put whole ones there, or take the folder away."
        )
    return subset(images, places)


def _one_split(images: ImageSet, found: Sequence[Examined], image_shape: tuple[int, int] | None) -> SplitReport:
    counts = np.bincount(images.labels, minlength=len(images.class_names)).tolist()
    shapes = sorted((one.shape for one in found if one.shape), key=lambda shape: (shape[0] * shape[1], shape))
    high, wide = image_shape or (0, 0)
    return SplitReport(
        images.place,
        dict(zip(images.class_names, counts, strict=True)),
        images.skipped,
        images.unused,
        tuple(Broken(i, images.names[i], one.problem) for i, one in enumerate(found) if one.problem),
        turned=sum(one.turned for one in found),
        smallest=shapes[0] if shapes else None,
        largest=shapes[-1] if shapes else None,
        small=sum(height < high or width < wide for height, width in shapes),
    )


def _problems(sets: Mapping[str, ImageSet], splits: Mapping[str, SplitReport]) -> Iterator[str]:
    for split, found in splits.items():
        if found.broken:
            yield f"{len(found.broken)} of {split} cannot be read, {found.photos - len(found.broken)} are left."
        lost = [
            f"{n} {reason}, such as {one}"
            for reason, (n, one) in found.skipped.items()
            if reason != OUTSIDE and photo_names.is_named_a_photo(one)
        ]
        if lost:
            yield f"photos of {split} are left out: {checks.some(lost)}."
    if outside := next((found.skipped[OUTSIDE] for found in splits.values() if OUTSIDE in found.skipped), None):
        yield f"{outside[0]} photos lie outside train and test, such as {outside[1]}: move them in, or away."
    if {*sets} == {*SPLITS}:
        try:
            check_same_classes(sets["train"], sets["test"])
        except ValueError as error:
            yield str(error)


def _doubled(twice: Doubles) -> Iterator[str]:
    for pairs, where in ((twice.in_both, "both in train and in test"), (twice.in_two_classes, "in two classes")):
        if pairs:
            first, second = map(checks.one_line, pairs[0])
            yield f"the same photos are {where}, {len(pairs)} of them, such as {first} and {second}: keep one."


def _notes(
    splits: Mapping[str, SplitReport], twice: Doubles, *, apply_exif: bool | None, image_shape: tuple[int, int] | None
) -> Iterator[str]:
    if "train" in splits and "test" not in splits:
        yield "there are no photos of the split test."
    yield from filter(None, dict.fromkeys(alike_among(found.classes) for found in splits.values()))
    others: Counter[str] = Counter()
    for split, found in splits.items():
        if found.unused:
            verb = "is" if len(found.unused) == 1 else "are"
            yield f"{', '.join(found.unused)} {verb} not used: {split} is {found.place}."
        others.update({r: n for r, (n, one) in found.skipped.items() if not photo_names.is_named_a_photo(one)})
    if others:
        yield f"other files are left out: {photo_names.counted(others)}."
    if image_shape and (small := sum(found.small for found in splits.values())):
        high, wide = image_shape
        yield f"{small} photos have less than the {high}x{wide} pixels that the model sees, and are enlarged."
    if turned := sum(found.turned for found in splits.values()):
        total = sum(found.photos for found in splits.values())
        yield f"{turned} of {checks.amount(total, 'photo is', 'photos are')} stored turned: {_TURNING[apply_exif]}."
    if twice.again:
        again = checks.amount(twice.again, "photo is", "photos are")
        yield f"{again} there a second time, in the same class and split."
