"""Who is compared: every peer reads the same folder of weights and turns the same pixel values into logits.

A peer that cannot do what is asked raises a ValueError that says why, and is left out.
"""

import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import deit_ref
from deit_ref.weights import named_arrays

Run = Callable[[], Any]  # one forward pass, to logits where the peer leaves them


def open_numpy(folder: Path, pixel_values: np.ndarray[Any, Any], *, device: str, dtype: str) -> Run:
    """deit_ref's NumPy backend."""
    if device != "cpu" or dtype not in ("float32", "float64"):
        raise ValueError("NumPy computes in float32 or float64 on a CPU")
    weights = deit_ref.load_weights(folder).to("numpy", dtype=dtype)
    x = pixel_values.astype(dtype)
    return lambda: deit_ref.forward(weights, pixel_values=x).logits


def open_torch(folder: Path, pixel_values: np.ndarray[Any, Any], *, device: str, dtype: str) -> Run:
    """deit_ref's torch backend, through its public function."""
    weights = deit_ref.load_weights(folder).to("torch", device=device, dtype=dtype)
    x = _tensor(pixel_values, device, dtype)
    return lambda: deit_ref.forward(weights, pixel_values=x, backend="torch").logits


def open_torch_compiled(folder: Path, pixel_values: np.ndarray[Any, Any], *, device: str, dtype: str) -> Run:
    """deit_ref's torch backend, compiled: `deit_ref.prepared` on a CPU, `torch.compile` on a GPU."""
    from deit_ref.torch_backend.model import classification_with_teacher

    weights = deit_ref.load_weights(folder).to("torch", device=device, dtype=dtype)
    x = _tensor(pixel_values, device, dtype)
    if not device.startswith("cuda"):
        run: Any = deit_ref.prepared(weights, batch_size=len(x))
        return lambda: run(pixel_values=x).logits
    compiled = _compiled(lambda x: classification_with_teacher(weights, x).logits, device)
    return lambda: compiled(x)


def open_transformers(
    folder: Path, pixel_values: np.ndarray[Any, Any], *, device: str, dtype: str, attention: str, compiled: bool = False
) -> Run:
    """transformers, with its own attention or torch's fused one; compiled if asked to."""
    import torch

    _accept_torchvision()
    import transformers

    model: Any = transformers.DeiTForImageClassificationWithTeacher.from_pretrained(
        folder, attn_implementation=attention, dtype=getattr(torch, dtype)
    )
    model = model.to(device).eval()
    if compiled:
        model = _compiled(model, device)
    x = _tensor(pixel_values, device, dtype)
    return lambda: model(x).logits


def open_timm(
    folder: Path, pixel_values: np.ndarray[Any, Any], *, device: str, dtype: str, compiled: bool = False
) -> Run:
    """timm's distilled DeiT, with the weights' own epsilon; compiled if asked to."""
    import torch

    _accept_torchvision()
    import timm

    weights = deit_ref.load_weights(folder).to("torch", dtype=dtype)
    config = weights.config
    with torch.device("meta"):  # new weights would only be memory
        model = timm.models.deit.VisionTransformerDistilled(
            img_size=config.image_shape,
            patch_size=config.patch_shape,
            embed_dim=config.hidden_size,
            depth=config.num_hidden_layers,
            num_heads=config.num_attention_heads,
            mlp_ratio=config.intermediate_size / config.hidden_size,
            num_classes=config.num_labels,
            norm_layer=partial(torch.nn.LayerNorm, eps=config.layer_norm_eps),
        )
    model.load_state_dict(dict(named_arrays(weights)), assign=True)
    model = model.to(device).eval()
    if compiled:
        model = _compiled(model, device)
    x = _tensor(pixel_values, device, dtype)
    return lambda: model(x)


def open_onnxruntime(folder: Path, pixel_values: np.ndarray[Any, Any], *, device: str, dtype: str) -> Run:
    """onnxruntime on a file that torch exports from transformers' model."""
    import os

    import onnxruntime

    provider = _provider(device)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", 0))
    settings = {"use_tf32": "0"} if device.startswith("cuda") else {}
    file = str(_onnx_file(folder, pixel_values))
    session = onnxruntime.InferenceSession(file, options, providers=[(provider, settings)])
    return lambda: session.run(None, {"x": pixel_values})[0]


