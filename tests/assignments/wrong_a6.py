"""Wrong solutions of assignment 6."""

import numpy as np
from wrong import changed, given, retyped, spoiling

WRONG = (
    spoiling("tokens.mask_tokens", 1),
    spoiling("tokens.mask_tokens", 2),
    given(
        "tokens.mask_tokens",
        "the mask inverted",
        lambda right, t, x, m: right(t, x, ~m if m.dtype == bool else 1 - m),
        "the visible patches replaced",
    ),
    given(
        "tokens.mask_tokens",
        "any but whole numbers refused",
        lambda right, t, x, m: np.where(m[..., None] == 1, t, x),
        "only True hides",
    ),
    spoiling("simmim.pixel_shuffle"),
    changed(
        "simmim.pixel_shuffle",
        "in the order of memory",
        "-1, tile_height, tile_width)",
        "-1, tile_height, tile_width, order='A')",
    ),
    retyped("simmim.pixel_shuffle", "channels last", lambda x: np.moveaxis(x, 1, -1), "axes exchanged"),
    spoiling("losses.masked_l1", 0),
    spoiling("losses.masked_l1", 2),
    given(
        "losses.masked_l1",
        "the mean of the images' losses",
        lambda right, a, b, m, **options: np.mean(
            [right(a[i : i + 1], b[i : i + 1], m[i : i + 1], **options) for i in range(len(m))]
        ),
    ),
    given(
        "losses.masked_l1",
        "one loss for each image",
        lambda right, a, b, m, **options: np.array(
            [right(a[i : i + 1], b[i : i + 1], m[i : i + 1], **options) for i in range(len(m))]
        ),
    ),
    given("losses.masked_l1", "minus", lambda right, *args, **options: -right(*args, **options), "the sign"),
    spoiling("simmim.reconstruct"),
    changed(
        "simmim.reconstruct",
        "the shifted slice in every model",
        "if shifted_slice and prefix == 2 else",
        "if shifted_slice else",
    ),
    changed(
        "simmim.reconstruct", "always two tokens before", "prefix = weights.config.num_prefix_tokens", "prefix = 2"
    ),
    given(
        "simmim.reconstruct",
        "shifted_slice ignored",
        lambda right, w, x, *, grid, shifted_slice=False: right(w, x, grid=grid),
        "no shifted slice",
    ),
)
