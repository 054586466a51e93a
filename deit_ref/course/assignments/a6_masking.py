"""Assignment 6: masked image modeling. Inputs and known mistakes; the solution is chapter 13, and parts of 2 and 9."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from deit_ref.config import DeiTConfig
from deit_ref.course.task import Array, Assignment, Case, Mistake, Task
from deit_ref.weights import DeiTWeights, init_weights, map_weights


def _hidden(rng: np.random.Generator, batch: int, patches: int) -> Array:
    """About a third of each image's patches, others and more in each image; the first is hidden and the last seen."""
    hidden = np.zeros((batch, patches), bool)
    for i, row in enumerate(hidden):
        row[0] = True
        row[1 + (rng.permutation(patches - 3)[: patches // 4 + i] + i) % (patches - 2)] = True
    return hidden


def _mask_tokens(rng: np.random.Generator) -> Iterator[Case]:
    patches, dim = int(rng.integers(6, 9)), int(rng.integers(2, 5))
    token = rng.normal(size=(1, 1, dim))
    yield Case("one image", (token, rng.normal(size=(1, patches, dim)), _hidden(rng, 1, patches)))
    x = rng.normal(size=(3, patches, dim))
    others = np.arange(3 * patches).reshape(3, patches) % 4 == int(rng.integers(4))
    others[0, 0] = not others[1, 0]
    yield Case("three images with masks of their own", (token, x, others))
    yield Case("numbers between 0 and 1 blend", (token, x, rng.uniform(0.1, 0.9, (3, patches))))
    yield Case("nothing is hidden", (token, x, np.zeros((3, patches), bool)))


def _pixel_shuffle(rng: np.random.Generator) -> Iterator[Case]:
    rows, columns, side = (int(n) for n in rng.permutation([2, 3, 4]))
    gray = rng.normal(size=(1, rows, columns, side * side))
    yield Case("a gray image", (gray,), {"stride_shape": (side, side)})
    color = rng.normal(size=(2, rows, columns, 3 * side * side))
    yield Case("three channels", (color,), {"stride_shape": (side, side)})
    yield Case("a single token", (color[:1, :1, :1],), {"stride_shape": (side, side)})
    oblong = np.asfortranarray(
        rng.normal(size=(2, rows, columns, 3 * 2 * 3))
    )  # the order in memory is no one's business
    yield Case("tiles that are not square", (oblong,), {"stride_shape": (2, 3)})


def _masked_l1(rng: np.random.Generator) -> Iterator[Case]:
    rows, columns, side = (int(n) for n in rng.permutation([2, 3, 4]))

    def images(batch: int, channels: int, patch_shape: tuple[int, int]) -> list[Array]:
        return list(rng.normal(size=(2, batch, channels, rows * patch_shape[0], columns * patch_shape[1])))

    square = {"patch_shape": (side, side)}
    yield Case("a gray image", (*images(1, 1, (side, side)), _hidden(rng, 1, rows * columns)), square)
    yield Case("two images of three channels", (*images(2, 3, (side, side)), _hidden(rng, 2, rows * columns)), square)
    yield Case("patches that are not square", (*images(2, 3, (2, 3)), _hidden(rng, 2, rows * columns)),
               {"patch_shape": (2, 3)})  # fmt: skip
    yield Case("nothing is hidden", (*images(1, 3, (side, side)), np.zeros((1, rows * columns), bool)), square)


def _reconstruct(rng: np.random.Generator) -> Iterator[Case]:
    def model(*, distilled: bool = True, larger: int = 1) -> tuple[DeiTWeights, Array, dict[str, Any]]:
        rows, columns, side = (int(n) for n in rng.permutation([2, 3, 4]))
        config = DeiTConfig(
            hidden_size=2 * int(rng.integers(2, 5)), num_hidden_layers=1, num_attention_heads=2, intermediate_size=4,
            image_size=(rows * side, columns * side), patch_size=side, distilled=distilled,
            encoder_stride=larger * side,
        )  # fmt: skip
        weights = init_weights(config, "masked-image-modeling", seed=0)
        weights = map_weights(lambda array: rng.normal(size=array.shape), weights)
        prefix = 2 if distilled else 1
        x = rng.normal(size=(2, prefix + rows * columns, config.hidden_size))
        return weights, x, {"grid": (rows, columns)}

    weights, x, options = model()
    yield Case("DeiT", (weights, x), options)
    yield Case("DeiT with transformers 4's slice", (weights, x), {**options, "shifted_slice": True})
    weights, x, options = model(distilled=False)
    yield Case("a plain ViT, which has no shifted slice", (weights, x), {**options, "shifted_slice": True})
    weights, x, options = model(larger=2)
    yield Case("tiles larger than the patches", (weights, x), options)
    weights, x, options = model()
    yield Case("a grid that is not the config's", (weights, x), {"grid": options["grid"][::-1]})


_LAYOUT = "-1, tile_height, tile_width)\n    x = x.transpose(0, 3, 1, 4, 2, 5)"

ASSIGNMENT = Assignment(
    number=6,
    slug="masking",
    title="Masked image modeling",
    tasks=(
        Task(
            function="tokens.mask_tokens",
            points=4,
            minutes=15,
            cases=_mask_tokens,
            mistakes=(
                Mistake(
                    "the visible patches replaced",
                    "x * (1 - m) + mask_token * m",
                    "x * m + mask_token * (1 - m)",
                    "True stands for a hidden patch: there the mask token comes in, elsewhere the patch stays.",
                ),
                Mistake(
                    "added, not replaced",
                    "x * (1 - m) + mask_token * m",
                    "x + mask_token * m",
                    "the patch still shines through: take x away where the mask token comes in.",
                ),
                Mistake(
                    "zeros instead of the mask token",
                    "x * (1 - m) + mask_token * m",
                    "x * (1 - m)",
                    "a hidden patch becomes the learned mask token, not zeros.",
                ),
                Mistake(
                    "the first image's mask for all",
                    "bool_masked_pos[:, :, None]",
                    "bool_masked_pos[:1, :, None]",
                    "each image has a mask of its own, a row of bool_masked_pos.",
                ),
                Mistake(
                    "masks rounded",
                    "bool_masked_pos[:, :, None].astype(x.dtype)",
                    "(bool_masked_pos[:, :, None] >= 0.5).astype(x.dtype)",
                    "numbers between 0 and 1 blend patch and mask token; only True and False choose one of them.",
                ),
                Mistake(
                    "only True hides",
                    "bool_masked_pos[:, :, None].astype(x.dtype)",
                    "(bool_masked_pos[:, :, None] == 1).astype(x.dtype)",
                    "numbers between 0 and 1 blend patch and mask token; here they leave the patch as it is.",
                ),
                Mistake(
                    "any number hides",
                    "bool_masked_pos[:, :, None].astype(x.dtype)",
                    "(bool_masked_pos[:, :, None] != 0).astype(x.dtype)",
                    "numbers between 0 and 1 blend patch and mask token. As a condition of np.where, 0.1 counts as "
                    "True.",
                ),
            ),
        ),
        Task(
            function="simmim.pixel_shuffle",
            points=6,
            minutes=30,
            cases=_pixel_shuffle,
            mistakes=(
                Mistake(
                    "channels last",
                    _LAYOUT,
                    "tile_height, tile_width, -1)\n    x = x.transpose(0, 5, 1, 3, 2, 4)",
                    "among a token's features the channel is the slowest: first all of red, then green, then blue.",
                ),
                Mistake(
                    "tiles interleaved",
                    "x.transpose(0, 3, 1, 4, 2, 5)",
                    "x.transpose(0, 3, 4, 1, 5, 2)",
                    "a token's pixels lie side by side: row P + i has the tile's row i as the fast part. This way "
                    "round, each tile is scattered over the whole image.",
                ),
                Mistake(
                    "pixels column by column",
                    "x.transpose(0, 3, 1, 4, 2, 5)",
                    "x.transpose(0, 3, 1, 5, 2, 4)",
                    "inside a tile pixels are counted as one reads: along its first row, then along its second.",
                ),
                Mistake(
                    "rows and columns of tokens exchanged",
                    "x.transpose(0, 3, 1, 4, 2, 5)",
                    "x.transpose(0, 3, 2, 4, 1, 5)",
                    "x is (batch, rows, columns, features): rows of tokens belong to rows of pixels.",
                ),
                Mistake(
                    "reshape without transpose",
                    "x = x.transpose(0, 3, 1, 4, 2, 5)",
                    "pass",
                    "reshape keeps the order of the numbers in memory. Split the axes, exchange them, and join them "
                    "after that.",
                ),
                Mistake(
                    "stride_shape the wrong way round",
                    "tile_height, tile_width = stride_shape",
                    "tile_width, tile_height = stride_shape",
                    "stride_shape is (height, width), the height first.",
                ),
            ),
        ),
        Task(
            function="losses.masked_l1",
            points=5,
            minutes=25,
            cases=_masked_l1,
            bound=1e-9,  # the share of 1e-5 in the formula is little more than 1e-7
            mistakes=(
                Mistake(
                    "not divided by the channels",
                    "/ (m.sum() + 1e-5) / channels",
                    "/ (m.sum() + 1e-5)",
                    "the mask counts each pixel once, the error once per channel: divide by the channels, too.",
                ),
                Mistake(
                    "the mean of all pixels",
                    "(m.sum() + 1e-5)",
                    "m.size",
                    "visible pixels give no error and must not count in the mean, either: divide by the number of "
                    "hidden ones.",
                ),
                Mistake(
                    "the mask tiled",
                    "m.repeat(patch_shape[0], axis=2).repeat(patch_shape[1], axis=3)",
                    "np.tile(m, (1, 1, *patch_shape))",
                    "each entry of the mask becomes a patch of equal pixels: repeat entries, do not lay copies of the "
                    "whole mask side by side.",
                ),
                Mistake(
                    "the visible patches",
                    "bool_masked_pos.reshape(",
                    "(~bool_masked_pos).reshape(",
                    "the loss is taken where patches were hidden, where the mask is True.",
                ),
                Mistake(
                    "the whole image",
                    "bool_masked_pos.reshape(",
                    "np.ones_like(bool_masked_pos).reshape(",
                    "what could be seen is easy to copy: only hidden pixels count.",
                ),
                Mistake(
                    "no 1e-5",
                    "(m.sum() + 1e-5)",
                    "m.sum()",
                    "with nothing hidden this is 0 / 0. Add 1e-5 to the number of hidden pixels, as SimMIM does.",
                ),
                Mistake(
                    "squared errors",
                    "np.abs(pixel_values - reconstruction)",
                    "np.square(pixel_values - reconstruction)",
                    "L1 is the mean of absolute errors: np.abs.",
                ),
                Mistake(
                    "the mask column by column",
                    "bool_masked_pos.reshape(batch, 1, *grid)",
                    "bool_masked_pos.reshape(batch, 1, *grid[::-1]).swapaxes(2, 3)",
                    "patches are counted along the first row of the grid, then along the second.",
                ),
            ),
        ),
        Task(
            function="simmim.reconstruct",
            points=5,
            minutes=20,
            cases=_reconstruct,
            mistakes=(
                Mistake(
                    "transformers 4's slice",
                    "shifted_slice and prefix == 2",
                    "prefix == 2",
                    "with [1:-1] the distillation token draws the first patch, and each patch is drawn by its "
                    "neighbor. DeiT has two tokens before the patches: leave out both.",
                ),
                Mistake(
                    "no shifted slice",
                    "x[:, 1:-1] if shifted_slice and prefix == 2 else x[:, prefix:]",
                    "x[:, prefix:]",
                    "with shifted_slice=True, a DeiT model takes the tokens [1:-1].",
                ),
                Mistake(
                    "tokens left out at the end",
                    "else x[:, prefix:]",
                    "else x[:, :-prefix]",
                    "the tokens that are not patches stand before the patches, not after them.",
                ),
                Mistake(
                    "grid the wrong way round",
                    "len(x), *grid, -1",
                    "len(x), *grid[::-1], -1",
                    "grid is (rows, columns), the rows first.",
                ),
                Mistake(
                    "tokens column by column",
                    "features.reshape(len(x), *grid, -1)",
                    "features.reshape(len(x), *grid[::-1], -1).swapaxes(1, 2)",
                    "tokens are counted along the first row of the grid, then along the second.",
                ),
                Mistake(
                    "no bias",
                    "linear(weights.decoder, patches)",
                    "patches @ weights.decoder.weight.T",
                    "the decoder has a bias: use `linear`, which adds it.",
                ),
                Mistake(
                    "tiles of the patches' size",
                    "weights.config.stride_shape",
                    "weights.config.patch_shape",
                    "the tiles' size stands in the config as stride_shape; mostly, but not always, it is patch_shape.",
                ),
            ),
        ),
    ),
)
