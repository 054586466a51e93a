"""Chapter 1: patchify, unpatchify, patch_embed."""

import numpy as np
import pytest
import torch
from both import BACKENDS, array, chapter, normal
from hypothesis import given
from hypothesis import strategies as st
from strategies import random_weights
from tolerances import assert_close

from deit_ref.arrays import as_numpy
from deit_ref.weights import Linear, PatchEmbed

both_backends = pytest.mark.parametrize("backend", BACKENDS)
sizes = st.tuples(*(st.integers(1, 4) for _ in range(6)))


@both_backends
def test_patchify_by_hand(backend):
    # two channels of 2 x 4 pixels, patches of 2 x 2: channel, then row, then column
    image = np.arange(16).reshape(1, 2, 2, 4)
    patches = chapter(backend, "patches").patchify(array(backend, image), patch_shape=(2, 2))
    assert as_numpy(patches).tolist() == [[[0, 1, 4, 5, 8, 9, 12, 13], [2, 3, 6, 7, 10, 11, 14, 15]]]


@both_backends
@given(sizes=sizes)
def test_unpatchify_inverts_patchify(backend, sizes):
    batch, channels, rows, columns, height, width = sizes
    patches = chapter(backend, "patches")
    image = normal(0, batch, channels, rows * height, columns * width)
    cut = patches.patchify(array(backend, image, "float64"), patch_shape=(height, width))
    assert tuple(cut.shape) == (batch, rows * columns, channels * height * width)
    back = patches.unpatchify(cut, patch_shape=(height, width), grid=(rows, columns))
    assert (as_numpy(back) == image).all()


@both_backends
@given(sizes=sizes, dim=st.integers(1, 9))
def test_patch_embed_is_a_strided_convolution(backend, sizes, dim):
    batch, channels, rows, columns, height, width = sizes
    image = normal(1, batch, channels, rows * height, columns * width)
    weight, bias = normal(2, dim, channels, height, width), normal(3, dim)
    expected = torch.nn.functional.conv2d(*map(torch.from_numpy, (image, weight, bias)), stride=(height, width))
    weights = PatchEmbed(Linear(array(backend, weight, "float64"), array(backend, bias, "float64")))
    actual = chapter(backend, "patches").patch_embed(weights, array(backend, image, "float64"))
    assert_close(actual, expected.flatten(2).transpose(1, 2), "float64")


@both_backends
def test_an_image_that_is_no_whole_number_of_patches_is_refused(backend):
    with pytest.raises(ValueError, match=r"35x32 pixels are not a multiple of 8x8. Resize or crop"):
        chapter(backend, "patches").patchify(array(backend, np.zeros((1, 3, 35, 32))), patch_shape=(8, 8))


@both_backends
def test_a_wrong_number_of_channels_is_refused(backend):
    weights = PatchEmbed(Linear(array(backend, np.zeros((4, 3, 8, 8))), array(backend, np.zeros(4))))
    with pytest.raises(ValueError, match=r"images of 3 channels, got 1 .*expected \(batch, channels"):
        chapter(backend, "patches").patch_embed(weights, array(backend, np.zeros((1, 1, 8, 8))))


@both_backends
def test_each_side_and_the_channels_must_fit(backend):
    patches = chapter(backend, "patches")
    for height, width in ((9, 8), (8, 9)):
        with pytest.raises(ValueError, match=f"{height}x{width} pixels are not a multiple of 4x2"):
            patches.patch_grid(height, width, patch_shape=(4, 2))
    weights = random_weights().to(backend)
    for channels in (1, 2, 4):
        with pytest.raises(ValueError, match=f"reads images of 3 channels, got {channels} "):
            patches.patch_embed(weights.patch_embed, array(backend, normal(0, 1, channels, 32, 32), "float32"))
