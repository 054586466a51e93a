"""The state of a run, and its checkpoints, written so that a crash leaves the last one whole."""

import dataclasses
import os
import time
from pathlib import Path
from typing import Any

import torch

from deit_ref.training.optimization import optimizers
from deit_ref.training.recipe import Recipe

NAME = "checkpoint.pt"
_VERSION = 1


class State:
    """All that the next step of a run depends on.

    What is random is not among it, because it follows from the seed and the step (see `batches`).

    Attributes:
        module, optimizers: as they are after `step` steps.
        average: of the module's state, under its names; kept up to date if the recipe has an `ema_decay`.
        sums: loss, hits and photos since the epoch began.
        step: how many steps were made.
    """

    def __init__(self, module: torch.nn.Module, recipe: Recipe, *, seed: int) -> None:
        self.module, self.recipe, self.seed = module, recipe, seed
        # Parameters by the names of checkpoints, with dots.
        self.optimizers = optimizers(((n.replace("/", "."), p) for n, p in module.named_parameters()), recipe)
        self.average = {name: value.detach().clone() for name, value in module.state_dict().items()}
        self.sums = torch.zeros(3, dtype=torch.float64)
        self.step, self._began = 0, time.monotonic()

    @property
    def seconds(self) -> float:
        """How long the run has taken; what lies between a checkpoint and its resumption does not count."""
        return time.monotonic() - self._began

    @property
    def learned(self) -> dict[str, torch.Tensor]:
        """The weights that are evaluated and kept: the average, or the module's own if the recipe has none."""
        return self.module.state_dict() if self.recipe.ema_decay is None else self.average

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "recipe": dataclasses.asdict(self.recipe),
            "seed": self.seed,
            "step": self.step,
            "seconds": self.seconds,
            "module": self.module.state_dict(),
            "average": self.average,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "sums": self.sums,
        }

    def resume(self, folder: Path, *, device: torch.device) -> None:
        """Go on from the checkpoint in a folder.

        Raises:
            ValueError: there is none, it cannot be read, or it is of another recipe or seed.
        """
        saved, mine = load_state(folder, device=device), {**dataclasses.asdict(self.recipe), "seed": self.seed}
        theirs = {**saved["recipe"], "seed": saved["seed"]}
        if names := [name for name in mine if mine[name] != theirs.get(name)]:
            different = "; ".join(f"{name} {theirs.get(name)!r}, now {mine[name]!r}" for name in names)
            raise ValueError(
                f"The run in {folder} was begun with another recipe: {different}. Resume it with the same recipe, or "
                "choose another folder."
            )
        self.module.load_state_dict(saved["module"])
        self.average.update(saved["average"])
        for optimizer, values in zip(self.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(values)
        self.sums, self.step, self._began = saved["sums"].cpu(), saved["step"], time.monotonic() - saved["seconds"]


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write the checkpoint beside its place and rename it, so that there is always a whole one.

    Raises:
        OSError: it could not be written, for example because the disk is full; the checkpoint before it is still there.
    """
    beside = folder / f".{NAME}.part"  # one name, so that what a killed process leaves is written over
    try:
        with open(beside, "wb") as file:
            torch.save({"version": _VERSION, **state}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, folder / NAME)
    except (OSError, RuntimeError) as error:  # torch's writer turns a full disk into a RuntimeError
        kept = f"; the checkpoint before it is still in {folder}" if (folder / NAME).exists() else ""
        raise OSError(
            f"The checkpoint could not be written to {folder} ({error}){kept}. Make room and resume."
        ) from error
    finally:
        beside.unlink(missing_ok=True)


def load_state(folder: Path, *, device: torch.device) -> dict[str, Any]:
    """The checkpoint in a folder. Nothing in it is executed.

    Raises:
        ValueError: there is none, or it cannot be read.
    """
    path = folder / NAME
    if not path.is_file():
        raise ValueError(f"{folder} holds no {NAME} to resume from: leave out resume, or give the folder of a run.")
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path} cannot be read ({reason}): delete it and train again.") from error
    if not isinstance(state, dict) or state.get("version") != _VERSION:
        raise ValueError(f"{path} is no checkpoint of this version of deit_ref: delete it and train again.")
    return state
