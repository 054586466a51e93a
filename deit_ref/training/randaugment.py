"""RandAugment: fifteen operations on batches, and which of them an image gets, each with a strength of its own.

All take `images` (batch, 3, height, width), float, whole numbers 0..255, and `level` (batch, 1, 1, 1), 0..1; those
that go two ways take -1 or 1 as `sign` too. They mean what Pillow's operations mean, which the paper used.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8

from deit_ref import checks
from deit_ref.image_processing import IMAGENET_MEAN

Array: TypeAlias = torch.Tensor
Images: TypeAlias = Float[Array, "batch 3 height width"]
Each: TypeAlias = Float[Array, "batch 1 1 1"]


def _auto_contrast(images: Images, level: Each, sign: Each) -> Images:
    low, high = images.amin(dim=(2, 3), keepdim=True), images.amax(dim=(2, 3), keepdim=True)  # (batch, 3, 1, 1)
    return torch.where(high > low, (images - low) * 255 / (high - low).clamp(1), images)


def _equalize(images: Images, level: Each, sign: Each) -> Images:
    from kornia.enhance import equalize

    return equalize(images / 255) * 255


def _posterize(images: Images, level: Each, sign: Each) -> Images:
    step = 2 ** (4 + torch.floor(4 * level))
    return torch.floor(images / step) * step


def _factor(level: Each, sign: Each) -> Each:
    return 1 + sign * 0.9 * level


def _gray(images: Images) -> Float[Array, "batch 1 height width"]:
    red, green, blue = images[:, 0:1], images[:, 1:2], images[:, 2:3]
    return torch.floor((19595 * red + 38470 * green + 7471 * blue + 32768) / 65536)  # Pillow's 0.299, 0.587, 0.114


def _color(images: Images, level: Each, sign: Each) -> Images:
    return torch.lerp(_gray(images).expand_as(images), images, _factor(level, sign))


def _contrast(images: Images, level: Each, sign: Each) -> Images:
    mean = _gray(images).mean(dim=(2, 3), keepdim=True).round()  # (batch, 1, 1, 1)
    return torch.lerp(mean.expand_as(images), images, _factor(level, sign))


def _sharpness(images: Images, level: Each, sign: Each) -> Images:
    from kornia.enhance import sharpness

    return sharpness(images / 255, _factor(level, sign).flatten()) * 255


def _moved(images: Images, rows: Sequence[Sequence[Each | float]]) -> Images:
    """Sample each image at `rows` @ (x, y, 1), pixels from the center; outside is ImageNet's mean color."""
    height, width = images.shape[2:]
    zeros = images.new_zeros(len(images), 1, 1, 1)
    across, down = (torch.stack([(zeros + value).flatten() for value in row], dim=1) for row in rows)  # (batch, 3)
    # affine_grid counts from -1 to 1, whatever the sides are.
    across = across * across.new_tensor([1, height / width, 2 / width])
    down = down * down.new_tensor([width / height, 1, 2 / height])
    grid = F.affine_grid(torch.stack([across, down], dim=1), list(images.shape), align_corners=False)
    fill = 255 * images.new_tensor(IMAGENET_MEAN).reshape(3, 1, 1)
    return F.grid_sample(images - fill, grid, mode="bicubic", padding_mode="zeros", align_corners=False) + fill


def _rotate(images: Images, level: Each, sign: Each) -> Images:
    angle = sign * math.radians(30) * level
    return _moved(images, [[angle.cos(), -angle.sin(), 0], [angle.sin(), angle.cos(), 0]])


def _shear_x(images: Images, level: Each, sign: Each) -> Images:
    factor = sign * 0.3 * level
    return _moved(images, [[1, factor, factor * images.shape[2] / 2], [0, 1, 0]])


def _shear_y(images: Images, level: Each, sign: Each) -> Images:
    factor = sign * 0.3 * level
    return _moved(images, [[1, 0, 0], [factor, 1, factor * images.shape[3] / 2]])


