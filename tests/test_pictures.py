"""The pictures of the running photo: what they say and show is what the model computes."""

import base64
import html
import io
import itertools
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

import deit_ref
from deit_ref.config import DeiTConfig
from deit_ref.image_processing import ImageProcessing
from deit_ref.photos import bundled_photo, load_image

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "docs"))
pytest.importorskip("nbclient")

from pictures import RUNNING, parts  # noqa: E402
from pictures.run import EYE, PHOTO, run  # noqa: E402
from site_tools import directives, sources  # noqa: E402


@pytest.fixture(scope="module")
def weights():
    return deit_ref.load_weights()


@pytest.fixture(scope="module")
def made(weights):
    return {name: picture(weights) for name, picture in RUNNING.items()}


@pytest.fixture(scope="module")
def computed(weights):
    """One forward pass of its own, with everything kept."""
    trace = deit_ref.Trace()
    output = deit_ref.forward(weights, bundled_photo(PHOTO), trace=trace)
    return output, trace


def words(figure):
    """The figure's text, without tags."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", figure)).split())


def tree(figure):
    figure = figure.replace(" data-search-exclude", "").replace(" xlink:href=", " source=")
    return ElementTree.fromstring(figure)


def images(figure):
    """The pictures of a figure as arrays, PNGs alone."""
    data = re.findall(r'"data:image/png;base64,([^"]+)"', figure)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) for text in data]


def spreads(trace, token):
    """(blocks, heads): e to the entropy of a token's shares."""
    shares = np.concatenate(trace.matching("blocks.*.attention.probabilities"))[:, :, token].astype(float)
    return np.exp(-(shares * np.log(shares)).sum(axis=-1))


def sharpest(trace, token):
    """(block, head, share): where a token gives a single patch most."""
    most = np.concatenate(trace.matching("blocks.*.attention.probabilities"))[:, :, token, 2:].max(axis=-1)
    return *np.unravel_index(most.argmax(), most.shape), most.max()


# What every picture has.


@pytest.mark.parametrize("name", RUNNING)
def test_figures_are_well_formed_described_and_small(made, name):
    figure = tree(made[name])
    assert figure.tag == "figure"
    caption = "".join(figure.find("figcaption").itertext())
    assert len(caption) > 60
    drawn = [svg for svg in figure.iter("svg") if svg.get("aria-hidden") != "true"]
    assert drawn or list(figure.iter("table"))
    for svg in drawn:
        assert svg.get("role") == "img"
        assert len(svg.get("aria-label")) >= 12
    assert not [element for element in figure.iter() if element.get("id")]  # may stand on one page twice
    # Material sets `href` of everything that has one, which it cannot in SVG.
    assert not [element for element in figure.iter("image") if "href" in element.attrib]


def test_no_chapter_grows_by_more_than_150_kb(made):
    used = {}
    for page in (ROOT / "docs").rglob("*.md"):
        names = re.findall(r"^\{\{ photo (\w+) \}\}$", page.read_text("utf-8"), re.M)
        used[page.stem] = [name for name in names if name in made]
        assert sum(len(made[name]) for name in used[page.stem]) < 150_000, page
    assert {name for names in used.values() for name in names} == set(RUNNING)


def test_pictures_are_the_same_in_every_build(weights, made):
    run.cache_clear()
    assert {name: picture(weights) for name, picture in RUNNING.items()} == made


