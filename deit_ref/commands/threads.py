"""Batches beside each other, instead of threads within each: what keeps all cores busy while photos are decoded.

A matrix routine with several threads waits for the slowest of them, dozens of times in a layer. Where processes that
decode want the cores, too, one of its threads often has none, and the others wait for it: on two cores the bundled
model took six to nine times as long. Batches that are computed beside each other, with one thread each, wait for none.
"""

import math
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from deit_ref.arrays import import_torch

MOST = 16  # batches at once, each of which holds its own arrays


class Threads(NamedTuple):
    """Where batches are computed, `at_once` of them beside each other."""

    executor: Executor
    at_once: int


@contextmanager
def threads(backend: str, batches: int) -> Iterator[Threads]:
    """Threads for one batch each, which divide among them the threads that one matrix routine would take by itself.

    What the user has set holds: with OMP_NUM_THREADS=1 there is one thread, for one batch. After the block routines
    take as many threads as before.

    Args:
        backend: "numpy" or "torch".
        batches: how many are worth computing at once; fewer than there are cores get several cores each.
    """
    from threadpoolctl import threadpool_info, threadpool_limits

    torch = import_torch() if backend == "torch" else None
    # Of NumPy a library that cannot be told, such as Apple's, gets one batch, and takes what threads it likes.
    told = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    cores = max(told, default=1) if torch is None else torch.get_num_threads()
    share = math.ceil(cores / max(1, min(cores, batches, MOST)))
    at_once = max(1, cores // share)  # of 31 cores 15 batches with two each, not 16 with one
    # torch counts for the thread that says so, and for those that start later; NumPy for all.
    begin = None if torch is None else partial(torch.set_num_threads, share)
    try:
        with threadpool_limits(share, user_api="blas"), ThreadPoolExecutor(at_once, initializer=begin) as executor:
            yield Threads(executor, at_once)
    finally:
        if torch is not None:
            torch.set_num_threads(cores)


def one_thread() -> None:
    """NumPy's matrix routines, of which resizing is one, take one thread in this process from now on."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="blas")
