"""Listings: code from the source with its line numbers; NumPy beside torch, folded, broken and aligned so that it fits.

A line of the source may have 120 characters, and half a screen has room for `COLUMNS`. So beside each other, lines are
broken here, where their syntax allows, and not where the browser runs out of room. Then every row is as high as the
next, and blank rows bring lines that match to the same height.
"""

import ast
import html
import re
from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher
from functools import cache
from typing import Any, NamedTuple

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer
from pygments.token import Comment, String

from site_tools.sources import Cut

COLUMNS = 55  # of one side: what is free at 13 px on a screen of 1220 px
_ALIKE = 0.6  # lines of the two sides that are at least this similar stand beside each other
# Where a line is rather broken, the lower the better; brackets count 1 each.
_BEFORE = dict.fromkeys(("if", "else", "for"), 0.2) | dict.fromkeys(("or", "and"), 0.3)
_BEFORE |= dict.fromkeys(("==", "!=", "<", ">", "<=", ">="), 0.4) | dict.fromkeys("|&+-", 0.5)
_BEFORE |= dict.fromkeys(("*", "/", "//", "%", "@"), 0.6)
_COMMENT, _COMMA, _BARE_COMMA, _OPENED, _METHOD, _VALUE, _TEXT = -1.0, 0.0, 0.25, 0.7, 0.8, 4.0, 5.0
_SHORT = 18  # a row with less than this is rather not begun: "x = x" and then "+ drop_path(...)"

Line = tuple[int, str]


class Break(NamedTuple):
    """Where a row may begin: the offset in the line, how bad it is, its indentation, and a mark before it."""

    offset: int
    cost: float
    indentation: int
    mark: str = ""


LineLink = Callable[[int], str]


def code_html(cut: Cut, line_link: LineLink, *, head: str = "", anchors: bool = False) -> str:
    """Highlighted lines that wrap under their own indentation; numbers are not part of what is copied."""
    return _block(cut, head, _lines_html(cut.lines, line_link, anchors=anchors))


def pair_html(cuts: Sequence[Cut], line_links: Sequence[LineLink], heads: Sequence[str]) -> list[str]:
    """A function and its twin: blocks of the same height, signatures folded, matching lines beside each other."""
    rows: tuple[list[str], list[str]] = ([], [])
    for lines in zip(*map(_sections, cuts), strict=True):
        for side, blanks in enumerate(_blanks(*([text for _, text in part] for part in lines))):
            shown = [*_lines_html(lines[side], line_links[side], broken=True), ""]
            rows[side].append("".join(_blank(count) + line for count, line in zip(blanks, shown, strict=True)))
    return [_block(cut, head, _with_fold(cut, parts)) for cut, head, parts in zip(cuts, heads, rows, strict=True)]


def read_alike(one: Cut, other: Cut) -> bool:
    """Whether two functions are the same but for types: names, arguments and every line of the body."""
    if one.signature is None or other.signature is None or folded(one) != folded(other):
        return False
    bodies = [[text for _, text in _sections(cut)[2]] for cut in (one, other)]
    return bodies[0] == bodies[1]


def shared_html(cut: Cut, line_link: LineLink, head: str) -> str:
    """A function whose twin reads alike: once, its signature folded."""
    return _block(cut, head, _with_fold(cut, ["".join(_lines_html(part, line_link)) for part in _sections(cut)]))


def _with_fold(cut: Cut, rows: list[str]) -> list[str]:
    if cut.signature is None or (line := folded(cut)) in cut.text.split("\n"):
        return rows
    number = f'<span class="deit-number" data-line="{cut.signature.start}" aria-hidden="true"></span>'
    summary = f"<summary>{number}<span>{_highlighted(line).strip()}</span></summary>"
    above, signature, body = rows
    return [above, f'<details class="deit-signature">{summary}{signature}</details>', body]


def _block(cut: Cut, head: str, rows: Sequence[str]) -> str:
    title = f'<span class="filename" data-search-exclude>{head}</span>' if head else ""
    copied = html.escape(cut.text, quote=True)
    return f'<div class="highlight deit-code" data-copy="{copied}">{title}<pre><code>{"".join(rows)}</code></pre></div>'


