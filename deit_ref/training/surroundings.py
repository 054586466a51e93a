"""Surroundings: the same thing on another ground, nearer or farther, away from the center.

A photo of a data set shows its thing in the middle, filling the frame, in its usual place. A bird that is cut out and
put on white is then an airplane, because white is what airplanes fly in. So some photos are cut out, as well as it goes
without knowing what they show, resized, and put somewhere on a new ground. Others change their colors, or lose them.

Batches are photos in 0..1 (batch, channels, height, width); `generator` is on the CPU and draws every random number.

Source: ours, not the paper's. Dwibedi et al. 2017 ("Cut, paste and learn") put things whose outline is known on other
grounds; timm's and torchvision's `ColorJitter` for colors.
"""

import math
from typing import TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Float

from deit_ref import checks

Array: TypeAlias = torch.Tensor

SIDES = (0.5, 1.4)  # of what is put on a ground, as shares of the frame's
RATIO = 4 / 3  # the largest width / height; its inverse is the smallest
GROUNDS = {"white": 0.35, "black": 0.1, "color": 0.15, "gray": 0.1, "noise": 0.1, "another photo": 0.2}


def surround(
    images: Float[Array, "batch channels height width"], *, probability: float, generator: torch.Generator
) -> Float[Array, "batch channels height width"]:
    """Put each image, with this probability, at a random size, shape and place on a random ground of `GROUNDS`.

    The mean of its two sides is log-uniform within `SIDES`, and so is width / height within `RATIO`. What is smaller
    than the frame lies inside it, what is larger covers it. It is cut out in one of three ways, equally likely: as the
    whole rectangle, as an ellipse, or by the color of its border.
    """
    checks.fraction("probability", probability)
    chosen = (torch.rand(len(images), generator=generator) < probability).nonzero()[:, 0]
    count = len(chosen)
    if count == 0:
        return images

    def uniform(columns: int, limit: float = 1.0) -> Array:
        return limit * (2 * torch.rand(count, columns, generator=generator) - 1)

    low, high = map(math.log, SIDES)
    side, stretch = uniform(1, (high - low) / 2) + (high + low) / 2, uniform(1, math.log(RATIO) / 2)
    sides = torch.cat([side + stretch, side - stretch], dim=1).exp()  # (chosen, 2): width, height
    centers = uniform(2) * (1 - sides).abs()  # (chosen, 2): x, y
    ways = torch.randint(3, (count,), generator=generator)
    kinds = torch.multinomial(torch.tensor(list(GROUNDS.values())), count, replacement=True, generator=generator)
    chosen, part = chosen.to(images.device), images[chosen.to(images.device)]
    masks = torch.cat([torch.ones_like(part[:, :1]), ellipse(part), unlike_border(part)], dim=1)  # (chosen, 3, ...)
    mask = masks[range(count), ways.to(images.device)][:, None]  # (chosen, 1, height, width)
    ground = grounds(part, generator=generator)[kinds.to(images.device), range(count)]
    return images.index_copy(0, chosen, placed(part, mask, ground, sides, centers))


def ellipse(
    images: Float[Array, "batch channels height width"], *, radius: float = 1.0
) -> Float[Array, "batch 1 height width"]:
    """1 in the middle, falling to 0 over the last fifth before the radius; at 1 it touches the border."""
    height, width = images.shape[2:]
    y, x = ((torch.arange(side, device=images.device) + 0.5) / side * 2 - 1 for side in (height, width))
    distance = (y[:, None].square() + x.square()).sqrt()  # (height, width)
    return ((radius - distance) / 0.2).clamp(0, 1).expand(len(images), 1, -1, -1)


def unlike_border(images: Float[Array, "batch channels height width"]) -> Float[Array, "batch 1 height width"]:
    """1 where an image is not of its border's color, which is ground more often than not, and near the middle.

    A pixel whose channels are all within 0.08 of the border's mean is 0, one with a channel off by 0.2 is 1; then 3 x 3
    pixels are averaged.
    """
    inner = torch.zeros_like(images)
    inner[:, :, 1:-1, 1:-1] = 1
    color = (images * (1 - inner)).sum(dim=(2, 3), keepdim=True) / (1 - inner).sum(dim=(2, 3), keepdim=True)
    unlike = (((images - color).abs().amax(dim=1, keepdim=True) - 0.08) / 0.12).clamp(0, 1)
    unlike = F.avg_pool2d(unlike, 3, stride=1, padding=1, count_include_pad=False)
    return unlike.maximum(ellipse(images, radius=0.6))


