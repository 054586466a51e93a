"""What the pickles of `torch.save` mean: storages, tensors that view them, and dictionaries of these.

The functions that such a file names are never imported or called; those of `TENSOR_PARTS` are names for what this file
does itself, those of `OPAQUE` leave a value that says nothing, and any other name is an error.

Source: torch/_utils.py (`_rebuild_tensor_v2`), torch/serialization.py (`persistent_id`).
"""

import io
import math
from typing import Any, NamedTuple

from deit_ref.checkpoints import pickle_machine
from deit_ref.checkpoints.pickle_machine import Dialect, Global

# Storage classes: dtype in safetensors' words, and bytes per element.
STORAGES = {
    "torch.HalfStorage": ("F16", 2),
    "torch.BFloat16Storage": ("BF16", 2),
    "torch.FloatStorage": ("F32", 4),
    "torch.DoubleStorage": ("F64", 8),
    "torch.BoolStorage": ("BOOL", 1),
    "torch.ByteStorage": ("U8", 1),
    "torch.CharStorage": ("I8", 1),
    "torch.ShortStorage": ("I16", 2),
    "torch.IntStorage": ("I32", 4),
    "torch.LongStorage": ("I64", 8),
    "torch.ComplexFloatStorage": ("C64", 8),
    "torch.ComplexDoubleStorage": ("C128", 16),
}
TENSOR_PARTS = {
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch.Size",
    "collections.OrderedDict",
    *STORAGES,
}
# What training scripts keep beside the weights: their arguments, paths, sets, numbers of NumPy.
OPAQUE = {
    "__builtin__.set",
    "builtins.set",
    "argparse.Namespace",
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "torch.device",
    *(f"torch.{dtype}" for dtype in "float16 bfloat16 float32 float64 uint8 int8 int16 int32 int64 bool".split()),
    "numpy.dtype",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "_codecs.encode",
}


# What may stand in a state_dict and is not read: the beginning of its name, what it is, and what to save in its place.
_OTHER_TENSORS = (
    (
        ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"),
        "a NumPy array",
        "torch.as_tensor(array)",
    ),
    (("torch._utils._rebuild_tensor_v3",), "a tensor of a dtype such as float8", "tensor.float()"),
    (("torch._utils._rebuild_sparse",), "a sparse tensor", "tensor.to_dense()"),
    (("torch._utils._rebuild_qtensor",), "a quantized tensor", "tensor.dequantize()"),
    (("torch.distributed.",), "a tensor in shards", "tensor.full_tensor()"),
)
# So many elements may be seen in a storage that has fewer of them, such as one zero that was expanded to a bias.
MOST_EXPANDED = 2**20


class Opaque(NamedTuple):
    """A value that was not built: the name of what it would be."""

    name: str


class Storage(NamedTuple):
    """One block of bytes of the file: dtype as in safetensors, bytes per element, its key, number of elements."""

    dtype: str
    itemsize: int
    key: str
    size: int


class Tensor(NamedTuple):
    """A view into a storage; offset and strides count elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def interpret(stream: io.BytesIO, storages: dict[str, Storage]) -> Any:
    """The value that one pickle describes.

    Args:
        stream: at the start of the pickle; afterwards right behind it.
        storages: those that the pickle names are entered here, by key.

    Raises:
        ValueError: the pickle is damaged, or asks for what is not part of a state_dict.
        IndexError, KeyError: its stack or its memo holds less than it takes out.
    """

    def named_storage(identity: Any) -> Storage:
        storage = _storage(identity)
        storages.setdefault(storage.key, storage)
        return storage

    return pickle_machine.interpret(stream, _DIALECT._replace(storage=named_storage))


def _key(key: Any) -> Any:
    # Hashing a nest of tuples, or large numbers chosen for it, can take forever.
    if not isinstance(key, str) and not (isinstance(key, int) and abs(key) < 2**31):
        raise ValueError(f"keys must be text or small integers, got {type(key).__name__}: do not trust this file.")
    return key


def _build(target: Any, state: Any) -> None:
    # The attributes of an OrderedDict (state_dict's _metadata) and of what is not built say nothing here.
    if not isinstance(target, dict | Opaque):
        raise ValueError(f"BUILD on {type(target).__name__}: do not trust this checkpoint.")


def _call(function: Global, arguments: tuple[Any, ...]) -> Any:
    if function.name in OPAQUE:
        return Opaque(function.name)
    if function.name == "collections.OrderedDict":
        result: dict[Any, Any] = {}
        if arguments:  # protocols 0 and 1 hand over a list of pairs
            pairs = arguments[0]
            if not isinstance(pairs, list) or any(not isinstance(p, list | tuple) or len(p) != 2 for p in pairs):
                raise ValueError("an OrderedDict is not made of pairs: this pickle is damaged.")
            result |= {_key(key): value for key, value in pairs}
        return result
    if function.name == "torch.Size" and arguments and isinstance(arguments[0], tuple):
        return arguments[0]
    if function.name == "torch._utils._rebuild_parameter" and arguments and isinstance(arguments[0], Tensor):
        return arguments[0]
    if function.name.startswith("torch._utils._rebuild_tensor") and len(arguments) >= 4:
        return _tensor(*arguments[:4])
    raise ValueError(f"{function.name} is called in a way that torch.save never does: do not trust this checkpoint.")


def _storage(identity: Any) -> Storage:
    """From ("storage", class, key, device, number of elements), to which the old format adds None."""
    if isinstance(identity, tuple) and len(identity) == 5:
        identity = (*identity, None)
    if not isinstance(identity, tuple) or len(identity) != 6:
        raise ValueError("a storage is not described as torch.save does: do not trust this checkpoint.")
    kind, storage_class, key, _, size, view = identity
    is_class = isinstance(storage_class, Global) and storage_class.name in STORAGES
    if kind != "storage" or not is_class or not isinstance(key, str) or view is not None or not _is_size(size):
        raise ValueError("a storage is not described as torch.save does: do not trust this checkpoint.")
    return Storage(*STORAGES[storage_class.name], key, size)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> Tensor:
    """A view that stays within its storage and, beyond `MOST_EXPANDED`, is not larger than it."""
    described = isinstance(storage, Storage) and isinstance(shape, tuple) and isinstance(strides, tuple)
    if not described or len(shape) != len(strides) or len(shape) > 8:
        raise ValueError("a tensor is not described as torch.save does: do not trust this checkpoint.")
    if not all(_is_size(number) for number in (offset, *shape, *strides)):
        raise ValueError("offset, shape and strides of a tensor must not be negative or huge: do not trust this file.")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if 0 not in shape and (last >= storage.size or math.prod(shape) > max(storage.size, MOST_EXPANDED)):
        raise ValueError(
            f"a tensor of shape {shape} with strides {strides} at {offset} does not fit its storage of {storage.size} "
            "elements: do not trust this checkpoint."
        )
    return Tensor(storage, offset, shape, strides)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**48


def _refuse(name: str) -> str:
    for starts, what, instead in _OTHER_TENSORS:
        if name.startswith(starts):
            return f"{what}, which is not read here: save {instead} in its place."
    return (
        "which is not part of a state_dict; nothing of the file was run. If you trust whoever made it, load it where "
        "it was made and save model.state_dict()."
    )


_DIALECT = Dialect(
    writer="torch.save",
    names=frozenset(TENSOR_PARTS | OPAQUE),
    refuse=_refuse,
    call=_call,
    build=_build,
    storage=_storage,
    key=_key,
)
