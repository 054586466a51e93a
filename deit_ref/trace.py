"""Trace: the named intermediate arrays of one forward pass, in the order they were made.

Every chapter records with the same two functions and an optional trace, so that the formula stays in sight:

    scores = record(trace, "scores", q @ k)                      # keeps scores if somebody asked for them
    x = encoder_block(block, x, trace=scope(trace, "blocks.3"))  # names inside become blocks.3.<name>

Both backends record the same names.
"""

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, TypeVar

import numpy as np

from deit_ref import checks

T = TypeVar("T")


class Trace(Mapping[str, Any]):
    """Ordered names (`blocks.3.attention.probabilities`) -> arrays of the backend that ran.

    Args:
        only: patterns of the names to keep, such as `"blocks.*.attention.probabilities"`; None keeps all.
        also: another trace that is told everything too.

    NumPy arrays are copied when they are recorded, because the chapters work in place on arrays of their own;
    the torch backend never does, so tensors are kept as they are.
    """

    def __init__(self, only: Iterable[str] | None = None, *, also: "Trace | None" = None) -> None:
        self._only = None if only is None else checks.texts("only", only, each="patterns of names such as 'blocks.*'")
        if also is not None:
            checks.instance("also", also, Trace, "a Trace or None")
        self._also = also
        self._prefix = ""
        self._steps: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        return self._steps[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._steps)

    def __len__(self) -> int:
        return len(self._steps)

    def __repr__(self) -> str:
        return f"Trace({len(self)} steps: {checks.some(self, most=4)})"

    def matching(self, pattern: str) -> tuple[Any, ...]:
        """The arrays whose names match `pattern`, in order."""
        (pattern,) = checks.texts("pattern", [pattern], each="such as 'blocks.*.output'")
        return tuple(value for name, value in self.items() if fnmatchcase(name, pattern))

    def _keeps(self, name: str) -> bool:
        return self._only is None or any(fnmatchcase(self._prefix + name, pattern) for pattern in self._only)

    def _wants(self, name: str) -> bool:
        return self._keeps(name) or wants(self._also, name)

    def _record(self, name: str, value: Any) -> None:
        record(self._also, name, value)
        if self._keeps(name):
            if self._prefix + name in self._steps:
                raise ValueError(f"This Trace already holds {self._prefix + name!r}: use a new Trace for each call.")
            self._steps[self._prefix + name] = value.copy() if isinstance(value, np.ndarray) else value

    def _within(self, name: str) -> "Trace":
        inner = Trace(self._only, also=scope(self._also, name))
        inner._prefix = f"{self._prefix}{name}."
        inner._steps = self._steps
        return inner


def record(trace: Trace | None, name: str, value: T) -> T:
    """Keep `value` under `name`, if there is a trace that wants it; return it."""
    if trace is not None:
        trace._record(name, value)
    return value


def scope(trace: Trace | None, name: str) -> Trace | None:
    """A trace that records into `trace` under names that begin with `name` and a dot."""
    return None if trace is None else trace._within(name)


def wants(trace: Trace | None, name: str) -> bool:
    """Whether `record(trace, name, ...)` would keep something: ask before computing for the record alone."""
    return trace is not None and trace._wants(name)
