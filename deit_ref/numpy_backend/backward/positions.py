"""Chapter 10, the way back: to the positions.

Input -> output: the gradient of tokens that know their place -> of the position embeddings, and of the tokens.

A sum hands its gradient on to both of its parts, unchanged. The positions are the same for all images of a batch, so
theirs is the sum over the batch.

Source: see `numpy_backend.positions`.
"""

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from deit_ref.numpy_backend.backward.layers import Back
from deit_ref.numpy_backend.positions import _bicubic_weights, add_pos_embed, interpolate_pos_embed
from deit_ref.trace import Trace

Array: TypeAlias = np.ndarray[Any, Any]


def interpolate_pos_embed_vjp(
    pos_embed: Float[Array, "1 tokens dim"],
    *,
    num_prefix_tokens: int,
    source_grid: tuple[int, int],
    target_grid: tuple[int, int],
) -> tuple[Float[Array, "1 new_tokens dim"], Back]:
    r"""$G' = W_\text{rows} \, G \, W_\text{columns}^\top$ for each feature, and back with the matrices transposed:

    $$dG = W_\text{rows}^\top \, dG' \, W_\text{columns}$$

    A learned position that four new ones were mixed from gets their gradients, weighted as it was mixed.

    Args:
        pos_embed, num_prefix_tokens, source_grid, target_grid: as in the forward function.
    """

    def back(dy: Float[Array, "1 new_tokens dim"]) -> Float[Array, "1 tokens dim"]:
        dprefix, dpatches = dy[:, :num_prefix_tokens], dy[:, num_prefix_tokens:]
        dplane = dpatches.reshape(*target_grid, -1)  # (new_rows, new_columns, dim)
        rows = _bicubic_weights(source_grid[0], target_grid[0], dy.dtype)  # (new_rows, rows)
        columns = _bicubic_weights(source_grid[1], target_grid[1], dy.dtype)  # (new_columns, columns)
        dplane = columns.T @ dplane  # (new_rows, columns, dim)
        dplane = np.tensordot(rows.T, dplane, axes=1)  # (rows, columns, dim)
        return np.concatenate([dprefix, dplane.reshape(1, -1, dplane.shape[-1])], axis=1)  # (1, tokens, dim)

    y = interpolate_pos_embed(
        pos_embed, num_prefix_tokens=num_prefix_tokens, source_grid=source_grid, target_grid=target_grid
    )
    return y, back


def add_pos_embed_vjp(
    pos_embed: Float[Array, "1 tokens dim"], x: Float[Array, "batch tokens dim"], *, trace: Trace | None = None
) -> tuple[Float[Array, "batch tokens dim"], Back]:
    r"""$z + E_\text{pos}$, and back: $dz$ as it is, $dE_\text{pos}$ the sum over the images.

    Args:
        pos_embed, x, trace: as in the forward function.
    """

    def back(
        dy: Float[Array, "batch tokens dim"],
    ) -> tuple[Float[Array, "1 tokens dim"], Float[Array, "batch tokens dim"]]:
        return dy.sum(axis=0, keepdims=True), dy

    return add_pos_embed(pos_embed, x, trace=trace), back
