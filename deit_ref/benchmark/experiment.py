"""One run of the experiment: trained once, then measured, both kept in a folder of its own."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch

from deit_ref import checks
from deit_ref.benchmark.inside import HEADS, head_logits, seen, token_cosines
from deit_ref.benchmark.runs import trained_once
from deit_ref.benchmark.teachers import Asked, opened, remembered, together
from deit_ref.benchmark.ways import WAYS
from deit_ref.checkpoints.files import json_bytes, read_json, write
from deit_ref.checkpoints.load import load_weights
from deit_ref.data.images import ImageSet, subset
from deit_ref.outputs import TeacherOutput
from deit_ref.training.batches import Batches, mean_and_std
from deit_ref.training.metrics import read_metrics
from deit_ref.training.objectives import classification
from deit_ref.training.recipe import Recipe
from deit_ref.training.run import teach_from
from deit_ref.training.student import Student, new_weights

Array: TypeAlias = np.ndarray[Any, Any]

MEANS = ("mean of logits", "mean of probabilities")
MEASURED, ANSWERS = "measured.json", "answers.npz"
CPU = torch.device("cpu")


@dataclass
class Experiment:
    """Runs of one student on the same photos.

    Attributes:
        recipe: that the ways change.
        splits: "train" and "test" photos, in memory.
        out: gets a folder for each run.
        sources: the teachers by their names.
        device: where students learn and teachers are asked; what they have learned is measured on the CPU.
    """

    recipe: Recipe
    splits: Mapping[str, ImageSet]
    out: Path
    sources: Mapping[str, str]
    device: torch.device = CPU
    _teachers: dict[str, Asked] = field(default_factory=dict)

    def folder(self, way: str, seed: int) -> Path:
        """Where a run is: it is named by what it is, not by the question that asked for it."""
        return self.out / f"{re.sub('[^a-z0-9.]+', '-', way.lower())}-{seed}"

    def teacher(self, names: tuple[str, ...]) -> Asked:
        """The teachers of these names together, each of whom remembers what it has answered.

        Raises:
            ValueError: a name was not given.
        """
        if missing := [name for name in names if name not in self.sources]:
            raise ValueError(f"No teacher is called {checks.some(missing)}: add --teacher {missing[0]}=FOLDER.")
        self.out.mkdir(parents=True, exist_ok=True)
        for name in names:
            if name not in self._teachers:
                class_names = self.splits["train"].class_names
                asked = opened(self.sources[name], class_names, self.recipe, device=self.device)
                self._teachers[name] = remembered(asked, self.out / f"answers-{name}.sqlite")
        found = [self._teachers[name] for name in names]
        return found[0] if len(found) == 1 else together(found)

    def run(self, way: str, seed: int) -> None:
        """Train one student, or go on with it, and measure it; nothing, if that is done.

        Raises:
            InUseError: another process is at work on it.
            ValueError: its folder holds a run of another recipe or teacher.
        """
        folder, recipe = self.folder(way, seed), self.recipe.with_changes(**WAYS[way].changes)
        teacher = self.teacher(WAYS[way].teachers) if WAYS[way].teachers else None
        trained_once(recipe, self.splits, folder, teacher=teacher, seed=seed, device=self.device)
        if not (folder / MEASURED).exists():
            found, answers = self._measured(folder, recipe, teacher, seed)
            content = io.BytesIO()
            np.savez_compressed(content, **answers)  # type: ignore[arg-type]  # no array is called allow_pickle
            write(folder / ANSWERS, content.getvalue())
            write(folder / MEASURED, json_bytes(found))

    def results(self, ways: Sequence[str], seeds: int) -> dict[str, list[dict[str, Any]]]:
        """What was measured of the runs that are finished, way by way; those of none are left out."""
        found = {
            way: [read_json(path) for seed in range(seeds) if (path := self.folder(way, seed) / MEASURED).exists()]
            for way in ways
        }
        return {way: runs for way, runs in found.items() if runs}

    def answers(self, way: str, seed: int) -> Mapping[str, Array]:
        """Which class each head gave each test photo."""
        with np.load(self.folder(way, seed) / ANSWERS, allow_pickle=False) as arrays:
            return dict(arrays)

    @cached_property
    def test(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The test photos as students see them, and their labels."""
        return seen(self.splits["test"], self.recipe.image_processing)

    def answers_of(self, teacher: str) -> Array:
        """Which class a teacher gives each test photo."""
        return self._asked(teacher, self.test[0]).numpy()

    def said_in_training(self, teacher: str, *, batches: int = 60) -> dict[str, float]:
        """How often a teacher names the label, as shares of the photos in the first batches of seed 0.

        Of the photos as they are; and as the recipe crops and mixes them, the class with the larger share of the label,
        the other one, and neither.
        """
        images, processing = self.splits["train"], self.recipe.image_processing
        batch_of = Batches(images, self.recipe, processing, seed=0, device=CPU)
        steps = range(min(batches, batch_of.steps_per_epoch))
        pixel_values, labels = seen(subset(images, np.concatenate([*map(batch_of.indices, steps)])), processing)
        every = [batch_of(step) for step in steps]
        targets = torch.cat([batch.targets for batch in every])  # (photos, classes)
        given = torch.cat([self._asked(teacher, batch.pixel_values) for batch in every])
        share = targets.gather(1, given[:, None])[:, 0]
        first = share == targets.amax(dim=1)
        # Smoothing gives every class the same small share; one that is in the photo has more.
        inside = share > targets.amin(dim=1) + 1e-6
        found = {
            "the label": self._asked(teacher, pixel_values) == labels,
            "mixed: the larger share": first,
            "mixed: the smaller": inside & ~first,
            "mixed: neither": ~inside,
        }
        return {name: float(yes.float().mean()) for name, yes in found.items()}

    @torch.no_grad()
    def _asked(self, teacher: str, pixel_values: torch.Tensor) -> torch.Tensor:
        mean, std = mean_and_std(self.recipe.image_processing, CPU)
        asked = self.teacher((teacher,))
        return torch.cat([asked(some * std + mean).argmax(dim=1) for some in torch.split(pixel_values, 250)])

    def _measured(
        self, folder: Path, recipe: Recipe, teacher: Asked | None, seed: int
    ) -> tuple[dict[str, Any], dict[str, Array]]:
        lines, weights = read_metrics(folder), load_weights(folder).to("torch")
        pixel_values, labels = self.test
        scores = scores_of(head_logits(weights, pixel_values))
        answers = {name: values.argmax(dim=1).numpy().astype(np.int16) for name, values in scores.items()}
        found = {
            "seed": seed,
            "photos": lines[-1]["step"] * recipe.batch_size,
            "seconds": round(sum(line["seconds"] for line in lines), 1),
            "threads": torch.get_num_threads(),
            "train_accuracy": lines[-1]["accuracy"],
            **{name: float((given == labels.numpy()).mean()) for name, given in answers.items()},
        }
        if len(scores) > 1:
            found["differ"] = differing(*(answers[name] for name in MEANS))
            found["cosines"] = token_cosines(weights, pixel_values)
            found["pull"] = first_pull(recipe, self.splits["train"], teacher, seed=seed)
        return found, answers


