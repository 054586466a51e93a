"""Takes a student's file apart into the statements at its top level; what is not Python costs only itself.

It runs in a process of its own; see `reading.py`. Nothing of the file is executed, and all takes time in proportion to
its size, but for the parts that are Python's own.
"""

import ast
import codecs
import io
import json
import re
import tokenize
import warnings
from collections.abc import Iterator
from typing import NamedTuple

CODE_BYTES = 2**20

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
IMPORTS = (ast.Import, ast.ImportFrom)
_BEGINS = re.compile(r"@|(?:async\s+)?def\s+\w+\s*\(|class\s+\w+\s*[(:]")
_GOES_ON = re.compile(r"[\s#)\]}]|(?:else|elif|except|finally|case)\b|$")
_STRINGS = re.compile(r'"""|\'\'\'|"(?:\\.|[^"\\\n])*"?|\'(?:\\.|[^\'\\\n])*\'?|#[^\n]*')
_TRIPLE = re.compile(r'\\.|"""|\'\'\'', re.DOTALL)
# A word of IPython alone on a line, but for those whose lines go on as Python.
_MAGIC = re.compile(r"^(\s*)(?:[%!?]|[\w.]+ *= *[%!]|[\w.]+\?{1,2}\s*$).*$", re.MULTILINE)
_RUN = re.compile(r"^%run +(?:-\w+ +)*(?:\./)?([^\W\d]\w*)(?:\.py|\.ipynb)?\s*$", re.MULTILINE)
_OTHER_LANGUAGE = re.compile(r"%%(?!time|timeit|capture|prun)")
_NO_PYTHON = (SyntaxError, ValueError, RecursionError, MemoryError)


class Statement(NamedTuple):
    """A statement, its lines (a definition has them for itself, others may share one), and where it stands."""

    node: ast.stmt
    text: str
    where: str


def statements(place: str, content: bytes) -> tuple[list[Statement], list[str]]:
    """All statements of all cells that are Python, and what had to be left out.

    Args:
        place: the file's name, which says what it is.
        content: its bytes.

    Raises:
        ValueError: the file is not a notebook, not text, or too long.
    """
    problems: list[str] = []
    if is_notebook(place):
        cells = _notebook_cells(content)
    else:
        text, problems = _script(content)
        cells = [text]
    if sum(map(len, cells)) > CODE_BYTES:
        raise ValueError(f"expected at most {CODE_BYTES} letters of code, got {sum(map(len, cells))}.")
    if not is_notebook(place):
        cells = _script_cells(cells[0])
    found: list[Statement] = []
    for number, cell in enumerate(cells, start=1):
        where = f"code cell {number}" if len(cells) > 1 else "the file"
        right, wrong = _of_cell(cell, where)
        found += right
        problems += wrong
    return found, problems


def definitions(place: str, content: bytes) -> frozenset[str]:
    """The functions and classes that a file defines."""
    found, _ = statements(place, content)
    return frozenset(one.node.name for one in found if isinstance(one.node, DEFINITIONS))


def is_notebook(place: str) -> bool:
    """By its name."""
    return ".ipynb" in place.casefold().replace("\\", "/").rpartition("/")[2]


