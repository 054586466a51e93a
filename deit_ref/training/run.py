"""Whole runs: from a recipe and a folder of photos to a checkpoint that `load_weights` reads."""

import dataclasses
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.func import functional_call

from deit_ref import checks
from deit_ref.api import preprocess
from deit_ref.arrays import digest_of_arrays
from deit_ref.checkpoints.huggingface import save_weights
from deit_ref.checkpoints.load import load_weights
from deit_ref.data.classes import check_same_classes, composed_names
from deit_ref.data.images import ImageSet
from deit_ref.data.opening import open_splits
from deit_ref.image_processing import ImageProcessing
from deit_ref.torch_backend.model import TASKS
from deit_ref.training.batches import Batches, mean_and_std
from deit_ref.training.evaluate import evaluate, reconstruction_error
from deit_ref.training.fingerprint import fingerprint
from deit_ref.training.lock import locked
from deit_ref.training.loop import bfloat16_is_fast, fit
from deit_ref.training.objectives import Objective, classification, from_labels, masked_image_modeling
from deit_ref.training.prepared import kept, of_channels, prepared
from deit_ref.training.processes import in_first, processes
from deit_ref.training.recipe import Recipe
from deit_ref.training.state import checkpoint_of
from deit_ref.training.student import Student, adapted, new_weights, processing_of
from deit_ref.training.teacher import Teach, Teacher, is_teacher, load_teacher, new_teacher, save_teacher
from deit_ref.weights import DeiTWeights, named_arrays

logger = logging.getLogger("deit_ref")


def train(
    recipe: Recipe,
    data: str | os.PathLike[str] | Mapping[str, ImageSet],
    out: str | os.PathLike[str],
    *,
    teacher: str | os.PathLike[str] | Teach | None = None,
    start: DeiTWeights | None = None,
    task: str | None = None,
    seed: int = 0,
    resume: bool = False,
    device: Any = None,
    bfloat16: bool | None = None,
    held_out: float = 0.0,
    assess_every: int = 1,
    report: Callable[[dict[str, Any]], object] | None = None,
) -> None:
    """Train by a recipe and write a checkpoint.

    Under torchrun every process calls this with the same arguments; the first one writes.

    Args:
        recipe: what is trained, and how.
        data: photos in class folders with a "train" and, for evaluation, a "test" part, see `data.opening.open_images`;
            or these parts, opened.
        out: a folder; gets the weights (float32), checkpoint.pt and metrics.jsonl.
        teacher: for recipes with distillation: a folder that `train-teacher` wrote, any checkpoint `load_weights`
            reads, or a function from photos in 0..1 (batch, 3, height, width) to logits, which a run that goes on
            knows by its attribute `digest`, if it has one; of the same classes.
        start: weights to begin with, instead of random ones: fine-tuning. Their task is taken over if it has heads;
            otherwise, and where the recipe distills, it is "classification-with-teacher".
        task: of the weights that begin with `start`, instead: "classification" learns with the class token alone.
        seed: of everything.
        resume: go on from the checkpoint in `out`.
        device: None means "cuda" where there is one, else "cpu".
        bfloat16: None means where the hardware multiplies it.
        held_out: which share of the photos `data`'s "test" is, if they were held out; kept with the weights.
        assess_every: epochs between evaluations.
        report: called in the first process with each line of metrics.jsonl.

    Raises:
        ValueError: an argument is out of range, some do not go together, photos or files cannot be read, the loss is
            not a number, another run is at work in `out`, or the one to resume ran on something else or is damaged.
    """
    out = Path(out)
    checks.integer("seed", seed, minimum=0)
    checks.integer("assess_every", assess_every)
    checks.number("held_out", held_out, low=0, high=1)
    if task is not None:
        checks.choice("task", task, ("classification", "classification-with-teacher"))
    if task is not None and (start is None or (recipe.distillation != "none" and task == "classification")):
        raise ValueError(
            f"task={task!r} is of weights to start from, and distillation={recipe.distillation!r} needs both tokens "
            "unless it is 'none': leave out the task."
        )
    if (recipe.distillation != "none") != (teacher is not None):
        raise ValueError(
            f"distillation={recipe.distillation!r} with teacher={teacher!r}: 'soft' and 'hard' need a teacher, 'none' "
            "has none."
        )
    with processes(device) as (where, rank, world), ExitStack() as stack:
        splits = data if isinstance(data, Mapping) else open_splits(data, processing_of(recipe, start))
        images, test = splits["train"], splits.get("test")
        if test is None:
            logger.warning("nothing is evaluated: there are no test photos.")
        else:
            check_same_classes(images, test)
        module = _module(recipe, images, start=start, task=task, seed=seed).to(where)
        processing = module.image_processing
        channels = 3 if start is None else start.config.num_channels
        batches = Batches(
            images, recipe, processing, channels=channels, seed=seed, device=where, rank=rank, world=world
        )
        teach, taught_by = None, None
        if teacher is not None:
            teach, taught_by = teach_from(teacher, images.class_names, processing, recipe, device=where)
        autocast = bfloat16_is_fast(where) if bfloat16 is None else bfloat16
        runs_on = fingerprint(
            images,
            test,
            image_processing=processing,
            start=None if start is None else named_arrays(start),
            teacher=taught_by,
            numerics={"bfloat16": autocast, "device": where.type, "processes": world},
            held_out=held_out,
        )
        if resume:
            checkpoint_of(out)
        in_first(lambda: stack.enter_context(locked(out)), rank=rank, world=world)
        state = fit(
            module,
            _objective(recipe, module, teach),
            batches,
            recipe,
            folder=out,
            seed=seed,
            assess=None if test is None else _assess(recipe, module, test, batches),
            assess_every=assess_every,
            resume=resume,
            autocast=autocast,
            report=report,
            runs_on=runs_on,
        )
        if rank == 0:
            provenance = {"recipe": dataclasses.asdict(recipe), "seed": seed, **runs_on}
            _write(out, module, state, images.class_names, provenance)


