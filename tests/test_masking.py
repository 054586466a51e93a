"""Which patches SimMIM hides: whole squares, the share that was asked for, each square equally often."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deit_ref.training.masking import random_masks


def drawn(batch, grid, *, seed, **options):
    return random_masks(batch, grid, generator=np.random.default_rng(seed), **options)


@given(
    batch=st.integers(1, 3),
    rows=st.integers(1, 15),
    columns=st.integers(1, 15),
    ratio=st.floats(0, 1),
    block=st.integers(1, 4),
    seed=st.integers(0, 99),
)
@example(batch=1, rows=3, columns=15, ratio=0.8, block=1, seed=0)  # 0.8 * 3 * 15 is more than 36
def test_masks_hide_whole_squares_and_the_share_that_was_asked_for(batch, rows, columns, ratio, block, seed):
    masks = drawn(batch, (rows, columns), ratio=ratio, block=block, seed=seed)
    assert (masks.shape, masks.dtype) == ((batch, rows * columns), bool)
    np.testing.assert_array_equal(masks, drawn(batch, (rows, columns), ratio=ratio, block=block, seed=seed))
    for mask in masks:
        plane = mask.reshape(rows, columns)
        corners = plane[::block, ::block]
        whole = corners.repeat(block, axis=0).repeat(block, axis=1)[:rows, :columns]
        np.testing.assert_array_equal(plane, whole)
        assert corners.sum() == np.ceil(ratio * corners.size)


def test_every_image_has_a_mask_of_its_own_and_every_patch_the_same_chance():
    masks = drawn(4000, (4, 4), ratio=0.6, seed=0)
    assert masks.sum() == 4000 * 10
    np.testing.assert_allclose(masks.mean(axis=0), 0.625, atol=0.03)
    assert len(np.unique(masks, axis=0)) > 2000
    assert (masks != drawn(4000, (4, 4), ratio=0.6, seed=1)).any()


def test_what_is_out_of_range_is_refused():
    for wrong in ({"ratio": 1.1}, {"ratio": -0.1}, {"ratio": np.nan}, {"block": 0}, {"batch": 0}):
        options = {"batch": 1, "ratio": 0.5, **wrong}
        with pytest.raises(ValueError, match=f"^{next(iter(wrong))} must "):
            drawn(options.pop("batch"), (2, 2), seed=0, **options)
