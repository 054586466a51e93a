"""Chapter 11, learning: torch.optim is the mirror of the optimizers, the training loop that of the loop."""

import dataclasses

import numpy as np
import pytest
import torch
from strategies import TINY, random_weights
from tolerances import assert_close, distance

import deit_ref
from deit_ref.data.shapes import SHAPES, draw_shapes
from deit_ref.numpy_backend.backward import learning, optimizer
from deit_ref.numpy_backend.backward.gradients import gradients
from deit_ref.numpy_backend.model import TASKS
from deit_ref.torch_backend.model import TASKS as TORCH_TASKS
from deit_ref.training import loop
from deit_ref.training.batches import Batch
from deit_ref.training.objectives import classification
from deit_ref.training.optimization import decays, learning_rate, update_average
from deit_ref.training.recipe import Recipe
from deit_ref.training.student import Student
from deit_ref.weights import map_weights, named_arrays


def weights_and_gradients(steps=5):
    """A tree, and a gradient for each step, some of them steep and some nearly flat."""
    weights = random_weights(TINY, "classification-with-teacher", dtype=np.float64, mask_token=True)
    generator = np.random.default_rng(0)

    def gradient(array):
        return generator.standard_normal(array.shape) * 10 ** generator.uniform(-9, 2, array.shape)

    return weights, [map_weights(gradient, weights) for _ in range(steps)]


def parameters_of(weights):
    return {name: torch.nn.Parameter(torch.from_numpy(array.copy())) for name, array in named_arrays(weights)}


def assert_same(weights, parameters, bound="float64"):
    for name, array in named_arrays(weights):
        assert_close(array, parameters[name], bound, name)


def test_adamw_is_torch_s():
    weights, gradients = weights_and_gradients()
    parameters = parameters_of(weights)
    pulled = [p for name, p in parameters.items() if decays(name, p.shape)]
    free = [p for name, p in parameters.items() if not decays(name, p.shape)]
    groups = [{"params": pulled, "weight_decay": 0.3}, {"params": free, "weight_decay": 0.0}]
    mirror = torch.optim.AdamW(groups, lr=0.01, betas=(0.8, 0.95), eps=1e-6)
    state = optimizer.moments(weights)
    for gradient in gradients:
        options = {"learning_rate": 0.01, "weight_decay": 0.3, "betas": (0.8, 0.95), "eps": 1e-6}
        weights, state = optimizer.adamw(weights, gradient, state, **options)
        for name, array in named_arrays(gradient):
            parameters[name].grad = torch.from_numpy(array)
        mirror.step()
        assert_same(weights, parameters)
    assert state.step == len(gradients)
    assert 0 < len(pulled) < len(parameters)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_is_torch_s(momentum):
    weights, gradients = weights_and_gradients()
    parameters = parameters_of(weights)
    mirror = torch.optim.SGD(parameters.values(), lr=0.01, momentum=momentum)
    velocity = None
    for gradient in gradients:
        weights, velocity = optimizer.sgd(weights, gradient, velocity, learning_rate=0.01, momentum=momentum)
        for name, array in named_arrays(gradient):
            parameters[name].grad = torch.from_numpy(array)
        mirror.step()
        assert_same(weights, parameters)


@pytest.mark.parametrize("max_norm", [0.5, 1e9])
def test_clipping_is_torch_s(max_norm):
    weights, (gradient, *_) = weights_and_gradients()
    parameters = parameters_of(weights)
    for name, array in named_arrays(gradient):
        parameters[name].grad = torch.from_numpy(array.copy())
    expected = torch.nn.utils.clip_grad_norm_(parameters.values(), max_norm)
    clipped, norm = optimizer.clipped(gradient, max_norm=max_norm)
    assert distance(norm, expected) < 1e-14
    assert_same(clipped, {name: parameter.grad for name, parameter in parameters.items()})


def test_the_schedule_is_that_of_training():
    recipe = dataclasses.replace(
        Recipe(), epochs=7, warmup_epochs=2.0, learning_rate=0.3, learning_rate_batch=None, min_learning_rate=0.01,
        warmup_learning_rate=0.0,
    )  # fmt: skip
    for step in range(0, 71):
        mine = optimizer.cosine(step, steps=70, highest=0.3, warmup=20, lowest=0.01)
        assert mine == pytest.approx(learning_rate(recipe, step / 10), abs=1e-15)
    assert optimizer.cosine(0, steps=70, highest=0.3) == 0.3
    assert optimizer.cosine(100, steps=70, highest=0.3, lowest=0.01) == pytest.approx(0.01)  # and does not rise again


