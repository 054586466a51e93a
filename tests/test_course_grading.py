"""A class is graded: what is handed in is read, run and judged, and nothing in it stops the others."""

import csv
import html
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import deit_ref
from deit_ref import commands
from deit_ref.course import cut
from deit_ref.course.assignments import assignments, find_assignment
from deit_ref.course.assignments.a2_attention import ASSIGNMENT
from deit_ref.course.grading import feedback, grade, inside, marks, modules, sandbox, searching, statements, submission
from deit_ref.course.grading.check import PUBLIC_SEED
from deit_ref.course.grading.feedback import report
from deit_ref.course.grading.grade import grade_all
from deit_ref.course.grading.marks import grade_one
from deit_ref.course.grading.plan import plan
from deit_ref.course.grading.process import Limits
from deit_ref.course.grading.students import students
from deit_ref.course.grading.submission import Code, Submission, read
from deit_ref.course.grading.table import write_table
from deit_ref.course.release.build import build, student_files
from deit_ref.course.release.source import source
from deit_ref.course.task import messages

SEED = 7
NAME = "a2_attention"
THOROUGH = os.environ.get("DEIT_REF_HYPOTHESIS_PROFILE") == "thorough"
TASKS = [task.name for task in ASSIGNMENT.tasks]
POINTS = [task.points for task in ASSIGNMENT.tasks]


@pytest.fixture(scope="session")
def course(tmp_path_factory):
    """The releases, as a teacher builds them."""
    folder = tmp_path_factory.mktemp("course") / "built"
    build(folder, assignments() if THOROUGH else [ASSIGNMENT], seed=SEED)
    return folder


@pytest.fixture(scope="session")
def solution(course):
    return (course / "teacher" / NAME / "solution.py").read_text()


@pytest.fixture(scope="session")
def empty(course):
    return (course / "student" / NAME / "student.py").read_text()


PLAN = plan(ASSIGNMENT, seed=SEED, limits=Limits(seconds=2.0, start_up=10.0, memory=2**30))


def graded(text, place="student.py", others=()):
    return grade_one(PLAN, Submission("ann", NAME, place, text.encode(), others=others))


def points(result):
    return [task["points"] for task in result["tasks"]]


