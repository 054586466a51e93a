"""Pictures of what a model attends to and of what it guesses.

Arrays of either backend go in, and a `matplotlib.figure.Figure` comes out; pyplot and its global state are not used.
A notebook shows it after `%matplotlib inline`, `figure.savefig("attention.png")` writes it, and `rendered` gives its
pixels. The attentions are those of `forward(..., output_attentions=True)`, or
`trace.matching("blocks.*.attention.probabilities")`, of one image.

matplotlib is imported inside the functions; it is in the extra plots.
"""

import textwrap
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from deit_ref import checks
from deit_ref.arrays import as_like, as_numpy, real
from deit_ref.image_processing import AN_IMAGE_PROCESSING, ImageProcessing
from deit_ref.numpy_backend.attention import attention_rollout
from deit_ref.numpy_backend.backward.relevance import attention_relevance, saliency
from deit_ref.numpy_backend.resize import resample_coefficients, resize

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array: TypeAlias = np.ndarray[Any, Any]
Size: TypeAlias = tuple[int, int]  # (height, width)

TOKENS = {"cls": "class token", "dist": "distillation token"}
COLORS = "inferno"  # perceptually uniform: equal steps look equally large
GRAY = 128  # of hidden patches
DPI = 150
# What was measured on photos that were not trained on is drawn strongly, parts and comparisons of it thinly.
_CURVES: Mapping[str, Mapping[str, Any]] = {
    "train": {"color": "tab:gray"},
    "test": {"color": "tab:blue", "linewidth": 2},
    "test, masked L1": {"color": "tab:blue", "linewidth": 2},
    "test, class head": {"color": "tab:green", "linewidth": 1, "linestyle": "--"},
    "test, distillation head": {"color": "tab:orange", "linewidth": 1, "linestyle": "--"},
    "test, by the mean color": {"color": "tab:green", "linewidth": 1, "linestyle": "--"},
    "test, by the neighbors": {"color": "tab:orange", "linewidth": 1, "linestyle": "--"},
}
_HEADS: Mapping[str, Mapping[str, Any]] = {
    "class head": {"color": "#b4530a", "marker": "s"},
    "distillation head": {"color": "#6f42c1", "marker": "^"},
    "mean of logits": {"color": "#222222", "marker": "o"},
    "mean of probabilities": {"color": "#0a7d8c", "marker": "D"},
}


def to_photos(pixel_values: Any, image_processing: ImageProcessing) -> Array:
    r"""What the model sees as bytes again: the inverse of rescale and normalize.

    $$\text{photo} = \mathrm{clip}\left(\lfloor (x \sigma + \mu) / \text{factor} + \tfrac12 \rfloor, 0, 255\right)$$

    Args:
        pixel_values: (batch, channels, height, width) with 1 or 3 channels, from `preprocess` with the same
            `image_processing`, or a model's reconstruction, whose values outside the range are cut.
        image_processing: what was done to the photos.

    Returns:
        uint8 (batch, height, width, 3), the very bytes that were resized and cropped; gray is repeated.

    Raises:
        ValueError: another shape or number of channels.
    """
    checks.instance("image_processing", image_processing, ImageProcessing, AN_IMAGE_PROCESSING)
    x = as_numpy(real("pixel_values", pixel_values))
    if x.ndim != 4 or x.shape[1] not in (1, 3) or x.dtype.kind != "f" or 0 in x.shape:
        raise ValueError(
            "A picture needs pixel_values (batch, channels, height, width) floats of 1 or 3 channels, got the shape "
            f"{x.shape} of {x.dtype}: choose the channels to show."
        )
    x = x.astype(np.float64).transpose(0, 2, 3, 1)  # (batch, height, width, channels)
    if image_processing.do_normalize:
        x = x * np.asarray(image_processing.image_std) + np.asarray(image_processing.image_mean)
    if image_processing.do_rescale:
        x = x / image_processing.rescale_factor
    photos = np.clip(np.floor(np.nan_to_num(x) + 0.5), 0, 255).astype(np.uint8)
    return photos.repeat(3, axis=3) if photos.shape[3] == 1 else photos  # (batch, height, width, 3)


