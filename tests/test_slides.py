"""The lectures' slides and the final project: figures, commands, chapters and numbers in them are real."""

import doctest
import re
import shlex
from pathlib import Path

import pytest

from deit_ref import commands
from deit_ref.course.assignments import assignments

ROOT = Path(__file__).parent.parent
SLIDES = sorted((ROOT / "docs" / "slides").glob("*.md"))
by_deck = pytest.mark.parametrize("path", SLIDES, ids=lambda path: path.stem)


def slides(path: Path) -> list[str]:
    """The slides of a deck, without its settings."""
    _, _, text = path.read_text(encoding="utf-8").removeprefix("---\n").partition("\n---\n")
    return text.split("\n---\n")


def commands_of(text: str) -> list[list[str]]:
    """The words of every command that has a line of its own."""
    lines = text.replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.startswith("deit-ref ")]


def test_there_are_slides_for_every_week_and_for_the_project() -> None:
    names = [*(f"week{assignment.number}" for assignment in assignments())]
    assert [path.stem for path in SLIDES] == ["project", *names]


@by_deck
def test_a_deck_is_an_hour_of_lecture(path: Path) -> None:
    found = slides(path)
    assert 10 <= len(found) <= 16
    for slide in found:
        assert len(re.findall(r"^# ", slide, flags=re.MULTILINE)) == 1, slide
    text = path.read_text(encoding="utf-8")
    assert text.count("<!-- _class: ask -->") >= 1
    assert text.count("<!-- _class: break -->") == 1
    assert re.search(r"!\[h:\d+\]", text)


@by_deck
def test_what_slides_show_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for figure in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text):
        assert (path.parent / figure).is_file(), figure
    for chapter in re.findall(r"chapter `(\w+)`", text):
        assert (ROOT / "docs" / "chapters" / f"{chapter}.md").is_file()
    for notebook in re.findall(r"notebook `(\w+)`", text):
        assert (ROOT / "notebooks" / f"{notebook}.py").is_file()
    for line in re.findall(r"^- Run: notebooks? (.*)$", text, flags=re.MULTILINE):
        for name in re.findall(r"\d\d|where\w+", line):
            assert [*(ROOT / "notebooks").glob(f"{name}*.py")], name
    assert not re.search(r"(?<!!)\[[^\]]+\]\(", text), "a link would lead nowhere in the room"


@by_deck
def test_the_week_of_a_deck_is_that_of_its_assignment(path: Path) -> None:
    week = path.stem.removeprefix("week")
    written = re.findall(r"^- Write: assignment (\d)", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert written == ([] if path.stem == "project" else [week])


PLAN = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
ROWS = {
    cells[0]: cells
    for cells in (line.strip("| ").split(" | ") for line in re.findall(r"^\| \d \| .*", PLAN, re.MULTILINE))
}


@by_deck
def test_what_a_week_reads_runs_and_asks_is_what_the_plan_says(path: Path) -> None:
    if path.stem == "project":
        return
    _, read, run, write, ask = ROWS[path.stem.removeprefix("week")]
    last = slides(path)[-1]
    (said,) = re.findall(r"^- Read: (.*)$", last, flags=re.MULTILINE)
    assert re.findall(r"chapter `(\w+)`", said) == re.findall(r"chapters/(\w+)\.md", read)
    (said,) = re.findall(r"^- Run: notebooks (.*)$", last, flags=re.MULTILINE)
    assert re.findall(r"\d\d", said) == re.findall(r"\d\d", run)
    assert f"- Write: assignment {write.removeprefix('a')}" in last
    for said in re.findall(r"^- Ask yourself: (.*)$", last, flags=re.MULTILINE):
        assert said.startswith((ask[0].lower() + ask[1:]).removesuffix("?"))


def test_every_chapter_and_every_notebook_has_a_week() -> None:
    pages = {path.stem for path in (ROOT / "docs" / "chapters").glob("*.md")}
    assert pages == {name for row in ROWS.values() for name in re.findall(r"chapters/(\w+)\.md", row[1])}
    notebooks = {path.stem[:2] for path in (ROOT / "notebooks").glob("[0-9]*.py")}
    assert notebooks == {number for row in ROWS.values() for number in re.findall(r"\d\d", row[2])}


def test_chapters_of_a_week_are_as_long_as_the_plan_says() -> None:
    words = []
    for row in ROWS.values():
        found = 0
        for name, section in re.findall(r"chapters/(\w+)\.md(#?)", row[1]):
            text = (ROOT / "docs" / "chapters" / f"{name}.md").read_text(encoding="utf-8")
            found += (
                0 if section else len(re.sub(r"\{\{.*?\}\}|```.*?```|\$[^$]*\$", "", text, flags=re.DOTALL).split())
            )
        words.append(found)
    assert 3_000 <= min(words) < 3_500
    assert 7_700 < max(words) <= 8_200
    assert "A week's chapters have 3,000 to 8,200 words" in PLAN


def test_milestones_of_the_project_are_due_when_the_plan_says() -> None:
    plan = re.findall(r"^\| (?:proposal|data|baselines|all runs|report and talk) \| (\d+) \|", PLAN, flags=re.MULTILINE)
    page = (ROOT / "docs" / "project.md").read_text(encoding="utf-8")
    assert plan == re.findall(r"^### \d\. .*\(week (\d+)\)$", page, flags=re.MULTILINE)
    deck = (ROOT / "docs" / "slides" / "project.md").read_text(encoding="utf-8")
    assert plan == re.findall(r"^\| (\d+) \|", deck, flags=re.MULTILINE)
    handed_in = {
        path.stem: re.findall(r"^- Hand in: the (\w+)", path.read_text(), flags=re.MULTILINE) for path in SLIDES
    }
    assert {name: words for name, words in handed_in.items() if words} == {
        f"week{plan[0]}": ["proposal"], f"week{plan[1]}": ["data"], f"week{plan[2]}": ["baselines"],
    }  # fmt: skip


@pytest.mark.parametrize("path", [*SLIDES, ROOT / "docs" / "project.md"], ids=lambda path: path.parent.name + path.stem)
def test_commands_are_understood(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    text = path.read_text(encoding="utf-8")
    for words in commands_of(text):
        assert commands._parsed(words[1:]).run


def test_changes_that_a_project_may_make_are_fields_of_the_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "docs" / "project.md").read_text(encoding="utf-8")
    changes = re.findall(r"^\| .* \| `(--.*)` \|$", text, flags=re.MULTILINE)
    assert len(changes) == 5
    for change in changes:
        words = ["train", "--recipe", "cifar10-distilled", *shlex.split(change), "--show"]
        assert commands.main(words) == 0, capsys.readouterr().err


@by_deck
def test_what_python_says_on_a_slide_is_what_it_says(path: Path) -> None:
    for slide in slides(path):
        for code in re.findall(r"^```python\n(>>> .*?)^```", slide, flags=re.MULTILINE | re.DOTALL):
            test = doctest.DocTestParser().get_doctest(code, {}, path.stem, None, None)
            said: list[str] = []
            doctest.DocTestRunner().run(test, out=said.append)
            assert said == []