@pytest.mark.parametrize("grid", [(4, 6)])
def test_pictures_follow_the_sizes_of_the_model(grid):
    """Newly trained weights may have others."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24}
    config = DeiTConfig(**sizes, image_size=(8 * grid[0], 8 * grid[1]), patch_size=8, num_labels=4)
    processing = ImageProcessing(
        size={"height": 8 * grid[0], "width": 8 * grid[1]}, crop_size={"height": 8 * grid[0], "width": 8 * grid[1]}
    )
    weights = deit_ref.init_weights(
        config, "classification-with-teacher", seed=1, image_processing=processing, class_names=tuple("abcd")
    )
    for name in set(RUNNING) - {"simmim"}:
        tree(RUNNING[name](weights))


# Numbers.


@pytest.mark.parametrize("name", ["hero", "model", "heads"])
def test_the_answer_in_the_caption_is_forwards(made, computed, name):
    (best, probability), *_ = computed[0].top(1)[0]
    assert re.search(rf"\b{best}, with {100 * probability:.1f}%", words(made[name]))


def test_both_heads_say_what_they_say(made, computed, weights):
    text = words(made["heads"])
    for logits in (computed[0].cls_logits, computed[0].distillation_logits, computed[0].logits):
        shares = np.exp(logits[0].astype(float)) / np.exp(logits[0].astype(float)).sum()
        for i in np.argsort(-shares)[:3]:
            assert f"{weights.class_names[i]} {100 * shares[i]:.1f}%" in text
    attention = computed[1]["blocks.5.attention.probabilities"][0].mean(axis=0)
    alike = np.corrcoef(attention[0, 2:], attention[1, 2:])[0, 1]
    assert f"correlation of {alike:.2f}" in text
    assert alike > 0.9  # the chapter: "the two tokens look at nearly the same patches"


def test_the_sharpest_and_the_evenest_head_are_the_ones_named(made, computed):
    text = words(made["attention"])
    spread = spreads(computed[1], 0)
    block, head = np.unravel_index(spread.argmax(), spread.shape)
    assert f"head {head + 1} of block {block + 1} spreads its attention most, over {spread.max():.1f}" in text
    block, head, share = sharpest(computed[1], 0)
    assert f"head {head + 1} of block {block + 1} gives the class token most from a single patch, {share:.1%}" in text
    block, head, share = sharpest(computed[1], 2 + 8 * EYE[0] + EYE[1])
    assert f"most from a single patch, head {head + 1} of block {block + 1}." in text
    assert f"brightest {share:.1%}" in text


def test_the_hero_says_how_much_the_last_block_gives_a_patch(made, computed):
    look = computed[1]["blocks.5.attention.probabilities"][0].mean(axis=0)[0, 2:]
    assert f"spends {look.max():.1%} of its attention on a single patch" in words(made["hero"])
    assert f"viewer.md?photo={PHOTO}&layer=6&head=mean&" in html.unescape(made["hero"])


def test_links_lead_to_the_head_that_is_shown(made, computed):
    block, head, _ = sharpest(computed[1], 0)
    address = f"viewer.md?photo={PHOTO}&layer={block + 1}&head={head + 1}&left=class&right=distillation"
    assert address in html.unescape(made["attention"])
    names = set(computed[1])
    for figure in made.values():
        assert set(re.findall(r"steps\.md\?step=([\w.]+)", figure)) <= names


def test_lengths_of_the_stream_are_those_of_the_trace(made, computed):
    text, trace = words(made["encoder"]), computed[1]
    first, last = (np.linalg.norm(trace[name][0], axis=1) for name in ("embeddings", "blocks.5.output"))
    for token in range(2):
        assert f"from {first[token]:.1f} to {last[token]:.1f}" in text
    assert f"from {first[2:].mean():.1f} to {last[2:].mean():.1f}" in text


def test_the_lens_ends_with_what_the_heads_say(made, computed, weights):
    rows = [words(row) for row in re.findall("<tr>(.*?)</tr>", made["lens"])]
    assert len(rows) == 1 + 1 + 6
    said = []
    for logits in (computed[0].cls_logits, computed[0].distillation_logits):
        shares = np.exp(logits[0].astype(float)) / np.exp(logits[0].astype(float)).sum()
        said.append(f"{weights.class_names[shares.argmax()]} {100 * shares.max():.1f}%")
    assert rows[-1] == " ".join(["block 6", *said])


def test_layer_norm_changes_the_lengths_as_the_caption_says(made, computed):
    text, trace = words(made["layers"]), computed[1]
    before, after = (np.linalg.norm(trace[name][0], axis=1) for name in ("embeddings", "blocks.0.norm1"))
    assert f"{before.max() / before.min():.1f} times as long" in text
    assert f"between {after.min():.1f} and {after.max():.1f}" in text


def test_positions_are_as_alike_as_the_caption_says(made, weights):
    rows = weights.pos_embed[0, 2:].astype(float)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cosine = rows @ rows.T
    near = [cosine[8 * y + x, 8 * b + a] for y, x, b, a in np.ndindex(8, 8, 8, 8) if abs(y - b) + abs(x - a) == 1]
    assert f"cosine is {np.mean(near):.2f} between direct neighbors" in words(made["positions"])


def test_the_masked_picture_says_its_loss_and_shows_the_visible_patches(made, computed):
    hidden, filled = images(made["simmim"])[1:3]
    photo = computed[1]["images.0.cropped"]
    gray = (hidden == 128).all(axis=2)
    assert f"{gray.sum() // 16} of 64 patches are hidden" in words(made["simmim"])
    np.testing.assert_array_equal(hidden[~gray], photo[~gray])
    np.testing.assert_array_equal(filled[~gray], photo[~gray])
    mask = gray[::4, ::4].reshape(1, 64)
    masked = deit_ref.load_weights("cifar10-simmim")
    loss = deit_ref.forward(masked, bundled_photo(PHOTO), bool_masked_pos=mask).loss
    assert f"masked L1 is {loss:.3f}" in words(made["simmim"])


# Pixels.


def test_pixels_are_the_photos(made, computed):
    seen = computed[1]["images.0.cropped"]
    for name, i in (("patches", 0), ("model", 0), ("attention", 0), ("simmim", 0), ("image", 1)):
        np.testing.assert_array_equal(images(made[name])[i], seen, err_msg=name)
    np.testing.assert_array_equal(images(made["image"])[0], computed[1]["images.0.resized"])
    tiles = images(made["patches"])[1]
    without_gaps = np.delete(np.delete(tiles, np.s_[4::5], axis=0), np.s_[4::5], axis=1)
    np.testing.assert_array_equal(without_gaps[:, :, :3], seen)
    assert (tiles[:, :, 3] == 0).sum() == tiles.shape[0] ** 2 - 32 * 32


def test_the_look_glows_where_the_share_is_largest(made, computed):
    _, sharp, *_ = images(made["attention"])
    block, head, _ = sharpest(computed[1], 0)
    shares = computed[1][f"blocks.{block}.attention.probabilities"][0, head, 0, 2:]
    orange = (sharp[:, :, 0].astype(int) - sharp[:, :, 2]).reshape(8, 4, 8, 4).mean(axis=(1, 3)).ravel()
    assert orange.argmax() == shares.argmax()
    assert np.corrcoef(orange, shares)[0, 1] > 0.99


def test_glow_is_strongest_at_the_largest_value_and_absent_at_zero():
    photo = np.full((2, 4, 3), 100, np.uint8)
    glow = parts.lit(photo, np.array([[0.0, 0.5]]), "cls")
    assert glow[0, 0].tolist() == [55, 55, 55]
    assert glow[0, 3].tolist() == [round(55 * 0.15 + 0.85 * value) for value in parts.GLOW["cls"]]


def test_glow_has_the_colors_of_the_dark_page():
    css = (ROOT / "docs/assets/site.css").read_text("utf-8")
    dark = re.search(r'\[data-md-color-scheme="slate"\] \{(.*?)\}', css, re.S)[1]
    for name, color in parts.GLOW.items():
        assert f"--deit-{name}: #{bytes(color).hex()};" in dark


def test_filters_differ_as_the_chapter_says(made):
    """The kernels' pictures are closer to each other than to that of nearest, and no two are the same."""
    nearest, *kernels = (image.astype(float) for image in images(made["resize"]))
    apart = [np.abs(a - b).mean() for a, b in itertools.combinations(kernels, 2)]
    assert len(apart) == 10
    assert 0 < min(apart) <= max(apart) < min(np.abs(nearest - kernel).mean() for kernel in kernels)


