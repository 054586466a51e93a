"""Looks for what a student handed in inside of archives, also in one another, and of files whose names say nothing.

All of these may lead astray whoever opens them, so this runs in a process of its own; see `reading.py`.
"""

import io
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from deit_ref.course.grading import naming
from deit_ref.course.grading.statements import CODE_BYTES, definitions

DEPTH = 3  # of archives in archives
ARCHIVES = 20
LOOKED_INTO = 20  # files whose names say nothing

_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0")

Opener = Callable[[int], bytes]  # gives at most so many bytes of a file


def search(
    files: Sequence[tuple[str, bytes]],
    wanted: Sequence[str],
    tasks: Mapping[str, Sequence[str]],
    sure: bool,
    most: int,
    most_of_archive: int,
) -> tuple[dict[str, Any], bytes]:
    """Where the submissions for some assignments are, and if one is wanted, its content and what stands beside it.

    Archives are opened for assignments of which nothing lies in the open.

    Args:
        files: place and content of a student's notebooks, scripts and archives; the name of an archive may be "".
        wanted: assignments, such as "a2_attention".
        tasks: of all assignments, the names of their functions.
        sure: a "student.py" in no assignment's folder counts for whatever is wanted; else its functions say for which.
        most: bytes of a file.
        most_of_archive: bytes of an archive in another.

    Returns:
        {"found": {assignment: [place, others, exact]}, "names": of what is there, "problems": archives that could not
        be opened, "sizes": [[name, bytes], ...] of what the content holds: the submission and scripts beside it}, and
        the content.
    """
    shelf = _Shelf(tasks, sure=sure)
    for place, content in files:
        shelf.put(place, _held(content), 0)
    found = dict[str, naming.Choice]()
    while True:
        found |= shelf.chosen(name for name in wanted if name not in found)
        if len(found) == len(wanted) or not shelf.packed:
            break
        shelf.unpack(most_of_archive)
    found |= shelf.by_content(name for name in wanted if name not in found)
    parts = list(shelf.parts(found[wanted[0]].place, most)) if len(wanted) == 1 and found else []
    names = sorted(shelf.files, key=lambda place: (place.count("/"), place))[: 10 * naming.SHOWN]
    sizes = [(name, len(content)) for name, content in parts]
    about = {"found": found, "names": names, "problems": shelf.problems, "sizes": sizes}
    return about, b"".join(content for _, content in parts)


class _Shelf:
    """A student's files, and archives that are not opened yet."""

    def __init__(self, tasks: Mapping[str, Sequence[str]], *, sure: bool) -> None:
        self.tasks, self.sure = tasks, sure
        self.files: dict[str, Opener] = {}
        self.packed: dict[str, tuple[Opener, int]] = {}
        self.problems: list[str] = []
        self._opened = 0
        self._defined: dict[str, frozenset[str]] = {}

    def put(self, place: str, opener: Opener, depth: int) -> None:
        if not place or naming.ARCHIVES.search(place):
            self.packed[place] = (opener, depth)
        else:
            self.files[place] = opener

    def unpack(self, most: int) -> None:
        """Put in place of each archive what it holds."""
        packed, self.packed = self.packed, {}
        for place, (opener, depth) in packed.items():
            self._opened += 1
            if depth >= DEPTH or self._opened > ARCHIVES:
                self.problems.append(f"{place} was not opened, after {self._opened - 1} others.")
                continue
            try:
                if len(content := opener(most + 1)) > most:
                    raise ValueError(f"it has more than {most} bytes.")
                for name, inner in _members(content):
                    if not naming.is_junk(name):
                        self.put(f"{place}/{name}" if place else name, inner, depth + 1)
            except Exception as error:  # a broken archive breaks its reader in any way
                words = str(error) or type(error).__name__
                self.problems.append(f"{place}: {words}" if place else words)

    def _names(self, place: str) -> frozenset[str]:
        """The names that a file defines; of the first files only."""
        if place not in self._defined:
            if len(self._defined) >= LOOKED_INTO:
                return frozenset()
            try:
                self._defined[place] = definitions(place, self.files[place](2 * CODE_BYTES))
            except Exception:  # whatever it is, it defines nothing
                self._defined[place] = frozenset()
        return self._defined[place]

    def _fits(self, place: str, least: float = 0.01) -> frozenset[str]:
        """The assignments of whose functions a file defines most."""
        names = self._names(place)
        shares = {name: len(names.intersection(tasks)) / len(tasks) for name, tasks in self.tasks.items()}
        return frozenset(name for name, share in shares.items() if share == max(shares.values()) and share >= least)

    def chosen(self, assignments: Iterable[str]) -> dict[str, naming.Choice]:
        """What is meant by its name."""
        every, works = tuple(self.tasks), self._works()
        found = {name: naming.chosen(works, name, every, partial(self._counts, name)) for name in assignments}
        return {name: choice for name, choice in found.items() if choice is not None}

    def by_content(self, assignments: Iterable[str]) -> dict[str, naming.Choice]:
        """What is meant by its functions."""
        found = {name: self._by_content(name) for name in assignments}
        return {name: choice for name, choice in found.items() if choice is not None}

    def parts(self, place: str, most: int) -> Iterator[tuple[str, bytes]]:
        """The submission at a place, if any, and the scripts beside it that can be read."""
        if place:
            yield place, self.files[place](most)
            for name, other in naming.beside(place, self.files):
                with suppress(Exception):  # it may not even be needed
                    yield name, self.files[other](CODE_BYTES + 1)

    def _works(self) -> list[str]:
        """The uppermost files in which work may be."""
        ordered = sorted(self.files, key=lambda place: (place.count("/"), place))[: naming.FILES]
        return [place for place in ordered if naming.is_work(place)]

    def _counts(self, assignment: str, place: str) -> bool:
        return self.sure or assignment in self._fits(place)

    def _by_content(self, assignment: str) -> naming.Choice | None:
        """The file that defines most of an assignment's functions, among those whose names say nothing."""
        places = [place for place in self._works() if not naming.is_student(place)]
        places = [place for place in places if naming.named(place, tuple(self.tasks)) in (None, assignment)]
        if self.sure and len(places) == 1:
            return naming.Choice(places[0], exact=False)
        right = {place: len(self._names(place).intersection(self.tasks[assignment])) for place in places}
        if not self.sure:
            right = {place: number for place, number in right.items() if assignment in self._fits(place, least=0.5)}
        best = [place for place, number in right.items() if number and number == max(right.values())]
        if not best:
            return naming.Choice(others=tuple(places)) if self.sure and places else None
        if len(best) > 1:
            return naming.Choice(others=tuple(best))
        return naming.Choice(best[0], tuple(place for place in right if right[place] and place != best[0]), exact=False)


def _held(content: bytes) -> Opener:
    return lambda most: content[:most]


def _members(archive: bytes) -> Iterator[tuple[str, Opener]]:
    """The files in a zip or a tar, whatever its name says; links are not followed."""
    stream = io.BytesIO(archive)
    if archive.startswith(_PACKED) or archive[257:262] == b"ustar":
        tar = tarfile.open(fileobj=stream)  # noqa: SIM115
        for member in tar:
            if member.isreg():
                yield member.name, _opener(tar.extractfile, member)
    else:
        zipped = zipfile.ZipFile(stream)
        for info in zipped.infolist():
            if not info.is_dir():
                yield info.filename, _opener(zipped.open, info)


def _opener(opened: Callable[[Any], Any], member: Any) -> Opener:
    def read(most: int) -> bytes:
        with opened(member) as file:
            content: bytes = file.read(most)
        return content

    return read
