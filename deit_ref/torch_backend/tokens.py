"""Chapter 6, mirrored: the tokens that are not patches."""

from typing import TypeAlias

import torch
from jaxtyping import Bool, Float

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
    return torch.cat([*(token.expand(len(x), -1, -1) for token in prefix), x], dim=1)  # (batch, tokens, dim)


def split_tokens(
    x: Float[Array, "batch tokens dim"], *, distilled: bool
) -> tuple[Float[Array, "batch dim"], Float[Array, "batch dim"] | None, Float[Array, "batch patches dim"]]:
    """Mirror of numpy_backend.tokens.split_tokens."""
    if distilled:
        return x[:, 0], x[:, 1], x[:, 2:]
    return x[:, 0], None, x[:, 1:]
