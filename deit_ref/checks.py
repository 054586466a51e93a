"""Checks of what users hand in, shared by config, api and checkpoints.

Each check returns the value in the one form the rest of the package works with, or raises a ValueError that
says what was expected, what came and what to do.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def integer(name: str, value: Any, *, minimum: int = 1) -> int:
    """`value` as an int that is at least `minimum`; True and 3.0 are refused."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or getattr(value, "ndim", False):
        raise ValueError(f"{name} must be an integer, got {value!r} of type {type(value).__name__}.")
    if value.__index__() < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value!r}.")
    return int(value.__index__())


def number(name: str, value: Any, *, low: float, high: float, includes_low: bool = True) -> float:
    """`value` as a float in [low, high), or in (low, high) without `includes_low`."""
    if isinstance(value, bool | str) or not hasattr(value, "__float__") or getattr(value, "ndim", False):
        raise ValueError(f"{name} must be a number, got {value!r} of type {type(value).__name__}.")
    try:
        inside = low <= float(value) < high if includes_low else low < float(value) < high
    except OverflowError:  # an integer of hundreds of digits
        inside = False
    if not inside:
        bracket = "[" if includes_low else "("
        raise ValueError(f"{name} must lie in {bracket}{low:g}, {high:g}), got {value!r}.")
    return float(value)


def fraction(name: str, value: Any) -> float:
    """`value` as a float in [0, 1]."""
    return number(name, value, low=0, high=math.nextafter(1, 2))


def boolean(name: str, value: Any) -> bool:
    """`value`, which must be True or False; 0, 1 and "false" are refused."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, got {value!r}.")
    return value


def choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """`value`, which must be one of `choices`; the message lists them."""
    allowed = tuple(choices)
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {value!r}.{did_you_mean(value, allowed)}")
    return value


def pair(name: str, value: Any, *, minimum: int = 1) -> tuple[int, int]:
    """An int as (value, value), or two ints as (height, width)."""
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2:
        height, width = value
        return integer(f"{name}[0]", height, minimum=minimum), integer(f"{name}[1]", width, minimum=minimum)
    if isinstance(value, Sequence | Mapping):
        raise ValueError(f"{name} must be an integer or a pair (height, width), got {value!r}.")
    side = integer(name, value, minimum=minimum)
    return side, side


def image(image: Any) -> None:
    """An array or tensor of bytes (height, width, channels)."""
    dtype = str(image.dtype).removeprefix("torch.")
    if image.ndim != 3 or 0 in image.shape or dtype != "uint8":
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

    close = difflib.get_close_matches(str(value), list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


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
