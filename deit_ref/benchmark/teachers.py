"""Teachers of the experiment: one, or several that answer together, and what they answered is remembered."""

import dataclasses
import hashlib
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch
from jaxtyping import Float

from deit_ref.training.recipe import Recipe
from deit_ref.training.run import teach_from
from deit_ref.training.teacher import Teach

Array: TypeAlias = torch.Tensor


@dataclass(frozen=True)
class Asked:
    """A teacher as `training.run.train` takes one: photos in 0..1 to logits, and what it is known by."""

    ask: Teach
    digest: str

    def __call__(self, photos: Float[Array, "batch 3 height width"]) -> Float[Array, "batch classes"]:
        return self.ask(photos)


def opened(source: str, class_names: tuple[str, ...], recipe: Recipe, *, device: torch.device) -> Asked:
    """The teacher in a folder.

    Args:
        source: as in `training.run.train`.
        class_names: that it must know.
        recipe: of the student.
        device: where it is asked, wherever the photos are.

    Raises:
        ValueError: it cannot be read, or knows other classes or photos of another size.
    """
    unchanged = dataclasses.replace(recipe.image_processing, image_mean=0.0, image_std=1.0)
    teach, digest = teach_from(source, class_names, unchanged, recipe, device=device)
    return Asked(lambda photos: teach(photos.to(device)).float().to(photos.device), digest)


def together(teachers: Sequence[Asked]) -> Asked:
    """Several who answer with the mean of their probabilities."""

    def ask(photos: Array) -> Array:
        logits = torch.stack([teacher(photos) for teacher in teachers])
        return logits.softmax(dim=2).mean(dim=0).log()  # logits of which the softmax is that mean

    return Asked(ask, hashlib.sha256("".join(teacher.digest for teacher in teachers).encode()).hexdigest())


def remembered(teacher: Asked, file: Path) -> Asked:
    """The same teacher, who keeps what was answered in a file, and asks for no batch twice.

    Runs of one seed and augmentation see the same batches, whatever else differs. An answer is found by the bytes of
    its batch, so that other photos, another order or another augmentation never get it. Several runs may use one file.
    """

    def ask(photos: Array) -> Array:
        key = hashlib.blake2b(photos.cpu().contiguous().numpy().tobytes(), digest_size=16)
        # In bfloat16 the answer is a slightly different one.
        key.update(f"{teacher.digest} {torch.is_autocast_enabled(photos.device.type)}".encode())
        with closing(sqlite3.connect(file, timeout=600)) as memory:
            memory.execute("CREATE TABLE IF NOT EXISTS answers (batch BLOB PRIMARY KEY, logits BLOB) WITHOUT ROWID")
            row = memory.execute("SELECT logits FROM answers WHERE batch = ?", (key.digest(),)).fetchone()
        if row is not None:
            return torch.frombuffer(bytearray(row[0]), dtype=torch.float32).reshape(len(photos), -1).to(photos.device)
        with torch.no_grad():
            logits = teacher(photos).float()
        with closing(sqlite3.connect(file, timeout=600)) as memory, memory:
            values = key.digest(), logits.cpu().contiguous().numpy().tobytes()
            memory.execute("INSERT OR IGNORE INTO answers VALUES (?, ?)", values)
        return logits

    return Asked(ask, teacher.digest)
