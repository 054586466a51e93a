"""Chapter 8: the encoder, the same block twelve times over.

Input -> output: tokens (batch, tokens, dim) -> tokens (batch, tokens, dim).

A block has two branches: attention, where tokens talk to each other, and the mlp, where each token thinks for
itself. Both read a normalized copy and add their result to the token ("pre-norm"), so that a straight path leads
from the first layer to the last.

Source: Dosovitskiy et al. 2021, equations 2 to 4; Block in timm. No layer scale; stochastic depth is training's.
"""

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from deit_ref.config import DeiTConfig
from deit_ref.numpy_backend.attention import multi_head_attention
from deit_ref.numpy_backend.layers import activate, dropout, layer_norm, linear
from deit_ref.trace import Trace, record, scope
from deit_ref.weights import Block, DeiTWeights, Mlp

Array: TypeAlias = np.ndarray[Any, Any]


def mlp(
    weights: Mlp, x: Float[Array, "batch tokens dim"], *, activation: str, trace: Trace | None = None
) -> Float[Array, "batch tokens dim"]:
    r"""Widen each token, bend, and narrow it again: $\mathrm{fc2}(\sigma(\mathrm{fc1}(x)))$.

    Args:
        weights: fc1 (intermediate_size, dim) and fc2 (dim, intermediate_size); four times dim in DeiT.
        x: tokens, normalized.
        activation: a name from `layers.ACTIVATIONS`; "gelu" in DeiT.
        trace: records fc1, activation and fc2.
    """
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
    generator: np.random.Generator | None = None,
    trace: Trace | None = None,
) -> Float[Array, "batch tokens dim"]:
    r"""One block: $z' = z + \mathrm{MHA}(\mathrm{LN}(z))$, then $z'' = z' + \mathrm{MLP}(\mathrm{LN}(z'))$.

    Args:
        weights: norm1, attn, norm2, mlp.
        x: tokens.
        config: num_attention_heads, layer_norm_eps, hidden_act and the two dropout probabilities.
        head_mask, attention_mask: see `attention.scaled_dot_product_attention`.
        generator: for dropout; None means none.
        trace: records norm1, attention.*, norm2, mlp.* and output.
    """
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
    x = x + dropout(branch, probability=config.hidden_dropout_prob, generator=generator)
    normed = record(trace, "norm2", layer_norm(weights.norm2, x, eps=config.layer_norm_eps))
    branch = mlp(weights.mlp, normed, activation=config.hidden_act, trace=scope(trace, "mlp"))
    x = x + dropout(branch, probability=config.hidden_dropout_prob, generator=generator)
    return record(trace, "output", x)  # (batch, tokens, dim)


def encoder(
    weights: DeiTWeights,
    x: Float[Array, "batch tokens dim"],
    *,
    head_mask: Float[Array, "layers heads"] | None = None,
    attention_mask: Bool[Array, "batch tokens"] | None = None,
    generator: np.random.Generator | None = None,
    trace: Trace | None = None,
) -> Float[Array, "batch tokens dim"]:
    """All blocks one after the other, then the last layer norm.

    Args:
        weights: blocks and norm are used, and config.
        x: embeddings.
        head_mask: one row per layer.
        attention_mask: for all layers.
        generator: for dropout; None means none.
        trace: records blocks.<i>.* and norm.
    """
    for i, block in enumerate(weights.blocks):
        x = encoder_block(
            block,
            x,
            config=weights.config,
            head_mask=None if head_mask is None else head_mask[i],
            attention_mask=attention_mask,
            generator=generator,
            trace=scope(trace, f"blocks.{i}"),
        )
    return record(trace, "norm", layer_norm(weights.norm, x, eps=weights.config.layer_norm_eps))
