"""Fuzzing: broken files must give a result or a ValueError, and nothing else.

    python tests/fuzz/run.py --images 10000 --checkpoints 2000 --seed 0 --seconds 900
    python tests/fuzz/run.py --only image:123 --seed 0 --keep case    # one case again, with its traceback

Each case is drawn from the seed and its number alone. It runs in a worker process with a limit of CPU time, of time on
the clock and of 1 GiB above the memory of its start (bounded.py). Failures are listed with their numbers.
"""

import argparse
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

# One core, and no address space for threads that are not used; before NumPy is imported.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
sys.path.insert(0, str(Path(__file__).parents[2]))

import checkpoint_cases
import image_cases
from bounded import Limits, Outcome, run_bounded


def draw_for(kind: str, seed: int, case: int) -> random.Random:
    return random.Random(f"{kind}:{seed}:{case}")


def image_case(seed: int, folder: Path, sentinel: str) -> Callable[[int], str]:
    """What does one case in a folder of its own, and leaves nothing there."""
    files = image_cases.seeds()
    for i, (suffix, data) in enumerate(files):  # imports happen before memory is counted, and seeds are whole
        path = folder / f"seed{i}{suffix}"
        path.write_bytes(data)
        try:
            image_cases.run(random.Random(i), path)
        except ValueError as error:
            print(f"image seed {i} ({suffix}) is refused: {error}")
    return _in_folder("image", seed, folder, lambda draw, inner: image_cases.write(draw, inner, files), image_cases.run)


def checkpoint_case(seed: int, folder: Path, sentinel: str) -> Callable[[int], str]:
    files = checkpoint_cases.seeds()
    if not checkpoint_cases.HAS_TORCH:
        print("torch is not installed: no files of torch.save are tried.")
    for i, contents in enumerate(files):
        inner = folder / f"seed{i}"
        inner.mkdir()
        for name, content in contents.items():
            (inner / name).write_bytes(content)
        checkpoint_cases.run(random.Random(1), inner / next(iter(contents)) if len(contents) == 1 else inner)

    def write(draw: random.Random, inner: Path) -> Path:
        return checkpoint_cases.write(draw, inner, files, sentinel)

    return _in_folder("checkpoint", seed, folder, write, checkpoint_cases.run)


def trap_case(seed: int, folder: Path, sentinel: str) -> Callable[[int], str]:
    """Not a target: the ways to fail, to see that each is noticed."""
    import signal
    import subprocess
    import warnings

    def refuse(message: str) -> str:
        raise ValueError(message)

    traps: list[Callable[[], object]] = [
        lambda: "fine",
        lambda: refuse("a line"),
        lambda: os.kill(os.getpid(), signal.SIGSEGV),
        lambda: os._exit(0),
        lambda: sum(iter(int, 1)),
        lambda: time.sleep(1000),
        lambda: bytearray(2**40),
        lambda: len(b"x" * (2**27 + 2**26)),
        lambda: [open(sentinel, "w").close(), refuse("too late")],
        lambda: subprocess.run(["true"], check=True),
        lambda: {}["key"],
        lambda: sys.exit(0),
        lambda: b"\xff".decode(),
        lambda: warnings.warn("old", DeprecationWarning, stacklevel=1),
        lambda: warnings.warn("fine", UserWarning, stacklevel=1),
        lambda: refuse("two\nlines"),
        lambda: refuse("x" * 5000),
    ]
    return lambda case: str(traps[case]())


TRAPS = 17
KINDS = {"image": image_case, "checkpoint": checkpoint_case, "trap": trap_case}


def _in_folder(
    kind: str,
    seed: int,
    folder: Path,
    write: Callable[[random.Random, Path], Path],
    run: Callable[[random.Random, Path], str],
) -> Callable[[int], str]:
    def case(number: int) -> str:
        draw = draw_for(kind, seed, number)
        inner = folder / "case"
        shutil.rmtree(inner, ignore_errors=True)
        inner.mkdir()
        path = write(draw, inner)
        return run(draw, path)

    return case


