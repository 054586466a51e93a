r"""What `compare` returns: every step of both backends side by side, and how far apart two right answers may be.

Differences are divided by the step's largest value. Most steps hand on what rounding did before them, so that one bound
for all holds: `BOUNDS`, a few hundred roundings. Softmax does not. A score of size s is rounded by up to
$s \cdot 2^{-24}$ in float32, and a probability depends on differences of scores, however large they are:

$$p_i = \frac{e^{s_i}}{\sum_j e^{s_j}}, \qquad |\Delta s_j| \le \delta
\;\Rightarrow\; e^{-2\delta} \le \frac{p_i + \Delta p_i}{p_i} \le e^{2\delta}
\;\Rightarrow\; |\Delta p_i| \le (e^{2\delta} - 1) \max_j p_j$$

(the numerator changes by a factor of at most $e^{\delta}$, and so does the denominator). The means of the values by
these probabilities inherit it, $|\sum_j \Delta p_j v_j| \le (e^{2\delta} - 1) \max_j |v_j|$, also where torch's kernel
has rounded scores of its own on the way. So these two steps may differ by $e^{2\delta} - 1$ more, with the $\delta$
that was found in their scores: next to nothing for scores of size 1, some 1e-4 for the scores of 300 that trained
models have.

What comes later is off by what softmax has let in, which is measured and not only bounded: at most `HANDED_ON` times
the largest difference since the first softmax may be added to a step's bound. A residual sum doubles it, when both
branches are off by as much, and so may a matrix that stretches the difference more than the tokens. A mistake of a
later step thus has no more room than rounding really took before it, and shows where it enters.
"""

import math
from dataclasses import dataclass

import numpy as np

from deit_ref.arrays import as_numpy
from deit_ref.trace import Trace

# By the dtype of torch; NumPy computes in float64 beside float64, else in float32.
BOUNDS = {"float64": 1e-10, "float32": 1e-5, "float16": 2e-2, "bfloat16": 1e-1}
HANDED_ON = 4


@dataclass(frozen=True)
class ComparedStep:
    """One traced step in both backends.

    Attributes:
        name: as in the Trace.
        shape: of the array.
        largest: its largest absolute value in NumPy.
        difference: the largest absolute difference, divided by `largest`.
        bound: what the difference may be for the two to count as equal.
    """

    name: str
    shape: tuple[int, ...]
    largest: float
    difference: float
    bound: float

    @property
    def excess(self) -> float:
        """The difference as a multiple of its bound; infinite where there is no number."""
        multiple = self.difference / self.bound
        return np.inf if math.isnan(multiple) else multiple


@dataclass(frozen=True)
class Comparison:
    """Every step of both backends side by side; `print` shows it as a table.

    Attributes:
        rows: the steps, in order.
        bound: what a difference may be before the first softmax; behind it each row has its own.
    """

    rows: tuple[ComparedStep, ...]
    bound: float

    @property
    def worst(self) -> ComparedStep:
        """The step whose difference is largest, measured by its bound."""
        return max(self.rows, key=lambda row: row.excess)

    @property
    def agrees(self) -> bool:
        """Whether every difference is within its bound; of a bound of 1 or more, see `unproven`, that says nothing."""
        return self.worst.excess <= 1

    @property
    def unproven(self) -> tuple[str, ...]:
        """Steps that may differ by as much as they hold: rounding in this dtype leaves nothing of them to compare."""
        return tuple(row.name for row in self.rows if row.bound >= 1)

    def __str__(self) -> str:
        width = max(len(row.name) for row in self.rows)
        lines = [f"{'step':<{width}}  {'shape':<20} {'largest':>10} {'difference':>11}"]
        lines += [
            f"{row.name:<{width}}  {'x'.join(map(str, row.shape)):<20} {row.largest:>10.3g} {row.difference:>11.1e}"
            for row in self.rows
        ]
        verdict = "agree" if self.agrees else "DO NOT AGREE"
        lines.append(
            f"NumPy and torch {verdict}: largest difference {self.worst.difference:.1e} of the largest value, at "
            f"{self.worst.name}; bound {self.worst.bound:.0e}."
        )
        if self.unproven:
            lines.append(
                f"Nothing is proven of {len(self.unproven)} of {len(self.rows)} steps, from {self.unproven[0]} on: "
                "the scores are so large that rounding alone could change all of them; compare in a wider dtype."
            )
        return "\n".join(lines)


def compared(book: Trace, mirror: Trace, *, dtype: str) -> Comparison:
    """What the two backends recorded, side by side.

    Args:
        book, mirror: complete traces of one call, by NumPy and by torch.
        dtype: of torch, a name in `BOUNDS`.
    """
    if list(book) != list(mirror):
        raise AssertionError("The two backends recorded different steps.")
    rows: list[ComparedStep] = []
    # The largest difference of a score, and of what has come behind a softmax.
    delta = behind = 0.0
    after = False
    for name in book:
        a, b = (as_numpy(trace[name]).astype(np.float64) for trace in (book, mirror))
        largest = float(np.abs(a[np.isfinite(a)]).max(initial=0))
        # Equal infinities (masked scores) differ by nothing; every other one makes the step disagree.
        gap = float(np.abs(np.subtract(a, b, where=a != b, out=np.zeros(a.shape))).max(initial=0))
        difference = gap / (largest or 1.0)
        bound = BOUNDS[dtype] + HANDED_ON * behind
        delta = gap if name.endswith("attention.scores") else delta
        if name.endswith(("attention.probabilities", "attention.context")):
            bound += math.expm1(min(2 * delta, 1.0))  # beyond 1 nothing would be left to compare
        after = after or name.endswith("attention.context")
        behind = max(behind, difference) if after else behind
        rows.append(ComparedStep(name, tuple(a.shape), largest, difference, bound))
    return Comparison(tuple(rows), BOUNDS[dtype])
