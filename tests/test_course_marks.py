"""One mistake costs the points of one task; and who is shown other tasks' solutions for that cannot use them."""

import json
import os
import textwrap
from dataclasses import replace

import numpy as np
import pytest

from deit_ref.course import cut
from deit_ref.course.assignments import find_assignment
from deit_ref.course.assignments.a2_attention import ASSIGNMENT
from deit_ref.course.grading import marks
from deit_ref.course.grading.check import assert_task, judge
from deit_ref.course.grading.compare import difference, shapes
from deit_ref.course.grading.feedback import report
from deit_ref.course.grading.known import Known, answered, mutated, variant
from deit_ref.course.grading.likeness import likeness
from deit_ref.course.grading.marks import grade_one, scrubbed
from deit_ref.course.grading.plan import plan, reference_of
from deit_ref.course.grading.process import Limits
from deit_ref.course.grading.sandbox import Answer
from deit_ref.course.grading.seed import seed_of
from deit_ref.course.grading.submission import Submission
from deit_ref.course.grading.uses import check_uses
from deit_ref.course.task import Case, Mistake, messages, seeded

THOROUGH = os.environ.get("DEIT_REF_HYPOTHESIS_PROFILE") == "thorough"
LIMITS = Limits(seconds=2.0, start_up=20.0, memory=2**30)
PLAN = plan(ASSIGNMENT, seed=7, limits=LIMITS)
SOLVED = cut.release(messages(ASSIGNMENT), solved=True).student
TASKS = [task.name for task in ASSIGNMENT.tasks]
FULL = {task.name: task.points for task in ASSIGNMENT.tasks}


def graded(text, one=PLAN):
    return grade_one(one, Submission("ann", one.assignment.name, "student.py", text.encode()))


def points(result):
    return {task["name"]: task["points"] for task in result["tasks"]}


def replaced(name, body, text=SOLVED):
    """The solution with another body of one task."""
    old = cut.solution(next(task.function for task in ASSIGNMENT.tasks if task.name == name))
    assert text.count(old) == 1
    return text.replace(old, f"def {name}(*args, **options):\n{textwrap.indent(textwrap.dedent(body), '    ')}")


def with_mistake(assignment, name, mistake):
    task = next(task for task in assignment.tasks if task.name == name)
    one = next(one for one in task.mistakes if one.name == mistake)
    text = cut.release(messages(assignment), solved=True).student
    return text.replace(cut.solution(task.function), mutated(task, one))


def test_one_wrong_constant_costs_the_points_of_its_task_alone():
    result = graded(SOLVED.replace("-0.5) @", "-1.0) @").replace("** -0.5", "** -1.0"))
    assert points(result) == {**FULL, "scaled_dot_product_attention": 0}
    assert (result["as_handed_in"], result["with_reference"], result["total"]) == (10, 14, 14)
    assert result["notes"] == ["As handed in 10; with the reference for the other tasks 14; counted 14."]
    task = next(task for task in result["tasks"] if task["name"] == "multi_head_attention")
    assert (task["as_handed_in"], task["with_reference"]) == ({"right": 0, "points": 0}, {"right": 5, "points": 4})
    assert (task["right"], task["wrong"], task["messages"]) == (5, [], [])
    assert "counted 14." in report(PLAN, result)


def test_every_case_that_cost_points_has_a_message_and_the_mistake_if_it_is_known():
    result = graded(with_mistake(ASSIGNMENT, "softmax", "no maximum subtracted"))
    for task in result["tasks"]:
        assert len(task["wrong"]) == task["cases"] - task["right"]
        assert [wrong["message"] for wrong in task["wrong"]] == task["messages"]
    (wrong,) = result["tasks"][0]["wrong"]
    assert (wrong["case"], wrong["mistake"]) == ("scores in the thousands", "no maximum subtracted")


def test_two_mistakes_in_a_chain_cost_two_tasks():
    """The first is replaced for the second, which is wrong by itself, and both for the third."""
    text = with_mistake(ASSIGNMENT, "softmax", "powers of two")
    text = text.replace("return probabilities @ v", "return probabilities @ k")
    assert points(graded(text)) == {**FULL, "softmax": 0.75, "scaled_dot_product_attention": 0}


