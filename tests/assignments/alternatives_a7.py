"""Right solutions of assignment 7 that are written in other ways than chapter 16."""

from collections.abc import Callable
from math import ceil, floor
from typing import Any

import numpy as np

from deit_ref.numpy_backend import resize as chapter

Array = np.ndarray[Any, Any]


def bicubic_by_powers(x: Array) -> Array:
    a, d = -0.5, np.fabs(x)
    pieces = [lambda d: (a + 2) * d**3 - (a + 3) * d**2 + 1, lambda d: a * (d**3 - 5 * d**2 + 8 * d - 4), 0.0]
    return np.piecewise(d, [d < 1, (d >= 1) & (d < 2), d >= 2], pieces)


def bicubic_one_by_one(x: Array) -> Array:
    result = np.empty_like(x)
    for place, value in np.ndenumerate(x):
        d = -value if value < 0 else value
        if d < 1:
            result[place] = 1.5 * d * d * d - 2.5 * d * d + 1
        elif d < 2:
            result[place] = 2 - 4 * d + 2.5 * d * d - 0.5 * d * d * d
        else:
            result[place] = 0
    return result


def coefficients_of_all_pixels(in_size: int, out_size: int, *, resample: str) -> tuple[Array, Array]:
    """Every window is the whole line."""
    kernel, _ = chapter.FILTERS[resample]
    scale = in_size / out_size
    old, new = np.arange(in_size) + 0.5, (np.arange(out_size) + 0.5) * scale
    weights = kernel((old - new[:, None]) / max(1.0, scale))
    return np.zeros(out_size, np.int64), weights / weights.sum(axis=1, keepdims=True)


def coefficients_in_loops(in_size: int, out_size: int, *, resample: str) -> tuple[Array, Array]:
    kernel, support = chapter.FILTERS[resample]
    scale = in_size / out_size
    stretch = scale if scale > 1 else 1.0
    taps = min(in_size, 2 * ceil(support * stretch) + 1)
    first, weights = [], np.zeros((out_size, taps))
    for i in range(out_size):
        center = (i + 0.5) * scale
        first.append(min(max(floor(center - support * stretch), 0), in_size - taps))
        for tap in range(taps):
            weights[i, tap] = kernel(np.array([(first[i] + tap + 0.5 - center) / stretch]))[0]
        weights[i] /= sum(weights[i])
    return np.array(first), weights


def fixed_point_by_sign(weights: Array, *, arithmetic: str = "pillow") -> Array:
    p = 22
    if arithmetic == "torchvision":
        while p > 0 and floor(0.5 + weights.max() * 2.0**p) >= 32768:
            p -= 1
    return np.sign(weights) * np.floor(np.abs(weights) * 2.0**p + 0.5) * 2.0**-p


def fixed_point_one_by_one(weights: Array, *, arithmetic: str = "pillow") -> Array:
    p, largest = 22, float(np.max(weights))
    if arithmetic == "torchvision":
        p = max((p for p in range(23) if int(0.5 + largest * 2**p) < 2**15), default=0)
    result = [int(abs(w) * 2**p + 0.5) / 2**p * (-1 if w < 0 else 1) for w in weights.ravel().tolist()]
    return np.array(result).reshape(weights.shape)


def lines_in_integers(planes: Array, out_size: int, *, resample: str, arithmetic: str = "pillow") -> Array:
    """As in Pillow's C: integers, a half added, the places cut off by a shift."""
    if planes.shape[-1] == out_size:
        return planes.copy()
    first, weights = chapter.resample_coefficients(planes.shape[-1], out_size, resample=resample)
    whole = (chapter.fixed_point(weights, arithmetic=arithmetic) * 2**22).astype(np.int64)
    result = np.empty((*planes.shape[:-1], out_size), np.uint8)
    for i in range(out_size):
        total = np.full(planes.shape[:-1], 2**21)
        for tap in range(whole.shape[1]):
            total += whole[i, tap] * planes[..., first[i] + tap]
        result[..., i] = np.minimum(np.maximum(total >> 22, 0), 255)
    return result


