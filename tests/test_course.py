"""The course's core: what is cut from the chapters, how a result is judged, how points are counted."""

import ast
import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from deit_ref.__main__ import main
from deit_ref.course import cut
from deit_ref.course.assignments import assignments, find_assignment, find_task, later
from deit_ref.course.assignments.a2_attention import ASSIGNMENT
from deit_ref.course.grading import known
from deit_ref.course.grading.check import PUBLIC_SEED, Verdict, assert_task, judge
from deit_ref.course.grading.compare import difference
from deit_ref.course.grading.sandbox import Answer
from deit_ref.course.grading.worker import called, parts
from deit_ref.course.release.build import build, given_away, nbgrader_files, student_files
from deit_ref.course.release.links import relinked, setup_code
from deit_ref.course.release.notebook import notebook
from deit_ref.course.release.source import Cell, cells, checked, source
from deit_ref.course.task import Case, Mistake, Task, Unsolved, messages, points_of, reference, seeded
from deit_ref.numpy_backend import attention
from deit_ref.numpy_backend.backward import layers as backward
from deit_ref.weights import Linear

MESSAGES = messages(ASSIGNMENT)
SOFTMAX = ASSIGNMENT.tasks[0]


def top_level(text):
    return {node.name: node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}


def loaded(release):
    """The names of the student's module, with what is given."""
    given = {}
    exec(compile(release.given, "given.py", "exec"), given)
    text = "\n".join(line for line in release.student.splitlines() if not line.startswith("from given import"))
    exec(compile(text, "student.py", "exec"), given)
    return given


def test_a_solution_is_the_text_of_the_chapter():
    assert cut.solution("layers.softmax").startswith('def softmax(x: Float[Array, "*batch scores"])')
    assert cut.solution("layers.softmax").rstrip().endswith("return powers")
    with pytest.raises(ValueError, match=r"layers has no sofmax: expected one of .*softmax"):
        cut.solution("layers.sofmax")


def test_a_stub_keeps_signature_and_docstring_and_says_what_is_to_do():
    text = cut.stub("attention.split_heads", "assignment 2, task 2: split_heads")
    (node,) = ast.parse(text).body
    (original,) = ast.parse(cut.solution("attention.split_heads")).body
    assert ast.dump(node.args) == ast.dump(original.args)
    assert ast.dump(node.returns) == ast.dump(original.returns)
    assert ast.get_docstring(node) == ast.get_docstring(original)
    assert len(node.body) == 2
    assert ast.unparse(node.body[1]) == "raise NotImplementedError('assignment 2, task 2: split_heads')"


def test_a_docstring_loses_what_gives_the_task_away(tmp_path):
    task = Unsolved("layers.softmax", "write it", ("Subtracting the largest",))
    (node,) = ast.parse(cut.stub(*task)).body
    lines, whole = ast.get_docstring(node).split("\n\n"), ast.get_docstring(ast.parse(cut.solution(task[0])).body[0])
    assert lines == [part for part in whole.split("\n\n") if not part.startswith("Subtracting")]
    with pytest.raises(ValueError, match=r"layers\.softmax: expected one paragraph that begins with 'Nothing', got 0"):
        cut.stub("layers.softmax", "", ["Nothing"])
    build(tmp_path / "course", assignments())
    for one in assignments():
        texts = [path.read_text() for path in (tmp_path / "course/student" / one.name).glob("*.py")]
        for words in [words for task in one.tasks for words in task.untold]:
            assert not any(words in text for text in texts), words
            made = (tmp_path / "course/nbgrader/source" / one.name / f"{one.name}.ipynb").read_text()
            assert json.dumps(words)[1:-1] not in made
            assert words in (tmp_path / "course/teacher" / one.name / "solution.py").read_text()
    told = ast.get_docstring(top_level(cut.release(messages(find_assignment("a4"))).student)["softmax_vjp"])
    assert told.strip() == r"$p = \mathrm{softmax}(x)$, and back."


