"""Chapter 13, mirrored: masked image modeling, guessing pixels that were hidden."""

from typing import TypeAlias

import torch
from jaxtyping import Float

from deit_ref.torch_backend.layers import linear
from deit_ref.trace import Trace, record
from deit_ref.weights import DeiTWeights

Array: TypeAlias = torch.Tensor


def pixel_shuffle(
    x: Float[Array, "batch rows columns features"], *, stride_shape: tuple[int, int]
) -> Float[Array, "batch channels height width"]:
    """Mirror of numpy_backend.simmim.pixel_shuffle; F.pixel_shuffle knows only square tiles."""
    batch, rows, columns, _ = x.shape
    tile_height, tile_width = stride_shape
    x = x.reshape(batch, rows, columns, -1, tile_height, tile_width)
    x = x.permute(0, 3, 1, 4, 2, 5)  # (batch, channels, rows, tile_height, columns, tile_width)
    return x.reshape(batch, -1, rows * tile_height, columns * tile_width)


def reconstruct(
    weights: DeiTWeights,
    x: Float[Array, "batch tokens dim"],
    *,
    grid: tuple[int, int],
    shifted_slice: bool = False,
    trace: Trace | None = None,
) -> Float[Array, "batch channels height width"]:
    """Mirror of numpy_backend.simmim.reconstruct."""
    prefix = weights.config.num_prefix_tokens
    patches = x[:, 1:-1] if shifted_slice and prefix == 2 else x[:, prefix:]  # (batch, patches, dim)
    assert weights.decoder is not None
    features = record(trace, "decoder", linear(weights.decoder, patches))  # (batch, patches, features)
    tiles = features.reshape(x.shape[0], *grid, -1)  # (batch, rows, columns, features)
    return record(trace, "reconstruction", pixel_shuffle(tiles, stride_shape=weights.config.stride_shape))
