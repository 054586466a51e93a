"""The points of one submission, with what is wrong in every case that cost some.

Each task counts by the better of two passes: with the student's own functions throughout, and with the reference in
place of those that are wrong, so that one mistake does not cost the points of whatever calls it. In the second pass a
task runs in a process in which its own solution is not; and what it says passes `scrubbed`, because the solutions of
other tasks are there to be looked at.
"""

import builtins
import re
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

from deit_ref import checks
from deit_ref.course import cut
from deit_ref.course.grading import naming
from deit_ref.course.grading.check import Verdict, judge
from deit_ref.course.grading.plan import Plan, reference_of
from deit_ref.course.grading.sandbox import Answer, Call, Others, run
from deit_ref.course.grading.submission import Code, Submission, code, pieces
from deit_ref.course.task import Task, messages, points_of

Result = dict[str, Any]  # what stands in the details
MESSAGE = 4000  # letters
FRAMES = 4  # as many as the worker tells; whoever forges more of them spells with the names of functions
_AS_HANDED_IN = "As handed in "


class _Graded(NamedTuple):
    """One case: what came, and what is said of it."""

    note: str
    answer: Answer
    verdict: Verdict


_Passes = dict[str, list[_Graded]]  # by task


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
    first: _Passes = {}
    second: _Passes = {}
    if found is not None:
        lost = [text for name, text in plan.after.items() if name not in found.names]
        made = found._replace(text="\n".join([found.text, *lost]))
        first = _pass(plan, made, [task for task in plan.assignment.tasks if task.name in found.names])
        second = _second_passes(plan, made, first)
    others = None if found is None else found.names - names
    tasks = [
        _marks(task, len(cases), first.get(task.name, []), second.get(task.name), others) for task, cases in plan.cases
    ]
    return with_totals({
        "student": submission.student, "assignment": plan.assignment.name, "file": submission.place,
        "out_of": plan.assignment.points, "notes": notes, "tasks": tasks, "seed": plan.seed, "isolated": plan.isolated,
        "pieces": {} if found is None else pieces(found, isolated=plan.isolated),
    })  # fmt: skip


def with_totals(result: Result) -> Result:
    """A result with the sums of its tasks, of both passes and of what counts, and a note if they differ."""
    tasks = result["tasks"]
    totals = {name: _total(task[name]["points"] for task in tasks) for name in ("as_handed_in", "with_reference")}
    total = _total(task["points"] for task in tasks)
    notes = [note for note in result["notes"] if not note.startswith(_AS_HANDED_IN)]
    if totals["as_handed_in"] != total:
        notes.append(
            f"{_AS_HANDED_IN}{totals['as_handed_in']:g}; with the reference for the other tasks "
            f"{totals['with_reference']:g}; counted {total:g}."
        )
    return {**result, "total": total, **totals, "notes": notes}


def _pass(plan: Plan, made: Code, tasks: list[Task], others: Others | None = None) -> _Passes:
    """What is said of every case of some tasks, asked in one process."""
    asked = [(task, known) for task in tasks for known in plan.known[task.name]]
    calls = [Call(task.name, known.case.arguments, known.case.options, known.case.back) for task, known in asked]
    sources = {**made.beside, "given": plan.given, "student": made.text}
    answers = run(sources, "student", calls, limits=plan.limits, isolated=plan.isolated, others=others) if calls else []
    found: _Passes = {task.name: [] for task in tasks}
    for (task, known), answer in zip(asked, answers, strict=True):
        if others is not None and answer.problem is not None:
            answer = replace(answer, problem=scrubbed(answer.problem, made.text))
        try:
            verdict = judge(task, known.case, answer, known=known)
        except Exception as error:  # numbers that nobody thought of
            words = f"{task.name}, {known.case.note}: its result cannot be compared ({type(error).__name__})."
            verdict = Verdict(False, words)
        message = _without_places(verdict.message)[:MESSAGE]
        found[task.name].append(_Graded(known.case.note, answer, verdict._replace(message=message)))
    return found


