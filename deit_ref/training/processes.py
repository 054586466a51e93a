"""One program in several processes: torchrun starts them, its environment says which is which, signals end them."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch

from deit_ref.arrays import as_device


@contextmanager
def processes(device: Any) -> Iterator[tuple[torch.device, int, int]]:
    """This process's device, its rank and how many there are; they can talk to each other inside the block.

    Args:
        device: None means a GPU if there is one. Of several GPUs each process takes its own.
    """
    world, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    where = as_device(device)
    assert where is not None
    if world == 1:
        yield where, 0, 1
        return
    if where.type == "cuda":
        where = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(where)
    torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if where.type == "cuda" else "gloo")
    try:
        yield where, rank, world
    finally:
        torch.distributed.destroy_process_group()


def gathered(mine: Sequence[Any], *, rank: int, world: int) -> list[Any]:
    """What all processes hold, in turns: the first of each, then the second of each; empty but in the first process."""
    shares: list[Any] | None = [None] * world if rank == 0 else None
    # A group of its own: objects travel over the network, whatever tensors do.
    torch.distributed.gather_object(list(mine), shares, group=torch.distributed.new_group(backend="gloo"))
    if shares is None:
        return []
    return [shares[i % world][i // world] for i in range(sum(map(len, shares)))]


def in_first(action: Callable[[], object], *, rank: int, world: int) -> None:
    """Carry out an action in the first process; the ValueError that it raises there is raised in all."""
    problem: list[ValueError | None] = [None]
    if rank == 0:
        try:
            action()
        except ValueError as error:
            problem = [error]
    if world > 1:
        torch.distributed.broadcast_object_list(problem, group=torch.distributed.new_group(backend="gloo"))
    if problem[0] is not None:
        raise problem[0]


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
