"""Chapter 3, mirrored: from a photo to what the model sees, the same bits, on the images' device."""

from collections.abc import Sequence
from typing import TypeAlias

import torch
from jaxtyping import Float32, UInt8

from deit_ref import checks
from deit_ref.config import ImageProcessing
from deit_ref.torch_backend.resize import resize
from deit_ref.trace import Trace, record, scope

Array: TypeAlias = torch.Tensor


def crop_start(in_size: int, out_size: int, *, rounding: str) -> int:
    """Mirror of numpy_backend.image.crop_start."""
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
    """Mirror of numpy_backend.image.center_crop."""
    checks.image(image)
    height, width = checks.pair("size", size)
    top = crop_start(image.shape[0], height, rounding=rounding)
    left = crop_start(image.shape[1], width, rounding=rounding)
    inside = image[max(top, 0) : top + height, max(left, 0) : left + width]
    out = image.new_zeros(height, width, image.shape[2])
    row, column = max(-top, 0), max(-left, 0)
    out[row : row + inside.shape[0], column : column + inside.shape[1]] = inside
    return out


def rescale(
    image: UInt8[Array, "height width channels"],
    factor: float,
) -> Float32[Array, "height width channels"]:
    """Mirror of numpy_backend.image.rescale."""
    return (image.double() * factor).float()


def normalize(
    image: Float32[Array, "height width channels"],
    mean: float | Sequence[float],
    std: float | Sequence[float],
) -> Float32[Array, "height width channels"]:
    """Mirror of numpy_backend.image.normalize.

    mean and std become tensors on the image's device: by a number that lives on the
    CPU, torch on a GPU multiplies with the reciprocal, which gives other last bits.
    """
    channels = image.shape[-1]
    means = _channel_values("mean", mean, channels).to(image.device)
    stds = _channel_values("std", std, channels).to(image.device)
    return (image - means) / stds


def _channel_values(
    name: str,
    values: float | Sequence[float],
    channels: int,
) -> Float32[Array, "..."]:
    tensor = torch.tensor(values, dtype=torch.float32)
    if tuple(tensor.shape) not in ((), (channels,)):
        raise ValueError(
            f"{name} must be a number, or one number for each of the image's {channels} "
            f"channels; got {values!r}. Give as many values as the images have channels."
        )
    return tensor


def preprocess(
    images: Sequence[UInt8[Array, "_height _width _channels"]],
    processing: ImageProcessing,
    *,
    trace: Trace | None = None,
) -> Float32[Array, "batch channels height width"]:
    """Mirror of numpy_backend.image.preprocess; all images are on one device."""
    if len(images) == 0:
        raise ValueError("preprocess needs at least one image, got an empty list.")
    processed = []
    for i, image in enumerate(images):
        inner = scope(trace, f"images.{i}")
        processed.append(_preprocess_one(image, processing, trace=inner))
    shapes = sorted({tuple(image.shape) for image in processed})
    if len(shapes) > 1:
        raise ValueError(
            "The images of a batch must have one shape after processing, got (height, "
            f"width, channels) {checks.some(map(str, shapes))}: give `size` a height "
            "and a width, or switch do_center_crop on, or call once per image."
        )
    batch = torch.stack(processed)  # (batch, height, width, channels)
    batch = batch.permute(0, 3, 1, 2).contiguous()  # (batch, channels, height, width)
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
        pixels = image.float()
    if processing.do_normalize:
        pixels = normalize(pixels, processing.image_mean, processing.image_std)
        record(trace, "normalized", pixels)
    return pixels
