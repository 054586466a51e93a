"""The program in a pickle, read and not run.

A pickle is a program for a small stack machine. Python's own `pickle` runs it, with the right to import and call
anything, and so a file can do anything. Here the program is only read: `pickletools` splits it into opcodes, and
`interpret` carries out the few that build dictionaries, lists and numbers. A function that the program names is never
imported or called; those of `TENSOR_PARTS` are names for what this file does itself, those of `OPAQUE` leave a value
that says nothing, and any other name is an error.

Source: pickletools.py of Python (what each opcode does), torch/_utils.py (`_rebuild_tensor_v2`).
"""

import io
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pickletools

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

# Opcodes by what they do; the ones that are listed nowhere (INST, OBJ, EXT1, PERSID, ...) `torch.save` never writes.
_IGNORED = {"PROTO", "FRAME"}
_VALUES = set(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE "
    "SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8".split()
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class Global(NamedTuple):
    """The name of a class or function, which is all that is ever known of it."""

    name: str


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
        ValueError: the pickle is damaged, or asks for what is no part of a state_dict.
        IndexError, KeyError: its stack or its memo holds less than it takes out.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        items = stack[marks[-1] :]
        del stack[marks.pop() :]
        return items

    argument: Any
    for opcode, argument in _opcodes(stream):
        name = opcode.name
        if name in _VALUES:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if name == "MEMOIZE" else argument] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "MARK":
            marks.append(len(stack))
        elif name == "POP":
            stack.pop()
        elif name == "TUPLE":
            stack.append(tuple(since_mark()))
        elif name in _TUPLES:
            items = [stack.pop() for _ in range(_TUPLES[name])]
            stack.append(tuple(reversed(items)))
        elif name in ("EMPTY_LIST", "EMPTY_SET"):
            stack.append([])
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name == "LIST":
            stack.append(since_mark())
        elif name == "DICT":
            items = since_mark()
            stack.append({})
            _set_items(stack[-1], items)
        elif name in ("APPEND", "APPENDS", "ADDITEMS"):
            items = [stack.pop()] if name == "APPEND" else since_mark()
            if not isinstance(stack[-1], list):
                raise ValueError(f"{name} on {type(stack[-1]).__name__}: this pickle is damaged.")
            stack[-1].extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = [stack.pop(-2), stack.pop()] if name == "SETITEM" else since_mark()
            _set_items(stack[-1], items)
        elif name == "GLOBAL":
            stack.append(_global(argument.replace(" ", ".")))
        elif name == "STACK_GLOBAL":
            part, module = stack.pop(), stack.pop()
            stack.append(_global(f"{module}.{part}" if isinstance(module, str) and isinstance(part, str) else "?"))
        elif name in ("REDUCE", "NEWOBJ"):
            arguments, function = stack.pop(), stack.pop()
            stack.append(_reduced(function, arguments))
        elif name == "BUILD":
            stack.pop()
            # The attributes of an OrderedDict (state_dict's _metadata) and of what is not built say nothing here.
            if not isinstance(stack[-1], dict | Opaque):
                raise ValueError(f"BUILD on {type(stack[-1]).__name__}: do not trust this checkpoint.")
        elif name == "BINPERSID":
            storage = _storage(stack.pop())
            storages.setdefault(storage.key, storage)
            stack.append(storage)
        elif name == "STOP":
            return stack.pop()
        elif name not in _IGNORED:
            wants = f" {argument}" if isinstance(argument, str) else ""
            raise ValueError(f"opcode {name}{wants}, which torch.save never writes: do not trust this checkpoint.")
    raise ValueError("the pickle has no end: download or save the file again.")


def _opcodes(stream: io.BytesIO) -> Iterator[tuple["pickletools.OpcodeInfo", Any]]:
    """Each opcode with its argument, and errors that say what to do."""
    import pickletools

    try:
        for opcode, argument, _ in pickletools.genops(stream):
            yield opcode, argument
    except ValueError as error:
        raise ValueError(f"the pickle in it is damaged ({error}): download or save the file again.") from error


def _set_items(target: Any, items: list[Any]) -> None:
    if not isinstance(target, dict) or len(items) % 2:
        raise ValueError("items are set on what is no dictionary: this pickle is damaged.")
    for key, value in zip(items[::2], items[1::2], strict=True):
        # Hashing a nest of tuples, or large numbers chosen for it, can take forever.
        if not isinstance(key, str) and not (isinstance(key, int) and abs(key) < 2**31):
            raise ValueError(f"keys must be text or small integers, got {type(key).__name__}: do not trust this file.")
        target[key] = value


def _global(name: str) -> Global:
    if name not in TENSOR_PARTS and name not in OPAQUE:
        raise ValueError(
            f"it asks for {name[:200]}, which is no part of a state_dict; nothing of the file was run. If you trust "
            "whoever made it, load it where it was made and save model.state_dict()."
        )
    return Global(name)


def _reduced(function: Any, arguments: Any) -> Any:
    """What calling `function` would give, without calling it."""
    if not isinstance(function, Global) or not isinstance(arguments, tuple):
        raise ValueError("something is called that is no function: do not trust this checkpoint.")
    if function.name in OPAQUE:
        return Opaque(function.name)
    if function.name == "collections.OrderedDict":
        result: dict[Any, Any] = {}
        if arguments:  # protocols 0 and 1 hand over a list of pairs
            pairs = arguments[0]
            if not isinstance(pairs, list) or not all(isinstance(pair, list | tuple) for pair in pairs):
                raise ValueError("an OrderedDict is not made of pairs: this pickle is damaged.")
            for pair in pairs:
                _set_items(result, list(pair))
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
    """A view that stays within its storage and is not larger than it."""
    described = isinstance(storage, Storage) and isinstance(shape, tuple) and isinstance(strides, tuple)
    if not described or len(shape) != len(strides) or len(shape) > 8:
        raise ValueError("a tensor is not described as torch.save does: do not trust this checkpoint.")
    if not all(_is_size(number) for number in (offset, *shape, *strides)):
        raise ValueError("offset, shape and strides of a tensor must not be negative or huge: do not trust this file.")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if 0 not in shape and (last >= storage.size or math.prod(shape) > storage.size):
        raise ValueError(
            f"a tensor of shape {shape} with strides {strides} at {offset} does not fit its storage of {storage.size} "
            "elements: do not trust this checkpoint."
        )
    return Tensor(storage, offset, shape, strides)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**48
