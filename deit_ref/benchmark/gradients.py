"""Time and memory of a gradient step on one CPU thread: NumPy's way back beside autograd.

    python -m deit_ref.benchmark.gradients [--rounds 15] [--json FILE]

The bundled model, hard distillation, a batch of 64: forward pass, loss and the gradients of all weights. As in
`benchmark.cpu`, figures are ratios of processor times from interleaved runs, and memory is what one step adds to a
process that has made one before.
"""

import argparse
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import deit_ref
from deit_ref.arrays import as_numpy
from deit_ref.benchmark.cpu import ONE_THREAD, milliseconds, printed_by, rows_of, side_by_side
from deit_ref.benchmark.records import markdown, record
from deit_ref.checkpoints.files import json_bytes, write
from deit_ref.weights import named_arrays

BATCH = 64


def step_runs() -> dict[str, Callable[[], Any]]:
    """A gradient step by each backend, on the same weights and images, through what a training loop would call."""
    import torch

    from deit_ref.numpy_backend.backward.gradients import gradients
    from deit_ref.torch_backend.gradients import gradients as autograd

    torch.set_num_threads(1)
    weights = deit_ref.load_weights().to("numpy", dtype="float32")
    mirror = weights.to("torch")
    generator = np.random.default_rng(0)
    height, width = weights.config.image_shape
    pixels = generator.standard_normal((BATCH, 3, height, width)).astype(np.float32)
    labels = generator.integers(0, weights.config.num_labels, BATCH)
    teacher = generator.standard_normal((BATCH, weights.config.num_labels)).astype(np.float32)
    tensors = [torch.from_numpy(array) for array in (pixels, labels, teacher)]
    return {
        "torch": lambda: autograd(
            mirror, tensors[0], labels=tensors[1], teacher_logits=tensors[2], distillation="hard"
        ),
        "numpy": lambda: gradients(weights, pixels, labels=labels, teacher_logits=teacher, distillation="hard"),
    }


def check_agreement(runs: dict[str, Callable[[], Any]]) -> None:
    """Nothing is timed that computes something else."""
    found = [dict(named_arrays(run().weights)) for run in runs.values()]
    largest = max(float(np.abs(as_numpy(array)).max()) for array in found[0].values())
    gap = max(float(np.abs(as_numpy(found[0][name]) - as_numpy(found[1][name])).max()) for name in found[0])
    if gap > 2e-5 * largest:
        raise SystemExit(f"The gradients differ by {gap / largest:.1e} of the largest: nothing was timed.")


def main() -> None:
    """Measure, print the ratios, and keep the figures if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):  # it counts at the start only
        os.execve(sys.executable, [sys.executable, "-m", __spec__.name, *sys.argv[1:]], {**os.environ, **ONE_THREAD})
    runs = step_runs()
    check_agreement(runs)
    times = side_by_side({name: partial(milliseconds, run) for name, run in runs.items()}, arguments.rounds)
    code = "from deit_ref.benchmark import cpu, gradients; cpu.print_peak(gradients.step_runs()[{!r}])"
    peaks = {name: [printed_by(code.format(name))] for name in runs}
    results = {"time": times, "memory added": peaks}
    rows = [*rows_of("time", times), *rows_of("memory added", peaks, unit="MiB")]
    columns = (f"a gradient step, batch of {BATCH}", "who", "median", "middle half", "ratio to torch")
    print(markdown(columns, rows))
    if arguments.json is not None:
        command = f"gradients --rounds {arguments.rounds} --json FILE"
        kept = record(command, columns, rows, packages=("numpy", "torch"), results=results)
        write(arguments.json, json_bytes(kept))


if __name__ == "__main__":
    main()
