"""Chapter 6: mlp, encoder_block, encoder."""

import dataclasses

import numpy as np
import pytest
import torch
from both import BACKENDS, array, chapter, normal
from hypothesis import given
from hypothesis import strategies as st
from strategies import TINY, configs, random_mask, random_weights, seeds
from tolerances import assert_close, distance

from deit_ref.arrays import as_numpy
from deit_ref.trace import Trace
from deit_ref.weights import Linear, Mlp

both_backends = pytest.mark.parametrize("backend", BACKENDS)


@both_backends
def test_mlp_by_hand(backend):
    weights = Mlp(
        fc1=Linear(array(backend, [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]), array(backend, [0.0, 0.0, 1.0])),
        fc2=Linear(array(backend, [[1.0, 10.0, 100.0], [0.0, 0.0, 1.0]]), array(backend, [0.5, 0.0])),
    )
    out = chapter(backend, "encoder").mlp(weights, array(backend, [[[2.0, -3.0]]]), activation="relu")
    assert as_numpy(out).tolist() == [[[2.5, 0]]]


@both_backends
def test_a_block_is_pre_norm_with_two_residuals(backend):
    """Written out by hand from the parts of earlier chapters."""
    config = dataclasses.replace(TINY, hidden_act="gelu")
    weights = random_weights(config, "features", dtype=np.float64).to(backend)
    block, x = weights.blocks[0], array(backend, normal(0, 2, 5, 32), "float64")
    layers, attention, encoder = (chapter(backend, name) for name in ("layers", "attention", "encoder"))
    eps = config.layer_norm_eps
    middle = x + attention.multi_head_attention(block.attn, layers.layer_norm(block.norm1, x, eps=eps), num_heads=4)
    normed = layers.layer_norm(block.norm2, middle, eps=eps)
    hidden = chapter(backend, "activations").gelu(layers.linear(block.mlp.fc1, normed))
    expected = middle + layers.linear(block.mlp.fc2, hidden)
    assert_close(encoder.encoder_block(block, x, config=config), expected, "float64")


@both_backends
def test_the_encoder_runs_its_blocks_in_order_and_norms_once(backend):
    weights = random_weights(TINY, "features", dtype=np.float64).to(backend)
    x = array(backend, normal(1, 2, 5, 32), "float64")
    encoder, layers = chapter(backend, "encoder"), chapter(backend, "layers")
    first = encoder.encoder_block(weights.blocks[0], x, config=TINY)
    second = encoder.encoder_block(weights.blocks[1], first, config=TINY)
    trace = Trace()
    out = encoder.encoder(weights, x, trace=trace)
    assert_close(out, layers.layer_norm(weights.norm, second, eps=TINY.layer_norm_eps), "float64")
    assert_close(trace["blocks.0.output"], first, "float64")
    assert_close(trace["blocks.1.output"], second, "float64")
    assert distance(trace["norm"], trace["blocks.1.output"]) > 0.1


@both_backends
def test_a_head_mask_has_one_row_per_layer(backend):
    weights = random_weights(TINY, "features", dtype=np.float64).to(backend)
    x = array(backend, normal(1, 2, 5, 32), "float64")
    mask = np.array([[1.0, 0.0, 0.5, 1.0], [0.0, 1.0, 1.0, 0.25]])
    trace = Trace(["blocks.*.probabilities"])
    chapter(backend, "encoder").encoder(weights, x, head_mask=array(backend, mask, "float64"), trace=trace)
    for i in range(2):
        rows = as_numpy(trace[f"blocks.{i}.attention.probabilities"]).sum(-1)
        np.testing.assert_allclose(rows, np.broadcast_to(mask[i][:, None], rows.shape), atol=1e-12)


@both_backends
def test_dropout_acts_in_each_branch_and_on_the_attention(backend):
    x = array(backend, normal(1, 2, 5, 32))
    encoder_block = chapter(backend, "encoder").encoder_block
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
        config = dataclasses.replace(TINY, **{name: 0.5})
        block = random_weights(config, "features").to(backend).blocks[0]
        still = as_numpy(encoder_block(block, x, config=config))
        drawn = []
        for seed in (0, 0, 1):
            drawn.append(as_numpy(encoder_block(block, x, config=config, generator=generator(backend, seed))))
        assert (drawn[0] == drawn[1]).all()
        assert (drawn[0] != drawn[2]).any()
        assert (drawn[0] != still).any()


