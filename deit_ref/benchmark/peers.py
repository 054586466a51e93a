"""Who is compared: every peer reads the same folder of weights and turns the same pixel values into logits."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import deit_ref

Run = Callable[[], Any]  # one forward pass, to logits where the peer leaves them


def open_numpy(folder: Path, pixel_values: np.ndarray[Any, Any], *, device: str, dtype: str) -> Run:
    """deit_ref's NumPy backend; its float32 is compared with every dtype of the others."""
    if device != "cpu":
        raise ValueError("NumPy has no devices")
    weights = deit_ref.load_weights(folder)
    return lambda: deit_ref.forward(weights, pixel_values=pixel_values).logits


def open_torch(folder: Path, pixel_values: np.ndarray[Any, Any], *, device: str, dtype: str) -> Run:
    """deit_ref's torch backend, through its public function."""
    import torch

    weights = deit_ref.load_weights(folder).to("torch", device=device, dtype=dtype)
    x = torch.from_numpy(pixel_values).to(device, weights.pos_embed.dtype)
    return lambda: deit_ref.forward(weights, pixel_values=x, backend="torch").logits


def open_transformers(
    folder: Path, pixel_values: np.ndarray[Any, Any], *, device: str, dtype: str, attention: str
) -> Run:
    """transformers, with its own attention or torch's fused one."""
    import torch
    import transformers

    model: Any = transformers.DeiTForImageClassificationWithTeacher.from_pretrained(
        folder, attn_implementation=attention, dtype=getattr(torch, dtype)
    )
    model = model.to(device).eval()
    x = torch.from_numpy(pixel_values).to(device, getattr(torch, dtype))
    return lambda: model(x).logits


def open_timm(folder: Path, pixel_values: np.ndarray[Any, Any], *, device: str, dtype: str) -> Run:
    """timm's distilled DeiT, with the weights' own epsilon."""
    import torch

    model = _timm_model(folder).to(device, getattr(torch, dtype))
    x = torch.from_numpy(pixel_values).to(device, getattr(torch, dtype))
    return lambda: model(x)


def open_onnxruntime(folder: Path, pixel_values: np.ndarray[Any, Any], *, device: str, dtype: str) -> Run:
    """onnxruntime on a file that torch exports from transformers' model."""
    import onnxruntime
    import torch
    import transformers

    if dtype != "float32":
        raise ValueError("only float32 is exported here")
    file = folder / f"model-{len(pixel_values)}.onnx"
    if not file.exists():
        model: Any = transformers.DeiTForImageClassificationWithTeacher.from_pretrained(folder).eval()

        class Logits(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.model = model

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                logits: torch.Tensor = self.model(x).logits
                return logits

        torch.onnx.export(Logits(), (torch.from_numpy(pixel_values),), file, input_names=["x"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    providers = ["CUDAExecutionProvider"] if device.startswith("cuda") else ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(str(file), options, providers=providers)
    return lambda: session.run(None, {"x": pixel_values})[0]


def _timm_model(folder: Path) -> Any:
    import timm
    import torch

    from deit_ref.weights import named_arrays

    weights = deit_ref.load_weights(folder)
    config = weights.config
    model = timm.models.deit.VisionTransformerDistilled(
        img_size=config.image_shape,
        patch_size=config.patch_shape,
        embed_dim=config.hidden_size,
        depth=config.num_hidden_layers,
        num_heads=config.num_attention_heads,
        mlp_ratio=config.intermediate_size / config.hidden_size,
        num_classes=config.num_labels,
        norm_layer=lambda dim: torch.nn.LayerNorm(dim, eps=config.layer_norm_eps),
    )
    state = {name: torch.from_numpy(np.array(array)) for name, array in named_arrays(weights)}
    model.load_state_dict(state)
    return model.eval()


PEERS: Mapping[str, Callable[..., Run]] = {
    "numpy": open_numpy,
    "torch": open_torch,
    "transformers-eager": lambda *args, **options: open_transformers(*args, **options, attention="eager"),
    "transformers-sdpa": lambda *args, **options: open_transformers(*args, **options, attention="sdpa"),
    "timm": open_timm,
    "onnxruntime": open_onnxruntime,
}
NEEDS = {
    "torch": ("torch",),
    "transformers-eager": ("torch", "transformers"),
    "transformers-sdpa": ("torch", "transformers"),
    "timm": ("torch", "timm"),
    "onnxruntime": ("torch", "transformers", "onnxruntime", "onnx", "onnxscript"),
}
