"""How an assignment is graded: its hidden tests, and what stands around a submission; the same for every student."""

import ast
import marshal
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from deit_ref.course import cut
from deit_ref.course.assignments import later
from deit_ref.course.grading.known import Known
from deit_ref.course.grading.process import LIMITS, Limits
from deit_ref.course.grading.sandbox import Others
from deit_ref.course.task import Assignment, Case, Task, messages, seeded


class Plan(NamedTuple):
    """How one assignment is graded: the same for every student."""

    assignment: Assignment
    seed: int
    isolated: bool
    limits: Limits
    given: str
    before: str  # imports and helpers of the release: whoever lost them, or changed their cells, has them again
    after: Mapping[str, str]  # values by name, which may need a student's functions
    cases: tuple[tuple[Task, tuple[Case, ...]], ...]
    known: Mapping[str, tuple[Known, ...]]  # by task, what is right and what mistakes give, a Known for each case


def plan(assignment: Assignment, *, seed: int, isolated: bool = True, limits: Limits = LIMITS) -> Plan:
    """Draw the inputs of an assignment's hidden tests."""
    cases = tuple((task, tuple(task.cases(seeded(seed, task)))) for task in assignment.tasks)
    release = cut.release(messages(assignment), later=later(assignment))
    names = {task.name for task in assignment.tasks}
    before, after = [], {}
    for node in ast.parse(release.student).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            after[ast.unparse(target)] = ast.unparse(node)
        elif getattr(node, "name", None) not in names:
            before.append(ast.unparse(node))
    known = {task.name: tuple(Known(task, case) for case in found) for task, found in cases}
    return Plan(assignment, seed, isolated, limits, release.given, "\n\n".join(before), after, cases, known)


@cache
def reference_of(assignment: Assignment, tasks: frozenset[str]) -> Others:
    """The solutions of some tasks, compiled, without their documentation, and nothing of the other tasks'."""
    tree = ast.parse(cut.release(messages(assignment), solved=True).student)
    rest = tuple(task.name for task in assignment.tasks if task.name not in tasks)
    tree.body = [node for node in tree.body if getattr(node, "name", None) not in rest]
    return Others(tuple(tasks), rest, marshal.dumps(compile(tree, "<the course>", "exec", optimize=2)))
