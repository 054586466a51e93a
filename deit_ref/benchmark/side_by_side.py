"""This project and its peers, side by side on the same weights: what `deit-ref benchmark` does.

Each peer has a process of its own; round by round each runs for a moment, one after the other, so that a change of the
machine's mood meets all alike. Nothing is timed whose logits do not agree with those of the NumPy backend in float32,
the path that the book explains. Figures are medians over all calls; what is compared are ratios within one run.
"""

import json
import logging
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import deit_ref
from deit_ref import checks
from deit_ref.benchmark.peers import NEEDS, PEERS
from deit_ref.benchmark.records import processor, quartiles
from deit_ref.checkpoints.files import write
from deit_ref.config import DeiTConfig
from deit_ref.variants import VARIANTS
from deit_ref.weights import array_shapes

logger = logging.getLogger("deit_ref")

MODELS = ("tiny", "small", "base")
TASK = "classification-with-teacher"
# How far logits may be from NumPy's in float32, as a share of the largest: the bounds of the tests.
AGREEMENT = {"float32": 1e-5, "float64": 5e-6, "tf32": 2e-3, "float16": 2e-3, "bfloat16": 2e-2}
ITEMSIZE = {"float32": 4, "float64": 8, "tf32": 4, "float16": 2, "bfloat16": 2}
# Ratios are to the first of these that ran.
REFERENCES = (
    "transformers-eager", "transformers-sdpa", "transformers-compiled", "timm", "timm-compiled", "onnxruntime", "torch",
    "torch-compiled", "numpy",
)  # fmt: skip
COLUMNS = (
    "model", "batch", "dtype", "who", "ms per image", "middle half", "ratio", "of the roofline", "peak MiB", "distance",
    "calls", "s to begin",
)  # fmt: skip
# A peer runs as it does by default, whatever the shell says of waiting threads and of compiled code that is kept.
NOT_INHERITED = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "TORCHINDUCTOR_CACHE_DIR")
PACKAGES = ("numpy", "torch", "transformers", "timm", "onnxruntime")  # whose versions count
DISTINCT = 8  # images of a batch; a larger one repeats them


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured, and how long.

    Attributes:
        models: names in `MODELS`: the distilled models of 224 pixels.
        batches, dtypes: every combination is a case. "tf32" is float32 whose products a GPU may shorten to TF32;
            "float32" never is.
        device: "cpu", "cuda" or "cuda:1".
        peers: names in `PEERS`; those that cannot run are left out, and said.
        rounds: how often each peer gets its turn in each case, after one to warm up.
        seconds: of one turn at most; at least one call is made.
        threads: of each peer; None means as many as torch takes by itself.
    """

    models: Sequence[str] = ("tiny", "base")
    batches: Sequence[int] = (1, 8)
    dtypes: Sequence[str] = ("float32",)
    device: str = "cpu"
    peers: Sequence[str] = tuple(PEERS)
    rounds: int = 7
    seconds: float = 0.5
    threads: int | None = None

    def __post_init__(self) -> None:
        for what, names, known in (
            ("model", self.models, MODELS),
            ("dtype", self.dtypes, AGREEMENT),
            ("peer", self.peers, PEERS),
            ("device", [self.device.partition(":")[0]], ("cpu", "cuda")),
        ):
            for name in names:
                checks.choice(what, name, known)
        for value in (*self.batches, self.rounds):
            checks.integer("batch sizes and rounds", value)
        if "tf32" in self.dtypes and self.device == "cpu":
            raise ValueError("dtype 'tf32' is float32 with the shorter products of a GPU: choose float32, or a GPU.")


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
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        code = self.process.wait()
        killed = "; the system does this when memory runs out" if code == -9 else ""
        return {"problem": f"its process ended with exit code {code}{killed}"}


@contextmanager
def worker(threads: int | None) -> Iterator[Worker]:
    """A new process; it ends with the block. What torch compiles there is compiled anew, and goes with it."""
    environment = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    if threads is not None:
        environment |= {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    scratch = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)  # a process of the compiler may still write
    environment["TMPDIR"] = scratch.name
    process = subprocess.Popen(
        [sys.executable, "-m", "deit_ref.benchmark.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    try:
        yield Worker(process)
    finally:
        process.kill()
        process.wait()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.close()
        with suppress(BrokenPipeError):  # what it did not read any more
            process.stdin.close()
        scratch.cleanup()


def machine(plan: Plan) -> dict[str, Any]:
    """What it is measured on: processor, cores, threads and GPU.

    Raises:
        ValueError: the plan's device is not there.
    """
    found: dict[str, Any] = {**processor(), "threads": plan.threads or os.cpu_count(), "gpu": None}
    if find_spec("torch") is None:
        if plan.device != "cpu":
            raise ValueError(
                f"device {plan.device!r} needs PyTorch, which is not installed: {checks.install('torch')}."
            )
        return found
    with worker(plan.threads) as probe:
        answer = probe.ask(do="machine", device=plan.device)
        if "problem" in answer:
            raise ValueError(answer["problem"])
    return {**found, **answer}


def rooflines(plan: Plan, threads: int | None) -> dict[str, dict[str, Any]]:
    """Operations and bytes per second at best, of each dtype; a "problem" where they cannot be measured."""
    found = {}
    for dtype in plan.dtypes:
        with worker(threads) as probe:
            found[dtype] = probe.ask(do="roofline", device=plan.device, dtype=dtype)
    return found


def best(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """The higher rates of two rooflines of the same plan: what slows a machine down for a moment is no limit."""
    return {
        dtype: {key: max(value, second[dtype][key]) for key, value in roof.items()}
        if roof.keys() == second[dtype].keys() != {"problem"}
        else roof
        for dtype, roof in first.items()
    }


def with_shares(records: Sequence[Mapping[str, Any]], roofline: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The records, those that were measured with the share of the roofline that they reach; None without one."""
    shared = []
    for record in records:
        if "problem" in record:
            shared.append(dict(record))
            continue
        config = VARIANTS[_variant(record["model"])]
        least = least_seconds(config, record["batch"], record["dtype"], roofline[record["dtype"]])
        share = None if least is None else 1000 * least / record["milliseconds"][0]
        shared.append({**record, "roofline": share})
    return shared


