"""The site's sources, without building it: chapters and pages go together, and what is shown comes from the code."""

import ast
import doctest
import itertools
import json
import re
import sys
import textwrap
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from deit_ref.chapters import CHAPTERS

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "docs"))

jupytext = pytest.importorskip("jupytext")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")

from site_tools import book as whole_book  # noqa: E402
from site_tools import directives, docstrings, figures, listings, mathjax, notebooks, pages, sources  # noqa: E402

PAGES = sorted(path for path in (ROOT / "docs").rglob("*.md") if path.parent.name not in ("data", "slides"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))
CONFIG = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
NAV = re.findall(r"^ +- (.+): (\S+\.md)$", CONFIG, flags=re.MULTILINE)
DRAFTS = set(re.findall(r"^  /(\S+\.md)$", CONFIG, flags=re.MULTILINE))  # not built yet
FENCE = re.compile(
    r"^(?P<indent> *)(?P<ticks>```+|~~~+)(?P<kind>[^\n`]*)\n(?P<code>.*?)^(?P=indent)(?P=ticks) *$", re.M | re.S
)


def read(path):
    return path.read_text(encoding="utf-8")


def code_blocks(page):
    """(line number, dedented code) of each fenced block."""
    text = read(page)
    for block in FENCE.finditer(text):
        yield text.count("\n", 0, block.start("code")) + 1, textwrap.dedent(block["code"])


def notebook_code(path):
    return [cell.source for cell in jupytext.read(path).cells if cell.cell_type == "code"]


# Each chapter has everything, and the navigation has every page.


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
class TestChapter:
    def test_has_its_modules_a_page_a_notebook_and_a_test_file(self, chapter):
        notebook = f"{chapter.number:02d}_{chapter.name}"
        for path in (
            *(f"deit_ref/numpy_backend/{file.replace('.', '/')}.py" for file in chapter.numpy),
            *(f"deit_ref/torch_backend/{file}.py" for file in chapter.torch),
            f"docs/chapters/{chapter.name}.md",
            f"notebooks/{notebook}.py",
            f"notebooks/{notebook}.ipynb",
            *([f"tests/test_{chapter.name}.py"] if chapter.numpy else []),
        ):
            assert (ROOT / path).is_file(), path

    def test_has_its_title_as_the_only_first_heading(self, chapter):
        text = FENCE.sub("", read(ROOT / "docs" / "chapters" / f"{chapter.name}.md"))
        assert re.findall(r"^# (.+)$", text, flags=re.MULTILINE) == [f"{chapter.number}. {chapter.title}"]

    def test_shows_its_formula_its_code_in_both_backends_and_a_figure(self, chapter):
        text = read(ROOT / "docs" / "chapters" / f"{chapter.name}.md")
        shown = {f"{{{{ mirror {file}." for file in chapter.numpy} | {f"{{{{ code {file}." for file in chapter.numpy}
        assert any(call in text for call in shown) or not chapter.numpy
        assert chapter.name not in chapter.numpy or f"{{{{ mirror {chapter.name}." in text
        assert "$" in text or "{{ formula" in text
        assert "{{ figure " in text or "{{ photo " in text

    def test_names_its_sources(self, chapter):
        for key, place in pages.SOURCES[chapter.name]:
            assert key in pages.PAPERS
            assert place


def test_navigation_lists_chapters_notebooks_and_reference_in_reading_order():
    listed = [path for _, path in NAV]
    for expected in (
        ["chapters/why.md", *(f"chapters/{chapter.name}.md" for chapter in CHAPTERS)],
        [f"reference/{chapter.name}.md" for chapter in CHAPTERS if chapter.numpy],
        ["notebooks/00_tour.md", *(f"notebooks/{pages.notebook_name(chapter)}.md" for chapter in CHAPTERS)],
    ):
        folder = expected[0].split("/")[0]
        of_folder = [path for path in listed if path.startswith(folder + "/")]
        assert [path for path in of_folder if path in expected] == expected
    for chapter in CHAPTERS:
        labels = [label for label, path in NAV if path.split("/")[-1] == f"{chapter.name}.md"]
        assert all(label.startswith(f"{chapter.number}. ") for label in labels)
        assert len(labels) == (2 if chapter.numpy else 1)


