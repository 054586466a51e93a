"""One peer in a process of its own, which runs when it is told to.

Started by `side_by_side`: two pools of threads in one process would spin against each other, and peak memory is the
process's. It reads commands as lines of JSON and answers each with one.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deit_ref import checks
from deit_ref.benchmark.peers import FILES, PEERS, Run

PAUSE = 0.25  # seconds; threads of the peer before go on spinning for a while: OpenBLAS's 0.05, Intel's OpenMP's 0.2
_opened: dict[str, Any] = {}  # the peer's run, and its device


def main() -> None:
    """Do what each line says, until there are no more."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)  # what libraries print is not an answer
        for line in sys.stdin:
            command = json.loads(line)
            try:
                answer = COMMANDS[command.pop("do")](**command)
            except Exception as error:  # the parent says who is left out, and why
                kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
                lines = str(error).strip().splitlines() or [""]
                answer = {"problem": checks.one_line(f"{kind}{lines[0]}", most=300)}
            print(json.dumps(answer), file=answers, flush=True)


def machine(device: str) -> dict[str, Any]:
    """How many threads torch takes by itself, and the name of the GPU. A device that is not there is an error."""
    import torch

    from deit_ref.arrays import as_device

    as_device(device)
    gpu = torch.cuda.get_device_name(device) if device.startswith("cuda") else None
    return {"threads": torch.get_num_threads(), "gpu": gpu}


def roofline(device: str, dtype: str) -> dict[str, float]:
    """What this machine can do at best: operations per second of a large matrix product, bytes per second of a copy.

    The right matrix is transposed, as weights are: in float16, a CPU takes ten times as long for the other form. On a
    CPU the faster of torch's product and NumPy's counts: which library is faster depends on who made the processor.
    """
    import torch

    kind = getattr(torch, _arithmetic(dtype))
    _make_current(device)
    size = 8192 if device.startswith("cuda") else 2048
    a, b = (torch.randn(size, size, device=device).to(kind) for _ in range(2))
    times = _timed(lambda: a @ b.T, device, most=20, seconds=3.0)
    if device == "cpu" and kind in (torch.float32, torch.float64):
        left, right = a.numpy(), b.numpy()
        times += _timed(lambda: left @ right.T, device, most=20, seconds=3.0)
    rate = 2 * size**3 / min(times)
    source = torch.zeros(2**28, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    bandwidth = 2 * source.numel() / min(_timed(lambda: target.copy_(source), device, most=20, seconds=2.0))
    return {"operations": rate, "bytes": bandwidth}


def make_files(peer: str, folder: str, device: str, dtype: str, pixel_values: str) -> dict[str, float]:
    """What the peer reads besides the folder's files, which its users make once; the seconds that it took."""
    start = time.perf_counter()
    if peer in FILES:
        FILES[peer](Path(folder), np.load(pixel_values), device=device, dtype=dtype)
    return {"seconds": time.perf_counter() - start}


def open_peer(peer: str, folder: str, device: str, dtype: str, pixel_values: str, logits: str) -> dict[str, Any]:
    """Load the weights, run once, and write the logits to a file."""
    _make_current(device)
    name = dtype if peer in ("numpy", "onnxruntime") else _arithmetic(dtype)
    run = _without_gradients(PEERS[peer](Path(folder), np.load(pixel_values), device=device, dtype=name))
    _opened.update(run=run, device=device)
    np.save(logits, _as_numpy(run()))
    return {}


def run_for(calls: int, seconds: float) -> dict[str, list[float]]:
    """Seconds of single calls, after a pause: as many as fit into the time, at least one, at most `calls`."""
    time.sleep(PAUSE)
    return {"seconds": _timed(_opened["run"], _opened["device"], most=calls, seconds=seconds)}


def peak_memory() -> dict[str, int | None]:
    """Bytes at most so far: of the device's allocator, or of the process (Linux; None elsewhere)."""
    if _opened["device"].startswith("cuda"):
        import torch

        return {"bytes": torch.cuda.max_memory_allocated()}
    # Not ru_maxrss, which begins with what the process that started this one had.
    try:
        with open("/proc/self/status") as file:
            return {"bytes": next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))}
    except (OSError, StopIteration):
        return {"bytes": None}


COMMANDS: Mapping[str, Callable[..., Mapping[str, Any]]] = {
    "machine": machine,
    "roofline": roofline,
    "make files": make_files,
    "open": open_peer,
    "time": run_for,
    "memory": peak_memory,
}


def _timed(run: Run, device: str, *, most: int, seconds: float) -> list[float]:
    found: list[float] = []
    begin = time.perf_counter()
    while len(found) < most and (not found or time.perf_counter() - begin < seconds):
        found.append(_one_call(run, device))
    return found


def _one_call(run: Run, device: str) -> float:
    if not device.startswith("cuda"):
        start = time.perf_counter()
        run()
        return time.perf_counter() - start
    import torch

    event: Any = torch.cuda.Event
    first, last = (event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    first.record()
    run()
    last.record()
    last.synchronize()
    return float(first.elapsed_time(last)) / 1000


def _make_current(device: str) -> None:
    """Events, streams and counts of memory are those of the current GPU."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.set_device(torch.device(device).index or 0)


def _arithmetic(dtype: str) -> str:
    """torch's name of the dtype, after telling it whether float32 may be multiplied as TF32: no, if not asked."""
    import torch

    shorter = dtype == "tf32"
    torch.set_float32_matmul_precision("high" if shorter else "highest")
    torch.backends.cudnn.allow_tf32 = shorter  # on by default, and convolutions would use it
    return "float32" if shorter else dtype


def _without_gradients(run: Run) -> Run:
    """As every peer is used for answers."""
    if "torch" not in sys.modules:
        return run
    import torch

    def quiet() -> Any:
        with torch.inference_mode():
            return run()

    return quiet


def _as_numpy(logits: Any) -> np.ndarray[Any, Any]:
    from deit_ref.arrays import as_numpy

    found: np.ndarray[Any, Any] = as_numpy(logits).astype(np.float64)
    return found


if __name__ == "__main__":
    main()
