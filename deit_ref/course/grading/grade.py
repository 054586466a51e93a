"""Grades what a class handed in: a table of points, and for each student a report of what is wrong.

Beside the table stand `feedback/<student>/<assignment>.md`, for the student, and the same for programs,
`details/<student>/<assignment>.json`. What has not changed since is taken from the details and not run again.
"""

import ast
import hashlib
import json
import math
import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deit_ref import checks
from deit_ref.course import cut
from deit_ref.course.grading import naming
from deit_ref.course.grading.check import Verdict, judge
from deit_ref.course.grading.process import LIMITS, Limits
from deit_ref.course.grading.sandbox import SHARED, Call, run
from deit_ref.course.grading.students import Part, students
from deit_ref.course.grading.submission import Code, Submission, code, handed_in, read
from deit_ref.course.task import Assignment, Case, Task, messages, points_of, seeded

Result = dict[str, Any]  # what stands in the details


class Plan(NamedTuple):
    """How one assignment is graded: the same for every student."""

    assignment: Assignment
    seed: int
    isolated: bool
    limits: Limits
    given: str
    before: str  # imports and helpers of the release: whoever lost them, or changed their cells, has them again
    after: Mapping[str, str]  # values by name, which may need a student's functions
    cases: tuple[tuple[Task, tuple[Case, ...]], ...]


def plan(assignment: Assignment, *, seed: int, isolated: bool = True, limits: Limits = LIMITS) -> Plan:
    """Draw the inputs of an assignment's hidden tests."""
    cases = tuple((task, tuple(task.cases(seeded(seed, task)))) for task in assignment.tasks)
    release, names = cut.release(messages(assignment)), {task.name for task in assignment.tasks}
    before, after = [], {}
    for node in ast.parse(release.student).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            after[ast.unparse(target)] = ast.unparse(node)
        elif getattr(node, "name", None) not in names:
            before.append(ast.unparse(node))
    return Plan(assignment, seed, isolated, limits, release.given, "\n\n".join(before), after, cases)


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


def grade_one(plan: Plan, submission: Submission) -> Result:
    """The points of one student, with a message for every wrong case."""
    names = frozenset(task.name for task in plan.assignment.tasks)
    notes = [] if plan.isolated else ["Graded without isolation: the submission could see this machine's files."]
    notes += submission.notes
    problem, found = submission.problem, None
    if problem is None:
        try:
            found = code(submission, names, before=plan.before, isolated=plan.isolated)
            notes += found.problems
        except ValueError as error:
            problem = f"it cannot be read: {error}"
    if submission.others:
        notes.append(f"Only {submission.place} was graded, not {naming.listed(submission.others)}.")
    if problem is not None:
        notes.insert(0, problem[0].upper() + problem[1:])
    texts: dict[str, list[str]] = {}
    if found is not None:
        lost = [text for name, text in plan.after.items() if name not in found.names]
        texts = _messages(plan, found._replace(text="\n".join([found.text, *lost])))
    tasks: list[dict[str, Any]] = []
    for task, cases in plan.cases:
        said = texts.get(task.name, [])
        wrong = len(said) if found is not None and task.name in found.names else len(cases)
        points = points_of(task, len(cases) - wrong, len(cases))
        tasks.append({"name": task.name, "points": points, "out_of": task.points, "right": len(cases) - wrong,
                      "cases": len(cases), "messages": said})  # fmt: skip
    total = round(sum(task["points"] for task in tasks), 2)
    return {"student": submission.student, "assignment": plan.assignment.name, "file": submission.place,
            "total": total, "out_of": plan.assignment.points, "notes": notes, "tasks": tasks,
            "seed": plan.seed, "isolated": plan.isolated}  # fmt: skip


