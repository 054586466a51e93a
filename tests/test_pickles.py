"""Files of torch.save, read without torch: every tensor bit for bit, and nothing that a file asks for is ever run."""

import argparse
import collections
import copyreg
import io
import pickle
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import deit_ref
from deit_ref.checkpoints.original import read_headers
from deit_ref.checkpoints.pickle_program import OPAQUE, Opaque, interpret
from deit_ref.checkpoints.pickle_reader import MAX_PROGRAM, read_arrays, read_program, stored_array

CONTAINERS = {"zip": {}, "legacy": {"_use_new_zipfile_serialization": False}}
containers = pytest.mark.parametrize("container", CONTAINERS)

# What the hostile files below would make; each is read with this as the current folder's sentinel.
SENTINEL = "executed"


def arrays_of(file):
    return read_arrays(file, read_headers(file, None))


def saved(path, value, container="zip", **options):
    torch.save(value, path, **CONTAINERS[container], **options)
    return path


def tensors(dtype):
    """Views of every kind into shared storages, as training leaves them."""
    base = torch.randn(24, generator=torch.Generator().manual_seed(0)).mul(100).to(dtype)
    table = base[4:].reshape(4, 5)
    return collections.OrderedDict(
        whole=base,
        view=base[3:7],
        transposed=table.t(),
        stepped=table[1::2, ::3],
        column=table[:, 2:3],
        permuted=base.reshape(2, 3, 4).permute(2, 0, 1),
        scalar=base[5],
        empty=base[:0].reshape(0, 3),
        expanded=base[2:3].expand(7),
        parameter=torch.nn.Parameter(base[:6].clone()) if dtype.is_floating_point else base[:6].clone(),
    )


@containers
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_view_bit_for_bit(tmp_path, container, protocol, dtype):
    state = tensors(dtype)
    arrays = arrays_of(saved(tmp_path / "a.bin", state, container, pickle_protocol=protocol))
    assert sorted(arrays) == sorted(state)
    wide = {torch.bfloat16: torch.float32}.get(dtype, dtype)
    for name, tensor in state.items():
        expected = tensor.detach().to(wide).numpy()
        assert arrays[name].dtype == expected.dtype, name
        assert arrays[name].shape == expected.shape, name
        np.testing.assert_array_equal(arrays[name], expected, err_msg=name)


@containers
def test_a_state_dict_of_a_module_with_its_metadata(tmp_path, container):
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4))
    assert module.state_dict()._metadata
    arrays = arrays_of(saved(tmp_path / "a.pth", module.state_dict(), container))
    assert sorted(arrays) == ["0.bias", "0.weight", "1.bias", "1.weight"]
    np.testing.assert_array_equal(arrays["0.weight"], module[0].weight.detach().numpy())


