"""Photos of another size: what weights know of them, before and after a short fine-tuning, with positions three ways.

    python -m deit_ref.benchmark.resolution --data cifar10/ --weights cifar10-distilled --out runs/ --json table.json

Source: Touvron et al. 2019 ("Fixing the train-test resolution discrepancy"); Touvron et al. 2021, section 3.
"""

import argparse
import dataclasses
import logging
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from deit_ref import checks
from deit_ref.benchmark import records
from deit_ref.benchmark.inside import accuracy, head_logits, seen
from deit_ref.benchmark.runs import trained_once
from deit_ref.checkpoints.files import json_bytes, write
from deit_ref.checkpoints.load import load_weights
from deit_ref.data.images import ImageSet
from deit_ref.data.opening import open_splits
from deit_ref.training.prepared import kept
from deit_ref.training.recipe import RECIPES, Recipe
from deit_ref.training.student import processing_of
from deit_ref.weights import DeiTWeights, named_arrays, weights_from_arrays

SIZES = (24, 32, 40, 48)
# Options of F.interpolate. Bicubic is this project's, the original repository's and transformers'; timm smooths, which
# also takes another cubic; ViT's own code takes scipy's zoom of order 1, whose corners stay in their places.
WAYS: Mapping[str, Mapping[str, Any]] = {
    "bicubic": {"mode": "bicubic", "align_corners": False},
    "bicubic, smoothed": {"mode": "bicubic", "align_corners": False, "antialias": True},
    "linear, corners in place": {"mode": "bilinear", "align_corners": True},
}


def resized(weights: DeiTWeights, image_size: int, way: str) -> DeiTWeights:
    """The same weights, in NumPy, for photos of another size: with positions interpolated in one of the `WAYS`."""
    config = dataclasses.replace(weights.config, image_size=image_size)
    arrays, prefix = dict(named_arrays(weights.to("torch"))), config.num_prefix_tokens
    if config.grid != weights.config.grid:
        plane = arrays["pos_embed"][:, prefix:].reshape(1, *weights.config.grid, -1).permute(0, 3, 1, 2)
        plane = F.interpolate(plane, size=config.grid, **WAYS[way])  # (1, dim, rows, columns)
        arrays["pos_embed"] = torch.cat([arrays["pos_embed"][:, :prefix], plane.flatten(2).transpose(1, 2)], dim=1)
    processing = processing_of(Recipe(image_size=image_size), weights)
    found = weights_from_arrays(
        arrays, config, weights.task, image_processing=processing, class_names=weights.class_names
    )
    return found.to("numpy")


def measured(weights: DeiTWeights, images: ImageSet) -> float:
    """The accuracy of these weights, which are for photos of the size that their own processing makes."""
    pixel_values, labels = seen(images, weights.image_processing)
    return accuracy(head_logits(weights.to("torch"), pixel_values), labels)


def tuned(weights: DeiTWeights, splits: Mapping[str, ImageSet], recipe: Recipe, folder: Path) -> DeiTWeights:
    """The weights after some epochs at their size; a run that is finished is taken as it is."""
    trained_once(recipe, splits, folder, start=weights)
    return load_weights(folder)


def main(argv: list[str] | None = None) -> int:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(prog="python -m deit_ref.benchmark.resolution", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="photos with a train and a test part")
    parser.add_argument("--weights", default="cifar10-distilled", help="(default: cifar10-distilled)")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="N", help="(default: 24 32 40 48)")
    parser.add_argument("--epochs", type=int, default=0, help="of fine-tuning at each size (default: 0, none)")
    parser.add_argument(
        "--tuned", nargs="+", choices=WAYS, default=[*WAYS], metavar="WAY", help="fine-tune from these (default: all)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="gets a folder for each fine-tuning")
    parser.add_argument("--json", type=Path, metavar="FILE", help="gets all numbers, after each measurement")
    args = parser.parse_args(argv)
    if args.epochs and args.out is None:
        parser.error("expected --out with --epochs: fine-tuning needs a folder")
    stored = load_weights(args.weights)
    splits = {name: kept(images) for name, images in open_splits(args.data, stored.image_processing).items()}
    found: dict[str, dict[str, float]] = {}
    for size in args.sizes:
        for way in WAYS:
            weights, name = resized(stored, size, way), f"{size} pixels, {way}"
            found[name] = {"before": measured(weights, splits["test"])}
            if args.epochs and way in args.tuned:
                recipe = RECIPES["cifar10-finetune"].of_size(size)
                recipe = recipe.with_changes(epochs=args.epochs, warmup_epochs=args.epochs / 10)
                folder = args.out / f"{size}-{way.replace(', ', '-').replace(' ', '-')}"
                found[name]["after"] = measured(tuned(weights, splits, recipe, folder), splits["test"])
            if args.json is not None:
                write(args.json, json_bytes(_record(args, found, len(splits["test"]))))
    print(records.markdown(*table(found)))
    return 0


def table(found: Mapping[str, Mapping[str, float]]) -> tuple[list[str], Sequence[list[str]]]:
    """Columns and rows, in percent."""
    rows = [
        [name, f"{values['before']:.2%}", f"{values['after']:.2%}" if "after" in values else ""]
        for name, values in found.items()
    ]
    return ["size, positions", "accuracy", "after fine-tuning"], rows


def _record(args: argparse.Namespace, found: Mapping[str, Any], photos: int) -> dict[str, Any]:
    words = ["resolution", "--data", args.data.name, "--weights", Path(args.weights).name]
    words += [] if tuple(args.sizes) == SIZES else ["--sizes", *map(str, args.sizes)]
    notes = [f"On {photos:,} test photos, the mean of both heads."]
    if args.epochs:
        words += ["--epochs", str(args.epochs), *(["--tuned", *args.tuned] if set(args.tuned) < set(WAYS) else [])]
        notes.append(f"Fine-tuning: {checks.amount(args.epochs, 'epoch')} at the new size.")
    return records.record(shlex.join(words), *table(found), notes=notes, results=found)


if __name__ == "__main__":
    logging.getLogger("deit_ref").setLevel(logging.ERROR)  # of many runs alike, the table alone is read
    sys.exit(main())
