"""Every assignment: what is right gets all points, every known mistake loses some and is named."""

import doctest
import os
import re
from functools import cache

import alternatives_a1
import alternatives_a2
import alternatives_a3
import alternatives_a4
import alternatives_a5
import alternatives_a6
import alternatives_a7
import numpy as np
import pytest
from as_a_student import namespace, run_last_cell

from deit_ref.course import cut
from deit_ref.course.assignments import a1_patches, a7_resampling, assignments, later
from deit_ref.course.grading.check import Verdict, judge
from deit_ref.course.grading.known import answered, answers, variant
from deit_ref.course.grading.sandbox import Answer, Call, isolation_problem, run
from deit_ref.course.release.source import source
from deit_ref.course.task import Assignment, Mistake, Task, messages, points_of, reference, seeded

ALTERNATIVES = (
    alternatives_a1.ALTERNATIVES
    | alternatives_a2.ALTERNATIVES
    | alternatives_a3.ALTERNATIVES
    | alternatives_a4.ALTERNATIVES
    | alternatives_a5.ALTERNATIVES
    | alternatives_a6.ALTERNATIVES
    | alternatives_a7.ALTERNATIVES
)
SEEDS = range(20 if os.environ.get("DEIT_REF_HYPOTHESIS_PROFILE") == "thorough" else 3)
TASKS = [task for assignment in assignments() for task in assignment.tasks]
by_assignment = pytest.mark.parametrize("assignment", assignments(), ids=lambda assignment: assignment.name)
by_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.function)
by_mistake = pytest.mark.parametrize(
    ("task", "mistake"),
    [pytest.param(task, mistake, id=f"{task.function}, {mistake.name}") for task in TASKS for mistake in task.mistakes],
)


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
    for task in assignment.tasks:
        assert len(task.mistakes) >= 4, task.function
        assert len({mistake.name for mistake in task.mistakes}) == len(task.mistakes)
        assert len(ALTERNATIVES[task.function]) >= 2, task.function


def test_the_names_of_alternatives_are_those_of_tasks() -> None:
    assert set(ALTERNATIVES) == {task.function for task in TASKS}


def test_assignments_are_numbered_from_1_on() -> None:
    assert [assignment.number for assignment in assignments()] == [1, 2, 3, 4, 5, 6, 7]


@by_task
def test_the_reference_gets_all_points(task: Task) -> None:
    for seed in SEEDS:
        assert points(task, verdicts(task, reference(task.function), seed)) == task.points, seed


@by_mistake
def test_every_mistake_loses_points_and_is_named(task: Task, mistake: Mistake) -> None:
    said = f"It looks like this mistake, {mistake.name}: {mistake.hint}"
    for seed in SEEDS:
        found = verdicts(task, variant(task, mistake), seed)
        assert points(task, found) < task.points, seed
        assert any(said in verdict.message for verdict in found), (seed, [verdict.message for verdict in found])


@by_task
def test_other_right_solutions_get_all_points(task: Task) -> None:
    for seed in SEEDS:
        for function in ALTERNATIVES[task.function]:
            found = verdicts(task, function, seed)
            assert points(task, found) == task.points, (seed, function.__name__, [one.message for one in found])


@by_task
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
    (hours,) = re.findall(r"Time: (\d) to (\d) hours", cells[0].text)
    assert float(hours[0]) <= (sum(task.minutes for task in assignment.tasks) + 20) / 60 <= float(hours[1])
    for i, task in enumerate(assignment.tasks, start=1):
        place = [cell.values.get("task") for cell in cells].index(task.function)
        text = cells[place - 1].text
        unit = "point" if task.points == 1 else "points"
        assert re.match(rf"## Task {i}: .* \({task.points} {unit}\)\n", text), text
        assert f"`{task.name}`" in text
        assert text.count("<details>") == text.count("</details>") == 1
    shown, question, rubric, answer = cells[-4:]
    assert not shown.markdown
    name = f"a{assignment.number}"
    assert question.values == {"question": name, "points": 4}
    assert rubric.values == {"rubric": name}
    assert rubric.text.count("**1 point**") == 4
    assert answer.values == {"answer": name}
    sentences = re.findall(r"[.?!](?=\s+[A-Z$]|$)", re.sub(r"\*\*|^- ", "", answer.text.partition("\n")[2]))
    assert 8 <= len(sentences) <= 12, len(sentences)


