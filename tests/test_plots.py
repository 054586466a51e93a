"""Figures show what they should, where they should: pixels are checked, not only that something was drawn."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

import deit_ref
from deit_ref import plots
from deit_ref.photos import bundled_photo

WHITE = (255, 255, 255)


def looking_at(places, grid, *, layers=1, heads=1, prefix=2):
    """Attentions whose prefix token i looks at patch places[i] alone, and whose other tokens look at themselves."""
    tokens = prefix + grid[0] * grid[1]
    one = np.eye(tokens, dtype=np.float32)
    for i, (row, column) in enumerate(places):
        one[i] = 0
        one[i, prefix + row * grid[1] + column] = 1
    return [np.broadcast_to(one, (1, heads, tokens, tokens)).copy() for _ in range(layers)]


def images_of(figure):
    """The pictures in a figure, by axes: lists of (array, (left, right, bottom, top))."""
    return [[(np.asarray(im.get_array()), tuple(im.get_extent())) for im in axes.get_images()] for axes in figure.axes]


def brightest(values):
    return np.unravel_index(np.nanargmax(values), values.shape)


@given(
    seed=st.integers(0, 99), kind=st.sampled_from(["huggingface", "original", "torchvision", "plain", "half", "scalar"])
)
def test_photos_come_back_from_pixel_values_exactly(seed, kind):
    processing = {
        "huggingface": deit_ref.ImageProcessing.huggingface(24),
        "original": deit_ref.ImageProcessing.original(24),
        "torchvision": deit_ref.ImageProcessing(size=24, crop_size=24, arithmetic="torchvision"),
        "plain": deit_ref.ImageProcessing(size=24, crop_size=24, do_normalize=False, do_rescale=False),
        "half": deit_ref.ImageProcessing(size=24, crop_size=24, do_normalize=False),
        "scalar": deit_ref.ImageProcessing(size=24, crop_size=24, image_mean=0.3, image_std=0.2, do_rescale=False),
    }[kind]
    noise = np.random.default_rng(seed).integers(0, 256, (2, 40, 31, 3), np.uint8)
    trace = deit_ref.Trace()
    pixel_values = deit_ref.preprocess(noise, processing, trace=trace)
    photos = plots.to_photos(torch.from_numpy(pixel_values), processing)
    assert photos.dtype == np.uint8
    for i in range(2):
        np.testing.assert_array_equal(photos[i], trace[f"images.{i}.cropped"])


def test_photos_are_cut_to_bytes_and_gray_is_repeated():
    processing = deit_ref.ImageProcessing(image_mean=0.5, image_std=0.25)
    x = np.array([-9.0, 0.0, 9.0, np.nan]).reshape(1, 1, 1, 4)
    photo = plots.to_photos(x, processing)
    assert photo.shape == (1, 1, 4, 3)
    assert photo[0, 0, :3, 0].tolist() == [0, 128, 255]
    assert (photo == photo[..., :1]).all()
    with pytest.raises(ValueError, match=r"of 1 or 3 channels, got the shape \(1, 2, 4, 4\)"):
        plots.to_photos(np.zeros((1, 2, 4, 4)), processing)


@pytest.mark.parametrize("grid", [(4, 4), (3, 5), (5, 2)])
def test_rollout_lights_up_the_patch_that_is_looked_at(grid):
    upper_right, lower_left = (0, grid[1] - 1), (grid[0] - 1, 0)
    photo = np.full((15 * grid[0], 15 * grid[1], 3), 90, np.uint8)
    attentions = looking_at([upper_right, lower_left], grid, layers=3, heads=2)
    figure = plots.rollout_overlay(photo, attentions, grid=grid, num_prefix_tokens=2)
    assert isinstance(figure, Figure)
    seen, cls, dist = images_of(figure)[:3]
    np.testing.assert_array_equal(seen[0][0], photo)
    for (_, (heat, extent)), (row, column) in zip((cls, dist), (upper_right, lower_left), strict=True):
        assert heat.shape == photo.shape[:2]
        assert extent == (-0.5, photo.shape[1] - 0.5, photo.shape[0] - 0.5, -0.5)  # the first row is on top
        center = heat[15 * row + 7, 15 * column + 7]
        assert center == pytest.approx(1 - 0.5**3)  # what is left for itself after three layers: 1/8
        assert brightest(heat)[0] // 15 == row
        assert brightest(heat)[1] // 15 == column
        assert heat.min() == pytest.approx(0, abs=1e-12)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[:2] == [
        f"what the model sees,\n{photo.shape[0]} × {photo.shape[1]} pixels",
        f"class token,\n{grid[0]} × {grid[1]} patches",
    ]
    assert [text.get_text() for text in figure.texts] == ["Attention rollout, blocks: 3, heads: 2"]


def test_overlay_in_pixels_has_the_hot_patch_at_the_upper_right():
    """The same in the finished picture: of a gray photo, only the upper right corner of the overlay is bright."""
    photo = np.full((64, 64, 3), 128, np.uint8)
    figure = plots.rollout_overlay(photo, looking_at([(0, 3)], (4, 4), prefix=1), grid=(4, 4), num_prefix_tokens=1)
    page = plots.rendered(figure).astype(int)
    place = figure.axes[1].get_position()
    height, width = page.shape[:2]
    left, right = round(place.x0 * width), round(place.x1 * width)
    top, bottom = round((1 - place.y1) * height), round((1 - place.y0) * height)
    overlay = page[top:bottom, left:right]
    side = overlay.shape[0] // 4
    quarters = overlay[: 4 * side, : 4 * side].reshape(4, side, 4, side, 3).mean(axis=(1, 3, 4))
    assert brightest(quarters) == (0, 3)
    assert quarters[0, 3] > 1.4 * np.median(quarters)
    first = page[top:bottom, round(figure.axes[0].get_position().x0 * width) + 2]
    assert (abs(first[2:-2] - 128) <= 1).all()  # the photo beside it is as it was


def test_enlarging_is_bilinear_with_centers_at_patch_centers():
    """Against torch's own, which puts the centers in the same places."""
    values = np.random.default_rng(0).random((3, 5))
    expected = torch.nn.functional.interpolate(torch.from_numpy(values)[None, None], size=(48, 40), mode="bilinear")
    np.testing.assert_allclose(plots._enlarged(values, (48, 40)), expected[0, 0].numpy(), atol=1e-12)


