"""forward, preprocess and compare: what they take, what they refuse and why, and what they remember."""

import dataclasses
import gc
import itertools
import os
import platform
import re
import subprocess
import sys
import types
import warnings
import weakref

import numpy as np
import pytest
import torch
from strategies import TINY, random_mask, random_pixels, random_weights

import deit_ref
from deit_ref import api, arrays
from deit_ref.arrays import as_numpy, fingerprint
from deit_ref.config import TASKS
from deit_ref.image_processing import ImageProcessing
from deit_ref.numpy_backend import losses
from deit_ref.trace import Trace
from deit_ref.weights import map_weights, named_arrays

BACKENDS = ("numpy", "torch")
PIXELS = random_pixels()
TOKENS = TINY.num_prefix_tokens + TINY.num_patches


@pytest.fixture(scope="module")
def weights():
    return {task: random_weights(TINY, task) for task in TASKS} | {
        "masked features": random_weights(TINY, "features", mask_token=True)
    }


def photo(height=40, width=50, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def with_config(weights, **changes):
    return dataclasses.replace(weights, config=dataclasses.replace(weights.config, **changes))


def logits_of(weights, pixel_values=PIXELS, **options):
    return deit_ref.forward(weights, pixel_values=pixel_values, **options).logits


# --- what comes back


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ("features", deit_ref.FeaturesOutput),
        ("classification", deit_ref.ClassificationOutput),
        ("classification-with-teacher", deit_ref.TeacherOutput),
        ("masked-image-modeling", deit_ref.MaskedImageOutput),
    ],
)
def test_one_output_type_per_task(weights, backend, task, kind):
    output = deit_ref.forward(weights[task], pixel_values=PIXELS, backend=backend)
    assert type(output) is kind
    assert (output.hidden_states, output.attentions) == (None, None)
    first = next(iter(vars(output).values()))
    assert isinstance(first, np.ndarray if backend == "numpy" else torch.Tensor)
    assert as_numpy(first).dtype == np.float32
    shapes = {"features": (2, TOKENS, 32), "masked-image-modeling": (2, 3, 32, 32)}
    assert tuple(first.shape) == shapes.get(task, (2, 5))


@pytest.mark.parametrize("backend", BACKENDS)
def test_hidden_states_and_attentions_are_asked_for(weights, backend):
    off = weights["classification"]
    on = with_config(off, output_hidden_states=True, output_attentions=True)
    for chosen, states, maps in [
        (deit_ref.forward(on, pixel_values=PIXELS, backend=backend), 3, 2),
        (deit_ref.forward(on, pixel_values=PIXELS, backend=backend, output_hidden_states=False), 0, 2),
        (deit_ref.forward(on, pixel_values=PIXELS, backend=backend, output_attentions=False), 3, 0),
        (deit_ref.forward(off, pixel_values=PIXELS, backend=backend, output_attentions=True), 0, 2),
        (deit_ref.forward(off, pixel_values=PIXELS, backend=backend, output_hidden_states=True), 3, 0),
    ]:
        assert len(chosen.hidden_states or ()) == states
        assert len(chosen.attentions or ()) == maps
        assert all(tuple(state.shape) == (2, TOKENS, 32) for state in chosen.hidden_states or ())
        assert all(tuple(shares.shape) == (2, 4, TOKENS, TOKENS) for shares in chosen.attentions or ())


def test_images_are_prepared_as_the_weights_say(weights):
    own = dataclasses.replace(weights["classification"], image_processing=ImageProcessing.huggingface(32))
    images = [photo(), photo(30, 90, seed=1)]
    for backend in BACKENDS:
        pixel_values = deit_ref.preprocess(images, own.image_processing, backend=backend)
        expected = deit_ref.forward(own, pixel_values=pixel_values, backend=backend).logits
        np.testing.assert_array_equal(deit_ref.forward(own, images, backend=backend).logits, expected)
        other = ImageProcessing(size=32, do_center_crop=False)
        changed = deit_ref.forward(own, images, backend=backend, image_processing=other).logits
        assert not np.array_equal(changed, expected)
        pixel_values = deit_ref.preprocess(images, other, backend=backend)
        np.testing.assert_array_equal(changed, deit_ref.forward(own, pixel_values=pixel_values, backend=backend).logits)
    single = deit_ref.forward(own, photo())
    assert single.logits.shape == (1, 5)
    assert [len(row) for row in single.top(2)] == [2]


@pytest.mark.parametrize("kind", [list, torch.from_numpy, np.asarray, np.asfortranarray])
@pytest.mark.parametrize("backend", BACKENDS)
def test_pixel_values_of_any_kind(weights, backend, kind):
    expected = logits_of(weights["classification"], backend=backend)
    np.testing.assert_array_equal(logits_of(weights["classification"], kind(PIXELS), backend=backend), expected)
    single = kind(PIXELS[:1][::-1] if kind is not torch.from_numpy else PIXELS[:1])  # the stride stays negative
    np.testing.assert_array_equal(
        logits_of(weights["classification"], single, backend=backend),
        logits_of(weights["classification"], PIXELS[:1].copy(), backend=backend),
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.longdouble, ">f4"])
def test_pixel_values_are_cast_to_the_weights(weights, backend, dtype):
    given = PIXELS.astype(dtype)
    logits = logits_of(weights["classification"], given, backend=backend)
    assert as_numpy(logits).dtype == np.float32
    expected = logits_of(weights["classification"], given.astype(np.float32), backend=backend)
    np.testing.assert_array_equal(logits, expected)


def test_dtypes(weights):
    chosen = weights["classification"]
    assert logits_of(chosen, dtype="float64").dtype == np.float64
    assert logits_of(chosen, dtype=np.float64).dtype == np.float64
    assert logits_of(chosen.to("numpy", dtype="float64")).dtype == np.float64
    assert logits_of(chosen.to("numpy", dtype="float64"), dtype="float32").dtype == np.float32
    for name in ("float16", "bfloat16", "float32", "float64"):
        assert logits_of(chosen, backend="torch", dtype=name).dtype == getattr(torch, name)
        assert logits_of(chosen.to("torch", dtype=name), backend="torch").dtype == getattr(torch, name)
    assert logits_of(chosen.to("torch", dtype="bfloat16")).dtype == np.float32


