"""Finds what a student handed in: a notebook, a script, a module or a zip of these; `reading.py` takes it apart.

A file that cannot be read costs its student the points, and says why.
"""

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from deit_ref.course.grading.sandbox import apart

FILE_BYTES = 2**25  # of a notebook, most of it pictures
ZIP_BYTES = 2**27
NOTHING = "nothing was handed in."


class Submission(NamedTuple):
    """What one student handed in for one assignment: a file's bytes, or why there are none to be graded."""

    student: str
    assignment: str
    place: str = ""  # the file, as the student knows it
    content: bytes = b""
    problem: str | None = None
    others: tuple[str, ...] = ()  # files that would have been taken if the first were not there


class Code(NamedTuple):
    """The module made of a submission, the names that it binds, and what had to be left out."""

    text: str
    names: frozenset[str]
    problems: tuple[str, ...] = ()


def students(folder: Path) -> dict[str, Path]:
    """Each student's folder or zip, by name.

    Raises:
        ValueError: there is no such folder, or nobody in it.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder: expected one with a folder, or a zip, for each student.")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if not path.name.startswith(".") and (path.is_dir() or path.is_symlink() or path.suffix == ".zip"):
            found.setdefault(path.name.removesuffix(".zip"), path)
    if not found:
        raise ValueError(f"{folder} holds no students: expected a folder, or a zip, for each of them.")
    return found


def handed_in(path: Path, assignments: Iterable[str], *, isolated: bool = True) -> frozenset[str]:
    """The assignments of which something is in a student's folder or zip; whether it can be read is another matter.

    Args:
        path: of the student's folder or zip.
        assignments: to look for.
        isolated: whether a zip is opened in a prison; see `sandbox.run`.
    """
    packed = () if _is_zip(path) else (".zip",)
    places = {name: [*_places(name), *(f"{name}{suffix}" for suffix in packed)] for name in assignments}
    every = [place for found in places.values() for place in found]
    try:
        if _is_zip(path):
            there, _ = apart("listed", _content(path, path.name, ZIP_BYTES), every, isolated=isolated)
        else:
            _inside(path)
            there = [place for place in every if os.path.lexists(path / place)]
    except (ValueError, OSError):
        return frozenset()
    return frozenset(name for name, found in places.items() if not {*found}.isdisjoint(there))


def read(student: str, path: Path, assignment: str, *, isolated: bool = True) -> Submission:
    """The first file that fits an assignment, or why there is none.

    Args:
        student: the name.
        path: of the student's folder or zip.
        assignment: such as "a2_attention".
        isolated: whether a zip is opened in a prison; see `sandbox.run`.
    """
    found = Submission(student, assignment)
    places, packed = _places(assignment), f"{assignment}.zip"
    try:
        if _is_zip(path):
            return _unpacked(found, _content(path, path.name, ZIP_BYTES), isolated=isolated)
        inside = _inside(path)
        there = [place for place in (*places, packed) if os.path.lexists(path / place)]
        if not there:
            return found._replace(problem=NOTHING)
        found = found._replace(place=there[0], others=tuple(place for place in there[1:] if place != packed))
        most = ZIP_BYTES if there[0] == packed else FILE_BYTES
        content = _content(_within(inside, path, there[0]), there[0], most)
        if there[0] != packed:
            return found._replace(content=content)
        unpacked = _unpacked(found, content, isolated=isolated)
        if unpacked.problem == NOTHING:
            raise ValueError(f"{packed} holds none of {', '.join(places)}.")
        return unpacked
    except (ValueError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return found._replace(problem=f"it cannot be read: {reason or type(error).__name__}")


def code(
    submission: Submission, wanted: frozenset[str] = frozenset(), *, before: str = "", isolated: bool = True
) -> Code:
    """The module of a submission, as `reading.module` makes it, in a process of its own.

    Args:
        submission: with content.
        wanted: names that are needed by whoever uses the module.
        before: code that stands before the student's own.
        isolated: see `sandbox.run`.

    Raises:
        ValueError: the file is no notebook, no text, too long, or takes too much to be taken apart.
    """
    asked = (submission.place, submission.content, wanted, before)
    (names, problems), text = apart("module", *asked, isolated=isolated)
    return Code(text.decode(), frozenset(names), tuple(problems))


def pieces(code: Code, *, isolated: bool = True) -> dict[str, str]:
    """The fingerprints of each definition, as `fingerprints.fingerprints` gives them; none if that takes too much.

    Args:
        code: see `code`.
        isolated: see `sandbox.run`.
    """
    try:
        return dict(apart("fingerprints.fingerprints", code.text, isolated=isolated)[0])
    except ValueError:
        return {}


def _places(assignment: str) -> tuple[str, ...]:
    """Where a submission may stand in a student's folder, in the order in which it is looked for."""
    files = (f"{assignment}.ipynb", f"{assignment}.py")
    return (*files, *(f"{assignment}/{file}" for file in files), f"{assignment}/student.py", "student.py")


def _is_zip(path: Path) -> bool:
    return path.suffix == ".zip" and not path.is_dir()


def _unpacked(found: Submission, archive: bytes, *, isolated: bool) -> Submission:
    asked = (archive, _places(found.assignment), FILE_BYTES + 1)
    (place, others), content = apart("unpacked", *asked, isolated=isolated)
    if not place:
        return found._replace(problem=NOTHING)
    found = found._replace(place=place, others=tuple(others))
    if len(content) > FILE_BYTES:
        return found._replace(problem=f"it cannot be read: {_too_long(place, FILE_BYTES)}")
    return found._replace(content=content)


def _inside(folder: Path) -> Path:
    """Where a student's folder really is, which is where it stands."""
    if not folder.is_dir():
        raise ValueError(f"{folder.name} is no folder.")
    inside = Path(os.path.realpath(folder))
    if inside != Path(os.path.realpath(folder.parent)) / folder.name:
        raise ValueError(f"{folder.name} is a link to another place, and links are not followed.")
    return inside


def _within(inside: Path, folder: Path, place: str) -> Path:
    real = Path(os.path.realpath(folder / place))
    if not real.is_relative_to(inside):
        raise ValueError(f"{place} is a link that leaves the student's folder.")
    return real


def _content(path: Path, place: str, most: int) -> bytes:
    if not stat.S_ISREG(path.lstat().st_mode):
        raise ValueError(f"{place} is no file.")
    with open(path, "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(_too_long(place, most))
    return content


def _too_long(place: str, most: int) -> str:
    return f"{place} has more than {most} bytes: hand it in without large outputs."
