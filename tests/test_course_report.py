"""A class at a glance: points, mistakes, changes, whole; and a page in which nothing of a student's runs."""

import csv
import json
import os
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from invented_class import copied, own_way, solution

from deit_ref import commands
from deit_ref.course import cut
from deit_ref.course.assignments import assignments
from deit_ref.course.assignments.a2_attention import ASSIGNMENT
from deit_ref.course.grading import fingerprints as whole
from deit_ref.course.grading.fingerprints import fingerprints, marks
from deit_ref.course.grading.history import recall, remember
from deit_ref.course.grading.rows import read_details, read_rows
from deit_ref.course.grading.sandbox import NOT_RUN
from deit_ref.course.grading.submission import Code, pieces
from deit_ref.course.report.page import page
from deit_ref.course.report.similarity import common_knowledge, similar_pairs
from deit_ref.course.report.summary import STEPS, kind_of, summary
from deit_ref.course.task import messages

NAME = ASSIGNMENT.name
SOFTMAX, SPLIT = ASSIGNMENT.tasks[:2]
THOROUGH = os.environ.get("DEIT_REF_HYPOTHESIS_PROFILE") == "thorough"


def marks_of(text):
    """All fingerprints of a module."""
    return frozenset[str]().union(*map(marks, fingerprints(text)[0].values()))


# Fingerprints

LOOP = """
def rows(x, *, scale=0.5):
    result = []
    for row in x:
        total = sum(value * scale for value in row)
        result.append([value / total for value in row if value > 0.25])
    while len(result) > 10:
        result = result[1:] + [result[0]]
    return result
"""


@pytest.mark.parametrize(
    "text",
    [
        LOOP.replace("rows", "lines").replace("row", "r").replace("total", "norm").replace("value", "v"),
        LOOP.replace("    result = []\n", '    """Says what it does."""\n    # and why\n    result: list = []\n', 1),
        LOOP.replace("0.25", "7").replace("scale=0.5", "scale=-3"),
        "LEAST = 0.25\n" + LOOP.replace("0.25", "LEAST"),
        LOOP.replace("def rows(x, *, scale=0.5):", "@cache\ndef rows(x: Array, *, scale: float = 0.5) -> list[list]:"),
        LOOP.replace("    return", "    print(f'{result}')\n    return"),
        "import os\nfrom numpy import *\n" + LOOP,
    ],
)
def test_what_can_be_changed_without_a_thought_leaves_no_mark(text):
    assert text != LOOP
    assert len(marks_of(LOOP)) > 10
    assert marks_of(text) == marks_of(LOOP)


def test_x_and_y_and_the_long_form_of_it_are_the_same():
    long = LOOP.replace("result = result[1:] + [result[0]]", "total = total + scale * 3 - len(x)")
    assert marks_of(long.replace("total = total + scale * 3 - len(x)", "total += scale * 3 - len(x)")) != marks_of(long)
    long = long.replace("total + scale * 3 - len(x)", "total + (scale * 3 - len(x))")
    assert marks_of(long.replace("total = total + (scale * 3 - len(x))", "total += scale * 3 - len(x)")) == marks_of(
        long
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [("append", "extend"), ("/", "*"), ("sum(", "np.max("), ("> 10", "< 10"), ("for row in x", "for row in x.T")],
)
def test_what_is_another_program_leaves_other_marks(old, new):
    assert marks_of(LOOP.replace(old, new)) != marks_of(LOOP)


def test_the_order_of_definitions_and_where_they_stand_do_not_matter():
    other = LOOP.replace("rows", "others").replace("append", "extend")
    one = fingerprints(f"{LOOP}\n{other}")[0]
    assert fingerprints(f"{other}\n{LOOP}")[0] == one
    assert {*one} == {"rows", "others"}
    guarded = f"try:\n    {LOOP.strip()}\nexcept Exception:\n    pass".replace("\n    ", "\n        ").replace(
        "    pass", "pass"
    )
    assert {*fingerprints(guarded.replace("try:\n        def", "try:\n    def"))[0]} == {"rows"}


