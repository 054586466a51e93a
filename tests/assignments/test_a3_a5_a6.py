"""Assignments 4 to 6: what is right gets all points, every known mistake loses some and is named."""

import doctest
import os
import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import alternatives_a3
import alternatives_a5
import alternatives_a6
import numpy as np
import pytest

import deit_ref
from deit_ref.course import cut
from deit_ref.course.assignments import a3_model, a5_distillation, a6_masking, experiment, find_assignment
from deit_ref.course.grading.check import Verdict, judge
from deit_ref.course.grading.known import answered, answers, variant
from deit_ref.course.grading.sandbox import Answer, Call, isolation_problem, run
from deit_ref.course.release.earlier import together
from deit_ref.course.task import Assignment, Mistake, Task, messages, points_of, reference, seeded
from deit_ref.numpy_backend.losses import hard_distillation, soft_distillation

ASSIGNMENTS = (a3_model.ASSIGNMENT, a6_masking.ASSIGNMENT, a5_distillation.ASSIGNMENT)
ALTERNATIVES = alternatives_a3.ALTERNATIVES | alternatives_a6.ALTERNATIVES | alternatives_a5.ALTERNATIVES
SEEDS = range(20 if os.environ.get("DEIT_REF_HYPOTHESIS_PROFILE") == "thorough" else 3)
TASKS = [pytest.param(task, id=task.function) for assignment in ASSIGNMENTS for task in assignment.tasks]
MISTAKES = [
    pytest.param(task, mistake, id=f"{task.function}, {mistake.name}")
    for assignment in ASSIGNMENTS
    for task in assignment.tasks
    for mistake in task.mistakes
]
by_assignment = pytest.mark.parametrize("assignment", ASSIGNMENTS, ids=lambda assignment: assignment.name)


def verdicts(task: Task, function: object, seed: int) -> list[Verdict]:
    """What the grader says of a function, called here instead of in the sandbox."""
    found = []
    for case in task.cases(seeded(seed, task)):
        try:
            answer = answered(function, case)
        except Exception as error:  # as the worker does
            answer = Answer(problem=f"it raised:\n{error!r}")
        found.append(judge(task, case, answer))
    return found


def points(task: Task, found: list[Verdict]) -> float:
    return points_of(task, sum(verdict.right for verdict in found), len(found))


@by_assignment
def test_an_assignment_has_20_points_and_every_task_four_mistakes_and_two_alternatives(assignment: Assignment) -> None:
    assert assignment.points == 20
    assert assignment.name in ("a3_model", "a6_masking", "a5_distillation")
    for task in assignment.tasks:
        assert len(task.mistakes) >= 4, task.function
        assert len({mistake.name for mistake in task.mistakes}) == len(task.mistakes)
        assert len(ALTERNATIVES[task.function]) >= 2, task.function


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("task", TASKS)
def test_the_reference_gets_all_points(task: Task, seed: int) -> None:
    assert points(task, verdicts(task, reference(task.function), seed)) == task.points


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("task", "mistake"), MISTAKES)
def test_every_mistake_loses_points_and_is_named(task: Task, mistake: Mistake, seed: int) -> None:
    found = verdicts(task, variant(task, mistake), seed)
    assert points(task, found) < task.points
    said = f"It looks like this mistake, {mistake.name}: {mistake.hint}"
    assert any(said in verdict.message for verdict in found), [verdict.message for verdict in found]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("task", TASKS)
def test_other_right_solutions_get_all_points(task: Task, seed: int) -> None:
    for function in ALTERNATIVES[task.function]:
        found = verdicts(task, function, seed)
        assert points(task, found) == task.points, (function.__name__, [verdict.message for verdict in found])


@pytest.mark.parametrize("task", TASKS)
def test_another_seed_gives_other_inputs_under_the_same_notes(task: Task) -> None:
    first, second = (list(task.cases(seeded(seed, task))) for seed in (0, 1))
    assert [case.note for case in first] == [case.note for case in second]
    arrays = [answers(reference(task.function), case)[0] for case in (first[0], second[0])]
    assert arrays[0].shape != arrays[1].shape or (arrays[0] != arrays[1]).any()


