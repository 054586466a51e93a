"""Property tests on loaded pretrained weights: both backends agree on whatever a photo may be.

The checkpoints are the bundled ones, and every folder, file or hub id in the environment variable
DEIT_REF_CHECKPOINTS (separated as in PATH). Without either, these tests are skipped and say so. With
facebook/deit-base-distilled-patch16-224 and COCO's photo 000000039769 among them, its published logits are checked.
"""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import random_mask, seeds
from tolerances import assert_close

import deit_ref
from deit_ref.trace import Trace

BUNDLED = sorted(str(file.parent) for file in Path(deit_ref.__file__).parent.glob("pretrained/*/config.json"))
NAMED = [name for name in os.environ.get("DEIT_REF_CHECKPOINTS", "").split(os.pathsep) if name]
CATS = [path for path in NAMED if "000000039769" in Path(path).name]  # COCO val2017, which may not be shipped
CHECKPOINTS = [*BUNDLED, *(name for name in NAMED if name not in CATS)]
PUBLISHED = [name for name in NAMED if "deit-base-distilled-patch16-224" in name]

pytestmark = pytest.mark.skipif(not CHECKPOINTS, reason="no bundled checkpoint yet, and DEIT_REF_CHECKPOINTS is empty")


@pytest.fixture(scope="module", params=CHECKPOINTS or ["none"])
def weights(request):
    return deit_ref.load_weights(request.param)


def assert_backends_agree(weights, images=None, *, dtype, **options):
    """Every traced step, not only the answer."""
    traces = []
    for backend in ("numpy", "torch"):
        traces.append(Trace())
        deit_ref.forward(weights, images, backend=backend, dtype=dtype, trace=traces[-1], **options)
    assert list(traces[0]) == list(traces[1])
    for name, value in traces[0].items():
        assert_close(traces[1][name], value, dtype, name)


def photo(seed: int, height: int, width: int) -> np.ndarray:
    """Smooth colours with noise on them: like a photo, in that it holds every frequency."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = sum(
        generator.normal(size=3)
        * np.sin(generator.normal(size=1) * y[..., None] / 9 + generator.normal() * x[..., None] / 9)
        for _ in range(4)
    )
    return np.clip(128 + 30 * waves + generator.normal(0, 8, (height, width, 3)), 0, 255).astype(np.uint8)


dtypes = st.sampled_from(["float32", "float64"])


@given(seed=seeds, height=st.integers(20, 400), width=st.integers(20, 400), dtype=dtypes)
def test_photos_of_any_size(weights, seed, height, width, dtype):
    assert_backends_agree(weights, photo(seed, height, width), dtype=dtype)


@given(seed=seeds, dtype=dtypes, share=st.floats(0.1, 0.9))
def test_masks(weights, seed, dtype, share):
    config = weights.config
    tokens = config.num_prefix_tokens + config.num_patches
    options = {
        "attention_mask": random_mask((1, tokens), seed=seed),
        "head_mask": np.random.default_rng(seed).random((config.num_hidden_layers, config.num_attention_heads)),
    }
    if weights.mask_token is not None:
        options["bool_masked_pos"] = np.random.default_rng(seed).random((1, config.num_patches)) < share
    assert_backends_agree(weights, photo(seed, 100, 140), dtype=dtype, **options)


@given(seed=seeds, rows=st.integers(2, 20), columns=st.integers(2, 20), dtype=dtypes)
def test_interpolated_resolutions(weights, seed, rows, columns, dtype):
    size = (rows * weights.config.patch_shape[0], columns * weights.config.patch_shape[1])
    processing = dataclasses.replace(weights.image_processing, size=size, crop_size=size)
    assert_backends_agree(
        weights, photo(seed, 150, 200), dtype=dtype, image_processing=processing, interpolate_pos_encoding=True
    )


@given(seed=seeds)
def test_float32_is_as_good_as_float32_can_be(weights, seed):
    results = [
        next(iter(vars(deit_ref.forward(weights, photo(seed, 224, 224), backend=backend, dtype=dtype)).values()))
        for backend, dtype in (("numpy", "float32"), ("torch", "float32"), ("numpy", "float64"))
    ]
    assert_close(results[0], results[2], "float32 against float64")
    assert_close(results[1], results[2], "float32 against float64")


@pytest.mark.skipif(not (PUBLISHED and CATS), reason="needs deit-base-distilled-patch16-224 and COCO's 000000039769")
@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_published_logits(backend):
    """The values of transformers' own integration test (test_modeling_deit.py)."""
    logits = deit_ref.forward(deit_ref.load_weights(PUBLISHED[0]), CATS[0], backend=backend).logits
    np.testing.assert_allclose(np.asarray(logits)[0, :3], [-1.0266, 0.1912, -1.2861], atol=1e-4)
