"""Right solutions of assignment 1 that are written in other ways than chapters 1 to 3."""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from deit_ref.numpy_backend import patches as patch_chapter
from deit_ref.numpy_backend import positions as position_chapter
from deit_ref.numpy_backend import tokens as token_chapter
from deit_ref.weights import DeiTWeights, PatchEmbed

Array = np.ndarray[Any, Any]


def patchify_in_loops(pixel_values: Array, *, patch_shape: tuple[int, int]) -> Array:
    height, width = patch_shape
    images = []
    for image in pixel_values:
        found = []
        for top in range(0, image.shape[1], height):
            for left in range(0, image.shape[2], width):
                found.append(image[:, top : top + height, left : left + width].ravel())
        images.append(found)
    return np.array(images)


def patchify_by_windows(pixel_values: Array, *, patch_shape: tuple[int, int]) -> Array:
    height, width = patch_shape
    windows = np.lib.stride_tricks.sliding_window_view(pixel_values, patch_shape, axis=(2, 3))
    apart = windows[:, :, ::height, ::width]  # (batch, channels, rows, columns, height, width)
    apart = np.einsum("bcrkhw->brkchw", apart)
    return apart.reshape(len(apart), apart.shape[1] * apart.shape[2], -1)


def unpatchify_in_loops(patches: Array, *, patch_shape: tuple[int, int], grid: tuple[int, int]) -> Array:
    (height, width), (rows, columns) = patch_shape, grid
    channels = patches.shape[2] // (height * width)
    image = np.zeros((len(patches), channels, rows * height, columns * width))
    for row, column in product(range(rows), range(columns)):
        square = patches[:, row * columns + column].reshape(-1, channels, height, width)
        image[:, :, row * height : (row + 1) * height, column * width : (column + 1) * width] = square
    return image


def unpatchify_by_blocks(patches: Array, *, patch_shape: tuple[int, int], grid: tuple[int, int]) -> Array:
    images = []
    for image in patches:
        squares = [patch.reshape(-1, *patch_shape) for patch in image]
        images.append(np.block([squares[i * grid[1] : (i + 1) * grid[1]] for i in range(grid[0])]))
    return np.stack(images)


def patch_embed_as_convolution(weights: PatchEmbed, pixel_values: Array, *, trace: object = None) -> Array:
    kernel = weights.proj.weight
    batch, channels, height, width = pixel_values.shape
    rows, columns = height // kernel.shape[2], width // kernel.shape[3]
    x = pixel_values.reshape(batch, channels, rows, kernel.shape[2], columns, kernel.shape[3])
    z = np.einsum("bcrhkw,dchw->brkd", x, kernel, optimize=True)
    return z.reshape(batch, rows * columns, -1) + weights.proj.bias


def patch_embed_one_by_one(weights: PatchEmbed, pixel_values: Array, *, trace: object = None) -> Array:
    kernel = weights.proj.weight
    patches = patch_chapter.patchify(pixel_values, patch_shape=kernel.shape[2:])
    tokens = np.empty((*patches.shape[:2], len(kernel)))
    for i, p, d in np.ndindex(*tokens.shape):
        tokens[i, p, d] = sum(patches[i, p] * kernel[d].ravel()) + weights.proj.bias[d]
    return tokens


def _keys(d: float, a: float = -0.75) -> float:
    d = abs(d)
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0


