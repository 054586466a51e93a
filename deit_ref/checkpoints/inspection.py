"""What is inside a checkpoint, and whether it can be trusted: numbers that are finite, and a copy that reads back."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from deit_ref import checks
from deit_ref.arrays import as_numpy
from deit_ref.checkpoints.files import locate
from deit_ref.checkpoints.huggingface import CONFIG, PROCESSING, save_weights, weight_files
from deit_ref.checkpoints.load import load_weights
from deit_ref.image_processing import ImageProcessing
from deit_ref.weights import DeiTWeights, named_arrays


@dataclass(frozen=True)
class CheckpointReport:
    """What was found; `print(report)` shows it.

    Attributes:
        facts: what it is, by name, to be read.
        values: the same and more, as JSON has it.
        problems: what is wrong, a sentence each; none means that all is well.
        notes: what is good to know, a sentence each.
    """

    facts: Mapping[str, str]
    values: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        rows = [f"{name:<11} {checks.one_line(words)}" for name, words in self.facts.items()]
        rows += [f"note: {note}" for note in self.notes] + [f"warning: {problem}" for problem in self.problems]
        return "\n".join(rows)

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON has it."""
        return {"ok": not self.problems, **self.values, "problems": [*self.problems], "notes": [*self.notes]}


def inspect_weights(source: str | os.PathLike[str]) -> CheckpointReport:
    """Read a checkpoint, write it to a temporary folder, and read that.

    Raises:
        ValueError: it cannot be read, as `load_weights`.
    """
    path, weights = locate(source), load_weights(source)
    config, steps, names = weights.config, weights.image_processing, weights.class_names
    files = [*weight_files(path), path / CONFIG, path / PROCESSING] if path.is_dir() else [path]
    present = [file.name for file in files if file.is_file()]
    arrays = {name: as_numpy(array) for name, array in named_arrays(weights)}
    high, wide = config.image_shape
    facts = {
        "files": ", ".join(present),
        "task": weights.task,
        "model": f"{'DeiT with a distillation token' if config.distilled else 'ViT, or DeiT without distillation'}: "
        f"{config.num_hidden_layers} blocks of {config.num_attention_heads} heads, width {config.hidden_size}",
        "sees": f"{high}x{wide} pixels, {config.num_channels} channels, patches of "
        f"{config.patch_shape[0]}x{config.patch_shape[1]}",
        "numbers": f"{weights.num_parameters:,} in {len(arrays)} arrays, read as {weights.pos_embed.dtype}",
        "classes": f"{config.num_labels}{': ' + checks.some(names, most=20) if names else ''}",
        "photos": _photos_in_words(steps),
    }
    values = {
        "files": present,
        "task": weights.task,
        "config": config.to_dict(),
        "parameters": weights.num_parameters,
        "class_names": None if names is None else [*names],
        "image_processing": steps.to_dict(),
    }
    problems = []
    for name, array in arrays.items():
        if bad := int((~np.isfinite(array)).sum()):
            problems.append(f"{bad} of {array.size} values of {name} are NaN or infinite: get the checkpoint again.")
    with tempfile.TemporaryDirectory() as folder:
        save_weights(weights, folder)
        if wrong := differences(weights, load_weights(folder)):
            problems.append(f"a copy does not read back as it was written: {checks.some(wrong)} changed.")
    constant = [name for name, array in arrays.items() if name.endswith("weight") and not array.any()]
    notes = [f"all values of {name} are 0, as if it was never trained." for name in constant]
    if names is None and weights.head is not None:
        notes.append("the classes have no names.")
    return CheckpointReport(facts, values, tuple(problems), tuple(notes))


def _photos_in_words(steps: ImageProcessing) -> str:
    """What is done to them, in the order in which it is done."""
    done = [
        (steps.apply_exif, "turned as EXIF says"),
        (steps.do_convert_rgb, "RGB"),
        (steps.do_resize, f"resized to {_side(steps.size)} ({steps.resample})"),
        (steps.do_center_crop, f"cropped to {_side(steps.crop_size)}"),
        (steps.do_rescale, f"times {steps.rescale_factor:.5g}"),
        (steps.do_normalize, f"minus {steps.image_mean}, divided by {steps.image_std}"),
    ]
    return ", ".join(words for is_done, words in done if is_done)


def _side(size: Mapping[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {pixels}" for name, pixels in size.items())


def differences(ours: DeiTWeights, theirs: DeiTWeights) -> list[str]:
    """What is not the same in two models, NaN being equal to the same NaN."""
    travelling = ("config", "task", "image_processing", "class_names")
    wrong = [name for name in travelling if getattr(ours, name) != getattr(theirs, name)]
    a, b = ({name: as_numpy(array) for name, array in named_arrays(tree)} for tree in (ours, theirs))
    return wrong + [name for name in {**a, **b} if _bits(a.get(name)) != _bits(b.get(name))]


def _bits(array: Any) -> Any:
    return None if array is None else (array.dtype, array.shape, array.tobytes())
