"""What `forward` and `gradients` accept beside images: a function per argument, which makes it what a task takes.

Arrays come in any form and leave as arrays of the weights' backend, on their device. None, which leaves an argument
out, stays None. Every function raises a ValueError that says what was expected, what came and what to do.
"""

import warnings
from typing import Any

import numpy as np

from deit_ref import checks
from deit_ref.arrays import all_finite, as_like, as_numpy, cast, import_torch, kind, real
from deit_ref.trace import Trace
from deit_ref.weights import DeiTWeights, named_arrays


def check_source(images: Any, pixel_values: Any, image_processing: Any) -> None:
    """Either images, which may have a processing of their own, or pixel_values."""
    if (images is None) == (pixel_values is None):
        given = "neither" if images is None else "both"
        raise ValueError(
            f"Expected images (photos of any size) or pixel_values (prepared floats), got {given}: give one."
        )
    if images is None and image_processing is not None:
        raise ValueError("image_processing was given with pixel_values, which are already prepared: leave one out.")


def weights(weights: Any) -> DeiTWeights:
    """A model's."""
    if not isinstance(weights, DeiTWeights):
        raise ValueError(
            f"weights must come from load_weights or init_weights, got {type(weights).__name__}: did you mean "
            f"load_weights({checks.brief(weights)})?"
        )
    return weights


def trace(trace: Any, name: str = "trace") -> Trace | None:
    """Where to record."""
    if trace is not None:
        checks.instance(name, trace, Trace, "a new Trace()")
    return trace


def device(device: Any, backend: str) -> Any:
    """A device goes with torch alone."""
    if device is not None and backend == "numpy":
        raise ValueError(
            f"NumPy has no devices, got device={checks.brief(device)}: leave it out or use backend='torch'."
        )
    return device


def pixel_values(pixel_values: Any, weights: DeiTWeights) -> Any:
    """Floats (batch, channels, height, width), cast to the weights' dtype."""
    like = weights.pos_embed
    if kind(given := real("pixel_values", pixel_values)) != "f":
        raise ValueError(
            f"pixel_values must be floats that are already normalized, got {given.dtype}: photos of 0..255 go to "
            "images=."
        )
    values = as_like("pixel_values", given, like)
    if values.ndim != 4 or 0 in values.shape:
        raise ValueError(
            f"pixel_values must have the shape (batch, channels, height, width), got {tuple(values.shape)}."
        )
    return cast(values, like)


def warn_of_bytes(pixel_values: Any, weights: DeiTWeights) -> None:
    """Numbers of 0..255 where the model's own processing makes far smaller ones; the caller's caller is named."""
    steps = weights.image_processing
    white = 255 * (steps.rescale_factor if steps.do_rescale else 1.0)
    if steps.do_normalize:
        white = float(np.abs((white - np.asarray(steps.image_mean)) / np.asarray(steps.image_std)).max())
    low, high = (float(as_numpy(number)) for number in (pixel_values.min(), pixel_values.max()))
    if low >= 0 and high > 16 * white:
        warnings.warn(
            f"pixel_values lie in {low:.4g}..{high:.4g}, where the model's own image_processing makes {white:.3g} of "
            "white: photos of 0..255 go to images=.",
            UserWarning,
            stacklevel=3,
        )


def warn_unless_finite(result: Any, weights: DeiTWeights, pixel_values: Any) -> None:
    """Say where it went wrong, to the caller's caller; looking costs nothing while all is well."""
    if all_finite(result):
        return
    if not all_finite(pixel_values):
        cause = "pixel_values contain NaN or infinity"
    elif bad := [name for name, array in named_arrays(weights) if not all_finite(array)]:
        cause = f"the weights contain NaN or infinity, first in {bad[0]}"
    else:
        cause = f"numbers outgrew {weights.pos_embed.dtype}; try a wider dtype"
    warnings.warn(f"The result is not finite: {cause}.", UserWarning, stacklevel=3)


def switch(name: str, value: Any, weights: DeiTWeights) -> bool:
    """True or False; None means as the config's field of that name says."""
    return checks.boolean(name, getattr(weights.config, name) if value is None else value)


def generator(generator: Any, weights: DeiTWeights) -> Any:
    """For dropout: the backend's own generator, on the weights' device."""
    if generator is None:
        return None
    like = weights.pos_embed
    in_numpy = isinstance(like, np.ndarray)
    expected: Any = np.random.Generator if in_numpy else import_torch().Generator
    if not isinstance(generator, expected):
        raise ValueError(
            f"generator must be a {'np.random' if in_numpy else 'torch'}.Generator for this backend, or None for no "
            f"dropout; got {checks.brief(generator)}."
        )
    if not in_numpy and generator.device.type != like.device.type:
        raise ValueError(f"generator lives on {generator.device}, the weights on {like.device}: make it there.")
    return generator


