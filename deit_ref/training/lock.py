"""One run per folder: whoever trains into a folder holds a lock that ends with the process, however it ends."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

NAME = ".lock"


class InUseError(ValueError):
    """Another run is at work in the folder."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The folder, which is made if it is not there, is this run's alone inside the block.

    Raises:
        InUseError: another process holds it.
        ValueError: nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened = open(folder / NAME, "a+", encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        raise ValueError(
            f"{folder} must be a folder that can be written into ({error.strerror}): choose another folder."
        ) from error
    with opened as file:
        if not _taken(file):
            file.seek(0)
            raise InUseError(
                f"{folder} is in use by another run (process {file.read().strip() or 'unknown'}): wait until it ends, "
                "or choose another folder."
            )
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
        file.truncate(0)


def _taken(file: IO[str]) -> bool:
    """Whether the file's lock was free and is ours until the file is closed."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(2**20)  # what is locked cannot be read, so not the number of the process
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
