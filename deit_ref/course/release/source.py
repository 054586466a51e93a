"""Reads an assignment's source: a percent script of text, questions and experiments around the tasks.

    # %% [markdown]
    # # Assignment 2: attention
    # %% task="attention.split_heads"
    # Its stub, or its solution, is put here.
    # %% [markdown] question="scale" points=2
    # Why are scores divided by the root of head_dim?
    # %% [markdown] rubric="scale"
    # One point for the variance of a sum, one for what softmax does with large scores.
    # %% [markdown] answer="scale"
    # An answer that is worth all points.

`teacher=true` marks a cell that students do not get.
"""

import json
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from deit_ref.course.task import Assignment

_KEYS = {"task": str, "question": str, "points": int, "rubric": str, "answer": str, "teacher": bool}
_HEAD = re.compile(r"^# %%(?P<title>[^\[=]*?)(?P<markdown>\[markdown\])?(?P<values>(?:\s+\w+=(?:\"[^\"]*\"|\S+))*)\s*$")


class Cell(NamedTuple):
    """One cell: Markdown or code, and what its first line says of it."""

    markdown: bool
    text: str
    values: Mapping[str, Any] = {}

    @property
    def for_students(self) -> bool:
        """Whether students get it."""
        return not self.values.get("teacher") and not {"rubric", "answer"} & set(self.values)


def source(assignment: Assignment) -> list[Cell]:
    """The cells of an assignment, checked.

    Raises:
        ValueError: there is no source, a cell is not understood, or it does not hold the assignment's tasks.
    """
    name = f"{assignment.name}.py"
    return checked(cells(_read(name), name), assignment)


def question_columns(assignment: Assignment) -> list[str]:
    """The columns in which teachers write the points of an assignment's open questions: "question a2 (4)"."""
    values = [cell.values for cell in source(assignment) if "question" in cell.values]
    return [f"question {one['question']} ({one['points']})" for one in values]


def cells(text: str, name: str = "the source") -> list[Cell]:
    """The cells of a percent script.

    Raises:
        ValueError: the first line of a cell is not understood.
    """
    found: list[Cell] = []
    head: str | None = None
    lines: list[str] = []
    for line in [*text.splitlines(), "# %%"]:
        if line.startswith("# %%"):
            if head is not None:
                found.append(_cell(head, lines, name))
            head, lines = line, []
        else:
            lines.append(line)
    return found


def checked(found: list[Cell], assignment: Assignment) -> list[Cell]:
    """The same, if every task stands there once and in order, and every question has points and a rubric.

    Raises:
        ValueError: it does not.
    """
    name = assignment.name
    if not found or not found[0].markdown or not found[0].text.startswith("# "):
        raise ValueError(f"{name}: expected a first cell of Markdown that begins with a title, '# ...'.")
    tasks = [cell.values["task"] for cell in found if "task" in cell.values]
    if tasks != (expected := [task.function for task in assignment.tasks]):
        raise ValueError(f"{name}: expected a cell for each task, {expected}, got {tasks}.")
    questions = [cell.values["question"] for cell in found if "question" in cell.values]
    rubrics = [cell.values["rubric"] for cell in found if "rubric" in cell.values]
    model = [cell.values["answer"] for cell in found if "answer" in cell.values]
    if not questions == rubrics == model or len(set(questions)) < len(questions):
        raise ValueError(
            f"{name}: expected a rubric and an answer for each question, in order: {questions}, got {rubrics} and "
            f"{model}."
        )
    for cell in found:
        if ("question" in cell.values) != ("points" in cell.values):
            raise ValueError(f"{name}: a question has points, and nothing else has, got {cell.values}.")
        if "task" in cell.values and re.search(r"^[^#\n]", cell.text, flags=re.MULTILINE):
            raise ValueError(f"{name}: the cell of {cell.values['task']} holds code; its text comes from the chapter.")
    return found


def _read(name: str) -> str:
    """From the package; in a checkout that is not installed, from the folder beside it."""
    try:
        return (files("deit_ref.course.sources") / name).read_text(encoding="utf-8")
    except (ModuleNotFoundError, FileNotFoundError):
        path = Path(__file__).parents[3] / "notebooks" / "assignments" / name
    if not path.is_file():
        raise ValueError(f"There is no source of the assignment: expected {name} in notebooks/assignments.")
    return path.read_text(encoding="utf-8")


def _cell(head: str, lines: list[str], name: str) -> Cell:
    match = _HEAD.match(head)
    if match is None:
        raise ValueError(f"{name}: expected '# %% [markdown] key=value', got {head!r}.")
    values = {}
    for key, value in re.findall(r"(\w+)=(\"[^\"]*\"|\S+)", match["values"]):
        try:
            values[key] = json.loads(value)
        except ValueError:
            values[key] = None
        if not isinstance(values[key], _KEYS.get(key, ())):
            known = ", ".join(f"{key} ({type_.__name__})" for key, type_ in _KEYS.items())
            raise ValueError(f"{name}: expected one of {known}, got {key}={value} in {head!r}.")
    text = "\n".join(lines).strip("\n").rstrip()
    if match["markdown"]:
        if wrong := next((line for line in text.split("\n") if line and not re.match(r"#( |$)", line)), None):
            raise ValueError(f"{name}: expected Markdown in comments, got {wrong!r} after {head!r}.")
        text = re.sub(r"^# ?", "", text, flags=re.MULTILINE)
    return Cell(match["markdown"] is not None, text, values)