def measure(plan: Plan, threads: int | None) -> Iterator[dict[str, Any]]:
    """One record for each peer of each case, as they come.

    A peer that is left out, disagrees or fails has a "problem" in its record, and the others go on.

    Args:
        plan: what to measure.
        threads: of each peer.
    """
    for model in plan.models:
        config = VARIANTS[_variant(model)]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            weights = deit_ref.init_weights(config, TASK, seed=0)
            deit_ref.save_weights(weights, folder)
            shape = (min(max(plan.batches), DISTINCT), config.num_channels, *config.image_shape)
            images = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
            output: Any = deit_ref.forward(weights, pixel_values=images)
            del weights
            for batch in plan.batches:
                repeated = np.arange(batch) % len(images)
                np.save(folder / "x.npy", images[repeated])
                for dtype in plan.dtypes:
                    logger.info(f"{model}, batch {batch}, {dtype}")
                    case = {"model": model, "batch": batch, "dtype": dtype, "device": plan.device}
                    yield from _case(plan, folder, case, output.logits[repeated], threads)


def _variant(model: str) -> str:
    return f"deit-{model}-distilled-patch16-224"


def _case(
    plan: Plan, folder: Path, case: Mapping[str, Any], reference: np.ndarray[Any, Any], threads: int | None
) -> Iterator[dict[str, Any]]:
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        distances: dict[str, float] = {}
        begun: dict[str, float] = {}
        for peer in plan.peers:
            missing = [name for name in NEEDS[peer] if find_spec(name) is None]
            if missing:
                yield {**case, "peer": peer, "problem": f"not installed: pip install {' '.join(missing)}"}
                continue
            start = time.perf_counter()
            each = stack.enter_context(worker(threads))
            logits = folder / f"{peer}.npy"
            words = {"peer": peer, "folder": str(folder), "device": plan.device, "dtype": case["dtype"],
                     "pixel_values": str(folder / "x.npy")}  # fmt: skip
            made = each.ask(do="make files", **words)
            answer = made if "problem" in made else each.ask(do="open", logits=str(logits), **words)
            if "problem" in answer:
                yield {**case, "peer": peer, **answer}
                continue
            begun[peer] = time.perf_counter() - start - made["seconds"]
            distances[peer] = distance = difference(np.load(logits), reference)
            if distance <= (most := AGREEMENT[case["dtype"]]):
                workers[peer] = each
            else:
                problem = f"its logits are {distance:.1e} away from NumPy's in float32, at most {most:.0e} is agreement"
                yield {**case, "peer": peer, "problem": f"not timed: {problem}", "agrees": False}
        for turn in range(plan.rounds + 1):
            for peer, each in list(workers.items()):
                answer = each.ask(do="time", calls=10_000, seconds=plan.seconds)
                if "problem" in answer:
                    del workers[peer]
                    yield {**case, "peer": peer, **answer}
                elif turn:  # the first is for warming up
                    each.seconds += answer["seconds"]
        for peer, each in workers.items():
            yield {
                **case,
                "peer": peer,
                "milliseconds": [1000 * value for value in quartiles(each.seconds)],
                "calls": len(each.seconds),
                "distance": distances[peer],
                "seconds_to_begin": begun[peer],
                "peak_bytes": each.ask(do="memory").get("bytes"),
            }


