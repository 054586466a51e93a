"""Assignment 1: patches, positions and tokens. Inputs and known mistakes; the solution is chapters 1 to 3."""

from collections.abc import Iterator

import numpy as np

from deit_ref.config import DeiTConfig
from deit_ref.course.task import Array, Arrays, Assignment, Case, Mistake, Task
from deit_ref.weights import DeiTWeights, Linear, PatchEmbed, init_weights, map_weights


def _patchify(rng: np.random.Generator) -> Iterator[Case]:
    rows, columns, side = (int(n) for n in rng.permutation([2, 3, 4]))
    gray = rng.normal(size=(1, 1, rows * side, columns * side))
    yield Case("a gray image", (gray,), {"patch_shape": (side, side)})
    color = rng.normal(size=(1, 3, rows * side, columns * side))
    yield Case("three channels", (color,), {"patch_shape": (side, side)})
    oblong = np.asfortranarray(
        rng.normal(size=(2, 3, rows * 2, columns * 3))
    )  # the order in memory is no one's business
    yield Case("two images, patches that are not square", (oblong,), {"patch_shape": (2, 3)})


def _unpatchify(rng: np.random.Generator) -> Iterator[Case]:
    rows, columns, side = (int(n) for n in rng.permutation([2, 3, 4]))
    for note, batch, channels, shape in (
        ("a gray image", 1, 1, (side, side)),
        ("three channels", 1, 3, (side, side)),
        ("two images, patches that are not square", 2, 3, (2, 3)),
    ):
        patches = np.asfortranarray(rng.normal(size=(batch, rows * columns, channels * shape[0] * shape[1])))
        yield Case(note, (patches,), {"patch_shape": shape, "grid": (rows, columns)})


def _patch_embed(rng: np.random.Generator) -> Iterator[Case]:
    rows, columns, dim = (int(n) for n in rng.permutation([2, 3, 5]))
    for note, batch, channels, (height, width) in (
        ("one channel", 1, 1, (3, 3)),
        ("three channels", 2, 3, (2, 2)),
        ("patches that are not square", 2, 3, (2, 4)),
    ):
        proj = Linear(weight=rng.normal(size=(dim, channels, height, width)), bias=rng.normal(size=dim))
        side = max(height, width)  # of the image, a multiple of both, so that exchanging them is possible
        pixels = rng.normal(size=(batch, channels, rows * side, columns * side))
        yield Case(note, (PatchEmbed(proj), pixels))


def _bicubic_weights(rng: np.random.Generator) -> Iterator[Case]:
    few, more = int(rng.integers(4, 7)), int(rng.integers(9, 15))
    yield Case("a finer grid", (few, more, "float64"))
    yield Case("a coarser grid", (more, few, "float64"))
    yield Case("two values only", (2, few, "float64"))
    yield Case("the same grid", (few, few, "float64"))
    yield Case("in float32", (few, more, np.dtype("float32")))


def _in_its_dtype(case: Case, arrays: Arrays) -> Arrays:
    """The text promises the dtype that is asked for."""
    if arrays and arrays[0].dtype != np.dtype(case.arguments[2]):
        raise ValueError(f"expected the dtype {np.dtype(case.arguments[2])}, got {arrays[0].dtype}.")
    return arrays


def _interpolate(rng: np.random.Generator) -> Iterator[Case]:
    rows, columns, dim = (int(n) for n in rng.permutation([3, 4, 5]))
    for note, prefix, target in (
        ("DeiT, a finer grid", 2, (rows + 2, columns + 5)),
        ("DeiT, a coarser grid", 2, (rows - 1, columns - 2)),
        ("a plain ViT", 1, (rows + 3, columns)),
        ("as many patches, in another grid", 2, (columns, rows)),
    ):
        options = {"num_prefix_tokens": prefix, "source_grid": (rows, columns), "target_grid": target}
        yield Case(note, (rng.normal(size=(1, prefix + rows * columns, dim)),), options)


