"""What readers of checkpoint files share: an entry of a table of contents, JSON, and errors that name the file."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from deit_ref import checks
from deit_ref.checkpoints.strangers import what_it_is

if TYPE_CHECKING:
    import logging

# What weights are stored as, in safetensors' words, and the NumPy dtype that holds it; bfloat16 comes as bare bits.
DTYPES = {"F16": "f2", "BF16": "u2", "F32": "f4", "F64": "f8"}

# What a training run goes on from; its folder gets the weights when it has ended.
RUN_STATE = "checkpoint.pt"

# The largest are indexes and label maps, of a few MB; each byte of "[[],[]," makes an object of some 20 bytes.
MAX_JSON = 16 * 2**20

# What comes with the package; the first is what `load_weights` reads without a source.
BUNDLED = ("cifar10-distilled", "cifar10-simmim", "cifar10-teacher")


def bundled(name: str) -> Path:
    """The folder of a checkpoint that comes with the package: one of `BUNDLED`."""
    return Path(__file__).parents[1] / "pretrained" / checks.choice("name", name, BUNDLED)


def locate(source: str | os.PathLike[str]) -> Path:
    """A source as a path: its own, or, for a name in `BUNDLED` that is not a path here, the package's folder."""
    path = Path(source)
    return bundled(str(source)) if str(source) in BUNDLED and not path.exists() else path


class StoredArray(NamedTuple):
    """One tensor of a file, before it is read: the file, the name in it, dtype as in `DTYPES`, shape.

    place is where `pickle_reader` finds it; a safetensors file is asked by name.
    """

    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    place: Any = None


def widen_bfloat16(bits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """bfloat16 as float32: its 16 bits are the upper half of float32's 32, so the lower half is zeros."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def logger() -> "logging.Logger":
    """The package's logger, which says what was guessed."""
    import logging

    return logging.getLogger("deit_ref")


@contextmanager
def naming(path: Any) -> Iterator[None]:
    """Puts the path in front of a ValueError's message."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {checks.one_line(error)}") from error


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        ValueError: the file cannot be read, or holds something else.
    """
    import json

    if not os.path.isfile(path):  # a pipe may wait for ever, a device may never end
        raise ValueError(f"{path} is not a file: download or save it again.")
    if (size := os.path.getsize(path)) > MAX_JSON:
        raise ValueError(f"{path} has {size} bytes, at most {MAX_JSON} can be right: download or save it again.")
    try:
        values = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_object)
    except (OSError, ValueError, RecursionError) as error:
        if what := what_it_is(path, expected=".json"):
            raise ValueError(f"{path} is not JSON but {what}.") from error
        raise ValueError(f"{path} cannot be read as JSON ({error}): download or save it again.") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(values).__name__}: download or save it again.")
    return values


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON lets a key stand twice, and readers differ in which of the two they take."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{checks.some(sorted({name for name in names if names.count(name) > 1}))} stands twice")
    return found


def json_bytes(values: Mapping[str, Any]) -> bytes:
    """The values as a JSON file for people to read; NumPy's numbers are written as Python's."""
    import json

    return (json.dumps(values, indent=2, default=lambda scalar: scalar.item()) + "\n").encode()


def write(path: Path, content: bytes) -> None:
    """Write beside and rename, so that the file is either the old or the new one, also after a power cut."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(beside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
