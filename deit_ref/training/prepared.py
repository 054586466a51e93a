"""Photos resized and cropped as they are read, and kept: decoding one of a phone takes longer than learning from it."""

import dataclasses
import logging

import numpy as np

from deit_ref.data.images import ImageSet, in_memory
from deit_ref.image_processing import ImageProcessing
from deit_ref.sized import of_values, sized

logger = logging.getLogger("deit_ref")


def prepared(images: ImageSet, processing: ImageProcessing) -> tuple[ImageSet, ImageProcessing]:
    """Photos of the size that a model sees, still bytes, and the processing that is left to do: of their values."""
    return dataclasses.replace(images, read=lambda i: sized(images.read(i), processing)), of_values(processing)


def kept(images: ImageSet, *, most: int = 2**30) -> ImageSet:
    """The photos, read once and kept in memory, if that takes at most so many bytes; they must be of one size."""
    if images.read(0).nbytes * len(images) > most:
        return images
    if len(images) > 1000:
        logger.info("%d photos are read, resized and kept in memory: this is done once.", len(images))
    pixels = in_memory(images)
    return dataclasses.replace(images, read=lambda i: pixels[i])


def of_channels(images: ImageSet, channels: int) -> ImageSet:
    """The photos, each of which is refused as it is read unless it has so many channels, as a model wants them.

    A photo has another number only where it is not converted to three, see `do_convert_rgb`.
    """

    def read(i: int) -> np.ndarray:
        image = images.read(i)
        if image.shape[2] != channels:
            raise ValueError(
                f"{images.names[i]} has {image.shape[2]} channels, the weights want {channels}: convert it, or take it "
                "away."
            )
        return image

    return dataclasses.replace(images, read=read)
