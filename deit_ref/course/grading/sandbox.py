"""Reads what a student handed in, and runs its functions on given inputs, in processes that can do no harm.

On Linux such a process is locked in by `prison.py`: it sees what `inside.py` lists and nothing else, has no network, no
other processes, little memory and little time, and ends with this one. Results come back as plain arrays or as text.
"""

import io
import json
import math
import os
import pickle
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deit_ref.course.grading.inside import PACKAGES, PACKAGES_AT, covered, folders, libraries, python

LEFT = "deit_ref_grading_"  # of the names of temporary folders
# What of deit_ref a submission may import: types and checks, no solution.
SHARED = ("checks", "chapters", "arrays", "config", "image_processing", "outputs", "trace", "weights")


class Call(NamedTuple):
    """One call of a student's function."""

    function: str
    arguments: tuple[Any, ...] = ()
    options: Mapping[str, Any] = {}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a call gave: arrays, or why there are none, in words for the student."""

    arrays: tuple[np.ndarray[Any, Any], ...] | None = None
    problem: str | None = None


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Seconds of one call and of the file's import; of the process seconds on a processor, bytes, threads and bytes of
    each file; bytes of all answers together.
    """

    seconds: float = 10.0
    start_up: float = 30.0
    cpu_seconds: int = 3600
    memory: int = 2 * 2**30
    threads: int = 16
    file_bytes: int = 2**24
    answer_bytes: int = 2**24


# Of taking a file apart. Seconds on a processor do not hang on how busy the machine is.
READING = Limits(start_up=60.0, cpu_seconds=5, memory=2**30, answer_bytes=2**27)


def isolation_problem() -> str | None:
    """Why submissions cannot be locked in on this machine, or None if they can."""
    if not sys.platform.startswith("linux"):
        return f"the operating system is {sys.platform}, and only Linux has the namespaces that lock a submission in"
    # Whatever is needed and missing in there must not cost a class its points.
    text = f"import {', '.join(PACKAGES)}\ndef f(): return 1.5"
    try:
        answer = run({"student": text}, "student", [Call("f")])[0]
    except ValueError as error:
        return str(error)
    if answer.arrays is not None and answer.arrays[0] == 1.5:
        return None
    return f"a trial run failed ({answer.problem})"


def run(
    modules: Mapping[str, str],
    module: str,
    calls: Sequence[Call],
    *,
    limits: Limits = Limits(),
    isolated: bool = True,
) -> list[Answer]:
    """The answers to the calls, one for each.

    Args:
        modules: name -> source: the submission and what it may import beside NumPy and the shared part of deit_ref.
        module: the one whose functions are called.
        calls: in order. After a crash or an endless loop the rest goes on in a new process, without further calls of
            the same function.
        limits: what a call and the process may use.
        isolated: False runs on the bare machine, with the limits that it has.
    """
    answers: list[Answer] = []
    while len(answers) < len(calls):
        rest = list(calls[len(answers) :])
        kept = sum(array.nbytes for answer in answers for array in answer.arrays or ())
        left = replace(limits, answer_bytes=max(0, limits.answer_bytes - kept))
        found = _run_once(modules, module, rest, limits=left, isolated=isolated)
        answers += found
        broken = rest[len(found) - 1].function
        for call in rest[len(found) :]:
            if call.function != broken:
                break
            answers.append(Answer(problem="not run, because an earlier call of it did not come to an end."))
    return answers


def _run_once(
    modules: Mapping[str, str], module: str, calls: Sequence[Call], *, limits: Limits, isolated: bool
) -> list[Answer]:
    """At least one answer; fewer than calls if the process ended, and then the last one says how."""
    sources = {f"{name}.py": text for name, text in modules.items()}
    sources |= {f"deit_ref/{name}.py": _source(f"{name}.py") for name in SHARED}
    sources |= {"deit_ref/__init__.py": "", "worker.py": _source("course/grading/worker.py")}
    asked = {"module": module, "calls": [tuple(call) for call in calls]}
    with _started("worker.py", sources, asked, limits, isolated=isolated) as reading:
        return list(_read_answers(reading, calls, limits))


