"""Chapter 10, the way back: through the encoder.

Input -> output: the gradient of the last tokens (batch, tokens, dim) -> of the blocks and the norm, and of the first.

A block computes x + branch(x). Back, the gradient takes both ways: unchanged along the residual path, and through the
branch; where the ways meet again, the two are added. The path without a branch leads from the last block's end to the
first block without a single product, so that gradients neither fade nor grow on it, however many blocks there are.
That is why deep transformers can be trained.

Source: see `numpy_backend.encoder`; He et al. 2016 for the residual path.
"""

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from deit_ref import checks
from deit_ref.config import DeiTConfig
from deit_ref.numpy_backend.backward.activations import activate_vjp
from deit_ref.numpy_backend.backward.attention import multi_head_attention_vjp
from deit_ref.numpy_backend.backward.layers import (
    Back,
    drop_path_vjp,
    dropout_vjp,
    layer_norm_vjp,
    linear_vjp,
)
from deit_ref.trace import Trace, record, scope
from deit_ref.weights import Block, DeiTWeights, Mlp

Array: TypeAlias = np.ndarray[Any, Any]


def mlp_vjp(
    weights: Mlp, x: Float[Array, "batch tokens dim"], *, activation: str, trace: Trace | None = None
) -> tuple[Float[Array, "batch tokens dim"], Back]:
    r"""$\mathrm{fc2}(\mathrm{act}(\mathrm{fc1}(x)))$, and back through fc2, the bend and fc1.

    Args:
        weights, x, activation, trace: as in the forward function.

    Returns:
        The value, and `back(dy, trace=None)`, which returns the gradients of weights and x.
    """
    hidden, back_fc1 = linear_vjp(weights.fc1, x)
    bent, back_activation = activate_vjp(record(trace, "fc1", hidden), name=activation)
    y, back_fc2 = linear_vjp(weights.fc2, record(trace, "activation", bent))

    def back(
        dy: Float[Array, "batch tokens dim"], trace: Trace | None = None
    ) -> tuple[Mlp, Float[Array, "batch tokens dim"]]:
        dfc2, dbent = back_fc2(record(trace, "fc2", dy))
        dhidden = back_activation(record(trace, "activation", dbent))
        dfc1, dx = back_fc1(record(trace, "fc1", dhidden))
        return Mlp(dfc1, dfc2), dx

    return record(trace, "fc2", y), back


