"""The command line: what can be asked, in which words; `commands` does it.

Results go to standard output, all else to standard error. Exit codes: 0 all went well; 1 a file could not be read, or
the backends do not agree; 2 the command could not be carried out; 130 and 141 interrupted, or nobody reads on.
"""

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import deit_ref
from deit_ref import benchmark_commands, commands, course_commands, training_commands
from deit_ref.checkpoints.files import bundled
from deit_ref.commands import say
from deit_ref.config import TASKS
from deit_ref.photos import bundled_photo
from deit_ref.training.recipe import DISTILLATIONS, RECIPES

_EPILOG = """examples:
  deit-ref classify                        the photo that comes with the package
  deit-ref classify cat.jpg photos/ --top 3 --json
  deit-ref inspect cat.jpg --backend torch
  deit-ref compare cat.jpg --weights my_checkpoint/
  deit-ref attention cat.jpg --out attention.png
  deit-ref convert deit_tiny.pth my_checkpoint/
  deit-ref train --recipe cifar10-distilled --data cifar10/ --teacher cifar10-teacher --out my_checkpoint/
  deit-ref evaluate --data cifar10/ --weights my_checkpoint/
  deit-ref course build --out course/
  deit-ref benchmark

deit-ref COMMAND --help shows the options of a command."""

_CLASSIFY_EPILOG = """examples:
  deit-ref classify cat.jpg                five most probable classes
  deit-ref classify photos/ 'more/*.png'   every image in a folder and below it, and of a pattern
  deit-ref classify photos/ --json | head  one JSON object per line
  deit-ref classify photos/ --out answers.jsonl --backend torch --device cuda --dtype float16
  torchrun --nproc-per-node 4 -m deit_ref classify photos/ --out answers.jsonl --backend torch --device cuda

A file that cannot be read is reported and the rest goes on; the exit code is then 1, except under torchrun. Of many
files, processes decode some ahead, and at the end you are told the pace and what sets it. Under torchrun each process
takes a share, and the answers are merged in the files' order."""

_INSPECT_EPILOG = """examples:
  deit-ref inspect cat.jpg                 every step from pixels to logits
  deit-ref inspect cat.jpg --json --backend torch --dtype bfloat16"""

_COMPARE_EPILOG = """examples:
  deit-ref compare                         NumPy against torch, step by step, on the bundled photo
  deit-ref compare cat.jpg --dtype float64

The exit code is 0 if the two agree and 1 if not."""


_ATTENTION_EPILOG = """examples:
  deit-ref attention cat.jpg --out attention.png
  deit-ref attention cat.jpg --out last.png --layer 11 --head 0 --weights my_checkpoint/
  deit-ref attention street.jpg --out wide.png --size 224x448

The picture shows, for the class token and in distilled models the distillation token: attention rollout, and a grid of
the attention in each head (rows) and layer (columns), all over the photo as the model sees it."""

_RECONSTRUCT_EPILOG = """examples:
  deit-ref reconstruct cat.jpg --out guess.png
  deit-ref reconstruct cat.jpg --out guess.png --weights my_simmim/ --mask-ratio 0.5 --block 2 --seed 1

The weights must be of the task masked-image-modeling (default: the bundled cifar10-simmim)."""

_PREPROCESS_EPILOG = """examples:
  deit-ref preprocess cat.jpg --out seen.png        resized and cropped, as a picture
  deit-ref preprocess photos/ --out batch.npy       pixel_values, float32 (images, channels, height, width)

Several images stand side by side in a picture, eight in a row. Their order is printed. A file that cannot be read is
reported and left out; the exit code is then 1."""

_CONVERT_EPILOG = """examples:
  deit-ref convert deit_tiny.pth my_checkpoint/
  deit-ref convert training.pth my_checkpoint/ --revision ema

Writes config.json, preprocessor_config.json and model.safetensors, which transformers and deit-ref load, then reads
them back and compares every array bit for bit."""


def _recipes(*tasks: str) -> str:
    """The recipes of some tasks, a line each."""
    return "\n".join(
        f"  {name:<20} {recipe.task}, {recipe.image_size} pixels, epochs: {recipe.epochs}, "
        f"distillation: {recipe.distillation}"
        for name, recipe in RECIPES.items()
        if recipe.task in tasks
    )


