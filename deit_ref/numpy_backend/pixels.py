r"""Chapter 16, continued: pixels with alpha, and pixels of more than 8 bits.

Input -> output: an image (height, width, channels) -> the same of another size.

Alpha says how much of a pixel is there. A mean of colors must count a pixel as far as it
is there, or the hidden color of see-through pixels bleeds into the others. So colors are
multiplied by alpha, resampled with it, and divided by the new alpha:

$$\text{color} = \frac{\sum_i w_i a_i \, \text{color}_i}{\sum_i w_i a_i}, \qquad \text{alpha} = \sum_i w_i a_i$$

Deeper pixels take the weights as they are, because no product with them is exact any
more. What decides the last bit is then the order of the sum, from left to right.

Source: Pillow, Image.resize (what is multiplied, and when), src/libImaging/Convert.c (the
integers of alpha) and Resample.c (deeper pixels).
"""

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64, UInt8, UInt16

from deit_ref import checks
from deit_ref.image_processing import supported_resample
from deit_ref.numpy_backend.resize import (
    nearest_pixels,
    resample_coefficients,
    resize,
    vertical_first,
)

Array: TypeAlias = np.ndarray[Any, Any]


def premultiply(
    image: UInt8[Array, "height width channels"],
) -> UInt8[Array, "height width channels"]:
    r"""$\text{color} \cdot \text{alpha} / 255$, rounded; alpha, the last channel, stays.

    $$\lfloor c a / 255 + \tfrac12 \rfloor = \lfloor (t + \lfloor t / 256 \rfloor) / 256 \rfloor, \quad t = c a + 128$$

    Example:
        >>> premultiply(np.array([[[200, 128]]], np.uint8)).tolist()
        [[[100, 128]]]
    """
    color, alpha = image[..., :-1].astype(np.int64), image[..., -1:]
    product = color * alpha + 128
    color = ((product >> 8) + product) >> 8
    return np.concatenate([color.astype(np.uint8), alpha], axis=-1)


def unpremultiply(
    image: UInt8[Array, "height width channels"],
) -> UInt8[Array, "height width channels"]:
    r"""$\min(\lfloor 255 \, \text{color} / \text{alpha} \rfloor, 255)$; as it is where alpha is 0 or 255.

    Example:
        >>> unpremultiply(np.array([[[100, 128]]], np.uint8)).tolist()
        [[[199, 128]]]
    """
    color, alpha = image[..., :-1].astype(np.int64), image[..., -1:]
    divided = np.minimum(255 * color // np.maximum(alpha, 1), 255)
    color = np.where((alpha == 0) | (alpha == 255), color, divided)
    return np.concatenate([color.astype(np.uint8), alpha], axis=-1)


def resize_with_alpha(
    image: UInt8[Array, "height width channels"],
    size: tuple[int, int],
    *,
    resample: str = "bicubic",
    pass_order: str = "pillow-13",
) -> UInt8[Array, "new_height new_width channels"]:
    """A resized copy, byte for byte as from Pillow's Image.resize in modes LA and RGBA.

    Args:
        image: values in 0..255, two or more channels; the last one is alpha.
        size, resample, pass_order: as in `resize`.

    Raises:
        ValueError: as `resize`; or there is one channel only.
    """
    checks.image(image)
    if image.shape[2] < 2:
        raise ValueError("An image with alpha must have two channels or more, got 1.")
    options = {"resample": resample, "pass_order": pass_order}
    # What is only copied loses nothing: neither multiplied nor divided.
    if resample == "nearest" or image.shape[:2] == checks.pair("size", size):
        return resize(image, size, **options)
    return unpremultiply(resize(premultiply(image), size, **options))


def round_to(
    sums: Float64[Array, "..."], *, dtype: str
) -> Float32[Array, "..."] | Int32[Array, "..."] | UInt16[Array, "..."]:
    r"""Sums as pixels of `dtype`: float32 as near as it gets, int32 and uint16 with halves away from 0.

    Integers are cut to their range; in int32 Pillow's result is undefined outside.
    """
    if dtype == "float32":
        return sums.astype(np.float32)
    limits = np.iinfo(dtype)
    whole = np.trunc(sums + np.copysign(0.5, sums))
    return np.clip(whole, limits.min, limits.max).astype(dtype)


def resample_deep_lines(
    planes: Float32[Array, "channels lines in_size"]
    | Int32[Array, "channels lines in_size"]
    | UInt16[Array, "channels lines in_size"],
    out_size: int,
    *,
    resample: str,
) -> (
    Float32[Array, "channels lines new_size"]
    | Int32[Array, "channels lines new_size"]
    | UInt16[Array, "channels lines new_size"]
):
    r"""One pass, $\text{out}_i = \sum_j W_{ij} \, \text{planes}_j$ by the weights of `resample`, left to right."""
    if planes.shape[-1] == out_size:
        return planes
    first, weights = resample_coefficients(planes.shape[-1], out_size, resample=resample)
    sums = np.zeros((*planes.shape[:-1], out_size))
    for tap in range(weights.shape[1]):
        sums += weights[:, tap] * planes[..., first + tap]  # (channels, lines, new_size)
    return round_to(sums, dtype=planes.dtype.name)


def resize_deep(
    image: Float32[Array, "height width channels"]
    | Int32[Array, "height width channels"]
    | UInt16[Array, "height width channels"],
    size: tuple[int, int],
    *,
    resample: str = "bicubic",
    pass_order: str = "pillow-13",
) -> (
    Float32[Array, "new_height new_width channels"]
    | Int32[Array, "new_height new_width channels"]
    | UInt16[Array, "new_height new_width channels"]
):
    """A resized copy, bit for bit as from Pillow in modes F (float32), I (int32) and I;16 (uint16).

    Args:
        image: finite values; F and I keep what lies beyond the old values, I;16 is cut
            to 0..65535, as since Pillow 12.3.
        size, resample, pass_order: as in `resize`; channels are treated alike and apart.

    Raises:
        ValueError: another dtype, not three axes, no pixels, not finite, an unknown name.
    """
    checks.deep_image(image)
    height, width = checks.pair("size", size)
    shape = image.shape[0], image.shape[1]
    downward = vertical_first(shape, (height, width), pass_order=pass_order)
    if supported_resample(resample, "pillow") == "nearest":
        rows, columns = (
            _nearest_deep(old, new, dtype=image.dtype.name) for old, new in zip(shape, (height, width), strict=True)
        )
        return image[rows[:, None], columns]  # (new_height, new_width, channels)
    planes = np.moveaxis(image, -1, 0).copy()  # (channels, height, width)
    for axis in (1, 2) if downward else (2, 1):
        lines = planes.swapaxes(axis, 2)  # (channels, lines, height or width)
        lines = resample_deep_lines(lines, (height, width)[axis - 1], resample=resample)
        planes = lines.swapaxes(axis, 2)
    return np.ascontiguousarray(np.moveaxis(planes, 0, -1))


def _nearest_deep(in_size: int, out_size: int, *, dtype: str) -> Int64[Array, "new_size"]:
    if dtype == "uint16":
        # Pillow takes another path here, which multiplies instead of adding up.
        return ((np.arange(out_size) + 0.5) * (in_size / out_size)).astype(np.int64)
    return nearest_pixels(in_size, out_size)
