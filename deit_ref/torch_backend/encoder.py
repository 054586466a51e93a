"""Chapter 6, mirrored: the encoder, twelve blocks of one shape."""

from typing import TypeAlias

import torch
from jaxtyping import Bool, Float

from deit_ref import checks
from deit_ref.config import DeiTConfig
from deit_ref.torch_backend.activations import activate
from deit_ref.torch_backend.attention import multi_head_attention
from deit_ref.torch_backend.layers import drop_path, dropout, layer_norm, linear
from deit_ref.trace import Trace, record, scope
from deit_ref.weights import Block, DeiTWeights, Mlp

Array: TypeAlias = torch.Tensor


def mlp(
    weights: Mlp, x: Float[Array, "batch tokens dim"], *, activation: str, trace: Trace | None = None
) -> Float[Array, "batch tokens dim"]:
    """Mirror of numpy_backend.encoder.mlp."""
    hidden = record(trace, "fc1", linear(weights.fc1, x))  # (batch, tokens, intermediate)
    hidden = record(trace, "activation", activate(hidden, name=activation))
    return record(trace, "fc2", linear(weights.fc2, hidden))  # (batch, tokens, dim)


def encoder_block(
    weights: Block,
    x: Float[Array, "batch tokens dim"],
    *,
    config: DeiTConfig,
    head_mask: Float[Array, "heads"] | None = None,
    attention_mask: Bool[Array, "batch tokens"] | None = None,
    drop_path_probability: float = 0.0,
    generator: torch.Generator | None = None,
    trace: Trace | None = None,
) -> Float[Array, "batch tokens dim"]:
    """Mirror of numpy_backend.encoder.encoder_block."""
    normed = record(trace, "norm1", layer_norm(weights.norm1, x, eps=config.layer_norm_eps))
    branch = multi_head_attention(
        weights.attn,
        normed,
        num_heads=config.num_attention_heads,
        head_mask=head_mask,
        attention_mask=attention_mask,
        dropout_probability=config.attention_probs_dropout_prob,
        generator=generator,
        trace=scope(trace, "attention"),
    )
    branch = dropout(branch, probability=config.hidden_dropout_prob, generator=generator)
    x = x + drop_path(branch, probability=drop_path_probability, generator=generator)
    normed = record(trace, "norm2", layer_norm(weights.norm2, x, eps=config.layer_norm_eps))
    branch = mlp(weights.mlp, normed, activation=config.hidden_act, trace=scope(trace, "mlp"))
    branch = dropout(branch, probability=config.hidden_dropout_prob, generator=generator)
    x = x + drop_path(branch, probability=drop_path_probability, generator=generator)
    return record(trace, "output", x)  # (batch, tokens, dim)


def encoder(
    weights: DeiTWeights,
    x: Float[Array, "batch tokens dim"],
    *,
    head_mask: Float[Array, "layers heads"] | None = None,
    attention_mask: Bool[Array, "batch tokens"] | None = None,
    drop_path: float = 0.0,
    generator: torch.Generator | None = None,
    trace: Trace | None = None,
) -> Float[Array, "batch tokens dim"]:
    """Mirror of numpy_backend.encoder.encoder."""
    checks.number("drop_path", drop_path, low=0, high=1)
    for i, block in enumerate(weights.blocks):
        x = encoder_block(
            block,
            x,
            config=weights.config,
            head_mask=None if head_mask is None else head_mask[i],
            attention_mask=attention_mask,
            drop_path_probability=drop_path * i / max(len(weights.blocks) - 1, 1),
            generator=generator,
            trace=scope(trace, f"blocks.{i}"),
        )
    return record(trace, "norm", layer_norm(weights.norm, x, eps=weights.config.layer_norm_eps))
