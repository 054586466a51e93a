"""Reads what a student handed in: a notebook, a script, a module or a zip of these, and makes one module of it.

Nothing of it is executed here. A file that cannot be read costs its student the points, and says why.
"""

import ast
import json
import os
import re
import stat
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

FILE_BYTES = 2**25  # of a notebook, most of it pictures
CODE_BYTES = 2**20

_ASSIGNED = (ast.Assign, ast.AnnAssign, ast.AugAssign)
_KEPT = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, *_ASSIGNED)

Statement = tuple[ast.stmt, str]  # and its text


class Submission(NamedTuple):
    """What one student handed in for one assignment: a file's bytes, or why there are none to be graded."""

    student: str
    assignment: str
    place: str = ""  # the file, as the student knows it
    content: bytes = b""
    problem: str | None = None
    others: tuple[str, ...] = ()  # files that would have been taken if the first were not there


class Code(NamedTuple):
    """The module made of a submission, the names that it binds, and what had to be left out."""

    text: str
    names: frozenset[str]
    problems: tuple[str, ...] = ()


def students(folder: Path) -> dict[str, Path]:
    """Each student's folder or zip, by name.

    Raises:
        ValueError: there is no such folder, or nobody in it.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder: expected one with a folder, or a zip, for each student.")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if not path.name.startswith(".") and (path.is_dir() or path.is_symlink() or path.suffix == ".zip"):
            found.setdefault(path.name.removesuffix(".zip"), path)
    if not found:
        raise ValueError(f"{folder} holds no students: expected a folder, or a zip, for each of them.")
    return found


def read(student: str, path: Path, assignment: str) -> Submission:
    """The first file that fits an assignment, or why there is none.

    Args:
        student: the name.
        path: of the student's folder or zip.
        assignment: such as "a3_attention".
    """
    found = Submission(student, assignment)
    try:
        files = _zipped(path) if path.suffix == ".zip" and not path.is_dir() else _in_folder(path, assignment)
        names = [place for place in _places(assignment) if place in files]
        packed = f"{assignment}.zip"
        if not names and packed in files and path.is_dir():
            found = found._replace(place=packed)
            files[packed]()  # says what is wrong with it
            files = _zipped(path / packed)
            names = [place for place in _places(assignment) if place in files]
            if not names:
                raise ValueError(f"{packed} holds none of {', '.join(_places(assignment))}.")
        if not names:
            return found._replace(problem="nothing was handed in.")
        # In a zip one file has several names: with the folders that hold all of them, and without.
        others = (name for name in names[1:] if files[name].args != files[names[0]].args)
        found = found._replace(place=names[0], others=tuple(others))
        content = files[names[0]]()
        if len(content) > FILE_BYTES:
            raise ValueError(f"{names[0]} has more than {FILE_BYTES} bytes: hand it in without large outputs.")
        return found._replace(content=content)
    except (ValueError, OSError, RuntimeError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return found._replace(problem=f"it cannot be read: {reason or type(error).__name__}")


def module(submission: Submission, wanted: frozenset[str] = frozenset(), *, before: str = "") -> Code:
    """Imports, definitions and the assignments they need, of all cells that are Python; all else is left out.

    Calls at the top level, such as experiments and tests, do not run: they cannot stop the grading.

    Args:
        submission: with content.
        wanted: names that are needed by whoever uses the module.
        before: code that stands before the student's own.

    Raises:
        ValueError: the file is no notebook, no text, or too long.
    """
    text = _text(submission.content)
    cells = list(_notebook_cells(text)) if submission.place.endswith(".ipynb") else _script_cells(text)
    cells = [cell.replace("\r\n", "\n").replace("\r", "\n") for cell in cells]
    if sum(map(len, cells)) > CODE_BYTES:
        raise ValueError(f"expected at most {CODE_BYTES} letters of code, got {sum(map(len, cells))}.")
    statements: list[Statement] = []
    problems = []
    for number, cell in enumerate(cells, start=1):
        where = f"code cell {number}" if len(cells) > 1 else "the file"
        try:
            source, tree = _parsed(cell)
            statements += [(node, _segment(source, node)) for node in tree.body if _is_kept(node)]
        except SyntaxError as error:
            problems.append(f"{where} is no Python and was left out: {error.msg} (line {error.lineno}).")
        except (ValueError, RecursionError, MemoryError) as error:
            problems.append(f"{where} cannot be taken apart and was left out ({type(error).__name__}).")
    kept = _needed(statements, wanted)
    names = frozenset(name for node, _ in kept for name in _bound(node))
    # Annotations stay text: a name that is missing in one of them is no reason to fail.
    parts = ["from __future__ import annotations", before, *(_guarded(node, part) for node, part in kept)]
    return Code("\n\n".join(parts) + "\n", names, tuple(problems))


def _places(assignment: str) -> tuple[str, ...]:
    """Where a submission may stand in a student's folder, in the order in which it is looked for."""
    files = (f"{assignment}.ipynb", f"{assignment}.py")
    return (*files, *(f"{assignment}/{file}" for file in files), f"{assignment}/student.py", "student.py")


