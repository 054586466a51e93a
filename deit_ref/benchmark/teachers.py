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


def opened(sources: Sequence[str], class_names: tuple[str, ...], recipe: Recipe, *, device: torch.device) -> Asked:
    """The teacher in a folder; of several folders one that answers with the mean of their probabilities.

    Args:
        sources: as in `training.run.train`.
        class_names: that all of them must know.
        recipe: of the student.
        device: where they are asked, wherever the photos are.

    Raises:
        ValueError: a teacher cannot be read, or knows other classes or photos of another size.
    """
    unchanged = dataclasses.replace(recipe.image_processing, image_mean=0.0, image_std=1.0)
    found = [teach_from(source, class_names, unchanged, recipe, device=device) for source in sources]
    digests = [digest for _, digest in found]

    def ask(photos: Array) -> Array:
        logits = [teach(photos.to(device)).float() for teach, _ in found]
        if len(logits) > 1:
            # Logits of which the softmax is the mean of all softmaxes.
            logits = [torch.stack(logits).softmax(dim=2).mean(dim=0).log()]
        return logits[0].to(photos.device)

    return Asked(ask, digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest())


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