def test_a_passage_of_nineteen_words_leaves_a_common_mark_and_one_of_fifteen_none():
    def words(text):
        return [*whole._words(whole.ast.parse(text).body[0])]

    def with_passage(passage, *, around):
        return f"def f(x):\n    {around}\n    {passage}\n    {around}\n"

    long = "y = np.exp(x.sum(axis=x) - x[x] * x) / x.T"
    assert len(words(long)) >= 19
    texts = [with_passage(long, around=around) for around in ("x = x + x + x + x", "if x: return {x: x, x: (x, x)}")]
    assert marks_of(texts[0]) & marks_of(texts[1])
    short = "y = np.exp(x - x.T)"
    assert len(words(short)) <= 15 - 3
    texts = [with_passage(short, around=around) for around in ("x = x + x + x + x", "if x: return {x: x, x: (x, x)}")]
    assert not marks_of(texts[0]) & marks_of(texts[1])
    assert marks_of("def f(x):\n    return x\n") == frozenset()


def test_of_each_few_neighboring_hashes_one_is_kept():
    for count in range(1, 40):
        words = [f"{3 * i % 17}" for i in range(count)]
        hashed = [[*whole._winnowed(words[i : i + whole.WORDS])] for i in range(count - whole.WORDS + 1)]
        kept = {*whole._winnowed(words)}
        runs = [{mark for one in hashed[i : i + whole.WINDOW] for mark in one} for i in range(len(hashed))]
        assert all(kept & run for run in runs[: max(1, len(hashed) - whole.WINDOW + 1)])
        assert len(kept) < max(2, len(hashed))


def test_fingerprints_stand_in_order_whatever_the_process():
    for joined in fingerprints(solution(ASSIGNMENT))[0].values():
        found = [joined[i : i + whole.DIGITS] for i in range(0, len(joined), whole.DIGITS)]
        assert found == sorted(found)
        assert marks(joined) == frozenset(found)


def test_of_a_long_submission_the_beginning_is_compared(monkeypatch):
    monkeypatch.setattr(whole, "MOST_WORDS", 200)
    monkeypatch.setattr(whole, "MOST_NAMES", 3)
    long = "def f(x):\n" + "".join(f"    x = x.a{i} + x\n" for i in range(10_000))
    assert 0 < len(marks_of(long)) < 200
    many = "".join(LOOP.replace("rows", f"rows_of_{'many' * 50}_{i}") for i in range(9))
    assert [len(name) for name in fingerprints(many)[0]] == [whole.NAME]


def test_a_tree_may_be_as_deep_as_the_parser_lets_it_be():
    assert marks_of("def f(x):\n    return x" + ".x" * 900)


def test_fingerprints_are_made_where_submissions_are_taken_apart():
    assert pieces(Code(LOOP, frozenset())) == fingerprints(LOOP)[0]
    assert pieces(Code("def f(:", frozenset())) == {}


# Who has much in common


@pytest.mark.parametrize("assignment", assignments() if THOROUGH else [ASSIGNMENT], ids=lambda one: one.name)
def test_copies_are_found_first_in_a_class_that_writes_in_its_own_ways(assignment):
    text = solution(assignment)
    own = [own_way(text, seed) for seed in range(300 if THOROUGH else 40)]
    class_ = {f"student {i}": fingerprints(one)[0] for i, one in enumerate(own)}
    for i in range(3):
        class_[f"copy of {i}"] = fingerprints(copied(own[i], i))[0]
    pairs = similar_pairs(class_, common_knowledge(assignment))
    planted = [pair for pair in pairs[:5] if pair.second == f"copy of {pair.first.removeprefix('student ')}"]
    assert [pair.share for pair in planted] == [1.0] * 3
    honest = [pair for pair in pairs if not pair.second.startswith("copy")]
    assert len(honest) <= (50 if THOROUGH else 3)
    tasks = {task.name for task in assignment.tasks}
    assert all(share >= 0.5 for pair in pairs for share in pair.functions.values())
    assert all({*pair.functions} & tasks for pair in pairs[:3])


