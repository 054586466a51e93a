"""The whole book on one page, for printing: the chapters as their own pages show them, in reading order."""

import posixpath
import re
from collections.abc import Mapping

from deit_ref.chapters import CHAPTERS

URI = "book.md"
_ORDER = ["why", *(chapter.name for chapter in CHAPTERS)]
_ORDER.insert(_ORDER.index("distillation"), "recipe")  # two pages without a number
PAGES = {name: f"chapters/{name}.md" for name in _ORDER}

INTRODUCTION = """\
---
title: The whole book on one page
search:
  exclude: true
hide:
  - toc
---

# DeiT, from pixels to logits

All chapters in reading order, made for printing: each begins on a page of its own. `python docs/print_book.py SITE
book.pdf` makes a PDF of a built site with Chromium.
"""


def html(introduction: str, contents: Mapping[str, str]) -> str:
    """The page's HTML; `contents` has each chapter's HTML by its name."""
    parts, listed = [], []
    for name, content in contents.items():
        title = re.search(r"<h1[^>]*>(.*?)</h1>", content, flags=re.DOTALL)
        words = re.sub(r'<a class="headerlink".*?</a>', "", title[1], flags=re.DOTALL) if title else name
        listed.append(f'<li><a href="#{name}">{words}</a></li>')
        parts.append(f'<section class="deit-chapter" id="{name}">{chapter(name, content)}</section>')
    return f'{introduction}<ol class="deit-book-contents">{"".join(listed)}</ol>{"".join(parts)}'


def chapter(name: str, content: str) -> str:
    """A chapter's HTML as part of the book: ids of its own, links from the book's place, headings a level lower."""

    def level(found: re.Match[str]) -> str:
        return f"{found[1]}{min(int(found[2]) + 1, 6)}"

    def link(found: re.Match[str]) -> str:
        return f'{found[1]}="{_moved(name, found[2])}"'

    content = re.sub(r"(</?h)([1-6])\b", level, content)
    content = re.sub(r'(\s(?:id|for|name|aria-labelledby|data-tabs))="([^"]+)"', lambda a: _named(name, a), content)
    content = re.sub(r"url\(#", f"url(#{name}-", content)
    return re.sub(r'(\s(?:xlink:href|href|src))="([^"]*)"', link, content)


def _named(chapter_name: str, attribute: re.Match[str]) -> str:
    ids = " ".join(f"{chapter_name}-{word}" for word in attribute[2].split())
    return f'{attribute[1]}="{ids}"'


def _moved(name: str, address: str) -> str:
    """An address on chapters/<name>/ as the book, at book/, writes it: other chapters are places in the book."""
    if address.startswith("#"):
        return f"#{name}-{address[1:]}" if address != "#" else address
    if re.match(r"[a-z]+:|//|$", address):
        return address
    path, hash_, anchor = address.partition("#")
    target = posixpath.normpath(posixpath.join("chapters", name, path))
    folder, _, other = target.rpartition("/")
    if folder == "chapters" and other in PAGES:
        return f"#{other}-{anchor}" if anchor else f"#{other}"
    ending = "/" if path.endswith("/") and target != "." else ""
    return posixpath.relpath(target, "book") + ending + hash_ + anchor
