"""Code and formulas, cut from the package's source by name, so that no page holds a copy."""

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BACKENDS = {"numpy": "numpy_backend", "torch": "torch_backend"}


class SourceError(Exception):
    """What a page asks for is not in the source; the message says what is."""


@dataclass(frozen=True)
class Cut:
    """Some lines of one module of the package.

    Attributes:
        module: the path below deit_ref without .py, such as "numpy_backend/attention".
        lines: (line number in the file, text) pairs in order; the docstring's numbers are missing.
        docstring: as written, without indentation.
        signature: the numbers of a function's lines from `def` to the colon; None for all else.
    """

    module: str
    lines: tuple[tuple[int, str], ...]
    docstring: str
    signature: range | None = None

    @property
    def first(self) -> int:
        return self.lines[0][0]

    @property
    def text(self) -> str:
        return "\n".join(text for _, text in self.lines)


def modules(root: Path = ROOT) -> list[str]:
    """Every module of the package that has a source page."""
    files = sorted((root / "deit_ref").rglob("*.py"))
    return [path.relative_to(root / "deit_ref").with_suffix("").as_posix() for path in files if path.stem[:2] != "__"]


def read(module: str, root: Path = ROOT) -> str:
    path = root / "deit_ref" / f"{module}.py"
    return _read(path, path.stat().st_mtime_ns)


@cache
def _read(path: Path, _time: int) -> str:
    return path.read_text(encoding="utf-8")


@cache
def _parse(source: str) -> ast.Module:
    return ast.parse(source)


def resolve(dotted: str, backend: str = "numpy", root: Path = ROOT) -> tuple[str, str]:
    """The module's path and the name inside it: "attention.split_heads" or "deit_ref.weights.Attention"."""
    parts = dotted.split(".")
    parts = parts[1:] if parts[0] == "deit_ref" else [BACKENDS[backend], *parts]
    for i in range(len(parts) - 1, 0, -1):
        if (root / "deit_ref" / Path(*parts[:i])).with_suffix(".py").is_file():
            return "/".join(parts[:i]), ".".join(parts[i:])
    raise SourceError(f"no module of deit_ref belongs to {dotted!r} ({backend})")


def cut(module: str, name: str, root: Path = ROOT) -> Cut:
    """A function, class, method ("Class.method") or constant, with decorators and the comments directly above it."""
    source = read(module, root)
    lines = source.split("\n")
    node = _find(_parse(source), name, module)
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
    while first > 1 and lines[first - 2].lstrip().startswith("#"):
        first -= 1
    without = _docstring_lines(node, lines)
    numbers = [n for n in range(first, (node.end_lineno or first) + 1) if n not in without]
    width = len(lines[first - 1]) - len(lines[first - 1].lstrip())
    docstring = ast.get_docstring(node) if without else None
    shown = tuple((n, lines[n - 1][width:].rstrip()) for n in numbers)
    return Cut(module, shown, docstring or "", _signature(node, lines))


def _signature(node: ast.stmt, lines: list[str]) -> range | None:
    """From `def` to the line that ends with the colon; None where the body stands in that line too."""
    if not isinstance(node, ast.FunctionDef) or node.body[0].lineno == node.lineno:
        return None
    last = node.returns.end_lineno if node.returns is not None else node.lineno
    ends = (n for n in range(last or node.lineno, node.body[0].lineno) if re.search(r":\s*(#.*)?$", lines[n - 1]))
    return range(node.lineno, next(ends) + 1)


def _find(tree: ast.AST, name: str, module: str) -> ast.stmt:
    node = tree
    for part in name.split("."):
        found = [child for child in getattr(node, "body", []) if part in _names(child)]
        if not found:
            known = sorted({n for child in getattr(node, "body", []) for n in _names(child)})
            raise SourceError(f"deit_ref/{module}.py has no {name!r}; it has {', '.join(known)}")
        node = found[-1]
    assert isinstance(node, ast.stmt)
    return node


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _docstring_lines(node: ast.stmt, lines: list[str]) -> set[int]:
    """The docstring's lines and the empty ones after it; none when nothing else would be left of the body."""
    if not isinstance(node, ast.FunctionDef | ast.ClassDef) or ast.get_docstring(node) is None or len(node.body) == 1:
        return set()
    text = node.body[0]
    assert text.end_lineno is not None
    last = text.end_lineno
    while not lines[last].strip():
        last += 1
    return set(range(text.lineno, last + 1))


def find_line(module: str, name: str, text: str, root: Path = ROOT) -> int:
    """The number of the one line of that function's code that contains the text."""
    found = [number for number, line in cut(module, name, root).lines if text in line]
    if len(found) != 1:
        what = "no line" if not found else f"{len(found)} lines ({', '.join(map(str, found))})"
        raise SourceError(f"{what} of {name!r} in deit_ref/{module}.py contain {text!r}; exactly one must")
    return found[0]


def formula(module: str, name: str, root: Path = ROOT) -> str:
    """The first display formula of the docstring, without its dollars."""
    docstring = cut(module, name, root).docstring
    found = re.search(r"\$\$(.+?)\$\$", docstring, flags=re.DOTALL)
    if found is None:
        raise SourceError(f"the docstring of {name!r} in deit_ref/{module}.py has no $$formula$$")
    lines = (line.strip() for line in found[1].strip().splitlines())
    return "\n".join(line for line in lines if line).rstrip(",.;")
