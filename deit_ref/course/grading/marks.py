"""The points of one submission, with a message for every wrong case."""

import re
from typing import Any

from deit_ref.course.grading.check import Verdict, judge
from deit_ref.course.grading.plan import Plan
from deit_ref.course.grading.sandbox import Call, run
from deit_ref.course.grading.submission import Submission, code
from deit_ref.course.task import points_of

Result = dict[str, Any]  # what stands in the details


def grade_one(plan: Plan, submission: Submission) -> Result:
    """The points of one student, with a message for every wrong case."""
    names = frozenset(task.name for task in plan.assignment.tasks)
    notes = [] if plan.isolated else ["Graded without isolation: the submission could see this machine's files."]
    problem, found = submission.problem, None
    if problem is None:
        try:
            found = code(submission, names, before=plan.before, isolated=plan.isolated)
            notes += found.problems
        except ValueError as error:
            problem = f"it cannot be read: {error}"
    if submission.others:
        notes.append(f"Only {submission.place} was graded, not {', '.join(submission.others)}.")
    if problem is not None:
        notes.insert(0, problem[0].upper() + problem[1:])
    texts: dict[str, list[str]] = {}
    if found is not None:
        lost = [text for name, text in plan.after.items() if name not in found.names]
        texts = _messages(plan, "\n".join([found.text, *lost]), found.names)
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


def _messages(plan: Plan, text: str, names: frozenset[str]) -> dict[str, list[str]]:
    """What is wrong with each task, a message for each wrong case."""
    asked = [(task, case) for task, cases in plan.cases for case in cases if task.name in names]
    calls = [Call(task.name, case.arguments, case.options) for task, case in asked]
    sources = {"given": plan.given, "student": text}
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


def _without_places(message: str) -> str:
    """Without the frames of the grader, and without the numbers of lines of a module that the student never saw."""
    own = re.sub(r'  File "[^"\n]*worker\.py", line .*\n(?:    .*\n)*', "", message)
    return re.sub(r'File "[^"\n]*student\.py", line \d+, in ', "in ", own).rstrip()
