"""Starts a process for files that nobody trusts, locked in or not, and ends it with whatever it left.

Locked in by `prison.py` it ends with this process, too, however this one ends, and needs no file on the machine's disk.
"""

import json
import os
import pickle
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from deit_ref.course.grading.inside import PACKAGES_AT, covered, folders, libraries, python

LEFT = "deit_ref_grading_"  # of the names of temporary folders


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Seconds of one call, of the file's import and of all that together; of the process seconds on a processor, bytes,
    threads and bytes of each file; bytes of all answers together.
    """

    seconds: float = 10.0
    start_up: float = 30.0
    together: float = 120.0
    cpu_seconds: int = 3600
    memory: int = 2 * 2**30
    threads: int = 16
    file_bytes: int = 2**24
    answer_bytes: int = 2**24


LIMITS = Limits()  # of a submission


@contextmanager
def started(script: str, sources: Mapping[str, str], asked: Any, limits: Limits, *, isolated: bool) -> Iterator[int]:
    """A process that runs one of the sources, and where its answers can be read; it ends with the block.

    Args:
        script: the source to run. It gets ANSWERS, a file descriptor to write to, and folders to import from.
        sources: name -> text, the files beside it.
        asked: what it reads from its standard input, pickled.
        limits: of the process.
        isolated: True locks it in.
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
