r"""Chapter 11, learning: the loop.

Input -> output: weights that know nothing, and batches of photos with labels -> every step to weights that know more.

    for each batch:  loss and gradients  ->  clip  ->  a step of AdamW at this step's learning rate

That is all. What makes DeiT's training its own is in the loss: with a teacher's logits in the batch, the distillation
token learns from them.

Source: Touvron et al. 2021, section 4 and table 9; engine.py of facebookresearch/deit.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float, Integer

from deit_ref.numpy_backend.backward.gradients import gradients
from deit_ref.numpy_backend.backward.optimizer import adamw, averaged, clipped, cosine, moments
from deit_ref.weights import DeiTWeights

Array: TypeAlias = np.ndarray[Any, Any]


class Batch(NamedTuple):
    """pixel_values (batch, channels, height, width), labels (batch,), and teacher_logits (batch, classes) or None."""

    pixel_values: Array
    labels: Array
    teacher_logits: Array | None = None


class Step(NamedTuple):
    """One step: its number from 1 on, the loss before it, the length of the gradient, and the weights after it.

    average: the moving average of the weights.
    """

    number: int
    loss: float
    norm: float
    learning_rate: float
    weights: DeiTWeights
    average: DeiTWeights


def batches(
    pixel_values: Float[Array, "photos channels height width"],
    labels: Integer[Array, "photos"],
    teacher_logits: Float[Array, "photos classes"] | None = None,
    *,
    batch_size: int,
    epochs: int,
    seed: int,
) -> Iterator[Batch]:
    """Every photo once in each epoch, in another order each time; a rest that makes no batch waits for the next epoch.

    Args:
        pixel_values: normalized pixels.
        labels: class numbers.
        teacher_logits: of the same photos; None without a teacher.
        batch_size: at most the number of photos.
        epochs: how often each photo is seen.
        seed: of the order.
    """
    generator = np.random.default_rng(seed)
    for _ in range(epochs):
        order = generator.permutation(len(labels))
        for first in range(0, len(order) - batch_size + 1, batch_size):
            rows = order[first : first + batch_size]
            yield Batch(pixel_values[rows], labels[rows], None if teacher_logits is None else teacher_logits[rows])


def fit(
    weights: DeiTWeights,
    given: Iterable[Batch],
    *,
    steps: int,
    learning_rate: float,
    warmup: int,
    weight_decay: float = 0.05,
    clip_norm: float = 1.0,
    decay: float = 0.98,
    drop_path: float = 0.0,
    seed: int = 0,
    optimizer: Callable[..., tuple[DeiTWeights, Any]] = adamw,
    **loss: Any,
) -> Iterator[Step]:
    """Learn, and hand out every step, so that whoever watches can draw, measure, or stop.

    Args:
        weights: to begin with.
        given: the batches; training ends with them.
        steps: how many there are: the cosine must know where it ends.
        learning_rate: the highest.
        warmup: steps until it is reached.
        weight_decay, clip_norm: see `optimizer.adamw` and `optimizer.clipped`.
        decay: of the average; see `optimizer.averaged`.
        drop_path: see `encoder.encoder`.
        seed: of dropout and drop path.
        optimizer: what makes a step, of `adamw`'s form.
        loss: distillation, alpha and tau; see `gradients.gradients`.
    """
    state: Any = moments(weights)
    average = weights
    for number, batch in enumerate(given):
        rate = cosine(number, steps=steps, highest=learning_rate, warmup=warmup)
        generator = np.random.default_rng([seed, number])
        found = gradients(
            weights,
            batch.pixel_values,
            labels=batch.labels,
            teacher_logits=batch.teacher_logits,
            drop_path=drop_path,
            generator=generator,
            **loss,
        )
        clip, norm = clipped(found.weights, max_norm=clip_norm)
        weights, state = optimizer(weights, clip, state, learning_rate=rate, weight_decay=weight_decay)
        average = averaged(average, weights, decay=decay)
        yield Step(number + 1, float(found.value), norm, rate, weights, average)