def apart(function: str, *arguments: Any, isolated: bool = True) -> tuple[Any, bytes]:
    """What a function of `reading.py` gives, called in a process like those of submissions: it can be ended.

    Args:
        function: its name.
        arguments: which may hold anything that a student handed in.
        isolated: see `run`.

    Raises:
        ValueError: what the function raised, or that it took too long or too much memory.
    """
    sources = {"reading.py": _source("course/grading/reading.py")}
    asked = (function, arguments, READING.cpu_seconds, READING.memory)
    with _started("reading.py", sources, asked, READING, isolated=isolated) as reading:
        deadline = time.monotonic() + READING.start_up
        frames: list[bytes] = []
        for kind in (b"J", b"B"):
            head = _read(reading, 9, deadline)
            size = int.from_bytes(head[1:], "little") if isinstance(head, bytes) else 0
            content = _read(reading, min(size, READING.answer_bytes), deadline)
            if not isinstance(head, bytes) or not isinstance(content, bytes) or head[:1] not in (kind, b"E", b"P"):
                raise ValueError(
                    f"it takes more than {READING.cpu_seconds} seconds or {READING.memory / 2**30:g} GiB of memory to "
                    "take apart: hand in a plain file."
                )
            if head[:1] != kind:
                raise ValueError(_shown(content))
            frames.append(content)
    return json.loads(frames[0]), frames[1]


@contextmanager
def _started(script: str, sources: Mapping[str, str], asked: Any, limits: Limits, *, isolated: bool) -> Iterator[int]:
    """A process that runs one of the sources, and where its answers can be read; it ends with the block.

    Args:
        script: the source to run. It gets ANSWERS, a file descriptor to write to, and folders to import from.
        sources: name -> text, the files beside it.
        asked: what it reads from its standard input, pickled.
        limits: of the process.
        isolated: see `run`.
    """
    head = _job(script, sources, limits) if isolated else b""
    with ExitStack() as stack:
        reading, answers = os.pipe()
        stack.callback(os.close, reading)
        ended, lifeline = os.pipe()  # its other end closes when this process does, however that happens
        python = [sys.executable, "-I"]
        if isolated:
            prison = str(files("deit_ref") / "course" / "grading" / "prison.py")
            command = [*python, "-S", prison, str(answers), str(ended)]
        else:
            work = stack.enter_context(_folder(sources))
            command = [*python, "-X", "utf8", f"{work}/{script}", str(answers), work]
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
                pass_fds=(answers, ended), start_new_session=True,
                env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )  # fmt: skip
        except BaseException:
            os.close(lifeline)
            raise
        finally:
            os.close(answers)
            os.close(ended)
        try:
            assert process.stdin is not None
            with suppress(BrokenPipeError), process.stdin:  # it has ended already; reading says so
                process.stdin.write(head)
                pickle.dump(asked, process.stdin)
            yield reading
        finally:
            os.close(lifeline)  # and with it all processes in the prison
            if not isolated:
                with suppress(OSError):  # nothing is left of it
                    os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _read_answers(reading: int, calls: Sequence[Call], limits: Limits) -> Any:
    """Answers as they come, and a last one that says why no more did."""
    ready = _read(reading, 9, time.monotonic() + limits.start_up)
    if isinstance(ready, bytes) and ready[:1] in b"FP":
        size = min(int.from_bytes(ready[1:], "little"), limits.answer_bytes)
        text = _read(reading, size, time.monotonic() + limits.seconds)
        shown = _shown(text) if isinstance(text, bytes) else ""
        words = "the file cannot be imported:\n" if ready[:1] == b"F" else "it cannot be locked in: "
        yield from (Answer(problem=words + shown) for _ in calls)
        return
    if not isinstance(ready, bytes):
        words = ready.words(limits.start_up, limits.memory)
        yield from (Answer(problem=f"the file cannot be imported: {words}") for _ in calls)
        return
    left = limits.answer_bytes
    for _ in calls:
        deadline = time.monotonic() + limits.seconds
        head = _read(reading, 9, deadline)
        if not isinstance(head, bytes):
            yield Answer(problem=head.words(limits.seconds, limits.memory))
            return
        kind, size = head[:1], int.from_bytes(head[1:], "little")
        if size > left:
            yield Answer(problem=f"its answer has {size} bytes, at most {left} can be right.")
            return
        left -= size
        content = _read(reading, size, deadline)
        if not isinstance(content, bytes):
            yield Answer(problem=content.words(limits.seconds, limits.memory))
            return
        yield Answer(arrays=_arrays(content)) if kind == b"A" else Answer(problem=f"it raised:\n{_shown(content)}")


