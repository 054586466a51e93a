"""What a student's function may use: Python's standard library, NumPy, SciPy, jaxtyping and what the course gives.

The same rule in the prison, where nothing else is there, without isolation, and in a student's own tests.
"""

import dis
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

# What of deit_ref a submission may import: types and checks, no solution.
SHARED = ("checks", "chapters", "arrays", "config", "image_processing", "outputs", "trace", "weights")
PACKAGES = ("numpy", "scipy", "jaxtyping")
RULE = "use NumPy, SciPy and Python's standard library"
_KNOWN = {*sys.stdlib_module_names, *PACKAGES, "deit_ref"}


def check_uses(function: Any) -> None:
    """Refuse a function that uses, itself or through other functions of a student, what is not allowed.

    Raises:
        ImportError: it does.
    """
    seen: set[Any] = set()
    waiting = [function]
    while waiting:
        one = waiting.pop()
        one = getattr(one, "__wrapped__", one)
        if not isinstance(one, FunctionType) or one in seen:
            continue
        seen.add(one)
        for kind, name in _named(one.__code__):
            value = one.__globals__.get(name)
            module = name if kind == "import" else _module_of(value)
            if module is not None and not _is_allowed(module):
                raise ImportError(f"{module} is not allowed in an assignment: {RULE}.")
            if kind == "name" and (module is None or module.partition(".")[0] not in _KNOWN):
                waiting.append(value)


def _named(code: CodeType) -> Iterator[tuple[str, str]]:
    """The modules that a piece of code imports, and the global names that it reads."""
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME":
            yield "import", instruction.argval
        elif instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield "name", instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _named(constant)


def _module_of(value: Any) -> str | None:
    if isinstance(value, ModuleType):
        return value.__name__
    return getattr(value, "__module__", None) if callable(value) else None


def _is_allowed(module: str) -> bool:
    top, _, rest = module.partition(".")
    if top in _KNOWN:
        return top != "deit_ref" or not rest or rest in SHARED
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):  # made by hand, as `__main__` is
        return True
    # A student's own files are not packages that somebody installed; of what is not there the import says so.
    return spec is None or not {"site-packages", "dist-packages"} & {*Path(spec.origin or "").parts}
