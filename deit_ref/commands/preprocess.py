"""Write what the model sees of images: as a picture, or as the numbers themselves."""

import argparse
from typing import Any

import numpy as np

import deit_ref
from deit_ref import plots
from deit_ref.arrays import as_numpy
from deit_ref.commands.arguments import add_force, add_model, new_file, refuse_to_replace
from deit_ref.commands.shared import lies_turned, loaded_weights, warn_of_turned, write_picture
from deit_ref.commands.terminal import printable, progress, say
from deit_ref.photo_names import find_images

EXAMPLES = """examples:
  deit-ref preprocess cat.jpg --out seen.png    resized and cropped, a picture
  deit-ref preprocess photos/ --out batch.npy   pixel_values, in float32

Several images stand side by side in a picture, eight in a row; in FILE.npy the axes are images, channels, height and
width. Their order is printed. A file that cannot be read is
reported and left out; the exit code is then 1."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="files, folders or patterns")
    parser.add_argument(
        "--out", type=new_file(".png", ".npy"), required=True, metavar="FILE", help="FILE.png or FILE.npy, to write"
    )
    add_force(parser)
    add_model(parser, dtype=False)


def run(args: argparse.Namespace) -> int:
    names = find_images(args.images)
    refuse_to_replace(args.out, force=args.force, images=names)
    weights = loaded_weights(args)
    turned: list[str] = []
    prepared: dict[int, Any] = {}
    with progress(names, len(names)) as (steps, write):
        for i, name in enumerate(steps):
            try:
                if lies_turned(name, weights):
                    turned.append(name)
                one = deit_ref.preprocess(name, weights.image_processing, backend=args.backend, device=args.device)
            except (ValueError, OSError) as error:
                if len(names) == 1:
                    raise
                say(f"error: {error}")
                continue
            prepared[i] = as_numpy(one)
            if len(names) > 1:
                write(f"{len(prepared) - 1:<4} {printable(name)}")
    warn_of_turned(turned, len(names))
    if not prepared:
        raise ValueError(f"none of the {len(names)} images can be read: {args.out} was not written.")
    shapes = {array.shape: names[i] for i, array in prepared.items()}
    if len(shapes) > 1:
        listed = " and ".join(f"{shape[3]}x{shape[2]} ({name})" for shape, name in list(shapes.items())[:2])
        raise ValueError(
            f"the prepared images must have one size, got in width x height {listed}: prepare them one by one."
        )
    batch = np.concatenate(list(prepared.values()))  # (batch, channels, height, width)
    if args.out.lower().endswith(".png"):
        write_picture(args.out, plots.side_by_side(plots.to_photos(batch, weights.image_processing)))
    else:
        with open(args.out, "wb") as file:  # np.save would put .npy behind .NPY
            np.save(file, batch, allow_pickle=False)
        say(f"{args.out}: {batch.dtype} of shape {'x'.join(map(str, batch.shape))}.")
    return 1 if len(prepared) < len(names) else 0