def test_a_part_that_was_copied_is_found_and_named():
    text = solution(ASSIGNMENT)
    class_ = {f"s{seed}": own_way(text, seed) for seed in range(20)}
    name = "multi_head_attention"
    copied_part = own_way(text, 7).partition(f"def {name}")[2].partition("\n\ndef ")[0]
    start, _, rest = class_["s3"].partition(f"def {name}")
    class_["thief"] = f"{start}def {name}{copied_part}\n\ndef {rest.partition(chr(10) * 2 + 'def ')[2]}"
    found = similar_pairs({who: fingerprints(one)[0] for who, one in class_.items()}, common_knowledge(ASSIGNMENT))
    pair = next(pair for pair in found if {pair.first, pair.second} == {"s3", "thief"})
    assert pair.functions["scaled_dot_product_attention"] == 1
    assert pair.functions.get(name, 0) < 1
    assert 0.6 < pair.share < 1


def test_who_has_a_part_of_what_another_has_shares_all_and_whoever_shares_more_stands_first():
    def variant(name, *changes):
        text = LOOP.replace("rows", name)
        for old, new in changes:
            text = text.replace(old, new)
        return text

    others = variant("others", ("append", "extend"), ("sum", "np.max"), ("> 10", "== 3"), ("+ [", "* ["))
    more = variant("more", ("append", "insert"), ("sum", "np.min"), ("len(result)", "result.n"), ("x:", "x.T:"))
    class_ = {"all": LOOP + others + more, "some": LOOP, "more": LOOP + more, "who": "def f(x):\n    return x\n"}
    pairs = similar_pairs({who: fingerprints(text)[0] for who, text in class_.items() if who != "some"})
    assert [(one.first, one.second, one.share) for one in pairs] == [("all", "more", 1.0)]
    assert {*pairs[0].functions} == {"rows", "more"}
    class_["all"] = others + more
    pairs = similar_pairs({f"{who}{i}": fingerprints(class_[who])[0] for who in ("some", "all", "who") for i in (1, 2)})
    assert [(one.first, one.second) for one in pairs] == [("all1", "all2"), ("some1", "some2")]


def test_what_everybody_got_and_what_the_reference_has_is_nothing_in_common():
    release = cut.release(messages(ASSIGNMENT))
    for text in (release.student, f"{release.given}\n{release.student}", solution(ASSIGNMENT)):
        class_ = {"ann": fingerprints(text)[0], "ben": fingerprints(copied(text, 1))[0]}
        assert any(class_["ann"].values())
        assert similar_pairs(class_, common_knowledge(ASSIGNMENT)) == []
    assert similar_pairs({}, frozenset()) == []


def test_what_most_of_a_class_writes_is_nothing_in_common():
    rare = own_way(solution(ASSIGNMENT), 5)
    alone = {"ann": fingerprints(rare)[0], "ben": fingerprints(rare)[0], "eve": fingerprints(LOOP)[0]}
    assert [(pair.first, pair.second) for pair in similar_pairs(alone)] == [("ann", "ben")]
    assert similar_pairs({f"student {i}": fingerprints(rare)[0] for i in range(9)}) == []


# What is counted


def result(student, *tasks, notes=(), file="student.py", **more):
    """The details of a student: (points, messages) of the first tasks, full points for the rest."""
    given = dict(zip(ASSIGNMENT.tasks, tasks, strict=False))
    rows = []
    for task in ASSIGNMENT.tasks:
        points, said = given.get(task, (task.points, []))
        rows.append({"name": task.name, "points": points, "out_of": task.points, "messages": said,
                     "right": 4 - len(said), "cases": 4})  # fmt: skip
    total = round(sum(row["points"] for row in rows), 2)
    return {"student": student, "assignment": NAME, "file": file, "total": total, "out_of": ASSIGNMENT.points,
            "notes": list(notes), "tasks": rows, **more}  # fmt: skip


def said(mistake, case="one row"):
    return f"softmax, {case} ([1.0]): 3 of 3 numbers are wrong. It looks like this mistake, {mistake}: mend it."