def test_navigation_and_files_are_the_same():
    made = {"source/index.md", whole_book.URI, *pages.reference_pages()}
    made |= {f"notebooks/{path.stem}.md" for path in notebooks.paths()}
    written = {path.relative_to(ROOT / "docs").as_posix() for path in PAGES if path.parent.name != "cards"}
    assert written >= DRAFTS
    assert {path for _, path in NAV} == (made | written) - DRAFTS
    assert len(NAV) == len(set(NAV))


# Nothing is copied: code on pages and in notebooks comes from the source.


def components():
    """Names of the functions of both backends, and all runs of three lines of their code."""
    names, triples = set(), set()
    for path in sorted((ROOT / "deit_ref").glob("*_backend/*.py")):
        text = read(path)
        tree = ast.parse(text)
        names |= {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        triples |= set(three_lines(text))
    return names, triples


def three_lines(code):
    """Runs of three lines of code, spaces and comments apart; not of imports, and with something in them."""
    lines = [re.sub(r"\s+", "", re.sub(r"  #.*$", "", line)) for line in code.split("\n")]
    lines = [line for line in lines if line and not line.startswith(("#", "import", "from", '"""', ">>>"))]
    for run in zip(lines, lines[1:], lines[2:], strict=False):
        if sum(map(len, run)) >= 60:
            yield run


@pytest.mark.parametrize("path", [*PAGES, *NOTEBOOKS], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_code_is_copied_from_the_package(path):
    names, triples = components()
    blocks = [code for _, code in code_blocks(path)] if path.suffix == ".md" else notebook_code(path)
    for code in blocks:
        code = re.sub(r"^(>>>|\.\.\.) ?", "", code, flags=re.MULTILINE)
        defined = set(re.findall(r"^def (\w+)\(", code, flags=re.MULTILINE)) & names
        assert not defined, f"defined again: {', '.join(defined)}; use {{{{ mirror ... }}}} or import it"
        copied = set(three_lines(code)) & triples
        assert not copied, f"copied from the package: {copied}"


def test_a_copy_would_be_found():
    _, triples = components()
    assert set(three_lines(sources.cut("numpy_backend/attention", "attention_rollout").text)) <= triples
    assert not set(three_lines("import numpy as np\nx = np.ones(3)\nprint(x)")) & triples


# Examples on pages run.


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(">>>" in code for _, code in code_blocks(page))],
    ids=lambda page: page.relative_to(ROOT / "docs").as_posix(),
)
def test_examples_of_a_page_run(page):
    names, failures = {}, []
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for line, code in code_blocks(page):
        if ">>>" in code:
            test = parser.get_doctest(code, names, page.name, str(page), line)
            runner.run(test, out=failures.append, clear_globs=False)
            names = test.globs
    assert not failures, "".join(failures)


# Notebooks are pairs without outputs.


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    def test_pair_is_in_sync(self, path):
        script, notebook = jupytext.read(path), jupytext.read(path.with_suffix(".ipynb"))

        def content(book):
            return [(cell.cell_type, cell.source.strip(), dict(cell.metadata)) for cell in book.cells]

        assert content(script) == content(notebook), f"run: jupytext --sync {path.name}"

    def test_is_stored_without_outputs(self, path):
        for cell in nbformat.read(path.with_suffix(".ipynb"), as_version=4).cells:
            assert not cell.get("outputs")
            assert cell.get("execution_count") is None

    def test_begins_with_its_title(self, path):
        first = jupytext.read(path).cells[0]
        assert first.cell_type == "markdown"
        assert re.match(r"# \S", first.source)


# The directives.

SOURCE = '''\
"""A module."""

import numpy as np

# Why two.
TABLE: dict[str, int] = {
    "two": 2,
}


@np.vectorize
def double(x):
    r"""Twice.

    $$
    y = 2 x,
    $$
    """

    # Doubling is adding.
    y = x + x  # (batch,)
    if x > 9:
        return x + x
    return y


class Pair:
    """Two."""

    a: int

    def swap(self):
        """Swapped."""
        return self
'''


@pytest.fixture
def project(tmp_path):
    for backend in ("numpy", "torch"):
        folder = tmp_path / "deit_ref" / f"{backend}_backend"
        folder.mkdir(parents=True)
        (folder / "demo.py").write_text(SOURCE.replace("x + x  #", "x.add(x)  #") if backend == "torch" else SOURCE)
    (tmp_path / "docs" / "figures").mkdir(parents=True)
    (tmp_path / "docs" / "data").mkdir()
    return tmp_path