def test_weights_of_either_backend_run_on_either(weights):
    chosen = weights["classification"]
    tensors = chosen.to("torch")
    np.testing.assert_array_equal(logits_of(tensors, backend="numpy"), logits_of(chosen, backend="numpy"))
    torch.testing.assert_close(logits_of(chosen, backend="torch"), logits_of(tensors, backend="torch"), rtol=0, atol=0)
    assert type(logits_of(tensors, backend="numpy")) is np.ndarray


@pytest.mark.parametrize("backend", BACKENDS)
def test_masks_of_every_kind(weights, backend):
    chosen = weights["masked features"]

    def run(**options):
        return as_numpy(deit_ref.forward(chosen, pixel_values=PIXELS, backend=backend, **options).last_hidden_state)

    plain, hidden = run(), random_mask((2, 16))
    masked = run(bool_masked_pos=hidden)
    assert not np.allclose(plain, masked)
    for same in (hidden.tolist(), hidden.astype(np.uint8), torch.from_numpy(hidden), hidden.astype(np.float64)):
        np.testing.assert_array_equal(run(bool_masked_pos=same), masked)
    np.testing.assert_array_equal(run(bool_masked_pos=np.zeros((2, 16), bool)), plain)

    tokens = random_mask((2, TOKENS))
    looking = run(attention_mask=tokens)
    assert not np.allclose(plain, looking)
    for same in (tokens.astype(int).tolist(), tokens.astype(np.float32), torch.from_numpy(tokens)):
        np.testing.assert_array_equal(run(attention_mask=same), looking)

    silent = run(head_mask=[0, 1, 1, 0.5])
    assert not np.allclose(plain, silent)
    np.testing.assert_array_equal(run(head_mask=np.array([[0, 1, 1, 0.5]] * 2)), silent)
    by_layer = run(head_mask=torch.tensor([[0.0], [1.0]]))
    np.testing.assert_array_equal(run(head_mask=[[0] * 4, [1] * 4]), by_layer)
    assert not np.allclose(run(head_mask=[[1.0], [0.0]]), by_layer)
    np.testing.assert_array_equal(run(head_mask=[True, True, True, True]), run(head_mask=[1, 1, 1, 1]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_dropout_by_an_explicit_generator(weights, backend):
    chosen = with_config(weights["classification"], hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.2)

    def generator(seed):
        return np.random.default_rng(seed) if backend == "numpy" else torch.Generator().manual_seed(seed)

    one, again, other = (as_numpy(logits_of(chosen, backend=backend, generator=generator(s))) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, other)
    np.testing.assert_array_equal(
        logits_of(chosen, backend=backend), logits_of(weights["classification"], backend=backend)
    )


# --- labels


@pytest.mark.parametrize("backend", BACKENDS)
def test_labels_of_every_dtype(weights, backend):
    def loss(labels):
        return float(
            deit_ref.forward(weights["classification"], pixel_values=PIXELS, backend=backend, labels=labels).loss
        )

    logits = logits_of(weights["classification"])
    expected = float(losses.cross_entropy(logits, np.array([3, 1])))
    for dtype in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"):
        assert loss(np.array([3, 1], dtype)) == pytest.approx(expected, rel=1e-6)
    for labels in ([3, 1], [[3], [1]], torch.tensor([3, 1], dtype=torch.int32), (3, 1)):
        assert loss(labels) == pytest.approx(expected, rel=1e-6)
    first = float(losses.cross_entropy(logits[:1], np.array([3])))
    for labels in ([3, -100], np.array([3, -100], np.int8)):
        assert loss(labels) == pytest.approx(first, rel=1e-6)
    several = np.eye(5)[[3, 1]]
    expected = float(losses.binary_cross_entropy(logits, several.astype(np.float32)))
    for labels in (several, several.astype(bool), several.tolist(), torch.from_numpy(several).float()):
        assert loss(labels) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_class_156_is_not_minus_100(backend):
    """In uint8 the two have the same bits, and torch compares bits."""
    chosen = random_weights(dataclasses.replace(TINY, num_labels=200))
    losses_of = [
        float(deit_ref.forward(chosen, pixel_values=PIXELS, backend=backend, labels=np.array([156, 156], dtype)).loss)
        for dtype in (np.uint8, np.int64)
    ]
    assert losses_of[0] == losses_of[1]


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_call_reads_its_own_labels(weights, backend):
    """transformers writes the first call's problem into the config, and the second call fails."""
    chosen = weights["classification"]

    def loss(labels):
        return float(deit_ref.forward(chosen, pixel_values=PIXELS, backend=backend, labels=labels).loss)

    single, several = np.array([3, 1]), np.eye(5, dtype=np.float32)[[3, 1]]
    one, two, three, four = loss(single), loss(several), loss(single), loss(several)
    assert (one, two) == (three, four)
    assert one != two
    assert chosen.config.problem_type is None


@pytest.mark.parametrize("backend", BACKENDS)
def test_regression(backend):
    logits = as_numpy(logits_of(random_weights(dataclasses.replace(TINY, num_labels=1))))
    chosen = random_weights(dataclasses.replace(TINY, num_labels=1))
    for labels in ([0.5, -2.0], [[0.5], [-2.0]]):
        loss = deit_ref.forward(chosen, pixel_values=PIXELS, backend=backend, labels=labels).loss
        assert float(loss) == pytest.approx(np.square(logits[:, 0] - [0.5, -2]).mean(), rel=1e-5)
    whole = deit_ref.forward(chosen, pixel_values=PIXELS, backend=backend, labels=[3, -100]).loss
    assert float(whole) == pytest.approx(np.square(logits[:, 0] - [3, -100]).mean(), rel=1e-5)


BAD_LABELS = [
    ({}, [0, 5], r"labels must lie in 0\.\.4, or be -100 to leave an image out; got 5"),
    ({}, [0, -1], r"labels must lie in 0\.\.4, .*got -1"),
    ({}, np.array([156, 0], np.uint8), r"labels must lie in 0\.\.4, .*got 156"),
    ({}, [-100, -100], r"labels are -100 for every image"),
    ({}, [1, 2, 3], r"integers of shape \(2,\), one class number per image; got (torch\.)?int64 of shape \(3,\)"),
    ({}, 1, r"integers of shape \(2,\), .*got (torch\.)?int64 of shape \(\)"),
    ({}, np.eye(5, dtype=int)[:2], r"integers of shape \(2,\), .*got (torch\.)?int64 of shape \(2, 5\)"),
    ({}, [0.5, 0.5], r"labels of multi_label_classification must be numbers of shape \(2, 5\), .*of shape \(2,\)"),
    ({}, np.zeros((5, 2)), r"labels of multi_label_classification must be numbers of shape \(2, 5\)"),
    ({}, ["cat", "dog"], r"labels must hold real numbers or booleans, got an array of <U3"),
    ({}, [None, 1], r"labels must hold real numbers or booleans, got an array of object"),
    ({"problem_type": "single_label_classification"}, [1.0, 2.0], r"single_label_classification must be integers"),
    ({"problem_type": "multi_label_classification"}, [1, 2], r"multi_label_classification must be .*\(2, 5\)"),
    ({"problem_type": "regression"}, [1.0, 2.0], r"labels of regression must be numbers of shape \(2, 5\)"),
]  # fmt: skip


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("changes", "labels", "message"), BAD_LABELS, ids=[message for _, _, message in BAD_LABELS])
def test_bad_labels(weights, backend, changes, labels, message):
    chosen = with_config(weights["classification"], **changes)
    with pytest.raises(ValueError, match=message):
        deit_ref.forward(chosen, pixel_values=PIXELS, backend=backend, labels=labels)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("task", ["classification", "classification-with-teacher"])
def test_probabilities_follow_the_problem_type_of_the_config(weights, backend, task):
    softmax = deit_ref.forward(weights[task], pixel_values=PIXELS, backend=backend).probabilities
    np.testing.assert_allclose(softmax.sum(-1), 1, rtol=1e-6)
    several = with_config(weights[task], problem_type="multi_label_classification")
    output = deit_ref.forward(several, pixel_values=PIXELS, backend=backend)
    sigmoid = 1 / (1 + np.exp(-as_numpy(output.logits)))
    np.testing.assert_allclose(output.probabilities, sigmoid, rtol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("task", [task for task in TASKS if task != "classification"])
def test_labels_for_another_task(weights, backend, task):
    message = rf'the task "classification", got the task \'{task}\': .* deit_ref\.{backend}_backend\.losses'
    with pytest.raises(ValueError, match=message):
        deit_ref.forward(weights[task], pixel_values=PIXELS, backend=backend, labels=[0, 1])


def test_labels_without_a_head():
    chosen = random_weights(dataclasses.replace(TINY, num_labels=0))
    assert logits_of(chosen).shape == (2, 32)
    for task in ("classification", "classification-with-teacher"):
        output = deit_ref.forward(random_weights(chosen.config, task), pixel_values=PIXELS)
        for ask in (output.top, lambda output=output: output.probabilities):
            with pytest.raises(ValueError, match=r"without labels \(num_labels=0\) has no classes, .*output\.logits"):
                ask()
    with pytest.raises(ValueError, match=r"labels need a model with a head, and this one has num_labels=0"):
        deit_ref.forward(chosen, pixel_values=PIXELS, labels=[0, 1])


# --- bad input

WEIGHTS = "classification"
BAD_INPUT = [
    (WEIGHTS, {"pixel_values": None}, r"Expected images .* or pixel_values .*, got neither"),
    (WEIGHTS, {"images": photo()}, r"Expected images .* or pixel_values .*, got both"),
    (
        WEIGHTS,
        {"pixel_values": PIXELS.astype(np.uint8)},
        r"must be floats that are already normalized, got (torch\.)?uint8: photos",
    ),
    (WEIGHTS, {"pixel_values": PIXELS > 0}, r"must be floats that are already normalized, got (torch\.)?bool"),
    (
        WEIGHTS,
        {"pixel_values": PIXELS.astype(complex)},
        r"pixel_values must hold real numbers or booleans, got an array of complex",
    ),
    (
        WEIGHTS,
        {"pixel_values": torch.from_numpy(PIXELS).cfloat()},
        r"pixel_values must hold real numbers or booleans, got a tensor of torch\.complex64",
    ),
    (WEIGHTS, {"pixel_values": "cat.jpg"}, r"pixel_values must hold real numbers or booleans, got an array of <U7"),
    (WEIGHTS, {"pixel_values": PIXELS[0]}, r"\(batch, channels, height, width\), got \(3, 32, 32\)"),
    (WEIGHTS, {"pixel_values": PIXELS[None]}, r"\(batch, channels, height, width\), got \(1, 2, 3, 32, 32\)"),
    (WEIGHTS, {"pixel_values": PIXELS[:0]}, r"\(batch, channels, height, width\), got \(0, 3, 32, 32\)"),
    (WEIGHTS, {"pixel_values": PIXELS[:, :1]}, r"The model reads images of 3 channels, got 1 .*\(2, 1, 32, 32\)"),
    (WEIGHTS, {"pixel_values": np.moveaxis(PIXELS, 1, 3)}, r"made for 32x32 pixels, got 32x3: resize"),
    (WEIGHTS, {"pixel_values": PIXELS[..., :24]}, r"made for 32x32 pixels, got 32x24: .*interpolate_pos_encoding=True"),
    # As many patches as the model has, in another shape: transformers 4 runs this silently.
    (WEIGHTS, {"pixel_values": PIXELS.reshape(2, 3, 64, 16)}, r"made for 32x32 pixels, got 64x16: resize the images"),
    (
        WEIGHTS,
        {"pixel_values": random_pixels(dataclasses.replace(TINY, image_size=40))[..., :35, :35]},
        r"got 35x35: resize",
    ),
    (
        WEIGHTS,
        {"pixel_values": PIXELS[..., :30], "interpolate_pos_encoding": True},
        r"32x30 pixels are not a multiple of 8x8",
    ),
    (
        WEIGHTS,
        {"bool_masked_pos": np.ones((2, 16), bool)},
        r"bool_masked_pos needs weights with a mask token: .*mask_token=True",
    ),
    (
        "masked features",
        {"bool_masked_pos": np.ones((2, 18), bool)},
        r"bool_masked_pos must have the shape \(2, 16\).*got \(2, 18\)",
    ),
    (
        "masked features",
        {"bool_masked_pos": np.ones(16, bool)},
        r"bool_masked_pos must have the shape \(2, 16\).*got \(16,\)",
    ),
    (
        "masked features",
        {"bool_masked_pos": np.ones((2, 4, 4), bool)},
        r"must have the shape \(2, 16\).*got \(2, 4, 4\)",
    ),
    ("masked features", {"bool_masked_pos": np.full((2, 16), 2)}, r"must be True or False, or between 0 and 1"),
    ("masked features", {"bool_masked_pos": np.full((2, 16), -0.5)}, r"must be True or False, or between 0 and 1"),
    ("masked features", {"bool_masked_pos": np.full((2, 16), np.nan)}, r"must be True or False, or between 0 and 1"),
    (
        "masked features",
        {"bool_masked_pos": "all"},
        r"bool_masked_pos must hold real numbers or booleans, got an array of <U3",
    ),
    (WEIGHTS, {"head_mask": np.ones(3)}, r"head_mask must have the shape \(4,\), .* or \(2, 4\) .*got \(3,\)"),
    (WEIGHTS, {"head_mask": np.ones((3, 4))}, r"head_mask must have the shape .*got \(3, 4\)"),
    (WEIGHTS, {"head_mask": np.ones((1, 4))}, r"head_mask must have the shape .*got \(1, 4\)"),
    (WEIGHTS, {"head_mask": 1.0}, r"head_mask must have the shape .*got \(\)"),
    (WEIGHTS, {"head_mask": [1, 1, 1, np.nan]}, r"head_mask must hold finite numbers, got NaN or infinity"),
    (WEIGHTS, {"head_mask": "abcd"}, r"head_mask must hold real numbers or booleans"),
    (
        WEIGHTS,
        {"attention_mask": np.ones((2, 16))},
        r"attention_mask must have the shape \(2, 18\), .*distillation token included; got \(2, 16\)",
    ),
    (WEIGHTS, {"attention_mask": np.ones(18)}, r"attention_mask must have the shape \(2, 18\), .*got \(18,\)"),
    (WEIGHTS, {"attention_mask": np.full((2, 18), 0.5)}, r"must hold True and False, or 1 and 0, and nothing between"),
    (WEIGHTS, {"attention_mask": np.full((2, 18), np.nan)}, r"attention_mask must hold True and False"),
    (WEIGHTS, {"attention_mask": np.eye(2, 18, k=17)}, r"attention_mask must leave at least one token of every image"),
    (WEIGHTS, {"image_processing": ImageProcessing()}, r"image_processing was given with pixel_values"),
    (WEIGHTS, {"interpolate_pos_encoding": 1}, r"interpolate_pos_encoding must be True or False, got 1"),
    (WEIGHTS, {"output_hidden_states": "yes"}, r"output_hidden_states must be True or False, got 'yes'"),
    (WEIGHTS, {"output_attentions": 0}, r"output_attentions must be True or False, got 0"),
    (WEIGHTS, {"generator": 7}, r"generator must be a (np\.random|torch)\.Generator for this backend, or None .*got 7"),
    (WEIGHTS, {"trace": True}, r"trace must be a new Trace\(\); got True"),
    (
        WEIGHTS,
        {"dtype": "float8"},
        r"(float32 or float64, got dtype='float8'|dtype must be one of float16, .*got 'float8')",
    ),
    (WEIGHTS, {"dtype": np.int64}, r"(float64, got dtype=|one of float16, .*got )<class 'numpy.int64'>"),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("chosen", "options", "message"), BAD_INPUT, ids=[message for _, _, message in BAD_INPUT])
def test_bad_input(weights, backend, chosen, options, message):
    with pytest.raises(ValueError, match=message):
        deit_ref.forward(weights[chosen], **({"pixel_values": PIXELS, "backend": backend} | options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "jax"}, r"backend must be one of numpy, torch; got 'jax'"),
        ({"backend": torch}, r"backend must be one of numpy, torch; got <module 'torch'"),
        ({"device": "cpu"}, r"NumPy has no devices, got device='cpu': leave it out or use backend='torch'"),
        ({"dtype": "float16"}, r"NumPy backend computes in float32 or float64, got dtype='float16': choose one"),
        ({"dtype": "float"}, r"NumPy backend computes in float32 or float64, got dtype='float'"),
        ({"dtype": torch.float32}, r"NumPy backend computes in float32 or float64, got dtype=torch\.float32"),
        ({"backend": "torch", "device": "gpu"}, r"device must name a device that torch finds .*got 'gpu'"),
        ({"backend": "torch", "device": "cuda:99"}, r"device must name a device that torch finds .*got 'cuda:99'"),
        ({"generator": torch.Generator()}, r"generator must be a np\.random\.Generator for this backend"),
        ({"generator": np.random.RandomState(0)}, r"generator must be a np\.random\.Generator for this backend"),
        ({"backend": "torch", "generator": np.random.default_rng(0)}, r"generator must be a torch\.Generator for this"),
    ],
)
def test_what_belongs_to_the_other_backend(weights, options, message):
    with pytest.raises(ValueError, match=message):
        deit_ref.forward(weights["classification"], pixel_values=PIXELS, **options)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("wrong", ["facebook/deit-tiny-patch16-224", {"cls_token": 1}, None])
