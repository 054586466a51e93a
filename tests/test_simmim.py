"""Chapter 13: pixel_shuffle, reconstruct."""

import numpy as np
import pytest
import torch
from both import BACKENDS, array, chapter, normal
from hypothesis import given
from hypothesis import strategies as st

from deit_ref.arrays import as_numpy
from deit_ref.config import DeiTConfig
from deit_ref.weights import init_weights

both_backends = pytest.mark.parametrize("backend", BACKENDS)


@both_backends
@given(sizes=st.tuples(*(st.integers(1, 4) for _ in range(4))), stride=st.integers(1, 4))
def test_square_tiles_are_torchs_pixel_shuffle(backend, sizes, stride):
    batch, rows, columns, channels = sizes
    x = normal(0, batch, rows, columns, channels * stride * stride)
    expected = torch.nn.functional.pixel_shuffle(torch.from_numpy(x).permute(0, 3, 1, 2), stride)
    actual = chapter(backend, "simmim").pixel_shuffle(array(backend, x, "float64"), stride_shape=(stride, stride))
    assert (as_numpy(actual) == expected.numpy()).all()


@both_backends
@given(sizes=st.tuples(*(st.integers(1, 4) for _ in range(6))))
def test_pixel_shuffle_inverts_patchify(backend, sizes):
    """Both order a tile channel first, so one undoes the other, non-square tiles included."""
    batch, rows, columns, channels, height, width = sizes
    image = normal(1, batch, channels, rows * height, columns * width)
    patches = chapter(backend, "patches").patchify(array(backend, image, "float64"), patch_shape=(height, width))
    tiles = patches.reshape(batch, rows, columns, -1)
    back = chapter(backend, "simmim").pixel_shuffle(tiles, stride_shape=(height, width))
    assert (as_numpy(back) == image).all()


def drawing(backend, *, distilled, **options):
    """What a decoder draws that copies each token's number into its tile: token i holds the number i."""
    config = DeiTConfig(
        hidden_size=1,
        num_attention_heads=1,
        num_hidden_layers=0,
        intermediate_size=1,
        image_size=(4, 6),
        patch_size=2,
        encoder_stride=2,
        num_channels=1,
        distilled=distilled,
    )
    weights = init_weights(config, "masked-image-modeling", seed=0)
    weights.decoder.weight[...] = 1
    weights = weights.to(backend)
    count = config.num_prefix_tokens + 6
    x = array(backend, np.arange(count).reshape(1, count, 1))
    image = chapter(backend, "simmim").reconstruct(weights, x, grid=(2, 3), **options)
    return as_numpy(image)[0, 0, ::2, ::2].tolist()


@both_backends
def test_each_patch_token_draws_its_own_place(backend):
    assert drawing(backend, distilled=True) == [[2, 3, 4], [5, 6, 7]]
    assert drawing(backend, distilled=False) == [[1, 2, 3], [4, 5, 6]]


@both_backends
def test_the_shifted_slice_of_transformers_4(backend):
    """The distillation token (1) draws the first patch; plain ViT models never had the mistake."""
    assert drawing(backend, distilled=True, shifted_slice=True) == [[1, 2, 3], [4, 5, 6]]
    assert drawing(backend, distilled=False, shifted_slice=True) == [[1, 2, 3], [4, 5, 6]]


@both_backends
def test_a_decoder_may_draw_other_squares_than_the_patches(backend):
    """A grid of 2 x 3 tokens, and tiles of 3 x 5 pixels for each: the image is as large as the tiles make it."""
    config = DeiTConfig(
        hidden_size=8, num_attention_heads=1, num_hidden_layers=0, intermediate_size=8,
        image_size=(4, 6), patch_size=2, encoder_stride=(3, 5), num_channels=2,
    )  # fmt: skip
    weights = init_weights(config, "masked-image-modeling", seed=0).to(backend)
    x = array(backend, normal(0, 4, 8, 8))
    simmim, layers = chapter(backend, "simmim"), chapter(backend, "layers")
    image = as_numpy(simmim.reconstruct(weights, x, grid=(2, 3)))
    assert image.shape == (4, 2, 6, 15)
    last = as_numpy(layers.linear(weights.decoder, x[:, -1]))  # of the token at the lower right
    np.testing.assert_allclose(image[:, :, 3:, 10:], last.reshape(4, 2, 3, 5), rtol=1e-6, atol=1e-7)
