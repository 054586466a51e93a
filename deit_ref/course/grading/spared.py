"""What of a submission's top level runs while it is imported costs only what uses it, if it fails or takes too long."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SECONDS = 2.0  # on a processor, of a whole process: how busy the machine is does not count


class _TooLong(BaseException):
    """Not one that `except Exception` takes."""


class _Clock:
    left, runs = SECONDS, False

    def ring(self, number: int, frame: FrameType | None) -> None:
        if self.runs:
            self.left = 0.0
            raise _TooLong


_clock = _Clock()


@contextmanager
def spared() -> Iterator[None]:
    """Run a block; what it raises, and the rest of it when its time is over, is left out."""
    with suppress(Exception, SystemExit, _TooLong):
        in_main = threading.current_thread() is threading.main_thread()
        if _clock.runs or not in_main or not hasattr(signal, "setitimer"):  # Windows has none
            yield
            return
        before = signal.signal(signal.SIGPROF, _clock.ring)
        _clock.runs, started = True, time.process_time()
        signal.setitimer(signal.ITIMER_PROF, max(_clock.left, 0.001), 0.1)
        try:
            yield
        finally:
            _clock.runs = False
            signal.setitimer(signal.ITIMER_PROF, 0)
            _clock.left -= time.process_time() - started
            signal.signal(signal.SIGPROF, before)