def difference(logits: np.ndarray[Any, Any], reference: np.ndarray[Any, Any]) -> float:
    """The largest absolute difference, as a share of the reference's largest value; other shapes are infinitely far."""
    if logits.shape != reference.shape:
        return math.inf
    return float(np.abs(logits - reference).max() / np.abs(reference).max())


def operations(config: DeiTConfig, batch: int) -> int:
    """Multiplications and additions of the matrix products of one forward pass."""
    tokens, dim = config.num_prefix_tokens + config.num_patches, config.hidden_size
    per_token = 4 * dim**2 + 2 * dim * config.intermediate_size + 2 * tokens * dim
    patches = config.num_patches * config.num_channels * config.patch_shape[0] * config.patch_shape[1] * dim
    heads = 2 * dim * config.num_labels
    return 2 * batch * (config.num_hidden_layers * tokens * per_token + patches + heads)


def least_seconds(config: DeiTConfig, batch: int, dtype: str, roof: Mapping[str, Any]) -> float | None:
    """What the machine needs at least: for the products, or for reading the weights once; None without a roofline."""
    if "operations" not in roof:
        return None
    weights = sum(math.prod(shape) for shape in array_shapes(config, TASK).values())
    return float(max(operations(config, batch) / roof["operations"], weights * ITEMSIZE[dtype] / roof["bytes"]))


