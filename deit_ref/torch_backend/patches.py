"""Chapter 1, mirrored: an image becomes a sequence of patches, and each patch a token."""

from typing import TypeAlias

import torch
from jaxtyping import Float

from deit_ref.torch_backend.layers import linear
from deit_ref.trace import Trace, record
from deit_ref.weights import Linear, PatchEmbed

Array: TypeAlias = torch.Tensor


def patch_grid(height: int, width: int, *, patch_shape: tuple[int, int]) -> tuple[int, int]:
    """Mirror of numpy_backend.patches.patch_grid."""
    if height % patch_shape[0] or width % patch_shape[1]:
        raise ValueError(
            f"An image must be a whole number of patches: {height}x{width} pixels are not a multiple of "
            f"{patch_shape[0]}x{patch_shape[1]}. Resize or crop it first."
        )
    return height // patch_shape[0], width // patch_shape[1]


def patchify(
    pixel_values: Float[Array, "batch channels height width"], *, patch_shape: tuple[int, int]
) -> Float[Array, "batch patches patch_values"]:
    """Mirror of numpy_backend.patches.patchify."""
    batch, channels, height, width = pixel_values.shape
    rows, columns = patch_grid(height, width, patch_shape=patch_shape)
    patch_height, patch_width = patch_shape
    x = pixel_values.reshape(batch, channels, rows, patch_height, columns, patch_width)
    x = x.permute(0, 2, 4, 1, 3, 5)  # (batch, rows, columns, channels, patch_height, patch_width)
    return x.reshape(batch, rows * columns, channels * patch_height * patch_width)  # (batch, patches, patch_values)


def unpatchify(
    patches: Float[Array, "batch patches patch_values"], *, patch_shape: tuple[int, int], grid: tuple[int, int]
) -> Float[Array, "batch channels height width"]:
    """Mirror of numpy_backend.patches.unpatchify."""
    (patch_height, patch_width), (rows, columns) = patch_shape, grid
    x = patches.reshape(patches.shape[0], rows, columns, -1, patch_height, patch_width)
    x = x.permute(0, 3, 1, 4, 2, 5)  # (batch, channels, rows, patch_height, columns, patch_width)
    return x.reshape(patches.shape[0], -1, rows * patch_height, columns * patch_width)


def patch_embed(
    weights: PatchEmbed, pixel_values: Float[Array, "batch channels height width"], *, trace: Trace | None = None
) -> Float[Array, "batch patches dim"]:
    """Mirror of numpy_backend.patches.patch_embed; a matrix product is no slower than F.conv2d here."""
    dim, channels, patch_height, patch_width = weights.proj.weight.shape
    if pixel_values.shape[1] != channels:
        raise ValueError(
            f"The model reads images of {channels} channels, got {pixel_values.shape[1]} "
            f"(shape {tuple(pixel_values.shape)}, expected (batch, channels, height, width))."
        )
    patches = patchify(pixel_values, patch_shape=(patch_height, patch_width))  # (batch, patches, patch_values)
    record(trace, "patches", patches)
    matrix = weights.proj.weight.reshape(dim, -1)  # (dim, patch_values)
    return linear(Linear(matrix, weights.proj.bias), patches)  # (batch, patches, dim)