def attention_maps(
    photo: Array,
    attentions: Sequence[Any],
    *,
    grid: Size,
    num_prefix_tokens: int,
    token: str = "cls",
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
) -> "Figure":
    """Where one token looks: a small picture for each head (rows) and block (columns), both counted from 1.

    Each picture has a scale of its own, from 0 to its largest value, which is printed in its corner; what a token
    gives to the prefix tokens is left out.

    Args:
        photo: uint8 (height, width, 3), as the model saw it; see `to_photos`.
        attentions: one (1, heads, tokens, tokens) per block.
        grid: (rows, columns) of patches.
        num_prefix_tokens: 2 for distilled models, 1 for plain ones.
        token: whose attention, "cls" or "dist".
        layers, heads: which to show, counted from 0; None means all.

    Raises:
        ValueError: shapes do not fit each other, there is no such layer or head, or no distillation token.
    """
    arrays = _checked_attentions(photo, attentions, grid, num_prefix_tokens)
    row = _token_row(token, num_prefix_tokens)
    layers = _chosen("layers", layers, len(arrays))
    heads = _chosen("heads", heads, arrays[0].shape[1])
    size, gap = _size_of_small_photo(photo, max(len(layers), len(heads))), 6
    shape = len(heads) * (size[0] + gap) - gap, len(layers) * (size[1] + gap) - gap
    backdrop = np.full((*shape, 3), 255, np.uint8)
    heat = np.full(shape, np.nan)
    small_photo = _gray(resize(photo, size, resample="bilinear"))
    peaks = []
    for i, head in enumerate(heads):
        for j, layer in enumerate(layers):
            top, left = i * (size[0] + gap), j * (size[1] + gap)
            tile = slice(top, top + size[0]), slice(left, left + size[1])
            values = arrays[layer][0, head, row, num_prefix_tokens:].reshape(grid)  # (rows, columns)
            largest = float(values.max())
            backdrop[tile] = small_photo
            heat[tile] = _enlarged(values / largest if largest > 0 else values, size)
            peaks.append((left, top + size[0], _percent(largest)))

    figure, axes = _figure_of_pixels(shape, left=0.8, right=0.9, top=0.8, bottom=0.1)
    axes.imshow(backdrop)
    image = axes.imshow(heat, cmap=COLORS, vmin=0, vmax=1, alpha=0.65)
    outline = _matplotlib("patheffects").withStroke(linewidth=1.5, foreground="black")
    for left, bottom, peak in peaks:
        axes.text(left + 4, bottom - 5, peak, fontsize=6, color="white", path_effects=[outline])
    centers = np.arange(len(layers)) * (size[1] + gap) + size[1] / 2
    axes.set_xticks(centers, [str(layer + 1) for layer in layers])
    axes.set_yticks(np.arange(len(heads)) * (size[0] + gap) + size[0] / 2, [f"head {head + 1}" for head in heads])
    axes.tick_params(length=0, labelsize=9, labeltop=True, labelbottom=False)
    axes.set_xlabel("block", fontsize=9)
    axes.xaxis.set_label_position("top")
    bar = _color_bar(figure, axes, image)
    bar.set_ticks([0, 1], labels=["0", "largest"])
    _title(figure, f"Attention of the {TOKENS[token]} to {grid[0]} × {grid[1]} patches")
    return figure


def rollout_overlay(photo: Array, attentions: Sequence[Any], *, grid: Size, num_prefix_tokens: int) -> "Figure":
    """The photo, and what the class token and the distillation token draw on, followed through all blocks.

    See `attention_rollout`. The patches' part is enlarged to the photo bilinearly and laid over it; the colors go
    from its smallest to its largest value.

    Args:
        photo, attentions, grid, num_prefix_tokens: as in `attention_maps`.

    Raises:
        ValueError: shapes do not fit each other, or there are no attentions.
    """
    arrays = _checked_attentions(photo, attentions, grid, num_prefix_tokens)
    figure = _overlays(photo, _maps_of_tokens(attention_rollout(arrays)[0], grid, num_prefix_tokens), in_percent=True)
    heads = arrays[0].shape[1]
    _title(figure, f"Attention rollout, blocks: {len(arrays)}, heads: {heads}")
    return figure


