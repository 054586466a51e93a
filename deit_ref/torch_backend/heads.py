"""Chapter 7, mirrored: from tokens to answers."""

from typing import TypeAlias

import torch
from jaxtyping import Float

from deit_ref.torch_backend.activations import activate
from deit_ref.torch_backend.layers import linear
from deit_ref.weights import Linear

Array: TypeAlias = torch.Tensor


def pooler(
    weights: Linear, cls_token: Float[Array, "batch dim"], *, activation: str
) -> Float[Array, "batch pooler_features"]:
    """Mirror of numpy_backend.heads.pooler."""
    return activate(linear(weights, cls_token), name=activation)


def classify(weights: Linear | None, token: Float[Array, "batch dim"]) -> Float[Array, "batch num_labels"]:
    """Mirror of numpy_backend.heads.classify."""
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
    """Mirror of numpy_backend.heads.classify_with_teacher."""
    cls_logits = classify(head, cls_token)
    distillation_logits = classify(head_dist, dist_token)
    return (cls_logits + distillation_logits) / 2, cls_logits, distillation_logits
