r"""Chapter 11: from gradients to better weights.

Input -> output: weights and their gradients, trees of the same form -> weights, and what the next step must remember.

A gradient says which way is up; learning is a small step down, again and again. How small, and whether all numbers
take steps of the same size, is what the functions here decide. They are pure: trees go in, new trees come out.

Source: Kingma & Ba 2015 (Adam), Loshchilov & Hutter 2019 (decoupled decay) and 2017 (cosine), Polyak & Juditsky 1992
(averages); the conventions are those of torch.optim, which is the mirror of this file.
"""

import math
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float

from deit_ref.weights import DeiTWeights, map_weights, named_arrays

Array: TypeAlias = np.ndarray[Any, Any]


class Moments(NamedTuple):
    """What AdamW remembers: how many steps it made, and the running means of the gradients and of their squares."""

    step: int
    mean: DeiTWeights
    square: DeiTWeights


def moments(weights: DeiTWeights) -> Moments:
    """Before the first step: no step, and zeros."""
    return Moments(0, map_weights(np.zeros_like, weights), map_weights(np.zeros_like, weights))


def adamw(
    weights: DeiTWeights,
    gradients: DeiTWeights,
    state: Moments,
    *,
    learning_rate: float,
    weight_decay: float = 0.05,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
) -> tuple[DeiTWeights, Moments]:
    r"""One step of AdamW: every number moves by about the learning rate, however large its gradients are.

    $$\begin{gathered} m \leftarrow \beta_1 m + (1 - \beta_1) g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
      w \leftarrow (1 - \eta \lambda) w
      - \eta \, \frac{m / (1 - \beta_1^\text{step})}{\sqrt{v / (1 - \beta_2^\text{step})} + \epsilon}
      \end{gathered}$$

    m is where the gradient has pointed lately; the root of v is how large it has been. Their quotient is near 1 or -1
    where gradients agree, and near 0 where they contradict each other. Both means start at 0, and are too small by the
    factor $1 - \beta^\text{step}$, which the formula takes out again.

    The decay is decoupled: it pulls w to 0 by itself. Added to the gradient, as in the older Adam, it would be divided
    by the root of v as well, so that the weights with the largest gradients would decay the least.

    Args:
        weights: what is to become better.
        gradients: of the loss, a tree like weights.
        state: from `moments`, or from the step before.
        learning_rate: $\eta$.
        weight_decay: $\lambda$, for the arrays that `decays` names.
        betas, eps: $\beta_1$ and $\beta_2$; $\epsilon$.

    Returns:
        The new weights, and the state for the next step.
    """
    (beta1, beta2), step = betas, state.step + 1
    mean = map_weights(lambda m, g: beta1 * m + (1 - beta1) * g, state.mean, gradients)
    square = map_weights(lambda s, g: beta2 * s + (1 - beta2) * g * g, state.square, gradients)

    def moved(
        w: Float[Array, "*shape"], m: Float[Array, "*shape"], s: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        root = np.sqrt(s / (1 - beta2**step))
        return w - learning_rate * (m / (1 - beta1**step)) / (root + eps)

    weights = map_weights(moved, decayed(weights, learning_rate * weight_decay), mean, square)
    return weights, Moments(step, mean, square)


def sgd(
    weights: DeiTWeights,
    gradients: DeiTWeights,
    velocity: DeiTWeights | None,
    *,
    learning_rate: float,
    momentum: float = 0.9,
) -> tuple[DeiTWeights, DeiTWeights]:
    r"""One step of gradient descent with momentum: $m \leftarrow \beta_1 m + g$, $w \leftarrow w - \eta m$.

    As a heavy ball: it keeps rolling where the slope has been the same for long, and cares little about single bumps.

    Args:
        weights, gradients: as in `adamw`.
        velocity: m of the step before; None at the first.
        learning_rate: $\eta$.
        momentum: $\beta_1$, 0 for plain gradient descent.

    Returns:
        The new weights, and the velocity for the next step.
    """
    if velocity is not None:
        gradients = map_weights(lambda v, g: momentum * v + g, velocity, gradients)
    return map_weights(lambda w, v: w - learning_rate * v, weights, gradients), gradients


def decays(name: str, array: Float[Array, "*shape"]) -> bool:
    """Whether decay pulls at this array: only at matrices and kernels; biases, norms, tokens and positions stay."""
    return array.ndim >= 2 and name not in ("cls_token", "dist_token", "mask_token", "pos_embed")


def decayed(weights: DeiTWeights, share: float) -> DeiTWeights:
    """The weights, of which those that `decays` names are smaller by this share."""
    pulled = {id(array) for name, array in named_arrays(weights) if decays(name, array)}
    return map_weights(lambda w: w * (1 - share) if id(w) in pulled else w, weights)


def clipped(gradients: DeiTWeights, *, max_norm: float) -> tuple[DeiTWeights, float]:
    r"""Gradients whose length, all numbers taken as one vector, is at most max_norm; and the length that they had.

    One strange batch cannot throw the weights far away: the direction stays, the step is shortened.

    Args:
        gradients: a tree.
        max_norm: above 0; 1 is common.
    """
    norm = math.sqrt(sum(float(np.square(g, dtype=np.float64).sum()) for _, g in named_arrays(gradients)))
    factor = min(max_norm / (norm + 1e-6), 1.0)
    return map_weights(lambda g: g * factor, gradients), norm


def cosine(step: int, *, steps: int, highest: float, warmup: int = 0, lowest: float = 0.0) -> float:
    r"""The learning rate at a step: up in a straight line, then down in half a cosine.

    $$\eta \, \frac{\text{step}}{\text{warmup}} \; (\text{step} < \text{warmup}), \qquad
      \eta_\text{low} + \tfrac12 (\eta - \eta_\text{low}) \Big(1 + \cos \pi \frac{\text{step}}{\text{steps}}\Big)$$

    Slow at first, because AdamW's means know little and attention has not found anything yet; large in the middle, to
    get far; small at the end, to come to rest.

    Args:
        step: from 0 on.
        steps: of the whole training.
        highest, lowest: $\eta$ and $\eta_\text{low}$.
        warmup: the steps of the way up.
    """
    if step < warmup:
        return highest * step / warmup
    return lowest + 0.5 * (highest - lowest) * (1 + math.cos(math.pi * min(step / steps, 1)))


def averaged(average: DeiTWeights, weights: DeiTWeights, *, decay: float) -> DeiTWeights:
    r"""The moving average $\bar w \leftarrow \beta_\text{ema} \bar w + (1 - \beta_\text{ema}) w$.

    It remembers the last $1 / (1 - \beta_\text{ema})$ steps or so.

    Each batch pulls the weights its own way; the mean of many steps has less of that, and mostly answers better.

    Args:
        average: of the steps before.
        weights: after this step.
        decay: d, in [0, 1).
    """
    return map_weights(lambda a, w: decay * a + (1 - decay) * w, average, weights)
