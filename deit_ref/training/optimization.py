"""Optimization: how fast, which parameters, and the average of the weights.

Source: section 6 and table 9 of Touvron et al. 2021; create_scheduler, param_groups and ModelEma of timm as main.py of
facebookresearch/deit uses them; Jordan 2024 ("94% on
CIFAR-10 in 3.29 seconds on a single GPU") for SGD, the line and the biases of norms. The paper has none of these,
and no `layer_decay`.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from deit_ref.training.muon import Muon
from deit_ref.training.recipe import Recipe

NORM_BIAS_SHARE = 64.0  # with SGD they lag behind the kernels, whose gradients a norm makes large


def learning_rate(recipe: Recipe, epoch: float) -> float:
    r"""The learning rate after `epoch` epochs, which need not be whole.

    $$\eta_\text{start} + (\eta - \eta_\text{start}) \frac{\text{epoch}}{\text{warmup}} \;
      (\text{epoch} < \text{warmup}), \qquad
      \eta_\text{low} + \tfrac12 (\eta - \eta_\text{low}) \Big(1 + \cos \pi \frac{\text{epoch}}{\text{epochs}}\Big)$$

    The cosine counts from the start, not from the end of the warm-up, so the highest rate is never quite reached.
    At whole epochs this is the original's schedule, which holds the rate within an epoch; here it moves every step.
    A line instead counts from the end of the warm-up, where it stands at the highest rate.
    """
    highest = recipe.scaled_learning_rate
    if epoch < recipe.warmup_epochs:
        low = recipe.warmup_learning_rate
        return low + (highest - low) * epoch / recipe.warmup_epochs
    low = recipe.min_learning_rate
    if recipe.schedule == "line" and epoch < recipe.epochs:
        return low + (highest - low) * (recipe.epochs - epoch) / (recipe.epochs - recipe.warmup_epochs)
    return low + 0.5 * (highest - low) * (1 + math.cos(math.pi * min(epoch / recipe.epochs, 1)))


def decays(name: str, shape: tuple[int, ...]) -> bool:
    """Whether weight decay pulls at this parameter: only at matrices and kernels; tokens and positions are none."""
    return len(shape) >= 2 and name not in ("cls_token", "dist_token", "mask_token", "pos_embed")


def for_muon(name: str, shape: tuple[int, ...]) -> bool:
    """Whether Muon takes this parameter: a matrix from features to features, in a block or the teacher's stages."""
    return len(shape) == 2 and name.startswith(("blocks.", "stages."))


def layer(name: str, depth: int) -> int:
    """How far a parameter stands from the photo: 0 what makes tokens, 1 to `depth` the blocks, then norm and heads."""
    if name.startswith("blocks."):
        return int(name.split(".")[1]) + 1
    return (
        0 if name.split(".")[0] in ("patch_embed", "cls_token", "dist_token", "mask_token", "pos_embed") else depth + 1
    )


def optimizers(
    named_parameters: Iterable[tuple[str, torch.nn.Parameter]], recipe: Recipe
) -> list[torch.optim.Optimizer]:
    """The optimizers of a recipe, one or two; every parameter that requires a gradient is in one of their groups.

    A group has one weight decay, and one "share" of the learning rate: `layer_decay` to the power of the layers above,
    and 64 for the biases of a teacher's norms under "sgd".
    """
    named = [(name, parameter) for name, parameter in named_parameters if parameter.requires_grad]
    depth = max((layer(name, 0) for name, _ in named if name.startswith("blocks.")), default=0)
    groups: dict[tuple[bool, float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in named:
        shape = tuple(parameter.shape)
        with_muon = recipe.optimizer == "muon" and for_muon(name, shape)
        share = recipe.layer_decay ** (depth + 1 - layer(name, depth))
        if recipe.optimizer == "sgd" and name.startswith("stages.") and name.endswith(".bias"):
            share *= NORM_BIAS_SHARE
        key = with_muon, recipe.weight_decay if decays(name, shape) else 0.0, share
        groups.setdefault(key, []).append(parameter)

    def made(with_muon: bool) -> list[dict[str, Any]]:
        return [
            {"params": parameters, "weight_decay": decay, "share": share, "lr": share * recipe.scaled_learning_rate}
            for (muon, decay, share), parameters in groups.items()
            if muon == with_muon
        ]

    if recipe.optimizer == "sgd":
        return [torch.optim.SGD(made(False), momentum=0.85, nesterov=True)]
    found: list[torch.optim.Optimizer] = [torch.optim.AdamW(made(False), eps=1e-8)]
    if matrices := made(True):
        found.append(Muon(matrices))
    return found


def set_learning_rate(found: Iterable[torch.optim.Optimizer], value: float) -> None:
    """Give every group of every optimizer its share of this rate."""
    for optimizer in found:
        for group in optimizer.param_groups:
            group["lr"] = group["share"] * value


@torch.no_grad()
def update_average(
    average: Mapping[str, torch.Tensor], current: Mapping[str, torch.Tensor], *, step: int, recipe: Recipe
) -> None:
    r"""Exponential moving average, in place: $\bar w \leftarrow \beta_\text{ema} \bar w + (1 - \beta_\text{ema}) w$.

    Args:
        average: changed.
        current: of the same names and shapes; integers are copied.
        step: how many steps were made before this one.
        recipe: has the decay, and whether it starts low.
    """
    decay = recipe.ema_decay
    assert decay is not None
    if recipe.ema_warmup:
        decay = min(decay, (1 + step) / (10 + step))
    for name, value in current.items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - decay)
        else:
            average[name].copy_(value)
