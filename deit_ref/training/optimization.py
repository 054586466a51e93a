"""Optimization: how fast, which parameters, and the average of the weights.

Source: section 6 and table 9 of Touvron et al. 2021; create_scheduler, param_groups and ModelEma of timm as main.py of
facebookresearch/deit uses them; Jordan et al. 2024 for Muon, torch.optim.Muon for its code.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from deit_ref.training.recipe import Recipe


def learning_rate(recipe: Recipe, epoch: float) -> float:
    r"""The learning rate after `epoch` epochs, which need not be whole.

    $$\eta(e) = \eta_w + (\eta - \eta_w) \, e / e_w \; (e < e_w), \qquad
      \eta_\text{min} + \tfrac12 (\eta - \eta_\text{min}) (1 + \cos(\pi e / E))$$

    The cosine counts from the start, not from the end of the warm-up, so the highest rate is never quite reached.
    At whole epochs this is the original's schedule, which holds the rate within an epoch; here it moves every step.
    """
    highest = recipe.scaled_learning_rate
    if epoch < recipe.warmup_epochs:
        low = recipe.warmup_learning_rate
        return low + (highest - low) * epoch / recipe.warmup_epochs
    low = recipe.min_learning_rate
    return low + 0.5 * (highest - low) * (1 + math.cos(math.pi * min(epoch / recipe.epochs, 1)))


def decays(name: str, shape: tuple[int, ...]) -> bool:
    """Whether weight decay pulls at this parameter: only at matrices and kernels; tokens and positions are none."""
    return len(shape) >= 2 and name not in ("cls_token", "dist_token", "mask_token", "pos_embed")


def for_muon(name: str, shape: tuple[int, ...]) -> bool:
    """Whether Muon takes this parameter: a matrix from features to features, in a block or the teacher's stages."""
    return len(shape) == 2 and name.startswith(("blocks.", "stages."))


def optimizers(
    named_parameters: Iterable[tuple[str, torch.nn.Parameter]], recipe: Recipe
) -> list[torch.optim.Optimizer]:
    """The optimizers of a recipe, one or two; every parameter that requires a gradient is in one of their groups."""
    rate = recipe.scaled_learning_rate
    named = [(name, parameter) for name, parameter in named_parameters if parameter.requires_grad]
    matrices = [p for name, p in named if recipe.optimizer == "muon" and for_muon(name, tuple(p.shape))]
    taken = {id(parameter) for parameter in matrices}
    rest = [(name, p) for name, p in named if id(p) not in taken]
    groups: list[dict[str, Any]] = [
        {"params": [p for name, p in rest if decays(name, tuple(p.shape))], "weight_decay": recipe.weight_decay},
        {"params": [p for name, p in rest if not decays(name, tuple(p.shape))], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if recipe.optimizer == "sgd":
        return [torch.optim.SGD(groups, lr=rate, momentum=0.85, nesterov=True)]
    found: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=rate, eps=1e-8)]
    if matrices:
        # Its steps are as long as AdamW's usual ones, so that both share one learning rate.
        decay = recipe.weight_decay
        found.append(torch.optim.Muon(matrices, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"))
    return found


def set_learning_rate(found: Iterable[torch.optim.Optimizer], value: float) -> None:
    """Give every group of every optimizer this rate."""
    for optimizer in found:
        for group in optimizer.param_groups:
            group["lr"] = value


@torch.no_grad()
def update_average(
    average: Mapping[str, torch.Tensor], current: Mapping[str, torch.Tensor], *, step: int, recipe: Recipe
) -> None:
    r"""Exponential moving average, in place: $\bar w \leftarrow d \, \bar w + (1 - d) \, w$.

    Args:
        average: changed.
        current: of the same names and shapes; integers are copied.
        step: how many steps were made before this one.
        recipe: has the decay d, and whether it starts low.
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
