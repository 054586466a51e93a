"""Chapter 3, mirrored: where a patch came from."""

from typing import TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Float

from deit_ref.trace import Trace, record, wants

Array: TypeAlias = torch.Tensor


def interpolate_pos_embed(
    pos_embed: Float[Array, "1 tokens dim"],
    *,
    num_prefix_tokens: int,
    source_grid: tuple[int, int],
    target_grid: tuple[int, int],
) -> Float[Array, "1 new_tokens dim"]:
    """Mirror of numpy_backend.positions.interpolate_pos_embed; F.interpolate's bicubic has a = -0.75."""
    rows, columns = source_grid
    if pos_embed.shape[1] != num_prefix_tokens + rows * columns:
        raise ValueError(
            f"{num_prefix_tokens} prefix tokens and a grid of {rows}x{columns} make "
            f"{num_prefix_tokens + rows * columns} positions, got {pos_embed.shape[1]}."
        )
    prefix, patches = pos_embed[:, :num_prefix_tokens], pos_embed[:, num_prefix_tokens:]
    plane = patches.reshape(1, rows, columns, -1).permute(0, 3, 1, 2)  # (1, dim, rows, columns)
    plane = F.interpolate(plane, size=target_grid, mode="bicubic", align_corners=False, antialias=False)
    return torch.cat([prefix, plane.flatten(2).transpose(1, 2)], dim=1)  # (1, new_tokens, dim)


def add_pos_embed(
    pos_embed: Float[Array, "1 tokens dim"], x: Float[Array, "batch tokens dim"], *, trace: Trace | None = None
) -> Float[Array, "batch tokens dim"]:
    """Mirror of numpy_backend.positions.add_pos_embed; a trace gets a copy, because the weights are not its own."""
    if wants(trace, "pos_embed"):
        pos_embed = record(trace, "pos_embed", pos_embed.clone())
    return x + pos_embed
