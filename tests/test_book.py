"""The book as one text: chapters are called by their numbers, a letter means one thing, words lead to the glossary."""

import re
import sys
from pathlib import Path

import pytest

from deit_ref.chapters import CHAPTERS

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "docs"))

pytest.importorskip("pygments")

from site_tools import terms  # noqa: E402

NUMBERS = {chapter.name: chapter.number for chapter in CHAPTERS}
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
PAGES = sorted((ROOT / "docs" / "chapters").glob("*.md"))
TEXTS = [
    *(path for path in (ROOT / "docs").rglob("*.md") if path.parent.name != "data"),
    *(ROOT / "docs" / "data").glob("*.md"),
    *(path for folder in ("deit_ref", "notebooks") for path in (ROOT / folder).rglob("*.py")),
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
]


def without_code(text):
    text = re.sub(r"^( *)(```+|~~~+).*?^\1\2 *$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"\{\{.*?\}\}|(`+).+?\1", "", text)


# Numbers.

FILE = re.compile(r"\((?:[^()\s]*/)?(?:\d\d_)?(\w+)\.(?:md|ipynb|py)[^()\s]*\)")
WORDS = re.compile(r"(?:[Cc]hapter |^)(\d+)\b")


def wrong_numbers(text):
    """Links that call a chapter by a number that it does not have."""
    found = []
    for label, target in re.findall(r"\[([^\[\]]*)\](\([^()\s]+\))", text):
        file, number = FILE.fullmatch(target), WORDS.search(label.replace("\n", " "))
        if file and number and file[1] in NUMBERS and NUMBERS[file[1]] != int(number[1]):
            found.append(f"[{label}]{target}")
    return found


def test_chapters_are_called_by_their_numbers():
    texts = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in TEXTS}
    assert {name: wrong for name, text in texts.items() if (wrong := wrong_numbers(text))} == {}


def test_a_wrong_number_is_seen():
    assert wrong_numbers("[chapter 5](attention.md) [Chapter 5, heads](../chapters/attention.md#heads)") == []
    assert wrong_numbers("[see chapter 6](05_attention.ipynb), [9, heads](heads.md)") == [
        "[see chapter 6](05_attention.ipynb)",
        "[9, heads](heads.md)",
    ]


def test_files_say_of_which_chapter_they_are():
    for chapter in CHAPTERS:
        for folder, files in (("numpy_backend", chapter.numpy), ("torch_backend", chapter.torch)):
            for file in files:
                text = (ROOT / "deit_ref" / folder / f"{file.replace('.', '/')}.py").read_text(encoding="utf-8")
                assert re.match(rf'r?"""Chapter {chapter.number}\b', text), file


# Notation.

NOTATION = GLOSSARY[GLOSSARY.index("## Notation") : GLOSSARY.index("## Axes")]
SETTING = re.compile(
    r"\\(?:begin|end|text|mathrm|operatorname|tag)\{[^{}]*\}(?:\{[rlc|]+\})?|\\(?:left|right|[Bb]ig+[lrm]?)\b"
)
GREEK = (
    "alpha beta gamma delta epsilon varepsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau phi varphi"
)
GREEK += " chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega"


def formulas(text):
    return [a or b for a, b in re.findall(r"\$\$(.+?)\$\$|\$([^$]+)\$", text, re.DOTALL)]


def letters(formula):
    """The single letters of a formula, Latin ones and Greek ones by their names."""
    rest = SETTING.sub(" ", formula)
    greek = {name for name in re.findall(r"\\([A-Za-z]+)", rest) if name in GREEK.split()}
    calligraphic = set(re.findall(r"\\mathcal\s*\{?([A-Z])\}?", rest))
    rest = re.sub(r"\\mathcal\s*\{?[A-Z]\}?|\\[A-Za-z]+", " ", rest)
    return greek | set(re.findall("[A-Za-z]", rest)) | {f"mathcal {letter}" for letter in calligraphic}


# What letters stood for before each had one meaning, and columns where rows belong; but for the two that are explained.
OLD = re.compile(
    r"\\sigma\s*\(|z_\\text\{teacher\}|y_[tcd]\b|\b[EWD]\s*[xz]_|\bW\s*[xz]\b|W\^[OQKV]|p_[ts]\b|dP|(?<!mathcal )L\("
)
COLUMNS = ("y = W x + b", "E x_n + b")
KNOWN = set().union(*(letters(formula) for formula in formulas(NOTATION)))
SOURCES = sorted(path for folder in ("numpy_backend", "course") for path in (ROOT / "deit_ref" / folder).rglob("*.py"))


NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.py"))
SLIDES = sorted((ROOT / "docs" / "slides").glob("week*.md"))
TEXTS_WITH_FORMULAS = [*PAGES, ROOT / "docs" / "glossary.md", *SLIDES, *SOURCES, *NOTEBOOKS]


@pytest.mark.parametrize("path", TEXTS_WITH_FORMULAS, ids=lambda path: path.stem)
def test_every_letter_of_a_formula_is_in_the_notation(path):
    text = path.read_text(encoding="utf-8")
    if path in NOTEBOOKS:
        text = "\n".join(re.findall(r"^# (.*)$", text, re.MULTILINE))
    elif path.suffix == ".py":
        text = "\n".join(re.findall(r'"""(.*?)"""', text, re.DOTALL))
    text = without_code(text)
    unknown = {f"{letter} in ${formula}$" for formula in formulas(text) for letter in letters(formula) - KNOWN}
    assert unknown == set()
    assert [formula for formula in formulas(text) if OLD.search(formula) and formula not in COLUMNS] == []


def test_no_letter_is_in_the_notation_twice():
    rows = re.findall(r"^\| (\$.+?) \|", NOTATION, re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"\$(.+?)\$", row)]
    assert len(names) > 50
    assert len(names) == len(set(names))


def test_an_unknown_letter_is_seen():
    assert letters(r"\frac{q_i}{\text{row}} \mathrm{act}(\theta) + \mathcal L") == {"q", "i", "theta", "mathcal L"}
    assert {"q", "theta"} & KNOWN == set()
    assert formulas("with $x_1$, or\n$$\na + b\n$$") == ["x_1", "\na + b\n"]


# Words.

TERMS = terms.read(GLOSSARY)
PAGE = """<h1>Tokens</h1>
<p>Two <em>class tokens</em>, <code>token</code>, a <a href="x">token</a>, pre-token
and <span class="arithmatex">\\(token\\)</span>, then a token of a <b>batch</b>.</p>
<h2>Token</h2><p>Batch and token. ViT is no vit. See <a href="../../glossary/#softmax">softmax</a>: a softmax.</p>"""


def test_the_first_plain_occurrence_of_a_term_is_linked():
    entries = [
        ("class-token", "class token"),
        ("token", "token"),
        ("batch", "batch"),
        ("vit", "ViT"),
        ("softmax", "softmax"),
    ]
    linked = terms.link(PAGE, tuple(terms.Term(a, (w,)) for a, w in entries), lambda anchor: f"/g/#{anchor}")
    links = re.findall(r'<a class="deit-term" href="/g/#([\w-]+)">([^<]+)</a>', linked)
    assert links == [("class-token", "class tokens"), ("token", "token"), ("batch", "batch"), ("vit", "ViT")]
    assert "then a <a" in linked
    assert re.sub(r'<a class="deit-term" [^>]*>(.*?)</a>', r"\1", linked) == PAGE


@pytest.mark.parametrize("opening", ['<h2 id="sources">Sources', '<div class="footnote">'])
def test_words_of_cited_titles_lead_nowhere(opening):
    linked = terms.link(f"<p>A text.</p>{opening}<em>On Tokens</em>", (terms.Term("t", ("token",)),), str)
    assert "<a" not in linked


def test_terms_are_read_with_their_own_words_where_they_have_some():
    entries = terms.read(
        '**a b (c), d**, $x$ { #one }\n\n**height** { #two data-words="" }\n\n**e** { #three data-words="f" }\n'
    )
    assert entries == (terms.Term("one", ("a b", "d")), terms.Term("three", ("f",)))


def test_a_word_that_means_something_else_in_a_chapter_leads_nowhere_there():
    glossary = '**e** { #one data-words="f" data-not-in="resize activations" }\n\n**g** { #two data-words="g" }\n'
    assert [term.anchor for term in terms.read(glossary, "resize")] == ["two"]
    assert {term.anchor for term in terms.read(glossary, "layers")} == {"one", "two"}


def test_the_glossary_has_the_words_of_the_book():
    words = {word for term in TERMS for word in term.words}
    assert len(words) == sum(len(term.words) for term in TERMS)  # a word has one entry
    assert words >= set(
        "logit softmax head query embedding token patch broadcasting bias eps gradient epoch augmentation fine-tuning "
        "checkpoint backend trace dim batch encoder mlp loss label teacher student".split()
    ) | {"residual connection", "layer norm", "class token", "output projection", "attention head", "patch embedding"}
