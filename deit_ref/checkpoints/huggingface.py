"""The folders that transformers writes: config.json, preprocessor_config.json and model.safetensors.

Reading goes in three steps, so that a broken or hostile file costs nothing: the headers of the weight files (names,
shapes, dtypes), their comparison with what the config asks for, and only then the arrays themselves. Nothing in these
files is ever executed.
"""

import json
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

import numpy as np

from deit_ref import checks
from deit_ref.checkpoints import names
from deit_ref.config import TASKS, VARIANTS, DeiTConfig, ImageProcessing
from deit_ref.outputs import as_numpy
from deit_ref.weights import (
    DeiTWeights,
    array_shapes,
    check_shapes,
    default_image_processing,
    draw_arrays,
    init_weights,
    named_arrays,
    weights_from_arrays,
)

logger = logging.getLogger("deit_ref")

CONFIG = "config.json"
PROCESSING = "preprocessor_config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
READABLE = f"a folder with {CONFIG} and {WEIGHTS} (or {INDEX} and its shards), or a .safetensors file beside {CONFIG}"

DTYPES = ("F16", "BF16", "F32", "F64")

# transformers' class for each task, after "DeiT" or "ViT".
ARCHITECTURES = {
    "features": "Model",
    "classification": "ForImageClassification",
    "classification-with-teacher": "ForImageClassificationWithTeacher",
    "masked-image-modeling": "ForMaskedImageModeling",
}


class StoredArray(NamedTuple):
    """One entry of a safetensors header: the file, the name in it, the dtype as it is written there, the shape."""

    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]


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

    Both spellings of tensor names are read (transformers 4 and 5), with any prefix. float16 and bfloat16 become
    float32, exactly; float64 stays, and a checkpoint that mixes dtypes gets the widest of its own everywhere.

    Args:
        source: a folder with config.json and model.safetensors (or its index and shards), or a .safetensors file
            beside config.json; None gives random weights of DeiT-Ti distilled, with a warning.
        task: None reads it from the tensors. Another task than the file's drops the heads it does not need, and the
            pooler and the mask token, with a warning that names them. "features" without a pooler gives pooler None.
        seed: a head that the file lacks is drawn from this seed, as `init_weights` does; without it that is an error.
        config: replaces config.json.
        image_processing: replaces preprocessor_config.json. Where neither is there, it is `ImageProcessing.huggingface`
            of the image size, and a log line says so.
        class_names: one per label; replaces those of config.json, whose "LABEL_0", "LABEL_1", ... count as none.
        revision: only for hub ids and training files.

    Raises:
        ValueError: the source cannot be read, a file is damaged, tensors are missing, unexpected or of another shape
            than the config says, or a head is missing and there is no seed.
    """
    if task is not None:
        checks.choice("task", task, TASKS)
    if seed is not None:
        checks.integer("seed", seed, minimum=0)
    _check_type("config", config, DeiTConfig)
    _check_type("image_processing", image_processing, ImageProcessing)
    if class_names is not None:
        class_names = _checked_class_names(class_names)
    if revision is not None:
        raise ValueError(
            f"revision chooses a version of a hub id or a part of a training file, got revision={revision!r} "
            f"for source={source!r}: leave it out."
        )
    if source is None:
        return _random_weights(task, seed, config, image_processing, class_names)

    folder, files = _weight_files(source)
    if config is None and not (folder / CONFIG).exists():
        raise ValueError(f"{folder / CONFIG} is missing: put it there, or pass config=deit_ref.DeiTConfig(...).")
    values = _read_json(folder / CONFIG) if (folder / CONFIG).exists() else {}
    _check_labels(values, folder / CONFIG)
    if config is None:
        with _naming(folder / CONFIG):
            config = DeiTConfig.from_dict(values)
    if class_names is None:
        class_names = _class_names_of(values, folder / CONFIG, config)
    if image_processing is None:
        image_processing = _read_processing(folder / PROCESSING, config)

    stored = _read_headers(files)
    with _naming(source):
        stored, task = _for_task(stored, task, _task_without_tensors(values, config))
        arrays = _arrays_of(stored, config, task, seed)
    return weights_from_arrays(arrays, config, task, image_processing=image_processing, class_names=class_names)


def save_weights(weights: DeiTWeights, folder: str | os.PathLike[str]) -> None:
    """Write a folder that transformers and `load_weights` read: the same weights give the same bytes.

    Each file is written beside its place and then renamed, so that a reader never sees half of one. float16 stays
    float16; bfloat16, which NumPy lacks, is written as float32, with the same values.

    Args:
        weights: of either backend.
        folder: made if it is not there; files of the same names are replaced.

    Raises:
        ValueError: `folder` is a file.
    """
    from safetensors.numpy import save

    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"folder must be a folder to write into, got the file {folder}: choose another name.")
    folder.mkdir(parents=True, exist_ok=True)
    distilled = weights.config.distilled
    arrays = {
        names.prefixed(part, weights.task, distilled=distilled): np.ascontiguousarray(value)
        for name, array in named_arrays(weights)
        for part, value in names.split_parts(name, _as_stored(array), weights.task).items()
    }
    _write(folder / CONFIG, _json_bytes(_config_values(weights)))
    _write(folder / PROCESSING, _json_bytes(weights.image_processing.to_dict()))
    _write(folder / WEIGHTS, save(arrays, metadata={"format": "pt"}))


def _random_weights(
    task: str | None,
    seed: int | None,
    config: DeiTConfig | None,
    image_processing: ImageProcessing | None,
    class_names: tuple[str, ...] | None,
) -> DeiTWeights:
    warnings.warn(
        "No trained weights are bundled yet: these are random, and what they predict means nothing. "
        "Pass the folder of a checkpoint to deit_ref.load_weights.",
        UserWarning,
        stacklevel=3,
    )
    config = config or VARIANTS["deit-tiny-distilled-patch16-224"]
    task = task or ("classification-with-teacher" if config.distilled else "classification")
    return init_weights(config, task, seed=seed or 0, image_processing=image_processing, class_names=class_names)


def _weight_files(source: str | os.PathLike[str]) -> tuple[Path, dict[Path, set[str] | None]]:
    """The checkpoint's folder, and its weight files, each with the names an index promises, or None without index."""
    if not isinstance(source, str | os.PathLike) or not os.fspath(source):
        raise ValueError(f"source must be a path, got {source!r}: give {READABLE}.")
    path = Path(source)
    if os.path.isfile(path):
        if path.suffix != ".safetensors":
            raise ValueError(f"{path} is not a .safetensors file; what is read is {READABLE}.")
        return path.parent, {path: None}
    if not os.path.isdir(path):
        raise ValueError(
            f"There is no folder or file {str(source)!r}; what is read is {READABLE}. Hub ids are not read yet: "
            "download the checkpoint first (huggingface_hub.snapshot_download) and pass its folder."
        )
    # Where both are, transformers reads the single file, and so must we.
    if os.path.isfile(path / WEIGHTS):
        return path, {path / WEIGHTS: None}
    if os.path.isfile(path / INDEX):
        return path, _shards(path / INDEX)
    raise ValueError(
        f"{path} holds neither {WEIGHTS} nor {INDEX}; other formats (pytorch_model.bin, .pth) are not read yet: save "
        "the model again with safe_serialization=True."
    )


