"""Chapter 2, mirrored: the tokens that are not patches."""

from typing import TypeAlias

import torch
from jaxtyping import Bool, Float

from deit_ref.torch_backend.layers import dropout
from deit_ref.torch_backend.patches import patch_embed, patch_grid
from deit_ref.torch_backend.positions import add_pos_embed, interpolate_pos_embed
from deit_ref.trace import Trace, record
from deit_ref.weights import DeiTWeights

Array: TypeAlias = torch.Tensor


def mask_tokens(
    mask_token: Float[Array, "1 1 dim"],
    x: Float[Array, "batch patches dim"],
    bool_masked_pos: Bool[Array, "batch patches"] | Float[Array, "batch patches"],
) -> Float[Array, "batch patches dim"]:
    """Mirror of numpy_backend.tokens.mask_tokens."""
    m = bool_masked_pos[:, :, None].to(x.dtype)  # (batch, patches, 1)
    return x * (1 - m) + mask_token * m


def prepend_tokens(
    cls_token: Float[Array, "1 1 dim"],
    dist_token: Float[Array, "1 1 dim"] | None,
    x: Float[Array, "batch patches dim"],
) -> Float[Array, "batch tokens dim"]:
    """Mirror of numpy_backend.tokens.prepend_tokens."""
    prefix = [cls_token] if dist_token is None else [cls_token, dist_token]
    return torch.cat([*(token.expand(x.shape[0], -1, -1) for token in prefix), x], dim=1)  # (batch, tokens, dim)


def split_tokens(
    x: Float[Array, "batch tokens dim"], *, distilled: bool
) -> tuple[Float[Array, "batch dim"], Float[Array, "batch dim"] | None, Float[Array, "batch patches dim"]]:
    """Mirror of numpy_backend.tokens.split_tokens."""
    if distilled:
        return x[:, 0], x[:, 1], x[:, 2:]
    return x[:, 0], None, x[:, 1:]


def embed(
    weights: DeiTWeights,
    pixel_values: Float[Array, "batch channels height width"],
    *,
    bool_masked_pos: Bool[Array, "batch patches"] | Float[Array, "batch patches"] | None = None,
    interpolate_pos_encoding: bool = False,
    generator: torch.Generator | None = None,
    trace: Trace | None = None,
) -> Float[Array, "batch tokens dim"]:
    """Mirror of numpy_backend.tokens.embed."""
    config = weights.config
    height, width = pixel_values.shape[2:]
    if not interpolate_pos_encoding and (height, width) != config.image_shape:
        raise ValueError(
            f"The model was made for {config.image_shape[0]}x{config.image_shape[1]} pixels, got {height}x{width}: "
            "resize the images, or set interpolate_pos_encoding=True."
        )
    x = record(trace, "patch_embed", patch_embed(weights.patch_embed, pixel_values, trace=trace))
    if bool_masked_pos is not None:
        x = record(trace, "masked", mask_tokens(weights.mask_token, x, bool_masked_pos))
    x = record(trace, "tokens", prepend_tokens(weights.cls_token, weights.dist_token, x))
    pos_embed, grid = weights.pos_embed, patch_grid(height, width, patch_shape=config.patch_shape)
    if grid != config.grid:
        pos_embed = interpolate_pos_embed(
            pos_embed, num_prefix_tokens=config.num_prefix_tokens, source_grid=config.grid, target_grid=grid
        )
    x = add_pos_embed(pos_embed, x, trace=trace)
    return record(trace, "embeddings", dropout(x, probability=config.hidden_dropout_prob, generator=generator))
