"""Chapter 7: from tokens to answers.

Input -> output: the class and the distillation token (batch, dim) -> logits (batch, num_labels).

A head is one linear map. What makes DeiT is that there are two: one reads the class token and was trained on the
labels, the other reads the distillation token and was trained on a teacher's decisions. The answer is their mean.

Source: Touvron et al. 2021, section 4 ("Classification with our approach: joint classifiers") and table 3.
"""

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from deit_ref.numpy_backend.activations import activate
from deit_ref.numpy_backend.layers import linear
from deit_ref.weights import Linear

Array: TypeAlias = np.ndarray[Any, Any]


def pooler(
    weights: Linear, cls_token: Float[Array, "batch dim"], *, activation: str
) -> Float[Array, "batch pooler_features"]:
    r"""A summary of the image: $\mathrm{act}(z_\text{cls} W^\top + b)$.

    DeiT was trained without one; transformers' DeiTModel has it for models that are trained further.

    Args:
        weights: (pooler_output_size, dim).
        cls_token: the class token after the last norm.
        activation: a name from `activations.ACTIVATIONS`; "tanh" in transformers.
    """
    return activate(linear(weights, cls_token), name=activation)


def classify(weights: Linear | None, token: Float[Array, "batch dim"]) -> Float[Array, "batch num_labels"]:
    r"""One score per class: $o = z W^\top + b$.

    Args:
        weights: (num_labels, dim); None (num_labels = 0) returns the token itself.
        token: the class or the distillation token after the last norm.
    """
    return token if weights is None else linear(weights, token)


def classify_with_teacher(
    head: Linear | None,
    head_dist: Linear | None,
    cls_token: Float[Array, "batch dim"],
    dist_token: Float[Array, "batch dim"],
) -> tuple[
    Float[Array, "batch num_labels"],
    Float[Array, "batch num_labels"],
    Float[Array, "batch num_labels"],
]:
    r"""Both heads and their mean: $o = \tfrac12 (o_\text{cls} + o_\text{dist})$.

    >>> one, ten = Linear(np.array([[1.0]])), Linear(np.array([[10.0]]))
    >>> [float(x[0, 0]) for x in classify_with_teacher(one, ten, np.array([[2.0]]), np.array([[3.0]]))]
    [16.0, 2.0, 30.0]

    Args:
        head: (num_labels, dim), for the class token.
        head_dist: (num_labels, dim), for the distillation token.
        cls_token, dist_token: after the last norm.

    Returns:
        logits, cls_logits, distillation_logits: always all three. The original returns the two in training and
        the mean otherwise.
    """
    cls_logits = classify(head, cls_token)
    distillation_logits = classify(head_dist, dist_token)
    return (cls_logits + distillation_logits) / 2, cls_logits, distillation_logits