def bool_masked_pos(mask: Any, weights: DeiTWeights, pixel_values: Any) -> Any:
    """(batch, patches): booleans, or floats between 0 and 1."""
    if mask is None:
        return None
    config, like = weights.config, weights.pos_embed
    if weights.mask_token is None:
        raise ValueError(
            "bool_masked_pos needs weights with a mask token: load a masked-image-modeling checkpoint, or use "
            "init_weights(..., mask_token=True)."
        )
    if weights.task == "masked-image-modeling" and config.stride_shape != config.patch_shape:
        raise ValueError(
            f"The loss compares the reconstruction with the image, so encoder_stride must equal patch_size; got "
            f"{config.stride_shape} and {config.patch_shape}. Leave bool_masked_pos out to reconstruct only."
        )
    mask = as_like("bool_masked_pos", mask, like)
    shape = (len(pixel_values), _num_patches(weights, pixel_values))
    if tuple(mask.shape) != shape:
        raise ValueError(
            f"bool_masked_pos must have the shape {shape}, one entry per image and patch; got {tuple(mask.shape)}."
        )
    if not ((mask >= 0) & (mask <= 1)).all():
        raise ValueError("bool_masked_pos must be True or False, or between 0 and 1; got values outside.")
    return cast(mask, like) if kind(mask) == "f" else mask == 1


def head_mask(mask: Any, weights: DeiTWeights) -> Any:
    """(blocks, heads), from one row for all blocks or one number for all heads of a block."""
    if mask is None:
        return None
    config, like = weights.config, weights.pos_embed
    layers, heads = config.num_hidden_layers, config.num_attention_heads
    mask = cast(as_like("head_mask", mask, like), like)
    if tuple(mask.shape) not in ((heads,), (layers, 1), (layers, heads)):
        raise ValueError(
            f"head_mask must have the shape ({heads},), one entry per head, or ({layers}, {heads}) with one row per "
            f"layer; got {tuple(mask.shape)}."
        )
    if not all_finite(mask):
        raise ValueError("head_mask must hold finite numbers, got NaN or infinity.")
    shape = (layers, heads)
    return np.broadcast_to(mask, shape) if isinstance(like, np.ndarray) else mask.expand(shape)


def attention_mask(mask: Any, weights: DeiTWeights, pixel_values: Any) -> Any:
    """(batch, tokens), booleans, True for at least one token of every image."""
    if mask is None:
        return None
    mask = as_like("attention_mask", mask, weights.pos_embed)
    shape = (len(pixel_values), weights.config.num_prefix_tokens + _num_patches(weights, pixel_values))
    if tuple(mask.shape) != shape:
        raise ValueError(
            f"attention_mask must have the shape {shape}, one entry per image and token, class and distillation token "
            f"included; got {tuple(mask.shape)}."
        )
    if not ((mask == 0) | (mask == 1)).all():
        raise ValueError("attention_mask must hold True and False, or 1 and 0, and nothing between.")
    mask = mask == 1
    if not mask.any(-1).all():
        raise ValueError(
            "attention_mask must leave at least one token of every image: softmax over nothing is not a number."
        )
    return mask


def labels(labels: Any, weights: DeiTWeights, pixel_values: Any) -> Any:
    """Labels whose kind and shape go with the problem, so that no later reshape can hide a mistake."""
    if labels is None:
        return None
    like, batch = weights.pos_embed, len(pixel_values)
    num_labels, problem_type = weights.config.num_labels, weights.config.problem_type
    if weights.task != "classification":
        backend = "numpy" if isinstance(like, np.ndarray) else "torch"
        raise ValueError(
            f'labels go with the task "classification", got the task {weights.task!r}: compute the loss from the '
            f"output with deit_ref.{backend}_backend.losses."
        )
    labels = as_like("labels", labels, like)
    if num_labels == 0:
        raise ValueError("labels need a model with a head, and this one has num_labels=0: leave them out.")
    if problem_type is None:
        several = "single_label_classification" if kind(labels) == "i" else "multi_label_classification"
        problem_type = "regression" if num_labels == 1 else several
    shape = tuple(labels.shape)
    if problem_type == "single_label_classification":
        return class_numbers(labels, weights, pixel_values)
    if shape != (batch, num_labels) and not (num_labels == 1 and shape == (batch,)):
        raise ValueError(
            f"labels of {problem_type} must be numbers of shape ({batch}, {num_labels}), one per image and label; got "
            f"{labels.dtype} of shape {shape}."
        )
    if not all_finite(labels):
        raise ValueError("labels must be finite numbers, got NaN or infinity.")
    return cast(labels, like)


def class_numbers(labels: Any, weights: DeiTWeights, pixel_values: Any) -> Any:
    """Labels (batch,) or (batch, 1), integers; -100 for images that are left out."""
    batch, num_labels, shape = len(pixel_values), weights.config.num_labels, tuple(labels.shape)
    if kind(labels) != "i" or shape not in ((batch,), (batch, 1)):
        raise ValueError(
            f"labels of single_label_classification must be integers of shape ({batch},), one class number per image; "
            f"got {labels.dtype} of shape {shape}."
        )
    wrong = ((labels < 0) | (labels >= num_labels)) & (labels != -100)
    if wrong.any():
        raise ValueError(
            f"labels must lie in 0..{num_labels - 1}, or be -100 to leave an image out; got {labels[wrong][0]}."
        )
    if (labels == -100).all():
        raise ValueError("labels are -100 for every image: there is nothing left to take the mean of.")
    return labels


def _num_patches(weights: DeiTWeights, pixel_values: Any) -> int:
    """Of these images, which may have another size than the model's."""
    (height, width), (patch_height, patch_width) = pixel_values.shape[2:], weights.config.patch_shape
    return int((height // patch_height) * (width // patch_width))
