"""What a recipe makes of few photos: the measurements that the recipe own-photos was chosen by.

    python -m deit_ref.benchmark.own_photos --data cifar10/ --json table.json
    python -m deit_ref.benchmark.own_photos --draw photos/

The second line draws ninety photos as a phone would store them, to try `deit-ref finetune photos/ --out mine/` with.

Small sets of photos, each with more photos to judge by than to learn from; the bundled weights; one way of training
against another. What was measured is kept in the JSON file, and a command that was cut off goes on from it.
"""

import argparse
import dataclasses
import datetime
import json
import logging
import os
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from deit_ref.checkpoints.files import json_bytes, write
from deit_ref.checkpoints.load import load_weights
from deit_ref.data.images import ImageSet, subset
from deit_ref.data.opening import open_images
from deit_ref.photos import bundled_photo, load_image
from deit_ref.training.recipe import RECIPES

Array: TypeAlias = np.ndarray[Any, Any]

DRAWN = ("mug", "plant", "shoe")
ALIKE = ("cat", "deer", "dog")
SIDES = ("cat", "dog", "horse", "ship", "automobile")
# Changes of the recipe; "both" is whether both tokens learn.
WAYS: Mapping[str, Mapping[str, Any]] = {
    "own-photos": {},
    "both tokens": {"both": True},
    "the heads alone": {"layer_decay": 0.0, "learning_rate": 5e-3},
    "all layers alike": {"layer_decay": 1.0, "learning_rate": 5e-4},
    "layer_decay 0.65": {"layer_decay": 0.65},
    "learning_rate 1e-3": {"learning_rate": 1e-3},
    "mixup and cutmix": {"mixup": 0.8, "cutmix": 1.0, "mix_probability": 0.5},
    "48 pixels": {"image_size": 48},
    "half the steps": {"steps": 0.5},
    "twice the steps": {"steps": 2.0},
}
COLUMNS = ["what is changed", "mugs, plants, shoes", "cats, deer, dogs", "upright or not"]


def drawing(kind: str, size: tuple[int, int], generator: np.random.Generator) -> Any:
    """A mug, a plant or a shoe in any color, before a part of a bundled photo: a PIL image of (width, height)."""
    from PIL import Image, ImageDraw

    width, height = size
    name = ("chelsea", "coffee", "rocket")[generator.integers(3)]
    whole = Image.fromarray(load_image(bundled_photo(name)))
    wide = int(generator.integers(120, whole.height))
    high = wide * 3 // 4
    left, top = int(generator.integers(whole.width - wide + 1)), int(generator.integers(whole.height - high + 1))
    image = whole.crop((left, top, left + wide, top + high)).resize(size, Image.Resampling.BICUBIC)
    draw, r = ImageDraw.Draw(image), generator.uniform(0.22, 0.4) * height
    x, y = generator.uniform(r, width - r), generator.uniform(r, height - r)
    color, line = tuple(generator.integers(0, 256, 3).tolist()), int(0.17 * r)
    if kind == "mug":
        draw.rectangle((x - 0.6 * r, y - 0.8 * r, x + 0.5 * r, y + 0.8 * r), fill=color)
        draw.ellipse((x + 0.25 * r, y - 0.45 * r, x + r, y + 0.45 * r), outline=color, width=line)
    elif kind == "plant":
        for angle in np.linspace(0, np.pi, 9):
            tip = x + r * np.cos(angle), y + r * (0.5 - 1.2 * np.sin(angle))
            draw.line((x, y + 0.8 * r, *tip), fill=color, width=line)
        pot = [(-0.4, 0.5), (0.4, 0.5), (0.25, 1.0), (-0.25, 1.0)]
        draw.polygon([(x + a * r, y + b * r) for a, b in pot], fill=(150, 90, 50))
    else:
        upper = [(-1.0, 0.5), (-1.0, -0.3), (-0.4, -0.4), (0.0, 0.0), (1.0, 0.2), (1.0, 0.5)]
        draw.polygon([(x + a * r, y + b * r) for a, b in upper], fill=color)
        draw.rectangle((x - r, y + 0.5 * r, x + r, y + 0.65 * r), fill=(230, 230, 230))
    noise = generator.integers(-12, 13, (height, width, 1))
    return Image.fromarray(np.clip((np.asarray(image) + noise) * generator.uniform(0.6, 1.1), 0, 255).astype(np.uint8))


