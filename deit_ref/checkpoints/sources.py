"""What a source is: the files of a checkpoint, and which part of them is meant."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deit_ref import checks
from deit_ref.checkpoints import hub, original, safetensors_reader
from deit_ref.checkpoints.files import BUNDLED, StoredArray, locate, logger, naming
from deit_ref.checkpoints.huggingface import CONFIG, weight_files
from deit_ref.checkpoints.names import Layout, layout_of, without_prefix
from deit_ref.checkpoints.strangers import what_it_is

PICKLED = (".bin", ".pth", ".pt", ".ckpt", ".tar")  # timm's training writes .pth.tar, Lightning's .ckpt
READABLE = (
    f"a folder with {CONFIG} and weights (model.safetensors or pytorch_model.bin, whole or in shards), one file "
    f"(.safetensors, {', '.join(PICKLED)}), a name on the hub such as facebook/deit-tiny-patch16-224, or what is "
    f"bundled: {' or '.join(BUNDLED[:2])}"
)

# What torch.optim.swa_utils.AveragedModel counts beside the weights.
COUNTER = "n_averaged"


def located(
    source: str | os.PathLike[str], revision: str | None
) -> tuple[Path, dict[Path, set[str] | None], str | None]:
    """The checkpoint's folder; its weight files, each with the names an index promises, or None; which part to read."""
    checks.path("source", source, expected=f"a path ({READABLE})")
    if revision is not None and (not isinstance(revision, str) or not revision):
        raise ValueError(f"revision must be text, got {checks.brief(revision)}.")
    path = locate(source)
    if os.path.isfile(path):
        if path.suffix not in (".safetensors", *PICKLED):
            but = f", but {what}" if (what := what_it_is(path)) else ""
            raise ValueError(f"{path} is not a weight file by its name{but}; what is read is {READABLE}.")
        if path.suffix == ".safetensors":
            _refuse_revision(revision, source)
        return path.parent, {path: None}, revision
    if os.path.isdir(path):
        _refuse_revision(revision, source)
        return path, weight_files(path), None
    if isinstance(source, str) and hub.is_name(source):
        folder = hub.download(source, revision)
        return folder, weight_files(folder), None
    raise ValueError(f"There is no folder or file {checks.brief(str(source))}; what is read is {READABLE}.")


def _refuse_revision(revision: str | None, source: Any) -> None:
    if revision is not None:
        raise ValueError(
            "revision chooses a version of a hub id or a part of a training file (such as 'ema'), got "
            f"revision={checks.brief(revision)} for source={checks.brief(source)}: leave it out."
        )


def read_headers(files: Mapping[Path, set[str] | None], revision: str | None) -> tuple[Layout, dict[str, StoredArray]]:
    """How the files name their tensors, and every tensor under its stored name; no tensor is read."""
    entries: list[StoredArray] = []
    for file, promised in files.items():
        if file.suffix == ".safetensors":
            found = safetensors_reader.read_headers(file)
        else:
            found = original.read_headers(file, revision)
        if promised is not None and (difference := {entry.name for entry in found} ^ promised):
            index = ("model" if file.suffix == ".safetensors" else "pytorch_model") + f"{file.suffix}.index.json"
            listed = checks.some(sorted(difference))
            raise ValueError(f"{file} and {index} disagree about {listed}: download or save all files again.")
        entries += found
    first = next(iter(files))
    with naming(first if len(files) == 1 else first.parent):
        layout, prefix = layout_of(entry.name for entry in entries)
    stored: dict[str, StoredArray] = {}
    beside: list[StoredArray] = []
    for entry in entries:
        bare = without_prefix(entry.name, prefix, layout)
        if bare is None:
            beside.append(entry)
            continue
        name = layout.stored_name(bare)
        if name in stored:
            raise _spelled_twice(stored[name], entry)
        stored[name] = entry
    for entry in beside:
        if (name := layout.stored_name(entry.name)) in stored:
            raise _spelled_twice(stored[name], entry)
    if left_out := [entry.name for entry in beside if entry.name != COUNTER]:
        logger().warning("Left out, as no part of the model at %r: %s.", prefix, checks.some(left_out))
    return layout, stored


def _spelled_twice(one: StoredArray, other: StoredArray) -> ValueError:
    return ValueError(f"{one.file}: {one.name} and {other.name} are two spellings of one tensor: keep one of them.")
