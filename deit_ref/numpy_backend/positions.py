"""Chapter 3: where a patch came from.

Input -> output: position embeddings of one grid of patches -> of a new one; tokens -> tokens that know their place.

Attention treats tokens as a set: shuffle them and every token's result is the same. So each place in the image
gets a learned vector that is added to its token. They are learned for one grid (14 x 14 at 224 pixels); an image
of a different size needs them at places in between, and bicubic interpolation gives them.

Source: Touvron et al. 2021, section 3 ("Fixing the positional encoding across resolutions");
interpolate_pos_encoding in transformers; the same in main.py of facebookresearch/deit. timm differs: it smooths
(antialias) when it interpolates.
"""

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float
from numpy.typing import DTypeLike

from deit_ref.trace import Trace, record

Array: TypeAlias = np.ndarray[Any, Any]


def interpolate_pos_embed(
    pos_embed: Float[Array, "1 tokens dim"],
    *,
    num_prefix_tokens: int,
    source_grid: tuple[int, int],
    target_grid: tuple[int, int],
) -> Float[Array, "1 new_tokens dim"]:
    r"""Position embeddings for a different grid of patches.

    $$G' = W_\text{rows} \, G \, W_\text{columns}^\top$$

    for each feature, where G is the grid of its values and each row of a W holds four cubic weights.

    Args:
        pos_embed: first the prefix tokens (cls, dist), which have no place and stay as they are, then the patches.
        num_prefix_tokens: 2 for DeiT, 1 for plain ViT.
        source_grid: (rows, columns) that pos_embed was learned for; also non-square.
        target_grid: (rows, columns) of the image at hand.

    Raises:
        ValueError: pos_embed does not hold as many positions as source_grid says.

    >>> pos_embed = np.array([[[9.0], [0.0], [1.0]]])  # cls, and a grid of 1 x 2
    >>> wider = interpolate_pos_embed(pos_embed, num_prefix_tokens=1, source_grid=(1, 2), target_grid=(1, 4))
    >>> wider.ravel().round(3).tolist()  # cls stays; the cubic overshoots at both ends
    [9.0, -0.105, 0.227, 0.773, 1.105]
    """
    rows, columns = source_grid
    if pos_embed.shape[1] != num_prefix_tokens + rows * columns:
        raise ValueError(
            f"{num_prefix_tokens} prefix tokens and a grid of {rows}x{columns} make "
            f"{num_prefix_tokens + rows * columns} positions, got {pos_embed.shape[1]}."
        )
    prefix, patches = pos_embed[:, :num_prefix_tokens], pos_embed[:, num_prefix_tokens:]
    plane = patches.reshape(rows, columns, -1)  # (rows, columns, dim)
    row_weights = _bicubic_weights(rows, target_grid[0], pos_embed.dtype)  # (new_rows, rows)
    column_weights = _bicubic_weights(columns, target_grid[1], pos_embed.dtype)  # (new_columns, columns)
    plane = np.tensordot(row_weights, plane, axes=1)  # (new_rows, columns, dim)
    plane = column_weights @ plane  # (new_rows, new_columns, dim)
    return np.concatenate([prefix, plane.reshape(1, -1, plane.shape[-1])], axis=1)  # (1, new_tokens, dim)


def _bicubic_weights(size: int, new_size: int, dtype: DTypeLike) -> Float[Array, "new_size size"]:
    r"""The matrix that resamples a line of `size` values at `new_size` evenly spread places.

    Place i lies at $r_i = s (i + \frac12) - \frac12$ with $s = \text{old size} / \text{new size}$. Its value is a mix
    of the four values around it, by Keys' cubic with a = -0.75 (Pillow takes -0.5; so does torch with antialias):

    $$\kappa(x) = (a+2) x^3 - (a+3) x^2 + 1 \; (x \le 1), \qquad a (x^3 - 5 x^2 + 8 x - 4) \; (1 < x < 2)$$

    Beyond the border the last value is repeated. Places are computed in the array's own dtype, as torch does.
    """
    real: Any = np.dtype(dtype).type
    a = real(-0.75)
    places = real(size) / real(new_size) * (np.arange(new_size).astype(real) + real(0.5)) - real(0.5)
    first = np.floor(places)
    weights = np.zeros((new_size, size), real)
    for offset in (-1, 0, 1, 2):
        d = np.abs(places - (first + offset))  # (new_size,)
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        neighbor = np.clip(first + offset, 0, size - 1).astype(int)
        # add.at, because at the border several taps fall on the same value
        np.add.at(weights, (np.arange(new_size), neighbor), np.where(d <= 1, near, far))
    return weights


def add_pos_embed(
    pos_embed: Float[Array, "1 tokens dim"], x: Float[Array, "batch tokens dim"], *, trace: Trace | None = None
) -> Float[Array, "batch tokens dim"]:
    """Add to every token the vector of its place: $z + E_\text{pos}$ (Dosovitskiy et al. 2021, equation 1).

    Args:
        pos_embed: one vector per token, prefix tokens included.
        x: tokens.
        trace: records pos_embed.
    """
    return x + record(trace, "pos_embed", pos_embed)
