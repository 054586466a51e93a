"""Photos prepared in two parts are those prepared at once; what fits is kept, and read once."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import deit_ref
from deit_ref.data.images import ImageSet
from deit_ref.training.prepared import kept, prepared


def images(sizes, seed=0):
    generator = np.random.default_rng(seed)
    photos = [generator.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    names = [str(i) for i in range(len(photos))]
    return ImageSet(np.zeros(len(photos), np.int64), ("a", "b"), names, lambda i: photos[i])


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=3),
    st.sampled_from(["huggingface", "original", "shortest", "squashed", "torchvision", "plain"]),
    st.sampled_from(["numpy", "torch"]),
)
def test_two_parts_are_the_whole(sizes, kind, backend):
    processing = {
        "huggingface": deit_ref.ImageProcessing.huggingface(24),
        "original": deit_ref.ImageProcessing.original(24),
        "shortest": deit_ref.ImageProcessing(size={"shortest_edge": 20}, crop_size=16),
        "squashed": deit_ref.ImageProcessing(size=16, do_center_crop=False, do_normalize=False),
        "torchvision": deit_ref.ImageProcessing(size=24, crop_size=20, arithmetic="torchvision"),
        "plain": deit_ref.ImageProcessing(do_resize=False, crop_size=16, do_rescale=False),
    }[kind]
    photos = images(sizes)
    small, values = prepared(photos, processing)
    everything = range(len(photos))
    whole = dataclasses.replace(processing, input_data_format="channels_last")
    expected = deit_ref.preprocess([photos.read(i) for i in everything], whole, backend=backend)
    found = deit_ref.preprocess([small.read(i) for i in everything], values, backend=backend)
    assert small.read(0).dtype == np.uint8
    assert small.read(0).nbytes == expected[0].size if backend == "numpy" else expected[0].numel()
    torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(expected), rtol=0, atol=0)


def test_what_fits_is_read_once():
    reads = []
    photos = images([(4, 5)] * 7)

    def read(i):
        reads.append(i)
        return photos.read(i)

    counted = dataclasses.replace(photos, read=read)
    for most, again in ((7 * 60, 0), (7 * 60 - 1, 14)):
        found = kept(counted, most=most)
        reads.clear()
        for _ in range(2):
            np.testing.assert_array_equal(
                np.stack([found.read(i) for i in range(7)]), np.stack([photos.read(i) for i in range(7)])
            )
        assert len(reads) == again
    with pytest.raises(ValueError, match="Expected images of one size, 4 x 5 as 0; 1 has 5 x 4"):
        kept(images([(4, 5), (5, 4)]))
