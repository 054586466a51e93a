"""Benchmarks of one thread and of many photos: what is timed, in which process, and what a row says of it."""

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import deit_ref
from deit_ref.benchmark import cpu, gradients, many_photos


def test_candidates_take_turns_after_one_to_warm_up():
    order = []
    times = {"a": iter((100, 1, 5, 3)), "b": iter((100, 20, 10, 60))}
    timed = {name: lambda name=name: order.append(name) or next(times[name]) for name in times}
    assert cpu.side_by_side(timed, 3) == {"a": [1, 5, 3], "b": [20, 10, 60]}
    assert order == ["a", "b"] * 4


def test_rows_of_one_thread_by_hand():
    times = {"torch": [4.0, 2.0, 9.0, 3.0, 5.0], "transformers eager": [8.0, 8.0, 5.0, 9.0, 8.5]}
    assert cpu.rows_of("tiny", times) == [
        ["tiny", "torch", "4.0 ms", "3.0 to 5.0", "0.50"],
        ["tiny", "transformers eager", "8.0 ms", "8.0 to 8.5", "1.00"],
    ]
    assert cpu.rows_of("peak", {"torch": [2.0], "Pillow": [8.0]}, unit="MiB")[0][2:] == ["2.0 MiB", "", "0.25"]


def test_what_an_import_costs_is_that_of_a_new_process(monkeypatch):
    monkeypatch.setattr(cpu.subprocess, "run", lambda command, check: done.append(command[-1]))
    done = []
    clock = iter([1.0, 1.25, 3.0, 3.5])
    monkeypatch.setattr(cpu.time, "perf_counter", lambda: next(clock))
    assert [run() for run in cpu.import_runs().values()] == [250, 500]
    assert done == ["import numpy, PIL.Image", "import numpy, PIL.Image, deit_ref"]


def test_each_candidate_answers_from_a_process_of_its_own(monkeypatch):
    logits = {}
    monkeypatch.setattr(cpu, "CANDIDATES", ("numpy", "torch"))
    monkeypatch.setattr(cpu, "check_agreement", logits.update)
    with cpu.in_processes("tiny", 224) as timed:
        assert [*timed] == ["numpy", "torch"]
        assert all(run() > 0 for run in timed.values())
    np.testing.assert_allclose(logits["torch"], logits["numpy"], atol=1e-5)


def test_nothing_is_timed_that_computes_something_else():
    right = np.array([1.0, -4.0])
    cpu.check_agreement({"transformers eager": right, "numpy": right + 3e-5})
    with pytest.raises(SystemExit, match=r"numpy differs from transformers by 1\.2e-05: nothing was timed"):
        cpu.check_agreement({"transformers eager": right, "numpy": right + 4.8e-5})


def test_a_gradient_step_by_both(monkeypatch, tmp_path):
    for name in cpu.ONE_THREAD:
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr(gradients, "BATCH", 2)
    peaks = iter((100.0, 150.0))
    monkeypatch.setattr(gradients, "printed_by", lambda code: next(peaks))
    out = tmp_path / "gradients.json"
    monkeypatch.setattr(sys, "argv", ["gradients", "--rounds", "1", "--json", str(out)])
    threads = torch.get_num_threads()
    try:
        gradients.main()
    finally:
        torch.set_num_threads(threads)
    rows = json.loads(out.read_text())["rows"]
    assert [row[:2] for row in rows] == [[what, who] for what in ("time", "memory added") for who in ("torch", "numpy")]
    assert [row[4] for row in rows if row[1] == "torch"] == ["1.00", "1.00"]
    assert rows[3][2:] == ["150.0 MiB", "", "1.50"]
    assert all(float(row[2].removesuffix(" ms")) > 0 for row in rows[:2])


def test_photos_of_a_size_each_another_part(tmp_path):
    names = many_photos.write_photos(tmp_path, "64 x 48", 3)
    pixels = [np.asarray(Image.open(name)) for name in names]
    assert {image.shape for image in pixels} == {(48, 64, 3)}
    assert len({image.tobytes() for image in pixels}) == 3
    weights = deit_ref.load_weights().to("torch")
    photos = many_photos.decoded(names, weights)
    assert {image.shape for image in photos} == {(32, 32, 3)}
    assert many_photos.answered(photos * 3, weights) == 9


def test_the_command_tells_its_seconds(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    many_photos.write_photos(folder, "64 x 48", 64)
    assert many_photos.classified(folder, "cifar10-distilled", words=("--workers", "0"), threads="1") > 0
    assert len((tmp_path / "answers.jsonl").read_text().splitlines()) == 64
    with pytest.raises(ValueError, match=r"Expected answers from .* classify .*, got: .*none"):
        many_photos.classified(folder, str(tmp_path / "none"))


def test_a_row_of_medians():
    times = {
        "decode": [9.0, 4.0, 5.0],
        "model": [10.0, 10.0, 11.0],
        "a core each": [11.0],
        "default": [9.0],
    }
    assert many_photos.row("DeiT-Ti", 2000, "640 x 480", times) == [
        "DeiT-Ti", "2,000 of 640 x 480", "5.0 s", "10.0 s", "11.0 s", "1.10", "9.0 s", "1.20",
    ]  # fmt: skip