def _shards(index: Path) -> dict[Path, set[str] | None]:
    weight_map = _read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(shard, str) for shard in weight_map.values()):
        raise ValueError(f'{index} must hold a "weight_map" from tensor names to file names: save the model again.')
    shards: dict[Path, set[str] | None] = {}
    for shard in sorted(set(weight_map.values())):
        path = _shard_path(index, shard)
        shards[path] = {name for name, file in weight_map.items() if file == shard}
    return shards


def _shard_path(index: Path, shard: str) -> Path:
    # PureWindowsPath also knows backslashes and drives, which mean something else on the machine of the next reader.
    if not shard or shard == ".." or PureWindowsPath(shard).name != shard:
        raise ValueError(f"{index} must name files in its own folder, got {shard!r}: do not trust this checkpoint.")
    path, folder = index.parent / shard, index.parent.resolve()
    if not os.path.isfile(path):
        raise ValueError(f"{path} is missing, although {index.name} names it: download or save all shards again.")
    # The hub's cache keeps the files in "blobs" and fills "snapshots/<revision>" with links to them.
    allowed = {folder} | ({folder.parents[1] / "blobs"} if folder.parent.name == "snapshots" else set())
    if path.resolve().parent not in allowed:
        raise ValueError(f"{path} is a link that leaves its folder: put the file itself there.")
    return path


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """A safetensors file, with errors that name it."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np") as opened:
            yield opened
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{file} is not a whole safetensors file ({error}): download or save it again.") from error


def _read_headers(files: Mapping[Path, set[str] | None]) -> dict[str, StoredArray]:
    """Every tensor of the files under its stored name; no tensor is read."""
    stored: dict[str, StoredArray] = {}
    for file, promised in files.items():
        with _opened(file) as opened:
            found = set(opened.keys())
            slices = {name: opened.get_slice(name) for name in sorted(found)}
            entries = [StoredArray(file, name, s.get_dtype(), tuple(s.get_shape())) for name, s in slices.items()]
        if promised is not None and found != promised:
            difference = checks.some(sorted(found ^ promised))
            raise ValueError(f"{file} and {INDEX} disagree about {difference}: download or save all files again.")
        for entry in entries:
            name = names.stored_name(entry.name)
            if name in stored:
                raise ValueError(
                    f"{file}: {stored[name].name} and {entry.name} are two spellings of one tensor: keep one of them."
                )
            stored[name] = entry
    return stored


def _task_without_tensors(values: Mapping[str, Any], config: DeiTConfig) -> str:
    """The task of a checkpoint without a head: a classifier of no labels has none, and only its config tells."""
    listed = values.get("architectures")
    for task, suffix in ARCHITECTURES.items():
        if config.num_labels == 0 and listed in ([f"DeiT{suffix}"], [f"ViT{suffix}"]):
            return task
    return "features"


def _for_task(
    stored: Mapping[str, StoredArray], task: str | None, task_without_tensors: str
) -> tuple[dict[str, StoredArray], str]:
    """The arrays that the task keeps, and the task."""
    if task is None:
        found = names.tasks_of(stored)
        if len(found) > 1:
            raise ValueError(f"There are heads for {' and '.join(found)}: choose one with task=.")
        return dict(stored), found[0] if found else task_without_tensors
    without_mask = task.startswith("classification")
    dropped = [
        name
        for name in stored
        if names.head_of(name) not in (None, task) or (without_mask and name == names.EMBEDDINGS["mask_token"])
    ]
    if dropped:
        listed = sorted({name.removesuffix(".weight").removesuffix(".bias") for name in dropped})
        warnings.warn(f"task={task!r} drops {', '.join(listed)} of the checkpoint.", UserWarning, stacklevel=3)
    return {name: entry for name, entry in stored.items() if name not in dropped}, task


def _arrays_of(
    stored: Mapping[str, StoredArray], config: DeiTConfig, task: str, seed: int | None
) -> dict[str, np.ndarray[Any, Any]]:
    """Our arrays, read from the files after everything in their headers has been checked, and new heads."""
    # First, because a list of all tensors of a billion blocks would not fit in memory.
    if (found := names.num_blocks(stored)) != config.num_hidden_layers:
        raise ValueError(f"The config has {config.num_hidden_layers} encoder blocks, the weights have {found}.")
    shapes = array_shapes(
        config, task, pooler="pooler.dense.weight" in stored, mask_token=names.EMBEDDINGS["mask_token"] in stored
    )
    new = _missing_heads(shapes, stored, task)
    if new and seed is None:
        lacking = dict.fromkeys(_module(names.stored_parts(name, task)[0]) for name in new)
        raise ValueError(
            f"There is no {' and no '.join(lacking)} for task={task!r}: pass seed= to draw new weights, or choose "
            "another task."
        )
    old = {name: shape for name, shape in shapes.items() if name not in new}
    check_shapes(names.stored_shapes(old, task), {name: entry.shape for name, entry in stored.items()})
    if wrong := [f"{name} ({entry.dtype})" for name, entry in stored.items() if entry.dtype not in DTYPES]:
        raise ValueError(f"Weights must be one of {', '.join(DTYPES)}, got {checks.some(wrong)}: save them as float32.")
    dtype = np.float64 if any(entry.dtype == "F64" for entry in stored.values()) else np.float32

    parts = _read_arrays(stored)
    arrays = {
        name: names.join_parts(
            name, [parts.pop(part).astype(dtype, copy=False) for part in names.stored_parts(name, task)]
        )
        for name in old
    }
    if new:
        assert seed is not None
        drawn = draw_arrays(new, std=config.initializer_range, seed=seed)
        arrays |= {name: array.astype(dtype, copy=False) for name, array in drawn.items()}
        logger.warning("New weights, drawn from seed %d and not yet trained: %s.", seed, ", ".join(new))
    return arrays


def _missing_heads(
    shapes: Mapping[str, tuple[int, ...]], stored: Iterable[str], task: str
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the heads (and of the mask token of masked image modeling) that are not stored at all."""
    known = set(stored)
    present = {_module(name) for name in shapes if known.intersection(names.stored_parts(name, task))}
    mask = {"mask_token"} if task == "masked-image-modeling" else set()
    creatable = (set(names.HEADS[task]) | mask) - present
    return {name: shape for name, shape in shapes.items() if _module(name) in creatable}


