"""What a class's details say together: points, mistakes, messages that no known mistake explains, what has changed."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import mean, median
from typing import Any

from deit_ref.course.grading.sandbox import NOT_RUN
from deit_ref.course.report.similarity import common_knowledge, similar_pairs
from deit_ref.course.task import Assignment, Task

Result = Mapping[str, Any]  # what stands in the details
Summary = dict[str, Any]  # as JSON has it

STEPS = ("none", "up to 25%", "up to 50%", "up to 75%", "less than all", "all")  # of a task's points
BINS = 10  # of an assignment's points
NAMED = "It looks like this mistake, "
UNSOLVED = "not solved yet."


def summary(assignment: Assignment, results: Sequence[Result], history: Mapping[str, Any]) -> Summary:
    """One assignment.

    Args:
        assignment: which.
        results: the details of all who are in the table.
        history: what `grading.history` has of it.
    """
    totals = [result["total"] for result in results]
    pieces = {result["student"]: result.get("pieces") or {} for result in results}
    pairs = similar_pairs({student: found for student, found in pieces.items() if found}, common_knowledge(assignment))
    points = [0] * BINS
    for total in totals:
        points[min(BINS - 1, int(BINS * total / assignment.points))] += 1
    return {
        "assignment": assignment.name,
        "title": assignment.title,
        "students": len(results),
        "out_of": assignment.points,
        "mean": round(mean(totals), 2),
        "median": round(median(totals), 2),
        "points": points,
        "tasks": [_task(task, results) for task in assignment.tasks],
        "not_graded": [_not_graded(result) for result in results if not result["file"] or result.get("failed")],
        "changes": _changes(results, history),
        "similar": [pair._asdict() for pair in pairs],
        "not_compared": [student for student, found in pieces.items() if not found],
    }


def _task(task: Task, results: Sequence[Result]) -> Summary:
    mistakes, strange = defaultdict[str, list[str]](list), dict[str, dict[str, Any]]()
    steps, unsolved, missing, points = [0] * len(STEPS), 0, 0, []
    for result in results:
        own = next((one for one in result["tasks"] if one["name"] == task.name), None)
        if own is None:  # it was graded when the assignment had other tasks
            continue
        points.append(own["points"])
        steps[_step(own["points"] / own["out_of"])] += 1
        wrong = _wrong(task, own)
        if any(message.endswith(UNSOLVED) for _, message in wrong):
            unsolved += 1
            continue
        if not result["file"] or (wrong and wrong[0][1] == f"There is no function {task.name} in it."):
            missing += 1
            continue
        for name in dict.fromkeys(name for name, _ in wrong if name is not None):
            mistakes[name].append(result["student"])
        if unnamed := [message for name, message in wrong if name is None and NOT_RUN not in message]:
            kind = kind_of(task, unnamed[0])
            group = strange.setdefault(kind, {"kind": kind, "example": unnamed[0], "messages": 0, "students": []})
            group["messages"] += len(unnamed)
            group["students"].append(result["student"])
    named = [{"name": name, "students": who} for name, who in mistakes.items()]
    return {
        "task": task.name,
        "out_of": task.points,
        "mean": round(mean(points), 2) if points else 0.0,
        "steps": dict(zip(STEPS, steps, strict=True)),
        "unsolved": unsolved,
        "missing": missing,
        "mistakes": sorted(named, key=_by_number),
        "unnamed": sorted(strange.values(), key=_by_number),
    }


def _wrong(task: Task, own: Mapping[str, Any]) -> list[tuple[str | None, str]]:
    """The mistake's name, if there is one, and the message, of each wrong case."""
    if "wrong" in own:
        return [(one.get("mistake"), one["message"]) for one in own["wrong"]]
    known = [mistake.name for mistake in task.mistakes]
    found = []
    for message in own["messages"]:
        said = message.rpartition(NAMED)[2] if NAMED in message else ""
        name = next((name for name in known if said.startswith(f"{name}: ")), said.partition(": ")[0])
        found.append((name or None, message))
    return found


def kind_of(task: Task, message: str) -> str:
    """What messages of the same cause have in common.

    Wrong numbers stay: the inputs are the same for all, so who got the same numbers did the same. Of what was raised
    the last line stays, without numbers.
    """
    said = message
    if message.startswith(f"{task.name}, ") and "): " in message:
        said = message.partition("): ")[2]
    if "\n" in said:
        first, *rest = said.strip().split("\n")
        return f"{first} {re.sub(r'-?[0-9][0-9.e+-]*', '#', rest[-1].strip())}"
    return said


def _step(share: float) -> int:
    return 0 if share <= 0 else 5 if share >= 1 else 1 + sum(share > limit for limit in (0.25, 0.5, 0.75))


def _by_number(group: Mapping[str, Any]) -> tuple[int, str]:
    return -len(group["students"]), str(group.get("name") or group["kind"])


def _not_graded(result: Result) -> dict[str, str]:
    return {"student": result["student"], "why": next(iter(result["notes"]), "")}


def _changes(results: Sequence[Result], history: Mapping[str, Any]) -> Summary:
    """Whose points are others than before the last run that changed any; who is new has had none."""
    before, now, found = history.get("before", {}), history.get("now", {}), []
    for student in (result["student"] for result in results):
        old, new = before.get(student), now.get(student)
        if before and new is not None and old != new:
            tasks = [name for name in new if old is None or old.get(name) != new[name]]
            totals = {
                "before": None if old is None else round(sum(old.values()), 2),
                "now": round(sum(new.values()), 2),
            }
            found.append({"student": student, **totals, "tasks": tasks})
    return {"since": history.get("since"), "when": history.get("when"), "students": found}
