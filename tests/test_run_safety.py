"""A run knows what it runs on, has its folder for itself, notices damage, and outlives being killed at any point."""

import json
import multiprocessing
import shutil
import signal

import numpy as np
import pytest
import tiny_data
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from test_loop import CPU, assert_same_run, in_two_processes, run
from tiny_data import EVERYTHING, PLAIN, metrics, start, write_photos

from deit_ref.checkpoints.load import load_weights
from deit_ref.training import state
from deit_ref.training.lock import locked
from deit_ref.training.recipe import Recipe
from deit_ref.training.run import train

FEW = {**PLAIN, "ema_decay": None}  # two epochs of three steps


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory, photos):
    """A whole run with everything random on."""
    out = tmp_path_factory.mktemp("finished")
    run(photos, out)
    return out


@pytest.fixture
def folder(tmp_path, finished):
    """A copy of it."""
    return shutil.copytree(finished, tmp_path / "run")


def refused(folder, photos, match, **options):
    recipe = Recipe(**{**EVERYTHING, **options.pop("changes", {})})
    options = {"seed": 3, "bfloat16": False, "device": "cpu", **options}
    with pytest.raises(ValueError, match=match) as caught:
        train(recipe, photos, folder, resume=True, **options)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1500


def test_other_photos_are_refused(tmp_path, folder, photos):
    def changed(name):
        return shutil.copytree(photos, tmp_path / name)

    (more := changed("more")).joinpath("train/red/6.png").write_bytes((photos / "train/red/0.png").read_bytes())
    refused(folder, more, "with something else: 18 train photos, now 19. Resume it with the same")
    (changed("fewer") / "test/red/1.png").unlink()
    refused(folder, tmp_path / "fewer", "6 test photos, now 5")
    (note := PngInfo()).add_text("note", "taken again")
    with Image.open(photos / "train/red/5.png") as photo:
        photo.save(changed("other") / "train/red/5.png", pnginfo=note)  # the same pixels in another file
    refused(folder, tmp_path / "other", "other train photos .as many, of other names, sizes or contents.")
    for split in ("train", "test"):
        place = (tmp_path / "renamed" if split == "test" else changed("renamed")) / split
        (place / "red").rename(place / "rot")
    refused(folder, tmp_path / "renamed", "the classes blue, green, red, now blue, green, rot")
    shutil.rmtree(changed("untested") / "test")
    refused(folder, tmp_path / "untested", "6 test photos, now none")
    two = write_photos(tmp_path / "two", classes=("blue", "red"), train=9)
    refused(folder, two, "the classes blue, green, red, now blue, red")  # not what torch says of other shapes


def test_photos_of_the_same_names_and_sizes_are_told_apart(tmp_path):
    one, two = (write_photos(tmp_path / str(seed), kind="bmp", seed=seed) for seed in (0, 1))
    run(one, tmp_path / "out", FEW)
    refused(tmp_path / "out", two, "other train photos .*; other test photos", changes=FEW)


def test_the_same_photos_elsewhere_are_the_same(tmp_path, folder, photos):
    before = (folder / "checkpoint.pt").read_bytes()
    run(shutil.copytree(photos, tmp_path / "elsewhere"), folder, resume=True)
    assert (folder / "checkpoint.pt").read_bytes() == before


def test_other_weights_teachers_and_numerics_are_refused(tmp_path, folder, finished, photos):
    weights = load_weights(finished)
    tuned, options = tmp_path / "tuned", {"seed": 3, "bfloat16": False, "device": "cpu"}
    train(Recipe(**FEW), photos, tuned, start=weights, **options)
    weights.head.bias[0] += 1
    refused(tuned, photos, "other weights to begin with .[0-9a-f]{8}, now [0-9a-f]{8}.", start=weights, changes=FEW)
    refused(folder, photos, "other weights to begin with .none, now ", start=weights)
    refused(folder, photos, "bfloat16 False, now True", bfloat16=True)
    hard = {**FEW, "distillation": "hard"}
    taught = tmp_path / "taught"
    train(Recipe(**hard), photos, taught, teacher=finished, **options)
    refused(taught, photos, "another teacher .[0-9a-f]{8}, now [0-9a-f]{8}.", teacher=tuned, changes=hard)
    refused(taught, photos, "now a function", teacher=lambda x: x.mean(dim=(2, 3)), changes=hard)


