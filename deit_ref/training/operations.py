"""The fifteen operations of RandAugment: on batches, each image with a strength of its own.

All take `images` (batch, 3, height, width), float, whole numbers 0..255, and `level` (batch, 1, 1, 1), 0..1; those
that go two ways take -1 or 1 as `sign` too. They mean what Pillow's operations mean, which the paper used.
"""

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Float

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


def _solarize(images: Images, level: Each, sign: Each) -> Images:
    return torch.where(images < 256 - torch.floor(256 * level), images, 255 - images)


def _solarize_add(images: Images, level: Each, sign: Each) -> Images:
    return torch.where(images < 128, images + torch.floor(110 * level), images)


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


def _brightness(images: Images, level: Each, sign: Each) -> Images:
    return images * _factor(level, sign)


def _sharpness(images: Images, level: Each, sign: Each) -> Images:
    from kornia.enhance import sharpness

    return sharpness(images / 255, _factor(level, sign).flatten()) * 255


def _moved(images: Images, rows: list[list[Array]]) -> Images:
    """Sample each image at `rows` @ (x, y, 1), pixels from the centre; outside is ImageNet's mean colour."""
    height, width = images.shape[2:]
    across, down = (torch.stack([value.flatten() for value in row], dim=1) for row in rows)  # (batch, 3)
    # affine_grid counts from -1 to 1, whatever the sides are.
    across = across * across.new_tensor([1, height / width, 2 / width])
    down = down * down.new_tensor([width / height, 1, 2 / height])
    grid = F.affine_grid(torch.stack([across, down], dim=1), list(images.shape), align_corners=False)
    fill = 255 * images.new_tensor(IMAGENET_MEAN).reshape(3, 1, 1)
    return F.grid_sample(images - fill, grid, mode="bicubic", padding_mode="zeros", align_corners=False) + fill


def _rotate(images: Images, level: Each, sign: Each) -> Images:
    angle = sign * math.radians(30) * level
    zero = torch.zeros_like(angle)
    return _moved(images, [[angle.cos(), -angle.sin(), zero], [angle.sin(), angle.cos(), zero]])


def _shear_x(images: Images, level: Each, sign: Each) -> Images:
    factor, one, zero = sign * 0.3 * level, torch.ones_like(level), torch.zeros_like(level)
    return _moved(images, [[one, factor, factor * images.shape[2] / 2], [zero, one, zero]])


def _shear_y(images: Images, level: Each, sign: Each) -> Images:
    factor, one, zero = sign * 0.3 * level, torch.ones_like(level), torch.zeros_like(level)
    return _moved(images, [[one, zero, zero], [factor, one, factor * images.shape[3] / 2]])


def _translate_x(images: Images, level: Each, sign: Each) -> Images:
    one, zero = torch.ones_like(level), torch.zeros_like(level)
    return _moved(images, [[one, zero, sign * 0.45 * level * images.shape[3]], [zero, one, zero]])


def _translate_y(images: Images, level: Each, sign: Each) -> Images:
    one, zero = torch.ones_like(level), torch.zeros_like(level)
    return _moved(images, [[one, zero, zero], [zero, one, sign * 0.45 * level * images.shape[2]]])


OPERATIONS: Mapping[str, Callable[[Images, Each, Each], Images]] = {
    "auto_contrast": _auto_contrast,
    "equalize": _equalize,
    "invert": lambda images, level, sign: 255 - images,
    "rotate": _rotate,
    "posterize": _posterize,
    "solarize": _solarize,
    "solarize_add": _solarize_add,
    "color": _color,
    "contrast": _contrast,
    "brightness": _brightness,
    "sharpness": _sharpness,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
}
