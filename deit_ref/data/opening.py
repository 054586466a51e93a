"""From a path to the photos of a split: what is given is judged by its layout, and nothing is guessed beyond that."""

import hashlib
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from deit_ref import checks, photo_names
from deit_ref.data import cifar, tars
from deit_ref.data.images import ImageSet, digest_of, reader
from deit_ref.data.layout import SPLITS, MissingSplit, arrange, is_split, named_like
from deit_ref.data.sources import Source, from_folder
from deit_ref.data.zips import from_zip
from deit_ref.image_processing import ImageProcessing

ARCHIVES = (".zip", *tars.SUFFIXES)


def open_images(path: str | os.PathLike[str], split: str, processing: ImageProcessing | None = None) -> ImageSet:
    """The photos of one split. Only names are read yet, except of CIFAR's archive and of packed tars.

    Files without an image's suffix are left out and counted; hidden ones and what systems leave behind are not even
    counted (`photo_names.is_ignored`).

    Args:
        path: a folder that holds, or is, one of: `train` and `test` with a folder per class; `train.zip` and `test.zip`
            or tars of the same names; `cifar-10-python.tar.gz` or `cifar-10-batches-py`. Or a zip or tar with such
            folders in it. Splits have other names too, see `layout.SPLITS`, in small letters or capitals, and may lie
            below folders that stand alone. Class folders without a split are "train", unless what holds them is itself
            called like a split. Photos lie in the class folder or below it, but not all below it: a class folder that
            holds only folders is refused, because it is mostly something else.
        split: "train" or "test".
        processing: its `do_convert_rgb` and `apply_exif` say how photos are read; None means the defaults.

    Raises:
        ValueError: there is no such split (`layout.MissingSplit`), no image, fewer than two classes, a class without
            images or with folders alone, or a photo beside the class folders.
    """
    images, problems = look(path, split, processing)
    if problems:
        more = f" ({len(problems) - 1} more of this kind: deit-ref check tells all.)" if len(problems) > 1 else ""
        raise ValueError(problems[0] + more)
    return images


def open_splits(path: str | os.PathLike[str], processing: ImageProcessing | None = None) -> dict[str, ImageSet]:
    """The photos of "train", and of "test" where there is that split."""
    found = {"train": open_images(path, "train", processing)}
    with suppress(MissingSplit):
        found["test"] = open_images(path, "test", processing)
    return found


def look(
    path: str | os.PathLike[str], split: str, processing: ImageProcessing | None = None
) -> tuple[ImageSet, tuple[str, ...]]:
    """As `open_images`, but what is wrong with the class folders is returned beside the photos, a sentence each.

    Raises:
        ValueError: there is no such split, or no image.
    """
    checks.choice("split", split, tuple(SPLITS))
    path = Path(path)
    processing = ImageProcessing() if processing is None else processing
    if not path.is_dir():
        return _from_file(path, split, processing, ())
    children = [child.name for child in path.iterdir() if not photo_names.is_ignored(child.name)]
    folders = [name for name in children if (path / name).is_dir()]
    holders = [name for name in folders if any(child.is_dir() for child in (path / name).iterdir())]
    packed = {name[: -len(suffix)]: name for suffix in ARCHIVES for name in children if name.lower().endswith(suffix)}
    if chosen := named_like(split, {*holders, *packed}):
        unused = tuple(chosen[1:])
        if chosen[0] in holders:
            images, problems = _arranged(from_folder(path / chosen[0]), split, processing, unused)
        else:
            images, problems = _from_file(path / packed[chosen[0]], split, processing, unused)
        splits = {*holders, *packed} & {name for part in SPLITS for name in named_like(part, {*holders, *packed})}
        others = [name for name in folders if name not in splits]
        outside = ["/".join((name, *file)) for name in others for file in sorted(from_folder(path / name).tree.files)]
        outside += [name for name in children if name not in folders and photo_names.why_left_out(name) is None]
        return _with_outside(images, sorted(outside)), problems
    for place in (path, path / cifar.FOLDER):
        if (place / cifar.META).is_file():
            return _from_cifar(place, split), ()
    if (path / cifar.ARCHIVE).is_file():
        return _from_cifar(path / cifar.ARCHIVE, split), ()
    return _arranged(from_folder(path), split, processing, ())


def _with_outside(images: ImageSet, outside: list[str]) -> ImageSet:
    """The photos, and that others lie where no split is."""
    if not outside:
        return images
    return replace(images, skipped={**images.skipped, "photos outside the splits": (len(outside), outside[0])})


def _from_file(
    path: Path, split: str, processing: ImageProcessing, unused: tuple[str, ...]
) -> tuple[ImageSet, tuple[str, ...]]:
    if not path.is_file():
        raise ValueError(
            f"There is no {path}: expected a folder, a .zip or .tar, or {cifar.ARCHIVE}; check its spelling."
        )
    if path.name == cifar.ARCHIVE:
        return _from_cifar(path, split), ()
    if not path.name.lower().endswith(ARCHIVES):
        raise ValueError(
            f"{path} is neither a folder nor an archive ({', '.join(ARCHIVES)}): expected photos in class folders."
        )
    source = from_zip(path) if path.suffix.lower() == ".zip" else tars.from_tar(path)
    if not source.tree.files and any(parts[-1] == cifar.META for parts, _ in source.tree.left_out):
        return _from_cifar(path, split), ()
    return _arranged(source, split, processing, unused)


def _arranged(
    source: Source, split: str, processing: ImageProcessing, unused: tuple[str, ...]
) -> tuple[ImageSet, tuple[str, ...]]:
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
        unused=unused or found.unused,
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