def _prepend(rng: np.random.Generator) -> Iterator[Case]:
    patches, dim = (int(n) for n in rng.permutation([3, 5]))
    cls_token, dist_token = rng.normal(size=(2, 1, 1, dim))
    yield Case("one image", (cls_token, dist_token, rng.normal(size=(1, patches, dim))))
    yield Case("three images", (cls_token, dist_token, rng.normal(size=(3, patches, dim))))
    yield Case("no distillation token", (cls_token, None, rng.normal(size=(2, patches, dim))))


def _add_pos_embed(rng: np.random.Generator) -> Iterator[Case]:
    for note, batch in (("one image", 1), ("three images", 3)):
        tokens, dim = (int(n) for n in rng.permutation([4, 6]))
        yield Case(note, (rng.normal(size=(1, tokens, dim)), rng.normal(size=(batch, tokens, dim))))


def _weights(rng: np.random.Generator, task: str, *, distilled: bool = True) -> DeiTWeights:
    """A model with few features, square patches of 2 or 3 pixels and numbers drawn anew."""
    side = int(rng.integers(2, 4))
    config = DeiTConfig(
        hidden_size=int(rng.integers(2, 5)) * 2, num_hidden_layers=1, num_attention_heads=2, intermediate_size=4,
        image_size=(2 * side, 3 * side), patch_size=side, encoder_stride=side, distilled=distilled,
    )  # fmt: skip
    return map_weights(lambda array: rng.normal(size=array.shape), init_weights(config, task, seed=0))


def _embed(rng: np.random.Generator) -> Iterator[Case]:
    def pixels(weights: DeiTWeights, rows: int, columns: int) -> Array:
        height, width = weights.config.patch_shape
        return rng.normal(size=(2, 3, rows * height, columns * width))

    weights = _weights(rng, "classification-with-teacher")
    yield Case("images of the model's size", (weights, pixels(weights, 2, 3)))
    yield Case("larger images", (weights, pixels(weights, 5, 4)), {"interpolate_pos_encoding": True})
    options = {"interpolate_pos_encoding": True}
    yield Case("as many patches, in another grid", (weights, pixels(weights, 3, 2)), options)
    weights = _weights(rng, "classification", distilled=False)
    yield Case("larger images, a plain ViT", (weights, pixels(weights, 3, 4)), options)


