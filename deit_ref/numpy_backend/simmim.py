"""Chapter 13: masked image modeling, guessing pixels that were hidden.

Input -> output: patch tokens (batch, patches, dim) -> an image (batch, channels, height, width).

Hide some patches, let the encoder see the rest, and have one linear map draw from each token all pixels of its
patch. To guess well the encoder must understand what is in the picture, and that needs no labels.

Source: Xie et al. 2022 (SimMIM), sections 3.3 and 3.4; DeiTForMaskedImageModeling in transformers.
"""

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from deit_ref.numpy_backend.layers import linear
from deit_ref.trace import Trace, record
from deit_ref.weights import DeiTWeights

Array: TypeAlias = np.ndarray[Any, Any]


def pixel_shuffle(
    x: Float[Array, "batch rows columns features"], *, stride_shape: tuple[int, int]
) -> Float[Array, "batch channels height width"]:
    r"""Lay out each token's features as a tile of pixels.

    $$\begin{aligned} & \text{out}[c, \; \text{row} \, P + i, \; \text{column} \, P + j] \\
      & = \text{in}[\text{row}, \; \text{column}, \; c P^2 + i P + j] \end{aligned}$$

    Args:
        x: channels * P * P features per token, channel first.
        stride_shape: (height, width) of a tile in pixels; the formula shows the square case.

    >>> tokens = np.array([[[[0, 1, 2, 3], [4, 5, 6, 7]]]])  # one row of two tokens
    >>> pixel_shuffle(tokens * 1.0, stride_shape=(2, 2)).astype(int)
    array([[[[0, 1, 4, 5],
             [2, 3, 6, 7]]]])
    """
    batch, rows, columns, _ = x.shape
    tile_height, tile_width = stride_shape
    x = x.reshape(batch, rows, columns, -1, tile_height, tile_width)
    x = x.transpose(0, 3, 1, 4, 2, 5)  # (batch, channels, rows, tile_height, columns, tile_width)
    return x.reshape(batch, -1, rows * tile_height, columns * tile_width)


def reconstruct(
    weights: DeiTWeights,
    x: Float[Array, "batch tokens dim"],
    *,
    grid: tuple[int, int],
    shifted_slice: bool = False,
    trace: Trace | None = None,
) -> Float[Array, "batch channels height width"]:
    """Draw the image that the tokens describe.

    Args:
        weights: decoder and config are used.
        x: all tokens after the last norm.
        grid: (rows, columns) of patches.
        shifted_slice: as transformers 4 did in DeiT models: take the tokens [1:-1], so that the distillation token
            draws the first patch and each token its neighbor's. Only for weights that were trained so.
        trace: records decoder and reconstruction.
    """
    prefix = weights.config.num_prefix_tokens
    patches = x[:, 1:-1] if shifted_slice and prefix == 2 else x[:, prefix:]  # (batch, patches, dim)
    assert weights.decoder is not None
    features = record(trace, "decoder", linear(weights.decoder, patches))  # (batch, patches, features)
    tiles = features.reshape(len(x), *grid, -1)  # (batch, rows, columns, features)
    return record(trace, "reconstruction", pixel_shuffle(tiles, stride_shape=weights.config.stride_shape))