def relevance_overlay(
    photo: Array,
    attentions: Sequence[Any],
    dattentions: Sequence[Any],
    *,
    grid: Size,
    num_prefix_tokens: int,
    class_name: str | None = None,
) -> "Figure":
    """The photo, and what the class token and the distillation token draw on as far as it speaks for a class.

    See `attention_relevance`; the colors go from the smallest to the largest value of a patch, in units of the logit.

    Args:
        photo, attentions, grid, num_prefix_tokens: as in `attention_maps`.
        dattentions: the gradients of the class's logit with respect to the attentions, from
            `gradients(..., target=..., with_respect_to=("attentions",))`.
        class_name: stands in the title.

    Raises:
        ValueError: shapes do not fit each other, or there are no attentions.
    """
    arrays = _checked_attentions(photo, attentions, grid, num_prefix_tokens)
    gradients = _checked_attentions(photo, dattentions, grid, num_prefix_tokens, name="dattentions")
    shapes, others = ([array.shape for array in given] for given in (arrays, gradients))
    if shapes != others:
        raise ValueError(
            f"dattentions must have a gradient for each of attentions, of its shape; got {len(others)} of "
            f"{others[0]} for {len(shapes)} of {shapes[0]}: take both from one model and photo."
        )
    relevance = attention_relevance(arrays, gradients)[0]  # (tokens, tokens)
    figure = _overlays(photo, _maps_of_tokens(relevance, grid, num_prefix_tokens))
    _title(figure, f"Gradient × attention{_for_class(class_name)}, blocks: {len(arrays)}, heads: {shapes[0][1]}")
    return figure


def saliency_overlay(photo: Array, dpixel_values: Any, *, class_name: str | None = None) -> "Figure":
    """The photo, and how strongly each pixel pulls at a class's logit; see `saliency`.

    Args:
        photo: uint8 (height, width, 3), as the model saw it; see `to_photos`.
        dpixel_values: (1, channels, height, width), from `gradients(..., target=...,
            with_respect_to=("pixel_values",))`.
        class_name: stands in the title.

    Raises:
        ValueError: not of one image of the photo's size, or NaN.
    """
    checks.image(photo)
    gradient = as_numpy(real("dpixel_values", dpixel_values))
    if gradient.ndim != 4 or (len(gradient), *gradient.shape[2:]) != (1, *photo.shape[:2]) or not gradient.shape[1]:
        raise ValueError(
            f"dpixel_values must have the shape (1, channels, {photo.shape[0]}, {photo.shape[1]}), for one image of "
            f"the photo's size; got {gradient.shape}. Choose an image by [i : i + 1]."
        )
    if not np.isfinite(gradient).all():
        raise ValueError("dpixel_values hold NaN or infinity and cannot be drawn: `deit-ref inspect` shows the cause.")
    figure = _overlays(photo, {"saliency,\nthe largest of the channels": saliency(gradient.astype(np.float64))[0]})
    _title(figure, f"Gradient of the logit{_for_class(class_name)} by the pixels")
    return figure


def _for_class(class_name: str | None) -> str:
    return "" if class_name is None else f" for {_drawable(class_name, instead='a class')}"


def _maps_of_tokens(matrix: Array, grid: Size, num_prefix_tokens: int) -> dict[str, Array]:
    """Rows of (tokens, tokens) as maps of the patches, by their titles."""
    return {
        f"{name},\n{grid[0]} × {grid[1]} patches": matrix[row, num_prefix_tokens:].reshape(grid)
        for row, name in enumerate(list(TOKENS.values())[:num_prefix_tokens])
    }


def _overlays(photo: Array, maps: Mapping[str, Array], *, in_percent: bool = False) -> "Figure":
    """The photo, and beside it each map over the gray photo, under its title and with its scale."""
    size = photo.shape[0], photo.shape[1]
    figure, panels = _figure_of_photos(size, 1 + len(maps), gap=1.3, slot=3.6, lines=2)
    panels[0].imshow(photo)
    panels[0].set_title(f"what the model sees,\n{size[0]} × {size[1]} pixels", fontsize=9, loc="left")
    for axes, (title, values) in zip(panels[1:], maps.items(), strict=True):
        axes.imshow(_gray(photo))
        image = axes.imshow(_enlarged(values, size), cmap=COLORS, vmin=values.min(), vmax=values.max(), alpha=0.5)
        axes.set_title(title, fontsize=9, loc="left")
        bar = _color_bar(figure, axes, image)
        bar.set_ticks(np.linspace(values.min(), values.max(), 5 if size[0] * 3 > size[1] else 2).tolist())
        bar.ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}%" if in_percent else f"{value:.2g}")
    return figure


