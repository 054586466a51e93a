"""Chapter 17: the bends between two products.

Input -> output: an array of any shape -> the same shape, each number by itself.

DeiT has one, `gelu`. This file holds its definition, a form of it that is as exact in float32 and several times as
fast, and what other configurations name.

Source: Hendrycks & Gimpel 2016 (GELU); transformers' table of activations for their names.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from deit_ref import checks

Array: TypeAlias = np.ndarray[Any, Any]
Activation: TypeAlias = Callable[[Float[Array, "*batch"]], Float[Array, "*batch"]]


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


# P of `_gelu_float32`, from the constant term up, as `python -m deit_ref.benchmark.gelu` fits it.
_LOGIT_PHI = (
    1.59576854,
    0.0726682984,
    -6.60535074e-05,
    -0.000110546742,
    7.94813719e-06,
    -2.67566129e-07,
    3.6278485e-09,
)
_BLOCK = 65536  # entries: this many temporaries stay in the processor's cache


def _gelu_float32(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    r"""GELU through a logistic function: $\Phi(x) \approx 1 / (1 + e^{-x \, \mathrm{poly}(x^2)})$.

    Every $\Phi$ can be written so, because $\log(\Phi(x) / \Phi(-x))$ is odd in x; poly is fitted to it over x.
    With two terms, 1.5958 and 0.0714, this is the well-known tanh approximation. Seven terms, fitted for the smallest
    error, bring it to 7e-8, so that what remains (6e-7 in all, tested) is the rounding of float32 itself.
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
    r"""$1.0507 \, x$ above 0, $1.0507 \cdot 1.6733 \, (e^x - 1)$ below. Source: Klambauer et al. 2017."""
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
