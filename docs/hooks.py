"""MkDocs' events, each a few lines: what they call stands in docs/site_tools."""

from pathlib import Path
from typing import Any

import inside_data
import lab_data
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url
from site_tools import book, directives, mathjax, notebooks, pages, sources, terms

import deit_ref

builders: dict[str, directives.PageBuilder] = {}


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add what is made: notebooks, the viewer's data, the API's pages, the source of each module, MathJax."""
    builders.clear()

    def add(uri: str, content: str | bytes, inclusion: InclusionLevel = InclusionLevel.UNDEFINED) -> None:
        if files.get_file_from_path(uri) is None:
            files.append(File.generated(config, uri, content=content, inclusion=inclusion))

    try:
        for uri, content in notebooks.pages():
            add(uri, content)
        for uri, content in inside_data.files(deit_ref.load_weights()).items():
            add(uri, content)
        for uri, content in lab_data.files().items():
            add(uri, content)
        for name, content in mathjax.files().items():
            add(f"assets/mathjax/{name}", content)
    except (notebooks.NotebookError, ValueError) as error:
        raise PluginError(str(error)) from error
    for uri, text in pages.reference_pages().items():
        add(uri, text)
    add(book.URI, book.INTRODUCTION)
    add("source/index.md", pages.source_index())
    for module in sources.modules():
        add(f"source/{module}.md", pages.source_page(module), InclusionLevel.NOT_IN_NAV)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Carry out the directives, and put the row of links under the title."""
    uri = page.file.src_uri
    if uri.startswith("chapters/"):  # what explains stands before what lists, and before the way back through it
        page.meta.setdefault("search", {"boost": 0.5 if uri == "chapters/backward.md" else 2})

    def link(target: str) -> str:
        path, _, anchor = target.partition("#")
        file = files.get_file_from_path(path)
        if file is None:
            raise sources.SourceError(f"the site has no {path}")
        return get_relative_url(file.url, page.file.url) + (f"#{anchor}" if anchor else "")

    builder = builders[uri] = directives.PageBuilder(uri, link)
    try:
        if not uri.startswith("notebooks/"):
            markdown = builder.markdown(markdown)
        if uri.startswith("source/") and uri != "source/index.md":
            module = uri.removeprefix("source/").removesuffix(".md")
            markdown += "\n" + builder.add(pages.source_block(builder, module)) + "\n"
            page.meta["line_count"] = sources.read(module).count("\n")
    except sources.SourceError as error:
        raise PluginError(str(error)) from error
    return pages.with_link_row(markdown, pages.link_row(uri, set(files.src_uris)))


def on_page_content(html: str, page: Page, **_: Any) -> str:
    """Link a chapter's terms, put the blocks in their places, and tell MkDocs which lines can be linked to."""
    builder = builders[page.file.src_uri]
    if page.file.src_uri.startswith("chapters/"):
        glossary = (sources.ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
        entries = terms.read(glossary, Path(page.file.src_uri).stem)
        html = terms.link(html, entries, lambda anchor: builder.link(f"glossary.md#{anchor}"))
    try:
        html = builder.html(pages.with_whole_options(pages.with_parts_of_formulas(pages.with_bound_punctuation(html))))
    except sources.SourceError as error:
        raise PluginError(f"{page.file.src_uri}: {error}") from error
    html = pages.with_places_to_break(pages.with_whole_numbers(pages.without_listings_in_search(html)))
    if "line_count" in page.meta and page.present_anchor_ids is not None:
        page.present_anchor_ids |= {f"L{number}" for number in range(1, page.meta["line_count"] + 1)}
    return html


def on_env(env: Any, files: Files, **_: Any) -> Any:
    """Put the book together, once every chapter is HTML."""
    chapters = {name: _page(files, uri).content or "" for name, uri in book.PAGES.items()}
    page = _page(files, book.URI)
    page.content = book.html(page.content or "", chapters)
    return env


def _page(files: Files, uri: str) -> Page:
    file = files.get_file_from_path(uri)
    assert file is not None
    assert file.page is not None
    return file.page
