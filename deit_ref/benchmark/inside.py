"""What trained weights do inside: their two tokens, their heads, and what they know after each block.

    python -m deit_ref.benchmark.inside --data cifar10/ --weights cifar10-distilled --json tables/ --png figures/

Source: Touvron et al. 2021, section 4, for the cosine of the tokens; Dosovitskiy et al. 2021, figure 7, for the mean
distance of attention; Michel et al. 2019 ("Are sixteen heads really better than one?") for silenced heads;
nostalgebraist 2020 ("the logit lens") for the heads of classification after every block.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Integer

from deit_ref import plots
from deit_ref.api import preprocess
from deit_ref.benchmark import records
from deit_ref.checkpoints.files import json_bytes, write
from deit_ref.checkpoints.load import load_weights
from deit_ref.data.images import ImageSet, in_memory, subset
from deit_ref.data.opening import open_images
from deit_ref.image_processing import ImageProcessing
from deit_ref.outputs import TeacherOutput
from deit_ref.photos import write_png
from deit_ref.torch_backend.heads import classify
from deit_ref.torch_backend.layers import layer_norm
from deit_ref.torch_backend.model import TASKS, encode
from deit_ref.torch_backend.tokens import split_tokens
from deit_ref.trace import Trace
from deit_ref.weights import DeiTWeights

Array: TypeAlias = torch.Tensor
Grid: TypeAlias = np.ndarray[Any, Any]

COSINE = "Cosine of class and distillation token, on their way"
HEADS = ("class head", "distillation head")
AT_ONCE = 250  # photos in memory with all that is recorded of them


def seen(images: ImageSet, processing: ImageProcessing) -> tuple[Array, Array]:
    """Photos as weights see them (images, channels, height, width), and their labels."""
    return preprocess(list(in_memory(images)), processing, backend="torch"), torch.from_numpy(images.labels)


@torch.no_grad()
def head_logits(
    weights: DeiTWeights,
    pixel_values: Float[Array, "batch channels height width"],
    *,
    head_mask: Float[Array, "layers heads"] | None = None,
) -> list[Float[Array, "batch classes"]]:
    """The logits of the class head, and those of the distillation head where there is one."""
    task, parts = TASKS[weights.task], []
    for some in torch.split(pixel_values, AT_ONCE):
        output: Any = task(weights, some, head_mask=head_mask)
        two = isinstance(output, TeacherOutput)
        parts.append([output.cls_logits, output.distillation_logits] if two else [output.logits])
    return [torch.cat(logits) for logits in zip(*parts, strict=True)]


def token_cosines(weights: DeiTWeights, pixel_values: Float[Array, "batch channels height width"]) -> dict[str, Any]:
    """The cosine of class and distillation token, on its way through the model.

    Returns:
        "learned": of the two as they are learned; "with positions": as they enter the first block, the same for every
        photo; "blocks": after each block, and "end": after the last norm, where the heads read them, the mean over
        photos.

    Raises:
        ValueError: there is one token.
    """
    if weights.dist_token is None:
        raise ValueError("A cosine is one of two tokens, these weights have no distillation token: choose others.")
    rows = [
        [F.cosine_similarity(x[:, 0], x[:, 1]).double() for x in (*trace.matching("blocks.*.output"), trace["norm"])]
        for trace in _traces(weights, pixel_values, "blocks.*.output", "norm")
    ]
    *blocks, end = (float(torch.cat(step).mean()) for step in zip(*rows, strict=True))
    entering = torch.cat([weights.cls_token, weights.dist_token], dim=1) + weights.pos_embed[:, :2]  # (1, 2, dim)
    return {
        "learned": float(F.cosine_similarity(weights.cls_token, weights.dist_token, dim=2)),
        "with positions": float(F.cosine_similarity(entering[:, 0], entering[:, 1])),
        "blocks": blocks,
        "end": end,
    }


def logit_lens(
    weights: DeiTWeights, pixel_values: Float[Array, "batch channels height width"], labels: Integer[Array, "batch"]
) -> dict[str, list[float]]:
    """The accuracy of each head, were its token read before the first block, and after each: a number for each place.

    The last norm comes before the heads, as it always does; so the last number is the model's own.
    """
    heads = [weights.head, weights.head_dist][: weights.config.num_prefix_tokens]
    right = np.zeros((len(heads), len(weights.blocks) + 1))
    batches = zip(
        torch.split(labels, AT_ONCE), _traces(weights, pixel_values, "embeddings", "blocks.*.output"), strict=True
    )
    for truth, trace in batches:
        for place, x in enumerate(trace.values()):
            normed = layer_norm(weights.norm, x, eps=weights.config.layer_norm_eps)
            tokens = split_tokens(normed, distilled=weights.config.distilled)
            for i, head in enumerate(heads):
                token = tokens[i]
                assert token is not None
                right[i, place] += int((classify(head, token).argmax(dim=1) == truth).sum())
    return {name: (row / len(labels)).tolist() for name, row in zip(HEADS, right, strict=False)}


def patch_distances(grid: tuple[int, int]) -> Float[Array, "patches patches"]:
    """How far apart the centers of any two patches are, in patches."""
    places = torch.cartesian_prod(*(torch.arange(side, dtype=torch.float64) for side in grid))  # (patches, 2)
    return torch.cdist(places, places)


def attention_distances(
    weights: DeiTWeights, pixel_values: Float[Array, "batch channels height width"]
) -> Float[Grid, "layers heads"]:
    r"""How far patches look, in patches: $\sum_j p_{ij} d_{ij} / \sum_j p_{ij}$, the mean over patches i and photos.

    What they give to the class and distillation token has no distance, and is left out. Equal attention to all patches
    gives the mean of `patch_distances`.
    """
    prefix, distances = weights.config.num_prefix_tokens, patch_distances(weights.config.grid)
    total: Any = 0
    for trace in _traces(weights, pixel_values, "blocks.*.attention.probabilities"):
        for_all = torch.stack(
            [p[:, :, prefix:, prefix:].double() for p in trace.values()]
        )  # (layers, batch, heads, ..)
        means = (for_all * distances).sum(dim=-1) / for_all.sum(dim=-1)  # (layers, batch, heads, patches)
        total = total + means.mean(dim=-1).sum(dim=1)  # (layers, heads)
    return (total / len(pixel_values)).numpy()


def silenced(
    weights: DeiTWeights, pixel_values: Float[Array, "batch channels height width"], labels: Integer[Array, "batch"]
) -> Float[Grid, "layers heads"]:
    """The accuracy of the mean of both heads' logits when one head of attention hands on nothing, for each."""
    layers, heads = len(weights.blocks), weights.config.num_attention_heads
    found = np.zeros((layers, heads))
    for layer, head in np.ndindex(layers, heads):
        mask = torch.ones(layers, heads)
        mask[layer, head] = 0
        found[layer, head] = accuracy(head_logits(weights, pixel_values, head_mask=mask), labels)
    return found


