"""Hide patches of an image, let the model guess them, draw both; print the masked L1."""

import argparse
from typing import Any

import numpy as np

import deit_ref
from deit_ref import plots
from deit_ref.checkpoints.files import bundled
from deit_ref.commands.arguments import add_picture, count, natural, share
from deit_ref.commands.shared import prepared, write_picture
from deit_ref.training.masking import random_masks

EXAMPLES = """examples:
  deit-ref reconstruct cat.jpg --out guess.png
  deit-ref reconstruct cat.jpg --out guess.png --weights my_simmim/ \\
      --mask-ratio 0.5 --block 2 --seed 1

The weights must be of the task masked-image-modeling (default: the bundled cifar10-simmim)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_picture(parser)
    parser.set_defaults(weights=bundled("cifar10-simmim"))
    parser.add_argument("--mask-ratio", type=share, default=0.6, metavar="R", help="share to hide (default: 0.6)")
    parser.add_argument("--seed", type=natural, default=0, metavar="N", help="chooses what to hide (default: 0)")
    parser.add_argument("--block", type=count, default=1, metavar="N", help="hide squares of NxN patches (default: 1)")


def run(args: argparse.Namespace) -> int:
    weights, pixel_values, photo = prepared(args, task="masked-image-modeling")
    patch_shape = weights.config.patch_shape
    grid = photo.shape[0] // patch_shape[0], photo.shape[1] // patch_shape[1]
    generator = np.random.default_rng(args.seed)
    mask = random_masks(1, grid, ratio=args.mask_ratio, block=args.block, generator=generator)[0]
    output: Any = deit_ref.forward(
        weights,
        pixel_values=pixel_values,
        backend=args.backend,
        interpolate_pos_encoding=args.size is not None,
        bool_masked_pos=mask[None],
    )
    loss = float(output.loss)
    guess = plots.to_photos(output.reconstruction, weights.image_processing)[0]
    figure = plots.reconstruction_panel(photo, guess, mask, patch_shape=patch_shape, loss=loss)
    print(f"masked L1 {loss:.6f} in normalized units, {mask.sum()} of {mask.size} patches hidden")
    write_picture(args.out, plots.rendered(figure))
    return 0
