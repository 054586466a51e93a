"""Chapter 1, mirrored: the layers that everything else is made of."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Float

from deit_ref import checks
from deit_ref.weights import LayerNorm, Linear

Array: TypeAlias = torch.Tensor
Activation: TypeAlias = Callable[[Float[Array, "*batch"]], Float[Array, "*batch"]]


def linear(weights: Linear, x: Float[Array, "*batch in_features"]) -> Float[Array, "*batch out_features"]:
    """Mirror of numpy_backend.layers.linear."""
    return F.linear(x, weights.weight, weights.bias)


def layer_norm(weights: LayerNorm, x: Float[Array, "*batch dim"], *, eps: float) -> Float[Array, "*batch dim"]:
    """Mirror of numpy_backend.layers.layer_norm; half precision is normalized in float32 inside."""
    return F.layer_norm(x, x.shape[-1:], weights.weight, weights.bias, eps)


def softmax(x: Float[Array, "*batch scores"]) -> Float[Array, "*batch scores"]:
    """Mirror of numpy_backend.layers.softmax; half precision is computed in float32 and cast back."""
    return torch.softmax(x, dim=-1, dtype=torch.float32 if x.dtype.itemsize == 2 else x.dtype).to(x.dtype)


def dropout(
    x: Float[Array, "*shape"], *, probability: float, generator: torch.Generator | None
) -> Float[Array, "*shape"]:
    """Mirror of numpy_backend.layers.dropout; F.dropout knows only the global generator."""
    if generator is None or probability == 0:
        return x
    keep = torch.rand(x.shape, generator=generator, device=generator.device) >= probability
    return torch.where(keep.to(x.device), x / (1 - probability), 0)


def drop_path(
    x: Float[Array, "batch *rest"], *, probability: float, generator: torch.Generator | None
) -> Float[Array, "batch *rest"]:
    """Mirror of numpy_backend.layers.drop_path."""
    if generator is None or probability == 0:
        return x
    shape = (x.shape[0], *[1] * (x.ndim - 1))  # (batch, 1, ...)
    keep = torch.rand(shape, generator=generator, device=generator.device) >= probability
    return torch.where(keep.to(x.device), x / (1 - probability), 0)


def gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Mirror of numpy_backend.layers.gelu; torch has it in one kernel for every dtype."""
    return F.gelu(x)


def gelu_tanh(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Mirror of numpy_backend.layers.gelu_tanh."""
    return F.gelu(x, approximate="tanh")


def sigmoid(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Mirror of numpy_backend.layers.sigmoid."""
    return torch.sigmoid(x)


def softplus(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Mirror of numpy_backend.layers.softplus; F.softplus turns into x above 20, which logaddexp does not."""
    return torch.logaddexp(x, torch.zeros_like(x))


def selu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Mirror of numpy_backend.layers.selu."""
    return F.selu(x)


def laplace(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Mirror of numpy_backend.layers.laplace."""
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
    """Mirror of numpy_backend.layers.activate."""
    return ACTIVATIONS[checks.choice("activation", name, ACTIVATIONS)](x)
