"""Takes apart what a student handed in, an archive or a file of code, and makes one module of it.

Whatever takes a file apart may be led astray by it, so this runs in a process of its own, started by `sandbox.apart`.
Nothing of the file is executed. All of it takes time in proportion to the file's size, but for the parts that are
Python's own.
"""

import ast
import io
import json
import pickle
import re
import sys
import warnings
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib import import_module

CODE_BYTES = 2**20
PROBLEMS = 10  # that are told; whoever has more of them has heard enough

_ASSIGNED = (ast.Assign, ast.AnnAssign, ast.AugAssign)
_KEPT = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, *_ASSIGNED)

Statement = tuple[ast.stmt, str]  # and its lines; a definition has them for itself, others may share one


def main() -> None:
    """Call the function that is asked for on standard input, and write what it gives, or why it gives nothing."""
    import resource  # not there on every system on which students use `module`

    function, arguments, seconds, memory = pickle.load(sys.stdin.buffer)  # written by the grader
    for name, value in (("AS", memory), ("CPU", seconds)):
        with suppress(OSError, ValueError):  # a system without
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
    try:
        file, _, name = function.rpartition(".")
        sys.path[:0] = sys.argv[2:]  # where the other file stands
        about, content = (vars(import_module(file)) if file else globals())[name](*arguments)
        frames = [(b"J", json.dumps(about).encode()), (b"B", content)]
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        frames = [(b"E", (reason or type(error).__name__).encode("utf-8", "backslashreplace"))]
    with open(int(sys.argv[1]), "wb") as answers:
        for kind, content in frames:
            answers.write(kind + len(content).to_bytes(8, "little") + content)


def listed(archive: bytes, places: Sequence[str]) -> tuple[list[str], bytes]:
    """Of the places where a submission may stand, those that a zip has, with whatever folders before them."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return [*_members(opened, places)], b""


def unpacked(archive: bytes, places: Sequence[str], most: int) -> tuple[tuple[str, list[str]], bytes]:
    """Of a zip the first of the places that it has, the others that are other files, and the first one's content.

    Without any, the first is "". Of the content at most so many bytes are read.

    Raises:
        zipfile.BadZipFile: it is no zip. Others, too, if it is a broken one.
    """
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        found = _members(opened, places)
        if not found:
            return ("", []), b""
        place = next(iter(found))
        with opened.open(found[place]) as file:
            content = file.read(most)
    return (place, [other for other, name in found.items() if name != found[place]]), content


def _members(archive: zipfile.ZipFile, places: Sequence[str]) -> dict[str, str]:
    """Place -> the file's name in a zip, the uppermost of several."""
    names = {member.filename for member in archive.infolist() if not member.is_dir()}
    names = {name for name in names if not name.startswith("__MACOSX/")}  # notes of one system's packer
    ordered = sorted(names, key=lambda name: (name.count("/"), name))
    found: dict[str, str] = {}
    for name in ordered:
        for place in places:
            if name == place or name.endswith(f"/{place}"):
                found.setdefault(place, name)
    return {place: found[place] for place in places if place in found}


def module(
    place: str, content: bytes, wanted: frozenset[str] = frozenset(), before: str = ""
) -> tuple[tuple[list[str], list[str]], bytes]:
    """Imports, definitions and the assignments they need, of all cells that are Python; all else is left out.

    Calls at the top level, such as experiments and tests, do not run: they cannot stop the grading.

    Args:
        place: the file's name, which says what it is.
        content: its bytes.
        wanted: names that are needed by whoever uses the module.
        before: code that stands before the student's own.

    Returns:
        The names that the module binds with what had to be left out, and its text.

    Raises:
        ValueError: the file is no notebook, no text, or too long.
    """
    text = _text(content)
    cells = list(_notebook_cells(text)) if place.endswith(".ipynb") else _script_cells(text)
    cells = [cell.replace("\r\n", "\n").replace("\r", "\n") for cell in cells]
    if sum(map(len, cells)) > CODE_BYTES:
        raise ValueError(f"expected at most {CODE_BYTES} letters of code, got {sum(map(len, cells))}.")
    statements: list[Statement] = []
    problems = []
    for number, cell in enumerate(cells, start=1):
        where = f"code cell {number}" if len(cells) > 1 else "the file"
        try:
            source, tree = _parsed(cell)
            statements += [(node, text) for node, text in _texts(source, tree) if _is_kept(node)]
        except SyntaxError as error:
            problems.append(f"{where} is no Python and was left out: {error.msg} (line {error.lineno}).")
        except (ValueError, RecursionError, MemoryError) as error:
            problems.append(f"{where} cannot be taken apart and was left out ({type(error).__name__}).")
    if len(problems) > PROBLEMS:
        problems[PROBLEMS:] = [f"{len(problems) - PROBLEMS} other cells were left out, too."]
    kept = _needed(statements, wanted)
    names = {name for node, _ in kept for name in _bound(node)}
    # Annotations stay text: a name that is missing in one of them is no reason to fail.
    parts = ["from __future__ import annotations", before, *(_guarded(node, part) for node, part in kept)]
    return (sorted(names), problems), ("\n\n".join(parts) + "\n").encode()


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


def _texts(source: str, tree: ast.Module) -> Iterator[Statement]:
    """The statements, each with the lines on which it was written, and its decorators."""
    lines = source.split("\n")
    for node in tree.body:
        first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
        yield node, "\n".join(lines[first - 1 : node.end_lineno])


def _is_kept(node: ast.stmt) -> bool:
    if isinstance(node, ast.If | ast.Try):
        handlers = [line for handler in getattr(node, "handlers", []) for line in handler.body]
        inner = [*node.body, *handlers, *node.orelse, *getattr(node, "finalbody", [])]
        return all(isinstance(one, ast.Pass) or _is_kept(one) for one in inner)
    return isinstance(node, _KEPT)


def _needed(statements: list[Statement], wanted: frozenset[str]) -> list[Statement]:
    """All definitions and imports, and of the assignments those that they name, or that such an assignment names."""
    makers = defaultdict(list)  # name -> the assignments that bind it
    for node, _ in statements:
        for name in _stored(node) if isinstance(node, _ASSIGNED) else ():
            makers[name].append(node)
    needed = set(wanted).union(*(_loaded(node) for node, _ in statements if not isinstance(node, _ASSIGNED)))
    waiting, kept = [*needed], set()
    while waiting:
        for node in makers.pop(waiting.pop(), ()):
            if node not in kept:
                kept.add(node)
                waiting += _loaded(node)
    return [pair for pair in statements if not isinstance(pair[0], _ASSIGNED) or pair[0] in kept]


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


if __name__ == "__main__":
    main()
