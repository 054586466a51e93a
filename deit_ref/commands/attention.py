"""Draw where the class and the distillation token look, and what an answer rests on."""

import argparse
from typing import Any

import deit_ref
from deit_ref import checks, plots
from deit_ref.arrays import as_numpy
from deit_ref.commands.arguments import add_picture, natural
from deit_ref.commands.shared import prepared, write_picture
from deit_ref.weights import DeiTWeights

EXAMPLES = """examples:
  deit-ref attention cat.jpg --out attention.png
  deit-ref attention cat.jpg --out last.png --layer 11 --head 0 --weights mine/
  deit-ref attention street.jpg --out wide.png --size 224x448
  deit-ref attention cat.jpg --out why.png --method relevance --class dog

The picture shows, for the class token and in distilled models the distillation token: attention rollout, and a grid of
the attention in each head (rows) and block (columns), all over the photo as the model sees it.

In the place of rollout, which is the same for every class, --method relevance follows attention as far as it speaks for
a class (gradient x attention), and --method gradient shows how strongly each pixel pulls at the class's logit."""

METHODS = ("rollout", "relevance", "gradient")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_picture(parser)
    for name, shown in (("layer", "block"), ("head", "head")):
        words = f"which {shown} to show, counted from 0 as in code: 0 is {shown} 1 of the picture (default: all)"
        parser.add_argument(f"--{name}", type=_number_or_all, metavar="N|all", help=words)
    parser.add_argument("--method", choices=METHODS, default=METHODS[0], help=f"(default: {METHODS[0]})")
    words = "of relevance and gradient, by its name or number (default: the model's first answer)"
    parser.add_argument("--class", dest="class_name", metavar="NAME", help=words)


def _number_or_all(text: str) -> int | None:
    return None if text == "all" else natural(text)


def run(args: argparse.Namespace) -> int:
    if args.class_name is not None and args.method == "rollout":
        raise ValueError("--class needs --method relevance or gradient: rollout is the same for every class.")
    weights, pixel_values, photo = prepared(args)
    config = weights.config
    # Before the model runs: a block or a class that does not exist is no reason to wait.
    layers = _one_or_all("--layer", args.layer, config.num_hidden_layers)
    heads = _one_or_all("--head", args.head, config.num_attention_heads)
    label = None if args.method == "rollout" else _label(args, weights)
    options: dict[str, Any] = {
        "pixel_values": pixel_values,
        "backend": args.backend,
        "interpolate_pos_encoding": args.size is not None,
    }
    output: Any = deit_ref.forward(weights, output_attentions=True, **options)
    seen: dict[str, Any] = {
        "grid": (photo.shape[0] // config.patch_shape[0], photo.shape[1] // config.patch_shape[1]),
        "num_prefix_tokens": config.num_prefix_tokens,
    }
    if args.method == "rollout":
        figures = [plots.rollout_overlay(photo, output.attentions, **seen)]
    else:
        label = int(as_numpy(output.logits)[0].argmax()) if label is None else label
        wanted = "attentions" if args.method == "relevance" else "pixel_values"
        found = getattr(deit_ref.gradients(weights, target=label, with_respect_to=(wanted,), **options), wanted)
        name = str(label) if weights.class_names is None else weights.class_names[label]
        if args.method == "relevance":
            figures = [plots.relevance_overlay(photo, output.attentions, found, class_name=name, **seen)]
        else:
            figures = [plots.saliency_overlay(photo, found, class_name=name)]
    figures += [
        plots.attention_maps(photo, output.attentions, token=token, layers=layers, heads=heads, **seen)
        for token in list(plots.TOKENS)[: config.num_prefix_tokens]
    ]
    write_picture(args.out, plots.rendered(*figures))
    return 0


def _label(args: argparse.Namespace, weights: DeiTWeights) -> int | None:
    """The number of --class; None if it was not given."""
    count = weights.config.num_labels
    if not weights.task.startswith("classification") or not count:
        raise ValueError(
            f"--method {args.method} needs weights that classify, got {weights.task}: choose by --weights."
        )
    names, given = weights.class_names or (), args.class_name
    if given is None:
        return None
    if given in names:
        return names.index(given)
    if given.isascii() and given.isdigit() and int(given) < count:
        return int(given)
    known = f"{checks.some(names)}, or " if names else ""
    raise ValueError(f"--class must be {known}a number from 0 to {count - 1}, got {given!r}.")


def _one_or_all(name: str, number: int | None, count: int) -> list[int] | None:
    if number is not None and number >= count:
        raise ValueError(f"{name} must be all or a number from 0 to {count - 1}, got {number}.")
    return None if number is None else [number]
