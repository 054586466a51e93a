"""The rest of the recipe as graphs: rate, branches that are left out, first weights; and the paper's models."""

import math
from typing import Any, NamedTuple

import numpy as np

from deit_ref.numpy_backend.layers import drop_path
from deit_ref.training.optimization import learning_rate
from deit_ref.training.recipe import RECIPES
from deit_ref.weights import init_weights, named_arrays
from pictures.charts import marker
from pictures.graphs import BOTTOM, HEIGHT, LEFT, LINE, RIGHT, TOP, WIDTH, Axes, graph, polyline, text

RECIPE = RECIPES["deit-300"]


class Published(NamedTuple):
    """A model in table 5 of the DeiT paper: name, family, millions of weights, pixels, images a second, top-1."""

    name: str
    family: str
    millions: int
    pixels: int
    images_per_second: float
    top1: float


# One V100 of 16 GB, the largest batch that fits; RegNetY trained as DeiT is. Labels alone unless distilled.
PUBLISHED = (
    Published("DeiT-Ti", "DeiT", 5, 224, 2536.5, 72.2),
    Published("DeiT-S", "DeiT", 22, 224, 940.4, 79.8),
    Published("DeiT-B", "DeiT", 86, 224, 292.3, 81.8),
    Published("DeiT-B at 384", "DeiT", 86, 384, 85.9, 83.1),
    Published("DeiT-Ti distilled", "DeiT distilled", 6, 224, 2529.5, 74.5),
    Published("DeiT-S distilled", "DeiT distilled", 22, 224, 936.2, 81.2),
    Published("DeiT-B distilled", "DeiT distilled", 87, 224, 290.9, 83.4),
    Published("DeiT-B distilled at 384", "DeiT distilled", 87, 384, 85.8, 84.5),
    Published("RegNetY-4GF", "RegNetY", 21, 224, 1156.7, 80.0),
    Published("RegNetY-8GF", "RegNetY", 39, 224, 591.6, 81.7),
    Published("RegNetY-16GF", "RegNetY", 84, 224, 334.7, 82.9),
    Published("EfficientNet-B0", "EfficientNet", 5, 224, 2694.3, 77.1),
    Published("EfficientNet-B3", "EfficientNet", 12, 300, 732.1, 81.6),
    Published("EfficientNet-B4", "EfficientNet", 19, 380, 349.4, 82.9),
    Published("EfficientNet-B5", "EfficientNet", 30, 456, 169.1, 83.6),
    Published("EfficientNet-B6", "EfficientNet", 43, 528, 96.9, 84.0),
    Published("EfficientNet-B7", "EfficientNet", 66, 600, 55.1, 84.3),
    Published("ViT-B/16", "ViT", 86, 384, 85.9, 77.9),
)


def schedule(weights: Any) -> str:
    """The learning rate of the paper's recipe over its epochs."""
    highest, epochs = RECIPE.scaled_learning_rate, RECIPE.epochs
    axes = Axes((0, epochs), (0, highest * 1.08))
    axes.ticks({e: str(e) for e in (0, 100, 200, 300)}, {0: "0", 5e-4: "0.0005", 1e-3: "0.001"}, "epoch")
    steps = np.linspace(0, epochs, 241)
    axes.parts.append(polyline([(axes.x(e), axes.y(learning_rate(RECIPE, e))) for e in steps], "var(--deit-weight)"))
    start = [learning_rate(RECIPE, e) for e in (0, RECIPE.warmup_epochs, epochs)]
    return graph(
        axes.parts,
        "The learning rate rises in a line for five epochs and then falls along half a cosine",
        f"The learning rate of the recipe: {start[0]:.6f} at the start, {start[1]:.6f} after the warm-up of "
        f"{RECIPE.warmup_epochs:g} epochs (the cosine counts from the first epoch on), {start[2]:.6f} at the end.",
    )


