"""Makes an assignment's notebook as nbgrader takes it: solutions between its marks, and no hidden number."""

import ast
from collections.abc import Sequence
from typing import Any

from deit_ref.course import cut
from deit_ref.course.release.links import setup_code
from deit_ref.course.release.source import Cell
from deit_ref.course.task import Assignment, Task, Unsolved, messages


def notebook(assignment: Assignment, found: Sequence[Cell], *, repository: str | None = None) -> dict[str, Any]:
    """A notebook of version 4.5.

    Each task has two cells: its function, whose points are entered by `gradebook.py`, and tests with public numbers,
    which raise what is wrong. Points are not computed in the notebook: whatever runs beside a student's code can be
    changed by it. Helpers that call a student's functions stand before the task that follows them.

    Args:
        assignment: its tasks.
        found: the cells of its source.
        repository: from which a cell at the beginning installs the project, if it is not there; None: no such cell.
    """
    said = {one.function: one for one in messages(assignment)}
    head, pieces = _pieces(cut.release(messages(assignment), solved=True).student)
    tasks = {task.function: task for task in assignment.tasks}
    rubrics = {cell.values["rubric"]: cell.text for cell in found if "rubric" in cell.values}
    model = {cell.values["answer"]: cell.text for cell in found if "answer" in cell.values}
    made = [_cell("markdown", found[0].text)]
    if repository is not None:
        made.append(_locked("setup", setup_code(repository, assignment=assignment.name)))
    made.append(_locked("imports", f"{head}\nfrom deit_ref.course.grading.check import assert_task"))
    for cell in found[1:]:
        if not cell.for_students:
            continue
        if "task" in cell.values:
            task = tasks[cell.values["task"]]
            names = list(pieces)
            for name in names[: names.index(task.name)]:
                made.append(_locked(f"given_{name}", pieces.pop(name)))
            pieces.pop(task.name)
            made += _task(f"{assignment.name}.{task.name}", task, said[task.function])
        elif "question" in cell.values:
            name = cell.values["question"]
            made.append(_cell("markdown", cell.text))
            values = {"grade": True, "solution": True, "locked": False, "points": cell.values["points"]}
            made.append(_cell("markdown", f"{rubrics[name]}\n\n{model[name]}", f"question_{name}", **values))
        else:
            made.append(_cell("markdown" if cell.markdown else "code", cell.text))
    made += [_locked(f"given_{name}", text) for name, text in pieces.items()]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    cells = [{"id": f"cell-{i}", **cell} for i, cell in enumerate(made)]
    return {"cells": cells, "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
            "nbformat": 4, "nbformat_minor": 5}  # fmt: skip


def points(task: Task) -> str:
    """A task's points, in words."""
    return "1 point" if task.points == 1 else f"{task.points} points"


def _task(name: str, task: Task, unsolved: Unsolved) -> list[dict[str, Any]]:
    graded = {"grade": True, "solution": True, "locked": False, "points": task.points}
    return [
        _cell("code", _between_marks(unsolved), task.name, **graded),
        _locked(f"try_{task.name}", f'assert_task("{name}", {task.name})'),
    ]


def _between_marks(task: Unsolved) -> str:
    """A function whose body stands between nbgrader's marks; the line after it is what an unsolved one does."""
    *head, last = cut.stub(*task).split("\n")
    body = cut.halves(task.function)[1]
    return "\n".join([*head, "    ### BEGIN SOLUTION", body, "    ### END SOLUTION", last])


def _pieces(text: str) -> tuple[str, dict[str, str]]:
    """The imports of a module, and the text of each of its definitions, by name."""
    head, pieces, end, lines = [], {}, 0, text.split("\n")
    for node in ast.parse(text).body:
        part = "\n".join(lines[end : node.end_lineno]).strip("\n")
        end = node.end_lineno or end
        if isinstance(node, ast.Import | ast.ImportFrom):
            head.append(part)
        else:
            name = getattr(node, "name", None) or getattr(getattr(node, "target", None), "id", None)
            pieces[str(name or node.targets[0].id)] = part  # type: ignore[attr-defined]
    return "\n".join(head), pieces


def _locked(name: str, text: str) -> dict[str, Any]:
    return _cell("code", text, name, grade=False, solution=False, locked=True)


def _cell(kind: str, text: str, name: str = "", **values: Any) -> dict[str, Any]:
    metadata = {"nbgrader": {"grade_id": name, "schema_version": 3, "task": False, **values}} if name else {}
    cell: dict[str, Any] = {"cell_type": kind, "metadata": metadata, "source": text.splitlines(keepends=True)}
    return cell if kind == "markdown" else {**cell, "execution_count": None, "outputs": []}
