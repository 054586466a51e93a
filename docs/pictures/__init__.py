"""Pictures that are made anew at each build: `{{ photo attention }}`."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from pictures import answers, augmentations, experiments, others, recipe, tokens

# By name, from the bundled classifier's weights to a figure of HTML, in which pages have addresses such as viewer.md.
Pictures: TypeAlias = Mapping[str, Callable[[Any], str]]

# One photo on its way through the bundled model.
RUNNING: Pictures = {
    function.__name__: function
    for function in (
        answers.hero,
        answers.hide,
        tokens.patches,
        tokens.filters,
        tokens.positions,
        tokens.layers,
        answers.attention,
        answers.encoder,
        answers.lens,
        answers.heads,
        answers.model,
        others.simmim,
        others.relevance,
        others.image,
        others.squash,
        others.resize,
    )
}

# How models are trained, and what experiments with them found.
LEARNING: Pictures = {
    function.__name__: function
    for function in (
        augmentations.crop_and_flip,
        augmentations.rand_augment,
        augmentations.mixing,
        augmentations.erasing,
        augmentations.whole_batch,
        recipe.schedule,
        recipe.stochastic_depth,
        recipe.initial_weights,
        recipe.speed_and_accuracy,
        experiments.token_cosine,
        experiments.teaching,
        experiments.hiding,
    )
}

PICTURES: Pictures = {**RUNNING, **LEARNING}
