"""The training loop: resumed bit for bit, safe against crashes, equal on two processes."""

import errno
import json
import os
import pickle
import resource
import signal
import socket
from types import SimpleNamespace

import pytest
import torch
from tiny_data import EVERYTHING, PLAIN, metrics, send_at, start, write_photos

from deit_ref.data.opening import open_images
from deit_ref.training import loop, state
from deit_ref.training import metrics as told
from deit_ref.training.batches import Batches
from deit_ref.training.objectives import Goal
from deit_ref.training.optimization import learning_rate, set_learning_rate, update_average
from deit_ref.training.recipe import Recipe
from deit_ref.training.run import train
from deit_ref.training.teacher import new_teacher

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"))  # 18 of 16 x 16: three steps of six in an epoch


def run(photos, out, changes=EVERYTHING, *, seed=3, resume=False, bfloat16=False, **more):
    train(Recipe(**{**changes, **more}), photos, out, seed=seed, resume=resume, bfloat16=bfloat16, device="cpu")


def assert_same(a, b):
    """Two checkpoints, however deep, are equal in everything but time."""
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a.keys() - {"seconds", "epoch_seconds"}:
            assert_same(a[key], b[key])
    elif isinstance(a, list):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == b


def assert_same_run(a, b):
    for name in ("model.safetensors", "config.json"):
        assert (a / name).read_bytes() == (b / name).read_bytes()
    assert metrics(a) == metrics(b)
    assert_same(*(state.load_state(folder, device=CPU) for folder in (a, b)))