@pytest.mark.parametrize(("grid", "backend"), [((2, 3), "numpy"), ((3, 2), "torch")])
def test_maps_show_each_head_in_its_row_and_each_layer_in_its_column(grid, backend):
    """Layer l, head h, token t look at a patch of their own: (7 h + 3 l + t) mod patches."""
    layers, heads, patches = 3, 2, grid[0] * grid[1]
    tokens = 2 + patches
    attentions = []
    for layer in range(layers):
        probabilities = np.full((1, heads, tokens, tokens), 0.1 / patches)
        for head in range(heads):
            for t in range(2):
                probabilities[0, head, t, 2 + (7 * head + 3 * layer + t) % patches] = 0.25
                probabilities[0, head, t, :2] = 0.9  # prefix tokens get most, and must not be shown
        attentions.append(torch.from_numpy(probabilities) if backend == "torch" else probabilities)
    photo = np.zeros((8 * grid[0], 8 * grid[1], 3), np.uint8)
    photo[0, 0] = 200
    for t, token in enumerate(("cls", "dist")):
        figure = plots.attention_maps(photo, attentions, grid=grid, num_prefix_tokens=2, token=token)
        (backdrop, extent), (heat, over) = images_of(figure)[0]
        assert extent == over
        assert extent[3] == -0.5
        tall, wide = (heat.shape[0] + 6) // heads, (heat.shape[1] + 6) // layers
        for head in range(heads):
            for layer in range(layers):
                tile = heat[head * tall : (head + 1) * tall - 6, layer * wide : (layer + 1) * wide - 6]
                row, column = brightest(tile)
                patch = row * grid[0] // tile.shape[0] * grid[1] + column * grid[1] // tile.shape[1]
                assert patch == (7 * head + 3 * layer + t) % patches
                assert tile.max() == pytest.approx(1, abs=0.02)
                assert tile.min() == pytest.approx(0.1 / patches / 0.25, rel=0.02)
                assert backdrop[head * tall, layer * wide, 0] > 100
        assert tuple(backdrop[tall - 3, 0]) == WHITE
        assert np.isnan(heat[tall - 3, 0])
        axes = figure.axes[0]
        assert [text.get_text() for text in axes.texts] == ["25%"] * 6
        assert [label.get_text() for label in axes.get_yticklabels()] == ["head 1", "head 2"]
        assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "3"]
        name = {"cls": "class", "dist": "distillation"}[token]
        title = f"Attention of the {name} token to {grid[0]} × {grid[1]} patches"
        assert [text.get_text() for text in figure.texts] == [title]