def test_the_average_is_that_of_training():
    weights, (other, *_) = weights_and_gradients()
    recipe = dataclasses.replace(Recipe(), ema_decay=0.9, ema_warmup=False)
    average = {name: torch.from_numpy(array.copy()) for name, array in named_arrays(weights)}
    update_average(average, {name: torch.from_numpy(a) for name, a in named_arrays(other)}, step=3, recipe=recipe)
    assert_same(optimizer.averaged(weights, other, decay=0.9), average)


def test_trees_of_different_models_are_refused():
    weights = random_weights()
    other = random_weights(dataclasses.replace(TINY, num_labels=7))
    with pytest.raises(ValueError, match=r"head\.weight has shape \(7, 32\), expected \(5, 32\)"):
        optimizer.averaged(weights, other, decay=0.5)


class Given:
    """Batches that are there already, as the training loop asks for them."""

    device, rank, world = torch.device("cpu"), 0, 1

    def __init__(self, batches, steps_per_epoch):
        self.batches, self.steps_per_epoch = batches, steps_per_epoch

    def __call__(self, step):
        batch = self.batches[step]
        targets = torch.nn.functional.one_hot(torch.from_numpy(batch.labels), 10).double()
        return Batch(torch.from_numpy(batch.pixel_values), targets)


CONFIG = deit_ref.DeiTConfig(24, 2, 3, 48, image_size=32, patch_size=8, num_labels=10)


def shapes(count, seed, dtype=np.float32):
    pictures, labels = draw_shapes(count, seed=seed)
    return (pictures.transpose(0, 3, 1, 2) / 127.5 - 1).astype(dtype), labels


@pytest.mark.parametrize(("distillation", "alpha", "tau"), [("none", 0.5, 1.0), ("hard", 0.5, 1.0), ("soft", 0.1, 3.0)])
def test_learning_is_that_of_the_training_loop(tmp_path, distillation, alpha, tau):
    """The same losses step by step, and the same weights and average at the end."""
    weights = deit_ref.init_weights(CONFIG, "classification-with-teacher", seed=1).to("numpy", dtype="float64")
    pixels, labels = shapes(64, 0, np.float64)
    teacher = np.random.default_rng(2).standard_normal((64, 10)) if distillation != "none" else None
    given = [*learning.batches(pixels, labels, teacher, batch_size=16, epochs=3, seed=5)]
    assert len(given) == 12
    recipe = Recipe(
        model="cifar10", image_size=32, epochs=3, batch_size=16, optimizer="adamw", learning_rate=0.004,
        learning_rate_batch=None, warmup_epochs=1.0, warmup_learning_rate=0.0, min_learning_rate=0.0, weight_decay=0.05,
        clip_norm=1.0, drop_path=0.0, ema_decay=0.9, ema_warmup=False, distillation=distillation, alpha=alpha, tau=tau,
    )  # fmt: skip
    losses = []
    by_pixels = {batch.pixel_values.tobytes(): batch.teacher_logits for batch in given}
    teach = None if teacher is None else lambda x: torch.from_numpy(by_pixels[x.numpy().tobytes()])
    objective = classification(recipe, teach=teach)

    def watched(*arguments):
        goal = objective(*arguments)
        losses.append(float(goal.loss.detach()))
        return goal

    student = Student(weights).double()
    learned = loop.fit(student, watched, Given(given, 4), recipe, folder=tmp_path, seed=0)
    steps = [
        *learning.fit(
            weights, given, steps=12, learning_rate=0.004, warmup=4, weight_decay=0.05, clip_norm=1.0, decay=0.9,
            distillation=distillation, alpha=alpha, tau=tau,
        )
    ]  # fmt: skip
    np.testing.assert_allclose([step.loss for step in steps], losses, rtol=1e-9)
    assert steps[-1].number == 12
    assert_same(steps[-1].weights, {name.replace("/", "."): p for name, p in student.named_parameters()})
    assert_same(steps[-1].average, {name.replace("/", "."): p for name, p in learned.items()})
    assert losses[-1] < losses[0]


