"""Wrong solutions of assignment 1."""

import numpy as np
from wrong import changed, given, retyped, spoiling

WRONG = (
    spoiling("patches.patchify"),
    retyped("patches.patchify", "a list of one array", lambda x: [x]),
    retyped("patches.patchify", "the batch's axis lost", lambda x: x[0] if len(x) == 1 else x, "another shape"),
    retyped("patches.patchify", "patches and values exchanged", lambda x: x.swapaxes(1, 2), "axes exchanged"),
    given(
        "patches.patchify",
        "reads the memory, not the array",
        lambda right, x, **options: right(x.ravel("K").reshape(x.shape), **options),
    ),
    given("patches.patchify", "returns nothing", lambda right, x, **options: None, "no return"),
    spoiling("patches.unpatchify"),
    changed(
        "patches.unpatchify",
        "in the order of memory",
        "-1, patch_height, patch_width)",
        "-1, patch_height, patch_width, order='A')",
    ),
    retyped("patches.unpatchify", "one image of several", lambda x: x[:1], "part of the result"),
    spoiling("patches.patch_embed"),
    changed("patches.patch_embed", "one patch shape for all", "patch_width))", "patch_height))"),
    retyped("patches.patch_embed", "as a tuple", lambda x: (x, None)),
    changed(
        "positions._bicubic_weights",
        "always float64",
        "np.zeros((new_size, size), real)",
        "np.zeros((new_size, size))",
        "a result of another kind",
    ),
    given(
        "positions._bicubic_weights",
        "takes names of dtypes only",
        lambda right, a, b, dtype: right(a, b, getattr(np, dtype)),
    ),
    retyped("positions._bicubic_weights", "transposed", lambda x: x.T, "axes exchanged"),
    spoiling("positions.interpolate_pos_embed"),
    changed(
        "positions.interpolate_pos_embed",
        "as many patches taken for the same grid",
        "    prefix, patches = pos_embed",
        "    if source_grid[0] * source_grid[1] == target_grid[0] * target_grid[1]:\n"
        "        return pos_embed\n    prefix, patches = pos_embed",
    ),
    changed(
        "positions.interpolate_pos_embed",
        "always two prefix tokens",
        "prefix, patches = pos_embed[:, :num_prefix_tokens]",
        "num_prefix_tokens = 2\n    prefix, patches = pos_embed[:, :num_prefix_tokens]",
        "shapes that do not fit",
    ),
    changed(
        "positions.interpolate_pos_embed",
        "the batch's axis lost",
        "np.concatenate([prefix, plane.reshape(1, -1, plane.shape[-1])], axis=1)",
        "np.concatenate([prefix, plane.reshape(1, -1, plane.shape[-1])], axis=1)[0]",
        "another shape",
    ),
    spoiling("tokens.prepend_tokens"),
    spoiling("tokens.prepend_tokens", 2),
    given(
        "tokens.prepend_tokens",
        "the first image for all",
        lambda right, c, d, x: np.repeat(right(c, d, x)[:1], len(x), axis=0),
        "only the first is right",
    ),
    spoiling("positions.add_pos_embed", 1),
    given("positions.add_pos_embed", "subtracted from the places", lambda right, p, x: -right(p, x), "the sign"),
    given(
        "positions.add_pos_embed",
        "in float32 integers",
        lambda right, p, x: np.rint(right(p, x)),
        "rounded to integers",
    ),
    spoiling("tokens.embed"),
    changed(
        "tokens.embed", "always two prefix tokens", "num_prefix_tokens=config.num_prefix_tokens", "num_prefix_tokens=2"
    ),
    changed("tokens.embed", "never interpolated", "if grid != config.grid:", "if False:"),
    retyped("tokens.embed", "with the grid", lambda x: (x, (2, 3)), None),
)