def test_weights_that_are_none(backend, wrong):
    name = type(wrong).__name__
    message = rf"weights must come from load_weights or init_weights, got {name}: did you mean load_weights\("
    with pytest.raises(ValueError, match=message):
        deit_ref.forward(wrong, pixel_values=PIXELS, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        ([], {}, r"Expected at least one image, got none"),
        (photo() - np.float32(300), {}, r"whole numbers in 0\.\.255, or floats in 0\.\.1; got float32"),
        ([photo(), 7], {}, r"images\[1\]: Expected an image: .*got int"),
        ("absent.jpg", {}, r"absent\.jpg"),
        (photo(), {"image_processing": {}}, r"image_processing must be an ImageProcessing, .*got \{\}"),
        (
            photo(),
            {"image_processing": ImageProcessing(size=8, do_center_crop=False)},
            r"made for 32x32 pixels, got 8x8",
        ),
    ],
)
def test_bad_images(weights, backend, images, options, message):
    with pytest.raises(ValueError, match=message):
        deit_ref.forward(weights["classification"], images, backend=backend, **options)


@pytest.mark.parametrize("backend", BACKENDS)
def test_another_image_size_on_request(weights, backend):
    wide = random_pixels(dataclasses.replace(TINY, image_size=(24, 48)))
    chosen = weights["masked-image-modeling"]
    output = deit_ref.forward(chosen, pixel_values=wide, backend=backend, interpolate_pos_encoding=True)
    assert tuple(output.reconstruction.shape) == (2, 3, 24, 48)
    # One entry per patch of the image, not of the model.
    masked = deit_ref.forward(
        chosen, pixel_values=wide, backend=backend, interpolate_pos_encoding=True, bool_masked_pos=random_mask((2, 18))
    )
    assert np.isfinite(float(masked.loss))
    with pytest.raises(ValueError, match=r"bool_masked_pos must have the shape \(2, 18\)"):
        deit_ref.forward(
            chosen,
            pixel_values=wide,
            backend=backend,
            interpolate_pos_encoding=True,
            bool_masked_pos=random_mask((2, 16)),
        )