def test_weights_tell_where_they_come_from(finished, photos):
    import transformers

    values = json.loads((finished / "config.json").read_text(encoding="utf-8"))["provenance"]
    assert values["seed"] == 3
    assert values["recipe"]["epochs"] == 2
    assert values["photos"]["train"]["count"] == 18
    assert values["numerics"] == {"bfloat16": False, "device": "cpu", "processes": 1}
    assert load_weights(finished).config.hidden_size == 64
    assert transformers.AutoConfig.from_pretrained(finished).provenance == values


def test_a_folder_is_one_runs_alone(tmp_path, photos, finished):
    with locked(tmp_path):
        with pytest.raises(ValueError, match=rf"{tmp_path} is in use by another run \(process \d+\): wait"):
            run(photos, tmp_path, FEW)
        outputs = in_two_processes(data=photos, out=tmp_path, changes=FEW)  # the second hears of it, and does not wait
        assert ["is in use by another run" in out for out in outputs] == [True, True]
    run(photos, tmp_path, FEW)
    refused(tmp_path / "missing", photos, "holds no checkpoint.pt to resume from")
    assert not (tmp_path / "missing").exists()


def test_a_killed_run_leaves_no_lock(tmp_path, photos):
    process = start({"data": photos, "out": tmp_path, "changes": FEW, "kill": 1})
    _, errors = process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL, errors
    run(photos, tmp_path, FEW)
    assert [line["step"] for line in metrics(tmp_path)] == [3, 6]


def rewritten(folder, **changes):
    """The checkpoint with other fields; None leaves one out."""
    saved = torch.load(folder / state.NAME, weights_only=True)
    torch.save({key: value for key, value in {**saved, **changes}.items() if value is not None}, folder / state.NAME)


@pytest.mark.parametrize(
    ("field", "value", "match"),
    [
        ("module", None, "its 'module' is none .expected dict, got NoneType."),
        ("step", 10**9, "its 'step' is 1000000000, expected 0 to 6"),
        ("step", -1, "its 'step' is -1"),
        ("step", True, "its 'step' is none .expected int, got bool."),
        ("step", 2.5, "its 'step' is none"),
        ("seconds", float("nan"), "its 'seconds' is nan, expected a time"),
        ("epoch_seconds", -1.0, "its 'epoch_seconds' is -1"),
        ("sums", torch.zeros(2, dtype=torch.float64), "its 'sums' is not a tensor of torch.float64 and shape .3,."),
        ("average", {"cls_token": torch.zeros(1)}, "its 'average' holds other names"),
        ("optimizers", [], "its 'optimizers' do not fit"),
        ("optimizers", [{"state": {}, "param_groups": []}], "its 'optimizers' do not fit"),
        ("recipe", [1], "its 'recipe' is none .expected dict, got list."),
        ("runs_on", {"photos": 3}, "its 'runs_on' cannot be read"),
        ("version", 1, "not a checkpoint of this version"),
    ],
)
def test_a_damaged_field_is_named(folder, photos, field, value, match):
    rewritten(folder, **{field: value})
    refused(folder, photos, f"{folder / 'checkpoint.pt'} is .*{match}")


def test_moments_of_another_shape_are_damage(folder, photos):
    saved = torch.load(folder / state.NAME, weights_only=True)
    moments = next(iter(saved["optimizers"][0]["state"].values()))
    moments["exp_avg"] = torch.zeros(3)
    rewritten(folder, optimizers=saved["optimizers"])
    refused(folder, photos, r"'optimizers' do not fit \(exp_avg has the shape \(3,\), expected")


