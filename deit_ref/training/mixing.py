"""Mixing: labels as probabilities, and two photos in one, of which each label keeps its photo's share."""

import math
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int

from deit_ref import checks

Array: TypeAlias = torch.Tensor


def smooth_labels(labels: Int[Array, "batch"], *, num_classes: int, smoothing: float) -> Float[Array, "batch classes"]:
    r"""Labels as probabilities: $\text{smoothing} / C$ for each of $C$ classes, and the rest for the label's own.

    Source: Szegedy et al. 2016, section 7; timm's `mixup_target`.
    """
    checks.integer("num_classes", num_classes)
    checks.fraction("smoothing", smoothing)
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
    rectangle of $x'$ of the area $1 - \lambda$ in $x$, about a uniform center; what lies beyond the border is cut off,
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
    checks.fraction("probability", probability)
    checks.fraction("switch", switch)
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
    center = int(rng.integers(side))
    return max(center - half, 0), min(center + half, side)
