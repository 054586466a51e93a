"""Wrong solutions that once got all points, or might: each must lose some.

`changed` is the reference with one piece of its text replaced, `begun` and `ended` the reference with lines before and
around it. The last word of each is the mistake that the feedback has to name, or None where it only says what differs.
"""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from deit_ref.course.grading.known import variant
from deit_ref.course.task import Mistake, Task, reference

CHANGES = "changes its input"
TYPE = "another type of result"


class Wrong(NamedTuple):
    """One wrong solution: of which function, what is wrong with it, how it is made, and what it has to be called."""

    function: str
    about: str
    make: Callable[[Task], Callable[..., Any]]
    named: str | None = None


def changed(function: str, about: str, old: str, new: str, named: str | None = None) -> Wrong:
    """The reference with one piece of text replaced."""
    return Wrong(function, about, lambda task: variant(task, Mistake(about, old, new, "")), named)


def given(function: str, about: str, wrong: Callable[..., Any], named: str | None = None) -> Wrong:
    """A function of its own, which is handed the reference first."""
    return Wrong(function, about, lambda task: _bound(wrong, reference(task.function)), named)


def spoiling(function: str, number: int = 0) -> Wrong:
    """Right numbers, but one array of the arguments is another one afterwards, as after `x -= 1`."""

    def wrong(right: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        found = copy.deepcopy(right(*arguments, **options))  # which may be a view
        arrays = [one for one in [*arguments, *options.values()] if isinstance(one, np.ndarray) and one.size]
        array = arrays[number]
        array[...] = ~array if array.dtype == bool else array + 1
        return found

    return given(function, f"changes array {number} of its input", wrong, CHANGES)


def retyped(function: str, about: str, change: Callable[[Any], Any], named: str | None = TYPE) -> Wrong:
    """Right numbers, held by something else."""
    return given(function, about, lambda right, *arguments, **options: change(right(*arguments, **options)), named)


def _bound(wrong: Callable[..., Any], right: Callable[..., Any]) -> Callable[..., Any]:
    def function(*arguments: Any, **options: Any) -> Any:
        return wrong(right, *arguments, **options)

    return function
