"""Runs inside the prison: imports a student's module, calls its functions, writes their results as plain arrays.

It is handed inputs, never expected values, tests or points. Whoever forges its answers can forge numbers only. Of the
reference it is handed at most the compiled functions of other tasks than the one that it is asked for.
"""

import ast
import io
import json
import marshal
import pickle
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

if __name__ == "__main__":
    # The submission and the parts of deit_ref that are not a solution; in the prison, NumPy and its like.
    sys.path[:0] = sys.argv[2:]

import numpy as np

from deit_ref.course.grading.uses import RULE, check_uses


def main() -> None:
    """Answer every call of the job on standard input, in order, on a file descriptor."""
    answers = open(int(sys.argv[1]), "wb", buffering=0)  # noqa: SIM115
    job = pickle.load(sys.stdin.buffer)  # written by the grader
    try:
        namespace = module(job["module"], job["others"])
    except BaseException:
        write(answers, b"F", traceback.format_exc(limit=-3).encode())
        return
    write(answers, b"R", b"")  # ready: from now on the time of each call counts
    for function, arguments, options, back in job["calls"]:
        try:
            if function not in namespace:
                raise NameError(f"name {function!r} is not defined", name=function)
            check_uses(namespace[function])
            write(answers, b"A", packed(outcome(namespace[function], arguments, options, back)))
        except BaseException as error:
            text = traceback.format_exc(limit=-4) + why_missing(error, namespace)
            write(answers, b"E", text.encode("utf-8", "backslashreplace"))


def module(name: str, others: Any) -> dict[str, Any]:
    """The names of the student's module; with others, under the names of some tasks the reference's functions.

    Args:
        name: of the module.
        others: None, or the names of these tasks, those of the tasks that stay the student's, and marshaled code.
    """
    if others is None:
        return __import__(name).__dict__
    names, own, code = others
    made = ModuleType(name)
    sys.modules[name] = made  # dataclasses look there for the names in their annotations
    made.__file__ = f"{sys.argv[2]}/{name}.py"
    # The reference may call the student's functions, whose own reference is not here.
    given: dict[str, Any] = {"__name__": "given"} | {task: _later(made, task) for task in own}
    exec(marshal.loads(code), given)
    made.__dict__.update({task: given[task] for task in names})
    with open(made.__file__, encoding="utf-8") as file:
        exec(compile(file.read(), made.__file__, "exec", dont_inherit=True), made.__dict__, _Kept(made.__dict__, names))
    return made.__dict__


def _later(module: ModuleType, name: str) -> Callable[..., Any]:
    """A function that a module will have."""
    return lambda *arguments, **options: getattr(module, name)(*arguments, **options)


