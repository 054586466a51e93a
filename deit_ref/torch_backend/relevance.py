"""Chapter 14, mirrored: what a decision rests on."""

from collections.abc import Sequence
from typing import TypeAlias

import torch
from jaxtyping import Float

Array: TypeAlias = torch.Tensor


def saliency(dpixel_values: Float[Array, "batch channels height width"]) -> Float[Array, "batch height width"]:
    """Mirror of numpy_backend.backward.relevance.saliency."""
    return dpixel_values.abs().amax(dim=1)


def attention_relevance(
    attentions: Sequence[Float[Array, "batch heads tokens tokens"]],
    dattentions: Sequence[Float[Array, "batch heads tokens tokens"]],
) -> Float[Array, "batch tokens tokens"]:
    """Mirror of numpy_backend.backward.relevance.attention_relevance."""
    if len(attentions) == 0 or len(attentions) != len(dattentions):
        raise ValueError(
            "attention_relevance needs the attentions of at least one layer and a gradient for each, got "
            f"{len(attentions)} and {len(dattentions)}: ask gradients for with_respect_to=('attentions',)."
        )
    first = attentions[0]
    relevance = torch.eye(first.shape[-1], dtype=first.dtype, device=first.device).expand(first.shape[0], -1, -1)
    for attention, dattention in zip(attentions, dattentions, strict=True):
        gained = (attention * dattention).clamp(min=0).mean(dim=1)  # (batch, tokens, tokens)
        relevance = relevance + gained @ relevance
    return relevance


def head_importance(
    attentions: Sequence[Float[Array, "batch heads tokens tokens"]],
    dattentions: Sequence[Float[Array, "batch heads tokens tokens"]],
) -> Float[Array, "layers heads"]:
    """Mirror of numpy_backend.backward.relevance.head_importance."""
    if len(attentions) == 0 or len(attentions) != len(dattentions):
        raise ValueError(
            "head_importance needs the attentions of at least one layer and a gradient for each, got "
            f"{len(attentions)} and {len(dattentions)}: ask gradients for with_respect_to=('attentions',)."
        )
    each = [(a * d).sum(dim=(2, 3)) for a, d in zip(attentions, dattentions, strict=True)]
    return torch.stack(each).abs().mean(dim=1)  # (blocks, heads)
