"""What `deit-ref course` does: builds what is handed out, and grades what comes back."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from deit_ref.commands import say


def build(args: argparse.Namespace) -> int:
    """Write the releases for students, for teachers and for nbgrader."""
    from deit_ref.course.assignments import assignments, find_assignment
    from deit_ref.course.release.build import build

    chosen = assignments() if args.assignment is None else (find_assignment(args.assignment),)
    written = build(Path(args.out), chosen, seed=args.seed)
    print(
        f"{args.out}: {len(written)} files of {', '.join(one.name for one in chosen)}. Hand out what is in student/, "
        "or release it with nbgrader as nbgrader/README.md says; keep teacher/ and nbgrader/source to yourself."
    )
    return 0


def grade(args: argparse.Namespace) -> int:
    """Write the table of points, and a report for each student."""
    from deit_ref.course.assignments import assignments, find_assignment
    from deit_ref.course.grading.check import PUBLIC_SEED
    from deit_ref.course.grading.grade import grade_all, plan, write_table
    from deit_ref.course.grading.sandbox import isolation_problem

    if args.seed == PUBLIC_SEED:
        raise ValueError(f"The seed {args.seed} is that of the tests that students see: choose another one.")
    chosen = assignments() if args.assignment is None else (find_assignment(args.assignment),)
    isolated = not args.no_isolation
    if isolated and (problem := isolation_problem()) is not None:
        raise ValueError(
            f"Submissions cannot be locked in here: {problem}. Grade on another machine, or add --no-isolation if you "
            "trust every one of them: they run with your rights, and could read the solution."
        )
    if not isolated:
        say("warning: submissions run with your rights, and could read the solution or this machine's files.")
    plans = [plan(one, seed=args.seed, isolated=isolated) for one in chosen]
    out = Path(args.out)
    count, results = grade_all(Path(args.submissions), out, plans, jobs=args.jobs)
    done = list(_watched(results, count))
    write_table(done, out)
    failed = [result for result in done if result.get("failed")]
    for result in failed:
        say(f"error: {result['student']}, {result['assignment']}: {result['notes'][0]}")
    for name in dict.fromkeys(result["assignment"] for result in done):
        totals = [result["total"] for result in done if result["assignment"] == name]
        most = next(result["out_of"] for result in done if result["assignment"] == name)
        print(f"{name}: {len(totals)} graded, {sum(totals) / len(totals):.2f} of {most} points on average.")
    note = "" if isolated else " Graded without isolation, which the reports say, too."
    print(f"{args.out}, and reports in {out.parent / 'feedback'}.{note}")
    return 1 if failed else 0


def _watched(results: Iterable[Any], count: int) -> Iterator[Any]:
    """The results, with a bar on a terminal if tqdm is installed; else a line after every fifty."""
    if sys.stderr.isatty():
        try:
            from tqdm import tqdm
        except ImportError:
            pass
        else:
            yield from tqdm(results, total=count, unit="submission", leave=False, file=sys.stderr)
            return
    for i, result in enumerate(results, start=1):
        yield result
        if i % 50 == 0 and i < count:
            say(f"{i} of {count} submissions")
