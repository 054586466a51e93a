"""One peer in a process of its own, which runs when it is told to.

Started by `side_by_side`: two pools of threads in one process would spin against each other, and peak memory is the
process's. It reads commands as lines of JSON and answers each with one.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from deit_ref.benchmark.peers import PEERS, Run


def main() -> None:
    """Open the peer that the first line describes, then do what the others say."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # what libraries print is no answer
    run: Run | None = None
    device = "cpu"
    for line in sys.stdin:
        command = json.loads(line)
        try:
            if command["do"] == "open":
                device = command["device"]
                pixel_values = np.load(command["pixel_values"])
                run = _quiet(
                    PEERS[command["peer"]](
                        Path(command["folder"]), pixel_values, device=device, dtype=command["dtype"]
                    ),
                    needs_torch=command["peer"] != "numpy",
                )
                np.save(command["logits"], _as_numpy(run()))
                answer: dict[str, Any] = {"threads": _threads(command["peer"])}
            elif command["do"] == "time":
                assert run is not None
                answer = {"seconds": timed(run, device, most=command["calls"], seconds=command["seconds"])}
            elif command["do"] == "roofline":
                answer = roofline(command["device"], command["dtype"])
            else:
                answer = {"bytes": peak_memory(device)}
        except Exception as error:  # the parent says who is left out, and why
            answer = {"problem": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        print(json.dumps(answer), file=answers, flush=True)


def timed(run: Run, device: str, *, most: int, seconds: float) -> list[float]:
    """Seconds of single calls: as many as fit into the time, at least one, at most `most`."""
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

    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    first.record()
    run()
    last.record()
    last.synchronize()
    return float(first.elapsed_time(last)) / 1000


def roofline(device: str, dtype: str) -> dict[str, float]:
    """What this machine can do at best: operations per second of a large matrix product, bytes per second of a copy."""
    import torch

    kind = getattr(torch, dtype)
    size = 8192 if device.startswith("cuda") else 2048
    a, b = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
    rate = 2 * size**3 / min(timed(lambda: a @ b, device, most=20, seconds=3.0))
    source = torch.empty(2**28, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    bandwidth = 2 * source.numel() / min(timed(lambda: target.copy_(source), device, most=20, seconds=2.0))
    return {"operations": rate, "bytes": bandwidth}


def peak_memory(device: str) -> int:
    """Bytes at most so far: of the device's allocator, or of the process (Linux)."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated()
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _quiet(run: Run, *, needs_torch: bool) -> Run:
    """Without gradients, as every peer is used for answers."""
    if not needs_torch:
        return run
    import torch

    def without_gradients() -> Any:
        with torch.inference_mode():
            return run()

    return without_gradients


def _threads(peer: str) -> int | None:
    if peer == "numpy":
        return None
    import torch

    return torch.get_num_threads()


def _as_numpy(logits: Any) -> np.ndarray[Any, Any]:
    from deit_ref.outputs import as_numpy

    found: np.ndarray[Any, Any] = as_numpy(logits).astype(np.float64)
    return found


if __name__ == "__main__":
    main()
