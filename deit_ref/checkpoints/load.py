"""`load_weights`: finds out what a source is, and reads it.

Reading goes in three steps, so that a broken or hostile file costs nothing: the headers of the weight files (names,
shapes, dtypes), their comparison with what the config asks for, and only then the arrays themselves. Nothing in these
files is ever executed.
"""

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deit_ref import checks
from deit_ref.checkpoints import guesses, names, timm_config
from deit_ref.checkpoints.assembly import arrays_of, module_of
from deit_ref.checkpoints.files import BUNDLED, StoredArray, bundled, naming, read_json
from deit_ref.checkpoints.huggingface import (
    CONFIG,
    PROCESSING,
    check_labels,
    class_names_of,
    read_processing,
    task_without_tensors,
)
from deit_ref.checkpoints.relatives import check_head, check_relative
from deit_ref.checkpoints.sources import located, read_headers
from deit_ref.config import TASKS, DeiTConfig
from deit_ref.image_processing import AN_IMAGE_PROCESSING, ImageProcessing
from deit_ref.weights import DeiTWeights, weights_from_arrays


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
    prefix and in any container of a training script. Layer scale and positions without a class token, as in DeiT III
    and DINOv2, are folded into the arrays of a DeiT, and a log line says so. float16 and bfloat16 become float32,
    exactly; float64 stays, and a checkpoint that mixes dtypes gets the widest of its own everywhere.

    Args:
        source: a folder with config.json and weights (model.safetensors or pytorch_model.bin, or an index and its
            shards; safetensors win); one file (.safetensors, .bin, .pth, .pt, .ckpt, .pth.tar); or "owner/name" on the
            hub. A single file takes config.json and preprocessor_config.json beside it. Otherwise, and where
            config.json is timm's, the sizes come from the shapes. What they do not tell is guessed where timm does
            not tell it: hidden_size / 64 heads (16 in ViT-H, g and G), exact GELU, a head on the class token,
            layer_norm_eps 1e-6 for original and timm names and 1e-12 for transformers names (1e-6 for DINOv2), and
            images as `ImageProcessing.original` has them; log lines say so. Two trained checkpoints come with the
            package: "cifar10-distilled", which None stands for, and "cifar10-simmim" (a folder of that name in the
            working directory goes before).
        task: None reads it from the tensors. Another task than the file's drops the heads it does not need, and the
            pooler and the mask token, with a warning that names them. "features" without a pooler gives pooler None.
        seed: a head that the file lacks, or has for another number of classes than `config`, is drawn from this seed,
            as `init_weights` does; without it that is an error.
        config: replaces config.json.
        image_processing: replaces preprocessor_config.json. Where neither is there, it is `ImageProcessing.huggingface`
            of the image size (`original` for files with original names), and a log line says so.
        class_names: one per label; replaces those of config.json, whose "LABEL_0", "LABEL_1", ... count as none.
        revision: of a hub name, the branch, tag or commit; of a training file, "ema" for the averaged weights, or the
            name of the part that holds them, such as "teacher".

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
    folder, files, revision = located(source, revision)
    has_config = (folder / CONFIG).exists()
    values = read_json(folder / CONFIG) if has_config else {}
    if str(values.get("kind", "")).startswith("deit_ref-"):
        raise ValueError(
            f"{folder} holds a convolutional teacher, no DeiT: deit_ref.training.teacher.load_teacher reads it, and "
            "training takes it as teacher= (on the command line --teacher)."
        )
    # timm's config.json names a model of timm and has none of our fields.
    timm: Mapping[str, Any] = {}
    if timm_config.is_timm(values):
        timm, values, has_config = values, {}, False
    check_labels(values, folder / CONFIG)
    with naming(folder / CONFIG):
        told = timm_config.told(timm) if timm else {}
        if config is None and has_config:
            config = DeiTConfig.from_dict(values)
    if config is None and not timm and not os.path.isfile(source):
        raise ValueError(f"{folder / CONFIG} is missing: put it there, or pass config=deit_ref.DeiTConfig(...).")

    layout, stored = read_headers(files, revision)
    with naming(source):
        check_relative(_shapes(stored), layout)
        if guessed := config is None:
            config = guesses.guessed_config(source, _shapes(stored), layout, told)
    if timm and class_names is None:
        with naming(folder / CONFIG):
            class_names = timm_config.class_names(timm, config)
    if class_names is None:
        class_names = class_names_of(values, folder / CONFIG, config)
    if image_processing is None:
        image_processing = _processing(folder, timm, config, original=guessed or layout is names.ORIGINAL)
    with naming(source):
        stored, task = _for_task(stored, layout, task, task_without_tensors(values, config))
    with naming(folder / CONFIG):
        timm_config.check_head(timm, task, config.num_labels if guessed else None)
    with naming(source):
        arrays = arrays_of(stored, layout, config, task, seed)
    return weights_from_arrays(arrays, config, task, image_processing=image_processing, class_names=class_names)


def _processing(folder: Path, timm: Mapping[str, Any], config: DeiTConfig, *, original: bool) -> ImageProcessing:
    """The steps in preprocessor_config.json or timm's config.json, or a guess."""
    found = None
    if not (folder / PROCESSING).exists():
        with naming(folder / CONFIG):
            found = timm_config.processing_of(timm, config)
        if found is None and original:
            found = guesses.guessed_processing(config)
    return read_processing(folder / PROCESSING, config) if found is None else found


def _shapes(stored: Mapping[str, StoredArray]) -> dict[str, tuple[int, ...]]:
    return {name: entry.shape for name, entry in stored.items()}


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
        check_head(_shapes(stored), layout, task)
        return dict(stored), task
    check_head(_shapes(stored), layout, task)
    (mask_token,) = layout.stored_parts("mask_token", task)
    without_mask = task.startswith("classification")
    dropped = [name for name in stored if owners.get(name, task) != task or (without_mask and name == mask_token)]
    if dropped:
        listed = dict.fromkeys(sorted(module_of(name) for name in dropped))
        warnings.warn(f"task={task!r} drops {', '.join(listed)} of the checkpoint.", UserWarning, stacklevel=3)
    return {name: entry for name, entry in stored.items() if name not in dropped}, task
