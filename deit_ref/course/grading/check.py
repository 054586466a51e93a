"""Compares what a student's function gave with what the reference gives, and says what may have gone wrong."""

import contextlib
import copy
import io
import re
import warnings
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from deit_ref.course import cut
from deit_ref.course.assignments import find_task
from deit_ref.course.grading.sandbox import Answer
from deit_ref.course.grading.worker import called, parts
from deit_ref.course.task import Arrays, Case, Mistake, Task, module_of, points_of, reference, seeded

PUBLIC_SEED = 2**31 - 1  # of the tests that students see; grading with it would test nothing else


class Verdict(NamedTuple):
    """Whether a case is right, and if not, what to tell the student."""

    right: bool
    message: str = ""


def judge(task: Task, case: Case, answer: Answer, expected: Arrays | None = None) -> Verdict:
    """Compare one answer with the reference's.

    A wrong answer is compared with those of the known mistakes, too, and the one that gives the same is named.

    Args:
        task: whose function was called.
        case: on what.
        answer: what came.
        expected: what is right; None computes it.
    """
    place = f"{task.name}, {case.note} ({_inputs(case)}): "
    if answer.problem is not None:
        if "NotImplementedError" in answer.problem:
            return Verdict(False, f"{place}not solved yet.")
        return Verdict(False, place + answer.problem)
    expected = answers(reference(task.function), case) if expected is None else expected
    if answer.arrays is None:
        return Verdict(False, f"{place}expected {_shapes(expected)}, got something that is no array of numbers.")
    try:
        got = _seen(task, case, answer.arrays)
    except ValueError as error:
        return Verdict(False, f"{place}{error}")
    if (problem := difference(_seen(task, case, expected), got, task.bound)) is None:
        return Verdict(True)
    for mistake in task.mistakes:
        try:
            wrong = _seen(task, case, answers(variant(task, mistake), case))
            same = difference(wrong, got, max(task.bound, 1e-6)) is None
        except Exception:  # this mistake cannot even take this input
            continue
        if same:
            return Verdict(False, f"{place}{problem} It looks like this mistake, {mistake.name}: {mistake.hint}")
    return Verdict(False, place + problem)


def check(task: Task, function: Any, case: Case, expected: Arrays | None = None) -> Verdict:
    """Call a function here, on a copy of a case, and judge what it gives; what it raises is not caught."""
    own = copy.deepcopy(case)
    return judge(
        task, case, Answer(arrays=tuple(parts(called(function, own.arguments, own.options, own.back)))), expected
    )


def assert_task(name: str, function: Any, *, seed: int = PUBLIC_SEED) -> None:
    """Test one's own function, in a notebook: says what is wrong with it, or nothing.

    Args:
        name: of the task, such as "a2_attention.split_heads".
        function: to be tested. It is called in this very process: run only what you trust.
        seed: of the inputs.

    Raises:
        AssertionError: a result is wrong.
    """
    task = find_task(name)
    for case in task.cases(seeded(seed, task)):
        verdict = check(task, function, case)
        if not verdict.right:
            raise AssertionError(verdict.message)


def score_task(name: str, function: Any, *, seed: int) -> float:
    """The points of a function, as a grade cell of a notebook shows them; prints what is wrong.

    Args:
        name, function, seed: see `assert_task`.
    """
    task = find_task(name)
    verdicts = []
    for case in task.cases(seeded(seed, task)):
        try:
            # nbgrader takes a warning, which goes to standard error, for a failure.
            with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
                warnings.simplefilter("ignore")
                verdicts.append(check(task, function, case))
        except Exception as error:
            problem = f"it raised:\n{type(error).__name__}: {error}"
            verdicts.append(judge(task, case, Answer(problem=problem)))
    for verdict in verdicts:
        if not verdict.right:
            print(verdict.message)
    return points_of(task, sum(verdict.right for verdict in verdicts), len(verdicts))


def answers(function: Any, case: Case) -> Arrays:
    """What a function of ours gives, as arrays; without warnings, because mistakes may divide by zero."""
    with np.errstate(all="ignore"):
        return tuple(parts(called(function, case.arguments, case.options, case.back)))


def difference(expected: Arrays, got: Arrays, bound: float) -> str | None:
    """What is wrong with the arrays, in words, or None."""
    if len(expected) != len(got):
        return f"expected {len(expected)} arrays ({_shapes(expected)}), got {len(got)} ({_shapes(got)})."
    for i, (right, array) in enumerate(zip(expected, got, strict=True)):
        which = f"array {i + 1} of the result: " if len(expected) > 1 else ""
        if right.shape != array.shape:
            return f"{which}expected the shape {right.shape}, got {array.shape}."
        if right.dtype == np.uint8 and array.dtype != np.uint8:
            return f"{which}expected bytes (uint8), got {array.dtype}."
        wide, found = right.astype(np.complex128), array.astype(np.complex128)
        largest = np.abs(wide[np.isfinite(wide)]).max(initial=0)
        with np.errstate(invalid="ignore"):  # infinity less infinity
            near = np.abs(wide - found) <= bound * largest
        wrong = ~((wide == found) | (np.isnan(wide) & np.isnan(found)) | near)
        if wrong.any():
            index = tuple(int(k) for k in np.argwhere(wrong)[0])
            at = f"[{', '.join(map(str, index))}]" if index else ""
            return (
                f"{which}{int(wrong.sum())} of {wrong.size} numbers are wrong; first, at {at or 'the only one'}, "
                f"expected {_number(right[index])}, got {_number(array[index])}."
            )
    return None


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


def _seen(task: Task, case: Case, arrays: Arrays) -> Arrays:
    return arrays if task.view is None else task.view(case, arrays)


def _inputs(case: Case) -> str:
    words = [_described(value) for value in case.arguments]
    words += [f"{name}={_described(value)}" for name, value in case.options.items()]
    words += [] if case.back is None else [f"back({', '.join(map(_described, case.back))})"]
    return re.sub(r"\s+", " ", ", ".join(words))


def _number(value: Any) -> str:
    return str(bool(value)) if np.asarray(value).dtype == bool else f"{value:.6g}"


def _described(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.size > 6:
        return f"{value.dtype} {value.shape}"
    if isinstance(value, np.ndarray):
        return f"{value.tolist()}"
    if hasattr(value, "__dataclass_fields__"):
        return type(value).__name__
    if callable(value):
        return str(value.__name__)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_described, value))}]"
    return repr(value)


def _shapes(arrays: Arrays) -> str:
    return ", ".join(f"{array.dtype} {array.shape}" for array in arrays) or "nothing"
