"""Links from a chapter's words to the glossary: the first plain occurrence of each term, wherever it stands.

An entry of docs/glossary.md is `**name, other name**, $symbol$ { #anchor }`. A chapter's words are looked up by its
names, or by those in `data-words="..."`, where the names are too common ("height") or too rarely what is written. In
the chapters of `data-not-in="..."` they mean something else.
"""

import html
import re
from collections.abc import Callable
from typing import NamedTuple

_ENTRY = re.compile(
    r'^\*\*(.+?)\*\*.*?\{ #([\w-]+)(?: data-words="([^"]*)")?(?: data-not-in="([^"]*)")? \}$', re.MULTILINE
)
_TAG = re.compile(r"(<[^>]*>)")
# Where a word is not a plain word. A link in a link, a heading or a button would be no help.
_ELSEWHERE = re.compile(r"<(a|code|pre|h[1-6]|th|summary|script|svg|[a-z]+(?= [^>]*class=\"arithmatex\"))[ >]")
# Where a chapter's text ends: what follows names papers, and words in their titles are theirs.
CITATIONS = re.compile(r'<h2 id="sources"|<div class="footnote"')


class Term(NamedTuple):
    """An entry of the glossary: its anchor, and the words that a chapter calls it by."""

    anchor: str
    words: tuple[str, ...]

    @property
    def pattern(self) -> str:
        """Whole words, with or without a plural; capitals only count where the glossary writes them."""
        forms = (re.escape(word) if word != word.lower() else f"(?i:{re.escape(word)})" for word in self.words)
        return rf"(?<![\w-])(?:{'|'.join(forms)})(?:s|es)?(?![\w-])"


def read(glossary: str, chapter: str = "") -> tuple[Term, ...]:
    """The terms in a glossary that have words in a chapter, the longest first: "class token" is no "token"."""
    found = []
    for names, anchor, words, not_in in _ENTRY.findall(glossary):
        chosen = words if f'#{anchor} data-words="' in glossary else re.sub(r" \(.*?\)", "", names)
        if chosen and chapter not in not_in.split():
            found.append(Term(anchor, tuple(sorted(chosen.split(", "), key=len, reverse=True))))
    return tuple(sorted(found, key=lambda term: -len(term.words[0])))


def link(text: str, terms: tuple[Term, ...], address: Callable[[str], str]) -> str:
    """A page's HTML, before its blocks are put in, with a link at the first plain occurrence of each term.

    Args:
        text: the page's HTML.
        terms: what `read` returns.
        address: from an anchor to what stands in `href`.
    """
    if not terms:
        return text
    pattern = re.compile("|".join(f"(?P<t{i}>{term.pattern})" for i, term in enumerate(terms)))
    left = {f"t{i}": term.anchor for i, term in enumerate(terms)}

    def linked(match: re.Match[str]) -> str:
        anchor = left.pop(match.lastgroup or "", None)
        if anchor is None:
            return match[0]
        return f'<a class="deit-term" href="{html.escape(address(anchor))}">{match[0]}</a>'

    cited = CITATIONS.search(text)
    end = cited.start() if cited else len(text)
    parts, inside, depth = _TAG.split(text[:end]), "", 0
    for i, part in enumerate(parts):
        if i % 2 == 0:
            parts[i] = part if inside else pattern.sub(linked, part)
        elif inside:
            depth += part.startswith((f"<{inside} ", f"<{inside}>")) - part.startswith(f"</{inside}>")
            inside = inside if depth else ""
        elif opened := _ELSEWHERE.match(part):
            inside, depth = opened[1], 1
            by_hand = re.search(r'href="[^"]*glossary[^"]*#([\w-]+)"', part)
            left = {name: anchor for name, anchor in left.items() if not by_hand or anchor != by_hand[1]}
    return "".join([*parts, text[end:]])
