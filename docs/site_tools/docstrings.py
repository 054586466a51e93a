"""What mkdocstrings shows of docstrings: examples as code, as they stand in the source."""

import re
from typing import Any

import griffe


class Examples(griffe.Extension):
    """Fence each run of `>>>` lines, which Markdown would take for quotations."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(docstring: str) -> str:
    lines = r"(?m)^>>> (?:.*\S.*(?:\n|\Z))+"
    return re.sub(lines, lambda example: f"```pycon\n{example[0].rstrip()}\n```\n", docstring)
