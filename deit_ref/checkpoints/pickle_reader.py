"""Tensors of the files that `torch.save` writes (.bin, .pth, .pt), read with NumPy alone and without running them.

Two containers are read: the zip archive since torch 1.6 (data.pkl and one file per storage), and the older sequence of
five pickles followed by the storages.

Source: torch/serialization.py (`_save`, `_legacy_save`).
"""

import io
import math
import os
import struct
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from deit_ref import checks
from deit_ref.checkpoints.files import DTYPES, StoredArray, naming, widen_bfloat16
from deit_ref.checkpoints.pickle_program import Storage, Tensor, interpret
from deit_ref.checkpoints.strangers import what_it_is

if TYPE_CHECKING:
    import zipfile

# With averages and the optimizer's state, the program of a published DeiT takes 56 KB. One byte of it can make an
# object of some 70 bytes, so this bounds the memory that a hostile one takes.
MAX_PROGRAM = 2**20

ZIP_STORED = 0  # zipfile.ZIP_STORED

# Tensors may share a storage; but a small file must not become large arrays by naming one storage again and again.
MAX_SHARING = 4

# What reading a damaged file raises.
DAMAGES = (
    *(ValueError, NotImplementedError, RuntimeError, EOFError, OSError, OverflowError, struct.error),
    *(KeyError, IndexError),
)

LEGACY_MAGIC, LEGACY_VERSION = 0x1950A86A20F9469CFC6C, 1001


def read_program(file: Path) -> Any:
    """What the file holds: dictionaries, lists, numbers and text, with `Tensor` and `Opaque` in them.

    Raises:
        ValueError: the file was not written by `torch.save`, is damaged, or wants anything else to be run.
    """
    with _opened(file) as (value, _, _):
        return value


def stored_array(file: Path, name: str, tensor: Tensor) -> StoredArray:
    """The entry of a file's table of contents for this tensor."""
    return StoredArray(file, name, tensor.storage.dtype, tensor.shape, tensor)