def make_onnx(folder: Path, pixel_values: np.ndarray[Any, Any], *, device: str, dtype: str) -> None:
    """The file that `open_onnxruntime` opens, beside the folder's."""
    if dtype != "float32":
        raise ValueError("only float32 is exported here")
    _provider(device)
    # In a process of its own: this one's memory is measured, and torch is not part of onnxruntime.
    code = "import sys; from deit_ref.benchmark import peers; peers.export_onnx(*sys.argv[1:])"
    words = [str(folder), str(_onnx_file(folder, pixel_values)), *map(str, pixel_values.shape)]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"torch.onnx.export failed: {done.stderr.strip().rpartition(chr(10))[2]}")


def _provider(device: str) -> str:
    import onnxruntime

    provider = "CUDAExecutionProvider" if device.startswith("cuda") else "CPUExecutionProvider"
    if provider not in onnxruntime.get_available_providers():
        raise ValueError(f"this onnxruntime has no {provider}")
    return provider


def _onnx_file(folder: Path, pixel_values: np.ndarray[Any, Any]) -> Path:
    return folder / f"model-{len(pixel_values)}.onnx"


def export_onnx(folder: str, file: str, *shape: str) -> None:
    """Write transformers' model, from pixel values of this shape to logits, as a file for onnxruntime."""
    import torch

    _accept_torchvision()
    import transformers

    model: Any = transformers.DeiTForImageClassificationWithTeacher.from_pretrained(folder).train(False)

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.model(x).logits
            return logits

    torch.onnx.export(Logits(), (torch.zeros([int(side) for side in shape]),), file, input_names=["x"])


def _compiled(run: Any, device: str) -> Any:
    """By `torch.compile`: with weights as constants on a CPU, with a captured graph on a GPU."""
    import torch

    if device.startswith("cuda"):
        return torch.compile(run, mode="reduce-overhead")
    return torch.compile(run, options={"freezing": True})


def _tensor(pixel_values: np.ndarray[Any, Any], device: str, dtype: str) -> Any:
    import torch

    return torch.from_numpy(pixel_values).to(device, getattr(torch, dtype))


def _accept_torchvision() -> None:
    """Make a torchvision importable that was built for another torch; timm and transformers ask for one.

    It misses the operators of its compiled half. Nothing here calls them: their names are enough.
    """
    import torch

    if find_spec("torchvision") is None:
        return
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library: Any = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT.append(library)  # definitions end with the object


_KEPT: list[Any] = []
PEERS: Mapping[str, Callable[..., Run]] = {
    "numpy": open_numpy,
    "torch": open_torch,
    "torch-compiled": open_torch_compiled,
    "transformers-eager": lambda *args, **options: open_transformers(*args, **options, attention="eager"),
    "transformers-sdpa": lambda *args, **options: open_transformers(*args, **options, attention="sdpa"),
    "transformers-compiled": lambda *args, **options: open_transformers(
        *args, **options, attention="sdpa", compiled=True
    ),
    "timm": open_timm,
    "timm-compiled": lambda *args, **options: open_timm(*args, **options, compiled=True),
    "onnxruntime": open_onnxruntime,
}
# What a peer's users make once, before they begin.
FILES: Mapping[str, Callable[..., None]] = {"onnxruntime": make_onnx}
# What each imports, as pip calls it, which is as Python does.
NEEDS: Mapping[str, tuple[str, ...]] = {
    "numpy": (),
    "torch": ("torch",),
    "torch-compiled": ("torch",),
    "transformers-eager": ("torch", "transformers"),
    "transformers-sdpa": ("torch", "transformers"),
    "transformers-compiled": ("torch", "transformers"),
    "timm": ("torch", "timm"),
    "timm-compiled": ("torch", "timm"),
    "onnxruntime": ("torch", "transformers", "onnxruntime", "onnx", "onnxscript"),
}
