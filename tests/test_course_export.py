"""Points leave the course as Canvas, Moodle, Gradescope and a spreadsheet take them, and nobody is lost on the way."""

import csv
import json
import os
import stat
import subprocess
import sys
import zipfile
from datetime import datetime, timedelta

import pytest
from invented_class import solution

from deit_ref import commands
from deit_ref.course.assignments.a2_attention import ASSIGNMENT
from deit_ref.course.export import gradescope
from deit_ref.course.export.late import Late, Rule, late, read_rules, read_times
from deit_ref.course.export.roster import matched, read_roster
from deit_ref.course.export.tables import write
from deit_ref.course.grading.check import PUBLIC_SEED
from deit_ref.course.grading.rows import Row

A2, A3 = "a2_attention", "a3_model"


def run(capsys, *words):
    code = commands.main(["course", "export", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def grades(tmp_path):
    """The points of three students for two assignments, as `grade` writes them."""
    rows = [["student", "assignment", "softmax", "layer_norm", "total", "out of", "note"]]
    rows += [["ada", A2, "2.5", "", "2.5", "20", ""], ["'=ben", A2, "0", "", "0", "20", "Nothing was handed in."]]
    rows += [["Zoë", A2, "3", "", "3", "20", ""]]
    rows += [["ada", A3, "", "1.25", "1.25", "20", ""], ["'=ben", A3, "", "2", "2", "20", ""]]
    rows += [["Zoë", A3, "", "0", "0", "20", ""]]
    return put(tmp_path, "grades.csv", rows)


def put(folder, name, rows):
    path = folder / name
    if isinstance(rows, str):
        path.write_text(rows, encoding="utf-8")
    else:
        with open(path, "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
    return path


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return [*csv.reader(file)]


# Who is who


def roster(folder, text):
    return read_roster(put(folder, "roster.csv", text))


def test_the_column_with_most_of_the_names_is_taken_and_names_may_differ_in_capitals_and_accents(tmp_path):
    class_ = roster(tmp_path, "Name,Login\nAda One,ADA\nBen Two,=ben\nZoe Three,zo-e\nada,d4\n")
    found = matched(class_, ["ada", "=ben", "Zoë"])
    assert found.column == "Login"
    assert {student: row["Name"] for student, row in found.rows.items()} == {
        "ada": "Ada One", "=ben": "Ben Two", "Zoë": "Zoe Three"
    }  # fmt: skip
    assert [row["Name"] for row in found.absent] == ["ada"]
    assert matched(class_, ["ada"], column="Name").rows["ada"]["Login"] == "d4"


def test_first_and_last_names_that_stand_apart_are_put_together_in_either_order(tmp_path):
    class_ = roster(tmp_path, "First name,Last name,Email address\nNoah,Kim,n@x\nKim,Lee,k@x\n")
    for students in (["Kim Noah", "Lee Kim"], ["Noah Kim", "Kim Lee"]):
        found = matched(class_, students)
        assert [found.rows[student]["Email address"] for student in students] == ["n@x", "k@x"]


def test_who_is_the_same_letter_by_letter_goes_first(tmp_path):
    found = matched(roster(tmp_path, "id,name\n1,Ada\n2,ada\n"), ["ada"])
    assert found.rows["ada"]["id"] == "2"


def test_who_could_be_several_is_nobody_and_is_named(tmp_path):
    class_ = roster(tmp_path, "id,name\n1,Jo Li\n2,jo li\n3,Max\n4,Eve\n")
    found = matched(class_, ["jo_li", "MAX", "max", "eve", "who"], column="name")
    assert {*found.rows} == {"eve"}
    assert found.ambiguous == ("jo_li", "MAX", "max")
    assert found.unknown == ("who",)
    assert found.absent == ()


@pytest.mark.parametrize("text", ["\ufeffa;b\r\n1;x, y\r\n", "a\tb\n1\tx, y\n", 'a,b\n1,"x, y"\n\n,,\n'])
def test_lists_are_read_as_spreadsheets_write_them(tmp_path, text):
    assert roster(tmp_path, text).rows == ({"a": "1", "b": "x, y"},)


@pytest.mark.parametrize(
    ("text", "column", "problem"),
    [
        ("", None, "is empty: expected a line with the names of columns"),
        ("name\n", None, "lists nobody: expected a line with the names of columns and one per student."),
        ("name\nada\n", "nam", "The roster has no column 'nam': expected one of name. Did you mean 'name'?"),
        ("name\nsomebody\n", None, "No student of the table is in the roster, such as 'ada': add a column with the"),
        ("name\nada,1\n", None, "expected 1 cells in each line, got 2 in that of 'ada'."),
    ],
)
def test_a_list_that_is_of_no_use_is_refused_in_one_line(tmp_path, capsys, grades, text, column, problem):
    path = put(tmp_path, "roster.csv", text)
    match = [] if column is None else ["--match", column]
    code, _, err = run(capsys, grades, "--to", "moodle", "--roster", path, *match, "--out", tmp_path / "out.csv")
    assert code == 2
    assert problem in err
    assert err.count("\n") == 1


# Late days

DEADLINES = """assignment,student,deadline,grace,per day,at most
a2,,2026-12-01T23:59+01:00,15,10%,50%
a2,grace,2026-12-04T23:59+01:00
a2,kurt,,,0
a3,,2026-12-08T12:00,,1.5,
"""


def row(student, name=A2, points=10.0, *, handed_in=True):
    return Row(student, name, points, 20.0, handed_in)


def lateness(folder, *who, student="ada", name="a2", points=10.0):
    rules = read_rules(put(folder, "deadlines.csv", DEADLINES))
    lines = "".join(f"{student},{name},{time}\n" for time in who)
    times = read_times(put(folder, "times.csv", f"student,assignment,handed in\n{lines}"))
    found, unknown = late([row(student, {"a2": A2, "a3": A3}[name], points)], rules, times)
    return [*found.values()], unknown


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2026-12-01T12:00+01:00", Late(0, 0.0)),
        ("2026-12-02T00:14+01:00", Late(0, 0.0)),  # within the grace
        ("2026-12-02T00:15+01:00", Late(1, 2.0)),
        ("2026-12-02T23:59+01:00", Late(1, 2.0)),
        ("2026-12-02T22:59:30+00:00", Late(2, 4.0)),  # half a minute after, in another zone
        ("2026-12-30T12:00+01:00", Late(29, 10.0)),  # half of the points at most
    ],
)
def test_each_day_that_has_begun_costs(tmp_path, time, expected):
    assert lateness(tmp_path, time)[0] == [expected]


def test_nobody_loses_more_than_there_is(tmp_path):
    assert lateness(tmp_path, "2026-12-09T12:00+01:00", points=3.0)[0] == [Late(8, 3.0)]
    assert lateness(tmp_path, "2026-12-09T12:00+01:00", points=-1.0)[0] == [Late(8, 0.0)]


def test_an_extension_moves_the_deadline_and_keeps_the_rest(tmp_path):
    assert lateness(tmp_path, "2026-12-05T00:10+01:00", student="grace")[0] == [Late(0, 0.0)]
    assert lateness(tmp_path, "2026-12-05T12:00+01:00", student="grace")[0] == [Late(1, 2.0)]
    assert lateness(tmp_path, "2026-12-05T12:00+01:00", student="kurt")[0] == [Late(4, 0.0)]


def test_points_and_times_without_a_zone(tmp_path):
    assert lateness(tmp_path, "2026-12-09T12:00:01", name="a3")[0] == [Late(2, 3.0)]
    with pytest.raises(ValueError, match="both with an offset from UTC, such as 2026-12-01T23:59"):
        lateness(tmp_path, "2026-12-09T12:00+01:00", name="a3")


def test_of_several_times_the_last_counts(tmp_path):
    assert lateness(tmp_path, "2026-12-02T12:00+01:00", "2026-12-01T12:00+01:00")[0] == [Late(1, 2.0)]


def test_what_is_not_known_is_said(tmp_path):
    rules = {("", A2): Rule(datetime(2026, 12, 1)), ("graze", A2): Rule(datetime(2026, 12, 3))}
    rules["nobody", "a7_resampling"] = Rule(datetime(2026, 12, 3))  # of which the table has nothing
    found, unknown = late([row("grace"), row("ben", handed_in=False), row("ada", A3)], rules, {})
    assert found == {}
    assert unknown == [
        "grace, a2_attention: no time of handing in, taken as in time.",
        "graze, a2_attention: a deadline or a time, and not in the table. Did you mean 'grace'?",
    ]
    assert late([row("ben", handed_in=False)], rules, {("ben", A2): datetime(2027, 1, 1)})[0] == {}
    assert rules["", A2].grace == timedelta()


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("deadline", "assignment,day\na2,1\n", "has no column 'deadline': expected assignment, deadline, got"),
        ("deadline", "assignment,deadline\na2,soon\n", "expected a time such as 2026-12-01T23:59+01:00, got 'soon'."),
        ("deadline", DEADLINES.replace("10%", "ten"), "per day as a number or a share such as 10%, got 'ten'."),
        ("deadline", DEADLINES.replace(",15,", ",15%,"), "expected grace as a number, got '15%'."),
        ("deadline", DEADLINES.replace("10%", "-1"), "expected per day as a number or a share such as 10%, got '-1'."),
        ("deadline", DEADLINES.replace("a2,grace", "a5,grace"), "extension of grace for a5_distillation, and no row"),
        ("deadline", DEADLINES + "attention,,2026-12-01T23:59\n", "has two rows of all for a2_attention: leave one."),
        ("times", "student,assignment\nada,a2\n", "has no column 'handed in': expected student, assignment, handed in"),
        ("times", "student,assignment,handed in\nada,a2,\n", "expected a time such as"),
    ],
)  # fmt: skip
def test_rules_that_make_no_sense_are_refused_in_one_line(tmp_path, capsys, grades, name, text, problem):
    files = {
        "deadline": put(tmp_path, "deadline.csv", DEADLINES),
        "times": put(tmp_path, "times.csv", "student,assignment,handed in\n"),
    }
    files[name].write_text(text)
    options = [word for key, path in files.items() for word in (f"--{key}", path)]
    code, _, err = run(capsys, grades, "--to", "csv", "--out", tmp_path / "out.csv", *options)
    assert code == 2
    assert problem in err
    assert err.count("\n") == 1


