r"""Chapter 10, the way back: through the layers.

Input -> output: of a layer, how much the loss grows with each of its outputs -> with each of its inputs.

Training asks one question of every number in the model: if you grew a little, how much would the loss grow? The
answer is its gradient. `dx` is short for the gradient of the loss with respect to `x`,
$\partial \mathcal L / \partial x$, and has the shape of x.

Each function of a chapter has a partner here with the same name, `_vjp` behind it, and the same arguments. It returns
two things: the value, as the forward function computes it, and a function `back`, which takes the gradient of that
value and returns the gradient of each argument, in their order. Weights come back as weights: the gradient of a
`Linear` is a `Linear`. What `back` must remember of the forward pass is what it mentions.

`back` multiplies the gradient dy, a vector, by the layer's Jacobian $J = \partial y / \partial x$, a huge matrix: a
vector-Jacobian product, hence the name. J is never built; its product with a vector is all that anyone needs, and costs
no more than the layer itself. The whole model is differentiated by calling the `back` of each layer, last layer first:
$dx = dy \, J_L J_{L-1} \cdots J_1$. That is the chain rule, and there is no more to it.

Source: the words vjp and pullback (here `back`) are those of JAX; Linnainmaa 1970 for the idea.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from deit_ref.numpy_backend.layers import drop_path, dropout, layer_norm, linear, softmax
from deit_ref.weights import LayerNorm, Linear

Array: TypeAlias = np.ndarray[Any, Any]
Back: TypeAlias = Callable[..., Any]


def linear_vjp(
    weights: Linear, x: Float[Array, "*batch in_features"]
) -> tuple[Float[Array, "*batch out_features"], Back]:
    r"""$y = x W^\top + b$, and back.

    $$dx = dy \, W, \qquad dW = dy^\top x, \qquad db = \textstyle\sum dy$$

    Each entry of x reaches all outputs through one column of W, so it collects from all of them. W and b are used by
    every token of every image, and what is used several times gets the sum of the gradients of its uses: the product
    $dy^\top x$ is that sum, and the sum in db runs over all axes but the last.

    >>> y, back = linear_vjp(Linear(np.array([[1.0, 2.0]]), np.zeros(1)), np.array([[3.0, 4.0]]))
    >>> dweights, dx = back(np.array([[10.0]]))
    >>> dx.tolist(), dweights.weight.tolist(), dweights.bias.tolist()
    ([[10.0, 20.0]], [[30.0, 40.0]], [10.0])
    """

    def back(dy: Float[Array, "*batch out_features"]) -> tuple[Linear, Float[Array, "*batch in_features"]]:
        rows, drows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])  # (rows, features)
        dbias = None if weights.bias is None else drows.sum(axis=0)
        return Linear(drows.T @ rows, dbias), linear(Linear(weights.weight.T), dy)

    return linear(weights, x), back


def layer_norm_vjp(
    weights: LayerNorm, x: Float[Array, "*batch dim"], *, eps: float
) -> tuple[Float[Array, "*batch dim"], Back]:
    r"""$y = \tilde x \odot \gamma + \beta$ with $\tilde x = (x - \mu) / \sigma$, eps in $\sigma$, and back:

    $$dx = \frac1\sigma \Big( \underbrace{d\tilde x}_\text{1} - \underbrace{\overline{d\tilde x}}_\text{2}
      - \underbrace{\tilde x \; \overline{d\tilde x \odot \tilde x}}_\text{3} \Big), \qquad
      d\tilde x = dy \odot \gamma,$$

    where the bar is the mean over one token's features. Term 1 is the way straight through, term 2 goes through the
    mean, term 3 through the variance. What shifts all features alike, or stretches them, changes nothing after the
    norm, and terms 2 and 3 take just that out of the gradient: dx has mean 0, and (but for eps) so has dx times the
    normalized x.

    Args:
        weights, x, eps: as in the forward function.
    """
    one, zero = np.ones_like(weights.weight), np.zeros_like(weights.bias)
    normed = layer_norm(LayerNorm(one, zero), x, eps=eps)  # (*batch, dim)
    std = np.sqrt(x.var(axis=-1, keepdims=True) + eps)  # (*batch, 1)

    def back(dy: Float[Array, "*batch dim"]) -> tuple[LayerNorm, Float[Array, "*batch dim"]]:
        dnormed = dy * weights.weight
        dx = dnormed - dnormed.mean(axis=-1, keepdims=True)
        dx -= normed * (dnormed * normed).mean(axis=-1, keepdims=True)
        dx /= std
        every = tuple(range(dy.ndim - 1))
        return LayerNorm((dy * normed).sum(axis=every), dy.sum(axis=every)), dx

    return normed * weights.weight + weights.bias, back


def softmax_vjp(x: Float[Array, "*batch scores"]) -> tuple[Float[Array, "*batch scores"], Back]:
    r"""$p = \mathrm{softmax}(x)$, and back.

    $$dx = p \odot (dp - \textstyle\sum_j dp_j \, p_j)$$

    The Jacobian is $\partial p_i / \partial x_j = p_i ([i = j] - p_j)$, a matrix for each row of scores; multiplied out
    with dp it collapses to this. Scores compete: a score's gradient is how much its own share is worth, less what
    the shares are worth on average. So each row of dx sums to 0.
    """
    p = softmax(x)

    def back(dp: Float[Array, "*batch scores"]) -> Float[Array, "*batch scores"]:
        return p * (dp - (dp * p).sum(axis=-1, keepdims=True))

    return p, back


def dropout_vjp(
    x: Float[Array, "*shape"], *, probability: float, generator: np.random.Generator | None
) -> tuple[Float[Array, "*shape"], Back]:
    """Dropout multiplies each entry by 0 or 1 / (1 - probability), so back does the same with the same draws.

    Args:
        x, probability, generator: as in the forward function.
    """
    before = deepcopy(generator)  # its draws come back from here, which is cheaper than keeping them

    def back(dy: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return dropout(dy, probability=probability, generator=deepcopy(before))

    return dropout(x, probability=probability, generator=generator), back


def drop_path_vjp(
    x: Float[Array, "batch *rest"], *, probability: float, generator: np.random.Generator | None
) -> tuple[Float[Array, "batch *rest"], Back]:
    """As `dropout_vjp`: a sample that went without a branch sends nothing back through it.

    Args:
        x, probability, generator: as in the forward function.
    """
    before = deepcopy(generator)

    def back(dy: Float[Array, "batch *rest"]) -> Float[Array, "batch *rest"]:
        return drop_path(dy, probability=probability, generator=deepcopy(before))

    return drop_path(x, probability=probability, generator=generator), back
