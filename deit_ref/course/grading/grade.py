"""Grades what a class handed in: a table of points, and for each student a report of what is wrong.

Beside the table stand `feedback/<student>/<assignment>.md`, for the student, and the same for programs,
`details/<student>/<assignment>.json`. What has not changed since is taken from the details and not run again.
"""

import hashlib
import json
import os
import platform
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deit_ref import checks
from deit_ref.course.grading.feedback import report
from deit_ref.course.grading.marks import Result, grade_one, with_totals
from deit_ref.course.grading.plan import Plan
from deit_ref.course.grading.students import Part, students
from deit_ref.course.grading.submission import Submission, handed_in, read
from deit_ref.course.grading.uses import SHARED


class Again(NamedTuple):
    """What is graded again, whether it has changed or not; all else stays as it stands in the details."""

    students: frozenset[str] = frozenset()  # none means all, and so it does for tasks
    tasks: frozenset[str] = frozenset()


def grade_all(
    folder: Path, out: Path, plans: Sequence[Plan], *, jobs: int | None = None, again: Again | None = None
) -> tuple[int, Iterator[Result | None]]:
    """How many there are to grade, and the results as they come, by assignment and student.

    Args:
        folder: a folder or an archive per student, or a learning platform's; see `students.students`.
        out: the table; reports and details are written beside it, one by one.
        plans: of the assignments to look for; of several, those that nobody handed in are left out.
        jobs: processes at a time; None means one per processor.
        again: None grades what has changed. Else the result of whoever is not graded now and was not before is None.

    Raises:
        ValueError: there are no students, or none of them handed in any of several assignments, or there is no such
            student or task.
    """
    class_, jobs = students(folder, but=written(out)).students, jobs or os.cpu_count() or 1
    sure, names = len(plans) == 1, [each.assignment.name for each in plans]
    if not sure:
        isolated = plans[0].isolated
        with ThreadPoolExecutor(jobs) as pool:
            found = pool.map(lambda parts: handed_in(parts, names, isolated=isolated), class_.values())
            there = set[str]().union(*found)
        plans = [each for each in plans if each.assignment.name in there]
    if not plans:
        raise ValueError(
            f"None of the {len(class_)} students in {folder} handed in an assignment: expected "
            f"{folder}/{next(iter(class_))}/a2_attention/student.py, a2_attention.ipynb or the like."
        )
    if again is not None:
        known = {task.name for each in plans for task in each.assignment.tasks}
        for what, words, every in (("student", again.students, {*class_}), ("task", again.tasks, known)):
            for word in sorted(words - every):
                raise ValueError(f"There is no {what} {word!r} here.{checks.did_you_mean(word, every)}")
    work = [_Work(each, *who, sure=sure, again=again) for each in plans for who in class_.items()]
    return len(work), _in_parallel(work, out.parent, jobs)


def written(out: Path) -> tuple[Path, ...]:
    """What stands beside the students if the table is written into their folder."""
    return (out, *(out.parent / name for name in ("details", "feedback")))


class _Work(NamedTuple):
    plan: Plan
    student: str
    parts: Sequence[Part]
    sure: bool
    again: Again | None


def _in_parallel(work: Sequence[_Work], folder: Path, jobs: int) -> Iterator[Result | None]:
    with ThreadPoolExecutor(jobs) as pool:  # threads only wait: each submission runs in a process of its own
        try:
            yield from pool.map(lambda each: _graded_once(each, folder), work)
        finally:
            pool.shutdown(cancel_futures=True)


def _graded_once(work: _Work, folder: Path) -> Result | None:
    """From the details if nothing has changed, else graded and written down."""
    plan, again, place = work.plan, work.again, Path(work.student, work.plan.assignment.name)
    details, feedback = folder / "details" / place.with_suffix(".json"), folder / "feedback" / place.with_suffix(".md")
    names = {task.name for task in plan.assignment.tasks}
    if again is not None and (
        (again.students and work.student not in again.students) or (again.tasks and not again.tasks & names)
    ):
        return _remembered(details)
    submission = read(work.student, work.parts, plan.assignment.name, sure=work.sure, isolated=plan.isolated)
    key, result = _key(plan, submission), None
    if again is None:
        result = _remembered(details, key)
    if result is None:
        earlier = _remembered(details) if again is not None and again.tasks else None
        asked = plan if again is None or not again.tasks else _only(plan, again.tasks)
        if asked is not plan and (earlier is None or {task["name"] for task in earlier["tasks"]} != names):
            return None
        try:
            result = {"key": key, **grade_one(asked, submission)}
        except Exception as error:  # whatever it is, it must not cost the others their grades
            empty = submission._replace(problem=f"the grader itself failed, tell your teacher: {error!r}")
            result = {"failed": True, **grade_one(asked, empty)}  # without a key: it is tried again
        if earlier is not None:
            result = _with(earlier, result)
        write_whole(details, json.dumps(result, indent=1))
        write_whole(feedback, report(plan, result))
    elif not feedback.exists():
        write_whole(feedback, report(plan, result))
    return result


def _only(plan: Plan, tasks: frozenset[str]) -> Plan:
    return plan._replace(cases=tuple((task, cases) for task, cases in plan.cases if task.name in tasks))


def _with(earlier: Result, some: Result) -> Result:
    """An earlier result with the tasks of another in place of its own; its key says that the rest is of that time."""
    new = {task["name"]: task for task in some["tasks"]}
    tasks = [new.get(task["name"], task) for task in earlier["tasks"]]
    return with_totals({**some, "key": earlier.get("key"), "tasks": tasks})


def _remembered(details: Path, key: str | None = None) -> Result | None:
    """What stands in the details, if it has the key; None means any."""
    try:
        found = json.loads(details.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and key in (None, found.get("key")) else None


def _key(plan: Plan, submission: Submission) -> str:
    """Of all that a result depends on."""
    submitted = [submission.student, submission.place, str(submission.problem), *submission.others, *submission.notes]
    graded = [_version(), plan.assignment.name, str(plan.seed), str(plan.isolated), repr(plan.limits)]
    contents = [("", submission.content), *submission.beside]
    hashes = [(name, hashlib.sha256(content).hexdigest()) for name, content in contents]
    text = json.dumps([*submitted, *graded, *hashes])
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _version() -> str:
    """The course, the chapters, Python and NumPy."""
    package = files("deit_ref")
    names = sorted(
        f"{folder}/{path.name}"
        for folder in ("course", "course/assignments", "course/grading", "numpy_backend")
        for path in (package / folder).iterdir()
        if path.name.endswith(".py")
    )
    digest = hashlib.sha256(f"{platform.python_version()} {np.__version__}".encode())
    for name in [*names, *(f"{name}.py" for name in SHARED)]:
        digest.update(name.encode() + (package / name).read_bytes())
    return digest.hexdigest()


def write_whole(path: Path, text: str) -> None:
    """All of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_text(text, encoding="utf-8", newline="")
    unfinished.replace(path)
