"""Chapter 10, the way back: from the answers.

Input -> output: the gradient of the logits (batch, num_labels) -> of the heads, and of the tokens that they read.

The mean of two heads gives half of its gradient to each: here the two tokens of DeiT part, and each learns from its
own head.

Source: see `numpy_backend.heads`.
"""

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from deit_ref.numpy_backend.backward.activations import activate_vjp
from deit_ref.numpy_backend.backward.layers import Back, linear_vjp
from deit_ref.trace import Trace, record
from deit_ref.weights import Linear

Array: TypeAlias = np.ndarray[Any, Any]


def pooler_vjp(
    weights: Linear, cls_token: Float[Array, "batch dim"], *, activation: str
) -> tuple[Float[Array, "batch pooler_features"], Back]:
    r"""$\mathrm{act}(z_\text{cls} W^\top + b)$, and back through the bend and the product.

    Args:
        weights, cls_token, activation: as in the forward function.
    """
    summary, back_linear = linear_vjp(weights, cls_token)
    bent, back_activation = activate_vjp(summary, name=activation)

    def back(dy: Float[Array, "batch pooler_features"]) -> tuple[Linear, Float[Array, "batch dim"]]:
        dweights, dcls_token = back_linear(back_activation(dy))
        return dweights, dcls_token

    return bent, back


def classify_vjp(
    weights: Linear | None, token: Float[Array, "batch dim"]
) -> tuple[Float[Array, "batch num_labels"], Back]:
    r"""$z W^\top + b$, and back as any `linear`; without weights the token's gradient is that of the logits.

    Args:
        weights, token: as in the forward function.
    """
    if weights is not None:
        return linear_vjp(weights, token)

    def back(dlogits: Float[Array, "batch dim"]) -> tuple[None, Float[Array, "batch dim"]]:
        return None, dlogits

    return token, back


def classify_with_teacher_vjp(
    head: Linear | None,
    head_dist: Linear | None,
    cls_token: Float[Array, "batch dim"],
    dist_token: Float[Array, "batch dim"],
) -> tuple[
    tuple[
        Float[Array, "batch num_labels"],
        Float[Array, "batch num_labels"],
        Float[Array, "batch num_labels"],
    ],
    Back,
]:
    r"""Both heads and their mean, and back: each head gets its own gradient and half of the mean's.

    Args:
        head, head_dist, cls_token, dist_token: as in the forward function.

    Returns:
        (logits, cls_logits, distillation_logits), and `back(dlogits, dcls_logits, ddistillation_logits, trace=None)`,
        which returns the gradients of the four arguments, and records those of the logits, the mean's share added.
    """
    cls_logits, back_cls = classify_vjp(head, cls_token)
    distillation_logits, back_dist = classify_vjp(head_dist, dist_token)

    def back(
        dlogits: Float[Array, "batch num_labels"],
        dcls_logits: Float[Array, "batch num_labels"],
        ddistillation_logits: Float[Array, "batch num_labels"],
        trace: Trace | None = None,
    ) -> tuple[Linear | None, Linear | None, Float[Array, "batch dim"], Float[Array, "batch dim"]]:
        record(trace, "logits", dlogits)
        dhead_dist, ddist_token = back_dist(record(trace, "distillation_logits", ddistillation_logits + dlogits / 2))
        dhead, dcls_token = back_cls(record(trace, "cls_logits", dcls_logits + dlogits / 2))
        return dhead, dhead_dist, dcls_token, ddist_token

    return ((cls_logits + distillation_logits) / 2, cls_logits, distillation_logits), back