# --- not finite


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_first_bad_tensor_is_named(weights, backend):
    def spoil(array):
        array = array.copy()
        array.flat[0] = np.nan
        return array

    arrays = dict(named_arrays(weights["classification"]))
    for name in ("cls_token", "blocks.1.mlp.fc2.bias"):
        bad = arrays[name]
        chosen = map_weights(lambda array, bad=bad: spoil(array) if array is bad else array, weights["classification"])
        with pytest.warns(UserWarning, match=rf"not finite: the weights contain NaN or infinity, first in {name}\."):
            deit_ref.forward(chosen, pixel_values=PIXELS, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_bad_pixels_and_numbers_that_outgrow_the_dtype(weights, backend):
    pixels = PIXELS.copy()
    pixels[1, 2, 3, 4] = np.nan
    with pytest.warns(UserWarning, match=r"The result is not finite: pixel_values contain NaN or infinity\.") as caught:
        deit_ref.forward(weights["classification"], pixel_values=pixels, backend=backend)
    assert caught[0].filename == __file__
    large = map_weights(lambda array: array * np.float32(1e25), weights["classification"])
    with np.errstate(all="ignore"), pytest.warns(UserWarning, match=r"numbers outgrew (torch\.)?float32; try a wider"):
        deit_ref.forward(large, pixel_values=PIXELS, backend=backend)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        deit_ref.forward(weights["classification"], pixel_values=PIXELS, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_photos_as_pixel_values_are_warned_of(weights, backend):
    """Floats of 0..255, which are photos; not what is normalized, nor what a model without rescale is made for."""
    chosen = weights["classification"]
    floats = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32)).astype(np.float32)
    message = r"pixel_values lie in 0\.\.255, .*image_processing makes 2\.64 of white: photos of 0\.\.255 go to images="
    with pytest.warns(UserWarning, match=message) as caught:
        deit_ref.forward(chosen, pixel_values=floats, backend=backend)
    assert caught[0].filename == __file__
    raw = dataclasses.replace(chosen, image_processing=ImageProcessing(do_rescale=False, do_normalize=False))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for good in (PIXELS, np.abs(PIXELS) * 2, floats / 255, floats - 127):
            deit_ref.forward(chosen, pixel_values=good, backend=backend)
        deit_ref.forward(raw, pixel_values=floats, backend=backend)
        deit_ref.forward(chosen, list(floats.transpose(0, 2, 3, 1)), backend=backend)


