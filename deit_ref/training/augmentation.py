"""Augmentation: photos a little different each time they are seen.

Batches are tensors (batch, channels, height, width) on any device; `generator` is always on the CPU, draws every
random number, and none comes from elsewhere: one seed, one result, on every device.

Source: Touvron et al. 2021, table 9 and section 6; the order is that of timm's `create_transform` and `Mixup`: crop,
flip, RandAugment (`rand_augment`), normalization, erasing, then mixup or cutmix of the batch.
"""

import math
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped, UInt8

from deit_ref import checks
from deit_ref.training.operations import OPERATIONS

Array: TypeAlias = torch.Tensor
Photo: TypeAlias = np.ndarray[Any, Any]

TRIES = 10
RESAMPLES = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
_ONE = math.nextafter(1, 2)  # so that 1 itself is allowed


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
    checks.number("probability", probability, low=0, high=_ONE)
    chosen = (torch.rand(len(images), generator=generator) < probability).to(images.device)
    return torch.where(chosen[:, None, None, None], images.flip(-1), images)


def random_resized_crop(
    image: UInt8[Photo, "height width 3"],
    size: tuple[int, int],
    *,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    resample: str = "bicubic",
    generator: np.random.Generator,
) -> UInt8[Photo, "new_height new_width 3"]:
    """Cut out a random part of a random shape, and resize it to `size` with Pillow.

    Args:
        image: a photo, bytes.
        size: (new_height, new_width).
        scale: smallest and largest share of the photo's area; uniform.
        ratio: smallest and largest width / height; its logarithm is uniform.
        resample: one of `RESAMPLES`.
        generator: NumPy's, as this runs where photos are read.

    Parts that do not fit are drawn again, ten times at most; then the largest central part of an allowed shape serves.

    Source: Szegedy et al. 2015, section 6; torchvision's `RandomResizedCrop.get_params`.
    """
    from PIL import Image

    checks.image(image)
    new_height, new_width = checks.pair("size", size)
    checks.choice("resample", resample, RESAMPLES)
    top, left, height, width = _random_box(image.shape[0], image.shape[1], scale, ratio, generator)
    part = Image.fromarray(image[top : top + height, left : left + width])
    return np.asarray(part.resize((new_width, new_height), Image.Resampling[resample.upper()]))


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


