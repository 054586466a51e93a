"""`load_weights`: finds out what a source is, and reads it.

Reading goes in three steps, so that a broken or hostile file costs nothing: the headers of the weight files (names,
shapes, dtypes), their comparison with what the config asks for, and only then the arrays themselves. Nothing in these
files is ever executed.
"""

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deit_ref import checks
from deit_ref.checkpoints import hub, names, original, safetensors_reader
from deit_ref.checkpoints.files import BUNDLED, DTYPES, StoredArray, bundled, locate, logger, naming, read_json
from deit_ref.checkpoints.huggingface import (
    CONFIG,
    PROCESSING,
    check_labels,
    class_names_of,
    read_processing,
    task_without_tensors,
    weight_files,
)
from deit_ref.config import TASKS, DeiTConfig
from deit_ref.image_processing import AN_IMAGE_PROCESSING, ImageProcessing
from deit_ref.weights import (
    DeiTWeights,
    array_shapes,
    check_shapes,
    draw_arrays,
    weights_from_arrays,
)

PICKLED = (".bin", ".pth", ".pt", ".tar")  # timm's training writes .pth.tar
READABLE = (
    f"a folder with {CONFIG} and weights (model.safetensors or pytorch_model.bin, whole or in shards), one file "
    f"(.safetensors, {', '.join(PICKLED)}), a name on the hub such as facebook/deit-tiny-patch16-224, or what is "
    f"bundled: {' or '.join(BUNDLED[:2])}"
)


def load_weights(
    source: str | os.PathLike[str] | None = None,
    *,
    task: str | None = None,
    seed: int | None = None,
    config: DeiTConfig | None = None,
    image_processing: ImageProcessing | None = None,
    class_names: Sequence[str] | None = None,
    revision: str | None = None,
) -> DeiTWeights:
    """Read a checkpoint as NumPy arrays.

    All spellings of tensor names are read (the original repository's and timm's, transformers 4 and 5), with any
    prefix. float16 and bfloat16 become float32, exactly; float64 stays, and a checkpoint that mixes dtypes gets the
    widest of its own everywhere.

    Args:
        source: a folder with config.json and weights (model.safetensors or pytorch_model.bin, or an index and its
            shards; safetensors win); one file (.safetensors, .bin, .pth, .pt, .pth.tar); or "owner/name" on the hub.
            A single file takes config.json and preprocessor_config.json beside it. Otherwise the sizes come from the
            shapes, there are hidden_size / 64 heads, layer_norm_eps is 1e-6 for original and timm names and 1e-12 for
            transformers names, and images are processed by `ImageProcessing.original`; log lines say so. Two trained
            checkpoints come with the package: "cifar10-distilled", which None stands for, and "cifar10-simmim" (a
            folder of that name in the working directory goes before).
        task: None reads it from the tensors. Another task than the file's drops the heads it does not need, and the
            pooler and the mask token, with a warning that names them. "features" without a pooler gives pooler None.
        seed: a head that the file lacks is drawn from this seed, as `init_weights` does; without it that is an error.
        config: replaces config.json.
        image_processing: replaces preprocessor_config.json. Where neither is there, it is `ImageProcessing.huggingface`
            of the image size (`original` for files with original names), and a log line says so.
        class_names: one per label; replaces those of config.json, whose "LABEL_0", "LABEL_1", ... count as none.
        revision: of a hub name, the branch, tag or commit; of a training file, "ema" for the averaged weights.

    Raises:
        ValueError: the source cannot be read, a file is damaged, tensors are missing, unexpected or of another shape
            than the config says, or a head is missing and there is no seed.
    """
    if task is not None:
        checks.choice("task", task, TASKS)
    if seed is not None:
        checks.integer("seed", seed, minimum=0)
    if config is not None:
        checks.instance("config", config, DeiTConfig, "a DeiTConfig, such as DeiTConfig.from_dict(...)")
    if image_processing is not None:
        checks.instance("image_processing", image_processing, ImageProcessing, AN_IMAGE_PROCESSING)
    if class_names is not None:
        class_names = checks.texts("class_names", class_names, each="one per label")
    source = bundled(BUNDLED[0]) if source is None else source
    folder, files, revision = _located(source, revision)
    values = read_json(folder / CONFIG) if (folder / CONFIG).exists() else None
    if values is not None and str(values.get("kind", "")).startswith("deit_ref-"):
        raise ValueError(
            f"{folder} holds a convolutional teacher, no DeiT: deit_ref.training.teacher.load_teacher reads it, and "
            "training takes it as teacher=."
        )
    check_labels(values or {}, folder / CONFIG)
    # timm's config.json names a model of timm and has none of our fields.
    if values is not None and "architecture" in values and "model_type" not in values:
        logger().warning("%s is timm's and is not read.", folder / CONFIG)
        guess, values = True, None
    else:
        guess = os.path.isfile(source)
    if config is None and values is not None:
        with naming(folder / CONFIG):
            config = DeiTConfig.from_dict(values)
    if config is None and not guess:
        raise ValueError(f"{folder / CONFIG} is missing: put it there, or pass config=deit_ref.DeiTConfig(...).")

    layout, stored = _read_headers(files, revision)
    with naming(source):
        if guessed := config is None:
            shapes = {name: entry.shape for name, entry in stored.items()}
            config = original.guessed_config(source, shapes, layout)
        if image_processing is None and (guessed or layout is names.ORIGINAL) and not (folder / PROCESSING).exists():
            image_processing = original.guessed_processing(config)
    if class_names is None:
        class_names = class_names_of(values or {}, folder / CONFIG, config)
    if image_processing is None:
        image_processing = read_processing(folder / PROCESSING, config)
    with naming(source):
        stored, task = _for_task(stored, layout, task, task_without_tensors(values or {}, config))
        arrays = _arrays_of(stored, layout, config, task, seed)
    return weights_from_arrays(arrays, config, task, image_processing=image_processing, class_names=class_names)


