"""Zips and tars, told apart by what is in them, whatever they are called."""

from pathlib import Path

from deit_ref import file_kinds, photo_files
from deit_ref.data import tars, zips
from deit_ref.data.sources import ARCHIVES, Source, is_packed


def from_archive(path: Path) -> Source:
    """What lies in a zip or a tar, by its name where its first bytes do not tell which it is.

    Raises:
        ValueError: it is neither, or broken.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(file_kinds.START)
    except OSError as error:
        raise photo_files.unreadable(str(path), error) from error
    if start.startswith(zips.MAGIC):
        return zips.from_zip(path)
    if start.startswith(tuple(tars.PACKED)) or start[257:262] == tars.MAGIC:
        return tars.from_tar(path)
    if known := file_kinds.what_else(start):
        what, remedy = known
        raise ValueError(f"{path} is {what}, not a zip or a tar: {remedy}.")
    if not is_packed(path.name):
        raise ValueError(
            f"{path} is neither a folder nor an archive ({', '.join(ARCHIVES)}): expected photos in class folders."
        )
    return zips.from_zip(path) if path.suffix.lower() == ".zip" else tars.from_tar(path)