def test_the_names_of_alternatives_are_those_of_tasks() -> None:
    assert set(ALTERNATIVES) == {task.function for assignment in ASSIGNMENTS for task in assignment.tasks}


class Source(NamedTuple):
    """A notebook's cells: what stands behind `# %%`, and the text."""

    head: str
    cells: list[tuple[str, str]]


def source(assignment: Assignment) -> Source:
    path = Path(__file__).parents[2] / "notebooks" / "assignments" / f"{assignment.name}.py"
    head, *rest = re.split(r"^# %%", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    cells = [cell.partition("\n") for cell in rest]
    return Source(head, [(kind.strip(), text.strip()) for kind, _, text in cells])


@by_assignment
def test_the_text_has_every_task_in_order_with_its_points(assignment: Assignment) -> None:
    head, cells = source(assignment)
    assert "name: python3" in head
    kinds = [kind for kind, _ in cells]
    assert kinds[0] == "[markdown]"
    assert cells[0][1].startswith(f"# # Assignment {assignment.number}: {assignment.title.lower()}\n")
    assert [kind for kind in kinds if kind.startswith("task=")] == [f'task="{t.function}"' for t in assignment.tasks]
    for i, task in enumerate(assignment.tasks, start=1):
        place = kinds.index(f'task="{task.function}"')
        text, stub = cells[place - 1][1], cells[place][1]
        unit = "point" if task.points == 1 else "points"
        assert re.match(rf"# ## Task {i}: .* \({task.points} {unit}\)\n", text), text
        assert f"`{task.name}`" in text
        assert text.count("<details>") == text.count("</details>") == 1
        assert all(line.startswith("#") for line in stub.splitlines()), "the task's cell holds a comment only"
    slug = f"a{assignment.number}"
    assert kinds[-3:] == ["", f'[markdown] question="{slug}" points=4', f'[markdown] rubric="{slug}"']


def namespace(assignment: Assignment, monkeypatch: pytest.MonkeyPatch, *, solved: bool) -> dict[str, object]:
    """What a student's notebook knows after the tasks."""
    release = cut.release(messages(assignment), solved=solved)
    given = ModuleType("given")
    exec(release.given, given.__dict__)
    monkeypatch.setitem(sys.modules, "given", given)
    found: dict[str, object] = {}
    exec(release.student, found)
    return found


@by_assignment
def test_the_examples_of_the_text_are_right(assignment: Assignment, monkeypatch: pytest.MonkeyPatch) -> None:
    known = namespace(assignment, monkeypatch, solved=True)
    examples = 0
    for kind, text in source(assignment).cells:
        plain = re.sub(r"^# ?", "", text, flags=re.MULTILINE)
        for block in re.findall(r"```\n(>>> .*?)```", plain, flags=re.DOTALL) if kind == "[markdown]" else []:
            test = doctest.DocTestParser().get_doctest(block, {**known}, assignment.name, None, 0)
            result = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF).run(test)
            assert result.failed == 0, block
            examples += 1
    assert examples >= len(assignment.tasks) - 1  # an encoder block has none


def last_cell(assignment: Assignment, known: dict[str, object]) -> None:
    exec(source(assignment).cells[-3][1], known)