def accuracy(logits: list[Float[Array, "batch classes"]], labels: Integer[Array, "batch"]) -> float:
    """The share of photos that the mean of the heads' logits is right about."""
    return float((torch.stack(logits).mean(dim=0).argmax(dim=1) == labels).double().mean())


def _traces(weights: DeiTWeights, pixel_values: Array, *patterns: str) -> Iterator[Trace]:
    """What a forward pass records under these names, for some photos after the other."""
    for some in torch.split(pixel_values, AT_ONCE):
        trace = Trace(patterns)
        with torch.no_grad():
            encode(weights, some, trace=trace)
        yield trace


def tables(
    weights: DeiTWeights, pixel_values: Float[Array, "batch channels height width"], labels: Integer[Array, "batch"]
) -> dict[str, dict[str, Any]]:
    """ "cosine", "lens", "distance" and "silenced": the columns, rows and numbers of each, blocks counted from 1."""
    cosines, lens = token_cosines(weights, pixel_values), logit_lens(weights, pixel_values, labels)
    places = ["before the first block", *(f"after block {i + 1}" for i in range(len(weights.blocks)))]
    steps = [("learned", cosines["learned"]), ("with positions", cosines["with positions"])]
    steps += [*zip(places[1:], cosines["blocks"], strict=True), ("after the last norm", cosines["end"])]
    grids = {
        "distance": attention_distances(weights, pixel_values),
        "silenced": silenced(weights, pixel_values, labels),
    }
    whole, equal = accuracy(head_logits(weights, pixel_values), labels), patch_distances(weights.config.grid).mean()
    notes = {
        "distance": f"In patches; equal attention to all patches gives {equal:.2f}.",
        "silenced": f"With all heads: {whole:.2%}.",
    }
    found: dict[str, dict[str, Any]] = {
        "cosine": {
            "columns": ["where", "cosine of the two tokens"],
            "rows": [[name, f"{value:.3f}"] for name, value in steps],
            "results": cosines,
        },
        "lens": {
            "columns": ["read", *lens],
            "rows": [[place, *(f"{lens[name][i]:.2%}" for name in lens)] for i, place in enumerate(places)],
            "results": lens,
        },
    }
    for name, grid in grids.items():
        form = ".2%" if name == "silenced" else ".2f"
        found[name] = {
            "columns": ["", *(f"head {head + 1}" for head in range(grid.shape[1]))],
            "rows": [[f"block {i + 1}", *(format(value, form) for value in row)] for i, row in enumerate(grid)],
            "results": grid.tolist(),
            "notes": [notes[name]],
        }
    return found


