"""Augmentation: crops, mirror images, erasing; photos a little different each time they are seen.

Batches are tensors (batch, channels, height, width) on any device; `generator` is always on the CPU, draws every
random number, and none comes from elsewhere: one seed, one result, on every device.

Source: Touvron et al. 2021, table 9 and section 6; the order is that of timm's `create_transform` and `Mixup`: crop,
flip, `rand_augment`, normalization, erasing, then `mixing` of the batch.
"""

import math
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8

from deit_ref import checks

Array: TypeAlias = torch.Tensor
Photo: TypeAlias = np.ndarray[Any, Any]

TRIES = 10


def _interval(name: str, value: tuple[float, float], *, high: float) -> tuple[float, float]:
    if len(value) != 2 or not 0 < value[0] <= value[1] <= high:
        raise ValueError(f"{name} must be two rising numbers in (0, {high:g}], got {value!r}.")
    return float(value[0]), float(value[1])


def padded_crop(
    images: Shaped[Array, "batch channels height width"],
    *,
    padding: int = 4,
    mode: str = "reflect",
    generator: torch.Generator,
) -> Shaped[Array, "batch channels height width"]:
    """Shift each image by its own offset, -padding..padding in both directions, all equally likely.

    The same as padding on all four sides and then cropping to the old size. "reflect" mirrors what lies beyond the
    border, without repeating the border itself; "zeros" leaves it black.

    Raises:
        ValueError: for "reflect", when padding is not smaller than the image.

    Source: He et al. 2016 ("Deep residual learning"), section 4.2, for CIFAR.
    """
    checks.integer("padding", padding, minimum=0)
    checks.choice("mode", mode, ("reflect", "zeros"))
    batch, channels, height, width = images.shape
    if mode == "reflect" and padding >= min(height, width):
        raise ValueError(f"Reflection needs padding < {min(height, width)}, the shorter side; got {padding}.")
    places = []
    for side in (height, width):
        offsets = torch.randint(-padding, padding + 1, (batch, 1), generator=generator)
        places.append((torch.arange(side) + offsets).to(images.device))  # (batch, side)
    outside = [(place < 0) | (place >= side) for place, side in zip(places, (height, width), strict=True)]
    rows, columns = (side - 1 - (side - 1 - p.abs()).abs() for p, side in zip(places, (height, width), strict=True))
    if mode == "zeros":
        rows, columns = rows.clamp(0), columns.clamp(0)  # any place inside: it turns black below
    index = (rows[:, :, None] * width + columns[:, None, :]).flatten(1)  # (batch, height * width)
    index = index[:, None].expand(-1, channels, -1)  # (batch, channels, height * width)
    shifted = images.flatten(2).gather(2, index).reshape(images.shape)  # (batch, channels, height, width)
    if mode == "zeros":
        shifted = shifted.masked_fill((outside[0][:, :, None] | outside[1][:, None, :])[:, None], 0)
    return shifted


def random_flip(
    images: Shaped[Array, "batch channels height width"], *, probability: float = 0.5, generator: torch.Generator
) -> Shaped[Array, "batch channels height width"]:
    """Mirror each image left to right with this probability."""
    checks.fraction("probability", probability)
    chosen = (torch.rand(len(images), generator=generator) < probability).to(images.device)
    return torch.where(chosen[:, None, None, None], images.flip(-1), images)


