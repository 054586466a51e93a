"""Runs a student's functions on given inputs, in a process of their own that can do no harm.

On Linux that process is locked in by `prison.py`: it sees Python, NumPy, the submission and nothing else, has no
network, few processes, little memory and little time. Results come back as plain arrays.
"""

import io
import json
import math
import os
import pickle
import secrets
import select
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

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
    """Seconds of one call and of the file's import; bytes and processes of the process; bytes of one answer."""

    seconds: float = 10.0
    start_up: float = 30.0
    memory: int = 2 * 2**30
    processes: int = 4
    file_bytes: int = 2**24
    answer_bytes: int = 2**28


def isolation_problem() -> str | None:
    """Why submissions cannot be locked in on this machine, or None if they can."""
    if not sys.platform.startswith("linux"):
        return f"the operating system is {sys.platform}, and only Linux has the namespaces that lock a submission in"
    answer = run({"student": "def f(): return 1.5"}, "student", [Call("f")])[0]
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
        found = _run_once(modules, module, rest, limits=limits, isolated=isolated)
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
    with tempfile.TemporaryDirectory() as folder, open(Path(folder, "messages"), "w+b") as messages:
        reading, writing = os.pipe()
        try:
            command = _command(Path(folder), sources, writing, limits, isolated=isolated)
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=messages, pass_fds=(writing,),
                start_new_session=True, cwd=folder, env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )  # fmt: skip
        finally:
            os.close(writing)
        try:
            assert process.stdin is not None
            try:
                pickle.dump({"module": module, "calls": [tuple(call) for call in calls]}, process.stdin)
                process.stdin.close()
            except BrokenPipeError:
                pass  # it has ended already; reading says so
            return list(_read_answers(reading, calls, limits))
        finally:
            os.close(reading)
            process.kill()  # its first child, and with it all processes in the prison, ends with it
            process.wait()


def _read_answers(reading: int, calls: Sequence[Call], limits: Limits) -> Any:
    """Answers as they come, and a last one that says why no more did."""
    ready = _read(reading, 9, time.monotonic() + limits.start_up)
    if isinstance(ready, bytes) and ready[:1] == b"F":
        size = min(int.from_bytes(ready[1:], "little"), limits.answer_bytes)
        text = _read(reading, size, time.monotonic() + limits.seconds)
        shown = _shown(text) if isinstance(text, bytes) else ""
        yield from (Answer(problem=f"the file cannot be imported:\n{shown}") for _ in calls)
        return
    if not isinstance(ready, bytes):
        words = ready.words(limits.start_up, limits.memory)
        yield from (Answer(problem=f"the file cannot be imported: {words}") for _ in calls)
        return
    for _ in calls:
        deadline = time.monotonic() + limits.seconds
        head = _read(reading, 9, deadline)
        if not isinstance(head, bytes):
            yield Answer(problem=head.words(limits.seconds, limits.memory))
            return
        kind, size = head[:1], int.from_bytes(head[1:], "little")
        if size > limits.answer_bytes:
            yield Answer(problem=f"its answer has {size} bytes, at most {limits.answer_bytes} can be right.")
            return
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


def _command(folder: Path, sources: Mapping[str, str], writing: int, limits: Limits, *, isolated: bool) -> list[str]:
    """What to start, after the files it needs are written."""
    if not isolated:
        for name, text in sources.items():
            path = folder / "work" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        work = str(folder / "work")
        return [sys.executable, "-I", "-X", "utf8", f"{work}/worker.py", work, str(writing)]
    root = folder / "root"
    root.mkdir()
    (folder / "prison.py").write_text(_source("course/grading/prison.py"), encoding="utf-8")
    job = {
        "root": str(root),
        "python": sys.executable,
        "visible": _visible(),
        "covered": _covered(),
        "files": dict(sources),
        "answers": writing,
        # A user that nobody else is: the system counts processes by user.
        "uid": 2**17 + secrets.randbelow(2**30) if os.getuid() == 0 else None,
        "AS": limits.memory,
        "NPROC": limits.processes,
        "FSIZE": limits.file_bytes,
        "CPU": 3600,
    }
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    return [sys.executable, "-I", str(folder / "prison.py"), str(folder / "job.json")]


def _visible() -> list[str]:
    """Python, its libraries and those of the system."""
    system = ["/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache"]
    python = [sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), str(Path(np.__file__).parents[1])]
    python.append(str(Path(sys.executable).resolve().parent))
    found: list[str] = []
    for path in sorted({path for path in (*system, *python) if os.path.exists(path)}):
        if not any(path == other or path.startswith(other + "/") for other in found):
            found.append(path)
    return found


def _covered() -> list[str]:
    """Every copy of this package that could be seen."""
    places = {str(Path(path, "deit_ref")) for path in sys.path if path} | {str(Path(__file__).parents[2])}
    return sorted(path for path in places if os.path.isdir(path))
