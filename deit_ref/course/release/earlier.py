"""Puts the functions that a student wrote in several assignments together, so that they call one another.

In an assignment, what earlier ones taught is given, as the reference has it. Here the student's own take its place,
wherever they are found: in the notebook that runs, and in the files of earlier assignments beside it.
"""

import ast
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any
from unittest.mock import patch

from deit_ref.course import cut
from deit_ref.course.assignments import find_assignment, later
from deit_ref.course.grading.modules import module
from deit_ref.course.task import Assignment, Unsolved, messages


def together(
    namespace: dict[str, Any], *, number: int, folder: str | Path = ".."
) -> tuple[dict[str, Callable[..., Any]], list[str]]:
    """Let all functions of a student call the student's own ones.

    What an earlier file defines is run here, in this process, its experiments are not.

    Args:
        namespace: `globals()` of the notebook of this assignment, or of a script that imports all of student.py. The
            module of each function in it that is given or the student's has its names replaced, too.
        number: of this assignment.
        folder: where the earlier assignments stand, such as `a2_attention/a2_attention.ipynb` or
            `a2_attention/student.py`.

    Returns:
        The student's functions by name, and the names of those that were not found or are not solved: these stay the
        reference's.
    """
    spaces, own, missing = [namespace], {}, []
    for earlier in range(1, number + 1):
        assignment = find_assignment(str(earlier))
        space, solved = namespace, {task.name for task in assignment.tasks}
        if earlier < number:
            space, solved = _read(assignment, Path(folder).resolve())
            spaces.append(space)
        for task in assignment.tasks:
            if task.name in solved and callable(space.get(task.name)):
                own[task.name] = space[task.name]
            else:
                missing.append(task.name)
    modules = [value.__globals__ for space in spaces for value in space.values() if _is_of_the_course(value)]
    for space in [*spaces, *modules]:
        space.update({name: function for name, function in own.items() if name in space})
    return own, missing


def show(value: Any) -> None:
    """What a notebook does with the last value of a cell, for a script: a picture becomes photo.png."""
    from PIL.Image import Image

    if isinstance(value, Image):
        value.save("photo.png")
    print("a picture: photo.png" if isinstance(value, Image) else value)


def rebuilt(function: str, own: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    """A function of the chapters in a copy of all that it needs, in which a student's own functions take their places.

    Args:
        function: such as "image.preprocess".
        own: by name, as `together` returns them.
    """
    release = cut.release([Unsolved(function, "")], solved=True)
    given, space = ModuleType("given"), dict[str, Any]()
    exec(release.given, given.__dict__)
    with patch.dict(sys.modules, {"given": given}):
        exec(release.student, space)
    for names in (given.__dict__, space):
        names.update({name: mine for name, mine in own.items() if name in names})
    return space[function.rpartition(".")[2]]


def _read(assignment: Assignment, folder: Path) -> tuple[dict[str, Any], set[str]]:
    """What the file of an earlier assignment defines, and which of its functions have a body."""
    name = assignment.name
    places = [f"{name}.ipynb", f"{name}.py", f"{name}/{name}.ipynb", f"{name}/{name}.py", f"{name}/student.py"]
    path = next((folder / place for place in places if (folder / place).is_file()), None)
    if path is None:
        return {}, set()
    # Here, because it is the student's own file on the student's own machine, whatever its system.
    try:
        _, text = module(path.name, path.read_bytes(), frozenset(task.name for task in assignment.tasks))
    except ValueError:
        return {}, set()
    given = ModuleType("given")
    exec(cut.release(messages(assignment), later=later(assignment)).given, given.__dict__)
    space: dict[str, Any] = {"__name__": assignment.name}
    with patch.dict(sys.modules, {"given": given}), patch.object(sys, "path", [str(path.parent), *sys.path]):
        exec(compile(text, path.name, "exec"), space)
    return space, {node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and _solved(node)}


def _solved(node: ast.FunctionDef) -> bool:
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return bool(body) and not (isinstance(body[0], ast.Raise) and "NotImplementedError" in ast.unparse(body[0]))


def _is_of_the_course(value: Any) -> bool:
    return isinstance(value, FunctionType) and value.__module__ in ("given", "student")
