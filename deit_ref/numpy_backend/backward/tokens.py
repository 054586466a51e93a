"""Chapter 10, the way back: to the class, the distillation and the mask token.

Input -> output: the gradient of what the encoder reads (batch, tokens, dim) -> of patch_embed, the tokens and
pos_embed, and of the pixels.

A token that every image shares gets the sum of what every image says about it.

Source: see `numpy_backend.tokens`.
"""

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from deit_ref.numpy_backend.backward.layers import Back, dropout_vjp
from deit_ref.numpy_backend.backward.patches import patch_embed_vjp
from deit_ref.numpy_backend.backward.positions import add_pos_embed_vjp, interpolate_pos_embed_vjp
from deit_ref.numpy_backend.patches import patch_grid
from deit_ref.numpy_backend.tokens import embed, mask_tokens, prepend_tokens, split_tokens
from deit_ref.trace import Trace, record
from deit_ref.weights import DeiTWeights

Array: TypeAlias = np.ndarray[Any, Any]


def mask_tokens_vjp(
    mask_token: Float[Array, "1 1 dim"],
    x: Float[Array, "batch patches dim"],
    bool_masked_pos: Bool[Array, "batch patches"] | Float[Array, "batch patches"],
) -> tuple[Float[Array, "batch patches dim"], Back]:
    r"""$z (1 - M) + z_\text{mask} M$, and back: $dz \, (1 - M)$, and to the mask token the sum of $dz \, M$.

    Args:
        mask_token, x, bool_masked_pos: as in the forward function. The mask is given, not learned: it gets no gradient.
    """
    m = bool_masked_pos[:, :, None].astype(x.dtype)  # (batch, patches, 1)

    def back(
        dy: Float[Array, "batch patches dim"],
    ) -> tuple[Float[Array, "1 1 dim"], Float[Array, "batch patches dim"]]:
        return (dy * m).sum(axis=(0, 1), keepdims=True), dy * (1 - m)

    return mask_tokens(mask_token, x, bool_masked_pos), back


def prepend_tokens_vjp(
    cls_token: Float[Array, "1 1 dim"], dist_token: Float[Array, "1 1 dim"] | None, x: Float[Array, "batch patches dim"]
) -> tuple[Float[Array, "batch tokens dim"], Back]:
    """Back, the row is cut where it was joined; what was put before every image is summed over the images.

    Args:
        cls_token, dist_token, x: as in the forward function.
    """

    def back(
        dy: Float[Array, "batch tokens dim"],
    ) -> tuple[Float[Array, "1 1 dim"], Float[Array, "1 1 dim"] | None, Float[Array, "batch patches dim"]]:
        dcls, ddist, dx = split_tokens(dy, distilled=dist_token is not None)
        return (
            dcls.sum(axis=0)[None, None],
            None if ddist is None else ddist.sum(axis=0)[None, None],
            dx,
        )

    return prepend_tokens(cls_token, dist_token, x), back


def split_tokens_vjp(
    x: Float[Array, "batch tokens dim"], *, distilled: bool
) -> tuple[
    tuple[Float[Array, "batch dim"], Float[Array, "batch dim"] | None, Float[Array, "batch patches dim"]],
    Back,
]:
    """Back, the parts are joined again. A head reads one token: the others get no gradient from it, which is 0.

    Args:
        x, distilled: as in the forward function.
    """

    def back(
        dcls: Float[Array, "batch dim"] | None = None,
        ddist: Float[Array, "batch dim"] | None = None,
        dpatches: Float[Array, "batch patches dim"] | None = None,
    ) -> Float[Array, "batch tokens dim"]:
        dx = np.zeros_like(x)
        for part, dpart in zip(split_tokens(dx, distilled=distilled), (dcls, ddist, dpatches), strict=True):
            if part is not None and dpart is not None:
                part[...] = dpart  # a view of dx
        return dx

    return split_tokens(x, distilled=distilled), back


def embed_vjp(
    weights: DeiTWeights,
    pixel_values: Float[Array, "batch channels height width"],
    *,
    bool_masked_pos: Bool[Array, "batch patches"] | Float[Array, "batch patches"] | None = None,
    interpolate_pos_encoding: bool = False,
    generator: np.random.Generator | None = None,
    trace: Trace | None = None,
) -> tuple[Float[Array, "batch tokens dim"], Back]:
    """Pixels to what the encoder reads, and back: the steps of `tokens.embed`, then their `back` in reverse.

    Args:
        weights, pixel_values, bool_masked_pos, interpolate_pos_encoding, generator, trace: as in the forward function.

    Returns:
        The embeddings, and `back(dx, trace=None)`, which returns the gradients of the weights that were used, by their
        field in `DeiTWeights`, and of pixel_values.
    """
    config = weights.config
    if not interpolate_pos_encoding and pixel_values.shape[2:] != config.image_shape:
        embed(weights, pixel_values)  # raises, and says why
    x, back_patch_embed = patch_embed_vjp(weights.patch_embed, pixel_values, trace=trace)
    record(trace, "patch_embed", x)
    if bool_masked_pos is not None:
        x, back_mask = mask_tokens_vjp(weights.mask_token, x, bool_masked_pos)
        record(trace, "masked", x)
    x, back_prepend = prepend_tokens_vjp(weights.cls_token, weights.dist_token, x)
    record(trace, "tokens", x)
    pos_embed, back_interpolate = weights.pos_embed, None
    grid = patch_grid(*pixel_values.shape[2:], patch_shape=config.patch_shape)
    if grid != config.grid:
        pos_embed, back_interpolate = interpolate_pos_embed_vjp(
            pos_embed, num_prefix_tokens=config.num_prefix_tokens, source_grid=config.grid, target_grid=grid
        )
    x, back_add = add_pos_embed_vjp(pos_embed, x, trace=trace)
    x, back_dropout = dropout_vjp(x, probability=config.hidden_dropout_prob, generator=generator)

    def back(
        dx: Float[Array, "batch tokens dim"], trace: Trace | None = None
    ) -> tuple[dict[str, Any], Float[Array, "batch channels height width"]]:
        record(trace, "embeddings", dx)
        dpos_embed, dx = back_add(back_dropout(dx))
        record(trace, "pos_embed", dpos_embed)
        if back_interpolate is not None:
            dpos_embed = back_interpolate(dpos_embed)
        record(trace, "tokens", dx)
        dcls_token, ddist_token, dx = back_prepend(dx)
        gradients = {"cls_token": dcls_token, "dist_token": ddist_token, "pos_embed": dpos_embed}
        if bool_masked_pos is not None:
            record(trace, "masked", dx)
            gradients["mask_token"], dx = back_mask(dx)
        record(trace, "patch_embed", dx)
        gradients["patch_embed"], dpixel_values = back_patch_embed(dx, trace)
        return gradients, dpixel_values

    return record(trace, "embeddings", x), back
