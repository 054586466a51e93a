"""Numbers in any form as arrays of a backend: numpy.ndarray or torch.Tensor.

torch takes a second to import and may be missing, so it is imported inside the functions that need it.
"""

from collections.abc import Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from deit_ref.checks import did_you_mean, install

if TYPE_CHECKING:
    import torch

BACKENDS = ("numpy", "torch")
TORCH_DTYPES = ("float16", "bfloat16", "float32", "float64")


def as_numpy(array: Any) -> np.ndarray[Any, Any]:
    """An array of either backend as a NumPy array; bfloat16, which NumPy lacks, becomes float32."""
    if hasattr(array, "detach"):  # a torch tensor, without importing torch
        array = array.detach().cpu()
        array = array.float() if array.dtype.itemsize == 2 and array.is_floating_point() else array
        return np.asarray(array.numpy())
    return np.asarray(array)


def digest_of_arrays(named: Iterable[tuple[str, Any]]) -> str:
    """One hexadecimal number for arrays of either backend, of which any change makes another."""
    import hashlib  # OpenSSL, for which no other import of the package waits

    found = hashlib.sha256()
    for name, array in named:
        values = as_numpy(array)
        found.update(f"{name}\0{values.dtype}\0{values.shape}\0".encode())
        found.update(values.tobytes())
    return found.hexdigest()


def to_torch(array: Any, *, device: Any = None, dtype: Any = None) -> "torch.Tensor":
    """An array or tensor as a tensor; NumPy arrays that cannot be shared safely are copied.

    Raises:
        ValueError: torch is not installed, or the device or dtype is none of its own.
    """
    torch = import_torch()
    where, wanted = as_device(device), as_dtype(dtype)
    if isinstance(array, torch.Tensor):
        return array.to(device=where, dtype=wanted)
    array = np.asarray(array, order="C")
    # torch has no read-only tensors and no negative strides, which an axis of length 1 may keep.
    if not array.flags.writeable or min(array.strides, default=0) < 0:
        array = array.copy()
    tensor = torch.from_numpy(array)
    if where is not None and where.type == "cuda":
        # From pinned memory the copy goes on while the next photo is made ready.
        tensor = tensor.pin_memory()
    return tensor.to(device=where, dtype=wanted, non_blocking=tensor.is_pinned())


def as_like(name: str, numbers: Any, like: Any) -> Any:
    """Numbers in any form as an array of the backend of `like`, on its device, in a dtype of their own.

    Raises:
        ValueError: they are no real numbers; the message calls them `name`.
    """
    if not hasattr(numbers, "detach"):
        numbers = np.asarray(numbers)
        if numbers.dtype.kind not in "biuf":
            raise ValueError(f"{name} must hold real numbers or booleans, got an array of {numbers.dtype}.")
        # torch knows neither a foreign byte order nor more than 64 bits.
        native = np.float64 if numbers.dtype.itemsize > 8 else numbers.dtype.newbyteorder("=")
        numbers = numbers.astype(native, copy=False)
    return as_numpy(numbers) if isinstance(like, np.ndarray) else to_torch(numbers, device=like.device)


def cast(array: Any, like: Any) -> Any:
    """An array in the dtype of `like`, which is of the same backend."""
    return array.astype(like.dtype) if isinstance(like, np.ndarray) else array.to(like.dtype)


def kind(array: Any) -> str:
    """The kind of numbers in an array of either backend: b, i (unsigned ones too) or f; of others the dtype's name."""
    name = str(array.dtype).removeprefix("torch.")
    return "b" if name == "bool" else "f" if "float" in name else "i" if "int" in name else name


def all_finite(array: Any) -> bool:
    """Whether an array of either backend holds neither NaN nor infinity."""
    return bool(np.isfinite(array).all() if isinstance(array, np.ndarray) else array.isfinite().all())


def numpy_dtype(dtype: Any) -> Any:
    """float32 or float64, by name or as a dtype; None stays None."""
    if dtype is None:
        return None
    try:
        wanted = np.dtype(dtype)
    except TypeError:
        wanted = np.dtype(object)  # None would equal float64
    if wanted not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(
            f"The NumPy backend computes in float32 or float64, got dtype={dtype!r}: choose one, or backend='torch'."
        )
    return wanted


def as_dtype(dtype: Any) -> "torch.dtype | None":
    """A torch dtype from its name, a NumPy dtype or itself; None stays None."""
    torch = import_torch()
    dtypes = {name: getattr(torch, name) for name in TORCH_DTYPES}
    if dtype is None or (isinstance(dtype, torch.dtype) and dtype in dtypes.values()):
        return dtype
    name = dtype if isinstance(dtype, str) else getattr(dtype, "__name__", str(dtype))
    if name not in dtypes:
        raise ValueError(f"dtype must be one of {', '.join(dtypes)}; got {dtype!r}.{did_you_mean(name, dtypes)}")
    return dtypes[name]


def as_device(device: Any) -> "torch.device | None":
    """A torch device from its name or itself; None stays None. One that is not there is a ValueError."""
    if device is None:
        return None
    try:
        # A tensor is the only check that every device type understands.
        return import_torch().empty(0, device=device).device
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"device must name a device that torch finds on this machine, such as 'cpu' or 'cuda'; got {device!r} "
            f"({reason})."
        ) from error


def import_torch() -> ModuleType:
    """torch, or a ValueError that says how to get it."""
    try:
        import torch
    except ImportError as error:
        raise ValueError(
            f"backend='torch' needs PyTorch, which is not installed: use backend='numpy', or {install('torch')}."
        ) from error
    return torch