@pytest.fixture
def builder(project):
    known = {"chapters/demo.md", "source/numpy_backend/demo.md", "source/torch_backend/demo.md"}

    def link(target):
        if target.split("#")[0] not in known:
            raise sources.SourceError(f"no {target}")
        return f"/{target}"

    return directives.PageBuilder("chapters/demo.md", link, root=project)


def test_a_function_is_cut_with_its_decorator_and_comments_and_without_its_docstring(project):
    cut = sources.cut("numpy_backend/demo", "double", project)
    assert [number for number, _ in cut.lines] == [11, 12, 20, 21, 22, 23, 24]
    assert cut.lines[0] == (11, "@np.vectorize")
    assert cut.lines[2] == (20, "    # Doubling is adding.")
    assert all(text == SOURCE.split("\n")[number - 1] for number, text in cut.lines)


def test_a_constant_is_cut_with_the_comment_above_it(project):
    assert sources.cut("numpy_backend/demo", "TABLE", project).lines[0] == (5, "# Why two.")


def test_a_method_is_cut_without_its_indentation(project):
    assert sources.cut("numpy_backend/demo", "Pair.swap", project).text == "def swap(self):\n    return self"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("{{ mirror demo.triple }}", "has no 'triple'; it has .*double"),
        ("{{ mirror nothing.triple }}", "no module of deit_ref"),
        ('See {{ line demo.double "x * x" }}.', "no line of 'double'"),
        ('See {{ line demo.double "x + x" }}.', r"2 lines .*\(21, 23\)"),
        ("{{ formula demo.Pair }}", r"has no \$\$formula\$\$"),
        ("{{ figure nothing }}", "nothing.svg"),
        ("{{ table nothing }}", "nothing.json"),
        ("{{ photo nothing }}", "no picture 'nothing'"),
        ("{{ mirrors demo.double }}", "'mirrors' is not a directive"),
        ("in {{ mirror demo.double }} text", "'mirror' is not alone on its line"),
        ("{{ code jax demo.double }}", "'jax' is not a backend"),
        ("{{ mirror }}", "mirror"),
    ],
)
def test_wrong_directives_say_what_is_wrong_and_where(builder, call, message):
    with pytest.raises(sources.SourceError, match=f"(?s)chapters/demo.md: .*{message}"):
        builder.markdown(call)


def test_line_becomes_a_link_to_the_one_line(builder):
    text = builder.markdown('In code: {{ line demo.double "(batch,)" }}, {{ line torch demo.double "(batch,)" }}.')
    assert text == (
        "In code: [demo.py, line 21](../source/numpy_backend/demo.md#L21), "
        "[demo.py, line 21](../source/torch_backend/demo.md#L21)."
    )


def test_formula_is_that_of_the_docstring(builder):
    assert builder.markdown("    {{ formula demo.double }}").split() == ["$$", "y", "=", "2", "x", "$$"]


def test_mirror_shows_both_backends_and_follows_the_source(builder, project):
    def shown():
        text = builder.markdown("{{ mirror demo.double }}").strip()
        return re.sub(r"<[^>]+>", "", builder.html(f"<p>{text}</p>"))

    first = shown()
    assert "NumPy: demo.py, line 11" in first
    assert "y = x + x  # (batch,)" in first
    assert "y = x.add(x)  # (batch,)" in first
    assert "Twice" not in first
    builder.blocks.clear()
    (project / "deit_ref/numpy_backend/demo.py").write_text("# moved\n" + SOURCE.replace("y = x", "total = x"))
    second = shown()
    assert "total = x + x  # (batch,)" in second
    assert "NumPy: demo.py, line 12" in second


def test_code_is_copied_without_numbers_and_each_number_leads_to_its_line(builder):
    block = builder.html("<p>" + builder.markdown("{{ code demo.double }}").strip() + "</p>")
    assert 'data-copy="@np.vectorize\ndef double(x):' in block
    assert 'href="/source/numpy_backend/demo.md#L21" data-line="21"' in block


