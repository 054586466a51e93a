"""The state of a run, and its checkpoints, written so that a crash leaves the last one whole."""

import dataclasses
import math
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from deit_ref import checks
from deit_ref.checkpoints.files import RUN_STATE
from deit_ref.training.fingerprint import differences
from deit_ref.training.optimization import optimizers
from deit_ref.training.recipe import Recipe

NAME = RUN_STATE
REMEDY = "delete the folder and train again, or take the checkpoint from a backup"
_VERSION = 2


class State:
    """All that the next step of a run depends on.

    What is random is not among it, because it follows from the seed and the step (see `batches`).

    Attributes:
        module, optimizers: as they are after `step` steps.
        average: of the module's state, under its names; kept up to date if the recipe has an `ema_decay`.
        sums: loss, hits and photos since the epoch began.
        step: how many steps were made.
        seconds, epoch_seconds: that steps took, in all and since the epoch began.
        runs_on: the fingerprint of what the run runs on.
    """

    def __init__(
        self, module: torch.nn.Module, recipe: Recipe, *, seed: int, runs_on: Mapping[str, Any] | None = None
    ) -> None:
        self.module, self.recipe, self.seed, self.runs_on = module, recipe, seed, runs_on
        # Parameters by the names of checkpoints, with dots.
        self.optimizers = optimizers(((n.replace("/", "."), p) for n, p in module.named_parameters()), recipe)
        self.average = {name: value.detach().clone() for name, value in module.state_dict().items()}
        self.sums = torch.zeros(3, dtype=torch.float64)
        self.step, self.seconds, self.epoch_seconds = 0, 0.0, 0.0

    @property
    def learned(self) -> dict[str, torch.Tensor]:
        """The weights that are evaluated and kept: the average, or the module's own if the recipe has none."""
        return self.module.state_dict() if self.recipe.ema_decay is None else self.average

    def took(self, seconds: float) -> None:
        """Add what a step took."""
        self.seconds, self.epoch_seconds = self.seconds + seconds, self.epoch_seconds + seconds

    def begin_epoch(self) -> None:
        """Count from nothing."""
        self.sums, self.epoch_seconds = torch.zeros_like(self.sums), 0.0

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "recipe": dataclasses.asdict(self.recipe),
            "seed": self.seed,
            "runs_on": self.runs_on,
            "step": self.step,
            "seconds": self.seconds,
            "epoch_seconds": self.epoch_seconds,
            "module": dict(self.module.state_dict()),
            "average": self.average,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "sums": self.sums,
        }

    def resume(self, folder: Path, *, steps: int, device: torch.device) -> None:
        """Go on from the checkpoint in a folder.

        Args:
            folder: of the run.
            steps: of the whole run; a checkpoint after more is damaged.
            device: of the module.

        Raises:
            ValueError: there is none, it is damaged, or it is of another recipe or seed or of other photos, weights or
                teachers.
        """
        saved, mine = load_state(folder, device=device), self.state_dict()
        damaged = f"{folder / NAME} is damaged, its"
        remedy = f"{REMEDY}."
        for name, value in mine.items():
            if type(saved.get(name)) is not type(value):
                kind = f"expected {type(value).__name__}, got {type(saved.get(name)).__name__}"
                raise ValueError(f"{damaged} {name!r} is none ({kind}): {remedy}")
        self._check_same(saved, folder)
        if not 0 <= saved["step"] <= steps:
            raise ValueError(f"{damaged} 'step' is {saved['step']}, expected 0 to {steps}: {remedy}")
        for name in ("seconds", "epoch_seconds"):
            if not 0 <= saved[name] < math.inf:
                raise ValueError(f"{damaged} {name!r} is {saved[name]}, expected a time: {remedy}")
        for name in ("module", "average", "sums"):
            if problem := _problem(mine[name], saved[name]):
                raise ValueError(f"{damaged} {name!r} {problem}: {remedy}")
        self.module.load_state_dict(saved["module"])
        self.average.update(saved["average"])
        try:
            for optimizer, values in zip(self.optimizers, saved["optimizers"], strict=True):
                optimizer.load_state_dict(values)
                _check_moments(optimizer)
        except Exception as error:  # torch looks for nothing in particular
            reason = checks.one_line(error) or type(error).__name__
            raise ValueError(f"{damaged} 'optimizers' do not fit ({reason}): {remedy}") from error
        self.sums, self.step = saved["sums"].cpu(), saved["step"]
        self.seconds, self.epoch_seconds = saved["seconds"], saved["epoch_seconds"]

    def _check_same(self, saved: Mapping[str, Any], folder: Path) -> None:
        # What an earlier version had no name for, it did as the paper's recipe does.
        usual = dataclasses.asdict(Recipe())
        mine, theirs = ({**usual, **state["recipe"], "seed": state["seed"]} for state in (self.state_dict(), saved))
        if names := [name for name in mine if mine[name] != theirs.get(name)]:
            different = "; ".join(f"{name} {theirs.get(name)!r}, now {mine[name]!r}" for name in names)
            raise ValueError(
                f"The run in {folder} was begun with another recipe: {different}. Resume it with the same recipe, or "
                "choose another folder."
            )
        if self.runs_on is None:
            return
        try:
            different = "; ".join(differences(saved["runs_on"], self.runs_on))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{folder / NAME} is damaged, its 'runs_on' cannot be read: {REMEDY}.") from error
        if different:
            raise ValueError(
                f"The run in {folder} was begun with something else: {different}. Resume it with the same, or choose "
                "another folder."
            )