@pytest.mark.parametrize(
    ("optimizer", "bfloat16", "kill"), [("adamw", False, 4), ("muon", True, 5)], ids=["adamw", "muon, bfloat16"]
)
def test_a_killed_run_goes_on_bit_for_bit(tmp_path, photos, optimizer, bfloat16, kill):
    changes = {**EVERYTHING, "optimizer": optimizer}
    job = {"data": photos, "out": tmp_path / "killed", "changes": changes, "bfloat16": bfloat16, "kill": kill}
    process = start(job)
    run(photos, tmp_path / "whole", changes, bfloat16=bfloat16)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL, errors
    assert [line["step"] for line in metrics(tmp_path / "killed")] == [3]
    assert state.load_state(tmp_path / "killed", device=CPU)["step"] == 3
    # As if it had died between writing a line and the checkpoint after it, and while writing another.
    with open(tmp_path / "killed" / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write('{"epoch": 2, "step": 6, "loss": 9}\n{"epoch": 3, "st')
    run(photos, tmp_path / "killed", changes, bfloat16=bfloat16, resume=True)
    assert [line["step"] for line in metrics(tmp_path / "whole")] == [3, 6]
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


def test_ctrl_c_finishes_the_step_and_saves_it(tmp_path, photos, monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    run(photos, tmp_path / "whole")
    # A supervisor's SIGTERM right after it changes nothing.
    for step, numbers in ((1, [signal.SIGINT, signal.SIGTERM]), (4, [signal.SIGTERM])):
        with monkeypatch.context() as patch:
            send_at(patch, step, numbers)
            with pytest.raises(KeyboardInterrupt):
                run(photos, tmp_path / "stopped", resume=step > 1)
        # The signal comes while step `step` is prepared; it is finished, and no other is begun.
        assert state.load_state(tmp_path / "stopped", device=CPU)["step"] == step + 1
        assert signal.getsignal(signal.SIGINT) is before
    assert not (tmp_path / "stopped" / "model.safetensors").exists()
    run(photos, tmp_path / "stopped", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


def test_a_second_ctrl_c_ends_at_once(tmp_path, photos, monkeypatch):
    send_at(monkeypatch, 4, [signal.SIGINT, signal.SIGINT])
    with pytest.raises(KeyboardInterrupt):
        run(photos, tmp_path)
    assert state.load_state(tmp_path, device=CPU)["step"] == 3  # of the epoch before
    monkeypatch.undo()
    run(photos, tmp_path, resume=True)
    assert [line["step"] for line in metrics(tmp_path)] == [3, 6]


class Tiny(torch.nn.Module):
    """One matrix, so that a test of the loop takes no time."""

    def __init__(self, *, value=1.0):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((3, 3), value))


def square(module, batch, generator):
    """Its gradient is twice the weight; three of six are hits, the batch's classes do not matter."""
    return Goal((module.weight**2).sum(), torch.tensor(3))


def fit(photos, out, objective=square, *, changes=PLAIN, resume=False, seed=0, module=None, more=None, **recipe):
    recipe = Recipe(**{**changes, **recipe})
    images = open_images(photos, "train")
    batches = Batches(images, recipe, recipe.image_processing, seed=seed, device=CPU)
    module = Tiny() if module is None else module
    return loop.fit(module, objective, batches, recipe, folder=out, seed=seed, resume=resume, **(more or {}))


def test_what_differs_is_named_when_a_run_is_resumed(tmp_path, photos):
    fit(photos, tmp_path)
    with pytest.raises(ValueError, match=r"holds a run already: resume it"):
        fit(photos, tmp_path)
    content = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(ValueError, match=r"epochs 2, now 3; dropout 0\.0, now 0\.5; seed 0, now 1\. Resume it"):
        fit(photos, tmp_path, resume=True, seed=1, epochs=3, dropout=0.5)
    with pytest.raises(ValueError, match=r"holds no checkpoint\.pt to resume from"):
        fit(photos, tmp_path / "empty", resume=True)
    assert (tmp_path / "checkpoint.pt").read_bytes() == content
    assert len(metrics(tmp_path)) == 2
    calls = []
    more = {"assess": lambda _: calls.append(0) or {}, "report": calls.append}
    fit(photos, tmp_path, resume=True, more=more)  # there is nothing left to do, and nothing is told again
    assert len(metrics(tmp_path)) == 2
    assert calls == []


def test_a_run_of_a_version_that_did_not_know_a_field_goes_on(tmp_path, photos):
    """It did then as the paper's recipe does; a run that wants something else is another."""
    fit(photos, tmp_path)
    saved = state.load_state(tmp_path, device=CPU)
    del saved["recipe"]["schedule"], saved["recipe"]["alternate_flip"]
    state.save_state(tmp_path, saved)
    with pytest.raises(ValueError, match=r"another recipe: schedule 'cosine', now 'line'\. Resume"):
        fit(photos, tmp_path, resume=True, schedule="line")
    fit(photos, tmp_path, resume=True)


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_checkpoints_that_are_none(tmp_path):
    file = tmp_path / "checkpoint.pt"
    state.save_state(tmp_path, {"step": 1, "module": {"w": torch.ones(9)}})
    good = file.read_bytes()
    for broken in (b"", b"nonsense", good[: len(good) // 2], good[:-30]):
        file.write_bytes(broken)
        with pytest.raises(ValueError, match=r"checkpoint\.pt is damaged .*: delete the folder and train again"):
            state.load_state(tmp_path, device=CPU)
    for other in ({"step": 1}, {"version": 0, "step": 1}, [1]):
        torch.save(other, file)
        with pytest.raises(ValueError, match="not a checkpoint of this version"):
            state.load_state(tmp_path, device=CPU)
    torch.save({"version": 1, "step": Touch(tmp_path / "touched")}, file)
    with pytest.raises(ValueError, match="is damaged"):
        state.load_state(tmp_path, device=CPU)
    file.write_bytes(pickle.dumps({"version": 1, "step": Touch(tmp_path / "touched")}))
    with pytest.raises(ValueError, match="is damaged"):
        state.load_state(tmp_path, device=CPU)
    assert not (tmp_path / "touched").exists()


def half_way(error):
    def save(value, file):
        file.write(b"half")
        raise error

    return save


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("unexpected pos 64 vs 0"), KeyboardInterrupt()],
    ids=["OSError", "RuntimeError", "KeyboardInterrupt"],
)
def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch, error):
    state.save_state(tmp_path, {"step": 1})
    before = (tmp_path / "checkpoint.pt").read_bytes()
    monkeypatch.setattr(torch, "save", half_way(error))
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else OSError
    with pytest.raises(expected) as caught:
        state.save_state(tmp_path, {"step": 2})
    if expected is OSError:
        assert "could not be written" in str(caught.value)
        assert str(error) in str(caught.value)
        assert f"the checkpoint before it is still in {tmp_path}. Make room" in str(caught.value)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


def test_a_checkpoint_takes_its_place_in_one_move(tmp_path, monkeypatch):
    state.save_state(tmp_path, {"step": 1})
    seen = []

    def replace(source, target):
        # Whatever happens before this moment, there is a whole checkpoint; and the new one is whole, too.
        seen.append((torch.load(source)["step"], torch.load(target)["step"]))
        raise OSError("no")

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OSError, match="could not be written"):
        state.save_state(tmp_path, {"step": 2})
    assert seen == [(2, 1)]
    assert state.load_state(tmp_path, device=CPU)["step"] == 1
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


def test_a_disk_that_is_really_full(tmp_path, photos):
    fit(photos, tmp_path, epochs=1)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match=r"could not be written .* still in .*Make room and resume"):
            state.save_state(tmp_path, {"step": 9, "module": {"w": torch.ones(1_000_000)}})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["checkpoint.pt", "metrics.jsonl"]


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_checkpoint(tmp_path, photos):
    calls = []

    def objective(module, batch, generator):
        calls.append(0)
        return Goal((module.weight**2).sum() * (torch.inf if len(calls) == 5 else 1), None)

    with pytest.raises(ValueError, match=r"became inf at step 4 \(epoch 1\.33\): lower .* last good checkpoint is in"):
        fit(photos, tmp_path, objective)
    kept = state.load_state(tmp_path, device=CPU)
    assert kept["step"] == 3
    assert kept["module"]["weight"].isfinite().all()
    with pytest.raises(ValueError, match=r"became nan at step 0 \(epoch 0\.00\): lower the learning rate\.$"):
        fit(photos, tmp_path / "new", lambda *_: Goal(torch.tensor(torch.nan, requires_grad=True), None))
    assert not (tmp_path / "new" / "checkpoint.pt").exists()


@pytest.mark.parametrize("last", [3, 6])
def test_weights_that_are_no_numbers_are_not_saved(tmp_path, photos, last):
    """The loss of an epoch's last step is fine, and its step too long: no later loss would tell in time."""
    calls = []

    def objective(module, batch, generator):
        calls.append(0)
        zero = ((module.weight - module.weight.detach()) ** 2).sum()
        return Goal(zero if len(calls) < last else zero.sqrt(), None)  # the root's gradient at 0 is infinite

    with pytest.raises(ValueError, match=f"Weights became NaN or infinite before step {last}: lower"):
        fit(photos, tmp_path, objective, clip_norm=None)
    assert (tmp_path / "checkpoint.pt").exists() == (last == 6)
    if last == 6:
        assert state.load_state(tmp_path, device=CPU)["module"]["weight"].isfinite().all()


def test_numbers_of_an_epoch(tmp_path, photos):
    calls, reported, assessed = [], [], []

    def objective(module, batch, generator):
        calls.append(generator.initial_seed())
        return Goal((module.weight * 0).sum() + len(calls), torch.tensor(len(calls) - 1))

    def assess(seen):
        assessed.append(seen["weight"].clone())
        return {"top1": 0.5}

    more = {"assess": assess, "assess_every": 2, "report": reported.append}
    result = fit(photos, tmp_path, objective, epochs=3, more=more, ema_decay=None, weight_decay=0.0)
    assert [line["loss"] for line in reported] == [2, 5, 8]
    assert [line["accuracy"] for line in reported] == [3 / 18, 12 / 18, 21 / 18]
    assert [line.get("test") for line in reported] == [None, {"top1": 0.5}, {"top1": 0.5}]
    assert [(line["epoch"], line["step"]) for line in reported] == [(1, 3), (2, 6), (3, 9)]
    assert len(set(calls)) == 9  # dropout and masks differ from step to step
    assert metrics(tmp_path, timed=True) == reported
    assert torch.equal(result["weight"], assessed[-1])


def test_the_average_is_what_is_assessed_and_returned(tmp_path, photos):
    module, seen, average = Tiny(), [], {"weight": torch.ones(3, 3)}
    recipe = Recipe(**PLAIN)

    def objective(module, batch, generator):
        if seen:
            update_average(average, {"weight": module.weight.detach()}, step=len(seen) - 1, recipe=recipe)
        seen.append(0)
        return square(module, batch, generator)

    def assess(values):
        return {"weight": float(values["weight"][0, 0])}

    result = fit(photos, tmp_path, objective, module=module, more={"assess": assess})
    update_average(average, {"weight": module.weight.detach()}, step=5, recipe=recipe)
    assert torch.equal(result["weight"], average["weight"])
    assert not torch.allclose(result["weight"], module.weight, atol=1e-5)
    assert metrics(tmp_path)[-1]["test"]["weight"] == float(average["weight"][0, 0])


def test_checkpoints_within_an_epoch(tmp_path, photos):
    steps = []

    def objective(module, batch, generator):
        path = tmp_path / "checkpoint.pt"
        steps.append(state.load_state(tmp_path, device=CPU)["step"] if path.exists() else None)
        return square(module, batch, generator)

    fit(photos, tmp_path, objective, more={"save_every": -1.0})
    assert steps == [None, 1, 2, 3, 4, 5]


