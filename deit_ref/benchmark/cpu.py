"""Time and memory on one CPU thread, beside transformers, Pillow and NumPy's own import.

    python -m deit_ref.benchmark.cpu [--rounds 15] [--json FILE]

Machines are noisy, so figures are ratios: each round runs every candidate once, one after the other, each in a process
of its own with one BLAS thread, and counts its processor time. Peak memory and import times need a fresh process each.
Needs the `dev` extra.
"""

import argparse
import datetime
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np

import deit_ref
from deit_ref.arrays import as_numpy

# Two pools of several threads in one process would spin against each other.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# Freed memory must go back to the system at once, or the peak of one run hides in what an earlier one left behind.
# Only where memory is measured: it costs NumPy a third of its speed.
FREE_AT_ONCE = {"MALLOC_MMAP_THRESHOLD_": "65536"}
PHOTOS = ((480, 640), (960, 1280), (1708, 2560), (4000, 6000))  # height and width: 0.3 to 24 megapixels
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


def side_by_side(timed: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """The median of each one's milliseconds, from interleaved runs after one to warm up."""
    times: dict[str, list[float]] = {name: [] for name in timed}
    for run in timed.values():
        run()
    for _ in range(rounds):
        for name, run in timed.items():
            times[name].append(run())
    return {name: statistics.median(values) for name, values in times.items()}


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


def import_times(rounds: int) -> dict[str, float]:
    """Milliseconds of wall time of fresh processes, interleaved."""
    commands = {"numpy and PIL.Image": "import numpy, PIL.Image", "deit_ref too": "import numpy, PIL.Image, deit_ref"}
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, code in commands.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Measure, print a table of ratios, and keep the figures if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):  # it counts at the start only
        os.execve(sys.executable, [sys.executable, "-m", __spec__.name, *sys.argv[1:]], {**os.environ, **ONE_THREAD})
    figures: dict[str, Any] = {"rounds": arguments.rounds, "milliseconds": {}, "peak MiB": {}}
    for size, pixels in (("tiny", 224), ("base", 224), ("base", 512)):
        case = f"{size}, {pixels} px, batch 1"
        with in_processes(size, pixels) as timed:
            figures["milliseconds"][case] = times = side_by_side(timed, arguments.rounds)
        _print_row(case, times, "transformers eager")
        _print_row("", times, "transformers sdpa")
    for pixels in (224, 512):
        case = f"base, {pixels} px, batch 1"
        figures["peak MiB"][case] = peaks = {name: peak_memory("base", pixels, name) for name in CANDIDATES}
        _print_row(f"{case}, peak memory", peaks, "transformers eager", "MiB")
    for height, width in PHOTOS:
        case = f"resize {width} x {height} to 256 x 256"
        timed = {name: partial(milliseconds, run) for name, run in resize_runs(height, width).items()}
        figures["milliseconds"][case] = times = side_by_side(timed, arguments.rounds)
        _print_row(case, times, "Pillow")
    figures["milliseconds"]["import"] = times = import_times(arguments.rounds)
    _print_row("import", times, "numpy and PIL.Image")
    print(f"  import deit_ref adds {times['deit_ref too'] - times['numpy and PIL.Image']:.0f} ms")
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(_record(figures), file, indent=1)


def _record(figures: dict[str, Any]) -> dict[str, Any]:
    """The figures, and a table of them with ratios, as the site shows it."""
    rows = []
    for unit, cases in (("ms", figures["milliseconds"]), ("MiB", figures["peak MiB"])):
        for case, values in cases.items():
            reference = next(name for name in ("transformers eager", "Pillow", "numpy and PIL.Image") if name in values)
            for name, value in values.items():
                what = f"{case}, memory added" if unit == "MiB" else case
                rows.append([what, name, f"{value:.1f} {unit}", f"{value / values[reference]:.2f}"])
    packages = {name: version(name) for name in ("numpy", "pillow", "torch", "transformers")}
    return {
        "columns": ["what", "who", "median", "ratio to transformers eager, or to the library"],
        "rows": rows,
        "command": f"python -m deit_ref.benchmark.cpu --rounds {figures['rounds']} --json FILE",
        "date": datetime.date.today().isoformat(),
        "versions": {"python": platform.python_version(), "machine": platform.machine(), **packages},
        "figures": figures,
    }


def _print_row(case: str, values: dict[str, float], reference: str, unit: str = "ms") -> None:
    if case:
        print(f"{case}: " + ", ".join(f"{name} {value:.1f} {unit}" for name, value in values.items()))
    ratios = (f"{name} {value / values[reference]:.2f}" for name, value in values.items() if name != reference)
    print(f"  against {reference}: {', '.join(ratios)}", flush=True)


if __name__ == "__main__":
    main()
