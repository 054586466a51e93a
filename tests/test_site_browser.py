"""The built site: every page in a browser, every link by its files; formulas, tabs, search, dark mode, accessibility.

Run on a site that `mkdocs build` made from this checkout: DEIT_REF_SITE=site pytest tests/test_site_browser.py
"""

import re
import shlex
import sys
from collections.abc import Iterator
from functools import cache
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from deit_ref.chapters import CHAPTERS

DOCS = Path(__file__).parent.parent / "docs"
sys.path.insert(0, str(DOCS))

from site_tools import terms as glossary  # noqa: E402

HERE = "http://site.invalid/"  # stands for the place of the site while links are resolved
# One page of each kind.
KINDS = (
    "",
    "quickstart/",
    "chapters/attention/",
    "notebooks/05_attention/",
    "source/numpy_backend/attention/",
    "source/",
    "reference/attention/",
    "reference/api/",
    "forward/",
    "performance/",
    "glossary/",
    "errors/",
    "fidelity/",
    "training/",
    "viewer/",
    "steps/",
    "map/",
)


# The files.


class Built(NamedTuple):
    """A page's file: its ids, its links as they are written, and the text of each formula."""

    ids: list[str]
    links: list[str]
    formulas: list[str]


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.built, self.inside = Built([], [], []), ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        if found.get("id"):
            self.built.ids.append(found["id"] or "")
        if tag != "base":
            names = ("href", "src", "xlink:href", "poster", "data")
            self.built.links.extend(found[name] or "" for name in names if name in found)
        if "arithmatex" in (found.get("class") or "").split():
            self.inside = tag
            self.built.formulas.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == self.inside:
            self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.built.formulas[-1] += data


@cache
def read_page(path: Path) -> Built:
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader.built


@cache
def built_for(site: Path) -> str:
    """The address that the site was built for, such as https://someone.github.io/deit_ref/."""
    return min(re.findall("<loc>(.*?)</loc>", (site / "sitemap.xml").read_text(encoding="utf-8")), key=len)


def addresses(site: Path) -> list[str]:
    """All pages, from the top of the site."""
    sitemap = (site / "sitemap.xml").read_text(encoding="utf-8")
    return [address.removeprefix(built_for(site)) for address in re.findall("<loc>(.*?)</loc>", sitemap)]


def page_file(site: Path, address: str) -> Path:
    return site / address / "index.html"


def chapter_formulas(site: Path, pattern: str) -> dict[str, int]:
    """How often a pattern is in the formulas of each chapter where it is."""
    found = {}
    for chapter in CHAPTERS:
        address = f"chapters/{chapter.name}/"
        text = "\n".join(read_page(page_file(site, address)).formulas)
        found[address] = len(re.findall(pattern, text))
    return {address: number for address, number in found.items() if number}


