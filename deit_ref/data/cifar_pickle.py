"""What the pickles of CIFAR-10 mean: dictionaries of text, numbers and one array of bytes.

Source: numpy/_core/multiarray.py (`_reconstruct`), which is never called here.
"""

import io
from typing import Any

from deit_ref.checkpoints import pickle_machine
from deit_ref.checkpoints.pickle_machine import Dialect, Global

_MADE = {"numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct", "numpy.dtype"}


class Made:
    """What `function` would make of `arguments`; `state` is what BUILD gives it afterwards."""

    def __init__(self, function: str, arguments: tuple[Any, ...]) -> None:
        self.function, self.arguments, self.state = function, arguments, None


def interpret(data: bytes) -> Any:
    """The value that a pickle describes, of dictionaries, lists, tuples, text, numbers and `Made`.

    Keys are text. What Python 2 has written as text or bytes is text of Latin-1.

    Raises:
        ValueError: the pickle is damaged, too long, or asks for what CIFAR's do not hold.
        IndexError, KeyError: its stack or memo holds less than an opcode takes out.
    """
    return pickle_machine.interpret(io.BytesIO(data), _DIALECT)


def _call(function: Global, arguments: tuple[Any, ...]) -> Any:
    if function.name in _MADE:
        return Made(function.name, arguments)
    # How Python 3 writes bytes in protocol 2.
    if function.name != "_codecs.encode" or len(arguments) != 2 or arguments[1] != "latin1":
        raise ValueError(f"it calls {function.name} otherwise than numpy's arrays do")
    return arguments[0]


def _build(target: Any, state: Any) -> None:
    if not isinstance(target, Made):
        raise ValueError("BUILD on what is not an array")
    target.state = state


def _storage(identity: Any) -> Any:
    raise ValueError("it has a storage, as files of torch do")


def _key(key: Any) -> str:
    # Hashing a nest of tuples can take forever.
    if not isinstance(key, str | bytes):
        raise ValueError(f"a key is {type(key).__name__}, not text")
    return key.decode("latin-1") if isinstance(key, bytes) else key


_DIALECT = Dialect(
    writer="CIFAR-10",
    names=frozenset({*_MADE, "numpy.ndarray", "_codecs.encode"}),
    refuse=lambda _: "which is not part of arrays and dictionaries",
    call=_call,
    build=_build,
    storage=_storage,
    key=_key,
    most_opcodes=2**20,  # a batch takes 0.05 million; one can make an object of some 70 bytes
)