def test_what_is_released_holds_no_solution():
    release = cut.release(MESSAGES)
    functions = top_level(release.student)
    assert list(functions) == [task.name for task in ASSIGNMENT.tasks]
    for node in functions.values():
        assert [type(line) for line in node.body] == [ast.Expr, ast.Raise]
    assert set(top_level(release.given)) == {"linear", "dropout"}
    assert "transpose" not in release.student + release.given
    names = loaded(release)
    with pytest.raises(NotImplementedError, match="assignment 2, task 3: merge_heads"):
        names["merge_heads"](np.zeros((1, 2, 3, 4)))


def test_the_solved_release_computes_what_the_chapters_do():
    names = loaded(cut.release(MESSAGES, solved=True))
    for task in ASSIGNMENT.tasks:
        assert names[task.name] is not reference(task.function)
        for case in task.cases(seeded(3, task)):
            found, expected = (known.answers(f, case) for f in (names[task.name], reference(task.function)))
            assert len(found) == len(expected) > 0
            assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(found, expected, strict=True))


def test_a_helper_that_calls_a_students_function_stands_with_the_students():
    release = cut.release(
        [Unsolved("attention.scaled_dot_product_attention", ""), Unsolved("attention.multi_head_attention", "x")]
    )
    assert list(top_level(release.student)) == ["scaled_dot_product_attention", "multi_head_attention"]
    assert {"softmax", "split_heads", "merge_heads", "linear"} <= set(top_level(release.given))
    release = cut.release([Unsolved("layers.softmax", "now")])
    assert list(top_level(release.student)) == ["softmax"]
    assert cut.needs("attention.merge_heads") == {"attention.Array"}
    assert "layers.softmax" in cut.needs("attention.multi_head_attention")
    whole = cut.release([Unsolved("attention.split_heads", "s"), Unsolved("encoder.encoder_block", "b")])
    assert list(top_level(whole.student)) == ["split_heads", "multi_head_attention", "encoder_block"]
    assert isinstance(top_level(whole.student)["multi_head_attention"].body[-1], ast.Return)  # a helper, with its body


@pytest.mark.parametrize(
    ("expected", "got", "words"),
    [
        ([1.0, 2.0], [1.0, 2.0 + 1e-6], None),
        ([1.0, 2.0], [1.0, 2.0 + 1e-5], "1 of 2 numbers are wrong; first, at [1], expected 2, got 2.00001."),
        ([1.0, 2.0], [[1.0, 2.0]], "expected the shape (2,), got (1, 2)."),
        ([np.inf, 1.0], [np.inf, 1.0], None),
        ([np.inf, 1.0], [-np.inf, 1.0], "1 of 2 numbers are wrong; first, at [0], expected inf, got -inf."),
        ([np.inf, 1.0], [1.0, 1.0], "1 of 2 numbers are wrong; first, at [0], expected inf, got 1."),
        ([np.nan, 1.0], [np.nan, 1.0], None),
        ([np.nan, 1.0], [0.0, 1.0], "1 of 2 numbers are wrong; first, at [0], expected nan, got 0."),
        ([1.0, 0.0], [True, True], "1 of 2 numbers are wrong; first, at [1], expected 0, got True."),
        ([1.0, 2.0], [1.0 + 0j, 2.0 + 1j], "1 of 2 numbers are wrong; first, at [1], expected 2, got 2+1j."),
        ([1.0, 2.0], [1, 2], None),
        (2.0, 3.0, "1 of 1 numbers are wrong; first, at the only one, expected 2, got 3."),
        (np.uint8([1]), [1.0], "expected bytes (uint8), got float64."),
        (np.uint8([1]), np.uint8([1]), None),
        ([], [], None),
    ],
)  # fmt: skip
def test_the_difference_is_said_in_words(expected, got, words):
    assert difference((np.asarray(expected),), (np.asarray(got),), 1e-6) == words


