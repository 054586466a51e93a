"""Chapter 6: the encoder, twelve blocks of one shape.

Input -> output: tokens (batch, tokens, dim) -> tokens (batch, tokens, dim).

A block has two branches: attention, where tokens talk to each other, and the mlp, where each token thinks for
itself. Both read a normalized copy and add their result to the token ("pre-norm"), so that a straight path leads
from the first layer to the last.

Source: Dosovitskiy et al. 2021, equations 2 to 4; Block in timm. No layer scale.
"""

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from deit_ref import checks
from deit_ref.config import DeiTConfig
from deit_ref.numpy_backend.activations import activate
from deit_ref.numpy_backend.attention import multi_head_attention
from deit_ref.numpy_backend.layers import drop_path, dropout, layer_norm, linear
from deit_ref.trace import Trace, record, scope
from deit_ref.weights import Block, DeiTWeights, Mlp

Array: TypeAlias = np.ndarray[Any, Any]


def mlp(
    weights: Mlp, x: Float[Array, "batch tokens dim"], *, activation: str, trace: Trace | None = None
) -> Float[Array, "batch tokens dim"]:
    r"""Widen each token, bend, and narrow it again: $\mathrm{act}(x W_1^\top + b_1) \, W_2^\top + b_2$.

    Args:
        weights: fc1 (intermediate_size, dim) and fc2 (dim, intermediate_size); four times dim in DeiT.
        x: tokens, normalized.
        activation: a name from `activations.ACTIVATIONS`; "gelu" in DeiT.
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
    drop_path_probability: float = 0.0,
    generator: np.random.Generator | None = None,
    trace: Trace | None = None,
) -> Float[Array, "batch tokens dim"]:
    r"""One block: $z' = z + \mathrm{MHA}(\mathrm{LN}(z))$, then $z'' = z' + \mathrm{MLP}(\mathrm{LN}(z'))$.

    Args:
        weights: norm1, attn, norm2, mlp.
        x: tokens.
        config: num_attention_heads, layer_norm_eps, hidden_act and the two dropout probabilities.
        head_mask, attention_mask: see `attention.scaled_dot_product_attention`.
        drop_path_probability: of leaving a branch out, for each sample and branch on its own; see `layers.drop_path`.
        generator: for dropout and drop_path; None means neither.
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
    generator: np.random.Generator | None = None,
    trace: Trace | None = None,
) -> Float[Array, "batch tokens dim"]:
    """All blocks one after the other, then the last layer norm.

    In training, stochastic depth leaves single branches out at random: a shallower network each time, whose parts
    cannot rely on one another.

    Args:
        weights: blocks and norm are used, and config.
        x: embeddings.
        head_mask: one row per layer.
        attention_mask: for all layers.
        drop_path: in [0, 1), the last block's probability of leaving a branch out. Earlier blocks are safer: the
            probability grows from 0 in the first block in equal steps, as early features are used by all the rest.
        generator: for dropout and drop_path; None means neither.
        trace: records blocks.<i>.* and norm.

    Raises:
        ValueError: drop_path outside [0, 1).

    Source: Huang et al. 2016, section 3 (stochastic depth); timm's linear schedule.
    """
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