def report(plan: Plan, result: Result) -> str:
    """What the student gets to read, in Markdown."""
    number, title = plan.assignment.number, plan.assignment.title
    lines = [f"# Assignment {number}, {title}: {result['total']:g} of {result['out_of']:g} points"]
    file = f", file {_plain(result['file'])}." if result["file"] else "."
    lines += ["", f"Of {_plain(result['student'])}{file}"]
    lines += [line for note in result["notes"] for line in ("", _block(note))]
    lines += ["", "| task | points | of | right cases |", "|---|---|---|---|"]
    for task in result["tasks"]:
        lines.append(
            f"| {task['name']} | {task['points']:g} | {task['out_of']:g} | {task['right']} of {task['cases']} |"
        )
    wrong = {task["name"] for task in result["tasks"] if task["right"] < task["cases"]}
    for (task, _), found in zip(plan.cases, result["tasks"], strict=True):
        if not found["messages"]:
            continue
        lines += ["", f"## {task.name}: {found['points']:g} of {found['out_of']:g}"]
        if all(message.endswith("not solved yet.") for message in found["messages"]):
            lines += ["", "Not solved yet."]
            continue
        used = wrong & {place.rpartition(".")[2] for place in cut.needs(task.function)}
        if used:
            lines += ["", f"It uses {' and '.join(sorted(used))}: mend what is wrong there first."]
        lines += [line for message in found["messages"] for line in ("", _block(message))]
    return printable("\n".join(lines)) + "\n"


def _messages(plan: Plan, made: Code) -> dict[str, list[str]]:
    """What is wrong with each task, a message for each wrong case."""
    names = made.names
    asked = [(task, case) for task, cases in plan.cases for case in cases if task.name in names]
    calls = [Call(task.name, case.arguments, case.options) for task, case in asked]
    sources = {**made.beside, "given": plan.given, "student": made.text}
    found = run(sources, "student", calls, limits=plan.limits, isolated=plan.isolated) if calls else []
    texts: dict[str, list[str]] = {
        task.name: [] if task.name in names else [f"There is no function {task.name} in it."] for task, _ in plan.cases
    }
    for (task, case), answer in zip(asked, found, strict=True):
        try:
            verdict = judge(task, case, answer)
        except Exception as error:  # numbers that nobody thought of
            verdict = Verdict(False, f"{task.name}, {case.note}: its result cannot be compared ({error!r}).")
        if not verdict.right:
            texts[task.name].append(_without_places(verdict.message))
    return texts


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
    total = round(math.fsum(task["points"] for task in tasks), 2)
    rest = {name: value for name, value in some.items() if name != "key"}
    return {**rest, "key": earlier.get("key"), "tasks": tasks, "total": total}


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


def _without_places(message: str) -> str:
    """Without the frames of the grader, and without the numbers of lines of a module that the student never saw."""
    own = re.sub(r'  File "[^"\n]*worker\.py", line .*\n(?:    .*\n)*', "", message)
    return re.sub(r'File "[^"\n]*student\.py", line \d+, in ', "in ", own).rstrip()


def _block(message: str) -> str:
    """A message as Markdown: its first line as text, the others as they are."""
    first, *rest = message.split("\n")
    return "\n".join([_plain(first), *([""] if rest else []), *(f"    {line}" for line in rest)])


# What means something in Markdown wherever it stands, or only there: links, entities, emphasis.
_ACTIVE = re.compile(r"[\\`*~<|$]|\](?=[(\[:])|!(?=\[)|&(?=#|\w+;)|(?<![^\W_])_|_(?![^\W_])")
_ACTIVE_FIRST = re.compile(r"^(\d*)([-+=#>:.)\[])")


def _plain(line: str) -> str:
    """A line as Markdown that shows just this text: no emphasis, link, picture, heading, list, table or HTML."""
    text = _ACTIVE.sub(r"\\\g<0>", re.sub(r"\s", " ", line).strip())
    return _ACTIVE_FIRST.sub(r"\1\\\2", text)


def printable(text: str) -> str:
    """Without what steers a terminal; file names that are no text by their codes."""
    shown = text.encode("utf-8", "backslashreplace").decode()
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", "?", shown)
