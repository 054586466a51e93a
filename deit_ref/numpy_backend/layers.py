"""Chapter 4: the layers that everything else is made of.

Input -> output: arrays of any leading shape, features on the last axis -> the same leading shape.

A transformer needs few parts: a matrix product (`linear`), a way to keep numbers in a good range (`layer_norm`), a way
to turn scores into shares (`softmax`), and a bend between two products, without which they would be only one. The bends
are in `activations`.

Source: Vaswani et al. 2017 (softmax), Ba et al. 2016 (layer norm), Huang et al. 2016 and drop_path in timm (stochastic
depth).
"""

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from deit_ref.weights import LayerNorm, Linear

Array: TypeAlias = np.ndarray[Any, Any]


def linear(weights: Linear, x: Float[Array, "*batch in_features"]) -> Float[Array, "*batch out_features"]:
    r"""A matrix product and a shift: $y = x W^\top + b$.

    Args:
        weights: weight (out_features, in_features); bias (out_features,) or None.
    """
    rows = x.reshape(-1, x.shape[-1])  # (rows, in_features): one large product is fastest
    y = rows @ weights.weight.T  # (rows, out_features)
    if weights.bias is not None:
        y += weights.bias
    return y.reshape(*x.shape[:-1], -1)  # (*batch, out_features)


def layer_norm(weights: LayerNorm, x: Float[Array, "*batch dim"], *, eps: float) -> Float[Array, "*batch dim"]:
    r"""Give every token mean 0 and variance 1, then scale and shift each feature.

    $$y = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} \odot \gamma + \beta,$$

    with $\mu$ and $\sigma^2$ (divided by dim, not dim - 1) taken over one token's own features.

    Args:
        weights: weight $\gamma$ and bias $\beta$, (dim,) each.
        eps: no default, because the sources disagree: 1e-12 in transformers' checkpoints, 1e-6 in the original
            repository and timm. On a token whose features are all alike, this choice is the whole result.
    """
    centered = x - x.mean(axis=-1, keepdims=True)
    variance = np.square(centered).mean(axis=-1, keepdims=True)  # (*batch, 1)
    centered /= np.sqrt(variance + eps)
    centered *= weights.weight
    centered += weights.bias
    return centered


def softmax(x: Float[Array, "*batch scores"]) -> Float[Array, "*batch scores"]:
    r"""Turn scores into shares that are positive and sum to 1: $p_i = e^{x_i} / \sum_j e^{x_j}$.

    Subtracting the largest score first changes nothing in the formula (it cancels) and keeps $e^x$ finite.

    >>> softmax(np.array([1000.0, 1000.0 + np.log(3.0)])).round(6).tolist()
    [0.25, 0.75]
    """
    powers = x - x.max(axis=-1, keepdims=True)
    np.exp(powers, out=powers)
    powers /= powers.sum(axis=-1, keepdims=True)
    return powers


def dropout(
    x: Float[Array, "*shape"], *, probability: float, generator: np.random.Generator | None
) -> Float[Array, "*shape"]:
    """Set entries to 0 with the given probability and scale the others up, so that the mean stays.

    Args:
        probability: in [0, 1).
        generator: where the chance comes from; None means inference: x comes back unchanged.
    """
    if generator is None or probability == 0:
        return x
    keep = generator.random(x.shape, dtype=np.float32) >= probability
    return np.where(keep, x / (1 - probability), 0).astype(x.dtype)


def drop_path(
    x: Float[Array, "batch *rest"], *, probability: float, generator: np.random.Generator | None
) -> Float[Array, "batch *rest"]:
    """Dropout of whole samples (stochastic depth): one draw for each; probability and generator as in `dropout`."""
    if generator is None or probability == 0:
        return x
    keep = generator.random((len(x), *[1] * (x.ndim - 1)), dtype=np.float32) >= probability  # (batch, 1, ...)
    return np.where(keep, x / (1 - probability), 0).astype(x.dtype)
