"""Measured figures that README quotes are those of the stored benchmarks."""

import json
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
