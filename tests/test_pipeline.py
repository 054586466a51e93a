"""Many files through a model: order, broken files, processes that end, odd batches, shares of torchrun."""

import json
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from strategies import TINY

import deit_ref
from deit_ref.commands import pipeline
from deit_ref.commands.pipeline import Answer, Pace, Photo, classify_files, decode, decoded, default_workers
from deit_ref.photos import load_image
from deit_ref.sized import of_values
from deit_ref.training.processes import processes


@pytest.fixture(scope="module")
def weights():
    return deit_ref.init_weights(TINY, "classification", seed=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve photos of several sizes, gray and with alpha among them; the sixth is broken, the ninth turned."""
    where = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(12):
        size = (40 + i, 60 - i, 4) if i == 3 else (40 + i, 60 - i) if i == 4 else (40 + i, 60 - i, 3)
        image = Image.fromarray(rng.integers(0, 256, size, np.uint8))
        exif = Image.Exif()
        if i == 8:
            exif[274] = 6
        image.save(where / f"{i:02}.png", exif=exif)
    (where / "05.png").write_bytes(b"no image")
    return where


@pytest.fixture(scope="module")
def names(folder):
    return sorted(str(path) for path in folder.iterdir())


def one_by_one(weights, name):
    return deit_ref.forward(weights, name).top(3)[0]


@pytest.mark.parametrize(("workers", "batch_size", "backend"), [(0, 1, "numpy"), (0, 5, "torch"), (2, 5, "numpy")])
def test_answers_are_those_of_forward_in_the_files_order(weights, names, workers, batch_size, backend):
    found = list(classify_files(weights, names, backend=backend, batch_size=batch_size, workers=workers, top=3))
    assert [answer.name for answer in found] == names
    for i, answer in enumerate(found):
        assert answer.turned == (i == 8)
        if i == 5:
            assert (
                answer.problem.endswith("05.png' is not an image that Pillow can read.") or "05.png" in answer.problem
            )
            assert answer.top == ()
            continue
        assert answer.problem is None
        expected = one_by_one(weights, names[i])
        assert [label for label, _ in answer.top] == [label for label, _ in expected]
        np.testing.assert_allclose([p for _, p in answer.top], [p for _, p in expected], rtol=1e-4)


def test_batches_are_as_large_as_asked(weights, names, monkeypatch):
    sizes = []

    def counting(weights, photos, **options):
        sizes.append(len(photos))
        return deit_ref.forward(weights, photos, **options)

    monkeypatch.setattr(pipeline, "forward", counting)
    list(classify_files(weights, names, batch_size=5))
    assert sizes == [5, 4, 2]  # the sixth file is broken


def test_gray_photos_stay_gray_where_the_model_wants_them(names):
    config = replace(TINY, num_channels=1)
    weights = deit_ref.init_weights(config, "classification", seed=0)
    processing = replace(
        weights.image_processing,
        do_convert_rgb=False,
        image_mean=0.5,
        image_std=0.5,
        input_data_format="channels_first",
    )
    weights = replace(weights, image_processing=processing)
    (answer,) = classify_files(weights, [names[4]], top=3)
    assert answer.problem is None
    gray = load_image(names[4], do_convert_rgb=False)
    expected = deit_ref.forward(weights, gray, image_processing=replace(processing, input_data_format=None)).top(3)[0]
    np.testing.assert_allclose([p for _, p in answer.top], [p for _, p in expected], rtol=1e-5)
    (answer,) = classify_files(weights, [names[0]], top=3)
    assert "channels" in answer.problem


def test_a_prepared_pass_gives_the_same_answers(weights, names, monkeypatch):
    shapes = []
    monkeypatch.setattr("deit_ref.torch_backend.compiled.made_by_amd", lambda: False)
    monkeypatch.setattr("torch._inductor.compile", lambda graph, x, options: shapes.append(len(x[0])) or graph)
    tensors = weights.to("torch")
    found = list(classify_files(tensors, names, backend="torch", batch_size=5, compiled=True, top=3))
    assert shapes == [5]  # though the last batch is smaller
    for answer, plain in zip(found, classify_files(tensors, names, backend="torch", top=3), strict=True):
        assert (answer.name, answer.problem, [name for name, _ in answer.top]) == (
            plain.name, plain.problem, [name for name, _ in plain.top],
        )  # fmt: skip
        np.testing.assert_allclose([p for _, p in answer.top], [p for _, p in plain.top], rtol=1e-5)


def test_photos_that_do_not_fit_one_batch_are_taken_one_by_one(names):
    config = replace(TINY, num_channels=3)
    weights = deit_ref.init_weights(config, "classification", seed=0)
    weights = replace(weights, image_processing=replace(weights.image_processing, do_convert_rgb=False))
    found = list(classify_files(weights, names[:6], batch_size=6, top=1))  # gray, alpha and broken ones among them
    assert [answer.problem is None for answer in found] == [True, True, True, False, False, False]
    assert found[0].top[0][0] == one_by_one(weights, names[0])[0][0]


def test_a_file_is_read_as_forward_reads_it(weights, names):
    steps = replace(weights.image_processing, size={"shortest_edge": 40}, do_center_crop=False)
    photo = decode(names[3], steps)
    assert photo.pixels.dtype == np.uint8
    assert photo.pixels.shape == (40, 53, 3)  # of 43 x 57
    found = deit_ref.preprocess([photo.pixels], of_values(steps))
    np.testing.assert_array_equal(found, deit_ref.preprocess(names[3], steps))
    assert decode(names[8], steps).turned
    upright = decode(names[8], replace(steps, apply_exif=True))
    assert not upright.turned
    assert upright.pixels.shape == (43, 40, 3)  # of 52 x 48
    assert "There is no file" in decode("absent.png", steps).problem
    flat = replace(steps, size={"max_height": 40, "max_width": 1})
    assert decode(names[3], flat).problem.startswith("An image of 43 x 57 pixels would be resized to 0 x 1")


def _dies_on_the_third(name, processing):
    if name == "2":
        os.kill(os.getpid(), signal.SIGKILL)
    return Photo(name, np.full(3, int(name)))


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is not on Windows")
def test_a_file_that_ends_its_process_costs_only_itself(weights, monkeypatch):
    monkeypatch.setattr(pipeline, "decode", _dies_on_the_third)
    found = list(decoded([str(i) for i in range(9)], weights.image_processing, workers=2, ahead=5))
    assert [photo.name for photo in found] == [str(i) for i in range(9)]
    assert [photo.problem is None for photo in found] == [i != 2 for i in range(9)]
    assert "2 ended the process that read it" in found[2].problem
    assert [int(photo.pixels[0]) for photo in found if photo.problem is None] == [0, 1, 3, 4, 5, 6, 7, 8]


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is not on Windows")
def test_a_process_that_ends_while_its_file_is_read_ahead_costs_only_that_file(weights, monkeypatch):
    """The files before it are done, and the next ones are handed to processes of which one has ended."""
    monkeypatch.setattr(pipeline, "decode", _dies_on_the_third)
    photos = decoded([str(i) for i in range(9)], weights.image_processing, workers=1, ahead=4)
    pools, started = [], pipeline._pool
    monkeypatch.setattr(pipeline, "_pool", lambda workers: pools.append(started(workers)) or pools[-1])
    found = [next(photos)]
    with pytest.raises(BrokenProcessPool):  # once its process has ended, nothing more can be handed over
        [pools[0].submit(int).result(timeout=60) for _ in range(10**6)]
    found += list(photos)
    assert [photo.name for photo in found] == [str(i) for i in range(9)]
    assert [photo.problem is None for photo in found] == [i != 2 for i in range(9)]


def test_no_more_files_are_read_ahead_than_said(weights, names):
    taken = []

    def watched():
        for name in names:
            taken.append(name)
            yield name

    photos = decoded(watched(), weights.image_processing, workers=1, ahead=3)
    next(photos)
    assert len(taken) == 3
    next(photos)
    assert len(taken) == 4
    photos.close()


def test_the_pace_says_what_takes_the_time(weights, names):
    pace = Pace()
    list(classify_files(weights, names, pace=pace))
    assert pace.photos == 12
    assert 0 < pace.computing <= pace.seconds
    assert str(Pace(300, 10.0, 9.0)) == (
        "300 photos in 10.0 s, 30.0 photos/s; 90% of the time the model was at work: the model is what takes time."
    )
    slow = "30% of the time the model was at work: decoding is what takes time"
    assert f"{slow}, more --workers may help." in str(Pace(300, 10.0, 3.0, workers=0))
    assert f"{slow}." in str(Pace(300, 10.0, 3.0, workers=16))  # one for each core


def test_few_files_need_no_processes():
    assert default_workers(63) == 0
    assert default_workers(64) == min(os.cpu_count(), 16)


def run(*words, **environment):
    command = [sys.executable, "-m", "deit_ref", "classify", *map(str, words)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )


def test_two_processes_share_the_files_and_the_answers_are_merged_in_order(folder, names, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    out = tmp_path / "answers.jsonl"
    words = (folder, "--out", out, "--backend", "torch", "--top", 2)
    both = [run(*words, RANK=str(rank), LOCAL_RANK=str(rank), **common) for rank in range(2)]
    results = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], results
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["image"] for line in lines] == names
    assert ["error" in line for line in lines] == [i == 5 for i in range(12)]
    assert f"{out}: 12 answers of 2 processes, 1 of them errors." in results[0][1]
    assert os.listdir(tmp_path) == ["answers.jsonl"]
    alone = tmp_path / "alone.jsonl"
    process = run(folder, "--out", alone, "--backend", "torch", "--top", 2, OMP_NUM_THREADS="1")
    process.communicate(timeout=300)
    assert process.returncode == 1  # one file is broken
    for line in alone.read_text().splitlines():
        ours, theirs = json.loads(line), lines.pop(0)
        assert ours.keys() == theirs.keys()
        for a, b in zip(ours.get("top", ()), theirs.get("top", ()), strict=True):
            assert a["class"] == b["class"]
            assert a["probability"] == pytest.approx(b["probability"], rel=1e-4)


def test_several_processes_need_a_file(monkeypatch, capsys, folder):
    from deit_ref import commands

    monkeypatch.setenv("WORLD_SIZE", "2")
    assert commands.main(["classify", str(folder)]) == 2
    assert "several processes need --out FILE.jsonl" in capsys.readouterr().err


def test_one_process_is_alone():
    with processes("cpu") as (device, rank, world):
        assert (device, rank, world) == (torch.device("cpu"), 0, 1)


def test_an_interrupted_file_of_answers_keeps_another_name(folder, tmp_path, monkeypatch, capsys):
    from deit_ref import commands
    from deit_ref.commands import classify

    def stops(*_, **__):
        yield Answer("a.png", [("cat", 1.0)])
        raise KeyboardInterrupt

    monkeypatch.setattr(classify, "classify_files", stops)
    out = tmp_path / "answers.jsonl"
    assert commands.main(["classify", str(folder), "--out", str(out)]) == 130
    assert [path.name for path in Path(tmp_path).iterdir()] == ["answers.jsonl.unfinished"]
    assert json.loads(Path(f"{out}.unfinished").read_text()) == {
        "image": "a.png",
        "top": [{"class": "cat", "probability": 1.0}],
    }
