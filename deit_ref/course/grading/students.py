"""Whose files are in a class's folder: a folder or an archive for each student, or what a learning platform made.

Canvas puts the files of all students side by side, "smithjohn_LATE_1_2_a2_attention-1.py"; Moodle does, too, "Smith
John_1_assignsubmission_file_student.py", or makes a folder of each, "Smith John_1_assignsubmission_file_".
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from deit_ref.course.grading import naming

# The name is cut where it can be first: none of these holds the marks of the platform.
_CANVAS = re.compile(r"(?P<who>.+?)_(?:LATE_)?(?P<id>\d+)_\d+_(?P<file>.+)", re.DOTALL)
_MOODLE = re.compile(r"(?P<who>.+?)_(?P<id>\d+)_assignsubmission_[a-z]+_(?P<file>.*)", re.DOTALL)


class Class(NamedTuple):
    """Each student's files, and what belongs to nobody."""

    students: dict[str, tuple["Part", ...]]
    strays: tuple[str, ...]


class Part(NamedTuple):
    """A folder, an archive or a file of one student."""

    path: Path
    place: str  # what it is called among the student's files; "" if it holds all of them


def students(folder: Path, *, but: Collection[Path] = ()) -> Class:
    """Each student's files, by name.

    Args:
        folder: of a class.
        but: what stands in it and is not a student's, such as the table.

    Raises:
        ValueError: there is no such folder, or nobody in it.
    """
    if not folder.is_dir():
        raise ValueError(
            f"{folder} is not a folder: expected one with a folder, or an archive, for each student; unpack what a "
            "learning platform gave you."
        )
    found: dict[str, dict[str, list[Part]]] = defaultdict(lambda: defaultdict(list))  # name -> number -> parts
    strays = []
    for path in sorted(path for path in folder.iterdir() if path not in but and not naming.is_junk(path.name)):
        name, is_folder = unicodedata.normalize("NFC", path.name), path.is_dir()
        archive = naming.ARCHIVES.search(name)
        platform = _MOODLE.fullmatch(name) or (None if is_folder else _CANVAS.fullmatch(name))
        if platform is not None:
            place = "" if is_folder else platform["file"]
            found[platform["who"]][platform["id"]].append(Part(path, place))
        elif is_folder or archive is not None or path.is_symlink():
            parts = found[name[: archive.start()] if archive else name][""]
            parts.insert(0 if is_folder else len(parts), Part(path, ""))
        else:
            strays.append(path.name)
    if not found:
        raise ValueError(f"{folder} holds no students: expected a folder, or an archive, for each of them.")
    named = {}
    for who, numbers in found.items():
        for number, parts in numbers.items():
            # Of a folder and an archive the folder is looked at first.
            named[f"{who}_{number}" if number and len(numbers) > 1 else who] = (
                *parts[:1],
                *(part._replace(place=part.place or part.path.name) for part in parts[1:]),
            )
    return Class(dict(sorted(named.items())), tuple(strays))
