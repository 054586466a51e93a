"""Reads what `grade` wrote: the table, in which a teacher may have typed, and the details beside it."""

import csv
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from deit_ref.course.assignments import find_assignment
from deit_ref.course.grading.cells import cell

_QUESTION = re.compile(r"(?=.*question).*?\b(a\d+)(?:_\w+)?\b.*\((\d+(?:\.\d+)?)\)\s*", re.IGNORECASE)


class Row(NamedTuple):
    """The points of one student for one assignment, those of open questions included, and what is odd about them."""

    student: str
    assignment: str
    points: float
    out_of: float
    handed_in: bool
    missing: tuple[str, ...] = ()  # questions without points, although others have some
    odd: tuple[str, ...] = ()  # what counts and may be a slip, in words


def read_rows(table: Path) -> list[Row]:
    """The rows of a table. What counts is what stands in it: points for tasks, and for open questions where typed.

    A column for an open question is called like "question a2 (4)": of the second assignment, with four points. It
    counts as soon as one student has points in it. More points than there are may be a reward, so they count.

    Raises:
        ValueError: it is not such a table, a number in it is none, or a question's column does not say of what it is.
    """
    rows = _read(table)
    questions = {name: match for name in rows[0] if (match := _QUESTION.fullmatch(name))}
    if strange := [name for name in rows[0] if "question" in name.lower() and name not in questions]:
        raise ValueError(f"{table}: expected a column such as 'question a2 (4)', got {strange[0]!r}: rename it.")
    typed = {name for name in questions if any(row[name] for row in rows)}
    found: dict[tuple[str, str], Row] = {}
    for row in rows:
        student, assignment = _named(row["student"]), find_assignment(row["assignment"])
        if (student, assignment.name) in found:
            raise ValueError(f"{table} has two rows of {student} for {assignment.name}: leave one.")
        asked = [name for name in typed if questions[name][1] == f"a{assignment.number}"]
        most: dict[str, float] = {task.name: task.points for task in assignment.tasks if task.name in row}
        most |= {name: float(questions[name][2]) for name in asked}
        points = {name: value for name in most if (value := _number(table, row, name)) is not None}
        above = {name: value for name, value in points.items() if value > most[name]}
        found[student, assignment.name] = Row(
            student,
            assignment.name,
            round(sum(points.values()), 2),
            assignment.points + sum(float(questions[name][2]) for name in asked),
            "nothing was handed in" not in row.get("note", "").lower(),
            tuple(name for name in asked if not row[name]),
            tuple(f"{value:g} of {most[name]:g} in the column {name!r}" for name, value in above.items()),
        )
    return list(found.values())


def read_details(table: Path) -> list[dict[str, Any]]:
    """The details of all students and assignments in a table.

    Raises:
        ValueError: it is not such a table, or there are no details beside it.
    """
    wanted = [(row["student"], row["assignment"]) for row in _read(table)]
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for path in sorted((table.parent / "details").glob("*/*.json")):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
            found[cell(result["student"]).strip(), result["assignment"]] = result
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is broken: remove it and grade again, with --force.") from error
    lost = [f"{student}, {assignment}" for student, assignment in wanted if (student, assignment) not in found]
    if lost:
        raise ValueError(
            f"{table.parent / 'details'} lacks {len(lost)} of {len(wanted)} rows of the table, such as that of "
            f"{lost[0]}: keep details/ beside the table, or grade again with --force."
        )
    return [found[key] for key in wanted]


def read_csv(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """The columns and the rows of a CSV, without empty rows and without space around cells.

    Raises:
        ValueError: it is none.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        first = text.partition("\n")[0]
        separator = max(",;\t", key=first.count)
        lines = [
            [part.strip() for part in line] for line in csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        ]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a CSV in UTF-8 ({error}): save it as such.") from error
    lines = [line for line in lines if any(line)]
    if not lines:
        raise ValueError(f"{path} is empty: expected a line with the names of columns and lines below it.")
    columns, rows = lines[0], lines[1:]
    if long := next((line for line in rows if len(line) > len(columns) and any(line[len(columns) :])), None):
        raise ValueError(f"{path}: expected {len(columns)} cells in each line, got {len(long)} in that of {long[0]!r}.")
    return columns, [dict(zip(columns, [*row, *[""] * len(columns)], strict=False)) for row in rows]


def _read(table: Path) -> list[dict[str, str]]:
    columns, rows = read_csv(table)
    rows = [row for row in rows if row.get("student")]
    if not rows or not {"student", "assignment", "total", "out of"} <= {*columns}:
        raise ValueError(f"{table} is not a table of points: expected columns such as student, assignment and total.")
    return rows


def _named(text: str) -> str:
    """A student's name without the apostrophe that `cell` may have put before it."""
    bare = text.removeprefix("'")
    return bare if bare != text and cell(bare) == text else text


def _number(table: Path, row: Mapping[str, str], name: str) -> float | None:
    text = row[name]
    if not text:
        return None
    if not re.fullmatch(r"-?\d+(?:[.,]\d*)?", text):
        raise ValueError(f"{table}, {row['student']}, {name}: expected points, got {text!r}.")
    return float(text.replace(",", "."))
