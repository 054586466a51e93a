"""Write a checkpoint as transformers does, or as an ONNX file; read it back and compare."""

import argparse
from pathlib import Path
from typing import Any

import deit_ref
from deit_ref import checks
from deit_ref.checkpoints.files import locate, read_json
from deit_ref.checkpoints.huggingface import CONFIG
from deit_ref.checkpoints.inspection import differences
from deit_ref.commands.arguments import add_force, natural, new_file, refuse_to_replace
from deit_ref.commands.shared import warn_of_weights
from deit_ref.commands.terminal import printable, say
from deit_ref.config import TASKS
from deit_ref.onnx_export import OPSET, TRIED, export_onnx
from deit_ref.weights import DeiTWeights, named_arrays

EXAMPLES = """examples:
  deit-ref convert deit_tiny.pth my_checkpoint/
  deit-ref convert training.pth my_checkpoint/ --revision ema
  deit-ref convert my_checkpoint/ my_model.onnx --attentions

To a FOLDER: writes config.json, preprocessor_config.json and model.safetensors, which transformers and deit-ref load,
then reads them back and compares every array bit for bit.

To a FILE.onnx: writes the model in float32, for any number of photos, with class names and the steps before the model
in its metadata, once onnxruntime has computed with it what deit-ref computes. It needs the extra onnx."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help="a checkpoint: a folder, a file, or a name on the hub")
    parser.add_argument(
        "target", type=_target, metavar="FOLDER|FILE.onnx", help="where to write; a folder is made if it is not there"
    )
    add_force(parser, help="replace FILE.onnx, or write into a folder that is not empty; files of other names stay")
    parser.add_argument(
        "--attentions", action="store_true", help="FILE.onnx gives back the attentions of every layer too"
    )
    parser.add_argument("--task", choices=TASKS, metavar="TASK", help=f"what to keep: {', '.join(TASKS)}")
    parser.add_argument("--seed", type=natural, metavar="N", help="draw a head that the task needs and SOURCE lacks")
    parser.add_argument(
        "--revision",
        help="version of a name on the hub; of a training file ema (averaged weights), or a part",
    )


def run(args: argparse.Namespace) -> int:
    target = Path(args.target)
    if to_onnx := _is_onnx(args.target):
        refuse_to_replace(args.target, force=args.force)
    elif args.attentions:
        raise ValueError(f"--attentions goes with FILE.onnx, got the folder {target}: leave it out.")
    elif target.is_dir() and any(target.iterdir()) and not args.force:
        raise ValueError(f"{target} is not empty: choose another folder, or add --force to replace the files in it.")
    weights = deit_ref.load_weights(args.source, task=args.task, seed=args.seed, revision=args.revision)
    warn_of_weights(weights)
    origin = _provenance(args.source)
    written = _to_onnx(weights, target, origin, args.attentions) if to_onnx else _to_folder(weights, target, origin)
    print(f"{printable(str(target))}: {written}")
    return 0


def _is_onnx(text: str) -> bool:
    return text.lower().endswith(".onnx")


def _target(text: str) -> str:
    """A folder of any name, or a file that can be written."""
    return new_file(".onnx")(text) if _is_onnx(text) else text


def _provenance(source: str) -> Any:
    """What a training run wrote into the config.json of a checkpoint on this machine."""
    path = locate(source)
    config = (path if path.is_dir() else path.parent) / CONFIG
    return read_json(config).get("provenance") if config.is_file() else None


def _to_folder(weights: DeiTWeights, folder: Path, provenance: Any) -> str:
    deit_ref.save_weights(weights, folder, provenance=provenance)
    if wrong := differences(weights, deit_ref.load_weights(folder)):
        raise ValueError(f"{folder} does not read back as it was written, do not use it: {', '.join(wrong)} changed.")
    return (
        f"{len(list(named_arrays(weights)))} arrays of {weights.num_parameters:,} {weights.pos_embed.dtype} numbers, "
        f"task {weights.task}; read back, and every array is equal bit for bit."
    )


def _to_onnx(weights: DeiTWeights, path: Path, provenance: Any, attentions: bool) -> str:
    if (dtype := weights.pos_embed.dtype) != "float32":
        say(f"the weights are {dtype}, the file will be float32.")
        weights = weights.to("numpy", dtype="float32")
    written = export_onnx(weights, path, attentions=attentions, provenance=provenance)
    inputs, outputs = (checks.some(names, most=4) for names in (written.inputs, written.differences))
    return (
        f"{written.size:,} bytes, opset {OPSET}, task {weights.task}, from {inputs} to {outputs}; run in onnxruntime "
        f"on {' and '.join(map(str, TRIED))} photos, and the largest difference from forward is "
        f"{max(written.differences.values()):.1e} of the largest value."
    )