def teach_from(
    teacher: str | os.PathLike[str] | Teach,
    class_names: tuple[str, ...],
    processing: ImageProcessing,
    recipe: Recipe,
    *,
    device: torch.device,
) -> tuple[Teach, str]:
    """A function from the student's pixel_values to the teacher's logits, and the digest of its weights.

    Raises:
        ValueError: the teacher knows other classes or photos of another size.
    """
    mean, std = mean_and_std(processing, device)
    ask: Teach
    if callable(teacher):
        ask, digest = teacher, getattr(teacher, "digest", "a function")
    elif is_teacher(teacher):
        module, names = load_teacher(teacher)
        _same_classes(names, class_names, teacher)
        # One look: the other is half of the teacher's time, and the photo is mirrored at random anyway.
        ask, digest = module.to(device).look, digest_of_arrays(module.state_dict().items())
    else:
        weights = load_weights(teacher)
        _same_classes(weights.class_names, class_names, teacher)
        ask = _deit_teacher(weights, recipe, teacher, device=device)
        digest = digest_of_arrays(named_arrays(weights))
    return lambda pixel_values: ask((pixel_values * std + mean).expand(-1, 3, -1, -1)), digest  # gray is repeated


def _deit_teacher(weights: DeiTWeights, recipe: Recipe, source: Any, *, device: torch.device) -> Teach:
    size = (recipe.image_size, recipe.image_size)
    if weights.config.num_channels != 3:
        raise ValueError(f"The teacher {source} must take 3 channels, gray ones alike; it takes another number.")
    if weights.head is None or weights.config.image_shape != size:
        raise ValueError(
            f"The teacher {source} must classify images of {size[0]}x{size[1]} pixels, as the student does; it is of "
            f"the task {weights.task!r} and {weights.config.image_shape[0]}x{weights.config.image_shape[1]} pixels."
        )
    tree, mean, std = weights.to("torch", device=device), *mean_and_std(weights.image_processing, device)
    task: Callable[..., Any] = TASKS[weights.task]
    return lambda photos: task(tree, (photos - mean) / std).logits


def _same_classes(theirs: tuple[str, ...] | None, ours: tuple[str, ...], source: Any) -> None:
    if theirs is None or composed_names(theirs) != composed_names(ours):
        known = "unnamed classes" if theirs is None else f"{len(theirs)} classes ({checks.some(theirs)})"
        raise ValueError(
            f"The teacher {source} knows {known}, the photos are of {len(ours)} classes ({checks.some(ours)}): both "
            "must be the same, in the same order."
        )


def _module(
    recipe: Recipe, images: ImageSet, *, start: DeiTWeights | None, task: str | None, seed: int
) -> Student | Teacher:
    if recipe.task == "teacher":
        if start is not None:
            raise ValueError("A teacher begins with random weights: leave out the checkpoint to start from.")
        teacher = new_teacher(
            len(images.class_names), seed=seed, image_size=recipe.image_size, apply_exif=bool(recipe.apply_exif)
        )
        chosen = np.random.default_rng(seed).permutation(len(images))[:2000]
        photos = [images.read(int(i)) for i in chosen]
        teacher.fit_whitening(preprocess(photos, teacher.image_processing, backend="torch"))
        return teacher
    if start is not None and recipe.task != "classification":
        raise ValueError(f"Fine-tuning learns classes, the recipe's task is {recipe.task!r}: choose another recipe.")
    if start is None:
        weights = new_weights(recipe, class_names=images.class_names, seed=seed)
    else:
        both = recipe.distillation != "none" or start.task != "classification"
        task = task or ("classification-with-teacher" if both else "classification")
        weights = adapted(start, recipe, task=task, class_names=images.class_names, seed=seed)
    return Student(weights)


def _objective(recipe: Recipe, module: Student | Teacher, teach: Teach | None) -> Objective:
    if not isinstance(module, Student):
        return from_labels
    if recipe.task == "masked-image-modeling":
        return masked_image_modeling(recipe, module.config)
    return classification(recipe, teach=teach)


def _assess(
    recipe: Recipe, module: Student | Teacher, test: ImageSet, batches: Batches
) -> Callable[[Mapping[str, torch.Tensor]], dict[str, Any]]:
    photos, processing = prepared(of_channels(test, batches.channels), module.image_processing)
    photos = kept(photos)
    share: dict[str, Any] = {"device": batches.device, "rank": batches.rank, "world": batches.world}

    def assess(state: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        def model(x: torch.Tensor, **options: Any) -> Any:
            return functional_call(module, dict(state), (x,), options)

        if isinstance(module, Student) and module.task == "masked-image-modeling":
            return reconstruction_error(model, photos, processing, recipe, module.config, **share)
        return evaluate(model, photos, processing, **share)

    return assess


def _write(
    out: Path,
    module: Student | Teacher,
    state: Mapping[str, torch.Tensor],
    class_names: tuple[str, ...],
    provenance: Mapping[str, Any],
) -> None:
    if isinstance(module, Student):
        save_weights(module.tree(state).to("numpy"), out, provenance=provenance)
    else:
        module.load_state_dict(state)
        save_teacher(module, out, class_names=class_names, provenance=provenance)
