"""What is handed in is found however it is called, what is correct keeps its marks, and nothing typed is lost."""

import csv
import io
import json
import tarfile
import zipfile

import pytest

from deit_ref import commands
from deit_ref.commands import terminal
from deit_ref.course import cut
from deit_ref.course.assignments import assignments, find_assignment
from deit_ref.course.assignments.a2_attention import ASSIGNMENT
from deit_ref.course.grading import grade, modules, naming, spared, table
from deit_ref.course.grading.grade import Again, grade_all
from deit_ref.course.grading.marks import grade_one
from deit_ref.course.grading.plan import plan
from deit_ref.course.grading.process import Limits
from deit_ref.course.grading.students import students
from deit_ref.course.grading.submission import Submission, handed_in, read
from deit_ref.course.grading.table import NOT_GRADED
from deit_ref.course.release.source import question_columns
from deit_ref.course.task import messages

NAME = "a2_attention"
NAMES = [one.name for one in assignments()]
TASKS = [task.name for task in ASSIGNMENT.tasks]
PLAN = plan(ASSIGNMENT, seed=7, limits=Limits(seconds=4.0, start_up=20.0, memory=2**30))
SOLUTION = cut.release(messages(ASSIGNMENT), solved=True).student
WORK = "".join(f"def {name}(x):\n    return x\n" for name in TASKS)


def put(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())