def test_maps_of_chosen_layers_and_heads():
    grid = (2, 2)
    attentions = [
        np.concatenate([looking_at([divmod((layer + head) % 4, 2)], grid, prefix=1)[0] for head in range(3)], axis=1)
        for layer in range(4)
    ]
    photo = np.zeros((16, 16, 3), np.uint8)
    figure = plots.attention_maps(photo, attentions, grid=grid, num_prefix_tokens=1, layers=[2], heads=[1])
    heat = images_of(figure)[0][1][0]
    row, column = brightest(heat)
    assert (row * 2 // heat.shape[0], column * 2 // heat.shape[1]) == (1, 1)  # 2 + 1 = 3, the last of four
    axes = figure.axes[0]
    assert [axes.get_xticklabels()[0].get_text(), axes.get_yticklabels()[0].get_text()] == ["3", "head 2"]


def test_attention_without_contrast_is_drawn():
    grid, photo = (2, 2), np.zeros((16, 16, 3), np.uint8)
    for value, shown in ((0.0, "0%"), (0.0996, "10%"), (0.0123, "1.2%"), (1.0, "100%")):
        attentions = [np.full((1, 2, 5, 5), value)]
        figures = [
            plots.attention_maps(photo, attentions, grid=grid, num_prefix_tokens=1),
            plots.rollout_overlay(photo, attentions, grid=grid, num_prefix_tokens=1),
        ]
        assert plots.rendered(*figures).shape[2] == 3
        assert figures[0].axes[0].texts[0].get_text() == shown


def test_attention_of_a_real_forward_pass():
    """Trace and output hold the same attentions, of both backends; bfloat16 too."""
    config = deit_ref.DeiTConfig(32, 2, 2, 64, image_size=(32, 48), patch_size=8, num_labels=3, initializer_range=0.3)
    weights = deit_ref.init_weights(config, "features", seed=0)
    pages = []
    for options in ({}, {"backend": "torch"}, {"backend": "torch", "dtype": "bfloat16"}):
        trace = deit_ref.Trace()
        deit_ref.forward(weights, bundled_photo(), trace=trace, **options)
        photo = plots.to_photos(trace["pixel_values"], weights.image_processing)[0]
        np.testing.assert_array_equal(photo, deit_ref.arrays.as_numpy(trace["images.0.resized"]))
        attentions = trace.matching("blocks.*.attention.probabilities")
        figure = plots.rollout_overlay(photo, attentions, grid=(4, 6), num_prefix_tokens=2)
        pages.append(images_of(figure)[1][1][0])
    np.testing.assert_allclose(pages[1], pages[0], rtol=1e-5)
    np.testing.assert_allclose(pages[2], pages[0], rtol=0.1)


def test_relevance_lights_up_what_was_looked_at_and_speaks_for_the_class():
    """Both tokens look at two patches alike; one of them has a gradient for, the other one against."""
    grid, photo = (3, 4), np.full((36, 48, 3), 90, np.uint8)
    attentions = [
        (a + b) / 2 for a, b in zip(*(looking_at([place] * 2, grid) for place in ((0, 3), (2, 0))), strict=True)
    ]
    gradient = np.zeros_like(attentions[0])
    gradient[..., 2 + 3], gradient[..., 2 + 8] = 0.5, -0.5
    options = {"grid": grid, "num_prefix_tokens": 2}
    figure = plots.relevance_overlay(photo, attentions, [torch.from_numpy(gradient)], class_name="a cat", **options)
    seen, cls, dist = images_of(figure)[:3]
    np.testing.assert_array_equal(seen[0][0], photo)
    for _, (heat, extent) in (cls, dist):
        assert extent == (-0.5, 47.5, 35.5, -0.5)
        assert brightest(heat)[0] // 12 == 0
        assert brightest(heat)[1] // 12 == 3
        assert heat[0, 47] == pytest.approx(0.25)  # a share of 0.5, a gradient of 0.5
        assert heat[35, 0] == 0  # spoke against
    assert [axes.get_title(loc="left") for axes in figure.axes][1] == "class token,\n3 × 4 patches"
    assert [text.get_text() for text in figure.texts] == ["Gradient × attention for a cat, blocks: 1, heads: 1"]
    with pytest.raises(ValueError, match=r"dattentions must have a gradient for each.*2 of \(1, 1, 14, 14\) for 1 of"):
        plots.relevance_overlay(photo, attentions, [gradient] * 2, **options)
    with pytest.raises(ValueError, match="dattentions must have the shape"):
        plots.relevance_overlay(photo, attentions, [gradient[..., 1:]], **options)
    with pytest.raises(ValueError, match="dattentions must be of at least one layer, got none: use with_respect_to"):
        plots.relevance_overlay(photo, attentions, [], **options)
    with pytest.raises(ValueError, match="dattentions hold NaN"):
        plots.relevance_overlay(photo, attentions, [np.full_like(gradient, np.nan)], **options)


def test_saliency_is_drawn_pixel_by_pixel():
    photo, gradient = np.full((8, 12, 3), 90, np.uint8), np.zeros((1, 3, 8, 12), np.float32)
    gradient[0, 1, 5, 7], gradient[0, 2, 5, 7] = -2, 1
    figure = plots.saliency_overlay(photo, torch.from_numpy(gradient))
    heat = images_of(figure)[1][1][0]
    assert heat[5, 7] == 2
    assert np.count_nonzero(heat) == 1
    assert figure.texts[0].get_text() == "Gradient of the logit by the pixels"
    for wrong in (gradient[0], gradient[:, :, 1:], gradient[:, :0], gradient.repeat(2, axis=0)):
        with pytest.raises(ValueError, match=r"dpixel_values must have the shape \(1, channels, 8, 12\)"):
            plots.saliency_overlay(photo, wrong)
    with pytest.raises(ValueError, match="dpixel_values hold NaN"):
        plots.saliency_overlay(photo, np.full_like(gradient, np.inf))


def test_hidden_patches_are_gray_and_the_others_as_they_were():
    photo = np.random.default_rng(0).integers(0, 256, (4, 9, 3), np.uint8)
    hidden = plots.hide_patches(photo, torch.tensor([0, 1, 0, 0, 0, 1]), patch_shape=(2, 3))
    expected = photo.copy()
    expected[:2, 3:6] = expected[2:, 6:] = 128
    np.testing.assert_array_equal(hidden, expected)
    with pytest.raises(ValueError, match=r"each of the 2 x 3 patches, got the shape \(5,\)"):
        plots.hide_patches(photo, np.zeros(5), patch_shape=(2, 3))


def test_reconstruction_panel_shows_original_hidden_and_guess():
    photo = np.random.default_rng(0).integers(0, 256, (16, 32, 3), np.uint8)
    guess, mask = 255 - photo, np.array([True, False])
    figure = plots.reconstruction_panel(photo, guess, mask, patch_shape=(16, 16), loss=0.25)
    shown = [panel[0][0] for panel in images_of(figure)]
    filled = np.concatenate([guess[:, :16], photo[:, 16:]], axis=1)
    hidden = plots.hide_patches(photo, mask, patch_shape=(16, 16))
    for got, expected in zip(shown, (photo, hidden, filled, guess), strict=True):
        np.testing.assert_array_equal(got, expected)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [
        "original, 16 × 32 pixels",
        "1 of 2 patches hidden",
        "the guess in their place",
        "the guess everywhere",
    ]
    assert figure.texts[0].get_text() == "Masked image modeling, masked L1 0.2500 in normalized units"
    page = plots.rendered(figure)
    place = figure.axes[1].get_position()
    row = round((1 - place.y0 / 2 - place.y1 / 2) * page.shape[0])
    quarter = round((0.75 * place.x0 + 0.25 * place.x1) * page.shape[1])
    assert page[row, quarter].tolist() == [128, 128, 128]


def test_pages_hold_figures_one_below_the_other_and_sheets_photos_in_rows():
    figures = [Figure(figsize=(2, 1), dpi=50, facecolor="red"), Figure(figsize=(1, 2), dpi=50, facecolor="blue")]
    page = plots.rendered(*figures)
    assert page.shape == (150, 100, 3)
    assert (page[:50] == (255, 0, 0)).all()
    assert (page[50:, :50] == (0, 0, 255)).all()
    assert (page[50:, 50:] == WHITE).all()
    photos = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 4, 3), np.uint8)
    assert plots.side_by_side(photos)[:, ::4, 0].tolist() == [[0, 1, 2, 3, 4]] * 2
    assert plots.side_by_side(photos, columns=3)[::2, ::4, 0].tolist() == [[0, 1, 2], [3, 4, 255]]