def draw(folder: Path, *, each: int = 30, size: tuple[int, int] = (1600, 1200), seed: int = 0) -> None:
    """Drawings as JPEG files in class folders, every third of them stored turned, as phones store them."""
    from PIL import Image

    generator = np.random.default_rng(seed)
    for kind in DRAWN:
        (folder / kind).mkdir(parents=True)
        for i in range(each):
            image, exif = drawing(kind, size, generator), Image.Exif()
            if i % 3 == 0:
                image, exif[0x0112] = image.transpose(Image.Transpose.ROTATE_90), 6
            image.save(folder / kind / f"IMG_{1000 + i}.jpg", quality=88, exif=exif)


def drawn(*, train: int, test: int, seed: int) -> dict[str, ImageSet]:
    """So many drawings of each kind to learn from and to judge by."""
    generator = np.random.default_rng(seed)
    pixels = [np.asarray(drawing(kind, (160, 120), generator)) for kind in DRAWN for _ in range(train + test)]
    return _divided(_image_set(pixels, np.repeat(range(3), train + test), DRAWN), train=train)


def photographed(data: Path, *, train: int, test: int, seed: int) -> dict[str, ImageSet]:
    """So many test photos of CIFAR-10 of each of three animals, which its model knows but confuses."""
    images, pixels = open_images(data, "test"), []
    generator = np.random.default_rng(seed)
    for name in ALIKE:
        places = np.flatnonzero(images.labels == images.class_names.index(name))
        pixels += [images.read(int(i)) for i in generator.permutation(places)[: train + test]]
    return _divided(_image_set(pixels, np.repeat(range(3), train + test), ALIKE), train=train)


def upright_or_not(data: Path, *, train: int, test: int, seed: int) -> dict[str, ImageSet]:
    """Test photos of CIFAR-10, half of them upside down: classes that its model was never asked for."""
    images, generator = open_images(data, "test"), np.random.default_rng(seed)
    places = np.flatnonzero(np.isin(images.labels, [images.class_names.index(name) for name in SIDES]))
    pixels = [images.read(int(i)) for i in generator.permutation(places)[: 2 * (train + test)]]
    labels = np.repeat(range(2), train + test)
    turned = [photo[::-1].copy() if label else photo for photo, label in zip(pixels, labels, strict=True)]
    return _divided(_image_set(turned, labels, ("upright", "upside down")), train=train)


def _image_set(pixels: Sequence[Array], labels: Array, class_names: tuple[str, ...]) -> ImageSet:
    names = [str(i) for i in range(len(pixels))]
    return ImageSet(labels.astype(np.int64), class_names, names, lambda i: pixels[i])


def _divided(images: ImageSet, *, train: int) -> dict[str, ImageSet]:
    """The first photos of each class to learn from, the rest to judge by."""
    rank = np.concatenate([np.arange(count) for count in np.bincount(images.labels)])
    return {
        split: subset(images, np.flatnonzero(part))
        for split, part in (("train", rank < train), ("test", rank >= train))
    }