def _lines_html(
    lines: Sequence[Line], line_link: LineLink, *, anchors: bool = False, broken: bool = False
) -> list[str]:
    texts, shown = [text for _, text in lines], []
    places = line_breaks(texts) if broken else [()] * len(texts)
    rows = _highlighted("\n".join(texts)).split("\n")
    for (number, text), row, here in zip(lines, rows, places, strict=False):
        indent = len(text) - len(text.lstrip())
        name = f' id="L{number}"' if anchors else ""
        row = _with_breaks(row, here)
        shown.append(
            f'<span class="deit-line"{name} style="--indent:{indent}">'
            f'<a class="deit-number" href="{line_link(number)}" data-line="{number}" tabindex="-1" aria-hidden="true">'
            f"</a>{row}\n</span>"
        )
    return shown


def _highlighted(text: str) -> str:
    return highlight(text, PythonLexer(stripnl=False, ensurenl=False), HtmlFormatter(nowrap=True))


def _blank(rows: int) -> str:
    return f'<span class="deit-blank" style="--rows:{rows}"></span>' if rows else ""


# Signatures.


def _sections(cut: Cut) -> tuple[list[Line], list[Line], list[Line]]:
    """What stands above the signature, the signature, and the body."""
    signature = cut.signature or range(0)
    return (
        [line for line in cut.lines if line[0] < signature.start],
        [line for line in cut.lines if line[0] in signature],
        [line for line in cut.lines if line[0] >= signature.stop],
    )


def folded(cut: Cut) -> str:
    """The signature in one line, without types; without defaults too, and then without its end, if it is too long."""
    text = "\n".join(text for number, text in cut.lines if cut.signature and number in cut.signature)
    function = ast.parse(f"{text.strip()} ...").body[0]
    assert isinstance(function, ast.FunctionDef)
    arguments = function.args
    for argument in ast.walk(arguments):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    with_defaults = ast.unparse(arguments)
    arguments.defaults, arguments.kw_defaults = [], [None] * len(arguments.kwonlyargs)
    names = ast.unparse(arguments)
    for inside in (with_defaults, names):
        if len(line := f"def {function.name}({inside}):") < COLUMNS:
            return line
    room = COLUMNS - len(f"def {function.name}(, …): ")
    return f"def {function.name}({names[:room].rsplit(',', 1)[0]}, …):"


# Lines of the two sides beside each other.


def _blanks(left: list[str], right: list[str]) -> tuple[list[int], list[int]]:
    """How many blank rows stand before each line of each side, and after the last."""
    blanks = [0] * (len(left) + 1), [0] * (len(right) + 1)
    above, heights = [0, 0], [_heights(left), _heights(right)]
    begun = [0, 0]
    for pair in [*_matches(left, right), (len(left), len(right))]:
        reached = [above[side] + sum(heights[side][begun[side] : pair[side]]) for side in range(2)]
        for side in range(2):
            # A comment stands above what it explains: before a match, what has no twin comes last.
            blanks[side][pair[side] if pair[side] == len(heights[side]) else begun[side]] = max(reached) - reached[side]
            above[side] = max(reached) + sum(heights[side][pair[side] : pair[side] + 1])
            begun[side] = pair[side] + 1
    return blanks


def _heights(texts: list[str]) -> list[int]:
    return [1 + len(places) for places in line_breaks(texts)]