# --- what is remembered


@pytest.fixture
def used(monkeypatch):
    """The weights that the torch model was called with, in order."""
    from deit_ref.torch_backend import model

    calls, original = [], model.TASKS["classification"]

    def spy(weights, *inputs, **options):
        calls.append(weights)
        return original(weights, *inputs, **options)

    monkeypatch.setitem(model.TASKS, "classification", spy)
    return calls


def test_converted_once(used):
    chosen = random_weights()
    for dtype in (None, None, "float64", "float64", torch.float64, None):
        logits_of(chosen, backend="torch", dtype=dtype)
    assert used[0] is used[1] is used[5]
    assert used[2] is used[3] is used[4]
    assert used[0] is not used[2]
    tensors = chosen.to("torch")
    logits_of(tensors, backend="torch")
    logits_of(tensors, backend="torch", dtype="float32", device="cpu")
    assert used[6] is used[7] is tensors
    assert tensors not in api._converted


def test_a_copy_goes_with_its_weights(used):
    gc.collect()
    chosen, before = random_weights(), len(api._converted)
    logits_of(chosen, backend="torch", dtype="float64")
    logits_of(chosen, dtype="float64")
    assert len(api._converted) == before + 1
    assert len(api._converted[chosen]) == 2
    copy = weakref.ref(used.pop())
    gone = weakref.ref(chosen)
    del chosen
    gc.collect()
    assert gone() is None
    assert copy() is None
    assert len(api._converted) == before


@pytest.mark.parametrize("dtype", [None, "float64"])
def test_trained_weights_are_never_stale(dtype):
    chosen = map_weights(lambda tensor: tensor.requires_grad_(), random_weights().to("torch"))
    logits = logits_of(chosen, backend="torch", dtype=dtype)
    logits.sum().backward()
    for name, tensor in named_arrays(chosen):
        assert tensor.grad is not None, name
        assert tensor.grad.dtype == torch.float32
    assert float(chosen.head.bias.grad[0]) == 2  # one for each image
    before = {backend: as_numpy(logits_of(chosen, backend=backend, dtype=dtype)) for backend in BACKENDS}
    with torch.no_grad():
        chosen.head.bias.add_(1)
    for backend in BACKENDS:
        after = as_numpy(logits_of(chosen, backend=backend, dtype=dtype))
        np.testing.assert_allclose(after, before[backend] + 1, rtol=1e-6)


def test_what_was_computed_without_gradients_does_not_cut_later_ones():
    chosen = map_weights(lambda tensor: tensor.requires_grad_(), random_weights().to("torch"))
    with torch.no_grad():
        logits_of(chosen, backend="torch", dtype="float64")
    logits_of(chosen, backend="torch", dtype="float64").sum().backward()
    assert float(chosen.head.bias.grad[0]) == 2  # one for each image


