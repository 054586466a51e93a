"""The claim of the paper, reproduced small: what a student gains from a teacher.

    python -m deit_ref.benchmark.distillation --data cifar10/ --teacher cifar10-teacher --out runs/ \\
        --json table.json --png table.png

The same student, the same photos, the same number of epochs, several seeds; what differs is the teaching. Runs that are
already in `--out` are taken as they are, and a run that was cut off goes on: so the command may be given again.

Source: Touvron et al. 2021, table 3.
"""

import argparse
import dataclasses
import datetime
import os
import platform
import shlex
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deit_ref import plots
from deit_ref.checkpoints.files import json_bytes, write
from deit_ref.photos import write_png
from deit_ref.training.recipe import RECIPES, Recipe

# What is compared. Soft distillation has the temperature of the paper's text, and the teacher's share of the code: with
# the text's 0.1, divided by ten classes, the teacher would hardly be heard.
WAYS: Mapping[str, Mapping[str, Any]] = {
    "no teacher": {"distillation": "none"},
    "soft": {"distillation": "soft", "tau": 3.0},
    "hard": {"distillation": "hard"},
}
COLUMNS = ["taught by", "class head", "distillation head", "average"]
HEADS = {"class head": "cls_top1", "distillation head": "distillation_top1", "average": "top1"}


def run(recipe: Recipe, data: Path, folder: Path, *, teacher: Path, seed: int) -> dict[str, Any]:
    """Train one student, or go on with it, or take it as it is: the last line of its metrics."""
    import torch

    from deit_ref.training.metrics import read_metrics
    from deit_ref.training.run import train
    from deit_ref.training.state import NAME

    def finished() -> list[dict[str, Any]]:
        lines = read_metrics(folder)
        return lines if lines and lines[-1]["epoch"] == recipe.epochs else []

    if not finished():
        train(
            recipe,
            data,
            folder,
            teacher=None if recipe.distillation == "none" else teacher,
            seed=seed,
            resume=(folder / NAME).exists(),
            assess_every=recipe.epochs,
        )
    lines = finished()
    found = lines[-1]
    return {
        "seed": seed,
        "seconds": round(sum(line["seconds"] for line in lines), 1),
        "threads": torch.get_num_threads(),
        "train_accuracy": found["accuracy"],
        **{head: found["test"][key] for head, key in HEADS.items()},
    }


def rows(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[list[str]]:
    """Mean and standard deviation over the seeds, in percent, for each way and head."""
    found = []
    for way, runs in results.items():
        cells = [way]
        for head in HEADS:
            values = [100 * run[head] for run in runs]
            spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.2f}{spread}" if values else "")
        found.append(cells)
    return found


def table(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The rows as Markdown."""
    lines = [COLUMNS, ["---"] * len(COLUMNS), *rows(results)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def main(argv: list[str] | None = None) -> int:
    """Train all students, print the table, write the numbers."""
    parser = argparse.ArgumentParser(prog="python -m deit_ref.benchmark.distillation", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="photos with a train and a test part")
    parser.add_argument("--teacher", type=Path, required=True, metavar="DIR", help="a teacher of the same classes")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets a folder for each run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="gets all numbers, after each run")
    parser.add_argument("--png", type=Path, metavar="FILE", help="gets a chart of them, at the end")
    parser.add_argument("--recipe", choices=RECIPES, default="cifar10-table", help="(default: cifar10-table)")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument("--seeds", type=int, default=3, help="how many (default: 3)")
    args = parser.parse_args(argv)
    recipe = RECIPES[args.recipe]
    if args.epochs is not None:
        recipe = recipe.with_changes(epochs=args.epochs)
    results: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for seed in range(args.seeds):  # seed by seed, so that what is there can be compared at any time
        for way, changes in WAYS.items():
            folder = args.out / f"{way.replace(' ', '-')}-{seed}"
            taught = recipe.with_changes(**changes)
            results[way].append(run(taught, args.data, folder, teacher=args.teacher, seed=seed))
            if args.json is not None:
                write(args.json, json_bytes(_record(args, recipe, results)))
    print(table(results))
    if args.png is not None:
        write_png(args.png, plots.rendered(plots.distillation_chart(results)))
    return 0


def _record(args: argparse.Namespace, recipe: Recipe, results: Mapping[str, Any]) -> dict[str, Any]:
    import torch

    return {
        "command": "python -m deit_ref.benchmark.distillation " + shlex.join(_words(args)),
        "recipe": dataclasses.asdict(recipe),
        "ways": {way: dict(changes) for way, changes in WAYS.items()},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "date": datetime.date.today().isoformat(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "columns": COLUMNS,
        "rows": rows(results),
        "results": dict(results),
    }


def _words(args: argparse.Namespace) -> list[str]:
    words = ["--data", args.data.name, "--teacher", args.teacher.name, "--seeds", str(args.seeds)]
    return words + ([] if args.epochs is None else ["--epochs", str(args.epochs)])


if __name__ == "__main__":
    sys.exit(main())
