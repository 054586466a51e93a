"""Builds what is handed out: folders for students and teachers, and the same for nbgrader."""

import ast
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import deit_ref
from deit_ref.course import cut
from deit_ref.course.assignments import assignments, find_assignment, later
from deit_ref.course.grading.check import PUBLIC_SEED
from deit_ref.course.grading.known import answered
from deit_ref.course.release.links import relinked
from deit_ref.course.release.notebook import notebook, points
from deit_ref.course.release.source import Cell, source
from deit_ref.course.task import Assignment, messages, reference, seeded

Files = Mapping[str, str | bytes]  # name -> content

_TESTS = '''"""The tests of this assignment that you can see: run `python -m pytest`. Points come from others.

points.json and report.md say what you would get for these.
"""

from pathlib import Path

import pytest
import student

from deit_ref.course.grading.check import check
from deit_ref.course.release.visible import visible_cases

EXPECTED = Path(__file__).with_name("expected.npz")


@pytest.mark.parametrize(("task", "case", "expected"), visible_cases("{name}", EXPECTED))
def test_case(task, case, expected):
    verdict = check(task, getattr(student, task.name), case, expected)
    assert verdict.right, verdict.message
'''

_CONFTEST = '''"""Writes points.json and report.md after the tests."""

from deit_ref.course.release.visible import pytest_runtest_logreport, pytest_sessionfinish  # noqa: F401
'''

_PHOTO = '''"""Your functions at work: run `python photo.py` in this folder. A last picture is saved as photo.png."""

from deit_ref.course.release.earlier import show
from student import *  # noqa: F403

'''

_HOW_TO_WORK = """## How to work

Install deit_ref {version} as your course says, and `pip install pytest`. Then run `python -m pytest` in this folder, as
often as you like; `python -m pytest -k .{first}-` runs the tests of one function. They say what was expected, what
came, and which mistake it looks like. `report.md` and `points.json` sum them up; the points you get are those of other
tests of the same kind.

Use Python's standard library, NumPy, SciPy and what is given here, nothing else. Functions leave their inputs as they
are, and return what their first line says they do. Inputs are always as described: the checks that a description lists
under "Raises" are not asked for. If one of your functions is wrong, those that call it are graded with a right one.
Name in `answers.md` what helped you.

| file | what it is |
|---|---|
| `student.py` | your work: write the bodies, leave names and arguments |
| `given.py` | what you need of earlier chapters; it is not handed in |
| `test_student.py`, `expected.npz` | the tests, and the results they expect |
| `photo.py` | shows your functions at work, once they are written |"""

_NBGRADER_README = """# The course with nbgrader

nbgrader hands out, collects, shows open questions and keeps the grades. Points for functions come from
`deit-ref course grade`, which locks every submission in and knows the hidden tests: in a notebook, what gives points
could be changed by what it tests, so there is nothing of them in these notebooks, and `autograde` runs no code here
(nbgrader_config.py). A changed test is put back before students' cells are read.

nbgrader is installed by `pip install -c constraints.txt ".[course]"` in the repository of deit_ref. Then, in this
folder, for {names}:

    nbgrader generate_assignment {first}       # release/{first}/: what students get
    nbgrader autograde {first}                 # takes in submitted/STUDENT/{first}/{first}.ipynb; no points yet
    deit-ref course grade submitted/ --out grades/{first}.csv --assignment {first}
    python -m deit_ref.course.release.gradebook grades/details
    nbgrader generate_feedback {first}         # feedback/STUDENT/{first}/{first}.html
    nbgrader export                            # grades.csv

Open questions are graded by hand, in the browser: `nbgrader formgrade`, or under "Formgrader" in JupyterLab. Whoever
runs `autograde` again enters the points again.
"""

_CONFIG = """c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "deit_ref"
c.ClearSolutions.code_stub = {"python": "# Your code here, in place of the next line."}
c.ClearSolutions.text_stub = "*Your answer.*"
# All of nbgrader's own but `Execute`: what students wrote runs in `deit-ref course grade` alone, locked in.
c.Autograde.autograde_preprocessors = [
    f"nbgrader.preprocessors.{name}"
    for name in ("IgnorePattern", "LimitOutput", "SaveAutoGrades", "AssignLatePenalties", "CheckCellMetadata")
]
"""


