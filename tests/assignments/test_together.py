"""Functions of several assignments together: on a photo, in a whole model, and back."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from as_a_student import namespace, run_last_cell

import deit_ref
from deit_ref.course import cut
from deit_ref.course.assignments import a3_model, a4_backward, a6_masking, a7_resampling, assignments, find_assignment
from deit_ref.course.release.build import build
from deit_ref.course.release.earlier import rebuilt, together
from deit_ref.course.task import messages
from deit_ref.numpy_backend.backward.layers import softmax_vjp
from deit_ref.weights import named_arrays


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
    run_last_cell(a3_model.ASSIGNMENT, namespace(a3_model.ASSIGNMENT, monkeypatch, solved=True))
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


THOROUGH = os.environ.get("DEIT_REF_HYPOTHESIS_PROFILE") == "thorough"


@pytest.mark.parametrize("name", [one.name for one in assignments()] if THOROUGH else ["a2_attention", "a3_model"])
def test_the_script_that_is_handed_out_calls_a_students_own_functions(name: str, tmp_path: Path) -> None:
    build(tmp_path / "course", assignments()[: find_assignment(name).number])
    students, teachers = tmp_path / "course" / "student", tmp_path / "course" / "teacher"
    for folder in students.iterdir():
        text = (teachers / folder.name / "solution.py").read_text(encoding="utf-8")
        if folder.name == "a2_attention":
            line = '    merged = record(trace, "context", '
            assert text.count(line) == 1
            text = text.replace(line, f'    print("my own")\n{line}')
        folder.joinpath("student.py").write_text(text, encoding="utf-8")
    assert "**Run `python photo.py` in this folder.**" in (students / name / "README.md").read_text(encoding="utf-8")
    command = [sys.executable, "photo.py"]
    found = subprocess.run(command, cwd=students / name, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("my own\n") == {"a2_attention": 1, "a3_model": 6, "a7_resampling": 6}.get(name, 0)
    picture = students / name / "photo.png"
    assert picture.is_file() == (name not in ("a3_model", "a5_distillation"))
    assert found.stdout.endswith("a picture: photo.png\n") == picture.is_file()


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


def test_a_copy_of_a_chapter_calls_the_functions_that_it_is_given_and_the_chapter_does_not() -> None:
    def negative(x: np.ndarray) -> tuple[np.ndarray, object]:
        return -x, lambda dy: -dy

    q, k, v = np.random.default_rng(0).normal(size=(3, 1, 1, 4, 2))
    attend = rebuilt("backward.attention.scaled_dot_product_attention_vjp", {"softmax_vjp": negative})
    np.testing.assert_allclose(attend(q, k, v)[0], -(q @ k.swapaxes(-1, -2)) / np.sqrt(2) @ v)
    assert (softmax_vjp(q)[0] > 0).all()
    assert rebuilt("layers.softmax", {})(np.zeros(2)).tolist() == [0.5, 0.5]


def test_the_gradients_of_a_whole_model_are_made_of_a_students_own(monkeypatch: pytest.MonkeyPatch) -> None:
    own = namespace(a4_backward.ASSIGNMENT, monkeypatch, solved=True)
    config = deit_ref.DeiTConfig(8, 1, 2, 8, image_size=8, patch_size=4, num_labels=3)
    model = deit_ref.init_weights(config, "classification", seed=0)
    x, labels = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32), np.array([0, 2])
    reference = deit_ref.gradients(model, pixel_values=x, labels=labels, backend="numpy").weights

    def same(**changed: object) -> bool:
        names = [task.name for task in a4_backward.ASSIGNMENT.tasks]
        gradients = rebuilt("backward.gradients.gradients", {name: own[name] for name in names} | changed)
        pairs = zip(named_arrays(gradients(model, x, labels=labels).weights), named_arrays(reference), strict=True)
        return all(np.allclose(one, other, atol=1e-6) for (_, one), (_, other) in pairs)

    def halved(vjp: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given, **options: (vjp(*given, **options)[0] / 2, vjp(*given, **options)[1])

    assert same()
    for task in (a4_backward.ASSIGNMENT.tasks[i] for i in (1, 3, 4)):
        assert not same(**{task.name: halved(own[task.name])}), task.name


def test_a_photo_is_prepared_by_a_students_own_resize_for_their_own_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path.joinpath("a7_resampling").mkdir()
    monkeypatch.chdir(tmp_path / "a7_resampling")
    names = namespace(a7_resampling.ASSIGNMENT, monkeypatch, solved=True)
    answer = "the model's answer is the reference's: "

    def printed(**changed: object) -> list[str]:
        run_last_cell(a7_resampling.ASSIGNMENT, names | changed)
        return capsys.readouterr().out.splitlines()[1:]

    assert printed() == ["of earlier assignments: none", f"{answer}True; it says cat"]
    upside_down = printed(resize=lambda *given, **options: names["resize"](*given, **options)[::-1])
    assert upside_down[1].startswith(f"{answer}False")
    hand_in(tmp_path, 3)
    assert printed()[0].startswith("of earlier assignments: layer_norm, gelu, mlp, encoder_block, encoder, ")
    shutil.rmtree(tmp_path / "a3_model")
    hand_in(tmp_path, 3, ("activation=config.hidden_act", 'activation="relu"'))
    assert printed()[1].startswith(f"{answer}False")


def test_masked_patches_of_a_photo_are_drawn_as_by_the_reference(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = namespace(a6_masking.ASSIGNMENT, monkeypatch, solved=True)
    run_last_cell(a6_masking.ASSIGNMENT, known)
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
