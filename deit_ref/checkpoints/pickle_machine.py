"""The program in a pickle, read and not run.

A pickle is a program for a small stack machine. Python's own `pickle` runs it, with the right to import and call
anything, and so a file can do anything. Here the program is only read: `pickletools` splits it into opcodes, and
`interpret` carries out the few that build dictionaries, lists, text and numbers. What names, calls and storages mean
is for a `Dialect` to say, one for each kind of file; none of them imports or calls what a file names.

`pickle.Unpickler` with a list of allowed names would not do: numpy's own `__setstate__`, handed what a file says, can
read memory that is not its own.

Source: pickletools.py of Python (what each opcode does).
"""

import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pickletools

# Opcodes by what they do; the ones that are listed nowhere (INST, OBJ, EXT1, PERSID, ...) no writer needs today.
_IGNORED = {"PROTO", "FRAME"}
_VALUES = set(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE "
    "SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8".split()
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class Global(NamedTuple):
    """The name of a class or function, "module.part", which is all that is ever known of it."""

    name: str


class Dialect(NamedTuple):
    """What a kind of file means; every function raises a ValueError at what such a file does not hold.

    Attributes:
        writer: who writes such files, for messages.
        names: the classes and functions that may be named.
        refuse: another name -> what the error about it says after it.
        call: a name and a tuple of arguments -> what calling it would give, without calling it.
        build: an object and its state, which is given to it or dropped.
        storage: an identity -> the storage that it stands for.
        key: a key of a dictionary -> the key to use.
        most_opcodes: longer programs are refused.
    """

    writer: str
    names: frozenset[str]
    refuse: Callable[[str], str]
    call: Callable[[Global, tuple[Any, ...]], Any]
    build: Callable[[Any, Any], None]
    storage: Callable[[Any], Any]
    key: Callable[[Any], Any]
    most_opcodes: int | None = None


# What writers hand over to a call they have written down for it, in eight bytes an item or more. A list that is written
# once and handed over again and again would take the square of the file's size.
ITEMS_PER_BYTE = 1


def interpret(stream: io.BytesIO, dialect: Dialect) -> Any:
    """The value that one pickle describes.

    Args:
        stream: at the start of the pickle; afterwards right behind it.
        dialect: of its kind of file.

    Raises:
        ValueError: the pickle is damaged, or asks for what the dialect does not know.
        IndexError, KeyError: its stack or its memo holds less than it takes out.
    """
    items_left = ITEMS_PER_BYTE * len(stream.getbuffer())
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        items = stack[marks[-1] :]
        del stack[marks.pop() :]
        return items

    argument: Any
    for count, (opcode, argument) in enumerate(_opcodes(stream)):
        name = opcode.name
        if dialect.most_opcodes is not None and count > dialect.most_opcodes:
            raise ValueError("the pickle is too long: do not trust this file.")
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
        elif name in ("TUPLE", "LIST"):
            stack.append(tuple(since_mark()) if name == "TUPLE" else since_mark())
        elif name in _TUPLES:
            items = [stack.pop() for _ in range(_TUPLES[name])]
            stack.append(tuple(reversed(items)))
        elif name in ("EMPTY_LIST", "EMPTY_SET"):
            stack.append([])
        elif name in ("EMPTY_DICT", "DICT"):
            items = since_mark() if name == "DICT" else []
            stack.append({})
            set_items(stack[-1], items, dialect)
        elif name in ("APPEND", "APPENDS", "ADDITEMS"):
            items = [stack.pop()] if name == "APPEND" else since_mark()
            if not isinstance(stack[-1], list):
                raise ValueError(f"{name} on {type(stack[-1]).__name__}: this pickle is damaged.")
            stack[-1].extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = [stack.pop(-2), stack.pop()] if name == "SETITEM" else since_mark()
            set_items(stack[-1], items, dialect)
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            if name == "STACK_GLOBAL":
                part, module = stack.pop(), stack.pop()
                argument = f"{module} {part}" if isinstance(module, str) and isinstance(part, str) else "?"
            stack.append(_named(argument.replace(" ", "."), dialect))
        elif name in ("REDUCE", "NEWOBJ"):
            arguments, function = stack.pop(), stack.pop()
            if not isinstance(function, Global) or not isinstance(arguments, tuple):
                raise ValueError("something is called that is not a function: do not trust this file.")
            items_left -= len(arguments) + sum(len(item) for item in arguments if isinstance(item, list))
            if items_left < 0:
                raise ValueError("it gathers the same items again and again: do not trust this file.")
            stack.append(dialect.call(function, arguments))
        elif name == "BUILD":
            state = stack.pop()
            dialect.build(stack[-1], state)
        elif name == "BINPERSID":
            stack.append(dialect.storage(stack.pop()))
        elif name == "STOP":
            return stack.pop()
        elif name not in _IGNORED:
            wants = f" {argument}" if isinstance(argument, str) else ""
            raise ValueError(f"opcode {name}{wants}, which {dialect.writer} never writes: do not trust this file.")
    raise ValueError("the pickle has no end: download or save the file again.")


def set_items(target: Any, items: list[Any], dialect: Dialect) -> None:
    """Keys and values, in turn, into a dictionary."""
    if not isinstance(target, dict) or len(items) % 2:
        raise ValueError("items are set on what is not a dictionary: this pickle is damaged.")
    for key, value in zip(items[::2], items[1::2], strict=True):
        target[dialect.key(key)] = value


def _opcodes(stream: io.BytesIO) -> Iterator[tuple["pickletools.OpcodeInfo", Any]]:
    """Each opcode with its argument, and errors that say what to do."""
    import pickletools

    try:
        for opcode, argument, _ in pickletools.genops(stream):
            yield opcode, argument
    except ValueError as error:
        raise ValueError(f"the pickle in it is damaged ({error}): download or save the file again.") from error


def _named(name: str, dialect: Dialect) -> Global:
    if name not in dialect.names:
        raise ValueError(f"it asks for {name[:200]}, {dialect.refuse(name)}")
    return Global(name)