def accuracy(splits: Mapping[str, ImageSet], changes: Mapping[str, Any], *, seed: int) -> float:
    """The top-1 of the bundled weights, fine-tuned by the recipe own-photos with some changes."""
    from deit_ref.training.fitted import fitted
    from deit_ref.training.metrics import read_metrics
    from deit_ref.training.run import train

    fields = {name: value for name, value in changes.items() if name not in ("both", "steps")}
    recipe, _ = fitted(RECIPES["own-photos"].with_changes(**fields), len(splits["train"]), given={*fields})
    share = changes.get("steps", 1.0)
    recipe = recipe.with_changes(epochs=round(recipe.epochs * share), warmup_epochs=recipe.warmup_epochs * share)
    task = "classification-with-teacher" if changes.get("both") else "classification"
    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, Any] = {"start": load_weights(), "task": task, "device": "cpu", "bfloat16": False}
        train(recipe, splits, Path(folder), seed=seed, assess_every=recipe.epochs, **options)
        return float(read_metrics(Path(folder))[-1]["test"]["top1"])


def main(argv: list[str] | None = None) -> int:
    """Measure what is not measured yet, print the table, write the numbers."""
    parser = argparse.ArgumentParser(prog="python -m deit_ref.benchmark.own_photos", description=__doc__)
    parser.add_argument("--draw", type=Path, metavar="FOLDER", help="draw photos into a new folder, and stop")
    parser.add_argument("--data", type=Path, metavar="DIR", help="CIFAR-10; its test part is used")
    parser.add_argument("--json", type=Path, metavar="FILE", help="gets all numbers, after each run")
    parser.add_argument("--seeds", type=int, default=1, help="how many (default: 1)")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=[*WAYS], metavar="WAY", help="(default: all)")
    args = parser.parse_args(argv)
    if args.draw is not None:
        if any((args.draw / kind).exists() for kind in DRAWN):
            parser.error(f"expected a new folder, {args.draw} holds drawings already: choose another name")
        draw(args.draw)
        return 0
    if args.data is None or args.json is None:
        parser.error("expected --data and --json, or --draw")
    found: dict[str, dict[str, list[float]]] = {}
    if args.json.exists():
        found = json.loads(args.json.read_text(encoding="utf-8"))["results"]
    for seed in range(args.seeds):
        sets = {
            COLUMNS[1]: drawn(train=30, test=100, seed=seed),
            COLUMNS[2]: photographed(args.data, train=30, test=100, seed=seed),
            COLUMNS[3]: upright_or_not(args.data, train=60, test=150, seed=seed),
        }
        for way in args.ways:
            for name, splits in sets.items():
                values = found.setdefault(way, {}).setdefault(name, [])
                if len(values) == seed:
                    values.append(accuracy(splits, WAYS[way], seed=seed))
                    write(args.json, json_bytes(_record(found)))
    print("\n".join("| " + " | ".join(cells) + " |" for cells in [COLUMNS, ["---"] * len(COLUMNS), *rows(found)]))
    return 0


def rows(found: Mapping[str, Mapping[str, Sequence[float]]]) -> list[list[str]]:
    """The mean over the seeds, in percent, for each way and set."""
    return [
        [way, *(f"{100 * float(np.mean(values[name])):.1f}" if values.get(name) else "" for name in COLUMNS[1:])]
        for way, values in found.items()
    ]


def _record(found: Mapping[str, Any]) -> dict[str, Any]:
    import torch

    counts = {f"{way}, {name}": len(values) for way, sets in found.items() for name, values in sets.items()}
    seeds = max(counts.values())
    fewer = [f"{cell} ({count})" for cell, count in counts.items() if count < seeds]
    return {
        "command": f"python -m deit_ref.benchmark.own_photos --data cifar10/ --seeds {seeds} --json FILE",
        "notes": [f"Means of {seeds} draws of photos{', of fewer: ' if fewer else ''}{'; '.join(fewer)}."],
        "recipe": dataclasses.asdict(RECIPES["own-photos"]),
        "ways": {way: dict(WAYS[way]) for way in found},
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {"Python": platform.python_version(), "torch": torch.__version__},
        "columns": COLUMNS,
        "rows": rows(found),
        "results": found,
    }


if __name__ == "__main__":
    logging.getLogger("deit_ref").setLevel(logging.ERROR)  # of many runs alike, the table alone is read
    sys.exit(main())
