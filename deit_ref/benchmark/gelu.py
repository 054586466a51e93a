r"""Fits the polynomial of `activations._gelu_float32`: seven numbers, with which GELU is off by as little as possible.

python -m deit_ref.benchmark.gelu
"""

import sys
from typing import Any

import numpy as np
from scipy.special import expit, log_ndtr, ndtr

Array = np.ndarray[Any, Any]


def error(coefficients: Array, x: Array) -> Array:
    r"""By how much $x / (1 + e^{-x P(x^2)})$ is off from $x \, \Phi(x)$, in float64.

    Args:
        coefficients: of P, from the constant term up.
        x: (points,).
    """
    return x * (expit(x * (_powers(x, len(coefficients)) @ coefficients)) - ndtr(x))


def fitted(terms: int = 7, *, points: int = 600, rounds: int = 1000) -> Array:
    r"""The coefficients of P whose largest error on |x| <= 6 is smallest.

    $P(x^2) = \log(\Phi(x) / \Phi(-x)) / x$ would be exact. A small error of P moves $x \, \Phi(x)$ by
    $x^2 \, \Phi(x) \, \Phi(-x)$ times as much. So each round is a least squares fit of P with these factors for
    weights, and then what is off by more counts for more (Lawson's algorithm). In the end all peaks of the error are
    equally high.

    Args:
        terms: of P.
        points: of the line from 0 to 6 where the error is looked at; below 0 it is the same.
        rounds: of weighting anew.
    """
    x = np.linspace(0, 6, points + 1)[1:]
    exact, moved = (log_ndtr(x) - log_ndtr(-x)) / x, x * x * ndtr(x) * ndtr(-x)
    weights, best = np.ones_like(x), np.zeros(terms)
    for _ in range(rounds):
        factors = moved * np.sqrt(weights)
        columns = _powers(x, terms) * factors[:, None]
        sizes = np.abs(columns).max(axis=0)  # powers of 36 lie far apart: each column is brought to size 1 and back
        found = np.linalg.lstsq(columns / sizes, exact * factors, rcond=None)[0] / sizes
        if np.abs(error(found, x)).max() < np.abs(error(best, x)).max():
            best = found
        off = np.abs(error(found, x))
        weights *= off / off.max() + 1e-3
        weights /= weights.mean()
    return best


def _powers(x: Array, terms: int) -> Array:
    return (x * x)[:, None] ** np.arange(terms)


def main() -> int:
    """Print the coefficients of fits of two to eight terms, and their largest errors."""
    x = np.linspace(0, 6, 60001)
    for terms in range(2, 9):
        found = fitted(terms)
        print(
            f"{terms} terms, off by up to {np.abs(error(found, x)).max():.1e}: {', '.join(f'{c:.9g}' for c in found)}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