@pytest.mark.parametrize("kept", BACKENDS)
@pytest.mark.parametrize(
    ("backend", "dtype"),
    [(b, d) for b in BACKENDS for d in (None, "float32", "float64")] + [("torch", "bfloat16"), ("torch", "float16")],
)
def test_weights_changed_in_place_are_seen_on_every_path(kept, backend, dtype):
    """What forward gives is what a fresh tree of the same numbers gives: for one number, a head, a swap, a sign."""
    chosen = random_weights().to(kept)

    def fresh():
        return logits_of(map_weights(lambda array: array + 0, chosen), backend=backend, dtype=dtype)

    def swap():
        weight = chosen.blocks[0].attn.proj.weight
        weight[[0, 1]] = weight[[1, 0]]

    changes = [
        lambda: chosen.head.bias.__setitem__(4, 1.0),
        lambda: chosen.blocks[1].norm2.weight.__imul__(-1),
        swap,
        lambda: (chosen.pos_embed.data if kept == "torch" else chosen.pos_embed).__iadd__(1),
        lambda: chosen.head.weight.__setitem__(slice(None), 0),
    ]
    seen = [as_numpy(logits_of(chosen, backend=backend, dtype=dtype))]
    for change in changes:
        change()
        seen.append(as_numpy(logits_of(chosen, backend=backend, dtype=dtype)))
        np.testing.assert_array_equal(seen[-1], as_numpy(fresh()))
    if dtype != "bfloat16":
        assert all(not np.array_equal(a, b) for a, b in itertools.pairwise(seen))