@containers
def test_what_training_keeps_beside_the_weights(tmp_path, container):
    module = torch.nn.Linear(3, 4)
    optimizer = torch.optim.AdamW(module.parameters())
    module(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    value = {
        "args": argparse.Namespace(lr=5e-4, output_dir=Path("out"), device=torch.device("cpu")),
        "optimizer": optimizer.state_dict(),
        "best": np.float64(81.5),
        "flags": {1, 2},
        "shape": torch.Size([2, 3]),
        "half": torch.float16,
        "nested": [(None, True, -7, 2**40, "ä", 1.5), {}],
    }
    found = read_program(saved(tmp_path / "a.pth", value, container))
    assert found["args"] == Opaque("argparse.Namespace")
    assert found["best"] == Opaque("numpy._core.multiarray.scalar")
    assert found["nested"] == value["nested"]
    assert found["flags"] == Opaque("__builtin__.set")
    assert found["shape"] == (2, 3)
    state = found["optimizer"]["state"][0]
    file = tmp_path / "a.pth"
    expected = optimizer.state_dict()["state"][0]["exp_avg"]
    np.testing.assert_array_equal(read_arrays(file, [stored_array(file, "m", state["exp_avg"])])["m"], expected)


def test_a_storage_of_another_machine(tmp_path):
    """Big-endian numbers, as the file says in its record of the byte order."""
    state = {"a": torch.tensor([1.5, -2.25]), "b": torch.tensor([3.0, 1e-3]).bfloat16()}
    little = saved(tmp_path / "little.pth", state)
    with zipfile.ZipFile(little) as source, zipfile.ZipFile(tmp_path / "big.pth", "w") as target:
        for entry in source.namelist():
            data = source.read(entry)
            if entry.endswith("byteorder"):
                data = b"big"
            elif "/data/" in entry:
                width = 4 if entry.endswith("/0") else 2
                data = b"".join(data[i : i + width][::-1] for i in range(0, len(data), width))
            target.writestr(entry, data)
    little, big = arrays_of(little), arrays_of(tmp_path / "big.pth")
    np.testing.assert_array_equal(big["a"], [1.5, -2.25])
    for name in state:
        np.testing.assert_array_equal(big[name], little[name])


@given(
    shape=st.lists(st.integers(1, 4), max_size=4),
    seed=st.integers(0, 9),
    container=st.sampled_from(sorted(CONTAINERS)),
)
def test_any_order_of_axes(tmp_path_factory, shape, seed, container):
    generator = np.random.default_rng(seed)
    array = generator.normal(size=shape)
    order = tuple(generator.permutation(len(shape)))
    file = saved(tmp_path_factory.mktemp("drawn") / "a.pt", {"x": torch.tensor(array).permute(order)}, container)
    np.testing.assert_array_equal(arrays_of(file)["x"], array.transpose(order))


# Hostile programs


class Calls:
    """Pickles as a call of what it is given."""

    def __init__(self, function, *arguments):
        self.parts = function, arguments

    def __reduce__(self):
        return self.parts


def raw(text):
    """A pickle written by hand."""
    return b"\x80\x02" + text + b"."


def touch(path):
    """The call that a hostile file wants."""
    return Calls(Path(path).touch)


def hostile_values(path):
    """Values that make `pickle.load` touch `path`."""
    import builtins

    code = f"open({str(path)!r}, 'w').close()"
    return {
        "reduce": Calls(exec, code),
        "eval": Calls(eval, f"__import__('pathlib').Path({str(path)!r}).touch()"),
        "open": Calls(builtins.open, str(path), "w"),
        "system": Calls(__import__("os").system, f"touch {path}"),
        "method": touch(path),
        "nested": {"model": {"head.weight": torch.ones(2), "deep": [(1, {"x": Calls(exec, code)})]}},
        "getattr": Calls(getattr, Calls(__import__, "os"), "system"),
        "partial": Calls(__import__("functools").partial, exec, code),
        "torch's own loader": Calls(torch.load, str(path)),
        "beside harmless ones": {"args": argparse.Namespace(x=Calls(exec, code)), "model": {"a": torch.ones(1)}},
        "reconstructor": Calls(copyreg._reconstructor, Path, object, None),
    }


def hostile_programs(path):
    """The same in opcodes that no pickler writes today."""
    shell = f"touch {path}".encode()
    system = b"cposix\nsystem\n"
    argument = b"X" + struct.pack("<I", len(shell)) + shell
    return {
        "reduce": system + argument + b"\x85R",
        "inst": b"(" + argument + b"iposix\nsystem\n",
        "obj": b"(" + system + argument + b"o",
        "newobj": system + argument + b"\x85\x81",
        "stack global": b"\x8c\x05posix\x8c\x06system\x93" + argument + b"\x85R",
        "build": b"cargparse\nNamespace\n)R}X\x0c\x00\x00\x00__setstate__" + system + b"sb" + argument + b"b",
        "build on a list": b"]}b",
        "build with a state of slots": b"ccollections\nOrderedDict\n)RN}X\x09\x00\x00\x00__class__"
        + system
        + b"s\x86b",
        "memo": system + b"q\x000h\x00" + argument + b"\x85R",
        "memo of what is not there": b"h\x07" + argument + b"\x85R",
        "memo far away": b"Nr\xff\xff\xff\x7f0j\xff\xff\xff\x7f" + system + b"R",
        "dotted": b"\x8c\x08argparse\x8c\x0bNamespace.x\x93",
        "module of the builtins": b"cbuiltins\neval\n" + argument + b"\x85R",
        "extension registry": b"\x82\x01",
        "persistent id of text": b"Pstorage\n",
        "persistent id of a number": b"K\x05Q",
        "persistent id of another kind": b"(X\x06\x00\x00\x00modulectorch\nFloatStorage\nX\x01\x00\x00\x000NK\x01tQ",
        "persistent id of a function": b"(X\x07\x00\x00\x00storage" + system + b"X\x01\x00\x00\x000NK\x01tQ",
        "a call of what is not a function": b"K\x01)R",
        "a call of a storage class": b"ctorch\nFloatStorage\n)R",
        "a hidden call": b"ctorch._utils\n_rebuild_tensor_v2\n(" + system + argument + b"\x85RK\x00))\x89NtR",
        "nothing on the stack": b"R",
        "no mark": b"t",
        "unhashable key": b"}]Ns",
        "nested key": b"}K\x01" + b"\x86".join([b"q\x00h\x00"] * 40) + b"\x86Ns",
    }


def legacy(program):
    """A file in the old format whose fourth pickle is this."""
    parts = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    return b"".join([*parts, program, pickle.dumps([], 2)])


def zipped(program):
    """A zip archive with this as its data.pkl."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", program)
    return stream.getvalue()


WRAPPED = {"zip.pth": zipped, "legacy.bin": legacy, "raw.pth": bytes}


@pytest.mark.parametrize("kind", sorted(hostile_values("")))
@pytest.mark.parametrize("container", sorted(WRAPPED))
def test_hostile_values_are_never_run(tmp_path, container, kind):
    sentinel = tmp_path / SENTINEL
    for protocol in (2, 4):
        stream = io.BytesIO()
        # torch's own pickler knows storages; what else is in these values is plain.
        if kind in ("nested", "beside harmless ones"):
            torch.save(hostile_values(sentinel)[kind], stream, pickle_protocol=protocol)
            with zipfile.ZipFile(stream) as archive:
                program = archive.read("archive/data.pkl")
        else:
            program = pickle.dumps(hostile_values(sentinel)[kind], protocol)
        (tmp_path / container).write_bytes(WRAPPED[container](program))
        reason = "nothing of" if container == "raw.pth" else "it asks for .*; nothing of the file was run"
        with pytest.raises(ValueError, match=reason):
            read_program(tmp_path / container)
        assert not sentinel.exists()


def test_the_hostile_values_are_hostile(tmp_path):
    """Python's own reader does what they ask, so that the test above says something."""
    for kind in ("reduce", "eval", "system", "method"):
        sentinel = tmp_path / kind
        pickle.loads(pickle.dumps(hostile_values(sentinel)[kind]))
        assert sentinel.exists()
    for kind in ("reduce", "inst", "obj", "stack global", "memo"):
        sentinel = tmp_path / f"program {kind}".replace(" ", "_")
        pickle.loads(raw(hostile_programs(sentinel)[kind]))
        assert sentinel.exists(), kind


@pytest.mark.parametrize("kind", sorted(hostile_programs("")))
@pytest.mark.parametrize("container", sorted(WRAPPED))
def test_hostile_programs_are_never_run(tmp_path, container, kind):
    (tmp_path / container).write_bytes(WRAPPED[container](raw(hostile_programs(tmp_path / SENTINEL)[kind])))
    with pytest.raises(ValueError, match=rf"{container}"):
        read_program(tmp_path / container)
    assert not (tmp_path / SENTINEL).exists()


def test_a_refused_name_is_named(tmp_path):
    file = saved(tmp_path / "a.pth", {"model": torch.nn.Linear(2, 2)})
    with pytest.raises(
        ValueError, match=r"a.pth: it asks for torch.nn.modules.linear.Linear, which is not part of a state_dict; nothi"
    ):
        read_program(file)
    (tmp_path / "b.pth").write_bytes(zipped(raw(b"(iposix\nsystem\n")))
    with pytest.raises(ValueError, match=r"b.pth: opcode INST posix system, which torch.save never writes"):
        read_program(tmp_path / "b.pth")


def test_what_is_opaque_stays_a_name():
    """Whatever is called, set, appended to or built with it, there is nothing but its name."""
    for name in sorted(OPAQUE):
        module, _, part = name.rpartition(".")
        program = f"c{module}\n{part}\n".encode() + b"X\x01\x00\x00\x00a\x85R}X\x01\x00\x00\x00aNsb"
        assert interpret(io.BytesIO(raw(program)), {}) == Opaque(name)


# Lying headers


@pytest.mark.parametrize(
    ("offset", "shape", "strides", "message"),
    [
        (-1, (2,), (1,), r"must not be negative or huge"),
        (0, (-2,), (1,), r"must not be negative or huge"),
        (0, (2,), (-1,), r"must not be negative or huge"),
        (0, (2**60,), (0,), r"must not be negative or huge"),
        (True, (2,), (1,), r"must not be negative or huge"),
        (0.0, (2,), (1,), r"must not be negative or huge"),
        (5, (2,), (1,), r"shape \(2,\) with strides \(1,\) at 5 does not fit its storage of 6"),
        (0, (3, 3), (2, 1), r"does not fit its storage"),
        (0, (2,), (6,), r"does not fit its storage"),
        (0, (10**6, 10**6), (0, 0), r"does not fit its storage"),
        (0, (2, 2), (1,), r"not described as torch.save does"),
        (0, (1,) * 9, (1,) * 9, r"not described as torch.save does"),
        (0, [2], [1], r"not described as torch.save does"),
    ],
)
def test_views_that_leave_their_storage(tmp_path, offset, shape, strides, message):
    class Pickler(pickle._Pickler):
        def persistent_id(self, value):
            return ("storage", torch.FloatStorage, "0", "cpu", 6) if value == "here" else None

    stream = io.BytesIO()
    call = Calls(torch._utils._rebuild_tensor_v2, "here", offset, shape, strides, False, {})
    Pickler(stream, 2).dump({"a": call})
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("archive/data.pkl", stream.getvalue())
        archive.writestr("archive/data/0", bytes(24))
    with pytest.raises(ValueError, match=rf"a.pth: .*{message}"):
        read_program(tmp_path / "a.pth")


@containers
@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda x: x.numpy(), r"a NumPy array, which is not read here: save torch.as_tensor\(array\) in its place"),
        (lambda x: x.to(torch.float8_e4m3fn), r"a dtype such as float8, .*: save tensor.float\(\)"),
        (lambda x: x.to_sparse(), r"a sparse tensor, .*: save tensor.to_dense\(\)"),
        (lambda x: x.to_sparse_csr(), r"a sparse tensor, .*: save tensor.to_dense\(\)"),
    ],
)
def test_other_tensors_are_named(tmp_path, container, other, message):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, that its sparse layout is in beta
        value = other(torch.ones(2, 3))
    with pytest.raises(ValueError, match=message):
        read_program(saved(tmp_path / "a.pth", {"head.weight": value}, container))


