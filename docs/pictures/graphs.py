"""Graphs: axes with numbers, and what is drawn in them; 360 wide, with text of 13, which a phone shows as large."""

import html
import math
from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 360, 230
LEFT, RIGHT, TOP, BOTTOM = 56, 22, 14, 40
LINE = "var(--deit-line)"


def graph(parts: Sequence[str], title: str, caption: str, *, height: int = HEIGHT) -> str:
    """An SVG in a figure."""
    return (
        f'<figure class="deit-figure deit-photos"><svg class="deit-graph" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{html.escape(title)}" font-family="inherit" font-size="13">{"".join(parts)}</svg>'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def text(x: float, y: float, words: str, anchor: str = "middle", fill: str = LINE) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}">{html.escape(words)}</text>'


def polyline(points: Sequence[tuple[float, float]], color: str) -> str:
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{drawn}" fill="none" stroke="{color}" stroke-width="2"/>'


class Axes:
    """Where numbers stand in a chart; `parts` are the axes with their words."""

    def __init__(self, across: tuple[float, float], up: tuple[float, float], *, log: bool = False) -> None:
        self.across, self.up, self.log, self.parts = across, up, log, list[str]()
        self.parts.append(
            f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" fill="none" stroke="{LINE}" stroke-width="1"/>'
        )

    def x(self, value: float) -> float:
        low, high = self.across
        if self.log:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        low, high = self.up
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def ticks(self, across: Mapping[float, str], up: Mapping[float, str], under: str) -> None:
        self.parts += [text(self.x(at), HEIGHT - BOTTOM + 16, words) for at, words in across.items()]
        self.parts += [text(LEFT - 5, self.y(at) + 4, words, "end") for at, words in up.items()]
        self.parts += [
            f'<path d="M{LEFT} {self.y(at):.1f}H{WIDTH - RIGHT}" stroke="var(--deit-border)" stroke-width="1"/>'
            for at in up
        ]
        self.parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, under))
