"""The rate at which tests kill mutants, by area: see the package's first lines for how it is run."""

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

# One core for each; before NumPy is imported.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

from . import Mutant
from .bench import LATE, Bench, import_heavy, outcomes
from .catalog import AREAS

package = sys.modules[__package__ or ""]


def chosen(areas: list[str], share: float, seed: int) -> list[tuple[str, Mutant]]:
    """(area, mutant) of all, or of a share of them that the seed draws."""
    all_of_them = [(area, mutant) for area in areas or AREAS for mutant in AREAS[area]]
    if share == 1:
        return all_of_them
    return random.Random(seed).sample(all_of_them, max(1, round(share * len(all_of_them))))


def report(found: list[tuple[str, Mutant, str]]) -> None:
    total, killed = (
        Counter(area for area, _, _ in found),
        Counter(area for area, _, ended in found if ended == "killed"),
    )
    for area, count in total.items():
        print(f"{area:12} {killed[area]:4} of {count:4}  {killed[area] / count:6.1%}")
    for title, after in (("before", False), ("after", True)):
        ends = [ended for _, mutant, ended in found if mutant.after is after]
        if ends:
            print(f"written {title} the tests: {ends.count('killed')} of {len(ends)}")
    print(f"{killed.total()} of {total.total()} mutants are killed, {killed.total() / total.total():.1%}.")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants",
        description=package.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("areas", nargs="*", metavar="AREA", choices=[[], *AREAS], help=f"of {', '.join(AREAS)}")
    parser.add_argument("--share", type=float, default=1.0, help="how many of them, 0..1; default: all")
    parser.add_argument("--seed", type=int, default=0, help="which, with --share")
    parser.add_argument("--after", action="store_true", help="only those that were written after the tests")
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds for each; who runs longer counts as killed")
    parser.add_argument("--trust", action="store_true", help="the tests pass without mutants: do not look first")
    parser.add_argument("--verbose", action="store_true", help="tell of each which test killed it")
    arguments = parser.parse_args()
    mutants = chosen(arguments.areas, arguments.share, arguments.seed)
    if arguments.after:
        mutants = [(area, mutant) for area, mutant in mutants if mutant.after]
    import_heavy()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants") as folder:
        benches = [Bench(Path(folder) / f"bench{i}") for i in range(arguments.jobs)]
        if arguments.share == 1 and not arguments.trust:  # tests that fail by themselves would kill everything
            sets = sorted({mutant.tests for _, mutant in mutants})
            for number, outcome in outcomes([(None, tests) for tests in sets], benches, limit=4 * arguments.limit):
                if outcome.ended != "lived":
                    print(f"Without any mutant, {' '.join(sets[number])} does not pass: {outcome.what}")
                    return 2
            print(f"{len(sets)} sets of tests pass without mutants, {time.monotonic() - began:.0f} s.", flush=True)
        found: list[tuple[str, Mutant, str]] = []
        for number, outcome in outcomes([(m, m.tests) for _, m in mutants], benches, limit=arguments.limit):
            area, mutant = mutants[number]
            found.append((area, mutant, outcome.ended))
            if outcome.ended != "killed" or outcome.what == LATE or arguments.verbose:
                print(f"{outcome.ended} {area} {mutant.file} {outcome.seconds:.1f} s: {mutant.differs}")
                print(f"    {mutant.old.strip()!r} -> {mutant.new.strip()!r}\n    {outcome.what}", flush=True)
    report(found)
    print(f"{time.monotonic() - began:.0f} s, seed {arguments.seed}")
    return int(any(ended != "killed" for _, _, ended in found))


if __name__ == "__main__":
    sys.exit(main())
