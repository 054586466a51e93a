"""Which statements of a student's file stay: those that define something, and those that fill what is needed.

A table may be filled by an assignment, a loop, a `with`, an `if`, a call of one of its methods or a call of a function
that is defined there. Whatever fills only names that no wanted function uses is an experiment, and does not run.
"""

import ast
import symtable
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from deit_ref.course.grading.statements import DEFINITIONS, IMPORTS, Statement

_SCOPES = (*DEFINITIONS, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_ASSIGNED = (ast.Assign, ast.AnnAssign, ast.AugAssign)


class _Uses(NamedTuple):
    """Names of the module: what a statement needs when it runs, what functions in it need when they are called, and
    what it changes, surely and perhaps; of a definition, what a call of it changes.
    """

    now: set[str]
    later: set[str]
    changed: set[str]
    filled: set[str]


def needed(every: list[Statement], wanted: frozenset[str]) -> list[Statement]:
    """All definitions and imports, and what fills the names that the wanted ones use; without any, what all use."""
    uses = {one.node: _uses(one) for one in every}
    fixed = [one.node for one in every if _is_fixed(one.node)]
    functions, makers = defaultdict(list), defaultdict(list)
    changing: dict[str, set[str]] = defaultdict(set)  # function -> the names that a call of it changes
    for node in fixed:
        for name in bound(node):
            functions[name].append(node)
            changing[name] |= uses[node].changed
    kept = {*fixed}
    for one in every:
        if one.node not in kept:
            called = (changing[name] for name in uses[one.node].now & changing.keys())
            # `check(softmax)` and `np.seterr()` fill nothing.
            filled = uses[one.node].filled.union(*called) - changing.keys()
            for name in bound(one.node) | uses[one.node].changed | filled:
                makers[name].append(one.node)
    waiting = [*(wanted or functions)]
    for node in fixed:
        waiting += uses[node].now if isinstance(node, DEFINITIONS) else uses[node].now | uses[node].later
    while waiting:
        name = waiting.pop()
        for node in functions.pop(name, ()):
            waiting += uses[node].later
        for node in makers.pop(name, ()):
            if node not in kept:
                kept.add(node)
                waiting += uses[node].now | uses[node].later
    return [one for one in every if one.node in kept]


def bound(node: ast.stmt) -> set[str]:
    """The names that a statement binds, those of a block's inner statements too."""
    if isinstance(node, DEFINITIONS):
        return {node.name}
    if isinstance(node, IMPORTS):
        return {(alias.asname or alias.name).partition(".")[0] for alias in node.names} - {"*"}
    if isinstance(node, ast.Delete):
        return set()
    inner = [child for child in _own(node) if isinstance(child, ast.Name) and not isinstance(child.ctx, ast.Load)]
    found = {name.id for name in inner}
    return found.union(*(bound(child) for child in _own(node) if isinstance(child, (*DEFINITIONS, *IMPORTS))))


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """What is in a statement, without what is in functions and classes of its own."""
    waiting = [*ast.iter_child_nodes(node)]
    while waiting:
        child = waiting.pop()
        yield child
        if not isinstance(child, _SCOPES):
            waiting += ast.iter_child_nodes(child)


def _is_fixed(node: ast.stmt) -> bool:
    """Whether it only defines: a definition, an import, or a choice between such."""
    if isinstance(node, ast.If | ast.Try):
        handlers = [line for handler in getattr(node, "handlers", []) for line in handler.body]
        inner = [*node.body, *handlers, *node.orelse, *getattr(node, "finalbody", [])]
        fixed = [one for one in inner if _is_fixed(one)]
        return bool(fixed) and all(one in fixed or isinstance(one, (ast.Pass, *_ASSIGNED)) for one in inner)
    return isinstance(node, (*DEFINITIONS, *IMPORTS))


def _uses(one: Statement) -> _Uses:
    node, now, later = one.node, set[str](), set[str]()
    if not isinstance(node, DEFINITIONS) and not any(isinstance(child, _SCOPES) for child in ast.walk(node)):
        every = (child for child in ast.walk(node) if isinstance(child, ast.Name))
        return _Uses({name.id for name in every if isinstance(name.ctx, ast.Load)}, later, *_changed(node))
    declared = set[str]()
    tables = [(symtable.symtable(one.text, "student", "exec"), now)]
    while tables:
        table, names = tables.pop()
        module = table.get_type() == "module"
        symbols = table.get_symbols()
        names |= {one.get_name() for one in symbols if one.is_referenced() and (module or one.is_global())}
        declared |= {one.get_name() for one in symbols if one.is_declared_global() and one.is_assigned()}
        called = isinstance(node, DEFINITIONS)  # later, if ever
        tables += [
            (inner, later if called and inner.get_type() == "function" else names) for inner in table.get_children()
        ]
    changed, filled = _changed(node)
    if isinstance(node, DEFINITIONS):
        changed, filled = declared | (changed | filled) & later, set()
    return _Uses(now, later, changed, filled)


def _changed(node: ast.stmt) -> tuple[set[str], set[str]]:
    """The names behind `x[0] = 1` and `x.y = 1`, and those behind `x.append(1)` and `fill(x)`."""
    changed, filled = set[str](), set[str]()
    for child in ast.walk(node):
        if isinstance(child, ast.Subscript | ast.Attribute) and not isinstance(child.ctx, ast.Load):
            changed |= _behind(child)
        elif isinstance(child, ast.Expr) and isinstance(child.value, ast.Call):
            call = child.value
            filled |= {name for part in (call.func, *call.args[:1]) for name in _behind(part)}
    return changed, filled


def _behind(node: ast.expr) -> set[str]:
    while isinstance(node, ast.Subscript | ast.Attribute):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()