def repacked(file, change, method=zipfile.ZIP_STORED):
    """The same archive after `change` of the dictionary of its entries."""
    with zipfile.ZipFile(file) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return file


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda entries: entries.update({"a/data/0": bytes(20)}), r"storage 0 has 20 bytes, its tensors say 24"),
        (lambda entries: entries.update({"a/data/0": bytes(28)}), r"storage 0 has 28 bytes, its tensors say 24"),
        (lambda entries: entries.pop("a/data/0"), r"not a whole file of torch.save \(.*a/data/0"),
        (
            lambda entries: entries.pop("a/data.pkl"),
            r"not a file of torch.save but a zip archive without weights of torch.sa",
        ),
        (lambda entries: entries.update({"b/data.pkl": b""}), r"this zip archive holds no data.pkl of torch.save"),
        (lambda entries: entries.update({"a/byteorder": b"middle"}), r"byteorder must be little or big, got b'middle'"),
        (lambda entries: entries.update({"a/data.pkl": b"N" * (MAX_PROGRAM + 1)}), r"more than can be right"),
        (
            lambda entries: entries.update({"a/data.pkl": b"\x80\x02N"}),
            r"a.pth: the pickle in it is damaged \(.*: down",
        ),
        (lambda entries: entries.update({"a/data.pkl": b""}), r"a.pth: the pickle in it is damaged \(.*: download"),
    ],
)
def test_archives_that_lie(tmp_path, change, message):
    file = repacked(saved(tmp_path / "a.pth", {"x": torch.ones(2, 3)}), change)
    with pytest.raises(ValueError, match=message):
        arrays_of(file)


