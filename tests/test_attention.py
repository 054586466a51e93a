"""Chapter 5: heads, scaled dot product attention, masks, dropout, rollout."""

import math

import numpy as np
import pytest
import torch
from both import BACKENDS, array, chapter, normal
from hypothesis import given
from hypothesis import strategies as st
from tolerances import assert_close, distance

from deit_ref.arrays import as_numpy
from deit_ref.trace import Trace
from deit_ref.weights import Attention, Linear

both_backends = pytest.mark.parametrize("backend", BACKENDS)
shapes = st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 9), st.integers(1, 8))


def attention(backend, q, k, v, **options):
    q, k, v = (array(backend, values, "float64") for values in (q, k, v))
    return chapter(backend, "attention").scaled_dot_product_attention(q, k, v, **options)


def make_weights(backend, dim, *, seed=0, bias=True, dtype="float64"):
    def linear(out_features, in_features, seed):
        weight = array(backend, normal(seed, out_features, in_features) / math.sqrt(in_features), dtype)
        return Linear(weight, array(backend, normal(seed + 50, out_features), dtype) if bias else None)

    return Attention(qkv=linear(3 * dim, dim, seed), proj=linear(dim, dim, seed + 1))


@both_backends
def test_split_heads_order(backend):
    # 1 token, 2 heads of 2: features are q, k, v; inside each, head by head
    q, k, v = chapter(backend, "attention").split_heads(array(backend, np.arange(12).reshape(1, 1, 12)), num_heads=2)
    assert as_numpy(q).tolist() == [[[[0, 1]], [[2, 3]]]]
    assert as_numpy(k).tolist() == [[[[4, 5]], [[6, 7]]]]
    assert as_numpy(v).tolist() == [[[[8, 9]], [[10, 11]]]]


@both_backends
@given(shape=shapes)
def test_merging_inverts_splitting(backend, shape):
    batch, heads, tokens, head_dim = shape
    module = chapter(backend, "attention")
    x = normal(0, batch, tokens, 3 * heads * head_dim)
    parts = module.split_heads(array(backend, x, "float64"), num_heads=heads)
    merged = np.concatenate([as_numpy(module.merge_heads(part)) for part in parts], axis=-1)
    assert (merged == x).all()


@both_backends
def test_attention_by_hand(backend):
    # head_dim 4, so the root is 2. The query meets the keys with 0 and 2 log 3: shares 1/4 and 3/4.
    q = np.zeros((1, 1, 2, 4))
    k = np.zeros((1, 1, 2, 4))
    q[0, 0, :, 0] = 1
    k[0, 0, 1, 0] = 2 * math.log(3)
    v = np.array([[[[4.0, 0, 0, 0], [0, 8.0, 0, 0]]]])
    np.testing.assert_allclose(as_numpy(attention(backend, q, k, v))[0, 0], [[1, 6, 0, 0]] * 2, atol=1e-12)


@both_backends
@given(shape=shapes, seed=st.integers(0, 10**6))
def test_attention_is_torchs_sdpa(backend, shape, seed):
    q, k, v = (normal(seed + i, *shape) for i in range(3))
    expected = torch.nn.functional.scaled_dot_product_attention(*map(torch.from_numpy, (q, k, v)))
    trace = Trace()
    for options in ({}, {"trace": trace}):
        assert_close(attention(backend, q, k, v, **options), expected, "float64")
    # and the record is the explicit formula
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(shape[-1])
    assert_close(trace["scores"], scores, "float64")
    shares = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    assert_close(trace["probabilities"], shares, "float64")
    assert_close(as_numpy(trace["probabilities"]) @ v, expected, "float64")


@both_backends
@given(shape=shapes, seed=st.integers(0, 10**6))
def test_attention_without_positions_is_permutation_equivariant(backend, shape, seed):
    batch, heads, tokens, head_dim = shape
    module, weights = chapter(backend, "attention"), make_weights(backend, heads * head_dim, seed=seed)
    x = normal(seed + 9, batch, tokens, heads * head_dim)
    order = np.random.default_rng(seed).permutation(tokens)
    straight = module.multi_head_attention(weights, array(backend, x, "float64"), num_heads=heads)
    shuffled = module.multi_head_attention(weights, array(backend, x[:, order], "float64"), num_heads=heads)
    assert_close(shuffled, as_numpy(straight)[:, order], "float64")


