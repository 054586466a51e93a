"""Chapter 17: GELU, exact in both dtypes, and the other bends."""

import math

import numpy as np
import pytest
import torch
from both import BACKENDS, array, chapter, normal
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr
from tolerances import assert_close
from transformers.activations import ACT2FN

from deit_ref.arrays import as_numpy
from deit_ref.benchmark.gelu import error, fitted
from deit_ref.config import ACTIVATION_NAMES
from deit_ref.numpy_backend import activations

both_backends = pytest.mark.parametrize("backend", BACKENDS)


@both_backends
def test_gelu_is_the_definition_in_float64(backend):
    x = np.linspace(-30, 30, 2001)
    y = chapter(backend, "activations").gelu(array(backend, x, "float64"))
    np.testing.assert_allclose(as_numpy(y), x * ndtr(x), rtol=1e-9, atol=1e-15)


def every_float32(low: float, high: float, count: int) -> np.ndarray:
    """Evenly spread float32 values and, beside them, every order of magnitude down to the smallest."""
    tiny = np.logspace(-44, math.log10(high), 20000)
    return np.concatenate([np.linspace(low, high, count), tiny, -tiny, [0.0]]).astype(np.float32)


def test_the_float32_gelu_is_gelu():
    """Its documented error, on two million values: 6e-7, an eighth of what the tanh form gets wrong at best."""
    gelu = chapter("numpy", "activations").gelu
    x = every_float32(-40, 40, 2_000_001)
    exact = x.astype(np.float64) * ndtr(x.astype(np.float64))
    error = np.abs(gelu(x) - exact).max()
    assert error < 6e-7
    assert np.abs(chapter("numpy", "activations").gelu_tanh(x) - exact).max() > 4e-4


@pytest.mark.parametrize("value", [-1e30, -1e10, 1e10, 1e30])
def test_the_float32_gelu_has_the_right_limits(value):
    y = chapter("numpy", "activations").gelu(np.array([value], np.float32))
    assert y[0] == (0 if value < 0 else np.float32(value))


@pytest.mark.parametrize("size", [65535, 65536, 65537, 131073])
def test_the_float32_gelu_does_not_depend_on_blocks(size):
    gelu = chapter("numpy", "activations").gelu
    x = normal(size, size, dtype="float32")
    assert (gelu(x)[-3:] == gelu(x[-3:])).all()
    assert (gelu(x[: size // 3 * 3].reshape(-1, 3)).reshape(-1) == gelu(x)[: size // 3 * 3]).all()


@both_backends
@pytest.mark.parametrize("name", sorted(set(ACT2FN) - {"prelu", "xielu"}))
def test_activations_are_those_of_transformers(backend, name):
    x = np.concatenate([np.linspace(-15, 15, 601), normal(0, 200)])
    with torch.no_grad():
        expected = ACT2FN[name](torch.from_numpy(x))
    actual = chapter(backend, "activations").activate(array(backend, x, "float64"), name=name)
    # gelu_fast rounds sqrt(2 / pi) to ten digits, the reason for 1e-9
    np.testing.assert_allclose(as_numpy(actual), expected.numpy(), rtol=1e-9, atol=1e-9)
    # and again in float32, whose formulas may differ
    actual = chapter(backend, "activations").activate(array(backend, x, "float32"), name=name)
    assert as_numpy(actual).dtype == np.float32
    np.testing.assert_allclose(as_numpy(actual), expected.numpy(), rtol=1e-5, atol=1e-5)


@both_backends
def test_selu_which_transformers_refuses(backend):
    x = np.linspace(-5, 5, 101)
    actual = chapter(backend, "activations").activate(array(backend, x, "float64"), name="selu")
    np.testing.assert_allclose(as_numpy(actual), torch.nn.functional.selu(torch.from_numpy(x)).numpy(), rtol=1e-12)
    with pytest.raises(KeyError):
        ACT2FN["selu"]


@both_backends
def test_unknown_activations_are_refused_with_the_list(backend):
    with pytest.raises(ValueError, match=r"activation must be one of gelu, .*tanh; got 'gelu_nwe'.*'gelu_new'"):
        chapter(backend, "activations").activate(array(backend, [1.0]), name="gelu_nwe")


@both_backends
def test_softplus_is_exact_where_others_take_x_itself(backend):
    """Above 20 torch's own is x; the difference, e^-x, is one that float64 can tell up to 36."""
    softplus = chapter(backend, "activations").softplus
    x = np.array([-800.0, -30, 0, 19, 21, 25, 30, 800])
    expected = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
    found = as_numpy(softplus(array(backend, x, "float64")))
    np.testing.assert_allclose(found - np.maximum(x, 0), expected - np.maximum(x, 0), rtol=1e-2, atol=0)
    np.testing.assert_allclose(found, expected, rtol=1e-15)


@both_backends
def test_activations_leave_their_input_alone(backend):
    x = array(backend, normal(0, 4, 6), "float32")
    before = as_numpy(x).copy()
    for name in ACTIVATION_NAMES:
        chapter(backend, "activations").activate(x, name=name)
    assert (as_numpy(x) == before).all()


@given(seed=st.integers(0, 10**6), dtype=st.sampled_from(["float32", "float64"]))
def test_numpy_equals_torch(seed, dtype):
    x = normal(seed, 3, 16)
    for name in ACTIVATION_NAMES:
        ours, mirror = (chapter(b, "activations").activate(array(b, x, dtype), name=name) for b in ("numpy", "torch"))
        assert_close(ours, mirror, dtype)


def test_the_fitted_numbers_are_those_of_the_fit():
    """The smallest error that seven terms can have: all its eight peaks are equally high."""
    x = np.linspace(0, 6, 6001)
    stored = error(np.array(activations._LOGIT_PHI), x)
    again = error(fitted(points=300, rounds=300), x)
    assert np.abs(stored).max() < 6.7e-8
    assert np.abs(stored).max() < 1.01 * np.abs(again).max()
    inner = stored[1:-1]
    peaks = inner[(np.abs(inner) > np.abs(stored[:-2])) & (np.abs(inner) >= np.abs(stored[2:]))]
    assert len(peaks) == 8
    assert (np.sign(peaks[:-1]) == -np.sign(peaks[1:])).all()
    assert np.abs(peaks).min() > 0.98 * np.abs(peaks).max()
