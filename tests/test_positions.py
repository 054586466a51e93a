"""Chapter 3: interpolate_pos_embed, add_pos_embed."""

import numpy as np
import pytest
import torch
from both import BACKENDS, array, chapter, normal
from hypothesis import given
from hypothesis import strategies as st
from tolerances import BOUNDS, assert_close, distance

from deit_ref.arrays import as_numpy

both_backends = pytest.mark.parametrize("backend", BACKENDS)
grids = st.tuples(st.integers(1, 16), st.integers(1, 16))


def interpolate(backend, pos_embed, source, target, *, prefix=2, dtype="float64"):
    return chapter(backend, "positions").interpolate_pos_embed(
        array(backend, pos_embed, dtype), num_prefix_tokens=prefix, source_grid=source, target_grid=target
    )


@both_backends
def test_doubling_by_hand(backend):
    # 1 x 2 -> 1 x 4, values 0 and 1. Places: -0.25, 0.25, 0.75, 1.25. Keys' cubic with a = -0.75 has
    # w(.25) = 0.87890625, w(.75) = 0.26171875, w(1.25) = -0.10546875, w(1.75) = -0.03515625;
    # at 0.25 the value 1 gets w(.75) + w(1.75), its right neighbor being a copy of itself.
    pos = np.array([9.0, 8.0, 0.0, 1.0]).reshape(1, 4, 1)
    out = as_numpy(interpolate(backend, pos, (1, 2), (1, 4))).ravel()
    inner, outer = 0.26171875 - 0.03515625, -0.10546875
    np.testing.assert_allclose(out, [9, 8, outer, inner, 1 - inner, 1 - outer], rtol=0, atol=1e-15)


@given(source=grids, target=grids, prefix=st.integers(1, 2), dtype=st.sampled_from(["float32", "float64"]))
def test_both_backends_equal_torchs_bicubic(source, target, prefix, dtype):
    pos = normal(3, 1, prefix + source[0] * source[1], 5, dtype=dtype)
    plane = torch.from_numpy(pos[:, prefix:].reshape(1, *source, 5)).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(plane, size=target, mode="bicubic", align_corners=False)
    expected = expected.permute(0, 2, 3, 1).reshape(1, -1, 5)
    for backend in BACKENDS:
        actual = interpolate(backend, pos, source, target, prefix=prefix, dtype=dtype)
        assert (as_numpy(actual[:, :prefix]) == pos[:, :prefix]).all()
        assert_close(actual[:, prefix:], expected, f"positions {dtype}")


@both_backends
@given(grid=grids)
def test_the_same_grid_is_the_identity(backend, grid):
    pos = normal(4, 1, 2 + grid[0] * grid[1], 3)
    assert (as_numpy(interpolate(backend, pos, grid, grid)) == pos).all()


@both_backends
@given(source=grids, target=grids)
def test_a_constant_stays_constant_and_interpolation_is_linear(backend, source, target):
    tokens = 2 + source[0] * source[1]
    ones = as_numpy(interpolate(backend, np.ones((1, tokens, 1)), source, target))
    np.testing.assert_allclose(ones, 1, atol=1e-12)
    a, b = normal(5, 1, tokens, 2), normal(6, 1, tokens, 2)
    together = interpolate(backend, 2 * a - 3 * b, source, target)
    apart = 2 * as_numpy(interpolate(backend, a, source, target)) - 3 * as_numpy(
        interpolate(backend, b, source, target)
    )
    np.testing.assert_allclose(as_numpy(together), apart, atol=1e-11)


@both_backends
def test_rows_and_columns_are_not_swapped(backend):
    # values that change only from row to row still do so after 2 x 3 -> 4 x 5
    pos = np.concatenate([np.zeros(2), np.repeat([0.0, 1.0], 3)]).reshape(1, 8, 1)
    out = as_numpy(interpolate(backend, pos, (2, 3), (4, 5)))[0, 2:, 0].reshape(4, 5)
    np.testing.assert_allclose(out, np.tile(out[:, :1], (1, 5)), atol=1e-12)
    assert (np.diff(out[:, 0]) > 0).all()


@both_backends
def test_the_cubic_is_neither_pillows_nor_antialiased(backend):
    pos = normal(7, 1, 2 + 14 * 14, 8)
    up = interpolate(backend, pos, (14, 14), (24, 24))[:, 2:]
    plane = torch.from_numpy(pos[:, 2:].reshape(1, 14, 14, 8)).permute(0, 3, 1, 2)
    timm = torch.nn.functional.interpolate(plane, size=(24, 24), mode="bicubic", antialias=True)
    assert distance(up, timm.permute(0, 2, 3, 1).reshape(1, -1, 8)) > 1000 * BOUNDS["positions float32"]


@both_backends
def test_a_wrong_source_grid_is_refused(backend):
    with pytest.raises(ValueError, match=r"2 prefix tokens and a grid of 3x3 make 11 positions, got 10"):
        interpolate(backend, np.zeros((1, 10, 4)), (3, 3), (2, 2))


@both_backends
def test_add_pos_embed_by_hand(backend):
    add = chapter(backend, "positions").add_pos_embed
    out = add(array(backend, [[[1.0], [10.0]]]), array(backend, [[[2.0], [3.0]], [[4.0], [5.0]]]))
    assert as_numpy(out).tolist() == [[[3], [13]], [[5], [15]]]