def _in_folder(folder: Path, assignment: str) -> Mapping[str, partial[bytes]]:
    if not folder.is_dir():
        raise ValueError(f"{folder.name} is no folder.")
    inside = Path(os.path.realpath(folder))
    if inside != Path(os.path.realpath(folder.parent)) / folder.name:
        raise ValueError(f"{folder.name} is a link to another place, and links are not followed.")

    def content(path: Path) -> bytes:
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(inside):
            raise ValueError(f"{path.relative_to(folder)} is a link that leaves the student's folder.")
        if not stat.S_ISREG(real.stat().st_mode):
            raise ValueError(f"{path.relative_to(folder)} is no file.")
        with open(real, "rb") as file:
            return file.read(FILE_BYTES + 1)

    places = [*_places(assignment), f"{assignment}.zip"]
    there = [place for place in places if os.path.lexists(folder / place)]
    return {place: partial(content, folder / place) for place in there}


def _zipped(path: Path) -> Mapping[str, partial[bytes]]:
    """The files of a zip, by their names without the folders that hold all of them; read, never unpacked."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise ValueError(f"{path.name} is no file.")
    with zipfile.ZipFile(path) as archive:
        names = {member.filename for member in archive.infolist() if not member.is_dir()}
    names = {name for name in names if not name.startswith("__MACOSX/")}  # notes of one system's packer

    def content(name: str) -> bytes:
        with zipfile.ZipFile(path) as archive, archive.open(name) as file:
            return file.read(FILE_BYTES + 1)

    found: dict[str, partial[bytes]] = {}
    for name in sorted(names, key=lambda name: (name.count("/"), name)):
        parts = PurePosixPath(name).parts
        for start in range(len(parts)):
            found.setdefault("/".join(parts[start:]), partial(content, name))
    return found


def _text(content: bytes) -> str:
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"expected text in UTF-8, got other bytes at {error.start}: save it as UTF-8.") from error
    if "\0" in text:
        raise ValueError("expected text, got a file with zero bytes.")
    return text


def _notebook_cells(text: str) -> Iterator[str]:
    try:
        cells = json.loads(text)["cells"]
        for cell in cells:
            if cell["cell_type"] == "code":
                source = cell["source"]
                yield source if isinstance(source, str) else "".join(source)
    except (ValueError, KeyError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(
            f"expected a notebook of version 4, got a file that is none ({type(error).__name__}): save it again."
        ) from error


def _script_cells(text: str) -> list[str]:
    """The cells of a percent script; a script without marks is one cell."""
    cells = re.split(r"^# ?%%.*\n?", text, flags=re.MULTILINE)
    return [cell for cell in cells if cell.strip()] or [""]


def _parsed(cell: str) -> tuple[str, ast.Module]:
    """A cell and its syntax tree; without IPython's own words, if it is no Python with them."""
    try:
        return cell, _tree(cell)
    except SyntaxError:
        lines = cell.lstrip("\n").split("\n")
        if re.match(r"%%(?!time|timeit|capture|prun)", lines[0]):  # another language
            return "", ast.Module([], [])
        plain = "\n".join(
            re.sub(r"^(\s*)([%!?]|[\w.]+ *= *[%!]|[\w.]+\?{1,2}\s*$).*$", r"\1pass", line) for line in lines
        )
        return plain, _tree(plain)


def _tree(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # "\d" in a string is the student's own business
        return ast.parse(text)


def _segment(source: str, node: ast.stmt) -> str:
    """The text of a statement as it was written, with its decorators."""
    lines = source.split("\n")
    first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))]) - 1
    last = node.end_lineno or node.lineno
    if node.col_offset == 0 and lines[last - 1].encode()[node.end_col_offset or 0 :].lstrip()[:1] in (b"", b"#"):
        return "\n".join(lines[first:last])
    return ast.unparse(node)  # several statements share a line


def _is_kept(node: ast.stmt) -> bool:
    if isinstance(node, ast.If | ast.Try):
        handlers = [line for handler in getattr(node, "handlers", []) for line in handler.body]
        inner = [*node.body, *handlers, *node.orelse, *getattr(node, "finalbody", [])]
        return all(isinstance(one, ast.Pass) or _is_kept(one) for one in inner)
    return isinstance(node, _KEPT)


def _needed(statements: list[Statement], wanted: frozenset[str]) -> list[Statement]:
    """All definitions and imports, and of the assignments those that they name, or that such an assignment names."""
    needed = set(wanted)
    for node, _ in statements:
        if not isinstance(node, _ASSIGNED):
            needed |= _loaded(node)
    more: set[str] = set()
    while True:
        for node, _ in statements:
            if isinstance(node, _ASSIGNED) and _stored(node) & needed:
                more |= _loaded(node)
        if more <= needed:
            return [pair for pair in statements if not isinstance(pair[0], _ASSIGNED) or _stored(pair[0]) & needed]
        needed |= more


def _loaded(node: ast.stmt) -> set[str]:
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Load)}


def _stored(node: ast.stmt) -> set[str]:
    """The names that an assignment binds; of `x[0] = 1` and `x.y = 1`, what it changes."""
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", ast.Pass())]
    return {inner.id for target in targets for inner in ast.walk(target) if isinstance(inner, ast.Name)}


def _bound(node: ast.stmt) -> set[str]:
    """The names that a statement binds, that of a block's inner statements too."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    if isinstance(node, _ASSIGNED):
        return _stored(node)
    return {name for inner in ast.iter_child_nodes(node) if isinstance(inner, ast.stmt) for name in _bound(inner)}


def _guarded(node: ast.stmt, text: str) -> str:
    """An import or an assignment that fails costs only what uses it."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return text
    if isinstance(node, ast.ImportFrom) and node.module == "__future__":
        return ""  # its place is the first line, where the only one that matters stands already
    try:
        lines = ast.unparse(node).split("\n")
    except RecursionError:
        return text
    return "\n".join(["try:", *(f"    {line}" for line in lines), "except Exception:", "    pass"])
