"""Run in the kernel of each notebook: a figure becomes two small files, for a light page and for a dark one."""

import base64
import io
from typing import Any

from IPython.core.formatters import DisplayFormatter, PNGFormatter
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from PIL import Image

LIGHT, DARK = "image/webp", "image/x-dark+webp"  # kinds of output
WIDTH = 720  # CSS pixels of a page's text; two of the picture's for each
LABEL = 12  # CSS pixels that letters have at least
LARGE = 40_000  # bytes of a picture that is compressed with loss instead, as photographs are

# The book's colors on the dark page (docs/assets/site.css), and black and gray, which would be lost on it.
ON_DARK = {
    "#1d5fa8": "#8abaf4", "#a84c06": "#f6a868", "#6b33b0": "#cbabf7", "#186a3b": "#86d3a3", "#555d69": "#b3bac5",
    "#b4530a": "#f6a868", "#6f42c1": "#cbabf7", "#000000": "#e3e6ec", "#222222": "#e3e6ec", "#ffffff": "#1e2129",
    "#808080": "#b3bac5",
}  # fmt: skip


class Picture(PNGFormatter):  # type: ignore[misc]  # IPython has no types
    """Not by `for_type`, which matplotlib's backend empties when it is loaded."""

    dark = False

    def __call__(self, shown: Any) -> Any:
        return picture(shown, dark=self.dark) if isinstance(shown, Figure) else None


class DarkPicture(Picture):
    dark = True


def install(display: DisplayFormatter) -> None:
    """Let a figure be displayed as both files."""
    display.formatters |= {LIGHT: Picture(parent=display), DARK: DarkPicture(parent=display)}
    display.active_types = [*display.active_types, LIGHT, DARK]


def picture(figure: Figure, *, dark: bool) -> tuple[str, dict[str, int]]:
    """WebP in base64, and its width and height in CSS pixels; a figure is dark for good afterwards."""
    if dark:
        darken(figure)
    css = min(figure.get_dpi(), WIDTH / figure.get_figwidth())
    for text in figure.findobj(Text):
        text.set_fontsize(max(text.get_fontsize(), LABEL * 72 / css))
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=2 * css, transparent=False, facecolor="none", bbox_inches="tight")
    image = Image.open(drawn)
    small = _webp(image, lossless=True)
    if len(small) > LARGE:
        small = min(small, _webp(image, quality=84), key=len)
    size = {"width": round(image.width / 2), "height": round(image.height / 2)}
    return base64.b64encode(small).decode(), size


def _webp(image: Any, **options: Any) -> bytes:
    written = io.BytesIO()
    image.save(written, "webp", method=4, **options)
    return written.getvalue()


def darken(figure: Figure) -> None:
    """Exchange the colors of lines, areas and letters; what is written on a picture keeps its own."""
    kept = {text for axes in figure.axes if axes.images for text in axes.texts}
    for artist in figure.findobj():
        if isinstance(artist, Text) and artist not in kept:
            artist.set_color(_on_dark(artist.get_color()))
        elif isinstance(artist, Line2D):
            artist.set_color(_on_dark(artist.get_color()))
            artist.set_markerfacecolor(_on_dark(artist.get_markerfacecolor()))
            artist.set_markeredgecolor(_on_dark(artist.get_markeredgecolor()))
        elif isinstance(artist, Patch) or hasattr(artist, "set_facecolors"):
            artist.set_facecolor(_each(artist.get_facecolor()))
            artist.set_edgecolor(_each(artist.get_edgecolor()))
        if isinstance(artist, Axes):
            artist.set_facecolor("none")


def _each(colors: Any) -> Any:
    """One color, or several."""
    return _on_dark(colors) if len(colors) == 4 and not hasattr(colors[0], "__len__") else [*map(_on_dark, colors)]


def _on_dark(color: Any) -> Any:
    if isinstance(color, str) and color == "none":
        return color
    red, green, blue, alpha = to_rgba(color)
    other = ON_DARK.get(to_hex((red, green, blue)))
    return to_rgba(other, alpha) if other else color
