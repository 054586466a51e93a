"""Chapter 17, mirrored: the bends between two products."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Float

from deit_ref import checks

Array: TypeAlias = torch.Tensor
Activation: TypeAlias = Callable[[Float[Array, "*batch"]], Float[Array, "*batch"]]


def gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Mirror of numpy_backend.activations.gelu; torch has it in one kernel for every dtype."""
    return F.gelu(x)


def gelu_tanh(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Mirror of numpy_backend.activations.gelu_tanh."""
    return F.gelu(x, approximate="tanh")


def sigmoid(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Mirror of numpy_backend.activations.sigmoid."""
    return torch.sigmoid(x)


def softplus(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Mirror of numpy_backend.activations.softplus; F.softplus turns into x above 20, which logaddexp does not."""
    return torch.logaddexp(x, torch.zeros_like(x))


def selu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Mirror of numpy_backend.activations.selu."""
    return F.selu(x)


def laplace(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Mirror of numpy_backend.activations.laplace."""
    return 0.5 * (1 + torch.erf((x - 0.707107) / (0.282095 * 2**0.5)))


ACTIVATIONS: Mapping[str, Activation] = {
    "gelu": gelu,
    "gelu_10": lambda x: gelu(x).clamp(-10, 10),
    "gelu_accurate": gelu_tanh,
    "gelu_fast": gelu_tanh,
    "gelu_new": gelu_tanh,
    "gelu_python": gelu,
    "gelu_python_tanh": gelu_tanh,
    "gelu_pytorch_tanh": gelu_tanh,
    "hardswish": F.hardswish,
    "laplace": laplace,
    "leaky_relu": partial(F.leaky_relu, negative_slope=0.01),
    "linear": lambda x: x,
    "mish": lambda x: x * torch.tanh(softplus(x)),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "relu": F.relu,
    "relu2": lambda x: F.relu(x).square(),
    "relu6": F.relu6,
    "selu": selu,
    "sigmoid": sigmoid,
    "silu": F.silu,
    "sqrtsoftplus": lambda x: softplus(x).sqrt(),
    "swish": F.silu,
    "tanh": torch.tanh,
}


def activate(x: Float[Array, "*shape"], *, name: str) -> Float[Array, "*shape"]:
    """Mirror of numpy_backend.activations.activate."""
    return ACTIVATIONS[checks.choice("activation", name, ACTIVATIONS)](x)
