"""Finds what a student handed in for an assignment, wherever it stands and however it is called.

Here only names are looked at; whatever has to be opened is opened in a process of its own, see `reading.py`. A file
that cannot be read costs its student the points, and says why.
"""

import os
import stat
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from deit_ref.course.assignments import assignments
from deit_ref.course.grading import naming
from deit_ref.course.grading.inside import PACKAGES
from deit_ref.course.grading.sandbox import apart
from deit_ref.course.grading.students import Part

FILE_BYTES = 2**25  # of a notebook, most of it pictures
ARCHIVE_BYTES = 2**27
_File = Callable[[int], bytes]  # gives a file's bytes, or raises a ValueError if they are more

NOTHING = "nothing was handed in."
RESERVED = (*PACKAGES, "deit_ref", "given", "student", "worker")  # modules that no student's own may replace


class Submission(NamedTuple):
    """What one student handed in for one assignment: a file's bytes, or why there are none to be graded."""

    student: str
    assignment: str
    place: str = ""  # the file, as the student knows it
    content: bytes = b""
    problem: str | None = None
    others: tuple[str, ...] = ()  # files that would have been taken if the first were not there
    beside: tuple[tuple[str, bytes], ...] = ()  # scripts that it may import
    notes: tuple[str, ...] = ()  # what student and teacher should know of how it was found


class Code(NamedTuple):
    """The module made of a submission, the names that it binds, what had to be left out, and scripts it imports."""

    text: str
    names: frozenset[str]
    problems: tuple[str, ...] = ()
    beside: Mapping[str, str] = {}  # "helpers" -> text


class _Found(NamedTuple):
    """Choices by assignment; the names of all that there is; what could not be opened; content of an archive's file."""

    choices: Mapping[str, naming.Choice]
    names: Sequence[str]
    problems: tuple[str, ...] = ()
    parts: tuple[tuple[str, bytes], ...] = ()


def handed_in(parts: Sequence[Part], wanted: Sequence[str], *, isolated: bool = True) -> set[str]:
    """The assignments of which something is in a student's files; whether it can be read is another matter.

    Args:
        parts: of the student.
        wanted: assignments to look for.
        isolated: whether files are opened in a prison; see `sandbox.run`.
    """
    try:
        files = _files(parts)
        packed = {naming.named(place, tuple(wanted)) for place in files if naming.ARCHIVES.search(place)}
        found = _search(files, wanted, sure=len(wanted) == 1, isolated=isolated).choices
        return {name for name in wanted if name in packed or name in found}
    except (ValueError, OSError):
        return set()


