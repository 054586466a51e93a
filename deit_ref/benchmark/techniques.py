"""What each technique gains, measured one at a time: a forward pass with it, as shipped, and without it.

    python -m deit_ref.benchmark.techniques [--rounds 15] [--threads N] [--json FILE]

On a CPU, with one photo. With and without run in turns in one process, a fresh one for each model and backend; the
variants are the backend with one part replaced. What a process does with freed memory is measured in two. Needs torch,
scipy and a C++ compiler.
"""

import argparse
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import deit_ref
from deit_ref import api
from deit_ref.arrays import as_numpy
from deit_ref.benchmark import side_by_side
from deit_ref.benchmark.records import quartiles, record
from deit_ref.checkpoints.files import json_bytes, write
from deit_ref.variants import VARIANTS
from deit_ref.weights import DeiTWeights, Linear

Variant = Callable[[], AbstractContextManager[Any]]
Gain = tuple[str, list[float], list[float]]  # a technique, milliseconds of passes with it, and without it

COLUMNS = ("technique", "model", "ms with", "middle half", "ms without", "middle half", "times as fast with")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
NOT_MEASURED = ("captured graph on a GPU", "half precision on a GPU", "fused attention kernel on a GPU")


@contextmanager
def three_products(attention: Any, swap: Callable[[Any], Any]) -> Iterator[None]:
    """Queries, keys and values of a product each, in the backend's module `attention`."""
    fused = attention.linear

    def linear(weights: Linear, x: Any) -> Any:
        if len(weights.weight) == x.shape[-1]:
            return fused(weights, x)
        thirds = [slice(i * x.shape[-1], (i + 1) * x.shape[-1]) for i in range(3)]
        return [fused(Linear(weights.weight[third], weights.bias[third]), x) for third in thirds]

    def split_heads(parts: list[Any], *, num_heads: int) -> list[Any]:
        return [swap(part.reshape(*part.shape[:-1], num_heads, -1)) for part in parts]

    with patch.multiple(attention, linear=linear, split_heads=split_heads):
        yield


def numpy_variants() -> dict[str, Variant]:
    """The NumPy backend without each technique."""
    from scipy.special import erf

    from deit_ref.numpy_backend import activations, attention

    def definition(x: Any) -> Any:
        return 0.5 * x * (1 + erf(x / math.sqrt(2)))

    return {
        "one product for queries, keys and values": lambda: three_products(attention, lambda x: x.swapaxes(1, 2)),
        "fitted GELU instead of erf": lambda: patch.object(activations, "_gelu_float32", definition),
        "one head after the other": lambda: patch.object(attention, "wants", lambda trace, name: True),
    }