def template(message: str) -> str:
    """The message without what differs from file to file."""
    message = re.sub(r"(?<![\w/])/\S*/(?:case|seed\d+)\S*", "PATH", message)
    message = re.sub(r"'[^']*'|\"[^\"]*\"|\([^()]*\)|\[[^\[\]]*\]", "_", message)
    return re.sub(r"-?\d[\d.,e+x]*", "N", message)[:90]


def report(kind: str, outcomes: list[Outcome], seconds: float) -> None:
    count = Counter(outcome.kind for outcome in outcomes)
    refused = Counter(template(outcome.text) for outcome in outcomes if outcome.kind == "refused")
    failures = [outcome for outcome in outcomes if outcome.failed]
    for message, times in refused.most_common(40):
        print(f"  {times:6} x {message}")
    if len(refused) > 40:
        print(f"  {sum(refused.values()) - sum(dict(refused.most_common(40)).values()):6} x others")
    groups: dict[tuple[str, str, str], list[Outcome]] = {}
    for outcome in failures:
        text = template(outcome.text)
        groups.setdefault((outcome.kind, outcome.where, "" if outcome.kind == "message" else text), []).append(outcome)
    for (what, where, _), group in sorted(groups.items()):
        numbers = " ".join(str(outcome.case) for outcome in group[:6])
        print(f"FAILURE {what} x {len(group)}, cases {numbers}: {group[0].text[:300]!r} {where}")
    slowest = max(outcomes, key=lambda outcome: outcome.seconds)
    memory = max(outcome.memory for outcome in outcomes) / 2**20
    print(
        f"{kind}: {len(outcomes)} cases in {seconds:.0f} s, {count['result']} results, {count['refused']} ValueErrors "
        f"of {len(refused)} kinds, {len(failures)} failures; at most {memory:.0f} MiB, slowest {slowest.seconds:.1f} s "
        f"(case {slowest.case})"
    )


def fuzz(kind: str, cases: range, seed: int, seconds: float, limits: Limits) -> list[Outcome]:
    """All outcomes; stops when the time is over, and says so."""
    outcomes: list[Outcome] = []
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz") as folder:
        sentinel = str(Path(folder) / "EXECUTED")
        run = KINDS[kind](seed, Path(folder), sentinel)
        for outcome in run_bounded(cases, run, limits=limits, sentinel=sentinel):
            outcomes.append(outcome)
            if time.monotonic() - start > seconds and len(outcomes) < len(cases):
                print(f"Stopped after {len(outcomes)} of {len(cases)} cases: {seconds:.0f} seconds are over.")
                break
    if outcomes:
        report(kind, outcomes, time.monotonic() - start)
    return outcomes


def again(kind: str, case: int, seed: int, keep: str | None) -> None:
    """One case in this process, without limits."""
    folder = Path(keep or tempfile.mkdtemp(prefix="fuzz"))
    folder.mkdir(parents=True, exist_ok=True)
    print(f"The files lie in {folder}/case.")
    print(KINDS[kind](seed, folder, str(folder / "EXECUTED"))(case))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=0, help="how many image files")
    parser.add_argument("--checkpoints", type=int, default=0, help="how many checkpoints")
    parser.add_argument("--traps", action="store_true", help="instead, fail on purpose in every way")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=900, help="when to stop, for each of the two")
    parser.add_argument("--only", metavar="KIND:CASE", help="one case in this process, without limits")
    parser.add_argument("--keep", metavar="FOLDER", help="with --only: where its files go")
    arguments = parser.parse_args()
    if arguments.only:
        kind, _, case = arguments.only.partition(":")
        again(kind, int(case), arguments.seed, arguments.keep)
        return 0
    if arguments.traps:
        for outcome in fuzz("trap", range(TRAPS), 0, 60, Limits(cpu=2, wall=6, memory=2**27)):
            print(f"{outcome.case} {outcome.kind}: {outcome.text[:60]!r}")
        return 0
    outcomes = []
    for kind, count in (("image", arguments.images), ("checkpoint", arguments.checkpoints)):
        if count:
            outcomes += fuzz(kind, range(count), arguments.seed, arguments.seconds, Limits())
    return int(any(outcome.failed for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
