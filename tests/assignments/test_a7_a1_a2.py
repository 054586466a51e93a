"""Assignments 1 to 3: what is right gets all points, every known mistake loses some and is named."""

import doctest
import os
import re
import sys
from functools import cache
from types import ModuleType
from typing import Any

import alternatives_a1
import alternatives_a2
import alternatives_a7
import numpy as np
import pytest

from deit_ref.course import cut
from deit_ref.course.assignments import a1_patches, a2_attention, a7_resampling
from deit_ref.course.grading.check import Verdict, judge
from deit_ref.course.grading.known import answered, answers, variant
from deit_ref.course.grading.sandbox import Answer, Call, isolation_problem, run
from deit_ref.course.release.source import source
from deit_ref.course.task import Assignment, Mistake, Task, messages, points_of, reference, seeded

ASSIGNMENTS = (a1_patches.ASSIGNMENT, a2_attention.ASSIGNMENT, a7_resampling.ASSIGNMENT)
ALTERNATIVES = alternatives_a7.ALTERNATIVES | alternatives_a1.ALTERNATIVES | alternatives_a2.ALTERNATIVES
SEEDS = range(20 if os.environ.get("DEIT_REF_HYPOTHESIS_PROFILE") == "thorough" else 3)
TASKS = [pytest.param(task, id=task.function) for assignment in ASSIGNMENTS for task in assignment.tasks]
MISTAKES = [
    pytest.param(task, mistake, id=f"{task.function}, {mistake.name}")
    for assignment in ASSIGNMENTS
    for task in assignment.tasks
    for mistake in task.mistakes
]
by_assignment = pytest.mark.parametrize("assignment", ASSIGNMENTS, ids=lambda assignment: assignment.name)


def verdicts(task: Task, function: object, seed: int) -> list[Verdict]:
    """What the grader says of a function, called here instead of in the sandbox."""
    found = []
    for case in task.cases(seeded(seed, task)):
        try:
            answer = answered(function, case)
        except Exception as error:  # as the worker does
            answer = Answer(problem=f"it raised:\n{error!r}")
        found.append(judge(task, case, answer))
    return found


def points(task: Task, found: list[Verdict]) -> float:
    return points_of(task, sum(verdict.right for verdict in found), len(found))


@by_assignment
def test_an_assignment_has_20_points_and_every_task_four_mistakes_and_two_alternatives(assignment: Assignment) -> None:
    assert assignment.points == 20
    assert assignment.name in ("a7_resampling", "a1_patches", "a2_attention")
    for task in assignment.tasks:
        assert len(task.mistakes) >= 4, task.function
        assert len({mistake.name for mistake in task.mistakes}) == len(task.mistakes)
        assert len(ALTERNATIVES[task.function]) >= 2, task.function


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("task", TASKS)
def test_the_reference_gets_all_points(task: Task, seed: int) -> None:
    assert points(task, verdicts(task, reference(task.function), seed)) == task.points


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("task", "mistake"), MISTAKES)
def test_every_mistake_loses_points_and_is_named(task: Task, mistake: Mistake, seed: int) -> None:
    found = verdicts(task, variant(task, mistake), seed)
    assert points(task, found) < task.points
    said = f"It looks like this mistake, {mistake.name}: {mistake.hint}"
    assert any(said in verdict.message for verdict in found), [verdict.message for verdict in found]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("task", TASKS)
def test_other_right_solutions_get_all_points(task: Task, seed: int) -> None:
    for function in ALTERNATIVES[task.function]:
        found = verdicts(task, function, seed)
        assert points(task, found) == task.points, (function.__name__, [verdict.message for verdict in found])


@pytest.mark.parametrize("task", TASKS)
def test_another_seed_gives_other_inputs_under_the_same_notes(task: Task) -> None:
    first, second = (list(task.cases(seeded(seed, task))) for seed in (0, 1))
    assert [case.note for case in first] == [case.note for case in second]
    assert repr([case[1:] for case in first]) != repr([case[1:] for case in second])


def test_windows_of_resampling_may_be_wider_but_must_exist() -> None:
    task = next(t for t in a7_resampling.ASSIGNMENT.tasks if t.name == "resample_coefficients")
    case = next(iter(task.cases(seeded(0, task))))
    first, weights = answers(reference(task.function), case)

    def said(*arrays: np.ndarray) -> Verdict:
        return judge(task, case, Answer(arrays=arrays))

    assert said(first - 1, np.pad(weights, ((0, 0), (1, 2)))) == Verdict(True)
    beyond = said(first + weights.shape[1], weights)
    assert not beyond.right
    assert f"only the pixels 0 to {case.arguments[0] - 1}." in beyond.message
    assert "expected integers and floats, got float64 and float64" in said(first * 1.0, weights).message
    assert "got (2, 3)" in said(np.zeros((2, 3))).message
    assert "numbers are wrong; first, at [0, 0]" in said(first, weights * 2).message