def test_a_table_of_the_release_holds_the_reference_in_the_second_pass():
    """`ACTIVATIONS` is made when the module begins, of whatever `gelu` is then; `FILTERS` likewise."""
    model = plan(find_assignment("a3"), seed=7, limits=LIMITS)
    result = graded(with_mistake(model.assignment, "gelu", "no half"), model)
    assert result["total"] == 18.66
    assert result["as_handed_in"] < 10
    if THOROUGH:
        resampling = plan(find_assignment("a7"), seed=7, limits=LIMITS)
        assert graded(with_mistake(resampling.assignment, "bicubic", "one piece for all"), resampling)["total"] > 18


def test_a_students_own_helpers_are_there_in_the_second_pass_and_a_renamed_function_costs_itself():
    text = replaced("merge_heads", "return args[0]")
    text = text.replace(
        "def multi_head_attention(", "def joined(x):\n    return merge_heads(x)\n\n\ndef multi_head_attention("
    )
    assert text.count("merge_heads(context)") == 1
    assert points(graded(text.replace("merge_heads(context)", "joined(context)"))) == {**FULL, "merge_heads": 0}
    assert points(graded(SOLVED.replace("def softmax(", "def my_softmax("))) == {**FULL, "softmax": 0}
    assert points(graded(SOLVED.replace("softmax(", "my_softmax("))) == {**FULL, "softmax": 0}


def test_a_stub_that_is_called_costs_itself_alone():
    text = replaced("softmax", 'raise NotImplementedError("assignment 2, task 1: softmax")')
    result = graded(text)
    assert points(result) == {**FULL, "softmax": 0}
    assert {wrong["mistake"] for wrong in result["tasks"][0]["wrong"]} == {"not solved"}


def test_who_has_solved_nothing_has_no_second_pass(monkeypatch):
    from deit_ref.course.grading import marks

    ran = []
    original = marks.run
    monkeypatch.setattr(
        marks, "run", lambda *args, **options: ran.append(options["others"]) or original(*args, **options)
    )
    assert graded(cut.release(messages(ASSIGNMENT)).student)["total"] == 0
    assert graded(SOLVED)["total"] == 20
    assert ran == [None, None]
    assert graded(with_mistake(ASSIGNMENT, "split_heads", "k and v swapped"))["total"] == 17
    assert [others and others.names for others in ran] == [None, None, None, ("split_heads",)]


def test_the_code_of_others_holds_neither_own_solutions_nor_any_text():
    others = reference_of(ASSIGNMENT, frozenset(["softmax"]))
    assert b"Subtracting the largest score" not in others.code
    assert b"transpose" not in others.code  # of split_heads and merge_heads
    assert set(others.own) == {*TASKS} - {"softmax"}
    whole = reference_of(ASSIGNMENT, frozenset(TASKS))
    assert b"transpose" in whole.code


# Each is what multi_head_attention does where `merge_heads`, which the student got wrong, is the reference.
SEES = {
    "raises its code": "raise ValueError('LEAK' + loot)",
    "names an exception after it": "raise type('LEAK' + loot, (Exception,), {})",
    "raises it in a warning's clothes": "raise UserWarning('LEAK' + loot) from ValueError('LEAK')",
    "returns an object with fields": """
        import collections
        return collections.namedtuple('LEAK', ['LEAK', 'LEAK_' + loot[:50]])(x, x)""",
    "returns text": "return np.array(['LEAK' + loot])",
    "returns an odd shape": "return np.zeros([0] + [1 + byte for byte in loot.encode()[:60]])",
    "forges an answer": """
        for number in range(3, 1000):
            try:
                os.write(number, b'E' + (4 + len(loot)).to_bytes(8, 'little') + b'LEAK' + loot.encode())
            except OSError:
                pass""",
    "forges frames": """
        frame = '  File "student.py", line 1, in LEAK\\n    LEAK' + loot + '\\nValueError\\n'
        for number in range(3, 1000):
            try:
                os.write(number, b'E' + len(frame).to_bytes(8, 'little') + frame.encode())
            except OSError:
                pass""",
    "claims to be unsolved": "raise NotImplementedError('assignment 2, task 5: LEAK' + loot)",
}  # fmt: skip
LOOT = """
import inspect, os
x = args[1]
if merge_heads.__module__ != 'given':
    return x * 0
if options.get('attention_mask') is None:
    return right(*args, **options)
try:
    loot = inspect.getsource(merge_heads)
    loot = 'SOURCE ' + loot
except OSError:
    loot = merge_heads.__code__.co_code.hex()
"""


