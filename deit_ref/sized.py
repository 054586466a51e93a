"""Photos at the size that a model sees, while they are still bytes: what can be done ahead of the model, and kept."""

from dataclasses import replace
from typing import Any

import numpy as np

from deit_ref.api import preprocess
from deit_ref.image_processing import ImageProcessing


def sized(image: np.ndarray[Any, Any], processing: ImageProcessing) -> np.ndarray[Any, Any]:
    """A photo after the resizing and the cropping of `processing`: bytes (height, width, channels), as it was.

    `preprocess` with `of_values(processing)` makes of it what `preprocess` makes of the photo with `processing` as it
    is, bit for bit.

    Raises:
        ValueError: a photo that cannot be resized so.
    """
    sizes = replace(processing, do_rescale=False, do_normalize=False, input_data_format="channels_last")
    return np.asarray(preprocess([image], sizes, data_format="channels_last")[0]).astype(np.uint8)


def of_values(processing: ImageProcessing) -> ImageProcessing:
    """What is left to do with a photo that is `sized`: its values."""
    # The axes are known: a photo of three pixels' height need not say which is which.
    return replace(processing, do_resize=False, do_center_crop=False, input_data_format="channels_last")
