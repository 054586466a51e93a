"""Pictures of how DeiT is trained, by the training's own code: what each augmentation does to a photo, and charts.

`PICTURES` has a function for each name; it takes the bundled weights and returns a <figure>. Photos are WebP in the
page itself; charts are SVG with text, in the page's colors. Every draw has a seed, so a build gives the same bytes.
"""

import base64
import html
import io
import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

import deit_ref
from deit_ref import plots
from deit_ref.data.images import ImageSet
from deit_ref.numpy_backend.attention import attention_rollout
from deit_ref.numpy_backend.backward.relevance import attention_relevance, saliency
from deit_ref.numpy_backend.layers import drop_path
from deit_ref.photos import BUNDLED_PHOTOS, bundled_photo, load_image
from deit_ref.training.augmentation import erase, random_flip, random_resized_crop
from deit_ref.training.batches import Batches
from deit_ref.training.mixing import mix
from deit_ref.training.optimization import learning_rate
from deit_ref.training.randaugment import OPERATIONS
from deit_ref.training.recipe import RECIPES
from deit_ref.weights import init_weights, named_arrays

SIDE = 128  # pixels of a picture
RECIPE = RECIPES["deit-300"].with_changes(image_size=SIDE)
PROCESSING = RECIPE.image_processing
PHOTOS = {
    "chelsea": ("cat", "the face of a ginger tabby cat"),
    "coffee": ("cup", "a cup of coffee on a wooden table"),
}


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
    Published("EfficientNet-B5", "EfficientNet", 30, 456, 169.1, 83.6),
    Published("EfficientNet-B7", "EfficientNet", 66, 600, 55.1, 84.3),
    Published("ViT-B/16", "ViT", 86, 384, 85.9, 77.9),
)


class Tile(NamedTuple):
    """One photo of a row: bytes (height, width, 3), the words under it, and what a reader who cannot see it is told."""

    image: Any
    label: str
    alt: str


