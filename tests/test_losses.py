"""Chapter 11: losses, against hand computation, torch, the original's golden values, and their gradients."""

import math

import numpy as np
import pytest
import torch
from both import BACKENDS, array, chapter, normal
from hypothesis import given
from hypothesis import strategies as st

from deit_ref.outputs import as_numpy

both_backends = pytest.mark.parametrize("backend", BACKENDS)

# The golden case: two images, three classes. Computed with losses.py of facebookresearch/deit.
CLS = [[1, 2, 3], [0.5, -1, 0]]
DIST = [[3, 2, 1], [0, 1, -2]]
TEACHER = [[0, 1, 0.5], [2, 0, 1]]
LABELS = [2, 0]


def golden(backend, dtype="float64"):
    return [array(backend, x, dtype) for x in (CLS, DIST, TEACHER)] + [array(backend, LABELS, "int64")]


@both_backends
def test_distillation_equals_the_original(backend):
    losses = chapter(backend, "losses")
    cls_logits, _, _, labels = golden(backend)
    assert float(losses.cross_entropy(cls_logits, labels)) == pytest.approx(0.505868285, abs=5e-10)
    assert float(losses.hard_distillation(*golden(backend))) == pytest.approx(0.942088688, abs=5e-10)
    assert float(losses.hard_distillation(*golden(backend), alpha=0.1)) == pytest.approx(0.593112365, abs=5e-10)
    assert float(losses.soft_distillation(*golden(backend))) == pytest.approx(0.371628292, abs=5e-10)
    assert float(losses.soft_distillation(*golden(backend), alpha=0.1, tau=3.0)) == pytest.approx(
        0.486107475, abs=5e-10
    )


@both_backends
def test_cross_entropy_by_hand(backend):
    cross_entropy = chapter(backend, "losses").cross_entropy
    logits = array(backend, [[0.0, math.log(3)], [0.0, 0.0], [1000.0, 0.0]], "float64")
    assert float(cross_entropy(logits, array(backend, [1, 0, 0], "int64"))) == pytest.approx(
        (math.log(4 / 3) + math.log(2)) / 3
    )
    # -100 leaves a row out of the sum and out of the mean
    assert float(cross_entropy(logits, array(backend, [1, -100, -100], "int64"))) == pytest.approx(math.log(4 / 3))


@both_backends
@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "int8", "uint8"])
def test_cross_entropy_takes_every_integer(backend, dtype):
    cls_logits = array(backend, CLS, "float64")
    loss = chapter(backend, "losses").cross_entropy(cls_logits, array(backend, LABELS, dtype))
    assert float(loss) == pytest.approx(0.505868285, abs=5e-10)


@both_backends
@given(seed=st.integers(0, 10**6), scale=st.floats(0.1, 100))
def test_binary_cross_entropy_is_torchs(backend, seed, scale):
    logits, labels = normal(seed, 4, 5) * scale, np.random.default_rng(seed).random((4, 5))
    expected = torch.nn.functional.binary_cross_entropy_with_logits(*map(torch.from_numpy, (logits, labels)))
    loss = chapter(backend, "losses").binary_cross_entropy(
        array(backend, logits, "float64"), array(backend, labels, "float64")
    )
    assert float(loss) == pytest.approx(float(expected), rel=1e-10)


@both_backends
def test_mean_squared_error_by_hand(backend):
    loss = chapter(backend, "losses").mean_squared_error(array(backend, [1.0, 2.0]), array(backend, [3.0, 2.0]))
    assert float(loss) == 2


@both_backends
def test_the_labels_decide_the_loss(backend):
    losses = chapter(backend, "losses")
    logits = array(backend, CLS, "float64")
    single, many = array(backend, LABELS, "int64"), array(backend, [[0.0, 0, 1], [1, 0, 0]], "float64")
    assert float(losses.classification_loss(logits, single)) == float(losses.cross_entropy(logits, single))
    assert float(losses.classification_loss(logits, many)) == float(losses.binary_cross_entropy(logits, many))
    one = logits[:, :1]
    targets = array(backend, [3.0, 0.5], "float64")
    assert float(losses.classification_loss(one, targets)) == pytest.approx((4 + 0) / 2)
    # named instead of guessed: real numbers for every label
    assert float(losses.classification_loss(logits, many, problem_type="regression")) == pytest.approx(
        np.square(np.array(CLS) - as_numpy(many)).mean()
    )
    with pytest.raises(ValueError, match=r"problem_type must be one of regression, .*got 'ranking'"):
        losses.classification_loss(logits, single, problem_type="ranking")


