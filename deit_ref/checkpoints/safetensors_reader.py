"""Tensors of a safetensors file, by the library of that name: first the header, later the arrays."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from deit_ref import checks
from deit_ref.checkpoints.files import StoredArray, widen_bfloat16
from deit_ref.checkpoints.strangers import what_it_is

# A DeiT of 12 blocks takes 20 KB. The library takes a second for every 100,000 tensors, of 80 bytes each.
MAX_HEADER = 8 * 2**20


def read_headers(file: Path) -> list[StoredArray]:
    """Every tensor of the file, unread, in the order of names.

    Raises:
        ValueError: the file is damaged, or its header is longer than any ViT's.
    """
    with _opened(file) as opened:
        slices = {name: opened.get_slice(name) for name in sorted(opened.keys())}
        return [StoredArray(file, name, s.get_dtype(), tuple(s.get_shape())) for name, s in slices.items()]


def read_arrays(file: Path, entries: Iterable[StoredArray]) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of these entries by name; bfloat16 as float32, every other dtype as it is.

    Raises:
        ValueError: the file is damaged.
    """
    dtypes = {entry.name: entry.dtype for entry in entries}
    with _opened(file) as opened:
        arrays = {name: opened.get_tensor(name) for name, dtype in dtypes.items() if dtype != "BF16"}
    if "BF16" in dtypes.values():
        arrays |= {name: array for name, array in _read_bfloat16(file) if name in dtypes}
    return arrays


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with open(file, "rb") as start:
            header = int.from_bytes(start.read(8), "little")
        if MAX_HEADER < header < os.path.getsize(file):
            raise ValueError(f"{file} has a header of {header} bytes, at most {MAX_HEADER} can be right for a ViT.")
        with safe_open(file, framework="np") as opened:
            yield opened
    except (OSError, SafetensorError) as error:
        if what := what_it_is(file, expected=".safetensors"):
            raise ValueError(f"{file} is not a safetensors file but {what}.") from error
        reason = checks.one_line(error)
        raise ValueError(f"{file} is not a whole safetensors file ({reason}): download or save it again.") from error


def _read_bfloat16(file: Path) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """The library's NumPy side does not know bfloat16, so these come as bytes."""
    import safetensors

    deserialize: Callable[[bytes], list[tuple[str, dict[str, Any]]]] = safetensors.deserialize
    for name, tensor in deserialize(file.read_bytes()):
        if tensor["dtype"] == "BF16":
            yield name, widen_bfloat16(np.frombuffer(tensor["data"], "<u2")).reshape(tensor["shape"])
