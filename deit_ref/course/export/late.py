"""Late days: what handing in after the deadline costs, by two files of a teacher's.

A file's own time says when it was last copied, so it is not asked. The times are those of the system that took the
submissions, in a CSV:

    student,assignment,handed in
    ada,a2,2026-12-01T23:10+01:00

The rules are another:

    assignment,student,deadline,grace,per day,at most
    a2,,2026-12-01T23:59+01:00,15,10%,50%
    a2,grace,2026-12-04T23:59+01:00

A row with a student is an extension: what it leaves empty is as for all. `grace` is in minutes; whoever stays within
it is in time, and whoever does not is late from the deadline on. Each day that has begun costs `per day`: points, or
a share of those that there are, as Canvas counts; together no more than `at most`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from deit_ref import checks
from deit_ref.course.assignments import find_assignment
from deit_ref.course.grading.rows import Row, read_csv

Who = tuple[str, str]  # student, assignment


class Rule(NamedTuple):
    """What holds for one student, or for all: the deadline, and what a day costs as (amount, whether it is a share)."""

    deadline: datetime
    grace: timedelta = timedelta()
    per_day: tuple[float, bool] = (0.0, False)
    most: tuple[float, bool] = (1.0, True)


class Late(NamedTuple):
    """Days that have begun, and the points they cost."""

    days: int
    cost: float


def late(
    rows: Iterable[Row], rules: Mapping[Who, Rule], times: Mapping[Who, datetime]
) -> tuple[dict[Who, Late], list[str]]:
    """How late each row was, where that is known, and what is not known, in sentences.

    Args:
        rows: of the table.
        rules: by student and assignment; the student "" stands for all.
        times: when they handed in.

    Raises:
        ValueError: a time has an offset from UTC and the other has none.
    """
    found: dict[Who, Late] = {}
    unknown: list[str] = []
    asked = list(rows)
    for row in asked:
        who = (row.student, row.assignment)
        rule = rules.get(who, rules.get(("", row.assignment)))
        if rule is None or not row.handed_in:
            continue
        if who not in times:
            unknown.append(f"{row.student}, {row.assignment}: no time of handing in, taken as in time.")
            continue
        days = _days(rule, times[who], who)
        amount, is_share = rule.per_day
        most, most_is_share = rule.most
        cost = days * amount * (row.out_of if is_share else 1)
        found[who] = Late(days, round(min(cost, most * (row.out_of if most_is_share else 1), max(0.0, row.points)), 2))
    students, names = {row.student for row in asked}, {row.assignment for row in asked}
    for student, assignment in [*rules, *times]:
        if student and student not in students and assignment in names:
            close = checks.did_you_mean(student, students)
            unknown.append(f"{student}, {assignment}: a deadline or a time, and not in the table.{close}")
    return found, list(dict.fromkeys(unknown))


def read_rules(path: Path) -> dict[Who, Rule]:
    """The rules of a CSV.

    Raises:
        ValueError: a column is missing, a cell is not understood, or an assignment has no row for all.
    """
    columns, rows = read_csv(path)
    _needed(path, columns, ("assignment", "deadline"))
    rules: dict[Who, Rule] = {}
    for row in sorted(rows, key=lambda row: bool(row.get("student"))):  # those for all first
        name, student = find_assignment(row["assignment"]).name, row.get("student", "")
        if (student, name) in rules:
            raise ValueError(f"{path} has two rows of {student or 'all'} for {name}: leave one.")
        common = rules.get(("", name))
        if student and common is None:
            raise ValueError(f"{path} has an extension of {student} for {name}, and no row for all: add one.")
        rule = common or Rule(datetime.min)
        if not student or row["deadline"]:
            rule = rule._replace(deadline=_time(path, row["deadline"]))
        if row.get("grace"):
            rule = rule._replace(grace=timedelta(minutes=_amount(path, "grace", row["grace"], shares=False)[0]))
        if row.get("per day"):
            rule = rule._replace(per_day=_amount(path, "per day", row["per day"]))
        if row.get("at most"):
            rule = rule._replace(most=_amount(path, "at most", row["at most"]))
        rules[student, name] = rule
    return rules


def read_times(path: Path) -> dict[Who, datetime]:
    """The times of a CSV; of several of one student for one assignment, the last.

    Raises:
        ValueError: a column is missing, or a cell is not understood.
    """
    columns, rows = read_csv(path)
    _needed(path, columns, ("student", "assignment", "handed in"))
    times: dict[Who, datetime] = {}
    for row in rows:
        who, time = (row["student"], find_assignment(row["assignment"]).name), _time(path, row["handed in"])
        times[who] = max(times.get(who, time), time)
    return times


def _days(rule: Rule, time: datetime, who: Who) -> int:
    if (time.tzinfo is None) != (rule.deadline.tzinfo is None):
        raise ValueError(
            f"{', '.join(who)}: expected the deadline and the time of handing in both with an offset from UTC, such "
            f"as 2026-12-01T23:59+01:00, or both without, got {rule.deadline} and {time}."
        )
    over = time - rule.deadline
    return 0 if over <= rule.grace else math.ceil(over / timedelta(days=1))


def _time(path: Path, text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{path}: expected a time such as 2026-12-01T23:59+01:00, got {text!r}.") from error


def _amount(path: Path, name: str, text: str, *, shares: bool = True) -> tuple[float, bool]:
    share = text.endswith("%")
    try:
        value = float(text.removesuffix("%").strip()) / (100 if share else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf or (share and not shares):
        raise ValueError(
            f"{path}: expected {name} as a number{' or a share such as 10%' if shares else ''}, got {text!r}."
        )
    return value, share


def _needed(path: Path, columns: Sequence[str], needed: Sequence[str]) -> None:
    for name in needed:
        if name not in columns:
            raise ValueError(f"{path} has no column {name!r}: expected {', '.join(needed)}, got {', '.join(columns)}.")
