"""The command line: which commands there are, and what becomes of their answers and errors.

A command is one file here, `train-teacher` is train_teacher.py, and one line of COMMANDS. The file holds EXAMPLES,
`add_arguments(parser)`, and `run(args)`, which returns the exit code. It is imported once its command is asked for, so
that it may import what it needs, and `deit-ref --help` waits for none of it.

Results go to standard output, all else to standard error. Exit codes: 0 all went well; 1 a file could not be read, or
the backends do not agree; 2 the command could not be carried out; 130 and 141 interrupted, or nobody reads on.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

import deit_ref
from deit_ref.commands.arguments import HelpText, OneLineParser, add_command, add_commands
from deit_ref.commands.process import complete_streams, ended_in_order, let_go_of_output, write_out
from deit_ref.commands.terminal import error_in_words, plain_messages, say

COMMANDS = {
    "classify": "the most probable classes of images",
    "inspect": "every step of one image: name, shape, dtype, min, mean, max",
    "compare": "both backends on one image, step by step",
    "attention": "a picture of where the model looks",
    "reconstruct": "a picture of an image, what was hidden of it, and the model's guess",
    "preprocess": "what the model sees of images, as a picture or as numbers",
    "convert": "a checkpoint of any kind to a folder as transformers has it, or to an ONNX file",
    "train-teacher": "train a convolutional teacher",
    "train": "train a DeiT from random weights",
    "finetune": "train a checkpoint further, on other photos too",
    "evaluate": "how well weights do on labeled photos",
    "check": "what is wrong with photos in class folders, or with a checkpoint, before they are used",
    "benchmark": "speed beside transformers, timm and others",
    "course": "build and grade a course of seven assignments",
}

EXAMPLES = """examples:
  deit-ref classify                      the photo that comes with the package
  deit-ref classify cat.jpg photos/ --top 3 --json
  deit-ref inspect cat.jpg --backend torch
  deit-ref compare cat.jpg --weights my_checkpoint/
  deit-ref attention cat.jpg --out attention.png
  deit-ref convert deit_tiny.pth my_checkpoint/
  deit-ref convert my_checkpoint/ my_model.onnx
  deit-ref check photos/
  deit-ref finetune photos/ --out mine/
  deit-ref evaluate photos/ --weights mine/
  deit-ref course build --out course/
  deit-ref benchmark

deit-ref COMMAND --help shows the options of a command."""


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command.

    Args:
        argv: the words after `deit-ref`; None means those of this process.

    Returns:
        The exit code.
    """
    complete_streams()
    args = _parsed(sys.argv[1:] if argv is None else argv)
    try:
        with plain_messages(), ended_in_order():
            code: int = args.run(args)
            write_out()
            return code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 141
    except (ValueError, OSError, ImportError, RuntimeError, MemoryError) as error:
        say(f"error: {error_in_words(error)}")
        return 2
    finally:
        let_go_of_output()


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    parser = OneLineParser(
        prog="deit-ref",
        description="DeiT image classification, step by step, in NumPy or torch.",
        epilog=EXAMPLES,
        formatter_class=HelpText,
    )
    parser.add_argument("--version", action="version", version=f"deit-ref {deit_ref.__version__}")
    commands = add_commands(parser, "command")
    for name, summary in COMMANDS.items():
        command = add_command(commands, name, summary)
        if name in words:
            file = import_module(f"deit_ref.commands.{name.replace('-', '_')}")
            command.epilog = file.EXAMPLES
            command.set_defaults(run=file.run)
            file.add_arguments(command)
    return parser.parse_args(words)
