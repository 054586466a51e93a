"""Compares what a student's function gave with what the reference gives, and says what may have gone wrong."""

import re
from typing import Any, NamedTuple

import numpy as np

from deit_ref.course.assignments import assignments, find_task
from deit_ref.course.grading.compare import difference, same, shapes
from deit_ref.course.grading.known import Known, Named, answered
from deit_ref.course.grading.likeness import likeness
from deit_ref.course.grading.sandbox import Answer
from deit_ref.course.grading.uses import check_uses
from deit_ref.course.task import Arrays, Case, Task, seeded

PUBLIC_SEED = 2**31 - 1  # of the tests that students see; grading with it would test nothing else


class Verdict(NamedTuple):
    """Whether a case is right, and if not, what to tell the student, and the name of the mistake if it is known."""

    right: bool
    message: str = ""
    mistake: str | None = None


def judge(
    task: Task, case: Case, answer: Answer, expected: Answer | None = None, *, known: Known | None = None
) -> Verdict:
    """Compare one answer with the reference's.

    A wrong answer is compared with what mistakes give, too, and the one that gives the same is named: known ones of
    this task, then those of tasks that it calls, then those that every task invites.

    Args:
        task: whose function was called.
        case: on what.
        answer: what came.
        expected: what is right; None computes it.
        known: the same and what mistakes give, kept for the next student; None computes it.
    """
    place = f"{task.name}, {case.note} ({_inputs(case)}): "
    if answer.problem is not None:
        words, mistake = _problem(task, answer.problem)
        return Verdict(False, place + words, mistake)
    known = Known(task, case, expected) if known is None else known
    right = known.expected
    assert right.arrays is not None
    if answer.form == "nothing":
        return Verdict(False, f"{place}it returns None: is there a `return`, in every branch?", "no return")
    if answer.arrays is None:
        return Verdict(False, f"{place}expected {shapes(right.arrays)}, got something that is not an array of numbers.")
    try:
        got = known.seen(answer.arrays)
    except ValueError as error:
        return Verdict(False, f"{place}{error}", "a result of another kind")
    problem = difference(known.right, got, task.bound)
    if problem is not None:
        named = _named(known, got)
        said = f" It looks like this mistake, {named.name}: {named.hint}" if named else ""
        return Verdict(False, place + problem + said, named and named.name)
    if answer.form is not None and right.form is not None and not _holds(right.form, answer.form):
        words = (
            f"the numbers are right, but not what holds them: expected {_form(right.form)}, got {_kind(answer.form)}."
        )
        return Verdict(False, place + words, "another type of result")
    if answer.changed:
        words = "the numbers are right, but it changes its input, which others may still need: make a new array."
        return Verdict(False, place + words, "changes its input")
    return Verdict(True)


def check(task: Task, function: Any, case: Case, expected: Answer | None = None) -> Verdict:
    """Call a function here, on a copy of a case, and judge what it gives; what it raises is not caught.

    Raises:
        ImportError: the function uses what is not allowed.
    """
    check_uses(function)
    return judge(task, case, answered(function, case), expected)


def assert_task(name: str, function: Any, *, seed: int = PUBLIC_SEED) -> None:
    """Test one's own function, in a notebook: says what is wrong with it, or nothing.

    Args:
        name: of the task, such as "a2_attention.split_heads".
        function: to be tested. It is called in this very process: run only what you trust.
        seed: of the inputs.

    Raises:
        AssertionError: a result is wrong.
        ImportError: the function uses what is not allowed.
    """
    task = find_task(name)
    for case in task.cases(seeded(seed, task)):
        verdict = check(task, function, case)
        if not verdict.right:
            raise AssertionError(verdict.message)


def _named(known: Known, got: Arrays) -> Named | None:
    """The mistake that gives the same, if one is known."""
    bound = max(known.task.bound, 1e-9)  # no wider than needed, or a mistake is named that is as good as right here
    own = (named for named, wrong in known.mistakes if same(wrong, got, bound))
    if (found := next(own, None)) is not None:
        return found
    inherited = (named for named, wrong in known.inherited if same(wrong, got, bound))
    return next(inherited, None) or likeness(known, got, known.task.bound)


# What stands in a message of Python or NumPy, and what it is called in the statistics of a class.
_RAISED = (
    (r"^'(import|from) .* failed before that: ", "a failed import"),
    (r" failed before that: ", "a failed line"),
    (r"^(ModuleNotFoundError|ImportError)\b", "an import that is not allowed"),
    (r"^NameError\b", "a name that is not there"),
    (r"^TypeError: .* argument", "other arguments than those of the text"),
    (r"could not be broadcast|cannot reshape|not aligned|mismatch in its core dimension", "shapes that do not fit"),
    (r"^(IndexError|numpy\.exceptions\.AxisError)\b", "an index or axis that is not there"),
    (r"^it did not come to an end", "no end"),
    (r"^the file cannot be imported", "a file that cannot be imported"),
)


def _problem(task: Task, problem: str) -> tuple[str, str | None]:
    """Why there is no result, in words, and the name of the mistake if it is known."""
    if "NotImplementedError" in problem:
        called = re.search(r"NotImplementedError: assignment \d+, task \d+: (\w+)", problem)
        tasks = {one.name for assignment in assignments() for one in assignment.tasks}
        if called and called[1] != task.name and called[1] in tasks:
            return f"it calls {called[1]}, which is not solved.", f"not solved, in {called[1]}"
        return "not solved yet.", "not solved"
    names = (name for pattern, name in _RAISED if re.search(pattern, problem, flags=re.MULTILINE))
    return problem, next(names, None)


def _holds(right: str, form: str) -> bool:
    """Whether a result is held as the right one is: a named tuple is a tuple, and fields go by name."""
    return form.startswith(f"{right}: ") or _names(form) == _names(right)


def _names(form: str) -> str:
    return form.rpartition(": ")[2].removeprefix("fields ")


def _form(form: str) -> str:
    """What holds the arrays of a right result, in words."""
    if _names(form) != form:
        return f"an object with the fields {_names(form)}"
    kind, _, _ = form.partition(" ")
    return "one array" if form == "array" else f"a tuple of {kind}"


def _kind(form: str) -> str:
    """What holds the arrays of a student's result, without words of the student's own."""
    if _names(form) != form:
        return "one with other fields"
    return "one array" if form == "array" else "a tuple or a list"


def _inputs(case: Case) -> str:
    words = [_described(value) for value in case.arguments]
    words += [f"{name}={_described(value)}" for name, value in case.options.items()]
    words += [] if case.back is None else [f"back({', '.join(map(_described, case.back))})"]
    return re.sub(r"\s+", " ", ", ".join(words))


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
