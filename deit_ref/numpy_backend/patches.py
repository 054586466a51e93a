"""Chapter 1: an image becomes a sequence of patches, and each patch a token.

Input -> output: pixels (batch, channels, height, width) -> tokens (batch, patches, dim).

A transformer reads sequences, so the image is cut into squares that do not overlap, 16 x 16 pixels in DeiT, and
each square, written as one long row of numbers, goes through one linear map. This is all that is left of the
convolutions of earlier networks: a convolution whose stride equals its kernel is exactly this.

Source: Dosovitskiy et al. 2021, section 3.1, equation 1; PatchEmbed in timm.
"""

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from deit_ref.numpy_backend.layers import linear
from deit_ref.trace import Trace, record
from deit_ref.weights import Linear, PatchEmbed

Array: TypeAlias = np.ndarray[Any, Any]


def patch_grid(height: int, width: int, *, patch_shape: tuple[int, int]) -> tuple[int, int]:
    """(rows, columns) of patches in an image.

    Args:
        height, width: of the image in pixels.
        patch_shape: (height, width) of a patch in pixels.

    Raises:
        ValueError: the image is not a whole number of patches; transformers would leave out the last rows or columns.
    """
    if height % patch_shape[0] or width % patch_shape[1]:
        raise ValueError(
            f"An image must be a whole number of patches: {height}x{width} pixels are not a multiple of "
            f"{patch_shape[0]}x{patch_shape[1]}. Resize or crop it first."
        )
    return height // patch_shape[0], width // patch_shape[1]


def patchify(
    pixel_values: Float[Array, "batch channels height width"], *, patch_shape: tuple[int, int]
) -> Float[Array, "batch patches patch_values"]:
    """Cut images into patches, row by row from the top left, and write each as one row.

    Inside a row the order is channel, then pixel row, then pixel column: that of the weights.

    Args:
        pixel_values: height and width are multiples of the patch's.
        patch_shape: (height, width) of a patch in pixels.

    Raises:
        ValueError: the image is not a whole number of patches.

    >>> pixels = np.arange(8).reshape(1, 1, 2, 4)
    >>> patchify(pixels * 1.0, patch_shape=(2, 2)).astype(int)
    array([[[0, 1, 4, 5],
            [2, 3, 6, 7]]])
    """
    batch, channels, height, width = pixel_values.shape
    rows, columns = patch_grid(height, width, patch_shape=patch_shape)
    patch_height, patch_width = patch_shape
    x = pixel_values.reshape(batch, channels, rows, patch_height, columns, patch_width)
    x = x.transpose(0, 2, 4, 1, 3, 5)  # (batch, rows, columns, channels, patch_height, patch_width)
    return x.reshape(batch, rows * columns, -1)  # (batch, patches, patch_values)


def unpatchify(
    patches: Float[Array, "batch patches patch_values"], *, patch_shape: tuple[int, int], grid: tuple[int, int]
) -> Float[Array, "batch channels height width"]:
    """Put patches back together: the inverse of `patchify`.

    Args:
        patches: one row per patch, ordered as `patchify` does.
        patch_shape: (height, width) of a patch in pixels.
        grid: (rows, columns) of patches. It cannot be guessed: 8 patches may be 2 x 4 or 4 x 2.
    """
    (patch_height, patch_width), (rows, columns) = patch_shape, grid
    x = patches.reshape(len(patches), rows, columns, -1, patch_height, patch_width)
    x = x.transpose(0, 3, 1, 4, 2, 5)  # (batch, channels, rows, patch_height, columns, patch_width)
    return x.reshape(len(patches), -1, rows * patch_height, columns * patch_width)


def patch_embed(
    weights: PatchEmbed, pixel_values: Float[Array, "batch channels height width"], *, trace: Trace | None = None
) -> Float[Array, "batch patches dim"]:
    r"""Map every patch to a token: $z_n = x_n E^\top + b$.

    Args:
        weights: proj.weight (dim, channels, patch_height, patch_width), proj.bias (dim,).
        pixel_values: normalized pixels.
        trace: records patches.

    Raises:
        ValueError: the image has more or fewer channels than the weights, or is not a whole number of patches.
    """
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
