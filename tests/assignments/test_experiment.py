"""What assignments 4 and 5 have beside the chapters: ways back, loops, and an experiment."""

import os
from pathlib import Path

import numpy as np
import pytest

import deit_ref
from deit_ref.course.assignments import experiment, gradients
from deit_ref.course.task import reference
from deit_ref.numpy_backend.activations import gelu
from deit_ref.numpy_backend.layers import linear
from deit_ref.numpy_backend.losses import hard_distillation, soft_distillation
from deit_ref.weights import Linear, Mlp


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


def test_differences_are_measured_to_the_square_of_the_step_and_leave_x_alone() -> None:
    x = np.array([[1.0, 2.0], [3.0, -1.0]])
    before = x.copy()
    np.testing.assert_allclose(gradients.differences(lambda x: (x**3).sum(), x, step=0.1), 3 * x**2 + 0.01)
    np.testing.assert_array_equal(x, before)


def test_a_step_of_training_goes_down_what_differences_measure_and_keeps_rolling() -> None:
    rng = np.random.default_rng(0)
    weights = Mlp(Linear(rng.normal(size=(4, 3)), rng.normal(size=4)), Linear(rng.normal(size=(2, 4)), np.zeros(2)))
    x, targets = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))

    def loss(matrix: np.ndarray) -> float:
        bent = gelu(linear(Linear(matrix, weights.fc1.bias), x))
        return float(np.square(linear(weights.fc2, bent) - targets).mean())

    options = {"steps": 3, "learning_rate": 0.1, "momentum": 0.5}
    trained, losses = gradients.train(weights, x, targets, **options)
    assert losses[0] == pytest.approx(loss(weights.fc1.weight))
    one, _ = gradients.train(weights, x, targets, **options | {"steps": 1})
    slope = gradients.differences(loss, weights.fc1.weight)
    np.testing.assert_allclose(one.fc1.weight, weights.fc1.weight - 0.1 * slope, atol=1e-9)
    two, _ = gradients.train(weights, x, targets, **options | {"steps": 2})
    once, _ = gradients.train(one, x, targets, **options | {"steps": 1})  # the velocity begins at 0 again
    rolling = 0.5 * (one.fc1.weight - weights.fc1.weight)
    np.testing.assert_allclose(two.fc1.weight, once.fc1.weight + rolling, atol=1e-12)
    assert losses[-1] < losses[0]
    assert trained.fc2.bias.any()


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