def test_directives_in_code_are_text(builder):
    text = "`{{ mirror a.b }}`\n\n```\n{{ mirror a.b }}\n```\n\n~~~~ text\n```\n{{ nothing }}\n~~~~"
    assert builder.markdown(text) == text


def test_figure_stands_in_the_page_once_and_its_links_are_resolved(builder, project):
    svg = (
        '<svg viewBox="0 0 760 90"><title>A demo</title><a class="b" href="../chapters/demo.md#x"><!-- no --><text>demo'
        "</text></a></svg>"
    )
    (project / "docs/figures/demo.svg").write_text(svg)
    block = builder.html("<p>" + builder.markdown("{{ figure demo }}").strip() + "</p>")
    drawing = '<svg viewBox="0 0 760 90"><title>A demo</title><a class="b" xlink:href="/chapters/demo.md#x"><text>'
    assert drawing in block
    assert '<figcaption><b class="deit-figure-number">Figure 1.</b> A demo</figcaption></figure>' in block
    with pytest.raises(sources.SourceError, match="once"):
        builder.markdown("{{ figure demo }}")
    (project / "docs/figures/lost.svg").write_text(svg.replace("demo.md", "lost.md").replace("href", "xlink:href"))
    with pytest.raises(sources.SourceError, match=r"lost\.md"):
        builder.markdown("{{ figure lost }}")


def test_figures_are_numbered_by_chapter_and_a_page_may_give_a_better_caption(builder, project):
    for name in ("one", "two"):
        (project / f"docs/figures/{name}.svg").write_text(f'<svg viewBox="0 0 9 9"><title>{name}</title></svg>')
    builder.uri = "chapters/attention.md"
    blocks = builder.html(builder.markdown('{{ figure one }}\n\n{{ figure two "Queries & keys" }}'))
    assert "Figure 5.1.</b> one<" in blocks
    assert "Figure 5.2.</b> Queries &amp; keys<" in blocks


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "figures").glob("*.svg")), ids=lambda path: path.stem)
def test_labels_of_figures_are_as_large_as_text(path):
    svg, style = figures.sized(read(path))
    assert figures.title(svg)
    width = float(re.search(r'viewBox="-?\d+ 0 (\d+) ', svg)[1])
    labels = [float(size) for size in re.findall(r'font-size="([\d.]+)"', svg)]
    wide, narrow = (20 * float(rem) / width for rem in re.findall(r":([\d.]+)rem", style))
    assert narrow <= wide
    assert width * narrow <= 390 or path.stem == "map"  # a phone shows all of it
    for scale in (wide, narrow):
        assert 11.99 <= min(labels) * scale <= max(labels) * scale <= 17.01


def test_a_chart_says_the_measured_ratios(builder):
    def record(peer, *milliseconds):
        return {"model": "tiny", "batch": 8, "dtype": "float32", "peer": peer, "milliseconds": milliseconds}

    data = {
        "records": [record("numpy", 30.0, 28, 33), record("transformers-eager", 20.0, 19, 21)],
        "notes": ["A machine."],
        "date": "2026-01-02",
    }
    data["records"].append({"model": "tiny", "batch": 8, "dtype": "float32", "peer": "gone", "problem": "not there"})
    content, caption = figures.chart(data)
    assert 'aria-label="DeiT-Ti, 8 photos: numpy 1.50; transformers-eager 1.00"' in content
    assert re.findall(r">(\d\.\d\d)</text>", content) == ["1.50", "1.00"]
    widths = [float(width) for width in re.findall(r'<rect [^>]*? width="([\d.]+)"', content)]
    assert widths[0] == pytest.approx(1.5 * widths[1], rel=1e-2)
    assert caption.endswith("A machine, 2026-01-02.")


# NumPy beside torch.

MIRRORS = sorted({name for page in PAGES for name in re.findall(r"^\s*{{ mirror (\S+) }}", read(page), re.MULTILINE)})


def columns_of(cut):
    """The rows of a listing, as wide as they are shown."""
    texts = [text for _, text in cut.lines]
    for text, places in zip(texts, listings.line_breaks(texts), strict=True):
        starts = [(0, 0), *((place.offset, place.indentation + len(place.mark)) for place in places), (len(text), 0)]
        for (start, indentation), (end, _) in itertools.pairwise(starts):
            assert start < end or not text
            yield indentation + len(text[start:end].rstrip())


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_no_row_of_a_pair_is_too_wide(backend):
    assert len(MIRRORS) > 50
    for name in MIRRORS:
        cut = sources.cut(*sources.resolve(name, backend))
        assert max(columns_of(cut)) <= listings.COLUMNS, name
        assert cut.signature is None or len(listings.folded(cut)) < listings.COLUMNS


