"""Draw where the class and the distillation token look, in every head and layer and followed through all layers."""

import argparse
from typing import Any

import deit_ref
from deit_ref import plots
from deit_ref.commands.arguments import add_picture, natural
from deit_ref.commands.shared import prepared, write_picture

EXAMPLES = """examples:
  deit-ref attention cat.jpg --out attention.png
  deit-ref attention cat.jpg --out last.png --layer 11 --head 0 --weights mine/
  deit-ref attention street.jpg --out wide.png --size 224x448

The picture shows, for the class token and in distilled models the distillation token: attention rollout, and a grid of
the attention in each head (rows) and layer (columns), all over the photo as the model sees it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_picture(parser)
    for name in ("layer", "head"):
        words = f"which {name} to show, counted from 0 (default: all)"
        parser.add_argument(f"--{name}", type=_number_or_all, metavar="N|all", help=words)


def _number_or_all(text: str) -> int | None:
    return None if text == "all" else natural(text)


def run(args: argparse.Namespace) -> int:
    weights, pixel_values, photo = prepared(args)
    config = weights.config
    # Before the model runs: a layer that does not exist is no reason to wait.
    layers = _one_or_all("--layer", args.layer, config.num_hidden_layers)
    heads = _one_or_all("--head", args.head, config.num_attention_heads)
    output: Any = deit_ref.forward(
        weights,
        pixel_values=pixel_values,
        backend=args.backend,
        interpolate_pos_encoding=args.size is not None,
        output_attentions=True,
    )
    grid = photo.shape[0] // config.patch_shape[0], photo.shape[1] // config.patch_shape[1]
    prefix = config.num_prefix_tokens
    figures = [plots.rollout_overlay(photo, output.attentions, grid=grid, num_prefix_tokens=prefix)]
    figures += [
        plots.attention_maps(
            photo, output.attentions, grid=grid, num_prefix_tokens=prefix, token=token, layers=layers, heads=heads
        )
        for token in list(plots.TOKENS)[:prefix]
    ]
    write_picture(args.out, plots.rendered(*figures))
    return 0


def _one_or_all(name: str, number: int | None, count: int) -> list[int] | None:
    if number is not None and number >= count:
        raise ValueError(f"{name} must be all or a number from 0 to {count - 1}, got {number}.")
    return None if number is None else [number]
