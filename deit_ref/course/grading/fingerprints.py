"""Fingerprints of code, by which two submissions can be compared without their text.

What can be changed without a thought leaves no mark: names, comments, docstrings, annotations, decorators, lines that
only call a function, such as print, values, whether a value is written down or named elsewhere, the order of
definitions. What is left of a definition is a row of words, the kinds of its syntax tree and the library's names. Every
16 words in a row are hashed, and of each 4 neighboring hashes the smallest is kept: whoever copies 19 words leaves at
least one common fingerprint.

It is called where submissions are taken apart, by `sandbox.apart`. Its time is in proportion to the text's length.

Source: Schleimer, Wilkerson and Aiken, Winnowing: local algorithms for document fingerprinting (2003).
"""

import ast
import hashlib
from collections.abc import Iterator

WORDS, WINDOW = 16, 4
DIGITS = 12  # of a fingerprint: among a million of them hardly two are alike by chance
MOST_WORDS = 50_000  # of a submission; a long one has three thousand
MOST_NAMES, NAME = 500, 80

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_VALUES = (ast.Name, ast.Constant, ast.JoinedStr, ast.arg)


def fingerprints(text: str) -> tuple[dict[str, str], bytes]:
    """The fingerprints of each definition of a module, and no bytes, as `sandbox.apart` takes it.

    Args:
        text: a module, as `reading.module` makes it.

    Returns:
        Name -> its fingerprints in order, `DIGITS` digits each. What is shorter than `WORDS` words has none.
    """
    found: dict[str, set[str]] = {}
    left = MOST_WORDS
    for node in ast.parse(text).body:
        if left <= 0 or len(found) == MOST_NAMES:
            break
        if isinstance(node, ast.Import | ast.ImportFrom):
            continue
        words = []
        for word in _words(node):
            words.append(word)
            left -= 1
            if left <= 0:
                break
        found.setdefault(_name(node)[:NAME], set()).update(_winnowed(words))
    return {name: "".join(sorted(marks)) for name, marks in found.items() if marks}, b""


def marks(joined: str) -> frozenset[str]:
    """The fingerprints of one definition, one by one."""
    return frozenset(joined[start : start + DIGITS] for start in range(0, len(joined), DIGITS))


def _words(top: ast.AST) -> Iterator[str]:
    """A syntax tree from the top, as words; without recursion, because nobody promises that it is flat."""
    waiting: list[ast.AST | str | None] = [top]
    while waiting:
        node = waiting.pop()
        if isinstance(node, str):
            yield node
        elif node is not None:
            waiting += reversed(_parts(node))


def _parts(node: ast.AST) -> list[ast.AST | str | None]:
    """The word of a node and the nodes that follow."""
    if isinstance(node, _VALUES) or (isinstance(node, ast.UnaryOp) and isinstance(node.operand, _VALUES)):
        return ["value"]
    if isinstance(node, ast.Attribute):
        return [f".{node.attr}", node.value]
    if isinstance(node, ast.keyword):
        return [f"{node.arg}=", node.value]
    if isinstance(node, _DEFINITIONS):
        rest = [*node.bases, *node.keywords] if isinstance(node, ast.ClassDef) else [node.args]
        return [type(node).__name__, *rest, *node.body]
    if isinstance(node, ast.AugAssign):  # x += 1 and x = x + 1
        return ["Assign", node.target, "BinOp", node.target, node.op, node.value]
    if isinstance(node, ast.AnnAssign):
        return [] if node.value is None else ["Assign", node.target, node.value]
    if isinstance(node, ast.Pass | ast.expr_context) or (isinstance(node, ast.Expr) and _is_beside(node.value)):
        return []
    return [type(node).__name__, *ast.iter_child_nodes(node)]


def _is_beside(node: ast.expr) -> bool:
    """Whether a line leaves nothing: a docstring, a print, a step that is recorded; a method may change its object."""
    return isinstance(node, ast.Constant | ast.JoinedStr) or (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    )


def _winnowed(words: list[str]) -> Iterator[str]:
    hashed = [
        hashlib.blake2b("\n".join(words[start : start + WORDS]).encode(), digest_size=DIGITS // 2).hexdigest()
        for start in range(len(words) - WORDS + 1)
    ]
    for start in range(max(1, len(hashed) - WINDOW + 1) if hashed else 0):
        yield min(hashed[start : start + WINDOW])


def _name(node: ast.stmt) -> str:
    """Of a definition, or of the first thing that is bound; guards stand around what may fail."""
    for inner in ast.walk(node):
        if isinstance(inner, _DEFINITIONS):
            return inner.name
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            return inner.id
    return "other lines"
