"""forward, gradients, preprocess, compare: the one place that chooses a backend."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from deit_ref import checks, inputs, objective
from deit_ref.arrays import (
    BACKENDS,
    as_device,
    as_dtype,
    fingerprint,
    import_torch,
    keep_freed_memory,
    numpy_dtype,
    same_memory,
    to_torch,
)
from deit_ref.comparison import Comparison, compared
from deit_ref.image_processing import AN_IMAGE_PROCESSING, ImageProcessing
from deit_ref.outputs import ClassificationOutput, Gradients, TeacherOutput
from deit_ref.photos import bytes_of, load_images
from deit_ref.trace import Trace
from deit_ref.weights import DeiTWeights, named_arrays


class Converted(NamedTuple):
    """Weights for another backend, device or dtype, and the fingerprint of those that they were made from.

    The fingerprint is None where both are the same memory, which cannot differ.
    """

    weights: DeiTWeights
    made_from: tuple[int, ...] | None


# By backend, device and dtype. They go when the weights that they were made from go.
_converted: WeakKeyDictionary[DeiTWeights, dict[Any, Converted]] = WeakKeyDictionary()


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
        images: a path, a file opened in binary, a PIL image, an array or tensor (height, width[, channels]), or a list
            of those, of any sizes. They are prepared as `image_processing` says.
        pixel_values: instead of images: floats (batch, channels, height, width), already prepared.
        backend: "numpy", to read along, or "torch", to be fast.
        device: of torch, such as "cuda"; None means where the weights are, and the CPU for NumPy weights.
        dtype: to compute in: "float32" or "float64", with torch also "float16" or "bfloat16"; None means that of
            the weights. Weights are converted once per device and dtype, kept as long as `weights` lives, and converted
            again once they were changed in place. Looking for that takes a millisecond per 10 MB: before many calls on
            a GPU, convert them yourself, `weights = weights.to("torch", device="cuda")`.
        image_processing: instead of the weights' own.
        bool_masked_pos: (batch, patches), True or 1 where a patch is hidden; needs a mask token.
        head_mask: (heads,) or (blocks, heads), numbers that multiply each head's attention probabilities.
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
        UserWarning: the result is not finite; the message names the first cause. Or pixel_values look like a photo.
    """
    weights, pixel_values, given = _prepared(
        weights,
        images,
        pixel_values,
        image_processing,
        Where(backend, device, dtype),
        trace=trace,
        generator=generator,
        interpolate_pos_encoding=interpolate_pos_encoding,
        bool_masked_pos=bool_masked_pos,
        head_mask=head_mask,
        attention_mask=attention_mask,
    )
    for name, value in (("output_hidden_states", output_hidden_states), ("output_attentions", output_attentions)):
        given[name] = inputs.switch(name, value, weights)
    if (labels := inputs.labels(labels, weights, pixel_values)) is not None:
        given["labels"] = labels
    run = _chapter(backend, "model").TASKS[weights.task]
    if backend == "torch":
        output = _chapter("torch", "graphs").forward(run, weights, pixel_values, given)
    else:
        output = run(weights, pixel_values, **given)
    inputs.warn_unless_finite(next(iter(vars(output).values())), weights, pixel_values)
    if images is None:
        inputs.warn_of_bytes(pixel_values, weights)
    if isinstance(output, ClassificationOutput | TeacherOutput) and weights.config.num_labels == 0:
        return replace(output, class_names=())  # its logits are a token: `top` would take each number for a class
    return output