def bicubic_weights_in_loops(size: int, new_size: int, dtype: Any) -> Array:
    weights = [[0.0] * size for _ in range(new_size)]
    for i in range(new_size):
        place = (i + 0.5) * size / new_size - 0.5
        for k in range(int(place // 1) - 1, int(place // 1) + 3):
            weights[i][min(max(k, 0), size - 1)] += _keys(place - k)
    return np.array(weights, dtype)


def bicubic_weights_on_a_longer_line(size: int, new_size: int, dtype: Any) -> Array:
    """The line is longer by three values at each end, which are added to the ends afterwards; in float64."""
    places = (2 * np.arange(new_size) + 1) * (size / (2 * new_size)) - 0.5
    long = np.vectorize(_keys)(places[:, None] - np.arange(-3, size + 3))
    weights = long[:, 3:-3].copy()
    weights[:, 0] += long[:, :3].sum(axis=1)
    weights[:, -1] += long[:, -3:].sum(axis=1)
    return weights.astype(dtype)


def interpolate_by_einsum(
    pos_embed: Array, *, num_prefix_tokens: int, source_grid: tuple[int, int], target_grid: tuple[int, int]
) -> Array:
    down, across = (
        position_chapter._bicubic_weights(old, new, np.float64)
        for old, new in zip(source_grid, target_grid, strict=True)
    )
    plane = pos_embed[0, num_prefix_tokens:].reshape(*source_grid, -1)
    plane = np.einsum("ij,kl,jld->ikd", down, across, plane)
    return np.vstack([pos_embed[0, :num_prefix_tokens], plane.reshape(-1, plane.shape[2])])[None]


def interpolate_by_one_matrix(
    pos_embed: Array, *, num_prefix_tokens: int, source_grid: tuple[int, int], target_grid: tuple[int, int]
) -> Array:
    rows = position_chapter._bicubic_weights(source_grid[0], target_grid[0], pos_embed.dtype)
    columns = position_chapter._bicubic_weights(source_grid[1], target_grid[1], pos_embed.dtype)
    both = np.kron(rows, columns)  # (new patches, patches)
    features = [
        np.r_[feature[:num_prefix_tokens], both @ feature[num_prefix_tokens:]] for feature in pos_embed[0].T.copy()
    ]
    return np.array(features).T[None]


def prepend_by_repeat(cls_token: Array, dist_token: Array | None, x: Array) -> Array:
    prefix = [np.repeat(token, len(x), axis=0) for token in (cls_token, dist_token) if token is not None]
    return np.concatenate([*prefix, x], axis=1)


def prepend_image_by_image(cls_token: Array, dist_token: Array | None, x: Array) -> Array:
    images = []
    for image in x:
        rows = [cls_token[0], image] if dist_token is None else [cls_token[0], dist_token[0], image]
        images.append(np.vstack(rows))
    return np.array(images)


def add_in_place(pos_embed: Array, x: Array, *, trace: object = None) -> Array:
    result = x.copy()
    for image in result:
        image += pos_embed[0]
    return result


def add_one_by_one(pos_embed: Array, x: Array, *, trace: object = None) -> Array:
    return np.array([[[a + b for a, b in zip(*pair, strict=True)] for pair in zip(image, pos_embed[0], strict=True)]
                     for image in x])  # fmt: skip


def embed_in_a_prepared_array(
    weights: DeiTWeights, pixel_values: Array, *, bool_masked_pos: Array | None = None,
    interpolate_pos_encoding: bool = False, generator: object = None, trace: object = None,
) -> Array:  # fmt: skip
    """Starts from the positions and adds the tokens to them."""
    patches = patch_chapter.patch_embed(weights.patch_embed, pixel_values)
    if bool_masked_pos is not None:
        patches = np.where(bool_masked_pos[..., None], weights.mask_token, patches)
    places = weights.pos_embed
    prefix = weights.config.num_prefix_tokens
    if interpolate_pos_encoding:
        grid = tuple(n // p for n, p in zip(pixel_values.shape[2:], weights.config.patch_shape, strict=True))
        places = position_chapter.interpolate_pos_embed(
            places, num_prefix_tokens=prefix, source_grid=weights.config.grid, target_grid=grid
        )
    result = np.tile(places, (len(patches), 1, 1))
    result[:, :1] += weights.cls_token
    if weights.dist_token is not None:
        result[:, 1:2] += weights.dist_token
    result[:, prefix:] += patches
    return result


def embed_with_positions_apart(
    weights: DeiTWeights, pixel_values: Array, *, bool_masked_pos: Array | None = None,
    interpolate_pos_encoding: bool = False, generator: object = None, trace: object = None,
) -> Array:  # fmt: skip
    """Adds the positions of patches and of prefix tokens before both are joined."""
    config = weights.config
    height, width = config.patch_shape
    grid = (pixel_values.shape[2] // height, pixel_values.shape[3] // width)
    places = position_chapter.interpolate_pos_embed(
        weights.pos_embed, num_prefix_tokens=config.num_prefix_tokens, source_grid=config.grid, target_grid=grid
    )
    x = patch_chapter.patch_embed(weights.patch_embed, pixel_values)
    if bool_masked_pos is not None:
        x[bool_masked_pos] = weights.mask_token[0, 0]
    x = x + places[:, config.num_prefix_tokens :]
    cls_token = weights.cls_token + places[:, :1]
    dist_token = None if weights.dist_token is None else weights.dist_token + places[:, 1:2]
    return token_chapter.prepend_tokens(cls_token, dist_token, x)


ALTERNATIVES: dict[str, tuple[Callable[..., Any], ...]] = {
    "patches.patchify": (patchify_in_loops, patchify_by_windows),
    "patches.unpatchify": (unpatchify_in_loops, unpatchify_by_blocks),
    "patches.patch_embed": (patch_embed_as_convolution, patch_embed_one_by_one),
    "positions._bicubic_weights": (bicubic_weights_in_loops, bicubic_weights_on_a_longer_line),
    "positions.interpolate_pos_embed": (interpolate_by_einsum, interpolate_by_one_matrix),
    "tokens.prepend_tokens": (prepend_by_repeat, prepend_image_by_image),
    "positions.add_pos_embed": (add_in_place, add_one_by_one),
    "tokens.embed": (embed_in_a_prepared_array, embed_with_positions_apart),
}