def figures(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A figure for each of the `tables`."""
    results = {name: table["results"] for name, table in found.items()}
    places = [str(i + 1) for i in range(len(results["cosine"]["blocks"]))]
    return {
        "cosine": plots.by_block({"": [token_path(results["cosine"])]}, ["input", *places, "end"], title=COSINE),
        "lens": plots.by_block(
            {name: [values] for name, values in results["lens"].items()},
            ["input", *places],
            title="Accuracy of the heads, were they to read a token after a block",
            percent=True,
        ),
        "distance": plots.by_head(results["distance"], title="How far the heads of each block look, in patches"),
        "silenced": plots.by_head(results["silenced"], title="Accuracy with one head silenced", percent=True),
    }


def token_path(cosines: Mapping[str, Any]) -> list[float]:
    """The cosines in the order of the way: with positions, after each block, at the end."""
    return [cosines["with positions"], *cosines["blocks"], cosines["end"]]


def main(argv: list[str] | None = None) -> int:
    """Measure, print and write the tables."""
    parser = argparse.ArgumentParser(prog="python -m deit_ref.benchmark.inside", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="photos; their test part is used")
    parser.add_argument("--weights", default="cifar10-distilled", help="(default: cifar10-distilled)")
    parser.add_argument("--photos", type=int, metavar="N", help="only N, evenly spread (default: all)")
    parser.add_argument("--json", type=Path, metavar="DIR", help="gets inside_cosine.json and so on")
    parser.add_argument("--png", type=Path, metavar="DIR", help="gets inside_cosine.png and so on")
    args = parser.parse_args(argv)
    stored = load_weights(args.weights)
    if stored.task != "classification-with-teacher":
        parser.error(f"expected weights with two heads that classify, {args.weights} are of the task {stored.task!r}")
    images = open_images(args.data, "test", stored.image_processing)
    if args.photos is not None:  # photos lie class by class
        images = subset(images, np.linspace(0, len(images) - 1, args.photos).round().astype(int))
    pixel_values, labels = seen(images, stored.image_processing)
    found = tables(stored.to("torch"), pixel_values, labels)
    command = f"inside --data {args.data.name} --weights {Path(args.weights).name}"
    for name, table in found.items():
        print(records.markdown(table["columns"], table["rows"]), *table.get("notes", ()), "", sep="\n")
        if args.json is not None:
            table["notes"] = [f"On {len(labels):,} test photos.", *table.get("notes", ())]
            write(args.json / f"inside_{name}.json", json_bytes(records.record(command, **table)))
    for name, figure in figures(found).items() if args.png is not None else ():
        write_png(args.png / f"inside_{name}.png", plots.rendered(figure))
    return 0


if __name__ == "__main__":
    sys.exit(main())
