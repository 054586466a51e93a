"""Chapter 15: from a photo to what the model sees.

Input -> output: photos (height, width, channels) as bytes, of any sizes -> pixel_values (batch, channels, height,
width) in float32, by resize, center crop, rescale and normalize, in this order.

Up to the crop a photo is bytes, (height, width, channels); from `rescale` on it is
float32; `preprocess` turns the axes to (channels, height, width) and stacks the batch.
Each step can be switched off, see `ImageProcessing`.

Source: transformers' DeiTImageProcessorPil, bit for bit, and its fast twin ("torchvision").
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float32, UInt8

from deit_ref import checks
from deit_ref.image_processing import ImageProcessing
from deit_ref.numpy_backend.pixels import resize_with_alpha
from deit_ref.numpy_backend.resize import resize
from deit_ref.trace import Trace, record, scope

Array: TypeAlias = np.ndarray[Any, Any]
Photo: TypeAlias = UInt8[Array, "_height _width _channels"] | Float32[Array, "_height _width _channels"]


def crop_start(in_size: int, out_size: int, *, rounding: str) -> int:
    r"""Where the middle `out_size` of `in_size` pixels begin: at $(\text{in} - \text{out}) / 2$, rounded.

    Below 0, that many zeros stand before the image. When d = |in_size - out_size| is odd,
    the rounding decides where a crop starts, and how many zeros stand before an image:

    - "floor": floor(d/2), ceil(d/2). Source: transformers' center_crop on arrays.
    - "truncate": floor(d/2) both times. Source: transformers' fast processor.
    - "round": d/2 with halves to the even number, floor(d/2). Source: torchvision.
    """
    checks.choice("rounding", rounding, ("floor", "truncate", "round"))
    if rounding == "floor":
        return (in_size - out_size) // 2
    if rounding == "truncate" or in_size < out_size:
        return int((in_size - out_size) / 2)
    return round((in_size - out_size) / 2)


def center_crop(
    image: UInt8[Array, "height width channels"] | Float32[Array, "height width channels"],
    size: tuple[int, int],
    *,
    rounding: str = "floor",
) -> UInt8[Array, "new_height new_width channels"] | Float32[Array, "new_height new_width channels"]:
    r"""Cut out the middle; where the image is too small, zeros stand around it.

    $$\text{out}[i, j] = \text{image}[\text{top} + i, \; \text{left} + j], \qquad \text{or 0 outside the image}$$

    The zeros are bytes: `normalize` turns them into -mean / std, as any black pixel.

    Args:
        image: values in 0..255, or fractions in 0..1.
        size: (height, width) in pixels.
        rounding: "floor", "truncate" or "round", see `crop_start`.
    """
    checks.image(image, fractions=True)
    height, width = checks.pair("size", size)
    top = crop_start(image.shape[0], height, rounding=rounding)
    left = crop_start(image.shape[1], width, rounding=rounding)
    inside = image[max(top, 0) : top + height, max(left, 0) : left + width]
    out = np.zeros((height, width, image.shape[2]), image.dtype)
    row, column = max(-top, 0), max(-left, 0)
    out[row : row + inside.shape[0], column : column + inside.shape[1]] = inside
    return out


def rescale(
    image: UInt8[Array, "height width channels"], factor: float, *, arithmetic: str = "pillow"
) -> Float32[Array, "height width channels"]:
    r"""$\text{image} \cdot \text{factor}$; 1/255 takes 0..255 to 0..1.

    arithmetic "pillow" takes the product in float64 and rounds once; "torchvision" rounds the factor to float32 first.
    """
    if arithmetic == "torchvision":
        return image.astype(np.float32) * np.float32(factor)
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


def rescale_and_normalize(
    image: UInt8[Array, "height width channels"],
    factor: float,
    mean: float | Sequence[float],
    std: float | Sequence[float],
) -> Float32[Array, "height width channels"]:
    r"""In one step, as torchvision's processor: $(\text{image} - \mu / \text{factor}) / (\sigma / \text{factor})$."""
    inverse = np.float32(1 / factor)
    means = _channel_values("mean", mean, image.shape[-1]) * inverse
    stds = _channel_values("std", std, image.shape[-1]) * inverse
    return (image.astype(np.float32) - means) / stds


def _channel_values(name: str, values: float | Sequence[float], channels: int) -> Float32[Array, "..."]:
    array = np.asarray(values, np.float32)
    if array.shape not in ((), (channels,)):
        raise ValueError(
            f"{name} must be a number, or one number for each of the image's {channels} "
            f"channels; got {values!r}. Give as many values as the images have channels."
        )
    return array


def preprocess(
    images: Sequence[Photo],
    processing: ImageProcessing,
    *,
    trace: Trace | None = None,
) -> Float32[Array, "batch channels height width"]:
    """Photos of any sizes to one batch, by the steps that `processing` switches on.

    Args:
        images: at least one; values in 0..255, or, where nothing is resized, fractions in 0..1.
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
        checks.image(image, fractions=not processing.do_resize)
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
    image: Photo,
    processing: ImageProcessing,
    *,
    trace: Trace | None,
) -> Float32[Array, "_new_height _new_width channels"]:
    record(trace, "image", image)
    if processing.do_resize:
        size = processing.resized_shape(image.shape[0], image.shape[1])
        options = {"resample": processing.resample, "pass_order": processing.pass_order}
        if processing.alpha:
            image = resize_with_alpha(image, size, **options)
        else:
            image = resize(image, size, arithmetic=processing.arithmetic, **options)
        record(trace, "resized", image)
    if processing.do_center_crop:
        size = (processing.crop_size["height"], processing.crop_size["width"])
        image = center_crop(image, size, rounding=processing.crop_rule)
        record(trace, "cropped", image)
    factor, arithmetic = processing.rescale_factor, processing.arithmetic
    mean, std = processing.image_mean, processing.image_std
    if processing.do_rescale and processing.do_normalize and arithmetic == "torchvision":
        return record(trace, "normalized", rescale_and_normalize(image, factor, mean, std))
    if processing.do_rescale:
        pixels = rescale(image, factor, arithmetic=arithmetic)
        record(trace, "rescaled", pixels)
    else:
        pixels = image.astype(np.float32)
    if processing.do_normalize:
        pixels = record(trace, "normalized", normalize(pixels, mean, std))
    return pixels
