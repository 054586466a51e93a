"""What is handed in is found however it is called, what is correct keeps its marks, and nothing typed is lost."""

import csv
import io
import json
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from deit_ref import commands
from deit_ref.course import cut
from deit_ref.course.assignments import assignments, find_assignment
from deit_ref.course.assignments.a2_attention import ASSIGNMENT
from deit_ref.course.grading import grade, modules, naming, spared, submission
from deit_ref.course.grading.grade import Again, grade_all, grade_one, plan
from deit_ref.course.grading.process import Limits
from deit_ref.course.grading.students import students
from deit_ref.course.grading.submission import Submission, handed_in, read
from deit_ref.course.grading.table import NOT_GRADED, write_table
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
     "attention.ipynb",
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
     f".{NAME}.py.icloud", "a7_resampling/attention.py"],
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
    monkeypatch.setattr(submission, "FILES", 20)
    put(tmp_path, {f"ann/a/{i}.py": "" for i in range(40)} | {"ann/student.py": "x = 1"})
    assert handed(tmp_path).content == b"x = 1"


BOMBS = {
    "many archives": {f"{i}.zip": zipped({"x.py": ""}) for i in range(40)},
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
                   "eve/student.py": WORK + A7, "fay/utils.py": "def softmax(x):\n    return x"})  # fmt: skip
    found = {name: handed_in(parts, NAMES) for name, parts in students(tmp_path).students.items()}
    both = {NAME, "a7_resampling"}
    assert found == {"ann": {NAME}, "bea": {"a7_resampling"}, "cat": set(), "dan": both, "eve": both, "fay": set()}
    for name, parts in students(tmp_path).students.items():
        if name in ("cat", "dan"):
            there = {each for each in both if read(name, parts, each, sure=False).problem is None}
            assert there == found[name]
    assert read("cat", students(tmp_path).students["cat"], NAME).content == b"x = 1"  # where only one is graded
