"""Measured figures that README and chapters quote are those of the stored benchmarks."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def ratios(batch):
    """Lowest to highest time at 224 pixels as a share of that of eager attention, for each backend, in float32."""
    found = {"numpy": [], "torch": []}
    table = json.loads((ROOT / "docs" / "data" / "side_by_side.json").read_text(encoding="utf-8"))
    for _, size, dtype, who, _, _, ratio, *_ in table["rows"]:
        if who in found and size == str(batch) and dtype == "float32":
            found[who].append(float(ratio))
    one_thread = json.loads((ROOT / "docs" / "data" / "cpu.json").read_text(encoding="utf-8"))
    for case, who, _, ratio in one_thread["rows"]:
        if who in found and case.endswith(f"224 px, batch {batch}"):
            found[who].append(float(ratio))
    return {who: f"{min(values):.2f} to {max(values):.2f}" for who, values in found.items()}


@pytest.mark.parametrize("batch", [1, 8])
def test_the_readme_quotes_the_range_that_was_measured(batch):
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    measured = ratios(batch)
    for quoted in measured.values():
        assert quoted in text
    assert text.index(measured["torch"]) < text.index(measured["numpy"], text.index(measured["torch"]))


def test_the_readme_quotes_the_ratios_at_512_pixels():
    one_thread = json.loads((ROOT / "docs" / "data" / "cpu.json").read_text(encoding="utf-8"))
    found = {who: ratio for case, who, _, ratio in one_thread["rows"] if case == "base, 512 px, batch 1"}
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"at 512 pixels takes {found['torch']} and {found['numpy']} times as long" in text


def read(name):
    return json.loads((ROOT / "docs" / "data" / f"{name}.json").read_text(encoding="utf-8"))


def stored(name):
    return read(f"inside_{name}")["results"]


def chapter(name):
    return " ".join((ROOT / "docs" / "chapters" / f"{name}.md").read_text(encoding="utf-8").split())


def test_chapter_5_says_how_far_heads_look():
    """Which blocks look nearest and farthest."""
    blocks = stored("distance")
    even = float(re.search(r"gives (\S+)\.", json.dumps(read("inside_distance")["notes"])).group(1))
    assert min(min(heads) for heads in blocks[-2:]) > 0.9 * even
    text = chapter("attention")
    assert "the last two blocks every head looks nearly as far as one that gives all patches the same share" in text
    order = sorted((look, block) for block, heads in enumerate(blocks, 1) for look in heads)
    assert {block for _, block in order[:4]} == {2, 3}
    assert "The heads that look nearest are in blocks 2 and 3, not in block 1." in text


def test_chapter_7_says_where_the_answer_is_made():
    heads = stored("lens")
    for values in heads.values():
        assert values[4] - values[2] > (values[6] - values[0]) / 2
    assert "More than half of the way is made in blocks 3 and 4." in chapter("heads")
    ahead = [b - a for a, b in zip(heads["class head"], heads["distillation head"], strict=True)][1:]
    assert all(0 < points < 0.02 for points in ahead)
    assert "ahead of the class head after every block, but never by as much as two points" in chapter("heads")


def test_chapter_14_says_what_a_silent_head_costs():
    whole = float(re.search(r"([\d.]+)%", " ".join(read("inside_silenced")["notes"])).group(1)) / 100
    cost = [whole - accuracy for heads in stored("silenced") for accuracy in heads]
    assert f"{sum(c < 0.01 for c in cost)} of the {len(cost)} heads cost less than one point" in chapter("relevance")
    assert max(cost) < 0.03


def test_chapter_12_says_how_alike_the_tokens_are():
    found = stored("cosine")
    blocks = f"{min(found['blocks']):.2f} to {max(found['blocks']):.2f} after the blocks"
    assert f"{blocks}, and {found['end']:.2f} at the end" in chapter("distillation")
    start = f"{found['learned']:.2f} as learned, {found['with positions']:.2f} with the positions"
    assert start in chapter("distillation")
