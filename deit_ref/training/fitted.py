"""A recipe fitted to the number of photos: what was chosen for thousands would never begin to learn from ninety."""

import math
from collections.abc import Collection
from typing import Any

from deit_ref import checks
from deit_ref.training.recipe import Recipe

LEAST_STEPS = 300  # fewer do not move weights far enough, however often a photo is seen
_STEPS_PER_EPOCH = 4
_WARMUP_SHARE = 0.1  # of a run, where the recipe's own warm-up would take more than a quarter


def fitted(
    recipe: Recipe, photos: int, *, given: Collection[str] = (), processes: int = 1
) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe with what does not suit so few photos, or so few epochs, changed; values a user gave stay.

    - A batch is at most a quarter of the photos: a power of two, times the processes.
    - There are enough epochs for 300 steps; the warm-up grows with them.
    - A warm-up of more than a quarter of the epochs becomes one of a tenth: it would end after the learning rate has
      begun to fall, or never.
    - An average of the weights that remembers more than a fifth of the steps starts with a short memory: it would keep
      the weights that the run began with.

    Args:
        recipe: a named one, with a user's changes.
        photos: to learn from.
        given: fields that the user gave. They are not changed.
        processes: the batch is divided among them.

    Returns:
        The recipe, and for each field that was changed what and why, in words.

    Raises:
        ValueError: a given value cannot work: a batch of more than all photos, or a warm-up that never ends.
    """
    changes: dict[str, Any] = {}
    reasons = {}

    def change(name: str, value: Any, reason: str) -> None:
        if name not in given and value != getattr(recipe, name):
            changes[name], reasons[name] = value, reason

    if "batch_size" in given and recipe.batch_size > photos:
        raise ValueError(
            f"batch_size {recipe.batch_size} is more than the {checks.amount(photos, 'photo')}: choose a smaller one."
        )
    most = max(photos // (_STEPS_PER_EPOCH * processes), 1)
    if recipe.batch_size > most * processes:
        change(
            "batch_size",
            2 ** int(math.log2(most)) * processes,
            f"{'there is' if photos == 1 else 'there are'} {checks.amount(photos, 'photo')}",
        )
    steps_per_epoch = max(photos // changes.get("batch_size", recipe.batch_size), 1)
    if recipe.epochs * steps_per_epoch < LEAST_STEPS:
        enough = math.ceil(LEAST_STEPS / steps_per_epoch)
        change("epochs", enough, f"at {steps_per_epoch} steps each they make {enough * steps_per_epoch} steps")
    epochs = changes.get("epochs", recipe.epochs)
    if "epochs" in changes:
        change("warmup_epochs", round(recipe.warmup_epochs * epochs / recipe.epochs, 3), "it grows with the epochs")
    warmup = changes.get("warmup_epochs", recipe.warmup_epochs)
    if "warmup_epochs" in given and warmup >= epochs:
        raise ValueError(
            f"The learning rate would never be reached: warmup_epochs {warmup:g} of {epochs} epochs. Choose fewer."
        )
    if warmup > epochs / 4:
        change("warmup_epochs", round(_WARMUP_SHARE * epochs, 3), "a tenth of the epochs")
    memory = 0 if recipe.ema_decay is None else 1 / (1 - recipe.ema_decay)
    if memory > epochs * steps_per_epoch / 5:
        change("ema_warmup", True, f"the average would remember {memory:.0f} steps of {epochs * steps_per_epoch}")
    said = tuple(
        f"{name} {_shown(value)} instead of {_shown(getattr(recipe, name))} ({reasons[name]})"
        for name, value in changes.items()
    )
    return recipe.with_changes(**changes), said


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