def torch_variants() -> dict[str, Variant]:
    """The torch backend without each technique."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    from deit_ref.torch_backend import attention

    return {
        "one product for queries, keys and values": lambda: three_products(attention, lambda x: x.transpose(1, 2)),
        "fused attention kernel instead of the formula": lambda: sdpa_kernel(SDPBackend.MATH),
    }


def _inputs(size: str) -> tuple[DeiTWeights, np.ndarray[Any, Any]]:
    """New weights, and pixel values of one photo."""
    weights = deit_ref.init_weights(VARIANTS[f"deit-{size}-distilled-patch16-224"], side_by_side.TASK, seed=0)
    return weights, np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)


def gains(backend: str, size: str, rounds: int) -> list[Gain]:
    """Every technique of a backend, one at a time.

    Raises:
        ValueError: a variant computes something else.
    """
    weights, x = _inputs(size)

    # Converted here: forward would look through NumPy's weights for changes in each call.
    dtypes = ("float32",) if backend == "numpy" else ("float32", "bfloat16")
    own = {dtype: weights.to(backend, dtype=dtype) for dtype in dtypes}

    def run(variant: Variant = nullcontext, dtype: str = "float32") -> Any:
        with variant():
            return deit_ref.forward(own[dtype], pixel_values=x, backend=backend).logits

    variants = numpy_variants() if backend == "numpy" else torch_variants()
    runs: dict[str, Callable[[], Any]] = {"": run, **{name: partial(run, variants[name]) for name in variants}}
    if backend == "torch":
        runs["bfloat16"] = partial(run, dtype="bfloat16")
    shipped = as_numpy(run())
    for name, each in runs.items():
        distance = side_by_side.difference(as_numpy(each()), shipped)
        if not distance <= side_by_side.AGREEMENT.get(name, 1e-5):
            raise ValueError(f"{backend} without {name!r} is {distance:.1e} away from {backend} with it.")
    times = _in_turns(runs, rounds)
    found = [(name, times[""], times[name]) for name in variants]
    if "bfloat16" in runs:
        found.append(("bfloat16 instead of float32", times["bfloat16"], times[""]))
    return found


def products_of_prepared(size: str, rounds: int) -> Gain:
    """The two ways of `deit_ref.prepared`, whose matrix products are those of two libraries.

    Raises:
        ValueError: their logits differ, or there is no C++ compiler.
    """
    from deit_ref.torch_backend import compiled

    weights, x = _inputs(size)
    weights = weights.to("torch")
    runs: dict[str, Callable[[], Any]] = {}
    for name, onednn in (("oneDNN", True), ("MKL", False)):
        with patch.object(compiled, "made_by_amd", lambda onednn=onednn: onednn):
            runs[name] = partial(deit_ref.prepared(weights), pixel_values=x)
    distance = side_by_side.difference(*(as_numpy(run().logits) for run in runs.values()))
    if not distance <= side_by_side.AGREEMENT["float32"]:
        raise ValueError(f"prepared with oneDNN is {distance:.1e} away from prepared with MKL.")
    times = _in_turns(runs, rounds)
    return "prepared: oneDNN (as on AMD) instead of MKL (as elsewhere)", times["oneDNN"], times["MKL"]


def _in_turns(runs: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(1000 * (time.perf_counter() - start))
    return times


_passes: list[Callable[[], Any]] = []  # of a process that `memory_kept` starts


def _begin(backend: str, size: str, batch: int, keep: bool) -> None:
    if not keep:
        vars(api)["keep_freed_memory"] = lambda: None
    weights, x = _inputs(size)
    x = np.repeat(x, batch, axis=0)
    _passes.append(lambda: deit_ref.forward(weights, pixel_values=x, backend=backend))


def _milliseconds() -> float:
    start = time.perf_counter()
    _passes[0]()
    return 1000 * (time.perf_counter() - start)


def memory_kept(backend: str, size: str, batch: int, rounds: int) -> Gain:
    """Of a process that keeps freed memory, as shipped, and of one that does not.

    With one thread each: a second one of OpenBLAS goes on waiting while the other process has its turn.
    """
    with patch.dict(os.environ, dict.fromkeys(THREADS, "1")), ExitStack() as stack:
        options = [(backend, size, batch, keep) for keep in (True, False)]
        pools = [stack.enter_context(get_context("spawn").Pool(1, _begin, each)) for each in options]
        times = [[pool.apply(_milliseconds) for pool in pools] for _ in range(rounds + 1)]
    with_it, without = map(list, zip(*times[1:], strict=True))  # the first warms up
    photos = "one photo" if batch == 1 else f"{batch} photos"
    return f"freed memory is kept, one thread, {photos}", with_it, without


def row(technique: str, size: str, *times: list[float]) -> list[str]:
    """Of `COLUMNS`."""
    (fast, *half), (slow, *other) = map(quartiles, times)
    halves = (f"{lower:.1f} to {upper:.1f}" for lower, upper in (half, other))
    return [technique, size, f"{fast:.1f}", next(halves), f"{slow:.1f}", next(halves), f"{slow / fast:.2f}"]


def main(argv: list[str] | None = None) -> None:
    """Measure all, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    os.environ |= dict.fromkeys(THREADS, str(args.threads))  # counts for processes that begin
    rows = []
    for backend, label in (("numpy", "NumPy"), ("torch", "torch")):
        for size in ("tiny", "base"):
            with get_context("spawn").Pool(1) as pool:
                found = pool.apply(gains, (backend, size, args.rounds))
            found += [memory_kept(backend, size, batch, args.rounds) for batch in (1, 8)]
            if backend == "torch":
                with get_context("spawn").Pool(1) as pool:
                    found.append(pool.apply(products_of_prepared, (size, args.rounds)))
            rows += [row(f"{label}: {name}", size, *times) for name, *times in found]
    rows.sort(key=lambda row: row[0])
    rows += [[name, "", "not measured", *[""] * (len(COLUMNS) - 3)] for name in NOT_MEASURED]
    print(side_by_side.aligned([COLUMNS, *rows]))
    if args.json is not None:
        command = f"techniques --rounds {args.rounds} --threads {args.threads} --json FILE"
        notes = [f"{args.threads} threads, float32, one photo, unless said."]
        write(args.json, json_bytes(record(command, COLUMNS, rows, packages=("numpy", "scipy", "torch"), notes=notes)))


if __name__ == "__main__":
    main()
