"""Numbers in any form as arrays of a backend: numpy.ndarray or torch.Tensor.

torch takes a second to import and may be missing, so it is imported inside the functions that need it.
"""

import random
from collections.abc import Callable, Iterable
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from deit_ref.checks import brief, did_you_mean, install, is_masked, is_tensor, one_line

if TYPE_CHECKING:
    import torch

BACKENDS = ("numpy", "torch")
TORCH_DTYPES = ("float16", "bfloat16", "float32", "float64")
TENSOR_DTYPES = (*TORCH_DTYPES, "bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))


def as_numpy(array: Any) -> np.ndarray[Any, Any]:
    """An array of either backend as a NumPy array; bfloat16, which NumPy lacks, becomes float32."""
    if is_tensor(array):
        array = array.detach().cpu().resolve_neg()
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


@cache
def _odd_numbers() -> np.ndarray[Any, Any]:
    draw = random.Random(0)
    return np.array([draw.getrandbits(64) | 1 for _ in range(4096)], np.uint64)


@cache
def keep_freed_memory() -> None:
    """Have glibc keep what a layer frees, and not return it to the system only to take it again for the next one.

    glibc holds on to blocks up to the size of the largest one that was freed so far, if that was below 32 MiB. So one
    is taken and freed, and never written to: it costs nothing. Other allocators take no notice. Once in a process is
    enough. Source: mallopt(3), M_MMAP_THRESHOLD.
    """
    np.empty(31 * 2**20, np.uint8)


def fingerprint(arrays: Iterable[Any]) -> tuple[int, ...]:
    r"""A number for each array of either backend, of which a change in place makes another: much faster than a digest.

    The bits as words of 64, mixed by $m(x) = x \oplus \lfloor x / 2^{29} \rfloor$, each times an odd number of its own:
    $\sum_i k_i m(x_i) \bmod 2^{64}$, first in rows, then over the rows. One word that changes always changes the sum,
    because m is one to one and an odd number times what is not 0 is not 0 modulo $2^{64}$. Without m an even number of
    changed signs would be overlooked: $k \cdot 2^{63}$ is the same for every odd k.
    """
    return tuple(
        _of_tensor(array) if is_tensor(array) and array.device.type != "cpu" else _of_array(array) for array in arrays
    )


def _of_array(array: Any) -> int:
    if is_tensor(array):
        array = array.detach().contiguous().flatten().view(import_torch().uint8).numpy()
    octets = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    octets = np.pad(octets, (0, -len(octets) % 8)) if len(octets) % 8 else octets

    def product(rows: Any, odd: Any) -> Any:
        # A few rows at a time, which stay in the processor's cache.
        parts = [rows[i : i + 8] for i in range(0, len(rows), 8)]
        return np.concatenate([np.vecdot(part ^ (part >> np.uint64(29)), odd) for part in parts])

    return int(_folded(octets.view(np.uint64), _odd_numbers(), product, np.concatenate))


def _of_tensor(tensor: Any) -> int:
    """The same number, found where the tensor lives."""
    torch = import_torch()
    octets = tensor.detach().contiguous().flatten().view(torch.uint8)
    words = torch.nn.functional.pad(octets, (0, -len(octets) % 8)).view(torch.int64)
    odd = torch.from_numpy(_odd_numbers().view(np.int64)).to(tensor.device)

    def product(rows: Any, odd: Any) -> Any:
        # torch's shift repeats the sign, so those bits are cut off.
        return ((rows ^ ((rows >> 29) & (2**35 - 1))) * odd).sum(-1)

    return int(_folded(words, odd, product, torch.cat)) % 2**64


def _folded(words: Any, odd: Any, product: Callable[..., Any], join: Callable[..., Any]) -> Any:
    while len(words) > len(odd):
        whole = len(words) // len(odd) * len(odd)
        rows = product(words[:whole].reshape(-1, len(odd)), odd)
        rest = product(words[None, whole:], odd[: len(words) - whole])
        words = join([rows, rest])
    return product(words[None], odd[: len(words)])[0]


def same_memory(one: Any, other: Any) -> bool:
    """Whether two arrays of either backend begin in the same place, so that a change of one is a change of both."""

    def place(array: Any) -> tuple[str, int]:
        return (str(array.device), array.data_ptr()) if is_tensor(array) else ("cpu", array.ctypes.data)

    return place(one) == place(other)


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


def real(name: str, values: Any) -> Any:
    """Numbers in any form as a NumPy array, or as the tensor that they are, in a dtype of their own.

    Raises:
        ValueError: they are not real numbers, or not all of them are there; the message calls them `name`.
    """
    expected = f"{name} must hold real numbers or booleans"
    if is_tensor(values):
        if str(values.layout) != "torch.strided" or values.is_nested or values.is_meta or values.is_quantized:
            layout = "meta" if values.is_meta else "quantized" if values.is_quantized else str(values.layout)
            raise ValueError(
                f"{expected}, every one of them in its place; got a tensor that is "
                f"{'nested' if values.is_nested else layout.removeprefix('torch.')}: make it dense first."
            )
        if dtype_name(values) not in TENSOR_DTYPES:
            raise ValueError(f"{expected}, got a tensor of {values.dtype}: convert it first, such as with .float().")
        return values
    if is_masked(values):
        raise ValueError(f"{expected}, got a masked array, of which some may not count: take .filled() or .data.")
    try:
        array = np.asarray(values)
    except Exception as error:  # whatever an object does that is asked for its numbers
        raise ValueError(f"{expected}, got {brief(values)} ({one_line(error, most=200)}).") from error
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{expected}, got an array of {one_line(array.dtype, most=100)}.")
    return array


def as_like(name: str, values: Any, like: Any) -> Any:
    """Numbers in any form as an array of the backend of `like`, on its device: booleans, int64 or floats of any width.

    Raises:
        ValueError: they are not real numbers; the message calls them `name`.
    """
    found = real(name, values)
    if dtype_name(found) == "uint64" and (as_numpy(found) > np.iinfo(np.int64).max).any():
        raise ValueError(f"{name} must lie below 2^63, got {as_numpy(found).max()}.")
    if is_tensor(found):
        # torch compares and adds few of its unsigned integers.
        found = found.long() if kind(found) == "i" else found
    elif found.dtype.kind in "iu":
        found = found.astype(np.int64)
    elif found.dtype.kind == "f":
        # torch knows neither a foreign byte order nor more than 64 bits.
        native = np.float64 if found.dtype.itemsize > 8 else found.dtype.newbyteorder("=")
        found = found.astype(native, copy=False)
    return as_numpy(found) if isinstance(like, np.ndarray) else to_torch(found, device=like.device)


def cast(array: Any, like: Any) -> Any:
    """An array in the dtype of `like`, which is of the same backend."""
    return array.astype(like.dtype) if isinstance(like, np.ndarray) else array.to(like.dtype)


def dtype_name(array: Any) -> str:
    """The dtype of an array of either backend, such as float32, whatever its byte order."""
    return array.dtype.name if isinstance(array.dtype, np.dtype) else str(array.dtype).removeprefix("torch.")


def kind(array: Any) -> str:
    """The kind of numbers in an array of either backend: b, i (unsigned ones too) or f; of others the dtype's name."""
    name = dtype_name(array)
    return "b" if name == "bool" else "f" if "float" in name else "i" if "int" in name else name


def all_finite(array: Any) -> bool:
    """Whether an array of either backend holds neither NaN nor infinity."""
    return bool(np.isfinite(array).all() if isinstance(array, np.ndarray | np.generic) else array.isfinite().all())


def numpy_dtype(dtype: Any) -> Any:
    """float32 or float64, by name or as a dtype; None stays None."""
    if dtype is None:
        return None
    try:
        # Of other things NumPy reads what they hold, such as an array's own dtype; "float" is float32 for torch.
        known = dtype in ("float32", "float64") if isinstance(dtype, str) else isinstance(dtype, type | np.dtype)
        wanted = np.dtype(dtype if known else object)
    except (TypeError, ValueError):
        wanted = np.dtype(object)
    if wanted not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(
            f"The NumPy backend computes in float32 or float64, got dtype={brief(dtype)}: choose one, or "
            "backend='torch'."
        )
    return wanted


def as_dtype(dtype: Any) -> "torch.dtype | None":
    """A torch dtype from its name, a NumPy dtype or itself; None stays None."""
    torch = import_torch()
    dtypes = {name: getattr(torch, name) for name in TORCH_DTYPES}
    if dtype is None or (isinstance(dtype, torch.dtype) and dtype in dtypes.values()):
        return dtype
    of_numpy = isinstance(dtype, np.dtype) or (isinstance(dtype, type) and issubclass(dtype, np.generic | float))
    name = np.dtype(dtype).name if of_numpy else dtype
    if not isinstance(name, str) or name not in dtypes:
        raise ValueError(f"dtype must be one of {', '.join(dtypes)}; got {brief(dtype)}.{did_you_mean(name, dtypes)}")
    return dtypes[name]


def as_device(device: Any) -> "torch.device | None":
    """A torch device from its name or itself; None stays None. One that is not there is a ValueError."""
    if device is None:
        return None
    torch = import_torch()
    try:
        # A tensor is the only check that every device type understands.
        found = torch.empty(0, device=device).device
    except Exception as error:  # of a kind that depends on the device
        reason = f" ({one_line(str(error).partition(chr(10))[0], most=300)})"
    else:
        if found.type != "meta":
            return found
        reason = ", where no numbers are"
    raise ValueError(
        f"device must name a device that torch finds on this machine, such as 'cpu' or 'cuda'; got {brief(device)}"
        f"{reason}."
    )


def _broken(error: Exception) -> ValueError:
    reason = one_line(error, most=300)
    return ValueError(f"PyTorch is installed and cannot be imported ({reason}): use backend='numpy', or reinstall it.")


def import_torch() -> ModuleType:
    """torch, or a ValueError that says how to get it."""
    try:
        import torch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise _broken(error) from error
        raise ValueError(
            f"backend='torch' needs PyTorch, which is not installed: use backend='numpy', or {install('torch')}."
        ) from error
    except (ImportError, OSError) as error:
        raise _broken(error) from error
    return torch