def stochastic_depth(weights: Any) -> str:
    """Which branches of twelve blocks are left out for four photos, in two steps each."""
    blocks, photos = 12, 4
    generator = np.random.default_rng(3)
    parts, height, size = [], 150, 11
    dropped = 0
    for block in range(blocks):
        probability = RECIPE.drop_path * block / (blocks - 1)
        for branch in range(2):
            kept = drop_path(np.ones((photos, 1)), probability=probability, generator=generator)[:, 0] > 0
            x = 62 + block * 24.5 + branch * (size + 0.5)
            for i in range(photos):
                y = 14 + i * 24
                fill = "var(--deit-weight)" if kept[i] else "none"
                parts.append(
                    f'<rect x="{x:.1f}" y="{y}" width="{size - 1}" height="{size}" fill="{fill}" '
                    'stroke="var(--deit-weight)" stroke-width="1"/>'
                )
                dropped += not kept[i]
        if block % 2 == 0 or block == blocks - 1:
            parts.append(text(62 + block * 24.5 + size, 14 + photos * 24 + 12, str(block + 1)))
    parts += [text(54, 24 + i * 24, f"photo {i + 1}", "end") for i in range(photos)]
    parts.append(text((62 + WIDTH - RIGHT) / 2, height - 6, "block: attention, mlp"))
    expected = 2 * sum(RECIPE.drop_path * block / (blocks - 1) for block in range(blocks))
    return graph(
        parts,
        f"Of the 24 branches of four photos, {dropped} of 96 are left out, most of them in late blocks",
        f"Stochastic depth in one step: each square is a branch, and for each photo some are left out, here {dropped} "
        f"of {photos * 2 * blocks}. On average it is {expected:.1f} of {2 * blocks} for a photo.",
        height=height,
    )


def initial_weights(weights: Any) -> str:
    """How the numbers in the blocks' matrices are spread, new and after training."""

    def entries(tree: Any) -> Any:
        return np.concatenate(
            [a.ravel() for name, a in named_arrays(tree) if name.startswith("blocks.") and a.ndim == 2]
        ).astype(np.float64)

    kinds = {"new": entries(init_weights(weights.config, weights.task, seed=0)), "trained": entries(weights)}
    colors = {"new": "var(--deit-mask)", "trained": "var(--deit-weight)"}
    edge = 4 * max(values.std() for values in kinds.values())
    edges = np.linspace(-edge, edge, 82)
    heights = {kind: np.histogram(values, edges)[0] / len(values) for kind, values in kinds.items()}
    axes = Axes((-edge, edge), (0, 1.1 * max(shares.max() for shares in heights.values())))
    step = 10 ** math.floor(math.log10(edge))
    axes.ticks({n * step: f"{n * step:g}" for n in range(-9, 10) if abs(n * step) <= edge * 0.9}, {}, "value")
    middles = (edges[:-1] + edges[1:]) / 2
    for at, (kind, shares) in enumerate(heights.items()):
        points = [(axes.x(m), axes.y(share)) for m, share in zip(middles, shares, strict=True)]
        axes.parts += [
            polyline(points, colors[kind]),
            text(WIDTH - RIGHT, TOP + 16 + 18 * at, kind, "end", colors[kind]),
        ]
    spread = {kind: values.std() for kind, values in kinds.items()}
    return graph(
        axes.parts,
        "Two bell-shaped curves: the numbers of new matrices, and those of the bundled model",
        f"The numbers in the matrices of the blocks: new ones have a standard deviation of {spread['new']:.3f}, those "
        f"of the bundled model, after training, {spread['trained']:.3f}.",
    )


def speed_and_accuracy(weights: Any) -> str:
    """Table 5 of the paper as a chart."""
    axes = Axes((45, 3500), (71, 86), log=True)
    axes.ticks(
        {n: str(n) for n in (50, 100, 300, 1000, 3000)}, {n: str(n) for n in (72, 76, 80, 84)}, "images a second"
    )
    marks = {
        "EfficientNet": ("square", "var(--deit-mask)"),
        "RegNetY": ("triangle", "var(--deit-mask)"),
        "DeiT": ("circle", "var(--deit-cls)"),
        "DeiT distilled": ("diamond", "var(--deit-dist)"),
        "ViT": ("cross", LINE),
    }
    for at, (family, (shape, color)) in enumerate(marks.items()):
        models = sorted((m for m in PUBLISHED if m.family == family), key=lambda m: m.images_per_second)
        points = [(axes.x(m.images_per_second), axes.y(m.top1)) for m in models]
        axes.parts.append(polyline(points, color))
        # The key stands between the lines at 72 and 76, in two columns; ViT is a single point and is named there.
        key = points[-1] if family == "ViT" else (LEFT + 14 + 100 * (at // 2), HEIGHT - BOTTOM - 43 + 16 * (at % 2))
        axes.parts += [marker(shape, *point, color) for point in (*points, key)]
        axes.parts.append(text(key[0] + 10, key[1] + 4, family, "start", color))
    return graph(
        axes.parts,
        "Top-1 accuracy in percent against images a second, for the models of the table",
        "Top-1 accuracy in percent on ImageNet against images a second on one V100, from the paper's table 5. Each "
        "line joins the sizes of one family.",
    )
