"""The seven assignments: for each its tasks, the inputs they are tested on, and the mistakes they are known for."""

import re

from deit_ref.course.assignments import (
    a1_patches,
    a2_attention,
    a3_model,
    a4_backward,
    a5_distillation,
    a6_masking,
    a7_resampling,
)
from deit_ref.course.task import Assignment, Task, Unsolved, messages


def assignments() -> tuple[Assignment, ...]:
    """All seven, in order."""
    files = a1_patches, a2_attention, a3_model, a4_backward, a5_distillation, a6_masking, a7_resampling
    return tuple(file.ASSIGNMENT for file in files)


def later(assignment: Assignment) -> list[Unsolved]:
    """The `messages` of all assignments after this one, whose solutions it must not give away."""
    return [message for other in assignments() if other.number > assignment.number for message in messages(other)]


def find_assignment(name: str) -> Assignment:
    """By number ("2", "a2") or name ("attention", "a2_attention")."""
    for one in assignments():
        if name in (str(one.number), f"a{one.number}", one.slug, one.name):
            return one
    number, _, slug = name.partition("_")
    for one in assignments():
        if slug == one.slug and re.fullmatch(r"a\d", number):
            raise ValueError(f"{name} is {one.name} now: the assignments were put in another order.")
    known = ", ".join(one.name for one in assignments())
    raise ValueError(f"There is no assignment {name!r}: expected one of {known}.")


def find_task(name: str) -> Task:
    """By assignment and function, such as "a2_attention.split_heads"."""
    assignment, _, function = name.partition(".")
    tasks = {task.name: task for task in find_assignment(assignment).tasks}
    if function not in tasks:
        raise ValueError(f"{assignment} has no task {function!r}: expected one of {', '.join(tasks)}.")
    return tasks[function]
