"""Wrong solutions lose points, whatever is wrong: numbers, types, or what they do to their input."""

import os
import re
from functools import cache

import pytest
import wrong_a1
import wrong_a2
import wrong_a3
import wrong_a4
import wrong_a5
import wrong_a6
import wrong_a7
from wrong import Wrong

from deit_ref.course.assignments import assignments
from deit_ref.course.grading.check import Verdict, judge
from deit_ref.course.grading.known import answered
from deit_ref.course.grading.sandbox import Answer
from deit_ref.course.task import seeded

FILES = (wrong_a1, wrong_a2, wrong_a3, wrong_a4, wrong_a5, wrong_a6, wrong_a7)
TASKS = {task.function: task for assignment in assignments() for task in assignment.tasks}
SEEDS = range(20 if os.environ.get("DEIT_REF_HYPOTHESIS_PROFILE") == "thorough" else 1)
ALL = [pytest.param(one, id=f"{one.function}, {one.about}") for file in FILES for one in file.WRONG]


@cache
def verdicts(one: Wrong, seed: int) -> list[Verdict]:
    task = TASKS[one.function]
    function, found = one.make(task), []
    for case in task.cases(seeded(seed, task)):
        try:
            answer = answered(function, case)
        except Exception as error:  # as the worker does
            answer = Answer(problem=f"it raised:\n{type(error).__name__}: {error}")
        found.append(judge(task, case, answer))
    return found


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("one", ALL)
def test_what_is_wrong_loses_points_and_is_named(one: Wrong, seed: int) -> None:
    found = verdicts(one, seed)
    assert not all(verdict.right for verdict in found)
    names = {verdict.mistake for verdict in found if not verdict.right}
    if one.named is not None:
        assert one.named in names, [verdict.message for verdict in found]


def test_most_wrong_solutions_are_named() -> None:
    """Of all of them, also those of which nothing is asked: the issue counted 21 of 57."""
    named = [any(verdict.mistake for verdict in verdicts(one.values[0], 0)) for one in ALL]
    assert sum(named) >= 0.8 * len(named), [one.id for one, is_named in zip(ALL, named, strict=True) if not is_named]


def test_every_task_has_wrong_solutions_and_none_of_another_name() -> None:
    """An assignment that is new has to come with its own."""
    names = {one.values[0].function for one in ALL}
    assert names == set(TASKS)


def test_no_message_shows_two_equal_numbers() -> None:
    for one in ALL:
        for verdict in verdicts(one.values[0], 0):
            shown = re.search(r"expected (\S+), got (\S+?)\.(?: |$)", verdict.message)
            assert shown is None or shown[1] != shown[2], verdict.message
