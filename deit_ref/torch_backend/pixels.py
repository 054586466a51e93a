"""Chapter 16, continued, mirrored: pixels with alpha, and pixels of more than 8 bits."""

from typing import TypeAlias

import torch
from jaxtyping import Float32, Float64, Int32, Int64, UInt8, UInt16

from deit_ref import checks
from deit_ref.image_processing import supported_resample
from deit_ref.torch_backend.resize import nearest_pixels, resample_coefficients, resize, vertical_first

Array: TypeAlias = torch.Tensor


def premultiply(
    image: UInt8[Array, "height width channels"],
) -> UInt8[Array, "height width channels"]:
    """Mirror of numpy_backend.pixels.premultiply."""
    color, alpha = image[..., :-1].int(), image[..., -1:]
    product = color * alpha.int() + 128
    color = ((product >> 8) + product) >> 8
    return torch.cat([color.to(torch.uint8), alpha], dim=-1)


def unpremultiply(
    image: UInt8[Array, "height width channels"],
) -> UInt8[Array, "height width channels"]:
    """Mirror of numpy_backend.pixels.unpremultiply."""
    color, alpha = image[..., :-1].int(), image[..., -1:].int()
    divided = (255 * color // alpha.clamp(min=1)).clamp(max=255)
    color = torch.where((alpha == 0) | (alpha == 255), color, divided)
    return torch.cat([color, alpha], dim=-1).to(torch.uint8)


def resize_with_alpha(
    image: UInt8[Array, "height width channels"],
    size: tuple[int, int],
    *,
    resample: str = "bicubic",
    pass_order: str = "pillow-13",
) -> UInt8[Array, "new_height new_width channels"]:
    """Mirror of numpy_backend.pixels.resize_with_alpha."""
    checks.image(image)
    if image.shape[2] < 2:
        raise ValueError("An image with alpha must have two channels or more, got 1.")
    options = {"resample": resample, "pass_order": pass_order}
    if resample == "nearest" or tuple(image.shape[:2]) == checks.pair("size", size):
        return resize(image, size, **options)
    return unpremultiply(resize(premultiply(image), size, **options))


def round_to(
    sums: Float64[Array, "..."], *, dtype: str
) -> Float32[Array, "..."] | Int32[Array, "..."] | UInt16[Array, "..."]:
    """Mirror of numpy_backend.pixels.round_to."""
    if dtype == "float32":
        return sums.float()
    low, high = (0, 2**16 - 1) if dtype == "uint16" else (-(2**31), 2**31 - 1)
    whole = torch.trunc(sums + torch.copysign(torch.full_like(sums, 0.5), sums)).clamp(low, high)
    return whole.to(torch.int32 if dtype == "int32" else torch.uint16)


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
    """Mirror of numpy_backend.pixels.resample_deep_lines."""
    if planes.shape[-1] == out_size:
        return planes
    first, weights = resample_coefficients(planes.shape[-1], out_size, resample=resample)
    first, weights, wide = first.to(planes.device), weights.to(planes.device), planes.double()
    sums = wide.new_zeros((*planes.shape[:-1], out_size))
    for tap in range(weights.shape[1]):
        # Multiplied first and added then: in one step, a GPU would round once instead of twice.
        product = weights[:, tap] * wide[..., first + tap]  # (channels, lines, new_size)
        sums = sums + product
    return round_to(sums, dtype=str(planes.dtype).removeprefix("torch."))


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
    """Mirror of numpy_backend.pixels.resize_deep; the result is on the image's device."""
    checks.deep_image(image)
    height, width = checks.pair("size", size)
    shape = (image.shape[0], image.shape[1])
    dtype = str(image.dtype).removeprefix("torch.")
    downward = vertical_first(shape, (height, width), pass_order=pass_order)
    if supported_resample(resample, "pillow") == "nearest":
        rows = _nearest_deep(shape[0], height, dtype=dtype).to(image.device)
        columns = _nearest_deep(shape[1], width, dtype=dtype).to(image.device)
        return image[rows[:, None], columns]  # (new_height, new_width, channels)

    planes = image.permute(2, 0, 1).clone(memory_format=torch.contiguous_format)
    for axis in (1, 2) if downward else (2, 1):
        lines = planes.transpose(axis, 2)  # (channels, lines, height or width)
        lines = resample_deep_lines(lines, (height, width)[axis - 1], resample=resample)
        planes = lines.transpose(axis, 2)
    return planes.permute(1, 2, 0).contiguous()  # (new_height, new_width, channels)


def _nearest_deep(in_size: int, out_size: int, *, dtype: str) -> Int64[Array, "new_size"]:
    if dtype == "uint16":
        return ((torch.arange(out_size, dtype=torch.float64) + 0.5) * (in_size / out_size)).long()
    return nearest_pixels(in_size, out_size)
