"""Makes one module of what a student wrote: definitions, imports, and whatever fills the tables that they need.

It runs in a process of its own; see `reading.py`. Nothing is executed here, and all of it takes time in proportion to
the file's size, but for the parts that are Python's own.
"""

import ast
import sys
import warnings
from collections.abc import Iterable, Sequence

from deit_ref.course.grading.needed import bound, needed
from deit_ref.course.grading.statements import DEFINITIONS, IMPORTS, Statement, statements

PROBLEMS = 10  # that are told; whoever has more of them has heard enough
_SPARED = "from deit_ref.course.grading.spared import spared as _spared"

About = tuple[list[str], list[str], dict[str, str]]


def module(
    place: str,
    content: bytes,
    wanted: frozenset[str] = frozenset(),
    before: str = "",
    beside: Sequence[tuple[str, bytes]] = (),
    reserved: Sequence[str] = (),
) -> tuple[About, bytes]:
    """Imports, definitions and what these need, of all cells that are Python; all else is left out.

    Experiments and tests at the top level do not run: they cannot stop the grading. What fills a name that one of the
    wanted functions needs does, with little time, and if it fails it costs only what uses it.

    Args:
        place: the file's name, which says what it is.
        content: its bytes.
        wanted: names that are needed by whoever uses the module; none means all.
        before: code that stands before the student's own.
        beside: scripts that it may import, such as ("helpers.py", b"...").
        reserved: names of modules that no such script may take, beside those of Python's library.

    Returns:
        The names that the module binds, what had to be left out, the texts of the scripts that are needed; and its
        text.

    Raises:
        ValueError: the file is not a notebook, not text, or too long.
    """
    own, problems = _kept(place, content, wanted)
    scripts, texts, asked = dict(beside), dict[str, str](), _imported(own)
    names: dict[str, set[str]] = {}
    while asked:
        name = asked.pop()
        for file in [file for file in scripts if file.partition("/")[0].removesuffix(".py") == name]:
            helper = scripts.pop(file)
            if name in {*reserved, *sys.stdlib_module_names}:
                problems += [f"{file} was left out: {name} is the name of another module."] if name != "given" else []
                continue
            try:
                kept, wrong = _kept(file, helper, None)
            except ValueError as error:
                problems.append(f"{file} was left out: {error}")
                continue
            problems += [f"{file}: {problem}" for problem in wrong]
            names[file.removesuffix(".py")] = {name for one in kept for name in bound(one.node)}
            texts[file] = _joined("", kept)
            asked |= _imported(kept)
    found = {name for one in own for name in bound(one.node)}
    for one in own:
        if isinstance(one.node, ast.ImportFrom) and one.node.names[0].name == "*":
            found |= names.get(one.node.module or "", set())
    if len(problems) > PROBLEMS:
        problems[PROBLEMS:] = [f"{len(problems) - PROBLEMS} other pieces were left out, too."]
    return (sorted(found), problems, texts), _joined(before, own).encode()


def _kept(place: str, content: bytes, wanted: frozenset[str] | None) -> tuple[list[Statement], list[str]]:
    """The statements that stay, and what had to be left out; with None all that bind a name stay."""
    every, problems = statements(place, content)
    right = []
    for one in every:
        try:
            _compile(one.node)
            text = one.text if isinstance(one.node, DEFINITIONS) else ast.unparse(one.node)
            right.append(one._replace(text=text))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            what = getattr(one.node, "name", "a statement")
            reason = error.msg if isinstance(error, SyntaxError) else type(error).__name__
            problems.append(f"{what} in {one.where} is not Python and was left out: {reason}.")
    if wanted is None:
        wanted = frozenset(name for one in right for name in bound(one.node))
    return needed(right, wanted), problems


def _compile(node: ast.stmt) -> None:
    """Some of what has a syntax tree is not Python: a `return` outside of functions, two arguments of one name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        compile(ast.Module([node], []), "student", "exec", dont_inherit=True)


def _imported(kept: Iterable[Statement]) -> set[str]:
    """The first parts of the names of all modules that are imported somewhere."""
    found: set[str] = set()
    for one in kept:
        for node in ast.walk(one.node):
            if isinstance(node, ast.ImportFrom):
                modules = [node.module] if node.module else [alias.name for alias in node.names]
                found |= {name.partition(".")[0] for name in modules}
            elif isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
    return found


def _joined(before: str, kept: Iterable[Statement]) -> str:
    # Annotations stay text: a name that is missing in one of them is no reason to fail.
    parts = ["from __future__ import annotations", _SPARED, before, *(_guarded(one.node, one.text) for one in kept)]
    return "\n\n".join(parts) + "\n"


def _guarded(node: ast.stmt, text: str) -> str:
    """Whatever runs when the module is imported costs only what uses it."""
    if isinstance(node, DEFINITIONS):
        return text
    if isinstance(node, ast.ImportFrom) and node.module == "__future__":
        return ""  # its place is the first line, where the only one that matters stands already
    if isinstance(node, ast.ImportFrom) and node.level == 1:  # the module is in no package
        imports = [ast.Import([alias]) for alias in node.names]
        lines = [ast.unparse(one) for one in ([ast.ImportFrom(node.module, node.names, 0)] if node.module else imports)]
    else:
        lines = text.split("\n")
    # An import may have to wait for a busy machine.
    head, tail = ("try:", "except Exception:\n    pass") if isinstance(node, IMPORTS) else ("with _spared():", "")
    return "\n".join([head, *(f"    {line}" for line in lines), tail])