def test_several_arrays_are_counted_and_named():
    one, two = np.array(1.0), np.array(2.0)
    assert difference((one, two), (one, two), 0) is None
    assert difference((one, two), (one, one), 0).startswith("array 2 of the result: 1 of 1 numbers are wrong")
    assert difference((one, two), (one,), 0) == "expected 2 arrays (float64 (), float64 ()), got 1 (float64 ())."


def test_results_of_every_kind_become_arrays():
    @dataclass
    class Output:
        logits: np.ndarray
        loss: float | None
        name: str = "no array"

    assert [part.tolist() for part in parts(Output(np.array([1.0]), 2.0))] == [[1.0], 2.0]
    assert [part.tolist() for part in parts(Output(np.array([1.0]), None))] == [[1.0]]
    assert [part.tolist() for part in parts((np.arange(2), 3))] == [[0, 1], 3]
    assert [part.tolist() for part in parts(np.arange(2))] == [[0, 1]]


def cases_of(task, seed=0):
    return list(task.cases(seeded(seed, task)))


def test_a_verdict_says_input_expected_got_and_the_mistake():
    task = find_task("a2_attention.merge_heads")
    case = cases_of(task)[1]
    x = case.arguments[0]
    swapped = x.transpose(0, 2, 3, 1).reshape(x.shape[0], x.shape[2], -1)
    verdict = judge(task, case, Answer(arrays=(swapped,)))
    assert not verdict.right
    assert verdict.message.startswith(f"merge_heads, two images (float64 {x.shape}): ")
    assert "It looks like this mistake, heads interleaved: a head's features stay side by side" in verdict.message
    assert judge(task, case, Answer(arrays=(attention.merge_heads(x),))) == Verdict(True)
    assert verdict.mistake == "heads interleaved"
    unknown = judge(task, case, Answer(arrays=(attention.merge_heads(x) ** 2,)))
    assert not unknown.right
    assert "It looks like" not in unknown.message
    assert unknown.mistake is None
    assert judge(task, case, Answer(problem="NotImplementedError: ...")).message.endswith("): not solved yet.")
    assert judge(task, case, Answer(problem="it raised: X")).message.endswith("): it raised: X")
    assert "not an array of numbers" in judge(task, case, Answer()).message
    other = Answer(arrays=(attention.merge_heads(x) + 1,))
    given = judge(task, case, Answer(arrays=(attention.merge_heads(x),)), expected=other)
    assert not given.right  # what is handed in as expected counts, not what the reference gives


def test_a_mistake_must_stand_once_in_the_reference():
    twice = Mistake("twice", "batch", "tokens", "")
    with pytest.raises(ValueError, match=r"replaces 'batch', which stands \d+ times in attention.merge_heads: once"):
        known.mutated(find_task("a2_attention.merge_heads"), twice)


def test_points_are_a_share_and_only_all_right_cases_are_full_marks():
    task = Task(function="layers.softmax", points=2, minutes=10, cases=lambda rng: iter([]), mistakes=())
    assert [points_of(task, right, 3) for right in range(4)] == [0, 0.66, 1.33, 2]


def test_another_seed_and_another_task_draw_other_numbers():
    first = seeded(0, SOFTMAX).random()
    assert first == seeded(0, SOFTMAX).random()
    assert first != seeded(1, SOFTMAX).random()
    assert first != seeded(0, ASSIGNMENT.tasks[1]).random()


def test_assignments_and_tasks_are_found_by_name():
    for name in ("2", "a2", "attention", "a2_attention"):
        assert find_assignment(name) is ASSIGNMENT
    assert find_task("a2_attention.softmax") is SOFTMAX
    with pytest.raises(ValueError, match=r"no assignment 'a8': expected one of a1_patches, a2_attention, a3_mo"):
        find_assignment("a8")
    with pytest.raises(ValueError, match=r"a2_attention has no task 'x': expected one of softmax, split_heads"):
        find_task("a2_attention.x")


