"""Runs inside the prison: imports a student's module, calls its functions, writes their results as plain arrays.

It is handed inputs, never expected values, tests or points. Whoever forges its answers can forge numbers only.
"""

import io
import pickle
import sys
import traceback
from collections.abc import Mapping
from typing import Any

if __name__ == "__main__":
    # The submission and the parts of deit_ref that are no solution; in the prison, NumPy and its like.
    sys.path[:0] = sys.argv[2:]

import numpy as np


def main() -> None:
    """Answer every call of the job on standard input, in order, on a file descriptor."""
    answers = open(int(sys.argv[1]), "wb", buffering=0)  # noqa: SIM115
    job = pickle.load(sys.stdin.buffer)  # written by the grader
    try:
        namespace = __import__(job["module"]).__dict__
    except BaseException:
        write(answers, b"F", traceback.format_exc(limit=-3).encode())
        return
    write(answers, b"R", b"")  # ready: from now on the time of each call counts
    for function, arguments, options, back in job["calls"]:
        try:
            result = called(namespace[function], arguments, options, back)
            write(answers, b"A", b"".join(packed(array) for array in parts(result)))
        except BaseException:
            write(answers, b"E", traceback.format_exc(limit=-4).encode())


def called(function: Any, arguments: tuple[Any, ...], options: Mapping[str, Any], back: tuple[Any, ...] | None) -> Any:
    """What a function returns; of one that returns a value and its way back, the value and what `back` makes of it."""
    result = function(*arguments, **options)
    if back is None:
        return result
    if not isinstance(result, tuple | list) or len(result) != 2 or not callable(result[1]):
        raise TypeError(f"expected the value and the function back, (y, back), got {type(result).__name__}.")
    gradients = result[1](*back)
    members = gradients if isinstance(gradients, tuple | list) else (gradients,)
    return result[0], *(member for member in members if member is not None)


def parts(result: object) -> list[np.ndarray]:
    """The arrays of a result: itself, the members of a tuple, or what the fields of a dataclass hold."""
    if _is_dataclass(result):
        return [part for value in vars(result).values() if _holds_arrays(value) for part in parts(value)]
    members = result if isinstance(result, tuple | list) else [result]
    return [part for one in members for part in (parts(one) if _is_dataclass(one) else [np.asarray(one)])]


def _holds_arrays(value: object) -> bool:
    return _is_dataclass(value) or isinstance(value, np.ndarray | np.generic | float)


def _is_dataclass(value: object) -> bool:
    return hasattr(value, "__dataclass_fields__")


def packed(array: np.ndarray) -> bytes:
    """One array in NumPy's own format, without pickles."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return len(stream.getvalue()).to_bytes(8, "little") + stream.getvalue()


def write(answers: io.FileIO, kind: bytes, content: bytes) -> None:
    """A letter, a length and the content."""
    rest = memoryview(kind + len(content).to_bytes(8, "little") + content)
    while rest:
        rest = rest[answers.write(rest) :]


if __name__ == "__main__":
    main()
