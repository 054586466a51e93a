"""This project and its peers, side by side on the same weights: what `deit-ref benchmark` does.

Each peer has a process of its own; round by round each runs for a moment, one after the other, so that a change of the
machine's mood meets all alike. Nothing is timed before the logits agree. Figures are medians over all calls; what is
compared are ratios within one run.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import deit_ref
from deit_ref import checks
from deit_ref.benchmark.peers import NEEDS, PEERS
from deit_ref.config import VARIANTS, DeiTConfig

# How far logits may be apart before anything is timed, as a share of the largest; half precision rounds every layer.
AGREEMENT = {"float32": 1e-5, "float16": 2e-2, "bfloat16": 1e-1}
REFERENCES = ("transformers-eager", "transformers-sdpa", "timm", "torch", "numpy")
COLUMNS = ["model", "batch", "dtype", "peer", "ms per image", "middle half", "ratio", "of the roofline", "peak MiB"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured, and how long.

    Attributes:
        models: sizes: "tiny", "small", "base"; the distilled models of 224 pixels.
        batches, dtypes: every combination is a case.
        device: of torch.
        peers: names in `PEERS`; those that cannot run are left out, and said.
        rounds: how often each peer gets its turn in each case.
        seconds: of one turn at most; at least one call is made.
        threads: of each peer on a CPU; None means what it takes by itself.
    """

    models: Sequence[str] = ("tiny", "small", "base")
    batches: Sequence[int] = (1, 8)
    dtypes: Sequence[str] = ("float32",)
    device: str = "cpu"
    peers: Sequence[str] = tuple(PEERS)
    rounds: int = 7
    seconds: float = 0.5
    threads: int | None = None

    def __post_init__(self) -> None:
        for name in self.models:
            checks.choice("model", f"deit-{name}-distilled-patch16-224", VARIANTS)
        for name in self.peers:
            checks.choice("peer", name, PEERS)
        for name in self.dtypes:
            checks.choice("dtype", name, AGREEMENT)
        for batch in (*self.batches, self.rounds):
            checks.integer("batch sizes and rounds", batch)


@dataclass
class Worker:
    """A process with one peer in it."""

    process: Any
    seconds: list[float] = field(default_factory=list)

    def ask(self, **command: Any) -> dict[str, Any]:
        """Send a command, wait for the answer; a process that ended answers with a problem."""
        try:
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
            answer: dict[str, Any] = json.loads(self.process.stdout.readline() or '{"problem": "its process ended"}')
        except BrokenPipeError:
            return {"problem": "its process ended"}
        return answer