def rand_augment(
    images: UInt8[Array, "batch 3 height width"],
    *,
    num_ops: int = 2,
    magnitude: float = 9,
    generator: torch.Generator,
) -> UInt8[Array, "batch 3 height width"]:
    """RandAugment as timm's "rand-m9-mstd0.5-inc1": `num_ops` times, one of fifteen operations for each image.

    Each time an image draws its own operation, with replacement; whether it is applied at all, with probability 1/2;
    the strength, normal about `magnitude` with deviation 0.5, kept in 0..10; and the direction, where there are two.
    A larger strength always changes more ("increasing").

    kornia has a class `RandAugment`, and this is not it; its functions equalize and sharpen here. The class differs
    from the paper (read and run, 0.9.0): one choice of operations for a whole batch, each applied always, without
    replacement, at one strength; magnitudes count to 30; colour, contrast, brightness and sharpness at m=27 are always
    raised, solarize spares all but the brightest, and posterize keeps 4 bits; brightness adds instead of multiplying,
    contrast multiplies instead of moving from the mean, colour scales HSV's saturation; shear reaches 54 degrees
    instead of 17, translation a tenth instead of 0.45; outside is black. None of this is so here. What remains:

    - moved images are sampled with torch's bicubic kernel (a = -0.75; Pillow's is -0.5), and blend with the colour
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
    checks.number("probability", probability, low=0, high=_ONE)
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


def smooth_labels(labels: Int[Array, "batch"], *, num_classes: int, smoothing: float) -> Float[Array, "batch classes"]:
    r"""Labels as probabilities: $1 - s + s / K$ for the label's class, $s / K$ for the others.

    Source: Szegedy et al. 2016, section 7; timm's `mixup_target`.
    """
    checks.integer("num_classes", num_classes)
    checks.number("smoothing", smoothing, low=0, high=_ONE)
    if labels.is_floating_point() or labels.ndim != 1:
        raise ValueError(f"Labels must be integers (batch), got {labels.dtype} {tuple(labels.shape)}.")
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        raise ValueError(f"Labels must lie in 0..{num_classes - 1}, got {int(labels.min())}..{int(labels.max())}.")
    off = smoothing / num_classes
    targets = torch.full((len(labels), num_classes), off, device=labels.device)  # (batch, classes)
    return targets.scatter(1, labels.long()[:, None], 1 - smoothing + off)


def mix(
    images: Float[Array, "batch channels height width"],
    targets: Float[Array, "batch classes"],
    *,
    mixup: float = 0.8,
    cutmix: float = 1.0,
    probability: float = 1.0,
    switch: float = 0.5,
    generator: torch.Generator,
) -> tuple[Float[Array, "batch channels height width"], Float[Array, "batch classes"]]:
    r"""Mix each image with its partner, the batch in reverse order, and its target in the same proportion.

    One $\lambda \sim \mathrm{Beta}(\alpha, \alpha)$ for the batch. Mixup: $\lambda x + (1 - \lambda) x'$. Cutmix: a
    rectangle of $x'$ of the area $1 - \lambda$ in $x$, about a uniform centre; what lies beyond the border is cut off,
    and $\lambda$ becomes the share of $x$ that is left. torch draws no Beta from a generator, so NumPy's generator
    does, seeded by a number from `generator`. The image in the middle of an odd batch is its own partner.

    Args:
        images: (batch, channels, height, width), normalized or not.
        targets: probabilities, as `smooth_labels` makes them.
        mixup: alpha of mixup; 0 turns it off.
        cutmix: alpha of cutmix; 0 turns it off.
        probability: that the batch is mixed at all.
        switch: probability of cutmix where both are on.
        generator: on the CPU.

    Source: Zhang et al. 2018 ("mixup"), equation 2; Yun et al. 2019 ("CutMix"), equations 1 and 2; timm's `Mixup`,
    mode "batch", and `rand_bbox`.
    """
    for name, alpha in (("mixup", mixup), ("cutmix", cutmix)):
        checks.number(name, alpha, low=0, high=math.inf)
    checks.number("probability", probability, low=0, high=_ONE)
    checks.number("switch", switch, low=0, high=_ONE)
    if len(images) != len(targets):
        raise ValueError(f"Each image needs its target: got {len(images)} images and {len(targets)} targets.")
    rng = np.random.default_rng(int(torch.randint(2**63 - 1, (), generator=generator)))
    if (mixup == 0 and cutmix == 0) or rng.random() >= probability:
        return images, targets
    cut = cutmix > 0 and (mixup == 0 or rng.random() < switch)
    alpha = cutmix if cut else mixup
    share = float(rng.beta(alpha, alpha))
    if cut:
        height, width = images.shape[2:]
        (top, bottom), (left, right) = (_cut(side, share, rng) for side in (height, width))
        share = 1 - (bottom - top) * (right - left) / (height * width)
        mixed = images.clone()
        mixed[:, :, top:bottom, left:right] = images.flip(0)[:, :, top:bottom, left:right]
    else:
        mixed = share * images + (1 - share) * images.flip(0)
    return mixed, share * targets + (1 - share) * targets.flip(0)


def _cut(side: int, share: float, rng: np.random.Generator) -> tuple[int, int]:
    """Where the rectangle that leaves `share` of an image begins and ends along one side."""
    half = int(side * math.sqrt(1 - share)) // 2
    centre = int(rng.integers(side))
    return max(centre - half, 0), min(centre + half, side)
