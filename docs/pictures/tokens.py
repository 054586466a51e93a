"""From the photo to tokens: patches, filters, positions, the first norm."""

from typing import Any

import numpy as np
from inside_data import same_part

from deit_ref.numpy_backend.layers import layer_norm
from deit_ref.weights import LayerNorm
from pictures.charts import TOKENS, key, strips
from pictures.parts import Array, as_bytes, figure, number, panel, percent, picture, signed, tiled
from pictures.run import EYE, SHOWS, cut, run, step


def patches(weights: Any) -> str:
    """The photo, its pixels, its patches, and one of them."""
    r = run(weights)
    (height, width), (rows, columns), (patch_height, patch_width) = r.seen.shape[:2], r.grid, weights.config.patch_shape
    x, y, w, h = r.square(EYE)
    row = r.trace["patches"][0, r.patch_token(EYE) - weights.config.num_prefix_tokens]
    return figure(
        [
            panel("The photo", picture(same_part(r.photo, r.seen, weights.image_processing), SHOWS, photo=True)),
            panel(
                f"{height} × {width} pixels",
                picture(r.seen, f"The same in {height} × {width} pixels, a patch outlined", outlined=[r.square(EYE)]),
            ),
            panel(f"{rows * columns} patches, {rows} rows of {columns}", cut(r)),
            panel(
                "The outlined one",
                picture(r.seen[y : y + h, x : x + w], f"A patch enlarged: {h} × {w} pixels of the cat’s eye"),
            ),
        ],
        f"The photo that goes through this book, as the bundled model reads it: {height} × {width} pixels, in "
        f"{rows * columns} patches of {patch_height} × {patch_width}. The outlined patch becomes a row of {len(row)} "
        f"numbers, {patch_height * patch_width} for each color; after normalization they lie between "
        f"{number(row.min())} and {number(row.max())}.",
        links={"the patches": step("patches"), "the tokens made of them": step("patch_embed")},
    )


def filters(weights: Any) -> str:
    """The rows of the patch embedding's matrix as the small pictures that they are, and their principal components."""
    kernels = np.asarray(weights.patch_embed.proj.weight, np.float64)  # (dim, channels, height, width)
    rows = kernels.reshape(len(kernels), -1)  # (dim, values)
    _, strengths, components = np.linalg.svd(rows, full_matrices=False)
    components *= np.sign(components.sum(axis=1, keepdims=True))  # a component has no sign of its own
    held = np.cumsum(strengths**2) / (strengths**2).sum()
    half = int((held < 0.5).sum()) + 1
    shown = min(32, len(components))
    return figure(
        [
            panel(
                f"All {len(rows)} rows of <em>E</em>",
                picture(_squares(rows, kernels.shape, 16), f"{len(rows)} small squares of colored pixels"),
                wide=True,
            ),
            panel(
                f"Their first {shown} components",
                picture(
                    _squares(components[:shown], kernels.shape, 8),
                    "Small squares: first stripes and edges, then blobs, at the end checks of many colors",
                ),
                wide=True,
            ),
        ],
        f"What the bundled model’s patch embedding looks for. First the rows of <em>E</em>, each as a picture on a "
        f"scale of its own: middle gray is 0, and the weight farthest from 0 is full light or dark. Then their "
        f"principal components, the strongest first: the {half} strongest hold half of the rows’ squared length, and "
        f"these {shown} hold {percent(held[shown - 1])}.",
        links={"the patches": step("patches"), "what the rows make of them": step("patch_embed")},
    )


def positions(weights: Any) -> str:
    """How alike the position embeddings are, as maps."""
    prefix, (rows, columns) = weights.config.num_prefix_tokens, weights.config.grid
    learned = np.asarray(weights.pos_embed[0, prefix:], np.float64)
    directions = learned / np.linalg.norm(learned, axis=1, keepdims=True)
    cosines = (directions @ directions.T).reshape(rows, columns, rows, columns)
    place = np.stack(np.mgrid[:rows, :columns], axis=-1)  # (rows, columns, 2)
    distance = np.abs(place[:, :, None, None] - place).sum(axis=-1)  # in steps to a neighbor
    near, far = cosines[distance == 1].mean(), cosines[distance > rows // 2].mean()
    row, column = EYE
    chosen = picture(
        signed(cosines[EYE]),
        f"Similarity of the place in row {row + 1}, column {column + 1}, outlined, to all places",
        outlined=[(column, row, 1, 1)],
    )
    everything = picture(tiled(signed(cosines)), f"{rows} × {columns} small maps, each with its own place most crimson")
    return figure(
        [
            panel(f"All {rows * columns} places", everything),
            panel(f"Row {row + 1}, column {column + 1}", chosen, f"from {number(cosines[EYE].min())} to 1"),
        ],
        "How alike the bundled model’s position embeddings are: the cosine of each place’s vector with those of all "
        "places, a small map for each, and one of the maps enlarged. Crimson is alike (1), white is unrelated (0), "
        f"teal is opposed. On average the cosine is {number(near)} between direct neighbors, and {number(far)} between "
        f"places more than {rows // 2} steps apart.",
        links={"the embeddings themselves": step("pos_embed"), "their sum with the tokens": step("embeddings")},
    )


def layers(weights: Any) -> str:
    """Lengths of the tokens before and after the first layer norm."""
    r = run(weights)
    dim, eps = weights.config.hidden_size, weights.config.layer_norm_eps
    rows = {
        "as they come": r.stream[0],
        "mean 0, variance 1": layer_norm(LayerNorm(weight=np.ones(dim), bias=np.zeros(dim)), r.stream[0], eps=eps),
        "scaled by γ, shifted by β": layer_norm(weights.blocks[0].norm1, r.stream[0], eps=eps),
    }
    lengths = {name: np.linalg.norm(values, axis=1) for name, values in rows.items()}
    before, _, after = lengths.values()
    drawn = strips(
        lengths, "The tokens’ lengths: spread out as they come, all the same at variance 1, close after that"
    )
    return figure(
        [panel("Length of each token", drawn + key({**TOKENS, "image": "patches"}))],
        f"The {len(before)} tokens of the photo at the bundled model’s first layer norm. The longest is "
        f"{before.max() / before.min():.1f} times as long as the shortest. Mean 0 and variance 1 give every token the "
        f"length √{dim} = {dim**0.5:.1f}. The learned γ and β, which are the same for all, bring the lengths to "
        f"between {after.min():.1f} and {after.max():.1f}.",
        links={"before": step("embeddings"), "after": step("blocks.0.norm1")},
    )


def _squares(rows: Array, shape: tuple[int, ...], columns: int) -> Array:
    """Rows of weights as a grid of small pictures, each on a scale of its own on which 0 is gray."""
    pictures = (rows / np.abs(rows).max(axis=1, keepdims=True)).reshape(-1, *shape[1:]).transpose(0, 2, 3, 1)
    columns = next(count for count in range(columns, 0, -1) if len(rows) % count == 0)
    return tiled(as_bytes(127.5 + 127.5 * pictures).reshape(-1, columns, *pictures.shape[1:]))
