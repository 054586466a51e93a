"""Chapter 10, the way back: from tokens to pixels.

Input -> output: the gradient of the patch tokens (batch, patches, dim) -> of the projection, and of the pixels.

Cutting an image into patches only moves numbers, and on the way back they are moved home. What the patches get is
where an image would have to change for the loss to fall: the beginning of every saliency map.

Source: see `numpy_backend.patches`.
"""

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from deit_ref.numpy_backend.backward.layers import Back, linear_vjp
from deit_ref.numpy_backend.patches import patch_embed, patch_grid, patchify, unpatchify
from deit_ref.trace import Trace, record
from deit_ref.weights import Linear, PatchEmbed

Array: TypeAlias = np.ndarray[Any, Any]


def patchify_vjp(
    pixel_values: Float[Array, "batch channels height width"], *, patch_shape: tuple[int, int]
) -> tuple[Float[Array, "batch patches patch_values"], Back]:
    """Every pixel goes to one place, so its gradient comes back from there: by `unpatchify`.

    Args:
        pixel_values, patch_shape: as in the forward function.
    """
    grid = patch_grid(*pixel_values.shape[2:], patch_shape=patch_shape)

    def back(dpatches: Float[Array, "batch patches patch_values"]) -> Float[Array, "batch channels height width"]:
        return unpatchify(dpatches, patch_shape=patch_shape, grid=grid)

    return patchify(pixel_values, patch_shape=patch_shape), back


def unpatchify_vjp(
    patches: Float[Array, "batch patches patch_values"], *, patch_shape: tuple[int, int], grid: tuple[int, int]
) -> tuple[Float[Array, "batch channels height width"], Back]:
    """The other way round: by `patchify`.

    Args:
        patches, patch_shape, grid: as in the forward function.
    """

    def back(dpixels: Float[Array, "batch channels height width"]) -> Float[Array, "batch patches patch_values"]:
        return patchify(dpixels, patch_shape=patch_shape)

    return unpatchify(patches, patch_shape=patch_shape, grid=grid), back


def patch_embed_vjp(
    weights: PatchEmbed, pixel_values: Float[Array, "batch channels height width"], *, trace: Trace | None = None
) -> tuple[Float[Array, "batch patches dim"], Back]:
    r"""$z_n = x_n E^\top + b$ for every patch: `patchify_vjp`, then `linear_vjp`, and back in the reverse order.

    Args:
        weights, pixel_values, trace: as in the forward function, which raises on images that do not fit.

    Returns:
        The tokens, and `back(dz, trace=None)`, which returns the gradients of weights and of pixel_values, and records
        that of patches.
    """
    dim, channels, *patch_shape = weights.proj.weight.shape
    if pixel_values.shape[1] != channels:
        patch_embed(weights, pixel_values)  # raises, and says why
    patches, back_patchify = patchify_vjp(pixel_values, patch_shape=(patch_shape[0], patch_shape[1]))
    record(trace, "patches", patches)
    z, back_linear = linear_vjp(Linear(weights.proj.weight.reshape(dim, -1), weights.proj.bias), patches)

    def back(
        dz: Float[Array, "batch patches dim"], trace: Trace | None = None
    ) -> tuple[PatchEmbed, Float[Array, "batch channels height width"]]:
        dmatrix, dpatches = back_linear(dz)
        record(trace, "patches", dpatches)
        dproj = Linear(dmatrix.weight.reshape(weights.proj.weight.shape), dmatrix.bias)
        return PatchEmbed(dproj), back_patchify(dpatches)

    return z, back
