"""What a measurement leaves: a table, and how, when and with what it was made, as the site reads it."""

import datetime
import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


def record(
    command: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    packages: Sequence[str] = ("torch",),
    **more: Any,
) -> dict[str, Any]:
    """A table as docs/data holds it.

    Args:
        command: what is given to Python, without folders of this machine.
        columns, rows: the table.
        packages: whose versions count.
        more: what else is kept, such as "notes", sentences below the table, and "results", the numbers themselves.
    """
    return {
        "command": f"python -m deit_ref.benchmark.{command}",
        "date": datetime.date.today().isoformat(),
        "machine": f"{processor()['processor']}, {os.cpu_count()} cores",
        "versions": versions(packages),
        "columns": list(columns),
        "rows": [list(row) for row in rows],
        **more,
    }


def processor(cpuinfo: str | os.PathLike[str] = "/proc/cpuinfo") -> dict[str, Any]:
    """Name of the processor, cores, and its instructions for products in bfloat16 (Linux; None elsewhere)."""
    try:
        lines = [line.partition(":") for line in Path(cpuinfo).read_text(encoding="utf-8").splitlines()]
    except OSError:
        lines = []
    entries = {key.strip(): value.strip() for key, _, value in reversed(lines)}
    flags = entries["flags"].split() if "flags" in entries else None
    named = [name for name in ("amx_bf16", "avx512_bf16") if name in (flags or ())]
    return {
        "processor": entries.get("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "bfloat16": None if flags is None else named,
    }


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Python's and those of these packages that are installed."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, lower and upper quartile."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    lower, middle, upper = statistics.quantiles(values, n=4, method="inclusive")
    return middle, lower, upper


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The table as Markdown."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [columns, ["---"] * len(columns), *rows])