@pytest.mark.parametrize("unit", [b"]", b"}", b")\x85", b"K\x01"])
def test_the_longest_program_is_bounded(tmp_path, unit):
    """Millions of small objects, nested or not: an error, in a process that may not have a gibibyte more."""
    import resource

    program = b"\x80\x04" + unit * ((MAX_PROGRAM - 8) // len(unit)) + b"."
    (tmp_path / "a.pth").write_bytes(zipped(program))
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, before[1]))
    try:
        with pytest.raises(ValueError, match=r"a.pth"):
            deit_ref.load_weights(tmp_path / "a.pth")
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_compressed_archives_are_refused(tmp_path):
    """What grows when it is read could grow without end."""
    file = saved(tmp_path / "a.pth", {"x": torch.zeros(10**6)})
    repacked(file, lambda entries: None, zipfile.ZIP_DEFLATED)
    assert file.stat().st_size < 20_000
    with pytest.raises(ValueError, match=r"a.pth: a/.* is compressed, which torch.save never does: do not trust"):
        arrays_of(file)


@containers
def test_one_storage_many_times(tmp_path, container):
    big = torch.zeros(10_000)
    assert len(arrays_of(saved(tmp_path / "a.pth", {str(i): big for i in range(3)}, container))) == 3
    file = saved(tmp_path / "b.pth", {str(i): big for i in range(100)}, container)
    with pytest.raises(ValueError, match=r"b.pth holds far fewer bytes than its tensors \(4000000\): do not trust"):
        arrays_of(file)
    file = saved(tmp_path / "c.pth", {"x": torch.zeros(1).expand(10**9)}, container)
    with pytest.raises(ValueError, match=r"does not fit its storage of 1 elements"):
        arrays_of(file)


