"""Remembers a class's points from one run to the next, so that a report can say what has changed.

`history.json` beside the table holds for each assignment the points of the last run, and those before they changed.
A run that changes nothing leaves it as it is, and so does a report, however often it is made.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

Points = Mapping[str, Mapping[str, float]]  # student -> task -> points


def remember(out: Path, results: Iterable[Mapping[str, Any]], *, when: datetime) -> None:
    """Write down what a run gave.

    Args:
        out: the table.
        results: of the run, as they stand in the details; students that were not graded again keep what they have.
        when: the time of the run.
    """
    history, latest = recall(out), dict[str, dict[str, dict[str, float]]]()
    for result in results:
        points = {task["name"]: task["points"] for task in result["tasks"]}
        latest.setdefault(result["assignment"], {})[result["student"]] = points
    for name, graded in latest.items():
        known = history.get(name, {"now": {}, "when": None})
        now = {**known["now"], **graded}
        if now != known["now"]:
            time = when.isoformat(timespec="seconds")
            history[name] = {"before": known["now"], "since": known["when"], "now": now, "when": time}
    unfinished = _path(out).with_suffix(".unfinished")
    unfinished.write_text(json.dumps(history), encoding="utf-8")
    unfinished.replace(_path(out))


def recall(out: Path) -> dict[str, Any]:
    """Assignment -> "now" and "before" (points), "when" and "since" (their times); nothing if nothing is known."""
    try:
        found = json.loads(_path(out).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _path(out: Path) -> Path:
    return out.with_name("history.json")