@pytest.mark.parametrize(("shape", "grid"), [((224, 16), (14, 1)), ((16, 320), (1, 20)), ((16, 16), (1, 1))])
def test_titles_stay_inside_and_apart_whatever_the_aspect(shape, grid):
    photo = np.zeros((*shape, 3), np.uint8)
    attentions = looking_at([(0, 0), (0, 0)], grid, layers=12, heads=2)
    figures = [
        plots.rollout_overlay(photo, attentions, grid=grid, num_prefix_tokens=2),
        plots.relevance_overlay(photo, attentions, attentions, grid=grid, num_prefix_tokens=2, class_name="x" * 99),
        plots.saliency_overlay(photo, np.zeros((1, 3, *shape)), class_name="x" * 99),
        plots.attention_maps(photo, attentions, grid=grid, num_prefix_tokens=2, token="dist"),
        plots.attention_maps(photo, attentions, grid=grid, num_prefix_tokens=2, token="dist", layers=[3]),
        plots.reconstruction_panel(photo, photo, np.ones(grid), patch_shape=(16, 16), loss=1.0),
    ]
    for figure in figures:
        plots.rendered(figure)
        titles = [axes._left_title for axes in figure.axes if axes.get_title(loc="left")]
        ticks = figure.axes[0].get_xticklabels() if figure.axes[0].axison else []
        boxes = [text.get_window_extent() for text in (*titles, *ticks, *figure.texts)]
        for i, box in enumerate(boxes):
            assert box.x0 >= 0
            assert box.x1 <= figure.bbox.width
            assert box.y1 <= figure.bbox.height
            assert not any(box.overlaps(other) for other in boxes[:i])