class _Kept(dict[str, Any]):
    """A module's names while it runs: some keep what they are, whatever the module makes of them."""

    def __init__(self, namespace: dict[str, Any], names: Sequence[str]) -> None:
        super().__init__()
        self.namespace, self.names = namespace, frozenset(names)

    def __getitem__(self, name: str) -> Any:
        return self.namespace[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in self.names:
            self.namespace[name] = value

    def __delitem__(self, name: str) -> None:
        if name not in self.names:
            del self.namespace[name]


class Outcome(NamedTuple):
    """What a call gave: the arrays, what held them, and whether it left its input alone."""

    arrays: list[np.ndarray]
    form: str
    changed: bool


def outcome(
    function: Callable[..., Any],
    arguments: Sequence[Any],
    options: Mapping[str, Any],
    back: tuple[Any, ...] | None = None,
) -> Outcome:
    """Call a function, and what it returns for the way back, if there is one."""
    before = [array.copy() for array in held((arguments, options, back))]
    result = called(function, arguments, options, back)
    after = held((arguments, options, back))
    changed = len(before) != len(after) or any(
        one.shape != other.shape or one.tobytes() != other.tobytes() for one, other in zip(before, after, strict=True)
    )
    return Outcome(parts(result), form(result), changed)


def held(value: Any) -> list[np.ndarray]:
    """All arrays in a value, however deep in tuples, lists, dictionaries and dataclasses."""
    if isinstance(value, np.ndarray):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    elif hasattr(value, "__dataclass_fields__"):
        value = [getattr(value, name) for name in value.__dataclass_fields__]
    return [array for member in value for array in held(member)] if isinstance(value, tuple | list) else []


def called(function: Any, arguments: Sequence[Any], options: Mapping[str, Any], back: tuple[Any, ...] | None) -> Any:
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
    """The arrays of a result: itself, the members of a tuple, or those of the fields of a dataclass."""
    if hasattr(result, "__dataclass_fields__"):
        return [np.asarray(number) for value in vars(result).values() for number in _numbers(value)]
    members = result if isinstance(result, tuple | list) else [result]
    return [part for one in members if one is not None for part in _part(one)]


def _part(member: object) -> list[np.ndarray]:
    return parts(member) if hasattr(member, "__dataclass_fields__") else [np.asarray(member)]


def form(result: object) -> str:
    """What holds a result's arrays: "array", "3 results", "3 results: q, k, v", "fields logits, loss" or "nothing"."""
    if hasattr(result, "__dataclass_fields__"):
        return f"fields {', '.join(name for name, value in vars(result).items() if _numbers(value))}"
    if hasattr(result, "_fields"):
        return f"{len(result._fields)} results: {', '.join(result._fields)}"
    if isinstance(result, tuple | list):
        return f"{len(result)} results"
    return "nothing" if result is None else "array"


def _numbers(value: object) -> list[object]:
    """Of a field the number, array, tuple or dataclass of them that it holds; of anything else nothing."""
    if hasattr(value, "__dataclass_fields__"):
        return list(parts(value))
    members = list(value) if isinstance(value, tuple | list) else [value]
    return members if all(isinstance(member, np.ndarray | np.generic | float) for member in members) else []


def why_missing(error: BaseException, namespace: Mapping[str, Any]) -> str:
    """Of a name that is not there, which import or assignment failed to make it, and why: it is made once more."""
    if isinstance(error, ModuleNotFoundError):
        return f"In an assignment {RULE}.\n"
    name = error.name if isinstance(error, NameError) else None
    place = namespace.get("__file__")
    if not name or not place:
        return ""
    with open(place, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    lines = [line for node in tree.body for line in (node.body if isinstance(node, ast.Try | ast.With) else [node])]
    for line in lines:
        if isinstance(line, ast.Import | ast.ImportFrom):
            made = {(alias.asname or alias.name).partition(".")[0] for alias in line.names}
        elif isinstance(line, ast.Assign | ast.AnnAssign):
            made = {
                node.id for node in ast.walk(line) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            }
        else:
            continue
        if name in made:
            text = ast.unparse(line)
            try:
                exec(text, dict(namespace))
            except Exception as failed:
                return f"{text.splitlines()[0]!r} failed before that: {type(failed).__name__}: {failed}\n"
    return ""


def packed(found: Outcome) -> bytes:
    """An outcome as bytes: a head, and the arrays in NumPy's own format, without pickles."""
    numbers = are_numbers(found.arrays)
    head = json.dumps({"form": found.form, "changed": found.changed, "numbers": numbers}).encode()
    arrays = map(_packed, found.arrays if numbers else [])
    return b"".join(len(part).to_bytes(8, "little") + part for part in (head, *arrays))


def are_numbers(arrays: Sequence[np.ndarray]) -> bool:
    """Whether all arrays hold numbers or truth values."""
    return all(array.dtype.kind in "biufc" for array in arrays)


def _packed(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def write(answers: io.FileIO, kind: bytes, content: bytes) -> None:
    """A letter, a length and the content."""
    rest = memoryview(kind + len(content).to_bytes(8, "little") + content)
    while rest:
        rest = rest[answers.write(rest) :]


if __name__ == "__main__":
    main()