def gradients(
    weights: DeiTWeights,
    images: Any = None,
    *,
    pixel_values: Any = None,
    labels: Any = None,
    teacher_logits: Any = None,
    distillation: str = "none",
    alpha: float | None = None,
    tau: float | None = None,
    target: Any = None,
    with_respect_to: Sequence[str] = ("weights",),
    backend: str = "numpy",
    device: Any = None,
    dtype: Any = None,
    image_processing: ImageProcessing | None = None,
    bool_masked_pos: Any = None,
    head_mask: Any = None,
    attention_mask: Any = None,
    interpolate_pos_encoding: bool = False,
    generator: Any = None,
    trace: Trace | None = None,
    gradient_trace: Trace | None = None,
) -> Gradients:
    """How much one number, a loss or a class's logit, grows with every weight, pixel, attention or head.

    Args:
        weights, images, pixel_values, backend, device, image_processing: as in `forward`.
        bool_masked_pos, head_mask, attention_mask, interpolate_pos_encoding, generator, trace: as in `forward`.
        labels: the number is the loss. As in `forward`; with two heads class numbers (batch,), or shares (batch,
            num_labels) that sum to 1. Masked image modeling has a loss without labels, given `bool_masked_pos`.
        teacher_logits: (batch, num_labels), for distillation.
        distillation: "none", both heads learn from the labels; "soft" or "hard", the second from the teacher.
        alpha: the weight of the teacher's term in the loss, 0.5 if left out.
        tau: the temperature of soft distillation, 1 if left out.
        target: instead of labels: a class, or one for each image; the number is the sum of their logits, of both heads'
            mean. Of the task "features", an entry of the pooler's output or, without pooler, of the class token.
        dtype: as in `forward`. In half precision the loss is computed in half precision too, as transformers does; the
            loops of `deit_ref.training` raise it to float32, and so does `output.logits.float()` with autograd.
        with_respect_to: which of "weights", "pixel_values" (as the model sees them), "attentions" and "head_mask".
        gradient_trace: a new `Trace`, which then holds the gradient of every step of `trace` behind `pixel_values`, by
            the same name, in the order of the way back.

    Returns:
        The number, and the gradients that were asked for, arrays of the backend that ran; the others are None.

    Raises:
        ValueError: as in `forward`; or it is not said, or said twice, what is to be differentiated.

    Warns:
        UserWarning: as in `forward`.
    """
    weights, pixel_values, given = _prepared(
        weights,
        images,
        pixel_values,
        image_processing,
        Where(backend, device, dtype),
        trace=trace,
        generator=generator,
        interpolate_pos_encoding=interpolate_pos_encoding,
        bool_masked_pos=bool_masked_pos,
        head_mask=head_mask,
        attention_mask=attention_mask,
    )
    asked = objective.with_respect_to(with_respect_to)
    number = objective.number(
        weights,
        pixel_values,
        {
            "labels": labels,
            "teacher_logits": teacher_logits,
            "distillation": distillation,
            "alpha": alpha,
            "tau": tau,
            "target": target,
            "bool_masked_pos": bool_masked_pos,
        },
    )
    if "head_mask" in asked and head_mask is None:  # a head that is heard as it is is multiplied by 1
        given["head_mask"] = inputs.head_mask([1.0] * weights.config.num_attention_heads, weights)
    run = _chapter(backend, "backward.gradients" if backend == "numpy" else "gradients").gradients
    steps = inputs.trace(gradient_trace, "gradient_trace")
    found: Gradients = run(weights, pixel_values, with_respect_to=asked, gradient_trace=steps, **number, **given)
    inputs.warn_unless_finite(found.value, weights, pixel_values)
    if images is None:
        inputs.warn_of_bytes(pixel_values, weights)
    return found


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
        images: a path, a file opened in binary, a PIL image, an array or tensor (height, width[, channels]), or a list
            of those.
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
    checks.instance("image_processing", image_processing, ImageProcessing, AN_IMAGE_PROCESSING)
    trace = inputs.trace(trace)
    device = inputs.device(device, backend)
    photos = load_images(
        images,
        do_convert_rgb=image_processing.do_convert_rgb,
        input_data_format=image_processing.input_data_format,
        apply_exif=image_processing.apply_exif,
        keep_fractions=not image_processing.do_rescale,
    )
    if any(photo.dtype != np.uint8 for photo in photos):
        photos, image_processing = _rescaled_already(photos, image_processing)
    arrays = photos if backend == "numpy" else [to_torch(photo, device=device) for photo in photos]
    pixel_values = _chapter(backend, "image").preprocess(arrays, image_processing, trace=trace)
    if data_format == "channels_last":
        return pixel_values.transpose(0, 2, 3, 1) if backend == "numpy" else pixel_values.permute(0, 2, 3, 1)
    return pixel_values


