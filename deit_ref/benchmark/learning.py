"""What each part of training does for a small DeiT that learns drawn shapes: the run of chapter 11, and changes of it.

    python -m deit_ref.benchmark.learning --json FILE [--seeds 3] [--ways WAY ...]

NumPy alone, one run after the other. What was measured is kept in the JSON file, and a command that was cut off goes on
from it.
"""

import argparse
import datetime
import json
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from deit_ref.checkpoints.files import json_bytes, write
from deit_ref.config import DeiTConfig
from deit_ref.data.shapes import SIZE, draw_shapes
from deit_ref.numpy_backend.backward import learning
from deit_ref.numpy_backend.backward.optimizer import Moments, adamw, decays, sgd
from deit_ref.numpy_backend.model import TASKS
from deit_ref.weights import DeiTWeights, init_weights, map_weights, named_arrays

Array: TypeAlias = np.ndarray[Any, Any]

CONFIG = DeiTConfig(48, 3, 4, 96, image_size=SIZE, patch_size=8, num_labels=10)
STEPS, BATCH, WARMUP = 400, 64, 40
# Changes of the run: std is of new weights, "optimizer" takes AdamW's place, all else are arguments of `fit`.
WAYS: Mapping[str, Mapping[str, Any]] = {
    "the base run": {},
    "new weights of std 0.8": {"std": 0.8},
    "new weights of std 0.2": {"std": 0.2},
    "new weights of std 0.08": {"std": 0.08},
    "new weights of std 0.0002": {"std": 0.0002},
    "no warm-up": {"warmup": 0},
    "no clipping": {"clip_norm": float("inf")},
    "learning rate 0.01": {"learning_rate": 1e-2},
    "0.01, no warm-up": {"learning_rate": 1e-2, "warmup": 0},
    "0.01, no clipping": {"learning_rate": 1e-2, "clip_norm": float("inf")},
    "no cosine: the rate stays": {"steps": 10**9},
    "no decay": {"weight_decay": 0.0},
    "decay inside Adam (L2)": {"optimizer": "l2"},
    "SGD with momentum, rate 0.1": {"optimizer": "sgd", "learning_rate": 0.1},
}
COLUMNS = ["what is changed", "loss after 100 steps", "loss at the end", "accuracy", "accuracy of the average"]


def pictures(count: int, *, seed: int) -> tuple[Array, Array]:
    """Drawn shapes as a model reads them, (count, 3, 32, 32) from -1 to 1, and their classes (count,)."""
    drawn, labels = draw_shapes(count, seed=seed)
    return (drawn.transpose(0, 3, 1, 2) / 127.5 - 1).astype(np.float32), labels


def accuracy(weights: DeiTWeights, pixel_values: Array, labels: Array) -> float:
    """The share of pictures whose class gets the largest logit."""
    output: Any = TASKS[weights.task](weights, pixel_values)
    return float((output.logits.argmax(axis=1) == labels).mean())


def l2_in_adam(
    weights: DeiTWeights, gradients: DeiTWeights, state: Moments, *, learning_rate: float, weight_decay: float
) -> tuple[DeiTWeights, Moments]:
    """The older Adam: decay is a part of the gradient, and is divided by the root of the squares with it."""
    pulled = {id(array) for name, array in named_arrays(weights) if decays(name, array)}
    gradients = map_weights(lambda w, g: g + weight_decay * w if id(w) in pulled else g, weights, gradients)
    return adamw(weights, gradients, state, learning_rate=learning_rate, weight_decay=0.0)


def momentum(
    weights: DeiTWeights, gradients: DeiTWeights, state: Any, *, learning_rate: float, weight_decay: float
) -> tuple[DeiTWeights, DeiTWeights]:
    """Gradient descent with momentum and without decay; the state is the velocity."""
    velocity = None if isinstance(state, Moments) else state
    return sgd(weights, gradients, velocity, learning_rate=learning_rate)


OPTIMIZERS = {"adamw": adamw, "l2": l2_in_adam, "sgd": momentum}


