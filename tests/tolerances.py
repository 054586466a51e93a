"""One table of how far numbers may be apart, and why. Differences are divided by the largest reference value.

That measure needs a value that is not itself the small rest of a large difference. So float32 is compared from 8
features and 5 labels on; a layer norm over 2 nearly equal features, or a single logit that happens to be close to 0,
is compared in float64, where what is left still has digits.
"""

import numpy as np

from deit_ref.arrays import as_numpy

BOUNDS = {
    # NumPy against torch, the same weights, any step. float64: rounding of a few hundred operations at 1e-16.
    "float64": 1e-10,
    # float32: the same at 6e-8. tanh GELU (5e-4), eps 1e-6 for 1e-12 (5e-5) and a shifted patch (1) all fail.
    "float32": 1e-5,
    # Half precision keeps 11 and 8 bits, and every layer rounds anew.
    "float16": 2e-2,
    "bfloat16": 1e-1,
    # transformers at equal eps, all tasks, float32.
    "transformers": 1e-5,
    # float32 logits against float64: what float32 costs, whoever computes.
    "float32 against float64": 5e-6,
    # Position interpolation against torch, by dtype.
    "positions float64": 1e-12,
    "positions float32": 2e-5,
    # Gradients, NumPy against autograd, of the largest entry of each array: sums over the batch on top of the above.
    "gradients float64": 1e-10,
    "gradients float32": 2e-5,
}


def distance(actual, reference) -> float:
    """The largest absolute difference, divided by the largest finite absolute value of the reference."""
    actual, reference = (as_numpy(x).astype(np.float64) for x in (actual, reference))
    assert actual.shape == reference.shape, f"shapes differ: {actual.shape} and {reference.shape}"
    if actual.size == 0:
        return 0.0
    gap = np.subtract(actual, reference, where=actual != reference, out=np.zeros(actual.shape))
    largest = np.abs(reference[np.isfinite(reference)]).max(initial=0)
    return float(np.abs(gap).max() / (largest or 1))


def assert_close(actual, reference, bound: str, what: str = "") -> None:
    """Fail unless the distance is within the table's bound; NaN fails."""
    found = distance(actual, reference)
    assert found <= BOUNDS[bound], f"{what or 'arrays'} differ by {found:.2e}, allowed is {BOUNDS[bound]:.0e} ({bound})"