def notebook(*cells):
    made = [{"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": c} for c in cells]
    return json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def put(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def only(folder):
    """What the one student in a folder handed in."""
    ((name, parts),) = students(folder).students.items()
    return read(name, parts, NAME)


# What is read


def module(place, content, wanted=()):
    """What is made of a file, in this process."""
    (names, problems, beside), text = modules.module(place, content, frozenset(wanted))
    return Code(text.decode(), frozenset(names), tuple(problems), beside)


def code(*cells, wanted=()):
    found = module("x.ipynb", notebook(*cells).encode(), wanted)
    names = {}
    exec(found.text, names)
    return found, names


def test_calls_at_the_top_level_do_not_run():
    found, names = code(
        "import math\nprint(1/0)\ndef f(x):\n    return math.sqrt(x)",
        "assert f(4) == 3\nfor i in range(10**12): pass\nwhile True: pass\nf(1 / 0)",
        "if __name__ == '__main__':\n    raise SystemExit\nwith open('x') as g:\n    pass\ndel f",
    )
    assert names["f"](4) == 2
    assert found.problems == ()
    assert "1 / 0" not in found.text.replace("1/0", "1 / 0")
    assert "while" not in found.text


def test_assignments_stay_if_something_needs_them():
    found, names = code(
        "A = 2\nB = A + 1\nC: int = B\nunused = open('/nowhere')\nresult = f(1)",
        "TABLE = {}\nTABLE['x'] = 5\nN = 0\nN += 3",
        "def f(x):\n    return C + TABLE['x'] + N",
        "g = lambda x: x + A\nh = g",
        wanted=["h", "f"],
    )
    assert names["f"](0) == 3 + 5 + 3
    assert names["h"](0) == 2
    assert found.names == {"A", "B", "C", "TABLE", "N", "f", "g", "h"}


def test_an_import_or_an_assignment_that_fails_costs_only_what_uses_it():
    _, names = code("import no_such_thing\nX = 1 / 0\nY = 2\ndef f():\n    return Y\ndef g():\n    return X")
    assert names["f"]() == 2
    with pytest.raises(NameError):
        names["g"]()


def test_a_missing_name_in_an_annotation_is_no_reason_to_fail():
    _, names = code("def f(x: Float[Array, 'n']) -> NoSuchName:\n    return x")
    assert names["f"](1) == 1


def test_definitions_in_blocks_of_choice_stay():
    found, names = code(
        "try:\n    import fast as m\nexcept ImportError:\n    import math as m",
        "if True:\n    def f():\n        return m.pi\nelse:\n    pass",
    )
    assert 3 < names["f"]() < 4
    assert found.names == {"m", "f"}


def test_texts_keep_their_lines_and_decorators():
    text = "@staticmethod\ndef f():\n    '''a\n  b'''\n    return '''c\n d'''  # é\nx = 1; y = 2\ndef g(): return x, y"
    _, names = code(text)
    assert names["f"].__doc__ == "a\n  b"
    assert names["f"]() == "c\n d"
    assert names["g"]() == (1, 2)


@pytest.mark.parametrize(
    "magic",
    [
        "%matplotlib inline\n",
        "!pip install numpy\n",
        "%%time\n",
        "f?\n",
        "files = !ls\n",
        "x = %who\n",
        "\n%%capture\n",
    ],
)
def test_magics_are_dropped_and_the_rest_of_the_cell_stays(magic):
    found, names = code(f"{magic}def f():\n    return 5 % 3")
    assert names["f"]() == 2
    assert found.problems == ()


def test_cells_of_another_language_are_dropped():
    found, _ = code("%%bash\nrm -rf /\ndef f", "%%writefile x.py\ndef h(): pass", "def g():\n    return 1")
    assert found.names == {"g"}
    assert found.problems == ()


def test_a_percent_sign_that_continues_a_line_is_no_magic():
    _, names = code("def f(a):\n    return (a\n        % 3)")
    assert names["f"](5) == 2


def test_syntax_errors_cost_only_their_cell():
    found, names = code("def f(:\n    return", "def g():\n    return 1")
    assert names["g"]() == 1
    assert len(found.problems) == 1
    assert found.problems[0].startswith("code cell 1 is not Python and was left out: ")
    script = b"# %%\ndef f(:\n# %% [markdown]\n# words\n# %%\ndef g():\n    return 1\n"
    found = module("x.py", script)
    assert found.names == {"g"}
    found = module("student.py", b"def f(:\n")
    assert found.problems[0].startswith("the file is not Python")


@pytest.mark.parametrize(
    "text",
    [
        "(" * 10**5,
        "-" * 10**5 + "1",
        "x = " + "1+" * 10**5 + "1",
        "a" + ".b" * 10**5,
        "x = '\ud800'",
        "\0",
        "x=" + "9" * 10**5,
    ],
    ids=["parentheses", "signs", "sums", "attributes", "surrogate", "zero", "number"],
)
def test_cells_that_nobody_writes_by_hand_cost_only_themselves(text):
    found, names = code(text, "def g():\n    return 1")
    assert names["g"]() == 1
    assert len(found.problems) <= 1


@pytest.mark.parametrize(
    ("place", "content", "words"),
    [
        ("x.ipynb", b"{", "expected a notebook of version 4"),
        ("x.ipynb", b"[]", "expected a notebook of version 4"),
        ("x.ipynb", b'{"cells": 3}', "expected a notebook of version 4"),
        ("x.ipynb", b'{"cells": [{"cell_type": "code", "source": 3}]}', "expected a notebook of version 4"),
        ("x.ipynb", b"[" * 10**6, "expected a notebook of version 4"),
        ("x.ipynb", "é".encode("latin-1"), "expected a notebook of version 4"),
        ("x.py", b"a\0b", "expected text, got a file with zero bytes"),
        ("x.py", b"# " + b"a" * 2**20, "expected at most 1048576 letters of code, got 1048578"),
    ],
)  # fmt: skip
def test_files_that_are_none_are_refused(place, content, words):
    with pytest.raises(ValueError, match=words):
        module(place, content)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_texts_are_read_as_editors_write_them(encoding):
    found = module("x.py", "def f():\r\n    return 'é'\r\n".encode(encoding))
    names = {}
    exec(found.text, names)
    assert names["f"]() == "é"


@pytest.mark.parametrize(
    "place",
    [f"{NAME}.ipynb", f"{NAME}.py", f"{NAME}/student.py", f"{NAME}/{NAME}.ipynb", f"{NAME}/{NAME}.py", "student.py"],
)
def test_a_submission_is_found_wherever_it_may_stand(tmp_path, place):
    put(tmp_path / "ann", place, "x = 1")
    found = only(tmp_path)
    assert (found.place, found.content, found.problem) == (place, b"x = 1", None)


def test_of_several_files_the_first_is_taken_and_the_others_are_named(tmp_path):
    put(tmp_path / "ann", f"{NAME}/student.py", "x = 1")
    put(tmp_path / "ann", f"{NAME}.py", "x = 2")
    found = only(tmp_path)
    assert (found.place, found.others) == (f"{NAME}.py", (f"{NAME}/student.py",))
    noted = graded("x = 1", others=("other.py",))
    assert noted["notes"] == ["Only student.py was graded, not other.py."]


def packed(files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return stream.getvalue()


def test_zips_are_read_without_being_unpacked(tmp_path):
    put(tmp_path, "ann.zip", packed({f"top/{NAME}/student.py": "x = 1", "__MACOSX/student.py": "no"}))
    put(tmp_path, f"bea/{NAME}.zip", packed({"student.py": "x = 2"}))
    put(tmp_path, f"cat/{NAME}.zip", packed({"readme.md": "x = 2"}))
    put(tmp_path, "dan.zip", b"PK no zip")
    put(tmp_path, f"eve/{NAME}.zip", packed({"student.py": "x = 3"})[:-30])
    put(tmp_path, "fay.zip", packed({"../../student.py": "x = 4"}))
    put(tmp_path, "gil.zip", packed({"my_student.py": "x = 5"}))
    found = {name: read(name, parts, NAME) for name, parts in students(tmp_path).students.items()}
    assert list(found) == ["ann", "bea", "cat", "dan", "eve", "fay", "gil"]
    assert found["ann"].content == b"x = 1"
    assert found["ann"].others == ()  # one file, with and without the folder that holds all
    assert found["bea"].content == b"x = 2"
    assert found["cat"].problem == f"nothing was handed in for {NAME}: there is {NAME}.zip/readme.md."
    assert found["dan"].problem == "it cannot be read: File is not a zip file"
    assert found["eve"].problem == f"it cannot be read: {NAME}.zip: File is not a zip file"
    assert found["fay"].content == b"x = 4"
    assert found["gil"].content == b"x = 5"
    assert found["gil"].notes == (f"my_student.py was taken for {NAME}.",)
    assert sorted(path.name for path in tmp_path.rglob("*.py")) == []


def test_files_that_are_too_long_are_not_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(submission, "FILE_BYTES", 1000)
    put(tmp_path, "ann/student.py", b"#" * 1001)
    put(tmp_path, "bea.zip", packed({"student.py": "#" * 10**6}))
    put(tmp_path, "cat/student.py", b"#" * 1000)
    put(tmp_path, "dan.zip", packed({"student.py": "#" * 1000}))
    for name, parts in students(tmp_path).students.items():
        found = read(name, parts, NAME)
        if name in ("cat", "dan"):
            assert found.problem is None
        else:
            assert (
                found.problem
                == "it cannot be read: student.py has more than 1000 bytes: hand it in without large outputs."
            )
            assert found.place == "student.py"


def test_links_that_leave_the_students_folder_are_not_followed(tmp_path):
    put(tmp_path, "elsewhere/student.py", "x = 1")
    put(tmp_path, "class/bea/student.py", "x = 2")
    (tmp_path / "class" / "ann").mkdir()
    (tmp_path / "class" / "ann" / "student.py").symlink_to(tmp_path / "elsewhere" / "student.py")
    (tmp_path / "class" / "cat").symlink_to(tmp_path / "class" / "bea")
    (tmp_path / "class" / "dan").symlink_to(tmp_path / "nowhere")
    put(tmp_path, "class/eve/own.py", "x = 3")
    (tmp_path / "class" / "eve" / "student.py").symlink_to("own.py")
    os.mkfifo(tmp_path / "class" / "bea" / f"{NAME}.py")
    (tmp_path / "class" / "fay").mkdir()
    (tmp_path / "class" / "fay" / "student.py").mkdir()
    (tmp_path / "class" / "guy.zip").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "class" / "ida").mkdir()
    (tmp_path / "class" / "ida" / f"{NAME}.zip").symlink_to(tmp_path / "secret.zip")
    put(tmp_path, "secret.zip", packed({"student.py": "x = 4"}))
    found = {name: read(name, parts, NAME) for name, parts in students(tmp_path / "class").students.items()}
    said = {name: one.problem and one.problem.removeprefix("it cannot be read: ") for name, one in found.items()}
    assert said == {
        "ann": "student.py is a link that leaves the student's folder.",
        "bea": "a2_attention.py is not a file.",
        "cat": "cat is a link to another place, and links are not followed.",
        "dan": "dan is not a folder.",
        "eve": None,
        "fay": "nothing was handed in.",
        "guy": "guy.zip is a link to another place, and links are not followed.",
        "ida": "a2_attention.zip is a link that leaves the student's folder.",
    }


def test_a_folder_without_students_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no students: expected a folder, or an archive, for each"):
        students(tmp_path)
    with pytest.raises(ValueError, match="is not a folder"):
        students(tmp_path / "nowhere")


# What is graded


def test_solution_empty_release_and_nothing(solution, empty):
    assert points(graded(solution)) == POINTS
    assert points(graded(empty)) == [0] * 6
    assert points(graded("x = 1")) == [0] * 6
    nothing = grade_one(PLAN, Submission("ann", NAME, problem="nothing was handed in."))
    assert points(nothing) == [0] * 6
    assert nothing["notes"] == ["Nothing was handed in."]
    assert graded(solution)["total"] == graded(empty)["out_of"] == sum(POINTS)


def test_the_notebook_gets_the_same_as_the_module(course, solution):
    text = (course / "nbgrader" / "source" / NAME / f"{NAME}.ipynb").read_text()
    assert points(graded(text, f"{NAME}.ipynb")) == POINTS


def test_some_cases_right_are_some_points_and_the_report_says_what_is_wrong(solution):
    wrong = solution.replace("x - x.max(axis=-1, keepdims=True)", "x * 1")
    assert wrong != solution
    result = graded(wrong)
    # Scores in the thousands overflow; attention's large scores stay below that.
    assert result["tasks"][0]["right"] == 3
    assert result["tasks"][0]["points"] == 2.25
    text = report(PLAN, result)
    assert text.startswith(f"# Assignment 2, Attention: {result['total']:g} of 20 points\n\nOf ann, file student.py.\n")
    assert "| softmax | 2.25 | 3 | 3 of 4 |" in text
    assert "softmax, scores in the thousands (float64 (" in text
    assert "It looks like this mistake, no maximum subtracted: exp of scores in the thousands is infinite" in text


def test_the_report_says_where_to_look_first_and_shows_what_was_raised(solution):
    result = graded(solution.replace("return q, k, v", "return q / zero, k, v"))
    assert points(result) == [3, 0, 2, 6, 4, 2]
    text = report(PLAN, result)
    assert "It uses split_heads: mend what is wrong there first." in text
    assert "As handed in 0 of 5 cases are right; with the reference for the other tasks 5, and these count." in text
    assert "    NameError: name 'zero' is not defined" in text
    assert "return q / zero, k, v" in text
    assert "line " not in text
    assert "submission" not in text  # the folder where it ran


def test_the_report_of_an_empty_release_is_short(empty):
    text = report(PLAN, graded(empty))
    assert text.count("Not solved yet.") == 6
    assert "not solved yet" not in text


def test_a_missing_function_is_named(solution):
    result = graded(solution.replace("def merge_heads(", "def join_heads("))
    assert points(result) == [3, 3, 0, 6, 4, 2]
    assert result["tasks"][2]["messages"] == ["There is no function merge_heads in it."]
    assert [wrong["mistake"] for wrong in result["tasks"][2]["wrong"]] == ["no such function"]


def test_lost_imports_and_helpers_of_the_release_are_there_again(solution):
    assert "import numpy as np" in solution
    lines = [line for line in solution.split("\n") if not line.startswith(("import ", "from "))]
    assert points(graded("\n".join(lines))) == POINTS


def test_values_of_the_release_that_need_a_students_function_are_there_again():
    one = plan(find_assignment("a3"), seed=SEED)
    text = cut.release(messages(one.assignment), solved=True).student
    assert list(one.after) == ["ACTIVATIONS"]
    found = [grade_one(one, Submission("ann", one.assignment.name, "student.py", each.encode())) for each in (
        text, text.replace("ACTIVATIONS:", "LOST:"))]  # fmt: skip
    assert [result["total"] for result in found] == [one.assignment.points] * 2


def test_the_reference_cannot_be_imported_and_its_absence_is_no_crash():
    text = "from deit_ref.numpy_backend.attention import *\nfrom deit_ref.numpy_backend.layers import softmax\n"
    text += (
        "def merge_heads(x):\n    from deit_ref.numpy_backend.attention import merge_heads\n    return merge_heads(x)\n"
    )
    result = graded(text)
    assert result["total"] == 0
    assert "No module named 'deit_ref.numpy_backend'" in report(PLAN, result)


@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_full_points_do_not_hang_on_the_seed(solution, seed):
    one = plan(ASSIGNMENT, seed=seed)
    assert points(grade_one(one, Submission("ann", NAME, "student.py", solution.encode()))) == POINTS


HOSTILE = {
    "patches": "numpy.array_equal = numpy.allclose = lambda *a, **k: True\n"
    "sys.modules['deit_ref.course.grading.check'] = None",
    "exits": "__import__('os')._exit(0)",
    "sleeps": "__import__('time').sleep(10**6)",
    "prints": "print('{\"total\": 20}')",
    "writes": "[open(f, 'w').write('me,20') for f in ('../grades.csv', '../deit_ref_submission/given.py')]",
    "eats": "[bytearray(2**28) for _ in range(10**6)]",
}


def hostile(body):
    """All functions do it, and then give an array."""
    lines = "\n".join(f"    {line}" for line in ["import numpy, sys", *body.split("\n"), "return numpy.zeros(1)"])
    return "".join(f"def {name}(*a, **k):\n{lines}\n\n" for name in TASKS)


def a_class(folder, solution, empty):
    put(folder, f"full/{NAME}/student.py", solution)
    put(folder, "empty/student.py", empty)
    put(folder, "half/student.py", solution.replace("return q, k, v", "return q, v, k"))
    put(folder, "broken.zip", b"no zip")
    for name, body in HOSTILE.items():
        put(folder, f"{name}/student.py", hostile(body))
    (folder / "nobody").mkdir()


def table(path):
    with open(path, encoding="utf-8", newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def run_all(folder, out, **changes):
    plans = [PLAN._replace(**changes)]
    count, results = grade_all(folder, out, plans, jobs=4)
    done = list(results)
    assert len(done) == count
    write_table(done, out)
    return done


def test_a_class_with_hostile_submissions_is_graded_honestly(tmp_path, solution, empty):
    a_class(tmp_path / "class", solution, empty)
    out = tmp_path / "out" / "grades.csv"
    out.parent.mkdir()
    run_all(tmp_path / "class", out)
    rows = table(out)
    totals = {name: row["total"] for name, row in rows.items()}
    assert totals == {"full": "20", "half": "17", "empty": "0", "broken": "0", "nobody": "0"} | dict.fromkeys(
        HOSTILE, "0"
    )
    header = out.read_text().split("\n")[0].strip()
    assert header == "student,assignment," + ",".join(TASKS) + ",total,out of,note"
    assert [rows["half"][name] for name in TASKS] == ["3", "0", "2", "6", "4", "2"]
    assert rows["broken"]["note"] == "It cannot be read: File is not a zip file"
    assert sorted(path.name for path in (out.parent / "feedback").iterdir()) == sorted(rows)
    details = json.loads((out.parent / "details" / "half" / f"{NAME}.json").read_text())
    assert (details["total"], details["seed"], details["isolated"]) == (17, SEED, True)
    assert (details["as_handed_in"], details["with_reference"]) == (13, 17)
    assert "As handed in 13; with the reference for the other tasks 17; counted 17." in rows["half"]["note"]
    assert not list(tmp_path.rglob("*.unfinished"))


def test_a_second_run_grades_only_what_changed(tmp_path, solution, empty, monkeypatch):
    folder, out = tmp_path / "class", tmp_path / "grades.csv"
    put(folder, "ann/student.py", solution)
    put(folder, "bea/student.py", empty)
    first = run_all(folder, out)
    ran = []
    original = grade.grade_one
    monkeypatch.setattr(grade, "grade_one", lambda plan, one: ran.append(one.student) or original(plan, one))
    assert run_all(folder, out) == first
    assert ran == []
    put(folder, "bea/student.py", solution)
    assert [result["total"] for result in run_all(folder, out)] == [20, 20]
    assert ran == ["bea"]
    (tmp_path / "details" / "ann" / f"{NAME}.json").write_text("{broken")
    (tmp_path / "feedback" / "bea" / f"{NAME}.md").unlink()
    run_all(folder, out)
    assert ran == ["bea", "ann"]
    assert (tmp_path / "feedback" / "bea" / f"{NAME}.md").exists()
    other = plan(ASSIGNMENT, seed=SEED + 1)
    list(grade_all(folder, out, [other])[1])
    assert sorted(ran[2:]) == ["ann", "bea"]
    list(grade_all(folder, out, [other._replace(limits=Limits(seconds=3.0))])[1])
    assert sorted(ran[4:]) == ["ann", "bea"]


def test_what_is_remembered_is_forgotten_when_anything_that_decides_on_points_changes(tmp_path, monkeypatch):
    package = Path(deit_ref.__file__).parent
    shutil.copytree(package, tmp_path / "deit_ref", ignore=shutil.ignore_patterns("pretrained", "__pycache__"))
    monkeypatch.setattr(grade, "files", tmp_path.joinpath)
    parts = ("task", "cut", "assignments/a2_attention", "assignments/experiment", "grading/check", "grading/worker")
    names = [*(f"course/{part}.py" for part in parts), "numpy_backend/attention.py", "weights.py"]
    seen = {grade._version.__wrapped__()}
    for name in names:
        with open(tmp_path / "deit_ref" / name, "a") as file:
            file.write("# changed\n")
        seen.add(grade._version.__wrapped__())
    assert len(seen) == 1 + len(names)


def test_a_fault_of_the_grader_costs_nobody_else_and_is_tried_again(tmp_path, solution, monkeypatch):
    folder, out = tmp_path / "class", tmp_path / "grades.csv"
    put(folder, "ann/student.py", solution)
    put(folder, "bea/student.py", solution)
    original = marks.code

    def fails_once(one, *others, **options):
        if one.student == "ann":
            raise ZeroDivisionError("oh")
        return original(one, *others, **options)

    monkeypatch.setattr(marks, "code", fails_once)
    ann, bea = run_all(folder, out)
    assert (ann["total"], bea["total"]) == (0, 20)
    assert ann["notes"] == ["The grader itself failed, tell your teacher: ZeroDivisionError('oh')"]
    monkeypatch.setattr(marks, "code", original)
    assert run_all(folder, out)[0]["total"] == 20


# Each was read in time that grows with the square of its size, in the grader's own process.
LONG = {
    "a chain": "a0 = 1\n" + "".join(f"a{i + 1}=a{i}\n" for i in range(3400)) + "def f():\n    return a3400\n",
    "a chain from its end": "".join(f"a{i}=a{i + 1}\n" for i in range(3400)) + "def f():\n    return 1\nf.x = a0\n",
    "lines": "x=1\n" * 20000 + "def f():\n    return x\n",
    "statements in a line": "x=1;" * 20000 + "\ndef f():\n    return x\n",
    "decorators": "def d(f):\n    return f\n" + "@d\n" * 20000 + "def f():\n    return 1\n",
}


@pytest.mark.parametrize("name", LONG)
def test_reading_takes_time_in_proportion_to_the_size(name):
    """Within the five seconds that reading may take of a processor; each took longer before."""
    found = submission.code(Submission("ann", NAME, "student.py", LONG[name].encode()))
    assert "f" in found.names
    assert found.problems == ()


def test_of_a_file_in_a_zip_no_more_is_unpacked_than_it_may_have():
    bomb = packed({"student.py": "#" * 10**6})
    about, content = searching.search([("", bomb)], [NAME], {NAME: TASKS}, True, 1001, 10**4)
    assert (about["sizes"], content) == ([("student.py", 1001)], b"#" * 1001)


def test_a_name_in_a_zip_may_be_as_long_as_it_likes(tmp_path):
    put(tmp_path, "ann.zip", packed({"student.py": "x = 1", "a/" * 30000 + "b.py": ""}))
    assert only(tmp_path).content == b"x = 1"


def test_a_zip_that_asks_for_more_memory_than_there_is_costs_its_student_alone(tmp_path):
    """By a dictionary of 4 GiB, which its header asks for."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("student.py", "x = 1")
    content = bytearray(stream.getvalue())
    start = 30 + len("student.py") + 4 + 1  # behind the file's header, the version and one byte of properties
    content[start : start + 4] = b"\xff" * 4
    put(tmp_path, "ann.zip", bytes(content))
    assert only(tmp_path).problem == "it cannot be read: MemoryError"


def test_what_takes_too_long_to_read_costs_its_student_alone(tmp_path, solution, monkeypatch):
    monkeypatch.setattr(sandbox, "READING", replace(sandbox.READING, cpu_seconds=1))
    put(tmp_path, "class/ann/student.py", "x=1;" * 250000)
    put(tmp_path, "class/bea/student.py", solution)
    result, _ = run_all(tmp_path / "class", tmp_path / "grades.csv")
    assert {name: row["total"] for name, row in table(tmp_path / "grades.csv").items()} == {
        "ann": "0", "bea": "20"}  # fmt: skip
    assert result["notes"] == [
        "It cannot be read: it takes more than 1 seconds or 1 GiB of memory to take apart: hand in a plain file."
    ]


def test_who_writes_much_that_is_no_python_is_told_of_ten():
    found = module("x.py", b"# %%\n(\n" * 1000)
    assert len(found.problems) == 11
    assert found.problems[-1] == "990 other pieces were left out, too."


@pytest.mark.parametrize("place", ["student.py", f"{NAME}.ipynb", f"{NAME}.zip"])
def test_of_several_assignments_those_count_that_somebody_handed_in(tmp_path, place):
    text = notebook("def softmax(x):\n    return x") if place.endswith(".ipynb") else "def softmax(x):\n    return x"
    put(tmp_path, f"ann/{place}", text)
    put(tmp_path, "bea.zip", packed({f"a/{place}": text}))
    put(tmp_path, "cat.zip", b"no zip")
    (tmp_path / "dan").mkdir()
    names, wanted = [NAME, "a7_resampling"], {NAME}
    found = {name: submission.handed_in(parts, names) for name, parts in students(tmp_path).students.items()}
    assert found == {"ann": wanted, "bea": set() if "zip" in place else wanted, "cat": set(), "dan": set()}


def shown(text):
    """What a reader sees of Markdown, by its HTML: the kinds of elements, and the text."""
    from markdown_it import MarkdownIt

    made = MarkdownIt("gfm-like", {"linkify": False}).render(text)
    kinds = set(re.findall(r"<(\w+)", made))
    return kinds, html.unescape(re.sub(r"<[^>]*>", "", made))


@pytest.mark.parametrize(
    "name",
    ["# 20 of 20", "- a", "+ a", "* a", "1. a", "1) a", "> a", "a\n# 20 of 20", "`a`", "*a* **b** _c_ __d__ ~~e~~",
     "<b>a</b>", "[a][b]", "[a][]", "<http://a.b>", "a_b_c [0, 1] & (2)", "12. 12", "[a](http://b.c)",
     "![a](http://b.c/d.png)", "a | b", "---", "===", "    a", "\ta", "&lt;a&gt;", "\\*a\\*", "```",
     "<!-- a", "a\n\n\n| b |\n|---|", "[a]: http://b.c", "$a$"],
)  # fmt: skip
def test_names_and_messages_are_text_in_a_report(name, solution):
    result = {**graded("x = 1"), "student": name, "notes": [name], "file": f"{name}/student.py"}
    for task in result["tasks"]:
        task["messages"] = [name]
    kinds, text = shown(report(PLAN, result))
    assert kinds <= {"h1", "h2", "p", "table", "thead", "tbody", "tr", "th", "td", "pre", "code"}
    assert text.split("\n").count("Assignment 2, Attention: 0 of 20 points") == 1
    assert f"Of {' '.join(name.split())}, file {' '.join(name.split())}/student.py." in " ".join(text.split())
    assert text.count(" ".join(name.split("\n")[0].split())) >= 3
    if "\n" not in name:
        assert "pre" not in kinds


def test_what_means_nothing_in_markdown_stays_as_it_is():
    """Reports are read as they are, too."""
    text = "split_heads, 3 tokens (float64 (2, 3), [0, 1]): expected 1.5 & -2, got #3 = x > 2 + y!"
    assert feedback._plain(text) == text


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\n=1", "\uff1d1", "a\n=1", "a"])
def test_no_cell_of_the_table_is_a_formula(name, tmp_path):
    result = graded("x = 1")
    write_table([{**result, "student": name, "notes": [name, "and more"]}], tmp_path / "grades.csv")
    with open(tmp_path / "grades.csv", encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    for cell in (row["student"], row["note"].removesuffix(" and more")):
        line = name.replace("\n", " ").replace("\t", " ")
        assert cell == (line if name in ("a", "a\n=1") else f"'{line}")
        assert cell.lstrip()[0] in "a'"


def test_names_and_messages_of_students_break_neither_table_nor_report(tmp_path, solution):
    name = os.fsdecode(b'b\xff,"<b>')
    folder, out = tmp_path / "class", tmp_path / "grades.csv"
    text = solution.replace("return q, k, v", "raise ValueError('\\x1b[2J\\n# 20 of 20\\n' + chr(0x202e))")
    assert text != solution
    put(folder, f"{name}/student.py", text)
    run_all(folder, out)
    assert list(table(out)) == ['b\\udcff,"<b>']
    shown = (tmp_path / "feedback" / name / f"{NAME}.md").read_text()
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "\n# 20" not in shown
    assert "    # 20 of 20" in shown


# The command


def run(capsys, *words):
    code = commands.main(["course", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_command_grades(tmp_path, solution, capsys):
    put(tmp_path, "class/ann/student.py", solution)
    (tmp_path / "class" / "bea").mkdir()
    out = tmp_path / "grades.csv"
    words = ("grade", tmp_path / "class", "--out", out, "--seed", SEED, "--assignment", "a2", "--jobs", 2)
    code, printed, said = run(capsys, *words)
    assert (code, said) == (0, "")
    said = f"{NAME}: 1 graded, 20.00 of 20 points on average; 1 handed in nothing."
    assert printed == f"{said}\n{out}, and reports in {tmp_path / 'feedback'}.\n"
    assert table(out)["ann"]["total"] == "20"


def test_without_isolation_it_refuses_or_says_so(tmp_path, solution, capsys, monkeypatch):
    put(tmp_path, "class/ann/student.py", solution)
    out = tmp_path / "grades.csv"
    words = ("grade", tmp_path / "class", "--out", out, "--assignment", "a2", "--seed", SEED)
    monkeypatch.setattr(sys, "platform", "darwin")
    code, _, said = run(capsys, *words)
    assert code == 2
    assert "cannot be locked in here: the operating system is darwin" in said
    assert not out.exists()
    code, printed, said = run(capsys, *words, "--no-isolation")
    assert code == 0
    assert "warning: submissions run with your rights" in said
    assert "Graded without isolation, which the reports say, too." in printed
    assert "Graded without isolation: the submission could see" in table(out)["ann"]["note"]
    assert "Graded without isolation" in (tmp_path / "feedback" / "ann" / f"{NAME}.md").read_text()
    assert table(out)["ann"]["total"] == "20"


def test_what_every_submission_could_read_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(inside, "folders", lambda: {str(tmp_path / "lib"): "/lib"})
    put(tmp_path, "lib/class/ann/student.py", "x = 1")
    put(tmp_path, "class/ann/student.py", "x = 1")
    for submissions, out in (("lib/class", "grades.csv"), ("class", "lib/grades.csv")):
        code, _, said = run(capsys, "grade", tmp_path / submissions, "--out", tmp_path / out, "--assignment", "a2")
        assert code == 2
        assert f"lies in {tmp_path / 'lib'}, which every submission may read: move it elsewhere." in said
    code, _, said = run(capsys, "build", "--out", tmp_path / "lib" / "course", "--assignment", "a2")
    assert code == 2
    assert f"{tmp_path / 'lib' / 'course'} lies in {tmp_path / 'lib'}, which every submission may read" in said
    monkeypatch.setattr(inside, "folders", lambda: {str(Path(deit_ref.__file__).parents[1]): "/lib"})
    code, _, said = run(capsys, "grade", tmp_path / "class", "--out", tmp_path / "grades.csv", "--assignment", "a2")
    assert code == 2
    assert f"{Path(deit_ref.__file__).parent} lies in " in said


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("grade", "nowhere", "--out", "x.csv", "--assignment", "a2", "--seed", "1"), "nowhere is not a folder"),
        (("grade", ".", "--out", "x.csv", "--assignment", "a9"), "There is no assignment 'a9': expected one of a1_pat"),
        (("grade", ".", "--out", "x.csv", "--seed", str(PUBLIC_SEED)), "is that of the tests that students see"),
        (("build", "--out", "full", "--assignment", "a2"), "full is not an empty folder"),
        (("build", "--out", "new", "--assignment", "a2", "--seed", str(PUBLIC_SEED)), "is that of the tests that stud"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_in_one_line(words, problem, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    put(tmp_path, "full/file", "x")
    code, printed, said = run(capsys, *words)
    assert (code, printed) == (2, "")
    assert problem in said
    assert said.count("\n") == 1


def test_when_nobody_handed_in_anything_it_is_said(tmp_path, capsys):
    (tmp_path / "class" / "ann").mkdir(parents=True)
    code, _, said = run(capsys, "grade", tmp_path / "class", "--out", tmp_path / "x.csv", "--seed", SEED)
    assert code == 2
    assert "None of the 1 students" in said


# The plain release


def test_hidden_numbers_and_solutions_are_not_handed_out(course):
    folder = course / "student" / NAME
    names = sorted(path.name for path in folder.iterdir())
    assert [name for name in names if name != "answers.md"] == [
        "README.md", "conftest.py", "expected.npz", "given.py", "photo.py", "student.py", "test_student.py",
    ]  # fmt: skip
    texts = "".join(path.read_text() for path in folder.iterdir() if path.suffix != ".npz")
    assert "BEGIN SOLUTION" not in texts
    assert "transpose(2, 0" not in texts
    with np.load(folder / "expected.npz") as file:
        first = file["softmax.0.0"]
    (task, cases), *_ = PLAN.cases
    assert not np.array_equal(first, task.cases and cases[0].arguments[0])
    assert first.sum() == pytest.approx(1)
    teacher = (course / "teacher" / NAME / "notes.md").read_text()
    assert "seed 7" in teacher
    assert all(mistake.hint in teacher for task in ASSIGNMENT.tasks for mistake in task.mistakes)
    assert json.loads((course / "teacher" / "seed.json").read_text())["seed"] == SEED


def own_tests(folder):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts="]
    environment = {**os.environ, "PYTEST_ADDOPTS": ""}
    found = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return found, json.loads((folder / "points.json").read_text())


@pytest.mark.parametrize("name", [one.name for one in assignments()] if THOROUGH else [NAME])
def test_a_student_runs_the_visible_tests(course, tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    for path in (course / "student" / name).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    found, score = own_tests(folder)
    assert found.returncode == 1
    assert "NotImplementedError: assignment" in found.stdout
    assert score["total"] == 0
    (folder / "student.py").write_bytes((course / "teacher" / name / "solution.py").read_bytes())
    found, score = own_tests(folder)
    assert found.returncode == 0, found.stdout
    assert score["total"] == score["out_of"] == 20
    assert (folder / "report.md").read_text().startswith("# 20 of 20 points by the visible tests\n")


def test_visible_tests_name_the_mistake_and_count_the_rest(course, solution, tmp_path):
    for path in (course / "student" / NAME).iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "student.py").write_text(solution.replace("return q, k, v", "return q, v, k"))
    found, score = own_tests(tmp_path)
    assert "It looks like this mistake, k and v swapped: the features are ordered q, k, v." in found.stdout
    assert {row["task"]: row["points"] for row in score["tasks"]} == {
        f"{NAME}.{name}": wanted for name, wanted in zip(TASKS, [3, 0, 2, 6, 0, 2], strict=True)
    }


# nbgrader


def nbgrader(folder, *words):
    return in_course(folder, "nbgrader", *words)


def in_course(folder, *words):
    """A module's command in the folder of nbgrader's course."""
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    programs = f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "JUPYTER_CONFIG_DIR": str(home), "IPYTHONDIR": str(home), "PATH": programs}
    command = [sys.executable, "-m", *words]
    found = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr[-3000:]
    return found.stdout


def text_of(cell):
    return "".join(cell["source"])


def grade_id(cell):
    return cell["metadata"].get("nbgrader", {}).get("grade_id", "")


@pytest.mark.parametrize("name", [one.name for one in assignments()] if THOROUGH else [NAME])
def test_nbgrader_gives_the_same_points(course, tmp_path, name):
    folder = tmp_path / "nbgrader"
    for path in (course / "nbgrader").rglob("*.*"):
        put(folder, str(path.relative_to(course / "nbgrader")), path.read_bytes())
    nbgrader(folder, "generate_assignment", name)
    source, release = (
        json.loads((folder / kind / name / f"{name}.ipynb").read_text()) for kind in ("source", "release")
    )
    words = json.dumps(release)
    assert "SOLUTION" not in words
    assert "grading.check import assert_task" in words
    assert not re.search(r"seed=|score_task", words)
    solutions = {grade_id(cell): cell["source"] for cell in source["cells"] if grade_id(cell)}
    tasks = [grade_id(cell).removeprefix("try_") for cell in source["cells"] if grade_id(cell).startswith("try_")]

    def submit(student, *, solved=(), changed=False):
        made = json.loads(words)
        for cell in made["cells"]:
            if grade_id(cell) in solved:
                cell["source"] = solutions[grade_id(cell)]
            elif changed and cell["metadata"].get("nbgrader", {}).get("locked"):
                cell["source"] = [f"open({str(tmp_path / 'executed')!r}, 'w').close()\n20.0"]
                cell["metadata"]["nbgrader"]["points"] = 20
        put(folder, f"submitted/{student}/{name}/{name}.ipynb", json.dumps(made))
        put(folder, f"submitted/{student}/{name}/given.py", "raise SystemExit")  # put back, too

    submit("empty")
    submit("full", solved=tasks)
    submit("tampered", solved=tasks[:1], changed=True)
    nbgrader(folder, "autograde", name)
    out = tmp_path / "grades.csv"
    plans = [plan(one, seed=SEED) for one in assignments_of(name)]
    totals = {result["student"]: result["total"] for result in grade_all(folder / "submitted", out, plans)[1]}
    put(
        tmp_path,
        f"details/fay/{name}.json",
        json.dumps({"student": "fay", "assignment": name, "tasks": [{"name": "f"}]}),
    )
    said = in_course(folder, "deit_ref.course.release.gradebook", str(tmp_path / "details"))
    assert said.split("\n")[:2] == [
        "3 notebooks have their points.",
        f"nbgrader has no submission of fay, {name}: run `nbgrader autograde` first.",
    ]
    nbgrader(folder, "generate_feedback", name)
    nbgrader(folder, "export")
    with open(folder / "grades.csv", newline="") as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    first = next(one for one in assignments_of(name)).tasks[0].points
    assert {student: float(row["score"]) for student, row in rows.items()} == {
        "full": 20,
        "empty": 0,
        "tampered": first,
    }
    feedback = (folder / "feedback" / "empty" / name / f"{name}.html").read_text()
    assert "not solved yet." in feedback
    assert "executed" not in [path.name for path in tmp_path.rglob("executed")]  # nbgrader runs nothing
    assert totals == {"full": 20, "empty": 0, "tampered": first}


def assignments_of(name):
    return [one for one in (assignments() if THOROUGH else [ASSIGNMENT]) if one.name == name]


def test_the_students_notebook_runs_up_to_the_first_task(course, tmp_path):
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    folder = tmp_path / "nbgrader"
    for path in (course / "nbgrader").rglob("*.*"):
        put(folder, str(path.relative_to(course / "nbgrader")), path.read_bytes())
    nbgrader(folder, "generate_assignment", NAME)
    made = nbformat.read(folder / "release" / NAME / f"{NAME}.ipynb", as_version=4)
    client = NotebookClient(
        made, kernel_name="python3", resources={"metadata": {"path": str(folder / "release" / NAME)}}
    )
    with pytest.raises(CellExecutionError, match="assignment 2, task 1: softmax"):
        client.execute()


def test_a_decorator_goes_with_what_it_decorates():
    text = "def twice(f):\n    return lambda: 2 * f()\n\n@twice\n@twice  # again\ndef g():\n    return 5\n"
    for cells in ([text], [text + "x = 1; y = 2"], text.split("\n\n")):
        assert code(*cells)[1]["g"]() == 20


@pytest.mark.parametrize(
    "block",
    [
        "if True:\n    {}\nelse:\n    call()",
        "try:\n    {}\nexcept ImportError:\n    call()",
        "try:\n    {}\nexcept ImportError:\n    pass\nexcept OSError:\n    call()",
        "try:\n    {}\nexcept ImportError:\n    pass\nelse:\n    call()",
        "try:\n    {}\nfinally:\n    call()",
        "if True:\n    {}\n    if True:\n        call()",
    ],
)
def test_of_a_block_all_that_would_run_must_be_a_definition(block):
    """A call anywhere in it leaves all of it out; without, what it defines stays."""
    found, names = code(block.format("import math"), "def call():\n    raise SystemExit")
    assert "math" not in names
    assert found.names == {"call"}
    found, names = code(block.replace("call()", "x = 1").format("import math"), "def f():\n    return math.pi")
    assert 3 < names["f"]() < 4


def test_a_total_is_the_sum_of_hundredths(solution, monkeypatch):
    monkeypatch.setattr(marks, "points_of", lambda task, right, cases: 0.1 if task.name in TASKS[:3] else 1.15)
    assert graded(solution)["total"] == 3.75
    monkeypatch.setattr(marks, "points_of", lambda task, right, cases: 0.1 if task.name in TASKS[:3] else 0.0)
    assert graded(solution)["total"] == 0.3  # in binary their sum is a little more


def test_what_is_remembered_belongs_to_one_submission_and_one_plan(monkeypatch):
    """A grade comes back only if all that it came from is the same: each part of it, changed alone, makes another."""
    one = Submission("ann", NAME, "student.py", b"x = 1")
    same = [grade._key(PLAN, one), grade._key(plan(ASSIGNMENT, seed=SEED, limits=PLAN.limits), one._replace())]
    plans = {"seed": SEED + 1, "isolated": False, "limits": Limits(seconds=3.0), "assignment": find_assignment("a7")}
    parts = {"student": "bea", "place": "a.py", "content": b"x = 2", "problem": "none", "others": ("b.py",)}
    others = [grade._key(PLAN._replace(**{name: value}), one) for name, value in plans.items()]
    others += [grade._key(PLAN, one._replace(**{name: value})) for name, value in parts.items()]
    assert len({*same}) == 1
    monkeypatch.setattr(grade, "_version", lambda: "another")
    others.append(grade._key(PLAN, one))
    assert len({same[0], *others}) == 2 + len(plans) + len(parts)


def test_students_may_hand_in_different_assignments(tmp_path, solution, empty):
    """One table of what anybody handed in; who did not has 0 points, and what nobody handed in is not there."""
    others = find_assignment("a6")
    put(tmp_path, f"class/ann/{NAME}/student.py", solution)
    put(tmp_path, f"class/bea/{others.name}/student.py", cut.release(messages(others), solved=True).student)
    plans = [plan(each, seed=SEED) for each in (find_assignment("a7"), ASSIGNMENT, others)]
    count, results = grade_all(tmp_path / "class", tmp_path / "grades.csv", plans, jobs=2)
    done = list(results)
    write_table(done, tmp_path / "grades.csv")
    totals = {(each["student"], each["assignment"]): each["total"] for each in done}
    assert count == len(done) == 4
    assert totals == {("ann", NAME): 20, ("bea", NAME): 0, ("ann", others.name): 0, ("bea", others.name): others.points}
    with open(tmp_path / "grades.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [*rows[0]] == [
        "student",
        "assignment",
        *TASKS,
        *(task.name for task in others.tasks),
        "total",
        "out of",
        "note",
    ]
    for row in rows:
        own = TASKS if row["assignment"] == NAME else [task.name for task in others.tasks]
        assert {
            name for name in row if row[name] and name not in ("student", "assignment", "total", "out of", "note")
        } == {*own}
        assert float(row["total"]) == pytest.approx(sum(float(row[name]) for name in own))
        assert float(row["out of"]) == find_assignment(row["assignment"]).points


def test_a_folder_goes_before_a_zip_of_the_same_student_and_may_be_called_like_one(tmp_path):
    put(tmp_path, "ann/student.py", "x = 1")
    put(tmp_path, "ann.zip", packed({"student.py": "x = 2"}))
    put(tmp_path, "bea.zip/student.py", "x = 3")
    found = {name: read(name, parts, NAME) for name, parts in students(tmp_path).students.items()}
    assert {name: one.content for name, one in found.items()} == {"ann": b"x = 1", "bea": b"x = 3"}


def test_of_two_depths_of_a_zip_the_upper_is_taken_and_the_other_named(tmp_path):
    put(tmp_path, "a/ann.zip", packed({"old/deep/student.py": "x = 1", "new/student.py": "x = 2"}))
    found = only(tmp_path / "a")
    assert (found.content, found.others) == (b"x = 2", ("old/deep/student.py",))
    put(tmp_path, "b/bea.zip", packed({f"{NAME}.py": "x = 3", f"{NAME}/student.py": "x = 4"}))
    found = only(tmp_path / "b")
    assert (found.place, found.content, found.others) == (f"{NAME}.py", b"x = 3", (f"{NAME}/student.py",))


def test_many_cells_are_too_long_together(monkeypatch):
    monkeypatch.setattr(statements, "CODE_BYTES", 100)
    cell = "x = 1\n" * 8  # 48 letters
    assert module("x.ipynb", notebook(cell, cell).encode()).problems == ()
    with pytest.raises(ValueError, match="at most 100 letters of code, got 144"):
        module("x.ipynb", notebook(cell, cell, cell).encode())


def test_utf16_of_either_byte_order():
    for order, mark in (("utf-16-le", b"\xff\xfe"), ("utf-16-be", b"\xfe\xff")):
        found = module("x.py", mark + "def f():\n    return 'é'\n".encode(order))
        assert found.names == {"f"}


def test_of_a_notebook_only_code_is_taken():
    cells = [{"cell_type": kind, "source": f"def {kind}():\n    return 1"} for kind in ("markdown", "code", "raw")]
    found = module("x.ipynb", json.dumps({"cells": cells}).encode())
    assert found.names == {"code"}


def test_what_is_for_teachers_alone_is_not_among_a_students_files():
    for assignment in assignments():
        cells = source(assignment)
        readme = student_files(assignment, cells)["README.md"]
        hidden = [cell.text for cell in cells if not cell.for_students]
        assert hidden
        assert not [text for text in hidden if text in readme]
        assert all(cell.text in readme for cell in cells if cell.for_students and cell.markdown)


@pytest.mark.skipif(not THOROUGH, reason="300 submissions take minutes: in the thorough profile")
def test_a_class_of_three_hundred_with_broken_and_hostile_ones(tmp_path, solution):
    """5% broken, 3% hostile: these lose their own points, nobody else any, and a second run has nothing to do."""
    broken = ("def (:\n", "\x00\x01", "", "raise SystemExit\n")
    hostile = ("while True: pass", "import os; os._exit(0)", "y = bytearray(2**33)")
    worth = {}
    for i in range(300):
        text, worth[f"s{i:03d}"] = solution, 20.0
        if i % 20 == 7:
            text, worth[f"s{i:03d}"] = broken[i // 20 % 4], 0.0
        elif i % 33 == 5:
            text = solution.replace("    powers = x -", f"    {hostile[i // 33 % 3]}\n    powers = x -")
            worth[f"s{i:03d}"] = 17.0  # softmax's own three points are lost, by whatever else the task is asked
        put(tmp_path, f"class/s{i:03d}/student.py", text)
    out = tmp_path / "out" / "grades.csv"
    total, results = grade_all(tmp_path / "class", out, [PLAN])
    found = {result["student"]: result["total"] for result in results}
    assert total == 300
    assert {name: points for name, points in found.items() if worth[name] != points} == {}
    before = {path: path.stat().st_mtime_ns for path in (out.parent / "details").rglob("*.json")}
    assert [*grade_all(tmp_path / "class", out, [PLAN])[1]]
    assert {path: path.stat().st_mtime_ns for path in (out.parent / "details").rglob("*.json")} == before
