"""Text of students in tables and on terminals: nothing in it is a formula or steers anything."""

import re

_FORMULA = re.compile(r"\s*[-=+@\uff0d\uff1d\uff0b\uff20]")


def cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    line = printable(re.sub(r"\s", " ", text))
    return f"'{line}" if _FORMULA.match(line) else line


def printable(text: str) -> str:
    """Without what steers a terminal; file names that are not text by their codes."""
    shown = text.encode("utf-8", "backslashreplace").decode()
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", "?", shown)
