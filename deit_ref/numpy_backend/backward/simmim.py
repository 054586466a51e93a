"""Chapter 10, the way back: from drawn pixels to tokens.

Input -> output: the gradient of the reconstruction (batch, channels, height, width) -> of the decoder and the tokens.

Source: see `numpy_backend.simmim`.
"""

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from deit_ref.numpy_backend.backward.layers import Back, linear_vjp
from deit_ref.numpy_backend.simmim import pixel_shuffle
from deit_ref.trace import Trace, record
from deit_ref.weights import DeiTWeights

Array: TypeAlias = np.ndarray[Any, Any]


def pixel_shuffle_vjp(
    x: Float[Array, "batch rows columns features"], *, stride_shape: tuple[int, int]
) -> tuple[Float[Array, "batch channels height width"], Back]:
    """Tiles are picked up again in the order in which they were laid.

    Args:
        x, stride_shape: as in the forward function.
    """
    batch, rows, columns, _ = x.shape
    tile_height, tile_width = stride_shape

    def back(dy: Float[Array, "batch channels height width"]) -> Float[Array, "batch rows columns features"]:
        dx = dy.reshape(batch, -1, rows, tile_height, columns, tile_width)
        dx = dx.transpose(0, 2, 4, 1, 3, 5)  # (batch, rows, columns, channels, tile_height, tile_width)
        return dx.reshape(batch, rows, columns, -1)

    return pixel_shuffle(x, stride_shape=stride_shape), back


def reconstruct_vjp(
    weights: DeiTWeights,
    x: Float[Array, "batch tokens dim"],
    *,
    grid: tuple[int, int],
    shifted_slice: bool = False,
    trace: Trace | None = None,
) -> tuple[Float[Array, "batch channels height width"], Back]:
    """Tokens to an image and back; tokens that draw nothing get gradient 0.

    Args:
        weights, x, grid, shifted_slice, trace: as in the forward function.

    Returns:
        The image, and `back(dimage, trace=None)`, which returns the gradients of the decoder, as {"decoder": ...}, and
        of x.
    """
    prefix = weights.config.num_prefix_tokens
    drawn = slice(1, -1) if shifted_slice and prefix == 2 else slice(prefix, None)
    assert weights.decoder is not None
    features, back_linear = linear_vjp(weights.decoder, x[:, drawn])  # (batch, patches, features)
    record(trace, "decoder", features)
    tiles = features.reshape(len(x), *grid, -1)  # (batch, rows, columns, features)
    image, back_shuffle = pixel_shuffle_vjp(tiles, stride_shape=weights.config.stride_shape)

    def back(
        dimage: Float[Array, "batch channels height width"], trace: Trace | None = None
    ) -> tuple[dict[str, Any], Float[Array, "batch tokens dim"]]:
        record(trace, "reconstruction", dimage)
        dfeatures = back_shuffle(dimage).reshape(features.shape)
        dx = np.zeros_like(x)
        ddecoder, dx[:, drawn] = back_linear(record(trace, "decoder", dfeatures))
        return {"decoder": ddecoder}, dx

    return record(trace, "reconstruction", image), back
