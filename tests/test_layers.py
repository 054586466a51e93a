"""Chapter 4: linear, layer_norm, softmax and dropout."""

import math

import numpy as np
import pytest
import torch
from both import BACKENDS, array, chapter, normal
from hypothesis import given
from hypothesis import strategies as st
from tolerances import assert_close, distance

from deit_ref.arrays import as_numpy
from deit_ref.weights import LayerNorm, Linear

both_backends = pytest.mark.parametrize("backend", BACKENDS)


@both_backends
def test_linear_by_hand(backend):
    weights = Linear(array(backend, [[1, 2], [3, 4], [5, 6]]), array(backend, [10, 20, 30]))
    y = chapter(backend, "layers").linear(weights, array(backend, [[[1, 0], [1, 1]]]))
    assert as_numpy(y).tolist() == [[[11, 23, 35], [13, 27, 41]]]


@both_backends
def test_linear_without_bias(backend):
    weights = Linear(array(backend, [[1, 2], [3, 4]]), None)
    y = chapter(backend, "layers").linear(weights, array(backend, [1, 1]))
    assert as_numpy(y).tolist() == [3, 7]


@both_backends
def test_layer_norm_by_hand(backend):
    # mean 2, variance ((-2)^2 + 0 + 0 + 2^2) / 4 = 2; with eps 2 the divisor is exactly 2
    weights = LayerNorm(array(backend, [1, 1, 1, 10]), array(backend, [0, 0, 5, 0]))
    y = chapter(backend, "layers").layer_norm(weights, array(backend, [[0, 2, 2, 4]]), eps=2.0)
    assert as_numpy(y).tolist() == [[-1, 0, 5, 10]]


@both_backends
def test_eps_decides_on_a_constant_token(backend):
    # float64: the variance is exactly 0 here, so that only eps is left under the root
    weights = LayerNorm(array(backend, np.ones(4), "float64"), array(backend, np.zeros(4), "float64"))
    x = array(backend, [[1.0, 1.0, 1.0, 1.0 + 1e-6]], "float64")
    small = chapter(backend, "layers").layer_norm(weights, x, eps=1e-12)
    large = chapter(backend, "layers").layer_norm(weights, x, eps=1e-6)
    assert distance(small, large) > 0.3


@both_backends
def test_softmax_by_hand(backend):
    p = chapter(backend, "layers").softmax(array(backend, [[0, math.log(3)], [1000, 1000]]))
    np.testing.assert_allclose(as_numpy(p), [[0.25, 0.75], [0.5, 0.5]], rtol=1e-6)


@both_backends
@given(seed=st.integers(0, 10**6), scale=st.floats(0.1, 50))
def test_softmax_rows_sum_to_one_and_ignore_a_shift(backend, seed, scale):
    softmax = chapter(backend, "layers").softmax
    x = normal(seed, 3, 7) * scale
    p = as_numpy(softmax(array(backend, x, "float64")))
    np.testing.assert_allclose(p.sum(axis=-1), 1, rtol=1e-12)
    np.testing.assert_allclose(as_numpy(softmax(array(backend, x + 5, "float64"))), p, rtol=1e-9, atol=1e-300)
    assert (p.argmax(-1) == x.argmax(-1)).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_softmax_rounds_once(dtype):
    """As transformers: computed in float32, then cast; torch's own half softmax differs in last bits."""
    x = torch.from_numpy(normal(0, 200, 198)).to(dtype)
    p = chapter("torch", "layers").softmax(x)
    assert p.dtype == dtype
    assert torch.equal(p, torch.softmax(x.float(), dim=-1).to(dtype))
    assert dtype == torch.bfloat16 or not torch.equal(p, torch.softmax(x, dim=-1))


@both_backends
def test_functions_leave_their_input_alone(backend):
    layers = chapter(backend, "layers")
    x = array(backend, normal(0, 4, 6), "float32")
    before = as_numpy(x).copy()
    layers.softmax(x)
    layers.layer_norm(LayerNorm(array(backend, np.ones(6)), array(backend, np.ones(6))), x, eps=1e-6)
    layers.linear(Linear(array(backend, np.eye(6)), array(backend, np.ones(6))), x)
    assert (as_numpy(x) == before).all()


def generator(backend: str, seed: int):
    return np.random.default_rng(seed) if backend == "numpy" else torch.Generator().manual_seed(seed)


@both_backends
def test_dropout_keeps_the_mean_and_drops_the_share(backend):
    x = array(backend, np.ones((200, 500)))
    y = as_numpy(chapter(backend, "layers").dropout(x, probability=0.3, generator=generator(backend, 1)))
    assert abs((y == 0).mean() - 0.3) < 0.005
    assert abs(y.mean() - 1) < 0.01
    assert np.unique(y).tolist() == [0, np.float32(1 / 0.7)]


