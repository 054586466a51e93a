"""Many photos through a model: worker processes decode ahead, batches are computed meanwhile, answers come in order.

Decoding a JPEG takes about as long as a small model takes for it, so the two must not wait for each other. Three kinds
of hands: `workers` processes that turn files into bytes of the model's size, threads that compute a batch each, and the
caller, who passes batches from the first to the second. A photo is resized where it is decoded: of one of 12
megapixels, 36 MB would go from process to process otherwise, and the model would wait for the resizing.
"""

import math
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from multiprocessing import get_context
from typing import Any, NamedTuple

from deit_ref.api import forward
from deit_ref.checks import is_tensor
from deit_ref.commands.process import ctrl_c_later, follow_parent
from deit_ref.commands.threads import one_thread, threads
from deit_ref.image_processing import ImageProcessing
from deit_ref.outputs import Output
from deit_ref.photos import exif_orientation, load_image
from deit_ref.preparing import prepared
from deit_ref.sized import of_values, sized
from deit_ref.weights import DeiTWeights

FIRST = "images[0]: "  # how messages name the photo, which has a name of its own here
MANY = 64  # files from which processes are worth starting, and a pace worth telling


class Photo(NamedTuple):
    """A file after decoding: its bytes at the model's size, or what is wrong with it."""

    name: str
    pixels: Any = None  # uint8 (height, width, channels)
    turned: bool = False  # stored turned, and taken as stored
    problem: str | None = None


class Answer(NamedTuple):
    """What the model says of a file, best class first, or what is wrong with it."""

    name: str
    top: Sequence[tuple[str, float]] = ()
    turned: bool = False
    problem: str | None = None


@dataclass
class Pace:
    """How fast it went, filled while answers come.

    Attributes:
        photos: answered so far, broken files included.
        seconds: since the first file was asked for.
        computing: seconds in which the model was at work, on average over the batches that it computes at once.
        workers: processes that decoded.
    """

    photos: int = 0
    seconds: float = 0.0
    computing: float = 0.0
    workers: int = 0

    def __str__(self) -> str:
        share = self.computing / self.seconds
        slow = "the model" if share >= 0.8 else "decoding"
        slow += " is what takes time"
        if share < 0.8 and self.workers < default_workers(MANY):
            slow += ", more --workers may help"
        return (
            f"{self.photos} photos in {self.seconds:.1f} s, {self.photos / self.seconds:.1f} photos/s; "
            f"{share:.0%} of the time the model was at work: {slow}."
        )


def classify_files(
    weights: DeiTWeights,
    names: Sequence[str],
    *,
    backend: str = "numpy",
    batch_size: int = 8,
    compiled: bool = False,
    workers: int = 0,
    top: int = 5,
    pace: Pace | None = None,
) -> Iterator[Answer]:
    """The most probable classes of each file, in the files' order.

    Args:
        weights: with a classification head, already where they are to be used.
        names: files.
        backend: "numpy" or "torch".
        batch_size: photos per forward pass.
        compiled: by a pass of torch that is prepared before the first file is read.
        workers: processes that decode; 0 decodes in this process.
        top: how many classes.
        pace: filled as answers come.

    Yields:
        One answer for each name; a broken file has a problem and costs only itself.
    """
    pace = Pace() if pace is None else pace
    processing = weights.image_processing
    pace.workers = workers
    weights = replace(weights, image_processing=of_values(processing))
    on_gpu = is_tensor(weights.pos_embed) and weights.pos_embed.device.type != "cpu"
    # A GPU computes one batch after the other.
    with threads(backend, 1 if on_gpu else math.ceil(len(names) / batch_size)) as (executor, at_once):
        run: Callable[..., Output] = partial(forward, weights, backend=backend)
        if compiled:  # for as many threads as the one has that compiles
            run = executor.submit(prepared, weights, batch_size=batch_size).result()
        start = time.perf_counter()

        def computed(batch: Sequence[Photo]) -> tuple[list[Answer], float]:
            begin = time.perf_counter()
            return _answers(run, batch, top=top), time.perf_counter() - begin

        def counted(running: Future[tuple[list[Answer], float]]) -> Iterator[Answer]:
            answers, seconds = running.result()
            pace.computing += seconds / at_once
            for answer in answers:
                pace.photos, pace.seconds = pace.photos + 1, time.perf_counter() - start
                yield answer

        ahead = 2 * (at_once * batch_size + workers)
        with closing(decoded(names, processing, workers=workers, ahead=ahead)) as photos:
            running = deque[Future[tuple[list[Answer], float]]]()
            while batch := list(islice(photos, batch_size)):
                running.append(executor.submit(computed, batch))
                if len(running) > at_once:  # one waits, so that no thread does
                    yield from counted(running.popleft())
            while running:
                yield from counted(running.popleft())


