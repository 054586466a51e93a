"""What somebody might hand in for any argument: values of every kind, each made anew, with what it may count as.

`kinds` are the words in which `test_contract.py` says what an argument takes. A value that no argument takes has none.
`plain` makes the ordinary value that means the same, so that both must give the same result.
"""

import array as builtin_array
import collections
import datetime
import decimal
import enum
import fractions
import io
import itertools
import pathlib
import re
import shutil
import tempfile
import types
import unittest.mock
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from strategies import TINY, random_weights

import deit_ref
from deit_ref.checkpoints.files import bundled
from deit_ref.photos import bundled_photo


class Odd(NamedTuple):
    """One value: its name, a function that makes it, what it may count as, and the plain value that it means."""

    name: str
    make: Callable[[], Any]
    kinds: frozenset[str] = frozenset()
    plain: Callable[[], Any] | None = None


class Color(enum.IntEnum):
    RED = 1


class Hostile:
    """Whatever it is asked, it refuses."""

    def refuse(self, *_: Any) -> Any:
        raise RuntimeError("first line\nsecond line")

    __repr__ = __str__ = __len__ = __iter__ = __bool__ = __float__ = __int__ = __index__ = __array__ = refuse
    __eq__ = __hash__ = __fspath__ = __getitem__ = __contains__ = refuse


class Loud:
    """A representation of many lines and far too many letters."""

    def __repr__(self) -> str:
        return "loud\n" * 10**5


class Pretender:
    """Has all the attributes of an array, and no numbers."""

    ndim, shape, dtype, size = 4, (2, 3, 32, 32), np.dtype("float32"), 2 * 3 * 32 * 32

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise ValueError("not even\none number")


class Words(str):
    """A string, with a class of its own."""


Point = collections.namedtuple("Point", "x y")


def of_itself() -> list[Any]:
    values: list[Any] = []
    values.append(values)
    return values


def nested(depth: int) -> list[Any]:
    values: list[Any] = []
    for _ in range(depth):
        values = [values]
    return values


