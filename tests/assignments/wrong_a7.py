"""Wrong solutions of assignment 7."""

from typing import Any

import numpy as np
from wrong import changed, given, retyped, spoiling


def by_pillow(right: Any, image: Any, size: Any, *, resample: str = "bicubic", **options: Any) -> Any:
    """What `uses.py` refuses; with the numbers of Pillow's own order and arithmetic."""
    from PIL import Image

    photo = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    found = np.asarray(photo.resize(size[::-1], Image.Resampling[resample.upper()]))
    return found.reshape(*size, image.shape[2])


WRONG = (
    spoiling("resize.bicubic"),
    changed(
        "resize.bicubic", "in place", "a, x = -0.5, np.abs(x)", "a = -0.5\n    np.abs(x, out=x)", "changes its input"
    ),
    given("resize.bicubic", "minus", lambda right, x: -right(x), "the sign"),
    retyped("resize.resample_coefficients", "the weights alone", lambda x: x[1], None),
    retyped("resize.resample_coefficients", "weights first", lambda x: x[::-1], None),
    changed(
        "resize.resample_coefficients",
        "half a pixel further",
        "centers = (np.arange(out_size) + 0.5) * scale",
        "centers = (np.arange(out_size) + 1) * scale",
    ),
    spoiling("resize.fixed_point"),
    changed(
        "resize.fixed_point",
        "in place",
        "return np.trunc(weights * 2**p + np.copysign(0.5, weights)) / 2**p",
        "weights[...] = np.trunc(weights * 2**p + np.copysign(0.5, weights)) / 2**p\n    return weights",
        "changes its input",
    ),
    changed(
        "resize.fixed_point",
        "always 14 places for 16 bits",
        "next((p for p in range(22)",
        "14 or next((p for p in range(22)",
    ),
    spoiling("resize.resample_lines"),
    given(
        "resize.resample_lines",
        "always Pillow's arithmetic",
        lambda right, *args, arithmetic="pillow", **options: right(*args, **options),
        "always 22 places, in fixed_point",
    ),
    given("resize.resample_lines", "as floats", lambda right, *args, **options: right(*args, **options).astype(float)),
    changed(
        "resize.vertical_first",
        "abs of both",
        "height - new_height > 2 * (width - new_width)",
        "abs(height - new_height) > 2 * abs(width - new_width)",
    ),
    changed("resize.vertical_first", "heights that stay", "new_height < height and", "new_height <= height and"),
    given("resize.vertical_first", "the opposite", lambda right, *args, **options: not right(*args, **options)),
    spoiling("resize.resize"),
    given("resize.resize", "by Pillow", by_pillow),
    given(
        "resize.resize",
        "resample ignored",
        lambda right, *args, resample="bicubic", **options: right(*args, **options),
        "resample ignored",
    ),
    changed(
        "resize.resize",
        "nearest pixels of Pillow alone",
        "rows = nearest_pixels(image.shape[0], height, arithmetic=arithmetic)",
        "rows = nearest_pixels(image.shape[0], height)",
    ),
    changed(
        "resize.resize",
        "at most three channels",
        "planes = np.moveaxis(image, -1, 0).copy()",
        "planes = np.moveaxis(image[..., :3], -1, 0).copy()",
        None,
    ),
    retyped("resize.resize", "channels first", lambda x: np.moveaxis(x, -1, 0), "axes exchanged"),
)