def build(
    out: Path,
    chosen: Sequence[Assignment],
    *,
    seed: int = 0,
    site: str | None = None,
    repository: str | None = None,
) -> list[Path]:
    """Write all releases.

    Args:
        out: a new or an empty folder.
        chosen: which.
        seed: of the hidden tests.
        site: where the site's pages are, for links to them; None leaves links out.
        repository: the project's address, from which a notebook's first cell installs it; None leaves that cell out.

    Returns:
        The files that were written.

    Raises:
        ValueError: the folder is not empty, or the seed is that of the visible tests.
    """
    if seed == PUBLIC_SEED:
        raise ValueError(f"The seed {seed} is that of the tests that students see: choose another one.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is not an empty folder: choose another one, so that nothing is lost.")
    contents: dict[str, str | bytes] = {}
    for assignment in chosen:
        found = [
            cell._replace(text=relinked(cell.text, site)) if cell.markdown else cell for cell in source(assignment)
        ]
        for folder, files in (
            ("student", student_files(assignment, found)),
            ("teacher", teacher_files(assignment, found, seed=seed)),
            ("nbgrader/source", nbgrader_files(assignment, found, repository=repository)),
        ):
            contents |= {f"{folder}/{assignment.name}/{name}": content for name, content in files.items()}
    names = [assignment.name for assignment in chosen]
    readme = _NBGRADER_README.format(names=", ".join(names), first=names[0])
    contents |= {
        "nbgrader/nbgrader_config.py": _CONFIG,
        "nbgrader/README.md": readme,
        "teacher/seed.json": json.dumps({"seed": seed, "deit_ref": deit_ref.__version__}) + "\n",
    }
    for name, content in contents.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [out / name for name in contents]


def student_files(assignment: Assignment, found: Sequence[Cell]) -> Files:
    """The text, the stubs, what is given, and tests that show no hidden number."""
    release = cut.release(messages(assignment), later=later(assignment))
    questions = [cell for cell in found if "question" in cell.values]
    answers_file = {"answers.md": _answers(assignment, questions)} if questions else {}
    number, title = assignment.number, assignment.title
    head = f'"""Assignment {number}, {title}: write the functions that raise NotImplementedError."""\n\n'
    return {
        "README.md": _readme(assignment, found),
        "student.py": head + release.student,
        "given.py": release.given,
        "test_student.py": _TESTS.format(name=assignment.name),
        "conftest.py": _CONFTEST,
        "photo.py": _photo([cell.text for cell in found if _shows(cell)]),
        "expected.npz": _expected(assignment),
        **answers_file,
    }


def teacher_files(assignment: Assignment, found: Sequence[Cell], *, seed: int) -> Files:
    """The solution, and all that students are not told."""
    release = cut.release(messages(assignment), solved=True, later=later(assignment))
    lines = [f"# Assignment {assignment.number}, {assignment.title}: for teachers", ""]
    lines += [f"{assignment.points} points by tests. Hidden tests: seed {seed}."]
    if away := given_away(assignment):
        lines += ["", "Its given.py holds solutions of earlier assignments, so hand it out when these are closed:", ""]
        lines += [f"- {name}: {', '.join(tasks)}" for name, tasks in away.items()]
    for number, task in enumerate(assignment.tasks, start=1):
        notes = [case.note for case in task.cases(seeded(seed, task))]
        lines += ["", f"## Task {number}: {task.name}, {points(task)}, {task.minutes} minutes", "", "Tested on:", ""]
        lines += [f"- {note}" for note in notes]
        lines += ["", "Mistakes that the feedback names:", ""]
        lines += [f"- {mistake.name}: {mistake.hint}" for mistake in task.mistakes]
    for cell in found:
        if "question" in cell.values:
            lines += ["", f"## Question {cell.values['question']}, {cell.values['points']} points", "", cell.text]
        elif "rubric" in cell.values or "answer" in cell.values:
            lines += ["", cell.text]
        elif cell.values.get("teacher"):
            lines += ["", cell.text if cell.markdown else f"```python\n{cell.text}\n```"]
    return {"solution.py": release.student, "given.py": release.given, "notes.md": "\n".join(lines) + "\n"}