@both_backends
def test_masked_l1_by_hand(backend):
    masked_l1 = chapter(backend, "losses").masked_l1
    pixels = np.zeros((1, 2, 2, 4))
    drawn = np.zeros((1, 2, 2, 4))
    drawn[0, 0, :, :2] = 1  # off by 1 in one of two channels of the left patch
    drawn[0, :, :, 2:] = 50  # far off in the right patch
    args = array(backend, drawn, "float64"), array(backend, pixels, "float64")
    left = masked_l1(*args, array(backend, [[True, False]], "bool"), patch_shape=(2, 2))
    assert float(left) == pytest.approx(4 / (4 + 1e-5) / 2)
    none = masked_l1(*args, array(backend, [[False, False]], "bool"), patch_shape=(2, 2))
    assert float(none) == 0
    both = masked_l1(*args, array(backend, [[True, True]], "bool"), patch_shape=(2, 2))
    assert float(both) == pytest.approx((4 + 8 * 50) / (8 + 1e-5) / 2)


@both_backends
def test_masked_l1_knows_rows_from_columns(backend):
    """2 x 3 patches of 1 x 2 pixels: the mask's third entry is the upper right patch."""
    pixels, drawn = np.zeros((1, 1, 2, 6)), np.zeros((1, 1, 2, 6))
    drawn[0, 0, 0, 4:] = 1
    mask = array(backend, [[False, False, True, False, False, False]], "bool")
    args = array(backend, drawn, "float64"), array(backend, pixels, "float64")
    loss = chapter(backend, "losses").masked_l1(*args, mask, patch_shape=(1, 2))
    assert float(loss) == pytest.approx(2 / (2 + 1e-5))


def test_gradients_by_a_random_direction():
    """d loss / d logits of the torch losses against NumPy's finite differences, along random directions."""
    theirs, ours = chapter("torch", "losses"), chapter("numpy", "losses")
    labels = np.array([2, 0])
    image, mask = normal(1, 2, 3, 4, 4), np.array([[True, False, True, True], [False, True, False, False]])
    cases = [
        ("cross_entropy", np.array(CLS), [labels]),
        ("binary_cross_entropy", np.array(CLS), [np.array([[0.0, 1, 1], [1, 0, 0.5]])]),
        ("mean_squared_error", np.array(CLS), [np.array(DIST, float)]),
        ("masked_l1", normal(2, 2, 3, 4, 4), [image, mask]),
        ("hard_distillation", np.array(CLS), [np.array(DIST, float), np.array(TEACHER), labels]),
        ("soft_distillation", np.array(CLS), [np.array(DIST, float), np.array(TEACHER), labels]),
    ]
    for name, at, rest in cases:
        options = {"patch_shape": (2, 2)} if name == "masked_l1" else {}
        # of both heads, where there are two
        for argument in range(2 if name.endswith("distillation") else 1):
            values = [at, *rest]
            variable = torch.from_numpy(np.array(values[argument], float)).requires_grad_()
            tensors = [variable if i == argument else torch.from_numpy(v) for i, v in enumerate(values)]
            (gradient,) = torch.autograd.grad(getattr(theirs, name)(*tensors, **options), variable)
            direction, step = normal(7 + argument, *variable.shape), 1e-6
            moved = [
                float(
                    getattr(ours, name)(
                        *(v + sign * step * direction if i == argument else v for i, v in enumerate(values)), **options
                    )
                )
                for sign in (1, -1)
            ]
            numeric = (moved[0] - moved[1]) / (2 * step)
            assert float((gradient * torch.from_numpy(direction)).sum()) == pytest.approx(numeric, rel=1e-6), name


@given(seed=st.integers(0, 10**6), dtype=st.sampled_from(["float32", "float64"]), tau=st.floats(0.5, 5))
def test_numpy_equals_torch(seed, dtype, tau):
    logits = [normal(seed + i, 4, 6) * 3 for i in range(3)]
    labels = np.random.default_rng(seed).integers(0, 6, 4)
    values = []
    for backend in BACKENDS:
        losses = chapter(backend, "losses")
        a, b, t = (array(backend, x, dtype) for x in logits)
        y = array(backend, labels, "int64")
        values.append(
            [
                losses.cross_entropy(a, y),
                losses.hard_distillation(a, b, t, y),
                losses.soft_distillation(a, b, t, y, tau=tau),
            ]
        )
    np.testing.assert_allclose(
        *(np.array([float(x) for x in v]) for v in values), rtol=1e-5 if dtype == "float32" else 1e-10
    )