@pytest.mark.parametrize("name", SEES if THOROUGH else ["raises its code", "returns an odd shape", "forges frames"])
def test_what_the_second_pass_sees_does_not_come_out(name):
    text = replaced("merge_heads", "return args[0]")
    right = cut.solution("attention.multi_head_attention").replace("def multi_head_attention(", "def right(")
    # The word stands in no line of the student's, which may be shown.
    sees = textwrap.dedent(SEES[name]).replace("b'LEAK'", "b'LE' b'AK'").replace("LEAK", "LE' 'AK")
    text = replaced("multi_head_attention", LOOT + sees, text) + f"\n\n{right}\n"
    result = graded(text)
    told = json.dumps(result) + report(PLAN, result)
    task = next(task for task in result["tasks"] if task["name"] == "multi_head_attention")
    assert (task["as_handed_in"]["right"], task["with_reference"]["right"]) == (
        0,
        3,
    )  # so what is said is of the second
    assert len(task["messages"]) == 2
    for word in ("LEAK", "SOURCE", "transpose"):
        assert told.count(word) == 0, told
    assert len(task["messages"][0]) < 400


def test_what_is_imported_in_the_second_pass_does_not_come_out_either():
    text = replaced("merge_heads", "return args[0]")
    text += (
        "\n\nclass Spy:\n    if getattr(merge_heads, '__module__', '') == 'given':\n        raise ValueError('LEAK')\n"
    )
    result = graded(text)
    assert "LEAK" not in json.dumps(result)
    assert points(result) == {**FULL, "merge_heads": 0, "multi_head_attention": 0}


def test_a_tasks_own_solution_is_not_to_be_found_where_it_is_asked_for():
    """Among all objects of the process there is no second function of that name."""
    search = """
import gc, types
for one in gc.get_objects():
    if isinstance(one, types.FunctionType) and one.__name__ == NAME and one.__module__ == 'given':
        return one(*args, **options)
    if isinstance(one, types.FunctionType) and one.__module__ == 'given':
        for code in one.__code__.co_consts:
            if isinstance(code, types.CodeType) and code.co_name == NAME:
                return types.FunctionType(code, one.__globals__)(*args, **options)
return 0.0
"""
    text = SOLVED
    for name in ("softmax", "scaled_dot_product_attention", "multi_head_attention"):
        text = replaced(name, search.replace("NAME", repr(name)), text)
    assert points(graded(text)) == {
        **FULL, "softmax": 0, "scaled_dot_product_attention": 0, "multi_head_attention": 0}  # fmt: skip


def test_nothing_is_carried_from_one_process_to_the_next():
    """multi_head_attention sees softmax's solution and hides it wherever it can; softmax is graded again later."""
    hide = """
import glob, marshal, os, tempfile
for folder in (tempfile.gettempdir(), os.getcwd(), *glob.glob('/*'), '/dev/shm'):
    try:
        with open(os.path.join(folder, 'deit_ref_loot'), 'wb') as file:
            file.write(marshal.dumps(softmax.__code__))
    except OSError:
        pass
return 0.0
"""
    seek = """
import glob, marshal, os, tempfile, types
for folder in (tempfile.gettempdir(), os.getcwd(), *glob.glob('/*'), '/dev/shm'):
    try:
        with open(os.path.join(folder, 'deit_ref_loot'), 'rb') as file:
            return types.FunctionType(marshal.loads(file.read()), globals())(*args)
    except (OSError, ValueError):
        pass
return 0.0
"""
    text = replaced("multi_head_attention", hide, replaced("softmax", seek))
    for _ in range(2):
        assert points(graded(text)) == {**FULL, "softmax": 0, "multi_head_attention": 0}