def test_lines_are_broken_where_their_syntax_allows():
    def rows(text, inside=False):
        places = listings.breaks(text, inside, 40)
        starts = [0, *(place.offset for place in places), len(text)]
        indents = [0, *(place.indentation for place in places)]
        return [" " * n + text[a:b].rstrip() for n, a, b in zip(indents, starts, starts[1:], strict=False)]

    assert rows("    x = attend(queries, keys, values, mask)  # (batch, dim)") == [
        "    x = attend(queries, keys, values,",
        "        mask)  # (batch, dim)",
    ]
    assert rows("    scores = (queries * scale) @ keys  # (batch, tokens, tokens)") == [
        "    scores = (queries * scale) @ keys",
        "        # (batch, tokens, tokens)",
    ]
    # What follows a condition is indented, so its second row is indented more.
    assert rows("    if queries is None and keys is not None:") == [
        "    if queries is None",
        "            and keys is not None:",
    ]
    assert rows("    values: Float[Array, 'x'], mask: bool = True,", inside=True) == [
        "    values: Float[Array, 'x'],",
        "    mask: bool = True,",
    ]
    assert rows("    short = 1") == ["    short = 1"]


def test_twins_have_the_same_height_and_matching_lines_stand_beside_each_other(builder):
    left = ["a = first(x)", "b = second(a)", "return b"]
    right = ["a = first(x)", "only = torch.here(a)", "b = second(a)", "return b"]
    blanks = listings._blanks(left, right)
    assert blanks == ([0, 1, 0, 0], [0, 0, 0, 0, 0])
    assert listings._blanks(["# why", "y = x + 1"], ["y = x + 1"]) == ([0, 0, 0], [1, 0])
    assert listings._blanks(["x"], ["yy = 1", "zz = 2"]) == ([0, 1], [0, 0, 0])
    shown = builder.html(f"<p>{builder.markdown('{{ mirror demo.double }}').strip()}</p>")
    assert shown.count('<details class="deit-signature">') == 0  # its decorator and signature have no types to fold


def test_signatures_fold_and_what_is_copied_is_the_code(builder, project):
    path = project / "deit_ref/numpy_backend/demo.py"
    typed = (
        "def long(\n    x: Float[Array, 'a'],\n    *,\n    eps: float = 1e-6,\n) -> Float[Array, 'a']:\n    return x\n"
    )
    path.write_text(SOURCE + "\n\n" + typed)
    (project / "deit_ref/torch_backend/demo.py").write_text(SOURCE + "\n\n" + typed.replace("return x", "return -x"))
    shown = builder.html(f"<p>{builder.markdown('{{ mirror demo.long }}').strip()}</p>")
    folded = re.findall(r"<summary>(.*?)</summary>", shown, flags=re.DOTALL)
    assert [re.sub(r"<[^>]+>", "", line) for line in folded] == ["def long(x, *, eps=1e-06):"] * 2
    assert unescape(re.findall(r'data-copy="([^"]*)"', shown)[0]) == typed.strip()


def test_twins_that_read_alike_stand_once(builder, project):
    path = project / "deit_ref/numpy_backend/demo.py"
    typed = "def same(x: Array, *, eps: float = 1e-6) -> Array:\n    return x\n"
    twin = project / "deit_ref/torch_backend/demo.py"
    path.write_text(SOURCE + "\n\n" + typed)
    twin.write_text("import torch\n" + SOURCE + "\n\n" + typed.replace("Array", "Tensor"))

    def shown():
        builder.blocks.clear()
        return builder.html(f"<p>{builder.markdown('{{ mirror demo.same }}').strip()}</p>")

    assert shown().count("deit-code") == 1
    words = re.sub(r"<[^>]+>", "", shown())
    line = SOURCE.count("\n") + 3
    assert f"NumPy: demo.py, line {line} · torch, the same: line {line + 1}" in words
    assert "def same(x, *, eps=1e-06):" in words
    for changed in ("return x + 0", "return x\n    return x"):
        twin.write_text(SOURCE + "\n\n" + typed.replace("return x", changed))
        assert shown().count("deit-code") == 2
    twin.write_text(SOURCE + "\n\n" + typed.replace("1e-6", "1e-5"))
    assert shown().count("deit-code") == 2


