"""How DeiT is trained: the page says what the recipe and the charts say, and the training draws the pictures."""

import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("kornia")

DOCS = Path(__file__).parent.parent / "docs"
sys.path.insert(0, str(DOCS))

import pictures  # noqa: E402
from pictures import experiments  # noqa: E402
from pictures.recipe import PUBLISHED  # noqa: E402

import deit_ref  # noqa: E402
from deit_ref.training.recipe import RECIPES  # noqa: E402

PAGE = (DOCS / "chapters" / "recipe.md").read_text(encoding="utf-8")


def rows():
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in PAGE.split("\n") if line[:1] == "|"]


def test_the_table_of_speeds_is_what_the_chart_shows():
    shown = [(m.name, str(m.millions), str(m.pixels), str(m.images_per_second), str(m.top1)) for m in PUBLISHED]
    assert [row for row in rows() if len(row) == 5][2:] == shown


def test_the_table_of_the_recipe_is_the_recipe():
    recipe = RECIPES["deit-300"]
    table = {row[0]: row[2] for row in rows() if len(row) == 3}
    for name, value in {
        "epochs": recipe.epochs,
        "batch size": recipe.batch_size,
        "weight decay": recipe.weight_decay,
        "warm-up, epochs": recipe.warmup_epochs,
        "label smoothing": recipe.label_smoothing,
        "stochastic depth": recipe.drop_path,
        "mixup": recipe.mixup,
        "cutmix": recipe.cutmix,
        "erasing": recipe.erasing,
    }.items():
        assert float(table[name]) == value, name
    assert table["learning rate"] == f"{recipe.learning_rate:g} · batch size / {recipe.learning_rate_batch}"
    assert table["repeated augmentation"] == f"yes, {recipe.repeats} times"
    assert table["RandAugment"].startswith(f"strength {recipe.magnitude},")
    assert (table["dropout"], recipe.dropout) == ("none", 0)
    assert (table["gradient clipping"], recipe.clip_norm) == ("no", None)


def test_every_picture_is_on_a_page_and_says_what_is_seen(monkeypatch):
    monkeypatch.setattr(experiments, "ORDERS", 1)  # of a chart, which takes seconds with all of them
    weights = deit_ref.load_weights()
    used = [
        name
        for page in DOCS.rglob("*.md")
        for name in re.findall(r"^\{\{ photo (\w+) \}\}$", page.read_text("utf-8"), re.M)
    ]
    assert set(pictures.LEARNING) <= set(used)
    for name, picture in pictures.LEARNING.items():
        made = picture(weights)
        assert len(made) < 60_000, name
        assert "<figcaption>" in made
        assert made.count("<img") == len(re.findall(r'<img alt="[^"]{10,}"', made))
        assert "<img" in made or 'role="img" aria-label="' in made


def test_pictures_are_the_same_in_every_build():
    weights = deit_ref.load_weights()
    for name in ("crop_and_flip", "mixing", "erasing", "whole_batch"):
        assert pictures.LEARNING[name](weights) == pictures.LEARNING[name](weights), name


def test_the_caption_of_the_two_tokens_is_what_forward_gives():
    weights = deit_ref.load_weights()
    cls, dist = (token.ravel() for token in (weights.cls_token, weights.dist_token))
    cosine = cls @ dist / (cls @ cls) ** 0.5 / (dist @ dist) ** 0.5
    assert f"{cosine:.2f} as learned" in experiments.token_cosine(weights)