@by_assignment
def test_a_text_speaks_of_no_later_assignment(assignment: Assignment) -> None:
    for cell in source(assignment):
        said = re.sub(r"^#+ .*$", "", cell.text, flags=re.MULTILINE) if cell.markdown else ""
        for sentence in re.findall(r"[^.]*\bassignments?\b[^.]*", said):
            assert all(int(n) <= assignment.number for n in re.findall(r"\b(\d)\b", sentence)), sentence


@by_assignment
def test_the_examples_in_the_text_are_true(assignment: Assignment, monkeypatch: pytest.MonkeyPatch) -> None:
    found = 0
    for cell in source(assignment):
        names = namespace(assignment, monkeypatch, solved=True)
        example = doctest.DocTestParser().get_doctest(cell.text.replace("```", ""), names, cell.text[:40], None, None)
        said: list[str] = []
        doctest.DocTestRunner().run(example, out=said.append)
        assert said == []
        found += bool(example.examples)
    assert found >= len(assignment.tasks) - 1  # an encoder block has none


# What the last code cell prints when it is right.
PRINTED = {
    "a1_patches": ["put back together: True", "the same as inside the model: True"],
    "a2_attention": ["the same as inside the model: True", "sums to 1: True"],
    "a3_model": ["yours: .*", "the reference's: .*", "the same as the reference: True"],
    "a4_backward": [
        "softmax, as measured: True",
        r"loss: 0\.\d\d before, 0\.0[2-4] at the end",
        r"right: \d{1,2}% before, [78]\d% after",
        "a whole DeiT's gradients, the same as the reference's: True",
    ],
    "a5_distillation": [
        "the loss falls: True",
        *(rf"{way}: class token 8\d\.\d%, .*" for way in ("labels only", "hard distillation", "soft distillation")),
    ],
    "a6_masking": ["the same picture as the reference: True", "the same loss as the reference: True"],
    "a7_resampling": [
        "0 of 150528 bytes differ from Pillow's",
        "of earlier assignments: none",
        "the model's answer is the reference's: True; it says cat",
    ],
}


@by_assignment
def test_the_last_cell_runs_with_the_solution_and_stops_at_the_first_stub(
    assignment: Assignment, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.chdir(str(tmp_path))
    run_last_cell(assignment, namespace(assignment, monkeypatch, solved=True))
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == len(PRINTED[assignment.name])
    for line, expected in zip(printed, PRINTED[assignment.name], strict=True):
        assert re.fullmatch(expected, line)
    with pytest.raises(NotImplementedError, match=f"assignment {assignment.number}, task "):
        run_last_cell(assignment, namespace(assignment, monkeypatch, solved=False))


@cache
def isolated() -> bool:
    return isolation_problem() is None


@by_assignment
def test_a_solved_release_gets_all_points_and_an_empty_one_none(assignment: Assignment) -> None:
    for solved in (True, False):
        release = cut.release(messages(assignment), solved=solved, later=later(assignment))
        jobs = [(task, case) for task in assignment.tasks for case in task.cases(seeded(7, task))]
        calls = [Call(task.name, *case[1:]) for task, case in jobs]
        modules = {"given": release.given, "student": release.student}
        found = run(modules, "student", calls, isolated=isolated())
        said = [judge(task, case, answer) for (task, case), answer in zip(jobs, found, strict=True)]
        assert [verdict.right for verdict in said] == [solved] * len(jobs), [v for v in said if v.right != solved]
        if not solved:
            assert all(verdict.message.endswith(": not solved yet.") for verdict in said)


def test_a_mistake_that_fits_nowhere_is_an_error() -> None:
    task = a1_patches.ASSIGNMENT.tasks[0]
    with pytest.raises(ValueError, match=re.escape("stands 0 times in patches.patchify")):
        variant(task, Mistake("a typo", "x.transpos(", "", ""))
