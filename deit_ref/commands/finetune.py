"""Train a checkpoint further: on the class token alone, or with a teacher on both tokens."""

import argparse

from deit_ref.commands.arguments import count
from deit_ref.commands.labeled import DATA
from deit_ref.commands.recipes import listed_recipes
from deit_ref.commands.training import OUT, OWN_PHOTOS, add_training, train

TASKS = ("classification",)

EXAMPLES = f"""examples:
  deit-ref finetune photos/ --out mine/      a folder per class in photos/
  deit-ref finetune photos/ --out mine/ \\
      --weights facebook/deit-tiny-distilled-patch16-224
  deit-ref finetune cifar10/ --weights my_simmim/ --recipe cifar10-finetune \\
      --out tuned/
  deit-ref finetune flowers/ --weights my_checkpoint/ \\
      --recipe cifar10-finetune --distillation hard --teacher my_teacher/ \\
      --out tuned/ --image-size 48

It begins with the bundled weights, or with others. Without test photos a fifth is held out to judge by. Batch size,
epochs and warm-up are fitted to the number of photos unless they are given. Without a teacher the class token alone
learns, with one both tokens do. Other classes than those of the weights get new heads, another
size gets interpolated positions. All of this is said.

{listed_recipes(TASKS)}

{DATA}

{OUT}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    words = "the checkpoint to begin with (default: the bundled cifar10-distilled)"
    parser.add_argument("--weights", metavar="SOURCE", help=words)
    words = f"pixels of a side (default: as in the recipe; of {OWN_PHOTOS}, as the weights')"
    parser.add_argument("--image-size", type=count, metavar="N", help=words)
    add_training(parser, recipe=OWN_PHOTOS, val_split=0.2, usual_exif="turn, and keep that with the weights")


def run(args: argparse.Namespace) -> int:
    if args.exif is None and "apply_exif" not in dict(args.set):
        args.exif = True  # own photos come from phones
    return train(args, tasks=TASKS)
