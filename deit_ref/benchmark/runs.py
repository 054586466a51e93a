"""Runs of a benchmark: each is trained once, in a folder of its own."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deit_ref.arrays import digest_of_arrays
from deit_ref.checkpoints.files import read_json
from deit_ref.data.images import ImageSet
from deit_ref.training.recipe import Recipe
from deit_ref.training.run import train
from deit_ref.training.state import NAME
from deit_ref.weights import DeiTWeights, named_arrays


def trained_once(
    recipe: Recipe,
    splits: Mapping[str, ImageSet],
    folder: Path,
    *,
    teacher: Any = None,
    start: DeiTWeights | None = None,
    seed: int = 0,
    **options: Any,
) -> None:
    """Train, or go on with a run that was cut off; one that is finished is taken as it is.

    Args:
        recipe, splits, folder, teacher, start, seed, options: as `train` takes them; a teacher has a digest.

    Raises:
        InUseError: another process is at work on it.
        ValueError: the folder holds a run of another recipe, teacher or seed, or that began or learned from others.
    """
    if not (folder / "config.json").exists():
        resume = (folder / NAME).exists()
        options = {"resume": resume, "assess_every": recipe.epochs, **options}
        train(recipe, splits, folder, teacher=teacher, start=start, seed=seed, **options)
        return
    usual = dataclasses.asdict(Recipe())  # what an earlier version had no name for
    before = read_json(folder / "config.json")["provenance"]
    mine, theirs = dataclasses.asdict(recipe), {**usual, **before["recipe"]}
    other = [f"{name} {theirs.get(name)!r}, now {mine[name]!r}" for name in mine if mine[name] != theirs.get(name)]
    if before["teacher"] != (None if teacher is None else teacher.digest):
        other.append("another teacher")
    if before["start"] != (None if start is None else digest_of_arrays(named_arrays(start))):
        other.append("other weights to begin with")
    if before["photos"]["train"]["digest"] != splits["train"].digest:
        other.append("other photos to learn from")
    if before["seed"] != seed:
        other.append(f"seed {before['seed']}, now {seed}")
    if other:
        raise ValueError(
            f"{folder} holds a run of something else ({'; '.join(other)}): choose another --out, or delete the folder."
        )
