"""What assignment 4 asks for beside chapters 10 and 11: a ruler for gradients, and a training loop of a few lines.

Source: central differences are as old as calculus; the loop is chapter 11's, for a model that is small enough
to be written out.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from deit_ref.numpy_backend.backward.activations import gelu_vjp
from deit_ref.numpy_backend.backward.layers import linear_vjp
from deit_ref.numpy_backend.backward.losses import mean_squared_error_vjp
from deit_ref.weights import Mlp, map_weights

Array: TypeAlias = np.ndarray[Any, Any]


def differences(
    function: Callable[[Array], Any], x: Float[Array, "*shape"], *, step: float = 1e-5
) -> Float[Array, "*shape"]:
    r"""The gradient of a function, by central differences, number by number.

    $$\frac{\partial f}{\partial x_i} \approx \frac{f(x + \delta u) - f(x - \delta u)}{2 \delta}$$

    with u an array that is 1 at the place i and 0 elsewhere. Slow, but it knows no calculus, and so makes no mistakes
    of calculus.

    Args:
        function: takes an array of x's shape and gives one number.
        x: where the slope is asked for; float64. It stays as it is.
        step: $\delta$.

    Returns:
        An array of x's shape.
    """
    gradient = np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[place] += step
        down[place] -= step
        gradient[place] = (function(up) - function(down)) / (2 * step)
    return gradient


def train(
    weights: Mlp,
    x: Float[Array, "batch features"],
    targets: Float[Array, "batch classes"],
    *,
    steps: int,
    learning_rate: float,
    momentum: float = 0.9,
) -> tuple[Mlp, Float[Array, "steps"]]:
    r"""Train an mlp, $\hat y = \mathrm{fc2}(\mathrm{GELU}(\mathrm{fc1}(x)))$, on all pictures in every step.

    $$m \leftarrow \beta_1 m + g, \qquad w \leftarrow w - \eta m$$

    for each number w of the weights, with its gradient g and an m that begins at 0.

    Args:
        weights: to begin with; they stay as they are.
        x: pictures, one in each row.
        targets: what shall come out: for classes, rows with a 1 at the class and 0 elsewhere.
        steps: how many.
        learning_rate: $\eta$.
        momentum: $\beta_1$; 0 for plain gradient descent.

    Returns:
        The weights after the last step, and the loss, the mean squared error, before each step.
    """
    losses, velocity = np.zeros(steps), map_weights(np.zeros_like, weights)
    for step in range(steps):
        hidden, back_fc1 = linear_vjp(weights.fc1, x)
        bent, back_gelu = gelu_vjp(hidden)
        predictions, back_fc2 = linear_vjp(weights.fc2, bent)
        losses[step], back_loss = mean_squared_error_vjp(predictions, targets)
        dfc2, dbent = back_fc2(back_loss())
        dfc1, _ = back_fc1(back_gelu(dbent))
        velocity = map_weights(lambda m, g: momentum * m + g, velocity, Mlp(dfc1, dfc2))
        weights = map_weights(lambda w, m: w - learning_rate * m, weights, velocity)
    return weights, losses