@pytest.mark.parametrize("layout", ["as it is", "read-only", "turned", "odd length"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_a_fingerprint_sees_every_single_bit(dtype, layout):
    values = np.random.default_rng(0).standard_normal((37, 300 if layout != "odd length" else 301))
    tensor = torch.from_numpy(values).to(getattr(torch, dtype))
    tensor = tensor.T if layout == "turned" else tensor
    before = fingerprint([tensor])
    if dtype != "bfloat16":
        array = tensor.numpy()
        if layout == "read-only":
            array.flags.writeable = False
        assert fingerprint([array]) == before
    octets = tensor.T.view(torch.uint8) if layout == "turned" else tensor.view(torch.uint8)
    for place in np.random.default_rng(1).integers(octets.numel(), size=200):
        octets.view(-1)[place] ^= 1 << int(place % 8)
        assert fingerprint([tensor]) != before
        octets.view(-1)[place] ^= 1 << int(place % 8)
    assert fingerprint([tensor]) == before == (arrays._of_tensor(tensor),)  # as a GPU would find it
    tensor[[0, 1]] = tensor[[1, 0]].clone()
    assert fingerprint([tensor]) != before


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("size", [6, 4096, 20_000])
def test_a_fingerprint_sees_changes_that_could_cancel(dtype, size):
    """Signs are the highest bits, which a sum of odd multiples takes in pairs; halves change one bit everywhere."""
    values = torch.from_numpy(np.random.default_rng(0).standard_normal(size)).to(getattr(torch, dtype))
    changed = {"as it was": values}
    for name, places in {"all": slice(None), "two": [1, 5], "every fourth": slice(3, None, 4)}.items():
        for factor in (-1, 0.5):
            changed[f"{name} times {factor}"] = values.clone()
            changed[f"{name} times {factor}"][places] *= factor
    found = [fingerprint([tensor]) for tensor in changed.values()]
    assert len(set(found)) == len(changed)
    assert found == [(arrays._of_tensor(tensor),) for tensor in changed.values()]


def test_a_fingerprint_sees_words_that_change_places():
    """Word (i, j) of a table is not counted as word (j, i) is."""
    square = torch.from_numpy(np.random.default_rng(0).standard_normal((8, 4096)))
    before = fingerprint([square])
    for i, j in ((0, 1), (2, 5), (3, 7)):
        square[i, j], square[j, i] = square[j, i].clone(), square[i, j].clone()
        assert fingerprint([square]) != before


def test_what_shares_its_memory_is_not_looked_at(monkeypatch):
    """NumPy weights on torch in float32 are the same memory: no time is spent on a fingerprint."""
    chosen = random_weights()
    logits_of(chosen, backend="torch")
    monkeypatch.setattr(api, "fingerprint", None)
    logits_of(chosen, backend="torch")
    with pytest.raises(TypeError):
        logits_of(chosen, dtype="float64")


def test_a_torch_trace_does_not_hand_out_the_weights():
    tensors = random_weights(TINY, "masked-image-modeling").to("torch")
    own = {tensor.untyped_storage().data_ptr() for _, tensor in named_arrays(tensors)}
    for options in ({}, {"output_attentions": True, "output_hidden_states": True}):
        trace = Trace()
        output = deit_ref.forward(tensors, pixel_values=PIXELS, backend="torch", trace=trace, **options)
        found = [*trace.values(), *(value for value in vars(output).values() if isinstance(value, torch.Tensor))]
        assert not own & {tensor.untyped_storage().data_ptr() for tensor in found}
    before = tensors.pos_embed.clone()
    trace["pos_embed"].zero_()
    assert torch.equal(tensors.pos_embed, before)


@pytest.mark.parametrize("wants", ["pixel_values", "weights", "one bias"])
@pytest.mark.parametrize("task", TASKS)
def test_what_is_recorded_lies_on_the_path_to_the_result(weights, task, wants):
    """Attentions, and every step that depends on what is learned, as relevance methods and transformers' tests need."""
    tensors = map_weights(lambda tensor: tensor.clone(), weights[task].to("torch"))
    pixels = torch.from_numpy(PIXELS).requires_grad_(wants == "pixel_values")
    if wants == "one bias":
        tensors.patch_embed.proj.bias.requires_grad_()
    if wants == "weights":
        tensors = map_weights(lambda tensor: tensor.requires_grad_(), tensors)
    trace = Trace()
    output = deit_ref.forward(
        tensors, pixel_values=pixels, backend="torch", trace=trace, output_attentions=True, output_hidden_states=True
    )
    result = next(iter(vars(output).values()))
    asked = [*output.attentions, *output.hidden_states]
    gradients = torch.autograd.grad(result.square().sum(), asked, retain_graph=True)
    assert all(gradient.abs().max() > 0 for gradient in gradients)
    for tensor in asked:
        tensor.retain_grad()
    result.square().sum().backward(retain_graph=True)
    for tensor, gradient in zip(asked, gradients, strict=True):
        torch.testing.assert_close(tensor.grad, gradient)
    steps = {name: step for name, step in trace.items() if step.requires_grad}
    assert {"embeddings", "blocks.1.attention.scores", "blocks.0.attention.probabilities"} < set(steps)
    ends = {"cls_logits", "distillation_logits", "pooler"}  # beside the first result
    for name in set(steps) - ends:
        (gradient,) = torch.autograd.grad(result.square().sum(), steps[name], retain_graph=True, allow_unused=True)
        assert gradient is not None, name


def test_gradients_of_attentions_are_right(weights):
    """A little more attention in one place, by a head_mask on one head: the difference in float64."""
    tensors = weights["classification"].to("torch", dtype="float64")
    mask = torch.ones(2, 4, dtype=torch.float64, requires_grad=True)
    output = deit_ref.forward(tensors, pixel_values=PIXELS, backend="torch", output_attentions=True, head_mask=mask)
    (whole,) = torch.autograd.grad(output.logits[0, 2], mask, retain_graph=True)
    by_attention = torch.autograd.grad(output.logits[0, 2], output.attentions)
    plain = deit_ref.forward(tensors, pixel_values=PIXELS, backend="torch", output_attentions=True)
    for layer, gradient in enumerate(by_attention):  # the mask multiplies, so its gradient is the sum over the head
        torch.testing.assert_close((gradient * plain.attentions[layer]).sum((0, 2, 3)), whole[layer])


def test_gradients_of_pixels_and_none_without_need(weights):
    assert not logits_of(weights["classification"], backend="torch").requires_grad
    pixels = torch.from_numpy(PIXELS).requires_grad_()
    logits = logits_of(weights["classification"], pixels, backend="torch")
    (gradient,) = torch.autograd.grad(logits[0, 2], pixels)
    assert gradient.shape == pixels.shape
    assert (gradient[0] != 0).all()
    assert (gradient[1] == 0).all()
    # Against a difference in float64.
    step = np.zeros(PIXELS.shape)
    step[0, 1, 5, 7] = 1e-4
    plus, minus = (logits_of(weights["classification"], PIXELS + s, dtype="float64")[0, 2] for s in (step, -step))
    assert float(gradient[0, 1, 5, 7]) == pytest.approx((plus - minus) / 2e-4, rel=1e-3, abs=1e-7)


def test_inputs_are_left_alone(weights):
    chosen = weights["masked-image-modeling"]
    mask = random_mask((2, 16))
    inputs = {"pixel_values": PIXELS.copy(), "bool_masked_pos": mask.copy(), "head_mask": np.full(4, 0.5, np.float32)}
    before = {name: array.copy() for name, array in named_arrays(chosen)}
    for backend in BACKENDS:
        deit_ref.forward(chosen, backend=backend, trace=Trace(), **inputs)
    np.testing.assert_array_equal(inputs["pixel_values"], PIXELS)
    np.testing.assert_array_equal(inputs["bool_masked_pos"], mask)
    assert (inputs["head_mask"] == 0.5).all()
    for name, array in named_arrays(chosen):
        np.testing.assert_array_equal(array, before[name], err_msg=name)


@pytest.mark.parametrize("error", [OSError("libgomp.so.1: no such file"), ImportError("libgomp.so.1"), "typing_ext"])
def test_a_torch_that_cannot_be_imported_is_not_called_absent(monkeypatch, error):
    if isinstance(error, str):  # what torch itself needs
        error = ModuleNotFoundError(f"No module named {error!r}", name=error)

    def find_spec(name, *_):
        if name == "torch":
            raise error

    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(sys, "meta_path", [types.SimpleNamespace(find_spec=find_spec), *sys.meta_path])
    with pytest.raises(ValueError, match=r"PyTorch is installed and cannot be imported \(.*(libgomp|typing_ext)"):
        arrays.import_torch()


def test_without_torch_the_message_says_what_to_do():
    code = """
        import sys
        sys.modules["torch"] = None
        import numpy as np, deit_ref
        config = deit_ref.DeiTConfig(8, 1, 2, 16, image_size=8, patch_size=4)
        weights = deit_ref.init_weights(config, "classification", seed=0)
        pixels = np.zeros((1, 3, 8, 8), np.float32)
        deit_ref.forward(weights, pixel_values=pixels)
        for call in (lambda: deit_ref.forward(weights, pixel_values=pixels, backend="torch"),
                     lambda: weights.to("torch")):
            try:
                call()
            except ValueError as error:
                print(error)
    """
    lines = "\n".join(line[8:] for line in code.splitlines())
    result = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True)
    first, second = result.stdout.splitlines()
    assert re.search(r"needs PyTorch, .*use backend='numpy', or pip install 'deit_ref\[torch\]'", first)
    assert re.search(r"needs PyTorch, .*pip install 'deit_ref\[torch\]'.*CPU build", second)


@pytest.mark.parametrize("backend", BACKENDS)
def test_python_floats_are_float64(weights, backend):
    for dtype in (float, np.float64, np.dtype(float), "float64"):
        assert as_numpy(logits_of(weights["classification"], backend=backend, dtype=dtype)).dtype == np.float64


# --- preprocess


@pytest.mark.parametrize("processing", [ImageProcessing.huggingface(32), ImageProcessing.original(32)])
def test_preprocess_in_both_backends_and_formats(processing):
    images = [photo(), photo(61, 37, seed=1)]
    first = deit_ref.preprocess(images, processing)
    assert (first.shape, first.dtype) == ((2, 3, 32, 32), np.float32)
    mirrored = deit_ref.preprocess(images, processing, backend="torch", device="cpu")
    np.testing.assert_array_equal(first, mirrored.numpy())
    for backend in BACKENDS:
        last = deit_ref.preprocess(images, processing, backend=backend, data_format="channels_last")
        np.testing.assert_array_equal(np.asarray(last), first.transpose(0, 2, 3, 1))
    trace = Trace()
    np.testing.assert_array_equal(deit_ref.preprocess(images, processing, trace=trace), first)
    assert list(trace)[-1] == "pixel_values"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "cpu"}, r"NumPy has no devices, got device='cpu': leave it out or use backend='torch'"),
        ({"backend": "jax"}, r"backend must be one of numpy, torch; got 'jax'"),
        ({"data_format": "last"}, r"data_format must be one of channels_first, channels_last; got 'last'"),
        ({"backend": "torch", "device": "gpu"}, r"device must name a device that torch finds"),
        (
            {"image_processing": {"size": 3}},
            r"must be an ImageProcessing, such as weights\.image_processing or .*; got \{'size': 3\}",
        ),
        (
            {"image_processing": ImageProcessing(size={"shortest_edge": 9}, do_center_crop=False)},
            r"must have one shape .*\(9, 11, 3\).*\(9, 15, 3\)",
        ),
    ],
)
def test_bad_arguments_of_preprocess(options, message):
    images = [photo(), photo(30, 50, seed=1)]
    with pytest.raises(ValueError, match=message):
        deit_ref.preprocess(images, **({"image_processing": ImageProcessing()} | options))


