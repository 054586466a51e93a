"""Chapter 7: pooler, classify, classify_with_teacher."""

import numpy as np
import pytest
from both import BACKENDS, array, chapter

from deit_ref.arrays import as_numpy
from deit_ref.weights import Linear

both_backends = pytest.mark.parametrize("backend", BACKENDS)


@both_backends
def test_pooler_by_hand(backend):
    weights = Linear(array(backend, [[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]), array(backend, [0.0, 0.0, 1.0]))
    pooler, token = chapter(backend, "heads").pooler, array(backend, [[0.5, -0.25]])
    np.testing.assert_allclose(as_numpy(pooler(weights, token, activation="tanh")), np.tanh([[0.5, -0.5, 1.25]]), 1e-6)
    assert as_numpy(pooler(weights, token, activation="relu")).tolist() == [[0.5, 0, 1.25]]


@both_backends
def test_each_head_reads_its_own_token(backend):
    head = Linear(array(backend, [[1.0], [2.0]]), array(backend, [0.0, 0.0]))
    head_dist = Linear(array(backend, [[10.0], [20.0]]), array(backend, [1.0, 1.0]))
    logits, cls_logits, distillation_logits = chapter(backend, "heads").classify_with_teacher(
        head, head_dist, array(backend, [[1.0]]), array(backend, [[3.0]])
    )
    assert as_numpy(cls_logits).tolist() == [[1, 2]]
    assert as_numpy(distillation_logits).tolist() == [[31, 61]]
    assert as_numpy(logits).tolist() == [[16, 31.5]]


@both_backends
def test_no_labels_means_no_head(backend):
    token = array(backend, [[1.0, 2.0]])
    assert chapter(backend, "heads").classify(None, token) is token