@by_assignment
def test_the_last_cell_stops_at_the_first_stub(
    assignment: Assignment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tmp_path.joinpath("here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(NotImplementedError, match=f"assignment {assignment.number}, task "):
        last_cell(assignment, namespace(assignment, monkeypatch, solved=False))


def hand_in(folder: Path, number: int, change: tuple[str, str] | None = None, *, solved: bool = True) -> None:
    """An earlier assignment as it stands in a student's folder."""
    assignment = find_assignment(str(number))
    text = cut.release(messages(assignment), solved=solved).student
    if change is not None:
        assert text.count(change[0]) == 1
        text = text.replace(*change)
    path = folder / assignment.name / "student.py"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A student's folder, seen from that of assignment 3."""
    tmp_path.joinpath("a3_model").mkdir()
    monkeypatch.chdir(tmp_path / "a3_model")
    return tmp_path


def photo(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    last_cell(a3_model.ASSIGNMENT, namespace(a3_model.ASSIGNMENT, monkeypatch, solved=True))
    return capsys.readouterr().out.splitlines()


def test_a_students_own_functions_name_a_photo_as_the_reference_does(
    course: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (1, 2):
        hand_in(course, number)
    yours, theirs, same = photo(monkeypatch, capsys)
    names = [task.name for n in "123" for task in find_assignment(n).tasks]
    assert yours == f"yours: {', '.join(names)}"
    assert (theirs, same) == ("the reference's: none", "the same as the reference: True")


@pytest.mark.parametrize(
    ("number", "right", "wrong"),
    [
        (1, "x.transpose(0, 2, 4, 1, 3, 5)", "x.transpose(0, 2, 4, 3, 5, 1)"),  # by patch_embed
        (2, "return q, k, v", "return k, q, v"),  # by multi_head_attention
    ],
)
def test_earlier_functions_take_part(
    number: int,
    right: str,
    wrong: str,
    course: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hand_in(course, number, (right, wrong))
    yours, theirs, same = photo(monkeypatch, capsys)
    for earlier in (1, 2):
        for task in find_assignment(str(earlier)).tasks:
            assert re.search(rf"\b{task.name}\b", yours if earlier == number else theirs), task.name
    assert same == "the same as the reference: False"


def test_what_is_missing_or_unsolved_is_the_references(
    course: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hand_in(course, 2, solved=False)
    yours, theirs, same = photo(monkeypatch, capsys)
    assert yours == f"yours: {', '.join(task.name for task in a3_model.ASSIGNMENT.tasks)}"
    assert theirs.startswith("the reference's: patchify, ")
    assert theirs.endswith("attention_rollout")
    assert same == "the same as the reference: True"


def test_functions_of_other_files_are_called_wherever_they_are_given(course: Path) -> None:
    hand_in(course, 2, ("    return q, k, v\n", "    raise ArithmeticError\n"))
    given = ModuleType("given")
    exec(cut.release(messages(a3_model.ASSIGNMENT)).given, given.__dict__)
    known = {"linear": given.linear, "multi_head_attention": given.multi_head_attention}
    own, missing = together(known, number=3)
    assert known["multi_head_attention"] is own["multi_head_attention"] is given.multi_head_attention
    assert given.split_heads is own["split_heads"]
    assert {"patchify", "embed", "layer_norm"} <= set(missing)
    assert "softmax" not in missing
    with pytest.raises(ArithmeticError):
        given.split_heads(np.zeros((1, 1, 6)), num_heads=1)


def test_masked_patches_of_a_photo_are_drawn_as_by_the_reference(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = namespace(a6_masking.ASSIGNMENT, monkeypatch, solved=True)
    last_cell(a6_masking.ASSIGNMENT, known)
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "the same picture as the reference: True",
        "the same loss as the reference: True",
    ]
    picture, drawn = known["side_by_side"], known["drawn"]
    side = picture.shape[0]
    assert picture.shape == (side, 3 * side, 3)
    hidden = np.repeat(np.repeat(known["hidden"].reshape(known["grid"]), 4, axis=0), 4, axis=1)[..., None]
    original, right = picture[:, :side], picture[:, 2 * side :]
    np.testing.assert_array_equal(right, np.where(hidden, drawn[0].transpose(1, 2, 0), original))
    assert 0.4 < hidden.mean() < 0.6


@cache
def isolated() -> bool:
    return isolation_problem() is None


@by_assignment
def test_a_solved_release_gets_all_points_and_an_empty_one_none(assignment: Assignment) -> None:
    for solved in (True, False):
        release = cut.release(messages(assignment), solved=solved)
        jobs = [(task, case) for task in assignment.tasks for case in task.cases(seeded(7, task))]
        calls = [Call(task.name, case.arguments, case.options) for task, case in jobs]
        modules = {"given": release.given, "student": release.student}
        found = run(modules, "student", calls, isolated=isolated())
        said = [judge(task, case, answer) for (task, case), answer in zip(jobs, found, strict=True)]
        assert [verdict.right for verdict in said] == [solved] * len(jobs), [v for v in said if v.right != solved]
        if not solved:
            assert all(verdict.message.endswith(": not solved yet.") for verdict in said)


@pytest.mark.parametrize(("alpha", "tau"), [(0.5, None), (0.2, None), (0.5, 1.0), (0.3, 3.0)])
def test_gradients_are_those_of_the_losses(alpha: float, tau: float | None) -> None:
    rng = np.random.default_rng(3)
    one, two, teacher = rng.normal(size=(3, 5, 4))
    labels, step = np.array([0, 3, 1, 2, 2]), rng.normal(size=(2, 5, 4))
    options = {"alpha": alpha} if tau is None else {"alpha": alpha, "tau": tau}
    loss = hard_distillation if tau is None else soft_distillation
    gradients = (experiment.hard_gradients if tau is None else experiment.soft_gradients)(
        one, two, teacher, labels, **options
    )
    for which in (0, 1):
        moved = [one, two]
        ends = []
        for sign in (1, -1):
            moved[which] = (one, two)[which] + sign * 1e-5 * step[which]
            ends.append(loss(*moved, teacher, labels, **options))
        np.testing.assert_allclose((ends[0] - ends[1]) / 2e-5, (gradients[which] * step[which]).sum(), rtol=1e-7)


def test_heads_learn_what_each_of_them_is_taught() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2, 60, 4))
    labels, decisions = features[0][:, :3].argmax(axis=1), features[1][:, :3].argmax(axis=1)
    trained = experiment.train_heads(*features, 9.0 * np.eye(3)[decisions], labels, steps=400, learning_rate=2.0)
    assert trained.losses.shape == (400,)
    assert trained.losses[0] == pytest.approx(np.log(3))
    assert trained.losses[-1] < 0.3
    for x, weight, bias, target in (
        (features[0], trained.weight, trained.bias, labels),
        (features[1], trained.weight_dist, trained.bias_dist, decisions),
    ):
        assert ((x @ weight.T + bias).argmax(axis=1) == target).mean() > 0.95


def test_without_its_arrays_the_experiment_says_how_they_are_made(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"none\.npz is missing: .* python -m deit_ref\.course\.assignments\.experiment --data DIR"
    ):
        experiment.load_photos(tmp_path / "none.npz")


CLASSES = ("circle", "square")


@pytest.fixture
def bundle(tmp_path: Path) -> dict[str, Path]:
    """Tiny photos, a random student and a random teacher."""
    pytest.importorskip("torch")
    from PIL import Image

    from deit_ref.training.teacher import new_teacher, save_teacher

    rng = np.random.default_rng(1)
    for split, count in (("train", 8), ("test", 5)):
        for name in CLASSES:
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                Image.fromarray(rng.integers(0, 256, (16, 16, 3)).astype(np.uint8)).save(folder / f"{i}.png")
    config = deit_ref.DeiTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=16, patch_size=8,
        num_labels=2,
    )  # fmt: skip
    student = deit_ref.init_weights(config, "classification-with-teacher", seed=0, class_names=CLASSES)
    deit_ref.save_weights(student, tmp_path / "student")
    save_teacher(new_teacher(2, seed=0, image_size=16, widths=(4, 4, 4)), tmp_path / "teacher", class_names=CLASSES)
    return {name: tmp_path / name for name in ("photos", "student", "teacher")}


def made(bundle: dict[str, Path], target: Path, *more: str) -> int:
    paths = [f"--{name}={bundle[key]}" for name, key in (("data", "photos"), ("student", "student"))]
    return experiment.main([*paths, f"--teacher={bundle['teacher']}", f"--out={target}", "--photos", "10", "6", *more])


def test_the_arrays_are_what_student_and_teacher_see(
    bundle: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from deit_ref.data.opening import open_images
    from deit_ref.training.teacher import load_teacher

    target = tmp_path / "arrays.npz"
    assert made(bundle, target) == 0
    assert capsys.readouterr().out == f"{target}: {os.path.getsize(target)} bytes\n"
    training, testing, names = experiment.load_photos(target)
    assert names == CLASSES
    assert [len(part.labels) for part in (training, testing)] == [10, 6]
    student, (teacher, _) = deit_ref.load_weights(bundle["student"]), load_teacher(bundle["teacher"])
    turns: list[tuple[np.ndarray, np.ndarray]] = []
    for split, part in (("train", training), ("test", testing)):
        images = open_images(bundle["photos"], split)
        chosen = np.sort(np.random.default_rng(0).permutation(len(images))[: len(part.labels)])
        np.testing.assert_array_equal(part.labels, images.labels[chosen])
        photos = [images.read(int(i)) for i in chosen]
        x = deit_ref.preprocess(photos, student.image_processing)
        tokens = reference("model.encode")(student, x).x
        ours = [part.cls_features, part.dist_features]
        for which, (kept, token) in enumerate(zip(ours, (tokens[:, 0], tokens[:, 1]), strict=True)):
            if split == "train":  # moved and turned: distances stay, because 10 photos span 9 directions
                far = np.linalg.norm(token[:, None] - token[None], axis=-1)
                np.testing.assert_allclose(np.linalg.norm(kept[:, None] - kept[None], axis=-1), far, atol=0.02)
                np.testing.assert_allclose(kept.mean(axis=0), 0, atol=0.01)
                assert (np.diff(kept[:, :9].std(axis=0)) < 0).all()  # the main component first
                turns.append((token.mean(axis=0), np.linalg.pinv(token - token.mean(axis=0), rcond=1e-3) @ kept))
            mean, turn = turns[which]  # the same for photos to test on
            np.testing.assert_allclose(kept[:, :9], ((token - mean) @ turn)[:, :9], atol=0.02)
        logits = teacher(deit_ref.preprocess(photos, teacher.image_processing, backend="torch")).numpy()
        np.testing.assert_allclose(part.teacher_logits, logits, atol=1e-2 * np.abs(logits).max())
    trained = experiment.train_heads(*training, steps=5, learning_rate=0.01, tau=2.0)
    assert trained.losses[-1] < trained.losses[0]
    monkeypatch.setattr(experiment, "COMPONENTS", 3)
    made(bundle, target)
    fewer = experiment.load_photos(target)[1]
    np.testing.assert_allclose(np.abs(fewer.dist_features), np.abs(testing.dist_features[:, :3]), atol=0.01)


def test_arrays_that_would_be_wrong_or_too_large_are_refused(
    bundle: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "arrays.npz"
    with pytest.raises(ValueError, match="16 photos of the split 'train', expected at least 17"):
        made(bundle, target, "--photos", "17", "6")
    monkeypatch.setattr(experiment, "MOST_BYTES", 100)
    with pytest.raises(ValueError, match=r"bytes, at most 100 can go with the package"):
        made(bundle, target)
    others = deit_ref.init_weights(
        deit_ref.load_weights(bundle["student"]).config, "classification-with-teacher", seed=0, class_names=("a", "b")
    )
    with pytest.raises(ValueError, match=r"The student knows the classes \('a', 'b'\), the photos are of"):
        experiment.make(bundle["photos"], target, student=others, teacher=bundle["teacher"], counts=(2, 2))
    assert not target.exists()
