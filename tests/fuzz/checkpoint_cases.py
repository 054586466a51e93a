"""Checkpoints of every kind, broken in their bytes, headers, fields, programs and links."""

import importlib.util
import io
import json
import logging
import os
import pickle
import random
import struct
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from mutations import EDGES, mutate

import deit_ref
from deit_ref.weights import named_arrays

Files = dict[str, bytes]

HAS_TORCH = importlib.util.find_spec("torch") is not None

# What a config field may not be, or only just.
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 7, 64, 2**31, 2**63, 10**30, 10**400, 0.5, 1.0, 1e308, 1e-320),
    *(float("nan"), float("inf"), -float("inf"), "", "16", "gelu", "selu", "nan", "a\nb", "\ud800", "x" * 100_000),
    *([], [16], [8, 8], [8, 16], [1, 2, 3], [[8, 8], 8], ["8", 8], [None], [float("nan")] * 3, [1e308] * 3, [0] * 3),
    *({}, {"height": 8}, {"height": 0, "width": 8}, {"height": 8, "width": 1e9}, {"shortest_edge": 2**40}),
    *(
        {"shortest_edge": 10**400},
        {"shortest_edge": 20, "longest_edge": 10**400},
        {"a": {"b": {"c": []}}},
        {"0": "a", "2": "b"},
        {"0": 1},
        {"a\nb": "x\ny"},
    ),
    *({"height": 2**20, "width": 2**20}, {"height": 100_000, "width": 1}, list(range(1000)), "../x", "LABEL_0"),
)
JSON_TEXTS = (
    *(b"", b"{", b"[]", b"null", b"1e999", b'"text"', b"\xff\xfe{\0}\0", b"\xef\xbb\xbf{}", b"{}" * 2, b"\0" * 64),
    *(b"[" * 200_000, b'{"a":' * 200_000, b'{"hidden_size": ' + b"9" * 5000 + b"}", b'{"a": "' + b"x" * 10**6 + b'"}'),
    *(b'{"hidden_size": [' + b"[" * 500 + b"]" * 501 + b"}", b'{"id2label": {"0": "a", "0": "b"}}', b"\n" * 99),
    b'{"hidden_size": ' + b'{"a":' * 900 + b"1" + b"}" * 901,
)
LABELS: tuple[Any, ...] = (
    *({"0": "a\nb", "1": "b"}, {"0": "a"}, {"1": "a", "2": "b"}, {"0": "a", "00": "b"}, {0: "a", 1: "b"}),
    *({"0": None, "1": 2}, {"-1": "a", "0": "b"}, {"0": "\ud800", "1": ""}, [], ["a", "b"], "ab", 2, {}),
    {str(i): "x" for i in range(100_000)},
)
DTYPES = ("F16", "BF16", "F32", "F64", "I64", "U8", "BOOL", "F8_E4M3", "F4", "C64", "f32", "", "\n", 32, None)
EDGE_SIZES = (0, 1, -1, 2, 8, 2**31, 2**32, 2**53, 2**62, 2**63, 2**64 - 1, 2**64, 10**30)
NUMBERS: tuple[Any, ...] = (*EDGE_SIZES, 1.5, "8", None, [], True)


def _folder_files(folder: Path) -> Files:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _with_index(arrays: dict[str, Any], save: Callable[[dict[str, Any]], bytes], stem: str, suffix: str) -> Files:
    shards = [f"{stem}-0000{i}-of-00002{suffix}" for i in (1, 2)]
    halves = [dict(list(arrays.items())[i::2]) for i in range(2)]
    weight_map = {name: shard for shard, half in zip(shards, halves, strict=True) for name in half}
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    files = {shard: save(half) for shard, half in zip(shards, halves, strict=True)}
    return files | {f"{stem}{suffix}.index.json": json.dumps(index).encode()}


