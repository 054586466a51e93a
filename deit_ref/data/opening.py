"""From a path to the photos of a split: what is given is judged by its layout, and nothing is guessed beyond that."""

import hashlib
import os
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np

from deit_ref import checks, photo_files, photo_names
from deit_ref.data import cifar
from deit_ref.data.archives import from_archive
from deit_ref.data.images import ImageSet, digest_of, reader
from deit_ref.data.layout import SPLITS, MissingSplit, arrange, is_split, named_like
from deit_ref.data.sources import Source, from_folder, is_packed, stem
from deit_ref.image_processing import ImageProcessing

OUTSIDE = "photos outside the splits"  # among what is skipped, the same for each of the splits

Look: TypeAlias = Callable[[str], tuple[ImageSet, tuple[str, ...]]]


def open_images(
    path: str | os.PathLike[str], split: str, processing: ImageProcessing | None = None, *, one_class: bool = False
) -> ImageSet:
    """The photos of one split. Only names are read yet, except of CIFAR's archive and of packed tars.

    Files without an image's suffix are left out and counted; hidden ones and what systems leave behind are not even
    counted (`photo_names.is_ignored`).

    Args:
        path: a folder that holds, or is, one of: `train` and `test` with a folder per class; `train.zip` and `test.zip`
            or tars of the same names; `cifar-10-python.tar.gz` or `cifar-10-batches-py`. Or a zip or tar with such
            folders in it, whatever it is called. Splits have other names too, see `layout.SPLITS`, in small letters or
            capitals, and may lie below folders that stand alone. Class folders without a split are "train", unless what
            holds them is itself called like a split. Photos lie in the class folder or below it, but not all below it:
            a class folder that holds only folders is refused, because it is mostly something else.
        split: "train" or "test".
        processing: its `do_convert_rgb` and `apply_exif` say how photos are read; None means the defaults.
        one_class: whether a class alone will do: to learn there must be two, to be judged need not.

    Raises:
        ValueError: there is no such split (`layout.MissingSplit`), no image, fewer than two classes, a class without
            images or with folders alone, or a photo beside the class folders.
    """
    checks.choice("split", split, tuple(SPLITS))
    images, problems = look(path, processing)(split)
    return _without_problems(images, problems if one_class else (*problems, *lone_class(images)))


def open_splits(path: str | os.PathLike[str], processing: ImageProcessing | None = None) -> dict[str, ImageSet]:
    """The photos of "train", and of "test" where there is that split."""
    opened, found = look(path, processing), {}
    for split in SPLITS:
        with suppress(MissingSplit) if split == "test" else nullcontext():
            images, problems = opened(split)
            found[split] = _without_problems(images, (*problems, *lone_class(images)))
    return found


def lone_class(images: ImageSet) -> tuple[str, ...]:
    """What is wrong with photos of one class, among which there is nothing to tell apart; empty if there are more."""
    if len(images.class_names) > 1:
        return ()
    return (f"Expected at least 2 class folders in {images.place}, got {checks.some(images.class_names)} alone.",)


def _without_problems(images: ImageSet, problems: tuple[str, ...]) -> ImageSet:
    if problems:
        more = f" ({len(problems) - 1} more of this kind: deit-ref check tells all.)" if len(problems) > 1 else ""
        raise ValueError(problems[0] + more)
    return images


def look(path: str | os.PathLike[str], processing: ImageProcessing | None = None) -> Look:
    """What is at a path, opened once for all splits.

    Returns:
        A function from a split to its photos, and what is wrong with their class folders, a sentence each. It raises a
        ValueError where there is no such split (`layout.MissingSplit`), or no image.

    Raises:
        ValueError: there is nothing that can be opened.
    """
    path = Path(path)
    processing = ImageProcessing() if processing is None else processing
    if not path.is_dir():
        return _in_file(path, processing)
    try:
        children = sorted(name for name in os.listdir(path) if not photo_names.is_ignored(name))
    except OSError as error:
        raise photo_files.unreadable(str(path), error) from error
    folders = [name for name in children if os.path.isdir(path / name)]
    parts = {name: name for name in folders if _may_be_split(path / name)}
    parts |= {name: stem(name) for name in children if name not in folders and is_packed(name)}
    named = {split: named_like(split, parts, stem=parts.__getitem__) for split in SPLITS}
    if not any(named.values()):
        return _in_folder(path, processing)
    splits = [name for names in named.values() for name in names]
    others = [name for name in folders if name not in splits]
    outside = ["/".join((name, *file)) for name in others for file in sorted(from_folder(path / name).tree.files)]
    outside += [name for name in children if name not in folders and photo_names.why_left_out(name) is None]

    def opened(split: str) -> tuple[ImageSet, tuple[str, ...]]:
        if not named[split]:
            return _in_folder(path, processing)(split)
        chosen, *unused = named[split]
        inside = path / chosen
        find = _in_source(from_folder(inside), processing) if chosen in folders else _in_file(inside, processing)
        images, problems = find(split)
        return _with_outside(replace(images, unused=(*unused, *images.unused)), sorted(outside)), problems

    return opened


