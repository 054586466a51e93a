"""Finds the seed of the hidden tests: that with which the course was built."""

import json
from pathlib import Path


def seed_of(submissions: Path, *, course: Path | None = None, asked: int | None = None) -> int:
    """The seed that a course was built with.

    Args:
        submissions: the folder of a class. Without `course`, courses are looked for beside it and one folder above:
            there, and in each folder there, as `teacher/seed.json`.
        course: the folder that `deit-ref course build` wrote.
        asked: the seed that somebody named; it has to be the course's, if there is one.

    Returns:
        The seed; without a course the one that was asked for.

    Raises:
        ValueError: no seed is known, several are, the course's is not the one asked for, or it cannot be read.
    """
    if course is not None:
        places = [course / "teacher" / "seed.json"]
        if not places[0].is_file():
            raise ValueError(
                f"{course} holds no teacher/seed.json: name the folder that `deit-ref course build` wrote."
            )
    else:
        above = submissions.resolve().parent
        places = [path for folder in (above, above.parent) for path in _courses(folder)]
    found = {_read(path): path.parents[1] for path in places}
    if not found and asked is None:
        raise ValueError(f"No course was found beside {submissions}: name it with --course, or its seed with --seed.")
    if asked is not None and (not found or asked in found):
        return asked
    if asked is not None:
        raise ValueError(
            f"The hidden tests of {next(iter(found.values()))} were built with another seed than {asked}: leave --seed "
            "out, or name another course with --course."
        )
    if len(found) > 1:
        raise ValueError(f"There are several courses, {', '.join(map(str, found.values()))}: name one with --course.")
    return next(iter(found))


def _courses(folder: Path) -> list[Path]:
    return sorted([*folder.glob("teacher/seed.json"), *folder.glob("*/teacher/seed.json")])


def _read(path: Path) -> int:
    try:
        seed = json.loads(path.read_text(encoding="utf-8"))["seed"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} holds no seed ({type(error).__name__}): build the course again.") from error
    if not isinstance(seed, int):
        raise ValueError(f"{path} holds the seed {seed!r}: expected a whole number.")
    return seed