@by_assignment
def test_the_text_has_every_task_in_order_with_its_points(assignment: Assignment) -> None:
    cells = source(assignment)
    assert cells[0].text.startswith(f"# Assignment {assignment.number}: {assignment.title.lower()}\n")
    for i, task in enumerate(assignment.tasks, start=1):
        place = [cell.values.get("task") for cell in cells].index(task.function)
        text = cells[place - 1].text
        unit = "point" if task.points == 1 else "points"
        assert re.match(rf"## Task {i}: .* \({task.points} {unit}\)\n", text), text
        assert f"`{task.name}`" in text
        assert text.count("<details>") == text.count("</details>") == 1
    photo, question, rubric = cells[-3:]
    assert not photo.markdown
    assert question.values == {"question": f"a{assignment.number}", "points": 4}
    assert rubric.values == {"rubric": f"a{assignment.number}"}
    # Each of the four points has its line.
    assert rubric.text.count("**1 point**") == 4


def solved_or_not(assignment: Assignment, monkeypatch: pytest.MonkeyPatch, *, solved: bool) -> dict[str, Any]:
    """The names of a student's notebook."""
    release = cut.release(messages(assignment), solved=solved)
    given = ModuleType("given")
    exec(release.given, given.__dict__)
    monkeypatch.setitem(sys.modules, "given", given)
    namespace: dict[str, Any] = {}
    exec(release.student, namespace)
    return namespace | {"np": np}


@by_assignment
def test_the_examples_in_the_text_are_true(assignment: Assignment, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {cell.text.partition("\n")[0]: cell.text for cell in source(assignment) if cell.text.startswith("## Task ")}
    for title, text in texts.items():
        names = solved_or_not(assignment, monkeypatch, solved=True)
        example = doctest.DocTestParser().get_doctest(text.replace("```", ""), names, title, None, None)
        assert example.examples, title
        said: list[str] = []
        doctest.DocTestRunner().run(example, out=said.append)
        assert said == []


# What the last code cell prints when it is right.
PRINTED = {
    7: ["0 of 150528 bytes differ from Pillow's"],
    1: ["put back together: True", "the same as inside the model: True"],
    2: ["the same as inside the model: True", "sums to 1: True"],
}


@by_assignment
def test_the_cell_on_a_photo_runs_with_the_solution_and_stops_at_the_first_stub(
    assignment: Assignment, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = source(assignment)[-3].text

    def tried(*, solved: bool) -> None:
        names = solved_or_not(assignment, monkeypatch, solved=solved)
        exec(cell, names)

    tried(solved=True)
    printed = capsys.readouterr().out.splitlines()
    assert printed == PRINTED[assignment.number]
    with pytest.raises(NotImplementedError, match=f"assignment {assignment.number}, task "):
        tried(solved=False)


@cache
def isolated() -> bool:
    return isolation_problem() is None


@by_assignment
def test_a_solved_release_gets_all_points_and_an_empty_one_none(assignment: Assignment) -> None:
    for solved in (True, False):
        release = cut.release(messages(assignment), solved=solved)
        jobs = [(task, case) for task in assignment.tasks for case in task.cases(seeded(7, task))]
        calls = [Call(task.name, case.arguments, case.options) for task, case in jobs]
        modules = {"given": release.given, "student": release.student}
        found = run(modules, "student", calls, isolated=isolated())
        said = [judge(task, case, answer) for (task, case), answer in zip(jobs, found, strict=True)]
        assert [verdict.right for verdict in said] == [solved] * len(jobs), [v for v in said if v.right != solved]
        if not solved:
            assert all(verdict.message.endswith(": not solved yet.") for verdict in said)


def test_the_names_of_alternatives_are_those_of_tasks() -> None:
    assert set(ALTERNATIVES) == {task.function for assignment in ASSIGNMENTS for task in assignment.tasks}


def test_a_mistake_that_fits_nowhere_is_an_error() -> None:
    task = a1_patches.ASSIGNMENT.tasks[0]
    with pytest.raises(ValueError, match=re.escape("stands 0 times in patches.patchify")):
        variant(task, Mistake("a typo", "x.transpos(", "", ""))
