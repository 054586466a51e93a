"""Chapter 2: the tokens that are not patches.

Input -> output: patch tokens (batch, patches, dim) -> all tokens (batch, prefix + patches, dim), and back; with
`embed`, pixels -> what the encoder reads.

DeiT puts two learned tokens before the patches. The class token collects what is needed to name the image; the
distillation token, DeiT's own idea, has the same task but answers to a different teacher: not the label, but a
convolutional network's opinion. Masked image modeling has a third, which stands in for hidden patches.

Source: Touvron et al. 2021, section 4 and figure 2; Xie et al. 2022 (SimMIM), section 3.2 (mask token).
"""

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from deit_ref.numpy_backend.layers import dropout
from deit_ref.numpy_backend.patches import patch_embed, patch_grid
from deit_ref.numpy_backend.positions import add_pos_embed, interpolate_pos_embed
from deit_ref.trace import Trace, record
from deit_ref.weights import DeiTWeights

Array: TypeAlias = np.ndarray[Any, Any]


def mask_tokens(
    mask_token: Float[Array, "1 1 dim"],
    x: Float[Array, "batch patches dim"],
    bool_masked_pos: Bool[Array, "batch patches"] | Float[Array, "batch patches"],
) -> Float[Array, "batch patches dim"]:
    r"""Replace hidden patches by the mask token: $z \odot (1 - M) + z_\text{mask} \odot M$.

    Args:
        mask_token: learned.
        x: patch tokens, before the positions are added, so that the model still knows where it must guess.
        bool_masked_pos: M, True where a patch is hidden; numbers between 0 and 1 blend.

    >>> x = np.array([[[1.0], [2.0], [3.0]]])
    >>> mask_tokens(np.array([[[9.0]]]), x, np.array([[False, True, False]])).tolist()
    [[[1.0], [9.0], [3.0]]]
    """
    m = bool_masked_pos[:, :, None].astype(x.dtype)  # (batch, patches, 1)
    return x * (1 - m) + mask_token * m


def prepend_tokens(
    cls_token: Float[Array, "1 1 dim"], dist_token: Float[Array, "1 1 dim"] | None, x: Float[Array, "batch patches dim"]
) -> Float[Array, "batch tokens dim"]:
    """Put the class token and, if there is one, the distillation token before every image's patches.

    Args:
        cls_token: learned, the same for all images.
        dist_token: likewise; None in plain ViT models.
        x: patch tokens.
    """
    prefix = cls_token if dist_token is None else np.concatenate([cls_token, dist_token], axis=1)
    prefix = np.broadcast_to(prefix, (len(x), *prefix.shape[1:]))  # (batch, prefix, dim)
    return np.concatenate([prefix, x], axis=1)  # (batch, tokens, dim)


def split_tokens(
    x: Float[Array, "batch tokens dim"], *, distilled: bool
) -> tuple[Float[Array, "batch dim"], Float[Array, "batch dim"] | None, Float[Array, "batch patches dim"]]:
    """The class token, the distillation token (None in plain ViT models) and the patch tokens of every image.

    Args:
        x: all tokens, ordered as `prepend_tokens` does.
        distilled: whether the second token is the distillation token.
    """
    if distilled:
        return x[:, 0], x[:, 1], x[:, 2:]
    return x[:, 0], None, x[:, 1:]


def embed(
    weights: DeiTWeights,
    pixel_values: Float[Array, "batch channels height width"],
    *,
    bool_masked_pos: Bool[Array, "batch patches"] | Float[Array, "batch patches"] | None = None,
    interpolate_pos_encoding: bool = False,
    generator: np.random.Generator | None = None,
    trace: Trace | None = None,
) -> Float[Array, "batch tokens dim"]:
    """All that comes before the encoder: patches to tokens, some hidden, cls and dist in front, positions added.

    Args:
        weights: patch_embed, the tokens and pos_embed are used.
        pixel_values: normalized pixels.
        bool_masked_pos: patches to hide.
        interpolate_pos_encoding: fit the positions to the images' size; without it, sizes must agree.
        generator: for dropout; None means none.
        trace: records patches, patch_embed, masked, tokens, pos_embed and embeddings.

    Raises:
        ValueError: the images do not have the model's size, and interpolate_pos_encoding is False.
    """
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