# The whole book.


def test_a_chapter_in_the_book_has_ids_and_links_of_its_own():
    part = whole_book.chapter(
        "heads",
        '<h1 id="a">A</h1><a href="../encoder/#b">b</a><a href="../model/">m</a><a href="#a">a</a><a href="../../map/">'
        '</a><a href="https://x.org/#y"></a><img src="../../assets/p.png"><path d="url(#tip)"><h3>C</h3>',
    )
    assert '<h2 id="heads-a">A</h2>' in part
    assert re.findall(r'(?:href|src)="([^"]*)"', part) == [
        "#encoder-b",
        "#model",
        "#heads-a",
        "../map/",
        "https://x.org/#y",
        "../assets/p.png",
    ]
    assert "url(#heads-tip)" in part
    assert "<h4>C</h4>" in part


def test_the_book_has_every_chapter_in_order():
    text = whole_book.html("<p>in</p>", {name: f"<h1>{name}!</h1>" for name in whole_book.PAGES})
    navigation = re.findall(r": chapters/(\w+)\.md$", read(ROOT / "mkdocs.yml"), re.MULTILINE)
    assert re.findall(r'<section class="deit-chapter" id="(\w+)">', text) == navigation
    assert [name for name in navigation if name in {c.name for c in CHAPTERS}] == [c.name for c in CHAPTERS]
    assert text.startswith('<p>in</p><ol class="deit-book-contents"><li><a href="#why">why!</a></li>')


def test_punctuation_is_bound_to_its_formula():
    formula = '<span class="arithmatex">\\(x\\)</span>'
    bound = pages.with_bound_punctuation(
        f"of {formula}, and ({formula}) or {formula} alone; {formula}-th {formula}.</p>"
    )
    assert re.findall(r'<span class="deit-bound">(.*?)</span>(.*?)</span>', bound.replace(formula, "F</span>")) == [
        ("F", ","),
        ("(F", ")"),
        ("F", "-th"),
        ("F", "."),
    ]


def test_a_small_number_is_not_broken_at_its_sign():
    kept = '<pre>1e-6</pre> <a title="1e-6">\\(1e-6\\)</a> 1e6'
    assert pages.with_whole_numbers(kept) == kept
    assert pages.with_whole_numbers("at 1e-6, 3.0e-4") == (
        'at <span class="deit-bound">1e-6</span>, <span class="deit-bound">3.0e-4</span>'
    )


def test_formulas_of_one_line_come_apart():
    html = '<div class="arithmatex">\\[a, \\qquad\nb\\]</div><div class="arithmatex">\\[c\\]</div>'
    parts = '<div class="arithmatex deit-parts">\\[a,\\] \\[b\\]</div><div class="arithmatex">\\[c\\]</div>'
    assert pages.with_parts_of_formulas(html) == parts
    gathered = r'<div class="arithmatex">\[\begin{gathered} a \qquad b \end{gathered}\]</div>'
    assert pages.with_parts_of_formulas(gathered) == gathered


def test_table_is_made_from_measured_data(builder, project):
    (project / "docs/data/demo.json").write_text(
        '{"columns": ["what", "measured"], "rows": [["a|b", 0]], "command": "run", "date": "2026-01-02",'
        ' "versions": {"numpy": "2.4.6"}}'
    )
    lines = builder.markdown("{{ table demo }}").strip().split("\n")
    assert lines[:3] == ["| what | measured |", "| --- | --- |", "| a\\|b | 0 |"]
    assert lines[-1] == "Measured by `run` on 2026-01-02, with numpy 2.4.6."
    data = json.loads((project / "docs/data/demo.json").read_text())
    for machine, told in (("A processor, 2 cores", " (A processor, 2 cores)"), ({"cores": 2}, "")):
        (project / "docs/data/demo.json").write_text(json.dumps({**data, "machine": machine}))
        last = builder.markdown("{{ table demo }}").strip().split("\n")[-1]
        assert last == f"Measured by `run` on 2026-01-02{told}, with numpy 2.4.6."


def test_included_files_link_into_the_site(builder, project):
    text = "[a](deit_ref/numpy_backend/x.py) [b](docs/map.md#c) [c](https://d) [e](CHANGELOG.md) [f](deit_ref/course)"
    (project / "A.md").write_text(text)
    assert builder.markdown("{{ include A.md }}").strip() == (
        "[a](../source/numpy_backend/x.md) [b](../map.md#c) [c](https://d) [e](../changelog.md) [f](../source/index.md)"
    )


def test_rows_of_links_lead_to_the_other_pages_of_a_chapter():
    everything = {"chapters/attention.md", "reference/attention.md", "notebooks/05_attention.md"}
    row = pages.link_row("notebooks/05_attention.md", everything)
    assert row.split("\n") == [
        "[Chapter 5](../chapters/attention.md)",
        "[API](../reference/attention.md)",
        "[Download 05_attention.ipynb](05_attention.ipynb)",
        "{ .deit-links }",
    ]
    assert "arxiv.org/abs/1706.03762" in pages.link_row("chapters/attention.md", everything)
    assert pages.link_row("glossary.md", everything) == ""
    assert pages.with_link_row("# A\n\n# B", "row") == "# A\n\nrow\n\n\n# B"


def test_examples_in_docstrings_are_fenced():
    text = "Twice.\n\n>>> double(1)\n2\n>>> double(2)\n4\n\nMore."
    assert docstrings.fenced(text) == "Twice.\n\n```pycon\n>>> double(1)\n2\n>>> double(2)\n4\n```\n\nMore."


# Notebooks as pages.


def book(*outputs, alt=None):
    cell = nbformat.v4.new_code_cell("f()", outputs=list(outputs), metadata={"alt": alt} if alt else {})
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# T"), cell])


def picture():
    return nbformat.v4.new_output(
        "display_data",
        {"image/png": "aGk=", "text/plain": "<>"},
        metadata={"image/png": {"width": 3, "height": 4}},
    )


def test_pictures_become_files_with_their_alt_text():
    text, files = notebooks.convert("00_a", book(picture(), picture(), alt="A [cat], seen"))
    assert r"![A \[cat\], seen](00_a/figure-1.png){ .deit-picture width=3 height=4 loading=lazy }" in text
    assert text.index("![A") < text.index("<details") < text.index("f()"), "a page begins with its picture"
    assert files == {"notebooks/00_a/figure-1.png": b"hi", "notebooks/00_a/figure-2.png": b"hi"}


def test_a_picture_for_each_color_of_the_page_is_shown_on_its_own():
    both = nbformat.v4.new_output("display_data", {notebooks.DARK: "aG8=", notebooks.LIGHT: "aGk=", "text/plain": "<>"})
    text, files = notebooks.convert("00_a", book(both, both, alt="A cat"))
    assert "![A cat](00_a/figure-2.webp#only-light)" in text
    assert "![A cat](00_a/figure-2-dark.webp#only-dark)" in text
    assert files["notebooks/00_a/figure-1.webp"] == b"hi"
    assert files["notebooks/00_a/figure-1-dark.webp"] == b"ho"
    assert len(files) == 4


def test_a_picture_without_alt_text_is_an_error_that_names_the_cell():
    with pytest.raises(notebooks.NotebookError, match=r"00_a.ipynb, cell 1 .*alt"):
        notebooks.convert("00_a", book(picture()))


def test_printed_text_is_joined_and_warnings_are_plain_blocks():
    pieces = [
        nbformat.v4.new_output("stream", name=name, text=text)
        for name, text in (("stdout", "a ```\n"), ("stdout", "b\n"), ("stderr", "\x1b[31mcareful\x1b[0m\n"))
    ]
    text, _ = notebooks.convert("00_a", book(*pieces))
    assert "```` { .text .deit-output }\na ```\nb\n````" in text
    assert "``` { .text .deit-output .deit-stderr }\ncareful\n```" in text


def test_printed_source_is_shown_as_python():
    text, _ = notebooks.convert("00_a", book(nbformat.v4.new_output("stream", text="def f():\n    return 1\n")))
    assert "``` { .python .deit-output .deit-source }\ndef f():\n    return 1\n```" in text
    text, _ = notebooks.convert("00_a", book(nbformat.v4.new_output("stream", text="class token (1, 128)\n")))
    assert "``` { .text .deit-output }\nclass token" in text


