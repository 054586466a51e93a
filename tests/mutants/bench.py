"""A bench: a private copy of the project in which a mutant is planted, tried and taken out again."""

import gc
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from . import Mutant

PROJECT = Path(__file__).parents[2]
# What takes long to import and is never mutated: a fork has it already.
HEAVY = """numpy scipy.special scipy.stats PIL.Image torch torch.func torch.distributed safetensors.numpy pytest
hypothesis.strategies beartype jaxtyping matplotlib.pyplot kornia.enhance jupytext nbformat transformers.activations
transformers.models.deit.modeling_deit transformers.models.vit.modeling_vit transformers.image_transforms
transformers.models.deit.image_processing_deit transformers.models.deit.image_processing_pil_deit tqdm""".split()

LATE = "past its time"  # an endless loop, it is to be hoped, and not a slow machine


class Outcome(NamedTuple):
    """How it ended: "killed", "lived", or "error" when the tests did not run at all. `what` is pytest's last line."""

    mutant: Mutant
    ended: str
    seconds: float
    what: str


def import_heavy() -> None:
    for name in HEAVY:
        with suppress(ModuleNotFoundError):
            import_module(name)
    gc.freeze()  # pytest collects garbage ten times at its end, and need not look through all of these


class Bench:
    """One copy, one mutant at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        leave = shutil.ignore_patterns("__pycache__", ".*", "site", "build", "dist", "*.egg-info")
        shutil.copytree(PROJECT, folder, ignore=leave, symlinks=True)
        self.planted = 0
        self.output = folder.with_suffix(".txt")

    def start(self, mutant: Mutant | None, tests: Sequence[str]) -> int:
        """Plant it, and run the tests in a fork, whose process group has its number."""
        self.mutant, self.began = mutant, time.monotonic()
        if mutant is not None:
            path = self.folder / mutant.file
            self.source, self.time = path.read_text(), int(path.stat().st_mtime)
            path.write_text(mutant.plant(self.source))
            self.planted += 1  # no two have one time: Python tells by it, and the size, whether bytecode is old
            os.utime(path, times=(self.time + 10 * self.planted,) * 2)
        process = os.fork()
        if process == 0:
            _run(self.folder, self.output, tests)
        return process

    def clear(self) -> None:
        """Take the mutant out again."""
        if self.mutant is not None:
            path = self.folder / self.mutant.file
            path.write_text(self.source)
            os.utime(path, times=(self.time, self.time))


def _run(folder: Path, output: Path, tests: Sequence[str]) -> None:
    """Never returns; the exit status is pytest's."""
    status = 3
    try:
        os.setsid()
        with output.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        os.chdir(folder)
        here = {"", str(PROJECT), str(Path.cwd())}
        sys.path[:] = [str(folder), *(path for path in sys.path if path not in here)]
        sys.dont_write_bytecode = False
        for name in ("PYTEST_ADDOPTS", "PYTHONDONTWRITEBYTECODE"):
            os.environ.pop(name, None)
        os.environ["PYTHONPATH"] = str(folder)
        os.environ["DEIT_REF_HYPOTHESIS_PROFILE"] = "unshrunk"
        # As in an environment that is activated: tests start programs that were installed with this Python.
        os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        import pytest

        options = "-x -q --tb=line --disable-warnings -p no:cacheprovider".split()
        # Plugins that a heavy module has imported already get no detailed assertions, which nobody reads here.
        options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
        # pytest itself takes the tests of a file in the file's order: what is named goes first, whole files follow.
        for group in ([test for test in tests if "::" in test], [test for test in tests if "::" not in test]):
            status = int(pytest.main([*options, *group])) if group else 0
            if status:
                break
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def outcomes(
    jobs: Sequence[tuple[Mutant | None, Sequence[str]]], benches: Sequence[Bench], *, limit: float
) -> Iterator[tuple[int, Outcome]]:
    """The number of each job and how it ended, as they end; who runs longer than `limit` seconds is killed."""
    waiting, free = list(enumerate(jobs)), list(benches)
    running: dict[int, tuple[int, Bench]] = {}
    try:
        while waiting or running:
            while waiting and free:
                number, (mutant, tests) = waiting.pop(0)
                bench = free.pop()
                running[bench.start(mutant, tests)] = number, bench
            time.sleep(0.02)
            for process, (number, bench) in list(running.items()):
                late = time.monotonic() - bench.began > limit
                if late:
                    _end(process)
                found, status = os.waitpid(process, 0 if late else os.WNOHANG)
                if found:
                    _end(process)  # what the tests may have left
                    bench.clear()
                    del running[process]
                    free.append(bench)
                    yield number, _outcome(bench, status, late)
    finally:
        for process in running:
            _end(process)


def _end(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _outcome(bench: Bench, status: int, late: bool) -> Outcome:
    seconds = time.monotonic() - bench.began
    if late or os.WIFSIGNALED(status):
        return Outcome(bench.mutant, "killed", seconds, LATE if late else f"signal {os.WTERMSIG(status)}")
    lines = bench.output.read_text(errors="replace").strip().splitlines() or [""]
    what = next((line for line in lines if line.startswith(("FAILED", "ERROR"))), lines[-1])
    # pytest: 0 all passed, 1 some failed, 2 could not be imported; all else says nothing about the mutant.
    ended = {0: "lived", 1: "killed", 2: "killed"}.get(os.waitstatus_to_exitcode(status), "error")
    return Outcome(bench.mutant, ended, seconds, what)
