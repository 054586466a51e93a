"""Chapter 4, mirrored: the layers that everything else is made of."""

from typing import TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Float

from deit_ref.weights import LayerNorm, Linear

Array: TypeAlias = torch.Tensor


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