@contextmanager
def worker(threads: int | None) -> Iterator[Worker]:
    """A new process; it ends with the block."""
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}  # threads that wait must not take the others' time
    if threads is not None:
        environment |= {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    command = [sys.executable, "-m", "deit_ref.benchmark.worker"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    try:
        yield Worker(process)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()


def measure(plan: Plan) -> Iterator[dict[str, Any]]:
    """One record for each peer of each case, as they come; a peer that is left out has a "problem".

    Raises:
        ValueError: logits of two peers do not agree.
    """
    roofs: dict[str, dict[str, Any]] = {}
    for dtype in plan.dtypes:
        with worker(plan.threads) as probe:
            roofs[dtype] = probe.ask(do="roofline", device=plan.device, dtype=dtype)
    for model in plan.models:
        config = VARIANTS[f"deit-{model}-distilled-patch16-224"]
        with tempfile.TemporaryDirectory() as folder:
            weights = deit_ref.init_weights(config, "classification-with-teacher", seed=0)
            deit_ref.save_weights(weights, folder)
            for batch in plan.batches:
                x = np.random.default_rng(0).standard_normal((batch, 3, *config.image_shape)).astype(np.float32)
                np.save(Path(folder, "x.npy"), x)
                for dtype in plan.dtypes:
                    yield from _case(plan, Path(folder), config, model, batch, dtype, roofs[dtype])


def operations(config: DeiTConfig, batch: int) -> float:
    """Multiplications and additions of the matrix products of one forward pass."""
    tokens, dim = config.num_prefix_tokens + config.num_patches, config.hidden_size
    per_token = 4 * dim**2 + 2 * dim * config.intermediate_size + 2 * tokens * dim
    patches = config.num_patches * config.num_channels * config.patch_shape[0] * config.patch_shape[1] * dim
    heads = 2 * dim * config.num_labels
    return 2.0 * batch * (config.num_hidden_layers * tokens * per_token + patches + heads)


def _case(
    plan: Plan, folder: Path, config: DeiTConfig, model: str, batch: int, dtype: str, roof: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    case = {"model": model, "batch": batch, "dtype": dtype, "device": plan.device}
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for peer in plan.peers:
            missing = [name for name in NEEDS.get(peer, ()) if find_spec(name) is None]
            if missing:
                yield {**case, "peer": peer, "problem": f"{', '.join(missing)} is not installed"}
                continue
            each = stack.enter_context(worker(plan.threads))
            opened = each.ask(
                do="open", peer=peer, folder=str(folder), device=plan.device, dtype=dtype,
                pixel_values=str(folder / "x.npy"), logits=str(folder / f"{peer}.npy"),
            )  # fmt: skip
            if "problem" in opened:
                yield {**case, "peer": peer, "problem": opened["problem"]}
            else:
                workers[peer] = each
        distances = _checked({peer: np.load(folder / f"{peer}.npy") for peer in workers}, dtype)
        for turn in range(plan.rounds + 1):
            for each in workers.values():
                answer = each.ask(do="time", calls=10_000, seconds=plan.seconds)
                if turn:  # the first is for warming up
                    each.seconds += answer["seconds"]
        bound = _bound(config, batch, dtype, roof)
        for peer, each in workers.items():
            yield {
                **case,
                "peer": peer,
                "milliseconds": [1000 * value for value in _quartiles(each.seconds)],
                "calls": len(each.seconds),
                "distance": distances[peer],
                "peak_bytes": each.ask(do="memory").get("bytes"),
                "roofline": None if bound is None else bound / statistics.median(each.seconds),
            }


def _checked(logits: Mapping[str, np.ndarray[Any, Any]], dtype: str) -> dict[str, float]:
    """Each peer's distance from the first reference that ran."""
    if not logits:
        return {}
    reference = logits[next(name for name in (*REFERENCES, *logits) if name in logits)]
    found = {peer: float(np.abs(value - reference).max() / np.abs(reference).max()) for peer, value in logits.items()}
    for peer, distance in found.items():
        if not distance <= AGREEMENT[dtype]:
            raise ValueError(
                f"The logits of {peer} are {distance:.1e} away from the reference's in {dtype}, at most "
                f"{AGREEMENT[dtype]:.0e} is agreement: nothing was timed."
            )
    return found


def _bound(config: DeiTConfig, batch: int, dtype: str, roof: Mapping[str, Any]) -> float | None:
    """Seconds that the machine needs at least: for the products, or for reading the weights once."""
    if "problem" in roof:
        return None
    itemsize = 4 if dtype == "float32" else 2
    weights = config.num_hidden_layers * (4 * config.hidden_size**2 + 2 * config.hidden_size * config.intermediate_size)
    return float(max(operations(config, batch) / roof["operations"], weights * itemsize / roof["bytes"]))


def _quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, lower and upper quartile."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    lower, middle, upper = statistics.quantiles(values, n=4)
    return middle, lower, upper


def table(records: Iterable[Mapping[str, Any]], reference: str | None = None) -> list[list[str]]:
    """Rows under `COLUMNS`; ratios are to the reference in the same case."""
    everything = list(records)
    rows = []
    for record in everything:
        case = [str(record[key]) for key in ("model", "batch", "dtype")]
        if "problem" in record:
            rows.append([*case, record["peer"], f"left out: {record['problem']}", "", "", "", ""])
            continue
        own = [
            other for other in everything
            if "problem" not in other and all(other[key] == record[key] for key in ("model", "batch", "dtype"))
        ]  # fmt: skip
        names = [other["peer"] for other in own]
        wanted = reference if reference in names else next(name for name in (*REFERENCES, *names) if name in names)
        base = own[names.index(wanted)]["milliseconds"][0]
        middle, lower, upper = (value / record["batch"] for value in record["milliseconds"])
        roof, peak = record["roofline"], record["peak_bytes"]
        rows.append([
            *case, record["peer"], f"{middle:.2f}", f"{lower:.2f} to {upper:.2f}",
            f"{record['milliseconds'][0] / base:.2f}",
            "" if roof is None else f"{roof:.0%}", "" if peak is None else f"{peak / 2**20:.0f}",
        ])  # fmt: skip
    return rows


def versions() -> dict[str, str]:
    """What was compared, and on what."""
    found = {"python": platform.python_version(), "machine": platform.machine(), "cores": str(os.cpu_count())}
    for name in ("numpy", "torch", "transformers", "timm", "onnxruntime"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
