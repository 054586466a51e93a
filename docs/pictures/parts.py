"""What pictures are made of: photos as pixels, maps that glow over them, and the figure around them.

Labels are text of the page, so they take its font and colors and wrap on a phone. Only photos are pixels, a few
kilobytes of PNG or JPEG in the page itself. Addresses of pages end in `.md`; the directive resolves them.
"""

import io
from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

Array: TypeAlias = np.ndarray[Any, Any]

# A look glows over a dark photo, in the colors that these things have in the page's dark scheme.
GLOW = {"cls": (246, 168, 104), "dist": (203, 171, 247), "image": (138, 186, 244), "line": (227, 230, 236)}
# Below and above zero: the ends of the stepper's scale, on which zero is white.
NEGATIVE, POSITIVE = (0, 110, 114), (157, 17, 53)


# Pixels


def lit(photo: Array, values: Array, color: str) -> Array:
    """The photo, gray and dark, and over it the color: strongest at the largest value, absent at 0."""
    enlarged = np.kron(values, np.ones((photo.shape[0] // values.shape[0], photo.shape[1] // values.shape[1])))
    strength = 0.85 * np.maximum(enlarged / values.max(), 0)[:, :, None]  # (height, width, 1)
    gray = 0.55 * (photo @ [0.299, 0.587, 0.114])[:, :, None]
    return as_bytes(gray * (1 - strength) + np.array(GLOW[color]) * strength)


def signed(values: Array) -> Array:
    """Numbers from -1 to 1 as colors."""
    ends = np.where(values[..., None] < 0, NEGATIVE, POSITIVE)
    return as_bytes(255 + (ends - 255) * np.abs(values)[..., None])


def stretched(values: Array) -> Array:
    """The smallest value black, the largest white."""
    return as_bytes(255 * (values - values.min()) / (values.max() - values.min()))


def as_bytes(values: Array) -> Array:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def tiled(tiles: Array, gap: int = 1) -> Array:
    """(rows, columns, height, width, 3) as one picture, with nothing between the tiles: a fourth channel says where."""
    rows, columns, height, width = tiles.shape[:4]
    picture = np.zeros((rows, height + gap, columns, width + gap, 4), np.uint8)
    picture[:, :height, :, :width, :3] = tiles.swapaxes(1, 2)
    picture[:, :height, :, :width, 3] = 255
    return picture.reshape(rows * (height + gap), columns * (width + gap), 4)[: -gap or None, : -gap or None]


def picture(image: Array, alt: str, *, photo: bool = False, outlined: Sequence[tuple[int, int, int, int]] = ()) -> str:
    """An image as SVG, each pixel a square; a photo of many pixels as a smooth JPEG.

    Args:
        image: uint8 (height, width, 3), or with a fourth channel that says what is opaque.
        alt: what is to be seen.
        photo: whether it is one of many pixels.
        outlined: rectangles (x, y, width, height), in pixels, to draw a line around.
    """
    height, width = image.shape[:2]
    stream = io.BytesIO()
    kind, options = ("JPEG", {"quality": 80}) if photo else ("PNG", {"optimize": True})
    Image.fromarray(image).save(stream, kind, **options)
    data = f"data:image/{kind.lower()};base64,{b64encode(stream.getvalue()).decode()}"
    smooth = "" if photo else ' class="deit-pixels"'
    lines = "".join(
        f'<rect class="deit-outline-{color}" x="{x}" y="{y}" width="{w}" height="{h}"/>'
        for x, y, w, h in outlined
        for color in ("dark", "light")
    )
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(alt)}">'
        f'<image xlink:href="{data}" width="{width}" height="{height}"{smooth}/>{lines}</svg>'
    )


# Numbers


def percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def number(value: float, digits: int = 2) -> str:
    """With a minus sign, which is longer than a hyphen."""
    return f"{value:.{digits}f}".replace("-", "−")


# The figure


def panel(title: str, content: str, note: str = "", *, wide: bool = False) -> str:
    """A picture with its title above and a line below; a wide one takes the whole width of a phone."""
    below = f"<p>{note}</p>" if note else ""
    kind = ' class="deit-across"' if wide else ""
    return f"<div{kind}><p><strong>{title}</strong></p>{content}{below}</div>"


def figure(panels: Sequence[str], caption: str, *, links: Mapping[str, str], narrow: bool = False) -> str:
    """Panels side by side, as many as there is room for; below them the caption, and where to see it live.

    Args:
        panels: of `panel`.
        caption: HTML.
        links: addresses below docs by what is to be seen there.
        narrow: panels of a long row, three of which fit on a phone.
    """
    kind = "deit-row deit-row-narrow" if narrow else "deit-row"
    live = " · ".join(f'<a href="{escape(address)}">{escape(name)}</a>' for name, address in links.items())
    see = f' <span class="deit-see" data-search-exclude>See it live: {live}</span>' if live else ""
    return (
        f'<figure class="deit-figure deit-photo"><div class="{kind}" data-search-exclude>{"".join(panels)}</div>'
        f"<figcaption>{caption}{see}</figcaption></figure>"
    )
