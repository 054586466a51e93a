"""Figures: drawings with labels as large as the text of the page, numbers and captions; charts of measured data.

A drawing has a scale of its own. It is shown so wide that its labels have 12 to 17 px, and no wider; on a phone they
shrink to 12 px at most, and a drawing that is still wider than the screen scrolls in its frame.
"""

import html
import re
from typing import Any

LABELS = (12.0, 15.0, 17.0)  # px: at least, at most where prose is narrow, and where a drawing has room
PROSE, SCREEN = 716.0, 640.0  # px: the width of the text; how high a drawing becomes by growing
_REM = 20.0  # px: what Material makes of 1 rem on screens up to 1600 px
_RAISED = 1.06  # how far the smallest labels of a drawing may grow

_SIZES = {"tiny": "Ti", "small": "S", "base": "B"}  # as the paper names them
_OURS = ("numpy", "torch", "torch-compiled")
_ROW, _LEFT, _WIDTH, _BAR = 22, 148, 340, 148  # px of a panel


def sized(svg: str) -> tuple[str, str]:
    """The drawing with labels of nearly one size, and the style that says how wide it is, for screens and phones."""
    _, _, width, height = (float(number) for number in re.search(r'viewBox="([^"]*)"', svg)[1].split())  # type: ignore[index]
    sizes = sorted(float(size) for size in re.findall(r'font-size="([\d.]+)"', svg))
    if not sizes:
        return svg, f"--wide:{width / _REM:g}rem;--narrow:{width / _REM:g}rem"
    span = LABELS[1] / LABELS[0]
    smallest = min(sizes[0] * _RAISED, sizes[len(sizes) // 2])
    largest = min(sizes[-1], smallest * span)

    def clamped(found: re.Match[str]) -> str:
        return f'font-size="{min(max(float(found[1]), smallest), largest):.4g}"'

    room = min(PROSE, SCREEN * width / height)
    wide = min(width * LABELS[2] / largest, max(width * LABELS[1] / largest, room))
    narrow = width * LABELS[0] / smallest
    svg = re.sub(r'font-size="([\d.]+)"', clamped, svg)
    return svg, f"--wide:{wide / _REM:.4g}rem;--narrow:{narrow / _REM:.4g}rem"


def title(svg: str) -> str:
    found = re.search(r"<title[^>]*>(.*?)</title>", svg, flags=re.DOTALL)
    return html.unescape(found[1]) if found else ""


def framed(content: str, number: str, caption: str, *, style: str = "", kind: str = "deit-drawing") -> str:
    """A figure with its number and caption; what is wider than the page scrolls inside."""
    attribute = f' style="{style}"' if style else ""
    words = f'<figcaption><b class="deit-figure-number">Figure {number}.</b> {html.escape(caption)}</figcaption>'
    return f'<figure class="deit-figure {kind}"{attribute}><div class="deit-frame">{content}</div>{words}</figure>'


# The chart of `deit-ref benchmark`.


def chart(data: dict[str, Any], dtype: str = "float32") -> tuple[str, str]:
    """A panel for each case, with a bar for each peer's time beside transformers' eager attention; and a caption.

    Ratios stand as numbers beside the bars, so that neither color nor length has to be measured.
    """
    records = [record for record in data["records"] if record["dtype"] == dtype and "milliseconds" in record]
    cases = list(dict.fromkeys((record["model"], record["batch"]) for record in records))
    panels = []
    for model, batch in cases:
        shown = [record for record in records if (record["model"], record["batch"]) == (model, batch)]
        (unit,) = (record["milliseconds"][0] for record in shown if record["peer"] == "transformers-eager")
        shares = [(record["peer"], *(time / unit for time in record["milliseconds"])) for record in shown]
        photos = "one photo" if batch == 1 else f"{batch} photos"
        panels.append(_panel(f"DeiT-{_SIZES.get(model, model)}, {photos}", shares))
    notes = data["notes"][0].rstrip(".")
    caption = (
        f"Time of a forward pass in {dtype}, in units of transformers with eager attention (the line at 1): shorter is "
        f"faster. Outlined bars are this project's; thin lines span the middle half of the calls. {notes}, "
        f"{data['date']}."
    )
    return f'<div class="deit-panels">{"".join(panels)}</div>', caption


def _panel(name: str, shares: list[tuple[str, float, float, float]]) -> str:
    longest = max(1.2, *(high for _, _, _, high in shares))
    scale = _BAR / longest
    height = _ROW * len(shares) + 34
    said = "; ".join(f"{peer} {share:.2f}" for peer, share, _, _ in shares)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" font-family="inherit" aria-label="{name}: {said}">',
        f'<text x="0" y="15" font-size="14" font-weight="700" fill="var(--deit-line)">{name}</text>',
    ]
    for i, (peer, share, low, high) in enumerate(shares):
        top = 28 + _ROW * i
        ours = peer in _OURS
        fill = "var(--deit-image-pale)" if ours else "var(--deit-mask-pale)"
        stroke = "var(--deit-image)" if ours else "none"
        weight = 700 if ours else 400
        middle = top + 7.5
        parts += [
            f'<text x="{_LEFT - 8}" y="{top + 12}" font-size="13" font-weight="{weight}" text-anchor="end" '
            f'fill="var(--deit-line)">{peer}</text>',
            f'<rect x="{_LEFT}" y="{top}" width="{share * scale:.1f}" height="15" fill="{fill}" stroke="{stroke}" '
            f'stroke-width="1.5"/>',
            f'<path d="M{_LEFT + low * scale:.1f} {middle}H{_LEFT + high * scale:.1f}" stroke="var(--deit-line)"/>',
            f'<text x="{_WIDTH}" y="{top + 12}" font-size="13" font-weight="{weight}" text-anchor="end" '
            f'fill="var(--deit-line)">{share:.2f}</text>',
        ]
    line = _LEFT + scale
    parts.append(f'<path d="M{line:.1f} 22V{height - 2}" stroke="var(--deit-mask)" stroke-dasharray="3 3"/></svg>')
    return "".join(parts)