def _may_be_split(folder: Path) -> bool:
    """Whether there are folders in it. What cannot be opened may be one: whoever takes it says why it cannot."""
    try:
        return any((folder / name).is_dir() for name in os.listdir(folder) if not photo_names.is_ignored(name))
    except OSError:
        return True


def _with_outside(images: ImageSet, outside: list[str]) -> ImageSet:
    """The photos, and that others lie where no split is."""
    if not outside:
        return images
    return replace(images, skipped={**images.skipped, OUTSIDE: (len(outside), outside[0])})


def _in_folder(path: Path, processing: ImageProcessing) -> Look:
    """A folder of which no part is called like a split."""
    for place in (path, path / cifar.FOLDER):
        if (place / cifar.META).is_file():
            return lambda split: (_from_cifar(place, split), ())
    if (path / cifar.ARCHIVE).is_file():
        return _in_file(path / cifar.ARCHIVE, processing)
    return _in_source(from_folder(path), processing)


def _in_file(path: Path, processing: ImageProcessing) -> Look:
    if not path.is_file():
        raise ValueError(
            f"There is no {path}: expected a folder, a .zip or .tar, or {cifar.ARCHIVE}; check its spelling."
        )
    if path.name == cifar.ARCHIVE:
        return lambda split: (_from_cifar(path, split), ())
    source = from_archive(path)
    if not source.tree.files and any(parts[-1] == cifar.META for parts, _ in source.tree.left_out):
        return lambda split: (_from_cifar(path, split), ())
    return _in_source(source, processing)


def _in_source(source: Source, processing: ImageProcessing) -> Look:
    return lambda split: _arranged(source, split, processing)


def _arranged(source: Source, split: str, processing: ImageProcessing) -> tuple[ImageSet, tuple[str, ...]]:
    found = arrange(source, split)
    depth, entries = len(found.root), [source.tree.files[parts] for parts in found.files]
    labels = {class_name: label for label, class_name in enumerate(found.class_names)}
    skipped: dict[str, tuple[int, str]] = {}
    for parts, reason in source.tree.left_out:
        if parts[:depth] == found.root:
            count, example = skipped.get(reason, (0, "/".join(parts[depth:])))
            skipped[reason] = count + 1, example

    def open_one(i: int) -> BinaryIO:
        return source.open(entries[i].key)

    rows = (("/".join(parts[depth:]), entry.size) for parts, entry in zip(found.files, entries, strict=True))
    images = ImageSet(
        labels=np.array([labels[parts[depth]] for parts in found.files], np.int64),
        class_names=found.class_names,
        names=[source.call(entry.key) for entry in entries],
        read=reader(open_one, processing),
        digest=digest_of(rows),
        open=open_one,
        place="/".join([source.shown, *found.root]),
        skipped=skipped,
        unused=found.unused,
    )
    outside = []
    if found.root and is_split(found.root[-1]):  # else all photos lie below the root
        above = found.root[:-1]
        splits = {parts for parts in source.tree.folders if parts[:-1] == above and is_split(parts[-1])}
        outside = ["/".join(parts) for parts in sorted(source.tree.files) if parts[:depth] not in splits]
    return _with_outside(images, outside), found.problems


def _from_cifar(path: Path, split: str) -> ImageSet:
    pixels, labels, class_names, names = cifar.read_cifar(path, split)
    if not len(labels):
        raise ValueError(f"{path} holds no images of the split {split!r}: get it again.")
    digest = hashlib.sha256(pixels.tobytes() + labels.tobytes()).hexdigest()
    return ImageSet(labels, class_names, names, lambda i: pixels[i].copy(), digest, place=str(path))