@both_backends
@given(shape=shapes, seed=st.integers(0, 10**6))
def test_an_attention_mask_removes_tokens(backend, shape, seed):
    """Masked tokens may as well not be there."""
    q, k, v = (normal(seed + i, *shape) for i in range(3))
    keep = np.random.default_rng(seed).random((shape[0], shape[2])) < 0.6
    keep[:, 0] = True
    masked = as_numpy(attention(backend, q, k, v, attention_mask=array(backend, keep, "bool")))
    for image in range(shape[0]):
        one = slice(image, image + 1)
        alone = attention(backend, q[one], k[one][:, :, keep[image]], v[one][:, :, keep[image]]) if keep.all() else None
        scores = q[image] @ k[image][:, keep[image]].swapaxes(-1, -2) / math.sqrt(shape[-1])
        shares = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        assert_close(masked[image], shares @ v[image][:, keep[image]], "float64")
        assert alone is None or distance(masked[one], alone) < 1e-10
    everything = array(backend, np.ones(keep.shape), "bool")
    assert_close(attention(backend, q, k, v, attention_mask=everything), attention(backend, q, k, v), "float64")


@both_backends
def test_a_head_mask_multiplies_after_softmax(backend):
    """Rows then sum to the mask: no renormalisation, and never an addition to the scores, which would do nothing."""
    q, k, v = (normal(i, 2, 3, 5, 4) for i in range(3))
    trace = Trace()
    mask = array(backend, [1.0, 0.0, 0.25], "float64")
    out = as_numpy(attention(backend, q, k, v, head_mask=mask, trace=trace))
    np.testing.assert_allclose(as_numpy(trace["probabilities"]).sum(-1), np.tile([[[1], [0], [0.25]]], (2, 1, 5)))
    plain = as_numpy(attention(backend, q, k, v))
    np.testing.assert_allclose(out, plain * np.array([1, 0, 0.25])[:, None, None], atol=1e-12)