# Gradebooks

CANVAS = """Student,ID,SIS User ID,SIS Login ID,Section,Attention (4711),Assignment 1 (4712),Final Score
,,,,,Manual Posting,,
    Points Possible,,,,,20.00,20.00,(read only)
"One, Ada",11,S1,ada,Course 1,3,,80
"Two, Ben",12,-2,=ben,Course 1,,,
"Three, Zoe",13,S3,zoe,"Course 1 and Course 2",,,
"Student, Test",14,,test,Course 1,,,
"""


def test_canvas_takes_its_own_columns_and_gets_points_possible(tmp_path, capsys, grades):
    """By "How do I import grades in the Gradebook?" (Canvas Instructor Guide) and Canvas's importer, seen 2026-11-28.

    The first row begins with Student and ID and names Section last before the assignments; an assignment is found by
    the id in brackets, or made anew; the row of possible points is known by these words; a student is found by ID, then
    by the SIS ids. An empty cell removes what is there.
    """
    out = tmp_path / "out.csv"
    code, said, err = run(capsys, grades, "--to", "canvas", "--roster", put(tmp_path, "book.csv", CANVAS), "--out", out)
    assert (code, said) == (0, f"{out}: 3 students, 0 late submissions, 0 to look at.\n")
    assert err == "deit-ref: note: no points for Student, Test, 14.\n"
    assert read(out) == [
        ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Attention (4711)", A3],
        ["    Points Possible", "", "", "", "", "20", "20"],
        ["One, Ada", "11", "S1", "ada", "Course 1", "2.5", "1.25"],
        ["Two, Ben", "12", "-2", "'=ben", "Course 1", "0", "2"],
        ["Three, Zoe", "13", "S3", "zoe", "Course 1 and Course 2", "3", "0"],
    ]