_DATA = """DATA is a folder with train and test, each with a folder per class; train.zip and test.zip of the same; a zip
of both; or cifar-10-python.tar.gz."""
_RUN = """Ctrl-C finishes the step and writes a checkpoint; the same command with --resume goes on from it. OUT gets the
weights, checkpoint.pt, metrics.jsonl (a line per epoch) and metrics.png. For several GPUs or machines:
torchrun --nproc-per-node 2 -m deit_ref COMMAND ..."""

_TRAIN_TEACHER_EPILOG = f"""examples:
  deit-ref train-teacher --data cifar10/ --out my_teacher/
  deit-ref train-teacher --data cifar10/ --out my_teacher/ --epochs 5 --seed 1

{_DATA}

{_RUN}"""

_TRAIN_EPILOG = f"""examples:
  deit-ref train --recipe cifar10-distilled --data cifar10/ --teacher cifar10-teacher --out my_checkpoint/
  deit-ref train --recipe cifar10-distilled --distillation none --data cifar10/ --out plain/
  deit-ref train --recipe cifar10-simmim --data cifar10/ --out my_simmim/ --set mask_ratio=0.5 clip_norm=none
  deit-ref train --recipe deit-300 --show      every field of a recipe

recipes:
{_recipes("classification", "masked-image-modeling")}

{_DATA}

{_RUN}"""

_FINETUNE_EPILOG = f"""examples:
  deit-ref finetune --weights my_simmim/ --recipe cifar10-finetune --data cifar10/ --out tuned/
  deit-ref finetune --weights my_checkpoint/ --recipe cifar10-finetune --distillation hard --teacher my_teacher/ \\
      --data flowers/ --out tuned/ --image-size 48

Without a teacher the class token alone learns, with one both tokens do. Other classes than those of the weights get
new heads, another size gets interpolated positions; both are said.

recipes:
{_recipes("classification")}

{_DATA}

{_RUN}"""

_EVALUATE_EPILOG = f"""examples:
  deit-ref evaluate --data cifar10/ --weights my_checkpoint/
  deit-ref evaluate --data cifar10/ --weights my_teacher/ --json
  deit-ref evaluate --data cifar10/ --weights my_simmim/ --block 2

Weights that classify: top-1, top-5, each head, each class. Weights of the task masked-image-modeling: the masked L1,
beside that of two guesses without a model.

{_DATA}"""

_COURSE_EPILOG = """examples:
  deit-ref course build --out course/ --seed 2027
  deit-ref course grade submissions/ --out grades.csv --seed 2027"""

_BUILD_EPILOG = """examples:
  deit-ref course build --out course/ --seed 2027
  deit-ref course build --out third_week/ --assignment a3

OUT gets student/ to hand out, teacher/ with solutions, rubrics and notes, and nbgrader/ with notebooks to release.
Choose a seed of your own and keep it: it draws the numbers of the hidden tests, and `grade` needs the same."""

_GRADE_EPILOG = """examples:
  deit-ref course grade submissions/ --out grades.csv --seed 2027
  deit-ref course grade submissions/ --out third_week/grades.csv --assignment a3 --jobs 8

SUBMISSIONS holds a folder per student with a3_attention/student.py, a3_attention.py, a3_attention.ipynb or
a3_attention/a3_attention.ipynb in it, or a zip of these instead. Reports for students are written beside the table, to
feedback/STUDENT/ASSIGNMENT.md, and the same for programs to details/; what has not changed is not run again.

On Linux each submission runs in a process of its own that sees neither files nor network nor the solution. Where this
cannot be had the command refuses, unless you trust every submission and say --no-isolation.

The exit code is 1 if the grader itself failed on a submission; the others have their points."""

_BENCHMARK_EPILOG = """examples:
  deit-ref benchmark
  deit-ref benchmark --models base --batch 1,8 --dtype float32,bfloat16 --threads 2 --json mine.json
  deit-ref benchmark --device cuda --batch 1,8,64,256 --dtype float32,tf32,float16
  deit-ref benchmark --preset deit-docs    the table of DeiT's page in transformers' documentation

Each peer runs in a process of its own, in turns, on the same random weights. Peers that are not installed are left out,
and so is, with the reason, what cannot run. A peer whose logits disagree is not timed, and the exit code is then 1.
FILE.json gets all figures, with versions, machine and plan."""