@both_backends
def test_a_masked_head_equals_a_pruned_head(backend):
    dim, heads = 12, 3
    module, weights = chapter(backend, "attention"), make_weights(backend, dim)
    x = array(backend, normal(5, 2, 6, dim), "float64")
    masked = module.multi_head_attention(
        weights, x, num_heads=heads, head_mask=array(backend, [1.0, 0.0, 1.0], "float64")
    )
    rows = [i for i in range(3 * dim) if (i % dim) // 4 != 1]
    columns = [i for i in range(dim) if i // 4 != 1]
    pruned = Attention(
        qkv=Linear(weights.qkv.weight[rows], weights.qkv.bias[rows]),
        proj=Linear(weights.proj.weight[:, columns], weights.proj.bias),
    )
    q, k, v = module.split_heads(module.linear(pruned.qkv, x), num_heads=2)
    out = module.linear(pruned.proj, module.merge_heads(module.scaled_dot_product_attention(q, k, v)))
    assert_close(masked, out, "float64")


@pytest.mark.parametrize("bias", [True, False])
@both_backends
def test_multi_head_attention_is_torchs_module(backend, bias):
    dim, heads = 12, 3
    weights = make_weights("torch", dim, bias=bias)
    peer = torch.nn.MultiheadAttention(dim, heads, bias=bias, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        peer.in_proj_weight.copy_(weights.qkv.weight)
        peer.out_proj.weight.copy_(weights.proj.weight)
        if bias:
            peer.in_proj_bias.copy_(weights.qkv.bias)
            peer.out_proj.bias.copy_(weights.proj.bias)
    x = normal(3, 2, 7, dim)
    with torch.no_grad():
        expected, _ = peer(*[torch.from_numpy(x)] * 3)
    ours = make_weights(backend, dim, bias=bias)
    actual = chapter(backend, "attention").multi_head_attention(ours, array(backend, x, "float64"), num_heads=heads)
    assert_close(actual, expected, "float64")


def test_numpy_gives_the_same_bits_watched_or_not():
    module, weights = chapter("numpy", "attention"), make_weights("numpy", 16, dtype="float32")
    x = normal(4, 3, 10, 16, dtype="float32")
    alone = module.multi_head_attention(weights, x, num_heads=4)
    watched = module.multi_head_attention(weights, x, num_heads=4, trace=Trace())
    assert (alone == watched).all()


@both_backends
def test_attention_dropout_is_on_the_probabilities(backend):
    q = k = np.zeros((1, 2, 50, 4))
    v = np.broadcast_to(np.eye(50)[:, :4], (1, 2, 50, 4))
    generator = np.random.default_rng(0) if backend == "numpy" else torch.Generator().manual_seed(0)
    trace = Trace()
    out = attention(backend, q, k, v, dropout_probability=0.5, generator=generator, trace=trace)
    shares = as_numpy(trace["probabilities"])
    np.testing.assert_allclose(np.unique(shares), [0, 2 / 50])
    assert 0.4 < (shares == 0).mean() < 0.6
    assert_close(out, shares @ v, "float64")


def test_training_in_bfloat16_on_a_cpu_takes_the_formula(monkeypatch):
    """The kernel is asked in every other case, and both give the same gradients to what bfloat16 can tell."""
    kernel, asked = torch.nn.functional.scaled_dot_product_attention, []

    def watched(q, *rest, **options):
        asked.append((q.dtype, q.requires_grad))
        return kernel(q, *rest, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    keep = torch.tensor([[True] * 5 + [False] * 2, [True] * 7])
    results = {}
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        for training in (False, True):
            q, k, v = (torch.from_numpy(normal(i, 2, 3, 7, 4)).to(dtype).requires_grad_(training) for i in range(3))
            out = chapter("torch", "attention").scaled_dot_product_attention(q, k, v, attention_mask=keep)
            results[dtype, training] = [out.detach()]
            if training:
                (out * torch.from_numpy(normal(9, 2, 3, 7, 4)).to(dtype)).sum().backward()
                results[dtype, training] += [x.grad for x in (q, k, v)]
    with torch.no_grad():
        chapter("torch", "attention").scaled_dot_product_attention(q.detach(), k, v)
    assert asked == [
        (torch.float64, False),
        (torch.float64, True),
        (torch.float32, False),
        (torch.float32, True),
        (torch.bfloat16, False),
        (torch.bfloat16, False),
    ]
    for (dtype, training), values in results.items():
        for value, exact in zip(values, results[torch.float64, training], strict=True):
            assert value.dtype == dtype
            assert_close(value.double(), exact, str(dtype).removeprefix("torch."))


@both_backends
def test_rollout_by_hand(backend):
    first = np.array([[[[0.0, 1.0], [1.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]]]])  # mean [[.5, .5], [1, 0]]
    second = np.array([[[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]]])  # the identity
    rollout = chapter(backend, "attention").attention_rollout
    one = as_numpy(rollout([array(backend, first, "float64")]))
    np.testing.assert_allclose(one, [[[0.75, 0.25], [0.5, 0.5]]])
    both = as_numpy(rollout([array(backend, first, "float64"), array(backend, second, "float64")]))
    np.testing.assert_allclose(both, one)
    bare = as_numpy(rollout([array(backend, first, "float64")], residual=0.0))
    np.testing.assert_allclose(bare, [[[0.5, 0.5], [1, 0]]])


@both_backends
def test_rollout_applies_later_layers_from_the_left(backend):
    a, b = (np.exp(normal(i, 2, 3, 4, 4)) for i in range(2))
    a, b = a / a.sum(-1, keepdims=True), b / b.sum(-1, keepdims=True)
    rollout = as_numpy(chapter(backend, "attention").attention_rollout([array(backend, x, "float64") for x in (a, b)]))
    mix_a, mix_b = ((np.eye(4) + x.mean(1)) / 2 for x in (a, b))
    np.testing.assert_allclose(rollout, mix_b @ mix_a)
    np.testing.assert_allclose(rollout.sum(-1), 1)
    with pytest.raises(ValueError, match="at least one layer: use output_attentions=True"):
        chapter(backend, "attention").attention_rollout([])


@given(shape=shapes, seed=st.integers(0, 10**6), dtype=st.sampled_from(["float32", "float64"]))
def test_numpy_equals_torch(shape, seed, dtype):
    batch, heads, tokens, head_dim = shape
    dim = heads * head_dim
    x = normal(seed, batch, tokens, dim)
    results = []
    for backend in BACKENDS:
        weights = make_weights(backend, dim, seed=seed, dtype=dtype)
        head_mask = array(backend, np.linspace(0, 1, heads), dtype)
        module, tokens_in = chapter(backend, "attention"), array(backend, x, dtype)
        results.append(
            [
                module.multi_head_attention(weights, tokens_in, num_heads=heads),
                module.multi_head_attention(weights, tokens_in, num_heads=heads, head_mask=head_mask),
            ]
        )
    for a, b in zip(*results, strict=True):
        assert_close(a, b, dtype)