def test_what_does_not_fit_is_refused():
    photo, attentions = np.zeros((16, 16, 3), np.uint8), looking_at([(0, 0), (0, 0)], (2, 2))
    maps, overlay = plots.attention_maps, plots.rollout_overlay
    with pytest.raises(ValueError, match=r"2 prefix tokens and 2 x 3 patches; got \(1, 1, 6, 6\)"):
        maps(photo, attentions, grid=(2, 3), num_prefix_tokens=2)
    with pytest.raises(ValueError, match=r"\(1, heads, 6, 6\), for one image.*got \(2, 1, 6, 6\)"):
        overlay(photo, [attentions[0].repeat(2, axis=0)], grid=(2, 2), num_prefix_tokens=2)
    with pytest.raises(ValueError, match="token must be one of cls; got 'dist'"):
        maps(photo, looking_at([], (2, 2), prefix=1), grid=(2, 2), num_prefix_tokens=1, token="dist")
    with pytest.raises(ValueError, match="layers must name some of 0 to 0, got \\[1\\]"):
        maps(photo, attentions, grid=(2, 2), num_prefix_tokens=2, layers=[1])
    with pytest.raises(ValueError, match="heads must be at least 0, got -1"):
        maps(photo, attentions, grid=(2, 2), num_prefix_tokens=2, heads=[-1])
    with pytest.raises(ValueError, match="at least one layer"):
        overlay(photo, [], grid=(2, 2), num_prefix_tokens=2)
    with pytest.raises(ValueError, match="at least one layer"):
        maps(photo, [], grid=(2, 2), num_prefix_tokens=2)
    with pytest.raises(ValueError, match="hold NaN or infinity"):
        overlay(photo, [attentions[0] * np.nan], grid=(2, 2), num_prefix_tokens=2)
    with pytest.raises(ValueError, match="must be uint8"):
        overlay(photo / 255, attentions, grid=(2, 2), num_prefix_tokens=2)
    with pytest.raises(ValueError, match="must have one shape"):
        plots.reconstruction_panel(photo, photo[:8], np.ones(1), patch_shape=(16, 16))