def main(argv: list[str] | None = None) -> int:
    """Carry out one command.

    Args:
        argv: the words after `deit-ref`; None means those of this process.

    Returns:
        The exit code.
    """
    args = _parser().parse_args(argv)
    try:
        with _plain_messages():
            code: int = args.run(args)
            sys.stdout.flush()
            return code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # What is still in the buffer must go somewhere when Python exits, or it would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ValueError, OSError, ImportError, RuntimeError, MemoryError) as error:
        say(f"error: {error or type(error).__name__}")
        return 2


class _OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage above it."""

    def error(self, message: str) -> NoReturn:
        say(f"error: {message} (see {self.prog} --help)")
        self.exit(2)


def _parser() -> argparse.ArgumentParser:
    parser = _OneLineParser(
        prog="deit-ref",
        description="DeiT image classification, step by step, in NumPy or torch.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"deit-ref {deit_ref.__version__}")
    parsers = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)

    def command(
        run: Callable[[argparse.Namespace], int], summary: str, epilog: str, to: Any = parsers
    ) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = to.add_parser(
            run.__name__.replace("_", "-"),
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(run=run)
        return added

    def add_model(added: argparse.ArgumentParser, *, backend: bool = True, dtype: bool = True) -> None:
        words = "a checkpoint, or cifar10-distilled or cifar10-simmim, which are bundled (default: the first)"
        added.add_argument("--weights", metavar="SOURCE", help=words)
        if backend:
            added.add_argument("--backend", choices=("numpy", "torch"), default="numpy", help="(default: numpy)")
        added.add_argument("--device", help="of torch, such as cpu or cuda (default: cpu)")
        if dtype:
            added.add_argument("--dtype", help="float32 or float64, with torch also float16 or bfloat16")

    def add_image(added: argparse.ArgumentParser) -> None:
        added.add_argument(
            "image", nargs="?", default=bundled_photo(), metavar="IMAGE", help="(default: bundled photo)"
        )

    def add_picture(added: argparse.ArgumentParser) -> None:
        add_image(added)
        added.add_argument("--out", type=_png, required=True, metavar="FILE.png", help="the picture to write")
        added.add_argument(
            "--size",
            type=_size,
            metavar="HxW",
            help="resize to this height and width instead of the weights' resize and crop; positions are interpolated",
        )
        add_model(added)

    added = command(commands.classify, "the most probable classes of images", _CLASSIFY_EPILOG)
    added.add_argument("images", nargs="*", metavar="IMAGE", help="files, folders or patterns (default: bundled photo)")
    add_model(added)
    added.add_argument("--top", type=_count, default=5, metavar="K", help="how many classes to show (default: 5)")
    added.add_argument("--json", action="store_true", help="one JSON object per image and line")
    added.add_argument("--out", type=_jsonl, metavar="FILE.jsonl", help="write these lines to a file instead")
    added.add_argument("--batch-size", type=_count, metavar="N", help="photos at a time (default: 8; 64 on a GPU)")
    added.add_argument(
        "--workers",
        type=_natural,
        metavar="N",
        help="processes that decode (default: one per processor, for many files)",
    )

    added = command(commands.inspect, "every step of one image: name, shape, dtype, min, mean, max", _INSPECT_EPILOG)
    add_image(added)
    add_model(added)
    added.add_argument("--json", action="store_true", help="one JSON object per step and line")

    added = command(commands.compare, "both backends on one image, step by step", _COMPARE_EPILOG)
    add_image(added)
    add_model(added, backend=False)

    added = command(commands.attention, "a picture of where the model looks", _ATTENTION_EPILOG)
    add_picture(added)
    for name in ("layer", "head"):
        words = f"which {name} to show, counted from 0 (default: all)"
        added.add_argument(f"--{name}", type=_number_or_all, metavar="N|all", help=words)

    added = command(
        commands.reconstruct, "a picture of an image, what was hidden of it, and the model's guess", _RECONSTRUCT_EPILOG
    )
    add_picture(added)
    added.set_defaults(weights=bundled("cifar10-simmim"))
    added.add_argument("--mask-ratio", type=_share, default=0.6, metavar="R", help="share to hide (default: 0.6)")
    added.add_argument("--seed", type=_natural, default=0, metavar="N", help="chooses what to hide (default: 0)")
    added.add_argument("--block", type=_count, default=1, metavar="N", help="hide squares of NxN patches (default: 1)")

    added = command(
        commands.preprocess, "what the model sees of images, as a picture or as numbers", _PREPROCESS_EPILOG
    )
    added.add_argument("images", nargs="+", metavar="IMAGE", help="files, folders or patterns")
    added.add_argument("--out", type=_png_or_npy, required=True, metavar="FILE", help="FILE.png or FILE.npy, to write")
    add_model(added, dtype=False)

    added = command(commands.convert, "a checkpoint of any kind to a folder as transformers has it", _CONVERT_EPILOG)
    added.add_argument("source", metavar="SOURCE", help="a checkpoint: a folder, a file, or a name on the hub")
    added.add_argument("folder", metavar="FOLDER", help="where to write; made if it is not there")
    added.add_argument(
        "--force", action="store_true", help="write into a folder that is not empty; files of other names stay"
    )
    added.add_argument("--task", choices=TASKS, metavar="TASK", help=f"what to keep: {', '.join(TASKS)}")
    added.add_argument("--seed", type=_natural, metavar="N", help="draw a head that the task needs and SOURCE lacks")
    added.add_argument("--revision", help="version of a name on the hub; ema for a training file's averaged weights")

    def add_training(added: argparse.ArgumentParser, *, recipe: str | None = None, student: bool = True) -> None:
        usual = f" (default: {recipe})" if recipe else ""
        added.add_argument("--recipe", metavar="NAME", default=recipe, help=f"how it is trained{usual}")
        added.add_argument("--data", metavar="DATA", help="photos in class folders")
        added.add_argument("--out", metavar="OUT", help="a folder for what is trained; made if it is not there")
        if student:
            added.add_argument("--teacher", metavar="SOURCE", help="what to learn from: of train-teacher, or weights")
            added.add_argument("--distillation", choices=DISTILLATIONS, help="(default: as in the recipe)")
        added.add_argument("--epochs", type=_count, metavar="N", help="(default: as in the recipe)")
        added.add_argument("--batch-size", type=_count, metavar="N", help="photos per step (default: as in the recipe)")
        added.add_argument(
            "--set",
            nargs="+",
            action="extend",
            type=_change,
            default=[],
            metavar="FIELD=VALUE",
            help="change other fields of the recipe; --show lists them",
        )
        added.add_argument("--seed", type=_natural, default=0, metavar="N", help="of everything random (default: 0)")
        added.add_argument("--device", help="of torch (default: cuda if there is one, else cpu)")
        added.add_argument(
            "--no-bfloat16", action="store_true", help="compute in float32 where bfloat16 is faster, too"
        )
        added.add_argument("--resume", action="store_true", help="go on from the checkpoint in OUT")
        added.add_argument("--show", action="store_true", help="print the recipe with all changes, and stop")

    added = command(training_commands.train_teacher, "train a convolutional teacher", _TRAIN_TEACHER_EPILOG)
    add_training(added, recipe="cifar10-teacher", student=False)

    added = command(training_commands.train, "train a DeiT from random weights", _TRAIN_EPILOG)
    add_training(added)

    added = command(training_commands.finetune, "train a checkpoint further, on other photos too", _FINETUNE_EPILOG)
    added.add_argument("--weights", metavar="SOURCE", help="the checkpoint to begin with")
    added.add_argument("--image-size", type=_count, metavar="N", help="pixels of a side (default: as in the recipe)")
    add_training(added)

    added = command(training_commands.evaluate, "how well weights do on labelled photos", _EVALUATE_EPILOG)
    added.add_argument("--data", required=True, metavar="DATA", help="photos in class folders")
    added.add_argument(
        "--weights",
        metavar="SOURCE",
        help="a checkpoint or a teacher's folder (default: the bundled cifar10-distilled)",
    )
    added.add_argument("--split", choices=("train", "test"), default="test", help="(default: test)")
    added.add_argument("--device", help="of torch (default: cuda if there is one, else cpu)")
    added.add_argument("--batch-size", type=_count, default=256, metavar="N", help="photos at a time (default: 256)")
    words = "of masked-image-modeling:"
    added.add_argument(
        "--mask-ratio", type=_share, default=0.6, metavar="R", help=f"{words} share hidden (default: 0.6)"
    )
    added.add_argument("--block", type=_count, default=1, metavar="N", help=f"{words} in NxN patches (default: 1)")
    added.add_argument("--json", action="store_true", help="one JSON object")

    added = command(benchmark_commands.benchmark, "speed beside transformers, timm and others", _BENCHMARK_EPILOG)
    for name, what in (
        ("models", "of tiny, small and base (default: tiny,base)"),
        ("dtype", "of float32, float64, float16, bfloat16, and on a GPU tf32 (default: float32)"),
        ("peers", "of numpy, torch, torch-compiled, transformers-eager, transformers-sdpa, timm and onnxruntime"),
    ):
        added.add_argument(f"--{name}", type=_list, metavar="A,B", help=what)
    added.add_argument("--batch", type=_counts, metavar="N,M", help="images at a time (default: 1,8)")
    added.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    added.add_argument("--rounds", type=_count, default=7, metavar="N", help="turns of each peer (default: 7)")
    added.add_argument("--threads", type=_count, metavar="N", help="of each peer (default: what torch takes by itself)")
    added.add_argument("--preset", choices=("deit-docs",), help="sets models, batches, dtype and peers")
    added.add_argument("--json", type=_json, metavar="FILE.json", help="gets everything that was measured")

    summary = "build and grade a course of six assignments"
    course = parsers.add_parser(
        "course",
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=_COURSE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).add_subparsers(title="commands", metavar="COMMAND", dest="course_command", required=True)
    build = command(course_commands.build, "what students, teachers and nbgrader get", _BUILD_EPILOG, course)
    build.add_argument("--out", required=True, metavar="DIR", help="a new or an empty folder")
    grade = command(course_commands.grade, "points and feedback for what students handed in", _GRADE_EPILOG, course)
    grade.add_argument("submissions", metavar="SUBMISSIONS", help="a folder with a folder or a zip per student")
    grade.add_argument("--out", type=_csv, required=True, metavar="FILE.csv", help="the table to write")
    for added in (build, grade):
        added.add_argument("--seed", type=_natural, default=0, metavar="N", help="of the hidden tests (default: 0)")
    build.add_argument("--assignment", metavar="A", help="only this one, such as a3 (default: all)")
    grade.add_argument("--assignment", metavar="A", help="only this one, such as a3 (default: all that came in)")
    grade.add_argument("--jobs", type=_count, metavar="N", help="submissions at a time (default: one per processor)")
    grade.add_argument("--no-isolation", action="store_true", help="run submissions with your own rights")
    return parser


def _change(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"expected field=value, such as epochs=3, got {text!r}")
    return name, value


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def _list(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in text.split(",")))


def _counts(text: str) -> tuple[int, ...]:
    return tuple(_count(word) for word in _list(text))


def _natural(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, got {text!r}")
    return int(text)


def _number_or_all(text: str) -> int | None:
    return None if text == "all" else _natural(text)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1, got {text!r}")
    return value


def _size(text: str) -> tuple[int, int]:
    height, x, width = text.partition("x")
    if not x:
        raise argparse.ArgumentTypeError(f"expected height x width in pixels, such as 224x448, got {text!r}")
    return _count(height), _count(width)


def _png(text: str) -> str:
    return _new_file(text, (".png",))


def _png_or_npy(text: str) -> str:
    return _new_file(text, (".png", ".npy"))


def _jsonl(text: str) -> str:
    return _new_file(text, (".jsonl",))


def _csv(text: str) -> str:
    return _new_file(text, (".csv",))


def _json(text: str) -> str:
    return _new_file(text, (".json",))


def _new_file(text: str, suffixes: tuple[str, ...]) -> str:
    """A name that can be written, found out before anything is computed."""
    if not text.lower().endswith(suffixes):
        raise argparse.ArgumentTypeError(f"expected a name that ends in {' or '.join(suffixes)}, got {text!r}")
    if os.path.isdir(text) or not os.path.isdir(os.path.dirname(text) or "."):
        raise argparse.ArgumentTypeError(f"expected a file in a folder that exists, got {text!r}")
    return text


class _SayHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


@contextmanager
def _plain_messages() -> Iterator[None]:
    """Warnings and log lines, such as a guess made while loading, as plain lines; as before afterwards."""
    logger, handler = logging.getLogger("deit_ref"), _SayHandler()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = lambda message, *_, **__: say(f"warning: {message}")
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
