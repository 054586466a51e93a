"""Right solutions of assignment 6 that are written in other ways than the chapters."""

from collections.abc import Callable
from typing import Any

import numpy as np

from deit_ref.numpy_backend.layers import linear
from deit_ref.numpy_backend.patches import unpatchify
from deit_ref.weights import DeiTWeights

Array = np.ndarray[Any, Any]


def mask_tokens_patch_by_patch(mask_token: Array, x: Array, bool_masked_pos: Array) -> Array:
    result = np.array(x)
    for b, p in np.ndindex(*bool_masked_pos.shape):
        share = float(bool_masked_pos[b, p])
        result[b, p] = (1 - share) * x[b, p] + share * mask_token[0, 0]
    return result


def mask_tokens_by_a_step(mask_token: Array, x: Array, bool_masked_pos: Array) -> Array:
    """From the patch towards the mask token."""
    return x + np.einsum("bp,bpd->bpd", bool_masked_pos.astype(np.float64), mask_token - x)


def pixel_shuffle_tile_by_tile(x: Array, *, stride_shape: tuple[int, int]) -> Array:
    batch, rows, columns, features = x.shape
    height, width = stride_shape
    out = np.empty((batch, features // (height * width), rows * height, columns * width))
    for b, row, column in np.ndindex(batch, rows, columns):
        tile = x[b, row, column].reshape(-1, height, width)
        out[b, :, row * height : (row + 1) * height, column * width : (column + 1) * width] = tile
    return out


def pixel_shuffle_by_unpatchify(x: Array, *, stride_shape: tuple[int, int]) -> Array:
    batch, rows, columns, features = x.shape
    return unpatchify(x.reshape(batch, rows * columns, features), patch_shape=stride_shape, grid=(rows, columns))


def pixel_shuffle_by_concatenation(x: Array, *, stride_shape: tuple[int, int]) -> Array:
    tiles = x.reshape(*x.shape[:3], -1, *stride_shape)
    rows = [np.concatenate([tiles[:, r, c] for c in range(x.shape[2])], axis=-1) for r in range(x.shape[1])]
    return np.concatenate(rows, axis=-2)


def masked_l1_patch_by_patch(
    reconstruction: Array, pixel_values: Array, bool_masked_pos: Array, *, patch_shape: tuple[int, int]
) -> float:
    batch, channels, _, width = pixel_values.shape
    columns = width // patch_shape[1]
    total = count = 0.0
    for b, p in np.ndindex(batch, bool_masked_pos.shape[1]):
        top, left = p // columns * patch_shape[0], p % columns * patch_shape[1]
        place = (b, slice(None), slice(top, top + patch_shape[0]), slice(left, left + patch_shape[1]))
        if bool_masked_pos[b, p]:
            total += float(np.abs(pixel_values[place] - reconstruction[place]).sum())
            count += patch_shape[0] * patch_shape[1]
    return total / ((count + 1e-5) * channels)


def masked_l1_by_kron(
    reconstruction: Array, pixel_values: Array, bool_masked_pos: Array, *, patch_shape: tuple[int, int]
) -> Array:
    """The mean over the channels first."""
    batch, _, height, width = pixel_values.shape
    grid = height // patch_shape[0], width // patch_shape[1]
    m = np.kron(bool_masked_pos.reshape(batch, *grid).astype(float), np.ones((1, *patch_shape)))
    error = np.abs(reconstruction - pixel_values).mean(axis=1)
    return np.einsum("bhw,bhw->", error, m) / (m.sum() + 1e-5)


def reconstruct_by_tiles(
    weights: DeiTWeights, x: Array, *, grid: tuple[int, int], shifted_slice: bool = False, trace: Any = None
) -> Array:
    """Draws with all tokens, then chooses."""
    drawn = x @ weights.decoder.weight.T + weights.decoder.bias
    first = weights.config.num_prefix_tokens
    first -= 1 if shifted_slice and first == 2 else 0
    drawn = drawn[:, first : first + grid[0] * grid[1]].reshape(len(x), *grid, -1)
    return pixel_shuffle_tile_by_tile(drawn, stride_shape=weights.config.stride_shape)


def reconstruct_by_unpatchify(
    weights: DeiTWeights, x: Array, *, grid: tuple[int, int], shifted_slice: bool = False, trace: Any = None
) -> Array:
    x = x.astype(np.float64)
    x = np.delete(
        x, [0, -1] if shifted_slice and weights.config.distilled else range(x.shape[1] - grid[0] * grid[1]), 1
    )
    return unpatchify(linear(weights.decoder, x), patch_shape=weights.config.stride_shape, grid=grid)


ALTERNATIVES: dict[str, tuple[Callable[..., Any], ...]] = {
    "tokens.mask_tokens": (mask_tokens_patch_by_patch, mask_tokens_by_a_step),
    "simmim.pixel_shuffle": (pixel_shuffle_tile_by_tile, pixel_shuffle_by_unpatchify, pixel_shuffle_by_concatenation),
    "losses.masked_l1": (masked_l1_patch_by_patch, masked_l1_by_kron),
    "simmim.reconstruct": (reconstruct_by_tiles, reconstruct_by_unpatchify),
}
