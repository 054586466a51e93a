"""What several commands do with the weights and the photos that they are given."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

import deit_ref
from deit_ref.arrays import as_numpy
from deit_ref.commands.arguments import refuse_to_replace
from deit_ref.commands.terminal import say
from deit_ref.photos import exif_orientation, write_png
from deit_ref.weights import DeiTWeights, named_arrays


def loaded_weights(args: argparse.Namespace) -> DeiTWeights:
    """The weights, which turn photos if --exif says so."""
    weights = deit_ref.load_weights(args.weights)
    if args.exif is None:
        return weights
    return replace(weights, image_processing=replace(weights.image_processing, apply_exif=args.exif))


def chosen_weights(args: argparse.Namespace) -> DeiTWeights:
    """The weights, converted before the first image: an unknown dtype or device is not an image's fault."""
    return loaded_weights(args).to(args.backend, device=args.device, dtype=args.dtype)


def warn_of_weights(weights: DeiTWeights) -> None:
    """Say which weights are NaN or infinite."""
    for name, array in named_arrays(weights):
        bad = ~np.isfinite(as_numpy(array))
        if bad.any():
            say(f"warning: {bad.sum()} of {bad.size} values of the weights {name} are NaN or infinite.")


def lies_turned(image: str | os.PathLike[str], weights: DeiTWeights) -> bool:
    """Whether a photo is stored turned and will be seen so."""
    return not weights.image_processing.apply_exif and exif_orientation(image) != 1


def warn_of_turned(turned: Sequence[str | os.PathLike[str]], count: int) -> None:
    """Say which of so many photos lie on their side, because the model has seen them so."""
    if count == 1 and turned:
        say(f"warning: {turned[0]} is stored turned and is taken as stored: --exif turns it upright.")
    elif turned:
        say(
            f"warning: {len(turned)} of {count} photos are stored turned and are taken as stored, such as {turned[0]}: "
            "--exif turns them upright."
        )


def prepared(args: argparse.Namespace, *, task: str | None = None) -> tuple[DeiTWeights, Any, Any]:
    """The weights, the image's pixel_values, and the same as a photo of bytes; --size is in the weights' processing."""
    from deit_ref import plots

    refuse_to_replace(args.out, force=args.force, images=[args.image])
    exif_orientation(args.image)  # raises the error that says what this name is, before weights are loaded
    weights = chosen_weights(args)
    if task not in (None, weights.task):
        raise ValueError(f"{args.command} needs weights of the task {task}, got {weights.task}: choose by --weights.")
    if args.size is not None:
        processing = replace(weights.image_processing, do_resize=True, size=args.size, do_center_crop=False)
        weights = replace(weights, image_processing=processing)
    if lies_turned(args.image, weights):
        warn_of_turned([args.image], 1)
    pixel_values = deit_ref.preprocess(args.image, weights.image_processing, backend=args.backend, device=args.device)
    return weights, pixel_values, plots.to_photos(pixel_values, weights.image_processing)[0]


def write_picture(out: str, picture: Any) -> None:
    """Write a PNG and say so."""
    write_png(out, picture)
    say(f"{out}: a picture of {picture.shape[1]}x{picture.shape[0]} pixels, width x height.")