ASSIGNMENT = Assignment(
    number=1,
    slug="patches",
    title="Patches, positions and tokens",
    tasks=(
        Task(
            function="patches.patchify",
            points=4,
            minutes=25,
            cases=_patchify,
            mistakes=(
                Mistake(
                    "channels last",
                    "x.transpose(0, 2, 4, 1, 3, 5)",
                    "x.transpose(0, 2, 4, 3, 5, 1)",
                    "inside a patch the channel is the slowest: first all of red, row by row, then green, then blue.",
                ),
                Mistake(
                    "patches column by column",
                    "x.transpose(0, 2, 4, 1, 3, 5)",
                    "x.transpose(0, 4, 2, 1, 3, 5)",
                    "patches are counted as one reads: along the first row of the grid, then along the second.",
                ),
                Mistake(
                    "pixels column by column",
                    "x.transpose(0, 2, 4, 1, 3, 5)",
                    "x.transpose(0, 2, 4, 1, 5, 3)",
                    "inside a patch pixels are counted as one reads: along the first row of pixels, then the second.",
                ),
                Mistake(
                    "reshape without transpose",
                    "    x = x.transpose(0, 2, 4, 1, 3, 5)",
                    "    pass",
                    "reshape keeps the order of the numbers in memory, which is that of the image's rows. Split the "
                    "axes, exchange them, and join them after that.",
                ),
                Mistake(
                    "patch_shape the wrong way round",
                    "patch_height, patch_width = patch_shape",
                    "patch_width, patch_height = patch_shape",
                    "patch_shape is (height, width), the height first.",
                ),
            ),
        ),
        Task(
            function="patches.unpatchify",
            points=2,
            minutes=15,
            cases=_unpatchify,
            mistakes=(
                Mistake(
                    "channels last",
                    "x = patches.reshape(len(patches), rows, columns, -1, patch_height, patch_width)\n"
                    "    x = x.transpose(0, 3, 1, 4, 2, 5)",
                    "x = patches.reshape(len(patches), rows, columns, patch_height, patch_width, -1)\n"
                    "    x = x.transpose(0, 5, 1, 3, 2, 4)",
                    "inside a patch the channel is the slowest: split each row of numbers into channel, pixel row, "
                    "pixel column, in this order.",
                ),
                Mistake(
                    "rows and columns of the grid exchanged",
                    "rows, columns, -1, patch_height, patch_width)\n    x = x.transpose(0, 3, 1, 4, 2, 5)",
                    "columns, rows, -1, patch_height, patch_width)\n    x = x.transpose(0, 3, 2, 4, 1, 5)",
                    "patches are counted along the rows of the grid: the row is slower than the column.",
                ),
                Mistake(
                    "grid the wrong way round",
                    "(patch_height, patch_width), (rows, columns)",
                    "(patch_height, patch_width), (columns, rows)",
                    "grid is (rows, columns), the rows first.",
                ),
                Mistake(
                    "reshape without transpose",
                    "    x = x.transpose(0, 3, 1, 4, 2, 5)",
                    "    pass",
                    "reshape keeps the order of the numbers in memory, patch after patch. Each row of the image runs "
                    "through several patches: exchange axes first.",
                ),
                Mistake(
                    "pixels column by column",
                    "-1, patch_height, patch_width)\n    x = x.transpose(0, 3, 1, 4, 2, 5)",
                    "-1, patch_width, patch_height)\n    x = x.transpose(0, 3, 1, 5, 2, 4)",
                    "inside a patch pixels are counted along the rows: the pixel row is slower than the pixel column.",
                ),
            ),
        ),
        Task(
            function="patches.patch_embed",
            points=2,
            minutes=10,
            cases=_patch_embed,
            mistakes=(
                Mistake(
                    "no bias",
                    "Linear(matrix, weights.proj.bias)",
                    "Linear(matrix, None)",
                    "add the bias: each token is E x + b.",
                ),
                Mistake(
                    "the weight's channels last",
                    "weights.proj.weight.reshape(dim, -1)",
                    "weights.proj.weight.transpose(0, 2, 3, 1).reshape(dim, -1)",
                    "the weight's axes are (dim, channels, height, width), and patchify orders pixels in the same way: "
                    "flatten the last three as they are.",
                ),
                Mistake(
                    "the weight's patches transposed",
                    "weights.proj.weight.reshape(dim, -1)",
                    "weights.proj.weight.swapaxes(2, 3).reshape(dim, -1)",
                    "do not exchange height and width: patchify orders pixels as the weight does.",
                ),
                Mistake(
                    "reshape instead of transpose",
                    "weights.proj.weight.reshape(dim, -1)",
                    "weights.proj.weight.reshape(-1, dim).T",
                    "reshape(-1, dim) cuts the numbers at the wrong places. Flatten to (dim, patch_values); where you "
                    "need it the other way round, transpose that.",
                ),
                Mistake(
                    "patch_shape the wrong way round",
                    "(patch_height, patch_width))",
                    "(patch_width, patch_height))",
                    "patch_shape is (height, width), and so are the last axes of the weight.",
                ),
            ),
        ),
        Task(
            function="positions._bicubic_weights",
            points=4,
            minutes=25,
            cases=_bicubic_weights,
            bound=2e-5,
            view=_in_its_dtype,
            mistakes=(
                Mistake(
                    "a = -0.5",
                    "a = real(-0.75)",
                    "a = real(-0.5)",
                    "torch's interpolate, with which DeiT was made, has a = -0.75. Most programs that resize "
                    "photos have -0.5.",
                ),
                Mistake(
                    "no halves",
                    "(np.arange(new_size).astype(real) + real(0.5)) - real(0.5)",
                    "np.arange(new_size).astype(real)",
                    "a value stands for a patch, from i to i + 1, so its center is at i + 1/2: the half is added "
                    "before the scale and subtracted after it.",
                ),
                Mistake(
                    "align_corners",
                    "places = real(size) / real(new_size) * (np.arange(new_size).astype(real) + real(0.5)) - real(0.5)",
                    "places = np.arange(new_size).astype(real) * real(size - 1) / real(max(new_size - 1, 1))",
                    "the outer edges of both grids fall together, not the centers of their first and last patches "
                    "(align_corners=False).",
                ),
                Mistake(
                    "antialiasing",
                    "return weights",
                    "stretch = max(size / new_size, 1.0)\n"
                    "    d = np.abs(places[:, None] - np.arange(-9 * size, 10 * size)) / stretch\n"
                    "    near = ((a + 2) * d - (a + 3)) * d * d + 1\n"
                    "    far = (((d - 5) * d + 8) * d - 4) * a\n"
                    "    wide = np.where(d <= 1, near, np.where(d < 2, far, 0))\n"
                    "    ends = np.clip(np.arange(-9 * size, 10 * size), 0, size - 1)\n"
                    "    if stretch > 1:\n"
                    "        weights[:] = 0\n"
                    "        np.add.at(weights, (slice(None), ends), wide / wide.sum(axis=1, keepdims=True))\n"
                    "    return weights",
                    "unlike photos, positions are not smoothed when the grid shrinks: four values, never more.",
                ),
                Mistake(
                    "values beyond the border left out",
                    "np.where(d <= 1, near, far))",
                    "np.where(first + offset == neighbor, np.where(d <= 1, near, far), 0))",
                    "beyond the border the last value is repeated: give the weight of a value that does not exist to "
                    "the nearest one that does.",
                ),
                Mistake(
                    "left out and normalized",
                    "np.where(d <= 1, near, far))\n    return weights",
                    "np.where(first + offset == neighbor, np.where(d <= 1, near, far), 0))\n"
                    "    return weights / weights.sum(axis=1, keepdims=True)",
                    "this is what Pillow does at the border. Here the last value is repeated: give the weight of a "
                    "value that does not exist to the nearest one that does.",
                ),
                Mistake(
                    "weights overwritten",
                    "np.add.at(weights, (np.arange(new_size), neighbor), np.where(d <= 1, near, far))",
                    "weights[np.arange(new_size), neighbor] = np.where(d <= 1, near, far)",
                    "at the border several of the four fall on the same value, and their weights add up: +=, or "
                    "np.add.at where indices repeat.",
                ),
            ),
        ),
        Task(
            function="positions.interpolate_pos_embed",
            points=3,
            minutes=25,
            cases=_interpolate,
            mistakes=(
                Mistake(
                    "prefix tokens interpolated, too",
                    "return np.concatenate([prefix, plane.reshape(1, -1, plane.shape[-1])], axis=1)",
                    "return _bicubic_weights(\n"
                    "        pos_embed.shape[1], num_prefix_tokens + target_grid[0] * target_grid[1], pos_embed.dtype\n"
                    "    ) @ pos_embed",
                    "the class and the distillation token have no place in the image: take them off before, and put "
                    "them back unchanged. The rest is a grid, not a line.",
                ),
                Mistake(
                    "prefix tokens lost",
                    "np.concatenate([prefix, plane.reshape(1, -1, plane.shape[-1])], axis=1)",
                    "plane.reshape(1, -1, plane.shape[-1])",
                    "put the positions of the prefix tokens back in front.",
                ),
                Mistake(
                    "prefix tokens at the end",
                    "np.concatenate([prefix, plane.reshape(1, -1, plane.shape[-1])], axis=1)",
                    "np.concatenate([plane.reshape(1, -1, plane.shape[-1]), prefix], axis=1)",
                    "the prefix tokens come first.",
                ),
                Mistake(
                    "the grid read column by column",
                    "plane = patches.reshape(rows, columns, -1)",
                    "plane = patches.reshape(columns, rows, -1).swapaxes(0, 1)",
                    "patches are counted along the rows of the grid: reshape to (rows, columns, dim).",
                ),
                Mistake(
                    "the new grid transposed",
                    "plane.reshape(1, -1, plane.shape[-1])",
                    "plane.swapaxes(0, 1).reshape(1, -1, plane.shape[-1])",
                    "the new grid, too, is written row by row: keep the axes in the order (rows, columns).",
                ),
                Mistake(
                    "target_grid the wrong way round",
                    "rows, columns = source_grid",
                    "rows, columns = source_grid\n    target_grid = target_grid[::-1]",
                    "target_grid is (rows, columns), the rows first.",
                ),
            ),
        ),
        Task(
            function="tokens.prepend_tokens",
            points=2,
            minutes=10,
            cases=_prepend,
            mistakes=(
                Mistake(
                    "dist before cls",
                    "np.concatenate([cls_token, dist_token], axis=1)",
                    "np.concatenate([dist_token, cls_token], axis=1)",
                    "the class token is the first, the distillation token the second.",
                ),
                Mistake(
                    "behind the patches",
                    "np.concatenate([prefix, x], axis=1)",
                    "np.concatenate([x, prefix], axis=1)",
                    "both tokens stand before the patches.",
                ),
                Mistake(
                    "dist behind the patches",
                    "return np.concatenate([prefix, x], axis=1)",
                    "return np.concatenate([prefix[:, :1], x, prefix[:, 1:]], axis=1)",
                    "the distillation token is the second, right behind the class token; the original repository and "
                    "transformers agree on this.",
                ),
                Mistake(
                    "dist forgotten",
                    "prefix = cls_token if dist_token is None else np.concatenate([cls_token, dist_token], axis=1)",
                    "prefix = cls_token",
                    "if there is a distillation token, it stands behind the class token.",
                ),
                Mistake(
                    "cls twice",
                    "np.concatenate([cls_token, dist_token], axis=1)",
                    "np.concatenate([cls_token, cls_token], axis=1)",
                    "the second token is the distillation token, with numbers of its own.",
                ),
            ),
        ),
        Task(
            function="positions.add_pos_embed",
            points=1,
            minutes=5,
            cases=_add_pos_embed,
            mistakes=(
                Mistake(
                    "multiplied",
                    "return x + ",
                    "return x * ",
                    "the vector of the place is added, not multiplied.",
                ),
                Mistake(
                    "written behind the features",
                    'x + record(trace, "pos_embed", pos_embed)',
                    "np.concatenate([x, np.broadcast_to(pos_embed, x.shape)], axis=-1)",
                    "the vector of the place is added; the number of features stays.",
                ),
                Mistake(
                    "the mean of both",
                    'x + record(trace, "pos_embed", pos_embed)',
                    "(x + pos_embed) / 2",
                    "add both as they are: x + pos_embed.",
                ),
                Mistake(
                    "one place for all tokens",
                    'record(trace, "pos_embed", pos_embed)',
                    "pos_embed[:, :1]",
                    "each token has a place of its own: token i gets pos_embed[0, i].",
                ),
                Mistake(
                    "prefix tokens left out",
                    'record(trace, "pos_embed", pos_embed)',
                    "np.where(np.arange(pos_embed.shape[1])[:, None] < 2, 0, pos_embed)",
                    "pos_embed holds a vector for the class and the distillation token, too.",
                ),
            ),
        ),
        Task(
            function="tokens.embed",
            points=2,
            minutes=15,
            cases=_embed,
            mistakes=(
                Mistake(
                    "no positions",
                    "x = add_pos_embed(pos_embed, x, trace=trace)",
                    "pass",
                    "attention cannot tell places apart: add the positions last.",
                ),
                Mistake(
                    "no positions for the prefix",
                    "x = add_pos_embed(pos_embed, x, trace=trace)",
                    "bare = np.where(np.arange(x.shape[1])[:, None] < config.num_prefix_tokens, 0, pos_embed)\n"
                    "    x = add_pos_embed(bare, x, trace=trace)",
                    "pos_embed holds a vector for the prefix tokens, too: add it after they are in front.",
                ),
                Mistake(
                    "as many patches taken for the same grid",
                    "if grid != config.grid:",
                    "if grid[0] * grid[1] != config.grid[0] * config.grid[1]:",
                    "compare the grids, not how many patches they have: 2 x 3 and 3 x 2 have other places.",
                ),
                Mistake(
                    "the new grid the wrong way round",
                    "target_grid=grid",
                    "target_grid=grid[::-1]",
                    "grids are (rows, columns), the rows first, as patch_grid gives them.",
                ),
            ),
        ),
    ),
)