def _rescaled_already(photos: list[Any], processing: ImageProcessing) -> tuple[list[Any], ImageProcessing]:
    """Floats in 0..1 under do_rescale=False: they stay as they are or, to be resized, are bytes for a while.

    Source: `resize` of transformers' slow processor, which undoes afterwards what it multiplies by.
    """
    if any(photo.dtype == np.uint8 for photo in photos):
        if not any(photo.any() for photo in photos if photo.dtype != np.uint8):  # black is 0 of 1 and 0 of 255
            return [photo.astype(np.uint8) for photo in photos], processing
        raise ValueError(
            "images must be floats in 0..1 or values in 0..255 where do_rescale=False leaves them as they are, got "
            "both: divide the others by 255, or leave do_rescale on."
        )
    if not processing.do_resize:
        return photos, processing
    return [bytes_of(photo) for photo in photos], replace(processing, do_rescale=True, rescale_factor=1 / 255)


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
        One row per step, and whether all are within their bounds: 1e-10 in float64, 1e-5 in float32, 2e-2 in float16
        and 1e-1 in bfloat16, relative to the step's largest value; behind a softmax more, by what its scores differ
        (see `deit_ref.comparison`).
    """
    for name in ("backend", "trace", "generator"):
        if name in options:
            raise ValueError(f"compare runs both backends with its own traces and without dropout: leave {name} out.")
    torch_dtype = str(_weights_for(weights, "torch", device, dtype).pos_embed.dtype).removeprefix("torch.")
    beside = "float64" if torch_dtype == "float64" else "float32"
    book, mirror = Trace(), Trace()
    forward(weights, images, backend="numpy", dtype=beside, trace=book, **options)
    forward(weights, images, backend="torch", device=device, dtype=dtype, trace=mirror, **options)
    return compared(book, mirror, dtype=torch_dtype)


class Where(NamedTuple):
    """What computes."""

    backend: str
    device: Any
    dtype: Any


def _prepared(
    weights: DeiTWeights,
    images: Any,
    pixel_values: Any,
    image_processing: ImageProcessing | None,
    where: Where,
    *,
    trace: Trace | None,
    generator: Any,
    interpolate_pos_encoding: bool,
    **masks: Any,
) -> tuple[DeiTWeights, Any, dict[str, Any]]:
    """The weights where they are to compute, the pixels as they see them, and those of the options that were given."""
    checks.choice("backend", where.backend, BACKENDS)
    inputs.check_source(images, pixel_values, image_processing)
    trace = inputs.trace(trace)
    weights = _weights_for(weights, *where)
    keep_freed_memory()
    if pixel_values is None:
        pixel_values = preprocess(
            images,
            weights.image_processing if image_processing is None else image_processing,
            backend=where.backend,
            device=weights.pos_embed.device if where.backend == "torch" else None,
            trace=trace,
        )
    pixel_values = inputs.pixel_values(pixel_values, weights)
    options = {
        "interpolate_pos_encoding": checks.boolean("interpolate_pos_encoding", interpolate_pos_encoding),
        "generator": inputs.generator(generator, weights),
        "trace": trace,
        "bool_masked_pos": inputs.bool_masked_pos(masks["bool_masked_pos"], weights, pixel_values),
        "head_mask": inputs.head_mask(masks["head_mask"], weights),
        "attention_mask": inputs.attention_mask(masks["attention_mask"], weights, pixel_values),
    }
    # No task takes all of them.
    return weights, pixel_values, {name: value for name, value in options.items() if value is not None}


def _chapter(backend: str, name: str) -> ModuleType:
    """A file of a backend, imported when it is first needed: torch takes a second, scipy a tenth."""
    return import_module(f"deit_ref.{backend}_backend.{name}")


def _weights_for(weights: DeiTWeights, backend: str, device: Any, dtype: Any) -> DeiTWeights:
    """The weights as arrays of that backend, device and dtype: themselves, or a remembered copy."""
    inputs.weights(weights)
    inputs.device(device, backend)
    like = weights.pos_embed
    in_numpy = isinstance(like, np.ndarray)
    if backend == "numpy":
        wanted, where = numpy_dtype(like.dtype if dtype is None and in_numpy else dtype), None
        if in_numpy and like.dtype == wanted:
            return weights
    else:
        wanted = as_dtype(like.dtype if dtype is None else dtype)
        where = as_device(getattr(like, "device", "cpu") if device is None else device)
        if not in_numpy and (like.dtype, like.device) == (wanted, where):
            return weights
    # A remembered copy would cut the gradient of weights in training.
    if any(getattr(array, "requires_grad", False) for _, array in named_arrays(weights)):
        return weights.to(backend, device=device, dtype=dtype)
    copies = _converted.setdefault(weights, {})
    key = (backend, str(wanted), str(where))
    found = copies.get(key)
    if found is not None and found.made_from is None:
        return found.weights
    now = fingerprint(array for _, array in named_arrays(weights))
    if found is None or found.made_from != now:  # new, or changed in place since
        # What is remembered must serve later calls too: made in inference_mode, it could never have a gradient.
        with import_torch().inference_mode(False) if backend == "torch" else nullcontext():
            copy = weights.to(backend, device=device, dtype=dtype)
        pairs = zip(named_arrays(weights), named_arrays(copy), strict=True)
        shared = all(same_memory(here, there) for (_, here), (_, there) in pairs)
        found = copies[key] = Converted(copy, None if shared else now)
    return found.weights
