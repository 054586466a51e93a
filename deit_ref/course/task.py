"""What an assignment is made of: tasks, the inputs they are tested on, and the mistakes they are known for."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]
Arrays = tuple[Array, ...]


class Case(NamedTuple):
    """One input of a task's function, and what is special about it, in words for the student.

    back: for a function that returns (y, back), with what `back` is called.
    """

    note: str
    arguments: tuple[Any, ...]
    options: Mapping[str, Any] = {}
    back: tuple[Any, ...] | None = None


class Mistake(NamedTuple):
    """A plausible wrong solution: the reference with one piece of text replaced, and what to tell who made it."""

    name: str
    old: str
    new: str
    hint: str


@dataclass(frozen=True, kw_only=True)
class Task:
    """One function to write.

    Attributes:
        function: "chapter.name", such as "attention.split_heads": the reference, and so the solution. What is in no
            chapter stands in a file of the assignments: "course.experiment.train_heads".
        points: for all cases right; each case is worth the same share.
        minutes: that it should take a student; the authors' guess.
        cases: inputs, drawn from the generator; shapes and values follow it, the notes do not.
        mistakes: each must change the result of at least one case.
        untold: the first words of the paragraphs of its docstring that give the task away: students do not get them.
        bound: how far a result may be off, as a share of the largest expected value; 0 for bytes. What is expected in
            float32 may be off by what float32 leaves of it.
        view: what of a result is compared, where several results are right; by default all of it. It is called with
            the case and the arrays, the student's too, and raises ValueError, in words for the student, if they make
            no sense.
    """

    function: str
    points: int
    minutes: int
    cases: Callable[[np.random.Generator], Iterator[Case]]
    mistakes: tuple[Mistake, ...]
    untold: tuple[str, ...] = ()
    bound: float = 1e-6
    view: Callable[[Case, Arrays], Arrays] | None = None

    @property
    def name(self) -> str:
        """The function's own name, by which a submission is asked."""
        return self.function.rpartition(".")[2]


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What is handed out together.

    Attributes:
        number: 1 to 7.
        slug: of its files: "attention" stands for notebooks/assignments/a2_attention.py.
        title: for people.
        tasks: in the order in which they are solved.
    """

    number: int
    slug: str
    title: str
    tasks: tuple[Task, ...]

    @property
    def name(self) -> str:
        """Such as "a2_attention"."""
        return f"a{self.number}_{self.slug}"

    @property
    def points(self) -> int:
        """Of all tasks together."""
        return sum(task.points for task in self.tasks)


class Unsolved(NamedTuple):
    """A function as students get it: which, what it says until it is written, and what its docstring leaves out."""

    function: str
    message: str
    untold: tuple[str, ...] = ()


def messages(assignment: Assignment) -> list[Unsolved]:
    """Each task, as `cut.release` takes them."""
    return [
        Unsolved(task.function, f"assignment {assignment.number}, task {i}: {task.name}", task.untold)
        for i, task in enumerate(assignment.tasks, 1)
    ]


def module_of(chapter: str) -> str:
    """What to import for a chapter's name: "attention" is a NumPy chapter, "course.x" a file of the assignments."""
    package = "course.assignments" if chapter.startswith("course.") else "numpy_backend"
    return f"deit_ref.{package}.{chapter.removeprefix('course.')}"


def reference(function: str) -> Callable[..., Any]:
    """The solution of a task, by its `function`."""
    chapter, _, name = function.rpartition(".")
    return getattr(import_module(module_of(chapter)), name)


def seeded(seed: int, task: Task) -> np.random.Generator:
    """The generator of a task's cases: another one for each task, so that adding a task changes no other."""
    return np.random.default_rng([seed, *task.function.encode()])


def points_of(task: Task, right: int, cases: int) -> float:
    """A task's points for so many right cases, in hundredths, rounded down: only all are full marks."""
    return math.floor(100 * task.points * right / cases) / 100