def zipped(files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return stream.getvalue()


def tarred(files, mode="w:gz"):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, text in files.items():
            content = text.encode() if isinstance(text, str) else text
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def notebook(*cells):
    made = [{"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": c} for c in cells]
    return json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def handed(folder, name=NAME, *, sure=True):
    """What the one student in a folder handed in."""
    ((student, parts),) = students(folder).students.items()
    return read(student, parts, name, sure=sure)


# Names


def chosen(*places, name=NAME, counts=True):
    return naming.chosen(places, name, tuple(NAMES), lambda place: counts)


@pytest.mark.parametrize(
    "place",
    ["student (1).py", "student-1.py", "Student.py", "STUDENT.PY", "student copy.py", "student - Copy.py",
     "Kopie von student.py", "student.py.txt", "student 2.py", "my_student.py", "a2 attention.py", "A2-Attention.py",
     "a2attention.py", "a2.py", "a2-1.py", "a02.py", "Assignment 2.py", "assignment2_attention.ipynb",
     f"{NAME}-Copy1.ipynb", f"Copy of {NAME}.ipynb", f"{NAME} (1).ipynb", f"{NAME}.ipynb.txt", f"{NAME}.ipynb.json",
     "a3_attention.py", "a3_attention/student.py", "a2/student.py", "week 2/A2 Attention/student (2).py",
     f"{NAME}\\student-1.py", "a2/code/student.py", "attention/student.py", f"{NAME}-1.zip/student.py"],
)  # fmt: skip
def test_one_file_that_can_only_be_meant_is_taken(place):
    """However browsers, systems, platforms and students call it; that it was is to be said."""
    assert chosen(place, "README.md", "given.py", "test_student.py", "a7_resampling/student.py") == (place, (), False)
    assert chosen(place.replace("student", "studio"), name="a7_resampling", counts=False) is None


@pytest.mark.parametrize(
    "place",
    ["given.py", "given (1).py", "test_student.py", "conftest.py", "README.md", "student.pyc", "student.txt",
     "a7_resampling/student.py", "a7/a2/../student.docx", "a2_to_a3.py", f"__MACOSX/{NAME}.py", f"._{NAME}.py",
     f".ipynb_checkpoints/{NAME}-checkpoint.ipynb", f"{NAME}/a7_resampling.py", f"{NAME}/homework.py",
     f".{NAME}.py.icloud", "a7_resampling/attention.py", "attention.py", "photo.py"],
)  # fmt: skip
def test_what_means_something_else_is_not_taken(place):
    assert chosen(place) is None


def test_the_newest_counts_of_what_canvas_numbers():
    assert chosen("a2.py", "a2-2.py", "a2-10.py") == ("a2-10.py", ("a2-2.py", "a2.py"), False)
    assert chosen("student.py", "student-1.py").place == "student-1.py"
    assert chosen("a2-1.zip/student.py", "a2.zip/student.py").place == "a2-1.zip/student.py"
    assert chosen("week-1/student.py", "week-2/student.py").place == ""  # folders are numbered for other reasons


def test_what_is_called_as_asked_goes_before_copies_and_these_are_named():
    for copy in ("student (1).py", "student copy.py", "old/student.py", "a2.py"):
        found = chosen(copy, "student.py")
        assert (found.place, found.others, found.exact) == ("student.py", (copy,), True)


@pytest.mark.parametrize(
    "places",
    [("student (1).py", "student (2).py"), ("a/student.py", "b/student.py"), ("a2 new.py", "old/a2.py")],
)
def test_of_several_that_may_be_meant_none_is_taken_and_all_are_named(places):
    found = chosen(*places)
    assert found.place == ""
    assert {*found.others} == {*places}


def test_a_list_of_names_is_bounded():
    text = naming.listed([f"{i}{'x' * 10**5}" for i in range(1000)])
    assert len(text) < 3000
    assert text.endswith(", 990 others")


def test_an_assignment_that_has_another_number_now_says_which():
    for old, new in (("a3_attention", NAME), ("a1_resampling", "a7_resampling"), ("a2_patches", "a1_patches")):
        with pytest.raises(ValueError, match=f"^{old} is {new} now: "):
            find_assignment(old)


# Folders and archives


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ({"ann/hand-in/student (1).py": WORK}, "hand-in/student (1).py"),
        ({"ann.zip": zipped({"ann\\a2\\student.py": WORK, "__MACOSX/ann/._student.py": "no"})}, "ann\\a2\\student.py"),
        ({"ANN.ZIP": zipped({"student.py": WORK})}, "student.py"),
        ({"ann.tgz": tarred({"./student.py": WORK})}, "./student.py"),
        ({"ann.tar.gz": tarred({"a2/student.py": WORK})}, "a2/student.py"),
        ({"ann.tar": tarred({"student.py": WORK}, "w")}, "student.py"),
        ({"ann/work.tar.xz": tarred({"student.py": WORK}, "w:xz")}, "work.tar.xz/student.py"),
        ({"ann/work.zip": zipped({"x/student.py": WORK})}, "work.zip/x/student.py"),
        ({"ann/a.zip": zipped({"b.zip": zipped({"c.tgz": tarred({"student.py": WORK})})})},
         "a.zip/b.zip/c.tgz/student.py"),
        ({"ann/homework.ipynb": notebook(WORK)}, "homework.ipynb"),
        ({"ann/one.py": "x = 1", "ann/two.py": WORK}, "two.py"),
        ({"smithjohn_LATE_1_2_a2-1.py": WORK}, "a2-1.py"),
        ({"smithjohn_1_2_a2-1.zip": zipped({"student.py": WORK})}, "a2-1.zip/student.py"),
        ({"Smith John_1_assignsubmission_file_student.py": WORK}, "student.py"),
        ({"Smith John_1_assignsubmission_file_/student.py": WORK}, "student.py"),
    ],
)  # fmt: skip
def test_it_is_found_wherever_it_stands(tmp_path, files, place):
    put(tmp_path, {**files, ".DS_Store": "", "Thumbs.db": "", "__MACOSX/ann/student.py": "no"})
    found = handed(tmp_path)
    assert (found.place, found.problem) == (place, None)
    assert found.content.endswith(b"return x\n") or place.endswith(".ipynb")
    assert not list(tmp_path.rglob("*.unpacked"))


def test_platforms_files_are_put_together_by_student(tmp_path):
    put(tmp_path, {"smithjohn_1_2_a2_attention.py": "x = 1", "smithjohn_1_3_helpers.py": "y = 1",
                   "smithjohn_LATE_7_4_student.py": "x = 2", "Lee Ann_5_assignsubmission_file_/student.py": "x = 3",
                   "Lee Ann_5_assignsubmission_onlinetext_/onlinetext.html": "x", "kurt/student.py": "x = 4",
                   "kurt.zip": zipped({"student.py": "x = 5"}), "grades.txt": "", "Readme.md": ""})  # fmt: skip
    class_ = students(tmp_path)
    assert class_.strays == ("Readme.md", "grades.txt")
    assert list(class_.students) == ["Lee Ann", "kurt", "smithjohn_1", "smithjohn_7"]
    found = {name: read(name, parts, NAME) for name, parts in class_.students.items()}
    assert [one.content for one in found.values()] == [b"x = 3", b"x = 4", b"x = 1", b"x = 2"]
    assert found["smithjohn_1"].beside == (("helpers.py", b"y = 1"),)


