r"""Calibration: whether a model is right as often as it says, and one temperature that brings it nearer to that.

Source: Guo et al. 2017 ("On calibration of modern neural networks"), equations 3 and 9.
"""

from typing import TypeAlias

import torch
from jaxtyping import Float, Int

Array: TypeAlias = torch.Tensor


def expected_calibration_error(
    logits: Float[Array, "photos classes"], labels: Int[Array, "photos"], *, bins: int = 15
) -> float:
    r"""How far confidence is from accuracy: $\sum_b \frac{n_b}{n} |\text{accuracy}_b - \text{confidence}_b|$.

    Bins are of equal width; bin b of B holds the photos whose answer has a probability p of (b - 1) / B < p <= b / B.
    """
    confidence, answers = logits.softmax(dim=1).max(dim=1)
    places = (confidence * bins).ceil().long()  # (photos,): 1..bins, as no answer has probability 0
    is_right = (answers == labels).to(confidence.dtype)
    gaps = torch.zeros(bins + 1, dtype=confidence.dtype).index_add(0, places, is_right - confidence)
    return float(gaps.abs().sum() / len(labels))


def fitted_temperature(logits: Float[Array, "photos classes"], labels: Int[Array, "photos"]) -> float:
    r"""The number that logits are divided by so that their mean cross entropy is lowest; between 1/20 and 20.

    The slope of cross entropy over $\beta = 1 / T$ is that of a convex function, the mean of $\sum_k p_k z_k - z_y$: it
    grows from below 0 to above, and its root is found by halving.
    """
    right = logits.gather(1, labels[:, None])[:, 0]  # (photos,)

    def slope(beta: float) -> float:
        return float((((beta * logits).softmax(dim=1) * logits).sum(dim=1) - right).mean())

    low, high = 1 / 20, 20.0
    for _ in range(50):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 1 / low