def test_canvas_gets_all_columns_that_it_expects_and_those_of_large_institutions(tmp_path, capsys, grades):
    book = "Student,SIS Login ID,Root Account,Section\nAda,ada,x.org,1\nBen,=ben,x.org,1\nZoe,zoe,x.org,1\n"
    run(capsys, grades, "--to", "canvas", "--roster", put(tmp_path, "b.csv", book), "--out", tmp_path / "o.csv")
    head, possible, first, *_ = read(tmp_path / "o.csv")
    assert head == ["Student", "ID", "SIS User ID", "SIS Login ID", "Root Account", "Section", A2, A3]
    assert possible == ["    Points Possible", "", "", "", "", "", "20", "20"]
    assert first == ["Ada", "", "", "ada", "x.org", "1", "2.5", "1.25"]


def test_a_list_by_which_canvas_knows_nobody_is_refused(tmp_path, capsys, grades):
    book = put(tmp_path, "b.csv", "Name,Login\nAda,ada\n")
    code, _, err = run(capsys, grades, "--to", "canvas", "--roster", book, "--out", tmp_path / "o.csv")
    assert code == 2
    assert "the roster has Name, Login: export the gradebook in Canvas and take that file." in err


MOODLE = """First name,Last name,ID number,Email address,Group
Ada,One,1001,ada@x.org,g1
Ben,Two,-7,=ben,g1
Zoe,Three,0003,zoë,g2
"""