def _translate_x(images: Images, level: Each, sign: Each) -> Images:
    return _moved(images, [[1, 0, sign * 0.45 * level * images.shape[3]], [0, 1, 0]])


def _translate_y(images: Images, level: Each, sign: Each) -> Images:
    return _moved(images, [[1, 0, 0], [0, 1, sign * 0.45 * level * images.shape[2]]])


OPERATIONS: Mapping[str, Callable[[Images, Each, Each], Images]] = {
    "auto_contrast": _auto_contrast,
    "equalize": _equalize,
    "invert": lambda images, level, sign: 255 - images,
    "rotate": _rotate,
    "posterize": _posterize,
    "solarize": lambda images, level, sign: torch.where(images < 256 - torch.floor(256 * level), images, 255 - images),
    "solarize_add": lambda images, level, sign: torch.where(images < 128, images + torch.floor(110 * level), images),
    "color": _color,
    "contrast": _contrast,
    "brightness": lambda images, level, sign: images * _factor(level, sign),
    "sharpness": _sharpness,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
}


def rand_augment(
    images: UInt8[Array, "batch 3 height width"], *, num_ops: int = 2, magnitude: float = 9, generator: torch.Generator
) -> UInt8[Array, "batch 3 height width"]:
    """RandAugment as timm's "rand-m9-mstd0.5-inc1": `num_ops` times, one of fifteen operations for each image.

    Each time an image draws its own operation, with replacement; whether it is applied at all, with probability 1/2;
    the strength, normal about `magnitude` with deviation 0.5, kept in 0..10; and the direction, where there are two.
    A larger strength always changes more ("increasing").

    kornia has a class `RandAugment`, and this is not it; its functions equalize and sharpen here. The class differs
    from the paper (read and run, 0.9.0): one choice of operations for a whole batch, each applied always, without
    replacement, at one strength; magnitudes count to 30; color, contrast, brightness and sharpness at m=27 are always
    raised, solarize spares all but the brightest, and posterize keeps 4 bits; brightness adds instead of multiplying,
    contrast multiplies instead of moving from the mean, color scales HSV's saturation; shear reaches 54 degrees
    instead of 17, translation a tenth instead of 0.45; outside is black. None of this is so here. What remains:

    - moved images are sampled with torch's bicubic kernel (a = -0.75; Pillow's is -0.5), and blend with the color
      outside along the border;
    - values between two bytes are rounded, where Pillow cuts off decimals.

    Args:
        images: bytes; at least 3 pixels a side.
        num_ops: how often; 0 returns the images.
        magnitude: 0..10.
        generator: on the CPU.

    Source: Cubuk et al. 2020, algorithm 2 and section 4.1; timm's `rand_augment_transform` and `AugmentOp`.
    """
    checks.integer("num_ops", num_ops, minimum=0)
    checks.number("magnitude", magnitude, low=0, high=math.nextafter(10, 11))
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3 or min(images.shape[2:]) < 3:
        raise ValueError(
            "rand_augment needs uint8 images (batch, 3, height, width) of at least 3 pixels a side, got "
            f"{images.dtype} {tuple(images.shape)}: augment before you normalize."
        )
    x = images.float()
    batch = (len(images), 1, 1, 1)
    for _ in range(num_ops):
        which = torch.randint(len(OPERATIONS), (len(images),), generator=generator)
        applied = torch.rand(len(images), generator=generator) < 0.5
        level = (magnitude + 0.5 * torch.randn(batch, generator=generator)).clamp(0, 10) / 10
        sign = 2.0 * torch.randint(2, batch, generator=generator) - 1
        for number, operation in enumerate(OPERATIONS.values()):
            chosen = ((which == number) & applied).nonzero()[:, 0]
            if len(chosen):
                here = chosen.to(x.device)
                changed = operation(x[here], level[chosen].to(x.device), sign[chosen].to(x.device))
                x[here] = changed.round().clamp(0, 255)
    return x.to(torch.uint8)
