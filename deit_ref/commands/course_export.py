"""The command `course export`: points for the systems in which teachers keep them."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deit_ref.commands.arguments import add_force, natural, new_file, refuse_to_replace
from deit_ref.commands.terminal import printable, say

if TYPE_CHECKING:
    from deit_ref.course.export.late import Who
    from deit_ref.course.export.tables import Table
    from deit_ref.course.grading.rows import Row

EXAMPLES = """examples:
  deit-ref course export grades.csv --to csv --out class.csv
  deit-ref course export grades.csv --to canvas --roster gradebook.csv \\
      --out canvas.csv
  deit-ref course export grades.csv --to moodle --roster class.csv --feedback \\
      --deadline deadlines.csv --times times.csv --out moodle.csv
  deit-ref course export --to gradescope --assignment a2 --seed 2027 \\
      --wheel deit_ref-1.0-py3-none-any.whl --out a2_autograder.zip

GRADES is the table that `grade` wrote, with the points that you typed into it. The roster is a CSV of the class, best
the one that Canvas or Moodle exports: one of its columns has the names that the students' folders have, the others say
who they are. Without --match the column with most of the names is taken. Deadlines and times of handing in are two
files of yours; the page on teaching shows them.

For Gradescope no table is needed: the zip grades each submission there.

