"""What experiments found, as graphs: the two tokens, who teaches, and which patches a decision rests on."""

import itertools
import json
import math
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import deit_ref
from deit_ref.benchmark.ways import WAYS
from deit_ref.numpy_backend.attention import attention_rollout
from deit_ref.numpy_backend.backward.relevance import attention_relevance, saliency
from deit_ref.photos import BUNDLED_PHOTOS, bundled_photo
from pictures.charts import marker
from pictures.graphs import LEFT, LINE, RIGHT, TOP, WIDTH, Axes, graph, polyline, text


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
    axes.parts.append(polyline(points, LINE))
    axes.parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{LINE}"/>' for x, y in points]
    return graph(
        axes.parts,
        "The cosine of the two tokens from the learned ones over every block to the last norm",
        f"Cosine of class and distillation token in the bundled model, mean of {len(photos)} photos: {learned:.2f} as "
        f"learned, {min(states):.2f} to {max(states):.2f} after the blocks, {values[-1]:.2f} after the last norm.",
    )


def teaching(weights: Any) -> str:
    """Accuracies of the stored experiments, a row for each way: a mark for each seed, a line for their mean."""
    data = Path(__file__).parent.parent / "data"
    stored = [json.loads((data / f"distillation_{name}.json").read_text("utf-8")) for name in ("teaching", "token")]
    results = {way: runs for each in stored for way, runs in each["results"].items()}
    results = {way: results[way] for way in sorted(results, key=list(WAYS).index)}
    heads = {"class head": ("circle", "var(--deit-cls)"), "distillation head": ("diamond", "var(--deit-dist)")}
    heads["mean of logits"] = ("triangle", LINE)
    found = [100 * run[head] for runs in results.values() for run in runs for head in heads if head in run]
    low, high, row, left, top = math.floor(min(found)), math.ceil(max(found)), 44, 118, 34
    end, parts = top + row * len(results), list[str]()

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (WIDTH - RIGHT - left)

    for at in range(low, high + 1):
        parts.append(f'<path d="M{x(at):.1f} {top}V{end}" stroke="var(--deit-border)" stroke-width="1"/>')
        parts.append(text(x(at), end + 16, f"{at}%"))
    for i, (way, runs) in enumerate(results.items()):
        middle = top + row * (i + 0.5)
        parts.append(f'<path d="M0 {top + row * i}H{WIDTH - RIGHT}" stroke="var(--deit-border)" stroke-width="1"/>')
        words = textwrap.wrap(way, 17)
        parts += [
            text(0, middle + 4.5 + 16 * (j - (len(words) - 1) / 2), word, "start") for j, word in enumerate(words)
        ]
        for place, (head, (shape, color)) in zip((-12, 0, 12), heads.items(), strict=True):
            values = [100 * run[head] for run in runs if head in run]
            if not values:
                continue
            mean, y = x(float(np.mean(values))), middle + place
            parts.append(f'<path d="M{mean:.1f} {y - 7:.1f}v14" stroke="{color}" stroke-width="2"/>')
            parts += [marker(shape, x(value), y, color) for value in values]
    for place, (head, (shape, color)) in zip((8, 102, 244), heads.items(), strict=True):
        parts += [marker(shape, place, 12, color), text(place + 9, 16, head, "start")]
    return graph(
        parts,
        "Accuracy of small students, by how they were taught, of each head and each seed",
        "Named correctly of the 10,000 test photos. A mark is a seed, a line the mean of three; a student with one "
        f"token has one head. The scale does not begin at 0: it spans {high - low} points.",
        height=end + 24,
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
        "relevance": ("circle", LINE),
        "rollout": ("square", "var(--deit-image)"),
        "saliency": ("triangle", "var(--deit-weight)"),
        "by chance": ("cross", "var(--deit-mask)"),
        "relevance, last first": ("diamond", LINE),
    }
    for at, (way, (shape, color)) in enumerate(styles.items()):
        points = [(axes.x(n), axes.y(share)) for n, share in zip(COUNTS, left[way], strict=True)]
        key = (LEFT + 14 + 100 * (at // 3), TOP + 6 + 16 * (at % 3))
        axes.parts.append(polyline(points, color))
        axes.parts += [marker(shape, *point, color) for point in (*points, key)]
        axes.parts.append(text(key[0] + 10, key[1] + 4, way, "start", color))
    half = COUNTS.index(32)
    return graph(
        axes.parts,
        "The share of the logit that is left against the number of hidden patches, by the order of hiding",
        f"Share of the logit that is left, mean of {len(BUNDLED_PHOTOS)} photos. With {COUNTS[half]} patches hidden it "
        f"is {left['relevance'][half]:.0%} in the order of relevance, {left['rollout'][half]:.0%} in that of rollout, "
        f"{left['saliency'][half]:.0%} in that of saliency, {left['by chance'][half]:.0%} by chance, the mean of "
        f"{ORDERS} orders, and {left['relevance, last first'][half]:.0%} if what relevance puts last is hidden first.",
    )
