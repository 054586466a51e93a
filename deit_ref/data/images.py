"""Labeled photos, read one at a time, some of them, or all of them into memory."""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO, TypeAlias

import numpy as np

from deit_ref.image_processing import ImageProcessing
from deit_ref.photos import load_image

Array: TypeAlias = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labeled photos, read one at a time.

    Attributes:
        labels: int64 (images,), positions in `class_names`.
        class_names: sorted names of the folders; for CIFAR's archive its own order.
        names: what an error message calls each image, such as "train.zip: train/cat/0001.jpg".
        read: image i as uint8 (height, width, channels), as `photos.load_image` reads it; several threads may call it.
        digest: of the photos' names, from the class folder on, and their sizes in bytes: the same for a folder and a
            zip of it. For CIFAR's archive, of pixels and labels.
        open: the file of image i, as it is stored; None where photos are not files of their own.
        place: what the class folders lie in, as messages call it.
        skipped: files that are left out: how many for each reason, such as ".txt", and one of them.
        unused: other folders of the same split, such as "val" where "test" was taken.
    """

    labels: Array
    class_names: tuple[str, ...]
    names: Sequence[str]
    read: Callable[[int], Array]
    digest: str = ""
    open: Callable[[int], BinaryIO] | None = None
    place: str = ""
    skipped: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    unused: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)


def reader(open_one: Callable[[int], BinaryIO], processing: ImageProcessing) -> Callable[[int], Array]:
    """A function that reads image i as `forward` would read its file under this processing."""

    def read(i: int) -> Array:
        with open_one(i) as file:
            return load_image(file, do_convert_rgb=processing.do_convert_rgb, apply_exif=processing.apply_exif)

    return read


def digest_of(rows: Iterable[tuple[str, int]]) -> str:
    """One hexadecimal number for names and sizes, of which any change makes another."""
    found = hashlib.sha256()
    for name, size in rows:
        found.update(f"{name}\0{size}\n".encode("utf-8", "surrogatepass"))
    return found.hexdigest()


def subset(images: ImageSet, indices: Any) -> ImageSet:
    """Some of the photos, in the given order; the classes stay.

    Raises:
        ValueError: indices is not a row of whole numbers in 0..images-1.
    """
    places = np.asarray(indices)
    whole = places.ndim == 1 and len(places) > 0 and places.dtype.kind in "iu"
    if not whole or places.min() < 0 or places.max() >= len(images):
        raise ValueError(f"Expected indices as one row of whole numbers in 0..{len(images) - 1}, got {indices!r}.")
    whole_file = images.open
    return replace(
        images,
        labels=images.labels[places],
        names=[images.names[place] for place in places],
        read=lambda i: images.read(int(places[i])),
        digest=hashlib.sha256(images.digest.encode() + places.astype("<i8").tobytes()).hexdigest(),
        open=None if whole_file is None else lambda i: whole_file(int(places[i])),
    )


def in_memory(images: ImageSet) -> Array:
    """All photos as uint8 (images, height, width, channels), decoded by a few threads.

    Raises:
        ValueError: an image cannot be read, or has another size than the first; it names the first such.
    """
    first, chunk = images.read(0), 16
    pixels = np.empty((len(images), *first.shape), np.uint8)

    def fill(start: int) -> None:
        for i in range(start, min(start + chunk, len(images))):
            image = images.read(i) if i else first
            if image.shape != first.shape:
                raise ValueError(
                    f"Expected images of one size, {first.shape[0]} x {first.shape[1]} as {images.names[0]}; "
                    f"{images.names[i]} has {image.shape[0]} x {image.shape[1]}. Resize them, or read them one by one."
                )
            pixels[i] = image

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        list(pool.map(fill, range(0, len(images), chunk)))
    return pixels