def nbgrader_files(assignment: Assignment, found: Sequence[Cell], *, repository: str | None = None) -> Files:
    """The notebook with solutions, which nbgrader takes out again, and what is given."""
    made = notebook(assignment, found, repository=repository)
    return {
        f"{assignment.name}.ipynb": json.dumps(made, indent=1, ensure_ascii=False) + "\n",
        "given.py": cut.release(messages(assignment), later=later(assignment)).given,
    }


def write_given(name: str, folder: Path = Path()) -> None:
    """Make the given.py of an assignment, for a notebook that came without it; one that is there stays."""
    path = folder / "given.py"
    if not path.exists():
        assignment = find_assignment(name)
        path.write_text(cut.release(messages(assignment), later=later(assignment)).given, encoding="utf-8")


def given_away(assignment: Assignment) -> dict[str, list[str]]:
    """The tasks of earlier assignments whose solutions stand in this one's given.py, by assignment."""
    own = {task.function for task in assignment.tasks}
    needed = {place for function in own for place in cut.needs(function)} - own
    found = {
        other.name: [task.name for task in other.tasks if task.function in needed]
        for other in assignments()
        if other.number < assignment.number
    }
    return {name: tasks for name, tasks in found.items() if tasks}


def _shows(cell: Cell) -> bool:
    """Whether it is code that shows what the functions do."""
    return cell.for_students and not cell.markdown and "task" not in cell.values


def _photo(texts: Sequence[str]) -> str:
    """The same code as a script, in which the last value, which a notebook shows, is shown, too."""
    lines = "\n\n".join(texts).split("\n")
    last = ast.parse("\n".join(lines)).body[-1]
    if isinstance(last, ast.Expr):
        lines[last.lineno - 1 :] = [f"show({ast.unparse(last)})"]
    return _PHOTO + "\n".join(lines) + "\n"


def _readme(assignment: Assignment, found: Sequence[Cell]) -> str:
    tasks = {task.function: (number, task) for number, task in enumerate(assignment.tasks, start=1)}
    parts = []
    for cell in found:
        if not cell.for_students:
            continue
        if "task" in cell.values:
            number, task = tasks[cell.values["task"]]
            parts.append(f"**Task {number}, {points(task)}: write `{task.name}` in `student.py`.**")
        elif _shows(cell):
            parts.append(
                "**Run `python photo.py` in this folder.** If it ends with a picture, that is saved as `photo.png`."
            )
        elif "question" in cell.values:
            parts.append(cell.text)
            parts.append(f"**Question {cell.values['question']}, {cell.values['points']} points: in `answers.md`.**")
        else:
            parts.append(cell.text)
    parts.append(_HOW_TO_WORK.format(version=deit_ref.__version__, first=assignment.tasks[0].name))
    return "\n\n".join(parts) + "\n"


def _answers(assignment: Assignment, questions: Sequence[Cell]) -> str:
    lines = [f"# Assignment {assignment.number}: answers"]
    for cell in questions:
        lines += ["", f"## {cell.values['question']} ({cell.values['points']} points)", "", "Your answer."]
    lines += ["", "## Help I used", "", "People, pages, AI assistants, and for what; or none."]
    return "\n".join(lines) + "\n"


def _expected(assignment: Assignment) -> bytes:
    """What the reference gives on the visible inputs: numbers, as `visible.visible_cases` reads them."""
    arrays: dict[str, Any] = {}
    for task in assignment.tasks:
        for i, case in enumerate(task.cases(seeded(PUBLIC_SEED, task))):
            right = answered(reference(task.function), case)
            arrays |= {f"{task.name}.{i}.{j}": array for j, array in enumerate(right.arrays or ())}
            arrays[f"{task.name}.{i}.form"] = np.array(right.form)
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    return stream.getvalue()