def read_arrays(file: Path, entries: Iterable[StoredArray]) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of these entries by name; bfloat16 as float32, the other dtypes of `DTYPES` as they are.

    Raises:
        ValueError: the file is damaged, or the arrays are much larger than the file.
    """
    entries = sorted(entries, key=lambda entry: entry.place.storage.key)
    wanted = sum(math.prod(entry.shape) * entry.place.storage.itemsize for entry in entries)
    if wanted > MAX_SHARING * os.path.getsize(file):
        raise ValueError(f"{file} holds far fewer bytes than its tensors ({wanted}): do not trust this checkpoint.")
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    with _opened(file) as (_, read_storage, byteorder):
        storage, data = None, b""
        for entry in entries:
            tensor: Tensor = entry.place
            if tensor.storage != storage:  # sorted by storage, so that each is read once and only one is held
                storage, data = tensor.storage, read_storage(tensor.storage)
            values = np.frombuffer(data, byteorder + DTYPES[entry.dtype])
            strides = [stride * values.itemsize for stride in tensor.strides]
            # `pickle_program` has made sure that no index leads outside the storage.
            view = np.lib.stride_tricks.as_strided(values[tensor.offset :], tensor.shape, strides, writeable=False)
            array = view.astype(DTYPES[entry.dtype], order="C")
            arrays[entry.name] = widen_bfloat16(array) if entry.dtype == "BF16" else array
    return arrays


@contextmanager
def _opened(file: Path) -> Iterator[tuple[Any, Callable[[Storage], bytes], str]]:
    """What the file holds, the way to read a storage, and the byte order of the storages."""
    import zipfile  # as pickletools, only when a pickle is read: import deit_ref stays light

    damages = (zipfile.BadZipFile, *DAMAGES)
    remedy = "download it again, or save model.state_dict() with torch.save"
    try:
        with naming(file), open(file, "rb") as opened, warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of pickletools, on escapes in damaged text
            if opened.read(2) == b"PK":
                with zipfile.ZipFile(opened) as archive:
                    yield _read_zip(archive, os.path.getsize(file))
            else:
                yield _read_legacy(opened)
    except damages as error:
        if what := what_it_is(file, expected=".pth"):
            raise ValueError(f"{file} is not a file of torch.save but {what}.") from error
        if isinstance(error, ValueError):
            raise
        reason = repr(error) if isinstance(error, struct.error | LookupError) else error
        raise ValueError(f"{file} is not a whole file of torch.save ({checks.one_line(reason)}): {remedy}.") from error


def _read_zip(archive: "zipfile.ZipFile", file_size: int) -> tuple[Any, Callable[[Storage], bytes], str]:
    programs = [name for name in archive.namelist() if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(programs) != 1:
        raise ValueError("this zip archive holds no data.pkl of torch.save: save model.state_dict() with torch.save.")
    folder = programs[0].removesuffix("data.pkl")

    def read(name: str, most: int) -> bytes:
        entry = archive.getinfo(name)
        # torch.save never compresses; what would grow on reading is not a checkpoint.
        if entry.compress_type != ZIP_STORED or entry.file_size != entry.compress_size:
            raise ValueError(f"{name} is compressed, which torch.save never does: do not trust this checkpoint.")
        if entry.file_size > min(most, file_size):
            raise ValueError(f"{name} has {entry.file_size} bytes, more than can be right: do not trust this file.")
        return archive.read(entry)

    def read_storage(storage: Storage) -> bytes:
        data = read(f"{folder}data/{storage.key}", file_size)
        _check_size(storage, len(data))
        return data

    byteorder = b"little"
    if f"{folder}byteorder" in archive.namelist():
        byteorder = read(f"{folder}byteorder", 16)
    if byteorder not in (b"little", b"big"):
        raise ValueError(f"byteorder must be little or big, got {byteorder!r}: download or save the file again.")
    value = interpret(io.BytesIO(read(programs[0], MAX_PROGRAM)), {})
    return value, read_storage, "<" if byteorder == b"little" else ">"


def _read_legacy(opened: IO[bytes]) -> tuple[Any, Callable[[Storage], bytes], str]:
    opened.seek(0)
    programs = io.BytesIO(opened.read(MAX_PROGRAM))
    storages: dict[str, Storage] = {}
    try:
        is_torch = interpret(programs, {}) == LEGACY_MAGIC
    except ValueError:
        is_torch = False
    if not is_torch:
        raise _not_torch(programs)
    if interpret(programs, {}) != LEGACY_VERSION:
        raise ValueError("this version of the old format is not known: save model.state_dict() with a newer torch.")
    interpret(programs, {})  # byte order and sizes of the machine that wrote; the storages are little-endian on all
    value = interpret(programs, storages)
    keys = interpret(programs, {})
    if not isinstance(keys, list) or not all(isinstance(key, str) and key in storages for key in keys):
        raise ValueError("the list of storages is damaged: download or save the file again.")
    places = {}
    place = programs.tell()
    for key in keys:
        places[key] = place
        place += 8 + storages[key].size * storages[key].itemsize

    def read_storage(storage: Storage) -> bytes:
        opened.seek(places[storage.key])
        (size,) = struct.unpack("<q", opened.read(8))
        _check_size(storage, size * storage.itemsize)
        # Reading more than there is would first set the memory aside.
        if places[storage.key] + 8 + size * storage.itemsize > os.fstat(opened.fileno()).st_size:
            raise ValueError(f"the file ends within storage {storage.key}: download or save it again.")
        return opened.read(size * storage.itemsize)

    return value, read_storage, "<"


def _not_torch(programs: io.BytesIO) -> ValueError:
    """The error for a file that is neither container; a bare pickle is told from noise."""
    programs.seek(0)
    kind = "a pickle that torch.save has not written" if programs.read(1) == b"\x80" else "not a file of torch.save"
    return ValueError(f"this is {kind}; nothing of it was run. Save model.state_dict() with torch.save.")


def _check_size(storage: Storage, found: int) -> None:
    if found != storage.size * storage.itemsize:
        raise ValueError(
            f"storage {storage.key} has {found} bytes, its tensors say {storage.size * storage.itemsize}: download or "
            "save the file again."
        )
