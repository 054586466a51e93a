"""Where the time goes when `deit-ref classify` has many photos before it.

    python -m deit_ref.benchmark.many_photos [--photos 2000] [--rounds 3] [--json FILE]

The photos are parts of a bundled one, as JPEG files, of a web page's size and, a tenth as many, of a phone's. First
each part of the work by itself, on one core: files to bytes of the model's size, and the model. Then the command:
with one process that decodes and one thread that computes, which takes at least as long as the longer of the two; and
as it is by default, which takes at least their sum divided by the cores. The parts and the command take turns. Needs
torch.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import deit_ref
from deit_ref.benchmark import records
from deit_ref.benchmark.cpu import ONE_THREAD
from deit_ref.checkpoints.files import json_bytes, write
from deit_ref.photos import bundled_photo, load_image
from deit_ref.sized import of_values, sized
from deit_ref.weights import DeiTWeights

SIZES = {"640 x 480": 1, "4000 x 3000": 10}  # and a share of the photos that are of this size
PACKAGES = ("numpy", "pillow", "torch")
BATCH = 8  # as the command takes by default
COLUMNS = (
    "model", "photos", "decode, resize", "model alone", "classify, a core each", "times the longer part",
    "classify, by default", "times the sum, divided by the cores",
)  # fmt: skip


def write_photos(folder: Path, size: str, count: int) -> list[str]:
    """JPEG files of so many pixels, each another part of the bundled photo, enlarged."""
    width, height = map(int, size.split(" x "))
    photo = Image.open(bundled_photo()).convert("RGB")
    generator = np.random.default_rng(0)
    names = []
    for i in range(count):
        left, top = (int(generator.integers(0, side // 4 + 1)) for side in photo.size)
        box = (left, top, left + 3 * photo.width // 4, top + 3 * photo.height // 4)
        names.append(str(folder / f"{i:05}.jpg"))
        photo.resize((width, height), Image.Resampling.BICUBIC, box).save(names[-1], quality=90)
    return names


def decoded(names: Sequence[str], weights: DeiTWeights) -> list[np.ndarray[Any, Any]]:
    """The files as bytes of the model's size."""
    return [sized(load_image(name), weights.image_processing) for name in names]


def answered(photos: Sequence[np.ndarray[Any, Any]], weights: DeiTWeights) -> int:
    """How many photos have got an answer, in batches."""
    weights = replace(weights, image_processing=of_values(weights.image_processing))
    batches = (photos[start : start + BATCH] for start in range(0, len(photos), BATCH))
    return sum(len(deit_ref.forward(weights, list(batch), backend="torch").top(5)) for batch in batches)


def seconds(run: Callable[[], Any]) -> float:
    """Wall time of a call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def classified(folder: Path, model: str, *, words: Sequence[str] = (), threads: str | None = None) -> float:
    """The seconds that the command itself says it took, from the first file to the last answer.

    Raises:
        ValueError: it failed.
    """
    command = [sys.executable, "-m", "deit_ref", "classify", str(folder), "--backend", "torch", "--weights", model]
    command += ["--out", str(folder.parent / "answers.jsonl"), "--force", *words]
    environment = {name: value for name, value in os.environ.items() if name not in ONE_THREAD}
    if threads is not None:
        environment |= dict.fromkeys(ONE_THREAD, threads)
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    told = re.search(r" photos in ([0-9.]+) s,", done.stderr)
    if done.returncode or told is None:
        raise ValueError(f"Expected answers from {' '.join(command)}, got: {done.stderr.strip()[-500:]}")
    return float(told[1])


def measured(folder: Path, size: str, count: int, model: str, rounds: int) -> dict[str, list[float]]:
    """Seconds of each part and of the command, for each round."""
    names = write_photos(folder, size, count)
    weights = deit_ref.load_weights(model).to("torch")
    photos = decoded(names, weights)
    runs = {
        "decode": partial(seconds, partial(decoded, names, weights)),
        "model": partial(seconds, partial(answered, photos, weights)),
        "a core each": partial(classified, folder, model, words=("--workers", "1"), threads="1"),
        "default": partial(classified, folder, model),
    }
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            found[name].append(run())
    return found


def row(model: str, count: int, size: str, times: dict[str, list[float]]) -> list[str]:
    """Of the medians."""
    names = ("decode", "model", "a core each", "default")
    decode, compute, apart, default = (statistics.median(times[name]) for name in names)
    return [
        model,
        f"{count:,} of {size}",
        *(f"{value:.1f} s" for value in (decode, compute, apart)),
        f"{apart / max(decode, compute):.2f}",
        f"{default:.1f} s",
        f"{default * (os.cpu_count() or 1) / (decode + compute):.2f}",
    ]


def main(argv: list[str] | None = None) -> int:
    """Measure, print the table, and keep the figures if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=2000, metavar="N")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    if args.photos < 640:
        parser.error(f"--photos: expected 640 or more, as classify tells its pace from 64 on, got {args.photos}")
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):  # it counts at the start only
        os.execve(sys.executable, [sys.executable, "-m", __spec__.name, *sys.argv[1:]], {**os.environ, **ONE_THREAD})
    rows, results = [], {}
    with tempfile.TemporaryDirectory() as scratch:
        tiny = deit_ref.VARIANTS["deit-tiny-distilled-patch16-224"]
        deit_ref.save_weights(deit_ref.init_weights(tiny, "classification-with-teacher", seed=0), f"{scratch}/tiny")
        for model, place in (("cifar10-distilled", "cifar10-distilled"), ("DeiT-Ti", f"{scratch}/tiny")):
            for size, share in SIZES.items():
                count = args.photos // share
                with tempfile.TemporaryDirectory(dir=scratch) as folder:
                    inside = Path(folder, "photos")
                    inside.mkdir()
                    times = measured(inside, size, count, place, args.rounds)
                rows.append(row(model, count, size, times))
                results[f"{model}, {size}"] = times
                print(" | ".join(rows[-1]), flush=True)
    notes = [f"torch in float32, medians of {args.rounds}."]
    if args.json is not None:
        command = f"many_photos --photos {args.photos} --rounds {args.rounds} --json FILE"
        values = records.record(command, COLUMNS, rows, packages=PACKAGES, notes=notes, results=results)
        write(args.json, json_bytes(values))
    print(records.markdown(COLUMNS, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
