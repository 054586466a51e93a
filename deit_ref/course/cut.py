"""Cuts the reference into what is handed out: functions without bodies, and what they need around them.

Nothing is written twice: signatures, docstrings, solutions and helpers are the text of the chapters, found by name.
"""

import ast
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from deit_ref.course.task import Unsolved, module_of


class Item(NamedTuple):
    """A piece of a chapter's top level: a function, a class or an assignment, with the comments above it."""

    place: str  # "attention.split_heads"
    text: str
    node: ast.stmt


class Chapter(NamedTuple):
    """A file: its imports and its items by name."""

    imports: Mapping[str, str]  # name -> the statement that binds it
    items: Mapping[str, Item]


@cache
def chapter(name: str) -> Chapter:
    """A file of the NumPy backend, or of the assignments ("course.experiment"), taken apart."""
    package, _, file = module_of(name).rpartition(".")
    text = (files(package) / f"{file}.py").read_text(encoding="utf-8")
    lines, imports, items, end = text.splitlines(), {}, {}, 0
    for node in ast.parse(text).body:
        start, first = end, _first_line(node) - 1
        while start < first and not lines[start].startswith("#"):
            start += 1  # comments right above belong to what follows
        end = node.end_lineno or first + 1
        for bound in _bound(node):
            if isinstance(node, ast.Import | ast.ImportFrom):
                alias = next(a for a in node.names if (a.asname or a.name) == bound)
                begin = "" if isinstance(node, ast.Import) else f"from {node.module} "
                imports[bound] = f"{begin}import {ast.unparse(alias)}"
            else:
                items[bound] = Item(f"{name}.{bound}", "\n".join(lines[start:end]), node)
    return Chapter(imports, items)


def solution(place: str) -> str:
    """The text of a function as it stands in its chapter."""
    return _item(place).text


def stub(place: str, message: str, untold: Iterable[str] = ()) -> str:
    """Signature and docstring of a function, and a body that says what is to be done.

    Args:
        place: of the function.
        message: what it says.
        untold: the first words of paragraphs that the docstring loses.

    Raises:
        ValueError: no paragraph, or more than one, begins with such words.
    """
    *head, end = halves(place)[0].split("\n")
    paragraphs = "\n".join(head).split("\n\n")
    for words in untold:
        found = [paragraph for paragraph in paragraphs if paragraph.strip().startswith(words)]
        if len(found) != 1:
            raise ValueError(f"{place}: expected one paragraph that begins with {words!r}, got {len(found)}: name one.")
        paragraphs.remove(found[0])
    return "\n".join(["\n\n".join(paragraphs), end, f'    raise NotImplementedError("{message}")'])


def halves(place: str) -> tuple[str, str]:
    """A function's signature and docstring, and its body."""
    item = _item(place)
    assert isinstance(item.node, ast.FunctionDef), f"{place} is not a function"
    assert ast.get_docstring(item.node) is not None, f"{place} has no docstring"
    body = (item.node.end_lineno or 0) - (item.node.body[0].end_lineno or 0)
    lines = item.text.splitlines()
    return "\n".join(lines[:-body]), "\n".join(lines[-body:])


class Release(NamedTuple):
    """Two modules: given, which needs nothing of the student; and student, with the pieces in order to be filled in."""

    given: str
    student: str


def release(tasks: Iterable[Unsolved], *, solved: bool = False, later: Iterable[Unsolved] = ()) -> Release:
    """The modules of an assignment.

    Args:
        tasks: each function to write.
        solved: keep the bodies: the full solution.
        later: the same of functions that are written later: where they are given, it is without their bodies.
    """
    messages, unsolved = {task.function: task for task in tasks}, {task.function: task for task in later}
    needed = _without_copies(_closure(messages))
    own = {place for place in needed if place in messages or needs(place) & set(messages)}
    given = [place for place in needed if place not in own]
    parts = [
        stub(*messages[place]) if place in messages and not solved else solution(place)
        for place in needed
        if place in own
    ]
    wanted = {other.rpartition(".")[2] for place in own for other in _direct(place)}
    names = sorted(wanted & {place.rpartition(".")[2] for place in given})
    head = _imports(own)
    if names:
        head.append(f"from given import {', '.join(names)}")
    student = "\n".join(head) + "\n\n\n" + "\n\n\n".join(parts) + "\n"
    pieces = [stub(*unsolved[place]) if place in unsolved else solution(place) for place in given]
    text = "\n".join(_imports(given)) + "\n\n\n" + "\n\n\n".join(pieces) + "\n"
    return Release('"""What is given."""\n\n' + text, student)


def needs(place: str) -> set[str]:
    """The items that a function cannot do without, wherever they stand."""
    return set(_closure([place])) - {place}


def _closure(places: Iterable[str]) -> list[str]:
    """These and all that they need, each after what it needs, else in the order of the chapters."""
    done: dict[str, None] = {}

    def visit(place: str) -> None:
        if place in done:
            return
        for other in sorted(_direct(place)):
            visit(other)
        done[place] = None

    for place in places:
        visit(place)
    return list(done)


def _without_copies(places: list[str]) -> list[str]:
    """The same, where chapters share a definition, such as that of `Array`, only the first of it."""
    found: dict[str, str] = {}
    for place in places:
        name = place.rpartition(".")[2]
        if solution(found.setdefault(name, place)) != solution(place):
            raise ValueError(f"{found[name]} and {place} differ: one assignment cannot hold both.")
    return list(found.values())


def _direct(place: str) -> set[str]:
    """The items that a piece names, of its own chapter and of others."""
    name = place.rpartition(".")[0]
    here, found = chapter(name), set()
    for word in _words(_item(place).node):
        if word in here.items:
            found.add(here.items[word].place)
        elif (statement := here.imports.get(word, "")).startswith("from deit_ref.numpy_backend"):
            module = statement.split()[1].removeprefix("deit_ref.numpy_backend.")
            found.add(f"{module}.{word}")
    return found - {place}


def _imports(places: Iterable[str]) -> list[str]:
    """The import statements that pieces need, of everything but the chapters."""
    found = set()
    for place in places:
        here = chapter(place.rpartition(".")[0])
        found |= {here.imports[word] for word in _words(_item(place).node) if word in here.imports}
    return sorted(
        (line for line in found if not line.startswith("from deit_ref.numpy_backend")),
        key=lambda line: (line.split()[1].startswith("deit_ref"), line.split()[1], line),
    )


def _words(node: ast.stmt) -> set[str]:
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}


def _item(place: str) -> Item:
    name, _, bound = place.rpartition(".")
    if bound not in chapter(name).items:
        raise ValueError(f"{name} has no {bound}: expected one of {', '.join(chapter(name).items)}.")
    return chapter(name).items[bound]


def _first_line(node: ast.stmt) -> int:
    decorators = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _bound(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name for alias in node.names]
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.AnnAssign):
        return [node.target.id] if isinstance(node.target, ast.Name) else []
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []
