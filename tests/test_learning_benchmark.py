"""The program behind the runs of chapter 11: its ways, what it writes, and that it goes on."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from strategies import TINY, random_weights

from deit_ref.benchmark import learning
from deit_ref.numpy_backend.backward.optimizer import decays, moments
from deit_ref.weights import map_weights, named_arrays

STORED = json.loads((Path(__file__).parent.parent / "docs" / "data" / "learning.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("optimizer", "mirror"), [("l2", torch.optim.Adam), ("sgd", torch.optim.SGD)])
def test_the_other_optimizers_are_torch_s(optimizer, mirror):
    weights = random_weights(TINY, dtype=np.float64)
    parameters = {name: torch.nn.Parameter(torch.from_numpy(array.copy())) for name, array in named_arrays(weights)}
    names = {name for name, array in named_arrays(weights) if decays(name, array)}
    pulled = [p for name, p in parameters.items() if name in names]
    free = [p for name, p in parameters.items() if name not in names]
    other = {"momentum": 0.9} if optimizer == "sgd" else {}
    decay = 0.0 if optimizer == "sgd" else 0.3
    theirs = mirror([{"params": pulled, "weight_decay": decay}, {"params": free}], lr=0.01, **other)
    state, generator = moments(weights), np.random.default_rng(0)
    for _ in range(4):
        gradient = map_weights(lambda w: generator.standard_normal(w.shape), weights)
        step = learning.OPTIMIZERS[optimizer]
        weights, state = step(weights, gradient, state, learning_rate=0.01, weight_decay=0.3)
        for name, array in named_arrays(gradient):
            parameters[name].grad = torch.from_numpy(array)
        theirs.step()
    for name, array in named_arrays(weights):
        np.testing.assert_allclose(array, parameters[name].detach().numpy(), rtol=1e-10, atol=1e-14)


def test_runs_are_kept_and_gone_on_with(tmp_path, capsys, monkeypatch):
    made = []

    def run(way, *, seed, steps):
        made.append((way, seed, steps))
        return {
            "loss": [2.0 - seed] * 5,
            "norm": [1.0] * 5,
            "accuracy": [0.5 + 0.1 * seed],
            "average": [0.25],
            "seconds": 1.0,
        }

    monkeypatch.setattr(learning, "run", run)
    file = tmp_path / "learning.json"
    words = ["--json", str(file), "--ways", "the base run", "no warm-up", "--steps", "50"]
    assert learning.main([*words, "--seeds", "1"]) == 0
    assert made == [({}, 0, 50), ({"warmup": 0}, 0, 50)]
    assert learning.main([*words, "--seeds", "2"]) == 0
    assert made[2:] == [({}, 1, 50), ({"warmup": 0}, 1, 50)]
    found = json.loads(file.read_text(encoding="utf-8"))
    assert found["command"].endswith("--seeds 2 --json FILE --steps 50")
    assert found["rows"][0] == ["the base run", "1.50", "1.500", "55.0 (50.0 to 60.0)", "25.0 (25.0 to 25.0)"]
    assert "| no warm-up | 1.50 |" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        learning.main([*words, "--steps", "75"])
    assert "a multiple of 50, got 75" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        learning.main([*words[:-1], "100", "--seeds", "3"])
    assert "holds runs of 50 steps, got --steps 100: take another file" in capsys.readouterr().err
    assert len(made) == 4


def test_a_run_is_that_of_the_loop():
    found = learning.run({"std": 0.08, "warmup": 10}, seed=0, steps=50)
    assert [len(found[name]) for name in ("loss", "norm", "accuracy", "average")] == [5, 5, 1, 1]
    assert abs(found["loss"][0] - math.log(10)) < 0.5
    assert found["loss"][-1] < found["loss"][0] - 0.5


def test_stored_runs_are_of_the_ways_and_say_what_the_page_says():
    assert [*STORED["results"]] == [*learning.WAYS]
    assert STORED["rows"] == learning.rows(STORED["results"])
    last = {way: np.mean([run["accuracy"][-1] for run in runs]) for way, runs in STORED["results"].items()}
    base = last["the base run"]
    for way in ("new weights of std 0.8", "new weights of std 0.0002", "decay inside Adam (L2)"):
        assert last[way] < base - 0.2
    assert last["new weights of std 0.08"] >= last["new weights of std 0.2"] > base
    assert last["no warm-up"] < base
    assert abs(last["no clipping"] - base) < 0.03
    for runs in STORED["results"].values():
        for run in runs:
            assert len(run["loss"]) == len(run["norm"]) == 40
            assert np.isfinite(run["loss"]).all()
