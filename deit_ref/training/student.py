"""The student: a DeiT whose weights torch can train, new or begun from a checkpoint of another size or task."""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from deit_ref import checks
from deit_ref.arrays import to_torch
from deit_ref.config import DeiTConfig
from deit_ref.data.classes import composed_names
from deit_ref.image_processing import ImageProcessing
from deit_ref.outputs import Output
from deit_ref.torch_backend.model import TASKS
from deit_ref.torch_backend.positions import interpolate_pos_embed
from deit_ref.training.recipe import MODELS, Recipe
from deit_ref.weights import DeiTWeights, array_shapes, draw_arrays, init_weights, named_arrays, weights_from_arrays

logger = logging.getLogger("deit_ref")


class Student(torch.nn.Module):
    """Weights as parameters, for torch's optimizers and DistributedDataParallel; the model itself is the mirror's.

    Parameters have the names of `named_arrays`, with "/" for ".", which torch keeps for itself.
    """

    def __init__(self, weights: DeiTWeights) -> None:
        super().__init__()
        self.config, self.task = weights.config, weights.task
        self.image_processing, self.class_names = weights.image_processing, weights.class_names
        for name, array in named_arrays(weights):
            value = to_torch(array, dtype="float32").detach().clone()
            self.register_parameter(name.replace(".", "/"), torch.nn.Parameter(value))

    @property
    def weights(self) -> DeiTWeights:
        """The tree of these parameters, not copied."""
        return self.tree(dict(self.named_parameters()))

    def tree(self, parameters: Mapping[str, Any]) -> DeiTWeights:
        """A tree like this student's of other tensors under the same names, such as averaged ones."""
        return weights_from_arrays(
            {name.replace("/", "."): value for name, value in parameters.items()},
            self.config,
            self.task,
            image_processing=self.image_processing,
            class_names=self.class_names,
        )

    def forward(self, pixel_values: torch.Tensor, **options: Any) -> Output:
        """The output of the task; options are those of `torch_backend.model.encode`."""
        return TASKS[self.task](self.weights, pixel_values, **options)


def new_weights(recipe: Recipe, *, class_names: tuple[str, ...], seed: int) -> DeiTWeights:
    """Weights of the recipe's model, drawn from the seed as the original repository draws them, tokens included."""
    config = _with_recipe(MODELS[recipe.model], recipe, num_labels=len(class_names))
    masked = recipe.task == "masked-image-modeling"
    task = recipe.task if masked else "classification-with-teacher" if config.distilled else "classification"
    return init_weights(config, task, seed=seed, image_processing=recipe.image_processing, class_names=class_names)


def adapted(weights: DeiTWeights, recipe: Recipe, *, task: str, class_names: tuple[str, ...], seed: int) -> DeiTWeights:
    """Weights to begin fine-tuning from: other classes get new heads, another resolution interpolated positions.

    Args:
        weights: of any task; NumPy arrays.
        recipe: its image_size is that of the new weights.
        task: "classification" learns with the class token alone, "classification-with-teacher" with both tokens.
        class_names: of the new data. Heads are kept if the names are the same and in the same order.
        seed: of what is new: heads, and a distillation token where there was none.

    Returns:
        Weights of the task. What was made anew, dropped or interpolated is said in one log line each.
    """
    config = _with_recipe(weights.config, recipe, num_labels=len(class_names))
    distilled = config.distilled or task == "classification-with-teacher"
    config = dataclasses.replace(config, distilled=distilled, problem_type=None)
    if (before := weights.config.problem_type) not in (None, "single_label_classification"):
        logger.warning("the problem_type %s of the checkpoint is given up: a photo here has one class.", before)
    arrays = dict(named_arrays(weights))
    if weights.config.grid != config.grid:
        logger.warning("positions are interpolated from a grid of %s to %s patches.", weights.config.grid, config.grid)
        arrays["pos_embed"] = interpolate_pos_embed(
            to_torch(arrays["pos_embed"]),
            num_prefix_tokens=weights.config.num_prefix_tokens,
            source_grid=weights.config.grid,
            target_grid=config.grid,
        ).numpy()
    expected = array_shapes(config, task)
    drawn = draw_arrays(expected, std=config.initializer_range, seed=seed)
    if config.distilled and not weights.config.distilled:
        logger.warning("a distillation token is made anew: the checkpoint has none.")
        own = drawn["pos_embed"][:, 1:2]
        arrays["pos_embed"] = np.concatenate([arrays["pos_embed"][:, :1], own, arrays["pos_embed"][:, 1:]], axis=1)
    if dropped := [name for name in arrays if name not in expected]:
        logger.warning("%s: not needed to learn classes, dropped.", ", ".join(dropped))
        arrays = {name: array for name, array in arrays.items() if name in expected}
    known = composed_names(weights.class_names or ())
    if known != composed_names(class_names) and (heads := [name for name in arrays if name.startswith("head")]):
        logger.warning(
            "the classes are not those of the weights but %s: their heads are made anew.",
            checks.some(class_names, most=10),
        )
        arrays = {name: array for name, array in arrays.items() if name not in heads}
    if new := [name for name in expected if name not in arrays and not name.startswith("dist_token")]:
        logger.warning("%s: drawn from seed %s.", ", ".join(new), checks.brief(seed))
    chosen = {name: np.asarray(arrays.get(name, drawn[name])) for name in expected}
    # The checkpoint's mean and std, which its first layer was trained with, at the recipe's size.
    processing = processing_of(recipe, weights)
    return weights_from_arrays(chosen, config, task, image_processing=processing, class_names=class_names)


def processing_of(recipe: Recipe, start: DeiTWeights | None) -> ImageProcessing:
    """What happens to photos: as the recipe says, but mean, std and channels are those `start` has learned with."""
    if start is None:
        return recipe.image_processing
    old = start.image_processing
    return dataclasses.replace(
        recipe.image_processing,
        image_mean=old.image_mean,
        image_std=old.image_std,
        do_convert_rgb=old.do_convert_rgb,
        apply_exif=old.apply_exif if recipe.apply_exif is None else recipe.apply_exif,
    )


def _with_recipe(config: DeiTConfig, recipe: Recipe, *, num_labels: int) -> DeiTConfig:
    if recipe.shrunk_share and any(recipe.shrunk_size % side for side in config.patch_shape):
        raise ValueError(
            f"shrunk_share={recipe.shrunk_share:g} shows photos of {recipe.shrunk_size} pixels a side, not a multiple "
            f"of the patches' {config.patch_shape}: use 0 or a different image_size."
        )
    return dataclasses.replace(
        config,
        image_size=recipe.image_size,
        num_labels=num_labels,
        hidden_dropout_prob=recipe.dropout,
        attention_probs_dropout_prob=recipe.attention_dropout,
    )
