"""Build what students, teachers and nbgrader get, grade what students hand in, and look at the class."""

import argparse
import re
from datetime import datetime
from pathlib import Path

from deit_ref.commands import course_export, course_report
from deit_ref.commands.arguments import (
    add_command,
    add_commands,
    add_force,
    count,
    natural,
    new_file,
    refuse_to_replace,
)
from deit_ref.commands.terminal import printable, progress, say
from deit_ref.course.assignments import assignments, find_assignment
from deit_ref.course.task import Assignment

PACKAGE = Path(__file__).parents[1]

EXAMPLES = """examples:
  deit-ref course build --out course/ --seed 2027
  deit-ref course grade submissions/ --out grades.csv --course course/
  deit-ref course report grades.csv --out report.html
  deit-ref course export grades.csv --to csv --out class.csv"""

_BUILD_EXAMPLES = """examples:
  deit-ref course build --out course/ --seed 2027
  deit-ref course build --out third_week/ --assignment a2 --seed 2027
  deit-ref course build --out course/ --seed 2027 \\
      --site https://example.org/deit/

OUT gets student/ to hand out, teacher/ with solutions, rubrics and notes, and nbgrader/ with notebooks to release.
Choose a seed of your own: it draws the numbers of the hidden tests. OUT/teacher/seed.json keeps it for `grade`."""