def seeds() -> list[Files]:
    """Whole checkpoints by file name, always the same; those of torch.save only where torch is installed."""
    from safetensors.numpy import load, save

    found: list[Files] = []
    config = deit_ref.DeiTConfig(8, 2, 2, 16, image_size=16, patch_size=8, num_labels=2, encoder_stride=8)
    tasks = ("features", "classification", "classification-with-teacher", "masked-image-modeling")
    for task in tasks:
        with tempfile.TemporaryDirectory() as folder:
            names = ("cat", "dog") if task == "classification" else None
            weights = deit_ref.init_weights(config, task, seed=1, class_names=names)
            deit_ref.save_weights(weights, folder)
            found.append(_folder_files(Path(folder)))
    classifier = found[1]
    arrays = load(classifier["model.safetensors"])
    half = {name: array.astype(np.float16) for name, array in arrays.items()}
    jsons = {name: content for name, content in classifier.items() if name.endswith(".json")}
    found.append(jsons | {"model.safetensors": save(half)})
    found.append(jsons | _with_index(arrays, save, "model", ".safetensors"))
    # A lone file tells its sizes by its shapes, and its heads are 64 long.
    lone = deit_ref.DeiTConfig(64, 1, 1, 16, image_size=16, patch_size=8, num_labels=2)
    with tempfile.TemporaryDirectory() as folder:
        deit_ref.save_weights(deit_ref.init_weights(lone, "classification", seed=1), folder)
        lone_files = _folder_files(Path(folder))
    found.append({"alone.safetensors": lone_files["model.safetensors"]})
    # A DeiT III as timm writes it: layer scale, positions of patches alone, and a config.json of timm's own.
    plain = deit_ref.DeiTConfig(64, 1, 1, 16, image_size=16, patch_size=8, num_labels=2, distilled=False)
    deit3 = dict(named_arrays(deit_ref.init_weights(plain, "classification", seed=1)))
    deit3 |= {"pos_embed": deit3["pos_embed"][:, 1:].copy()}
    deit3 |= {f"blocks.0.ls{branch}.gamma": np.ones(64, np.float32) for branch in (1, 2)}
    settings = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "crop_pct": 0.9, "crop_mode": "center"}
    timm = {"architecture": "deit3_small_patch16_224", "num_classes": 2, "global_pool": "token", "act_layer": "gelu"}
    timm |= {
        "model_args": {"num_heads": 1, "img_size": [16, 16]},
        "pretrained_cfg": settings,
        "label_names": ["a", "b"],
    }
    found.append({"config.json": json.dumps(timm).encode(), "model.safetensors": save(deit3)})
    if HAS_TORCH:
        found += _torch_seeds(arrays, jsons, load(lone_files["model.safetensors"]))
    return found