class Words(HTMLParser):
    """The plain words of a page's article in order, each linked one with the glossary's anchor that it leads to."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[tuple[str, str]] = []
        self.open: list[tuple[str, bool, str]] = []  # tag, whether its text is plain, anchor

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag in ("br", "hr", "img", "input", "link", "meta", "source", "wbr"):
            return
        found = {name: value or "" for name, value in attributes}
        plain, anchor = self.open[-1][1:] if self.open else (False, "")
        plain = plain or tag == "article"
        if tag == "a":
            anchor = found["href"].split("glossary/#")[1] if "glossary/#" in found.get("href", "") else anchor
            plain = plain and bool(anchor)
        elsewhere = tag in (
            "code",
            "pre",
            "h1",
            "h2",
            "h3",
            "th",
            "summary",
            "svg",
            "script",
            "style",
            "figure",
            "button",
        )
        elsewhere |= bool({"arithmatex", "deit-mirror", "deit-links"} & set(found.get("class", "").split()))
        self.open.append((tag, plain and not elsewhere, anchor))

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1][1]:
            self.words.append((data, self.open[-1][2]))


@pytest.mark.parametrize("name", ["why", *(chapter.name for chapter in CHAPTERS)])
def test_words_lead_to_the_glossary_where_a_chapter_first_uses_them(site: Path, name: str) -> None:
    reader = Words()
    reader.feed(glossary.CITATIONS.split(page_file(site, f"chapters/{name}/").read_text(encoding="utf-8"))[0])
    terms = glossary.read((DOCS / "glossary.md").read_text(encoding="utf-8"), name)
    any_term = re.compile("|".join(f"(?P<t{i}>{term.pattern})" for i, term in enumerate(terms)))
    linked: set[str] = set()
    for text, anchor in reader.words:
        used = {terms[int((match.lastgroup or "")[1:])].anchor for match in any_term.finditer(text)}
        linked |= {anchor}
        assert anchor or used <= linked, f"{used - linked} in {text!r}"
    assert len(linked) > 5


def test_sitemap_has_every_page(site: Path) -> None:
    files = {path.parent.relative_to(site).as_posix() for path in site.rglob("index.html")}
    assert {address.rstrip("/") or "." for address in addresses(site)} == files
    assert set(KINDS) <= set(addresses(site))


def test_every_link_and_anchor_leads_somewhere(site: Path) -> None:
    wrong = []
    pages = [(address, page_file(site, address)) for address in addresses(site)]
    for address, file in [*pages, ("404.html", site / "404.html")]:
        for link in read_page(file).links:
            # 404.html is shown at any address, so its links begin at the top of the host.
            base = built_for(site) if address == "404.html" else HERE
            full = urljoin(base + address, link).replace(built_for(site), HERE, 1)
            if not full.startswith(HERE):
                if urlsplit(full).scheme not in ("http", "https", "data"):
                    wrong.append((address, link, "of an unknown kind"))
                continue
            path, fragment = unquote(urlsplit(full).path)[1:], unquote(urlsplit(full).fragment)
            target = site / path / "index.html" if path.endswith("/") or not path else site / path
            if not target.is_file():
                wrong.append((address, link, "no such file"))
            elif fragment and target.suffix == ".html" and fragment not in read_page(target).ids:
                wrong.append((address, link, "no such anchor"))
    assert wrong == []


def test_ids_are_unique(site: Path) -> None:
    wrong = {}
    for address in addresses(site):
        ids = read_page(page_file(site, address)).ids
        if len(set(ids)) < len(ids):
            wrong[address] = sorted({name for name in ids if ids.count(name) > 1})
    assert wrong == {}


def source_rows(site: Path, address: str) -> dict[str, str]:
    """The lines of a source page, by their anchor."""
    html = page_file(site, address).read_text(encoding="utf-8")
    rows = re.findall(r'<span class="deit-line" id="(L\d+)"[^>]*>(.*?)\n</span>', html, flags=re.DOTALL)
    return {anchor: plain(row) for anchor, row in rows}


def plain(html: str) -> str:
    return unescape(re.sub(r"<[^>]*>", "", html))


WITH_CODE = [chapter for chapter in CHAPTERS if chapter.numpy]


@pytest.mark.parametrize("chapter", WITH_CODE, ids=lambda chapter: chapter.name)
def test_code_on_a_chapter_leads_to_its_line_of_source(site: Path, chapter: Any) -> None:
    address = f"chapters/{chapter.name}/"
    html = page_file(site, address).read_text(encoding="utf-8")

    def row(link: str) -> str:
        page, anchor = urljoin(HERE + address, link).removeprefix(HERE).split("#")
        return source_rows(site, page)[anchor]

    # Links in sentences: as many as the page's source asks for, and the line has the text that was asked for.
    text = (DOCS / "chapters" / f"{chapter.name}.md").read_text(encoding="utf-8")
    asked = [shlex.split(call)[-1] for call in re.findall(r"\{\{ line (.*?) \}\}", text)]
    links = re.findall(r'<a href="([^"]*)">\w+\.py, line (\d+)</a>', html)
    assert len(links) == len(asked) > 0
    for (link, number), words in zip(links, asked, strict=True):
        assert link.endswith(f"#L{number}")
        assert words in row(link)
    # Blocks of code: each row is the row that its number leads to.
    rows = re.findall(
        r'<span class="deit-line"[^>]*><a class="deit-number" href="([^"]*)" data-line="(\d+)"[^>]*>\s*</a>(.*?)\n'
        r"</span>",
        html,
        flags=re.DOTALL,
    )
    assert len(rows) == html.count('class="deit-line"') > 0
    shown = {}
    for link, number, code in rows:
        assert link.endswith(f"#L{number}")
        page = urljoin(HERE + address, link).removeprefix(HERE).split("#")[0]
        shown.setdefault(page, []).append((f"L{number}", plain(code)))
    for page, lines in shown.items():
        source = source_rows(site, page)
        indents = [source[anchor].removesuffix(code) for anchor, code in lines]
        assert all(source[anchor].endswith(code) for anchor, code in lines)
        assert all(indent.strip() == "" for indent in indents)  # a method is shown without its class's indentation


# The pages, in a browser.


def wait_for_formulas(page: Any) -> None:
    page.wait_for_function("!document.querySelector('.arithmatex:not(:has(mjx-container))')")


RAW = r"""() => {
  const raw = /\\\(|\\\[|\$\$|\\(frac|sqrt|text|mathrm|begin)\b|\{\{|\}\}|deit-block-\d|(^|\n)\s*(!!!|\?\?\?|===) /;
  const texts = document.createTreeWalker(document.querySelector(".md-content"), NodeFilter.SHOW_TEXT);
  const found = [];
  while (texts.nextNode()) {
    const { parentElement: parent, data } = texts.currentNode;
    if (raw.test(data) && !parent.closest("pre, code, script, style, mjx-container")) found.push(data.trim());
  }
  return found;
}"""


PLACES_SEEN: dict[int, str] = {}
# How a page stands at one width: places that no page may change, and what is wrong with it.
PLACES = """() => {
  const place = (selector) => {
    const found = document.querySelector(selector);
    return found && found.offsetWidth ? Math.round(found.getBoundingClientRect().x) : null;
  };
  const shown = innerWidth >= 1220 ? [place(".md-sidebar--primary")] : [];
  return JSON.stringify([...shown, place(".md-sidebar--secondary"), place("article h1")]);
}"""
WRONG = """() => {
  const wrong = [], phone = innerWidth < 700;
  const say = (what, element) => wrong.push(`${what}: ${(element.outerHTML || element.textContent).slice(0, 90)}`);
  const all = (selector) => [...document.querySelectorAll(selector)].filter((e) => e.checkVisibility());
  // The button that copies covers no code.
  for (const nav of all("pre > .md-code__nav")) {
    const button = nav.getBoundingClientRect(), code = nav.parentElement.querySelector("code").getBoundingClientRect();
    const beside = button.left >= code.right - 1 || button.bottom <= code.top + 1 || button.top >= code.bottom - 1;
    if (button.width && !beside) say("covered code", nav.parentElement);
  }
  // No punctuation begins a line after a formula.
  for (const formula of all("span.arithmatex")) {
    const next = formula.nextSibling;
    if (next?.nodeType !== Node.TEXT_NODE || !/^[.,;:!?)]/.test(next.data)) continue;
    const range = document.createRange();
    range.setStart(next, 0);
    range.setEnd(next, 1);
    const mark = range.getBoundingClientRect(), box = formula.getBoundingClientRect();
    if (mark.left < box.left && mark.top > box.top) say("alone", formula);
  }
  // Figures: labels as large as text, a number and a caption, and all of it on one screen.
  for (const figure of all("figure.deit-figure")) {
    if (!/^Figure [WR\\d.]+\\. ./.test(figure.querySelector("figcaption")?.textContent ?? "")) say("caption", figure);
    if (figure.getBoundingClientRect().height > innerHeight && !figure.matches(".deit-chart")) say("too high", figure);
    for (const svg of figure.querySelectorAll("svg")) {
      const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
      const sizes = [...svg.querySelectorAll("text")].map((e) => scale * parseFloat(getComputedStyle(e).fontSize));
      if (Math.min(...sizes, 12) < 11.95 || Math.max(...sizes, 12) > 17.05) say(`labels ${sizes}`, figure);
    }
  }
  // NumPy beside torch: no line wraps, none is cut off, and both sides are equally high.
  if (innerWidth >= 1200) {
    for (const line of all(".deit-mirror .deit-line")) {
      const rows = line.getBoundingClientRect().height / parseFloat(getComputedStyle(line).lineHeight);
      if (Math.round(rows) !== 1 + line.querySelectorAll(".deit-break").length) say("wraps", line);
    }
    for (const pair of all(".deit-mirror")) {
      const codes = [...pair.querySelectorAll("pre > code")];
      if (codes.some((code) => code.scrollWidth > code.clientWidth + 1)) say("cut off", pair);
      const ends = codes.map((code) => code.lastElementChild.getBoundingClientRect().bottom);
      if (Math.abs(ends[0] - ends[1]) > 2) say("of different heights", pair);
      if (codes.some((code) => parseFloat(getComputedStyle(code).fontSize) < 13)) say("too small", pair);
    }
  }
  // What is tapped has 24 px at least; links in sentences are as high as their line.
  for (const target of phone ? all("article :is(a, button, summary, select, input, label)") : []) {
    const box = target.getBoundingClientRect(), style = getComputedStyle(target);
    const inText = style.display === "inline" && target.closest("p, li, td, th, dd, h1, h2, h3, h4, .filename");
    const hidden = style.pointerEvents === "none" || style.opacity === "0" || box.width < 2 || target.ariaHidden;
    const inLarger = target.matches("label > input") || target.closest(".inside-grid, svg");
    const small = box.width < 23.5 || box.height < 23.5;
    if (small && !inText && !hidden && !inLarger) say(`${box.width} x ${box.height} px`, target);
  }
  return wrong;
}"""


@pytest.mark.parametrize("part", range(2))
def test_every_page_loads_without_an_error_and_shows_its_formulas(
    page: Any, site: Path, site_url: str, part: int
) -> None:
    wrong: list[tuple[str, str]] = []
    page.on("console", lambda message: wrong.append((page.url, message.text)) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append((page.url, str(error))))
    page.on("response", lambda answer: wrong.append((page.url, answer.url)) if answer.status >= 400 else None)
    for address in addresses(site)[part::2]:
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto(site_url + address)
        wait_for_formulas(page)
        formulas = read_page(page_file(site, address)).formulas
        written = sum(len(re.findall(r"(?<!\\)\\[\[(]", text)) for text in formulas)  # one may come apart in several
        if page.locator("mjx-container").count() != written:
            wrong.append((address, f"{page.locator('mjx-container').count()} of {written} formulas"))
        wrong.extend((address, f"a formula that cannot be read: {text}") for text in errors_in_formulas(page))
        wrong.extend((address, f"raw: {text}") for text in page.evaluate(RAW))
        if page.locator("h1").count() != 1:
            wrong.append((address, f"{page.locator('h1').count()} first headings"))
        for width in (1280, 1440, 1024, 390):
            if width in (1440, 1024) and not address.startswith("chapters/") and address not in KINDS:
                continue
            page.set_viewport_size({"width": width, "height": 900})
            if address != "book/":  # the chapters again
                wrong.extend((address, f"at {width} px: {what}") for what in page.evaluate(WRONG))
            places = page.evaluate(PLACES)
            if (first := PLACES_SEEN.setdefault(width, places)) != places:
                wrong.append((address, f"at {width} px: stands at {places}, other pages at {first}"))
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            wrong.append((address, "wider than a phone"))
    assert wrong == []


def errors_in_formulas(page: Any) -> list[str]:
    return page.locator("mjx-merror, mjx-mtext[style*='red']").evaluate_all("x => x.map(e => e.outerHTML)")


def test_roots_and_braces_stretch(page: Any, site: Path, site_url: str) -> None:
    roots = chapter_formulas(site, r"\\sqrt")
    braces = chapter_formulas(site, r"\\left.{0,2}\\frac|\\begin\{(?:cases|pmatrix)\}")
    assert roots
    assert braces
    tall = {"root": 0, "brace": 0}
    for address in sorted({*roots, *braces}):
        page.goto(site_url + address)
        wait_for_formulas(page)
        # Each root's sign is as high as what stands under it.
        signs = page.locator("mjx-sqrt").evaluate_all(
            "x => x.map(e => ['mjx-surd', 'mjx-box'].map(p => e.querySelector(p).getBoundingClientRect().height))"
        )
        assert len(signs) == roots.get(address, 0)
        assert all(sign >= 0.9 * content > 0 for sign, content in signs)
        # A brace that is made of pieces, or is a larger letter, is as high as the fraction or the rows beside it.
        sizes = page.locator("mjx-mrow:has(> mjx-mo), mjx-math").evaluate_all(
            """x => x.flatMap(row => [...row.children].filter(e => e.matches("mjx-mo, mjx-TeXAtom"))
               .filter(e => e.querySelector("mjx-stretchy-v, [class*=TEX-S]"))
               .filter(e => !e.querySelector("[class*=c2211], [class*=c222B], [class*=c220F]"))
               .map(e => [e.getBoundingClientRect().height, row.getBoundingClientRect().height]))"""
        )
        line = page.locator(".md-content p").first.evaluate("e => parseFloat(getComputedStyle(e).fontSize)")
        tall["root"] += sum(sign > line for sign, _ in signs)
        print(address, line, [round(sign, 1) for sign, _ in signs], [round(brace, 1) for brace, _ in sizes])
        tall["brace"] += sum(brace > 1.5 * line for brace, _ in sizes)
        if address in braces:
            assert any(brace > 1.2 * line for brace, _ in sizes), address
    assert tall["root"] > 0
    assert tall["brace"] > 0


def test_tabs_switch_together_by_mouse_and_keyboard(page: Any, site_url: str) -> None:
    page.set_viewport_size({"width": 1100, "height": 900})
    page.goto(f"{site_url}chapters/attention/")
    sets = page.locator(".deit-mirror")
    assert sets.count() > 2

    def shown() -> set[str]:
        """What is visible: the first block (NumPy) or the second (torch) of each pair."""
        return set(
            sets.evaluate_all(
                "x => x.map(s => [...s.querySelectorAll('.tabbed-block')].map(b => b.checkVisibility()).join())"
            )
        )

    numpy, torch = {"true,false"}, {"false,true"}
    assert shown() == numpy
    sets.nth(1).get_by_text("torch", exact=True).click()
    page.wait_for_function("[...document.querySelectorAll('.deit-mirror input:last-of-type')].every(x => x.checked)")
    assert shown() == torch
    chosen = sets.nth(0).locator("input").nth(1)
    chosen.focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("[...document.querySelectorAll('.deit-mirror input:first-of-type')].every(x => x.checked)")
    assert shown() == numpy
    page.keyboard.press("ArrowRight")
    page.wait_for_function("[...document.querySelectorAll('.deit-mirror input:last-of-type')].every(x => x.checked)")
    assert shown() == torch
    page.goto(f"{site_url}chapters/layers/")  # the choice is kept for the next chapter
    page.wait_for_function("[...document.querySelectorAll('.deit-mirror input:last-of-type')].every(x => x.checked)")
    page.set_viewport_size({"width": 1200, "height": 900})  # both side by side, and nothing to choose
    assert shown() == {"true,true"}
    assert page.locator(".deit-mirror .tabbed-labels").first.is_hidden()


def test_search_finds_softmax_and_opens_the_chapter(page: Any, site_url: str) -> None:
    page.goto(f"{site_url}glossary/")
    page.wait_for_load_state("networkidle")
    page.keyboard.press("/")
    page.keyboard.type("softmax")
    results = page.locator(".md-search-result__item")
    results.first.locator("a").nth(1).wait_for()
    # The chapter that explains it is the first, and its link leads to the section.
    link = results.first.locator("a[href*=softmax]").first
    assert "/chapters/layers/" in link.get_attribute("href")
    link.click()
    page.wait_for_url("**/chapters/layers/**")
    assert page.locator("h1").text_content().startswith("4. ")
    assert page.locator("mark").filter(has_text=re.compile("softmax", re.IGNORECASE)).count() > 0


def scheme(page: Any) -> str:
    return page.evaluate("document.body.dataset.mdColorScheme")


def test_dark_mode_toggles_and_stays(page: Any, site_url: str) -> None:
    page.goto(f"{site_url}chapters/attention/")
    assert scheme(page) == "default"
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_title("Switch to dark").click()
    page.wait_for_function("document.body.dataset.mdColorScheme === 'slate'")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert brightness(dark) < 0.2 < 0.8 < brightness(light)
    page.reload()
    assert scheme(page) == "slate"
    page.goto(f"{site_url}viewer/")
    assert scheme(page) == "slate"
    page.get_by_title("Switch to light").click()
    page.wait_for_function("document.body.dataset.mdColorScheme === 'default'")
    page.reload()
    assert scheme(page) == "default"


def brightness(color: str) -> float:
    return sum(float(x) for x in re.findall(r"[\d.]+", color)[:3]) / 3 / 255


def test_the_systems_dark_mode_is_taken(page: Any, site_url: str) -> None:
    page.emulate_media(color_scheme="dark")
    page.goto(site_url)
    assert scheme(page) == "slate"


def test_dark_mode_by_keyboard(page: Any, site_url: str) -> None:
    page.goto(site_url)
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('[data-md-component=palette]') !== null"):
            break
    else:
        pytest.fail("Tab does not reach the switch")
    page.keyboard.press("Enter")
    page.wait_for_function("document.body.dataset.mdColorScheme === 'slate'")


@pytest.fixture
def instant(page: Any, site: Path, site_url: str) -> Any:
    """A page whose sitemap names this server, so that Material replaces pages without loading them anew."""
    sitemap = (site / "sitemap.xml").read_text(encoding="utf-8").replace(built_for(site), site_url)
    page.route("**/sitemap.xml", lambda route: route.fulfill(body=sitemap))
    return page


def follow(page: Any, address: str) -> None:
    """Click a link of the page, and see that the page was not loaded anew."""
    page.evaluate("window.still = true")
    page.evaluate("address => [...document.querySelectorAll('a[href]')].find(a => a.href === address).click()", address)
    page.wait_for_url(address)
    page.wait_for_function("!document.querySelector('[data-md-component=progress]')?.offsetParent")
    assert page.evaluate("window.still") is True


def test_pages_that_are_not_loaded_anew(instant: Any, site_url: str) -> None:
    instant.goto(site_url)
    instant.wait_for_load_state("networkidle")  # the sitemap
    for chapter in ("attention", "encoder", "attention"):
        follow(instant, f"{site_url}chapters/{chapter}/")
        instant.wait_for_function("chapter => document.querySelector('h1').id.includes(chapter)", arg=chapter)
        instant.wait_for_selector("mjx-container")
        wait_for_formulas(instant)
        assert instant.evaluate(RAW) == []
        sqrt = instant.locator("mjx-sqrt").first
        if chapter == "attention":
            assert sqrt.bounding_box()["height"] > 10
        letters = instant.locator("mjx-mi mjx-c").first
        assert "MJX" in letters.evaluate(
            "e => getComputedStyle(e, '::before').fontFamily + getComputedStyle(e).fontFamily"
        )
    follow(instant, f"{site_url}viewer/")
    instant.wait_for_selector("[data-inside-state=ready] .inside-grid")
    instant.go_back()
    instant.wait_for_url(f"{site_url}chapters/attention/")
    wait_for_formulas(instant)
    instant.locator("article a", has_text=re.compile(r"attention\.py, line \d+$")).first.click()
    instant.wait_for_selector(".deit-line.deit-here")
    assert instant.locator(".deit-here").get_attribute("id") == instant.url.split("#")[1]


def test_links_in_figures_lead_to_pages(instant: Any, site_url: str) -> None:
    instant.goto(f"{site_url}glossary/")
    instant.wait_for_load_state("networkidle")
    follow(instant, f"{site_url}map/")
    instant.wait_for_selector("[data-inside-state=ready]")
    instant.locator("figure svg a", has_text="photo").first.click()
    instant.wait_for_url(f"{site_url}chapters/image/")
    assert instant.locator("h1").text_content().startswith("15. ")


def test_a_link_to_a_line_marks_it(page: Any, site_url: str) -> None:
    page.goto(f"{site_url}chapters/attention/")
    link = page.locator("article a", has_text=re.compile(r"attention\.py, line \d+$")).first
    number = link.text_content().split()[-1]
    link.click()
    page.wait_for_selector(f"#L{number}.deit-here")
    assert page.locator(".deit-here").count() == 1
    assert page.locator(".deit-here").bounding_box()["y"] > page.locator(".md-header").bounding_box()["height"]


def test_code_is_copied_without_line_numbers(page: Any, site_url: str) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{site_url}chapters/attention/")
    block = page.locator(".deit-mirror .deit-code").first
    block.hover()
    block.locator("[data-clipboard-text], [data-clipboard-target], .md-code__button").first.click()
    page.wait_for_function("navigator.clipboard.readText().then(text => text !== '')")
    assert page.evaluate("navigator.clipboard.readText()").strip() == block.get_attribute("data-copy").strip()


def test_signatures_open_together_and_fold_by_keyboard(page: Any, site_url: str) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(f"{site_url}chapters/attention/")
    pair = page.locator(".deit-mirror").first
    opened = pair.locator("details.deit-signature[open]")
    assert pair.locator("details.deit-signature").count() == 2
    assert opened.count() == 0
    pair.locator("summary").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelectorAll('.deit-mirror details[open]').length === 2")
    assert "Float[Array" in opened.nth(1).inner_text()
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelectorAll('.deit-mirror details[open]').length === 0")


def test_from_disk_formulas_stand_and_the_rest_says_how(browser: Any, site: Path) -> None:
    page = browser.new_page()
    page.goto((site / "chapters" / "heads" / "index.html").resolve().as_uri())
    wait_for_formulas(page)
    assert page.locator("mjx-container").count() > 3
    assert page.locator("figure svg").first.is_visible()
    page.locator("article a[href$='encoder/'], article a[href$='losses/']").first.click()
    page.wait_for_function("document.querySelector('h1')?.id && !document.querySelector('h1').id.includes('answers')")
    page.goto((site / "viewer" / "index.html").resolve().as_uri())
    said = page.locator(".deit-from-disk")
    said.wait_for()
    assert "python -m http.server" in said.text_content()
    page.close()


def test_one_value_is_returned_in_one_row(site: Path) -> None:
    found = 0
    for address in addresses(site):
        if address.startswith("reference/"):
            html = page_file(site, address).read_text(encoding="utf-8")
            rows = r'<span class="doc-section-title">Returns:</span></p>\s*<ul>(.*?)</ul>'
            returned = re.findall(rows, html, flags=re.DOTALL)
            assert all(row.count('class="doc-section-item') == 1 for row in returned), address
            found += len(returned)
    assert found > 10


def violations(page: Any) -> Iterator[tuple[str, str]]:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    for violation in axe.Axe().run(page).response["violations"]:
        if violation["impact"] in ("serious", "critical"):
            yield from ((violation["id"], node["html"][:200]) for node in violation["nodes"])


@pytest.mark.parametrize("address", KINDS, ids=lambda address: address.rstrip("/") or "home")
def test_accessible(page: Any, site_url: str, address: str) -> None:
    wrong = []
    for width in (390, 1280):
        for colors in ("light", "dark"):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=colors)
            page.goto(site_url + address)
            wait_for_formulas(page)
            if address in ("viewer/", "steps/", "map/"):
                page.wait_for_selector("[data-inside-state=ready]")
            wrong.extend((width, colors, *violation) for violation in violations(page))
    assert wrong == []