def decoded(
    names: Iterable[str], processing: ImageProcessing, *, workers: int, ahead: int
) -> Generator[Photo, None, None]:
    """Each file's bytes, in order; `workers` processes read at most `ahead` files more than were taken.

    A file that ends its process, as a decoder's crash or the system's hunger for memory may, is a problem of that file:
    the processes are started again, and the files that were waiting are read again.
    """
    if workers == 0:
        yield from (decode(name, processing) for name in names)
        return
    remaining, waiting = iter(names), deque[tuple[str, Future[Photo]]]()
    pool = _pool(workers)
    try:
        while True:
            for name in islice(remaining, ahead - len(waiting)):
                waiting.append((name, _submitted(pool, name, processing)))
            if not waiting:
                return
            name, future = waiting.popleft()
            try:
                photo = future.result()
            except BrokenProcessPool:  # by any of those that were being read: the first is tried alone
                pool.shutdown()
                pool = _pool(workers)
                try:
                    photo = _submitted(pool, name, processing).result()
                except BrokenProcessPool:
                    photo = Photo(
                        name, problem=f"{name} ended the process that read it: it may be too large or broken."
                    )
                    pool.shutdown()
                    pool = _pool(workers)
                waiting = deque((other, _submitted(pool, other, processing)) for other, _ in waiting)
            yield photo
    finally:
        pool.shutdown(cancel_futures=True)


def decode(name: str, processing: ImageProcessing) -> Photo:
    """A file's bytes as `forward` would read and resize them, or what is wrong with it."""
    try:
        turned = not processing.apply_exif and exif_orientation(name) != 1
        pixels = load_image(name, do_convert_rgb=processing.do_convert_rgb, apply_exif=processing.apply_exif)
        return Photo(name, sized(pixels, processing), turned)
    except (ValueError, OSError) as error:
        return Photo(name, problem=str(error).removeprefix(FIRST))


def _pool(workers: int) -> ProcessPoolExecutor:
    # Not by fork: torch's threads do not survive one.
    return ProcessPoolExecutor(workers, get_context("spawn"), initializer=_begin)


def _begin() -> None:
    follow_parent()
    one_thread()


def _submitted(pool: ProcessPoolExecutor, name: str, processing: ImageProcessing) -> Future[Photo]:
    with ctrl_c_later():  # this starts processes, which take a second before they can say what they do about it
        try:
            return pool.submit(decode, name, processing)
        except BrokenProcessPool as error:  # by a file that is read ahead: heard of where its result is asked for
            future: Future[Photo] = Future()
            future.set_exception(error)
            return future


def _answers(run: Callable[..., Any], batch: Sequence[Photo], *, top: int) -> list[Answer]:
    """Of one batch; if it cannot be prepared as one, of each photo by itself."""
    readable = [photo.pixels for photo in batch if photo.problem is None]
    problem = None
    try:
        output = run(readable) if readable else None
    except ValueError as error:
        if len(batch) > 1:
            return [answer for photo in batch for answer in _answers(run, [photo], top=top)]
        problem, output = str(error).removeprefix(FIRST), None
    found = iter(output.top(top) if output is not None else ())
    return [
        Answer(photo.name, (), photo.turned, photo.problem or problem)
        if photo.problem or problem
        else Answer(photo.name, next(found), photo.turned)
        for photo in batch
    ]


def default_workers(count: int) -> int:
    """Processes that decode, for so many files: none where starting them takes longer than decoding."""
    return 0 if count < MANY else min(os.cpu_count() or 1, 16)
