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

import numpy as np

from deit_ref.course.grading.feedback import report
from deit_ref.course.grading.marks import Result, grade_one
from deit_ref.course.grading.plan import Plan
from deit_ref.course.grading.submission import Submission, handed_in, read, students
from deit_ref.course.grading.uses import SHARED


def grade_all(
    folder: Path, out: Path, plans: Sequence[Plan], *, jobs: int | None = None
) -> tuple[int, Iterator[Result]]:
    """How many there are to grade, and the results as they come, by assignment and student.

    Args:
        folder: a folder or a zip per student.
        out: the table; reports and details are written beside it, one by one.
        plans: of the assignments to look for; of several, those that nobody handed in are left out.
        jobs: processes at a time; None means one per processor.

    Raises:
        ValueError: there are no students, or none of them handed in any of several assignments.
    """
    class_, jobs = students(folder), jobs or os.cpu_count() or 1
    if len(plans) > 1:
        names, isolated = [each.assignment.name for each in plans], plans[0].isolated
        with ThreadPoolExecutor(jobs) as pool:
            found = pool.map(lambda path: handed_in(path, names, isolated=isolated), class_.values())
            there = frozenset[str]().union(*found)
        plans = [each for each in plans if each.assignment.name in there]
    if not plans:
        raise ValueError(
            f"None of the {len(class_)} students in {folder} handed in an assignment: expected "
            f"{folder}/{next(iter(class_))}/a2_attention/student.py, a2_attention.ipynb or the like."
        )
    work = [(each, *who) for each in plans for who in class_.items()]
    return len(work), _in_parallel(work, out.parent, jobs)


def _in_parallel(work: Sequence[tuple[Plan, str, Path]], folder: Path, jobs: int) -> Iterator[Result]:
    with ThreadPoolExecutor(jobs) as pool:  # threads only wait: each submission runs in a process of its own
        try:
            yield from pool.map(lambda each: _graded_once(each[0], each[1], each[2], folder), work)
        finally:
            pool.shutdown(cancel_futures=True)


def _graded_once(plan: Plan, student: str, path: Path, folder: Path) -> Result:
    """From the details if nothing has changed, else graded and written down."""
    submission = read(student, path, plan.assignment.name, isolated=plan.isolated)
    place = Path(submission.student, plan.assignment.name)
    details, feedback = folder / "details" / place.with_suffix(".json"), folder / "feedback" / place.with_suffix(".md")
    key = _key(plan, submission)
    result = _remembered(details, key)
    if result is None:
        try:
            result = {"key": key, **grade_one(plan, submission)}
        except Exception as error:  # whatever it is, it must not cost the others their grades
            empty = submission._replace(problem=f"the grader itself failed, tell your teacher: {error!r}")
            result = {"failed": True, **grade_one(plan, empty)}  # without a key: it is tried again
        _write(details, json.dumps(result, indent=1))
        _write(feedback, report(plan, result))
    elif not feedback.exists():
        _write(feedback, report(plan, result))
    return result


def _remembered(details: Path, key: str) -> Result | None:
    try:
        found = json.loads(details.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("key") == key else None


def _key(plan: Plan, submission: Submission) -> str:
    """Of all that a result depends on."""
    submitted = [submission.student, submission.place, str(submission.problem), *submission.others]
    graded = [_version(), plan.assignment.name, str(plan.seed), str(plan.isolated), repr(plan.limits)]
    text = json.dumps([*submitted, *graded, hashlib.sha256(submission.content).hexdigest()])
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


def _write(path: Path, text: str) -> None:
    """All of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
