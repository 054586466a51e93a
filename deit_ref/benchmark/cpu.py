"""Time and memory on one CPU thread, beside transformers, Pillow and NumPy's own import.

    python -m deit_ref.benchmark.cpu [--rounds 15] [--json FILE]

Machines are noisy, so figures are ratios: each round runs every candidate once, one after the other, each in a process
of its own with one BLAS thread, and counts its processor time. Peak memory and import times need a fresh process each.
Needs the `dev` extra.
"""

import argparse
import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import deit_ref
from deit_ref.arrays import as_numpy
from deit_ref.benchmark.records import quartiles, record
from deit_ref.checkpoints.files import json_bytes, write

# Two pools of several threads in one process would spin against each other.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# Freed memory must go back to the system at once, or the peak of one run hides in what an earlier one left behind.
# Only where memory is measured: it costs NumPy a third of its speed.
FREE_AT_ONCE = {"MALLOC_MMAP_THRESHOLD_": "65536"}
PHOTOS = ((480, 640), (960, 1280), (1708, 2560), (4000, 6000))  # height and width: 0.3 to 24 megapixels
COLUMNS = ("what", "who", "median", "middle half", "ratio to transformers eager, or to the library")
REFERENCES = ("transformers eager", "Pillow", "numpy and PIL.Image", "torch")
CANDIDATES = ("transformers eager", "transformers sdpa", "numpy", "torch")


def model_runs(size: str, pixels: int, candidates: tuple[str, ...] = CANDIDATES) -> dict[str, Callable[[], Any]]:
    """One forward pass of a distilled model for each candidate, on the same weights and the same image."""
    config = deit_ref.VARIANTS[f"deit-{size}-distilled-patch16-224"]
    weights = deit_ref.init_weights(config, "classification-with-teacher", seed=0)
    x = np.random.default_rng(0).standard_normal((1, 3, pixels, pixels)).astype(np.float32)
    interpolate = pixels != 224
    runs: dict[str, Callable[[], Any]] = {}
    if "numpy" in candidates:
        runs["numpy"] = lambda: deit_ref.forward(weights, pixel_values=x, interpolate_pos_encoding=interpolate)
    if "torch" in candidates:
        runs["torch"] = lambda: deit_ref.forward(
            weights, pixel_values=x, backend="torch", interpolate_pos_encoding=interpolate
        )
    peers = [name for name in candidates if name.startswith("transformers")]
    if peers:
        import torch
        from transformers import DeiTForImageClassificationWithTeacher

        torch.set_num_threads(1)
        with tempfile.TemporaryDirectory() as folder:
            deit_ref.save_weights(weights, folder)
            for name in peers:
                peer = DeiTForImageClassificationWithTeacher.from_pretrained(
                    folder, attn_implementation=name.split()[1]
                )
                runs[name] = _peer_run(peer.train(False), torch.from_numpy(x), interpolate)
    return {name: runs[name] for name in candidates}


def _peer_run(peer: Any, x: Any, interpolate: bool) -> Callable[[], Any]:
    import torch

    def run() -> Any:
        with torch.inference_mode():
            return peer(x, interpolate_pos_encoding=interpolate)

    return run


def resize_runs(height: int, width: int) -> dict[str, Callable[[], Any]]:
    """A photo of this size to 256 x 256, bicubic."""
    import torch
    from PIL import Image

    from deit_ref.numpy_backend.resize import resize
    from deit_ref.torch_backend.resize import resize as resize_tensor

    torch.set_num_threads(1)
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    photo, tensor = Image.fromarray(image), torch.from_numpy(image)
    return {
        "Pillow": lambda: photo.resize((256, 256), Image.Resampling.BICUBIC),
        "numpy": lambda: resize(image, (256, 256)),
        "torch": lambda: resize_tensor(tensor, (256, 256)),
    }