def grounds(
    images: Float[Array, "batch channels height width"], *, generator: torch.Generator
) -> Float[Array, "kinds batch channels height width"]:
    """All `GROUNDS` for each image; another photo is the batch in reverse order, blurred to 4 x 4 spots."""
    batch, channels, height, width = images.shape
    color = torch.rand(batch, channels, 1, 1, generator=generator).to(images.device)
    spread = 0.5 * torch.rand(batch, 1, 1, 1, generator=generator)
    noise = (spread * torch.randn(images.shape, generator=generator)).to(images.device)
    another = F.interpolate(F.adaptive_avg_pool2d(images.flip(0), 4), size=(height, width), mode="bilinear")
    found = (torch.ones_like(color), torch.zeros_like(color), color, color[:, :1], (color + noise).clamp(0, 1), another)
    return torch.stack([ground.expand_as(images) for ground in found])


def placed(
    images: Float[Array, "batch channels height width"],
    masks: Float[Array, "batch 1 height width"],
    ground: Float[Array, "batch channels height width"],
    sides: Float[Array, "batch 2"],
    centers: Float[Array, "batch 2"],
) -> Float[Array, "batch channels height width"]:
    """What the masks cut out of the images, resized and put on the ground.

    Args:
        images: what is put there.
        masks: 0..1.
        ground: what it is put on.
        sides: width and height as shares of the frame's.
        centers: x and y of its center, where -1 and 1 are the borders of the frame.
    """
    # Where each point of the frame lies in the image; four points a pixel, so that what shrinks is averaged.
    x, y = (torch.stack([1 / sides[:, i], -centers[:, i] / sides[:, i]], dim=1) for i in range(2))  # (batch, 2) each
    zero = torch.zeros(len(images))
    theta = torch.stack([torch.stack([x[:, 0], zero, x[:, 1]], 1), torch.stack([zero, y[:, 0], y[:, 1]], 1)], dim=1)
    height, width = images.shape[2:]
    points = F.affine_grid(theta, [len(images), 1, 2 * height, 2 * width], align_corners=False).to(images.device)
    inside = (points.abs() <= 1).all(dim=3)[:, None]  # (batch, 1, 2 * height, 2 * width)
    cut_out = torch.cat([images * masks, masks], dim=1)  # (batch, channels + 1, height, width)
    cut_out = F.grid_sample(cut_out, points, padding_mode="border", align_corners=False) * inside
    cut_out = F.avg_pool2d(cut_out, 2)
    return cut_out[:, :-1] + (1 - cut_out[:, -1:]) * ground


def jitter(
    images: Float[Array, "batch channels height width"], *, probability: float, generator: torch.Generator
) -> Float[Array, "batch channels height width"]:
    """Change the colors of each image with this probability: saturation, then contrast, then brightness, by 0.6 to 1.4.

    Saturation moves a pixel's channels away from their mean, contrast all pixels from the mean of the image; values
    beyond 0..1 are cut off at the end.
    """
    checks.fraction("probability", probability)
    factors = 0.6 + 0.8 * torch.rand(3, len(images), 1, 1, 1, generator=generator)
    chosen = torch.rand(len(images), 1, 1, 1, generator=generator) < probability
    saturation, contrast, brightness = torch.where(chosen, factors, 1).to(images.device)
    images = images.mean(dim=1, keepdim=True).lerp(images, saturation)
    images = images.mean(dim=(1, 2, 3), keepdim=True).lerp(images, contrast)
    return (images * brightness).clamp(0, 1)


def to_gray(
    images: Float[Array, "batch channels height width"], *, probability: float, generator: torch.Generator
) -> Float[Array, "batch channels height width"]:
    """With this probability, give each image's channels their mean."""
    checks.fraction("probability", probability)
    chosen = (torch.rand(len(images), 1, 1, 1, generator=generator) < probability).to(images.device)
    return torch.where(chosen, images.mean(dim=1, keepdim=True), images)
