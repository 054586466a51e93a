"""Objectives: what each kind of training makes small.

Source: Touvron et al. 2021, equations 2 and 3; losses.py of facebookresearch/deit; Xie et al. 2022, section 3.4.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
import torch

from deit_ref.config import DeiTConfig
from deit_ref.outputs import TeacherOutput
from deit_ref.torch_backend.losses import cross_entropy, hard_distillation, soft_distillation
from deit_ref.training.batches import Batch, step_seed
from deit_ref.training.masking import random_masks
from deit_ref.training.recipe import Recipe
from deit_ref.training.teacher import Teach


class Goal(NamedTuple):
    """loss: one number. hits: how many photos were classified as their largest target, or None where none is."""

    loss: torch.Tensor
    hits: torch.Tensor | None


# The module, a batch and a generator for dropout and masks, to what shall become small.
Objective: TypeAlias = Callable[[torch.nn.Module, Batch, torch.Generator], Goal]


def from_labels(module: torch.nn.Module, batch: Batch, generator: torch.Generator) -> Goal:
    """Cross entropy of plain logits: how the teacher learns."""
    logits = _wide(module(batch.pixel_values))  # (batch, classes)
    return Goal(cross_entropy(logits, batch.targets), _hits(logits, batch.targets))


def classification(recipe: Recipe, *, teach: Teach | None) -> Objective:
    """A student's cross entropy, with or without a teacher.

    Without one, both heads of a student with two tokens learn from the labels. With one, the class token learns from
    the labels and the distillation token from the teacher, who sees the same augmented, mixed photos, unless the batch
    has others for it.

    With `shared_targets` every head learns from both.

    Args:
        recipe: distillation, alpha, tau, soft_division, shared_targets, drop_path, shrunk_share.
        teach: normalized photos, as the student sees them, to logits; needed exactly if there is distillation.

    Raises:
        ValueError: a teacher without distillation, or distillation without a teacher or, unless targets are shared, a
            second head.
    """
    if (teach is None) != (recipe.distillation == "none"):
        raise ValueError(
            f"distillation={recipe.distillation!r} and teacher={teach!r} do not go together: "
            "'soft' and 'hard' need a teacher, 'none' has none."
        )

    taught: Callable[..., torch.Tensor] = partial(hard_distillation, alpha=recipe.alpha)
    if recipe.distillation == "soft":
        taught = partial(soft_distillation, alpha=recipe.alpha, tau=recipe.tau, divided_by=recipe.soft_division)

    def objective(module: torch.nn.Module, batch: Batch, generator: torch.Generator) -> Goal:
        output = module(
            batch.pixel_values,
            drop_path=recipe.drop_path,
            interpolate_pos_encoding=recipe.shrunk_share > 0,
            generator=generator,
        )
        logits, targets = _wide(output.logits), batch.targets
        hits = _hits(logits, targets)
        if isinstance(output, TeacherOutput):
            cls_logits, distillation_logits = _wide(output.cls_logits), _wide(output.distillation_logits)
        elif teach is None or recipe.shared_targets:
            cls_logits = distillation_logits = logits
        else:
            raise ValueError(
                f"distillation={recipe.distillation!r} needs a student with two heads, this one has only logits: use a "
                'model with a distillation token and the task "classification-with-teacher", or shared_targets=True.'
            )
        if teach is None:
            loss = 0.5 * (cross_entropy(cls_logits, targets) + cross_entropy(distillation_logits, targets))
            return Goal(loss, hits)
        with torch.no_grad():
            teacher_logits = _wide(teach(batch.pixel_values if batch.for_teacher is None else batch.for_teacher))
        if teacher_logits.shape != cls_logits.shape:
            raise ValueError(
                f"The teacher's logits have shape {tuple(teacher_logits.shape)}, the student's "
                f"{tuple(cls_logits.shape)}: both must know the same classes."
            )
        loss = taught(cls_logits, distillation_logits, teacher_logits, targets)
        if recipe.shared_targets:
            loss = 0.5 * (loss + taught(distillation_logits, cls_logits, teacher_logits, targets))
        return Goal(loss, hits)

    return objective


def masked_image_modeling(recipe: Recipe, config: DeiTConfig) -> Objective:
    """SimMIM: the masked L1 between hidden pixels and what the decoder drew."""

    def objective(module: torch.nn.Module, batch: Batch, generator: torch.Generator) -> Goal:
        masks = random_masks(
            len(batch.pixel_values),
            config.grid,
            ratio=recipe.mask_ratio,
            block=recipe.mask_block,
            generator=np.random.default_rng(step_seed(generator.initial_seed(), 2)),
        )
        hidden = torch.from_numpy(masks).to(batch.pixel_values.device)
        output = module(batch.pixel_values, bool_masked_pos=hidden, drop_path=recipe.drop_path, generator=generator)
        return Goal(_wide(output.loss), None)

    return objective


def _wide(values: torch.Tensor) -> torch.Tensor:
    """Half precision as float32, in which losses are computed; float64 stays."""
    return values.float() if values.dtype.itemsize == 2 else values


def _hits(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (logits.argmax(dim=1) == targets.argmax(dim=1)).sum()
