"""The folders that transformers writes: config.json, preprocessor_config.json and the weights, whole or in shards."""

import os
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from deit_ref import checks
from deit_ref.arrays import as_numpy
from deit_ref.checkpoints import names
from deit_ref.checkpoints.files import RUN_STATE, json_bytes, logger, naming, read_json, write
from deit_ref.config import DeiTConfig
from deit_ref.image_processing import ImageProcessing
from deit_ref.weights import DeiTWeights, default_image_processing, named_arrays

CONFIG = "config.json"
PROCESSING = "preprocessor_config.json"
WEIGHTS = "model.safetensors"

# Where several are there, transformers reads the first of these, and so must we.
WEIGHT_FILES = (WEIGHTS, "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
SHARDS = ("model-*-of-*.safetensors", "pytorch_model-*-of-*.bin")

# transformers' class for each task, after "DeiT" or "ViT".
ARCHITECTURES = {
    "features": "Model",
    "classification": "ForImageClassification",
    "classification-with-teacher": "ForImageClassificationWithTeacher",
    "masked-image-modeling": "ForMaskedImageModeling",
}


def save_weights(
    weights: DeiTWeights, folder: str | os.PathLike[str], *, provenance: Mapping[str, Any] | None = None
) -> None:
    """Write a folder that transformers and `load_weights` read: the same weights give the same bytes.

    Each file is written beside its place and then renamed, so that a reader never sees half of one. float16 stays
    float16; bfloat16, which NumPy lacks, is written as float32, with the same values.

    Args:
        weights: of either backend.
        folder: made if it is not there; files of the same names are replaced.
        provenance: where the weights come from, in values that JSON has; stands in config.json as "provenance", which
            readers leave alone. A training run writes its recipe, its seed and what it ran on.

    Raises:
        ValueError: `folder` is a file.
    """
    from safetensors.numpy import save

    checks.instance("weights", weights, DeiTWeights, "DeiTWeights, from load_weights or init_weights")
    folder = Path(checks.path("folder", folder, expected="the path of a folder to write into"))
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise ValueError(f"folder must be a folder to write into, got the file {folder}: choose another name.")
    distilled = weights.config.distilled
    arrays = {
        names.prefixed(part, weights.task, distilled=distilled): np.ascontiguousarray(value)
        for name, array in named_arrays(weights)
        for part, value in names.split_parts(name, _as_stored(array), weights.task).items()
    }
    values = _config_values(weights)
    if provenance is not None:
        checks.instance("provenance", provenance, Mapping, "a dictionary, of what JSON has")
        values["provenance"] = dict(provenance)
    try:
        config = json_bytes(values)
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"provenance must hold what JSON has, got {checks.brief(provenance)} ({checks.one_line(error, most=200)})."
        ) from error
    # All that may be refused has been by now: no folder is left half written.
    content = {CONFIG: config, PROCESSING: json_bytes(weights.image_processing.to_dict())}
    content[WEIGHTS] = save(arrays, metadata={"format": "pt"})
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"folder must be a folder to write into, and {checks.brief(str(folder))} cannot be made "
            f"({checks.one_line(error, most=200)}): choose another name."
        ) from error
    for name, written in content.items():
        write(folder / name, written)


def weight_files(folder: Path) -> dict[Path, set[str] | None]:
    """The weight files of a folder, each with the names that an index promises, or None without an index.

    Raises:
        ValueError: there are none, or not yet, or the index is damaged or leads out of the folder.
    """
    for name in WEIGHT_FILES:
        if os.path.isfile(folder / name):
            return _shards(folder / name) if name.endswith(".json") else {folder / name: None}
    if os.path.isfile(folder / RUN_STATE):
        raise ValueError(
            f"{folder} is a training run that has not ended, and its weights are written at the end: the command that "
            "began it goes on with --resume."
        )
    raise ValueError(
        f"{folder} holds none of {', '.join(WEIGHT_FILES)}: pass the weight file itself if it has another name."
    )


def _shards(index: Path) -> dict[Path, set[str] | None]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map or not all(isinstance(v, str) for v in weight_map.values()):
        raise ValueError(f'{index} must hold a "weight_map" from tensor names to file names: save the model again.')
    shards: dict[Path, set[str] | None] = {}
    for shard in sorted(set(weight_map.values())):
        path = _shard_path(index, shard)
        shards[path] = {name for name, file in weight_map.items() if file == shard}
    return shards


def _shard_path(index: Path, shard: str) -> Path:
    # PureWindowsPath also knows backslashes and drives, which mean something else on the machine of the next reader.
    shown = checks.one_line(repr(shard))
    if not shard or shard == ".." or PureWindowsPath(shard).name != shard:
        raise ValueError(f"{index} must name files in its own folder, got {shown}: do not trust this checkpoint.")
    kind = Path(index.name.removesuffix(".index.json")).suffix
    if Path(shard).suffix != kind:
        raise ValueError(f"{index} must name {kind} files, got {shown}: save the model again.")
    path, folder = index.parent / shard, index.parent.resolve()
    if not os.path.isfile(path):
        raise ValueError(f"{shown} is missing, although {index} names it: download or save all shards again.")
    # The hub's cache keeps the files in "blobs" and fills "snapshots/<revision>" with links to them.
    allowed = {folder} | ({folder.parents[1] / "blobs"} if folder.parent.name == "snapshots" else set())
    if path.resolve().parent not in allowed:
        raise ValueError(f"{path} is a link that leaves its folder: put the file itself there.")
    return path


def task_without_tensors(values: Mapping[str, Any], config: DeiTConfig) -> str:
    """The task of a checkpoint without a head: a classifier of no labels has none, and only its config tells."""
    listed = values.get("architectures")
    for task, suffix in ARCHITECTURES.items():
        if config.num_labels == 0 and listed in ([f"DeiT{suffix}"], [f"ViT{suffix}"]):
            return task
    return "features"


def read_processing(path: Path, config: DeiTConfig) -> ImageProcessing:
    """The steps in preprocessor_config.json, or transformers' usual ones for this config, said in a log line."""
    if not path.exists():
        processing = default_image_processing(config)
        logger().warning("%s is missing; images are processed by %s.", path, processing)
        return processing
    values = read_json(path)
    with naming(path):
        return ImageProcessing.from_dict(values)


def check_labels(values: Mapping[str, Any], path: Path) -> None:
    """Refuse an id2label that does not map "0", "1", ... to names."""
    id2label = values.get("id2label")
    if id2label is None:
        return
    if not isinstance(id2label, dict) or set(id2label) != {str(i) for i in range(len(id2label))}:
        raise ValueError(f'{path}: "id2label" must have the keys "0", "1", ... up to the number of labels.')
    if not all(isinstance(name, str) for name in id2label.values()):
        raise ValueError(f'{path}: the names in "id2label" must be strings.')


def class_names_of(values: Mapping[str, Any], path: Path, config: DeiTConfig) -> tuple[str, ...] | None:
    """The names in config.json, unless they are transformers' placeholders or made for another number of labels."""
    id2label = values.get("id2label") or {}
    class_names = tuple(id2label[str(i)] for i in range(len(id2label)))
    if class_names == tuple(f"LABEL_{i}" for i in range(len(class_names))):
        return None
    if len(class_names) != config.num_labels:
        logger().warning("%s names %d classes, config= has %d: no names.", path, len(class_names), config.num_labels)
        return None
    return class_names


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