def hide_patches(photo: Array, mask: Any, *, patch_shape: Size, behind: Array | int = GRAY) -> Array:
    """A copy of a photo (height, width, 3) where `mask`, one entry per patch, is true: gray, or what is `behind`."""
    checks.image(photo)
    patch_shape = checks.pair("patch_shape", patch_shape)
    rows, columns = photo.shape[0] // patch_shape[0], photo.shape[1] // patch_shape[1]
    flags = as_numpy(real("mask", mask))
    if not ((flags == 0) | (flags == 1)).all():
        raise ValueError("mask must hold True and False, or 1 and 0, and nothing between.")
    if flags.size != rows * columns:
        raise ValueError(
            f"mask must have one entry for each of the {rows} x {columns} patches, got the shape {flags.shape}."
        )
    pixels = flags.astype(bool).reshape(rows, columns).repeat(patch_shape[0], axis=0).repeat(patch_shape[1], axis=1)
    return np.where(pixels[:, :, None], np.asarray(behind, np.uint8), photo)  # (height, width, 3)


def reconstruction_panel(
    photo: Array, reconstruction: Array, mask: Any, *, patch_shape: Size, loss: float | None = None
) -> "Figure":
    """The photo, the photo with hidden patches, the model's guess in their place, and its guess everywhere.

    What a model draws where patches are visible was never trained: its loss counts hidden pixels alone.

    Args:
        photo: uint8 (height, width, 3), as the model saw it; see `to_photos`.
        reconstruction: the same of MaskedImageOutput.reconstruction.
        mask: one entry per patch, true where it was hidden.
        patch_shape: (height, width) of a patch in pixels.
        loss: MaskedImageOutput.loss, shown in the title.

    Raises:
        ValueError: shapes do not fit each other.
    """
    checks.image(photo)
    checks.image(reconstruction)
    if photo.shape != reconstruction.shape:
        raise ValueError(f"photo and reconstruction must have one shape, got {photo.shape} and {reconstruction.shape}.")
    hidden = hide_patches(photo, mask, patch_shape=patch_shape)
    filled = hide_patches(photo, mask, patch_shape=patch_shape, behind=reconstruction)
    count, total = int(as_numpy(mask).astype(bool).sum()), as_numpy(mask).size
    height, width = photo.shape[:2]
    figure, panels = _figure_of_photos((height, width), 4, gap=0.2, slot=2.1)
    titles = (
        f"original, {height} × {width} pixels",
        f"{count} of {total} patches hidden",
        "the guess in their place",
        "the guess everywhere",
    )
    for axes, picture, title in zip(panels, (photo, hidden, filled, reconstruction), titles, strict=True):
        axes.imshow(picture)
        axes.set_title(title, fontsize=9, loc="left")
    error = "" if loss is None else f", masked L1 {loss:.4f} in normalized units"
    _title(figure, f"Masked image modeling{error}")
    return figure


def training_curves(lines: Sequence[Mapping[str, Any]]) -> "Figure":
    """How a run went: the loss over its epochs, and beside it the accuracies, where there are any.

    Accuracy in training is that on augmented, mixed photos, and so may lie below that on test photos. Masked image
    modeling has no accuracy; the two guesses without a model stand beside its masked L1.

    Args:
        lines: of a run's metrics.jsonl, as dicts; see `training.loop.fit`.

    Raises:
        ValueError: there are no lines.
    """
    if not lines:
        raise ValueError("A run's curves need the metrics of at least one epoch, got none: train longer.")
    losses = {
        "train": _series(lines, "loss"),
        "test": _series(lines, "test", "loss"),
        "test, masked L1": _series(lines, "test", "masked_l1"),
        "test, by the mean color": _series(lines, "test", "mean_color"),
        "test, by the neighbors": _series(lines, "test", "neighbors"),
    }
    accuracies = {
        "train": _series(lines, "accuracy"),
        "test": _series(lines, "test", "top1"),
        "test, class head": _series(lines, "test", "cls_top1"),
        "test, distillation head": _series(lines, "test", "distillation_top1"),
    }
    panels = [("loss", losses), ("accuracy, first guess", accuracies)]
    shown = [(title, {name: xy for name, xy in curves.items() if xy[0]}) for title, curves in panels]
    shown = [(title, curves) for title, curves in shown if curves]
    ticker = _matplotlib("ticker")
    width, height, left, gap, top, bottom = 5.2 * len(shown), 3.9, 0.75, 0.4, 0.75, 0.55
    figure = _matplotlib("figure").Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    for i, (title, curves) in enumerate(shown):
        place = (5.2 * i + left) / width, bottom / height, (5.2 - left - gap) / width, (height - top - bottom) / height
        axes = figure.add_axes(place)
        for name, (epochs, values) in curves.items():
            axes.plot(epochs, values, label=name, marker="." if len(epochs) < 30 else "", **_CURVES[name])
        axes.set_title(title, fontsize=9, loc="left")
        axes.set_xlabel("epoch", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, min_n_ticks=1))
        if title != "loss":
            axes.yaxis.set_major_formatter(ticker.PercentFormatter(1))
        axes.legend(fontsize=8, frameon=False)
    tests = [line["test"] for line in lines if "test" in line]
    end = (
        ""
        if not tests
        else "".join(
            f", test {words} {tests[-1][name]:{form}}"
            for name, words, form in (("top1", "top-1", ".2%"), ("masked_l1", "masked L1", ".4f"))
            if name in tests[-1]
        )
    )
    _title(figure, f"Training, epochs: {lines[-1]['epoch']}{end}")
    return figure


