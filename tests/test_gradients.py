"""deit_ref.gradients: what may be asked, and that both backends answer alike."""

import dataclasses

import numpy as np
import pytest
import torch
from both import BACKENDS
from strategies import TINY, random_mask, random_pixels, random_weights
from test_backward import assert_all_close, leaves

import deit_ref
from deit_ref.arrays import as_numpy
from deit_ref.photos import bundled_photo
from deit_ref.trace import Trace
from deit_ref.weights import named_arrays, weights_from_arrays

EVERYTHING = ("weights", "pixel_values", "attentions", "head_mask")
TEACHER = np.random.default_rng(3).standard_normal((2, 5)).astype(np.float32)
ASKED = {
    "features": {"target": 2},
    "classification": {"labels": [4, 0]},
    "classification-with-teacher": {
        "labels": [4, 0], "teacher_logits": TEACHER, "distillation": "soft", "tau": 2, "alpha": 0.2,
    },
    "masked-image-modeling": {"bool_masked_pos": random_mask((2, TINY.num_patches))},
}  # fmt: skip


@pytest.mark.parametrize("task", ASKED)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_both_backends_give_the_same_gradients_of_everything(task, dtype):
    weights, pixels = random_weights(TINY, task), random_pixels()
    found, steps = [], []
    for backend in BACKENDS:
        forward, back = Trace(), Trace()
        found.append(
            deit_ref.gradients(
                weights, pixel_values=pixels, backend=backend, dtype=dtype, with_respect_to=EVERYTHING,
                trace=forward, gradient_trace=back, **ASKED[task],
            )
        )  # fmt: skip
        assert {*forward} == {*back}
        steps.append(back)
    book, mirror = found
    assert isinstance(mirror.pixel_values, torch.Tensor)
    assert [name for name, _ in named_arrays(book.weights)] == [name for name, _ in named_arrays(weights)]
    assert book.head_mask.shape == (2, 4)
    assert [a.shape for a in book.attentions] == [(2, 4, 18, 18)] * 2
    for name in EVERYTHING:
        assert_all_close(leaves(getattr(book, name)), leaves(getattr(mirror, name)), dtype, name)
    assert list(steps[0]) == list(steps[1])
    assert_all_close([*steps[0].values()], [*steps[1].values()], dtype, "steps")


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_not_asked_for_is_none(backend):
    weights, pixels = random_weights(), random_pixels()
    for name in EVERYTHING:
        found = deit_ref.gradients(weights, pixel_values=pixels, target=1, with_respect_to=[name], backend=backend)
        assert [other for other in EVERYTHING if getattr(found, other) is not None] == [name]
    output = deit_ref.forward(weights, pixel_values=pixels, backend=backend)
    np.testing.assert_allclose(as_numpy(found.value), as_numpy(output.logits)[:, 1].sum(), rtol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_loss_is_that_of_forward(backend):
    weights, pixels = random_weights(), random_pixels()
    found = deit_ref.gradients(weights, pixel_values=pixels, labels=[4, 0], backend=backend)
    output = deit_ref.forward(weights, pixel_values=pixels, labels=[4, 0], backend=backend)
    np.testing.assert_allclose(as_numpy(found.value), as_numpy(output.loss), rtol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_step_against_the_gradient_lowers_the_loss(backend):
    weights = random_weights(TINY, "classification-with-teacher")
    options = {"pixel_values": random_pixels(), "labels": [4, 0], "backend": backend}
    before = deit_ref.gradients(weights, **options)
    down = dict(named_arrays(before.weights))
    arrays = {name: array - 0.05 * as_numpy(down[name]) for name, array in named_arrays(weights)}
    lower = weights_from_arrays(arrays, weights.config, weights.task, image_processing=weights.image_processing)
    assert float(deit_ref.gradients(lower, **options).value) < float(before.value) - 0.01


def test_a_photo_has_the_gradient_of_its_prepared_pixels():
    weights = deit_ref.load_weights()
    photo = bundled_photo("chelsea")
    pixels = deit_ref.preprocess(photo, weights.image_processing)
    one = deit_ref.gradients(weights, photo, target=3, with_respect_to=("pixel_values",))
    other = deit_ref.gradients(weights, pixel_values=pixels, target=[3], with_respect_to=("pixel_values",))
    np.testing.assert_array_equal(one.pixel_values, other.pixel_values)
    assert one.pixel_values.shape == pixels.shape


def test_hard_labels_and_their_shares_are_the_same():
    weights, pixels = random_weights(TINY, "classification-with-teacher"), random_pixels()
    one, other = (
        deit_ref.gradients(weights, pixel_values=pixels, labels=labels, dtype="float64")
        for labels in ([4, 0], np.eye(5)[[4, 0]])
    )
    for a, b in zip(leaves(one.weights), leaves(other.weights), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-15)


def test_gradients_leave_the_weights_and_their_gradients_alone():
    weights = random_weights().to("torch")
    for _, array in named_arrays(weights):
        array.requires_grad_()
    deit_ref.gradients(weights, pixel_values=random_pixels(), target=1, backend="torch")
    assert all(array.grad is None for _, array in named_arrays(weights))


BAD = {
    "gradients needs labels, for their loss, or a target, for its logit; got neither": {},
    "for its logit; got both": {"labels": [1, 2], "target": 1},
    r"target must lie in 0\.\.4, got 5": {"target": 5},
    r"target must be a class number, or \(2,\) of them": {"target": [1, 2, 3]},
    "target must be a class number": {"target": 1.5},
    "distillation='soft' is a loss of the task \"classification-with-teacher\"": {
        "labels": [1, 2], "distillation": "soft",
    },
    "tau has no part in distillation='none'": {"labels": [1, 2], "tau": 2.0},
    "with_respect_to must be a list of strings": {"target": 1, "with_respect_to": "weights"},
    "with_respect_to must name each of": {"target": 1, "with_respect_to": ["weights", "weights"]},
    "with_respect_to must be one of weights, .* got 'pixels'": {"target": 1, "with_respect_to": ["pixels"]},
    "gradient_trace must be a new Trace": {"target": 1, "gradient_trace": {}},
    r"labels must lie in 0\.\.4": {"labels": [1, 7]},
}  # fmt: skip


@pytest.mark.parametrize(("message", "options"), BAD.items())
def test_errors(message, options):
    with pytest.raises(ValueError, match=message):
        deit_ref.gradients(random_weights(), pixel_values=random_pixels(), **options)


BAD_OF_TWO_HEADS = {
    "Distillation needs teacher_logits": {"labels": [1, 2], "distillation": "hard"},
    r"teacher_logits must be finite floats of shape \(2, 5\)": {
        "labels": [1, 2], "distillation": "hard", "teacher_logits": TEACHER[:, :4],
    },
    "got a target: leave it out": {"target": 1, "distillation": "hard", "teacher_logits": TEACHER},
    "tau has no part in distillation='hard'": {
        "labels": [1, 2], "distillation": "hard", "teacher_logits": TEACHER, "tau": 1.0,
    },
    r"alpha must lie in \[0, 1": {"labels": [1, 2], "distillation": "hard", "teacher_logits": TEACHER, "alpha": 2},
    r"tau must lie in \(0, ": {"labels": [1, 2], "distillation": "soft", "teacher_logits": TEACHER, "tau": 0},
    "sum to 1 for each image": {"labels": np.full((2, 5), 0.3)},
    r"labels of two heads must be class numbers \(2,\), or finite shares": {"labels": np.full((2, 4), 0.25)},
}  # fmt: skip


@pytest.mark.parametrize(("message", "options"), BAD_OF_TWO_HEADS.items())
def test_errors_of_two_heads(message, options):
    weights = random_weights(TINY, "classification-with-teacher")
    with pytest.raises(ValueError, match=message):
        deit_ref.gradients(weights, pixel_values=random_pixels(), **options)


def test_shares_are_not_negative_and_teachers_of_any_precision_are_heard():
    weights, pixels = random_weights(TINY, "classification-with-teacher"), random_pixels()
    with pytest.raises(ValueError, match="at least 0 and sum to 1"):
        deit_ref.gradients(weights, pixel_values=pixels, labels=[[2.0, -1.0, 0, 0, 0]] * 2)
    for backend in BACKENDS:
        given = {"labels": [1, 2], "distillation": "soft", "teacher_logits": TEACHER.astype(np.float64)}
        found = deit_ref.gradients(weights, pixel_values=pixels, backend=backend, **given)
        assert as_numpy(found.value).dtype == np.float32


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_target_is_a_place_in_the_answer(backend):
    """Which without a head, or of the features, is as long as a token or as the pooler's output."""
    pixels, pooled = random_pixels(), dataclasses.replace(TINY, pooler_output_size=7)
    for weights, answers in (
        (random_weights(dataclasses.replace(TINY, num_labels=0)), 32),
        (random_weights(TINY, "features", pooler=False), 32),
        (random_weights(pooled, "features"), 7),
    ):
        output = deit_ref.forward(weights, pixel_values=pixels, backend=backend)
        answer = output.logits if weights.task == "classification" else output.pooler_output
        answer = as_numpy(output.last_hidden_state[:, 0] if answer is None else answer)
        found = deit_ref.gradients(weights, pixel_values=pixels, target=answers - 1, backend=backend)
        np.testing.assert_allclose(as_numpy(found.value), answer[:, answers - 1].sum(), rtol=1e-4)
        with pytest.raises(ValueError, match=rf"target must lie in 0\.\.{answers - 1}, got {answers}"):
            deit_ref.gradients(weights, pixel_values=pixels, target=answers, backend=backend)


def test_tasks_without_labels():
    for task in ("features", "masked-image-modeling"):
        weights = random_weights(TINY, task)
        for options in ({}, {"labels": [1, 2]}):
            with pytest.raises(ValueError, match=r"needs a target|needs bool_masked_pos|labels go with the task"):
                deit_ref.gradients(weights, pixel_values=random_pixels(), **options)
    several = dataclasses.replace(TINY, problem_type="multi_label_classification")
    with pytest.raises(ValueError, match="Two heads learn from cross entropy"):
        deit_ref.gradients(
            random_weights(several, "classification-with-teacher"), pixel_values=random_pixels(), labels=[1, 2]
        )


@pytest.mark.parametrize("quiet", [torch.no_grad, torch.inference_mode])
def test_gradients_are_found_where_torch_follows_nothing(quiet):
    """What is made there, the remembered copy of the weights included, has gradients afterwards too."""
    pixels, given = random_pixels(), {"labels": [4, 0], "backend": "torch", "with_respect_to": EVERYTHING}
    expected = deit_ref.gradients(random_weights(), pixel_values=pixels, **given)
    weights = random_weights()
    with quiet():
        deit_ref.forward(weights, pixel_values=pixels, backend="torch")
        made = torch.from_numpy(pixels) + 0, torch.tensor([4, 0]), weights.to("torch")
        inside = deit_ref.gradients(weights, pixel_values=pixels, head_mask=[1.0] * 4, **given)
    after = deit_ref.gradients(weights, pixel_values=made[0], **given)
    of_tensors = deit_ref.gradients(made[2], pixel_values=made[0], **{**given, "labels": made[1]})
    for found in (inside, after, of_tensors):
        for name in EVERYTHING:
            mine, theirs = (leaves(getattr(each, name)) for each in (found, expected))
            assert_all_close([*map(as_numpy, mine)], theirs, "float32", name)
    leaf = torch.from_numpy(pixels).requires_grad_()
    deit_ref.forward(weights, pixel_values=leaf, backend="torch").logits.sum().backward()
    assert leaf.grad is not None


@pytest.mark.parametrize("backend", BACKENDS)
def test_images_of_other_channels_are_refused_as_by_forward(backend):
    with pytest.raises(ValueError, match="reads images of 3 channels, got 1"):
        deit_ref.gradients(random_weights(), pixel_values=random_pixels()[:, :1], target=1, backend=backend)


@pytest.mark.parametrize("num_labels", [0, 1])
def test_cross_entropy_of_two_heads_needs_two_classes(num_labels):
    weights = random_weights(dataclasses.replace(TINY, num_labels=num_labels), "classification-with-teacher")
    with pytest.raises(ValueError, match=f"at least 2 classes, and this model has num_labels={num_labels}"):
        deit_ref.gradients(weights, pixel_values=random_pixels(), labels=[0, 0])
