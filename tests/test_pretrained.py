"""Property tests on loaded pretrained weights: both backends agree on whatever a photo may be.

The checkpoints are the bundled ones, and every folder, file or hub id in the environment variable
DEIT_REF_CHECKPOINTS (separated as in PATH). With facebook/deit-base-distilled-patch16-224 and COCO's photo
000000039769 among them, its published logits are checked. With DEIT_REF_CIFAR10, the folder of CIFAR-10's photos, the
accuracies on the bundled cards are measured again.
"""

import dataclasses
import os
import re

import numpy as np
import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st
from pretrained_crops import GOLDEN, crops, hidden_patches
from strategies import random_mask, seeds
from tolerances import assert_close

import deit_ref
from deit_ref.checkpoints.files import BUNDLED, bundled
from deit_ref.data.opening import open_images
from deit_ref.photos import bundled_photo, load_image
from deit_ref.trace import Trace
from deit_ref.training.evaluate import evaluate
from deit_ref.training.teacher import load_teacher

NAMED = [name for name in os.environ.get("DEIT_REF_CHECKPOINTS", "").split(os.pathsep) if name]
CATS = [path for path in NAMED if "000000039769" in os.path.basename(path)]  # COCO val2017, which may not be shipped
CHECKPOINTS = [*BUNDLED[:2], *(name for name in NAMED if name not in CATS)]
PUBLISHED = [name for name in NAMED if "deit-base-distilled-patch16-224" in name]
CIFAR10 = os.environ.get("DEIT_REF_CIFAR10", "")


@pytest.fixture(scope="module", params=CHECKPOINTS)
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
    """Smooth colors with noise on them: like a photo, in that it holds every frequency."""
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


def test_the_bundled_files_are_small_and_have_cards():
    for name, megabytes in zip(BUNDLED, (6, 6, 4), strict=True):
        files = sorted(bundled(name).iterdir())
        assert sum(file.stat().st_size for file in files) < megabytes * 1e6
        assert "README.md" in [file.name for file in files]


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_golden_logits_of_fixed_crops(backend):
    """What the bundled weights said when they were bundled: a later change of any component shows here."""
    golden = np.load(GOLDEN)
    output = deit_ref.forward(deit_ref.load_weights(), list(crops()), backend=backend)
    for name in ("cls_logits", "distillation_logits"):
        assert golden[name].shape == (100, 10)
        assert_close(getattr(output, name), golden[name], "float32", name)
    output = deit_ref.forward(
        deit_ref.load_weights("cifar10-simmim"), list(crops()), backend=backend, bool_masked_pos=hidden_patches()
    )
    assert_close(output.reconstruction.mean((1, 2, 3)), golden["reconstruction_mean"], "float32", "reconstruction")
    assert_close(output.loss, golden["masked_l1"], "float32", "loss")


def test_transformers_reads_the_bundled_weights_and_agrees():
    import torch

    weights = deit_ref.load_weights()
    pixel_values = deit_ref.preprocess(list(crops()), weights.image_processing)
    peer = transformers.DeiTForImageClassificationWithTeacher.from_pretrained(
        bundled("cifar10-distilled"), dtype=torch.float32
    ).eval()
    with torch.no_grad():
        theirs = peer(torch.from_numpy(pixel_values))
    for backend in ("numpy", "torch"):
        ours = deit_ref.forward(weights, pixel_values=pixel_values, backend=backend)
        for name in ("logits", "cls_logits", "distillation_logits"):
            assert_close(getattr(ours, name), getattr(theirs, name), "transformers", name)

    weights = deit_ref.load_weights("cifar10-simmim")
    masked = transformers.DeiTForMaskedImageModeling.from_pretrained(
        bundled("cifar10-simmim"), dtype=torch.float32
    ).eval()
    with torch.no_grad():
        theirs = masked(torch.from_numpy(pixel_values), bool_masked_pos=torch.from_numpy(hidden_patches()))
    for backend in ("numpy", "torch"):
        ours = deit_ref.forward(weights, pixel_values=pixel_values, bool_masked_pos=hidden_patches(), backend=backend)
        assert_close(ours.reconstruction, theirs.reconstruction, "transformers", "reconstruction")
        assert_close(ours.loss, theirs.loss, "transformers", "loss")


def test_the_model_knows_a_mirrored_photo():
    """Trained with flips: an answer that a mirror changes much would mean that positions or patches are turned."""
    photo = load_image(bundled_photo("chelsea"))
    weights = deit_ref.load_weights()
    straight, mirrored = (deit_ref.forward(weights, x).logits[0] for x in (photo, photo[:, ::-1].copy()))
    assert np.corrcoef(straight, mirrored)[0, 1] > 0.9


@pytest.mark.skipif(not CIFAR10, reason="DEIT_REF_CIFAR10 does not name a folder of CIFAR-10's photos")
@pytest.mark.parametrize("name", [BUNDLED[0], BUNDLED[2]])
def test_cards_state_what_the_files_reach(name):
    import torch

    images, device = open_images(CIFAR10, "test"), torch.device("cpu")
    if name == BUNDLED[2]:
        teacher, _ = load_teacher(name)
        found = evaluate(teacher, images, teacher.image_processing, device=device)
    else:
        weights = deit_ref.load_weights(name).to("torch")
        found = evaluate(
            lambda x: deit_ref.forward(weights, pixel_values=x, backend="torch"),
            images, weights.image_processing, device=device,
        )  # fmt: skip
    text = (bundled(name) / "README.md").read_text(encoding="utf-8")
    stated = float(re.search(r"\| top-1, 10,000 test photos \| ([\d.]+)% \|", text)[1])
    assert abs(100 * found["top1"] - stated) <= 0.02  # two photos, where rounding differs among machines
    assert stated >= {"cifar10-distilled": 87, "cifar10-teacher": 90}[name]
