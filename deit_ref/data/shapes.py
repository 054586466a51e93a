"""Ten kinds of shapes, drawn by code: photos to learn from that need no download and no disk.

Every picture has 32 x 32 pixels: one shape of a bright color, of 16 to 24 pixels and near the middle, before dark gray,
under noise.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from deit_ref import checks

Array: TypeAlias = np.ndarray[Any, Any]

# Which points belong to a shape; u goes to the right and v down, from -1 to 1 over the shape's own square.
SHAPES: Mapping[str, Callable[[Array, Array], Array]] = {
    "bars": lambda u, v: np.floor(2.5 * (u + 1)) % 2 == 0,
    "checkers": lambda u, v: (np.floor(2 * (u + 1)) + np.floor(2 * (v + 1))) % 2 == 0,
    "cross": lambda u, v: np.minimum(np.abs(u - v), np.abs(u + v)) < 0.4,
    "disk": lambda u, v: u**2 + v**2 < 1,
    "frame": lambda u, v: np.maximum(np.abs(u), np.abs(v)) > 0.55,
    "plus": lambda u, v: np.minimum(np.abs(u), np.abs(v)) < 0.3,
    "ring": lambda u, v: (u**2 + v**2 < 1) & (u**2 + v**2 > 0.35),
    "square": lambda u, v: np.ones_like(u + v, bool),
    "stripes": lambda u, v: np.floor(2.5 * (v + 1)) % 2 == 0,
    "triangle": lambda u, v: 2 * np.abs(u) < v + 1,
}
SIZE = 32


def draw_shapes(count: int, *, seed: int, noise: float = 25.0) -> tuple[Array, Array]:
    """Pictures and their classes, every class as often as the others, or once more.

    Args:
        count: how many.
        seed: the same seed draws the same pictures.
        noise: standard deviation of what is added to every number, of 255.

    Returns:
        Bytes (count, 32, 32, 3), and class numbers (count,) in the order of `SHAPES`.
    """
    checks.integer("count", count, minimum=1)
    generator = np.random.default_rng(checks.integer("seed", seed, minimum=0))
    labels = generator.permutation(np.arange(count) % len(SHAPES))
    half = generator.uniform(8.0, 12.0, count)  # of a shape's width, in pixels
    across, down = (SIZE / 2 + generator.uniform(-3.0, 3.0, count) for _ in range(2))  # of its center
    colors = generator.uniform(60, 255, (count, 3))
    colors[np.arange(count), generator.integers(0, 3, count)] = 255  # none is dark
    places = np.arange(SIZE) + 0.5
    u = ((places - across[:, None]) / half[:, None])[:, None, :]  # (count, 1, width)
    v = ((places - down[:, None]) / half[:, None])[:, :, None]  # (count, height, 1)
    inside = (np.abs(u) < 1) & (np.abs(v) < 1)  # (count, height, width)
    for label, belongs in enumerate(SHAPES.values()):
        rows = labels == label
        inside[rows] &= belongs(u[rows], v[rows])
    pictures = np.where(inside[..., None], colors[:, None, None], 60.0)
    pictures += generator.normal(0, noise, pictures.shape)
    return pictures.clip(0, 255).astype(np.uint8), labels
