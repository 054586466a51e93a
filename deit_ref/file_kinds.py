"""What a file is by its first bytes, if neither a photo nor an archive that can be read; and what to do about it."""

START = 512  # bytes that are enough to tell

_UNPACK = "unpack it and give the folder"
_SAVE = "save what it shows as PNG or JPEG"
_KINDS = (
    (b"version https://git-lfs", "a pointer of Git LFS to a file", "git lfs pull fetches the file"),
    (b"PK\x03\x04", "a zip", _UNPACK),
    (b"\x1f\x8b", "packed by gzip", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "packed by Zstandard", _UNPACK),
    (b"%PDF-", "a PDF", _SAVE),
    (b"8BPS", "a file of Photoshop", _SAVE),
)
_VIDEO_BRANDS = (b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"avc1", b"M4V ", b"qt  ")
_HTML = (b"<!doctype html", b"<html", b"<head")


def what_else(start: bytes) -> tuple[str, str] | None:
    """What a file is and the remedy, such as ("empty (0 bytes)", "get it again"); None where that is not known.

    Args:
        start: its first bytes, `START` of them or, if it is shorter, all.
    """
    if not start:
        return "empty (0 bytes)", "get it again"
    if not any(start):
        return "zeros alone at its start", "get it again, its copy was not finished"
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(_HTML):
        return "a web page (HTML)", "download the file itself, by its direct link"
    if b"<svg" in text and text.startswith((b"<?xml", b"<svg", b"<!--")):
        return "a drawing (SVG)", _SAVE
    if start[4:8] == b"ftyp" and start[8:12] in _VIDEO_BRANDS:
        return "a video", _SAVE
    return next(((what, remedy) for magic, what, remedy in _KINDS if start.startswith(magic)), None)


def as_text(start: bytes) -> str | None:
    """The first line of a text, such as what a server says in the place of a file; None where it is not text."""
    try:
        text = start.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3:  # else the end cuts a character
            return None
        text = start[: error.start].decode("utf-8").strip()
    is_text = text and all(letter.isprintable() or letter.isspace() for letter in text)
    return text.splitlines()[0][:60] if is_text else None