def _second_passes(plan: Plan, made: Code, first: _Passes) -> _Passes:
    """What is said of the tasks that lost points and call others that did, with the reference in place of the latter.

    One process serves all tasks that wait for the same others. One that stays wrong in it is wrong by itself, and is
    replaced for those that call it, too. So no task is ever asked where its own solution is, and whoever made one
    mistake costs one more process, not one for each task. What is still wrong then may have met what no test of the
    others shows: it is asked once more with the reference in place of all that it calls.
    """
    needs = {
        task.name: {place.rpartition(".")[2] for place in cut.needs(task.function)} - {task.name}
        for task in plan.assignment.tasks
    }
    found, replaced = dict(first), frozenset[str]()
    end = time.monotonic() + plan.limits.together
    while True:
        wrong = {name for name in needs if not _is_full(found.get(name))} - replaced
        waiting = [
            task for task in plan.assignment.tasks if task.name in wrong and needs[task.name] & wrong
            and _could_be_right(plan, task, first.get(task.name, []))
        ]  # fmt: skip
        if not waiting or time.monotonic() >= end:
            break
        replaced |= wrong - {task.name for task in waiting}
        found |= _pass(plan, made, waiting, reference_of(plan.assignment, replaced))
    for task in plan.assignment.tasks:
        others = frozenset(needs[task.name] & needs.keys())
        if (
            time.monotonic() < end
            and task.name in replaced | wrong
            and others - replaced
            and _could_be_right(plan, task, first.get(task.name, []))
        ):
            again = _pass(plan, made, [task], reference_of(plan.assignment, others))
            if _right(again[task.name]) > _right(found[task.name]):
                found |= again
    return {name: graded for name, graded in found.items() if graded is not first[name]}


def _could_be_right(plan: Plan, task: Task, graded: list[_Graded]) -> bool:
    """With other functions to call: neither helps a function that is not written, nor a file that does not begin."""
    hopeless = (
        next(one.message for one in messages(plan.assignment) if one.function == task.function),
        "the file cannot be imported",
    )
    return any(not any(words in (each.answer.problem or "") for words in hopeless) for each in graded)


def _right(graded: list[_Graded]) -> int:
    return sum(each.verdict.right for each in graded)


def _is_full(graded: list[_Graded] | None) -> bool:
    return bool(graded) and all(each.verdict.right for each in graded or [])


def _marks(
    task: Task, cases: int, first: list[_Graded], second: list[_Graded] | None, others: frozenset[str] | None
) -> dict[str, Any]:
    """What stands in the details of one task."""
    passes = {"as_handed_in": first, "with_reference": first if second is None else second}
    right = {name: _right(graded) for name, graded in passes.items()}
    points = {name: points_of(task, right[name], cases) for name in passes}
    better = max(passes, key=lambda name: right[name])  # of two that are alike the first, whose messages say more
    wrong = [
        {"case": each.note, "mistake": each.verdict.mistake, "message": each.verdict.message}
        for each in passes[better]
        if not each.verdict.right
    ]
    if others is not None and not first:
        message = f"There is no function {task.name} in it.{checks.did_you_mean(task.name, others)}"
        wrong = [{"case": "all", "mistake": "no such function", "message": message}]
    return {"name": task.name, "points": points[better], "out_of": task.points, "right": right[better], "cases": cases,
            "messages": [each["message"] for each in wrong], "wrong": wrong,
            **{name: {"right": right[name], "points": points[name]} for name in passes}}  # fmt: skip


def _total(points: Iterable[float]) -> float:
    return round(sum(points), 2)


def _without_places(message: str) -> str:
    """Without the frames of the grader, and without the numbers of lines of a module that the student never saw."""
    own = re.sub(r'  File "[^"\n]*worker\.py", line .*\n(?:    .*\n)*', "", message)
    return re.sub(r'File "[^"\n]*student\.py", line \d+, in ', "in ", own).rstrip()


# The grader's own words for an answer that did not come: a submission has no part in them.
_OWN_WORDS = ("it did not come to an end", "its process ended", "its answer has", "not run, because")


def scrubbed(problem: str, text: str) -> str:
    """A problem without anything but the kind of an exception and lines of the student's own text.

    Whoever answers in the second pass can look at other tasks' solutions, and may answer with what it saw. What it can
    still tell is which of its lines it stopped at, and numbers: too little for a solution.

    Args:
        problem: as `sandbox.run` gives it.
        text: the student's module.
    """
    if problem.startswith(_OWN_WORDS):
        return problem
    own = {line.strip() for line in text.split("\n")}
    kinds = [kind for kind in re.findall(r"^(\w+)\b", problem, flags=re.MULTILINE) if _is_exception(kind)]
    said = ["it raised:"]
    frames = re.findall(r'student\.py", line \d+, in (\w+)\n    (.*)\n', problem)
    for name, line in frames[-FRAMES:]:
        if line.strip() in own and re.search(rf"^ *(?:async )?def {name}\(", text, flags=re.MULTILINE):
            said += [f"  in {name}", f"    {line.strip()}"]
    return "\n".join([*said, kinds[-1] if kinds else "an exception of another kind"])


def _is_exception(name: str) -> bool:
    kind = getattr(builtins, name, None)
    return isinstance(kind, type) and issubclass(kind, BaseException)
