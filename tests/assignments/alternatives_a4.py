"""Right solutions of assignment 4 that are written in other ways than chapter 10."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from deit_ref.numpy_backend.backward.activations import gelu_vjp
from deit_ref.numpy_backend.backward.layers import linear_vjp
from deit_ref.weights import LayerNorm, Linear, Mlp

Array = np.ndarray[Any, Any]


def differences_in_a_row(function: Callable[[Array], Any], x: Array, *, step: float = 1e-5) -> Array:
    found = []
    for one in np.eye(x.size):
        move = step * one.reshape(x.shape)
        found.append((function(x + move) - function(x - move)) / step / 2)
    return np.array(found).reshape(x.shape)


def differences_in_a_copy(function: Callable[[Array], Any], x: Array, *, step: float = 1e-5) -> Array:
    moved, gradient = x.astype(float), np.empty(x.size)
    for i, value in enumerate(x.ravel()):
        moved.flat[i] = value + step
        above = float(function(moved))
        moved.flat[i] = value - step
        gradient[i] = (above - float(function(moved))) / (2 * step)
        moved.flat[i] = value
    return gradient.reshape(x.shape)


def linear_by_einsum(weights: Linear, x: Array) -> tuple[Array, Any]:
    y = np.einsum("...i,oi->...o", x, weights.weight) + (0 if weights.bias is None else weights.bias)

    def back(dy: Array) -> list[Any]:
        rows, drows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
        dbias = None if weights.bias is None else np.einsum("no->o", drows)
        return [Linear(np.einsum("no,ni->oi", drows, rows), dbias), np.einsum("...o,oi->...i", dy, weights.weight)]

    return y, back


def linear_token_by_token(weights: Linear, x: Array) -> tuple[Array, Any]:
    def value(token: Array) -> Array:
        y = weights.weight @ token
        return y if weights.bias is None else y + weights.bias

    def back(dy: Array) -> tuple[Linear, Array]:
        dweight, dbias, dx = np.zeros(weights.weight.shape), np.zeros(len(weights.weight)), np.zeros_like(x)
        for place in np.ndindex(*x.shape[:-1]):
            dweight += np.outer(dy[place], x[place])
            dbias += dy[place]
            dx[place] = dy[place] @ weights.weight
        return Linear(weight=dweight, bias=None if weights.bias is None else dbias), dx

    return np.apply_along_axis(value, -1, x), back


def _shares(x: Array) -> Array:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def softmax_by_jacobians(x: Array) -> tuple[Array, Any]:
    p = _shares(x)
    jacobian = p[..., :, None] * (np.eye(x.shape[-1]) - p[..., None, :])
    return p, lambda dp: (dp[..., None, :] @ jacobian)[..., 0, :]


def softmax_by_its_two_steps(x: Array) -> tuple[Array, Any]:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    total = powers.sum(axis=-1, keepdims=True)

    def back(dp: Array) -> Array:
        dtotal = -(dp * powers).sum(axis=-1, keepdims=True) / total**2
        return (dp / total + dtotal) * powers

    return powers / total, back


def layer_norm_by_jacobians(weights: LayerNorm, x: Array, *, eps: float) -> tuple[Array, Any]:
    dim = x.shape[-1]
    deviation = np.sqrt(x.var(axis=-1, keepdims=True) + eps)
    n = (x - x.mean(axis=-1, keepdims=True)) / deviation
    jacobian = (np.eye(dim) - 1 / dim - n[..., :, None] * n[..., None, :] / dim) / deviation[..., None]

    def back(dy: Array) -> tuple[LayerNorm, Array]:
        rows, products = dy.reshape(-1, dim), (dy * n).reshape(-1, dim)
        dx = np.einsum("...i,...ij->...j", dy * weights.weight, jacobian)
        return LayerNorm(products.sum(axis=0), rows.sum(axis=0)), dx

    return n * weights.weight + weights.bias, back


def layer_norm_by_its_steps(weights: LayerNorm, x: Array, *, eps: float) -> tuple[Array, Any]:
    dim = x.shape[-1]
    centered = x - x.sum(axis=-1, keepdims=True) / dim
    inverse = (np.square(centered).sum(axis=-1, keepdims=True) / dim + eps) ** -0.5

    def back(dy: Array) -> tuple[LayerNorm, Array]:
        every = tuple(range(dy.ndim - 1))
        dn = dy * weights.weight
        dinverse = (dn * centered).sum(axis=-1, keepdims=True)
        dvariance = -0.5 * dinverse * inverse**3
        dcentered = dn * inverse + 2 * centered * dvariance / dim
        dx = dcentered - dcentered.sum(axis=-1, keepdims=True) / dim
        return LayerNorm(np.sum(dy * centered * inverse, axis=every), np.sum(dy, axis=every)), dx

    return weights.weight * centered * inverse + weights.bias, back


def attention_by_einsum(
    q: Array, k: Array, v: Array, *, head_mask: Any = None, attention_mask: Any = None, **_: Any
) -> tuple[Array, Any]:
    root = math.sqrt(q.shape[-1])
    scores = np.einsum("bhid,bhjd->bhij", q, k) / root
    if attention_mask is not None:
        scores = scores + np.where(attention_mask, 0, -np.inf)[:, None, None]
    shares = _shares(scores)
    mask = np.ones(q.shape[1]) if head_mask is None else head_mask

    def back(dy: Array) -> tuple[Any, ...]:
        dweighted = np.einsum("bhid,bhjd->bhij", dy, v)
        dv = np.einsum("bhij,h,bhid->bhjd", shares, mask, dy)
        dshares = np.einsum("bhij,h->bhij", dweighted, mask)
        dscores = shares * (dshares - np.einsum("bhij,bhij->bhi", dshares, shares)[..., None]) / root
        dq, dk = np.einsum("bhij,bhjd->bhid", dscores, k), np.einsum("bhij,bhid->bhjd", dscores, q)
        if head_mask is None:
            return dq, dk, dv  # without a None behind it
        return dq, dk, dv, np.einsum("bhij,bhij->h", dweighted, shares)

    return np.einsum("bhij,h,bhjd->bhid", shares, mask, v), back


def attention_head_by_head(
    q: Array,
    k: Array,
    v: Array,
    *,
    head_mask: Any = None,
    attention_mask: Any = None,
    dropout_probability: float = 0.0,
    generator: Any = None,
    trace: Any = None,
) -> tuple[Array, Any]:
    scale = q.shape[-1] ** -0.5
    shares, y = {}, np.empty_like(v)
    for b, h in np.ndindex(*q.shape[:2]):
        scores = q[b, h] @ k[b, h].T * scale
        if attention_mask is not None:
            scores[:, ~attention_mask[b]] = -np.inf
        shares[b, h] = _shares(scores)
        y[b, h] = (1 if head_mask is None else head_mask[h]) * shares[b, h] @ v[b, h]

    def back(dy: Array) -> tuple[Any, ...]:
        dq, dk, dv, dmask = np.empty_like(q), np.empty_like(k), np.empty_like(v), np.zeros(q.shape[1])
        for (b, h), p in shares.items():
            times = 1 if head_mask is None else head_mask[h]
            dp = dy[b, h] @ v[b, h].T
            dmask[h] += (dp * p).sum()
            dp = dp * times
            ds = scale * p * (dp - (dp * p).sum(axis=1, keepdims=True))
            dq[b, h], dk[b, h], dv[b, h] = ds @ k[b, h], ds.T @ q[b, h], times * p.T @ dy[b, h]
        return dq, dk, dv, None if head_mask is None else dmask

    return y, back


def train_array_by_array(
    weights: Mlp, x: Array, targets: Array, *, steps: int, learning_rate: float, momentum: float = 0.9
) -> tuple[Mlp, Array]:
    w1, b1 = weights.fc1.weight.copy(), weights.fc1.bias.copy()
    w2, b2 = weights.fc2.weight.copy(), weights.fc2.bias.copy()
    speeds = [np.zeros_like(array) for array in (w1, b1, w2, b2)]
    losses = []
    for _ in range(steps):
        bent, back_gelu = gelu_vjp(x @ w1.T + b1)
        error = bent @ w2.T + b2 - targets
        losses.append((error**2).mean())
        dy = 2 * error / error.size
        dhidden = back_gelu(dy @ w2)
        gradients = dhidden.T @ x, dhidden.sum(axis=0), dy.T @ bent, dy.sum(axis=0)
        for array, speed, gradient in zip((w1, b1, w2, b2), speeds, gradients, strict=True):
            speed *= momentum
            speed -= learning_rate * gradient  # the rate is in the velocity: the same as long as it stays
            array += speed
    return Mlp(Linear(w1, b1), Linear(w2, b2)), np.array(losses)


def train_with_a_list(weights: Mlp, x: Array, targets: Array, *, steps: int, learning_rate: float,
                      momentum: float = 0.9) -> list[Any]:  # fmt: skip
    numbers = [weights.fc1.weight, weights.fc1.bias, weights.fc2.weight, weights.fc2.bias]
    speeds, losses = [0.0] * 4, []
    while len(losses) < steps:
        fc1, fc2 = Linear(*numbers[:2]), Linear(*numbers[2:])
        hidden, back1 = linear_vjp(fc1, x)
        bent, bend = gelu_vjp(hidden)
        y, back2 = linear_vjp(fc2, bent)
        losses.append(np.square(y - targets).mean())
        dfc2, dbent = back2(2 * (y - targets) / targets.size)
        dfc1, _ = back1(bend(dbent))
        found = [dfc1.weight, dfc1.bias, dfc2.weight, dfc2.bias]
        speeds = [momentum * speed + gradient for speed, gradient in zip(speeds, found, strict=True)]
        numbers = [number - learning_rate * speed for number, speed in zip(numbers, speeds, strict=True)]
    return [Mlp(Linear(*numbers[:2]), Linear(*numbers[2:])), losses]


ALTERNATIVES: dict[str, tuple[Callable[..., Any], ...]] = {
    "course.gradients.differences": (differences_in_a_row, differences_in_a_copy),
    "backward.layers.linear_vjp": (linear_by_einsum, linear_token_by_token),
    "backward.layers.softmax_vjp": (softmax_by_jacobians, softmax_by_its_two_steps),
    "backward.layers.layer_norm_vjp": (layer_norm_by_jacobians, layer_norm_by_its_steps),
    "backward.attention.scaled_dot_product_attention_vjp": (attention_by_einsum, attention_head_by_head),
    "course.gradients.train": (train_array_by_array, train_with_a_list),
}
