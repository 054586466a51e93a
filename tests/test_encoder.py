"""Chapter 8: mlp, encoder_block, encoder."""

import dataclasses

import numpy as np
import pytest
import torch
from both import BACKENDS, array, chapter, normal
from hypothesis import given
from hypothesis import strategies as st
from strategies import TINY, configs, random_mask, random_weights, seeds
from tolerances import assert_close, distance

from deit_ref.outputs import as_numpy
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
    hidden = layers.gelu(layers.linear(block.mlp.fc1, normed))
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
            generator = np.random.default_rng(seed) if backend == "numpy" else torch.Generator().manual_seed(seed)
            drawn.append(as_numpy(encoder_block(block, x, config=config, generator=generator)))
        assert (drawn[0] == drawn[1]).all()
        assert (drawn[0] != drawn[2]).any()
        assert (drawn[0] != still).any()


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