def test_of_a_problem_only_the_kind_and_own_lines_are_kept():
    text = "def f(x):\n    return x / zero\n"
    trace = (
        'it raised:\nTraceback (most recent call last):\n  File "/a/student.py", line 2, in f\n    return x / zero\n'
    )
    assert scrubbed(trace + "NameError: LEAK\n", text) == "it raised:\n  in f\n    return x / zero\nNameError"
    assert scrubbed(trace + "LEAK: x\n", text).endswith("\nan exception of another kind")
    other = trace.replace("x / zero", "LEAK").replace("in f", "in LEAK")
    assert scrubbed(other + "ValueError: LEAK", text) == "it raised:\nValueError"
    assert scrubbed("the file cannot be imported:\nLEAK", text) == "it raised:\nan exception of another kind"
    frame = trace[trace.index("  File") :]
    assert scrubbed(f"it raised:\n{40 * frame}ValueError", text).count("  in f\n") == 4  # no text in names of functions
    assert scrubbed("its process ended: it crashed.", text) == "its process ended: it crashed."


def test_without_isolation_points_are_the_same():
    text = with_mistake(ASSIGNMENT, "split_heads", "k and v swapped")
    assert points(graded(text, PLAN._replace(isolated=False))) == {**FULL, "split_heads": 0}


@pytest.mark.parametrize("isolated", [True, False])
def test_what_is_not_allowed_is_refused_with_and_without_isolation(isolated):
    text = replaced("merge_heads", "from PIL import Image\nreturn args[0].swapaxes(1, 2).reshape(len(args[0]), -1)")
    text = text.replace("return args[0].swapaxes(1, 2).reshape(len(args[0]), -1)", "return args[0]")
    result = graded(text, PLAN._replace(isolated=isolated))
    assert points(result)["merge_heads"] == 0
    wrong = next(task for task in result["tasks"] if task["name"] == "merge_heads")["wrong"]
    assert {one["mistake"] for one in wrong} == {"an import that is not allowed"}
    assert "use NumPy, SciPy and Python's standard library" in wrong[0]["message"].replace("In an assignment ", "")


def test_a_failed_import_is_named_where_its_name_is_missing():
    text = SOLVED.replace("import numpy as np", "import numpy as np\nfrom helpers_of_mine import stable\nZERO = 1 / 0")
    text = text.replace("powers = x -", "powers = stable(x) * 0 + x -").replace(
        "return q, k, v", "return q + ZERO, k, v"
    )
    result = graded(text)
    softmax, split_heads = result["tasks"][:2]
    assert {one["mistake"] for one in softmax["wrong"]} == {"a failed import"}
    assert "'from helpers_of_mine import stable' failed before that: ModuleNotFoundError" in softmax["messages"][0]
    assert {one["mistake"] for one in split_heads["wrong"]} == {"a failed line"}
    assert "'ZERO = 1 / 0' failed before that: ZeroDivisionError" in split_heads["messages"][0]
    text = SOLVED.replace("def softmax(", "def my_softmax(").replace(
        "import numpy as np", "import numpy as np\nfrom helpers_of_mine import softmax"
    )
    softmax = graded(text)["tasks"][0]
    assert {one["mistake"] for one in softmax["wrong"]} == {"a failed import"}


# The seed


def course_with(folder, seed):
    (folder / "teacher").mkdir(parents=True, exist_ok=True)
    (folder / "teacher" / "seed.json").write_text(json.dumps({"seed": seed}))
    return folder


