"""Mistakes that every task invites, told by how a wrong result is related to the right one."""

from collections.abc import Iterator
from itertools import permutations
from typing import Any

import numpy as np

from deit_ref.course.grading.compare import near, same
from deit_ref.course.grading.known import Known, Named, answers
from deit_ref.course.task import Array, Arrays, Case, reference


def likeness(known: Known, got: Arrays, bound: float) -> Named | None:
    """What a wrong result looks like, or None.

    Args:
        known: the case and what is right.
        got: what came, in the form in which it is compared.
        bound: see `compare.difference`.
    """
    right = known.right
    if len(got) != len(right):
        return Named("another number of results", f"return {len(right)}, in the order of the text.")
    if len(right) > 1:
        for order in permutations(range(len(right))) if len(right) <= 5 else ():
            if order != tuple(range(len(right))) and same(tuple(right[i] for i in order), got, bound):
                return Named("results in another order", "the numbers are right; return them in the order of the text.")
    for one, array in zip(right, got, strict=True):
        if one.shape != array.shape or not near(one, array, bound).all():
            return _of_one(one, array, bound) or _of_arguments(known, got, bound)
    return None


def _of_one(right: Array, got: Array, bound: float) -> Named | None:
    """How two arrays are related."""
    for axes in permutations(range(right.ndim)) if 2 <= right.ndim <= 4 else ():
        turned = right.transpose(axes)
        if axes != tuple(range(right.ndim)) and same((turned,), (got,), bound) and not _alike(right):
            return Named("axes exchanged", f"the numbers are right, but their axes stand in the order {list(axes)}.")
    if right.shape != got.shape:
        if right.size == got.size and near(right.ravel(), got.ravel(), bound).all():
            return Named("another shape", "the numbers are right, in the right order: reshape them.")
        return _part(right, got, bound)
    if right.dtype == np.uint8 != got.dtype:
        return Named(
            "another dtype", "the result is bytes: convert it by astype(np.uint8) when it is rounded and clipped."
        )
    if not np.isfinite(got).all() and np.isfinite(right).all():
        what = "nan (no number)" if np.isnan(got).any() else "inf (infinity)"
        return Named("not finite", f"it gives {what}: is something divided by 0, or the argument of exp too large?")
    if right.dtype == bool or got.dtype == bool:
        opposite = right.astype(bool) == ~got.astype(bool)
        return Named("the opposite", "True and False are exchanged.") if opposite.all() else None
    return _of_numbers(right.astype(np.float64), got.astype(np.complex128).real, bound)


def _part(right: Array, got: Array, bound: float) -> Named | None:
    """Whether a result is right but too short or too long."""
    if right.ndim != got.ndim:
        return None
    shared = tuple(map(min, right.shape, got.shape))
    both = tuple(map(slice, shared))
    if (
        shared in (right.shape, got.shape)
        and right[both].size
        and not _alike(right)
        and near(right[both], got[both], bound).all()
    ):
        return Named("part of the result", "what is there is right, but it does not end where it should.")
    return None


def _of_numbers(right: Array, got: Array, bound: float) -> Named | None:
    """How two arrays of one shape are related."""
    if not (np.isfinite(right).all() and np.isfinite(got).all()) or (_alike(right) and right.size > 1):
        return None
    bound = max(bound, 1e-6)
    if same((-right,), (got,), bound):
        return Named("the sign", "the numbers are right but for their sign.")
    if right.size > 1 and (factor := float((right * got).sum() / (right * right).sum())):
        if abs(factor - 1) > 1e-3 and same((factor * right,), (got,), bound):
            return Named("a constant factor", f"all numbers are {factor:.6g} times what they should be.")
        offset = float((got - right).mean())
        if same((right + offset,), (got,), bound):
            return Named("a constant added", f"all numbers are {offset:.6g} more than they should be.")
    if same((np.rint(right),), (got,), bound) or same((np.trunc(right),), (got,), bound):
        return Named("rounded to integers", "the numbers have lost their fractions: is an array one of integers?")
    if right.ndim >= 2 and len(right) > 1:
        first, *others = (bool(row.all()) for row in near(right, got, bound))
        if first and not any(others):
            return Named("only the first is right", "the first along the first axis is right, the others are not.")
    for axis in range(right.ndim):
        for step in (1, -1) if right.shape[axis] >= 3 else ():
            inner = np.delete(near(np.roll(right, step, axis), got, bound), 0 if step == 1 else -1, axis)
            if inner.all():
                return Named("shifted by one", f"along axis {axis} the numbers are right, one place too far.")
    return None


def _of_arguments(known: Known, got: Arrays, bound: float) -> Named | None:
    """Whether the right function gives this for other arguments."""
    function = reference(known.task.function)
    for named, case in _other_cases(known.case):
        try:
            found = known.seen(answers(function, case))
        except Exception:  # which may make no sense
            continue
        if same(found, got, max(bound, 1e-6)) and not same(found, known.right, max(bound, 1e-6)):
            return named
    return None


def _other_cases(case: Case) -> Iterator[tuple[Named, Case]]:
    """The case with an argument forgotten, inverted or exchanged with another one."""
    arguments, options = case.arguments, dict(case.options)
    for name in options:
        rest = {other: value for other, value in options.items() if other != name}
        yield Named(f"{name} ignored", f"the result is that without {name}."), case._replace(options=rest)
    for name, value in options.items():
        if _is_mask(value):
            named = Named(f"{name} inverted", f"True and False of {name} are exchanged.")
            yield named, case._replace(options={**options, name: ~value})
        if isinstance(value, tuple) and len(value) == 2:
            named = Named(
                f"{name} the wrong way round", f"{name} is (height, width) or (rows, columns), in this order."
            )
            yield named, case._replace(options={**options, name: value[::-1]})
    for i, value in enumerate(arguments):
        if _is_mask(value):
            named = Named("mask inverted", "True and False of the mask are exchanged.")
            yield named, case._replace(arguments=(*arguments[:i], ~value, *arguments[i + 1 :]))
        for j in range(i):
            if _shape(arguments[j]) == _shape(value) is not None:
                swapped = [*arguments]
                swapped[i], swapped[j] = swapped[j], swapped[i]
                named = Named("arguments exchanged", f"arguments {j + 1} and {i + 1} are taken for one another.")
                yield named, case._replace(arguments=tuple(swapped))


def _is_mask(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == bool


def _shape(value: Any) -> tuple[int, ...] | None:
    return value.shape if isinstance(value, np.ndarray) else None


def _alike(array: Array) -> bool:
    """Whether all numbers are the same: then anything looks like anything."""
    return bool((array == array.flat[0]).all()) if array.size else True