def test_a_step_by_hand_clips_the_gradient_as_a_whole():
    """Two steps of Nesterov's momentum down a slope that is the same everywhere, and the average behind them."""
    slope = torch.arange(9.0).reshape(3, 3)
    for clip_norm, gradient in ((None, slope), (0.5, 0.5 * slope / slope.norm()), (99.0, slope)):
        recipe = Recipe(optimizer="sgd", weight_decay=0.0, clip_norm=clip_norm, ema_decay=0.75)
        now = state.State(Tiny(), recipe, seed=0)
        set_learning_rate(now.optimizers, 0.1)
        weights = [torch.ones(3, 3)]
        for _ in range(2):
            loop.step(now, (now.module.weight * slope).sum())
            weights.append(now.module.weight.detach().clone())
        first, second = 1 + 0.85, 1 + 0.85 * (1 + 0.85)
        torch.testing.assert_close(weights[1], 1 - 0.1 * first * gradient)
        torch.testing.assert_close(weights[2], 1 - 0.1 * (first + second) * gradient)
        average = 0.75 * (0.75 * weights[0] + 0.25 * weights[1]) + 0.25 * weights[2]
        torch.testing.assert_close(now.average["weight"], average)
        assert now.step == 2


def test_without_an_average_the_modules_own_weights_are_learned():
    for ema_decay, expected in ((None, 0.0), (0.75, 0.75)):
        now = state.State(Tiny(), Recipe(optimizer="sgd", weight_decay=0.0, ema_decay=ema_decay), seed=0)
        set_learning_rate(now.optimizers, 1 / 1.85)
        loop.step(now, now.module.weight.sum())
        torch.testing.assert_close(now.learned["weight"], torch.full((3, 3), expected))


def test_what_a_run_returns_is_what_it_has_learned(tmp_path, photos):
    for name, ema_decay in (("own", None), ("average", 0.9)):
        module = Tiny()
        result = fit(photos, tmp_path / name, module=module, ema_decay=ema_decay)
        assert torch.equal(result["weight"], module.weight) == (ema_decay is None)
        assert (result["weight"] < 1).all()


def test_a_step_moves_what_each_optimizer_has():
    """With Muon there are two: both get their gradients, step, and start the next from nothing."""
    module = torch.nn.Module()
    for name, shape in (("blocks/0/mlp/fc1/weight", (4, 4)), ("blocks/0/mlp/fc1/bias", (4,)), ("head/weight", (3, 4))):
        module.register_parameter(name, torch.nn.Parameter(torch.ones(shape)))
    now = state.State(module, Recipe(optimizer="muon", weight_decay=0.0, ema_decay=None), seed=0)
    assert len(now.optimizers) == 2
    set_learning_rate(now.optimizers, 0.01)
    for _ in range(2):
        before = [parameter.detach().clone() for parameter in module.parameters()]
        loop.step(now, sum(parameter.sum() for parameter in module.parameters()))
        for old, parameter in zip(before, module.parameters(), strict=True):
            assert (parameter < old).all()
            assert torch.equal(parameter.grad, torch.ones_like(old))


def test_dropout_and_masks_differ_from_step_to_step_and_between_processes(tmp_path, photos):
    recipe, images, seeds = Recipe(**PLAIN), open_images(photos, "train"), []

    def objective(module, batch, generator):
        seeds.append(generator.initial_seed())
        return square(module, batch, generator)

    for rank in range(2):
        batches = Batches(images, recipe, recipe.image_processing, seed=0, device=CPU, rank=rank)
        loop.fit(Tiny(), objective, batches, recipe, folder=tmp_path / str(rank), seed=7)
    assert len(seeds) == len(set(seeds)) == 12


def test_a_module_learns_in_training_and_is_assessed_as_it_is_used(tmp_path, photos):
    module, learning, assessing = Tiny(), [], []

    def objective(module, batch, generator):
        learning.append(module.training)
        return square(module, batch, generator)

    def assess(_):
        assessing.append(module.training)
        return {}

    fit(photos, tmp_path, objective, module=module, more={"assess": assess})
    assert (learning, assessing) == ([True] * 6, [False] * 2)


