"""What several commands do with the weights and the photos that they are given."""

import argparse
import os
from dataclasses import replace
from typing import Any

import numpy as np

import deit_ref
from deit_ref.arrays import as_numpy
from deit_ref.commands.terminal import say
from deit_ref.photos import exif_orientation, write_png
from deit_ref.weights import DeiTWeights, named_arrays


def chosen_weights(args: argparse.Namespace) -> DeiTWeights:
    """The weights, converted before the first image: an unknown dtype or device is no image's fault."""
    return deit_ref.load_weights(args.weights).to(args.backend, device=args.device, dtype=args.dtype)


def warn_of_weights(weights: DeiTWeights) -> None:
    """Say which weights are NaN or infinite."""
    for name, array in named_arrays(weights):
        bad = ~np.isfinite(as_numpy(array))
        if bad.any():
            say(f"warning: {bad.sum()} of {bad.size} values of the weights {name} are NaN or infinite.")


def warn_if_turned(image: str | os.PathLike[str], weights: DeiTWeights) -> None:
    """Say that a photo lies on its side, where the model will see it so."""
    if exif_orientation(image) != 1 and not weights.image_processing.apply_exif:
        say(f"warning: {image} is stored turned and is taken as stored: turn it upright first.")


def refuse_to_replace(image: str | os.PathLike[str], out: str) -> None:
    """Raise a ValueError if the picture to write is the photo to read."""
    if os.path.exists(out) and os.path.exists(image) and os.path.samefile(image, out):
        raise ValueError(f"--out {out} is the image itself, which would be lost: choose another name.")


def prepared(args: argparse.Namespace, *, task: str | None = None) -> tuple[DeiTWeights, Any, Any]:
    """The weights, the image's pixel_values, and the same as a photo of bytes; --size is in the weights' processing."""
    from deit_ref import plots

    refuse_to_replace(args.image, args.out)
    exif_orientation(args.image)  # raises the error that says what this name is, before weights are loaded
    weights = chosen_weights(args)
    if task not in (None, weights.task):
        raise ValueError(f"{args.command} needs weights of the task {task}, got {weights.task}: choose by --weights.")
    if args.size is not None:
        processing = replace(weights.image_processing, do_resize=True, size=args.size, do_center_crop=False)
        weights = replace(weights, image_processing=processing)
    warn_if_turned(args.image, weights)
    pixel_values = deit_ref.preprocess(args.image, weights.image_processing, backend=args.backend, device=args.device)
    return weights, pixel_values, plots.to_photos(pixel_values, weights.image_processing)[0]


def write_picture(out: str, picture: Any) -> None:
    """Write a PNG and say so."""
    write_png(out, picture)
    say(f"{out}: a picture of {picture.shape[0]}x{picture.shape[1]} pixels.")
