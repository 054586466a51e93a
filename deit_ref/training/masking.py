"""Which patches SimMIM hides. Needs no torch, so that pictures can be drawn without it."""

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool

from deit_ref import checks

Array: TypeAlias = np.ndarray[Any, Any]


def random_masks(
    batch: int, grid: tuple[int, int], *, ratio: float, block: int = 1, generator: np.random.Generator
) -> Bool[Array, "batch patches"]:
    """Patches to hide, drawn as SimMIM draws them: squares of `block` x `block` patches, a share `ratio` of them.

    Args:
        batch: how many images, each with squares of its own.
        grid: (rows, columns) of patches; where squares do not fit, those at the right and lower edge are cut.
        ratio: share of the squares, in [0, 1]; their number is rounded up, as in SimMIM.
        block: side of a square in patches.
        generator: where the chance comes from.

    Returns:
        True where a patch is hidden; patches row by row.

    Raises:
        ValueError: an argument is out of range.

    Source: Xie et al. 2022 (SimMIM), section 3.2; MaskGenerator in microsoft/SimMIM.
    """
    rows, columns = checks.pair("grid", grid)
    batch, block = checks.integer("batch", batch), checks.integer("block", block)
    ratio = checks.fraction("ratio", ratio)
    down, across = -(-rows // block), -(-columns // block)
    order = generator.random((batch, down * across)).argsort(axis=1)  # (batch, squares): a permutation in each row
    hidden = order < np.ceil(ratio * (down * across))
    squares = hidden.reshape(batch, down, across).repeat(block, axis=1).repeat(block, axis=2)
    return squares[:, :rows, :columns].reshape(batch, rows * columns)  # (batch, patches)