def read(
    student: str, parts: Sequence[Part], assignment: str, *, sure: bool = True, isolated: bool = True
) -> Submission:
    """The file that is meant for an assignment, or why there is none.

    Args:
        student: the name.
        parts: the student's files.
        assignment: such as "a2_attention".
        sure: a "student.py" in no assignment's folder counts for this one; else its functions say for which.
        isolated: whether files are opened in a prison; see `sandbox.run`.
    """
    found = Submission(student, assignment)
    try:
        files = _files(parts)
        looked = _search(files, [assignment], sure=sure, isolated=isolated)
        choice = looked.choices.get(assignment)
        if choice is None or not choice.place:
            return found._replace(problem=_nothing(assignment, looked, choice))
        found = found._replace(place=choice.place, others=choice.others, notes=looked.problems)
        if not choice.exact:
            found = found._replace(notes=(f"{choice.place} was taken for {assignment}.", *looked.problems))
        if choice.place not in files:
            (_, content), *beside = looked.parts
            if len(content) > FILE_BYTES:
                raise ValueError(_too_long(choice.place, FILE_BYTES))
            return found._replace(content=content, beside=tuple(beside))
        content = files[choice.place](FILE_BYTES)
        near = naming.beside(choice.place, files)
        texts = [(name, _quietly(files[place], FILE_BYTES)) for name, place in near]
        return found._replace(content=content, beside=tuple((name, text) for name, text in texts if text is not None))
    except (ValueError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return found._replace(problem=f"it cannot be read: {reason or type(error).__name__}")


def code(
    submission: Submission, wanted: frozenset[str] = frozenset(), *, before: str = "", isolated: bool = True
) -> Code:
    """The module of a submission, as `modules.module` makes it, in a process of its own.

    Args:
        submission: with content.
        wanted: names that are needed by whoever uses the module.
        before: code that stands before the student's own.
        isolated: see `sandbox.run`.

    Raises:
        ValueError: the file is not a notebook, not text, too long, or takes too much to be taken apart.
    """
    asked = (submission.place, submission.content, wanted, before, submission.beside, RESERVED)
    (names, problems, beside), text = apart("module", *asked, isolated=isolated)
    scripts = {name.removesuffix(".py"): script for name, script in beside.items()}
    return Code(text.decode(), frozenset(names), tuple(problems), scripts)


def pieces(code: Code, *, isolated: bool = True) -> dict[str, str]:
    """The fingerprints of each definition, as `fingerprints.fingerprints` gives them; none if that takes too much.

    Args:
        code: see `code`.
        isolated: see `sandbox.run`.
    """
    try:
        return dict(apart("fingerprints", code.text, isolated=isolated)[0])
    except ValueError:
        return {}


def _nothing(assignment: str, looked: _Found, choice: naming.Choice | None) -> str:
    if choice is not None:
        return (
            f"it is not clear what was handed in for {assignment}, it may be {naming.listed(choice.others)}: keep one, "
            f"or name it {assignment}.py."
        )
    if looked.problems:
        return f"it cannot be read: {naming.listed(looked.problems)}"
    if not looked.names:
        return NOTHING
    return f"nothing was handed in for {assignment}: there is {naming.listed(looked.names)}."


def _search(files: Mapping[str, _File], wanted: Sequence[str], *, sure: bool, isolated: bool) -> _Found:
    """By names, and where these do not say enough, by what is in the files."""
    tasks = {one.name: [task.name for task in one.tasks] for one in assignments()}
    every = tuple(tasks)
    packed = [place for place in files if not place or naming.ARCHIVES.search(place)]
    open_ = [place for place in files if place not in packed]
    unsure = [place for place in open_ if naming.is_work(place) and naming.named(place, every) is None]
    works = open_ if sure else [place for place in open_ if place not in unsure]
    choices = {name: naming.chosen(works, name, every, lambda place: True) for name in wanted}
    found = {name: choice for name, choice in choices.items() if choice is not None}
    if not sure and any(map(naming.is_student, unsure)):
        found = {}  # what these are for is to be seen
    missing = {name for name in wanted if name not in found}
    near = [place for place in open_ if naming.is_work(place) and naming.named(place, every) in missing]
    if not missing or not (packed or unsure or near):
        return _Found(found, open_)
    problems, contents = [], []
    left = ARCHIVE_BYTES
    for place in [*packed, *open_]:
        content = b""
        if place in packed:
            try:
                content = files[place](left)
            except (ValueError, OSError) as error:
                problems.append(error.strerror or str(error) if isinstance(error, OSError) else str(error))
                continue
        elif place in unsure or place in near:
            content = _quietly(files[place], min(left, FILE_BYTES)) or b""
        contents.append((place, content))
        left -= len(content)
    about, content = apart(
        "search", contents, [*missing], tasks, sure, FILE_BYTES + 1, ARCHIVE_BYTES, isolated=isolated
    )
    parts, end = [], 0
    for name, size in about["sizes"]:
        parts.append((name, content[end : end + size]))
        end += size
    more = {name: naming.Choice(place, tuple(others), exact) for name, (place, others, exact) in about["found"].items()}
    return _Found(found | more, about["names"], (*problems, *about["problems"]), tuple(parts))


def _files(parts: Sequence[Part]) -> dict[str, _File]:
    """What can be read of a student, by place; the uppermost files of folders, if they are too many."""
    found: dict[str, _File] = {}
    for part in parts:
        if part.path.is_dir():
            inside = _inside(part.path)
            for place in _walk(inside):
                name = f"{part.place}/{place}" if part.place else place
                found.setdefault(name, partial(_within, inside, place))
        elif part.path.suffix and not part.path.is_symlink():
            found.setdefault(part.place, partial(_content, part.path, part.place or part.path.name))
        else:
            raise ValueError(f"{part.path.name} is not a folder.")
    return found


def _walk(folder: Path) -> list[str]:
    found: list[str] = []
    folders = deque([""])
    while folders and len(found) < naming.FILES:
        inside = folders.popleft()
        for entry in sorted(os.scandir(folder / inside), key=lambda entry: entry.name):
            place = f"{inside}/{entry.name}" if inside else entry.name
            if naming.is_junk(place):
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(place)
            else:
                found.append(place)
    return found[: naming.FILES]


def _inside(folder: Path) -> Path:
    """Where a student's folder really is, which is where it stands."""
    inside = Path(os.path.realpath(folder))
    if inside != Path(os.path.realpath(folder.parent)) / folder.name:
        raise ValueError(f"{folder.name} is a link to another place, and links are not followed.")
    return inside


def _within(inside: Path, place: str, most: int) -> bytes:
    real = Path(os.path.realpath(inside / place))
    if not real.is_relative_to(inside):
        raise ValueError(f"{place} is a link that leaves the student's folder.")
    return _content(real, place, most)


def _content(path: Path, place: str, most: int) -> bytes:
    if not stat.S_ISREG(path.lstat().st_mode):
        raise ValueError(f"{place} is not a file.")
    with open(path, "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(_too_long(place, most))
    return content


def _quietly(file: _File, most: int) -> bytes | None:
    """The bytes of a file that may not be needed."""
    try:
        return file(most)
    except (ValueError, OSError):
        return None


def _too_long(place: str, most: int) -> str:
    return f"{place} has more than {most} bytes: hand it in without large outputs."