def lines_by_one_matrix(planes: Array, out_size: int, *, resample: str, arithmetic: str = "pillow") -> Array:
    in_size = planes.shape[2]
    if in_size == out_size:
        return planes
    first, weights = chapter.resample_coefficients(in_size, out_size, resample=resample)
    weights = chapter.fixed_point(weights, arithmetic=arithmetic)
    matrix = np.zeros((out_size, in_size))
    for i, start in enumerate(first):
        matrix[i, start : start + weights.shape[1]] = weights[i]
    sums = np.einsum("clj,ij->cli", planes.astype(np.float64), matrix)
    return np.floor(sums + 0.5).clip(0, 255).astype("uint8")


def vertical_first_step_by_step(shape: tuple[int, int], size: tuple[int, int], *, pass_order: str) -> bool:
    if pass_order == "pillow-12":
        return False
    if size[0] >= shape[0]:
        return False
    lost_rows, lost_columns = shape[0] - size[0], shape[1] - size[1]
    return lost_rows - 2 * lost_columns >= 1


def vertical_first_by_arrays(shape: tuple[int, int], size: tuple[int, int], *, pass_order: str) -> Any:
    rows, columns = np.subtract(shape, size)
    return np.logical_and.reduce([rows > 0, rows / 2 > columns, "13" in pass_order])


def _one_pass(image: Array, side: int, axis: int, **options: str) -> Array:
    planes = np.rollaxis(np.moveaxis(image, axis, -1), 1)  # (channels, the other axis, this axis)
    planes = chapter.resample_lines(np.ascontiguousarray(planes), side, **options)
    return planes.transpose(1, 2, 0) if axis == 1 else planes.transpose(2, 1, 0)


def resize_in_two_steps(
    image: Array, size: tuple[int, int], *, resample: str = "bicubic", pass_order: str = "pillow-13",
    arithmetic: str = "pillow",
) -> Array:  # fmt: skip
    if resample == "nearest":
        rows = chapter.nearest_pixels(len(image), size[0], arithmetic=arithmetic)
        columns = chapter.nearest_pixels(image.shape[1], size[1], arithmetic=arithmetic)
        return image[rows][:, columns]
    axes = [1, 0]
    if arithmetic != "torchvision" and chapter.vertical_first(image.shape[:2], size, pass_order=pass_order):
        axes.reverse()
    for axis in axes:
        image = _one_pass(image, size[axis], axis, resample=resample, arithmetic=arithmetic)
    return image


def resize_channel_by_channel(image: Array, size: tuple[int, int], **options: str) -> Array:
    names = {"resample": "bicubic", "pass_order": "pillow-13", "arithmetic": "pillow"} | options
    order = names.pop("pass_order")
    if names["resample"] == "nearest":
        rows, columns = (
            chapter.nearest_pixels(old, new, arithmetic=names["arithmetic"])
            for old, new in zip(image.shape[:2], size, strict=True)
        )
        return np.array([[image[row, column] for column in columns] for row in rows])
    down = names["arithmetic"] == "pillow" and chapter.vertical_first(image.shape[:2], size, pass_order=order)
    channels = []
    for k in range(image.shape[2]):
        plane = image[:, :, k]
        if down:
            plane = chapter.resample_lines(plane.T[None], size[0], **names)[0].T
        plane = chapter.resample_lines(plane[None], size[1], **names)[0]
        if not down:
            plane = chapter.resample_lines(plane.T[None], size[0], **names)[0].T
        channels.append(plane)
    return np.stack(channels, axis=-1)


ALTERNATIVES: dict[str, tuple[Callable[..., Any], ...]] = {
    "resize.bicubic": (bicubic_by_powers, bicubic_one_by_one),
    "resize.resample_coefficients": (coefficients_of_all_pixels, coefficients_in_loops),
    "resize.fixed_point": (fixed_point_by_sign, fixed_point_one_by_one),
    "resize.resample_lines": (lines_in_integers, lines_by_one_matrix),
    "resize.vertical_first": (vertical_first_step_by_step, vertical_first_by_arrays),
    "resize.resize": (resize_in_two_steps, resize_channel_by_channel),
}
