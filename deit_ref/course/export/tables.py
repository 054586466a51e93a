"""Gradebooks: tables as Canvas and Moodle import them, and a plain one."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from deit_ref.course.assignments import find_assignment
from deit_ref.course.export.late import Late, Who
from deit_ref.course.export.roster import Matched, Roster
from deit_ref.course.grading.cells import cell, printable
from deit_ref.course.grading.rows import Row

Table = list[list[str]]

_NUMBER = re.compile(r"[-+]?\d+(\.\d*)?|-")  # or Moodle's word for no grade, which a spreadsheet takes for text
_CANVAS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Integration ID", "Root Account", "Section")
_CANVAS_ALWAYS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")
_MOODLE = ("id", "username", "id number", "email address", "first name", "last name", "surname")
_MOODLE_KEYS = ("id", "username", "id number", "email address")


def canvas(rows: Sequence[Row], costs: Mapping[Who, Late], roster: Roster, found: Matched) -> Table:
    """A gradebook as Canvas imports it: a row of columns, a row "Points Possible", a row for each student.

    The roster is Canvas's own export, from which students and the names of assignments with their ids are taken. An
    assignment that it does not have gets its name, and Canvas asks whether to create it. Students without points have
    no row: an empty cell would take away the points that they have there.

    Raises:
        ValueError: the roster has no columns by which Canvas knows students.
    """
    if "Student" not in roster.columns or not {"ID", "SIS User ID", "SIS Login ID"} & {*roster.columns}:
        raise ValueError(
            "Canvas knows students by the columns Student and ID, SIS User ID or SIS Login ID, and the roster has "
            f"{', '.join(roster.columns)}: export the gradebook in Canvas and take that file."
        )
    about = [name for name in _CANVAS if name in _CANVAS_ALWAYS or name in roster.columns]
    names, points = _assignments(rows), _points(rows, costs)
    most = {row.assignment: row.out_of for row in rows}
    head = [*about, *(_canvas_name(name, roster) for name in names)]
    possible = ["    Points Possible", *[""] * (len(about) - 1), *(f"{most[name]:g}" for name in names)]
    lines = [
        [*(line.get(name, "") for name in about), *(points.get((student, name), "") for name in names)]
        for student, line in found.rows.items()
    ]
    return [head, possible, *lines]


def moodle(
    rows: Sequence[Row], costs: Mapping[Who, Late], roster: Roster, found: Matched, told: Mapping[Who, str]
) -> Table:
    """A table as Moodle imports it: columns that say who it is, and a column for each assignment.

    Of the roster the columns are kept by which Moodle knows people. If it has none of these, because its names are in
    another language, all are kept: which is which is asked by Moodle's form. What is missing is "-", which is no
    grade.

    Args:
        rows: of the table.
        costs: of being late.
        roster: the list of the class.
        found: who is who in it.
        told: feedback; with any there is a column of it beside that of the points.
    """
    about = [name for name in roster.columns if name.lower() in _MOODLE]
    if not any(name.lower() in _MOODLE_KEYS for name in about):
        about = [*roster.columns]
    points = _points(rows, costs)
    names = _assignments(rows)
    head = [*about]
    for name in names:
        head += [name, f"{name} (feedback)"] if told else [name]
    lines = []
    for student, line in found.rows.items():
        cells = [line[name] for name in about]
        for name in names:
            cells += [points.get((student, name), "-"), *([told.get((student, name), "")] if told else [])]
        lines.append(cells)
    return [head, *lines]


def plain(rows: Sequence[Row], costs: Mapping[Who, Late], found: Matched | None) -> Table:
    """A row for each student of the table, with what the roster says, the points, the days late and a total."""
    names, points = _assignments(rows), _points(rows, costs)
    most = {row.assignment: row.out_of for row in rows}
    about = [] if found is None else list(next(iter(found.rows.values())))
    head = ["student", *about]
    for name in names:
        head += [name, f"{name} days late", f"{name} lost"] if costs else [name]
    lines = [[*head, "total", "out of"]]
    for student in dict.fromkeys(row.student for row in rows):
        line = {} if found is None else found.rows.get(student, {})
        cells = [student, *(line.get(name, "") for name in about)]
        for name in names:
            late = costs.get((student, name), Late(0, 0.0))
            cells += [points.get((student, name), ""), *([f"{late.days}", f"{late.cost:g}"] if costs else [])]
        total = sum(float(points.get((student, name), 0)) for name in names)
        lines.append([*cells, f"{round(total, 2):g}", f"{sum(most[name] for name in names):g}"])
    return lines


def gaps(rows: Sequence[Row], students: Iterable[str]) -> list[str]:
    """Of which assignments some students have no row although others have, in sentences."""
    there, names = {(row.student, row.assignment) for row in rows}, _assignments(rows)
    return [f"{who}: no row of {name} in the table." for who in students for name in names if (who, name) not in there]


def write(table: Table, out: Path) -> None:
    """All of it or nothing, in UTF-8. No cell is a formula, numbers stay numbers, and lines in a cell stay lines."""
    unfinished = out.with_name(f"{out.name}.unfinished")
    with open(unfinished, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([_harmless(text) for text in line] for line in table)
    unfinished.replace(out)


def _harmless(text: str) -> str:
    if _NUMBER.fullmatch(text):
        return text
    first, *rest = text.split("\n")
    return "\n".join([cell(first), *map(printable, rest)])


def _assignments(rows: Iterable[Row]) -> list[str]:
    return sorted({row.assignment for row in rows}, key=lambda name: find_assignment(name).number)


def _points(rows: Iterable[Row], costs: Mapping[Who, Late]) -> dict[Who, str]:
    found = {}
    for row in rows:
        who = (row.student, row.assignment)
        found[who] = f"{round(row.points - costs.get(who, Late(0, 0.0)).cost, 2):g}"
    return found


def _canvas_name(name: str, roster: Roster) -> str:
    """The column of an assignment as Canvas writes it, "Name (ID)", if the roster has one of that name."""
    one = find_assignment(name)
    titles = {name, one.title.lower(), f"assignment {one.number}", f"assignment {one.number}: {one.title.lower()}"}
    for column in roster.columns:
        if (match := re.fullmatch(r"(.*) \(\d+\)", column)) and match[1].strip().lower() in titles:
            return column
    return name
