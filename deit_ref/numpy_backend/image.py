"""Chapter 3: from a photo to what the model sees.

Input -> output: photos (height, width, channels) as bytes, of any sizes -> pixel_values (batch, channels, height,
width) in float32, by resize, center crop, rescale and normalize, in this order.

Up to the crop a photo is bytes, (height, width, channels); from `rescale` on it is
float32; `preprocess` turns the axes to (channels, height, width) and stacks the batch.
Each step can be switched off, see `ImageProcessing`.

Source: transformers' DeiTImageProcessorPil, whose numbers these are, bit for bit.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float32, UInt8

from deit_ref import checks
from deit_ref.config import ImageProcessing
from deit_ref.numpy_backend.resize import resize
from deit_ref.trace import Trace, record, scope

Array: TypeAlias = np.ndarray[Any, Any]


def crop_start(in_size: int, out_size: int, *, rounding: str) -> int:
    r"""Where the middle `out_size` of `in_size` pixels begin: at $(\text{in} - \text{out}) / 2$, rounded.

    Below 0, that many zeros stand before the image.
    The rounding matters when the difference d = |in_size - out_size| is odd:

    - "floor": down, so a crop starts at floor(d/2), and padding takes ceil(d/2) pixels
      before the image. Source: transformers' center_crop on arrays.
    - "round": a crop starts at d/2 with halves to the even number, and padding takes
      floor(d/2) pixels before. Source: torchvision's center_crop.
    """
    checks.choice("rounding", rounding, ("floor", "round"))
    if rounding == "floor":
        return (in_size - out_size) // 2
    if in_size < out_size:
        return -((out_size - in_size) // 2)
    return round((in_size - out_size) / 2)


def center_crop(
    image: UInt8[Array, "height width channels"],
    size: tuple[int, int],
    *,
    rounding: str = "floor",
) -> UInt8[Array, "new_height new_width channels"]:
    r"""Cut out the middle; where the image is too small, zeros stand around it.

    $$\text{out}[y, x] = \text{image}[\text{top} + y, \; \text{left} + x], \quad \text{or 0 outside the image}$$

    The zeros are bytes: `normalize` turns them into -mean / std, as any black pixel.

    Args:
        image: values in 0..255.
        size: (height, width) in pixels.
        rounding: "floor" or "round", see `crop_start`.
    """
    checks.image(image)
    height, width = checks.pair("size", size)
    top = crop_start(image.shape[0], height, rounding=rounding)
    left = crop_start(image.shape[1], width, rounding=rounding)
    inside = image[max(top, 0) : top + height, max(left, 0) : left + width]
    out = np.zeros((height, width, image.shape[2]), np.uint8)
    row, column = max(-top, 0), max(-left, 0)
    out[row : row + inside.shape[0], column : column + inside.shape[1]] = inside
    return out


def rescale(
    image: UInt8[Array, "height width channels"],
    factor: float,
) -> Float32[Array, "height width channels"]:
    r"""$\text{image} \cdot \text{factor}$; 1/255 takes 0..255 to 0..1.

    The product is taken in float64 and rounded once: multiplying in float32, by a
    rounded factor, gives other last bits.
    """
    return (image.astype(np.float64) * factor).astype(np.float32)


def normalize(
    image: Float32[Array, "height width channels"],
    mean: float | Sequence[float],
    std: float | Sequence[float],
) -> Float32[Array, "height width channels"]:
    r"""$(\text{image} - \mu) / \sigma$ in float32, per channel.

    Args:
        image: what `rescale` returned.
        mean, std: a number for all channels, or one per channel; in units of `image`.

    Raises:
        ValueError: mean or std has not one value per channel.
    """
    means = _channel_values("mean", mean, image.shape[-1])
    stds = _channel_values("std", std, image.shape[-1])
    return (image - means) / stds


def _channel_values(
    name: str,
    values: float | Sequence[float],
    channels: int,
) -> Float32[Array, "..."]:
    array = np.asarray(values, np.float32)
    if array.shape not in ((), (channels,)):
        raise ValueError(
            f"{name} must be a number, or one number for each of the image's {channels} "
            f"channels; got {values!r}. Give as many values as the images have channels."
        )
    return array


def preprocess(
    images: Sequence[UInt8[Array, "_height _width _channels"]],
    processing: ImageProcessing,
    *,
    trace: Trace | None = None,
) -> Float32[Array, "batch channels height width"]:
    """Photos of any sizes to one batch, by the steps that `processing` switches on.

    Args:
        images: at least one; values in 0..255.
        processing: which steps, with which parameters.
        trace: gets images.<i>.image, .resized, .cropped, .rescaled, .normalized of the
            steps that run, and pixel_values.

    Returns:
        pixel_values. Without rescale and normalize: 0..255, as float32 all the same.

    Raises:
        ValueError: no images; one is not bytes of three axes; sizes that still differ;
            mean or std does not fit the channels.
    """
    if len(images) == 0:
        raise ValueError("preprocess needs at least one image, got an empty list.")
    processed = []
    for i, image in enumerate(images):
        inner = scope(trace, f"images.{i}")
        processed.append(_preprocess_one(image, processing, trace=inner))
    shapes = sorted({image.shape for image in processed})
    if len(shapes) > 1:
        raise ValueError(
            "The images of a batch must have one shape after processing, got (height, "
            f"width, channels) {checks.some(map(str, shapes))}: give `size` a height "
            "and a width, or switch do_center_crop on, or call once per image."
        )
    batch = np.stack(processed)  # (batch, height, width, channels)
    batch = np.ascontiguousarray(np.moveaxis(batch, -1, 1))
    return record(trace, "pixel_values", batch)


def _preprocess_one(
    image: UInt8[Array, "_height _width channels"],
    processing: ImageProcessing,
    *,
    trace: Trace | None,
) -> Float32[Array, "_new_height _new_width channels"]:
    checks.image(image)
    record(trace, "image", image)
    if processing.do_resize:
        size = processing.resized_shape(image.shape[0], image.shape[1])
        order = processing.pass_order
        image = resize(image, size, resample=processing.resample, pass_order=order)
        record(trace, "resized", image)
    if processing.do_center_crop:
        size = (processing.crop_size["height"], processing.crop_size["width"])
        image = center_crop(image, size, rounding=processing.crop_rounding)
        record(trace, "cropped", image)
    if processing.do_rescale:
        pixels = record(trace, "rescaled", rescale(image, processing.rescale_factor))
    else:
        pixels = image.astype(np.float32)
    if processing.do_normalize:
        pixels = normalize(pixels, processing.image_mean, processing.image_std)
        record(trace, "normalized", pixels)
    return pixels