def scores_of(logits: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    """What each head says of each class, and for two heads both ways to take their mean."""
    found = dict(zip(HEADS, logits, strict=False))
    if len(logits) == 1:
        return found
    both = torch.stack(list(logits))
    return found | dict(zip(MEANS, (both.mean(dim=0), both.softmax(dim=2).mean(dim=0)), strict=True))


def differing(one: Array, other: Array) -> float:
    """The share of photos with different answers."""
    return float((one != other).mean())


def first_pull(recipe: Recipe, images: ImageSet, teacher: Asked | None, *, seed: int, batches: int = 8) -> float:
    """How strongly the loss pulls at the distillation logits of a student that has learned nothing yet.

    The mean length of the gradient of an image's logits, times the images of a batch: so it tells how heavy a teacher
    is, whatever the loss is divided by. Of a few batches, as each is mixed in its own way.
    """
    places = np.linspace(0, len(images) - 1, min(batches * recipe.batch_size, len(images))).astype(int)
    batch_of = Batches(subset(images, places), recipe, recipe.image_processing, seed=seed, device=CPU)
    student, teach = Student(new_weights(recipe, class_names=images.class_names, seed=seed)), None
    if teacher is not None:
        teach, _ = teach_from(teacher, images.class_names, recipe.image_processing, recipe, device=CPU)
    pulls = []
    for step in range(batch_of.steps_per_epoch):
        batch = batch_of(step)
        with torch.no_grad():
            output = student(batch.pixel_values)
        assert isinstance(output, TeacherOutput)
        heads = [logits.requires_grad_() for logits in (output.cls_logits, output.distillation_logits)]
        answer: Any = partial(_answer, TeacherOutput(sum(heads) / 2, *heads))
        torch.autograd.backward(classification(recipe, teach=teach)(answer, batch, torch.Generator()).loss)
        assert heads[1].grad is not None
        pulls.append(float(len(batch.targets) * heads[1].grad.norm(dim=1).mean()))
    return float(np.mean(pulls))


def _answer(output: TeacherOutput, pixel_values: torch.Tensor, **options: Any) -> TeacherOutput:
    """A student that answers so, whatever it sees."""
    return output
