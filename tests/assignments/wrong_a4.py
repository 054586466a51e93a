"""Wrong solutions of assignment 4: a function whose value is right may be wrong on the way back, and the reverse."""

from collections.abc import Callable
from typing import Any

import numpy as np
from wrong import CHANGES, Wrong, changed, given, spoiling

from deit_ref.weights import map_weights

_LINEAR, _SOFTMAX, _NORM = (f"backward.layers.{name}_vjp" for name in ("linear", "softmax", "layer_norm"))
_SDPA = "backward.attention.scaled_dot_product_attention_vjp"
_DIFFERENCES, _TRAIN = "course.gradients.differences", "course.gradients.train"


def _back(function: str, about: str, change: Callable[..., Any], named: str | None = None) -> Wrong:
    """The reference, and what its `back` returns changed; `change` is handed that and what `back` was called with."""

    def wrong(right: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        value, back = right(*arguments, **options)
        return value, lambda *more: change(back(*more), *more)

    return given(function, about, wrong, named)


def _spoiled(gradients: Any, *arrays: Any) -> Any:
    for array in arrays:
        array *= 2
    return gradients


WRONG = (
    changed(
        _DIFFERENCES,
        "moves x itself, and not back",
        "up, down = x.copy(), x.copy()",
        "up, down = x, x.copy()",
    ),
    changed(_DIFFERENCES, "one side only", "down[place] -= step", "pass"),
    changed(
        _DIFFERENCES, "a step of its own", "up, down = x.copy(), x.copy()", "step, up, down = 0.5, x.copy(), x.copy()"
    ),
    changed(_DIFFERENCES, "a row at a time", "np.ndindex(*x.shape)", "np.ndindex(x.shape[0])"),
    given(_LINEAR, "the value alone", lambda right, *arguments: right(*arguments)[0]),
    given(
        _LINEAR,
        "gradients at once",
        lambda right, weights, x: (right(weights, x)[0], *right(weights, x)[1](x[..., :1])),
    ),
    _back(_LINEAR, "dx first", lambda found, dy: found[::-1]),
    _back(_LINEAR, "dy is changed", lambda found, dy: _spoiled(found, dy), CHANGES),
    changed(_LINEAR, "one image's bias", "drows.sum(axis=0)", "drows[: dy.shape[-2]].sum(axis=0)"),
    changed(_LINEAR, "the mean of the bias", "drows.sum(axis=0)", "drows.mean(axis=0)"),
    changed(_LINEAR, "always a bias", "None if weights.bias is None else drows.sum", "drows.sum"),
    _back(_SOFTMAX, "the Jacobian's diagonal", lambda found, dp: dp),
    _back(_SOFTMAX, "dp is changed", lambda found, dp: _spoiled(found, dp), CHANGES),
    changed(_SOFTMAX, "competes over all rows", "(dp * p).sum(axis=-1, keepdims=True)", "(dp * p).sum()"),
    changed(_SOFTMAX, "the mean of dp", "(dp * p).sum(axis=-1, keepdims=True)", "dp.mean(axis=-1, keepdims=True)"),
    spoiling(_SOFTMAX),
    changed(
        _NORM, "no way through the variance", "dx -= normed * (dnormed * normed).mean(axis=-1, keepdims=True)", "pass"
    ),
    changed(_NORM, "no eps", "x.var(axis=-1, keepdims=True) + eps", "x.var(axis=-1, keepdims=True)"),
    changed(
        _NORM, "the scale's gradient of one image", "(dy * normed).sum(axis=every)", "(dy * normed)[0].sum(axis=0)"
    ),
    _back(_NORM, "dy is changed", lambda found, dy: _spoiled(found, dy), CHANGES),
    changed(_SDPA, "keys without the scale", "@ (q * scale)\n        return", "@ q\n        return"),
    changed(_SDPA, "v by the unmasked shares", "masked.swapaxes(-1, -2) @ dy", "probabilities.swapaxes(-1, -2) @ dy"),
    changed(_SDPA, "attention_mask dropped", "if attention_mask is not None:", "if False:"),
    _back(_SDPA, "dq and dk exchanged", lambda found, dy: (found[1], found[0], *found[2:])),
    _back(_SDPA, "dy is changed", lambda found, dy: _spoiled(found, dy), CHANGES),
    changed(_TRAIN, "no momentum", "momentum * m + g", "g"),
    changed(_TRAIN, "uphill", "w - learning_rate * m", "w + learning_rate * m"),
    changed(_TRAIN, "the gradient is scaled", "momentum * m + g", "momentum * m + (1 - momentum) * g"),
    given(
        _TRAIN,
        "losses first",
        lambda right, *arguments, **options: right(*arguments, **options)[::-1],
    ),
    given(
        _TRAIN,
        "changes the weights that it is given",
        lambda right, weights, *arguments, **options: (
            right(weights, *arguments, **options),
            map_weights(lambda array: np.add(array, 1, out=array), weights),
        )[0],
        CHANGES,
    ),
)
