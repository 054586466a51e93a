"""Labelled photos: class folders, zips of class folders, and CIFAR-10's own archive.

What is given is judged by its layout: a folder or zip with a part for each split, or class folders themselves. Nothing
is guessed beyond that, and what cannot be read is named, down to the entry of an archive.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from deit_ref import checks
from deit_ref.training import cifar
from deit_ref.training.folders import SPLITS, read_folder, read_zip

Array: TypeAlias = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled photos, read one at a time.

    Attributes:
        labels: int64 (images,), positions in `class_names`.
        class_names: sorted names of the folders; for CIFAR's archive its own order.
        names: what an error message calls each image, such as "train.zip: train/cat/0001.jpg".
        read: image i as uint8 (height, width, 3); safe to call from several threads.
    """

    labels: Array
    class_names: tuple[str, ...]
    names: Sequence[str]
    read: Callable[[int], Array]

    def __len__(self) -> int:
        return len(self.labels)


def open_images(path: str | os.PathLike[str], split: str) -> ImageSet:
    """The photos of one split. Only names are read yet, except of CIFAR's archive.

    Files without an image's suffix, hidden ones and `__MACOSX` are left out. EXIF orientation is not applied, alpha is
    laid on white: `photos.load_image` with its defaults.

    Args:
        path: a folder that holds, or is, one of: `train` and `test` (or `val`, `validation`) with a folder per class,
            files at any depth; `train.zip` and `test.zip`; `cifar-10-python.tar.gz` or `cifar-10-batches-py`. Or a zip,
            with the same folders in it, also below others that stand alone. Class folders without a split are "train",
            unless the folder or zip itself is called test, val or validation.
        split: "train" or "test".

    Raises:
        ValueError: there is no such split, no image, fewer than two classes, or a class without images.
    """
    checks.choice("split", split, tuple(SPLITS))
    path = Path(path)
    if path.is_file():
        if path.name.lower().endswith((".tar.gz", ".tgz")):
            return _from_cifar(path, split)
        if path.suffix.lower() == ".zip":
            return ImageSet(*read_zip(path, split))
        raise ValueError(f"{path} is neither a folder, a .zip nor {cifar.ARCHIVE}: expected photos in class folders.")
    if not path.is_dir():
        raise ValueError(f"There is no {path}: expected a folder, a .zip or {cifar.ARCHIVE}; check its spelling.")
    for name in SPLITS[split]:
        if (path / name).is_dir() and any(child.is_dir() for child in (path / name).iterdir()):
            return ImageSet(*read_folder(path / name, split))
        if (path / f"{name}.zip").is_file():
            return ImageSet(*read_zip(path / f"{name}.zip", split))
    for place in (path, path / cifar.FOLDER):
        if (place / cifar.META).is_file():
            return _from_cifar(place, split)
    if (path / cifar.ARCHIVE).is_file():
        return _from_cifar(path / cifar.ARCHIVE, split)
    return ImageSet(*read_folder(path, split))


def check_same_classes(train: ImageSet, test: ImageSet) -> None:
    """Labels mean the same in both.

    Raises:
        ValueError: they do not; it says which names differ.
    """
    if train.class_names == test.class_names:
        return
    only = [sorted({*a.class_names} - {*b.class_names}) for a, b in ((train, test), (test, train))]
    parts = [f"only in {part}: {', '.join(names)}" for part, names in zip(SPLITS, only, strict=True) if names]
    raise ValueError(
        f"Expected the same classes in train and test; {'; '.join(parts) or 'their order differs'}. Rename or remove "
        "what differs."
    )


def subset(images: ImageSet, indices: Any) -> ImageSet:
    """Some of the photos, in the given order; the classes stay.

    Raises:
        ValueError: indices is not a row of whole numbers in 0..images-1.
    """
    places = np.asarray(indices)
    whole = places.ndim == 1 and len(places) > 0 and places.dtype.kind in "iu"
    if not whole or places.min() < 0 or places.max() >= len(images):
        raise ValueError(f"Expected indices as one row of whole numbers in 0..{len(images) - 1}, got {indices!r}.")
    names = [images.names[place] for place in places]
    return ImageSet(images.labels[places], images.class_names, names, lambda i: images.read(int(places[i])))


def fits_in_memory(images: ImageSet, *, most: int = 2**30) -> bool:
    """Whether all have one size and take at most so many bytes, judged from some photos spread over the set."""
    places = np.unique(np.linspace(0, len(images) - 1, 16).astype(int))
    first = images.read(0)
    # From the size alone most sets are refused; only small ones read more photos.
    return first.nbytes * len(images) <= most and all(images.read(int(i)).shape == first.shape for i in places)


def in_memory(images: ImageSet, *, progress: Callable[[int], object] | None = None) -> Array:
    """All photos as uint8 (images, height, width, 3), decoded by a few threads.

    Args:
        images: of one size.
        progress: called with the number of photos that have been added.

    Raises:
        ValueError: an image cannot be read, or has another size than the first; it names the first such.
    """
    first, chunk = images.read(0), 256
    pixels = np.empty((len(images), *first.shape), np.uint8)

    def fill(start: int) -> int:
        stop = min(start + chunk, len(images))
        for i in range(start, stop):
            image = images.read(i)
            if image.shape != first.shape:
                raise ValueError(
                    f"Expected images of one size, {first.shape[0]} x {first.shape[1]} as {images.names[0]}; "
                    f"{images.names[i]} has {image.shape[0]} x {image.shape[1]}. Resize them, or read them one by one."
                )
            pixels[i] = image
        return stop - start

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for count in pool.map(fill, range(0, len(images), chunk)):
            if progress is not None:
                progress(count)
    return pixels


def _from_cifar(path: Path, split: str) -> ImageSet:
    pixels, labels, class_names, names = cifar.read_cifar(path, split)
    if not len(labels):
        raise ValueError(f"{path} holds no images of the split {split!r}: get it again.")
    return ImageSet(labels, class_names, names, lambda i: pixels[i].copy())