def test_matplotlib_is_imported_late_and_pyplot_never():
    code = """
        import sys, numpy as np, deit_ref.plots as plots
        assert "matplotlib" not in sys.modules
        photo = np.zeros((8, 8, 3), np.uint8)
        plots.rendered(plots.reconstruction_panel(photo, photo, np.ones(1), patch_shape=(8, 8)))
        assert "matplotlib.pyplot" not in sys.modules
    """
    lines = "\n".join(line.strip() for line in code.splitlines())
    assert subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True).stderr == ""


def test_matplotlib_that_is_not_installed_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    photo = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match=r"pip install 'deit_ref\[plots\]'"):
        plots.reconstruction_panel(photo, photo, np.ones(1), patch_shape=(8, 8))


def _curves(figure):
    """(epochs, values) of each line, by panel and label."""
    return {
        axes.get_title(loc="left"): {
            line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.get_lines()
        }
        for axes in figure.axes
    }


def test_training_curves_show_every_number_at_its_epoch():
    lines = [
        {"epoch": 1, "loss": 2.0, "accuracy": 0.2, "test": {"top1": 0.3, "loss": 1.9}},
        {"epoch": 2, "loss": 1.5, "accuracy": 0.4},
        {
            "epoch": 3,
            "loss": 1.0,
            "accuracy": 0.6,
            "test": {"top1": 0.7, "loss": 0.9, "cls_top1": 0.65, "distillation_top1": 0.66},
        },
    ]
    figure = plots.training_curves(lines)
    assert _curves(figure) == {
        "loss": {"train": ([1, 2, 3], [2.0, 1.5, 1.0]), "test": ([1, 3], [1.9, 0.9])},
        "accuracy, first guess": {
            "train": ([1, 2, 3], [0.2, 0.4, 0.6]),
            "test": ([1, 3], [0.3, 0.7]),
            "test, class head": ([3], [0.65]),
            "test, distillation head": ([3], [0.66]),
        },
    }
    assert figure.texts[0].get_text() == "Training, epochs: 3, test top-1 70.00%"
    assert plots.rendered(figure).min() < 100