def test_seconds_are_those_of_steps_alone_and_the_rate_is_that_of_the_last(tmp_path, photos, monkeypatch, caplog):
    """A step takes two seconds of this clock, a look at the test photos a hundred; the run stops once on its way."""
    clock, steps = [1000.0], []
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(told, "_EVERY", -1.0)  # a line for each step, where no terminal is

    def objective(module, batch, generator):
        clock[0] += 2
        steps.append(0)
        if len(steps) == 5:
            raise ValueError("the power is gone")
        return square(module, batch, generator)

    def assess(_):
        clock[0] += 100
        return {}

    more = {"assess": assess, "save_every": -1.0}
    with caplog.at_level("INFO", "deit_ref"):
        with pytest.raises(ValueError, match="the power is gone"):
            fit(photos, tmp_path, objective, more=more)
        fit(photos, tmp_path, objective, resume=True, more=more)
    recipe, lines = Recipe(**PLAIN), metrics(tmp_path, timed=True)
    assert [line["seconds"] for line in lines] == [6.0, 6.0]
    assert [line["learning_rate"] for line in lines] == [learning_rate(recipe, step / 3) for step in (2, 5)]
    assert [line["accuracy"] for line in lines] == [0.5, 0.5]
    assert lines[0]["loss"] > lines[1]["loss"] > 0
    kept = state.load_state(tmp_path, device=CPU)
    assert (kept["seconds"], kept["epoch_seconds"]) == (12.0, 6.0)
    shown = [record.message for record in caplog.records if "photos/s" in record.message]
    assert len(shown) == 6
    assert all(line.endswith(", accuracy 50.0%, 3 photos/s") for line in shown)
    assert [line.split(",")[0] for line in shown[2:5]] == ["epoch 1.00/2", "epoch 1.33/2", "epoch 1.67/2"]


def test_the_rate_moves_within_an_epoch_and_autocast_reaches_the_module(tmp_path, photos):
    rates, kinds, module = [], [], Tiny()

    def objective(module, batch, generator):
        kinds.append((module.weight @ module.weight).dtype)
        return square(module, batch, generator)

    def keep(found, value):
        rates.append(value)
        set_learning_rate(found, value)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "set_learning_rate", keep)
        fit(photos, tmp_path, objective, module=module, more={"autocast": True}, warmup_epochs=1)
    assert rates == [learning_rate(Recipe(**{**PLAIN, "warmup_epochs": 1}), step / 3) for step in range(6)]
    assert {*kinds} == {torch.bfloat16}


def in_two_processes(**job):
    """What each printed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    both = [start(job, RANK=str(rank), LOCAL_RANK=str(rank), **common) for rank in range(2)]
    outputs = [process.communicate(timeout=300) for process in both]
    for process, (_, errors) in zip(both, outputs, strict=True):
        assert process.returncode == 0, errors
    return [out for out, _ in outputs]


# Muon and Adam divide tiny gradients by themselves: sums in another order would show.
SHARED = {**PLAIN, "optimizer": "sgd", "learning_rate": 0.05, "clip_norm": None}


def test_two_processes_learn_what_one_learns(tmp_path, photos):
    run(photos, tmp_path / "one", SHARED)
    outputs = in_two_processes(data=photos, out=tmp_path / "two", changes=SHARED)
    one, two = (state.load_state(tmp_path / name, device=CPU) for name in ("one", "two"))
    assert one["step"] == two["step"] == 6
    assert [run["runs_on"]["numerics"]["processes"] for run in (one, two)] == [1, 2]
    for part in ("module", "average"):
        for name, value in one[part].items():
            assert float((two[part][name] - value).norm() / value.norm().clamp(1e-3)) < 1e-5, name
    for a, b in zip(metrics(tmp_path / "one"), metrics(tmp_path / "two"), strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-5)
        assert b["accuracy"] == a["accuracy"]
        assert b["test"]["loss"] == pytest.approx(a["test"]["loss"], rel=1e-5)
        assert {**b["test"], "loss": 0} == {**a["test"], "loss": 0}
    assert [len(json.loads(out)) for out in outputs] == [2, 0]  # the first process alone reports


def test_a_loss_that_is_no_number_in_one_process_stops_all(tmp_path, photos):
    outputs = in_two_processes(data=photos, out=tmp_path / "out", changes=SHARED, nan_rank=1)
    for out in outputs:
        assert "The loss became nan at step 2" in out


def test_norms_of_a_teacher_remember_what_the_first_process_saw(tmp_path, photos):
    """Nothing is learned, so that what they saw can be shown to them again."""
    changes = {**SHARED, "task": "teacher", "learning_rate": 0.0, "min_learning_rate": 0.0, "ema_decay": None}
    in_two_processes(data=photos, out=tmp_path, changes=changes)
    kept = state.load_state(tmp_path, device=CPU)["module"]
    recipe, images = Recipe(**changes), open_images(photos, "train")
    teacher = new_teacher(3, seed=3, image_size=16)
    teacher.load_state_dict({**teacher.state_dict(), **{n: v for n, v in kept.items() if n.startswith("whiten")}})
    batches = Batches(images, recipe, teacher.image_processing, seed=3, device=CPU, rank=0, world=2)
    for step in range(6):
        teacher.train()(batches(step).pixel_values)
    for name, value in teacher.state_dict().items():
        torch.testing.assert_close(kept[name], value, rtol=1e-4, atol=1e-5)
