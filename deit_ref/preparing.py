"""prepared: a forward pass that is compiled for these weights and so many photos, on a CPU."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from deit_ref import checks, inputs
from deit_ref.api import forward, preprocess
from deit_ref.arrays import fingerprint, import_torch
from deit_ref.outputs import Output
from deit_ref.weights import DeiTWeights, map_weights, named_arrays

MOST = 4096  # photos; larger batches make nothing faster, and fill the memory


def prepared(weights: DeiTWeights, *, batch_size: int = 1, dtype: Any = None) -> Callable[..., Output]:
    """A forward pass for many calls: compiled now, which takes up to a minute, and faster in every call.

    How much it gains depends on the processor and the model: `deit-ref benchmark` measures it as torch-compiled.
    `forward` does everything else: photos of another size, masks, traces, gradients, GPUs.

    Args:
        weights: from `load_weights` or `init_weights`, on the CPU. Their numbers become part of the program. NumPy
            arrays are looked through for changes in each call, a millisecond per 10 MB: before many calls, convert them
            yourself, `weights = weights.to("torch")`.
        batch_size: photos of one call at most, up to 4096. Fewer take as long as all of them.
        dtype: to compute in: "float32", "float64", "float16" or "bfloat16"; None means that of the weights.

    Returns:
        A function `run(images=None, *, pixel_values=None)`, which takes one of them as `forward` does and returns what
        `forward` returns with backend="torch", without gradients. It raises a ValueError where `forward` does, for
        more photos than `batch_size`, and once the weights have changed.

    Raises:
        ValueError: torch or a C++ compiler is missing, the weights are on a GPU, or their config asks for hidden states
            or attentions.
    """
    torch = import_torch()
    from deit_ref.torch_backend.compiled import compiled
    from deit_ref.torch_backend.model import TASKS

    most = checks.integer("batch_size", batch_size)
    if most > MOST:
        raise ValueError(f"batch_size must be at most {MOST}, got {checks.brief(batch_size)}: call it more than once.")
    config, made_from = inputs.weights(weights).config, _state(weights)
    for name in ("output_hidden_states", "output_attentions"):
        if getattr(config, name):
            raise ValueError(f"A prepared pass returns its answer alone, and the config says {name}: call forward.")
    own = map_weights(lambda array: array.detach(), weights.to("torch", dtype=dtype))
    if own.pos_embed.device.type != "cpu":
        raise ValueError(
            f"prepared compiles for a CPU, got weights on {own.pos_embed.device}: call forward, which captures graphs "
            "there, or prepare weights.to('torch', device='cpu')."
        )
    nothing = torch.zeros(most, config.num_channels, *config.image_shape, dtype=own.pos_embed.dtype)
    like = forward(own, pixel_values=nothing, backend="torch")
    program = compiled(TASKS[weights.task], own, nothing)

    def run(images: Any = None, *, pixel_values: Any = None) -> Output:
        if _state(weights) != made_from:
            raise ValueError("The weights have changed since they were prepared: prepare them again.")
        inputs.check_source(images, pixel_values, None)
        if pixel_values is None:
            pixel_values = preprocess(images, weights.image_processing, backend="torch")
        x = inputs.pixel_values(pixel_values, own)
        if len(x) > most or x.shape[1:] != nothing.shape[1:]:
            raise ValueError(
                f"Prepared for {tuple(nothing.shape)} or fewer images, got {tuple(x.shape)}: prepare with another "
                "batch_size, or call forward."
            )
        found = program(torch.cat([x, nothing[len(x) :]]) if len(x) < most else x)
        changes: dict[str, Any] = {name: value[: len(x)] for name, value in found.items()}
        output: Output = replace(like, **changes)
        inputs.warn_unless_finite(next(iter(changes.values())), own, x)
        if images is None:
            inputs.warn_of_bytes(x, own)
        return output

    return run


def _state(weights: DeiTWeights) -> tuple[int, ...]:
    """Numbers of which one changes with the weights; torch counts the changes of a tensor in place."""
    arrays = [array for _, array in named_arrays(weights)]
    if all(checks.is_tensor(array) and not array.is_inference() for array in arrays):
        return tuple(array._version for array in arrays)
    return fingerprint(arrays)