def test_training_curves_of_masked_image_modeling_have_no_accuracy():
    lines = [{"epoch": 1, "loss": 0.7, "test": {"masked_l1": 0.6, "mean_color": 0.8, "neighbors": 0.5}}]
    figure = plots.training_curves(lines)
    assert _curves(figure) == {
        "loss": {
            "train": ([1], [0.7]),
            "test, masked L1": ([1], [0.6]),
            "test, by the mean color": ([1], [0.8]),
            "test, by the neighbors": ([1], [0.5]),
        }
    }
    assert "masked L1 0.6000" in figure.texts[0].get_text()
    with pytest.raises(ValueError, match="at least one epoch"):
        plots.training_curves([])


def test_the_distillation_chart_has_a_mark_per_seed_and_a_line_at_the_mean():
    def runs(*averages):
        return [{"class head": a - 0.02, "distillation head": a + 0.01, "mean of logits": a} for a in averages]

    figure = plots.distillation_chart({"no teacher": runs(0.6, 0.7), "hard": runs(0.8, 0.9)})
    (axes,) = figure.axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["no teacher", "hard"]
    drawn = {(line.get_label(), round(float(line.get_xdata()[0]), 2)): line.get_ydata() for line in axes.lines}
    np.testing.assert_allclose(drawn["mean of logits", 0.1], [0.6, 0.7])
    np.testing.assert_allclose(drawn["class head", -0.3], [0.58, 0.68])
    means = sorted(round(float(line.get_ydata()[0]), 3) for line in axes.lines if line.get_label() == "_mean")
    assert means == [0.63, 0.65, 0.66, 0.83, 0.85, 0.86]
    said = [text.get_text() for text in axes.get_legend().get_texts()]
    assert said == ["class head", "distillation head", "mean of logits"]
    (axes,) = plots.distillation_chart({"hard": [{"class head": 0.694, "mean of probabilities": 0.7144}]}).axes
    ticks = [
        (float(text.get_text().rstrip("%")), 100 * place)
        for text, place in zip(axes.get_yticklabels(), axes.get_yticks(), strict=True)
    ]
    np.testing.assert_allclose(*zip(*ticks, strict=True), atol=1e-9)  # no label says less than where it stands
    with pytest.raises(ValueError, match="none of soft"):
        plots.distillation_chart({"soft": []})


def test_a_student_of_one_head_stands_beside_those_of_two():
    one, two = {"class head": 0.5}, {"class head": 0.6, "distillation head": 0.7}
    (axes,) = plots.distillation_chart({"hard, one token": [one], "hard": [two]}).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["class head", "distillation head"]
    assert len([line for line in axes.lines if line.get_label() == "_mean"]) == 3
    many = plots.distillation_chart({f"way {i}": [one] for i in range(9)})
    assert many.get_figwidth() > 9 * 1.2  # room for the names below


