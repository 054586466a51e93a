r"""Chapter 16: resampling, byte for byte as Pillow.

Input -> output: a photo (height, width, channels) as bytes -> the same of another size.

A new pixel is a weighted mean of the old pixels around its place. The weights factor,
so heights and widths are treated one after the other, by one matrix each:

$$\text{out}_{kl} = \sum_i \sum_j \text{rows}_{ki} \; \text{columns}_{lj} \; \text{image}_{ij}$$

Three details decide the bytes, and this chapter follows Pillow in all of them:

- When shrinking, the kernel is stretched by the scale: without this antialiasing, fine patterns turn into coarse ones.
- Weights are rounded to 22 binary places. Bytes times such weights, and all sums of those, are multiples of
  $2^{-22}$ below $2^{10}$: float64 holds them exactly, so the product is the same on every machine, and Pillow's.
- Between the passes the image is cut to bytes, so their order matters: `vertical_first`.

The next file, pixels.py, adds alpha and pixels of more than 8 bits.
Source: Pillow, src/libImaging/Resample.c, and Geometry.c for "nearest"; torch, UpSampleKernel.cpp.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float64, Int64, UInt8

from deit_ref import checks
from deit_ref.image_processing import supported_resample

Array: TypeAlias = np.ndarray[Any, Any]


def box(x: Float64[Array, "..."]) -> Float64[Array, "..."]:
    r"""1 for $-\frac12 < x \le \frac12$, else 0: the mean of the pixels inside."""
    return ((x > -0.5) & (x <= 0.5)).astype(np.float64)


def bilinear(x: Float64[Array, "..."]) -> Float64[Array, "..."]:
    r"""$1 - |x|$ for $|x| < 1$, else 0: straight lines between pixels."""
    return np.maximum(1 - np.abs(x), 0.0)


def hamming(x: Float64[Array, "..."]) -> Float64[Array, "..."]:
    r"""$\mathrm{sinc}(x) (0.54 + 0.46 \cos \pi x)$ for $|x| < 1$, else 0; Pillow has the two numbers in float32."""
    mean, wave = np.array([0.54, 0.46], np.float32).astype(np.float64)
    window = np.sinc(x) * (mean + wave * np.cos(np.pi * x))
    return np.where(x == 0, 1.0, np.where(np.abs(x) < 1, window, 0.0))


def bicubic(x: Float64[Array, "..."]) -> Float64[Array, "..."]:
    r"""Cubic convolution, whose weights below 0 keep edges sharp.

    $$\kappa(x) = \begin{cases} (a+2) |x|^3 - (a+3) |x|^2 + 1 & |x| < 1 \\
      a \, (|x|^3 - 5 |x|^2 + 8 |x| - 4) & 1 \le |x| < 2 \\ 0 & \text{else} \end{cases}$$

    with a, the slope at $|x| = 1$, of $-\frac12$; torch's interpolate (chapter 3) has $-\frac34$.
    """
    a, x = -0.5, np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def lanczos(x: Float64[Array, "..."]) -> Float64[Array, "..."]:
    r"""$\mathrm{sinc}(x) \, \mathrm{sinc}(x / 3)$ for $|x| < 3$, else 0."""
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


FILTERS: dict[str, tuple[Callable[[Array], Array], float]] = {
    "box": (box, 0.5),  # the kernel and its support: beyond that distance it is 0
    "bilinear": (bilinear, 1.0),
    "hamming": (hamming, 1.0),
    "bicubic": (bicubic, 2.0),
    "lanczos": (lanczos, 3.0),
}


def nearest_pixels(in_size: int, out_size: int, *, arithmetic: str = "pillow") -> Int64[Array, "new_size"]:
    r"""The old pixel that each new pixel copies: $\lfloor (i + \frac12) \, \text{in} / \text{out} \rfloor$.

    Rounding decides ties: arithmetic "pillow" adds up steps in float64, "torchvision" multiplies in float32.
    """
    if arithmetic == "torchvision":
        places = (np.arange(out_size, dtype=np.float32) + 0.5) * np.float32(in_size / out_size)
        return np.minimum(places.astype(np.int64), in_size - 1)
    steps = np.full(out_size, in_size / out_size)
    steps[0] *= 0.5
    return np.cumsum(steps).astype(np.int64)


def resample_coefficients(
    in_size: int, out_size: int, *, resample: str
) -> tuple[Int64[Array, "new_size"], Float64[Array, "new_size taps"]]:
    r"""Which old pixels make each new pixel along one axis, and with what weights.

    $$W_{ij} = \frac{\kappa(x_{ij})}{\sum_j \kappa(x_{ij})}, \qquad x_{ij} = \frac{j + \frac12 - r_i}{\text{stretch}},
      \qquad r_i = (i + \tfrac12) s$$

    $\kappa$ is the kernel that `resample` names in `FILTERS`, s the scale, old / new size, and $r_i$ the new pixel's
    center in old pixels; the stretch, max(s, 1), widens the kernel when shrinking. The weights of a new pixel sum to 1.

    Returns:
        The first pixel of each window, and the weights of all its pixels: those not needed are 0.
    """
    kernel, support = FILTERS[checks.choice("resample", resample, FILTERS)]
    scale = in_size / out_size
    stretch = max(scale, 1.0)
    reach = support * stretch
    centers = (np.arange(out_size) + 0.5) * scale
    low = np.maximum((centers - reach + 0.5).astype(np.int64), 0)
    high = np.minimum((centers + reach + 0.5).astype(np.int64), in_size)
    taps = int((high - low).max())
    first = np.minimum(low, in_size - taps)
    pixels = first[:, None] + np.arange(taps)  # (new_size, taps)
    inside = (pixels >= low[:, None]) & (pixels < high[:, None])
    distances = (pixels - centers[:, None] + 0.5) * (1 / stretch)
    weights = np.where(inside, kernel(distances), 0.0)
    # cumsum adds from left to right, as Pillow does; sum would add in pairs.
    return first, weights / np.cumsum(weights, axis=1)[:, -1:]


def fixed_point(weights: Float64[Array, "..."], *, arithmetic: str = "pillow") -> Float64[Array, "..."]:
    r"""Weights rounded to multiples of $2^{-\text{bits}}$, halves away from 0.

    bits is 22, or with arithmetic "torchvision" the most, up to 22, with which all $2^\text{bits} W$ fit int16.
    """
    p = 22
    if arithmetic == "torchvision":
        p = next((p for p in range(22) if int(0.5 + float(weights.max()) * 2 ** (p + 1)) >= 2**15), 22)
    return np.trunc(weights * 2**p + np.copysign(0.5, weights)) / 2**p


def resample_lines(
    planes: UInt8[Array, "channels lines in_size"], out_size: int, *, resample: str, arithmetic: str = "pillow"
) -> UInt8[Array, "channels lines new_size"]:
    r"""One pass: each line becomes `out_size` pixels, by the kernel named `resample`, in that `arithmetic`.

    $$\text{out} = \mathrm{clip}\!\left(\lfloor \text{planes} \, W^\top + \tfrac12 \rfloor, 0, 255\right)$$

    16 columns at a time, because they need few old pixels: the rest of the matrix is zeros.
    """
    if (in_size := planes.shape[-1]) == out_size:
        return planes
    first, weights = resample_coefficients(in_size, out_size, resample=resample)
    weights, taps = fixed_point(weights, arithmetic=arithmetic), np.arange(weights.shape[1])
    columns = []
    for i in range(0, out_size, 16):
        begins = first[i : i + 16, None] - first[i]
        block = np.zeros((len(begins), begins[-1, 0] + len(taps)))
        np.put_along_axis(block, begins + taps, weights[i : i + 16], axis=1)
        window = planes[..., first[i] : first[i] + block.shape[1]]
        # In strips that stay in the processor's cache as float64, which takes 8 times the memory of bytes.
        strips = np.array_split(window, 1 + window[0].size // 2**17, axis=1)
        sums = (strip.astype(np.float64) @ block.T for strip in strips)  # each (channels, lines, block)
        columns.append(np.concatenate([np.clip(part + 0.5, 0, 255).astype(np.uint8) for part in sums], axis=1))
    return np.concatenate(columns, axis=-1)


def vertical_first(shape: tuple[int, int], size: tuple[int, int], *, pass_order: str) -> bool:
    """Whether the heights are resampled before the widths. Source: Pillow #9549, and its behavior.

    pass_order "pillow-13": when the height shrinks, and by more than twice what the width loses; "pillow-12": never.
    """
    (height, width), (new_height, new_width) = shape, size
    checks.choice("pass_order", pass_order, ("pillow-13", "pillow-12"))
    return pass_order == "pillow-13" and new_height < height and height - new_height > 2 * (width - new_width)


def resize(
    image: UInt8[Array, "height width channels"],
    size: tuple[int, int],
    *,
    resample: str = "bicubic",
    pass_order: str = "pillow-13",
    arithmetic: str = "pillow",
) -> UInt8[Array, "new_height new_width channels"]:
    """A resized copy, byte for byte as from Pillow's Image.resize in modes L and RGB.

    Args:
        image: values in 0..255; channels are treated alike and apart.
        size: (height, width) in pixels, each at least 1. The aspect may change.
        resample: "nearest", "box", "bilinear", "hamming", "bicubic" or "lanczos".
        pass_order: "pillow-13" or "pillow-12", see `vertical_first`.
        arithmetic: "pillow", or "torchvision": weights of 16 bits, widths always first, no box, no hamming.

    Raises:
        ValueError: not uint8, not three axes, no pixels, or an unknown name.
    """
    checks.image(image)
    height, width = checks.pair("size", size)
    downward = vertical_first(image.shape[:2], (height, width), pass_order=pass_order)
    if supported_resample(resample, arithmetic) == "nearest":
        rows = nearest_pixels(image.shape[0], height, arithmetic=arithmetic)
        columns = nearest_pixels(image.shape[1], width, arithmetic=arithmetic)
        return image[rows[:, None], columns]  # (new_height, new_width, channels)
    planes = np.moveaxis(image, -1, 0).copy()  # (channels, height, width)
    for axis, side in ((1, height), (2, width)) if downward and arithmetic == "pillow" else ((2, width), (1, height)):
        lines = planes.swapaxes(axis, 2)  # (channels, lines, height or width)
        planes = resample_lines(lines, side, resample=resample, arithmetic=arithmetic).swapaxes(axis, 2)
    return np.ascontiguousarray(np.moveaxis(planes, 0, -1))