def distillation_chart(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> "Figure":
    """What students learned from whom: a mark for each seed and a line for the mean, side by side for the heads.

    Args:
        results: a way of teaching -> its runs, each with the accuracies (0 to 1) of some of "class head",
            "distillation head", "mean of logits" and "mean of probabilities".

    Raises:
        ValueError: a way has no runs.
    """
    if empty := [way for way, runs in results.items() if not runs]:
        raise ValueError(f"A chart needs a run of each way, got none of {checks.some(empty)}: train on.")
    ticker, width = _matplotlib("ticker"), max(7.2, 1.35 * len(results))
    figure = _matplotlib("figure").Figure(figsize=(width, 3.9), dpi=DPI, facecolor="white")
    axes = figure.add_axes((0.65 / width, 0.14, 1 - 0.8 / width, 0.7))
    labeled: set[str] = set()
    for j, (head, style) in enumerate(_HEADS.items()):
        for i, runs in enumerate(results.values()):
            values, x = [float(run[head]) for run in runs if head in run], i + 0.2 * (j - 1.5)
            if not values:
                continue
            label, labeled = ("_", labeled) if head in labeled else (head, {*labeled, head})
            axes.plot([x] * len(values), values, linestyle="", alpha=0.7, label=label, **style)
            axes.plot([x - 0.08, x + 0.08], [np.mean(values)] * 2, color=style["color"], linewidth=2, label="_mean")
    axes.set_xticks(range(len(results)), [textwrap.fill(way, 18) for way in results], fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.yaxis.set_major_locator(ticker.MaxNLocator(steps=[1, 2, 5, 10]))  # a step of 2.5 has no label of one decimal
    axes.yaxis.set_major_formatter(ticker.PercentFormatter(1, decimals=1))
    axes.legend(fontsize=8, frameon=False, loc="best")
    _title(figure, "Accuracy on test photos, by teaching; a mark is a seed, a line the mean")
    return figure


def by_block(
    curves: Mapping[str, Sequence[Sequence[float]]], places: Sequence[str], *, title: str, percent: bool = False
) -> "Figure":
    """Something that changes on the way through the blocks: a thin line for each seed, a strong one for the mean.

    Args:
        curves: name -> a row for each seed, of a number for each place; a lone curve may have the name "".
        places: what stands below.
        title: what is drawn.
        percent: whether the numbers are shares.

    Raises:
        ValueError: a row has another length than the places, or a curve has no rows.
    """
    for name, rows in curves.items():
        if not rows or any(len(row) != len(places) for row in rows):
            raise ValueError(
                f"Expected rows of {len(places)} numbers, one for each place, got of {name!r} "
                f"{[len(row) for row in rows]}: give a row for each seed."
            )
    figure = _matplotlib("figure").Figure(figsize=(7.2, 3.9), dpi=DPI, facecolor="white")
    axes = figure.add_axes((0.09, 0.13, 0.89, 0.73))
    for i, (name, rows) in enumerate(curves.items()):
        color = f"C{i}"
        for row in rows if len(rows) > 1 else ():
            axes.plot(range(len(places)), row, color=color, linewidth=0.7, alpha=0.5, label="_seed")
        axes.plot(range(len(places)), np.mean(rows, axis=0), color=color, linewidth=2, marker=".", label=name)
    axes.set_xticks(range(len(places)), list(places), fontsize=9)
    axes.set_xlabel("after block", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if percent:
        axes.yaxis.set_major_formatter(_matplotlib("ticker").PercentFormatter(1))
    if any(curves):
        axes.legend(fontsize=8, frameon=False, loc="best")
    _title(figure, title)
    return figure


def by_head(values: Any, *, title: str, percent: bool = False) -> "Figure":
    """A number for each block (rows) and head (columns), counted from 1: the larger the darker.

    Args:
        values: (blocks, heads).
        title: what is drawn.
        percent: whether the numbers are shares.

    Raises:
        ValueError: another shape.
    """
    table = as_like("values", values, np.empty(0))
    if table.ndim != 2 or 0 in table.shape:
        raise ValueError(
            f"Expected a number for each block and head, got the shape {table.shape}: give rows of blocks."
        )
    blocks, heads = table.shape
    left, top, side = 0.75, 0.55, (0.7, 0.45)
    width, height = max(left + side[0] * heads + 0.9, 5.0), top + side[1] * blocks + 0.45
    figure = _matplotlib("figure").Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    axes = figure.add_axes((left / width, 0.45 / height, side[0] * heads / width, side[1] * blocks / height))
    image = axes.imshow(table, cmap="Blues", aspect="auto")
    axes.set_xticks(range(heads), [f"head {head + 1}" for head in range(heads)], fontsize=8)
    axes.set_yticks(range(blocks), [f"block {block + 1}" for block in range(blocks)], fontsize=8)
    axes.tick_params(length=0)
    middle = (table.min() + table.max()) / 2
    for (block, head), value in np.ndenumerate(table):
        text = f"{value:.1%}" if percent else f"{value:.2f}"
        axes.text(head, block, text, ha="center", va="center", fontsize=8, color="white" if value > middle else "black")
    bar = _color_bar(figure, axes, image)
    if percent:
        bar.ax.yaxis.set_major_formatter(_matplotlib("ticker").PercentFormatter(1))
    _title(figure, title)
    return figure


def confusion_matrix(counts: Any, class_names: Sequence[str]) -> "Figure":
    """What was taken for what: a row for what photos show, a column for each answer, the right ones on the diagonal.

    A cell is as dark as its share of its row, so that classes of few photos can be read as well; with up to 30 classes
    the count stands in it, with up to 100 the names beside it.

    Args:
        counts: (classes, classes), as `training.answers.confusion` gives them.
        class_names: in that order.

    Raises:
        ValueError: counts are not square, or not of as many classes as there are names.
    """
    class_names = checks.texts("class_names", class_names, each="one per class")
    table, classes = as_like("counts", counts, np.empty(0)), len(class_names)
    if table.shape != (classes, classes) or not classes:
        raise ValueError(f"Expected counts of the {classes} classes by their answers, got the shape {table.shape}.")
    if not np.isfinite(table).all() or table.min() < 0:
        raise ValueError(f"counts must be 0 or more, got {table.min()}..{table.max()}.")
    named, numbered = classes <= 100, classes <= 30
    # Inches: 0.075 for a letter of the names, 0.4 for a number.
    cell = 0.4 if numbered else max(0.12, 12 / classes) if named else 9 / classes
    names = [_drawable(name, instead=f"class {label}") for label, name in enumerate(class_names)]
    beside = 0.45 + 0.075 * max(map(len, names)) * named
    left, top, side = beside, 0.8, max(cell * classes, 1.6)
    width, height = max(left + side + 0.9, 5.0), top + side + beside
    figure = _matplotlib("figure").Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    axes = figure.add_axes((left / width, beside / height, side / width, side / height))
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    axes.set_ylabel("what the photos show", fontsize=9)
    axes.set_xlabel("what was answered", fontsize=9)
    ticks, labels = (range(classes), names) if named else ([], [])
    axes.set_xticks(ticks, labels, rotation=90, fontsize=8, parse_math=False)
    axes.set_yticks(ticks, labels, fontsize=8, parse_math=False)
    for row, column in zip(*np.nonzero(table), strict=True) if numbered else ():
        color = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(table[row, column]), ha="center", va="center", fontsize=8, color=color)
    _color_bar(figure, axes, image).ax.yaxis.set_major_formatter(_matplotlib("ticker").PercentFormatter(1))
    _title(figure, f"Confusion matrix, {table.trace() / max(table.sum(), 1):.2%} of {table.sum()} photos right")
    return figure


def _series(lines: Sequence[Mapping[str, Any]], *names: str) -> tuple[list[float], list[float]]:
    """Epochs and values of the lines that hold what the names lead to."""
    epochs, values = [], []
    for line in lines:
        value: Any = line
        for name in names:
            value = value.get(name) if value is not None else None
        if value is not None:
            epochs.append(line["epoch"])
            values.append(value)
    return epochs, values


def _drawable(name: str, *, instead: str) -> str:
    """A class's name as a label, cut if it is long; `instead` where matplotlib's own font lacks one of its letters."""
    font = _matplotlib("font_manager").findfont("DejaVu Sans")
    letters = _matplotlib("ft2font").FT2Font(font).get_charmap()
    name = checks.one_line(name)
    if not all(ord(letter) in letters for letter in name):
        return instead
    return name if len(name) <= 24 else f"{name[:23]}\u2026"


def side_by_side(photos: Array, *, columns: int = 8) -> Array:
    """(batch, height, width, 3) as one picture: at most `columns` in a row, then the next row; white where none is."""
    rows = -(-len(photos) // columns)
    columns = min(columns, len(photos))
    missing = rows * columns - len(photos)
    padded = np.concatenate([photos, np.full((missing, *photos.shape[1:]), 255, np.uint8)])
    height, width = photos.shape[1:3]
    page = padded.reshape(rows, columns, height, width, 3).transpose(0, 2, 1, 3, 4)
    return page.reshape(rows * height, columns * width, 3)


def rendered(*figures: "Figure") -> Array:
    """The figures as pixels, one below the other on white: uint8 (height, width, 3)."""
    canvas = _matplotlib("backends.backend_agg").FigureCanvasAgg
    pictures = []
    for figure in figures:
        agg = canvas(figure)
        agg.draw()
        pictures.append(np.asarray(agg.buffer_rgba())[:, :, :3])
    width = max(picture.shape[1] for picture in pictures)
    page = np.full((sum(len(picture) for picture in pictures), width, 3), 255, np.uint8)
    top = 0
    for picture in pictures:
        page[top : top + len(picture), : picture.shape[1]] = picture
        top += len(picture)
    return page


def _matplotlib(name: str) -> ModuleType:
    try:
        import matplotlib.backends.backend_agg
        import matplotlib.figure
        import matplotlib.patheffects
        import matplotlib.ticker
    except ImportError as error:
        raise ValueError(f"Figures need matplotlib, which is not installed: {checks.install('plots')}.") from error
    module: Any = matplotlib
    for part in name.split("."):
        module = getattr(module, part)
    return module


def _checked_attentions(
    photo: Array, attentions: Sequence[Any], grid: Size, num_prefix_tokens: int, *, name: str = "attentions"
) -> list[Array]:
    checks.image(photo)
    rows, columns = checks.pair("grid", grid)
    num_prefix_tokens = checks.integer("num_prefix_tokens", num_prefix_tokens)
    checks.instance(name, attentions, list | tuple, "a list of arrays, one per layer")
    arrays = [as_numpy(real(name, attention)) for attention in attentions]
    tokens = num_prefix_tokens + rows * columns
    n, prefix, height, width = map(checks.brief, (tokens, num_prefix_tokens, rows, columns))
    if not arrays:
        source = "output_attentions=True" if name == "attentions" else 'with_respect_to=("attentions",)'
        raise ValueError(f"{name} must be of at least one layer, got none: use {source}.")
    for array in arrays:
        if array.ndim != 4 or (len(array), *array.shape[2:]) != (1, tokens, tokens):
            raise ValueError(
                f"{name} must have the shape (1, heads, {n}, {n}), for one image, {prefix} prefix tokens and "
                f"{height} x {width} patches; got {array.shape}. Choose an image by [i : i + 1]."
            )
        if not np.isfinite(array).all():
            raise ValueError(f"{name} hold NaN or infinity and cannot be drawn: `deit-ref inspect` shows the cause.")
    return arrays


def _token_row(token: str, num_prefix_tokens: int) -> int:
    names = list(TOKENS)[:num_prefix_tokens]
    return names.index(checks.choice("token", token, names))


def _chosen(name: str, chosen: Sequence[int] | None, count: int) -> list[int]:
    if chosen is None:
        return list(range(count))
    checks.instance(name, chosen, list | tuple | range, "a list of numbers, counted from 0")
    numbers = [checks.integer(name, number, minimum=0) for number in chosen]
    if not numbers or max(numbers) >= count:
        raise ValueError(f"{name} must name some of 0 to {count - 1}, got {checks.brief(chosen)}.")
    return numbers


def _gray(photo: Array) -> Array:
    """Without colors, so that those of the map can be read."""
    luma = photo @ np.array([0.299, 0.587, 0.114])  # (height, width)
    return np.rint(luma).astype(np.uint8)[:, :, None].repeat(3, axis=2)  # (height, width, 3)


def _enlarged(values: Array, size: Size) -> Array:
    """(rows, columns) -> (height, width), bilinearly."""
    for axis, new in enumerate(size):
        first, weights = resample_coefficients(values.shape[axis], new, resample="bilinear")
        matrix = np.zeros((new, values.shape[axis]))
        np.put_along_axis(matrix, first[:, None] + np.arange(weights.shape[1]), weights, axis=1)
        values = np.moveaxis(np.tensordot(matrix, values, axes=(1, axis)), 0, axis)
    return values


def _percent(value: float) -> str:
    """Two digits, and the three of 100%."""
    return f"{100 * value:.2g}%" if value < 0.0995 else f"{100 * value:.0f}%"


def _size_of_small_photo(photo: Array, count: int) -> Size:
    """Pixels that let a row of `count` photos fill 12 inches, and leave room for the numbers at narrow ones."""
    long, short = max(photo.shape[:2]), min(photo.shape[:2])
    side = float(np.clip(12 / count, 1, 4)) * DPI
    scale = min(max(side / long, 0.35 * DPI / short), 3 * side / long)
    return max(round(photo.shape[0] * scale), 1), max(round(photo.shape[1] * scale), 1)


def _figure_of_pixels(shape: Size, *, left: float, right: float, top: float, bottom: float) -> "tuple[Figure, Axes]":
    """Axes as large as an image of `shape` pixels, with margins in inches: each pixel is one of the figure's."""
    height, width = shape[0] / DPI + top + bottom, max(shape[1] / DPI + left + right, 5)
    figure = _matplotlib("figure").Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    axes = figure.add_axes((left / width, bottom / height, shape[1] / DPI / width, shape[0] / DPI / height))
    axes.set_frame_on(False)
    return figure, axes


def _figure_of_photos(
    size: Size, count: int, *, gap: float, slot: float, lines: int = 1
) -> "tuple[Figure, list[Axes]]":
    """Photos of one size side by side, `gap` inches apart, with titles of `lines`, `slot` inches wide at most."""
    panel_width = 3.4 * min(1, size[1] / size[0])
    panel_height = panel_width * size[0] / size[1]
    margin, top, step = 0.2, 0.25 + 0.4 * lines, max(panel_width + gap, slot)
    width, height = max(margin + count * step, 5), panel_height + top + margin
    figure = _matplotlib("figure").Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    panels = []
    for i in range(count):
        left = margin + i * step
        axes = figure.add_axes((left / width, margin / height, panel_width / width, panel_height / height))
        axes.set_axis_off()
        panels.append(axes)
    return figure, panels


def _color_bar(figure: "Figure", axes: "Axes", image: Any) -> Any:
    """To the right of the axes, at most 3.4 inches high."""
    place, width, height = axes.get_position(), figure.get_figwidth(), figure.get_figheight()
    tall = min(place.height, 3.4 / height)
    beside = figure.add_axes((place.x1 + 0.1 / width, place.y1 - tall, 0.12 / width, tall))
    bar = figure.colorbar(image, cax=beside)
    bar.ax.tick_params(labelsize=8)
    return bar


def _title(figure: "Figure", text: str) -> None:
    figure.text(0.2 / figure.get_figwidth(), 1 - 0.12 / figure.get_figheight(), text, fontsize=11, va="top")