def tiles(row: Sequence[Tile], caption: str) -> str:
    """Photos side by side, as many in a row as there is room for."""
    shown = []
    for tile in row:
        stream = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(tile.image)).save(stream, "WEBP", quality=75)
        height, width = tile.image.shape[:2]
        shown.append(
            f'<div class="deit-tile"><img alt="{html.escape(tile.alt)}" width="{width}" height="{height}" '
            f'src="data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}">'
            f"<span>{html.escape(tile.label)}</span></div>"
        )
    return (
        f'<figure class="deit-figure deit-photos"><div class="deit-tiles">{"".join(shown)}</div>'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


@cache
def _photo(name: str) -> Any:
    return load_image(bundled_photo(name))


def _crops(name: str, count: int, seed: int, scale: tuple[float, float] = (0.08, 1.0)) -> torch.Tensor:
    """(count, 3, SIDE, SIDE) bytes: random parts of a photo, as the training cuts them."""
    generator = np.random.default_rng(seed)
    parts = [random_resized_crop(_photo(name), (SIDE, SIDE), scale=scale, generator=generator) for _ in range(count)]
    return torch.from_numpy(np.stack(parts)).permute(0, 3, 1, 2).contiguous()


def _as_seen(name: str) -> torch.Tensor:
    """(1, 3, SIDE, SIDE) bytes: the whole photo, cropped to a square, as in evaluation."""
    pixel_values = deit_ref.preprocess(_photo(name), PROCESSING)
    return torch.from_numpy(plots.to_photos(pixel_values, PROCESSING)).permute(0, 3, 1, 2)


def _normalized(images: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(value).reshape(-1, 1, 1) for value in (PROCESSING.image_mean, PROCESSING.image_std))
    return (images.float() / 255 - mean) / std


def _shown(images: torch.Tensor) -> Any:
    """(batch, height, width, 3) bytes, of bytes or of normalized images."""
    if images.dtype == torch.uint8:
        return images.permute(0, 2, 3, 1).numpy()
    return plots.to_photos(images.numpy(), PROCESSING)


def crop_and_flip(weights: Any) -> str:
    """Four random parts of the photo, mirrored or not."""
    generator = torch.Generator().manual_seed(4)
    crops = _crops("chelsea", 5, seed=3)
    flipped = random_flip(crops, probability=RECIPE.flip, generator=generator)
    row = [Tile(_shown(_as_seen("chelsea"))[0], "as in evaluation", f"{PHOTOS['chelsea'][1]}, whole")]
    for before, after, image in zip(crops, flipped, _shown(flipped), strict=True):
        mirrored = not torch.equal(before, after)
        label = "cropped, mirrored" if mirrored else "cropped"
        row.append(Tile(image, label, f"a random part of the same photo{', mirrored' if mirrored else ''}"))
    low, high = 0.08, 1.0
    return tiles(
        row,
        f"Each crop covers between {low:.0%} and {high:.0%} of the photo, in a shape between 3:4 and 4:3; one in two "
        "is mirrored.",
    )


def rand_augment(weights: Any) -> str:
    """Operations of RandAugment, one at a time, at the recipe's strength."""
    image = _as_seen("chelsea").float()
    level, sign = torch.full((1, 1, 1, 1), RECIPE.magnitude / 10), torch.ones(1, 1, 1, 1)
    row = []
    for name in ("rotate", "shear_x", "color", "posterize", "solarize", "equalize"):
        changed = OPERATIONS[name](image, level, sign).round().clamp(0, 255).to(torch.uint8)
        row.append(Tile(_shown(changed)[0], name.replace("_", " "), f"the cat after {name.replace('_', ' ')}"))
    return tiles(
        row,
        f"{len(row)} of the {len(OPERATIONS)} operations at strength {RECIPE.magnitude} of 10. A photo gets "
        f"{RECIPE.rand_augment} of them in turn, each with probability one half.",
    )


def mixing(weights: Any) -> str:
    """Two photos, and what mixup and cutmix make of them."""
    images = torch.cat([_as_seen("chelsea"), _as_seen("coffee")])
    row = [
        Tile(image, f"label: {PHOTOS[name][0]}", PHOTOS[name][1])
        for name, image in zip(PHOTOS, _shown(images), strict=True)
    ]
    for way, seed in (("mixup", 6), ("mixup", 2), ("cutmix", 5), ("cutmix", 12)):
        alphas = {"mixup": 0.0, "cutmix": 0.0, way: getattr(RECIPE, way)}
        generator = torch.Generator().manual_seed(seed)
        mixed, targets = mix(_normalized(images), torch.eye(2), **alphas, generator=generator)
        cat, cup = targets[0].tolist()
        alt = "both photos laid over each other" if way == "mixup" else "the cat with a rectangle of the other photo"
        row.append(Tile(_shown(mixed)[0], f"{way}: {cat:.2f} cat, {cup:.2f} cup", alt))
    return tiles(row, "The label is mixed in the same proportion as the pixels. A teacher sees the mixed photo, too.")


def erasing(weights: Any) -> str:
    """The photo with a rectangle of noise."""
    images = _normalized(_as_seen("chelsea").repeat(6, 1, 1, 1))
    erased = erase(images, probability=1.0, generator=torch.Generator().manual_seed(2))
    share = (erased != images).any(dim=1).float().mean(dim=(1, 2)).tolist()
    row = [
        Tile(image, f"{part:.0%} erased", f"the cat with noise in a rectangle of {part:.0%} of the photo")
        for image, part in zip(_shown(erased), share, strict=True)
    ]
    return tiles(row, f"One photo in {1 / RECIPE.erasing:.0f} loses a rectangle of 2% to 33% of its area to noise.")


def whole_batch(weights: Any) -> str:
    """Six places of a batch, as the training makes it."""
    names = sorted(BUNDLED_PHOTOS)
    count = 2 * len(names)
    images = ImageSet(
        labels=np.arange(count) % len(names),
        class_names=tuple(PHOTOS.get(name, (name,))[0] for name in names),
        names=[names[i % len(names)] for i in range(count)],
        read=lambda i: _photo(names[i % len(names)]),
    )
    recipe = RECIPE.with_changes(batch_size=2 * RECIPE.repeats)
    batches = Batches(images, recipe, PROCESSING, seed=4, device=torch.device("cpu"))
    batch = batches(0)
    row = []
    for image, target in zip(_shown(batch.pixel_values), batch.targets.tolist(), strict=True):
        first, second = sorted(zip(target, images.class_names, strict=True), reverse=True)[:2]
        label = f"{first[0]:.2f} {first[1]}, {second[0]:.2f} {second[1]}"
        row.append(Tile(image, label, f"a photo of {first[1]}, cropped, changed and mixed with {second[1]}"))
    return tiles(
        row,
        f"A batch of {len(row)} made by the recipe deit-300: two photos, {RECIPE.repeats} times each, every time drawn "
        "again, and then the batch is mixed. Under each place stand the two largest shares of its label.",
    )


# Charts: 360 wide, with text of 13, so that a phone shows them at their own size.

WIDTH, HEIGHT = 360, 230
LEFT, RIGHT, TOP, BOTTOM = 56, 22, 14, 40
LINE = "var(--deit-line, #222)"


def chart(parts: Sequence[str], title: str, caption: str, *, height: int = HEIGHT) -> str:
    """An SVG in a figure."""
    return (
        f'<figure class="deit-figure deit-photos"><svg class="deit-graph" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{html.escape(title)}" font-family="inherit" font-size="13">{"".join(parts)}</svg>'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def text(x: float, y: float, words: str, anchor: str = "middle", fill: str = LINE) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}">{html.escape(words)}</text>'


def polyline(points: Sequence[tuple[float, float]], color: str) -> str:
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{drawn}" fill="none" stroke="{color}" stroke-width="2"/>'


class Axes:
    """Where numbers stand in a chart; `parts` are the axes with their words."""

    def __init__(self, across: tuple[float, float], up: tuple[float, float], *, log: bool = False) -> None:
        self.across, self.up, self.log, self.parts = across, up, log, list[str]()
        self.parts.append(
            f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" fill="none" stroke="{LINE}" stroke-width="1"/>'
        )

    def x(self, value: float) -> float:
        low, high = self.across
        if self.log:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        low, high = self.up
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def ticks(self, across: Mapping[float, str], up: Mapping[float, str], under: str) -> None:
        self.parts += [text(self.x(at), HEIGHT - BOTTOM + 16, words) for at, words in across.items()]
        self.parts += [text(LEFT - 5, self.y(at) + 4, words, "end") for at, words in up.items()]
        self.parts += [
            f'<path d="M{LEFT} {self.y(at):.1f}H{WIDTH - RIGHT}" stroke="var(--deit-border, #ccc)" stroke-width="1"/>'
            for at in up
        ]
        self.parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, under))