def encoder_block_vjp(
    weights: Block,
    x: Float[Array, "batch tokens dim"],
    *,
    config: DeiTConfig,
    head_mask: Float[Array, "heads"] | None = None,
    attention_mask: Bool[Array, "batch tokens"] | None = None,
    drop_path_probability: float = 0.0,
    generator: np.random.Generator | None = None,
    trace: Trace | None = None,
) -> tuple[Float[Array, "batch tokens dim"], Back]:
    r"""$z' = z + \mathrm{MHA}(\mathrm{LN}(z))$, then $z'' = z' + \mathrm{MLP}(\mathrm{LN}(z'))$, and back:

    $$dz' = dz'' + \mathrm{back}_\mathrm{LN}(\mathrm{back}_\mathrm{MLP}(dz'')), \qquad
      dz = dz' + \mathrm{back}_\mathrm{LN}(\mathrm{back}_\mathrm{MHA}(dz'))$$

    Args:
        weights, x, config, head_mask, attention_mask, drop_path_probability, generator, trace: as in the forward
            function.

    Returns:
        The value, and `back(dx, trace=None)`, which returns the gradients of weights, x and head_mask (None without
        one).
    """
    normed, back_norm1 = layer_norm_vjp(weights.norm1, x, eps=config.layer_norm_eps)
    branch, back_attention = multi_head_attention_vjp(
        weights.attn,
        record(trace, "norm1", normed),
        num_heads=config.num_attention_heads,
        head_mask=head_mask,
        attention_mask=attention_mask,
        dropout_probability=config.attention_probs_dropout_prob,
        generator=generator,
        trace=scope(trace, "attention"),
    )
    branch, back_dropout1 = dropout_vjp(branch, probability=config.hidden_dropout_prob, generator=generator)
    branch, back_path1 = drop_path_vjp(branch, probability=drop_path_probability, generator=generator)
    x = x + branch
    normed, back_norm2 = layer_norm_vjp(weights.norm2, x, eps=config.layer_norm_eps)
    branch, back_mlp = mlp_vjp(
        weights.mlp, record(trace, "norm2", normed), activation=config.hidden_act, trace=scope(trace, "mlp")
    )
    branch, back_dropout2 = dropout_vjp(branch, probability=config.hidden_dropout_prob, generator=generator)
    branch, back_path2 = drop_path_vjp(branch, probability=drop_path_probability, generator=generator)
    x = x + branch

    def back(
        dx: Float[Array, "batch tokens dim"], trace: Trace | None = None
    ) -> tuple[Block, Float[Array, "batch tokens dim"], Float[Array, "heads"] | None]:
        record(trace, "output", dx)
        dmlp, dnormed = back_mlp(back_dropout2(back_path2(dx)), scope(trace, "mlp"))
        dnorm2, dbranch = back_norm2(record(trace, "norm2", dnormed))
        dx = dx + dbranch
        dattn, dnormed, dhead_mask = back_attention(back_dropout1(back_path1(dx)), scope(trace, "attention"))
        dnorm1, dbranch = back_norm1(record(trace, "norm1", dnormed))
        dx = dx + dbranch
        return Block(dnorm1, dattn, dnorm2, dmlp), dx, dhead_mask

    return record(trace, "output", x), back  # (batch, tokens, dim)


def encoder_vjp(
    weights: DeiTWeights,
    x: Float[Array, "batch tokens dim"],
    *,
    head_mask: Float[Array, "layers heads"] | None = None,
    attention_mask: Bool[Array, "batch tokens"] | None = None,
    drop_path: float = 0.0,
    generator: np.random.Generator | None = None,
    trace: Trace | None = None,
) -> tuple[Float[Array, "batch tokens dim"], Back]:
    """All blocks and the last norm, and back from the norm to the first block.

    Args:
        weights, x, head_mask, attention_mask, drop_path, generator, trace: as in the forward function.

    Returns:
        The value, and `back(dx, trace=None)`, which returns the gradients of the weights that were used, by their field
        in `DeiTWeights`, of x, and of head_mask (blocks, heads), None without one.
    """
    checks.number("drop_path", drop_path, low=0, high=1)
    backs = []
    for i, block in enumerate(weights.blocks):
        x, back_block = encoder_block_vjp(
            block,
            x,
            config=weights.config,
            head_mask=None if head_mask is None else head_mask[i],
            attention_mask=attention_mask,
            drop_path_probability=drop_path * i / max(len(weights.blocks) - 1, 1),
            generator=generator,
            trace=scope(trace, f"blocks.{i}"),
        )
        backs.append(back_block)
    y, back_norm = layer_norm_vjp(weights.norm, x, eps=weights.config.layer_norm_eps)

    def back(
        dy: Float[Array, "batch tokens dim"], trace: Trace | None = None
    ) -> tuple[dict[str, Any], Float[Array, "batch tokens dim"], Float[Array, "layers heads"] | None]:
        dnorm, dx = back_norm(record(trace, "norm", dy))
        dblocks: list[Block] = []
        dhead_mask = None if head_mask is None else np.zeros_like(head_mask)
        for i, back_block in reversed([*enumerate(backs)]):
            dblock, dx, drow = back_block(dx, scope(trace, f"blocks.{i}"))
            dblocks.insert(0, dblock)
            if dhead_mask is not None:
                dhead_mask[i] = drow
        return {"blocks": tuple(dblocks), "norm": dnorm}, dx, dhead_mask

    return record(trace, "norm", y), back