AXIS = "the wrong axis"
CLASS = [
    result("ada"),
    result("ben", (1.5, [said(AXIS), said(AXIS, "two rows")])),
    result("cleo", (0.0, [said(AXIS)] * 4)),
    result("dan", (2.25, ["softmax, one row ([1.0]): first, at [0], expected 0.1, got 0.5."])),
    result("eve", (0.0, ["softmax, one row ([1.0]): first, at [0], expected 0.1, got 0.5."] * 4)),
    result("fay", (0.0, ["softmax, one row ([1.0]): first, at [0], expected 0.1, got 0.7."] * 4)),
    result("gus", (0.0, ["softmax, one row ([1.0]): it raised:\nTraceback\n  in softmax\nValueError: shapes 3 4"] * 4)),
    result("hal", (0.0, ["softmax, big (float64 (2, 3)): it raised:\nOther lines\nValueError: shapes 13 -4.5e3"] * 4)),
    result("ida", (0.0, ["softmax, one row ([1.0]): not solved yet."] * 4)),
    result("jon", (0.0, ["There is no function softmax in it."])),
    result("kim", *[(0.0, [])] * 6, file="", notes=["Nothing was handed in."]),
]


def test_points_and_steps_are_counted():
    found = summary(ASSIGNMENT, CLASS, {})
    assert (found["students"], found["out_of"], found["median"]) == (11, 20, 17)
    assert found["mean"] == round(sum(one["total"] for one in CLASS) / 11, 2)
    assert found["points"] == [1, 0, 0, 0, 0, 0, 0, 0, 7, 3]
    task = found["tasks"][0]
    assert task["task"] == "softmax"
    assert task["steps"] == dict(zip(STEPS, [8, 0, 1, 1, 0, 1], strict=True))
    assert (task["unsolved"], task["missing"]) == (1, 2)
    assert task["mean"] == round((3 + 1.5 + 2.25) / 11, 2)
    assert found["not_graded"] == [{"student": "kim", "why": "Nothing was handed in."}]


def test_mistakes_are_counted_by_students_and_what_has_no_name_by_what_it_has_in_common():
    task = summary(ASSIGNMENT, CLASS, {})["tasks"][0]
    assert task["mistakes"] == [{"name": AXIS, "students": ["ben", "cleo"]}]
    groups = [(one["kind"], one["messages"], one["students"]) for one in task["unnamed"]]
    assert groups == [
        ("first, at [0], expected 0.1, got 0.5.", 5, ["dan", "eve"]),
        ("it raised: ValueError: shapes # #", 8, ["gus", "hal"]),
        ("first, at [0], expected 0.1, got 0.7.", 4, ["fay"]),
    ]
    assert task["unnamed"][1]["example"].endswith("shapes 3 4")


def test_the_names_of_mistakes_are_taken_where_the_details_have_them():
    named = result("ada", (0.0, ["anything"]))
    named["tasks"][0]["wrong"] = [
        {"case": "one row", "mistake": "returns nothing", "message": "It looks like this mistake, another: x"},
        {"case": "two rows", "mistake": None, "message": "softmax, two rows ([1.0]): strange."},
    ]
    task = summary(ASSIGNMENT, [named], {})["tasks"][0]
    assert task["mistakes"] == [{"name": "returns nothing", "students": ["ada"]}]
    assert [one["kind"] for one in task["unnamed"]] == ["strange."]


def test_what_was_not_run_after_a_call_without_end_is_no_second_mistake():
    ada = result("ada", (0.0, ["anything"]))
    ada["tasks"][0]["wrong"] = [
        {"case": "one row", "mistake": "no end", "message": "softmax, one row ([1.0]): it did not come to an end."},
        {"case": "two rows", "mistake": None, "message": "softmax, two rows ([1.0]): " + NOT_RUN},
    ]
    task = summary(ASSIGNMENT, [ada], {})["tasks"][0]
    assert task["mistakes"] == [{"name": "no end", "students": ["ada"]}]
    assert task["unnamed"] == []


def test_every_known_mistake_is_found_in_its_message():
    for task in ASSIGNMENT.tasks:
        for mistake in task.mistakes:
            own = result("ada")
            row = next(row for row in own["tasks"] if row["name"] == task.name)
            row["messages"] = [f"{task.name}, x (y): wrong. It looks like this mistake, {mistake.name}: {mistake.hint}"]
            found = next(one for one in summary(ASSIGNMENT, [own], {})["tasks"] if one["task"] == task.name)
            assert [one["name"] for one in found["mistakes"]] == [mistake.name]