def _text(content: bytes, encoding: str = "utf-8-sig") -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    text = content.decode(encoding)
    if "\0" in text:
        raise ValueError("expected text, got a file with zero bytes.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _script(content: bytes) -> tuple[str, list[str]]:
    """The text of a script, in the encoding that it declares (PEP 263); what is in none is read as Latin-1."""
    try:
        marked = content.startswith(codecs.BOM_UTF8)
        encoding = "utf-8-sig" if marked else tokenize.detect_encoding(io.BytesIO(content).readline)[0]
        return _text(content, encoding), []
    except (SyntaxError, LookupError, UnicodeError):
        return _text(content, "latin-1"), ["its text is not what it says, and was read as Latin-1: save it as UTF-8."]


def _notebook_cells(content: bytes) -> list[str]:
    try:
        cells = [cell["source"] for cell in json.loads(_text(content))["cells"] if cell["cell_type"] == "code"]
        cells = [source if isinstance(source, str) else "".join(source) for source in cells]
    except (ValueError, KeyError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(
            f"expected a notebook of version 4, got a file that is none ({type(error).__name__}): save it again."
        ) from error
    return [cell.replace("\r\n", "\n").replace("\r", "\n") for cell in cells]


def _script_cells(text: str) -> list[str]:
    """A script that is Python is one cell; else its marks, if there are any, say how far a mistake reaches."""
    try:
        _tree(text)
    except _NO_PYTHON:
        return [cell for cell in re.split(r"^# ?%%.*\n?", text, flags=re.MULTILINE) if cell.strip()] or [""]
    return [text]


def _of_cell(cell: str, where: str) -> tuple[list[Statement], list[str]]:
    for source in (cell, _plain(cell)):
        try:
            return [Statement(*pair, where) for pair in _texts(source, _tree(source))], []
        except _NO_PYTHON:
            continue
    found: list[Statement] = []
    problems: list[str] = []
    first = ""
    for line, piece in _pieces(source):
        try:
            found += [Statement(*pair, where) for pair in _texts(piece, _tree(piece))]
        except _NO_PYTHON as error:
            reason = (
                error.msg if isinstance(error, SyntaxError) else f"it cannot be taken apart, {type(error).__name__}"
            )
            at = line + (error.lineno or 1) - 1 if isinstance(error, SyntaxError) else line
            first = first or f"{where} is not Python and was left out: {reason} (line {at})."
            name = re.match(r"(?:@.*\n|async\s+)*(?:def|class)\s+(\w+)", piece)
            what = name[1] if name else f"what begins at line {line}"
            problems.append(f"{what} in {where} is not Python and was left out: {reason} (line {at}).")
    return found, problems if found else [first]


def _plain(cell: str) -> str:
    """A cell without IPython's own words, and without the indentation of its first line."""
    text = cell.lstrip("\n")
    if _OTHER_LANGUAGE.match(text):
        return ""
    indentation = re.match(r"[ \t]*", text)
    if indentation and indentation[0]:
        text = re.sub(f"^{indentation[0]}", "", text, flags=re.MULTILINE)
    blank = "\n" * (len(cell) - len(cell.lstrip("\n")))
    return blank + _MAGIC.sub(r"\1pass", _RUN.sub(r"from \1 import *", text))


def _pieces(source: str) -> Iterator[tuple[int, str]]:
    """First lines and texts of pieces that stand for themselves: definitions, and what is between them."""
    lines = source.split("\n")
    starts, decorated = [0], False
    for i, line in enumerate(lines):
        if _BEGINS.match(line):
            if not decorated and i:
                starts.append(i)
            decorated = line.startswith("@")
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        piece = "\n".join(lines[start:end])
        try:
            _tree(piece)
            yield start + 1, piece
        except _NO_PYTHON:
            yield from ((start + line, text) for line, text in _lines(piece))


def _lines(piece: str) -> Iterator[tuple[int, str]]:
    """The same of a piece that is not Python: what begins at the left margin, strings of several lines left whole."""
    inside, lines = _inside_strings(piece), piece.split("\n")
    starts = [i for i, line in enumerate(lines) if i and i not in inside and not _GOES_ON.match(line)]
    decorators = {i for i, line in enumerate(lines) if line.startswith("@")}
    starts = [0, *(i for i in starts if i - 1 not in decorators)]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield start + 1, "\n".join(lines[start:end])


def _inside_strings(text: str) -> set[int]:
    """The lines that begin inside of a string."""
    inside: set[int] = set()
    at = number = last = 0
    while match := _STRINGS.search(text, at):
        at = match.end()
        if match[0] in ('"""', "'''"):
            while (found := _TRIPLE.search(text, at)) and found[0] != match[0]:
                at = found.end()
            at = found.end() if found else len(text)
            number += text.count("\n", last, match.start())
            count = text.count("\n", match.start(), at)
            inside |= {*range(number + 1, number + count + 1)}
            number, last = number + count, at
    return inside


def _tree(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # "\d" in a string is the student's own business
        return ast.parse(text)


def _texts(source: str, tree: ast.Module) -> Iterator[tuple[ast.stmt, str]]:
    """The statements, each with the lines on which it was written, and its decorators."""
    lines = source.split("\n")
    for node in tree.body:
        first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
        yield node, "\n".join(lines[first - 1 : node.end_lineno])
