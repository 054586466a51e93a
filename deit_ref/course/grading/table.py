"""The table of points, which teachers go on writing in: what they typed stays when it is written again.

A copy of what was written last stands beside the details. What differs from it is the teacher's.
"""

import csv
import io
import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from deit_ref.course.grading.cells import cell
from deit_ref.course.grading.grade import write_whole

KEY = ("student", "assignment")
NOT_GRADED = "Kept from an earlier table, not graded this time."

Row = dict[str, str]


class Table(NamedTuple):
    """The cells of a file, by column."""

    columns: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()


def read_table(path: Path) -> Table:
    """A table as it was written here or by a spreadsheet program; an empty one if there is none.

    Raises:
        ValueError: it is not a table of points.
    """
    if not path.exists():
        return Table()
    content = path.read_bytes()
    utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    for delimiter in (",", ";", "\t"):
        try:
            lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
        except csv.Error:
            continue
        columns = tuple(name.strip() for name in lines[0]) if lines else ()
        if {*KEY} <= {*columns}:
            return Table(columns, tuple(dict(zip(columns, line, strict=False)) for line in lines[1:] if any(line)))
    raise ValueError(
        f"{path} has no columns student and assignment, and would be lost: move it away, or name another file."
    )


def write_table(
    results: Iterable[dict[str, Any]], out: Path, questions: Mapping[str, Sequence[str]] | None = None
) -> list[str]:
    """A row for each student and assignment, a column for each task and each open question.

    What a teacher typed into the table that is there stays: points of questions, columns of their own, and whatever
    they changed. Rows that are not among the results stay, with a note.

    Args:
        results: as `grade_all` gives them.
        out: the file.
        questions: for each assignment the columns of its open questions, which a teacher fills in.

    Returns:
        Who has such a row.

    Raises:
        ValueError: what is there is no table of points.
    """
    old, copy = read_table(out), out.parent / "details" / f".{out.name}"
    written = read_table(copy)
    before, base = _by_key(old), _by_key(written)
    fresh = _fresh(list(results), questions or {})
    done = {_key(row) for row in fresh.rows}
    kept = [row for row in old.rows if _key(row) not in done or before[_key(row)] is not row]
    more = [name for name in old.columns if name not in fresh.columns]
    more = [name for name in more if name and (name not in written.columns or any(row.get(name) for row in kept))]
    rows = [_merged(row, before.get(_key(row), {}), base.get(_key(row), {})) for row in fresh.rows]
    named = [row for row in kept if row.get("student", "").strip()]
    for row in named:
        if NOT_GRADED not in row.get("note", ""):
            row["note"] = f"{row.get('note', '')} {NOT_GRADED}".strip()
    columns = (*fresh.columns, *more)
    write_whole(out, _text(columns, [*rows, *kept]))
    write_whole(copy, _text(fresh.columns, fresh.rows))
    return [" ".join(row.get(name, "") for name in KEY) for row in named]


def _fresh(results: Sequence[dict[str, Any]], questions: Mapping[str, Sequence[str]]) -> Table:
    """What is written without anybody's additions."""
    tasks = list(dict.fromkeys(task["name"] for result in results for task in result["tasks"]))
    names = list(dict.fromkeys(result["assignment"] for result in results))
    columns = [column for name in names for column in questions.get(name, ())]
    rows = []
    for result in results:
        row = {"student": cell(result["student"]), "assignment": result["assignment"]}
        row |= {task["name"]: f"{task['points']:g}" for task in result["tasks"]}
        row |= {"total": f"{result['total']:g}", "out of": f"{result['out_of']:g}"}
        rows.append(row | {"note": cell(" ".join(result["notes"]))})
    return Table((*KEY, *tasks, "total", "out of", *columns, "note"), tuple(rows))


def _merged(fresh: Row, old: Row, base: Row) -> Row:
    """A new row with what its teacher typed into the old one."""
    typed = {
        name: text for name, text in old.items() if name not in fresh or (base and not _same(text, base.get(name)))
    }
    typed = {name: text for name, text in typed.items() if name not in KEY}
    row = fresh | typed
    points = [name for name in typed if name in fresh and name not in ("total", "out of", "note")]
    if points and "total" not in typed:
        tasks = [name for name in fresh if name not in (*KEY, "total", "out of", "note")]
        total = sum(_number(row[name]) for name in tasks)
        row["total"] = fresh["total"] if math.isnan(total) else f"{round(total, 2):g}"
    return row


def _by_key(table: Table) -> dict[tuple[str, ...], Row]:
    found: dict[tuple[str, ...], Row] = {}
    for row in table.rows:
        found.setdefault(_key(row), row)
    return found


def _key(row: Row) -> tuple[str, ...]:
    return tuple(unicodedata.normalize("NFC", row.get(name, "").strip()) for name in KEY)


def _same(text: str, other: str | None) -> bool:
    """Whether two cells say the same; spreadsheet programs write numbers in their own way."""
    other = other or ""
    return " ".join(text.split()) == " ".join(other.split()) or _number(text) == _number(other)


def _number(text: str) -> float:
    try:
        return float(text.strip().replace(",", "."))
    except ValueError:
        return math.nan


def _text(columns: Sequence[str], rows: Iterable[Row]) -> str:
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([columns, *([row.get(name, "") for name in columns] for row in rows)])
    return stream.getvalue()