The exit code is 1 if a student could not be found in the roster, or anything else needs your eyes: each is named."""

TO = ("moodle", "canvas", "gradescope", "csv")


def add_arguments(export: argparse.ArgumentParser) -> None:
    from deit_ref.course.export.gradescope import VISIBILITIES

    export.add_argument("grades", nargs="?", metavar="GRADES", help="the table that grade wrote; not for gradescope")
    export.add_argument("--to", choices=TO, required=True, help="which system")
    words = "to write: a table, for gradescope a zip"
    export.add_argument("--out", type=new_file(".csv", ".zip"), required=True, metavar="FILE", help=words)
    add_force(export)
    export.add_argument("--assignment", metavar="A", help="only this one, such as a2 (default: all of the table)")
    tables = export.add_argument_group("tables")
    tables.add_argument("--roster", metavar="FILE.csv", help="who is in the class")
    tables.add_argument("--match", metavar="COLUMN", help="of the roster, with the names of the students' folders")
    tables.add_argument("--deadline", metavar="FILE.csv", help="deadlines, what a day costs, extensions")
    tables.add_argument("--times", metavar="FILE.csv", help="when each student handed in")
    tables.add_argument("--feedback", action="store_true", help="with moodle: the reports for students, too")
    zips = export.add_argument_group("gradescope")
    zips.add_argument("--seed", type=natural, metavar="N", help="of the hidden tests")
    zips.add_argument("--wheel", metavar="FILE.whl", help="of deit_ref, made by `pip wheel --no-deps .`")
    zips.add_argument("--constraints", metavar="FILE.txt", help="versions for pip")
    words = f"when students see tasks and messages: {', '.join(VISIBILITIES)} (default: after_due_date)"
    zips.add_argument("--visibility", choices=VISIBILITIES, default="after_due_date", metavar="WHEN", help=words)
    zips.add_argument("--no-isolation", action="store_true", help="run submissions there with the grader's rights")


def run(args: argparse.Namespace) -> int:
    """Write a table, or a zip."""
    gradescope = args.to == "gradescope"
    suffix = ".zip" if gradescope else ".csv"
    if not args.out.lower().endswith(suffix):
        raise ValueError(f"--to {args.to} writes a file that ends in {suffix}, got {args.out}: choose such a name.")
    refuse_to_replace(args.out, force=args.force)
    return _autograder(args) if gradescope else _table(args)


def _autograder(args: argparse.Namespace) -> int:
    from deit_ref.course.assignments import find_assignment
    from deit_ref.course.export.gradescope import write_autograder
    from deit_ref.course.grading.check import PUBLIC_SEED

    if args.grades is not None:
        raise ValueError("An autograder grades by itself: leave the table out, got " + args.grades + ".")
    for name in ("assignment", "seed", "wheel"):
        if getattr(args, name) is None:
            raise ValueError(f"An autograder needs --assignment, --seed and --wheel: add --{name}.")
    if args.seed == PUBLIC_SEED:
        raise ValueError(f"The seed {args.seed} is that of the tests that students see: choose another one.")
    if not args.no_isolation:
        say("note: where containers allow no namespaces nothing is graded, and the results say so; try it before use.")
    constraints = None if args.constraints is None else Path(args.constraints)
    assignment = find_assignment(args.assignment)
    write_autograder(
        Path(args.out), assignment, seed=args.seed, wheel=Path(args.wheel), constraints=constraints,
        visibility=args.visibility, isolated=not args.no_isolation,
    )  # fmt: skip
    print(
        printable(f"{args.out}: an autograder of {assignment.name}, {assignment.points} points. Keep it to yourself.")
    )
    return 0


def _table(args: argparse.Namespace) -> int:
    from deit_ref.course.assignments import find_assignment
    from deit_ref.course.export import late, roster, tables
    from deit_ref.course.grading.rows import read_rows

    if args.grades is None:
        raise ValueError(f"--to {args.to} needs the table that grade wrote: name it, such as grades.csv.")
    if (args.deadline is None) != (args.times is None):
        raise ValueError("Late days need both --deadline and --times, when each student handed in: add the other one.")
    if args.roster is None and args.to != "csv":
        raise ValueError(f"--to {args.to} needs --roster, a CSV from which it is known who is who: add it.")
    if args.feedback and args.to != "moodle":
        raise ValueError("--feedback goes with --to moodle alone: leave it out.")
    rows = read_rows(Path(args.grades))
    if args.assignment is not None:
        name = find_assignment(args.assignment).name
        rows = [row for row in rows if row.assignment == name]
        if not rows:
            raise ValueError(f"{args.grades} has no row of {name}: choose another assignment, or none.")
    look = [
        f"{row.student}, {row.assignment}: no points in the column {name!r}." for row in rows for name in row.missing
    ]
    for row in rows:
        for odd in row.odd:
            say(f"note: {row.student}, {row.assignment}: {odd}.")
    costs: dict[late.Who, late.Late] = {}
    if args.deadline is not None:
        costs, unknown = late.late(rows, late.read_rules(Path(args.deadline)), late.read_times(Path(args.times)))
        look += unknown
    found = None
    if args.roster is not None:
        class_ = roster.read_roster(Path(args.roster))
        found = roster.matched(class_, [row.student for row in rows], column=args.match)
        look += [f"{student}: not in the roster's column {found.column!r}." for student in found.unknown]
        look += [f"{student}: several fit in the roster's column {found.column!r}." for student in found.ambiguous]
        for line in found.absent:
            say(f"note: no points for {', '.join(value for value in list(line.values())[:3] if value)}.")
    everybody = dict.fromkeys(row.student for row in rows)
    students = everybody if found is None or args.to == "csv" else found.rows
    look += tables.gaps(rows, students)
    makers: dict[str, Callable[[], Table]] = {"csv": lambda: tables.plain(rows, costs, found)}
    if found is not None:
        makers["canvas"] = lambda: tables.canvas(rows, costs, class_, found)
        makers["moodle"] = lambda: tables.moodle(rows, costs, class_, found, _told(args, rows))
    tables.write(makers[args.to](), Path(args.out))
    for problem in look:
        say(f"look: {problem}")
    late_ones = sum(one.days > 0 for one in costs.values())
    print(printable(f"{args.out}: {len(students)} students, {late_ones} late submissions, {len(look)} to look at."))
    return 1 if look else 0


def _told(args: argparse.Namespace, rows: "Sequence[Row]") -> "dict[Who, str]":
    """The reports for students, where they stand beside the table."""
    if not args.feedback:
        return {}
    folder = Path(args.grades).parent / "feedback"
    paths = {(row.student, row.assignment): folder / row.student / f"{row.assignment}.md" for row in rows}
    return {who: path.read_text(encoding="utf-8") for who, path in paths.items() if path.is_file()}