# The directive.


def test_photo_puts_the_figure_into_the_page_with_links_that_it_can_follow():
    builder = directives.PageBuilder("chapters/heads.md", lambda target: f"../../{target.removesuffix('.md')}/")
    block = builder.html(f"<p>{builder.markdown('{{ photo heads }}').strip()}</p>")
    assert block.startswith('<figure class="deit-figure deit-photo">')
    assert "../../viewer/?photo=chelsea&amp;layer=6" in block
    assert "../../steps/?step=cls_logits" in block
    assert ".md" not in block


@pytest.mark.parametrize("call", ["{{ photo dog }}", "{{ photo }}", "See {{ photo heads }}."])
def test_a_wrong_call_is_told_in_one_line(call):
    builder = directives.PageBuilder("chapters/heads.md", str)
    with pytest.raises(sources.SourceError, match=r"^chapters/heads\.md: \{\{ photo.*\}\}: [^\n]+$"):
        builder.markdown(call)


def test_a_picture_that_does_not_exist_is_told_which_do():
    with pytest.raises(sources.SourceError, match="no picture 'dog'; known: hero, hide, patches, "):
        directives.PageBuilder("chapters/heads.md", str).markdown("{{ photo dog }}")


def test_weights_of_another_task_are_refused(weights):
    with pytest.raises(ValueError, match="got the task 'masked-image-modeling'"):
        RUNNING["heads"](deit_ref.load_weights("cifar10-simmim"))


def test_the_file_is_shown_as_it_is(made):
    """The photo that stands beside the model's pixels is the same part of the file, smooth."""
    (data,) = re.findall(r'"data:image/jpeg;base64,([^"]+)"', made["patches"])
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).astype(float)
    file = load_image(bundled_photo(PHOTO))[:, 75 : 75 + shown.shape[1]]
    assert shown.shape == file.shape
    assert np.abs(shown - file).mean() < 4
