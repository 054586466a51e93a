"""The official CIFAR-10 archive for Python: a tar of pickles, which `cifar_pickle` reads and does not run.

Source: https://www.cs.toronto.edu/~kriz/cifar.html (Krizhevsky 2009; the layout of the files).
"""

import gzip
import io
import os
import tarfile
import zlib
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from deit_ref.data.cifar_pickle import Made, interpret

Array: TypeAlias = np.ndarray[Any, Any]

FOLDER, ARCHIVE, META = "cifar-10-batches-py", "cifar-10-python.tar.gz", "batches.meta"
BATCHES = {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)}
SIDE = 32

# A batch takes 31 MB, the archive 186 MB.
MAX_FILE, MAX_ARCHIVE = 2**26, 2**28


def read_cifar(path: Path, split: str) -> tuple[Array, Array, tuple[str, ...], list[str]]:
    """Photos, labels, class names and what to call each photo, of the archive or of the folder it extracts to.

    Args:
        path: `cifar-10-python.tar.gz`, or the folder `cifar-10-batches-py`.
        split: "train" or "test".

    Returns:
        uint8 (images, 32, 32, 3); int64 (images,); the classes in the archive's own order; names.

    Raises:
        ValueError: a file is missing, too large, or anything else than these bytes and labels.
    """
    files = _files(path, [META, *BATCHES[split]])
    class_names = _class_names(files[META], f"{path}: {META}")
    pixels, labels = [], []
    names: list[str] = []
    for batch in BATCHES[split]:
        name = f"{path}: {batch}"
        values = _dictionary(files.pop(batch), name)
        data, numbers = _bytes_array(values.get("data")), values.get("labels")
        if data is None or not isinstance(numbers, list) or len(numbers) != len(data):
            raise _not_cifar(name, "expected data (images, 3072) of uint8 and as many labels")
        for number in numbers:
            if type(number) is not int or not 0 <= number < len(class_names):
                raise _not_cifar(name, f"expected labels in 0..{len(class_names) - 1}, got {str(number)[:50]}")
        pixels.append(data.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1))  # (images, 32, 32, 3)
        labels.extend(numbers)
        names.extend(f"{name}, image {number}" for number in range(len(data)))
    return np.concatenate(pixels), np.array(labels, np.int64), class_names, names


def _files(path: Path, wanted: list[str]) -> dict[str, bytes]:
    """The contents of the wanted files."""
    files = {}
    if path.is_dir():
        for name in wanted:
            if (path / name).is_file():
                with open(path / name, "rb") as file:
                    files[name] = file.read(MAX_FILE + 1)
    else:
        try:
            with gzip.open(path) as unpacked:
                data = unpacked.read(MAX_ARCHIVE + 1)
            if len(data) > MAX_ARCHIVE:
                raise ValueError(f"it unpacks to more than {MAX_ARCHIVE >> 20} MiB")
            # Nothing is written to disk: names in an archive may lead anywhere.
            with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
                for member in tar:
                    file_name = os.path.basename(member.name)
                    if member.isreg() and file_name in wanted:
                        if file_name in files:
                            raise ValueError(f"it holds {file_name} twice")
                        if member.size > MAX_FILE:
                            raise ValueError(f"its {file_name} is larger than {MAX_FILE >> 20} MiB")
                        content = tar.extractfile(member)
                        files[file_name] = content.read() if content else b""
        except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError) as error:
            raise _not_cifar(str(path), f"{error}") from error
    for name in wanted:
        if name not in files:
            raise _not_cifar(str(path), f"expected {', '.join(wanted)} in it, {name} is missing")
        if len(files[name]) > MAX_FILE:
            raise _not_cifar(f"{path}: {name}", f"it is larger than {MAX_FILE >> 20} MiB")
    return files


def _not_cifar(name: str, why: str) -> ValueError:
    return ValueError(
        f"{name} is not the CIFAR-10 archive: nothing in it was run ({why}). Get it again from "
        "https://www.cs.toronto.edu/~kriz/cifar.html."
    )


def _class_names(data: bytes, name: str) -> tuple[str, ...]:
    found = _dictionary(data, name).get("label_names")
    texts = found if isinstance(found, list) else []
    names = tuple(text.decode("latin-1") if isinstance(text, bytes) else text for text in texts)
    if len(names) < 2 or not all(isinstance(text, str) for text in names) or len(set(names)) < len(names):
        raise _not_cifar(name, "expected label_names, a list of different names")
    return names


def _bytes_array(value: Any) -> Array | None:
    """uint8 (images, 3072), if the pickle describes just that."""
    if not isinstance(value, Made) or not value.function.endswith("_reconstruct"):
        return None
    state = value.state if isinstance(value.state, tuple) and len(value.state) == 5 else (None,) * 5
    _, shape, dtype, fortran, data = state
    is_bytes = (
        isinstance(dtype, Made) and dtype.function == "numpy.dtype" and dtype.arguments[:1] in [("u1",), (b"u1",)]
    )
    if not is_bytes or fortran not in (False, 0) or not isinstance(data, str | bytes):
        return None
    try:
        data = data.encode("latin-1") if isinstance(data, str) else data
    except UnicodeEncodeError:  # no text of Python 2
        return None
    if not isinstance(shape, tuple) or shape != (len(data) // 3072, 3072) or len(data) % 3072:
        return None
    return np.frombuffer(data, np.uint8).reshape(shape)  # (images, 3072)


def _dictionary(data: bytes, name: str) -> dict[Any, Any]:
    try:
        value = interpret(data)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        raise _not_cifar(name, str(error)[:300] or type(error).__name__) from error
    if not isinstance(value, dict):
        raise _not_cifar(name, f"expected a dictionary, got {type(value).__name__}")
    return value