def test_moodle_gets_who_it_is_and_a_column_for_each_assignment(tmp_path, capsys, grades):
    """By "Grade import" (docs.moodle.org 4.5) and the code of Moodle's CSV import, seen 2026-11-28.

    Users are found by id, username, ID number or email address, which form maps to columns; one user that is not
    found stops all of the import. "-" is not a grade. Feedback is imported beside the points, never without them.
    """
    out = tmp_path / "out.csv"
    class_ = put(tmp_path, "class.csv", MOODLE)
    assert run(capsys, grades, "--to", "moodle", "--roster", class_, "--out", out)[0] == 0
    assert read(out) == [
        ["First name", "Last name", "ID number", "Email address", A2, A3],
        ["Ada", "One", "1001", "'ada@x.org".removeprefix("'"), "2.5", "1.25"],
        ["Ben", "Two", "-7", "'=ben", "0", "2"],
        ["Zoe", "Three", "0003", "zoë", "3", "0"],
    ]


def test_moodle_gets_no_one_whom_it_does_not_know_and_they_are_named(tmp_path, capsys, grades):
    text = grades.read_text(encoding="utf-8")
    grades.write_text(
        "".join(line for line in text.splitlines(keepends=True) if f"ada,{A3}" not in line), encoding="utf-8"
    )
    class_ = put(tmp_path, "class.csv", "Anmeldename,E-Mail\nada,a@x\nben,b@x\nBEN,c@x\n")
    out = tmp_path / "out.csv"
    code, said, err = run(capsys, grades, "--to", "moodle", "--roster", class_, "--out", out, "--match", "Anmeldename")
    assert code == 1
    assert read(out) == [["Anmeldename", "E-Mail", A2, A3], ["ada", "a@x", "2.5", "-"]]
    assert err.splitlines() == [
        "deit-ref: look: Zoë: not in the roster's column 'Anmeldename'.",
        "deit-ref: look: =ben: several fit in the roster's column 'Anmeldename'.",
        "deit-ref: look: ada: no row of a3_model in the table.",
    ]
    assert said == f"{out}: 1 students, 0 late submissions, 3 to look at.\n"


def test_moodle_gets_the_reports_if_asked(tmp_path, capsys, grades):
    report = tmp_path / "feedback" / "ada" / f"{A2}.md"
    report.parent.mkdir(parents=True)
    report.write_text("# Assignment 2\n\n=cmd\nDone\x1b[2J.\n")
    out = tmp_path / "out.csv"
    run(capsys, grades, "--to", "moodle", "--feedback", "--assignment", "a2", "--out", out,
        "--roster", put(tmp_path, "class.csv", MOODLE))  # fmt: skip
    head, ada, ben, _ = read(out)
    assert head[-2:] == [A2, f"{A2} (feedback)"]
    assert ada[-2:] == ["2.5", "# Assignment 2\n\n=cmd\nDone?[2J.\n"]
    assert ben[-2:] == ["0", ""]


def test_a_plain_table_has_a_row_for_everybody_and_a_total(tmp_path, capsys, grades):
    out = tmp_path / "out.csv"
    files = ["--deadline", put(tmp_path, "d.csv", "assignment,deadline,per day\na2,2026-12-01T12:00,1\n")]
    files += ["--times", put(tmp_path, "t.csv", "student,assignment,handed in\nada,a2,2026-12-02T13:00\n")]
    files += ["--roster", put(tmp_path, "class.csv", "Login,Matr\nada,7\n=ben,-8\n")]
    code, said, err = run(capsys, grades, "--to", "csv", *files, "--out", out)
    assert (code, said) == (1, f"{out}: 3 students, 1 late submissions, 2 to look at.\n")
    assert "Zoë: not in the roster" in err
    assert "Zoë, a2_attention: no time of handing in, taken as in time." in err
    late_columns = [column for name in (A2, A3) for column in (name, f"{name} days late", f"{name} lost")]
    assert read(out) == [
        ["student", "Login", "Matr", *late_columns, "total", "out of"],
        ["ada", "ada", "7", "0.5", "2", "2", "1.25", "0", "0", "1.75", "40"],
        ["'=ben", "'=ben", "-8", "0", "0", "0", "2", "0", "0", "2", "40"],
        ["Zoë", "", "", "3", "0", "0", "0", "0", "0", "3", "40"],
    ]