SOLVED = loaded(cut.release(MESSAGES, solved=True))


def test_own_functions_can_be_tested_where_they_are():
    for task in ASSIGNMENT.tasks:
        assert_task(f"a2_attention.{task.name}", SOLVED[task.name])
    with pytest.raises(AssertionError, match=r"scores in the thousands.*no maximum subtracted: exp of"):
        assert_task("a2_attention.softmax", lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True))

    def unsolved(x):
        raise NotImplementedError("assignment 2, task 1: softmax")

    with pytest.raises(NotImplementedError):
        assert_task("a2_attention.softmax", unsolved)


def test_a_function_that_changes_its_input_is_wrong():
    def in_place(x):
        x -= x.max(axis=-1, keepdims=True)
        np.exp(x, out=x)
        x /= x.sum(axis=-1, keepdims=True)
        return x

    with pytest.raises(AssertionError, match="the numbers are right, but it changes its input"):
        assert_task("a2_attention.softmax", in_place)

    def takes_from_the_list(attentions, *, residual=0.5):
        return SOLVED["attention_rollout"]([attentions.pop(0) for _ in range(len(attentions))], residual=residual)

    with pytest.raises(AssertionError, match="changes its input"):
        assert_task("a2_attention.attention_rollout", takes_from_the_list)

    def spoils_and_fails(x):
        x[...] = 0
        return SOLVED["softmax"](x)

    with pytest.raises(AssertionError, match="numbers are wrong"):  # which is the first thing to mend
        assert_task("a2_attention.softmax", spoils_and_fails)


def test_every_folder_travels_in_the_wheel():
    root = Path(__file__).parent.parent
    settings = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {".".join(path.parent.relative_to(root).parts) for path in (root / "deit_ref").rglob("*.py")}
    assert set(settings["packages"]) == folders | {"deit_ref.pretrained", "deit_ref.course.sources"}
    sources = {path.stem for path in (root / settings["package-dir"]["deit_ref.course.sources"]).glob("*.py")}
    assert sources == {assignment.name for assignment in assignments()}
    for assignment in assignments():
        assert source(assignment)[0].text.startswith("# ")


SOURCE = """
# ---
# jupyter: {}
# ---
# %% [markdown]
# # Assignment 2: attention
#
# - Shapes are `(batch, tokens)`.
# %% task="layers.softmax"
# Its text is put here.
# %% An experiment
y = softmax(np.zeros(3))
# a comment
# %% [markdown] question="scale" points=2
# Why?
# %% [markdown] rubric="scale"
# One point each.
# %% [markdown] answer="scale"
# Because.
# %% teacher=true
z = 1
"""


def test_a_source_is_cells_with_what_their_first_lines_say():
    assert cells(SOURCE) == [
        Cell(True, "# Assignment 2: attention\n\n- Shapes are `(batch, tokens)`."),
        Cell(False, "# Its text is put here.", {"task": "layers.softmax"}),
        Cell(False, "y = softmax(np.zeros(3))\n# a comment"),
        Cell(True, "Why?", {"question": "scale", "points": 2}),
        Cell(True, "One point each.", {"rubric": "scale"}),
        Cell(True, "Because.", {"answer": "scale"}),
        Cell(False, "z = 1", {"teacher": True}),
    ]
    assert [cell.for_students for cell in cells(SOURCE)] == [True, True, True, True, False, False, False]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("# # Assignment", "# Assignment", "expected a first cell of Markdown that begins with a title"),
        ('task="layers.softmax"', "", r"expected a cell for each task, \['layers.softmax'\], got \[\]"),
        ("# Its text is put here.", "def softmax(x): ...", "the cell of layers.softmax holds code"),
        ('rubric="scale"', 'rubric="other"', r"expected a rubric and an answer .*\['scale'\], got \['other'\]"),
        ('answer="scale"', 'answer="other"', r"expected a rubric and an answer .* got \['scale'\] and \['other'\]"),
        (" points=2", "", "a question has points, and nothing else has"),
        ("points=2", "points=two", "expected one of .*points .int.*, got points=two"),
        ("teacher=true", "techer=true", "expected one of .*teacher .bool.*, got techer=true"),
        ("# Why?", "Why?", "expected Markdown in comments, got 'Why.'"),
        ("teacher=true", "[teacher", r"expected '# %% \[markdown\] key=value', got '# %% \[teacher'"),
    ],
)
def test_a_source_that_is_wrong_is_refused(old, new, words):
    assert SOURCE.count(old) == 1
    one = type(ASSIGNMENT)(number=2, slug="attention", title="", tasks=ASSIGNMENT.tasks[:1])
    assert checked(cells(SOURCE), one)
    with pytest.raises(ValueError, match=words):
        checked(cells(SOURCE.replace(old, new)), one)


