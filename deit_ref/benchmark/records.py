"""What a measurement leaves: a table, and how, when and with what it was made, as the site reads it."""

import datetime
import os
import platform
from collections.abc import Sequence
from typing import Any


def record(command: str, columns: Sequence[str], rows: Sequence[Sequence[str]], **more: Any) -> dict[str, Any]:
    """A table as docs/data holds it.

    Args:
        command: what is given to Python, without folders of this machine.
        columns, rows: the table.
        more: what else is kept, such as "notes", sentences below the table, and "results", the numbers themselves.
    """
    import torch

    return {
        "command": f"python -m deit_ref.benchmark.{command}",
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {"Python": platform.python_version(), "torch": torch.__version__},
        "columns": list(columns),
        "rows": [list(row) for row in rows],
        **more,
    }


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The table as Markdown."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [columns, ["---"] * len(columns), *rows])
