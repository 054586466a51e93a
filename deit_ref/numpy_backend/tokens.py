"""Chapter 6: the tokens that are not patches.

Input -> output: patch tokens (batch, patches, dim) -> all tokens (batch, prefix + patches, dim), and back.

DeiT puts two learned tokens before the patches. The class token collects what is needed to name the image; the
distillation token, DeiT's own idea, has the same task but answers to another teacher: not the label, but a
convolutional network's opinion. Masked image modeling knows a third, which stands in for hidden patches.

Source: Touvron et al. 2021, section 4 and figure 2; Xie et al. 2022 (SimMIM), section 3.2 (mask token).
"""

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float

Array: TypeAlias = np.ndarray[Any, Any]


def mask_tokens(
    mask_token: Float[Array, "1 1 dim"],
    x: Float[Array, "batch patches dim"],
    bool_masked_pos: Bool[Array, "batch patches"] | Float[Array, "batch patches"],
) -> Float[Array, "batch patches dim"]:
    r"""Replace hidden patches by the mask token: $z (1 - m) + t \, m$.

    Args:
        mask_token: t, learned.
        x: patch tokens, before the positions are added, so that the model still knows where it must guess.
        bool_masked_pos: m, True where a patch is hidden; numbers between 0 and 1 blend.
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
