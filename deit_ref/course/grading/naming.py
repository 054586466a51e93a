"""What the name of a file says: which assignment it is for, and which of several files a student means.

Names come as browsers, systems and learning platforms make them: "student (1).py", "a2_attention-Copy1.ipynb", "Copy of
A2 Attention.ipynb", "a2-1.py". Nothing is opened here.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

ARCHIVES = re.compile(r"\.(zip|tar|tgz|tbz2?|txz|tar\.gz|tar\.bz2|tar\.xz)$", re.IGNORECASE)
_WORK = re.compile(r"\.(py|ipynb)(\.txt|\.json)?$", re.IGNORECASE)  # some browsers add the last
_AGAIN = re.compile(r"-(\d{1,4})$")  # Canvas, when a file is handed in again
_NOT_HANDED_IN = {"given", "conftest", "setup"}
_JUNK = {"__macosx", "__pycache__", "thumbs.db", "desktop.ini", "$recycle.bin", "@eadir", "site-packages", "icon\r"}
SHOWN = 10  # names in a list
FILES = 5000  # of a student, that are looked at
HELPERS = 50  # scripts beside a submission


class Choice(NamedTuple):
    """The file that counts for an assignment, and those that would if it were not there; without a place: no single
    one does, and `others` are what is there.
    """

    place: str = ""
    others: tuple[str, ...] = ()
    exact: bool = True  # whether it is called and stands as the assignment asks


class _Candidate(NamedTuple):
    kind: int  # 0: named like the assignment; 1: "student" in its folder; 2: "student" in none
    depth: int
    script: bool  # and no notebook
    place: str
    exact: bool


def is_junk(place: str) -> bool:
    """Whether a system wrote it beside what people write; of iCloud's files a placeholder is not junk."""
    parts = [part for part in _components(place) if part not in (".", "..")]
    hidden = [part for part in parts if part.startswith(".")]
    return any(part.casefold() in _JUNK for part in parts) or bool(hidden and not hidden[-1].endswith(".icloud"))


def is_work(place: str) -> bool:
    """Whether it may hold what a student wrote: a notebook or a script, none of those that are handed out beside it."""
    name = _components(place)[-1]
    if _WORK.search(name) is None or is_junk(place):
        return False
    words = _words(_stem(name))
    return name.casefold() != "__init__.py" and not _NOT_HANDED_IN & {*words} and words[:1] != ["test"]


def is_student(place: str) -> bool:
    """Whether a file is called as that of every assignment is, "student.py", or nearly so."""
    return "student" in _words(_stem(_components(place)[-1]))


def named(place: str, assignments: tuple[str, ...]) -> str | None:
    """The assignment that a file's own name tells, or else the name of the nearest folder or archive around it."""
    *folders, name = _components(place)
    around = (_named_by(part, assignments, alone=True) for part in reversed(folders))
    return next(filter(None, (_named_by(name, assignments), *around)), None)


def chosen(
    places: Iterable[str], assignment: str, assignments: tuple[str, ...], counts: Callable[[str], bool]
) -> Choice | None:
    """Which file is meant for an assignment by its name, or None if none is.

    Args:
        places: of a student's files.
        assignment: such as "a2_attention".
        assignments: all that there are.
        counts: whether a file counts for it that is called "student.py" and stands in no assignment's folder.
    """
    found = []
    for place in filter(is_work, places):
        *folders, name = _components(place)
        around = [part for part in reversed(folders) if _named_by(part, assignments, alone=True)]
        by_folder = _named_by(around[0], assignments, alone=True) if around else None
        own = _named_by(name, assignments)
        if (own or by_folder or assignment) != assignment:
            continue
        if own:
            kind, exact = 0, name in (f"{assignment}.py", f"{assignment}.ipynb")
        elif not is_student(place) or (by_folder is None and not counts(place)):
            continue
        else:
            kind, exact = 2, name == "student.py"
            if around:
                kind, exact = 1, exact and ARCHIVES.sub("", around[0]) == assignment
        found.append(_Candidate(kind, len(folders), ".ipynb" not in name.casefold(), place, exact))
    return _best(found)


