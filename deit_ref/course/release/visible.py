"""What a student's own `pytest` uses: the cases of the visible tests, and a sum of points after them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deit_ref.course.assignments import find_assignment, find_task
from deit_ref.course.grading.check import PUBLIC_SEED
from deit_ref.course.grading.sandbox import Answer
from deit_ref.course.task import points_of, seeded

_results: dict[str, list[bool]] = {}  # "assignment.task" -> right or not, of one run of pytest


def visible_cases(name: str, expected: Path) -> list[Any]:
    """A parameter set for each case: the task, the case, and the results that were computed when this was built.

    Args:
        name: of the assignment.
        expected: the file of results.
    """
    found = []
    with np.load(expected, allow_pickle=False) as file:
        for task in find_assignment(name).tasks:
            for i, case in enumerate(task.cases(seeded(PUBLIC_SEED, task))):
                *keys, last = [key for key in file.files if key.startswith(f"{task.name}.{i}.")] or [""]
                if last != f"{task.name}.{i}.form":
                    raise ValueError(f"{expected.name} holds no {task.name}.{i}: it was made with another deit_ref.")
                right = Answer(arrays=tuple(file[key] for key in keys), form=str(file[last]))
                found.append(pytest.param(task, case, right, id=f"{name}.{task.name}-{case.note}"))
    return found


def pytest_runtest_logreport(report: Any) -> None:
    """Remember whether a case was right."""
    if report.when == "call" and "test_case[" in report.nodeid:
        place = report.nodeid.partition("test_case[")[2].partition("-")[0]
        _results.setdefault(place, []).append(report.passed)


def pytest_sessionfinish(session: Any) -> None:
    """Write points.json and report.md."""
    rows: list[dict[str, Any]] = []
    for place, right in _results.items():
        task = find_task(place)
        points = points_of(task, sum(right), len(right))
        rows.append({"task": place, "points": points, "out_of": task.points, "right": sum(right), "cases": len(right)})
    if not rows:
        return
    total, most = round(sum(row["points"] for row in rows), 2), sum(row["out_of"] for row in rows)
    lines = [f"# {total:g} of {most:g} points by the visible tests", ""]
    lines += ["| task | points | of | right cases |", "|---|---|---|---|"]
    for row in rows:
        lines.append(f"| {row['task']} | {row['points']:g} | {row['out_of']} | {row['right']} of {row['cases']} |")
    folder = Path(session.config.invocation_params.dir)
    text = json.dumps({"total": total, "out_of": most, "tasks": rows}, indent=1) + "\n"
    folder.joinpath("points.json").write_text(text, encoding="utf-8")
    folder.joinpath("report.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _results.clear()