def test_a_notebook_to_take_along_installs_the_project_only_if_that_has_an_address():
    path = notebooks.paths()[0]
    assert notebooks.downloadable(path, None) == path.read_bytes()
    first, *rest = json.loads(notebooks.downloadable(path, "https://example.org/x/deit_ref"))["cells"]
    assert "pip install -q 'deit_ref[plots] @ git+https://example.org/x/deit_ref'" in "".join(first["source"])
    assert [cell["id"] for cell in rest] == [cell["id"] for cell in json.loads(path.read_bytes())["cells"]]


def test_links_in_notebooks_lead_to_pages():
    cell = (
        "[a](../docs/chapters/attention.md#x) [b](06_encoder.ipynb) [c](../deit_ref/weights.py) [d](https://e) [f](#)"
    )
    text, _ = notebooks.convert("00_a", nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(cell)]))
    assert text.strip() == (
        "[a](../chapters/attention.md#x) [b](06_encoder.md) [c](../source/weights.md) [d](https://e) [f](#)"
    )


def test_words_in_formulas_need_no_backslash():
    r"""MathJax draws \text{in\_size} with its backslash."""
    sources = [*PAGES, *(ROOT / "notebooks").rglob("*.py"), *(ROOT / "deit_ref").rglob("*.py")]
    texts = {path: re.findall(r"\\text\{[^}]*\}", path.read_text(encoding="utf-8")) for path in sources}
    assert sum(map(len, texts.values())) > 20
    assert {path.name: found for path, found in texts.items() if "\\" in "".join(found).replace("\\text", "")} == {}


def test_formulas_in_details_are_formulas():
    cell = "<details><summary>A hint</summary>\n\n$T = 4 D$\n\n</details>"
    text, _ = notebooks.convert("00_a", nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(cell)]))
    assert text.startswith('<details markdown="1"><summary>')


# Third-party files and colors.


def test_formulas_are_drawn_by_the_expected_files(monkeypatch, tmp_path):
    files = mathjax.files()
    assert "tex-chtml.js" in files
    assert all(name.endswith((".js", ".woff")) for name in files)
    wrong = tmp_path / "hashes"
    wrong.write_text(f"{'0' * 64}  tex-chtml.js\n")
    monkeypatch.setattr(mathjax, "HASHES", wrong)
    with pytest.raises(ValueError, match=r"tex-chtml\.js has sha256"):
        mathjax.files()


@pytest.mark.parametrize("scheme", ["default", "slate"])
def test_colors_can_be_read(scheme):
    css = read(ROOT / "docs" / "assets" / "site.css")
    block = re.search(rf'\[data-md-color-scheme="{scheme}"\] {{(.*?--deit-border.*?)}}', css, flags=re.DOTALL)[1]
    colors = dict(re.findall(r"--deit-([\w-]+): (#\w{6});", block))

    def light(name):
        channels = np.array([int(colors[name][i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    def contrast(a, b):
        low, high = sorted((light(a), light(b)))
        return (high + 0.05) / (low + 0.05)

    for name in ("image", "cls", "dist", "weight", "mask", "line"):
        for ground in ("page", "line-pale", f"{name}-pale"):
            assert contrast(name, ground) >= 4.5, (name, ground)
        assert contrast("line", f"{name}-pale") >= 4.5, name


def test_nothing_is_fetched_from_elsewhere():
    """Sources name no file of another host; a browser test looks at the requests of the built site."""
    for path in (ROOT / "docs").rglob("*"):
        if path.suffix in {".css", ".js", ".svg", ".html", ".md"}:
            text = read(path)
            assert not re.search(r"""(?:src|srcset|poster)=["']?(?:https?:)?//""", text), path
            assert not re.search(r"@import(?! \"default\";)|url\(\s*[\"']?(?:https?:)?//", text), path
            assert not re.search(r"!\[[^\]]*\]\(\s*(?:https?:)?//", text), path
    config = read(ROOT / "mkdocs.yml")
    assert "font: false" in config
    assert not re.search(r"^repo_url:", config, flags=re.MULTILINE)