# --- compare


@pytest.mark.parametrize("task", TASKS)
def test_compare_agrees(weights, task):
    compared = deit_ref.compare(weights[task], photo())
    assert compared.agrees
    assert compared.bound == 1e-5
    names = [row.name for row in compared.rows]
    assert names[0] == "images.0.image"
    assert "blocks.1.attention.probabilities" in names
    assert compared.worst.excess == max(row.difference / row.bound for row in compared.rows) > 0
    text = str(compared)
    assert text.splitlines()[0].split() == ["step", "shape", "largest", "difference"]
    assert len(text.splitlines()) == len(names) + 2
    assert re.search(r"1x18x32 ", text)
    assert f"NumPy and torch agree: largest difference {compared.worst.difference:.1e}" in text


def test_compare_in_float64_with_every_option(weights):
    compared = deit_ref.compare(
        weights["masked-image-modeling"].to("numpy", dtype="float64"),
        pixel_values=PIXELS,
        bool_masked_pos=random_mask((2, 16)),
        head_mask=[0, 1, 0.5, 1],
        attention_mask=random_mask((2, TOKENS)),
        output_attentions=True,
    )
    assert compared.bound == 1e-10
    assert compared.agrees
    scores = next(row for row in compared.rows if row.name == "blocks.0.attention.scores")
    assert np.isfinite(scores.largest)  # masked scores are -inf in both, which is no difference
    assert scores.difference < 1e-10
    assert deit_ref.compare(weights["features"], pixel_values=PIXELS, dtype="float64").bound == 1e-10
    half = deit_ref.compare(weights["features"], pixel_values=PIXELS, dtype="bfloat16")
    assert half.bound == 1e-1
    assert 1e-4 < half.worst.difference < 1e-1


def test_compare_finds_a_broken_function(weights, monkeypatch):
    from deit_ref.torch_backend import activations

    def wrong(x):
        return activations.gelu_tanh(x)

    monkeypatch.setitem(activations.ACTIVATIONS, "gelu", wrong)
    compared = deit_ref.compare(weights["classification"], pixel_values=PIXELS)
    assert not compared.agrees
    assert "NumPy and torch DO NOT AGREE: largest difference" in str(compared)
    wrong_rows = [row.name for row in compared.rows if row.difference > compared.bound]
    assert wrong_rows[0] == "blocks.0.mlp.activation"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_compare_takes_nan_for_a_difference(weights, monkeypatch, value):
    from deit_ref.torch_backend import heads, model

    def broken(head, token):
        logits = heads.classify(head, token)
        logits[0, 0] = value
        return logits

    monkeypatch.setattr(model, "classify", broken)
    with pytest.warns(UserWarning, match="numbers outgrew"):
        compared = deit_ref.compare(weights["classification"], pixel_values=PIXELS)
    assert not compared.agrees
    assert compared.worst.name == "logits"


@pytest.mark.parametrize("option", [{"backend": "torch"}, {"trace": Trace()}, {"generator": None}])
def test_compare_chooses_backends_and_traces_itself(weights, option):
    (name,) = option
    with pytest.raises(ValueError, match=rf"compare runs both backends .*: leave {name} out"):
        deit_ref.compare(weights["classification"], pixel_values=PIXELS, **option)


@pytest.mark.parametrize("backend", BACKENDS)
def test_how_photos_are_read_is_the_processings_to_say(backend, tmp_path):
    """Turned or not, converted or not, and which axis holds the channels, through preprocess and forward alike."""
    from PIL import Image

    photo = np.random.default_rng(0).integers(0, 256, (3, 4, 3), np.uint8)
    exif = Image.Exif()
    exif[274] = 8
    Image.fromarray(photo).save(tmp_path / "turned.png", exif=exif)
    as_it_is = {"do_resize": False, "do_center_crop": False, "do_normalize": False, "do_rescale": False}
    options = {"backend": backend, "data_format": "channels_last"}

    def seen(image, **changes):
        return as_numpy(deit_ref.preprocess(image, ImageProcessing(**as_it_is, **changes), **options))[0]

    np.testing.assert_array_equal(seen(tmp_path / "turned.png"), photo)
    np.testing.assert_array_equal(seen(tmp_path / "turned.png", apply_exif=True), np.rot90(photo))
    np.testing.assert_array_equal(seen(photo, input_data_format="channels_last"), photo)
    np.testing.assert_array_equal(
        seen(photo[:, :3], input_data_format="channels_first"), photo[:, :3].transpose(1, 2, 0)
    )
    np.testing.assert_array_equal(seen(photo[:, :, 0], do_convert_rgb=False), photo[:, :, :1])
    model = random_weights(dataclasses.replace(TINY, image_size=(4, 3), patch_size=1))
    processing = ImageProcessing(do_resize=False, do_center_crop=False, apply_exif=True)
    upright = deit_ref.forward(model, np.rot90(photo).copy(), image_processing=dataclasses.replace(
        processing, input_data_format="channels_last"), backend=backend)  # fmt: skip
    turned = deit_ref.forward(model, tmp_path / "turned.png", image_processing=processing, backend=backend)
    assert (as_numpy(turned.logits) == as_numpy(upright.logits)).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_attention_mask_is_as_long_as_the_tokens_of_these_images(backend):
    model, pixels = random_weights(), random_pixels(dataclasses.replace(TINY, image_size=(40, 48)))
    options = {"pixel_values": pixels, "backend": backend, "interpolate_pos_encoding": True}
    plain = deit_ref.forward(model, **options)
    masked = deit_ref.forward(model, attention_mask=np.ones((2, 2 + 5 * 6)), **options)
    np.testing.assert_allclose(as_numpy(masked.logits), as_numpy(plain.logits), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"attention_mask must have the shape \(2, 32\)"):
        deit_ref.forward(model, attention_mask=np.ones((2, 18)), **options)


FAULTS = """
import resource
import numpy as np
import deit_ref

config = deit_ref.VARIANTS["deit-tiny-distilled-patch16-224"]
weights = deit_ref.init_weights(config, "classification-with-teacher", seed=0)
pixel_values = np.zeros((1, 3, 224, 224), np.float32)
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    deit_ref.forward(weights, pixel_values=pixel_values)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is another one, whose memory is its own")
def test_a_pass_takes_no_new_pages():
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, env=environment, check=True)
    assert int(done.stdout) < 100  # 6,600 where every layer's memory is returned and taken again
