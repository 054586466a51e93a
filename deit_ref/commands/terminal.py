"""What a command says and shows: lines on standard error, text that any terminal takes, progress, JSON."""

import json
import logging
import math
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from deit_ref import checks

Thing = TypeVar("Thing")


def say(message: Any) -> None:
    """One line on standard error."""
    print(printable(f"deit-ref: {' '.join(str(message).split())}"), file=sys.stderr)


def error_in_words(error: Exception) -> str:
    """What went wrong, for people: the system's errors without their numbers."""
    if isinstance(error, OSError) and error.strerror is not None:
        return f"{'a file or stream' if error.filename is None else error.filename}: {error.strerror}."
    return str(error) or type(error).__name__


def printable(text: str) -> str:
    """File and class names may hold anything; what is not text, or would steer the terminal, is shown by its code."""
    return checks.one_line(text, most=100_000)


def json_line(value: Any) -> str:
    """The value as JSON, which has no NaN and no infinity: they are null."""
    return json.dumps(_finite(value))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def progress(
    things: Iterable[Thing], count: int, *, unit: str = "image", every: int = 100
) -> Iterator[tuple[Iterable[Thing], Callable[[str], object]]]:
    """Things that take a while, with a progress display beside them, and how to print below it.

    A bar on a terminal if tqdm is installed; else a line now and then; both with the time that is left.
    """
    if count > 1 and sys.stderr.isatty():
        try:
            from tqdm import tqdm
        except ImportError:
            pass
        else:
            with tqdm(things, total=count, unit=unit, leave=False) as bar:
                yield bar, lambda text: tqdm.write(text, file=sys.stdout)
            return
    yield _counted(things, count, f"of {count} {unit}s", every), print


def _counted(things: Iterable[Thing], count: int, what: str, every: int) -> Iterator[Thing]:
    start = time.monotonic()
    for i, thing in enumerate(things):
        if i and i % every == 0:
            say(f"{i} {what}{_time_left((time.monotonic() - start) / i * (count - i))}")
        yield thing


def _time_left(seconds: float) -> str:
    """In words, if it is worth saying."""
    if seconds < 10:
        return ""
    return f", about {seconds:.0f} seconds left" if seconds < 90 else f", about {seconds / 60:.0f} minutes left"


@contextmanager
def counting(count: int, *, unit: str = "photo", every: int = 500) -> Iterator[Callable[[], object]]:
    """A function to call for each of many things that is done; any thread may. Shown as `progress` shows them."""
    lock = threading.Lock()
    with progress(range(count), count, unit=unit, every=every) as (things, _):
        steps = iter(things)

        def done() -> None:
            with lock:
                next(steps, None)

        yield done


class _SayHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


@contextmanager
def plain_messages() -> Iterator[None]:
    """Warnings and log lines, such as a guess made while loading, as plain lines; as before afterwards."""
    logger, handler = logging.getLogger("deit_ref"), _SayHandler()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = lambda message, *_, **__: say(f"warning: {message}")
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