def _matches(left: list[str], right: list[str]) -> list[tuple[int, int]]:
    """Pairs of lines, in order, that together are as similar as possible."""
    best = [[(0.0, ())] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i, mine in enumerate(left, 1):
        for j, other in enumerate(right, 1):
            same = _similarity(mine, other)
            best[i][j] = max(best[i - 1][j], best[i][j - 1], key=lambda found: found[0])
            if same >= _ALIKE and best[i - 1][j - 1][0] + same > best[i][j][0]:
                score, before = best[i - 1][j - 1]
                best[i][j] = score + same, (before, (i - 1, j - 1))
    pairs, chain = [], best[-1][-1][1]
    while chain:
        chain, pair = chain
        pairs.append(pair)
    return pairs[::-1]


@cache
def _similarity(left: str, right: str) -> float:
    if left == right:
        return 1.0
    if left.lstrip().startswith("#") or right.lstrip().startswith("#"):
        return 0.0  # comments are alike or not, there is no nearly
    codes = (re.sub(r"\b(np|torch|F)\.|\s+(#.*)?", "", line) for line in (left, right))
    return SequenceMatcher(None, *codes, autojunk=False).ratio()


# Long lines.


def line_breaks(lines: Sequence[str]) -> list[tuple[Break, ...]]:
    """For each line the places where it is broken so that no row has more than `COLUMNS`."""
    found, depth = [], 0
    for line in lines:
        found.append(breaks(line, depth > 0, COLUMNS))
        code = "".join(value for kind, value in _tokens(line) if kind not in Comment and kind not in String)
        depth += sum(map(code.count, "([{")) - sum(map(code.count, ")]}"))
    return found


@cache
def breaks(text: str, inside: bool, columns: int) -> tuple[Break, ...]:
    """Where one line is broken; `inside`: whether it stands in brackets that a line above has opened."""
    indent = len(text) - len(text.lstrip())
    deeper = 4 if re.match(r"\s*(if|elif|for|while|with)\b.*:\s*$", text) else 0  # what follows is indented, too
    candidates = list(_candidates(text, inside))
    found: list[Break] = []
    start, indentation = 0, 0
    while indentation + len(text) - start > columns:
        rows = [(place, len(text[start : place.offset].rstrip())) for place in candidates if place.offset > start]
        rows = [(place, size) for place, size in rows if text[start : place.offset].strip()]
        fitting = [(place, size) for place, size in rows if indentation + size <= columns] or rows[:1]
        if not fitting:
            break
        best, _ = min(fitting, key=lambda row: (row[0].cost + (row[1] - indent < _SHORT), -row[0].offset))
        found.append(best._replace(indentation=best.indentation + indent + deeper))
        start, indentation = best.offset, found[-1].indentation + len(best.mark)
    return tuple(found)


def _tokens(text: str) -> Iterator[tuple[Any, str]]:
    return PythonLexer(stripnl=False, ensurenl=False).get_tokens(text)


def _candidates(text: str, inside: bool) -> Iterator[Break]:
    """Each place where a row may begin, with the steps of indentation that it would have."""
    offset, depth, holes = 0, 0, 0  # holes: of an f-string
    only_comment = text.lstrip().startswith("#")
    for kind, value in _tokens(text):
        steps, cost = 4 * max(depth, 1), depth + (_TEXT + 1 if holes else 0)
        if kind in Comment:
            if not only_comment:
                yield Break(offset, _COMMENT, 4)
            yield from (Break(offset + at, _TEXT, 0 if only_comment else 4, "# ") for at in _words(value))
        elif kind in String:
            holes += value.count("{") - value.count("}") if kind in String.Interpol else 0
            yield from (Break(offset + at, depth + _TEXT, steps) for at in _words(value))
        elif value in _BEFORE and offset and text[offset - 1] == " " and text[offset + len(value) :][:1] == " ":
            yield Break(offset, cost + _BEFORE[value], steps)
        elif value == "." and depth == 0 and text[:offset].rstrip().endswith(")"):
            yield Break(offset, cost + _METHOD, 4)
        else:
            for at, character in enumerate(value, offset + 1):
                if character in "([{":
                    depth += 1
                    if text[at : at + 1] not in (*")]}", ""):
                        yield Break(at, depth + _OPENED + cost - int(cost), 4 * depth)
                elif character in ")]}":
                    depth -= 1
                elif character == "," and text[at : at + 1] == " ":
                    bare = depth == 0 and not inside
                    yield Break(at + 1, cost + (_BARE_COMMA if bare else _COMMA), 4 * depth or 4 * (not inside))
                elif character in "=:" and (depth or inside):
                    yield Break(at + (text[at : at + 1] == " "), cost + _VALUE, steps)
        offset += len(value)


def _words(text: str) -> Iterator[int]:
    return (found.end() for found in re.finditer(r"(?<=[^#\s]) ", text))


def _with_breaks(row: str, places: Sequence[Break]) -> str:
    """Highlighted HTML with the marks at which rows begin."""
    if not places:
        return row
    by_offset, parts, offset = {place.offset: place for place in places}, [], 0
    for piece in re.findall(r"<[^>]*>|&[^;]*;|.", row):
        if not piece.startswith("<"):
            if place := by_offset.get(offset):
                mark = f' data-mark="{place.mark}"' if place.mark else ""
                parts.append(f'<span class="deit-break" style="--to:{place.indentation}"{mark}></span>')
            offset += 1
        parts.append(piece)
    return "".join(parts)