def test_a_kind_is_what_is_said_after_the_input():
    assert kind_of(SOFTMAX, "softmax, a note (of mine) (float64 (2, 3)): expected (3), got (4): x") == (
        "expected (3), got (4): x"
    )
    assert kind_of(SOFTMAX, "the file cannot be imported:\nA\nNameError: x at 0.25") == (
        "the file cannot be imported: NameError: x at #"
    )
    assert kind_of(SPLIT, "") == ""


# What has changed

FIRST, SECOND, THIRD = (datetime(2026, 12, day, 18, 0, tzinfo=UTC) for day in (1, 2, 3))


def test_what_a_run_changed_is_remembered_however_often_it_is_run_and_asked(tmp_path):
    out = tmp_path / "grades.csv"
    before, after = [result("ada"), result("ben", (0.0, []))], [result("ada"), result("ben"), result("cleo")]
    remember(out, before, when=FIRST)
    assert summary(ASSIGNMENT, before, recall(out)[NAME])["changes"]["students"] == []
    remember(out, after, when=SECOND)
    remember(out, after, when=THIRD)  # nothing is new in it
    changes = summary(ASSIGNMENT, after, recall(out)[NAME])["changes"]
    assert (changes["since"], changes["when"]) == ("2026-12-01T18:00:00+00:00", "2026-12-02T18:00:00+00:00")
    tasks = [task.name for task in ASSIGNMENT.tasks]
    assert changes["students"] == [
        {"student": "ben", "before": 17.0, "now": 20.0, "tasks": ["softmax"]},
        {"student": "cleo", "before": None, "now": 20.0, "tasks": tasks},
    ]


def test_who_is_graded_alone_does_not_make_the_others_forgotten(tmp_path):
    out = tmp_path / "grades.csv"
    remember(out, [result("ada", (0.0, [])), result("ben")], when=FIRST)
    remember(out, [result("ada")], when=SECOND)
    history = recall(out)[NAME]
    assert {*history["now"]} == {"ada", "ben"}
    changed = summary(ASSIGNMENT, [result("ada"), result("ben")], history)["changes"]["students"]
    assert [one["student"] for one in changed] == ["ada"]


@pytest.mark.parametrize("content", ["", "[1]", "{"])
def test_a_broken_memory_is_no_reason_to_lose_a_run(tmp_path, content):
    out = tmp_path / "grades.csv"
    (tmp_path / "history.json").write_text(content)
    assert recall(out) == {}
    remember(out, [result("ada")], when=FIRST)
    assert {*recall(out)[NAME]["now"]} == {"ada"}


# The page


