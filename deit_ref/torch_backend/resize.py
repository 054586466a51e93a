"""Chapter 16, mirrored: resampling, byte for byte as Pillow, on any device that has float64.

The weights are made on the CPU, so that they are the same numbers for every device; the
products are exact, so their results are too.
"""

from collections.abc import Callable
from typing import TypeAlias

import torch
from jaxtyping import Float64, Int64, UInt8

from deit_ref import checks
from deit_ref.image_processing import supported_resample

Array: TypeAlias = torch.Tensor


def box(x: Float64[Array, "..."]) -> Float64[Array, "..."]:
    """Mirror of numpy_backend.resize.box."""
    return ((x > -0.5) & (x <= 0.5)).double()


def bilinear(x: Float64[Array, "..."]) -> Float64[Array, "..."]:
    """Mirror of numpy_backend.resize.bilinear."""
    return (1 - x.abs()).clamp(min=0)


def hamming(x: Float64[Array, "..."]) -> Float64[Array, "..."]:
    """Mirror of numpy_backend.resize.hamming."""
    mean, wave = torch.tensor([0.54, 0.46], dtype=torch.float32).double()
    window = torch.sinc(x) * (mean + wave * torch.cos(torch.pi * x))
    return torch.where(x == 0, 1.0, torch.where(x.abs() < 1, window, 0.0))


def bicubic(x: Float64[Array, "..."]) -> Float64[Array, "..."]:
    """Mirror of numpy_backend.resize.bicubic."""
    a, x = -0.5, x.abs()
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))


def lanczos(x: Float64[Array, "..."]) -> Float64[Array, "..."]:
    """Mirror of numpy_backend.resize.lanczos."""
    return torch.where(x.abs() < 3, torch.sinc(x) * torch.sinc(x / 3), 0.0)


FILTERS: dict[str, tuple[Callable[[Array], Array], float]] = {
    "box": (box, 0.5),
    "bilinear": (bilinear, 1.0),
    "hamming": (hamming, 1.0),
    "bicubic": (bicubic, 2.0),
    "lanczos": (lanczos, 3.0),
}


def nearest_pixels(in_size: int, out_size: int, *, arithmetic: str = "pillow") -> Int64[Array, "new_size"]:
    """Mirror of numpy_backend.resize.nearest_pixels; on the CPU."""
    if arithmetic == "torchvision":
        places = (torch.arange(out_size, dtype=torch.float32) + 0.5) * (in_size / out_size)
        return places.long().clamp(max=in_size - 1)
    steps = torch.full((out_size,), in_size / out_size, dtype=torch.float64)
    steps[0] *= 0.5
    return steps.cumsum(0).long()


def resample_coefficients(
    in_size: int, out_size: int, *, resample: str
) -> tuple[Int64[Array, "new_size"], Float64[Array, "new_size taps"]]:
    """Mirror of numpy_backend.resize.resample_coefficients; on the CPU."""
    kernel, support = FILTERS[checks.choice("resample", resample, FILTERS)]
    scale = in_size / out_size
    stretch = max(scale, 1.0)
    reach = support * stretch
    centers = (torch.arange(out_size, dtype=torch.float64) + 0.5) * scale
    low = (centers - reach + 0.5).long().clamp(min=0)
    high = (centers + reach + 0.5).long().clamp(max=in_size)
    taps = int((high - low).max())
    first = low.clamp(max=in_size - taps)

    pixels = first[:, None] + torch.arange(taps)  # (new_size, taps)
    inside = (pixels >= low[:, None]) & (pixels < high[:, None])
    distances = (pixels - centers[:, None] + 0.5) * (1 / stretch)
    weights = torch.where(inside, kernel(distances), 0.0)
    return first, weights / weights.cumsum(dim=1)[:, -1:]


def fixed_point(weights: Float64[Array, "..."], *, arithmetic: str = "pillow") -> Float64[Array, "..."]:
    """Mirror of numpy_backend.resize.fixed_point."""
    p = 22
    if arithmetic == "torchvision":
        p = next((p for p in range(22) if int(0.5 + float(weights.max()) * 2 ** (p + 1)) >= 2**15), 22)
    halves = torch.copysign(torch.full_like(weights, 0.5), weights)
    return torch.trunc(weights * 2**p + halves) / 2**p


def resample_lines(
    planes: UInt8[Array, "channels lines in_size"], out_size: int, *, resample: str, arithmetic: str = "pillow"
) -> UInt8[Array, "channels lines new_size"]:
    """Mirror of numpy_backend.resize.resample_lines."""
    if (in_size := planes.shape[-1]) == out_size:
        return planes
    first, weights = resample_coefficients(in_size, out_size, resample=resample)
    weights, taps = fixed_point(weights, arithmetic=arithmetic), torch.arange(weights.shape[1])
    columns = []
    for i in range(0, out_size, 16):
        begins = first[i : i + 16, None] - first[i]
        start, width = int(first[i]), int(begins[-1, 0]) + len(taps)
        block = torch.zeros(len(begins), width, dtype=torch.float64)
        block.scatter_(1, begins + taps, weights[i : i + 16])
        window, kernel = planes[..., start : start + width], block.to(planes.device).T
        # On a CPU strips stay in its cache; on a GPU, many small ones would only be many kernels to start.
        most = 2**17 if window.device.type == "cpu" else 2**20
        strips = window.tensor_split(1 + window[0].numel() // most, dim=1)
        # In contiguous memory the product is one matrix product, not a batch.
        doubles = (strip.to(torch.float64, memory_format=torch.contiguous_format) for strip in strips)
        sums = (strip @ kernel for strip in doubles)  # each (channels, lines, block)
        columns.append(torch.cat([(part + 0.5).clamp_(0, 255).to(torch.uint8) for part in sums], dim=1))
    return torch.cat(columns, dim=-1)


def vertical_first(shape: tuple[int, int], size: tuple[int, int], *, pass_order: str) -> bool:
    """Mirror of numpy_backend.resize.vertical_first."""
    (height, width), (new_height, new_width) = shape, size
    checks.choice("pass_order", pass_order, ("pillow-13", "pillow-12"))
    return pass_order == "pillow-13" and new_height < height and height - new_height > 2 * (width - new_width)


def resize(
    image: UInt8[Array, "height width channels"],
    size: tuple[int, int],
    *,
    resample: str = "bicubic",
    pass_order: str = "pillow-13",
    arithmetic: str = "pillow",
) -> UInt8[Array, "new_height new_width channels"]:
    """Mirror of numpy_backend.resize.resize; the result is on the image's device."""
    checks.image(image)
    height, width = checks.pair("size", size)
    shape = (image.shape[0], image.shape[1])
    downward = vertical_first(shape, (height, width), pass_order=pass_order)
    if supported_resample(resample, arithmetic) == "nearest":
        rows = nearest_pixels(shape[0], height, arithmetic=arithmetic).to(image.device)
        columns = nearest_pixels(shape[1], width, arithmetic=arithmetic).to(image.device)
        return image[rows[:, None], columns]  # (new_height, new_width, channels)

    planes = image.permute(2, 0, 1).clone(memory_format=torch.contiguous_format)
    for axis, side in ((1, height), (2, width)) if downward and arithmetic == "pillow" else ((2, width), (1, height)):
        lines = planes.transpose(axis, 2)  # (channels, lines, height or width)
        planes = resample_lines(lines, side, resample=resample, arithmetic=arithmetic).transpose(axis, 2)
    return planes.permute(1, 2, 0).contiguous()  # (new_height, new_width, channels)