def side_by_side(timed: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Each one's milliseconds, from interleaved runs after one to warm up."""
    times: dict[str, list[float]] = {name: [] for name in timed}
    for run in timed.values():
        run()
    for _ in range(rounds):
        for name, run in timed.items():
            times[name].append(run())
    return times


def milliseconds(run: Callable[[], Any]) -> float:
    """Processor time of one call in this thread."""
    start = time.thread_time()
    run()
    return 1000 * (time.thread_time() - start)


@contextmanager
def in_processes(size: str, pixels: int) -> Iterator[Mapping[str, Callable[[], float]]]:
    """Each candidate in a process of its own, as its users have it: who loads torch, too, frees memory otherwise.

    Each function runs its candidate once and returns the milliseconds; the processes end with the block.
    """
    code = "from deit_ref.benchmark import cpu; cpu.serve({!r}, {}, {!r}, {!r})"
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        processes = {}
        for name in CANDIDATES:
            command = [sys.executable, "-c", code.format(size, pixels, name, f"{folder}/{name}.npy")]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            processes[name] = stack.enter_context(process)
            stack.callback(process.communicate)  # closes its standard input, at which it ends
        timed = {name: partial(_ask, process) for name, process in processes.items()}
        for run in timed.values():
            run()
        check_agreement({name: np.load(f"{folder}/{name}.npy") for name in CANDIDATES})
        yield timed


def serve(size: str, pixels: int, name: str, file: str) -> None:
    """In a process of its own: for each line that comes, run once and print the milliseconds; keep the first logits."""
    run = model_runs(size, pixels, (name,))[name]
    np.save(file, as_numpy(run().logits))
    for _ in sys.stdin:
        print(milliseconds(run), flush=True)


def _ask(process: Any) -> float:
    process.stdin.write("\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def check_agreement(logits: dict[str, Any]) -> None:
    """Nothing is timed that computes something else."""
    reference = logits["transformers eager"]
    for name, found in logits.items():
        difference = np.abs(found - reference).max() / np.abs(reference).max()
        if difference > 1e-5:
            raise SystemExit(f"{name} differs from transformers by {difference:.1e}: nothing was timed.")


def peak_memory(size: str, pixels: int, name: str) -> float:
    """MiB that one forward pass adds to a process that has run it before; Linux only."""
    return printed_by(
        f"from deit_ref.benchmark import cpu; cpu.print_peak(cpu.model_runs({size!r}, {pixels}, ({name!r},))[{name!r}])"
    )


def printed_by(code: str) -> float:
    """The number that a process of one thread prints."""
    environment = {**os.environ, **ONE_THREAD, **FREE_AT_ONCE}
    command = [sys.executable, "-c", code]
    return float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def print_peak(run: Callable[[], Any]) -> None:
    """In a process of its own: reset the kernel's high-water mark, run once, read it."""
    run()  # imports, converted weights and pages of the file are not the forward pass's
    gc.collect()
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before = _status("VmRSS")
    run()
    print((_status("VmHWM") - before) / 1024)


def _status(field: str) -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field + ":"))


def import_runs() -> dict[str, Callable[[], float]]:
    """Milliseconds of wall time of a fresh process that imports this and ends."""
    commands = {"numpy and PIL.Image": "import numpy, PIL.Image", "deit_ref too": "import numpy, PIL.Image, deit_ref"}
    return {name: partial(_wall_time, [sys.executable, "-c", code]) for name, code in commands.items()}


def _wall_time(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True)
    return 1000 * (time.perf_counter() - start)


def rows_of(what: str, times: Mapping[str, Sequence[float]], *, unit: str = "ms") -> list[list[str]]:
    """A row of `COLUMNS` for each candidate; ratios are to the first of `REFERENCES` among them."""
    reference = quartiles(times[next(name for name in REFERENCES if name in times)])[0]
    rows = []
    for name, values in times.items():
        middle, lower, upper = quartiles(values)
        half = f"{lower:.1f} to {upper:.1f}" if len(values) > 1 else ""
        rows.append([what, name, f"{middle:.1f} {unit}", half, f"{middle / reference:.2f}"])
    return rows


def main() -> None:
    """Measure, print each row, and keep the figures if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):  # it counts at the start only
        os.execve(sys.executable, [sys.executable, "-m", __spec__.name, *sys.argv[1:]], {**os.environ, **ONE_THREAD})
    rounds, rows, results = arguments.rounds, [], {}

    def keep(what: str, times: Mapping[str, Sequence[float]], *, unit: str = "ms") -> None:
        results[what] = times
        for row in rows_of(what, times, unit=unit):
            rows.append(row)
            print(" | ".join(row), flush=True)

    for size, pixels in (("tiny", 224), ("base", 224), ("base", 512)):
        with in_processes(size, pixels) as timed:
            keep(f"{size}, {pixels} px, batch 1", side_by_side(timed, rounds))
    for height, width in PHOTOS:
        timed = {name: partial(milliseconds, run) for name, run in resize_runs(height, width).items()}
        keep(f"resize {width} x {height} to 256 x 256", side_by_side(timed, rounds))
    keep("import", side_by_side(import_runs(), rounds))
    for pixels in (224, 512):
        peaks = {name: [peak_memory("base", pixels, name)] for name in CANDIDATES}
        keep(f"base, {pixels} px, batch 1, memory added", peaks, unit="MiB")
    if arguments.json is not None:
        packages = ("numpy", "pillow", "torch", "transformers")
        command = f"cpu --rounds {rounds} --json FILE"
        write(arguments.json, json_bytes(record(command, COLUMNS, rows, packages=packages, results=results)))


if __name__ == "__main__":
    main()