def test_names_in_two_forms_of_unicode_are_one_student(tmp_path):
    put(tmp_path, {"Andr\u00e9.zip": zipped({"README.md": ""}), "Andre\u0301/student.py": WORK})
    assert list(students(tmp_path).students) == ["Andr\u00e9"]
    assert handed(tmp_path).content == WORK.encode()


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"ann/answers.md": "", "ann/a7_resampling/student.py": ""},
         f"nothing was handed in for {NAME}: there is answers.md, a7_resampling/student.py."),
        ({"ann/student (1).py": "", "ann/student (2).py": ""},
         f"it is not clear what was handed in for {NAME}, it may be student (1).py, student (2).py: keep one, or "
         f"name it {NAME}.py."),
        ({"ann/work.rar": "Rar!"}, f"nothing was handed in for {NAME}: there is work.rar."),
        ({"ann/a2.tgz": b"\x1f\x8b\x08 broken"}, "it cannot be read: a2.tgz: "),
        ({"ann/.student.py.icloud": ""}, f"nothing was handed in for {NAME}: there is .student.py.icloud."),
        ({"ann/.DS_Store": ""}, "nothing was handed in."),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_is_listed(tmp_path, files, problem):
    put(tmp_path, files)
    assert handed(tmp_path).problem.startswith(problem)


def test_a_folder_is_not_read_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(naming, "FILES", 20)
    many = {f"ann/b/{i}.md": "" for i in range(40)}
    put(tmp_path / "a", many | {"ann/b/student.py": "x = 1"})
    put(tmp_path / "b", many | {"ann/a/student.py": "x = 1"})
    assert handed(tmp_path / "a").problem.startswith(f"nothing was handed in for {NAME}: there is b/0.md, ")
    assert handed(tmp_path / "b").content == b"x = 1"