def test_a_notebook_has_for_each_task_a_function_and_a_try():
    one = type(ASSIGNMENT)(number=2, slug="attention", title="", tasks=ASSIGNMENT.tasks[:1])
    made = notebook(one, checked(cells(SOURCE), one))
    kinds = [
        (
            cell["cell_type"],
            *(cell["metadata"].get("nbgrader", {}).get(key) for key in ("grade_id", "locked", "points")),
        )
        for cell in made["cells"]
    ]
    assert kinds == [
        ("markdown", None, None, None),
        ("code", "imports", True, None),
        ("code", "softmax", False, 3),
        ("code", "try_softmax", True, None),
        ("code", None, None, None),
        ("markdown", None, None, None),
        ("markdown", "question_scale", False, 2),
    ]
    texts = ["".join(cell["source"]) for cell in made["cells"]]
    assert texts[2].index("### BEGIN SOLUTION") < texts[2].index("powers =") < texts[2].index("### END SOLUTION")
    assert texts[2].endswith('    ### END SOLUTION\n    raise NotImplementedError("assignment 2, task 1: softmax")')
    assert texts[3] == 'assert_task("a2_attention.softmax", softmax)'
    assert texts[6] == "One point each.\n\nBecause."
    assert str(PUBLIC_SEED) not in json.dumps(made)
    names = {"np": np}
    for text in (texts[1], texts[2], texts[3]):
        exec(text.replace("from given import Array\n", "Array = np.ndarray\n"), names)


SITE = "https://example.org/deit/"
REPOSITORY = "https://example.org/someone/deit_ref"
DOCS = Path(__file__).parent.parent / "docs"


def links(folder):
    """The targets of all links in Markdown and in notebooks."""
    return [
        target
        for path in [*folder.rglob("*.md"), *folder.rglob("*.ipynb")]
        for target in re.findall(r"\]\(([^)\s]*/[^)\s]*)\)", path.read_text(encoding="utf-8"))
    ]


def test_what_is_handed_out_has_no_link_that_leads_nowhere(tmp_path):
    build(tmp_path / "plain", assignments())
    assert links(tmp_path / "plain") == []
    assert "(../" not in (tmp_path / "plain/student/a4_backward/README.md").read_text()
    build(tmp_path / "linked", assignments(), site=SITE)
    found = links(tmp_path / "linked" / "student")
    assert len(found) >= len(assignments())
    for target in found:
        assert target.startswith(SITE)
        assert (DOCS / f"{target.removeprefix(SITE).partition('#')[0].strip('/')}.md").is_file(), target
    assert set(links(tmp_path / "linked" / "nbgrader")) == set(found)


def test_links_become_addresses_or_words():
    text = "In [masked\nimages](../../docs/chapters/simmim.md#the-loss), and [elsewhere](https://example.org)."
    assert relinked(text, None) == "In masked\nimages, and [elsewhere](https://example.org)."
    linked = "In [masked\nimages](https://example.org/deit/chapters/simmim/#the-loss), and "
    assert relinked(text, SITE).startswith(linked)
    assert relinked(text, SITE.rstrip("/")).startswith(linked)