def beside(place: str, places: Iterable[str]) -> list[tuple[str, str]]:
    """What the file at a place may import: the scripts in its folder and in packages there, by name and place."""
    folder = _components(place)[:-1]
    found = []
    for other in places:
        parts = _components(other)
        inside = [*parts[len(folder) : -1], again(parts[-1])[0]]
        names = [part.removesuffix(".py") for part in inside]
        near = parts[: len(folder)] == folder and len(inside) in (1, 2) and inside[-1].endswith(".py")
        right = all(name.isidentifier() for name in names) and (is_work(other) or names[-1] == "__init__")
        if near and right and other != place and not is_student(other):
            found.append(("/".join(inside), other))
    return sorted(found, key=lambda pair: (pair[0].count("/"), pair))[:HELPERS]


def _best(found: list[_Candidate]) -> Choice | None:
    if not found:
        return None
    newest: dict[str, tuple[tuple[int, ...], _Candidate]] = {}
    for one in found:
        family, version = _version(one.place)
        if family not in newest or version > newest[family][0]:
            newest[family] = (version, one)
    ordered = sorted((one for _, one in newest.values()), key=lambda one: (not one.exact, one[:4]))
    first = ordered[0]
    like = [one for one in ordered if (one.exact, one.kind, one.script) == (first.exact, first.kind, first.script)]
    if first.exact:  # the uppermost counts
        like = [one for one in like if one.depth == first.depth]
    if len(like) > 1:
        return Choice(others=tuple(one.place for one in ordered))
    others = tuple(one.place for one in sorted(found, key=lambda one: one[:4]) if one is not first)
    return Choice(first.place, others, first.exact)


def listed(names: Iterable[str]) -> str:
    """Names in one line; what is too many or too long for it is counted or cut."""
    every = [name if len(name) <= 200 else f"{name[:100]}...{name[-97:]}" for name in names]
    more = [f"{len(every) - SHOWN} others"] if len(every) > SHOWN else []
    return ", ".join([*every[:SHOWN], *more])


def again(name: str) -> tuple[str, int]:
    """A file's name without the number that Canvas adds when it is handed in again, and the number."""
    extension = next((found[0] for found in (ARCHIVES.search(name), _WORK.search(name)) if found), "")
    stem = name.removesuffix(extension)
    match = _AGAIN.search(stem)
    return (stem[: match.start()] + extension, int(match[1])) if match else (name, 0)


def _version(place: str) -> tuple[str, tuple[int, ...]]:
    parts = _components(place)
    files = [again(part) if i == len(parts) - 1 or ARCHIVES.search(part) else (part, 0) for i, part in enumerate(parts)]
    return "/".join(name for name, _ in files), tuple(number for _, number in files)


def _components(place: str) -> list[str]:
    """Of a path; some programs write archives with the other slash."""
    plain = place if place.isascii() else unicodedata.normalize("NFKC", place)
    return [part for part in plain.replace("\\", "/").split("/") if part] or [""]


def _stem(name: str) -> str:
    return ARCHIVES.sub("", _WORK.sub("", name))


def _words(stem: str) -> list[str]:
    return [word for word in re.split(r"[^a-z0-9]+", stem.casefold()) if word]


@lru_cache(10**4)
def _named_by(name: str, assignments: tuple[str, ...], *, alone: bool = False) -> str | None:
    """By "a2_attention", also with a number that it had before; by "a2"; by "attention" if that may stand
    alone: a file of this name may as well be a part of something.
    """
    numbers = {one.partition("_")[0]: one for one in assignments}
    slugs = {one.partition("_")[2]: one for one in assignments}
    words = _words(_stem(name))
    found: set[str] = set()
    for i, word in enumerate(words):
        short = re.fullmatch(r"(?:a|assignment)0?(\d)([a-z]*)", word)
        number, slug = (f"a{short[1]}", short[2]) if short else ("", "")
        following = words[i + 1] if i + 1 < len(words) else ""
        if word == "assignment" and re.fullmatch(r"0?\d", following):
            number, following = f"a{following[-1]}", words[i + 2] if i + 2 < len(words) else ""
        if number and (slug or following) in slugs:
            found.add(slugs[slug or following])
        elif number in numbers and not slug:
            found.add(numbers[number])
    if not found and alone and "".join(words) in slugs:
        found.add(slugs["".join(words)])
    return found.pop() if len(found) == 1 else None