def _located(
    source: str | os.PathLike[str], revision: str | None
) -> tuple[Path, dict[Path, set[str] | None], str | None]:
    """The checkpoint's folder; its weight files, each with the names an index promises, or None; which part to read."""
    checks.path("source", source, expected=f"a path ({READABLE})")
    if revision is not None and (not isinstance(revision, str) or not revision):
        raise ValueError(f"revision must be text, got {checks.brief(revision)}.")
    path = locate(source)
    if os.path.isfile(path):
        if path.suffix not in (".safetensors", *PICKLED):
            raise ValueError(f"{path} is no weight file by its name; what is read is {READABLE}.")
        if path.suffix == ".safetensors" or revision != "ema":
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
            "revision chooses a version of a hub id or, as 'ema', a part of a training file, got "
            f"revision={checks.brief(revision)} for source={checks.brief(source)}: leave it out."
        )


def _read_headers(
    files: Mapping[Path, set[str] | None], revision: str | None
) -> tuple[names.Layout, dict[str, StoredArray]]:
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
    layout = names.layout_of(entry.name for entry in entries)
    stored: dict[str, StoredArray] = {}
    for entry in entries:
        name = layout.stored_name(entry.name)
        if name in stored:
            raise ValueError(
                f"{entry.file}: {stored[name].name} and {entry.name} are two spellings of one tensor: keep one of them."
            )
        stored[name] = entry
    return layout, stored


def _for_task(
    stored: Mapping[str, StoredArray], layout: names.Layout, task: str | None, task_without_tensors: str
) -> tuple[dict[str, StoredArray], str]:
    """The arrays that the task keeps, and the task."""
    owners = layout.heads_of(stored)
    if task is None:
        found = names.tasks_of(owners.values())
        if len(found) > 1:
            raise ValueError(f"There are heads for {' and '.join(found)}: choose one with task=.")
        task = found[0] if found else task_without_tensors
        original.check_pre_logits(stored, task)
        return dict(stored), task
    original.check_pre_logits(stored, task)
    (mask_token,) = layout.stored_parts("mask_token", task)
    without_mask = task.startswith("classification")
    dropped = [name for name in stored if owners.get(name, task) != task or (without_mask and name == mask_token)]
    if dropped:
        listed = dict.fromkeys(sorted(_module(name) for name in dropped))
        warnings.warn(f"task={task!r} drops {', '.join(listed)} of the checkpoint.", UserWarning, stacklevel=3)
    return {name: entry for name, entry in stored.items() if name not in dropped}, task