def generator(backend, seed):
    return np.random.default_rng(seed) if backend == "numpy" else torch.Generator().manual_seed(seed)


@both_backends
def test_stochastic_depth_drops_each_branch_of_each_sample(backend):
    """Of many equal samples, each loses one branch, the other, both or none: four results, written out by hand."""
    config = dataclasses.replace(TINY, hidden_act="gelu")
    block = random_weights(config, "features", std=0.3, dtype=np.float64).to(backend).blocks[0]
    x = array(backend, normal(0, 1, 5, 32), "float64")
    layers, attention, encoder = (chapter(backend, name) for name in ("layers", "attention", "encoder"))

    def attended(z):
        normed = layers.layer_norm(block.norm1, z, eps=config.layer_norm_eps)
        return z + attention.multi_head_attention(block.attn, normed, num_heads=4) / 0.75

    def thought(z):
        return (
            z
            + encoder.mlp(block.mlp, layers.layer_norm(block.norm2, z, eps=config.layer_norm_eps), activation="gelu")
            / 0.75
        )

    possible = np.concatenate([as_numpy(z) for z in (x, attended(x), thought(x), thought(attended(x)))])
    many = array(backend, np.repeat(as_numpy(x), 2000, axis=0), "float64")
    out = encoder.encoder_block(block, many, config=config, drop_path_probability=0.25, generator=generator(backend, 3))
    away = np.stack([np.abs(as_numpy(out) - one).max(axis=(1, 2)) for one in possible])  # (4, batch)
    assert away.min(axis=0).max() < 1e-10
    shares = np.bincount(away.argmin(axis=0), minlength=4) / 2000
    np.testing.assert_allclose(shares, [1 / 16, 3 / 16, 3 / 16, 9 / 16], atol=0.03)
    # without a generator: none
    still = encoder.encoder_block(block, x, config=config, drop_path_probability=0.25)
    assert (as_numpy(still) == as_numpy(encoder.encoder_block(block, x, config=config))).all()


@both_backends
@pytest.mark.parametrize(("depth", "expected"), [(1, [0]), (2, [0, 0.4]), (5, [0, 0.1, 0.2, 0.3, 0.4])])
def test_the_drop_path_schedule_is_linear_in_depth(backend, depth, expected, monkeypatch):
    module = chapter(backend, "encoder")
    config = dataclasses.replace(TINY, num_hidden_layers=depth)
    weights = random_weights(config, "features").to(backend)
    x = array(backend, normal(1, 2, 5, 32))
    seen = []

    def block(weights, x, *, drop_path_probability, **options):
        seen.append(drop_path_probability)
        return x

    monkeypatch.setattr(module, "encoder_block", block)
    module.encoder(weights, x, drop_path=0.4, generator=generator(backend, 0))
    assert seen == pytest.approx(expected)
    assert seen == pytest.approx(torch.linspace(0, 0.4, depth).tolist())  # timm's words for it


@both_backends
def test_the_encoder_leaves_the_first_block_alone(backend):
    """End to end: over draws, block 0 never loses a branch, the last one does as often as asked for."""
    weights = random_weights(TINY, "features", dtype=np.float64).to(backend)
    x = array(backend, np.repeat(normal(1, 1, 5, 32), 400, axis=0), "float64")
    trace = Trace(["blocks.*.output"])
    encoder = chapter(backend, "encoder").encoder
    encoder(weights, x, drop_path=0.5, generator=generator(backend, 1), trace=trace)
    first, last = (as_numpy(trace[f"blocks.{i}.output"]) for i in range(2))
    np.testing.assert_allclose(first, np.broadcast_to(first[:1], first.shape), atol=1e-12)
    assert 0.2 < (last == first).all(axis=(1, 2)).mean() < 0.3  # both branches: a quarter
    plain = as_numpy(encoder(weights, x))
    assert (as_numpy(encoder(weights, x, drop_path=0.5)) == plain).all()
    assert (as_numpy(encoder(weights, x, generator=generator(backend, 1))) == plain).all()


