"""The judge of what a reader writes, the source that unfolds, and figures in the page's colors."""

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

from deit_ref import exercises, plots
from deit_ref.numpy_backend import patches

DOCS = Path(__file__).parent.parent / "docs"
sys.path.insert(0, str(DOCS))


@pytest.mark.parametrize("nothing", [None, ...])
def test_what_is_not_written_is_no_mistake(nothing, capsys):
    exercises.judge(nothing, 3)
    assert capsys.readouterr().out.startswith("Your turn")


@pytest.mark.parametrize("right", [198, 198.0, np.int64(198), 198 + 1e-5])
def test_a_right_number(right, capsys):
    exercises.judge(right, 198)
    assert capsys.readouterr().out.startswith("Right")


def test_a_tensor_and_a_list_are_arrays(capsys):
    torch = pytest.importorskip("torch")
    exercises.judge(torch.tensor([1.0, 2.0]), [1, 2])
    assert capsys.readouterr().out == "Right.\n"


def test_a_wrong_answer_is_not_told_the_right_one():
    with pytest.raises(AssertionError, match=r"not yet: 196 is not it\. Count the two in front\.") as caught:
        exercises.judge(196, 198, "Count the two in front.")
    assert "198" not in str(caught.value).split("\n")[0]


@pytest.mark.parametrize("wrong", [np.ones((2, 3)) + 1e-3, np.full((2, 3), np.nan), np.zeros((2, 3))])
def test_a_wrong_array_is_off(wrong):
    with pytest.raises(AssertionError, match="not yet: off by"):
        exercises.judge(wrong, np.ones((2, 3)))


def test_a_shape_is_not_broadcast():
    with pytest.raises(AssertionError, match=r"not yet: the shape is \(3,\), but must be \(2, 3\)"):
        exercises.judge(np.ones(3), np.ones((2, 3)))


def test_a_source_is_folded_without_its_docstring():
    text = exercises.folded(patches.patchify, exercises.folded)._repr_markdown_()
    assert text.startswith(
        "<details><summary>The source of <code>patchify</code>, <code>folded</code></summary>\n\n```python\n"
    )
    assert "x.transpose(0, 2, 4, 1, 3, 5)" in text
    assert '"""' not in text
    assert "Args:" not in text


def test_figures_have_the_colors_of_the_page():
    figures = pytest.importorskip("site_tools.notebook_figures")
    light, dark = (
        dict(line.strip(" ;").split(": ") for line in block.split("\n") if line.startswith("  --deit-"))
        for block in (DOCS / "assets/site.css").read_text("utf-8").split("\n}\n")[:2]
    )
    for color, name in (
        (exercises.CLS, "cls"), (exercises.DIST, "dist"), (exercises.PIXELS, "image"), (exercises.LEARNED, "weight"),
        (exercises.OTHER, "mask"),
    ):  # fmt: skip
        assert (color, figures.ON_DARK[color]) == (light[f"--deit-{name}"], dark[f"--deit-{name}"])
    assert figures.ON_DARK["#000000"] == dark["--deit-line"]


def words_that_overlap(figure):
    figure.canvas.draw()
    words = [*figure.texts, *(text for axes in figure.axes for text in (axes.title, axes._left_title))]
    words += [text for axes in figure.axes if axes.axison for text in axes.get_yticklabels()]
    places = [(text.get_text(), text.get_window_extent()) for text in words if text.get_text()]
    assert len(places) > 2
    return [(a, b) for (a, here), (b, there) in itertools.combinations(places, 2) if here.overlaps(there)]


@pytest.mark.parametrize("layers", [2, 6])
def test_letters_as_large_as_the_page_wants_them_do_not_overlap(layers):
    figures = pytest.importorskip("site_tools.notebook_figures")
    canvas = pytest.importorskip("matplotlib.backends.backend_agg").FigureCanvasAgg
    rng, photo = np.random.default_rng(0), np.zeros((32, 32, 3), np.uint8)
    shares, shape = list(rng.dirichlet(np.ones(66), size=(layers, 1, 4, 66))), {"grid": (8, 8), "num_prefix_tokens": 2}
    for figure in (
        plots.rollout_overlay(photo, shares, **shape),
        plots.relevance_overlay(photo, shares, shares, class_name="automobile", **shape),
        plots.saliency_overlay(photo, rng.normal(size=(1, 3, 32, 32))),
        plots.reconstruction_panel(photo, photo, np.arange(64) % 2, patch_shape=(4, 4), loss=0.1234),
    ):
        canvas(figure)
        figures.picture(figure, dark=False)
        assert words_that_overlap(figure) == []


def test_a_figure_is_darkened_but_for_what_is_written_on_a_picture():
    figures = pytest.importorskip("site_tools.notebook_figures")
    figure = pytest.importorskip("matplotlib.figure").Figure(figsize=(2, 1))
    left, right = figure.subplots(1, 2)
    (line,) = left.plot([0, 1], color=exercises.CLS)
    right.imshow(np.ones((2, 2)))
    written, title = right.text(0, 0, "1", color="black"), left.set_title("a", color="black")
    (light, _), (dark, size) = (figures.picture(figure, dark=dark) for dark in (False, True))
    assert light != dark
    assert size["width"] <= figures.WIDTH
    assert figures.to_hex(line.get_color()) == figures.ON_DARK[exercises.CLS]
    assert figures.to_hex(title.get_color()) == figures.ON_DARK["#000000"]
    assert written.get_color() == "black"
