"""Class folders of three colors that a small network learns in seconds, and runs in other processes.

python tests/tiny_data.py '{"data": ..., "out": ..., "changes": {...}, ...}'
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

CLASSES = ("blue", "green", "red")
# Everything random is on; 16 x 16 pixels make a grid of 4 x 4 patches.
EVERYTHING = {
    "model": "cifar10-small",
    "image_size": 16,
    "epochs": 2,
    "batch_size": 6,
    "learning_rate": 1e-3,
    "learning_rate_batch": None,
    "warmup_epochs": 1,
    "dropout": 0.1,
    "attention_dropout": 0.1,
    "drop_path": 0.2,
    "ema_decay": 0.9,
    "ema_warmup": True,
    "crop": "padded",
    "padding": 2,
    "repeats": 2,
    "mix_probability": 0.5,
    "clip_norm": 1.0,
}
# Nothing random is on.
PLAIN = {
    **EVERYTHING,
    "warmup_epochs": 0,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "drop_path": 0.0,
    "crop": "none",
    "flip": 0.0,
    "repeats": 1,
    "rand_augment": 0,
    "erasing": 0.0,
    "mixup": 0.0,
    "cutmix": 0.0,
}


def write_photos(folder, *, train=6, test=2, size=(16, 16), kind="png", classes=CLASSES, seed=0):
    """Photos of noise in `len(classes)` colors, `train` and `test` of each; a folder `open_images` reads."""
    rng = np.random.default_rng(seed)
    for split, count in (("train", train), ("test", test)):
        for label, name in enumerate(classes):
            for number in range(count):
                photo = rng.integers(0, 120, (*size, 3))
                photo[..., 2 - label % 3] += 120
                path = folder / split / name / f"{number}.{kind}"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(photo.astype(np.uint8)).save(path)
    return folder


def metrics(folder, *, timed=False):
    """The lines of metrics.jsonl, without what a clock says."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line if timed else {key: line[key] for key in line if key != "seconds"} for line in lines]


def send_at(monkeypatch, step, numbers):
    """While a batch is prepared at this step, the process gets these signals."""
    from deit_ref.training.batches import Batches

    real = Batches.__call__

    def prepared(self, now):
        if now == step:
            for number in numbers:
                os.kill(os.getpid(), number)
        return real(self, now)

    monkeypatch.setattr(Batches, "__call__", prepared)


def start(job, **environment):
    """Another process that runs a job, see `main`."""
    job = {"threads": torch.get_num_threads(), **{key: str(v) if isinstance(v, Path) else v for key, v in job.items()}}
    root = Path(__file__).parents[1]
    paths = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, __file__, json.dumps(job)],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def main(job):
    """Train. "kill", "kill_at": step or point at which this process dies; "nan_rank": whose third batch is broken."""
    import pytest

    from deit_ref.training.recipe import Recipe
    from deit_ref.training.run import train

    torch.set_num_threads(job["threads"])
    with pytest.MonkeyPatch.context() as monkeypatch:
        if "kill" in job:
            send_at(monkeypatch, job["kill"], [signal.SIGKILL])
        if "nan_rank" in job:
            break_batch(monkeypatch, job["nan_rank"])
        if "kill_at" in job:
            kill_at(monkeypatch, job["kill_at"])
        lines = []
        options = {"device": "cpu", "bfloat16": job.get("bfloat16", False), "resume": job.get("resume", False)}
        try:
            train(Recipe(**job["changes"]), job["data"], job["out"], seed=3, report=lines.append, **options)
        except ValueError as error:
            print(error)
        else:
            print(json.dumps(lines))


def kill_at(monkeypatch, point):
    """This process dies at a point: before or after the n-th file that takes its name, while a checkpoint is written,
    while photos are evaluated, while a line of metrics is written."""
    from deit_ref.training import loop, run

    what, number = point[0], point[1]
    calls = 0

    def dying(real, before, after):
        def called(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls == number:
                before(*args)
            result = real(*args, **kwargs)
            if calls == number:
                after()
            return result

        return called

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    def write_half(folder, line):
        with open(folder / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line)[:20])
        die()

    def save_half(state, file):
        file.write(b"PK half a checkpoint")
        file.flush()
        die()

    owner, name, before, after = {
        "before replace": (os, "replace", die, die),
        "after replace": (os, "replace", lambda *_: None, die),
        "save": (torch, "save", save_half, die),
        "assess": (run, "evaluate", die, die),
        "line": (loop, "add_metrics", write_half, die),
    }[what]
    monkeypatch.setattr(owner, name, dying(getattr(owner, name), before, after))


def break_batch(monkeypatch, rank):
    """The third batch of one process holds a pixel that is not a number."""
    from deit_ref.training.batches import Batches

    real = Batches.__call__

    def broken(self, step):
        batch = real(self, step)
        if step == 2 and self.rank == rank:
            batch.pixel_values[0] = torch.nan
        return batch

    monkeypatch.setattr(Batches, "__call__", broken)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