def table(records: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Rows under `COLUMNS`, of what was measured; ratios are to the first of `REFERENCES` in the same case."""
    rows = []
    for record in (record for record in records if "problem" not in record):
        base = _in_case(records, record)[reference(records, record)]["milliseconds"][0]
        middle, lower, upper = (value / record["batch"] for value in record["milliseconds"])
        roof, peak = record["roofline"], record["peak_bytes"]
        rows.append([
            record["model"], str(record["batch"]), record["dtype"], record["peer"],
            f"{middle:.2f}", f"{lower:.2f} to {upper:.2f}", f"{record['milliseconds'][0] / base:.2f}",
            "" if roof is None else f"{roof:.0%}", "" if peak is None else f"{peak / 2**20:.0f}",
            f"{record['distance']:.0e}" if record["distance"] else "0", str(record["calls"]),
            f"{record['seconds_to_begin']:.1f}",
        ])  # fmt: skip
    return rows


def reference(records: Sequence[Mapping[str, Any]], case: Mapping[str, Any]) -> str:
    """The peer that the others of this record's case are compared with."""
    ran = _in_case(records, case)
    return next(name for name in REFERENCES if name in ran)


def _case_of(record: Mapping[str, Any]) -> tuple[str, int, str]:
    return record["model"], record["batch"], record["dtype"]


def _in_case(records: Sequence[Mapping[str, Any]], case: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What ran in the same case, by peer."""
    same = (record for record in records if _case_of(record) == _case_of(case))
    return {record["peer"]: record for record in same if "problem" not in record}


DOCUMENTATION = Plan(models=("base",), batches=(1, 2, 4, 8), peers=("transformers-eager", "transformers-sdpa", "torch"))
DOCUMENTATION_COLUMNS = ("batch", "eager, ms", "SDPA, ms", "eager / SDPA", "deit_ref's torch, ms", "eager / deit_ref")


def documentation_table(records: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Rows under `DOCUMENTATION_COLUMNS`, as in DeiT's page of transformers' documentation: times are of whole batches.

    What did not run leaves its cells empty.
    """
    rows = []
    for case in {record["batch"]: record for record in records}.values():
        ran = _in_case(records, case)
        eager, sdpa, own = (ran[peer]["milliseconds"][0] if peer in ran else math.nan for peer in DOCUMENTATION.peers)
        cells = [f"{eager:.1f}", f"{sdpa:.1f}", f"{eager / sdpa:.2f}", f"{own:.1f}", f"{eager / own:.2f}"]
        rows.append([str(case["batch"]), *("" if cell == "nan" else cell for cell in cells)])
    return rows


def notes(found: Mapping[str, Any], roofline: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Sentences for below the table: the machine, its roofline, what ratios are to, and who is left out.

    Args:
        found: of `machine`.
        roofline: of `rooflines`.
        records: of `measure`.
    """
    sentences = [f"{found['processor']}, {found['cores']} cores, {checks.amount(found['threads'], 'thread')}."]
    if found["gpu"] is not None:
        sentences = [f"{found['gpu']}. float32 is measured without TF32, and the dtype tf32 is float32 with it."]
    elif found["bfloat16"] is not None and "bfloat16" in roofline:
        sentences.append(f"Its instructions for bfloat16: {', '.join(found['bfloat16']) or 'none'}.")
        if "amx_bf16" not in found["bfloat16"]:
            sentences.append("It has no AMX.")
    for dtype, roof in roofline.items():
        said = roof.get("problem") or (
            f"{roof['operations'] / 1e9:.3g} GFLOP/s in a matrix product, {roof['bytes'] / 1e9:.3g} GB/s in a copy"
        )
        sentences.append(f"Roofline, {dtype}: {said}.")
    used = dict.fromkeys(reference(records, record) for record in records if "problem" not in record)
    if used:
        sentences.append(f"Ratios are to {', or where it did not run '.join(used)}.")
    problems: dict[tuple[str, str], list[Any]] = {}
    for record in records:
        if "problem" in record:
            problems.setdefault((record["peer"], record["problem"].rstrip(".")), []).append(_case_of(record))
    cases = {_case_of(record) for record in records}
    for (peer, problem), places in problems.items():
        dtypes = dict.fromkeys(dtype for *_, dtype in places)
        if len(places) == len(cases):
            where = ""
        elif len(places) == sum(dtype in dtypes for *_, dtype in cases):
            where = f" in {', '.join(dtypes)}"
        else:
            where = " of " + "; ".join(f"{model}, batch {batch}, {dtype}" for model, batch, dtype in places)
        sentences.append(f"{peer} is left out{where}: {problem}.")
    return sentences


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns of equal width, two spaces between them."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def write_strictly(path: Path, values: dict[str, Any]) -> None:
    """As JSON that every reader takes: NaN and infinity are an error."""
    write(path, (json.dumps(values, indent=2, allow_nan=False) + "\n").encode())