def _torch_seeds(arrays: dict[str, Any], jsons: Files, lone: dict[str, Any]) -> list[Files]:
    import argparse

    import torch

    def saved(value: Any, **options: Any) -> bytes:
        stream = io.BytesIO()
        torch.save(value, stream, **options)
        return stream.getvalue()

    state = {name: torch.from_numpy(array) for name, array in arrays.items()}
    old = {"_use_new_zipfile_serialization": False}
    found = [jsons | {"pytorch_model.bin": saved(state, **options)} for options in ({}, old)]
    found.append(jsons | {"pytorch_model.bin": saved({name: tensor.bfloat16() for name, tensor in state.items()})})
    found.append(jsons | _with_index(state, saved, "pytorch_model", ".bin"))
    module = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(module.parameters())
    module(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    weights = {name: torch.from_numpy(array) for name, array in lone.items()}
    training = {
        "model": weights,
        "model_ema": weights,
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "args": argparse.Namespace(lr=1e-3),
    }
    found += [{"alone.pth": saved(training, **options)} for options in ({}, old)]
    return found


class Hostile:
    """Whoever unpickles it runs a command that leaves the sentinel."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def hostile_programs(sentinel: str) -> list[bytes]:
    """Pickles that make the sentinel when Python runs them, by the opcodes REDUCE, INST, OBJ, NEWOBJ and BUILD."""
    command = f"touch {sentinel}"
    nested: Any = Hostile(os.system, command)
    for _ in range(3):
        nested = [{"state_dict": (nested,)}]
    programs = [
        pickle.dumps(value, protocol)
        for protocol in (0, 2, 4)
        for value in (
            Hostile(os.system, command),
            Hostile(eval, f"open({sentinel!r}, 'w')"),
            Hostile(exec, f"open({sentinel!r}, 'w')"),
            nested,
            {"model": {"a": Hostile(open, sentinel, "w")}},
            {"args": Hostile(os.mkdir, sentinel)},
        )
    ]
    text = command.encode()
    programs.append(b"(S'" + text + b"'\nios\nsystem\n.")
    programs.append(b"(cos\nsystem\nS'" + text + b"'\no.")
    programs.append(b"\x80\x02cos\nsystem\nU" + bytes([len(text)]) + text + b"\x85\x81.")
    programs.append(b"ctorch\nSize\n)R(S'__setstate__'\ncos\nsystem\ndbS'" + text + b"'\nb.")
    programs.append(b"cargparse\nNamespace\n)R}S'__setstate__'\ncos\nsystem\nsbS'" + text + b"'\nb.")
    return programs


def _zipped(name: str, program: bytes, **options: Any) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(f"{name}/data.pkl", program, **options)
    return stream.getvalue()


def lie_hostile(draw: random.Random, data: bytes, sentinel: str) -> bytes:
    """A program that would run code: bare, in either container, or before or inside the program of a good file."""
    program = draw.choice(hostile_programs(sentinel))
    if draw.random() < 0.3:
        program = mutate(draw, program)
    way = draw.randrange(4)
    if way == 0:
        return program
    if way == 1:
        return _zipped("archive", program)
    if data[:2] == b"PK":

        def change(name: str, content: bytes) -> bytes:
            if not name.endswith("data.pkl"):
                return content
            cut = draw.randrange(2, len(content))
            return draw.choice((program, content[:-1] + program[2:], content[:cut] + program[2:-1] + content[cut:]))

        return _rezipped(data, change)
    legacy = b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {}))
    return legacy + program + pickle.dumps([], 2)


def _rezipped(data: bytes, change: Callable[[str, bytes], bytes], **options: Any) -> bytes:
    """The same archive with changed contents and right check sums; data that is not an archive stays."""
    stream = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(stream, "w", **options) as target:
            for name in source.namelist():
                target.writestr(name, change(name, source.read(name)))
    except (zipfile.BadZipFile, NotImplementedError):
        return data
    return stream.getvalue()


def lie_zip(draw: random.Random, data: bytes) -> bytes:
    """Another program, storage, order of bytes, name or compression; or lies in the archive's own directory."""
    way = draw.randrange(8)
    if way < 4:
        part = draw.choice(("data.pkl", "data.pkl", "data.pkl", "/data/", "byteorder", "version"))
        return _rezipped(data, lambda name, content: mutate(draw, content) if part in name else content)
    if way == 4:
        return _rezipped(data, lambda _, content: content, compression=draw.choice((8, 12, 14)))
    if way == 5:  # a small entry that grows
        big = bytes(draw.choice((10**6, 2 * 10**8)))
        part = draw.choice(("data.pkl", "/data/0"))
        return _rezipped(data, lambda name, content: big if name.endswith(part) else content, compression=8)
    signature = draw.choice((b"PK\x01\x02", b"PK\x05\x06", b"PK\x03\x04"))
    places = [i for i in range(len(data)) if data.startswith(signature, i)]
    if not places:
        return data
    start = draw.choice(places) + draw.randrange(4, 46)
    width = draw.choice((2, 4))
    return data[:start] + draw.choice(EDGES[width]).to_bytes(width, "little") + data[start + width :]


def lie_legacy(draw: random.Random, data: bytes) -> bytes:
    return draw.choice((mutate(draw, data), mutate(draw, data[:400]) + data[400:], data[: draw.randrange(len(data))]))


def safetensors_bytes(header: Any, data: bytes, length: int | None = None) -> bytes:
    text = json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def _change_array(draw: random.Random, content: bytes) -> bytes:
    """A whole file, but one array has another name, shape, dtype or other values."""
    from safetensors.numpy import load, save

    arrays = load(content)
    factor = np.float32(draw.choice((0, -1, 1e30, np.nan, np.inf)))
    with np.errstate(all="ignore"):
        scaled = {name: array * factor for name, array in arrays.items()}
    name = draw.choice(sorted(arrays))
    array = arrays.pop(name)
    array = draw.choice(
        (
            array.T,
            array[..., None],
            array[:0],
            array.reshape(-1),
            array[..., ::2],
            np.concatenate([array, array]),
            array.astype(draw.choice((np.float16, np.float64, np.int64, np.bool_, np.uint8))),
            scaled[name],
            array,
        )
    )
    others = (name, name.replace("0", "1"), name.replace("layer.1", "layer.2"), "head.weight", f"vit.{name}")
    arrays[draw.choice((name, name, *others))] = np.ascontiguousarray(array)
    return save(arrays)


def lie_safetensors(draw: random.Random, content: bytes) -> bytes:
    """Another header, or another length of it."""
    if draw.random() < 0.3:
        return _change_array(draw, content)
    (length,) = struct.unpack_from("<Q", content)
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    names = [name for name in header if name != "__metadata__"]
    name = draw.choice(names)
    entry = header[name]
    lie = draw.randrange(12)
    if lie == 0:
        entry["dtype"] = draw.choice(DTYPES)
    elif lie == 1:
        entry["shape"] = draw.choice(([], [0], entry["shape"][::-1], [*entry["shape"], 1], NUMBERS, "8", None, {}))
    elif lie == 2 and entry["shape"]:
        entry["shape"][draw.randrange(len(entry["shape"]))] = draw.choice(NUMBERS)
    elif lie == 3:
        entry["data_offsets"][draw.randrange(2)] = draw.choice(NUMBERS)
    elif lie == 4:
        entry["data_offsets"] = draw.choice(([], None, [0], [0, 0, 0], header[draw.choice(names)]["data_offsets"]))
    elif lie == 5:
        header[draw.choice(("", "a\nb", "\ud800", "x" * 10**5, "blocks.0.x", f"deit.{name}", "é", "\x1b[2J"))] = (
            header.pop(name) if draw.random() < 0.5 else {"dtype": "F32", "shape": [0], "data_offsets": [len(data)] * 2}
        )
    elif lie == 6:
        del header[name]
    elif lie == 7:
        header["__metadata__"] = draw.choice((None, [], {"format": 1}, {"a": "b\nc"}, {"x" * 10**5: "y"}, "pt", {}))
    elif lie == 8:
        i = draw.choice(("99999999999999999999", "2", "-1", "01", "0x1", "\u0663", "1" * 5000))
        new = {old.replace("layer.0", f"layer.{i}").replace("layer.1", f"layer.{i}"): header[old] for old in names}
        header = new
    elif lie == 9:  # many axes, or a wide product that overflows
        entry["shape"] = draw.choice(([1] * 100 + entry["shape"], [2**32, 2**32, 0], [2**33] * 2, [1] * 10**5))
    elif lie == 10:  # every tensor wider or narrower than it says
        for other in names:
            header[other]["dtype"] = draw.choice(DTYPES[:4])
    wrong = draw.choice((0, 1, length - 1, length + 1, 10**8, 2**31, 2**40, 2**63, 2**64 - 1)) if lie == 11 else None
    if draw.random() < 0.1:
        numbers = np.frombuffer(data[: len(data) // 4 * 4], "<u4").copy()
        numbers[draw.randrange(len(numbers)) :] = draw.choice((0x7F800000, 0x7FC00000, 0x7F7FFFFF, 1, 0xFFFFFFFF))
        data = numbers.tobytes()
    return safetensors_bytes(header, data, wrong)


def lie_json(draw: random.Random, content: bytes) -> bytes:
    """Another value of a field, another label map, or what is not JSON."""
    way = draw.random()
    if way < 0.15:
        return draw.choice(JSON_TEXTS)
    if way < 0.3:
        return mutate(draw, content)
    values = json.loads(content)
    for _ in range(draw.choice((1, 1, 2))):
        name = draw.choice([*values, "model_type", "id2label", "size", "image_size", "problem_type", "encoder_stride"])
        if draw.random() < 0.1:
            values.pop(name, None)
        else:
            values[name] = draw.choice(LABELS if name == "id2label" else VALUES)
    return json.dumps(values).encode()


def lie_index(draw: random.Random, content: bytes) -> bytes:
    """Shards that are elsewhere, missing, of another kind or no names at all."""
    index = json.loads(content)
    if draw.random() < 0.2:
        index["weight_map"] = draw.choice(VALUES)
        return json.dumps(index).encode()
    shards = sorted(set(index["weight_map"].values()))
    kind = Path(shards[0]).suffix
    name = draw.choice(sorted(index["weight_map"]))
    places = ("..", "../", "../outside", "/etc/passwd", "C:\\x", "..\\x", "sub/x", "a\nb", "a\0b", "linked", "pipe")
    new = draw.choice((*(f"{place}{draw.choice((kind, ''))}" for place in places), *VALUES, *shards, "config.json"))
    if draw.random() < 0.5:
        index["weight_map"] = {name: new if file == shards[0] else file for name, file in index["weight_map"].items()}
    elif draw.random() < 0.5:
        index["weight_map"][draw.choice(("", "a\nb", "x" * 10**5, name + "2"))] = new
    else:
        index["weight_map"][name] = new
    return json.dumps(index).encode()


def broken(draw: random.Random, files: Files, sentinel: str) -> Files:
    """The checkpoint with one of its files broken; sometimes two."""
    files = dict(files)
    for _ in range(draw.choice((1, 1, 1, 2))):
        weights = [name for name in files if not name.endswith(".json")]
        name = draw.choice(weights if weights and draw.random() < 0.6 else sorted(files))
        content, way = files[name], draw.random()
        if way < 0.02:
            del files[name]
            continue
        if way < 0.2:
            files[name] = mutate(draw, content)
        elif name.endswith("index.json"):
            files[name] = lie_index(draw, content) if way < 0.9 else lie_json(draw, content)
        elif name.endswith(".json"):
            files[name] = lie_json(draw, content)
        elif name.endswith(".safetensors"):
            files[name] = lie_safetensors(draw, content)
        elif way < 0.5:
            files[name] = lie_hostile(draw, content, sentinel)
        else:
            files[name] = (lie_zip if content[:2] == b"PK" else lie_legacy)(draw, content)
        if not files:
            break
    return files


def write(draw: random.Random, folder: Path, checkpoints: list[Files], sentinel: str) -> Path:
    """One broken checkpoint in the folder; the path that is its source."""
    files = draw.choice(checkpoints)
    lone = len(files) == 1
    try:
        files = broken(draw, files, sentinel)
    except Exception:
        files = {name: mutate(draw, content) for name, content in files.items()}  # it was broken once already
    inner = folder / "checkpoint"
    inner.mkdir()
    for name, content in files.items():
        (inner / name).write_bytes(content)
    for kind in (".safetensors", ".bin"):
        (folder / f"outside{kind}").write_bytes(next(iter(files.values()), b""))
        (inner / f"linked{kind}").symlink_to(folder / f"outside{kind}")
        if draw.random() < 0.1:
            os.mkfifo(inner / f"pipe{kind}")
    if draw.random() < 0.02 and files:
        _replace_by_special(draw, inner / draw.choice(sorted(files)))
    return inner / next(iter(files), "missing") if lone else inner


def _replace_by_special(draw: random.Random, path: Path) -> None:
    """A pipe that nobody writes to, a file without end, a link to itself or to nothing, a folder, for a file."""
    path.unlink()
    kind = draw.randrange(5)
    if kind == 0:
        os.mkfifo(path)
    elif kind == 1:
        path.symlink_to("/dev/zero")
    elif kind == 2:
        path.symlink_to(path)
    elif kind == 3:
        path.symlink_to("nothing")
    else:
        path.mkdir()


def run(draw: random.Random, path: Path) -> str:
    """Reads it and, if it can be read, runs it on a small image; a word on what came."""
    logging.getLogger("deit_ref").setLevel(logging.CRITICAL)
    options: dict[str, Any] = {}
    if draw.random() < 0.15:
        options["task"] = draw.choice(("features", "classification", "masked-image-modeling"))
    if draw.random() < 0.3:
        options["seed"] = 0
    if path.suffix == ".pth" and draw.random() < 0.3:
        options["revision"] = "ema"
    weights = deit_ref.load_weights(path, **options)
    image = np.arange(20 * 20 * 3, dtype=np.uint8).reshape(20, 20, 3)
    deit_ref.forward(weights, image)
    return weights.task