def _problem(mine: Any, saved: Any) -> str | None:
    """Why tensors, or a dictionary of them, cannot take the place of others."""
    if isinstance(mine, dict):
        if mine.keys() != saved.keys():
            return f"holds other names ({checks.some(sorted(map(str, mine.keys() ^ saved.keys())))})"
        problems = (f"{name}: {problem}" for name in mine if (problem := _problem(mine[name], saved[name])))
        return next(problems, None)
    if not isinstance(saved, torch.Tensor) or (saved.shape, saved.dtype) != (mine.shape, mine.dtype):
        return f"is not a tensor of {mine.dtype} and shape {tuple(mine.shape)}"
    return None


def _check_moments(optimizer: torch.optim.Optimizer) -> None:
    for parameter, moments in optimizer.state.items():
        for name, value in moments.items():
            if isinstance(value, torch.Tensor) and value.ndim and value.shape != parameter.shape:
                raise ValueError(f"{name} has the shape {tuple(value.shape)}, expected {tuple(parameter.shape)}")


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
        kept, again = "", "run the same command again"
        if (folder / NAME).exists():
            kept, again = f"; the checkpoint before it is still in {folder}", "resume"
        raise OSError(
            f"The checkpoint could not be written to {folder} ({error}){kept}. Make room and {again}."
        ) from error
    finally:
        beside.unlink(missing_ok=True)


def checkpoint_of(folder: Path) -> Path:
    """The checkpoint file of a run.

    Raises:
        ValueError: there is none.
    """
    if not (folder / NAME).is_file():
        raise ValueError(f"{folder} holds no {NAME} to resume from: leave out resume, or give the folder of a run.")
    return folder / NAME


def load_state(folder: Path, *, device: torch.device) -> dict[str, Any]:
    """The checkpoint in a folder. Nothing in it is executed.

    Raises:
        ValueError: there is none, or it has changed since it was written.
    """
    path = checkpoint_of(folder)
    try:
        with zipfile.ZipFile(path) as parts:  # torch itself compares no checksums
            if broken := parts.testzip():
                raise ValueError(f"{broken} has changed since it was written")
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:
        reason = checks.one_line(str(error).splitlines()[0] if str(error) else type(error).__name__)
        raise ValueError(f"{path} is damaged ({reason}): {REMEDY}.") from error
    if not isinstance(state, dict) or state.get("version") != _VERSION:
        raise ValueError(f"{path} is not a checkpoint of this version of deit_ref: {REMEDY}.")
    return state