@both_backends
def test_dropout_is_nothing_at_inference(backend):
    dropout = chapter(backend, "layers").dropout
    x = array(backend, normal(0, 5), "float32")
    assert dropout(x, probability=0.5, generator=None) is x
    assert dropout(x, probability=0.0, generator=generator(backend, 1)) is x


@both_backends
def test_dropout_follows_its_generator(backend):
    dropout = chapter(backend, "layers").dropout
    x = array(backend, np.ones(1000))
    first, again, other = (
        as_numpy(dropout(x, probability=0.5, generator=generator(backend, seed))) for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()


@both_backends
def test_drop_path_drops_whole_samples_and_keeps_the_mean(backend):
    x = normal(3, 20_000, 2, 3, dtype="float32")
    y = chapter(backend, "layers").drop_path(array(backend, x), probability=0.3, generator=generator(backend, 1))
    factors = as_numpy(y) / x
    np.testing.assert_allclose(factors, np.broadcast_to(factors[:, :1, :1], x.shape), rtol=1e-6)
    dropped = factors[:, 0, 0] == 0
    np.testing.assert_allclose(factors[~dropped], 1 / 0.7, rtol=1e-6)
    assert abs(dropped.mean() - 0.3) < 0.01
    assert abs(factors.mean() - 1) < 0.015
    first, again, other = (
        as_numpy(chapter(backend, "layers").drop_path(array(backend, x), probability=0.3, generator=g))
        for g in (generator(backend, seed) for seed in (1, 1, 2))
    )
    assert (first == again).all()
    assert (first != other).any()


@both_backends
@pytest.mark.parametrize("shape", [(50,), (50, 2), (50, 2, 3, 4)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_drop_path_keeps_shape_and_dtype(backend, shape, dtype):
    x = array(backend, np.ones(shape), dtype)
    y = chapter(backend, "layers").drop_path(x, probability=0.5, generator=generator(backend, 1))
    assert as_numpy(y).shape == shape
    assert as_numpy(y).dtype == dtype
    assert np.unique(as_numpy(y)).tolist() == [0, 2]


@both_backends
def test_drop_path_is_nothing_at_inference(backend):
    drop_path = chapter(backend, "layers").drop_path
    x = array(backend, normal(0, 5, 2), "float32")
    assert drop_path(x, probability=0.5, generator=None) is x
    assert drop_path(x, probability=0.0, generator=generator(backend, 1)) is x


@pytest.mark.parametrize("name", ["dropout", "drop_path"])
def test_chance_is_drawn_where_the_generator_lives(name, monkeypatch):
    """A generator of the CPU serves a tensor on another device; "meta" is one that every machine has."""
    rand, drawn = torch.rand, []
    monkeypatch.setattr(torch, "rand", lambda *size, **options: drawn.append(rand(*size, **options)) or drawn[-1])
    drop = getattr(chapter("torch", "layers"), name)
    y = drop(torch.ones(4, 3, device="meta"), probability=0.5, generator=torch.Generator())
    assert (drawn[0].device.type, y.device.type) == ("cpu", "meta")


@pytest.mark.parametrize("name", ["dropout", "drop_path"])
def test_dropping_keeps_bfloat16(name):
    drop = getattr(chapter("torch", "layers"), name)
    y = drop(torch.ones(64, 3, dtype=torch.bfloat16), probability=0.5, generator=torch.Generator().manual_seed(0))
    assert y.dtype == torch.bfloat16
    assert y.unique().tolist() == [0, 2]


@given(seed=st.integers(0, 10**6), dtype=st.sampled_from(["float32", "float64"]), dim=st.integers(2, 40))
def test_numpy_equals_torch(seed, dtype, dim):
    if dtype == "float32":
        dim = max(dim, 8)  # two nearly equal features leave layer norm only their rounding: see tolerances
    ours, mirror = chapter("numpy", "layers"), chapter("torch", "layers")
    x, weight, bias = normal(seed, 3, dim), normal(seed + 1, 5, dim), normal(seed + 2, 5)
    scale, shift = normal(seed + 3, dim), normal(seed + 4, dim)

    def run(backend, module):
        put = [array(backend, values, dtype) for values in (x, weight, bias, scale, shift)]
        return (
            module.linear(Linear(put[1], put[2]), put[0]),
            module.layer_norm(LayerNorm(put[3], put[4]), put[0], eps=1e-6),
            module.softmax(put[0]),
        )

    for a, b in zip(run("numpy", ours), run("torch", mirror), strict=True):
        assert_close(a, b, dtype)
