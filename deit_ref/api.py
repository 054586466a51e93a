"""forward, preprocess, compare: the one place that chooses a backend."""

import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from deit_ref import checks
from deit_ref.config import ImageProcessing
from deit_ref.outputs import ComparedStep, Comparison, Output, as_numpy
from deit_ref.photos import load_images
from deit_ref.trace import Trace
from deit_ref.weights import DeiTWeights, named_arrays

BACKENDS = ("numpy", "torch")

# Converted weights, by backend, device and dtype. They go when the weights that they were made from go.
_converted: WeakKeyDictionary[DeiTWeights, dict[Any, DeiTWeights]] = WeakKeyDictionary()


def forward(
    weights: DeiTWeights,
    images: Any = None,
    *,
    pixel_values: Any = None,
    backend: str = "numpy",
    device: Any = None,
    dtype: Any = None,
    image_processing: ImageProcessing | None = None,
    bool_masked_pos: Any = None,
    head_mask: Any = None,
    attention_mask: Any = None,
    labels: Any = None,
    interpolate_pos_encoding: bool = False,
    output_hidden_states: bool | None = None,
    output_attentions: bool | None = None,
    generator: Any = None,
    trace: Trace | None = None,
) -> Any:
    """Run a model on images, from pixels to the answer of its task.

    Args:
        weights: from `load_weights` or `init_weights`; arrays of either backend.
        images: a path, a PIL image, an array or tensor (height, width[, channels]), or a list of those, of any
            sizes. They are prepared as `image_processing` says.
        pixel_values: instead of images: floats (batch, channels, height, width), already prepared.
        backend: "numpy", to read along, or "torch", to be fast.
        device: of torch, such as "cuda"; None means where the weights are, and the CPU for NumPy weights.
        dtype: to compute in: "float32" or "float64", with torch also "float16" or "bfloat16"; None means that of
            the weights. Weights are converted once per device and dtype, and kept as long as `weights` lives.
        image_processing: instead of the weights' own.
        bool_masked_pos: (batch, patches), True or 1 where a patch is hidden; needs a mask token.
        head_mask: (heads,) or (layers, heads), numbers that multiply each head's attention probabilities.
        attention_mask: (batch, tokens), False or 0 for tokens that nobody may look at; cls and dist count.
        labels: for the task "classification"; see `losses.classification_loss`.
        interpolate_pos_encoding: accept images of another size than the model's.
        output_hidden_states, output_attentions: what to return; None means as the config says.
        generator: np.random.Generator or torch.Generator, switches dropout on; None means inference.
        trace: a new `Trace`, which then holds every step.

    On a GPU, small batches are replayed from a graph that the second call of their shape has captured; what cannot be
    (traces, masks, labels, dropout, gradients, more to return) runs plainly. See `torch_backend.graphs`.

    Returns:
        FeaturesOutput, ClassificationOutput, TeacherOutput or MaskedImageOutput, by `weights.task`, holding arrays
        of the backend that ran. With torch they carry gradients if the weights or pixel_values require them.

    Raises:
        ValueError: an input is missing, of the wrong kind or shape, or does not go with the task.

    Warns:
        UserWarning: the result is not finite; the message names the first cause.
    """
    checks.choice("backend", backend, BACKENDS)
    if (images is None) == (pixel_values is None):
        given = "neither" if images is None else "both"
        raise ValueError(f"forward needs images (photos of any size) or pixel_values (prepared floats), got {given}.")
    if trace is not None and not isinstance(trace, Trace):
        raise ValueError(f"trace must be a new Trace(), got {trace!r}.")
    weights = _weights_for(weights, backend, device, dtype)
    config, like = weights.config, weights.pos_embed
    if pixel_values is None:
        pixel_values = preprocess(
            images,
            weights.image_processing if image_processing is None else image_processing,
            backend=backend,
            device=getattr(like, "device", None) if backend == "torch" else None,
            trace=trace,
        )
    elif image_processing is not None:
        raise ValueError("image_processing was given with pixel_values, which are already prepared: leave one out.")
    pixel_values = _floats("pixel_values", pixel_values, like)
    if pixel_values.ndim != 4 or 0 in pixel_values.shape:
        raise ValueError(
            f"pixel_values must have the shape (batch, channels, height, width), got {tuple(pixel_values.shape)}."
        )
    batch, _, height, width = pixel_values.shape
    num_patches = (height // config.patch_shape[0]) * (width // config.patch_shape[1])
    options: dict[str, Any] = {
        "interpolate_pos_encoding": checks.boolean("interpolate_pos_encoding", interpolate_pos_encoding),
        "output_hidden_states": _switch("output_hidden_states", output_hidden_states, config.output_hidden_states),
        "output_attentions": _switch("output_attentions", output_attentions, config.output_attentions),
        "generator": _generator(generator, like),
        "trace": trace,
    }
    if bool_masked_pos is not None:
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
        options["bool_masked_pos"] = _mask("bool_masked_pos", bool_masked_pos, (batch, num_patches), like)
    if head_mask is not None:
        options["head_mask"] = _head_mask(head_mask, (config.num_hidden_layers, config.num_attention_heads), like)
    if attention_mask is not None:
        shape = (batch, config.num_prefix_tokens + num_patches)
        options["attention_mask"] = _attention_mask(attention_mask, shape, like)
    if labels is not None:
        if weights.task != "classification":
            raise ValueError(
                f'labels go with the task "classification", got the task {weights.task!r}: compute the loss from the '
                f"output with deit_ref.{backend}_backend.losses."
            )
        options["labels"] = _labels(labels, batch, weights, like)
    run = _chapter(backend, "model").TASKS[weights.task]
    if backend == "torch":
        output = _chapter("torch", "graphs").forward(run, weights, pixel_values, options)
    else:
        output = run(weights, pixel_values, **options)
    _warn_unless_finite(output, weights, pixel_values)
    return output


def preprocess(
    images: Any,
    image_processing: ImageProcessing,
    *,
    backend: str = "numpy",
    device: Any = None,
    data_format: str = "channels_first",
    trace: Trace | None = None,
) -> Any:
    """Prepare photos as a model sees them: resize, center crop, rescale, normalize.

    Args:
        images: a path, a PIL image, an array or tensor (height, width[, channels]), or a list of those.
        image_processing: the steps; a model's own are `weights.image_processing`.
        backend: "numpy" or "torch".
        device: of torch.
        data_format: "channels_first" or "channels_last".
        trace: a new `Trace`, which then holds every step.

    Returns:
        float32 (batch, channels, height, width), or (batch, height, width, channels) when asked.

    Raises:
        ValueError: not an image, or the prepared images differ in size; the message names them.
    """
    checks.choice("backend", backend, BACKENDS)
    checks.choice("data_format", data_format, ("channels_first", "channels_last"))
    if not isinstance(image_processing, ImageProcessing):
        raise ValueError(
            f"image_processing must be an ImageProcessing, such as weights.image_processing; got {image_processing!r}."
        )
    arrays: Sequence[Any] = load_images(
        images,
        do_convert_rgb=image_processing.do_convert_rgb,
        input_data_format=image_processing.input_data_format,
        apply_exif=image_processing.apply_exif,
    )
    if backend == "torch":
        to_torch = _chapter("torch", "device").to_torch
        arrays = [to_torch(array, device=device) for array in arrays]
    elif device is not None:
        raise ValueError(f"NumPy has no devices, got device={device!r}: leave it out or use backend='torch'.")
    pixel_values = _chapter(backend, "image").preprocess(arrays, image_processing, trace=trace)
    if data_format == "channels_last":
        return pixel_values.transpose(0, 2, 3, 1) if backend == "numpy" else pixel_values.permute(0, 2, 3, 1)
    return pixel_values


def compare(
    weights: DeiTWeights, images: Any = None, *, device: Any = None, dtype: Any = None, **options: Any
) -> Comparison:
    """Run both backends and compare every traced step.

    Args:
        weights, images: as in `forward`.
        device: of torch; NumPy stays on the CPU.
        dtype: of torch; NumPy computes in float64 beside float64, else in float32.
        options: the other arguments of `forward`, without backend, trace and generator.

    Returns:
        One row per step, and whether all are within the bound: 1e-10 in float64, 1e-5 in float32, 2e-2 in float16
        and 1e-1 in bfloat16, relative to the step's largest value.
    """
    for name in ("backend", "trace", "generator"):
        if name in options:
            raise ValueError(f"compare runs both backends with its own traces and without dropout: leave {name} out.")
    traces = {"numpy": Trace(), "torch": Trace()}
    torch_weights = _weights_for(weights, "torch", device, dtype)
    torch_dtype = str(torch_weights.pos_embed.dtype).removeprefix("torch.")
    numpy_dtype = "float64" if torch_dtype == "float64" else "float32"
    forward(weights, images, backend="numpy", dtype=numpy_dtype, trace=traces["numpy"], **options)
    forward(weights, images, backend="torch", device=device, dtype=dtype, trace=traces["torch"], **options)
    if list(traces["numpy"]) != list(traces["torch"]):
        raise AssertionError("The two backends recorded different steps.")
    rows = []
    for name, ours in traces["numpy"].items():
        a, b = (as_numpy(x).astype(np.float64) for x in (ours, traces["torch"][name]))
        finite = np.isfinite(a)
        largest = float(np.abs(a[finite]).max(initial=0))
        # Equal infinities (masked scores) differ by nothing; every other one makes the step disagree.
        gap = np.abs(np.subtract(a, b, where=a != b, out=np.zeros(a.shape))).max(initial=0)
        rows.append(ComparedStep(name, tuple(a.shape), largest, float(gap) / (largest or 1.0)))
    return Comparison(tuple(rows), {"float64": 1e-10, "float32": 1e-5, "float16": 2e-2, "bfloat16": 1e-1}[torch_dtype])


def _chapter(backend: str, name: str) -> ModuleType:
    """A file of a backend, imported when it is first needed: torch takes a second, scipy a tenth."""
    from importlib import import_module

    if backend == "torch":
        try:
            import_module("torch")
        except ImportError as error:
            raise ValueError(
                "backend='torch' needs PyTorch, which is not installed: pip install torch, or use backend='numpy'."
            ) from error
    return import_module(f"deit_ref.{backend}_backend.{name}")


def _weights_for(weights: DeiTWeights, backend: str, device: Any, dtype: Any) -> DeiTWeights:
    """The weights as arrays of that backend, device and dtype: themselves, or a remembered copy."""
    if not isinstance(weights, DeiTWeights):
        raise ValueError(
            f"weights must come from load_weights or init_weights, got {type(weights).__name__}: did you mean "
            f"load_weights({weights!r})?"
        )
    like = weights.pos_embed
    if backend == "numpy":
        if device is not None:
            raise ValueError(f"NumPy has no devices, got device={device!r}: leave it out or use backend='torch'.")
        wanted, where = (
            checks.numpy_dtype(like.dtype if dtype is None and isinstance(like, np.ndarray) else dtype),
            None,
        )
        if isinstance(like, np.ndarray) and like.dtype == wanted:
            return weights
    else:
        devices = _chapter("torch", "device")
        wanted = devices.as_dtype(like.dtype if dtype is None else dtype)
        where = devices.as_device(getattr(like, "device", "cpu") if device is None else device)
        if not isinstance(like, np.ndarray) and (like.dtype, like.device) == (wanted, where):
            return weights
    key = (backend, str(wanted), str(where))
    # Trained weights change in place; a remembered copy would not, and would cut the gradient.
    if any(getattr(array, "requires_grad", False) for _, array in named_arrays(weights)):
        return weights.to(backend, device=device, dtype=dtype)
    copies = _converted.setdefault(weights, {})
    if key not in copies:
        copies[key] = weights.to(backend, device=device, dtype=dtype)
    return copies[key]


def _as_like(name: str, array: Any, like: Any) -> Any:
    """Numbers in any form as an array of the weights' backend, on their device, in its own dtype."""
    if not hasattr(array, "detach"):
        array = np.asarray(array)
        if array.dtype.kind not in "biuf":
            raise ValueError(f"{name} must hold real numbers or booleans, got an array of {array.dtype}.")
        # torch knows neither a foreign byte order nor more than 64 bits.
        array = array.astype(np.float64 if array.dtype.itemsize > 8 else array.dtype.newbyteorder("="), copy=False)
    if isinstance(like, np.ndarray):
        return as_numpy(array)
    return _chapter("torch", "device").to_torch(array, device=like.device)


def _cast(array: Any, like: Any) -> Any:
    return array.astype(like.dtype) if isinstance(like, np.ndarray) else array.to(like.dtype)


def _kind(array: Any) -> str:
    """b, i, u or f, as in NumPy's dtype.kind, for arrays of both backends."""
    name = str(array.dtype).removeprefix("torch.")
    return "b" if name == "bool" else "f" if "float" in name else "i" if "int" in name else name


def _floats(name: str, array: Any, like: Any) -> Any:
    array = _as_like(name, array, like)
    if _kind(array) != "f":
        raise ValueError(
            f"{name} must be floats that are already normalized, got {array.dtype}: photos of 0..255 go to images=."
        )
    return _cast(array, like)


def _switch(name: str, value: bool | None, default: bool) -> bool:
    return default if value is None else checks.boolean(name, value)


def _generator(generator: Any, like: Any) -> Any:
    expected = "np.random.Generator" if isinstance(like, np.ndarray) else "torch.Generator"
    kind = type(generator)
    if generator is not None and f"{kind.__module__.split('.')[0]}.{kind.__name__}" != expected.replace(
        "np.random", "numpy"
    ):
        raise ValueError(f"generator must be a {expected} for this backend, or None for no dropout; got {generator!r}.")
    if generator is not None and not isinstance(like, np.ndarray) and generator.device.type != like.device.type:
        raise ValueError(f"generator lives on {generator.device}, the weights on {like.device}: make it there.")
    return generator


def _mask(name: str, mask: Any, shape: tuple[int, ...], like: Any) -> Any:
    mask = _as_like(name, mask, like)
    if tuple(mask.shape) != shape:
        raise ValueError(f"{name} must have the shape {shape}, one entry per image and patch; got {tuple(mask.shape)}.")
    if not ((mask >= 0) & (mask <= 1)).all():
        raise ValueError(f"{name} must be True or False, or between 0 and 1; got values outside.")
    return _cast(mask, like) if _kind(mask) == "f" else mask == 1


def _head_mask(mask: Any, shape: tuple[int, int], like: Any) -> Any:
    mask = _cast(_as_like("head_mask", mask, like), like)
    layers, heads = shape
    if tuple(mask.shape) not in ((heads,), (layers, 1), (layers, heads)):
        raise ValueError(
            f"head_mask must have the shape ({heads},), one entry per head, or ({layers}, {heads}) with one row per "
            f"layer; got {tuple(mask.shape)}."
        )
    if not _all_finite(mask):
        raise ValueError("head_mask must hold finite numbers, got NaN or infinity.")
    return np.broadcast_to(mask, shape) if isinstance(like, np.ndarray) else mask.expand(shape)


def _attention_mask(mask: Any, shape: tuple[int, int], like: Any) -> Any:
    mask = _as_like("attention_mask", mask, like)
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


def _labels(labels: Any, batch: int, weights: DeiTWeights, like: Any) -> Any:
    """Labels whose kind and shape go with the problem, so that no later reshape can hide a mistake."""
    labels = _as_like("labels", labels, like)
    num_labels, problem_type = weights.config.num_labels, weights.config.problem_type
    if num_labels == 0:
        raise ValueError("labels need a model with a head, and this one has num_labels=0: leave them out.")
    if _kind(labels) == "i":  # in an unsigned dtype torch would take 156 for -100
        labels = labels.astype(np.int64) if isinstance(like, np.ndarray) else labels.long()
    if problem_type is None:
        several = "single_label_classification" if _kind(labels) == "i" else "multi_label_classification"
        problem_type = "regression" if num_labels == 1 else several
    shape = tuple(labels.shape)
    if problem_type == "single_label_classification":
        if _kind(labels) != "i" or shape not in ((batch,), (batch, 1)):
            raise ValueError(
                f"labels of {problem_type} must be integers of shape ({batch},), one class number per image; got "
                f"{labels.dtype} of shape {shape}."
            )
        wrong = ((labels < 0) | (labels >= num_labels)) & (labels != -100)
        if wrong.any():
            raise ValueError(
                f"labels must lie in 0..{num_labels - 1}, or be -100 to leave an image out; got {labels[wrong][0]}."
            )
        if (labels == -100).all():
            raise ValueError("labels are -100 for every image: there is nothing left to take the mean of.")
        return labels
    if shape != (batch, num_labels) and not (num_labels == 1 and shape == (batch,)):
        raise ValueError(
            f"labels of {problem_type} must be numbers of shape ({batch}, {num_labels}), one per image and label; got "
            f"{labels.dtype} of shape {shape}."
        )
    return _cast(labels, like)


def _warn_unless_finite(output: Output, weights: DeiTWeights, pixel_values: Any) -> None:
    """Say where it went wrong; looking costs nothing while all is well."""
    result = next(iter(vars(output).values()))
    if _all_finite(result):
        return
    if not _all_finite(pixel_values):
        cause = "pixel_values contain NaN or infinity"
    else:
        bad = (name for name, array in named_arrays(weights) if not _all_finite(array))
        name = next(bad, None)
        cause = (
            f"the weights contain NaN or infinity, first in {name}"
            if name
            else (f"numbers outgrew {weights.pos_embed.dtype}; try a wider dtype")
        )
    warnings.warn(f"The result is not finite: {cause}.", UserWarning, stacklevel=3)


def _all_finite(array: Any) -> bool:
    return bool(np.isfinite(array).all() if isinstance(array, np.ndarray) else array.isfinite().all())
