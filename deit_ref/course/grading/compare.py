"""Whether a result is right, and what in it is not, in words for the student."""

import math
from typing import Any

import numpy as np

from deit_ref.course.task import Arrays

FLOAT32 = 3e-6  # as a share of the largest number, what float32 leaves of a right result, whatever a task asks for
LARGEST = 100_000  # numbers in an array whose shape is told; no test has as many


def difference(expected: Arrays, got: Arrays, bound: float) -> str | None:
    """What is wrong with the arrays, in words, or None.

    Args:
        expected: what is right.
        got: what came.
        bound: how far a number may be off, as a share of the largest expected one.
    """
    if len(expected) != len(got):
        return f"expected {len(expected)} arrays ({shapes(expected)}), got {len(got)} ({shapes(got)})."
    for i, (right, array) in enumerate(zip(expected, got, strict=True)):
        which = f"array {i + 1} of the result: " if len(expected) > 1 else ""
        if right.shape != array.shape:
            return f"{which}expected the shape {right.shape}, got {_shape(array)}."
        if right.dtype == np.uint8 and array.dtype != np.uint8:
            return f"{which}expected bytes (uint8), got {array.dtype}."
        wrong = ~near(right, array, bound)
        if wrong.any():
            index = tuple(int(k) for k in np.argwhere(wrong)[0])
            at = f"[{', '.join(map(str, index))}]" if index else ""
            numbers = _apart(right[index], array[index])
            return (
                f"{which}{int(wrong.sum())} of {wrong.size} numbers are wrong; first, at {at or 'the only one'}, "
                f"expected {numbers[0]}, got {numbers[1]}."
            )
    return None


def near(right: np.ndarray, array: np.ndarray, bound: float) -> np.ndarray:
    """Which numbers of an array of the same shape are right."""
    bound = max(bound, FLOAT32) if right.dtype == np.float32 else bound
    wide, found = right.astype(np.complex128), array.astype(np.complex128)
    largest = np.abs(wide[np.isfinite(wide)]).max(initial=0)
    with np.errstate(invalid="ignore"):  # infinity less infinity
        close = np.abs(wide - found) <= bound * largest
    return (wide == found) | (np.isnan(wide) & np.isnan(found)) | close


def same(expected: Arrays, got: Arrays, bound: float) -> bool:
    """Whether nothing is wrong."""
    return difference(expected, got, bound) is None


def shapes(arrays: Arrays, most: int = 6) -> str:
    """Dtypes and shapes in words, of the first few."""
    words = [f"{array.dtype} {_shape(array)}" for array in arrays[:most]]
    return ", ".join([*words, *(["..."] if len(arrays) > most else [])]) or "nothing"


def _shape(array: np.ndarray, most: int = 60) -> str:
    """A shape; one that nobody needs is not written out, for it may hold anything: empty arrays have any sides."""
    words = str(array.shape)
    usual = len(words) <= most and math.prod(max(side, 1) for side in array.shape) <= LARGEST
    return words if usual else f"one of {array.ndim} axes"


def _apart(expected: Any, got: Any) -> tuple[str, str]:
    """Two numbers with as many digits as they need to be told apart, six at least."""
    for digits in range(6, 18):
        words = _number(expected, digits), _number(got, digits)
        if words[0] != words[1]:
            break
    return words


def _number(value: Any, digits: int) -> str:
    return str(bool(value)) if np.asarray(value).dtype == bool else f"{value:.{digits}g}"
