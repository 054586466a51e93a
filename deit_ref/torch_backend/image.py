"""Chapter 15, mirrored: from a photo to what the model sees, the same bits, on the images' device."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from jaxtyping import Float32, UInt8

from deit_ref import checks
from deit_ref.image_processing import ImageProcessing
from deit_ref.torch_backend.pixels import resize_with_alpha
from deit_ref.torch_backend.resize import resize
from deit_ref.trace import Trace, record, scope

Array: TypeAlias = torch.Tensor
Photo: TypeAlias = UInt8[Array, "_height _width _channels"] | Float32[Array, "_height _width _channels"]


def crop_start(in_size: int, out_size: int, *, rounding: str) -> int:
    """Mirror of numpy_backend.image.crop_start."""
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
    """Mirror of numpy_backend.image.center_crop."""
    checks.image(image, fractions=True)
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
    *,
    arithmetic: str = "pillow",
) -> Float32[Array, "height width channels"]:
    """Mirror of numpy_backend.image.rescale."""
    if arithmetic == "torchvision":
        return image.float() * torch.tensor(factor, dtype=torch.float32, device=image.device)
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


def rescale_and_normalize(
    image: UInt8[Array, "height width channels"],
    factor: float,
    mean: float | Sequence[float],
    std: float | Sequence[float],
) -> Float32[Array, "height width channels"]:
    """Mirror of numpy_backend.image.rescale_and_normalize."""
    means = _channel_values("mean", mean, image.shape[-1]) * (1 / factor)
    stds = _channel_values("std", std, image.shape[-1]) * (1 / factor)
    return (image.float() - means.to(image.device)) / stds.to(image.device)


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
    images: Sequence[Photo],
    processing: ImageProcessing,
    *,
    trace: Trace | None = None,
) -> Float32[Array, "batch channels height width"]:
    """Mirror of numpy_backend.image.preprocess; all images are on one device.

    Images of one size are resized and cropped together, with the same bytes as one by one.
    """
    if len(images) == 0:
        raise ValueError("preprocess needs at least one image, got an empty list.")
    for image in images:
        checks.image(image, fractions=not processing.do_resize)
    resized = _together(_resize, images, processing) if processing.do_resize else images
    cropped = _together(_crop, resized, processing) if processing.do_center_crop else resized
    processed = []
    for i, image in enumerate(cropped):
        inner = scope(trace, f"images.{i}")
        record(inner, "image", images[i])
        if processing.do_resize:
            record(inner, "resized", resized[i])
        if processing.do_center_crop:
            record(inner, "cropped", image)
        processed.append(_to_floats(image, processing, trace=inner))
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


def _together(
    step: Callable[[Array, ImageProcessing], Array],
    images: Sequence[Photo],
    processing: ImageProcessing,
) -> list[Photo]:
    """The step on all images of one shape at once: as it treats channels apart, they become one image of many."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, image in enumerate(images):
        # Alpha belongs to the channels of one image.
        key = (*image.shape, i if processing.alpha else -1)
        groups.setdefault(key, []).append(i)
    found: dict[int, Array] = {}
    for members in groups.values():
        joined = torch.cat([images[i] for i in members], dim=2)  # (height, width, members * channels)
        parts = step(joined, processing)
        parts = parts.reshape(*parts.shape[:2], len(members), -1)  # (height, width, members, channels)
        found.update({i: parts[:, :, place] for place, i in enumerate(members)})
    return [found[i] for i in range(len(images))]


def _resize(
    image: UInt8[Array, "_height _width channels"], processing: ImageProcessing
) -> UInt8[Array, "_new_height _new_width channels"]:
    size = processing.resized_shape(image.shape[0], image.shape[1])
    options = {"resample": processing.resample, "pass_order": processing.pass_order}
    if processing.alpha:
        return resize_with_alpha(image, size, **options)
    return resize(image, size, arithmetic=processing.arithmetic, **options)


def _crop(image: Photo, processing: ImageProcessing) -> Photo:
    size = (processing.crop_size["height"], processing.crop_size["width"])
    return center_crop(image, size, rounding=processing.crop_rule)


def _to_floats(
    image: Photo, processing: ImageProcessing, *, trace: Trace | None
) -> Float32[Array, "_height _width _channels"]:
    factor, arithmetic = processing.rescale_factor, processing.arithmetic
    mean, std = processing.image_mean, processing.image_std
    if processing.do_rescale and processing.do_normalize and arithmetic == "torchvision":
        return record(trace, "normalized", rescale_and_normalize(image, factor, mean, std))
    if processing.do_rescale:
        pixels = record(trace, "rescaled", rescale(image, factor, arithmetic=arithmetic))
    else:
        pixels = image.float()
    if processing.do_normalize:
        pixels = record(trace, "normalized", normalize(pixels, mean, std))
    return pixels
