"""Chapter 2: mask_tokens, prepend_tokens, split_tokens."""

import dataclasses

import numpy as np
import pytest
import torch
from both import BACKENDS, array, chapter, normal
from strategies import TINY, random_mask, random_pixels, random_weights

from deit_ref.arrays import as_numpy
from deit_ref.trace import Trace

both_backends = pytest.mark.parametrize("backend", BACKENDS)


@both_backends
def test_masking_by_hand(backend):
    mask_tokens = chapter(backend, "tokens").mask_tokens
    token, x = array(backend, [[[100.0]]]), array(backend, [[[1.0], [2.0], [3.0]]])
    hidden = mask_tokens(token, x, array(backend, [[False, True, False]], "bool"))
    assert as_numpy(hidden).tolist() == [[[1], [100], [3]]]
    blended = mask_tokens(token, x, array(backend, [[0.0, 0.5, 1.0]]))
    assert as_numpy(blended).tolist() == [[[1], [51], [100]]]


@both_backends
def test_the_order_is_cls_dist_patches(backend):
    tokens = chapter(backend, "tokens")
    cls_token, dist_token = array(backend, [[[1.0, 1.0]]]), array(backend, [[[2.0, 2.0]]])
    x = array(backend, np.full((3, 4, 2), 7.0))
    both = tokens.prepend_tokens(cls_token, dist_token, x)
    assert as_numpy(both)[:, :, 0].tolist() == [[1, 2, 7, 7, 7, 7]] * 3
    plain = tokens.prepend_tokens(cls_token, None, x)
    assert as_numpy(plain)[:, :, 0].tolist() == [[1, 7, 7, 7, 7]] * 3


@both_backends
def test_splitting_inverts_prepending(backend):
    tokens = chapter(backend, "tokens")
    values = [normal(seed, *shape) for seed, shape in enumerate([(1, 1, 3), (1, 1, 3), (2, 5, 3)])]
    cls_token, dist_token, x = (array(backend, value, "float64") for value in values)
    first, second, patches = tokens.split_tokens(tokens.prepend_tokens(cls_token, dist_token, x), distilled=True)
    assert (as_numpy(first) == values[0][0]).all()
    assert (as_numpy(second) == values[1][0]).all()
    assert (as_numpy(patches) == values[2]).all()
    first, second, patches = tokens.split_tokens(tokens.prepend_tokens(cls_token, None, x), distilled=False)
    assert second is None
    assert (as_numpy(first) == values[0][0]).all()
    assert (as_numpy(patches) == values[2]).all()


@both_backends
def test_embeddings_are_dropped_out_last_and_only_they(backend):
    config = dataclasses.replace(TINY, hidden_dropout_prob=0.3)
    weights = random_weights(config, "masked-image-modeling").to(backend)
    tokens, layers = chapter(backend, "tokens"), chapter(backend, "layers")
    pixels, mask = array(backend, random_pixels()), array(backend, random_mask((2, 16)), "bool")

    def draw():
        return np.random.default_rng(5) if backend == "numpy" else torch.Generator().manual_seed(5)

    still = tokens.embed(weights, pixels, bool_masked_pos=mask)
    expected = as_numpy(layers.dropout(still, probability=0.3, generator=draw()))
    trace = Trace()
    out = as_numpy(tokens.embed(weights, pixels, bool_masked_pos=mask, generator=draw(), trace=trace))
    assert (out == expected).all()
    assert (as_numpy(trace["embeddings"]) == expected).all()
    assert 0.2 < (out == 0).mean() < 0.4
