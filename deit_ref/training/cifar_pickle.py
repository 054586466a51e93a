"""The pickles of CIFAR-10, read and not run.

A pickle is a program that may import and call anything. As in `checkpoints.pickle_program` it is only read:
`pickletools` splits it into opcodes, and the few that build dictionaries, lists, text and one array of bytes are
carried out here. No name in it is ever imported or called; `pickle.Unpickler` with a list of allowed names would still
hand numpy's own `__setstate__` what the file says, which can make numpy read memory that is not its own.

Source: pickletools.py of Python (what each opcode does), numpy/_core/multiarray.py (`_reconstruct`).
"""

import pickletools
from typing import Any, NamedTuple

# A batch takes 0.05 million opcodes; one can make an object of some 70 bytes.
MAX_OPCODES = 2**20

_NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")
_CALLED = {*(f"{module} _reconstruct" for module in _NUMPY), "numpy dtype", "_codecs encode"}
_ALLOWED = {*_CALLED, "numpy ndarray"}
_TEXTS = {"STRING", "BINSTRING", "SHORT_BINSTRING"}
_VALUES = set(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES "
    "SHORT_BINBYTES BINBYTES8".split()
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_STORES, _LOADS = ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), ("GET", "BINGET", "LONG_BINGET")


class _Global(NamedTuple):
    """The name of a class or function, which is all that is known of it."""

    name: str


class Made:
    """What `function` would make of `arguments`; `state` is what BUILD gives it afterwards."""

    def __init__(self, function: str, arguments: tuple[Any, ...]) -> None:
        self.function, self.arguments, self.state = function, arguments, None


def interpret(data: bytes) -> Any:
    """The value that a pickle describes, of dictionaries, lists, tuples, text, numbers and `Made`.

    Text of Python 2 and all keys are bytes.

    Raises:
        ValueError: the pickle is damaged, too long, or asks for what CIFAR's do not hold.
        IndexError, KeyError, TypeError, OverflowError: its stack or memo holds less or else than an opcode takes out.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        items = stack[marks[-1] :]
        del stack[marks.pop() :]
        return items

    argument: Any
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        name = opcode.name
        if count > MAX_OPCODES:
            raise ValueError("it is too long")
        if name in _TEXTS:
            stack.append(argument.encode("latin-1"))
        elif name in _VALUES:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _STORES:
            memo[len(memo) if name == "MEMOIZE" else argument] = stack[-1]
        elif name in _LOADS:
            stack.append(memo[argument])
        elif name == "MARK":
            marks.append(len(stack))
        elif name in ("TUPLE", "LIST"):
            stack.append(tuple(since_mark()) if name == "TUPLE" else since_mark())
        elif name in _TUPLES:
            items = [stack.pop() for _ in range(_TUPLES[name])]
            stack.append(tuple(reversed(items)))
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name in ("EMPTY_DICT", "DICT"):
            stack.append(_with_items({}, since_mark() if name == "DICT" else []))
        elif name in ("APPEND", "APPENDS"):
            items = [stack.pop()] if name == "APPEND" else since_mark()
            if not isinstance(stack[-1], list):
                raise ValueError(f"{name} on what is no list")
            stack[-1].extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = [stack.pop(-2), stack.pop()] if name == "SETITEM" else since_mark()
            _with_items(stack[-1], items)
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            if name == "STACK_GLOBAL":
                part, module = stack.pop(), stack.pop()
                argument = f"{module} {part}" if isinstance(module, str) and isinstance(part, str) else "?"
            if argument not in _ALLOWED:
                raise ValueError(f"it asks for {argument.replace(' ', '.')[:200]}")
            stack.append(_Global(argument))
        elif name == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(_called(function, arguments))
        elif name == "BUILD":
            state = stack.pop()
            if not isinstance(stack[-1], Made):
                raise ValueError("BUILD on what is no array")
            stack[-1].state = state
        elif name == "STOP":
            return stack.pop()
        elif name not in ("PROTO", "FRAME"):
            raise ValueError(f"it holds the opcode {name}")
    raise ValueError("the pickle has no end")


def _with_items(target: Any, items: list[Any]) -> dict[Any, Any]:
    if not isinstance(target, dict) or len(items) % 2:
        raise ValueError("items are set on what is no dictionary")
    for key, value in zip(items[::2], items[1::2], strict=True):
        # Hashing a nest of tuples can take forever.
        if not isinstance(key, str | bytes):
            raise ValueError(f"a key is {type(key).__name__}, not text")
        target[key.encode() if isinstance(key, str) else key] = value
    return target


def _called(function: Any, arguments: Any) -> Any:
    """What calling `function` would give, without calling it."""
    if not isinstance(function, _Global) or function.name not in _CALLED or not isinstance(arguments, tuple):
        raise ValueError("it calls what is no function of numpy's arrays")
    if function.name != "_codecs encode":
        return Made(function.name, arguments)
    # How Python 3 writes bytes in protocol 2.
    if len(arguments) != 2 or not isinstance(arguments[0], str) or arguments[1] != "latin1":
        raise ValueError("it encodes text otherwise than Python writes bytes")
    return arguments[0].encode("latin-1")
