r"""Muon: an optimizer for matrices, whose steps are equally long in all of a matrix's directions.

A gradient, smoothed over time, has few large and many small directions, its singular vectors. Muon keeps the directions
and makes their lengths nearly equal, by a polynomial that is applied five times:

$$X \leftarrow a X + b \, (X X^T) X + c \, (X X^T)^2 X$$

`torch.optim.Muon` does the same in bfloat16, one matrix after the other. Where a CPU does not multiply bfloat16 itself,
that takes two fifths of a student's step; in float32, with matrices of one shape side by side, it takes a thirtieth.

Source: Jordan et al. 2024 ("Muon: an optimizer for hidden layers in neural networks"); Liu et al. 2025 ("Muon is
scalable for LLM training"), equation 4, for the length of a step.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import torch
from jaxtyping import Float

Array: TypeAlias = torch.Tensor

MOMENTUM = 0.95
_POLYNOMIAL = (3.4445, -4.7750, 2.0315)  # steep at 0, and from there within 0.7 to 1.2, but never quite at 1
_ROUNDS = 5


def equalized(matrices: Float[Array, "count rows columns"]) -> Float[Array, "count rows columns"]:
    """The directions of these matrices at nearly equal lengths: singular values of 0.7 to 1.2 for all but tiny ones."""
    a, b, c = _POLYNOMIAL
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if is_tall else matrices  # the smaller of two possible squares
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)  # no singular value is above 1
    for _ in range(_ROUNDS):
        square = x @ x.mT  # (count, rows, rows)
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if is_tall else x


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov's momentum, steps as long as AdamW's usual ones, and a decay that is apart from the gradient.

    One learning rate therefore serves both.
    """

    def __init__(self, params: Iterable[dict[str, Any]]) -> None:
        super().__init__(params, {"lr": 1e-3, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every matrix that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[torch.nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape.setdefault(parameter.shape, []).append(parameter)
            for shape, parameters in by_shape.items():
                directions = equalized(torch.stack([self._smoothed(parameter) for parameter in parameters]))
                length = 0.2 * max(shape) ** 0.5  # which makes the mean square of a step AdamW's, 0.2 squared
                for parameter, direction in zip(parameters, directions, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.sub_(direction, alpha=group["lr"] * length)

    def _smoothed(self, parameter: torch.nn.Parameter) -> Array:
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        return gradient.lerp(state["momentum_buffer"].lerp_(gradient, 1 - MOMENTUM), MOMENTUM)