def _module(name: str) -> str:
    return name.removesuffix(".weight").removesuffix(".bias")


def _read_arrays(stored: Mapping[str, StoredArray]) -> dict[str, np.ndarray[Any, Any]]:
    """The tensors under the same keys; bfloat16 as float32, every other dtype as it is."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for file in sorted({entry.file for entry in stored.values()}):
        entries = {key: entry for key, entry in stored.items() if entry.file == file}
        with _opened(file) as opened:
            arrays |= {key: opened.get_tensor(entry.name) for key, entry in entries.items() if entry.dtype != "BF16"}
        if halves := {entry.name: key for key, entry in entries.items() if entry.dtype == "BF16"}:
            arrays |= {halves[name]: array for name, array in _read_bfloat16(file) if name in halves}
    return arrays


def _read_bfloat16(file: Path) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """The bfloat16 tensors as float32: its bits are the upper half of float32's, so the lower half is zeros."""
    import safetensors

    deserialize: Callable[[bytes], list[tuple[str, dict[str, Any]]]] = safetensors.deserialize
    for name, tensor in deserialize(file.read_bytes()):
        if tensor["dtype"] == "BF16":
            bits = np.frombuffer(tensor["data"], "<u2").astype(np.uint32) << 16
            yield name, bits.view(np.float32).reshape(tensor["shape"])


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as JSON ({error}): download or save it again.") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(values).__name__}: download or save it again.")
    return values