def test_curves_by_block_have_a_line_for_each_seed_and_one_for_the_mean():
    figure = plots.by_block({"hard": [[0.1, 0.5], [0.3, 0.7]], "soft": [[0.2, 0.2]]}, ["input", "0"], title="Cosine")
    (axes,) = figure.axes
    drawn = [(line.get_label(), list(line.get_ydata())) for line in axes.lines]
    assert drawn == [
        ("_seed", [0.1, 0.5]),
        ("_seed", [0.3, 0.7]),
        ("hard", [pytest.approx(0.2), pytest.approx(0.6)]),
        ("soft", [0.2, 0.2]),
    ]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["input", "0"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["hard", "soft"]
    assert figure.texts[0].get_text() == "Cosine"
    lone = plots.by_block({"": [[0.1, 0.9]]}, ["input", "0"], title="Lens", percent=True)
    assert lone.axes[0].get_legend() is None
    assert lone.axes[0].yaxis.get_major_formatter()(0.5) == "50%"
    assert plots.rendered(lone).min() < 100
    for rows in ([], [[0.1, 0.2], [0.3]]):
        with pytest.raises(ValueError, match=r"Expected rows of 2 numbers, one for each place, got of 'hard'"):
            plots.by_block({"hard": rows}, ["input", "0"], title="")


def test_numbers_by_head_are_darker_where_they_are_larger():
    figure = plots.by_head(torch.tensor([[1.0, 3.0, 2.0], [1.5, 2.75, 1.25]]), title="Distance")
    axes = figure.axes[0]
    texts = {text.get_position(): (text.get_text(), text.get_color()) for text in axes.texts}
    assert texts[1, 0] == ("3.00", "white")
    assert texts[0, 0] == ("1.00", "black")
    assert texts[2, 1] == ("1.25", "black")
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["head 1", "head 2", "head 3"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["block 1", "block 2"]
    (image,) = axes.images
    light, dark = (image.cmap(image.norm(value))[:3] for value in (1.0, 3.0))
    assert sum(dark) < sum(light)
    shares = plots.by_head([[0.5, 0.25]], title="", percent=True)
    assert [text.get_text() for text in shares.axes[0].texts] == ["50.0%", "25.0%"]
    assert plots.rendered(shares).min() < 100
    for values in ([0.5], np.zeros((0, 2))):
        with pytest.raises(ValueError, match="a number for each block and head"):
            plots.by_head(values, title="")


def confused(counts, names):
    """The axes of a confusion matrix, its texts by (row, column), and its rendered page."""
    figure = plots.confusion_matrix(np.array(counts), names)
    axes = figure.axes[0]
    texts = {text.get_position()[::-1]: text.get_text() for text in axes.texts}
    return axes, texts, plots.rendered(figure), [text.get_text() for text in figure.texts]


def test_a_confusion_matrix_has_a_row_for_what_the_photos_show():
    axes, texts, page, titles = confused([[3, 1, 0], [0, 9, 0], [2, 0, 0]], ("ant", "bee", "cat"))
    assert texts == {(0, 0): "3", (0, 1): "1", (1, 1): "9", (2, 0): "2"}
    assert [label.get_text() for label in axes.get_xticklabels()] == ["ant", "bee", "cat"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ant", "bee", "cat"]
    assert axes.yaxis_inverted()  # the first class is on top
    assert titles == ["Confusion matrix, 80.00% of 15 photos right"]
    np.testing.assert_allclose(axes.get_images()[0].get_array(), [[0.75, 0.25, 0], [0, 1, 0], [1, 0, 0]])
    # In the finished picture: a row of one answer is dark there, what never happened is nearly white.
    place, (height, width) = axes.get_position(), page.shape[:2]
    left, top = place.x0 * width, (1 - place.y1) * height
    cell = place.width * width / 3
    corner = [
        [page[int(top + (r + 0.1) * cell), int(left + (c + 0.1) * cell)].mean() for c in range(3)] for r in (1, 2)
    ]
    assert (np.array(corner) > 200).tolist() == [[True, False, True], [False, True, True]]


def test_a_confusion_matrix_of_many_classes_leaves_out_what_could_not_be_read():
    for classes, numbered, named in ((30, True, True), (31, False, True), (101, False, False)):
        axes, texts, _, _ = confused(np.eye(classes, dtype=int), [f"class {i}" for i in range(classes)])
        assert bool(texts) == numbered
        assert len(axes.get_xticklabels()) == (classes if named else 0)


def test_names_that_cannot_be_drawn_are_numbered():
    axes, *_ = confused(np.eye(4, dtype=int), ("\u732b", "a$b$c", "caf\u00e9\n", "n" * 30))
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["class 0", "a$b$c", "caf\u00e9\\n", "n" * 23 + "\u2026"]


def test_a_confusion_matrix_is_square():
    for counts in (np.zeros((2, 3)), np.zeros((3, 3)), np.zeros((0, 0))):
        with pytest.raises(ValueError, match="Expected counts of the 2 classes by their answers"):
            plots.confusion_matrix(counts, ("a", "b"))