def test_numbers_stay_numbers_whatever_their_sign_and_nothing_else_is_a_formula(tmp_path):
    numbers = ["-3", "+1.5", "-7.", "12", "0012", "-"]
    formulas = ["-3-1", "=1", "+A1", "@x", "- 3", "\t=1", "-1\n=2"]
    write([numbers, formulas, ["a\n=1"]], tmp_path / "t.csv")
    found, others, lines = read(tmp_path / "t.csv")
    assert found == numbers
    assert all(text.startswith("'") for text in others)
    assert lines == ["a\n=1"]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--to", "csv", "--out", "{}/o.csv"], "--to csv needs the table that grade wrote: name it, such as"),
        (["{}/grades.csv", "--to", "csv", "--out", "{}/o.zip"], "--to csv writes a file that ends in .csv, got"),
        (["{}/grades.csv", "--to", "canvas", "--out", "{}/o.csv"], "--to canvas needs --roster"),
        (["{}/grades.csv", "--to", "csv", "--feedback", "--out", "{}/o.csv"], "--feedback goes with --to moodle alone"),
        (["{}/grades.csv", "--to", "csv", "--times", "t", "--out", "{}/o.csv"], "Late days need both"),
        (["{}/grades.csv", "--to", "csv", "--assignment", "a7", "--out", "{}/o.csv"], "has no row of a7_resampling"),
        (["{}/no.csv", "--to", "csv", "--out", "{}/o.csv"], "no.csv: No such file or directory."),
        (["{}/grades.csv", "--to", "gradescope", "--out", "{}/o.zip"], "An autograder grades by itself: leave"),
        (["--to", "gradescope", "--out", "{}/o.zip", "--assignment", "a2", "--seed", "7"], "add --wheel."),
        (["--to", "gradescope", "--out", "{}/o.zip", "--assignment", "a2", "--wheel", "w"], "add --seed."),
        (["--to", "gradescope", "--out", "{}/o.zip", "--assignment", "a2", "--seed", "7", "--wheel", "{}/grades.csv"],
         "is not a wheel of deit_ref: make one with `pip wheel --no-deps .`"),
        (["--to", "gradescope", "--out", "{}/o.zip", "--assignment", "a2", "--wheel", "w", "--seed", f"{PUBLIC_SEED}"],
         "is that of the tests that students see"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_in_one_line(tmp_path, capsys, grades, words, problem):
    code, _, err = run(capsys, *(word.replace("{}", str(tmp_path)) for word in words))
    assert code == 2
    assert problem in err
    assert [line for line in err.splitlines() if "note" not in line] == [err.splitlines()[-1]]
    assert not (tmp_path / "o.csv").exists()
    assert not (tmp_path / "o.zip").exists()


# Gradescope


@pytest.fixture
def autograder(tmp_path, capsys):
    """The folder /autograder as Gradescope makes it of the zip, elsewhere, with this Python for an installed one."""
    wheel = tmp_path / "deit_ref-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("deit_ref/__init__.py", "")
    out, limits = tmp_path / "a2.zip", put(tmp_path, "constraints.txt", "numpy==2.0\n")
    words = ["--to", "gradescope", "--assignment", "a2", "--seed", 7, "--wheel", wheel, "--constraints", limits]
    code, said, err = run(capsys, *words, "--out", out)
    assert (code, said) == (0, f"{out}: an autograder of a2_attention, 20 points. Keep it to yourself.\n")
    assert "where containers allow no namespaces nothing is graded" in err
    root = tmp_path / "autograder"
    with zipfile.ZipFile(out) as archive:
        archive.extractall(root / "source")
        modes = {one.filename: one.external_attr >> 16 for one in archive.infolist()}
    assert {*modes} == {"setup.sh", "run_autograder", wheel.name, "constraints.txt"}
    assert all(stat.S_ISREG(modes[name]) and modes[name] & 0o111 == 0o111 for name in ("setup.sh", "run_autograder"))
    for name in ("submission", "python/bin"):
        (root / name).mkdir(parents=True)
    python = root / "python" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return root


def results(root):
    """What the script writes; it is run as Gradescope runs it."""
    (root / "source" / "run_autograder").chmod(0o755)
    environment = {**os.environ, "AUTOGRADER": str(root)}
    subprocess.run([root / "source" / "run_autograder"], env=environment, cwd=root, check=True, capture_output=True)
    return json.loads((root / "results" / "results.json").read_text())


def test_gradescope_gets_a_test_for_each_task(autograder):
    """By "Autograder Specifications" (gradescope-autograders.readthedocs.io), seen 2026-11-28.

    The zip holds setup.sh and run_autograder at its root; the submission lies in /autograder/submission; results.json
    has score, output, visibility and stdout_visibility, and tests with score, max_score, name, output and visibility.
    """
    text = solution(ASSIGNMENT).replace("keepdims=True", "keepdims=False", 1)
    (autograder / "submission" / "student.py").write_text(text)
    found = results(autograder)
    assert {*found} == {"score", "output", "output_format", "visibility", "stdout_visibility", "tests"}
    assert {*found["tests"][0]} == {
        "name", "score", "max_score", "status", "output", "output_format", "visibility"
    }  # fmt: skip
    assert [test["name"] for test in found["tests"]] == [task.name for task in ASSIGNMENT.tasks]
    assert [test["max_score"] for test in found["tests"]] == [task.points for task in ASSIGNMENT.tasks]
    assert found["score"] == pytest.approx(sum(test["score"] for test in found["tests"]))
    assert 0 < found["score"] < 20
    softmax, split = found["tests"][:2]
    assert (softmax["status"], split["status"]) == ("failed", "passed")
    assert "softmax, " in softmax["output"]
    assert split["output"] == "2 of 2 cases are right."
    assert {one["visibility"] for one in (found, *found["tests"])} == {"after_due_date"}
    assert found["stdout_visibility"] == "hidden"
    assert "without isolation" not in found["output"]
    assert {found["visibility"]} <= {*gradescope.VISIBILITIES}
    assert stat.S_IMODE((autograder / "results").stat().st_mode) & 0o007 == 0


def test_where_nothing_can_be_graded_results_say_so(autograder):
    (autograder / "python" / "bin" / "python").write_text(
        f'#!/bin/sh\n[ "$2" = deit_ref ] && echo "locked out" >&2 && exit 2\nexec {sys.executable} "$@"\n'
    )
    assert results(autograder) == {
        "score": 0, "output": "Nothing was graded. Tell your teacher: locked out", "visibility": "visible"
    }  # fmt: skip


def test_the_scripts_are_shell_and_say_what_was_asked(tmp_path, autograder):
    wheel = next(autograder.glob("source/*.whl"))
    out = tmp_path / "again.zip"
    gradescope.write_autograder(out, ASSIGNMENT, seed=9, wheel=wheel, visibility="visible", isolated=False)
    with zipfile.ZipFile(out) as archive:
        assert {*archive.namelist()} == {"setup.sh", "run_autograder", wheel.name}
        setup, script = (archive.read(name).decode() for name in ("setup.sh", "run_autograder"))
    assert "--seed 9 --jobs 1 --no-isolation" in script
    assert " visible > " in script
    assert "constraints" not in setup
    assert '-c "$root/source/constraints.txt"' in (autograder / "source" / "setup.sh").read_text()
    for text in (setup, script):
        assert text.startswith("#!/usr/bin/env bash\n")
        assert "{" not in text.replace("${AUTOGRADER:-/autograder}", "")
        subprocess.run(["bash", "-n"], input=text.encode(), check=True)


def test_results_of_what_the_grader_failed_on_are_no_points():
    failed = {"failed": True, "total": 20, "tasks": []}
    assert gradescope.results(failed, " \n", "hidden")["output"].endswith("Tell your teacher: it said nothing.")
    nothing = {"total": 0, "file": "", "notes": ["Nothing was handed in."], "tasks": []}
    assert gradescope.results(nothing, "", "hidden") == {
        "score": 0, "output": "Nothing was handed in.", "output_format": "text", "visibility": "hidden",
        "stdout_visibility": "hidden", "tests": [],
    }  # fmt: skip
