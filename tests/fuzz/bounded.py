"""Runs cases one after the other in worker processes that cannot take more than their share.

A worker is a fork that goes through many cases; when a case kills it, or it has to be killed, the next worker goes on
with the case behind. Linux only (fork, resource limits, /proc).
"""

import json
import os
import select
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

GIB = 2**30
CASES_PER_WORKER = 500

# One line that fits on a screen or two; a message that repeats a whole file helps nobody.
LONGEST_MESSAGE = 2000

# What reading a file never needs: other programs, other machines, and Python's own pickle.
FORBIDDEN = {"os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "subprocess.Popen", "pty.spawn"} | {
    "socket.connect",
    "socket.getaddrinfo",
    "pickle.find_class",
    "webbrowser.open",
}


class Limits(NamedTuple):
    """Of one case: seconds of CPU, seconds on the clock, bytes of memory above what a fresh worker holds.

    Three times as much may be asked for (a lying length does so), as long as it is not filled.
    """

    cpu: int = 20
    wall: float = 30.0
    memory: int = GIB


class Outcome(NamedTuple):
    """How a case ended.

    kind: "result", "refused" (a ValueError), or a failure: "died", "hang", "memory", "executed", "exception",
        "warning", "message".
    text: what came, the message, or what went wrong.
    where: of an exception, the last lines of the package that it passed through.
    memory: the largest number of bytes that the worker has held so far, above those of its start.
    seconds: on the clock.
    """

    case: int
    kind: str
    text: str
    where: str = ""
    memory: int = 0
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        return self.kind not in ("result", "refused")


def run_bounded(
    cases: Iterable[int], run: Callable[[int], str], *, limits: Limits, sentinel: str, package: str = "deit_ref"
) -> Iterator[Outcome]:
    """The outcome of every case, in order.

    Args:
        cases: their numbers.
        run: does one case and says in a word what came out; runs in a worker.
        limits: of each case.
        sentinel: path of a file that nothing but executed code would make.
        package: whose lines `where` shows.
    """
    left = list(cases)
    while left:
        reader, worker = _fork(left[:CASES_PER_WORKER], run, limits, sentinel, package)
        outcomes: list[Outcome] = []
        try:
            for outcome in _outcomes(reader, worker, left[:CASES_PER_WORKER], limits):
                outcomes.append(outcome)
                yield outcome
        finally:
            os.close(reader)
            _end(worker)
        left = left[len(outcomes) :]


def _outcomes(reader: int, worker: int, cases: list[int], limits: Limits) -> Iterator[Outcome]:
    """Those that the worker tells, and one more if it dies or hangs."""
    buffer = b""
    for case in cases:
        start = time.monotonic()
        while b"\n" not in buffer:
            remaining = start + limits.wall - time.monotonic()
            if remaining <= 0 or not select.select([reader], [], [], remaining)[0]:
                yield Outcome(case, "hang", f"still running after {limits.wall:g} seconds")
                return
            chunk = os.read(reader, 65536)
            if not chunk:
                yield Outcome(case, *_death(_end(worker), limits), seconds=time.monotonic() - start)
                return
            buffer += chunk
        line, _, buffer = buffer.partition(b"\n")
        outcome = Outcome(case, *json.loads(line))
        yield outcome
        if outcome.memory > limits.memory:
            return


def _death(status: int, limits: Limits) -> tuple[str, str]:
    if os.WIFSIGNALED(status):
        if os.WTERMSIG(status) == signal.SIGXCPU:
            return "hang", f"more than {limits.cpu} seconds of CPU"
        return "died", f"of {signal.Signals(os.WTERMSIG(status)).name}"
    return "died", f"with exit status {os.waitstatus_to_exitcode(status)}"


def _end(worker: int) -> int:
    """Kill the worker unless it has ended, and take its status; 0 if that was taken before."""
    try:
        ended, status = os.waitpid(worker, os.WNOHANG)
        for _ in range(100):  # it may have closed the pipe just before it ends
            if ended:
                return status
            time.sleep(0.01)
            ended, status = os.waitpid(worker, os.WNOHANG)
        os.kill(worker, signal.SIGKILL)
        return os.waitpid(worker, 0)[1]
    except ChildProcessError:
        return 0


def _fork(cases: list[int], run: Callable[[int], str], limits: Limits, sentinel: str, package: str) -> tuple[int, int]:
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    worker = os.fork()
    if worker:
        os.close(writer)
        return reader, worker
    status = 1
    with suppress(BaseException):
        os.close(reader)
        _work(cases, run, limits, sentinel, package, writer)
        status = 0
    os._exit(status)


def _work(
    cases: list[int], run: Callable[[int], str], limits: Limits, sentinel: str, package: str, writer: int
) -> None:
    import resource

    forbidden: list[str] = []
    sys.addaudithook(lambda event, args: forbidden.append(f"{event}{args!r:.200}") if event in FORBIDDEN else None)
    # What C libraries print about broken files is not an answer of ours.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_pages(0) + 3 * limits.memory, resource.RLIM_INFINITY))
    held = _pages(1)
    for case in cases:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        used = int(usage.ru_utime + usage.ru_stime)
        resource.setrlimit(resource.RLIMIT_CPU, (used + 1 + limits.cpu, resource.RLIM_INFINITY))
        start = time.monotonic()
        kind, text, where = _judged(case, run, package)
        if forbidden or os.path.lexists(sentinel):
            kind, text = "executed", f"{forbidden or 'the sentinel is there'}; {kind}: {text}"
            forbidden.clear()
            with suppress(OSError):
                os.unlink(sentinel)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - held
        if peak > limits.memory and kind in ("result", "refused"):
            kind, text = "memory", f"{peak / GIB:.2f} GiB; {kind}: {text}"
        line = json.dumps([kind, text[:4000], where, peak, round(time.monotonic() - start, 3)]) + "\n"
        os.write(writer, line.encode())
        if peak > limits.memory:  # it stays with the process, so that the next case needs a new one
            return


def _pages(column: int) -> int:
    """Bytes of address space (0) or of memory (1) of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[column]) * os.sysconf("SC_PAGE_SIZE")


def _judged(case: int, run: Callable[[int], str], package: str) -> tuple[str, str, str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            kind, text, where = "result", run(case), ""
        except MemoryError as error:
            kind, text, where = "memory", repr(error), _where(error, package)
        except ValueError as error:
            kind, text, where = "refused", str(error), _where(error, package)
            if type(error) is not ValueError:
                kind, text = "exception", repr(error)
            elif not text or len(text) > LONGEST_MESSAGE or not text.isprintable():
                kind = "message"
        except BaseException as error:
            kind, text, where = "exception", repr(error), _where(error, package)
    # NumPy's "overflow encountered in matmul" is the true word on weights of 1e30; all else must be a UserWarning.
    others = [
        warning
        for warning in caught
        if not issubclass(warning.category, UserWarning)
        and not (warning.category is RuntimeWarning and " encountered in " in str(warning.message))
    ]
    if others and kind in ("result", "refused"):
        first = others[0]
        return "warning", f"{first.category.__name__}: {first.message}", f"{first.filename}:{first.lineno}"
    return kind, text, where


def _where(error: BaseException, package: str) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if f"/{package}/" in frame.filename]
    places = [f"{frame.filename.rpartition(f'/{package}/')[2]}:{frame.lineno}" for frame in frames]
    return " ".join(places[-3:])