def test_flipped_bits_are_noticed(folder, photos):
    path = folder / state.NAME
    whole, same = path.read_bytes(), state.load_state(folder, device=CPU)
    noticed = 0
    for place in np.random.default_rng(0).integers(0, len(whole), 60):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        try:
            found = state.load_state(folder, device=CPU)
        except ValueError:
            noticed += 1
        else:  # a bit that means nothing, of the filling between entries
            for name, value in same["module"].items():
                assert torch.equal(found["module"][name], value)
    assert noticed >= 50
    path.write_bytes(whole[: len(whole) // 2])
    refused(folder, photos, "checkpoint.pt is damaged .*: delete the folder")


@pytest.mark.parametrize(
    "line", [b"garbage", b"\xff\xfe", b"[1]", b'{"epoch": 1}', b'{"epoch": 1, "step": "3"}', b"[" * 100_000, b""]
)
def test_garbage_among_the_metrics_is_named(folder, photos, line):
    path = folder / "metrics.jsonl"
    path.write_bytes(line + b"\n" + path.read_bytes())
    refused(folder, photos, f"{path} is damaged, its line 1 is none of an epoch")


def test_a_failed_evaluation_costs_no_epoch(tmp_path, photos, finished, monkeypatch):
    from deit_ref.training import run as runs

    def broken(*_, **__):
        raise ValueError("1.png cannot be read")

    with monkeypatch.context() as patch:
        patch.setattr(runs, "evaluate", broken)
        with pytest.raises(ValueError, match=r"1\.png cannot be read"):
            run(photos, tmp_path)
    assert state.load_state(tmp_path, device=CPU)["step"] == 3
    run(photos, tmp_path, resume=True)
    assert_same_run(finished, tmp_path)


# Six files take their names: metrics.jsonl, two checkpoints, config.json, preprocessor_config.json, the weights.
FILES = 6
POINTS = [
    *((when, number) for number in range(1, FILES + 1) for when in ("before replace", "after replace")),
    *(("save", 1), ("save", 2), ("assess", 1), ("assess", 2), ("line", 1), ("line", 2)),
]


@pytest.fixture(scope="module")
def processes():
    """Processes that have torch already, and no threads yet."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "pytest", "deit_ref.training.run"])
    return context


@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point[0]} {point[1]}")
def test_a_run_killed_at_any_point_goes_on_bit_for_bit(tmp_path, photos, finished, processes, point):
    job = {"data": str(photos), "out": str(tmp_path), "changes": EVERYTHING, "kill_at": point}
    process = processes.Process(target=tiny_data.main, args=({**job, "threads": torch.get_num_threads()},))
    process.start()
    process.join(timeout=300)
    assert process.exitcode == -signal.SIGKILL
    run(photos, tmp_path, resume=(tmp_path / state.NAME).exists())
    assert_same_run(finished, tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_a_resumed_run_killed_while_it_cuts_metrics(tmp_path, photos, finished, folder, processes):
    """Its file is the old or the new one."""
    from deit_ref.training.metrics import read_metrics

    with open(folder / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write('{"epoch": 9, "step": 27}\n')
    job = {"data": str(photos), "out": str(folder), "changes": EVERYTHING, "resume": True}
    for point in (("before replace", 1), ("after replace", 1)):
        arguments = {**job, "kill_at": point, "threads": torch.get_num_threads()}
        process = processes.Process(target=tiny_data.main, args=(arguments,))
        process.start()
        process.join(timeout=300)
        assert process.exitcode == -signal.SIGKILL
        assert [line["step"] for line in read_metrics(folder)] == [
            3,
            6,
            *([27] if point[0] == "before replace" else []),
        ]
    run(photos, folder, resume=True)
    assert_same_run(finished, folder)


def test_seconds_of_a_line_are_those_of_its_epochs_steps(tmp_path, photos, monkeypatch):
    """A clock that an evaluation moves by an hour and a batch by a minute."""
    from deit_ref.training import run as runs
    from deit_ref.training.batches import Batches

    clock, evaluate, prepare = [0.0], runs.evaluate, Batches.__call__
    monkeypatch.setattr("time.monotonic", lambda: clock[0])

    def evaluated(*args, **kwargs):
        clock[0] += 3600
        return evaluate(*args, **kwargs)

    def prepared(self, step):
        clock[0] += 60
        return prepare(self, step)

    monkeypatch.setattr(runs, "evaluate", evaluated)
    monkeypatch.setattr(Batches, "__call__", prepared)
    run(photos, tmp_path, FEW)
    assert [line["seconds"] for line in metrics(tmp_path, timed=True)] == [180, 180]
    assert state.load_state(tmp_path, device=CPU)["seconds"] == 360


def test_without_a_terminal_progress_is_a_line_a_minute(tmp_path, photos, monkeypatch, caplog, capsys):
    from deit_ref.training.batches import Batches

    clock, prepare = [0.0], Batches.__call__
    monkeypatch.setattr("time.monotonic", lambda: clock[0])

    def prepared(self, step):
        clock[0] += 45
        return prepare(self, step)

    monkeypatch.setattr(Batches, "__call__", prepared)
    with caplog.at_level("INFO", logger="deit_ref"):
        run(photos, tmp_path, FEW)
    said = [message for message in caplog.messages if message.startswith("epoch ")]
    assert [message.split(",")[0] for message in said] == ["epoch 0.67/2", "epoch 1.33/2", "epoch 2.00/2"]
    assert said[0].endswith(" 0 photos/s")
    assert capsys.readouterr().err == ""
