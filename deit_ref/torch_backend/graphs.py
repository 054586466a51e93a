"""Captured forwards: on a GPU, the kernels of a forward pass are recorded once and started all at once ever after.

A forward pass of twelve blocks starts about 180 kernels, one by one, from Python. On few images each kernel is over
before the next one is started, and the GPU waits. A CUDA graph holds all of them: replaying it is one start. The price
is memory (inputs, outputs and everything between keep their places) and a fixed shape.

So `forward` records where it pays and changes nothing: on CUDA, for few tokens, without gradients, autocast, dropout,
masks, labels or a trace. The second call of a kind records, so that a shape that comes only once is never recorded;
from the third on it is replayed. At most `MOST` graphs are kept, the one that was not used for longest goes first, and
those of weights that nobody holds any more go with them. Weights that change in place are seen, because a graph holds
their places, not their values.

With the converted weights of `api`, this is all the state there is. A file of the mirror without a chapter; `compiled`
is the other.

Source: torch.cuda.CUDAGraph's notes in PyTorch's documentation.
"""

import threading
import warnings
import weakref
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any, NamedTuple

import torch

from deit_ref.outputs import Output
from deit_ref.weights import DeiTWeights, named_arrays

cuda: Any = torch.cuda  # half of it has no types
MOST = 8
# Beyond so many features (16 images of DeiT-B) kernels take longer than starting them.
MOST_FEATURES = 16 * 198 * 768

Run = Callable[[DeiTWeights, torch.Tensor], Output]


class Captured(NamedTuple):
    """A recorded pass: `replay` reads `pixel_values` and writes `output`; `done` is when it was last read out."""

    replay: Callable[[], None]
    pixel_values: torch.Tensor
    output: Output
    done: Any


_lock = threading.Lock()
# In the order of use. None: seen once, not recorded yet; False: cannot be recorded.
_captured: dict[Any, Captured | bool | None] = {}


def forward(run: Run, weights: DeiTWeights, pixel_values: torch.Tensor, options: Mapping[str, Any]) -> Output:
    """`run(weights, pixel_values, **options)`, replayed where that is possible.

    Args:
        run: a task of `model`.
        weights: tensors.
        pixel_values: (batch, channels, height, width), as the weights' dtype and device.
        options: of the task.

    Returns:
        What `run` returns; the tensors are the caller's own.

    Warns:
        UserWarning: recording failed, once for each kind of call; the pass runs plainly then.
    """
    if not may_capture(weights, pixel_values, options):
        return run(weights, pixel_values, **options)
    kind = (run, tuple(pixel_values.shape), options["interpolate_pos_encoding"])
    key = (weakref.ref(weights, _forget), *kind, *_precision())
    with _lock, cuda.device_of(pixel_values):  # streams and events are those of the current device
        seen, found = key in _captured, _captured.pop(key, None)
        if seen and found is None:
            found = _recorded(run, weights, pixel_values, options)
        _captured[key] = found  # the last to go
        while len(_captured) > MOST:
            del _captured[next(iter(_captured))]
        if isinstance(found, Captured):
            return _replayed(found, pixel_values)
    return run(weights, pixel_values, **options)


def may_capture(weights: DeiTWeights, pixel_values: torch.Tensor, options: Mapping[str, Any]) -> bool:
    """Whether a call is one that a graph can stand for."""
    batch, _, height, width = pixel_values.shape
    patches = (height // weights.config.patch_shape[0]) * (width // weights.config.patch_shape[1])
    if not _on_gpu(pixel_values) or torch.is_autocast_enabled("cuda"):
        return False
    if batch * patches * weights.config.hidden_size > MOST_FEATURES:
        return False
    if any(value is not None and value is not False for name, value in options.items() if name not in _FIXED):
        return False  # a trace, dropout, masks, labels, or more to return
    gradients = torch.is_grad_enabled() and (
        pixel_values.requires_grad or any(array.requires_grad for _, array in named_arrays(weights))
    )
    return not gradients


_FIXED = ("interpolate_pos_encoding",)


def clear() -> None:
    """Let go of all graphs and the memory that they hold."""
    with _lock:
        _captured.clear()


def _on_gpu(pixel_values: torch.Tensor) -> bool:
    return pixel_values.is_cuda and not torch.cuda.is_current_stream_capturing()


def _precision() -> tuple[str, str]:
    """Whether products of float32 may be shortened to TF32: a graph keeps what it was recorded with."""
    backends: Any = torch.backends
    return backends.cuda.matmul.fp32_precision, backends.cudnn.conv.fp32_precision


def _forget(reference: Any) -> None:
    """Called when weights go, maybe in the middle of anything: takes no lock, and deletes only what is theirs."""
    for key in [key for key in list(_captured) if key[0] is reference]:
        _captured.pop(key, None)


def _recorded(
    run: Run, weights: DeiTWeights, pixel_values: torch.Tensor, options: Mapping[str, Any]
) -> Captured | bool:
    try:
        with torch.inference_mode(False), torch.no_grad():  # or only calls in inference mode could be replayed
            return _capture(lambda x: run(weights, x, **options), pixel_values.clone())
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        warnings.warn(
            f"The forward pass of shape {tuple(pixel_values.shape)} runs without a captured graph: {reason}",
            UserWarning,
            stacklevel=4,
        )
        return False


def _capture(function: Callable[[torch.Tensor], Output], pixel_values: torch.Tensor) -> Captured:
    """Record on a stream of its own, after runs that let libraries choose their kernels and take their memory."""
    side = cuda.Stream(pixel_values.device)
    side.wait_stream(torch.cuda.current_stream(pixel_values.device))
    with torch.cuda.stream(side):
        for _ in range(3):
            function(pixel_values)
    torch.cuda.current_stream(pixel_values.device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        output = function(pixel_values)
    return Captured(graph.replay, pixel_values, output, cuda.Event())


def _replayed(captured: Captured, pixel_values: torch.Tensor) -> Output:
    """Copy in, replay, copy out; a call on another stream waits until the one before has copied out."""
    captured.done.wait()
    captured.pixel_values.copy_(pixel_values)
    captured.replay()
    changes: dict[str, Any] = {
        each.name: value.clone()
        for each in fields(captured.output)
        if isinstance(value := getattr(captured.output, each.name), torch.Tensor)
    }
    output = replace(captured.output, **changes)
    captured.done.record()
    return output