BOMBS = {
    "many archives": {**{f"{i}.zip": zipped({"x.md": ""}) for i in range(30)}, "z.zip": zipped({"student.py": ""})},
    "archives in archives": {"1.zip": zipped({"2.zip": zipped({"3.zip": zipped({"student.py": ""})})})},
    "archives that unpack without end": {"a.tgz": tarred({"a.bin": b"\0" * 2**28})},
    "many names": zipped({f"folder/{i}.py": "" for i in range(40000)}),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_search_in_archives_has_an_end(tmp_path, name):
    put(tmp_path, {"ann.zip": BOMBS[name] if isinstance(BOMBS[name], bytes) else zipped(BOMBS[name])})
    found = handed(tmp_path)
    assert found.problem is not None
    assert len(found.problem) < 3000


def test_links_in_archives_are_not_followed(tmp_path):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            member = tarfile.TarInfo("student.py")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    put(tmp_path, {"ann.tar": stream.getvalue()})
    assert handed(tmp_path).problem == "nothing was handed in."


# For which assignment

A7 = "".join(f"def {task.name}(x):\n    return x\n" for task in find_assignment("a7").tasks)


def test_a_flat_file_counts_for_the_assignment_of_its_functions(tmp_path):
    put(tmp_path, {"ann/student.py": WORK, "bea/homework.ipynb": notebook(A7), "cat/student.py": "x = 1",
                   "dan.zip": zipped({"a3_attention/student.py": "", "student.py": A7}),
                   "eve/student.py": WORK + A7, "fay/utils.py": "def softmax(x):\n    return x",
                   "fay/attention.py": "", "gil/attention.py": WORK})  # fmt: skip
    found = {name: handed_in(parts, NAMES) for name, parts in students(tmp_path).students.items()}
    both = {NAME, "a7_resampling"}
    assert found == {"ann": {NAME}, "bea": {"a7_resampling"}, "cat": set(), "dan": both, "eve": both, "fay": set(),
                     "gil": {NAME}}  # fmt: skip
    for name, parts in students(tmp_path).students.items():
        if name in ("cat", "dan"):
            there = {each for each in both if read(name, parts, each, sure=False).problem is None}
            assert there == found[name]
    assert read("cat", students(tmp_path).students["cat"], NAME).content == b"x = 1"  # where only one is graded


# Correct work keeps its marks


def module(text, place="student.py", wanted=(), beside=()):
    """What is made of a file, in this process: the module, what was left out, the scripts it needs."""
    content = text if isinstance(text, bytes) else text.encode()
    (names, problems, scripts), made = modules.module(place, content, frozenset(wanted), "", beside, ["numpy", "given"])
    space = {}
    exec(made.decode(), space)
    assert {*names} <= {*space} | {*TASKS} | {"f"}
    return space, problems, scripts


TABLE = """
SCALES = {}
for head_dim in range(1, 200):
    SCALES[head_dim] = 1 / np.sqrt(head_dim)
STEPS = []
def _fill():
    for i in range(3):
        STEPS.append(i)
_fill()
with np.errstate(divide="ignore"):
    ZERO = np.log(0.0)
"""


def with_table(text):
    """A solution that reads a table at every call."""
    lines = 'assert (len(SCALES), STEPS, ZERO) == (199, [0, 1, 2], -np.inf), "the table is not there"'
    name = "merge_heads"
    start = text.index(f"def {name}(")
    end = text.index('"""\n', text.index('"""', start) + 3) + 4
    return f"{text[:start].rstrip()}\n\n{TABLE}\n\n{text[start:end]}    {lines}\n{text[end:]}"


def in_a_helper(text):
    """The whole solution in a file of its own, and what is handed in imports it."""
    return "from .layers import *\n", (("layers.py", text.encode()), ("given.py", b"x = 1 / 0"))


CORRECT = {
    "a table that code at the top level fills": ("student.py", with_table(SOLUTION).encode(), ()),
    "an own module beside it": ("student.py", in_a_helper(SOLUTION)[0].encode(), in_a_helper(SOLUTION)[1]),
    "a declared encoding": ("student.py", f"# -*- coding: latin-1 -*-\n# \u00e9\n{SOLUTION}".encode("latin-1"), ()),
    "a mark of UTF-8 and another declaration": ("a.py", f"\ufeff# coding: cp1252\n# \u00e9\n{SOLUTION}".encode(), ()),
    "Latin-1 that nobody declared": ("student.py", f"{SOLUTION}\n# \u00e9\n".encode("latin-1"), ()),
    "an experiment, not Python": ("student.py", f"{SOLUTION}\ndef plot(:\n  pass\n\nprint 'done'\n".encode(), ()),
    "an experiment that never ends": ("student.py", f"{SOLUTION}\nwhile True:\n    losses = [softmax]\n".encode(), ()),
    "a cell that runs a file": ("a.ipynb", notebook("%run layers.py").encode(), in_a_helper(SOLUTION)[1]),
}  # fmt: skip


@pytest.mark.parametrize("name", CORRECT)
def test_correct_work_gets_full_marks(name):
    place, content, beside = CORRECT[name]
    result = grade_one(PLAN, Submission("ann", NAME, place, content, beside=beside))
    assert result["total"] == 20, result


def test_a_mistake_in_the_syntax_costs_only_its_function():
    """Five of six functions, though nothing of the file could be imported."""
    for old, new in (
        ("return q, k, v", "return (q, k, v"),
        ("return q, k, v", "break"),
        ("def split_heads(", "def split_heads(:"),
    ):
        assert SOLUTION.count(old) == 1
        result = grade_one(PLAN, Submission("ann", NAME, "student.py", SOLUTION.replace(old, new).encode()))
        assert {task["name"]: task["points"] for task in result["tasks"] if task["name"] in TASKS[:1] + TASKS[2:4]} == {
            task.name: task.points for task in ASSIGNMENT.tasks if task.name in TASKS[:1] + TASKS[2:4]}  # fmt: skip
        assert result["notes"][0].startswith("split_heads in the file is not Python and was left out: ")


def test_pieces_of_a_file_stand_for_themselves():
    space, problems, _ = module('''
def a():
    return 1
def b():
    """text

at the margin
"""
    return (1
X = 3
@staticmethod
def c():
    """
def at the margin
"""
    return X
def d(x, x):
    return 1
if True:
    Y = 1
else:
    Y = 2
\u201cquoted\u201d
def e(): return Y
''', wanted="abcde")  # fmt: skip
    assert [space[name]() for name in "ace"] == [1, 3, 1]
    assert not {"b", "d"} & {*space}
    assert [problem.split(" in the file")[0] for problem in problems] == ["b", "what begins at line 23", "d"]


def test_line_numbers_of_what_is_no_python_are_those_of_the_file():
    _, problems, _ = module("x = 1\n\ndef f():\n    return 1\n\n\ndef g():\n    return 1 +\n")
    assert problems == ["g in the file is not Python and was left out: invalid syntax (line 8)."]


def test_what_fills_a_name_runs_only_if_a_wanted_function_uses_it():
    space, _, _ = module(
        "import math\nused, other, both = [], [], {}\n"
        "for i in range(3):\n    used.append(i)\n"
        "while True:\n    other.append(1)\n"
        "both.update(a=1)\nboth['b'] = len(used)\ndel both['a']\n"
        "def fill(table):\n    table['c'] = math.pi\n"
        "fill(both)\nchecked = wanted()\n"
        "def wanted():\n    other = 1\n    return used, both, late, other\n"
        "def plot():\n    return other\n"
        "def note(f):\n    f.seen = True\nnote(wanted)\n"
        "if math.pi > 3:\n    late = 5\nelse:\n    raise SystemExit\n",
        wanted=["wanted"],
    )
    assert space["wanted"]() == ([0, 1, 2], {"b": 3, "c": 3.141592653589793}, 5, 1)
    assert "checked" not in space
    assert space["other"] == []
    assert not hasattr(space["wanted"], "seen")


def test_what_fills_a_table_may_fail_or_take_too_long_and_costs_only_what_uses_it(monkeypatch):
    monkeypatch.setattr(spared._clock, "left", 0.1)
    space, _, _ = module(
        "a, b, c = [], [], []\nwhile True:\n    if len(a) < 9:\n        a.append(1)\n"
        "for i in range(3):\n    b.append(1 / (1 - i))\nc.append(exit())\n"
        "def f():\n    return len(a), b, c, 5\ndef g():\n    return 5\n"
    )
    assert space["g"]() == 5
    assert space["f"]()[0] <= 9
    assert space["f"]()[1] == [1.0]
    assert spared._clock.left <= 0


def test_only_modules_that_are_imported_are_taken_along_and_none_hides_another():
    beside = [("helpers.py", b"from tools.more import g\nimport numpy\nN = 1\nN += 1\n"), ("unused.py", b"1 / 0"),
              ("tools/__init__.py", b""), ("tools/more.py", b"def g(:\n"), ("numpy.py", b"1 / 0"), ("given.py", b""),
              ("random.py", b""), ("long.py", b"#" * (2**20 + 1))]  # fmt: skip
    _, problems, scripts = module(
        "def f():\n    import helpers, random, long\n    from given import x\n", beside=beside
    )
    assert {*scripts} == {"helpers.py", "tools/__init__.py", "tools/more.py"}
    assert sorted(problems) == [
        "long.py was left out: expected at most 1048576 letters of code, got 1048577.",
        "numpy.py was left out: numpy is the name of another module.",
        "random.py was left out: random is the name of another module.",
        "tools/more.py: the file is not Python and was left out: invalid syntax (line 1).",
    ]


def test_modules_stand_beside_a_submission_wherever_it_is(tmp_path):
    files = {
        "student.py": "x = 1",
        "helpers-1.py": "y = 1",
        "tools/more.py": "z = 1",
        "test_student.py": "",
        "2.py": "",
    }
    expected = (("helpers.py", b"y = 1"), ("tools/more.py", b"z = 1"))
    put(tmp_path / "a" / "ann" / "a2", files)
    put(tmp_path / "b", {"ann.zip": zipped({f"top/{name}": text for name, text in files.items()})})
    for folder in ("a", "b"):
        assert handed(tmp_path / folder).beside == expected


# The table, and grading again


def write_table(results, out):
    """As the command does."""
    return table.write_table(results, out, {one.name: question_columns(one) for one in assignments()})


def graded(folder, out, again=None, plans=(PLAN,)):
    """What the command does, without its checks."""
    _, results = grade_all(folder, out, list(plans), jobs=2, again=again)
    done = list(results)
    return done, write_table([result for result in done if result is not None], out)


def rows(path, delimiter=","):
    with open(path, encoding="utf-8-sig", newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file, delimiter=delimiter)}