class _Silence(NamedTuple):
    late: bool

    def words(self, seconds: float, memory: int) -> str:
        if self.late:
            return f"it did not come to an end within {seconds:g} seconds."
        return f"its process ended: it crashed, left by itself, or took more than {memory / 2**30:g} GiB of memory."


def _read(reading: int, size: int, deadline: float) -> bytes | _Silence:
    content = bytearray()
    while len(content) < size:
        ready, _, _ = select.select([reading], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return _Silence(late=True)
        part = os.read(reading, min(size - len(content), 2**20))
        if not part:
            return _Silence(late=False)
        content += part
    return bytes(content)


def _arrays(content: bytes, most: int = 1000) -> tuple[np.ndarray[Any, Any], ...] | None:
    """The arrays of an answer: numbers and truth values of NumPy's own format; None for anything else."""
    arrays: list[np.ndarray[Any, Any]] = []
    end = 0
    while end < len(content):
        start = end + 8
        end = start + int.from_bytes(content[end:start], "little")
        try:
            arrays.append(_array(content[start:end]))
        except Exception:  # whoever forges an answer may break NumPy's reader in any way
            return None
        if len(arrays) > most:
            return None
    return tuple(arrays)


def _array(content: bytes) -> np.ndarray[Any, Any]:
    """One array; nothing is allocated for numbers that are not there."""
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    if dtype.kind not in "biufc" or math.prod(shape) * dtype.itemsize != len(content) - stream.tell():
        raise ValueError(f"expected an array of numbers, got {dtype} {shape} in {len(content)} bytes.")
    return np.load(io.BytesIO(content), allow_pickle=False)


def _shown(content: bytes, most: int = 2000) -> str:
    """The end of a message, as text."""
    text = content.decode("utf-8", "replace")
    return text if len(text) <= most else f"... {text[-most:]}"


def _source(name: str) -> str:
    return (files("deit_ref") / name).read_text(encoding="utf-8")


def _job(script: str, sources: Mapping[str, str], limits: Limits) -> bytes:
    """What `prison.py` has to know, with its length before it."""
    job = {
        "python": python(),
        "script": script,
        "visible": [*folders().items(), *((path, path) for path in libraries())],
        "covered": covered(),
        "path": [PACKAGES_AT],
        "files": dict(sources),
        # A user that nobody else is: the system counts threads by user.
        "uid": 2**17 + secrets.randbelow(2**30) if os.getuid() == 0 else None,
        "limits": {"AS": limits.memory, "NPROC": limits.threads, "FSIZE": limits.file_bytes, "NOFILE": 64,
                   "CPU": limits.cpu_seconds, "CORE": 0, "MEMLOCK": 0, "MSGQUEUE": 0},
    }  # fmt: skip
    text = json.dumps(job).encode()
    return len(text).to_bytes(8, "little") + text


@contextmanager
def _folder(sources: Mapping[str, str]) -> Iterator[str]:
    """The sources as files, in a folder whose name says whose it is; those of graders that were killed are removed."""
    for left in Path(tempfile.gettempdir()).glob(f"{LEFT}*"):
        pid, _, started = left.name.removeprefix(LEFT).partition("_")
        with suppress(OSError):  # another grader was faster
            if left.lstat().st_uid == os.getuid() and _start_of(pid) != started.partition("_")[0]:
                shutil.rmtree(left)
    own = f"{LEFT}{os.getpid()}_{_start_of(str(os.getpid()))}_"
    with tempfile.TemporaryDirectory(prefix=own) as folder:
        for name, text in sources.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        yield folder


def _start_of(pid: str) -> str:
    """When a process was started, in ticks since the machine was: no two have this and the number in common."""
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return "unknown"