def schedule(weights: Any) -> str:
    """The learning rate of the paper's recipe over its epochs."""
    highest, epochs = RECIPE.scaled_learning_rate, RECIPE.epochs
    axes = Axes((0, epochs), (0, highest * 1.08))
    axes.ticks({e: str(e) for e in (0, 100, 200, 300)}, {0: "0", 5e-4: "0.0005", 1e-3: "0.001"}, "epoch")
    steps = np.linspace(0, epochs, 241)
    axes.parts.append(polyline([(axes.x(e), axes.y(learning_rate(RECIPE, e))) for e in steps], "var(--deit-weight)"))
    start = [learning_rate(RECIPE, e) for e in (0, RECIPE.warmup_epochs, epochs)]
    return chart(
        axes.parts,
        "The learning rate rises in a line for five epochs and then falls along half a cosine",
        f"The learning rate of the recipe: {start[0]:.6f} at the start, {start[1]:.6f} after the warm-up of "
        f"{RECIPE.warmup_epochs:g} epochs, {start[2]:.6f} at the end.",
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
                fill = "var(--deit-weight, #186a3b)" if kept[i] else "none"
                parts.append(
                    f'<rect x="{x:.1f}" y="{y}" width="{size - 1}" height="{size}" fill="{fill}" '
                    'stroke="var(--deit-weight, #186a3b)" stroke-width="1"/>'
                )
                dropped += not kept[i]
        if block % 2 == 0 or block == blocks - 1:
            parts.append(text(62 + block * 24.5 + size, 14 + photos * 24 + 12, str(block + 1)))
    parts += [text(54, 24 + i * 24, f"photo {i + 1}", "end") for i in range(photos)]
    parts.append(text((62 + WIDTH - RIGHT) / 2, height - 6, "block: attention, mlp"))
    expected = 2 * sum(RECIPE.drop_path * block / (blocks - 1) for block in range(blocks))
    return chart(
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
    colors = {"new": "var(--deit-mask, #555d69)", "trained": "var(--deit-weight, #186a3b)"}
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
    return chart(
        axes.parts,
        "Two bell-shaped curves: the numbers of new matrices, and those of the bundled model",
        f"The numbers in the matrices of the blocks: new ones have a standard deviation of {spread['new']:.3f}, those "
        f"of the bundled model, after training, {spread['trained']:.3f}.",
    )


def token_cosine(weights: Any) -> str:
    """How similar class and distillation token are, from the input to the last norm, on the bundled photos."""

    def cosine(a: Any, b: Any) -> float:
        return float(np.mean((a * b).sum(axis=-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)))

    photos = [bundled_photo(name) for name in BUNDLED_PHOTOS]
    trace = deit_ref.Trace(["norm"])
    output = deit_ref.forward(weights, photos, output_hidden_states=True, trace=trace)
    learned = cosine(weights.cls_token.reshape(1, -1), weights.dist_token.reshape(1, -1))
    states = [cosine(state[:, 0], state[:, 1]) for state in output.hidden_states[1:]]
    values = [learned, *states, cosine(trace["norm"][:, 0], trace["norm"][:, 1])]
    low = min(0.0, *values)
    axes = Axes((0, len(values) - 1), (low, 1.05))
    names = {0: "learned", len(values) - 1: "norm", **{i: str(i) for i in range(1, len(values) - 1)}}
    axes.ticks(names, {0.0: "0", 0.5: "0.5", 1.0: "1"}, "after block")
    points = [(axes.x(i), axes.y(value)) for i, value in enumerate(values)]
    axes.parts.append(polyline(points, "var(--deit-dist, #6b33b0)"))
    axes.parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="var(--deit-dist, #6b33b0)"/>' for x, y in points]
    return chart(
        axes.parts,
        "The cosine of the two tokens from the learned ones over every block to the last norm",
        f"Cosine of class and distillation token in the bundled model, mean of {len(photos)} photos: {learned:.2f} as "
        f"learned, {min(states):.2f} to {max(states):.2f} after the blocks, {values[-1]:.2f} after the last norm.",
    )


COUNTS = (0, 8, 16, 32, 48)  # patches that `hiding` hides, of 64
ORDERS = 8  # by chance


def left_when_hidden(weights: Any) -> Mapping[str, Any]:
    """Share of the logit that is left, mean of the bundled photos, for each of `COUNTS`, by the order of hiding."""
    prefix, (rows, columns) = weights.config.num_prefix_tokens, weights.config.grid
    generator, shares = np.random.default_rng(0), dict[str, list[Any]]()
    for name in BUNDLED_PHOTOS:
        trace = deit_ref.Trace(["blocks.*.attention.probabilities"])
        pixel_values = deit_ref.preprocess(bundled_photo(name), weights.image_processing)
        label = int(deit_ref.forward(weights, pixel_values=pixel_values).logits[0].argmax())
        found = deit_ref.gradients(
            weights,
            pixel_values=pixel_values,
            target=label,
            trace=trace,
            with_respect_to=("attentions", "pixel_values"),
        )
        attentions = trace.matching("*")
        pulls = saliency(found.pixel_values)[0].reshape(rows, weights.config.patch_shape[0], columns, -1)
        maps = {
            "relevance": attention_relevance(attentions, found.attentions)[0, :prefix, prefix:].sum(axis=0),
            "rollout": attention_rollout(attentions)[0, :prefix, prefix:].sum(axis=0),
            "saliency": pulls.sum(axis=(1, 3)).ravel(),
        }
        orders = {way: [np.argsort(-values)] for way, values in maps.items()}
        orders["by chance"] = [generator.permutation(rows * columns) for _ in range(ORDERS)]
        orders["relevance, last first"] = [np.argsort(maps["relevance"])]
        for way, each in orders.items():
            mask = np.ones((len(COUNTS) * len(each), prefix + rows * columns), bool)
            for row, (count, order) in zip(mask, itertools.product(COUNTS, each), strict=True):
                row[prefix + order[:count]] = False
            many = pixel_values.repeat(len(mask), axis=0)
            logits = deit_ref.forward(weights, pixel_values=many, attention_mask=mask).logits[:, label]
            left = logits.reshape(len(COUNTS), len(each)).mean(axis=1)
            shares.setdefault(way, []).append(left / left[0])
    return {way: np.mean(each, axis=0) for way, each in shares.items()}


def hiding(weights: Any) -> str:
    """What is left of the logit when patches are hidden, by the map that chose them."""
    left = left_when_hidden(weights)
    patches = weights.config.grid[0] * weights.config.grid[1]
    low, high = min(0.0, *(values.min() for values in left.values())), max(values.max() for values in left.values())
    axes = Axes((0, COUNTS[-1]), (low - 0.05, high + 0.35))
    axes.ticks({n: str(n) for n in COUNTS}, {n: f"{n:.0%}" for n in (0.0, 0.5, 1.0)}, f"patches hidden, of {patches}")
    styles = {
        "relevance": ("circle", "var(--deit-cls, #a84c06)"),
        "rollout": ("square", "var(--deit-image, #1d5fa8)"),
        "saliency": ("triangle", "var(--deit-weight, #186a3b)"),
        "by chance": ("cross", "var(--deit-mask, #555d69)"),
        "relevance, last first": ("diamond", "var(--deit-dist, #6b33b0)"),
    }
    for at, (way, (shape, color)) in enumerate(styles.items()):
        points = [(axes.x(n), axes.y(share)) for n, share in zip(COUNTS, left[way], strict=True)]
        key = (LEFT + 14 + 100 * (at // 3), TOP + 6 + 16 * (at % 3))
        axes.parts.append(polyline(points, color))
        axes.parts += [_mark(shape, *point, color) for point in (*points, key)]
        axes.parts.append(text(key[0] + 10, key[1] + 4, way, "start", color))
    half = COUNTS.index(32)
    return chart(
        axes.parts,
        "The share of the logit that is left against the number of hidden patches, by the order of hiding",
        f"Share of the logit that is left, mean of {len(BUNDLED_PHOTOS)} photos. With {COUNTS[half]} patches hidden it "
        f"is {left['relevance'][half]:.0%} in the order of relevance, {left['rollout'][half]:.0%} in that of rollout, "
        f"{left['saliency'][half]:.0%} in that of saliency, {left['by chance'][half]:.0%} by chance, the mean of "
        f"{ORDERS} orders, and {left['relevance, last first'][half]:.0%} if what relevance puts last is hidden first.",
    )


def speed_and_accuracy(weights: Any) -> str:
    """Table 5 of the paper as a chart."""
    axes = Axes((45, 3500), (71, 86), log=True)
    axes.ticks(
        {n: str(n) for n in (50, 100, 300, 1000, 3000)}, {n: str(n) for n in (72, 76, 80, 84)}, "images a second"
    )
    marks = {
        "EfficientNet": ("square", "var(--deit-mask, #555d69)"),
        "RegNetY": ("diamond", "var(--deit-image, #1d5fa8)"),
        "DeiT": ("circle", "var(--deit-cls, #a84c06)"),
        "DeiT distilled": ("triangle", "var(--deit-dist, #6b33b0)"),
        "ViT": ("cross", LINE),
    }
    for at, (family, (shape, color)) in enumerate(marks.items()):
        models = sorted((m for m in PUBLISHED if m.family == family), key=lambda m: m.images_per_second)
        points = [(axes.x(m.images_per_second), axes.y(m.top1)) for m in models]
        axes.parts.append(polyline(points, color))
        # The key stands between the lines at 72 and 76, in two columns; ViT is a single point and is named there.
        key = points[-1] if family == "ViT" else (LEFT + 14 + 100 * (at // 2), HEIGHT - BOTTOM - 43 + 16 * (at % 2))
        axes.parts += [_mark(shape, *point, color) for point in (*points, key)]
        axes.parts.append(text(key[0] + 10, key[1] + 4, family, "start", color))
    return chart(
        axes.parts,
        "Top-1 accuracy in percent against images a second, for the models of the table",
        "Top-1 accuracy in percent on ImageNet against images a second on one V100, from the paper's table 5. Each "
        "line joins the sizes of one family.",
    )


def _mark(shape: str, x: float, y: float, color: str) -> str:
    outline = {
        "square": "M-4-4h8v8h-8z",
        "diamond": "M0-5 5 0 0 5-5 0z",
        "triangle": "M0-5 5 4-5 4z",
        "circle": "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0z",
        "cross": "M-4-5 0-1 4-5 5-4 1 0 5 4 4 5 0 1-4 5-5 4-1 0-5-4z",
    }[shape]
    return f'<path transform="translate({x:.1f} {y:.1f})" d="{outline}" fill="{color}"/>'


def teaching(weights: Any) -> str:
    """Accuracies of the stored experiment: a mark for each seed, a line for their mean."""
    path = Path(__file__).parent / "data" / "distillation.json"
    results = json.loads(path.read_text(encoding="utf-8"))["results"]
    heads = {"class head": ("square", "var(--deit-cls)"), "distillation head": ("diamond", "var(--deit-dist)")}
    heads["average"] = ("circle", LINE)
    found = [100 * run[head] for runs in results.values() for run in runs for head in heads]
    low, high = math.floor(min(found)), math.ceil(max(found))
    axes = Axes((-0.5, len(results) - 0.5), (low, high))
    axes.ticks(dict(enumerate(results)), {at: f"{at}%" for at in range(low, high + 1)}, "taught by")
    for i, runs in enumerate(results.values()):
        for place, (head, (shape, color)) in zip((-0.25, 0, 0.25), heads.items(), strict=True):
            values = [100 * run[head] for run in runs]
            x, mean = axes.x(i + place), axes.y(float(np.mean(values)))
            axes.parts.append(f'<path d="M{x - 9:.1f} {mean:.1f}h18" stroke="{color}" stroke-width="2"/>')
            axes.parts += [_mark(shape, x, axes.y(value), color) for value in values]
    for place, (head, (shape, color)) in zip((70, 160, 292), heads.items(), strict=True):
        axes.parts += [_mark(shape, place, HEIGHT + 12, color), text(place + 9, HEIGHT + 16, head, "start")]
    return chart(
        axes.parts,
        "Accuracy of students without a teacher and with soft and hard distillation, of three heads and three seeds",
        "Named correctly of the 10,000 test photos. A mark is a seed, a line the mean of three. The scale does not "
        f"begin at 0: it spans {high - low} points.",
        height=HEIGHT + 24,
    )


PICTURES: Mapping[str, Callable[[Any], str]] = {
    "crop_and_flip": crop_and_flip,
    "rand_augment": rand_augment,
    "mixing": mixing,
    "erasing": erasing,
    "whole_batch": whole_batch,
    "schedule": schedule,
    "stochastic_depth": stochastic_depth,
    "initial_weights": initial_weights,
    "token_cosine": token_cosine,
    "teaching": teaching,
    "hiding": hiding,
    "speed_and_accuracy": speed_and_accuracy,
}