def _read_processing(path: Path, config: DeiTConfig) -> ImageProcessing:
    if not path.exists():
        processing = default_image_processing(config)
        logger.warning("%s is missing; images are processed by %s.", path, processing)
        return processing
    values = _read_json(path)
    with _naming(path):
        return ImageProcessing.from_dict(values)


def _check_labels(values: Mapping[str, Any], path: Path) -> None:
    id2label = values.get("id2label")
    if id2label is None:
        return
    if not isinstance(id2label, dict) or set(id2label) != {str(i) for i in range(len(id2label))}:
        raise ValueError(f'{path}: "id2label" must have the keys "0", "1", ... up to the number of labels.')
    if not all(isinstance(name, str) for name in id2label.values()):
        raise ValueError(f'{path}: the names in "id2label" must be strings.')


def _class_names_of(values: Mapping[str, Any], path: Path, config: DeiTConfig) -> tuple[str, ...] | None:
    """The names in config.json, unless they are transformers' placeholders or made for another number of labels."""
    id2label = values.get("id2label") or {}
    class_names = tuple(id2label[str(i)] for i in range(len(id2label)))
    if class_names == tuple(f"LABEL_{i}" for i in range(len(class_names))):
        return None
    if len(class_names) != config.num_labels:
        logger.warning("%s names %d classes, config= has %d: no names.", path, len(class_names), config.num_labels)
        return None
    return class_names


def _checked_class_names(class_names: Sequence[str]) -> tuple[str, ...]:
    if isinstance(class_names, str) or not all(isinstance(name, str) for name in class_names):
        raise ValueError(f"class_names must be a list of strings, one per label, got {class_names!r}.")
    return tuple(class_names)


def _check_type(name: str, value: Any, expected: type) -> None:
    if value is not None and not isinstance(value, expected):
        raise ValueError(
            f"{name} must be {expected.__name__}, got {type(value).__name__}: a dictionary is read by "
            f"{expected.__name__}.from_dict."
        )


@contextmanager
def _naming(path: Any) -> Iterator[None]:
    """Puts the path in front of a ValueError's message."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _config_values(weights: DeiTWeights) -> dict[str, Any]:
    """config.json as transformers writes it: what is None is left out, and id2label stands for num_labels."""
    values = {name: value for name, value in weights.config.to_dict().items() if value is not None}
    count = values.pop("num_labels")
    class_names = weights.class_names or tuple(f"LABEL_{i}" for i in range(count))
    # transformers takes no pair here; a square one says the same as its side.
    if len(set(weights.config.stride_shape)) == 1:
        values["encoder_stride"] = weights.config.stride_shape[0]
    return {
        "architectures": [("DeiT" if weights.config.distilled else "ViT") + ARCHITECTURES[weights.task]],
        **values,
        "dtype": str(_as_stored(weights.pos_embed).dtype),
        "id2label": {str(i): name for i, name in enumerate(class_names)},
        "label2id": {name: i for i, name in enumerate(class_names)},
    }


def _as_stored(array: Any) -> np.ndarray[Any, Any]:
    """As NumPy; torch's float16, which `as_numpy` widens, is narrowed again without loss."""
    return as_numpy(array).astype(np.float16) if str(array.dtype) == "torch.float16" else as_numpy(array)


def _json_bytes(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, indent=2, default=lambda scalar: scalar.item()) + "\n").encode()


def _write(path: Path, content: bytes) -> None:
    """Write beside and rename, so that the file is either the old or the new one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