def random_resized_crop(
    image: UInt8[Photo, "height width channels"],
    size: tuple[int, int],
    *,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    resample: str = "bicubic",
    generator: np.random.Generator,
) -> UInt8[Photo, "new_height new_width channels"]:
    """Cut out a random part of a random shape, and resize it to `size` with Pillow.

    Args:
        image: a photo, bytes, gray or in color.
        size: (new_height, new_width).
        scale: smallest and largest share of the photo's area; uniform.
        ratio: smallest and largest width / height; its logarithm is uniform.
        resample: "nearest", "box", "bilinear", "hamming", "bicubic" or "lanczos".
        generator: NumPy's, as this runs where photos are read.

    Parts that do not fit are drawn again, ten times at most; then the largest central part of an allowed shape serves.

    Source: Szegedy et al. 2015, section 6; torchvision's `RandomResizedCrop.get_params`.
    """
    from PIL import Image

    checks.image(image)
    new_height, new_width = checks.pair("size", size)
    checks.choice("resample", resample, ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"))
    top, left, height, width = _random_box(image.shape[0], image.shape[1], scale, ratio, generator)
    part = image[top : top + height, left : left + width]
    gray = part.shape[2] == 1  # which Pillow wants without the axis
    resized = Image.fromarray(part[:, :, 0] if gray else part).resize(
        (new_width, new_height), Image.Resampling[resample.upper()]
    )
    return np.asarray(resized).reshape(new_height, new_width, -1)


def _random_box(
    height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float], generator: np.random.Generator
) -> tuple[int, int, int, int]:
    """(top, left, height, width) of a part of an image; as torchvision, but with NumPy's generator."""
    scale, ratio = _interval("scale", scale, high=1), _interval("ratio", ratio, high=math.inf)
    for _ in range(TRIES):
        area = height * width * generator.uniform(*scale)
        shape = math.exp(generator.uniform(math.log(ratio[0]), math.log(ratio[1])))
        h, w = round(math.sqrt(area / shape)), round(math.sqrt(area * shape))
        if 0 < h <= height and 0 < w <= width:
            return int(generator.integers(height - h + 1)), int(generator.integers(width - w + 1)), h, w
    h = min(height, max(1, round(width / ratio[0])))
    w = min(width, max(1, round(height * ratio[1])))
    return (height - h) // 2, (width - w) // 2, h, w


def erase(
    images: Float[Array, "batch channels height width"],
    *,
    probability: float = 0.25,
    area: tuple[float, float] = (0.02, 1 / 3),
    ratio: tuple[float, float] = (0.3, 1 / 0.3),
    generator: torch.Generator,
) -> Float[Array, "batch channels height width"]:
    """Fill a random rectangle with noise, in some images; a standard normal number for each pixel and channel.

    For normalized images. The share of the area is uniform, the logarithm of height / width too. A rectangle must be
    smaller than the image in both directions; of ten drawn the first that is serves, or none.

    Source: Zhong et al. 2020 ("Random erasing data augmentation"), algorithm 1; timm's `RandomErasing`, mode "pixel".
    """
    checks.fraction("probability", probability)
    area, ratio = _interval("area", area, high=1), _interval("ratio", ratio, high=math.inf)
    batch, channels, height, width = images.shape
    chosen = torch.rand(batch, generator=generator) < probability
    share = torch.empty(batch, TRIES).uniform_(*area, generator=generator)
    shape = torch.empty(batch, TRIES).uniform_(math.log(ratio[0]), math.log(ratio[1]), generator=generator).exp()
    heights = (height * width * share * shape).sqrt().round().long()  # (batch, tries)
    widths = (height * width * share / shape).sqrt().round().long()  # (batch, tries)
    fits = (heights < height) & (widths < width)
    first = fits.int().argmax(dim=1, keepdim=True)  # (batch, 1)
    chosen &= fits.any(dim=1)
    spans = []
    for sides, side in ((heights, height), (widths, width)):
        length = sides.gather(1, first)  # (batch, 1)
        room = (side - length + 1).clamp(1)
        # float64 never rounds up to `room`
        start = (torch.rand(batch, 1, dtype=torch.float64, generator=generator) * room).long()
        spans.append((torch.arange(side) >= start) & (torch.arange(side) < start + length))  # (batch, side)
    inside = spans[0][:, :, None] & spans[1][:, None, :] & chosen[:, None, None]  # (batch, height, width)
    noise = torch.randn(int(inside.sum()) * channels, generator=generator, dtype=images.dtype)
    mask = inside[:, None].expand(images.shape).to(images.device)  # (batch, channels, height, width)
    return images.masked_scatter(mask, noise.to(images.device))