@containers
def test_truncated_files(tmp_path, container):
    file = saved(tmp_path / "a.pth", {"x": torch.arange(300.0), "y": torch.ones(5)}, container)
    whole = file.read_bytes()
    for length in {*range(0, len(whole), 97), 1, 2, 4, len(whole) - 1}:
        file.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"a\.pth"):
            arrays_of(file)


def test_legacy_storages_that_lie(tmp_path):
    file = saved(tmp_path / "a.pth", {"x": torch.arange(30.0)}, "legacy")
    whole = file.read_bytes()
    start = len(whole) - 120 - 8
    assert struct.unpack("<q", whole[start : start + 8]) == (30,)
    for size in (-1, 29, 31, 2**62):
        file.write_bytes(whole[:start] + struct.pack("<q", size) + whole[start + 8 :])
        with pytest.raises(ValueError, match=rf"storage \d+ has {size * 4} bytes, its tensors say 120"):
            arrays_of(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"a.pth is not a file of torch.save but an empty file: download it again"),
        (b"\x01\x02", r"this is not a file of torch.save; nothing of it was run"),
        (b"PK\x03\x04", r"not a whole file of torch.save \(File is not a zip file\): download it again"),
        (pickle.dumps({"model": 1}), r"this is a pickle that torch.save has not written; nothing of it was run"),
        (pickle.dumps(0x1950A86A20F9469CFC6C) + pickle.dumps(7), r"this version of the old format is not known"),
        (legacy(pickle.dumps({}))[:-1], r"a\.pth"),
        (
            b"\x89HDF\r\n\x1a\n",
            r"a.pth is not a file of torch.save but an HDF5 file, as Keras writes: load it in the libr",
        ),
    ],
)
def test_other_files(tmp_path, content, message):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_program(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([torch.ones(1)], r"must hold a state_dict, got list"),
        (torch.ones(1), r"must hold a state_dict, got a single tensor"),
        ({"a": torch.ones(1), "b": 3, "c": None}, r"a state_dict holds tensors alone, this one also b, c"),
    ],
)
def test_values_that_are_no_state_dict(tmp_path, value, message):
    with pytest.raises(ValueError, match=message):
        read_headers(saved(tmp_path / "a.pth", value), None)
