"""What the book's notebooks share: a source that unfolds, and a judge of what a reader writes."""

import ast
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from deit_ref.arrays import as_numpy

# Colors mean the same as in the book: the class token, the distillation token, pixels and patches, what was learned,
# and all else.
CLS, DIST, PIXELS, LEARNED, OTHER = "#a84c06", "#6b33b0", "#1d5fa8", "#186a3b", "#555d69"


@dataclass(frozen=True)
class Folded:
    """Code that a notebook shows when its line is clicked."""

    title: str
    code: str

    def _repr_markdown_(self) -> str:
        return f"<details><summary>{self.title}</summary>\n\n```python\n{self.code}\n```\n\n</details>"


def folded(*functions: Callable[..., Any]) -> Folded:
    """The source of functions, without their docstrings, which the chapter's page explains.

    Args:
        functions: of one chapter, in reading order.
    """
    names = ", ".join(f"<code>{function.__name__}</code>" for function in functions)
    return Folded(f"The source of {names}", "\n\n\n".join(map(_without_docstring, functions)))


def _without_docstring(function: Callable[..., Any]) -> str:
    source = textwrap.dedent(inspect.getsource(function)).rstrip("\n")
    first = ast.parse(source).body[0]
    assert isinstance(first, ast.FunctionDef)
    if ast.get_docstring(first) is None:
        return source
    lines, docstring = source.split("\n"), first.body[0]
    return "\n".join([*lines[: docstring.lineno - 1], *lines[docstring.end_lineno :]])


def judge(yours: Any, truth: Any, hint: str = "", *, within: float = 1e-6) -> None:
    """Say whether an answer is right; None or `...` is one that is not written yet.

    Args:
        yours: a number, or an array of either backend.
        truth: what is expected.
        hint: what to think of if the answer is wrong; it must not give the answer away.
        within: how far it may be off, as a share of the largest expected value.

    Raises:
        AssertionError: it is wrong; says by how much.
    """
    if yours is None or yours is ...:
        print("Your turn: write your answer in place of the dots, and run this cell again.")
        return
    ours, expected = np.asarray(as_numpy(yours), float), np.asarray(as_numpy(truth), float)
    hint = f" {hint}" if hint else ""
    assert ours.shape == expected.shape, f"not yet: the shape is {ours.shape}, but must be {expected.shape}.{hint}"
    error = float(np.abs(ours - expected).max() / (np.abs(expected).max() or 1))
    off = f"off by {error:.1e} of the largest entry" if ours.ndim else f"{yours} is not it"
    assert error <= within, f"not yet: {off}.{hint}"
    print("Right." if error == 0 else f"Right: {error:.0e} from the reference.")