def test_a_step_says_what_it_did_and_draws_anew():
    """Dropout and drop path included; a rate of 0 keeps the weights, so that losses differ by what is drawn alone."""
    config = dataclasses.replace(CONFIG, hidden_dropout_prob=0.2)
    weights = random_weights(config, dtype=np.float64)
    batch = learning.Batch(*shapes(8, 0, np.float64))
    steps = [*learning.fit(weights, [batch] * 3, steps=3, learning_rate=0.0, warmup=0, drop_path=0.4, seed=6)]
    for number, step in enumerate(steps):
        drawn = {"drop_path": 0.4, "generator": np.random.default_rng([6, number])}
        found = gradients(weights, batch.pixel_values, labels=batch.labels, **drawn)
        assert step.number == number + 1
        assert step.loss == found.value
        assert step.norm == optimizer.clipped(found.weights, max_norm=1.0)[1]
    assert len({step.loss for step in steps}) == 3
    rates = [step.learning_rate for step in learning.fit(weights, [batch] * 3, steps=3, learning_rate=0.01, warmup=2)]
    assert rates == [optimizer.cosine(number, steps=3, highest=0.01, warmup=2) for number in range(3)]


def test_batches_show_every_picture_once_in_an_epoch():
    pixels, labels = np.arange(10.0).reshape(10, 1, 1, 1), np.arange(10)
    teacher = np.eye(10)
    found = [*learning.batches(pixels, labels, teacher, batch_size=3, epochs=2, seed=0)]
    assert [len(batch.labels) for batch in found] == [3] * 6
    for batch in found:
        np.testing.assert_array_equal(batch.pixel_values.ravel(), batch.labels)
        np.testing.assert_array_equal(batch.teacher_logits.argmax(axis=1), batch.labels)
    first, second = (np.concatenate([b.labels for b in part]) for part in (found[:3], found[3:]))
    assert len(set(first)) == len(set(second)) == 9
    assert first.tolist() != second.tolist()
    assert first.tolist() != sorted(first)


def test_drawn_shapes():
    pictures, labels = draw_shapes(205, seed=3)
    assert pictures.shape == (205, 32, 32, 3)
    assert pictures.dtype == np.uint8
    assert np.bincount(labels).tolist() == [21] * 5 + [20] * 5
    assert len(SHAPES) == 10
    again, _ = draw_shapes(205, seed=3)
    np.testing.assert_array_equal(pictures, again)
    assert (draw_shapes(205, seed=4)[0] != pictures).any()
    clean, kinds = draw_shapes(50, seed=3, noise=0)
    for picture, label in zip(clean, kinds, strict=True):
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 2  # the shape and what is behind it
        share = (picture != 60).any(axis=2).mean()
        assert 0.04 < share < 0.6, [*SHAPES][label]
    with pytest.raises(ValueError, match="count"):
        draw_shapes(0, seed=0)


def test_drawn_shapes_vary_in_place_and_size():
    """A disk's middle lies up to 3 pixels from the picture's in each direction, and it is 16 to 24 pixels wide."""
    pictures, labels = draw_shapes(600, seed=0, noise=0)
    disks = (pictures[labels == [*SHAPES].index("disk")] != 60).any(axis=3)  # (60, height, width)
    for axis in (1, 2):
        along = disks.any(axis=axis)  # (60, side)
        first, last = along.argmax(axis=1), 31 - along[:, ::-1].argmax(axis=1)
        middles, widths = (first + last + 1) / 2 - 16, last + 1 - first
        assert -3 <= middles.min() < -2 < 2 < middles.max() <= 3
        assert 16 <= widths.min() < 18 < 22 < widths.max() <= 24


def test_a_small_deit_learns_to_tell_shapes():
    """From nothing, in some seconds; the trained weights are as good in torch."""
    config = dataclasses.replace(
        CONFIG, hidden_size=48, num_hidden_layers=3, num_attention_heads=4, intermediate_size=96
    )
    weights = deit_ref.init_weights(config, "classification", seed=0)
    pixels, labels = shapes(3200, 0)
    unseen, truth = shapes(500, 1)
    given = learning.batches(pixels, labels, batch_size=64, epochs=8, seed=0)
    *_, last = learning.fit(weights, given, steps=400, learning_rate=3e-3, warmup=40)
    answers = TASKS["classification"](last.average, unseen).logits.argmax(axis=1)
    assert (answers == truth).mean() >= 0.95
    mirror = TORCH_TASKS["classification"](last.average.to("torch"), torch.from_numpy(unseen)).logits
    assert (mirror.argmax(dim=1).numpy() == answers).all()
