"""Build what students, teachers and nbgrader get, and grade what students hand in."""

import argparse
from pathlib import Path

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
  deit-ref course grade submissions/ --out grades.csv --seed 2027"""

_BUILD_EXAMPLES = """examples:
  deit-ref course build --out course/ --seed 2027
  deit-ref course build --out third_week/ --assignment a2 --seed 2027

OUT gets student/ to hand out, teacher/ with solutions, rubrics and notes, and nbgrader/ with notebooks to release.
Choose a seed of your own and keep it: it draws the numbers of the hidden tests, and `grade` needs the same."""

_GRADE_EXAMPLES = """examples:
  deit-ref course grade submissions/ --out grades.csv --seed 2027
  deit-ref course grade submissions/ --out third_week/grades.csv \\
      --assignment a2 --jobs 8 --seed 2027
  deit-ref course grade submissions/ --out grades.csv --force --student ada --seed 2027

SUBMISSIONS holds a folder per student with a2_attention/student.py, a2_attention.py, a2_attention.ipynb or
a2_attention/a2_attention.ipynb in it, or a zip or tar of these instead, or what Canvas or Moodle makes of them. What is
called otherwise, such as "student (1).py", is taken if nothing else may be meant, and the report says so. Reports for
students are written beside the table, to feedback/STUDENT/ASSIGNMENT.md, and the same for programs to details/; what
has not changed is not run again. What you type into the table, such as points of open questions, stays when it is
replaced.

On Linux each submission is read and runs in processes of its own that see neither files nor network nor the solution,
and end with this one. Where this cannot be had the command refuses, unless you trust every submission and say
--no-isolation.

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
        added.add_argument("--seed", type=natural, default=0, metavar="N", help="of the hidden tests (default: 0)")
    build.add_argument("--assignment", metavar="A", help="only this one, such as a2 (default: all)")
    grade.add_argument("--assignment", metavar="A", help="only this one, such as a2 (default: all that came in)")
    words = "grade only this one again, changed or not (may be given more than once)"
    grade.add_argument("--student", action="append", default=[], metavar="NAME", help=words)
    grade.add_argument("--task", action="append", default=[], metavar="NAME", help=words)
    grade.add_argument("--jobs", type=count, metavar="N", help="submissions at a time (default: one per processor)")
    grade.add_argument("--no-isolation", action="store_true", help="run submissions with your own rights")


def run(args: argparse.Namespace) -> int:
    return _build(args) if args.course_command == "build" else _grade(args)


def _build(args: argparse.Namespace) -> int:
    """Write the releases for students, for teachers and for nbgrader."""
    from deit_ref.course.grading.inside import exposed
    from deit_ref.course.release.build import build

    chosen = _chosen(args)
    if (problem := exposed([Path(args.out)])) is not None:
        raise ValueError(f"{problem}: name another folder.")
    written = build(Path(args.out), chosen, seed=args.seed)
    print(
        f"{printable(args.out)}: {len(written)} files of {', '.join(one.name for one in chosen)}. Hand out what "
        "is in student/, or release it with nbgrader as nbgrader/README.md says; keep teacher/ and nbgrader/source to "
        "yourself."
    )
    return 0


def _grade(args: argparse.Namespace) -> int:
    """Write the table of points, and a report for each student."""
    from deit_ref.course.grading.check import PUBLIC_SEED
    from deit_ref.course.grading.grade import Again, grade_all, plan, written
    from deit_ref.course.grading.inside import exposed
    from deit_ref.course.grading.naming import listed
    from deit_ref.course.grading.sandbox import isolation_problem
    from deit_ref.course.grading.students import students
    from deit_ref.course.grading.table import read_table, write_table
    from deit_ref.course.release.source import question_columns

    refuse_to_replace(args.out, force=args.force)
    out = Path(args.out)
    read_table(out)  # whatever is no table is refused now
    if args.seed == PUBLIC_SEED:
        raise ValueError(f"The seed {args.seed} is that of the tests that students see: choose another one.")
    chosen = _chosen(args)
    isolated = not args.no_isolation
    if isolated and (problem := isolation_problem()) is not None:
        raise ValueError(
            f"Submissions cannot be locked in here: {problem}. Grade on another machine, or add --no-isolation if you "
            "trust every one of them: they run with your rights, and could read the solution."
        )
    if isolated and (problem := exposed([Path(args.submissions), Path(args.out), PACKAGE])) is not None:
        raise ValueError(f"{problem}: move it elsewhere.")
    if not isolated:
        say("warning: submissions run with your rights, and could read the solution or this machine's files.")
    plans = [plan(one, seed=args.seed, isolated=isolated) for one in chosen]
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
    failed = [result for result in done if result.get("failed")]
    for result in failed:
        say(f"error: {result['student']}, {result['assignment']}: {result['notes'][0]}")
    for name in dict.fromkeys(result["assignment"] for result in done):
        totals = [result["total"] for result in done if result["assignment"] == name]
        most = next(result["out_of"] for result in done if result["assignment"] == name)
        print(f"{name}: {len(totals)} graded, {sum(totals) / len(totals):.2f} of {most} points on average.")
    note = "" if isolated else " Graded without isolation, which the reports say, too."
    print(printable(f"{out}, and reports in {out.parent / 'feedback'}.{note}"))
    return 1 if failed else 0


def _chosen(args: argparse.Namespace) -> tuple[Assignment, ...]:
    return assignments() if args.assignment is None else (find_assignment(args.assignment),)
