"""`deit-ref benchmark`: who is compared, that they agree, in which turns, and what is made of the figures."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from unittest.mock import MagicMock, patch

import numpy as np
import pytest
import torch
from test_cli import assert_one_line_error, run
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import deit_ref
from deit_ref import api, commands
from deit_ref.benchmark import peers, side_by_side, techniques, worker
from deit_ref.benchmark.records import processor
from deit_ref.benchmark.side_by_side import Plan, aligned, write_strictly
from deit_ref.weights import named_arrays

CONFIG = deit_ref.DeiTConfig(
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=24,
    image_size=(8, 12),
    patch_size=4,
    num_labels=5,
    initializer_range=0.3,
)
NAME = "deit-tiny-distilled-patch16-224"
MACHINE = {"processor": "P", "cores": 2, "threads": 1, "bfloat16": [], "gpu": None}


@pytest.fixture
def tiny(monkeypatch):
    """The size "tiny" as small as it can be."""
    monkeypatch.setattr(side_by_side, "VARIANTS", {**side_by_side.VARIANTS, NAME: CONFIG})


def installed(peer):
    return all(find_spec(name) for name in peers.NEEDS[peer])


def measured(peer, milliseconds, *, batch=1, model="tiny", dtype="float32", **more):
    return {
        "model": model,
        "batch": batch,
        "dtype": dtype,
        "device": "cpu",
        "peer": peer,
        "milliseconds": [milliseconds, milliseconds - 1, milliseconds + 1],
        "calls": 3,
        "distance": 2e-7,
        "peak_bytes": 3 * 2**20,
        "seconds_to_begin": 2.345,
        "roofline": 0.5,
        **more,
    }


def left_out(peer, problem, **case):
    record = measured(peer, 1.0, **case)
    return {**{key: record[key] for key in ("model", "batch", "dtype", "device", "peer")}, "problem": problem}


class Script:
    """Workers without processes: they answer what is written for them and note who was asked what."""

    def __init__(self, *, logits=None, dies=None, seconds=None):
        self.asked, self.logits, self.dies = [], logits or {}, dies or {}
        self.seconds = seconds or {}

    @contextmanager
    def worker(self, threads):
        yield ScriptedWorker(self, threads)


class ScriptedWorker:
    def __init__(self, script, threads):
        self.script, self.threads, self.peer, self.turns, self.seconds = script, threads, None, 0, []

    def ask(self, **command):
        do = command["do"]
        self.peer = command.get("peer", self.peer)
        self.script.asked.append((do, self.peer))
        if do == "open":
            x = np.load(command["pixel_values"])
            weights = deit_ref.load_weights(command["folder"])
            exact = deit_ref.forward(weights, pixel_values=x).logits
            np.save(command["logits"], self.script.logits.get(self.peer, lambda logits: logits)(exact))
            return {}
        if do == "make files":
            return {"seconds": 2.0}
        if do == "memory":
            return {"bytes": 1000}
        self.turns += 1
        if self.script.dies.get(self.peer) == self.turns:
            return {"problem": "its process ended"}
        return {"seconds": self.script.seconds.get(self.peer, [100.0, 1.0, 2.0, 3.0])[self.turns - 1 : self.turns]}


def scripted(monkeypatch, plan, **script):
    used = Script(**script)
    monkeypatch.setattr(side_by_side, "worker", used.worker)
    monkeypatch.setattr(side_by_side, "NEEDS", dict.fromkeys(peers.PEERS, ()))
    return used, list(side_by_side.measure(plan, None))


def test_operations_by_hand():
    tokens = 2 + 6
    block = tokens * (8 * 24 + 8 * 8) + 2 * (2 * tokens * tokens * 4) + 2 * tokens * 8 * 24
    patches = 6 * (3 * 4 * 4) * 8
    assert side_by_side.operations(CONFIG, 1) == 2 * (2 * block + patches + 2 * 8 * 5)
    assert side_by_side.operations(CONFIG, 7) == 7 * side_by_side.operations(CONFIG, 1)


def test_operations_are_those_that_torch_counts():
    weights = deit_ref.init_weights(CONFIG, side_by_side.TASK, seed=0).to("torch")
    # The counter does not know the CPU's fused kernel.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        deit_ref.forward(weights, pixel_values=torch.zeros(3, 3, 8, 12), backend="torch")
    assert counter.get_total_flops() == side_by_side.operations(CONFIG, 3)


def test_operations_of_the_published_sizes():
    found = [side_by_side.operations(side_by_side.VARIANTS[f"deit-{name}-distilled-patch16-224"], 1) / 1e9
             for name in side_by_side.MODELS]  # fmt: skip
    np.testing.assert_allclose(found, [2.52, 9.25, 35.3], rtol=3e-3)


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("tf32", 4), ("float64", 8), ("bfloat16", 2)])
def test_the_bound_is_the_slower_of_products_and_reading_weights(dtype, size):
    weights = deit_ref.init_weights(CONFIG, side_by_side.TASK, seed=0)
    count = sum(array.size for _, array in named_arrays(weights))
    bytes_bound = side_by_side.least_seconds(CONFIG, 2, dtype, {"operations": 1e30, "bytes": 10.0})
    assert bytes_bound == pytest.approx(count * size / 10)
    products_bound = side_by_side.least_seconds(CONFIG, 2, dtype, {"operations": 10.0, "bytes": 1e30})
    assert products_bound == pytest.approx(side_by_side.operations(CONFIG, 2) / 10)
    assert side_by_side.least_seconds(CONFIG, 2, dtype, {"problem": "no"}) is None


def test_turns_alternate_and_the_first_does_not_count(tiny, monkeypatch):
    clock = count(0, 10)
    monkeypatch.setattr(side_by_side.time, "perf_counter", lambda: next(clock))
    plan = Plan(models=["tiny"], batches=[3], peers=["torch", "numpy"], rounds=2)
    script, records = scripted(monkeypatch, plan, seconds={"numpy": [7.0, 0.5, 0.7]})
    turn = [("time", "torch"), ("time", "numpy")]
    opened = [(do, peer) for peer in ("torch", "numpy") for do in ("make files", "open")]
    assert script.asked == [*opened, *turn * 3, ("memory", "torch"), ("memory", "numpy")]
    assert [(record["peer"], record["calls"]) for record in records] == [("torch", 2), ("numpy", 2)]
    np.testing.assert_allclose(records[0]["milliseconds"], [1500, 1250, 1750])
    np.testing.assert_allclose(records[1]["milliseconds"], [600, 550, 650])
    assert [record["distance"] for record in records] == [0, 0]
    assert [record["seconds_to_begin"] for record in records] == [8, 8]  # ten, without the two for its files
    assert [record["peak_bytes"] for record in records] == [1000, 1000]


def test_every_combination_is_a_case_and_reaches_its_share_of_the_roofline(tiny, monkeypatch):
    plan = Plan(models=["tiny"], batches=[1, 9], dtypes=["float32", "bfloat16"], peers=["numpy", "timm"], rounds=1)
    _, records = scripted(monkeypatch, plan, dies={"timm": 1})
    roofline = {"float32": {"operations": 1e4, "bytes": 1e9}, "bfloat16": {"problem": "no torch"}}
    shared = side_by_side.with_shares(records, roofline)
    assert [(r["batch"], r["dtype"], r["peer"]) for r in shared[1::2]] == [
        (1, "float32", "numpy"), (1, "bfloat16", "numpy"), (9, "float32", "numpy"), (9, "bfloat16", "numpy"),
    ]  # fmt: skip
    assert shared[::2] == records[::2]  # with a problem, and as they were
    assert shared[5]["roofline"] == pytest.approx(side_by_side.operations(CONFIG, 9) / 1e4 / 1.0)
    assert shared[7]["roofline"] is None


def test_rooflines_are_measured_with_the_same_threads_in_a_process_each(monkeypatch):
    asked = []

    class Probe:
        def ask(self, **command):
            asked.append(command)
            return {"operations": float(len(asked))}

    @contextmanager
    def probe(threads):
        asked.append(threads)
        yield Probe()

    monkeypatch.setattr(side_by_side, "worker", probe)
    plan = Plan(dtypes=["float32", "bfloat16"], device="cuda:1")
    found = side_by_side.rooflines(plan, 3)
    assert found == {"float32": {"operations": 2.0}, "bfloat16": {"operations": 4.0}}
    words = [{"do": "roofline", "device": "cuda:1", "dtype": dtype} for dtype in plan.dtypes]
    assert asked == [3, words[0], 3, words[1]]


def test_the_faster_library_is_the_roofline(monkeypatch):
    asked = []

    def timed(run, device, *, most, seconds):
        found = run()
        asked.append(type(found))
        return [{torch.Tensor: 4.0, np.ndarray: 2.0}.get(type(found), 1.0)]

    monkeypatch.setattr(worker, "_timed", timed)
    monkeypatch.setattr(torch, "randn", lambda *size, device: torch.ones(2, 2))
    assert worker.roofline("cpu", "float32")["operations"] == 2 * 2048**3 / 2.0
    assert asked == [torch.Tensor, np.ndarray, torch.Tensor]  # the last is the copy
    assert worker.roofline("cpu", "bfloat16")["operations"] == 2 * 2048**3 / 4.0


def test_the_better_roofline_counts():
    first = {"a": {"operations": 1.0, "bytes": 9.0}, "b": {"problem": "no"}, "c": {"operations": 1.0, "bytes": 1.0}}
    second = {"a": {"operations": 2.0, "bytes": 8.0}, "b": {"problem": "no"}, "c": {"problem": "late"}}
    assert side_by_side.best(first, second) == {**first, "a": {"operations": 2.0, "bytes": 9.0}}


@pytest.mark.parametrize(
    "wrong",
    [
        lambda logits: logits + 1e-3 * np.abs(logits).max(),
        lambda logits: logits[::-1],
        lambda logits: logits[:1],
        lambda logits: logits * np.nan,
    ],
)
def test_a_peer_that_disagrees_is_not_timed_and_the_others_are(tiny, monkeypatch, wrong):
    plan = Plan(models=["tiny"], batches=[2], peers=["torch", "timm", "numpy"], rounds=1)
    script, records = scripted(monkeypatch, plan, logits={"timm": wrong})
    assert ("time", "timm") not in script.asked
    assert [(r["peer"], "problem" in r) for r in records] == [("timm", True), ("torch", False), ("numpy", False)]
    assert records[0]["agrees"] is False
    assert "away from NumPy's in float32, at most 1e-05" in records[0]["problem"]


def test_logits_of_fewer_images_are_infinitely_far():
    logits = np.ones((2, 5))
    assert side_by_side.difference(logits[:1], logits) == np.inf  # though they could be broadcast
    assert side_by_side.difference(logits * 3, logits * 4) == 0.25


def test_half_precision_may_be_further_away(tiny, monkeypatch):
    def off(logits):
        return logits + 1e-2 * np.abs(logits).max()

    for dtype, agrees in (("float32", False), ("float16", False), ("bfloat16", True)):
        plan = Plan(models=["tiny"], batches=[1], dtypes=[dtype], peers=["torch"], rounds=1)
        _, (record,) = scripted(monkeypatch, plan, logits={"torch": off})
        assert ("problem" not in record) == agrees
        # The sum is rounded to float32: 2^-24 of the largest logit is 6e-6 of this distance.
        assert not agrees or record["distance"] == pytest.approx(1e-2, rel=1e-5)


@pytest.mark.parametrize("turn", [1, 3])
def test_a_peer_that_dies_leaves_the_others_their_turns(tiny, monkeypatch, turn):
    plan = Plan(models=["tiny"], batches=[1], peers=["torch", "timm", "numpy"], rounds=3)
    script, records = scripted(monkeypatch, plan, dies={"torch": turn})
    assert script.asked.count(("time", "torch")) == turn
    assert script.asked.count(("time", "timm")) == script.asked.count(("time", "numpy")) == 4
    assert [record["peer"] for record in records] == ["torch", "timm", "numpy"]
    assert records[0]["problem"] == "its process ended"
    assert "milliseconds" not in records[0]
    assert records[1]["calls"] == 3


def test_what_is_not_installed_is_named(tiny, monkeypatch):
    monkeypatch.setattr(side_by_side, "find_spec", lambda name: None if name in ("timm", "onnx", "onnxruntime") else 1)
    monkeypatch.setattr(side_by_side, "worker", Script().worker)
    plan = Plan(models=["tiny"], batches=[1], peers=["timm", "onnxruntime", "numpy"], rounds=1)
    timm, onnxruntime, numpy = side_by_side.measure(plan, None)
    assert timm["problem"] == "not installed: pip install timm"
    assert onnxruntime["problem"] == "not installed: pip install onnxruntime onnx"
    assert "problem" not in numpy


def test_processes_of_their_own(tiny, monkeypatch):
    """Two real peers; one is killed while it is measured, and a real one cannot do what is asked."""
    ask = side_by_side.Worker.ask
    threads = []

    def killed(self, **command):
        if command["do"] == "open":
            self.name = command["peer"]
        if command["do"] == "time" and self.name == "torch":
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        return ask(self, **command)

    def counting(threads_of_it, real=side_by_side.worker):
        threads.append(threads_of_it)
        return real(threads_of_it)

    monkeypatch.setattr(side_by_side.Worker, "ask", killed)
    monkeypatch.setattr(side_by_side, "worker", counting)
    plan = Plan(models=["tiny"], batches=[2], peers=["torch", "onnxruntime", "numpy"], rounds=2, seconds=0.01)
    monkeypatch.setattr(side_by_side, "NEEDS", dict.fromkeys(peers.PEERS, ()))
    records = {record["peer"]: record for record in side_by_side.measure(plan, 1)}
    assert "exit code -9" in records["torch"]["problem"]
    assert "memory" in records["torch"]["problem"]
    assert records["numpy"]["calls"] >= 2
    assert 0 < records["numpy"]["milliseconds"][1] <= records["numpy"]["milliseconds"][2]
    assert records["numpy"]["peak_bytes"] > 2**20
    assert threads == [1, 1, 1]


def test_the_workers_own_words(tmp_path):
    weights = deit_ref.init_weights(CONFIG, side_by_side.TASK, seed=0)
    deit_ref.save_weights(weights, tmp_path)
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 12)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    words = {"folder": str(tmp_path), "device": "cpu", "pixel_values": str(tmp_path / "x.npy")}
    expected = deit_ref.forward(weights, pixel_values=x).logits
    with side_by_side.worker(1) as one:
        assert set(one.ask(do="roofline", device="cpu", dtype="float32")) == {"operations", "bytes"}
        assert one.ask(do="machine", device="cpu") == {"threads": 1, "gpu": None}
        assert "'cuda:9'" in one.ask(do="machine", device="cuda:9")["problem"]
        for peer, dtype, most in (
            ("torch", "float32", 1e-5),
            ("torch", "bfloat16", 3e-2),
            ("transformers-eager", "float32", 1e-5),
            ("transformers-sdpa", "float32", 1e-5),
            ("transformers-compiled", "float32", 1e-5),
            ("numpy", "float64", 1e-5),
            *((name, "float32", 1e-5) for name in ("timm", "timm-compiled", "onnxruntime") if installed(name)),
        ):
            file = tmp_path / "logits.npy"
            assert (one.ask(do="make files", peer=peer, dtype=dtype, **words)["seconds"] > 0.5) == (
                peer == "onnxruntime"
            )
            assert one.ask(do="open", peer=peer, dtype=dtype, logits=str(file), **words) == {}
            distance = side_by_side.difference(np.load(file), expected)
            assert distance <= most
            assert (distance > 1e-4) == (dtype == "bfloat16")
        assert len(one.ask(do="time", calls=3, seconds=60.0)["seconds"]) == 3
        assert len(one.ask(do="time", calls=9, seconds=0.0)["seconds"]) == 1
        if installed("onnxruntime"):
            answer = one.ask(do="make files", peer="onnxruntime", dtype="bfloat16", **words)
            assert answer == {"problem": "only float32 is exported here"}
        answer = one.ask(do="open", peer="numpy", dtype="bfloat16", logits="", **words)
        assert answer == {"problem": "NumPy computes in float32 or float64 on a CPU"}
        assert one.ask(do="nothing")["problem"].startswith("KeyError")


def test_a_peer_waits_and_compiles_as_by_default(monkeypatch):
    seen = {}
    monkeypatch.setattr(side_by_side.subprocess, "Popen", lambda *_, env, **__: seen.update(env) or MagicMock())
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "warm")
    with side_by_side.worker(3):
        scratch = Path(seen["TMPDIR"])
        assert list(scratch.iterdir()) == []
    assert not scratch.exists()
    assert not {"OMP_WAIT_POLICY", "TORCHINDUCTOR_CACHE_DIR"} & set(seen)
    assert seen["OMP_NUM_THREADS"] == "3"


@pytest.mark.parametrize("library", ["transformers", "timm"])
def test_compiled_peers_are_compiled(tmp_path, monkeypatch, library):
    pytest.importorskip(library, reason=f"{library} is not installed")
    deit_ref.save_weights(deit_ref.init_weights(CONFIG, side_by_side.TASK, seed=0), tmp_path)
    x = np.zeros((1, 3, 8, 12), np.float32)
    asked = []
    monkeypatch.setattr(torch, "compile", lambda run, **options: asked.append(options) or run)
    plain, fast = (
        peers.PEERS[name](tmp_path, x, device="cpu", dtype="float32")
        for name in (f"{library}-sdpa" if library == "transformers" else library, f"{library}-compiled")
    )
    assert asked == [{"options": {"freezing": True}}]
    torch.testing.assert_close(fast(), plain())
    peers._compiled(len, "cuda:0")
    assert asked[1:] == [{"mode": "reduce-overhead"}]


def test_what_libraries_print_is_no_answer():
    code = "from deit_ref.benchmark import worker as w; import os\n"
    code += "w.COMMANDS = {'x': lambda: {'y': len(os.write(1, b'noise') * 'a')}}; print('noise'); w.main()"
    done = subprocess.run([sys.executable, "-c", code], input='{"do": "x"}\n', capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == '{"y": 5}'
    assert "noise" in done.stderr


def test_a_turn_begins_when_the_threads_of_the_one_before_have_stopped(monkeypatch):
    done = []
    monkeypatch.setattr(worker, "_opened", {"run": lambda: done.append("call"), "device": "cpu"})
    monkeypatch.setattr(worker.time, "sleep", done.append)
    assert len(worker.run_for(calls=2, seconds=60.0)["seconds"]) == 2
    assert done == [worker.PAUSE, "call", "call"]


@pytest.mark.parametrize(("device", "index"), [("cpu", []), ("cuda", [0]), ("cuda:1", [1])])
def test_events_and_memory_are_those_of_the_named_gpu(monkeypatch, device, index):
    chosen = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    worker._make_current(device)
    assert chosen == index


def test_without_tf32_unless_asked():
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    try:
        assert worker._arithmetic("tf32") == "float32"
        assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == ("high", True)
        assert worker._arithmetic("float32") == "float32"
        assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == ("highest", False)
        assert worker._arithmetic("float16") == "float16"
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def test_the_table_by_hand():
    records = [
        measured("numpy", 30.0, batch=2),
        measured("transformers-sdpa", 20.0, batch=2),
        left_out("timm", "not installed", batch=2),
        measured("numpy", 6.0, roofline=None, peak_bytes=None, distance=0.0),
        measured("torch", 3.0),
    ]
    case, more = ["tiny", "2", "float32"], ["3", "2.3"]
    assert side_by_side.table(records) == [
        [*case, "numpy", "15.00", "14.50 to 15.50", "1.50", "50%", "3", "2e-07", *more],
        [*case, "transformers-sdpa", "10.00", "9.50 to 10.50", "1.00", "50%", "3", "2e-07", *more],
        ["tiny", "1", "float32", "numpy", "6.00", "5.00 to 7.00", "2.00", "", "", "0", *more],
        ["tiny", "1", "float32", "torch", "3.00", "2.00 to 4.00", "1.00", "50%", "3", "2e-07", *more],
    ]
    assert len(side_by_side.COLUMNS) == 12


def test_the_table_of_the_documentation_by_hand():
    records = [
        *(measured(peer, value, model="base") for peer, value in
          (("transformers-eager", 12.0), ("transformers-sdpa", 8.0), ("torch", 6.0))),
        measured("transformers-eager", 9.0, model="base", batch=4),
        left_out("transformers-sdpa", "no", model="base", batch=4),
        measured("torch", 3.0, model="base", batch=4),
    ]  # fmt: skip
    assert side_by_side.documentation_table(records) == [
        ["1", "12.0", "8.0", "1.50", "6.0", "2.00"],
        ["4", "9.0", "", "", "3.0", "3.00"],
    ]
    plan = side_by_side.DOCUMENTATION
    assert (plan.models, plan.batches, plan.dtypes) == (("base",), (1, 2, 4, 8), ("float32",))


def test_notes_say_who_is_left_out_where():
    records = [
        *(left_out("timm", "not installed", dtype=dtype, batch=batch) for dtype in ("float32", "bfloat16")
          for batch in (1, 2)),
        *(left_out("numpy", "no bfloat16.", dtype="bfloat16", batch=batch) for batch in (1, 2)),
        left_out("torch", "out of memory", batch=2),
        measured("torch", 1.0),
        measured("numpy", 1.0, batch=2),
    ]  # fmt: skip
    roofline = {"float32": {"operations": 2.5e11, "bytes": 3.4e10}, "bfloat16": {"problem": "no torch"}}
    found = {**MACHINE, "bfloat16": ["avx512_bf16"]}
    assert side_by_side.notes(found, roofline, records) == [
        "P, 2 cores, 1 thread.",
        "Its instructions for bfloat16: avx512_bf16.",
        "It has no AMX.",
        "Roofline, float32: 250 GFLOP/s in a matrix product, 34 GB/s in a copy.",
        "Roofline, bfloat16: no torch.",
        "Ratios are to torch, or where it did not run numpy.",
        "timm is left out: not installed.",
        "numpy is left out in bfloat16: no bfloat16.",
        "torch is left out of tiny, batch 2, float32: out of memory.",
    ]
    assert "without TF32" in side_by_side.notes({**found, "gpu": "G"}, roofline, records)[0]


def test_the_processor(tmp_path):
    file = tmp_path / "cpuinfo"
    file.write_text("model name\t: A chip\nflags\t\t: fpu avx512_bf16 amx_bf16\nmodel name\t: A chip\n")
    found = processor(file)
    assert (found["processor"], found["bfloat16"]) == ("A chip", ["amx_bf16", "avx512_bf16"])
    assert processor(tmp_path / "absent")["bfloat16"] is None
    assert processor(tmp_path / "absent")["cores"] == os.cpu_count()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--models", "tiny,huge"], "model must be one of tiny, small, base; got 'huge'"),
        (["--peers", "tim"], "Did you mean 'timm'?"),
        (["--dtype", "float23"], "dtype must be one of"),
        (["--dtype", "tf32"], "choose float32, or a GPU"),
        (["--device", "mps"], "device must be one of cpu, cuda"),
        (["--batch", "1,0"], "expected a whole number of at least 1, got '0'"),
        (["--batch", ""], "got ''"),
        (["--rounds", "0"], "at least 1"),
        (["--json", "a.txt"], "ends in .json"),
        (["--json", "absent/a.json"], "in a folder that exists"),
        (["--preset", "deit-docs", "--batch", "2"], "leave --batch out"),
        (["--preset", "other"], "deit-docs"),
    ],
)
def test_bad_words_are_one_line_before_anything_runs(capsys, monkeypatch, words, said):
    monkeypatch.setattr(side_by_side, "worker", None)
    assert_one_line_error(run(capsys, "benchmark", *words), said)


def test_a_device_that_is_not_there(capsys):
    assert_one_line_error(run(capsys, "benchmark", "--device", "cuda:99"), "'cuda:99'")


@pytest.fixture
def fixed(tiny, monkeypatch):
    """No processes: the machine and the workers are scripted."""
    monkeypatch.setattr(side_by_side, "machine", lambda plan: MACHINE)
    rooflines = iter([{"operations": 1e4, "bytes": 1e9}, {"operations": 4e4, "bytes": 1e8}])
    monkeypatch.setattr(side_by_side, "rooflines", lambda plan, threads: {"float32": next(rooflines)})
    monkeypatch.setattr(side_by_side, "NEEDS", {**dict.fromkeys(peers.PEERS, ()), "timm": ("no_such_package",)})

    def script(**words):
        monkeypatch.setattr(side_by_side, "worker", Script(**words).worker)

    script()
    return script


def test_the_command(capsys, fixed, tmp_path):
    file = tmp_path / "mine.json"
    words = ["--models", "tiny", "--batch", "2,2", "--peers", "numpy,torch,timm", "--rounds", 3, "--json", file]
    fixed(seconds={"torch": [9.0, 1.0, 1.0, 1.0], "numpy": [9.0, 2.0, 2.0, 2.0]})
    code, out, err = run(capsys, "benchmark", *words)
    assert code == 0
    assert err.splitlines() == [
        "deit-ref: tiny, batch 2, float32",
        "deit-ref: tiny, batch 2, float32, timm: not installed: pip install no_such_package",
        "deit-ref: tiny, batch 2, float32, numpy: 1000.00 ms per image",
        "deit-ref: tiny, batch 2, float32, torch: 500.00 ms per image",
        f"deit-ref: {file}: 3 records.",
    ]
    lines = out.splitlines()
    assert lines[1].split()[:5] == ["tiny", "2", "float32", "numpy", "1000.00"]
    assert [line.index("float32") for line in lines[1:3]] == [lines[0].index("dtype")] * 2
    assert lines[-1] == "timm is left out: not installed: pip install no_such_package."
    kept = json.loads(file.read_text())
    assert kept["command"] == (
        "deit-ref benchmark --models tiny --batch 2 --peers numpy,torch,timm --device cpu --rounds 3 --json FILE"
    )
    assert [row[6] for row in kept["rows"]] == ["2.00", "1.00"]
    assert len(kept["columns"]) == len(kept["rows"][0])
    assert kept["plan"]["batches"] == [2]
    assert kept["machine"] == MACHINE
    assert kept["roofline"] == {"float32": {"operations": 4e4, "bytes": 1e9}}
    assert kept["records"][1]["roofline"] == pytest.approx(side_by_side.operations(CONFIG, 2) / 4e4 / 2)
    assert [record["peer"] for record in kept["records"]] == ["timm", "numpy", "torch"]
    assert kept["notes"] == lines[-len(kept["notes"]) :]
    assert {"python", "numpy", "torch"} <= set(kept["versions"])
    assert [path.name for path in tmp_path.iterdir()] == ["mine.json"]


def test_a_peer_that_disagrees_is_exit_code_1(capsys, fixed):
    fixed(logits={"torch": lambda logits: logits + 1})
    code, out, err = run(capsys, "benchmark", "--models", "tiny", "--batch", 1, "--peers", "numpy,torch")
    assert code == 1
    assert err.splitlines()[-1] == "deit-ref: error: torch (tiny, batch 1, float32) does not agree."
    assert "torch is left out: not timed: its logits are" in out


def test_the_preset(capsys, fixed, monkeypatch, tmp_path):
    monkeypatch.setattr(side_by_side, "VARIANTS", {"deit-base-distilled-patch16-224": CONFIG})
    fixed(seconds={"transformers-eager": [1.0, 3.0, 3.0, 3.0], "transformers-sdpa": [1.0, 2.0, 2.0, 2.0],
                   "torch": [9.0, 1.5, 1.5, 1.5]})  # fmt: skip
    file = tmp_path / "docs.json"
    code, out, _ = run(capsys, "benchmark", "--preset", "deit-docs", "--rounds", 3, "--threads", 2, "--json", file)
    assert code == 0
    assert [line.split() for line in out.splitlines()[1:5]] == [
        [batch, "3000.0", "2000.0", "1.50", "1500.0", "2.00"] for batch in ("1", "2", "4", "8")
    ]
    kept = json.loads(file.read_text())
    assert kept["command"] == "deit-ref benchmark --preset deit-docs --device cpu --rounds 3 --threads 2 --json FILE"
    assert kept["columns"][1:4] == ["eager, ms", "SDPA, ms", "eager / SDPA"]


def test_json_is_strict_and_all_or_nothing(tmp_path):
    file = tmp_path / "a.json"
    write_strictly(file, {"x": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_strictly(file, {"x": float("nan")})
    assert json.loads(file.read_text()) == {"x": 1}


def test_columns_are_aligned():
    assert aligned([["a", "bb"], ["ccc", "d"]]) == "a    bb\nccc  d"


def test_defaults():
    args = commands._parsed(["benchmark"])
    assert (args.models, args.batch, args.dtype, args.peers, args.preset) == (None,) * 5
    assert (Plan().models, Plan().batches, Plan().dtypes, Plan().peers) == (
        ("tiny", "base"), (1, 8), ("float32",), tuple(peers.PEERS),
    )  # fmt: skip


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_each_technique_is_left_out_and_comes_back(backend, monkeypatch):
    """A variant computes the same by another way, and leaves nothing replaced behind."""
    config = replace(CONFIG, image_size=224, patch_size=112, initializer_range=0.05)
    monkeypatch.setattr(techniques, "VARIANTS", {NAME: config})
    found = {name: times for name, *times in techniques.gains(backend, "tiny", 2)}
    assert len(found) == 3
    assert all(len(times) == 2 and min(times) > 0 for pair in found.values() for times in pair)
    variants = techniques.numpy_variants() if backend == "numpy" else techniques.torch_variants()
    weights = deit_ref.init_weights(config, side_by_side.TASK, seed=0)
    x = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    if backend == "numpy":
        called = []
        from deit_ref.numpy_backend import attention

        linear, one = attention.linear, attention.scaled_dot_product_attention
        monkeypatch.setattr(attention, "linear", lambda w, x: called.append(len(w.weight)) or linear(w, x))
        monkeypatch.setattr(
            attention, "scaled_dot_product_attention", lambda q, *a, **k: called.append(q.shape[1]) or one(q, *a, **k)
        )
        seen = {}
        for name, variant in {"": nullcontext, **variants}.items():
            called.clear()
            with variant():
                deit_ref.forward(weights, pixel_values=x)
            seen[name] = list(called[: len(called) // 2])  # the first of two blocks
        assert seen[""] == [24, 1, 1, 8]
        assert seen["one product for queries, keys and values"] == [8, 8, 8, 1, 1, 8]
        assert seen["one head after the other"] == [24, 2, 8]
        assert seen["fitted GELU instead of erf"] == seen[""]


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_a_process_that_keeps_freed_memory_is_measured_beside_one_that_does_not(monkeypatch, backend):
    """In processes of their own: here what is done in the second."""
    name, *times = techniques.memory_kept("numpy", "tiny", 2, 1)
    assert name == "freed memory is kept, one thread, 2 photos"
    assert [len(each) for each in times] == [1, 1]
    monkeypatch.setattr(techniques, "VARIANTS", {NAME: replace(CONFIG, image_size=224, patch_size=112)})
    kept = []
    monkeypatch.setattr(api, "keep_freed_memory", lambda: kept.append(True))
    monkeypatch.setattr(techniques, "_passes", [])
    techniques._begin(backend, "tiny", 1, True)
    techniques._milliseconds()
    assert kept == [True]
    techniques._passes.clear()
    techniques._begin(backend, "tiny", 1, False)
    techniques._milliseconds()
    assert kept == [True]


def test_both_ways_of_prepared_take_turns(monkeypatch):
    from deit_ref.torch_backend import compiled

    monkeypatch.setattr(techniques, "VARIANTS", {NAME: replace(CONFIG, image_size=224, patch_size=112)})
    output = deit_ref.forward(deit_ref.load_weights(), pixel_values=np.zeros((1, 3, 32, 32), np.float32))
    called = []

    def prepared(weights):
        assert isinstance(weights.pos_embed, torch.Tensor)  # NumPy's would be looked through in each call
        onednn = compiled.made_by_amd()
        return lambda pixel_values: called.append(onednn) or replace(output, logits=output.logits + shift * onednn)

    monkeypatch.setattr(deit_ref, "prepared", prepared)
    shift = 0.0
    _, with_it, without = techniques.products_of_prepared("tiny", 2)
    assert called == [True, False] * 3  # once to be compared
    assert len(with_it) == len(without) == 2
    shift = 1.0
    with pytest.raises(ValueError, match=r"prepared with oneDNN is .* away from prepared with MKL"):
        techniques.products_of_prepared("tiny", 2)


def test_a_row_of_a_technique_by_hand():
    assert techniques.row("x", "tiny", [1.0, 2.0, 3.0, 4.0, 9.0], [6.0, 5.0, 7.0]) == [
        "x", "tiny", "3.0", "2.0 to 4.0", "6.0", "5.5 to 6.5", "2.00",
    ]  # fmt: skip
    assert len(techniques.COLUMNS) == 7


def test_a_technique_that_changes_the_answer_is_no_technique(monkeypatch):
    from deit_ref.numpy_backend import activations

    monkeypatch.setattr(techniques, "VARIANTS", {NAME: replace(CONFIG, image_size=224, patch_size=112)})
    wrong = {"no bend": lambda: patch.object(activations, "_gelu_float32", lambda x: x)}
    monkeypatch.setattr(techniques, "numpy_variants", lambda: wrong)
    with pytest.raises(ValueError, match=r"numpy without 'no bend' is \S+ away from numpy with it"):
        techniques.gains("numpy", "tiny", 1)