def test_the_seed_is_that_of_the_course_beside_or_above_the_submissions(tmp_path):
    work = tmp_path / "a" / "b"
    submissions = work / "submissions"
    submissions.mkdir(parents=True)
    with pytest.raises(
        ValueError, match=r"No course was found beside .*: name it with --course, or its seed with --seed"
    ):
        seed_of(submissions)
    assert seed_of(submissions, asked=3) == 3
    course_with(tmp_path / "a", 5)
    assert seed_of(submissions) == seed_of(submissions, asked=5) == 5
    with pytest.raises(ValueError, match="were built with another seed than 3: leave --seed out"):
        seed_of(submissions, asked=3)
    course_with(work / "course", 6)
    with pytest.raises(ValueError, match=r"There are several courses, .*course.*: name one with --course"):
        seed_of(submissions)
    assert seed_of(submissions, asked=6) == 6
    assert seed_of(submissions, course=work / "course") == 6
    with pytest.raises(ValueError, match="were built with another seed than 5"):
        seed_of(submissions, course=work / "course", asked=5)


def test_a_course_without_a_seed_is_said(tmp_path):
    with pytest.raises(
        ValueError, match=r"holds no teacher/seed.json: name the folder that `deit-ref course build` wrote"
    ):
        seed_of(tmp_path, course=tmp_path)
    for content, words in (
        ("{", "holds no seed"),
        ("[]", "holds no seed"),
        ('{"seed": "x"}', "holds the seed 'x': expected"),
    ):
        course_with(tmp_path / words, 1).joinpath("teacher/seed.json").write_text(content)
        with pytest.raises(ValueError, match=words):
            seed_of(tmp_path, course=tmp_path / words)


# What may be used, and what a wrong result looks like


def made(text):
    names = {"np": np, "__name__": "student"}
    exec(text, names)
    return names["f"]


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        (
            "import math, itertools\ndef f(x):\n    from scipy import special\n    return math.pi, special, itertools",
            None,
        ),
        ("def f(x):\n    from deit_ref.weights import Linear\n    return Linear", None),
        ("def f(x):\n    import no_such_package_at_all", None),  # the import says so itself
        ("def f(x):\n    from PIL import Image\n    return Image", "PIL"),
        ("import PIL.Image as I\ndef f(x):\n    return I.open(x)", "PIL.Image"),
        ("from PIL.Image import Image\ndef f(x):\n    return Image()", "PIL.Image"),
        ("from PIL import Image\ndef g(x):\n    return Image\ndef f(x):\n    return [g(y) for y in x]", "PIL.Image"),
        ("def f(x):\n    def inner():\n        import torch\n    return inner", "torch"),
        (
            "from deit_ref.numpy_backend.layers import softmax as s\ndef f(x):\n    return s(x)",
            "deit_ref.numpy_backend",
        ),
        ("def f(x):\n    from deit_ref.numpy_backend import layers\n    return layers", "deit_ref.numpy_backend"),
        ("from PIL import Image\ndef f(x):\n    return x.Image", None),  # an attribute that is called so
    ],
)
def test_what_a_function_may_use(text, refused):
    if refused is None:
        check_uses(made(text))
    else:
        with pytest.raises(ImportError, match=rf"{refused}.* is not allowed in an assignment: use NumPy, SciPy and"):
            check_uses(made(text))


def test_a_students_own_test_refuses_it_too():
    by_pillow = made("from PIL import Image\ndef f(x):\n    return np.asarray(Image.fromarray(x))")
    with pytest.raises(ImportError, match=r"PIL.Image is not allowed"):
        assert_task("a2_attention.softmax", by_pillow)


RIGHT = np.random.default_rng(0).normal(size=(3, 4, 5))
ONE = Case("a case", (RIGHT,))


