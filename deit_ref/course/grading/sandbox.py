"""Reads what a student handed in, and runs its functions on given inputs, in processes that can do no harm.

On Linux such a process, which `process.py` starts, is locked in by `prison.py`: it sees what `inside.py` lists and
nothing else, has no network, no other processes, little memory and little time, and ends with this one. Results come
back as plain arrays or as text.
"""

import io
import json
import math
import os
import select
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np

from deit_ref.course.grading.inside import PACKAGES
from deit_ref.course.grading.process import LIMITS, Limits, started
from deit_ref.course.grading.uses import SHARED

# What is said of calls after one without end, which has the cause.
NOT_RUN = "not run, because an earlier call of it did not come to an end."


class Call(NamedTuple):
    """One call of a student's function."""

    function: str
    arguments: tuple[Any, ...] = ()
    options: Mapping[str, Any] = {}
    back: tuple[Any, ...] | None = None  # see `task.Case`


class Others(NamedTuple):
    """The reference's functions for some tasks, as compiled code: there is no text of them to be read or shown."""

    names: tuple[str, ...]
    own: tuple[str, ...]  # the tasks that stay the student's; their reference is not in the code
    code: bytes  # marshaled


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a call gave: arrays, or why there are none, in words for the student.

    Attributes:
        arrays: None if there are none, or none of numbers.
        problem: in words for the student.
        form: what held the arrays, see `worker.form`; None if that is not known and not to be compared.
        changed: whether the call changed its input.
    """

    arrays: tuple[np.ndarray[Any, Any], ...] | None = None
    problem: str | None = None
    form: str | None = None
    changed: bool = False


# What of the grader is there beside a submission, and beside whoever takes it apart.
BESIDE = ("spared", "uses")
APART = ("naming", "searching", "statements", "needed", "modules", "fingerprints")

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
    limits: Limits = LIMITS,
    isolated: bool = True,
    others: Others | None = None,
) -> list[Answer]:
    """The answers to the calls, one for each.

    Args:
        modules: name -> source: the submission and what it may import beside NumPy and the shared part of deit_ref.
        module: the one whose functions are called.
        calls: in order. After a crash or an endless loop the rest goes on in a new process, without further calls of
            the same function.
        limits: what a call and the process may use.
        isolated: False runs on the bare machine, with the limits that it has.
        others: take the place of the module's own functions.
    """
    answers: list[Answer] = []
    end = time.monotonic() + limits.together
    while len(answers) < len(calls):
        if time.monotonic() >= end:
            words = f"not run, because all calls together took more than {limits.together:g} seconds."
            return answers + [Answer(problem=words)] * (len(calls) - len(answers))
        rest = list(calls[len(answers) :])
        kept = sum(array.nbytes for answer in answers for array in answer.arrays or ())
        left = replace(limits, answer_bytes=max(0, limits.answer_bytes - kept), together=end - time.monotonic())
        found = _run_once(modules, module, rest, limits=left, isolated=isolated, others=others)
        answers += found
        if time.monotonic() >= end:
            continue
        broken = rest[len(found) - 1].function
        for call in rest[len(found) :]:
            if call.function != broken:
                break
            answers.append(Answer(problem=NOT_RUN))
    return answers


def _run_once(
    modules: Mapping[str, str],
    module: str,
    calls: Sequence[Call],
    *,
    limits: Limits,
    isolated: bool,
    others: Others | None,
) -> list[Answer]:
    """At least one answer; fewer than calls if the process ended, and then the last one says how."""
    sources = {f"{name}.py": text for name, text in modules.items()}
    sources |= {f"deit_ref/{name}.py": _source(f"{name}.py") for name in SHARED}
    sources |= {"worker.py": _source("course/grading/worker.py"), **_package(BESIDE)}
    asked = {"module": module, "calls": [tuple(call) for call in calls], "others": others and tuple(others)}
    with started("worker.py", sources, asked, limits, isolated=isolated) as reading:
        return list(_read_answers(reading, calls, limits))


def apart(function: str, *arguments: Any, isolated: bool = True) -> tuple[Any, bytes]:
    """What a function that `reading.py` knows gives, called in a process like those of submissions: it can be ended.

    Args:
        function: its name.
        arguments: which may hold anything that a student handed in.
        isolated: see `run`.

    Raises:
        ValueError: what the function raised, or that it took too long or too much memory.
    """
    sources = {"reading.py": _source("course/grading/reading.py"), **_package(APART)}
    asked = (function, arguments, READING.cpu_seconds, READING.memory)
    with started("reading.py", sources, asked, READING, isolated=isolated) as reading:
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


def _read_answers(reading: int, calls: Sequence[Call], limits: Limits) -> Any:
    """Answers as they come, and a last one that says why no more did, unless the time of all together is over."""
    end = time.monotonic() + limits.together
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
        if time.monotonic() >= end:
            return
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
        yield _answer(content) if kind == b"A" else Answer(problem=f"it raised:\n{_shown(content)}")


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


def _answer(content: bytes) -> Answer:
    """What `worker.packed` made; an answer without arrays if it is anything else."""
    start = 8 + int.from_bytes(content[:8], "little")
    try:
        head = json.loads(content[8:start])
        arrays = _arrays(content[start:]) if head["numbers"] else None
        return Answer(arrays=arrays, form=str(head["form"])[:200], changed=bool(head["changed"]))
    except (ValueError, KeyError, TypeError, RecursionError):  # whoever forges an answer may write anything
        return Answer()


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


def _package(names: Sequence[str]) -> dict[str, str]:
    """Files of the grader where they can be imported from."""
    folders = ("deit_ref", "deit_ref/course", "deit_ref/course/grading")
    empty = {f"{folder}/__init__.py": "" for folder in folders}
    return empty | {f"deit_ref/course/grading/{name}.py": _source(f"course/grading/{name}.py") for name in names}


def _source(name: str) -> str:
    return (files("deit_ref") / name).read_text(encoding="utf-8")
