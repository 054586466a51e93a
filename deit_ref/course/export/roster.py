"""Who is who: finds the students of a table in a list of the class, which knows them by other names."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from deit_ref import checks
from deit_ref.course.grading.rows import read_csv


class Roster(NamedTuple):
    """A list of the class, such as the gradebook that Canvas or Moodle gives out: columns, and a row per student."""

    columns: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...]


class Matched(NamedTuple):
    """Which row is whose.

    Attributes:
        column: in which the students' names stand.
        rows: student -> row.
        unknown: students who are not in the list.
        ambiguous: students whom several rows fit, or whose row fits several students.
        absent: rows that are nobody's.
    """

    column: str
    rows: Mapping[str, Mapping[str, str]]
    unknown: tuple[str, ...]
    ambiguous: tuple[str, ...]
    absent: tuple[Mapping[str, str], ...]


def read_roster(path: Path) -> Roster:
    """A CSV with a line of names of columns; the separator is a comma, a semicolon or a tab.

    Raises:
        ValueError: it is none, or nobody is in it.
    """
    columns, rows = read_csv(path)
    # Canvas's second line, and one that says by whom points are posted.
    students = [row for row in rows if row[columns[0]] and "points possible" not in row[columns[0]].lower()]
    if not students:
        raise ValueError(f"{path} lists nobody: expected a line with the names of columns and one per student.")
    return Roster(tuple(columns), tuple(students))


def matched(roster: Roster, students: Iterable[str], *, column: str | None = None) -> Matched:
    """Find each student's row.

    A name fits that differs in capitals, accents, spaces and punctuation alone; names that are the same go first.

    Args:
        roster: the list.
        students: names as they stand in the table, which are those of their folders.
        column: where to look for them. None takes the column in which most of them stand, of several the first.

    Raises:
        ValueError: there is no such column, or nobody in it.
    """
    wanted = list(dict.fromkeys(students))
    if column is not None and column not in roster.columns:
        known = ", ".join(roster.columns)
        raise ValueError(f"The roster has no column {column!r}: expected one of {known}.{_meant(column, roster)}")
    roster = _with_whole_names(roster) if column is None else roster
    tried = [_in_column(roster, wanted, name) for name in ([column] if column is not None else roster.columns)]
    best = max(tried, key=lambda found: len(found.rows) + len(found.ambiguous))
    if not best.rows and not best.ambiguous:
        raise ValueError(
            f"No student of the table is in the roster, such as {wanted[0]!r}: add a column with the names of their "
            f"folders to it, which has {', '.join(roster.columns)}."
        )
    return best


def _with_whole_names(roster: Roster) -> Roster:
    """With two columns more if first and last names stand apart: both together, in either order."""
    apart = [
        name for name in roster.columns if re.search(r"\b(first|last|given|family|sur)\s*name", name, re.IGNORECASE)
    ]
    if len(apart) != 2:
        return roster
    pairs = (tuple(apart), tuple(reversed(apart)))
    rows = [{**row, **{" ".join(pair): " ".join(row[name] for name in pair) for pair in pairs}} for row in roster.rows]
    return Roster((*roster.columns, *map(" ".join, pairs)), tuple(rows))


def _in_column(roster: Roster, wanted: Sequence[str], column: str) -> Matched:
    exact, loose = defaultdict[str, list[int]](list), defaultdict[str, list[int]](list)
    for place, row in enumerate(roster.rows):
        if row[column]:
            exact[row[column]].append(place)
            loose[_plain(row[column])].append(place)
    found = {student: exact.get(student) or loose.get(_plain(student), []) for student in wanted}
    takers = defaultdict[int, list[str]](list)
    for student, places in found.items():
        for place in places:
            takers[place].append(student)
    clear = {s: places[0] for s, places in found.items() if len(places) == 1 and len(takers[places[0]]) == 1}
    return Matched(
        column,
        {student: roster.rows[place] for student, place in clear.items()},
        tuple(student for student, places in found.items() if not places),
        tuple(student for student, places in found.items() if places and student not in clear),
        tuple(row for place, row in enumerate(roster.rows) if not takers[place]),
    )


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKD", name.casefold())) or name  # accents are not letters then


def _meant(column: str, roster: Roster) -> str:
    return checks.did_you_mean(column, roster.columns)