def _arrays_of(
    stored: Mapping[str, StoredArray], layout: names.Layout, config: DeiTConfig, task: str, seed: int | None
) -> dict[str, np.ndarray[Any, Any]]:
    """Our arrays, read from the files after everything in their headers has been checked, and new heads."""
    # First, because a list of all tensors of a billion blocks would not fit in memory.
    if (found := names.num_blocks(stored)) != config.num_hidden_layers:
        raise ValueError(f"The config has {config.num_hidden_layers} encoder blocks, the weights have {found}.")
    pooler, mask_token = (layout.stored_parts(name, "features")[0] for name in ("pooler.weight", "mask_token"))
    shapes = array_shapes(config, task, pooler=pooler in stored, mask_token=mask_token in stored)
    new = _missing_heads(shapes, stored, layout, task)
    if new and seed is None:
        lacking = dict.fromkeys(_module(layout.stored_parts(name, task)[0]) for name in new)
        raise ValueError(
            f"There is no {' and no '.join(lacking)} for task={task!r}: pass seed= to draw new weights, or choose "
            "another task."
        )
    old = {name: shape for name, shape in shapes.items() if name not in new}
    check_shapes(layout.stored_shapes(old, task), {name: entry.shape for name, entry in stored.items()})
    if wrong := [f"{name} ({entry.dtype})" for name, entry in stored.items() if entry.dtype not in DTYPES]:
        raise ValueError(f"Weights must be one of {', '.join(DTYPES)}, got {checks.some(wrong)}: save them as float32.")
    dtype = np.float64 if any(entry.dtype == "F64" for entry in stored.values()) else np.float32

    parts = _read_arrays(stored)
    arrays = {
        name: names.join_parts(
            name, [parts.pop(part).astype(dtype, copy=False) for part in layout.stored_parts(name, task)]
        )
        for name in old
    }
    if new:
        assert seed is not None
        drawn = draw_arrays(new, std=config.initializer_range, seed=seed)
        arrays |= {name: array.astype(dtype, copy=False) for name, array in drawn.items()}
        logger().warning("New weights, drawn from seed %d and not yet trained: %s.", seed, ", ".join(new))
    return arrays


def _missing_heads(
    shapes: Mapping[str, tuple[int, ...]], stored: Iterable[str], layout: names.Layout, task: str
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the heads (and of the mask token of masked image modeling) that are not stored at all."""
    known = set(stored)
    present = {_module(name) for name in shapes if known.intersection(layout.stored_parts(name, task))}
    mask = {"mask_token"} if task == "masked-image-modeling" else set()
    creatable = (set(names.HEADS[task]) | mask) - present
    return {name: shape for name, shape in shapes.items() if _module(name) in creatable}


def _module(name: str) -> str:
    return name.removesuffix(".weight").removesuffix(".bias")


def _read_arrays(stored: Mapping[str, StoredArray]) -> dict[str, np.ndarray[Any, Any]]:
    """The tensors under the same keys; bfloat16 as float32, every other dtype as it is."""
    from deit_ref.checkpoints import pickle_reader

    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for file in sorted({entry.file for entry in stored.values()}):
        keys = {entry.name: key for key, entry in stored.items() if entry.file == file}
        reader = safetensors_reader if file.suffix == ".safetensors" else pickle_reader
        found = reader.read_arrays(file, [stored[key] for key in keys.values()])
        arrays |= {keys[name]: array for name, array in found.items()}
    return arrays
