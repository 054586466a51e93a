"""Numbers drawn: bars, tables, and charts whose marks tell by their shape what their color says."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from pictures.parts import Array, percent

TOKENS = {"cls": "class token", "dist": "distillation token"}
SHAPES = {
    "circle": "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0z",
    "diamond": "M0-6 6 0 0 6-6 0z",
    "square": "M-3.5-3.5h7v7h-7z",
    "triangle": "M0-5 5 4-5 4z",
    "cross": "M-4-5 0-1 4-5 5-4 1 0 5 4 4 5 0 1-4 5-5 4-1 0-5-4z",
}
MARKS = {"cls": "circle", "dist": "diamond", "image": "square", "line": "circle"}
LEFT, RIGHT = 40, 346  # of what is drawn; the number of the left axis stand before it


def bars(shares: Sequence[tuple[str, float]], color: str) -> str:
    """Names with their shares of 1, each over a bar."""
    rows = (
        f"<li><span>{escape(name)}</span> <span>{percent(share)}</span>"
        f'<i style="width: {100 * share:.1f}%; --color: var(--deit-{color})"></i></li>'
        for name, share in shares
    )
    return f'<ul class="deit-bars">{"".join(rows)}</ul>'


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are HTML; the first of a row names it."""
    head = "".join(f'<th scope="col">{name}</th>' for name in columns)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in others)}</tr>'
        for first, *others in rows
    )
    return f'<table class="deit-numbers"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def key(names: Mapping[str, str]) -> str:
    """What the marks of a chart stand for."""
    marks = (
        f'<span><svg viewBox="0 0 14 14" aria-hidden="true">{mark(7, 7, color)}</svg>{escape(name)}</span>'
        for color, name in names.items()
    )
    return f'<p class="deit-key">{"".join(marks)}</p>'


def curves(lines: Mapping[str, Array], alt: str, *, band: tuple[Array, Array] | None = None) -> str:
    """A line of each color over the blocks, from 0, the embeddings; behind them a band from low to high."""
    everything = np.concatenate([*lines.values(), *(band or ())])
    ticks = _ticks(min(0.0, float(everything.min())), float(everything.max()))
    low, high = ticks[0], max(ticks[-1], float(everything.max()))
    last = len(next(iter(lines.values()))) - 1

    def x(i: float) -> float:
        return round(LEFT + 10 + (RIGHT - LEFT - 20) * i / last, 1)

    def y(value: float) -> float:
        return round(190 - 175 * (value - low) / (high - low), 1)

    drawn = ""
    for tick in ticks:
        drawn += f'<path class="deit-faint" d="M{LEFT} {y(tick)}H{RIGHT}"/>'
        drawn += f'<text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{_label(tick)}</text>'
    for i in range(last + 1):
        drawn += f'<text x="{x(i)}" y="212" text-anchor="middle">{i}</text>'
    drawn += f'<text x="{(LEFT + RIGHT) / 2}" y="234" text-anchor="middle">after block</text>'
    if band is not None:
        corners = [*enumerate(band[0]), *reversed(list(enumerate(band[1])))]
        drawn += f'<path class="deit-band" d="M{"L".join(f"{x(i)} {y(value)}" for i, value in corners)}Z"/>'
    for color, values in lines.items():
        path = "L".join(f"{x(i)} {y(value)}" for i, value in enumerate(values))
        drawn += f'<path class="deit-path" style="stroke: var(--deit-{color})" d="M{path}"/>'
        drawn += "".join(mark(x(i), y(value), color) for i, value in enumerate(values))
    return _chart(drawn, 240, alt)


def strips(rows: Mapping[str, Array], alt: str) -> str:
    """A row for each name, and in it a mark for each number: of class and distillation token, then of all patches."""
    ticks = _ticks(0.0, max(float(values.max()) for values in rows.values()))
    high, bottom = max(float(values.max()) for values in rows.values()), 14 + 58 * len(rows)

    def x(value: float) -> float:
        return round(14 + (RIGHT - 14) * value / high, 1)

    drawn = ""
    for tick in ticks:
        drawn += f'<path class="deit-faint" d="M{x(tick)} 26V{bottom}"/>'
        drawn += f'<text x="{x(tick)}" y="{bottom + 18}" text-anchor="middle">{_label(tick)}</text>'
    for i, (name, values) in enumerate(rows.items()):
        y = 46 + 58 * i
        places = np.unique([x(value) for value in values[len(TOKENS) :]])
        drawn += f'<text x="14" y="{y - 20}" class="deit-strong">{name}</text>'
        drawn += f'<path class="deit-ticks" d="{"".join(f"M{place} {y - 7}v14" for place in places)}"/>'
        drawn += "".join(mark(x(value), y, color) for value, color in zip(values, TOKENS, strict=False))
    return _chart(drawn, bottom + 24, alt)


def mark(x: float, y: float, color: str) -> str:
    """The mark of a thing that has a color of its own in the book."""
    return marker(MARKS[color], x, y, f"var(--deit-{color})")


def marker(shape: str, x: float, y: float, color: str) -> str:
    return f'<path transform="translate({x:.1f} {y:.1f})" d="{SHAPES[shape]}" style="fill: {color}"/>'


def _chart(drawn: str, height: int, alt: str) -> str:
    """360 wide, as wide as a phone's page, so that a font of 13 is one of 13 there too."""
    return f'<svg class="deit-plot" viewBox="0 0 360 {height}" role="img" aria-label="{escape(alt)}">{drawn}</svg>'


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from just below `low` to `high`, at most eight."""
    unit = next(unit for unit in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 1000) if (high - low) / unit <= 7)
    return [round(i * unit, 1) for i in range(int(np.floor(low / unit)), int(np.floor(high / unit)) + 1)]


def _label(tick: float) -> str:
    return f"{tick:g}".replace("-", "−")
