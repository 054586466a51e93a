"""Objectives: what each kind of training makes small.

Source: Touvron et al. 2021, equations 2 and 3; losses.py of facebookresearch/deit; Xie et al. 2022, section 3.4.
"""

from collections.abc import Callable
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
    logits = module(batch.pixel_values).float()  # (batch, classes)
    return Goal(cross_entropy(logits, batch.targets), _hits(logits, batch.targets))


def classification(recipe: Recipe, *, teach: Teach | None) -> Objective:
    """A student's cross entropy, with or without a teacher.

    Without one, both heads of a student with two tokens learn from the labels. With one, the class token learns from
    the labels and the distillation token from the teacher, who sees the same augmented, mixed photos, unless the batch
    has others for it.

    Args:
        recipe: distillation, alpha, tau, drop_path.
        teach: normalized photos, as the student sees them, to logits; needed exactly if there is distillation.

    Raises:
        ValueError: a teacher without distillation, or distillation without a teacher or a second head.
    """
    if (teach is None) != (recipe.distillation == "none"):
        raise ValueError(
            f"distillation={recipe.distillation!r} and teacher={teach!r} do not go together: "
            "'soft' and 'hard' need a teacher, 'none' has none."
        )

    def objective(module: torch.nn.Module, batch: Batch, generator: torch.Generator) -> Goal:
        output = module(batch.pixel_values, drop_path=recipe.drop_path, generator=generator)
        logits, targets = output.logits.float(), batch.targets
        hits = _hits(logits, targets)
        if not isinstance(output, TeacherOutput):
            if teach is not None:
                raise ValueError(
                    f"distillation={recipe.distillation!r} needs a student with two heads, this one has only logits: "
                    'use a model with a distillation token and the task "classification-with-teacher".'
                )
            return Goal(cross_entropy(logits, targets), hits)
        cls_logits, distillation_logits = output.cls_logits.float(), output.distillation_logits.float()
        if teach is None:
            loss = 0.5 * (cross_entropy(cls_logits, targets) + cross_entropy(distillation_logits, targets))
            return Goal(loss, hits)
        with torch.no_grad():
            teacher_logits = teach(batch.pixel_values if batch.for_teacher is None else batch.for_teacher).float()
        if teacher_logits.shape != cls_logits.shape:
            raise ValueError(
                f"The teacher's logits have shape {tuple(teacher_logits.shape)}, the student's "
                f"{tuple(cls_logits.shape)}: both must know the same classes."
            )
        if recipe.distillation == "hard":
            loss = hard_distillation(cls_logits, distillation_logits, teacher_logits, targets, alpha=recipe.alpha)
        else:
            loss = soft_distillation(
                cls_logits, distillation_logits, teacher_logits, targets, alpha=recipe.alpha, tau=recipe.tau
            )
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
        return Goal(output.loss.float(), None)

    return objective


def _hits(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (logits.argmax(dim=1) == targets.argmax(dim=1)).sum()
