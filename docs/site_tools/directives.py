"""The directives of the pages, `{{ mirror attention.split_heads }}` and others: docs/contributing.md lists them.

Blocks are made in two steps. In Markdown a block is a word on a line of its own; when the page is HTML, the word's
paragraph becomes the block. So a block stands anywhere, in lists and admonitions too, and Markdown leaves it alone.
"""

import html
import json
import posixpath
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from pictures import PICTURES

import deit_ref
from deit_ref.chapters import CHAPTERS
from deit_ref.course.assignments import assignments
from deit_ref.weights import DeiTWeights
from site_tools import figures, sources
from site_tools.listings import code_html, pair_html, read_alike, shared_html
from site_tools.sources import BACKENDS, ROOT, Cut, SourceError

LABELS = {"numpy": "NumPy", "torch": "torch"}
_DIRECTIVE = re.compile(r"\{\{\s*(.*?)\s*\}\}")
_CODE_SPAN = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)")


@dataclass
class PageBuilder:
    """Carries out the directives of one page.

    Attributes:
        uri: the page's path below docs, such as "chapters/attention.md".
        link: from a path below docs (with #anchor) to the address that the page's HTML uses for it.
        root: the repository.
        blocks: HTML by placeholder.
        figures: the drawings that are on the page.
        numbered: how many figures of the page have a number.
    """

    uri: str
    link: Callable[[str], str]
    root: Path = ROOT
    blocks: dict[str, str] = field(default_factory=dict)
    figures: set[str] = field(default_factory=set)
    numbered: int = 0

    def markdown(self, text: str) -> str:
        """The page with every directive carried out; a wrong one is a SourceError that names it."""
        lines, fence = [], ""
        for line in text.split("\n"):
            opening = re.match(r"\s*(```+|~~~+)", line)
            if fence:
                if opening and opening[1].startswith(fence) and line.strip() == opening[1]:
                    fence = ""
            elif opening:
                fence = opening[1]
            elif "{{" in line:
                line = self._line(line)
            lines.append(line)
        return "\n".join(lines)

    def html(self, text: str) -> str:
        """The page's HTML with the blocks in their places."""
        for placeholder, block in self.blocks.items():
            paragraph = f"<p>{placeholder}</p>"
            if text.count(placeholder) != 1:
                raise SourceError(f"block {placeholder} is {text.count(placeholder)} times in the page")
            text = text.replace(paragraph if paragraph in text else placeholder, block)
        return text

    def _line(self, line: str) -> str:
        alone = re.fullmatch(r"(\s*)\{\{\s*(.*?)\s*\}\}\s*", line)
        if alone and not alone[2].startswith("line "):
            block = self._run(alone[2], BLOCKS)
            return "\n".join(["", *(alone[1] + part for part in block.split("\n")), ""])
        spans = [match.span() for match in _CODE_SPAN.finditer(line)]

        def inline(match: re.Match[str]) -> str:
            if any(start < match.start() < end for start, end in spans):
                return match[0]
            return self._run(match[1], INLINE)

        return _DIRECTIVE.sub(inline, line)

    def _run(self, call: str, known: dict[str, Callable[..., str]]) -> str:
        try:
            name, *arguments = shlex.split(call)
            if name not in known:
                where = "alone on its line" if name in BLOCKS else "a directive"
                raise SourceError(f"{name!r} is not {where}; known here: {', '.join(known)}")
            return known[name](self, *arguments)
        except (SourceError, TypeError, ValueError, OSError) as error:
            raise SourceError(f"{self.uri}: {{{{ {call} }}}}: {error}") from error

    def add(self, content: str) -> str:
        """The placeholder of a block."""
        placeholder = f"deit-block-{len(self.blocks)}-deit"
        self.blocks[placeholder] = content
        return placeholder

    def mirror(self, name: str) -> str:
        """Tabs "NumPy" and "torch", side by side where the screen is wide; one block where both read alike."""
        cuts = {backend: sources.cut(*sources.resolve(name, backend, self.root), self.root) for backend in BACKENDS}
        titles = (f"{LABELS[backend]}: {cut.module.split('/')[-1]}.py" for backend, cut in cuts.items())
        heads = [self._head(cut, title) for cut, title in zip(cuts.values(), titles, strict=True)]
        if read_alike(*cuts.values()):
            numpy, torch = cuts.values()
            words = f"{heads[0]} · torch, the same: {self._head(torch, '')}"
            return self.add(shared_html(numpy, self._line_link(numpy), words))
        blocks = pair_html(list(cuts.values()), [self._line_link(cut) for cut in cuts.values()], heads)
        group = f"mirror-{len(self.blocks)}"
        inputs, labels = [], []
        for i, backend in enumerate(cuts):
            inputs.append(f'<input{" checked" * (i == 0)} id="{group}-{i}" name="{group}" type="radio">')
            labels.append(f'<label for="{group}-{i}">{LABELS[backend]}</label>')
        content = "".join(f'<div class="tabbed-block">{block}</div>' for block in blocks)
        return self.add(
            f'<div class="tabbed-set tabbed-alternate deit-mirror" data-tabs="{group}:2">{"".join(inputs)}'
            f'<div class="tabbed-labels" data-search-exclude>{"".join(labels)}</div>'
            f'<div class="tabbed-content">{content}</div></div>'
        )

    def _line_link(self, cut: Cut) -> Callable[[int], str]:
        return lambda number: self.link(f"source/{cut.module}.md#L{number}")

    def _head(self, cut: Cut, title: str) -> str:
        words = f"{title}, line {cut.first}" if title else f"line {cut.first}"
        return f'<a href="{self._line_link(cut)(cut.first)}">{html.escape(words)}</a>'

    def code(self, *name: str) -> str:
        """One block: `attention.split_heads`, `torch attention.split_heads` or `deit_ref.weights.Attention`."""
        module, inner = self._resolve(*name)
        cut = sources.cut(module, inner, self.root)
        return self.add(code_html(cut, self._line_link(cut), head=self._head(cut, f"deit_ref/{module}.py")))

    def formula(self, *name: str) -> str:
        """The first display formula of the function's docstring."""
        return f"$$\n{sources.formula(*self._resolve(*name), self.root)}\n$$"

    def line(self, *name_and_text: str) -> str:
        """A link to the one line of the function that contains the text."""
        *name, text = name_and_text
        module, inner = self._resolve(*name)
        number = sources.find_line(module, inner, text, self.root)
        target = posixpath.relpath(f"source/{module}.md", posixpath.dirname(self.uri) or ".")
        return f"[{module.split('/')[-1]}.py, line {number}]({target}#L{number})"

    def figure(self, name: str, caption: str = "") -> str:
        """docs/figures/<name>.svg in the page, so that it takes the page's colors; .md links in it are resolved.

        The caption is the drawing's title, if the page has no better one.
        """
        if name in self.figures:
            raise SourceError("a figure stands once on a page, because its ids do")
        self.figures.add(name)
        svg = (self.root / "docs" / "figures" / f"{name}.svg").read_text(encoding="utf-8")
        svg = re.sub(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->", "", svg, flags=re.DOTALL).strip()
        # Not plain href: Material's navigation.instant sets it on a page's links, and in SVG it cannot be set.
        svg = re.sub(r"(<a\b[^>]*?\s)href=", r"\1xlink:href=", svg)
        svg = re.sub(r'(?<=\sxlink:href=")([^"#:]+\.md)(#[^"]*)?(?=")', self._figure_link, svg)
        svg, style = figures.sized(svg)
        return self.add(figures.framed(svg, self.figure_number(), caption or figures.title(svg), style=style))

    def chart(self, name: str) -> str:
        """docs/data/<name>.json, written by `deit-ref benchmark`, as bars for each case."""
        data = json.loads((self.root / "docs" / "data" / f"{name}.json").read_text(encoding="utf-8"))
        content, caption = figures.chart(data)
        return self.add(figures.framed(content, self.figure_number(), caption, kind="deit-chart"))

    def figure_number(self) -> str:
        """Of the page's next figure: 5.1 in chapter 5, R.1 in the one on the recipe, plainly 1 elsewhere."""
        self.numbered += 1
        chapters = {f"chapters/{chapter.name}.md": f"{chapter.number}." for chapter in CHAPTERS}
        chapters |= {"chapters/why.md": "W.", "chapters/recipe.md": "R."}
        return f"{chapters.get(self.uri, '')}{self.numbered}"

    def _figure_link(self, match: re.Match[str]) -> str:
        target, anchor = match[1], match[2] or ""
        for base in ("figures", posixpath.dirname(self.uri), ""):
            uri = posixpath.normpath(posixpath.join(base, target))
            try:
                return self.link(uri + anchor)
            except SourceError:
                continue
        raise SourceError(f"the figure's link {target!r} leads to no page")

    def photo(self, name: str) -> str:
        """A picture of docs/pictures: the running photo in the bundled model; links to .md pages in it are resolved."""
        if name not in PICTURES:
            raise SourceError(f"there is no picture {name!r}; known: {', '.join(PICTURES)}")
        number = f'<figcaption><b class="deit-figure-number">Figure {self.figure_number()}.</b> '
        figure = PICTURES[name](_weights()).replace("<figcaption>", number, 1)
        return self.add(re.sub(r'(?<=\shref=")[^":?#]+\.md(?=["?])', lambda page: self.link(page[0]), figure))

    def table(self, name: str) -> str:
        """docs/data/<name>.json as a table: columns, rows, and how, when and with what they were measured."""
        data = json.loads((self.root / "docs" / "data" / f"{name}.json").read_text(encoding="utf-8"))
        rows = [data["columns"], ["---"] * len(data["columns"]), *data["rows"]]
        if any(len(row) != len(data["columns"]) for row in rows):
            raise SourceError(f"each row of docs/data/{name}.json must have {len(data['columns'])} cells")
        table = ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
        versions = ", ".join(f"{package} {version}" for package, version in data["versions"].items())
        where = data.get("machine", "")  # of the command that compares peers, a note says more
        where = f" ({where})" if where and isinstance(where, str) else ""
        measured = f"Measured by `{data['command']}` on {data['date']}{where}, with {versions}."
        return "\n".join([*table, "", " ".join([*data.get("notes", ()), measured])])

    def course(self) -> str:
        """The assignments: for each task its points, its time and the mistakes that are named."""
        lines = []
        for assignment in assignments():
            minutes = sum(task.minutes for task in assignment.tasks)
            lines += ["", f"### {assignment.number}. {assignment.title}", ""]
            lines += [f"{assignment.points} points, {minutes} minutes, and 20 more for the question.", ""]
            lines += ["| task | points | minutes | mistakes that the feedback names |", "|---|---|---|---|"]
            for task in assignment.tasks:
                mistakes = ", ".join(mistake.name for mistake in task.mistakes)
                lines.append(f"| `{task.name}` | {task.points} | {task.minutes} | {mistakes} |")
        return "\n".join(lines)

    def include(self, path: str) -> str:
        """A file of the repository's top level; its links to docs and source files become links in the site."""
        text = (self.root / path).read_text(encoding="utf-8").rstrip()
        here = posixpath.dirname(self.uri) or "."

        def link(match: re.Match[str]) -> str:
            target = match[1]
            if urlsplit(target).scheme or target.startswith("#"):
                return match[0]
            return f"]({posixpath.relpath(site_path(target), here)})"

        return re.sub(r"\]\(([^)\s]+)\)", link, text)

    def _resolve(self, *name: str) -> tuple[str, str]:
        backend, dotted = name if len(name) == 2 else ("numpy", *name)
        if backend not in BACKENDS:
            raise SourceError(f"{backend!r} is not a backend; known: {', '.join(BACKENDS)}")
        return sources.resolve(dotted, backend, self.root)


@cache
def _weights() -> DeiTWeights:
    return deit_ref.load_weights()


def site_path(path: str) -> str:
    """Where the site has a file of the repository: a page, a source page or a notebook page."""
    path, _, anchor = path.partition("#")
    for pattern, target in (
        (r"(?:\./)?docs/(.+)", r"\1"),
        (r"deit_ref/(.+)\.py", r"source/\1.md"),
        (r"deit_ref(?:/[^.]*)?", r"source/index.md"),
        (r"notebooks/([^/]+)\.(?:ipynb|py)", r"notebooks/\1.md"),
        (r"(CHANGELOG|CONTRIBUTING)\.md", lambda match: f"{match[1].lower()}.md"),
    ):
        if re.fullmatch(pattern, path):
            path = re.sub(pattern, target, path)
            break
    return f"{path}#{anchor}" if anchor else path


BLOCKS: dict[str, Callable[..., str]] = {
    "mirror": PageBuilder.mirror,
    "code": PageBuilder.code,
    "formula": PageBuilder.formula,
    "figure": PageBuilder.figure,
    "photo": PageBuilder.photo,
    "chart": PageBuilder.chart,
    "table": PageBuilder.table,
    "course": PageBuilder.course,
    "include": PageBuilder.include,
}
INLINE: dict[str, Callable[..., str]] = {"line": PageBuilder.line}
