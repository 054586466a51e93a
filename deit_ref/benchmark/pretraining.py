"""Whether masked pre-training helps: students of few labeled photos, from weights that draw and from new ones.

    python -m deit_ref.benchmark.pretraining --data cifar10/ --out runs/ --json table.json

Every student learns from the same photos of its seed. New weights may need a higher rate than ones that know something,
and longer to get where those begin, so both are tried at two rates, for few epochs and for more. A run that is finished
is taken as it is.

Source: Xie et al. 2022 (SimMIM), section 4.1, which fine-tunes on all labels.
"""

import argparse
import itertools
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deit_ref import checks
from deit_ref.benchmark import records
from deit_ref.benchmark.runs import trained_once
from deit_ref.benchmark.tables import spread
from deit_ref.checkpoints.files import json_bytes, write
from deit_ref.checkpoints.load import load_weights
from deit_ref.data.images import ImageSet, subset
from deit_ref.data.opening import open_splits
from deit_ref.training.metrics import read_metrics
from deit_ref.training.prepared import kept
from deit_ref.training.recipe import RECIPES

RATES = (5e-4, 2e-3)  # of the recipe cifar10-finetune, and of the recipes that begin with new weights
STARTS = ("new weights", "after masked pre-training")


def few(images: ImageSet, each: int, *, seed: int) -> ImageSet:
    """So many photos of each class, drawn from the seed."""
    generator = np.random.default_rng(seed)
    places = [generator.permutation(np.flatnonzero(images.labels == label)) for label in range(len(images.class_names))]
    if min(map(len, places)) < each:
        raise ValueError(f"each must be at most the {min(map(len, places))} photos of the smallest class, got {each}.")
    return subset(images, np.sort(np.concatenate([some[:each] for some in places])))


def table(found: Mapping[str, Mapping[str, Sequence[float]]]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows: a way to begin in each row, a number of epochs in each column."""
    lengths = list(dict.fromkeys(length for values in found.values() for length in values))
    rows = [
        [name, *(spread(values[length]) if length in values else "" for length in lengths)]
        for name, values in found.items()
    ]
    return ["start, highest learning rate", *(checks.amount(int(length), "epoch") for length in lengths)], rows


def main(argv: list[str] | None = None) -> int:
    """Train, measure, print and write the table."""
    parser = argparse.ArgumentParser(prog="python -m deit_ref.benchmark.pretraining", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="photos with a train and a test part")
    parser.add_argument("--weights", default="cifar10-simmim", help="that learned to draw (default: cifar10-simmim)")
    parser.add_argument("--each", type=int, default=500, metavar="N", help="labeled photos of a class (default: 500)")
    parser.add_argument("--epochs", type=int, nargs="+", default=[10, 40], metavar="N", help="(default: 10 and 40)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="how many (default: 3)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets a folder for each run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="gets all numbers, after each run")
    args = parser.parse_args(argv)
    drawn = load_weights(args.weights)
    splits = {name: kept(images) for name, images in open_splits(args.data, drawn.image_processing).items()}
    found: dict[str, dict[str, list[float]]] = {f"{start}, {rate:g}": {} for start in STARTS for rate in RATES}
    for epochs, seed in itertools.product(args.epochs, range(args.seeds)):
        some = {"train": few(splits["train"], args.each, seed=seed), "test": splits["test"]}
        for name, values in found.items():
            start, _, rate = name.rpartition(", ")
            recipe = RECIPES["cifar10-finetune"].with_changes(
                epochs=epochs, warmup_epochs=epochs / 10, learning_rate=float(rate)
            )
            folder = args.out / f"{name.replace(', ', '-').replace(' ', '-')}-{epochs}-epochs-{seed}"
            weights = drawn if start == STARTS[1] else None
            trained_once(recipe, some, folder, start=weights, seed=seed)
            values.setdefault(str(epochs), []).append(float(read_metrics(folder)[-1]["test"]["top1"]))
            if args.json is not None:
                write(args.json, json_bytes(_record(args, found)))
    print(records.markdown(*table(found)))
    return 0


def _record(args: argparse.Namespace, found: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, Any]:
    done = {name: values for name, values in found.items() if values}
    notes = [
        f"In percent of the test photos, the mean of both heads, mean ± standard deviation of {args.seeds} seeds: each "
        f"draws its own {args.each} labeled photos of a class."
    ]
    epochs = " ".join(map(str, args.epochs))
    command = f"pretraining --data {args.data.name} --each {args.each} --epochs {epochs} --seeds {args.seeds}"
    return records.record(command, *table(done), notes=notes, results=done)


if __name__ == "__main__":
    logging.getLogger("deit_ref").setLevel(logging.ERROR)  # of many runs alike, the table alone is read
    sys.exit(main())
