"""Which files are photos, by their names: what is taken, what is passed over, and what is left out and counted.

Nothing is opened here. What the system, a camera card or an editor left behind (`.DS_Store`, `._1.jpg`, `Thumbs.db`) is
passed over in silence wherever photos are looked for; every other file that is not a photo is counted.
"""

import glob
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

from deit_ref import checks

SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .webp .gif .bmp .tif .tiff .avif .jp2 .j2k .ppm .pgm .pbm .tga .ico".split()
)
HEIC_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
HEIC_REMEDY = "pip install pillow-heif to read them"

# In small letters: Windows writes them in either. Those of Apple, Windows, Synology and QNAP.
_NOT_OURS = frozenset(
    {"__macosx", "icon\r", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"}
    | {"@eadir", "#recycle", "@recycle", "lost+found"}
)


def is_ignored(name: str) -> bool:
    """Whether a file or folder is hidden or a leftover of a system, so that nobody means it when they say photos."""
    return name.startswith(".") or name.lower() in _NOT_OURS


def heic_is_read() -> bool:
    """Whether pillow-heif is installed, which reads HEIC and HEIF."""
    return find_spec("pillow_heif") is not None


def is_named_a_photo(name: str) -> bool:
    """Whether a file is a photo by its suffix, of a kind that is read here or with pillow-heif."""
    return os.path.splitext(name)[1].lower() in SUFFIXES | HEIC_SUFFIXES


def why_left_out(name: str) -> str | None:
    """Why a file is not taken for a photo, such as ".txt", or None if it is."""
    suffix = os.path.splitext(name)[1].lower()
    if suffix in SUFFIXES or (suffix in HEIC_SUFFIXES and heic_is_read()):
        return None
    return f"{suffix} ({HEIC_REMEDY})" if suffix in HEIC_SUFFIXES else suffix or "without a suffix"


def composed(name: str) -> str:
    """A name in the form by which names are compared: a Mac writes an umlaut as two characters, others as one (NFC)."""
    return unicodedata.normalize("NFC", name)


OnError: TypeAlias = Callable[[tuple[str, ...], OSError], object]


def walk(folder: str, *, on_error: OnError | None = None) -> Iterator[tuple[tuple[str, ...], os.DirEntry[str], bool]]:
    """What lies below a folder, its names from there on, and whether it is a folder itself.

    What `is_ignored` says is left out. Links are followed, but not to a folder that they lie in.

    Args:
        folder: where to begin.
        on_error: called with the names of a folder that cannot be opened, and with why; None means to raise that.
    """
    yield from _walk(folder, (), (), on_error)


def _walk(
    folder: str, parts: tuple[str, ...], above: tuple[str, ...], on_error: OnError | None
) -> Iterator[tuple[tuple[str, ...], os.DirEntry[str], bool]]:
    try:
        with os.scandir(folder) as entries:
            found = sorted((entry for entry in entries if not is_ignored(entry.name)), key=lambda entry: entry.name)
    except OSError as error:
        if on_error is None:
            raise
        on_error(parts, error)
        return
    above = (*above, os.path.realpath(folder))
    for entry in found:
        # A link to itself makes entry.is_dir() fail, and os.path.isdir say no.
        is_folder = os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()
        if is_folder and entry.is_symlink() and os.path.realpath(entry.path) in above:
            continue
        yield (*parts, entry.name), entry, is_folder
        if is_folder:
            yield from _walk(entry.path, (*parts, entry.name), above, on_error)


def find_images(names: list[str]) -> list[str]:
    """Files that the names stand for, in order: files, folders (and what lies below them, sorted) and patterns.

    Of a folder only photos are taken, and what is left out is counted in a line of the log. A name that stands for
    nothing, and a folder without a photo, stays in the list, so that reading it says what is wrong.
    """
    found: list[str] = []
    for name in names:
        # A pattern is only what does not exist: file names may hold brackets.
        matches = [] if os.path.exists(name) else sorted(glob.glob(name, recursive=True))
        written = set(Path(name).parts)
        meant = [match for match in matches if not any(map(is_ignored, {*Path(match).parts} - written))]
        for path in meant or [name]:
            inside, left_out = contents(path) if os.path.isdir(path) else ([], Counter())
            if inside and left_out:
                import logging

                logging.getLogger("deit_ref").info("%s: left out are %s.", path, counted(left_out))
            found.extend(inside or [path])
    return found


def contents(folder: str) -> tuple[list[str], Counter[str]]:
    """The photos below a folder, sorted, and how many other files there are, by the reason that they are none."""
    files = sorted((parts, entry.path) for parts, entry, is_folder in walk(folder) if not is_folder)
    unreachable = "that cannot be reached (no permission, or a link to nothing)"
    reasons = {
        path: why_left_out(parts[-1]) or (None if os.path.isfile(path) else unreachable) for parts, path in files
    }
    photos = [path for path, reason in reasons.items() if reason is None]
    return photos, Counter(reason for reason in reasons.values() if reason is not None)


def counted(reasons: Counter[str] | Iterable[str], *, most: int = 8) -> str:
    """Reasons and how often each was given, most frequent first, such as "3 .txt, 1 .pdf"."""
    return checks.some((f"{count} {reason}" for reason, count in Counter(reasons).most_common()), most=most)