class Seen(HTMLParser):
    """The text of a page, its tags, and whether they are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open, self.attributes = set(), "", [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


EVIL = "<script>alert('1')</script>\"><img src=x onerror=alert(2)>&amp;\u202e\x1b[2J"


def evil_class():
    hint = f"{EVIL}: mend it."
    one = result(EVIL, (0.0, [f"softmax, {EVIL} (x): strange {EVIL}"]), (0.0, [said(EVIL).replace("softmax", "split")]),
                 notes=[EVIL], pieces={EVIL: fingerprints(own_way(solution(ASSIGNMENT), 5))[0]["softmax"]})  # fmt: skip
    one["tasks"][1]["messages"] = [f"split_heads, x (y): It looks like this mistake, {hint}"]
    text = own_way(solution(ASSIGNMENT), 5)
    copy = result(
        f"{EVIL} 2", notes=[EVIL], file="", pieces=fingerprints(text.replace("def multi_head", "def evil"))[0]
    )
    other = result("ann", pieces=fingerprints(text)[0])
    names = [one["student"] for one in (one, copy, other)]
    history = {"before": {name: {EVIL: 1.0} for name in names}, "now": {name: {EVIL: 2.0} for name in names}}
    return [one, copy, other], {**history, "since": EVIL, "when": EVIL}


def test_nothing_of_a_student_is_markup_and_nothing_is_loaded():
    class_, history = evil_class()
    text = page(f"{EVIL}.csv", [summary(ASSIGNMENT, class_, history)])
    seen = Seen(text)
    assert not seen.tags & {"script", "img", "link", "iframe", "svg", "a", "object", "base", "form"}
    assert {name for name, _ in seen.attributes} <= {
        "lang", "charset", "http-equiv", "content", "name", "class", "style", "role", "aria-label", "title",
        "data-head",
    }  # fmt: skip
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in seen.attributes
    assert "http" not in text.replace("http-equiv", "")
    assert "url(" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert seen.text.count("<script>alert('1')</script>") > 10


def test_the_page_says_what_was_counted_and_that_likeness_is_no_verdict():
    class_ = [*CLASS, *evil_class()[0]]
    seen = Seen(page("grades.csv", [summary(ASSIGNMENT, class_, {})]))
    assert {"h1", "h2", "h3", "table", "details"} <= seen.tags
    for words in (
        AXIS,
        "not a verdict",
        "one natural form",
        "Nothing was handed in.",
        "ValueError: shapes 3 4",
        "no earlier run",
    ):
        assert words in seen.text.replace("Nothing is known of an earlier run", "no earlier run"), words
    labels = [value for name, value in seen.attributes if name == "aria-label"]
    assert labels[0].startswith("Students by points, from 0 to 20 in 10 steps: 1, 0")
    assert len(labels) == 1 + len(ASSIGNMENT.tasks)


def test_a_class_without_mistakes_has_a_page_too():
    seen = Seen(page("grades.csv", [summary(ASSIGNMENT, [result("ada")], {})]))
    assert "None has a name." in seen.text
    assert "every wrong answer looks like a mistake that has a name" in seen.text
    assert "No two have much in common" in seen.text


# From the table to the page


def put(folder, student, text):
    path = folder / student / NAME / "student.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def run(capsys, *words):
    code = commands.main(["course", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_class_is_graded_and_looked_at(tmp_path, capsys):
    submissions, out = tmp_path / "submissions", tmp_path / "grades.csv"
    text = own_way(solution(ASSIGNMENT), 5)
    put(submissions, "=ada", text.replace("axis=-1", "axis=0"))
    put(submissions, "ben", copied(text, 1))
    put(submissions, "cleo", "def softmax(x):\n    return x\n")
    grade = ("grade", submissions, "--assignment", "a2", "--out", out, "--seed", 7, "--jobs", 2)
    assert run(capsys, *grade)[0] == 0
    report = ("report", out, "--out", tmp_path / "report.html")
    code, said, err = run(capsys, *report)
    assert (code, err) == (
        0,
        f"deit-ref: {tmp_path}/report.html, and the same for programs in {tmp_path}/report.json.\n",
    )
    assert "a2_attention: 3 students, " in said
    assert "  to look at together: 1 pairs, first =ada and ben" in said
    assert run(capsys, *report)[0] == 2  # what is there stays
    put(submissions, "cleo", solution(ASSIGNMENT))
    assert run(capsys, *grade, "--force")[0] == 0
    assert "  changed since the last run: 1" in run(capsys, *report, "--force")[1]
    [one] = json.loads((tmp_path / "report.json").read_text())
    assert [who["student"] for who in one["changes"]["students"]] == ["cleo"]
    assert "=ada" in Seen((tmp_path / "report.html").read_text()).text
    assert [(row.student, row.points) for row in read_rows(out)] == [
        (one["student"], one["total"]) for one in read_details(out)
    ]


def table(folder, *rows, columns=("softmax", "split_heads", "total", "out of", "note")):
    path = folder / "grades.csv"
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([["student", "assignment", *columns], *rows])
    return path


def test_points_are_those_that_stand_in_the_table_with_what_a_teacher_typed(tmp_path):
    columns = ("softmax", "split_heads", "question a2 (4)", "question a3 (4)", "mine", "total", "out of", "note")
    path = table(
        tmp_path,
        ["'=ada", NAME, "3", "2.5", "3,5", "", "nice", "5.5", "20", ""],
        ["ben", NAME, "0", "-1", "", "", "", "5.5", "20", "Nothing was handed in."],
        columns=columns,
    )
    ada, ben = read_rows(path)
    assert (ada.student, ada.points, ada.out_of, ada.handed_in, ada.missing) == ("=ada", 9.0, 24.0, True, ())
    assert (ben.points, ben.out_of, ben.handed_in, ben.missing) == (-1.0, 24.0, False, ("question a2 (4)",))


def test_a_table_that_a_spreadsheet_wrote_is_the_same(tmp_path):
    path = tmp_path / "grades.csv"
    lines = ["student;assignment;softmax;a2: question 1 (4);total;out of", f" ada ;{NAME};2,5;1,25;2,5;20", ";;;;;"]
    path.write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")
    [ada] = read_rows(path)
    assert (ada.student, ada.points, ada.out_of) == ("ada", 3.75, 24.0)


def test_a_question_of_which_nobody_knows_what_it_belongs_to_is_no_silence(tmp_path):
    path = table(tmp_path, ["ada", NAME, "3", "2", "3", "20"], columns=("softmax", "Question 1", "total", "out of"))
    with pytest.raises(
        ValueError, match=r"expected a column such as 'question a2 \(4\)', got 'Question 1': rename it."
    ):
        read_rows(path)


def test_questions_count_as_soon_as_somebody_has_points_for_them(tmp_path):
    columns = ("softmax", "question a2 (4)", "total", "out of")
    [ada] = read_rows(table(tmp_path, ["ada", NAME, "3", "", "3", "20"], columns=columns))
    assert (ada.points, ada.out_of, ada.missing) == (3.0, 20.0, ())


def test_more_points_than_there_are_count_and_are_named(tmp_path, capsys):
    columns = ("softmax", "split_heads", "question a2 (4)", "total", "out of")
    path = table(
        tmp_path, ["ada", NAME, "3", "35", "5", "38", "20"], ["ben", NAME, "3", "3", "4", "6", "20"], columns=columns
    )
    code, _, err = run(capsys, "export", path, "--to", "csv", "--out", tmp_path / "out.csv")
    assert (code, err.splitlines()) == (
        0,
        [
            "deit-ref: note: ada, a2_attention: 35 of 3 in the column 'split_heads'.",
            "deit-ref: note: ada, a2_attention: 5 of 4 in the column 'question a2 (4)'.",
        ],
    )
    assert "ada,43,43,24" in (tmp_path / "out.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([["ada", NAME, "3", "x", "", "", ""]], "ada, split_heads: expected points, got 'x'."),
        ([["ada", NAME, "3", "1", "", "", ""]] * 2, "has two rows of ada for a2_attention: leave one."),
        ([["ada", NAME, "1", "1", "", "", "", "x"]], "expected 7 cells in each line, got 8 in that of 'ada'."),
        ([], "is not a table of points: expected columns such as student, assignment and total."),
        ([["ada", "a9", "3", "1", "", "", ""]], "There is no assignment 'a9'"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused_in_one_line(tmp_path, capsys, rows, problem):
    path = table(tmp_path, *rows)
    code, _, err = run(capsys, "export", path, "--to", "csv", "--out", tmp_path / "out.csv")
    assert code == 2
    assert problem in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out.csv").exists()


def test_details_belong_to_the_rows_of_the_table(tmp_path, capsys):
    path = table(tmp_path, ["'=ada", NAME, "3", "3", "6", "20", ""])
    for student in ("=ada", "who left"):
        place = tmp_path / "details" / student / f"{NAME}.json"
        place.parent.mkdir(parents=True)
        place.write_text(json.dumps(result(student)))
    assert [one["student"] for one in read_details(path)] == ["=ada"]
    place.write_text("{")
    assert "is broken: remove it and grade again" in run(capsys, "report", path, "--out", tmp_path / "r.html")[2]
    place.unlink()
    path = table(tmp_path, ["ben", NAME, "3", "3", "6", "20", ""])
    code, _, err = run(capsys, "report", path, "--out", tmp_path / "r.html")
    assert code == 2
    assert "details lacks 1 of 1 rows of the table, such as that of ben, a2_attention: keep details/ beside" in err
