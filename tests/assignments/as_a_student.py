"""What a student's notebook knows and runs, for the tests of the assignments."""

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from deit_ref.course import cut
from deit_ref.course.assignments import later
from deit_ref.course.release.source import source
from deit_ref.course.task import Assignment, messages


def namespace(assignment: Assignment, monkeypatch: pytest.MonkeyPatch, *, solved: bool) -> dict[str, Any]:
    """The names of a notebook after its tasks."""
    release = cut.release(messages(assignment), solved=solved, later=later(assignment))
    given = ModuleType("given")
    exec(release.given, given.__dict__)
    monkeypatch.setitem(sys.modules, "given", given)
    names: dict[str, Any] = {}
    exec(release.student, names)
    return names | {"np": np}


def run_last_cell(assignment: Assignment, names: dict[str, Any]) -> None:
    """The cell at the end, on something that shows."""
    exec(source(assignment)[-4].text, names)