def test_a_notebook_installs_the_project_only_if_it_is_told_from_where(tmp_path):
    build(tmp_path / "course", [ASSIGNMENT], repository=REPOSITORY)
    cells_of = json.loads((tmp_path / "course/nbgrader/source/a2_attention/a2_attention.ipynb").read_text())["cells"]
    setup = "".join(cells_of[1]["source"])
    assert cells_of[1]["metadata"]["nbgrader"]["locked"] is True
    assert f"    %pip install -q 'deit_ref[plots] @ git+{REPOSITORY}'" in setup
    build(tmp_path / "plain", [ASSIGNMENT])
    assert "pip install" not in (tmp_path / "plain/nbgrader/source/a2_attention/a2_attention.ipynb").read_text()


def test_the_first_cell_makes_what_is_given_and_leaves_what_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = re.sub(
        r"^( *)%pip.*$", r"\1raise AssertionError", setup_code(REPOSITORY, assignment="a4"), flags=re.MULTILINE
    )
    exec(code, {})
    a4 = find_assignment("a4")
    assert Path("given.py").read_text() == cut.release(messages(a4), later=later(a4)).given
    Path("given.py").write_text("mine")
    exec(code, {})
    assert Path("given.py").read_text() == "mine"
    assert "given" not in setup_code(REPOSITORY)


def test_what_is_given_holds_no_solution_that_a_later_assignment_asks_for():
    for assignment in assignments():
        found = list(source(assignment))
        for files in (student_files(assignment, found), nbgrader_files(assignment, found)):
            given = top_level(files["given.py"])
            for task in later(assignment):
                if node := given.get(task.function.rpartition(".")[2]):
                    assert isinstance(node.body[-1], ast.Raise), (assignment.name, task.function)
    first = find_assignment("a1")
    names = loaded(cut.release(messages(first), solved=True, later=later(first)))
    with pytest.raises(NotImplementedError, match="assignment 6, task 1: mask_tokens"):
        names["mask_tokens"](np.zeros((1, 1, 1)), np.zeros((1, 2, 1)), np.zeros((1, 2)))
    assert given_away(first) == {}
    assert set(given_away(find_assignment("a3"))) == {"a1_patches", "a2_attention"}


def test_teachers_are_told_which_solutions_a_given_file_holds(tmp_path):
    assert given_away(find_assignment("a2")) == {}
    assert given_away(find_assignment("a4")) == {"a2_attention": ["softmax"], "a3_model": ["layer_norm", "gelu"]}
    build(tmp_path / "course", [find_assignment("a4")])
    notes = (tmp_path / "course/teacher/a4_backward/notes.md").read_text()
    assert "hand it out when these are closed:\n\n- a2_attention: softmax\n- a3_model: layer_norm, gelu\n" in notes
    assert "## Model answer" in notes
    assert "## Help I used\n" in (tmp_path / "course/student/a4_backward/answers.md").read_text()
    handed_out = [*(tmp_path / "course/student").rglob("*.*")]
    assert not any("odel answer" in path.read_text() for path in handed_out if path.suffix != ".npz")


def test_an_assignment_by_its_old_number_is_told_the_new_one():
    with pytest.raises(ValueError, match="a1_resampling is a7_resampling now"):
        find_assignment("a1_resampling")


@pytest.mark.parametrize("address", ["example.org", "file:///etc", "https://example.org/'; import os", "https://"])
def test_an_address_that_is_none_is_refused(address, capsys, tmp_path):
    with pytest.raises(SystemExit):
        main(["course", "build", "--out", str(tmp_path / "course"), "--repository", address])
    assert "expected an address such as https://example.org/deit/" in capsys.readouterr().err


