"""What tests draw: small valid configs, weights in which nothing is 0 or 1, and inputs that fit them."""

import dataclasses

import numpy as np
from hypothesis import strategies as st

from deit_ref.config import ACTIVATION_NAMES, TASKS, DeiTConfig
from deit_ref.weights import DeiTWeights, array_shapes, default_image_processing, named_arrays, weights_from_arrays

TINY = DeiTConfig(
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    image_size=32,
    patch_size=8,
    encoder_stride=8,
    num_labels=5,
)

seeds = st.integers(0, 2**32 - 1)


def random_weights(
    config: DeiTConfig = TINY,
    task: str = "classification",
    *,
    seed: int = 0,
    std: float = 0.05,
    dtype: type = np.float32,
    pooler: bool = True,
    mask_token: bool = False,
) -> DeiTWeights:
    """Weights of which no number is 0 or 1, so that a bias or a norm that is left out changes the result."""
    generator = np.random.default_rng(seed)
    arrays = {}
    for name, shape in array_shapes(config, task, pooler=pooler, mask_token=mask_token).items():
        values = generator.standard_normal(shape) * std
        arrays[name] = (values + 1 if "norm" in name and name.endswith("weight") else values).astype(dtype)
    return weights_from_arrays(arrays, config, task, image_processing=default_image_processing(config))


def sharpened(weights: DeiTWeights, by: float = 20) -> DeiTWeights:
    """The same weights with query and key rows times `by`: scores of some hundreds, as large models learn them."""
    rows = 2 * weights.config.hidden_size
    arrays = dict(named_arrays(weights))
    for name in arrays:
        if ".attn.qkv." in name:
            factors = np.where(np.arange(len(arrays[name])) < rows, by, 1).astype(arrays[name].dtype)
            arrays[name] = arrays[name] * factors.reshape(-1, *[1] * (arrays[name].ndim - 1))
    return weights_from_arrays(arrays, weights.config, weights.task, image_processing=weights.image_processing)


def random_pixels(config: DeiTConfig = TINY, *, batch: int = 2, seed: int = 1, dtype: type = np.float32) -> np.ndarray:
    """Normal pixel values of the model's own size."""
    shape = (batch, config.num_channels, *config.image_shape)
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def random_mask(shape: tuple[int, int], *, seed: int = 2) -> np.ndarray:
    """Booleans, about half of them True, and the first of every row True."""
    mask = np.random.default_rng(seed).random(shape) < 0.5
    mask[:, 0] = True
    return mask


@st.composite
def configs(draw: st.DrawFn, **fixed: object) -> DeiTConfig:
    """Small valid configs; the decoder draws whole patches, so masked image modeling has a loss. `fixed` fields stay.

    hidden_size is 8 to 48, a multiple of the heads; images and patches need not be square.
    """
    heads = draw(st.sampled_from([1, 2, 3, 4]))
    head_dim = draw(st.integers(-(-8 // heads), 48 // heads))
    patch = (draw(st.integers(1, 6)), draw(st.integers(1, 6)))
    grid = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    config = DeiTConfig(
        hidden_size=heads * head_dim,
        num_hidden_layers=draw(st.integers(0, 3)),
        num_attention_heads=heads,
        intermediate_size=draw(st.integers(4, 64)),
        hidden_act=draw(st.sampled_from(ACTIVATION_NAMES)),
        layer_norm_eps=draw(st.sampled_from([1e-12, 1e-6])),
        image_size=(grid[0] * patch[0], grid[1] * patch[1]),
        patch_size=patch,
        num_channels=draw(st.sampled_from([1, 3])),
        qkv_bias=draw(st.booleans()),
        encoder_stride=patch,
        pooler_output_size=draw(st.sampled_from([None, 7])),
        pooler_act=draw(st.sampled_from(ACTIVATION_NAMES)),
        num_labels=draw(st.sampled_from([1, 2, 5])),
        distilled=draw(st.booleans()),
    )
    return dataclasses.replace(config, **fixed)


@st.composite
def tasks(draw: st.DrawFn, config: DeiTConfig) -> str:
    """A task that a model of this config can have."""
    return draw(st.sampled_from([t for t in TASKS if config.distilled or t != "classification-with-teacher"]))
