"""From the tensors of files to the arrays of the tree: checked by their headers first, then read, joined and folded."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from deit_ref import checks
from deit_ref.checkpoints import names, safetensors_reader
from deit_ref.checkpoints.files import DTYPES, StoredArray, logger
from deit_ref.checkpoints.relatives import Extras, extras_of, fold
from deit_ref.config import DeiTConfig
from deit_ref.weights import array_shapes, check_shapes, draw_arrays


def arrays_of(
    stored: Mapping[str, StoredArray], layout: names.Layout, config: DeiTConfig, task: str, seed: int | None
) -> dict[str, np.ndarray[Any, Any]]:
    """Our arrays, read from the files after everything in their headers has been checked, and new heads."""
    # First, because a list of all tensors of a billion blocks would not fit in memory.
    if (found := names.num_blocks(stored)) != config.num_hidden_layers:
        raise ValueError(f"The config has {config.num_hidden_layers} encoder blocks, the weights have {found}.")
    entries = dict(stored)
    extras = extras_of({name: entry.shape for name, entry in entries.items()}, layout, config)
    if extras.mask_token:
        entries.pop(extras.mask_token)
    pooler, mask_token = (layout.stored_parts(name, "features")[0] for name in ("pooler.weight", "mask_token"))
    shapes = array_shapes(config, task, pooler=pooler in entries, mask_token=mask_token in entries)
    new, hint = _missing_heads(shapes, entries, layout, task), ""
    if new and seed is None:
        lacking = dict.fromkeys(module_of(layout.stored_parts(name, task)[0]) for name in new)
        raise ValueError(
            f"There is no {' and no '.join(lacking)} for task={task!r}: pass seed= to draw new weights, or choose "
            "another task."
        )
    if resized := _resized_heads(shapes, entries, layout, task):
        replaced = dict.fromkeys(module_of(part) for name in resized for part in layout.stored_parts(name, task))
        hint = f" Or pass seed= to draw a new {' and a new '.join(replaced)}."
        if seed is not None:
            new |= resized
            entries = {name: entry for name, entry in entries.items() if module_of(name) not in replaced}
            logger().warning("Replaced, because the config asks for another size: %s.", ", ".join(replaced))
    old = {name: shape for name, shape in shapes.items() if name not in new}
    _check_headers(entries, extras.scale_shapes(config) | _shapes_in_file(old, layout, config, task, extras), hint)
    if said := str(extras):
        logger().warning("Folded: %s.", said)

    dtype = np.float64 if any(entry.dtype == "F64" for entry in entries.values()) else np.float32
    parts = {name: array.astype(dtype, copy=False) for name, array in _read_arrays(entries).items()}
    arrays = {
        name: names.join_parts(name, [parts.pop(part) for part in layout.stored_parts(name, task)]) for name in old
    }
    rows = config.num_prefix_tokens if extras.no_class_position else 0
    fold(arrays, {module: parts[name] for module, name in extras.scales.items()}, rows=rows)
    if new:
        assert seed is not None
        drawn = draw_arrays(new, std=config.initializer_range, seed=seed)
        arrays |= {name: array.astype(dtype, copy=False) for name, array in drawn.items()}
        logger().warning("New weights, drawn from seed %s and not yet trained: %s.", checks.brief(seed), ", ".join(new))
    return arrays


def _shapes_in_file(
    shapes: Mapping[str, tuple[int, ...]], layout: names.Layout, config: DeiTConfig, task: str, extras: Extras
) -> dict[str, tuple[int, ...]]:
    """Stored names and shapes; where the class token has no position, its row is missing."""
    if extras.no_class_position:
        shapes = {**shapes, "pos_embed": (1, config.num_patches, config.hidden_size)}
    return layout.stored_shapes(shapes, task)


def _check_headers(entries: Mapping[str, StoredArray], expected: Mapping[str, tuple[int, ...]], hint: str) -> None:
    """Raise a ValueError if names, shapes or dtypes are not as expected; the hint is the end of what it says."""
    try:
        check_shapes(expected, {name: entry.shape for name, entry in entries.items()})
    except ValueError as error:
        raise ValueError(f"{error}{hint}") from error
    if wrong := [f"{name} ({entry.dtype})" for name, entry in entries.items() if entry.dtype not in DTYPES]:
        raise ValueError(f"Weights must be one of {', '.join(DTYPES)}, got {checks.some(wrong)}: save them as float32.")


def _missing_heads(
    shapes: Mapping[str, tuple[int, ...]], stored: Iterable[str], layout: names.Layout, task: str
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the heads (and of the mask token of masked image modeling) that are not stored at all."""
    known = set(stored)
    present = {module_of(name) for name in shapes if known.intersection(layout.stored_parts(name, task))}
    mask = {"mask_token"} if task == "masked-image-modeling" else set()
    creatable = (set(names.HEADS[task]) | mask) - present
    return {name: shape for name, shape in shapes.items() if module_of(name) in creatable}


def _resized_heads(
    shapes: Mapping[str, tuple[int, ...]], stored: Mapping[str, StoredArray], layout: names.Layout, task: str
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the heads that are stored whole, for another number of classes or of outputs."""
    found: dict[str, tuple[int, ...]] = {}
    for head in names.HEADS[task]:
        wanted = layout.stored_shapes({n: shape for n, shape in shapes.items() if module_of(n) == head}, task)
        there = [(shape, stored[name].shape) for name, shape in wanted.items() if name in stored]
        same_inputs = all(len(one) == len(other) and one[1:] == other[1:] for one, other in there)
        if wanted and len(there) == len(wanted) and same_inputs and any(one[0] != other[0] for one, other in there):
            found |= {name: shape for name, shape in shapes.items() if module_of(name) == head}
    return found


def module_of(name: str) -> str:
    """The name without "weight" or "bias"."""
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