def test_a_function_and_its_way_back_are_called_and_all_gradients_are_arrays():
    weights = Linear(np.eye(2), np.zeros(2))
    found = parts(called(backward.linear_vjp, (weights, np.ones((1, 2))), {}, (np.array([[1.0, 2.0]]),)))
    assert [part.tolist() for part in found] == [[[1, 1]], [[1, 1], [2, 2]], [1, 2], [[1, 2]]]
    without = parts(called(backward.linear_vjp, (Linear(np.eye(2)), np.ones((1, 2))), {}, (np.ones((1, 2)),)))
    assert len(without) == 3
    assert [part.tolist() for part in parts(called(backward.softmax_vjp, (np.zeros(1),), {}, (np.ones(1),)))] == [
        [1],
        [0],
    ]
    assert len(parts(called(lambda x: (x, lambda dy: (dy, None)), (1,), {}, (2,)))) == 2  # what has no gradient
    for wrong in (lambda x: x, lambda x: (x, x), lambda x: (x, len, len)):
        with pytest.raises(TypeError, match=r"expected the value and the function back, \(y, back\), got (int|tuple)"):
            called(wrong, (1,), {}, (1,))
    assert called(len, ([],), {}, None) == 0


def test_helpers_stand_in_the_notebook_before_the_task_that_needs_them():
    tasks = tuple(
        Task(function=function, points=1, minutes=10, cases=lambda rng: iter([Case("", ())]), mistakes=())
        for function in ("attention.split_heads", "encoder.encoder_block")
    )
    made = notebook(
        type(ASSIGNMENT)(number=4, slug="model", title="", tasks=tasks),
        [Cell(True, "# T"), *(Cell(False, "", {"task": task.function}) for task in tasks)],
    )
    names = [cell["metadata"].get("nbgrader", {}).get("grade_id") for cell in made["cells"]]
    assert names[2:] == [
        "split_heads", "try_split_heads", "given_multi_head_attention", "encoder_block", "try_encoder_block",
    ]  # fmt: skip


def test_points_of_an_assignment_are_those_of_its_tasks():
    for assignment in assignments():
        assert assignment.points == sum(task.points for task in assignment.tasks) > len(assignment.tasks)
    assert ASSIGNMENT.points == 20


def test_a_wrong_result_that_no_known_mistake_gives_is_not_called_one():
    for task in ASSIGNMENT.tasks:
        for case in task.cases(seeded(3, task)):
            expected = known.answers(reference(task.function), case)
            verdict = judge(task, case, Answer(arrays=tuple(1.0001 * array for array in expected)))
            assert not verdict.right
            assert "It looks like" not in verdict.message
            assert "numbers are wrong" in verdict.message


def test_what_is_cut_begins_with_its_comments_and_decorators(tmp_path, monkeypatch):
    text = "import math\n\n# Two lines\n# of words.\nX = 3\n\n\n@wrapped\n@twice\ndef f(x):\n    return X * x\n"
    (tmp_path / "patches.py").write_text(text)
    monkeypatch.setattr(cut, "files", lambda package: tmp_path)
    found = cut.chapter.__wrapped__("patches")
    assert found.imports == {"math": "import math"}
    assert found.items["X"].text == "# Two lines\n# of words.\nX = 3"
    assert found.items["f"].text == "@wrapped\n@twice\ndef f(x):\n    return X * x"


def test_of_several_wrong_numbers_the_first_is_shown():
    expected, got = np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(2, 3)
    got[0, 2], got[1, 1] = 7.0, 9.0
    assert difference((expected,), (got,), 1e-6) == ("2 of 6 numbers are wrong; first, at [0, 2], expected 2, got 7.")


def test_a_release_imports_what_it_names_and_nothing_else():
    for assignment in assignments():
        tree = ast.parse(cut.release(messages(assignment), solved=True).student)
        imported = {
            (alias.asname or alias.name).partition(".")[0]
            for node in tree.body
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        assert imported <= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}, assignment.name
