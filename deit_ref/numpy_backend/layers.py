"""Chapter 1: the layers that everything else is made of.

Input -> output: arrays of any leading shape, features on the last axis -> the same leading shape.

A transformer needs few parts: a matrix product (`linear`), a way to keep numbers in a good range (`layer_norm`) and
to turn scores into shares (`softmax`), and one bend between two products, without which they would be one (`gelu`).

Source: Vaswani et al. 2017 (softmax), Ba et al. 2016 (layer norm), Hendrycks & Gimpel 2016 (GELU), Huang et al. 2016
and drop_path in timm (stochastic depth).
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from deit_ref import checks
from deit_ref.weights import LayerNorm, Linear

Array: TypeAlias = np.ndarray[Any, Any]
Activation: TypeAlias = Callable[[Float[Array, "*batch"]], Float[Array, "*batch"]]


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


def gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    r"""x, weighted by the share of a normal distribution that lies below it.

    $$\mathrm{GELU}(x) = x \, \Phi(x), \qquad \Phi(x) = \tfrac12 \left(1 + \mathrm{erf}(x / \sqrt 2)\right)$$

    float64 follows the definition. float32 uses `_gelu_float32`, the same function to the last digits of float32
    and several times as fast. Neither is the "tanh approximation" (`gelu_tanh`), which is off by up to 4.7e-4.
    """
    if x.dtype == np.float32:
        return _gelu_float32(x)
    from scipy.special import erf

    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


# P of `_gelu_float32`, from the constant term up: a minimax fit (weighted least squares, reweighted by the error
# until it is level) of P(x^2) = log(Phi(x) / Phi(-x)) / x for |x| <= 6, with the error of x Phi(x) as the measure.
_LOGIT_PHI = (1.59576845, 0.0726685673, -6.62600141e-05, -0.000110480309, 7.938218e-06, -2.66892755e-07, 3.61123154e-09)
_BLOCK = 65536  # entries: this many temporaries stay in the processor's cache


def _gelu_float32(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    r"""GELU through a logistic function: $\Phi(x) \approx 1 / (1 + e^{-x P(x^2)})$.

    Every $\Phi$ can be written so, because $\log(\Phi(x) / \Phi(-x))$ is odd in x; P is its Taylor-like polynomial.
    Cut after two terms, with 0.0713 for the second, it is the well-known tanh approximation. Seven terms bring the
    error to 7e-8, so that what remains (6e-7 in all, tested) is the rounding of float32 itself.
    """
    y = np.empty(x.size, x.dtype)
    with np.errstate(over="ignore"):  # e^(large) = inf gives the right limit, x / inf = 0
        for start in range(0, x.size, _BLOCK):
            block = x.reshape(-1)[start : start + _BLOCK]
            square = block * block
            power = square * _LOGIT_PHI[-1] + _LOGIT_PHI[-2]
            for coefficient in _LOGIT_PHI[-3::-1]:
                power *= square
                power += coefficient
            power *= -block
            np.exp(power, out=power)
            power += 1
            np.divide(block, power, out=y[start : start + _BLOCK])
    return y.reshape(x.shape)


def gelu_tanh(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    r"""The approximation $\tfrac12 x (1 + \tanh(\sqrt{2/\pi} \, (x + 0.044715 x^3)))$; DeiT does not use it."""
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def sigmoid(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    r"""$1 / (1 + e^{-x})$, without overflow."""
    from scipy.special import expit

    return expit(x)


def softplus(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    r"""$\log(1 + e^x)$, without overflow."""
    return np.logaddexp(x, x.dtype.type(0))


def selu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    r"""$\lambda x$ above 0, $\lambda \alpha (e^x - 1)$ below. Source: Klambauer et al. 2017."""
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    return scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def laplace(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    r"""$\tfrac12 (1 + \mathrm{erf}((x - 0.707107) / (0.282095 \sqrt 2)))$. Source: Ma et al. 2022."""
    from scipy.special import erf

    return 0.5 * (1 + erf((x - 0.707107) / (0.282095 * math.sqrt(2))))


# The names of transformers' ACT2FN, and selu, which its documentation names and its code refuses.
ACTIVATIONS: Mapping[str, Activation] = {
    "gelu": gelu,
    "gelu_10": lambda x: np.clip(gelu(x), -10, 10),
    **dict.fromkeys(("gelu_accurate", "gelu_fast", "gelu_new"), gelu_tanh),
    "gelu_python": gelu,
    **dict.fromkeys(("gelu_python_tanh", "gelu_pytorch_tanh"), gelu_tanh),
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "laplace": laplace,
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "linear": lambda x: x,
    "mish": lambda x: x * np.tanh(softplus(x)),
    "quick_gelu": lambda x: x * sigmoid(1.702 * x),
    "relu": lambda x: np.maximum(x, 0),
    "relu2": lambda x: np.maximum(x, 0) ** 2,
    "relu6": lambda x: np.clip(x, 0, 6),
    "selu": selu,
    "sigmoid": sigmoid,
    "silu": lambda x: x * sigmoid(x),
    "sqrtsoftplus": lambda x: np.sqrt(softplus(x)),
    "swish": lambda x: x * sigmoid(x),
    "tanh": np.tanh,
}


def activate(x: Float[Array, "*shape"], *, name: str) -> Float[Array, "*shape"]:
    """The activation of that name from `ACTIVATIONS`; another name is a ValueError that lists them."""
    return ACTIVATIONS[checks.choice("activation", name, ACTIVATIONS)](x)