def result_of(student, name=NAME, points=1.0, note=""):
    tasks = [{"name": task.name, "points": points, "out_of": task.points} for task in find_assignment(name).tasks]
    return {"student": student, "assignment": name, "tasks": tasks, "total": points * len(tasks),
            "out_of": 20, "notes": [note] if note else []}  # fmt: skip


def typed(out, student, **cells):
    """Write into a cell of the table, as a teacher does."""
    with open(out, encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    columns = list(dict.fromkeys([*found[0], *cells]))
    for row in found:
        if row["student"] == student:
            row |= cells
    with open(out, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(found)


QUESTION = "question a2 (4)"


def test_what_was_typed_into_the_table_stays(tmp_path):
    out = tmp_path / "grades.csv"
    assert write_table([result_of("ann"), result_of("bea"), result_of("=cat")], out) == []
    assert rows(out)["ann"] | {"note": "-"} == {
        "student": "ann", "assignment": NAME, **dict.fromkeys(TASKS, "1"), "total": "6", "out of": "20", QUESTION: "",
        "note": "-"}  # fmt: skip
    typed(out, "ann", **{QUESTION: "3.5", "late": "2 days", "softmax": "2,5"})
    typed(out, "bea", note="saw her work", total="19")
    typed(out, "'=cat", **{QUESTION: "4"})
    for _ in range(2):  # also a second time
        assert write_table([result_of(name, points=2.0) for name in ("ann", "bea", "=cat", "new")], out) == []
        found = rows(out)
        assert list(found["ann"])[-1] == "late"
        assert [found["ann"][name] for name in (QUESTION, "late", "softmax", "total")] == [
            "3.5",
            "2 days",
            "2,5",
            "12.5",
        ]
        assert [found["ann"][name] for name in TASKS[1:]] == ["2"] * 5
        assert [found["bea"][name] for name in ("note", "total", "softmax", QUESTION)] == [
            "saw her work",
            "19",
            "2",
            "",
        ]
        assert found["'=cat"][QUESTION] == "4"
        assert found["new"]["late"] == ""


def test_rows_that_are_not_graded_this_time_are_kept_and_told(tmp_path):
    out = tmp_path / "grades.csv"
    write_table([result_of("ann"), result_of("bea"), result_of("ann", "a7_resampling")], out)
    typed(out, "bea", **{QUESTION: "4", "note": "left"})
    with open(out, "a", encoding="utf-8") as file:
        file.write("\n,,,my remark\nann,a2_attention,9\n")
    for _ in range(2):
        told = write_table([result_of("ann")], out)
        assert told == [f"bea {NAME}", "ann a7_resampling", f"ann {NAME}"]
        with open(out, encoding="utf-8", newline="") as file:
            first, *kept = csv.DictReader(file)
        assert (first["student"], first["softmax"], first["note"]) == ("ann", "1", "")
        assert (kept[0][QUESTION], kept[0]["note"]) == ("4", f"left {NOT_GRADED}")
        assert kept[1]["resize"] == "1"
        assert "my remark" in kept[2].values()
        assert kept[3][TASKS[0]] == "9"


@pytest.mark.parametrize(("encoding", "delimiter"), [("utf-8-sig", ";"), ("cp1252", ","), ("utf-16", "\t")])
def test_a_table_is_read_as_spreadsheet_programs_write_it(tmp_path, encoding, delimiter):
    out = tmp_path / "grades.csv"
    write_table([result_of("Andr\u00e9", points=0.5)], out)
    text = out.read_text().replace(",,", ",4,").replace(",", delimiter).replace("0.5", "0.50")
    out.write_bytes(text.replace("0.50", "0,50" if delimiter == ";" else "0.50").encode(encoding))
    write_table([result_of("Andr\u00e9", points=1.0)], out)
    (row,) = rows(out).values()
    assert (row["student"], row[QUESTION], row["softmax"], row["total"]) == ("Andr\u00e9", "4", "1", "6")


def test_what_is_no_table_of_points_is_not_lost(tmp_path):
    out = tmp_path / "grades.csv"
    out.write_text("name,phone\nann,1\n")
    with pytest.raises(ValueError, match="has no columns student and assignment, and would be lost"):
        write_table([result_of("ann")], out)
    assert out.read_text() == "name,phone\nann,1\n"


def test_one_student_or_one_task_is_graded_again(tmp_path, monkeypatch):
    folder, out = tmp_path / "class", tmp_path / "out" / "grades.csv"
    put(folder, {"ann/student.py": "x = 1", "bea/student.py": "x = 1"})
    graded(folder, out)
    ran = []
    monkeypatch.setattr(
        grade, "grade_one", lambda plan, work: ran.append([t.name for t, _ in plan.cases]) or grade_one(plan, work)
    )
    monkeypatch.setattr(grade, "_version", lambda: "a new version of everything")
    put(folder, {"ann/student.py": SOLUTION, "bea/student.py": SOLUTION})
    done, _ = graded(folder, out, Again(students=frozenset(["bea"])))
    assert [result["total"] for result in done] == [0, 20]
    assert ran == [TASKS]
    done, _ = graded(folder, out, Again(tasks=frozenset(["softmax"])))
    assert [result["total"] for result in done] == [ASSIGNMENT.tasks[0].points, 20]
    assert ran[1:] == [["softmax"], ["softmax"]]
    assert rows(out)["ann"]["softmax"] == f"{ASSIGNMENT.tasks[0].points}"
    report = (out.parent / "feedback" / "ann" / f"{NAME}.md").read_text()
    assert f"{ASSIGNMENT.tasks[0].points} of 20 points" in report
    done, _ = graded(folder, out)  # the rest of ann's was of an earlier time, bea's is not
    assert [result["total"] for result in done] == [20, 20]
    assert len(ran) == 4
    with pytest.raises(ValueError, match=r"no student 'an' here. Did you mean 'ann'"):
        graded(folder, out, Again(students=frozenset(["an"])))
    with pytest.raises(ValueError, match=r"no task 'sofmax' here. Did you mean 'softmax'"):
        graded(folder, out, Again(tasks=frozenset(["sofmax"])))


def test_the_command_makes_the_tables_folder_and_says_what_it_left(tmp_path, capsys):
    put(tmp_path, {"class/ann/student.py": WORK, "class/bea/student.py": WORK, "class/notes.txt": ""})
    words = [
        "course",
        "grade",
        str(tmp_path / "class"),
        "--out",
        str(tmp_path / "new" / "a2" / "grades.csv"),
        "--seed",
        "7",
    ]
    assert commands.main([*words, "--student", "ann"]) == 0
    said = capsys.readouterr().err
    assert "these belong to no student and were not looked at: notes.txt." in said
    assert "1 of 2 are not graded yet" in said
    assert list(rows(tmp_path / "new" / "a2" / "grades.csv")) == ["ann"]
    assert QUESTION in rows(tmp_path / "new" / "a2" / "grades.csv")["ann"]
    assert commands.main(words) == 2
    assert commands.main([*words, "--force", "--task", "nothing"]) == 2
    assert "There is no task 'nothing' here." in capsys.readouterr().err
    with pytest.raises(SystemExit):
        commands.main([*words[:4], str(tmp_path / "class" / "notes.txt" / "x" / "grades.csv")])


def test_reports_beside_the_students_are_no_students(tmp_path):
    put(tmp_path, {"ann/student.py": "x = 1"})
    for _ in range(2):
        done, _ = graded(tmp_path, tmp_path / "grades.csv")
        assert [result["student"] for result in done] == ["ann"]


def test_whoever_waits_is_told_for_how_long(monkeypatch, capsys):
    now = iter(range(0, 10**6, 20))
    monkeypatch.setattr(terminal.time, "monotonic", lambda: next(now))
    with terminal.progress(range(30), 30, unit="submission", every=10) as (steps, _):
        assert len(list(steps)) == 30
    lines = [f"deit-ref: {i} of 30 submissions, about {left} seconds left" for i, left in ((10, 40), (20, 20))]
    assert capsys.readouterr().err.split("\n")[:2] == lines
    assert terminal._time_left(3.0) == ""
    assert terminal._time_left(600.0) == ", about 10 minutes left"