def photo(height: int = 40, width: int = 50, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def file_of(image: np.ndarray, form: str = "PNG") -> io.BytesIO:
    file = io.BytesIO()
    Image.fromarray(image).save(file, form)
    return file


_FOLDER = tempfile.TemporaryDirectory()


def checkpoint() -> pathlib.Path:
    """A copy, because somebody may be asked to write there."""
    copy = pathlib.Path(_FOLDER.name) / "checkpoint"
    return copy if copy.exists() else pathlib.Path(shutil.copytree(bundled("cifar10-simmim"), copy))


def closed() -> io.BytesIO:
    file = io.BytesIO(b"abc")
    file.close()
    return file


def generator() -> Any:
    yield 1


def odd(name: str, make: Callable[[], Any], kinds: str = "", plain: Callable[[], Any] | None = None) -> Odd:
    return Odd(name, make, frozenset(kinds.split()), plain)


def scalars() -> list[Odd]:
    """Numbers: of Python, of NumPy and torch, and what only looks like one."""
    wholes = [0, 1, 2, 3, 8, 32, -1, -(2**70), 2**31, 2**63, 2**64, 2**70, 10**5000]
    floats = [0.0, -0.0, 0.5, 1.0, 3.0, -0.5, 1e-320, 1e308, float("inf"), float("-inf"), float("nan")]
    found = [odd("None", lambda: None, "none"), odd("True", lambda: True, "bool"), odd("False", lambda: False, "bool")]
    found += [odd(f"int {str(n)[:22] if n < 2**71 else 'huge'}", lambda n=n: n, "int number") for n in wholes]
    found += [odd(f"float {x}", lambda x=x: x, "number") for x in floats]
    for name in "int8 int16 int32 int64 uint8 uint16 uint32 uint64".split():
        found.append(odd(f"np.{name}", lambda name=name: np.dtype(name).type(3), "int number", lambda: 3))
        found.append(odd(f"0-d {name}", lambda name=name: np.array(8, name), "int number", lambda: 8))
    for name in "float16 float32 float64 longdouble".split():
        found.append(odd(f"np.{name}", lambda name=name: np.dtype(name).type(0.5), "number", lambda: 0.5))
        found.append(odd(f"0-d {name}", lambda name=name: np.array(0.25, name), "number", lambda: 0.25))
    for dtype in (torch.int64, torch.uint8, torch.int32):
        found.append(odd(f"0-d {dtype}", lambda dtype=dtype: torch.tensor(8, dtype=dtype), "int number", lambda: 8))
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        found.append(odd(f"0-d {dtype}", lambda dtype=dtype: torch.tensor(0.5, dtype=dtype), "number", lambda: 0.5))
    return [
        *found,
        odd("np.bool", lambda: np.True_, "bool", lambda: True),
        odd("0-d bool", lambda: np.array(False), "bool", lambda: False),
        odd("0-d torch.bool", lambda: torch.tensor(True), "bool", lambda: True),
        odd("IntEnum", lambda: Color.RED, "int number", lambda: 1),
        odd("Fraction", lambda: fractions.Fraction(1, 2), "number", lambda: 0.5),
        odd("np.float32 nan", lambda: np.float32("nan"), "number", lambda: float("nan")),
        odd("requires grad", lambda: torch.tensor(0.5, requires_grad=True), "number", lambda: 0.5),
        odd("Decimal", lambda: decimal.Decimal("0.5")),
        odd("1j", lambda: 1j),
        odd("np.complex64", lambda: np.complex64(1 + 1j)),
        odd("0-d complex", lambda: np.array(1j)),
        odd("0-d torch complex", lambda: torch.tensor(1j)),
        odd("0-d object", lambda: np.array(None)),
        odd("0-d text", lambda: np.array("features")),
        odd("0-d meta", lambda: torch.tensor(3, device="meta")),
        odd("masked", lambda: np.ma.masked),
        odd("0-d masked", lambda: np.ma.array(3)),
        odd("datetime64", lambda: np.datetime64("2026-11-28")),
        odd("timedelta64", lambda: np.timedelta64(3, "s")),
        odd("np.void", lambda: np.void(b"abc")),
        odd("datetime", lambda: datetime.datetime(2026, 11, 28)),
        odd("timedelta", lambda: datetime.timedelta(3)),
    ]


def texts() -> list[Odd]:
    """Words: those that some argument knows, near misses, bytes, and letters that files and terminals fear."""
    known = "numpy torch features classification channels_last pillow bicubic gelu regression floor".split()
    found = [odd(repr(word), lambda word=word: word, f"text {word}") for word in known]
    misses = [
        "",
        "x",
        "Numpy",
        "feature",
        "deit-tiny",
        "cuda:99",
        "\0",
        "a\nb",
        "x" * 5000,
        "日本",
        "\ud800",
        "absent.jpg",
    ]
    found += [odd(repr(word)[:20], lambda word=word: word, "text") for word in misses]
    return [
        *found,
        odd("'cpu'", lambda: "cpu", "text cpu"),
        odd("'float32'", lambda: "float32", "text dtype torch-dtype"),
        odd("'float64'", lambda: "float64", "text dtype torch-dtype"),
        odd("'bfloat16'", lambda: "bfloat16", "text torch-dtype"),
        odd("'<f4'", lambda: "<f4", "text dtype", lambda: "float32"),
        odd("'deit-tiny-patch16-224'", lambda: "deit-tiny-patch16-224", "text variant"),
        odd("'cifar10-simmim'", lambda: "cifar10-simmim", "text checkpoint"),
        odd("np.str", lambda: np.str_("features"), "text features", lambda: "features"),
        odd("subclass of str", lambda: Words("numpy"), "text numpy", lambda: "numpy"),
        odd("b''", lambda: b""),
        odd("b'ab'", lambda: b"ab"),
        odd("np.bytes", lambda: np.bytes_(b"numpy")),
        odd("bytearray", lambda: bytearray(b"ab")),
        odd("memoryview", lambda: memoryview(b"ab")),
        odd("StringIO", lambda: io.StringIO("abc")),
    ]


def collections_() -> list[Odd]:
    """Lists, dictionaries and what one can walk through."""
    return [
        odd("[]", lambda: [], "list texts"),
        odd("[3]", lambda: [3], "list"),
        odd("[8, 8]", lambda: [8, 8], "list pair", lambda: (8, 8)),
        odd("(16, 24)", lambda: (16, 24), "list pair"),
        odd("named pair", lambda: Point(8, 8), "list pair", lambda: (8, 8)),
        odd("np pair", lambda: (np.int64(8), np.uint8(8)), "list pair", lambda: (8, 8)),
        odd("(0.5,) * 3", lambda: (0.5, 0.5, 0.5), "list means"),
        odd("np means", lambda: [np.float32(0.5)] * 3, "list means", lambda: (0.5, 0.5, 0.5)),
        odd("(1, 2, 3)", lambda: (1, 2, 3), "list means"),
        odd("(True, True)", lambda: (True, True), "list"),
        odd("[nan]", lambda: [float("nan")], "list"),
        odd("ragged", lambda: [[1, 2], [3]], "list"),
        odd("[None]", lambda: [None], "list"),
        odd("['a']", lambda: ["a"], "list texts"),
        odd("five names", lambda: list("abcde"), "list texts names"),
        odd("tuple of names", lambda: tuple("abcde"), "texts names"),
        odd("iterator of names", lambda: iter("abcde"), "texts names", lambda: list("abcde")),
        odd("array of names", lambda: np.array(list("abcde")), "texts names", lambda: list("abcde")),
        odd("object array of names", lambda: np.array(list("abcde"), object), "texts names", lambda: list("abcde")),
        odd("set of names", lambda: set("a"), "texts", lambda: ["a"]),
        odd("patterns", lambda: ["blocks.*"], "list texts patterns"),
        odd("[b'a']", lambda: [b"a"], "list"),
        odd("[1j]", lambda: [1j], "list"),
        odd("[10**400]", lambda: [10**400], "list"),
        odd("list of itself", of_itself, "list"),
        odd("1000 deep", lambda: nested(1000), "list"),
        odd("thousands", lambda: [7] * 10**4, "list"),
        odd("list of tensors", lambda: [torch.ones(2, requires_grad=True)], "list"),
        odd("[hostile]", lambda: [Hostile()], "list"),
        odd("()", lambda: (), "texts"),
        odd("{}", lambda: {}, "mapping"),
        odd("{'a': 1}", lambda: {"a": 1}, "mapping json"),
        odd("{1: 2}", lambda: {1: 2}, "mapping"),
        odd("{'a': nan}", lambda: {"a": float("nan")}, "mapping json"),
        odd("{'a': object}", lambda: {"a": object()}, "mapping"),
        odd("{'a': array}", lambda: {"a": np.ones(2)}, "mapping"),
        odd("size", lambda: {"height": 8, "width": 8}, "mapping json size"),
        odd("np size", lambda: {"height": np.int64(8), "width": np.array(8)}, "mapping json size"),
        odd("shortest edge", lambda: {"shortest_edge": 8}, "mapping json edge"),
        odd("size of text", lambda: {"height": "8", "width": 8}, "mapping json"),
        odd("UserDict", lambda: collections.UserDict(a=1), "mapping json"),
        odd("mappingproxy", lambda: types.MappingProxyType({"a": 1}), "mapping json"),
        odd("defaultdict", lambda: collections.defaultdict(int), "mapping"),
        odd("set", lambda: {1, 2}),
        odd("frozenset", lambda: frozenset({1})),
        odd("range", lambda: range(3)),
        odd("empty range", lambda: range(0), "texts"),
        odd("iterator", lambda: iter([1])),
        odd("generator", generator),
        odd("map", lambda: map(int, "12")),
        odd("endless", lambda: itertools.count()),
        odd("deque", lambda: collections.deque([1, 2]), "numbers"),
        odd("array.array", lambda: builtin_array.array("d", [1, 2])),
        odd("slice", lambda: slice(1, 2)),
    ]


def objects() -> list[Odd]:
    """Everything else of Python, this project's own objects, and open files."""
    return [
        odd("Ellipsis", lambda: ...),
        odd("NotImplemented", lambda: NotImplemented),
        odd("object", object),
        odd("a class", lambda: Hostile),
        odd("int", lambda: int),
        odd("float", lambda: float, "dtype torch-dtype"),
        odd("a function", lambda: generator),
        odd("builtin", lambda: len),
        odd("a module", lambda: np),
        odd("an exception", lambda: ValueError("a\nb")),
        odd("UUID", lambda: uuid.UUID(int=1)),
        odd("pattern", lambda: re.compile("a")),
        odd("Mock", unittest.mock.MagicMock, "path"),
        odd("hostile", Hostile),
        odd("loud", Loud),
        odd("pretender", Pretender),
        odd("Path()", lambda: pathlib.Path(), "path"),
        odd("absent path", lambda: pathlib.Path("absent/absent"), "path"),
        odd("path of a photo", bundled_photo, "path image"),
        odd("path of a checkpoint", checkpoint, "path checkpoint"),
        odd("bytes path", lambda: b"absent"),
        odd("open photo", lambda: file_of(photo()), "image", photo),
        odd("a file as a path opens it", lambda: open(bundled_photo(), "rb"), "image", bundled_photo),
        odd("open text", lambda: io.TextIOWrapper(io.BytesIO(b"abc"))),
        odd("open garbage", lambda: io.BytesIO(b"garbage")),
        odd("open nothing", io.BytesIO),
        odd("closed file", closed),
        odd("PIL RGB", lambda: Image.fromarray(photo()), "image", photo),
        odd("PIL gray", lambda: Image.new("L", (9, 7)), "image"),
        odd("PIL I;16", lambda: Image.fromarray(np.full((7, 9), 65535, np.uint16)), "image"),
        odd("PIL of no pixel", lambda: Image.new("RGB", (0, 7)), ""),
        odd("DeiTConfig", lambda: TINY, "config"),
        odd("ImageProcessing", lambda: deit_ref.ImageProcessing.huggingface(32), "processing"),
        odd("Trace", deit_ref.Trace, "trace mapping"),
        odd("DeiTWeights", random_weights, "weights"),
        odd("tensors as weights", lambda: random_weights().to("torch"), "weights", random_weights),
        odd("output", lambda: deit_ref.ClassificationOutput(np.zeros((1, 2)))),
        odd("np generator", lambda: np.random.default_rng(0), "np-generator"),
        odd("np RandomState", lambda: np.random.RandomState(0)),
        odd("torch generator", lambda: torch.Generator().manual_seed(0), "torch-generator"),
        odd("torch.device cpu", lambda: torch.device("cpu"), "cpu", lambda: "cpu"),
        odd("torch.device meta", lambda: torch.device("meta")),
        odd("np.float32 class", lambda: np.float32, "dtype torch-dtype", lambda: "float32"),
        odd("np.dtype", lambda: np.dtype("float64"), "dtype torch-dtype", lambda: "float64"),
        odd("big-endian dtype", lambda: np.dtype(">f4"), "torch-dtype", lambda: "float32"),
        odd("integer dtype", lambda: np.int64),
        odd("torch.float32", lambda: torch.float32, "torch-dtype", lambda: "float32"),
        odd("torch.int8", lambda: torch.int8),
        odd("torch.float8", lambda: torch.float8_e4m3fn),
    ]


def arrays(values: np.ndarray, kind: str) -> list[Odd]:
    """One set of numbers as an array of every dtype and layout; `kind` for those that hold them all.

    Conversions that lose nothing mean the numbers themselves; what comes to less is not among them.
    """

    def same(make: Callable[[], Any]) -> bool:
        return bool((np.asarray(make(), np.float64) == values.astype(np.float64)).all())

    def plain() -> Any:
        return values

    found = [odd("as it is", plain, kind), odd("nested lists", values.tolist, f"{kind} list", plain)]
    dtypes = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 longdouble >i2 >f4 >f8"
    for dtype in dtypes.split():
        with np.errstate(all="ignore"):
            cast = values.astype(dtype)
        keeps = same(lambda cast=cast: cast)
        kinds = kind if keeps else "truth" if dtype == "bool" else ""
        found.append(odd(f"array of {dtype}", lambda cast=cast: cast.copy(), kinds, plain if keeps else None))
    for dtype in "complex64 complex128 object S5 U5 M8[s] m8[s]".split():
        found.append(odd(f"array of {dtype}", lambda dtype=dtype: values.astype(np.int64).astype(dtype)))
    tensor = torch.from_numpy(values.copy())
    for name in "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 bfloat16 float32 float64".split():
        cast_tensor = tensor.to(getattr(torch, name))
        keeps = bool((cast_tensor.double() == tensor.double()).all())
        kinds = kind if keeps else "truth" if name == "bool" else ""
        found.append(odd(f"tensor of {name}", lambda t=cast_tensor: t.clone(), kinds, plain if keeps else None))
    floats = tensor.float()
    odd_places = np.zeros((*values.shape, 2), values.dtype)[..., 0]
    odd_places[...] = values
    return [
        *found,
        odd("Fortran", lambda: np.asfortranarray(values), kind, plain),
        odd("negative strides", lambda: values[::-1].copy()[::-1], kind, plain),
        odd("every second", lambda: odd_places, kind, plain),
        odd("read-only", lambda: np.frombuffer(values.tobytes(), values.dtype).reshape(values.shape), kind, plain),
        odd("masked array", lambda: np.ma.array(values, mask=values > 0)),
        odd("masked array without a mask", lambda: np.ma.array(values)),
        odd("structured", lambda: np.zeros(values.shape, [("a", "f4")])),
        odd("record", lambda: np.zeros(values.shape, [("a", "f4")]).view(np.recarray)),
        odd("NaN", lambda: np.full(values.shape, np.nan), "nan"),
        odd("infinite", lambda: np.full(values.shape, np.inf), "nan"),
        odd("2^64 - 1", lambda: np.full(values.shape, 2**64 - 1, np.uint64)),
        odd("2^64 - 100", lambda: np.full(values.shape, 2**64 - 100, np.uint64)),
        odd("tensor of 2^64 - 100", lambda: torch.full(values.shape, 2**64 - 100, dtype=torch.uint64)),
        odd("-1", lambda: np.full(values.shape, -1), "minus"),
        odd("one axis more", lambda: values[None], "more"),
        odd("one axis less", lambda: values[0], "less"),
        odd("no entry", lambda: values[:0]),
        odd("float8", lambda: floats.to(torch.float8_e4m3fn)),
        odd("complex tensor", lambda: floats.to(torch.complex64)),
        odd("conjugate", lambda: floats.to(torch.complex64).conj()),
        odd(
            "imaginary part", lambda: (-1j * floats.to(torch.complex64)).conj().imag, kind, plain
        ),  # negated in name only
        odd("sparse", lambda: floats.to_sparse()),
        odd("meta", lambda: floats.to("meta")),
        odd("quantized", lambda: torch.quantize_per_tensor(floats, 0.1, 0, torch.quint8)),
        odd("nested tensor", lambda: torch.nested.nested_tensor(list(floats))),
        odd("channels last", lambda: tensor.transpose(0, -1).contiguous().transpose(0, -1), kind, plain),
        odd("expanded", lambda: torch.zeros(1).expand(values.shape), kind),
        odd("parameter", lambda: torch.nn.Parameter(tensor.double()), kind, plain),
    ]


GENERAL = [*scalars(), *texts(), *collections_(), *objects()]