def run(way: Mapping[str, Any], *, seed: int, steps: int = STEPS) -> dict[str, Any]:
    """One run: means of the loss and of the gradient's length over tens of steps, and accuracies every fifty."""
    changes = dict(way)
    config = DeiTConfig(**{**vars(CONFIG), "initializer_range": changes.pop("std", CONFIG.initializer_range)})
    optimizer = OPTIMIZERS[changes.pop("optimizer", "adamw")]
    given = learning.batches(*pictures(BATCH * 50, seed=2 * seed), batch_size=BATCH, epochs=-(-steps // 50), seed=seed)
    unseen = pictures(1000, seed=2 * seed + 1)
    options = {"steps": steps, "learning_rate": 3e-3, "warmup": min(WARMUP, steps), "optimizer": optimizer, **changes}
    losses, norms, accuracies, averages = [], [], [], []
    start = time.process_time()
    # A rate too high may end in numbers without bound; that is a result, not a mistake of the program.
    with np.errstate(all="ignore"):
        for step in learning.fit(init_weights(config, "classification", seed=seed), given, **options):
            losses.append(step.loss)
            norms.append(step.norm)
            if step.number % 50 == 0:
                accuracies.append(accuracy(step.weights, *unseen))
                averages.append(accuracy(step.average, *unseen))
    return {
        "loss": _tens(losses),
        "norm": _tens(norms),
        "accuracy": accuracies,
        "average": averages,
        "seconds": round(time.process_time() - start, 1),
    }


def _tens(values: Sequence[float]) -> list[float]:
    """Means of ten at a time, to four digits."""
    means = np.array(values).reshape(-1, 10).mean(axis=1)
    return [float(f"{mean:.4g}") for mean in means]


def main(argv: list[str] | None = None) -> int:
    """Measure what is not measured yet, print the table, write the numbers."""
    parser = argparse.ArgumentParser(prog="python -m deit_ref.benchmark.learning", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", required=True, help="gets all numbers, after each run")
    parser.add_argument("--seeds", type=int, default=3, help="how many (default: 3)")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=[*WAYS], metavar="WAY", help="(default: all)")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of 50 each (default: {STEPS})")
    args = parser.parse_args(argv)
    if args.steps < 50 or args.steps % 50:
        parser.error(f"expected --steps to be a multiple of 50, got {args.steps}")
    found: dict[str, list[dict[str, Any]]] = {}
    if args.json.exists():
        found = json.loads(args.json.read_text(encoding="utf-8"))["results"]
        kept = {10 * len(each["loss"]) for runs in found.values() for each in runs}
        if kept - {args.steps}:
            parser.error(f"{args.json} holds runs of {max(kept)} steps, got --steps {args.steps}: take another file")
    for seed in range(args.seeds):
        for way in args.ways:
            runs = found.setdefault(way, [])
            if len(runs) == seed:
                runs.append(run(WAYS[way], seed=seed, steps=args.steps))
                write(args.json, json_bytes(_record(found, args.steps)))
    print("\n".join("| " + " | ".join(cells) + " |" for cells in [COLUMNS, ["---"] * len(COLUMNS), *rows(found)]))
    return 0


def rows(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[list[str]]:
    """The mean of the seeds for each way, and the smallest and largest accuracy."""
    table = []
    for way, runs in found.items():
        early, late = (np.mean([each["loss"][i] for each in runs]) for i in (min(9, len(runs[0]["loss"]) - 1), -1))
        shares = [[100 * each[name][-1] for each in runs] for name in ("accuracy", "average")]
        ranges = [f"{np.mean(s):.1f}" + (f" ({min(s):.1f} to {max(s):.1f})" if len(s) > 1 else "") for s in shares]
        table.append([way, f"{early:.2f}", f"{late:.3f}", *ranges])
    return table


def _record(found: Mapping[str, Any], steps: int) -> dict[str, Any]:
    seeds = max(len(runs) for runs in found.values())
    fewer = [f"{way} ({len(runs)})" for way, runs in found.items() if len(runs) < seeds]
    return {
        "command": f"python -m deit_ref.benchmark.learning --seeds {seeds} --json FILE"
        + (f" --steps {steps}" if steps != STEPS else ""),
        "notes": [
            f"{'One seed' if seeds == 1 else f'Means of {seeds} seeds'}{', of fewer: ' if fewer else ''}"
            f"{'; '.join(fewer)}; {steps} steps; losses are "
            "means of ten steps, accuracies in percent of 1000 pictures that were not learned from."
        ],
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {"Python": platform.python_version(), "NumPy": np.__version__},
        "columns": COLUMNS,
        "rows": rows(found),
        "results": found,
    }


if __name__ == "__main__":
    sys.exit(main())
