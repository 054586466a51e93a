"""What a run tells about itself: a line of metrics.jsonl for each epoch, and a bar on the terminal."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from deit_ref.training.recipe import Recipe

METRICS = "metrics.jsonl"


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run, one for each epoch; none where there is no file yet."""
    path = folder / METRICS
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]  # a crash may have cut the last one off


def cut_metrics(folder: Path, step: int) -> None:
    """Drop the lines of steps after the checkpoint, which will be made again."""
    kept = [line for line in read_metrics(folder) if line["step"] <= step]
    (folder / METRICS).write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")


def add_metrics(folder: Path, line: Mapping[str, Any]) -> None:
    """Write the line of an epoch after those of the epochs before."""
    with open(folder / METRICS, "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def means(sums: torch.Tensor, *, counted: bool) -> dict[str, float]:
    """Mean loss and, where hits are counted, their share, from (loss, hits, photos)."""
    loss, hits, photos = sums.tolist()
    return {"loss": loss / photos, **({"accuracy": hits / photos} if counted else {})}


def progress_bar(total: int, start: int, *, shown: bool) -> Any:
    """A bar of steps on standard error."""
    from tqdm import tqdm

    return tqdm(total=total, initial=start, unit="step", mininterval=1.0, dynamic_ncols=True, disable=not shown)


def show(bar: Any, so_far: Mapping[str, float], *, epoch: float, recipe: Recipe) -> None:
    """Move the bar by a step, and say beside it how the epoch goes."""
    bar.update(1)
    accuracy = f", accuracy {so_far['accuracy']:.1%}" if "accuracy" in so_far else ""
    bar.set_postfix_str(
        f"epoch {epoch:.2f}/{recipe.epochs}, loss {so_far['loss']:.4f}{accuracy}, "
        f"{(bar.format_dict['rate'] or 0) * recipe.batch_size:.0f} photos/s",
        refresh=False,
    )
