"""Checkpoints of a run: everything that the next step depends on, written so that a crash leaves the last one whole.

What is random is not among it, because it follows from the seed and the step (see `batches`).
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch

NAME = "checkpoint.pt"
_VERSION = 1


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write the checkpoint beside its place and rename it, so that there is always a whole one.

    Raises:
        OSError: it could not be written, for example because the disk is full; the checkpoint before it is still there.
    """
    beside = folder / f".{NAME}.part"  # one name, so that what a killed process leaves is written over
    try:
        with open(beside, "wb") as file:
            torch.save({"version": _VERSION, **state}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, folder / NAME)
    except (OSError, RuntimeError) as error:  # torch's writer turns a full disk into a RuntimeError
        kept = f"; the checkpoint before it is still in {folder}" if (folder / NAME).exists() else ""
        raise OSError(
            f"The checkpoint could not be written to {folder} ({error}){kept}. Make room and resume."
        ) from error
    finally:
        beside.unlink(missing_ok=True)


def load_state(folder: Path, *, device: torch.device) -> dict[str, Any]:
    """The checkpoint in a folder. Nothing in it is executed.

    Raises:
        ValueError: there is none, or it cannot be read.
    """
    path = folder / NAME
    if not path.is_file():
        raise ValueError(f"{folder} holds no {NAME} to resume from: leave out resume, or give the folder of a run.")
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path} cannot be read ({reason}): delete it and train again.") from error
    if not isinstance(state, dict) or state.get("version") != _VERSION:
        raise ValueError(f"{path} is no checkpoint of this version of deit_ref: delete it and train again.")
    return state


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets, so that a step is finished first; the second Ctrl-C interrupts at once."""
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        # A supervisor's SIGTERM may follow the terminal's Ctrl-C while the step is being finished.
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield stop
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