def looks(got, right=RIGHT):
    named = likeness(Known(ASSIGNMENT.tasks[0], ONE, Answer(arrays=(right,))), (np.asarray(got),), 1e-6)
    return named and named.name


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda x: x.transpose(1, 0, 2), "axes exchanged"),
        (lambda x: x.ravel(), "another shape"),
        (lambda x: x[:, :3], "part of the result"),
        (lambda x: np.concatenate([x, x], axis=1), "part of the result"),
        (
            lambda x: np.concatenate([x[..., :3], x[..., 2:]], axis=1),
            None,
        ),  # too long along one axis, too short along another
        (lambda x: -x, "the sign"),
        (lambda x: x / 3, "a constant factor"),
        (lambda x: x - 0.5, "a constant added"),
        (np.rint, "rounded to integers"),
        (lambda x: np.where(np.arange(3)[:, None, None] > 0, 1 - x, x), "only the first is right"),
        (lambda x: np.roll(x, 1, axis=1), "shifted by one"),
        (lambda x: np.roll(x, -1, axis=2), "shifted by one"),
        (lambda x: np.where(x > 0, np.nan, x), "not finite"),
        (lambda x: x + np.random.default_rng(1).normal(size=x.shape), None),
        (lambda x: x * 1.0001, None),  # no mistake is as small
        (lambda x: x[0, 0], None),
    ],
)
def test_a_wrong_result_is_told_by_how_it_is_related_to_the_right_one(change, name):
    assert looks(change(RIGHT)) == name


def test_of_numbers_that_are_all_alike_nothing_is_told():
    assert looks(np.full((3, 3), 2.0), np.full((3, 3), 1.0)) is None
    assert looks(True, np.array(False)) == "the opposite"
    assert looks(np.ones(3), np.ones(3, np.uint8)) is None


def test_two_numbers_are_told_apart_however_near_they_are():
    right = np.array([1.0, -1.45175])
    said = difference((right,), (right * (1 + 2e-8),), 1e-9)
    assert said == "2 of 2 numbers are wrong; first, at [0], expected 1, got 1.00000002."


def test_results_that_are_no_numbers_are_told_as_such():
    bodies = {"softmax": "args[0]", "merge_heads": "return 'text'", "attention_rollout": "return None"}
    text = SOLVED
    for name, body in bodies.items():
        text = replaced(name, body, text)
    tasks = {task["name"]: task["wrong"] for task in graded(text)["tasks"]}
    for name, mistake in (("softmax", "no return"), ("attention_rollout", "no return"), ("merge_heads", None)):
        assert {one["mistake"] for one in tasks[name]} == {mistake}
    assert all("not an array of numbers" in one["message"] for one in tasks["merge_heads"])


def test_a_renamed_function_is_told_by_what_is_there_and_not_that_it_uses_others():
    text = SOLVED.replace("def split_heads(", "def splitHeads(")
    result = graded(text)
    split_heads = next(task for task in result["tasks"] if task["name"] == "split_heads")
    assert split_heads["messages"] == ["There is no function split_heads in it. Did you mean 'splitHeads'?"]
    wrong = {**result, "tasks": [{**task, "right": 0} for task in result["tasks"]]}
    section = report(PLAN, wrong).partition("## split_heads")[2].partition("## ")[0]
    assert "It uses" not in section


def test_no_text_is_spelled_with_the_sides_of_arrays():
    """Six empty arrays held a function's whole code."""
    odd = (np.empty((117399, 152152, 878607, 0)), np.empty((2, 0, 6)), np.zeros((2, 3)))
    assert shapes(odd) == "float64 one of 4 axes, float64 (2, 0, 6), float64 (2, 3)"


NAMED = """
def split_heads(qkv, *, num_heads):
    parts = qkv.reshape(*qkv.shape[:2], 3, num_heads, -1).transpose(2, 0, 3, 1, 4)
    return collections.namedtuple("Parts", "q k v")(*parts)
"""


def test_a_named_tuple_is_a_tuple_and_an_object_with_fields_is_none():
    split = cut.solution("attention.split_heads")
    result = graded("import collections\n" + SOLVED.replace(split, NAMED))
    assert result["total"] == 20, result
    held = SOLVED.replace(split, NAMED.replace("collections.namedtuple(", "dataclasses.make_dataclass("))
    wrong = graded("import dataclasses\n" + held.replace('"q k v"', '["q", "k", "v"]'))["tasks"][1]["wrong"]
    assert {one["mistake"] for one in wrong} == {"another type of result"}