_GRADE_EXAMPLES = """examples:
  deit-ref course grade submissions/ --out grades.csv
  deit-ref course grade submissions/ --out third_week/grades.csv \\
      --assignment a2 --jobs 8 --course course/
  deit-ref course grade submissions/ --out grades.csv --force --student ada

SUBMISSIONS holds a folder per student with a2_attention/student.py, a2_attention.py, a2_attention.ipynb or
a2_attention/a2_attention.ipynb in it, or a zip or tar of these instead, or what Canvas or Moodle makes of them. What is
called otherwise, such as "student (1).py", is taken if nothing else may be meant, and the report says so. Reports for
students are written beside the table, to feedback/STUDENT/ASSIGNMENT.md, and the same for programs to details/; what
has not changed is not run again. What you type into the table, such as points of open questions, stays when it is
replaced.

On Linux each submission is read and runs in processes of its own that see neither files nor network nor the solution,
and end with this one. Where this cannot be had the command refuses, unless you trust every submission and say
--no-isolation.

The seed of the hidden tests is that of the course, which is looked for beside SUBMISSIONS and one folder above; name
it with --course if it lies elsewhere. Another --seed is refused then.

The exit code is 1 if the grader itself failed on a submission; the others have their points."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = add_commands(parser, "course_command")
    build = add_command(commands, "build", "what students, teachers and nbgrader get", _BUILD_EXAMPLES)
    build.add_argument("--out", required=True, metavar="DIR", help="a new or an empty folder")
    grade = add_command(commands, "grade", "points and feedback for what students handed in", _GRADE_EXAMPLES)
    grade.add_argument("submissions", metavar="SUBMISSIONS", help="a folder with a folder or an archive per student")
    table = new_file(".csv", makes_folder=True)
    grade.add_argument("--out", type=table, required=True, metavar="FILE.csv", help="the table to write")
    add_force(grade, help="replace the table if it is there, to grade again; what you typed into it stays")
    for added in (build, grade):
        added.set_defaults(run=run)
    build.add_argument("--seed", type=natural, default=0, metavar="N", help="of the hidden tests (default: 0)")
    build.add_argument("--site", type=_address, metavar="URL", help="where the site is, for links (default: no links)")
    build.add_argument(
        "--repository",
        type=_address,
        metavar="URL",
        help="from which notebooks install the project in Colab or Binder (default: they do not)",
    )
    grade.add_argument("--seed", type=natural, metavar="N", help="of the hidden tests (default: the course's)")
    grade.add_argument("--course", metavar="DIR", help="what `build` wrote (default: looked for beside SUBMISSIONS)")
    build.add_argument("--assignment", metavar="A", help="only this one, such as a2 (default: all)")
    grade.add_argument("--assignment", metavar="A", help="only this one, such as a2 (default: all that came in)")
    words = "grade only this one again, changed or not (may be given more than once)"
    grade.add_argument("--student", action="append", default=[], metavar="NAME", help=words)
    grade.add_argument("--task", action="append", default=[], metavar="NAME", help=words)
    grade.add_argument("--jobs", type=count, metavar="N", help="submissions at a time (default: one per processor)")
    grade.add_argument("--no-isolation", action="store_true", help="run submissions with your own rights")
    for name, summary, command in (
        ("report", "a page on the class: points, mistakes, what has changed, what is alike", course_report),
        ("export", "points as Moodle, Canvas, Gradescope or a spreadsheet take them", course_export),
    ):
        added = add_command(commands, name, summary, command.EXAMPLES)
        command.add_arguments(added)
        added.set_defaults(run=command.run)


def run(args: argparse.Namespace) -> int:
    return _build(args) if args.course_command == "build" else _grade(args)


def _build(args: argparse.Namespace) -> int:
    """Write the releases for students, for teachers and for nbgrader."""
    from deit_ref.course.grading.inside import exposed
    from deit_ref.course.release.build import build

    chosen = _chosen(args)
    if (problem := exposed([Path(args.out)])) is not None:
        raise ValueError(f"{problem}: name another folder.")
    written = build(Path(args.out), chosen, seed=args.seed, site=args.site, repository=args.repository)
    print(
        f"{printable(args.out)}: {len(written)} files of {', '.join(one.name for one in chosen)}. Hand out what "
        "is in student/, one folder after the other (given.py may hold solutions of earlier ones), or release it with "
        "nbgrader as nbgrader/README.md says; keep teacher/ and nbgrader/source to yourself."
    )
    return 0


def _grade(args: argparse.Namespace) -> int:
    """Write the table of points, and a report for each student."""
    from deit_ref.course.grading.check import PUBLIC_SEED
    from deit_ref.course.grading.grade import Again, grade_all, written
    from deit_ref.course.grading.history import remember
    from deit_ref.course.grading.inside import exposed
    from deit_ref.course.grading.naming import listed
    from deit_ref.course.grading.plan import plan
    from deit_ref.course.grading.sandbox import isolation_problem
    from deit_ref.course.grading.seed import seed_of
    from deit_ref.course.grading.students import students
    from deit_ref.course.grading.table import read_table, write_table
    from deit_ref.course.release.source import question_columns

    refuse_to_replace(args.out, force=args.force)
    out = Path(args.out)
    read_table(out)  # whatever is not a table is refused now
    chosen = _chosen(args)
    isolated = not args.no_isolation
    if isolated and (problem := isolation_problem()) is not None:
        raise ValueError(
            f"Submissions cannot be locked in here: {problem}. Grade on another machine, or add --no-isolation if you "
            "trust every one of them: they run with your rights, and could read the solution."
        )
    if isolated and (problem := exposed([Path(args.submissions), Path(args.out), PACKAGE])) is not None:
        raise ValueError(f"{problem}: move it elsewhere.")
    seed = seed_of(Path(args.submissions), course=args.course and Path(args.course), asked=args.seed)
    if seed == PUBLIC_SEED:
        raise ValueError(f"The seed {seed} is that of the tests that students see: choose another one.")
    if not isolated:
        say("warning: submissions run with your rights, and could read the solution or this machine's files.")
    plans = [plan(one, seed=seed, isolated=isolated) for one in chosen]
    if strays := students(Path(args.submissions), but=written(out)).strays:
        say(f"warning: these belong to no student and were not looked at: {listed(strays)}.")
    again = Again(frozenset(args.student), frozenset(args.task)) if args.student or args.task else None
    total, results = grade_all(Path(args.submissions), out, plans, jobs=args.jobs, again=again)
    with progress(results, total, unit="submission", every=max(10, total // 20)) as (steps, _):
        done = [result for result in steps if result is not None]
    if len(done) < total:
        new = total - len(done)
        say(f"warning: {new} of {total} are not graded yet: leave out --student and --task to grade them.")
    if kept := write_table(done, out, {one.name: question_columns(one) for one in chosen}):
        say(f"warning: rows of the table that was there were kept, not graded this time: {listed(kept)}.")
    remember(out, done, when=datetime.now().astimezone())
    failed = [result for result in done if result.get("failed")]
    for result in failed:
        say(f"error: {result['student']}, {result['assignment']}: {result['notes'][0]}")
    for name in dict.fromkeys(result["assignment"] for result in done):
        totals = [result["total"] for result in done if result["assignment"] == name and result["file"]]
        absent = sum(result["assignment"] == name for result in done) - len(totals)
        most = next(result["out_of"] for result in done if result["assignment"] == name)
        mean = f", {sum(totals) / len(totals):.2f} of {most} points on average" if totals else ""
        print(f"{name}: {len(totals)} graded{mean}{f'; {absent} handed in nothing' if absent else ''}.")
    note = "" if isolated else " Graded without isolation, which the reports say, too."
    print(printable(f"{out}, and reports in {out.parent / 'feedback'}.{note}"))
    return 1 if failed else 0


def _address(value: str) -> str:
    """An address of the web."""
    if not re.fullmatch(r"https?://[^\s'\"<>()\\]+", value):
        raise argparse.ArgumentTypeError(f"expected an address such as https://example.org/deit/, got {value!r}")
    return value


def _chosen(args: argparse.Namespace) -> tuple[Assignment, ...]:
    return assignments() if args.assignment is None else (find_assignment(args.assignment),)