@both_backends
@pytest.mark.parametrize("drop_path", [1.0, -0.1, float("nan")])
def test_a_drop_path_that_is_no_probability_is_refused(backend, drop_path):
    weights = random_weights(TINY, "features").to(backend)
    with pytest.raises(ValueError, match=r"drop_path must lie in \[0, 1\), got"):
        chapter(backend, "encoder").encoder(weights, array(backend, normal(1, 2, 5, 32)), drop_path=drop_path)


@given(config=configs(), seed=seeds, dtype=st.sampled_from(["float32", "float64"]), masked=st.booleans())
def test_numpy_equals_torch(config, seed, dtype, masked):
    tokens = config.num_prefix_tokens + config.num_patches
    traces = []
    for backend in BACKENDS:
        weights = random_weights(config, "features", seed=seed, dtype=np.dtype(dtype).type).to(backend)
        x = array(backend, normal(3, 2, tokens, config.hidden_size), dtype)
        keep = array(backend, random_mask((2, tokens)), "bool") if masked else None
        traces.append(Trace())
        chapter(backend, "encoder").encoder(weights, x, attention_mask=keep, trace=traces[-1])
    assert list(traces[0]) == list(traces[1])
    for name, value in traces[0].items():
        assert_close(traces[1][name], value, dtype, name)


@both_backends
def test_dropout_stands_on_the_probabilities_and_behind_each_branch(backend):
    """Written out, with the same draws in the same order: attention, its branch, the mlp's branch, and nowhere else."""
    config = dataclasses.replace(TINY, hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.4)
    block = random_weights(config, "features", std=0.3, dtype=np.float64).to(backend).blocks[0]
    x = array(backend, normal(1, 2, 5, 32), "float64")
    layers, attention, encoder = (chapter(backend, name) for name in ("layers", "attention", "encoder"))
    draw = generator(backend, 3)
    normed = layers.layer_norm(block.norm1, x, eps=config.layer_norm_eps)
    branch = attention.multi_head_attention(block.attn, normed, num_heads=4, dropout_probability=0.4, generator=draw)
    middle = x + layers.dropout(branch, probability=0.3, generator=draw)
    normed = layers.layer_norm(block.norm2, middle, eps=config.layer_norm_eps)
    branch = encoder.mlp(block.mlp, normed, activation=config.hidden_act)
    expected = middle + layers.dropout(branch, probability=0.3, generator=draw)
    for trace in (None, Trace()):  # who watches draws the same
        out = encoder.encoder_block(block, x, config=config, generator=generator(backend, 3), trace=trace)
        assert (as_numpy(out) == as_numpy(expected)).all()


@both_backends
def test_stochastic_depth_draws_after_the_dropout_of_its_branch(backend):
    config = dataclasses.replace(TINY, hidden_dropout_prob=0.3)
    block = random_weights(config, "features", std=0.3, dtype=np.float64).to(backend).blocks[0]
    x = array(backend, normal(1, 6, 5, 32), "float64")
    layers, attention, encoder = (chapter(backend, name) for name in ("layers", "attention", "encoder"))
    draw = generator(backend, 3)

    def added(z, branch):
        branch = layers.dropout(branch, probability=0.3, generator=draw)
        return z + layers.drop_path(branch, probability=0.4, generator=draw)

    normed = layers.layer_norm(block.norm1, x, eps=config.layer_norm_eps)
    middle = added(x, attention.multi_head_attention(block.attn, normed, num_heads=4))
    normed = layers.layer_norm(block.norm2, middle, eps=config.layer_norm_eps)
    expected = added(middle, encoder.mlp(block.mlp, normed, activation=config.hidden_act))
    options = {"config": config, "drop_path_probability": 0.4, "generator": generator(backend, 3)}
    assert (as_numpy(encoder.encoder_block(block, x, **options)) == as_numpy(expected)).all()