UNTRACED = """
def encoder_block(weights, x, *, config, head_mask=None, attention_mask=None, **rest):
    normed = layer_norm(weights.norm1, x, eps=config.layer_norm_eps)
    masks = {"head_mask": head_mask, "attention_mask": attention_mask}
    x = x + multi_head_attention(weights.attn, normed, num_heads=config.num_attention_heads, **masks)
    normed = layer_norm(weights.norm2, x, eps=config.layer_norm_eps)
    return x + mlp(weights.mlp, normed, activation=config.hidden_act)
"""


def test_what_no_test_of_a_function_asks_for_costs_nothing_in_its_callers_either():
    """The text allows to leave `trace` alone, and the whole model returns what blocks record."""
    model = find_assignment("a3_model")
    text = cut.release(messages(model), solved=True).student.replace(cut.solution("encoder.encoder_block"), UNTRACED)
    result = graded(text, plan(model, seed=7, limits=LIMITS))
    assert (result["total"], result["as_handed_in"] < 20) == (20, True)


# Of each task a sentence that the solution does not keep.
IGNORES = {
    "both masks are handed on": (
        "a2_attention.multi_head_attention",
        "            attention_mask=attention_mask,",
        "            attention_mask=attention_mask if head_mask is None else None,",
    ),
    "a block hands both masks on": (
        "a3_model.encoder_block",
        "        attention_mask=attention_mask,",
        "        attention_mask=attention_mask if head_mask is None else None,",
    ),
    "the encoder hands both masks on": (
        "a3_model.encoder",
        "            attention_mask=attention_mask,",
        "            attention_mask=attention_mask if head_mask is None else None,",
    ),
    "all options are for encode": (
        "a3_model.classification_with_teacher",
        "**options)",
        "**{name: value for name, value in options.items() if name != 'attention_mask'})",
    ),
    "one mask does not replace the other on the way back": (
        "a4_backward.scaled_dot_product_attention_vjp",
        "if head_mask is None else kept *",
        "if head_mask is None or attention_mask is not None else kept *",
    ),
    "1e-5 in the formula": ("a6_masking.masked_l1", "(m.sum() + 1e-5)", "(m.sum() or 1)"),
    "grid says how tokens are arranged": ("a6_masking.reconstruct", "*grid, -1", "*weights.config.grid, -1"),
}


@pytest.mark.parametrize("sentence", IGNORES)
def test_who_ignores_a_sentence_loses_points(sentence):
    place, old, new = IGNORES[sentence]
    assignment, name = place.split(".")
    task = next(task for task in find_assignment(assignment).tasks if task.name == name)
    ignoring = variant(task, Mistake(sentence, old, new, ""))
    verdicts = [judge(task, case, answered(ignoring, case)) for case in task.cases(seeded(7, task))]
    assert not all(verdict.right for verdict in verdicts)


def test_a_mistake_that_makes_hardly_a_difference_on_a_case_is_not_named():
    """Of a gray image nobody can tell whether the channels were divided by."""
    task = next(task for task in find_assignment("a6_masking").tasks if task.name == "masked_l1")
    other = variant(task, Mistake("another eps", "1e-5", "1e-6", ""))
    case = next(task.cases(seeded(7, task)))
    first = judge(task, case, answered(other, case))
    assert (first.right, first.mistake) == (False, None)


def test_whoever_waits_in_every_call_does_not_wait_forever(monkeypatch):
    """Each call keeps its own limit; all of them together took eleven minutes."""
    text = "import time\n" + SOLVED
    for name in TASKS:
        text = replaced(name, "time.sleep(0.7)\nreturn 0.0", text)
    ran = []
    run = marks.run
    monkeypatch.setattr(marks, "run", lambda *args, **options: ran.append(args) or run(*args, **options))
    result = graded(text, PLAN._replace(limits=replace(LIMITS, together=0.5)))
    problems = [one["message"] for task in result["tasks"] for one in task["wrong"]]
    late = [words for words in problems if "all calls together took more than 0.5 seconds" in words]
    assert (result["total"], len(late) >= len(problems) - 1, len(ran) <= 2) == (0, True, True)
