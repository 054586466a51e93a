"""Where arrays become tensors: dtypes and devices by name, and the way in and out of torch.

One of the two files of the mirror without a chapter in the book; the other is `graphs`.
"""

from typing import Any

import numpy as np
import torch

from deit_ref.checks import did_you_mean

DTYPES = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
}


def as_dtype(dtype: Any) -> torch.dtype | None:
    """A torch dtype from its name, a NumPy dtype or itself; None stays None."""
    if dtype is None or (isinstance(dtype, torch.dtype) and dtype in DTYPES.values()):
        return dtype
    name = dtype if isinstance(dtype, str) else getattr(dtype, "__name__", str(dtype))
    if name not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}; got {dtype!r}.{did_you_mean(name, DTYPES)}")
    return DTYPES[name]


def as_device(device: Any) -> torch.device | None:
    """A torch device from its name or itself; None stays None. One that is not there is a ValueError."""
    if device is None:
        return None
    try:
        # A tensor is the only check that every device type understands.
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"device must name a device that torch finds on this machine, such as 'cpu' or 'cuda'; got {device!r} "
            f"({reason})."
        ) from error


def to_torch(array: Any, *, device: Any = None, dtype: Any = None) -> torch.Tensor:
    """An array or tensor as a tensor; NumPy arrays that cannot be shared safely are copied."""
    if isinstance(array, torch.Tensor):
        return array.to(device=as_device(device), dtype=as_dtype(dtype))
    array = np.asarray(array, order="C")
    # torch has no read-only tensors and no negative strides, which an axis of length 1 may keep.
    if not array.flags.writeable or min(array.strides, default=0) < 0:
        array = array.copy()
    tensor, where = torch.from_numpy(array), as_device(device)
    if where is not None and where.type == "cuda":
        # From pinned memory the copy goes on while the next photo is made ready.
        tensor = tensor.pin_memory()
    return tensor.to(device=where, dtype=as_dtype(dtype), non_blocking=tensor.is_pinned())
