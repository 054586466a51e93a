r"""Chapter 10, the way back: through the bends.

Input -> output: the gradient of an activation's result, of any shape -> of what it was given.

An activation works on each number by itself, so its Jacobian is a diagonal: back, each number is multiplied by the
slope at its place. Where the slope is 0, nothing comes through, and the weights before it do not learn from this token.

Source: see `numpy_backend.activations`.
"""

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from deit_ref import checks
from deit_ref.numpy_backend.activations import ACTIVATIONS, Activation, activate, gelu, sigmoid, softplus
from deit_ref.numpy_backend.backward.layers import Back

Array: TypeAlias = np.ndarray[Any, Any]


def gelu_vjp(x: Float[Array, "*shape"]) -> tuple[Float[Array, "*shape"], Back]:
    r"""$y = x \, \Phi(x)$, and back: $dx = dy \odot (\Phi(x) + x \, \phi(x))$, $\phi(x) = e^{-x^2/2} / \sqrt{2\pi}$.

    The product rule: $\phi$, the bell curve, is the slope of $\Phi$, and $\Phi$ itself is $y / x$.
    """
    y = gelu(x)

    def back(dy: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        share = np.divide(y, x, out=np.full_like(x, 0.5), where=x != 0)
        return dy * (share + x * np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi))

    return y, back


def _gelu_tanh_slope(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    root = math.sqrt(2 / math.pi)
    bend = np.tanh(root * (x + 0.044715 * x**3))
    return 0.5 * (1 + bend) + 0.5 * x * (1 - bend**2) * root * (1 + 3 * 0.044715 * x**2)


def _swish_slope(x: Float[Array, "*shape"], sharpness: float = 1.0) -> Float[Array, "*shape"]:
    share = sigmoid(sharpness * x)
    return share + sharpness * x * share * (1 - share)


def _mish_slope(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    bend = np.tanh(softplus(x))
    return bend + x * (1 - bend**2) * sigmoid(x)


def _sqrtsoftplus_slope(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    root = np.sqrt(softplus(x))
    return np.divide(0.5 * sigmoid(x), root, out=np.zeros_like(x), where=root > 0)  # far below 0 both are 0


# Each activation's slope; where it has none (relu at 0), the one that torch takes.
SLOPES: Mapping[str, Activation] = {
    "gelu_10": lambda x: gelu_vjp(x)[1]((np.abs(gelu(x)) <= 10).astype(x.dtype)),
    **dict.fromkeys(("gelu_accurate", "gelu_fast", "gelu_new"), _gelu_tanh_slope),
    **dict.fromkeys(("gelu_python_tanh", "gelu_pytorch_tanh"), _gelu_tanh_slope),
    "hardswish": lambda x: np.where(np.abs(x) < 3, x / 3 + 0.5, x >= 3),
    "laplace": lambda x: (
        np.exp(-(((x - 0.707107) / (0.282095 * math.sqrt(2))) ** 2)) / (0.282095 * math.sqrt(2 * math.pi))
    ),
    "leaky_relu": lambda x: np.where(x > 0, 1, 0.01),
    "linear": np.ones_like,
    "mish": _mish_slope,
    "quick_gelu": lambda x: _swish_slope(x, 1.702),
    "relu": lambda x: x > 0,
    "relu2": lambda x: 2 * np.maximum(x, 0),
    "relu6": lambda x: (x > 0) & (x < 6),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, 1, 1.6732632423543772 * np.exp(np.minimum(x, 0))),
    "sigmoid": lambda x: sigmoid(x) * (1 - sigmoid(x)),
    "silu": _swish_slope,
    "sqrtsoftplus": _sqrtsoftplus_slope,
    "swish": _swish_slope,
    "tanh": lambda x: 1 - np.tanh(x) ** 2,
}


def activate_vjp(x: Float[Array, "*shape"], *, name: str) -> tuple[Float[Array, "*shape"], Back]:
    r"""$y = \mathrm{act}(x)$, entry by entry, and back: $dx = dy \odot \mathrm{act}'(x)$, by the slopes in `SLOPES`.

    Args:
        x: any shape.
        name: of the activation, from `ACTIVATIONS`.
    """
    if ACTIVATIONS[checks.choice("activation", name, ACTIVATIONS)] is gelu:
        return gelu_vjp(x)

    def back(dy: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return dy * SLOPES[name](x).astype(x.dtype)

    return activate(x, name=name), back
