"""Checks of what users hand in, shared by config, api and checkpoints.

Each check returns the value in the one form the rest of the package works with, or raises a ValueError that
says what was expected, what came and what to do.
"""

import math
import numbers
import os
import reprlib
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np


def is_tensor(value: Any) -> bool:
    """Whether it is a torch tensor; whoever holds one has imported torch, so that nobody else needs to."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def is_masked(value: Any) -> bool:
    """Whether it is a NumPy array of which some entries may not count."""
    return isinstance(value, np.ndarray) and hasattr(value, "filled")


def plain(value: Any) -> Any:
    """A number of NumPy, or an array or tensor without axes, as a number of Python; everything else as it is."""
    if is_tensor(value) and value.ndim == 0:
        try:
            return value.item()
        except (RuntimeError, NotImplementedError):  # on no device, or in no layout that holds a number
            return value
    # A tuple, not a union: torch.compile cannot look through a union of NumPy's types.
    if isinstance(value, (np.generic, np.ndarray)) and value.ndim == 0 and not is_masked(value):
        kind = value.dtype.kind
        return float(value) if kind == "f" else value.item() if kind in "biu" else value
    return value


def integer(name: str, value: Any, *, minimum: int = 1) -> int:
    """`value` as an int that is at least `minimum`; True and 3.0 are refused."""
    whole = plain(value)
    if isinstance(whole, bool) or not isinstance(whole, int):
        raise ValueError(f"{name} must be an integer, got {brief(value)} of type {type(value).__name__}.")
    if whole < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {brief(value)}.")
    return int(whole)


def number(name: str, value: Any, *, low: float, high: float, includes_low: bool = True) -> float:
    """`value` as a float in [low, high), or in (low, high) without `includes_low`."""
    found = plain(value)
    if isinstance(found, (bool, np.generic)) or not isinstance(found, numbers.Real):
        raise ValueError(f"{name} must be a number, got {brief(value)} of type {type(value).__name__}.")
    try:
        inside = low <= float(found) < high if includes_low else low < float(found) < high
    except OverflowError:  # an integer of hundreds of digits
        inside = False
    if not inside:
        bracket = "[" if includes_low else "("
        raise ValueError(f"{name} must lie in {bracket}{low:g}, {high:g}), got {brief(value)}.")
    return float(found)


def fraction(name: str, value: Any) -> float:
    """`value` as a float in [0, 1]."""
    return number(name, value, low=0, high=math.nextafter(1, 2))


def boolean(name: str, value: Any) -> bool:
    """`value`, which must be True or False; 0, 1 and "false" are refused."""
    found = plain(value)
    if not isinstance(found, bool):
        raise ValueError(f"{name} must be True or False, got {brief(value)}.")
    return found


def choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """`value`, which must be one of `choices`; the message lists them."""
    allowed = tuple(choices)
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(
            f"{name} must be one of {', '.join(allowed)}; got {brief(value)}.{did_you_mean(value, allowed)}"
        )
    return str(value)


def pair(name: str, value: Any, *, minimum: int = 1) -> tuple[int, int]:
    """An int as (value, value), or two ints as (height, width)."""
    if isinstance(value, list | tuple) and len(value) == 2:
        height, width = value
        return integer(f"{name}[0]", height, minimum=minimum), integer(f"{name}[1]", width, minimum=minimum)
    if not isinstance(plain(value), int | float):
        raise ValueError(f"{name} must be an integer or a pair (height, width), got {brief(value)}.")
    side = integer(name, value, minimum=minimum)
    return side, side


def texts(name: str, value: Any, *, each: str) -> tuple[str, ...]:
    """`value` as strings; one string alone, which holds strings too, is refused. `each` says what one of them is."""
    if not isinstance(value, str | bytes | Mapping | np.generic) and not hasattr(value, "read"):
        found = []
        try:
            for entry in value:
                if not isinstance(entry, str):
                    break
                found.append(str(entry))
            else:
                return tuple(found)
        except Exception:  # it has no entries, or a class of the caller's gives none
            pass
    raise ValueError(f"{name} must be a list of strings, {each}; got {brief(value)}.")


def path(name: str, value: Any, *, expected: str = "a path") -> str:
    """`value`, a string or an os.PathLike of one, as a string that can be a path; `expected` says what it leads to."""
    try:
        found = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    except Exception:  # of a class of the caller's
        found = None
    if not isinstance(found, str) or not found or "\0" in found:
        raise ValueError(f"{name} must be {expected}; got {brief(value)} of type {type(value).__name__}.")
    return str(found)


def instance(name: str, value: Any, kind: Any, expected: str) -> None:
    """`value` must be a `kind`; `expected` says so in words."""
    if not isinstance(value, kind):
        raise ValueError(f"{name} must be {expected}; got {brief(value)} of type {type(value).__name__}.")


def image(image: Any, *, fractions: bool = False) -> None:
    """An array or tensor of bytes (height, width, channels), or of float32 where `fractions` may come."""
    if not (isinstance(image, np.ndarray) or is_tensor(image)):
        raise ValueError(f"An image must be an array or tensor (height, width, channels); got {brief(image)}.")
    dtype = str(image.dtype).removeprefix("torch.")
    if image.ndim != 3 or 0 in image.shape or not (dtype == "uint8" or (fractions and dtype == "float32")):
        raise ValueError(
            "An image must be uint8 and have the shape (height, width, channels), no axis empty; got "
            f"{dtype} {tuple(image.shape)}. Scale other values to 0..255, round and convert them; a gray image needs "
            "a last axis of 1."
        )


def deep_image(image: Any) -> None:
    """An array or tensor (height, width, channels) of finite float32, int32 or uint16."""
    dtype = str(image.dtype).removeprefix("torch.")
    if image.ndim != 3 or 0 in image.shape or dtype not in ("float32", "int32", "uint16"):
        raise ValueError(
            "An image of more than 8 bits must be float32, int32 or uint16 and have the shape (height, width, "
            f"channels), no axis empty; got {dtype} {tuple(image.shape)}. Bytes go to resize."
        )
    if dtype == "float32" and not bool((abs(image) < float("inf")).all()):
        raise ValueError("An image must hold finite numbers, got NaN or infinity: replace them first.")


def did_you_mean(value: Any, known: Iterable[str]) -> str:
    """A sentence that names the closest known word, or nothing."""
    import difflib

    close = difflib.get_close_matches(value[:100], list(known), n=1) if isinstance(value, str) else []
    return f" Did you mean {close[0]!r}?" if close else ""


_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 400
_REPR.maxdict = 6


def brief(value: Any) -> str:
    """What came, for a message: one short line, whatever it is."""
    try:
        text = _REPR.repr(value)
    except Exception:  # a class of the caller's, or an integer of more digits than Python writes
        return f"something of type {type(value).__name__}"
    return one_line(" ".join(line.strip() for line in text.splitlines()), most=500)


def size(height: int, width: int) -> str:
    """A shape in pixels, for a message."""
    return f"{brief(height)}x{brief(width)}"


def install(extra: str) -> str:
    """How to get what an extra of this package names, as part of a message."""
    words = (
        f"pip install 'deit_ref[{extra}]', or pip install -c constraints.txt '.[{extra}]' in a copy of its repository"
    )
    if extra in ("torch", "train", "onnx"):
        words += ", where there is no NVIDIA card after PyTorch's CPU build, of which its own page tells"
    return words


def amount(count: int, one: str, many: str | None = None) -> str:
    """So many things, such as "1 photo", "2 photos" and, where `many` is not one and an s, "2 classes"."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def one_line(text: Any, *, most: int = 1500) -> str:
    """What a file says, as part of a message: no line breaks or control characters, and of long text not the middle."""
    line = str(text)
    if len(line) > most:
        line = f"{line[: most * 3 // 4]} [...] {line[-most // 5 :]}"
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)


def some(names: Iterable[str], *, most: int = 8) -> str:
    """The first few of many names, and how many more there are."""
    listed = list(names)
    tail = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(one_line(name, most=200) for name in listed[:most]) + tail
