"""What is right on a case, and what known mistakes make of it: computed once for a class."""

import copy
from collections.abc import Iterator
from functools import cache, cached_property
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from deit_ref.course import cut
from deit_ref.course.assignments import assignments
from deit_ref.course.grading.sandbox import Answer
from deit_ref.course.grading.worker import are_numbers, outcome
from deit_ref.course.task import Arrays, Case, Mistake, Task, messages, module_of, reference


class Named(NamedTuple):
    """What may have gone wrong: a name for whoever counts, and words for the student."""

    name: str
    hint: str


class Known:
    """The right answer to a case, and wrong ones whose reasons are known."""

    def __init__(self, task: Task, case: Case, expected: Answer | None = None) -> None:
        self.task, self.case = task, case
        self._given = expected

    @cached_property
    def expected(self) -> Answer:
        """What is right."""
        return answered(reference(self.task.function), self.case) if self._given is None else self._given

    def seen(self, arrays: Arrays) -> Arrays:
        """What of a result is compared.

        Raises:
            ValueError: it makes no sense.
        """
        return arrays if self.task.view is None else self.task.view(self.case, arrays)

    @cached_property
    def right(self) -> Arrays:
        """What is compared of the right answer."""
        assert self.expected.arrays is not None
        return self.seen(self.expected.arrays)

    @cached_property
    def mistakes(self) -> tuple[tuple[Named, Arrays], ...]:
        """The results of the task's known mistakes; of those that cannot even take this input there are none."""
        found = ((Named(one.name, one.hint), variant(self.task, one)) for one in self.task.mistakes)
        return tuple(self._results(found))

    @cached_property
    def inherited(self) -> tuple[tuple[Named, Arrays], ...]:
        """The results of a right function that calls other tasks' functions, one of which has a known mistake."""
        return tuple(self._results(_callers(self.task)))

    def _results(self, functions: Iterator[tuple[Named, Any]]) -> Iterator[tuple[Named, Arrays]]:
        for named, function in functions:
            try:
                yield named, self.seen(answers(function, self.case))
            except Exception:  # mistakes may fail in any way
                continue


def answered(function: Any, case: Case) -> Answer:
    """What a function gives, called here on a copy of a case; what it raises is not caught.

    It calls without warnings, because mistakes may divide by zero.
    """
    own = copy.deepcopy(case)
    with np.errstate(all="ignore"):
        arrays, form, changed = outcome(function, own.arguments, own.options, own.back)
    return Answer(arrays=tuple(arrays) if are_numbers(arrays) else None, form=form, changed=changed)


def answers(function: Any, case: Case) -> Arrays:
    """The arrays that a function of ours gives."""
    arrays = answered(function, case).arrays
    assert arrays is not None
    return arrays


@cache
def variant(task: Task, mistake: Mistake) -> Any:
    """The function of a task with one mistake in it.

    Raises:
        ValueError: the text to replace does not stand exactly once in the function.
    """
    chapter = task.function.rpartition(".")[0]
    known = dict(vars(import_module(module_of(chapter))))
    exec(compile(mutated(task, mistake), f"<{task.function} with a mistake>", "exec"), known)
    return known[task.name]


def mutated(task: Task, mistake: Mistake) -> str:
    """The text of the function with the mistake in it."""
    text = cut.solution(task.function)
    if text.count(mistake.old) != 1:
        raise ValueError(
            f"The mistake {mistake.name!r} replaces {mistake.old!r}, which stands {text.count(mistake.old)} times in "
            f"{task.function}: once is needed."
        )
    return text.replace(mistake.old, mistake.new)


def _callers(task: Task) -> Iterator[tuple[Named, Any]]:
    """The right function of a task with every known mistake of every other task of its assignment that it needs."""
    for assignment in assignments():
        if task not in assignment.tasks:
            continue
        needed = cut.needs(task.function)
        for other in assignment.tasks:
            for mistake in other.mistakes if other.function in needed and other != task else ():
                name, hint = f"{mistake.name}, in {other.name}", f"it comes from {other.name}, which is called: "
                yield Named(name, hint + mistake.hint), _solved_with(assignment.name, other, mistake)[task.name]


@cache
def _solved_with(name: str, task: Task, mistake: Mistake) -> dict[str, Any]:
    """A whole solution, but for one mistake."""
    assignment = next(one for one in assignments() if one.name == name)
    release = cut.release(messages(assignment), solved=True)
    text = release.student.replace(cut.solution(task.function), mutated(task, mistake))
    space: dict[str, Any] = {}
    for part in (
        release.given,
        "\n".join(line for line in text.split("\n") if not line.startswith("from given import")),
    ):
        exec(compile(part, f"<{name} with a mistake>", "exec"), space)
    return space
