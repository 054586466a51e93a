"""Writes tests/golden/: tiny models of timm with the original repository's names, an input, and timm's logits.

Not a test: run by hand, in an environment with torch and timm, when the golden files should change:

    python tests/make_golden.py

The files are what `torch.save` writes, the two forms that the original repository publishes and that its training
leaves behind. Versions are stored beside the numbers.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

FOLDER = Path(__file__).parent / "golden"
# A head has 64 numbers in every DeiT; all else is as small as it can be.
SIZES = {"embed_dim": 64, "num_heads": 1, "mlp_ratio": 0.5, "img_size": 16, "patch_size": 4, "num_classes": 7}
MODELS = {
    "plain": ("deit_tiny_patch16_224", {"depth": 1}),
    "distilled": ("deit_tiny_distilled_patch16_224", {"depth": 2}),
}


def import_timm() -> Any:
    """timm, also where torchvision's compiled part does not fit the installed torch.

    All that timm imports of torchvision works without it, once its operators have a namespace and nobody registers
    shapes for them. Done here and not on import, because it changes torch for the whole process.
    """
    library = torch.library.Library("torchvision", "DEF")
    register_fake = torch.library.register_fake
    torch.library.register_fake = lambda *_, **__: lambda function: function
    try:
        import timm
    finally:
        torch.library.register_fake = register_fake
    timm.kept_alive = library  # the namespace goes with its object
    return timm


def main() -> None:
    """Draw weights, run timm, write."""
    timm = import_timm()
    FOLDER.mkdir(exist_ok=True)
    numbers: dict[str, np.ndarray] = {}
    for seed, (kind, (name, depth)) in enumerate(MODELS.items()):
        generator = torch.Generator().manual_seed(seed)
        model = timm.create_model(name, **SIZES, **depth).eval()
        # Larger than training starts with, so that GELU's form shows in the logits; small before the first norm, so
        # that its eps does.
        for parameter_name, parameter in model.named_parameters():
            embeds = parameter_name.startswith(("cls_token", "dist_token", "pos_embed", "patch_embed"))
            std = 0.01 if embeds else 0.06 if parameter.ndim > 1 else 0.2
            parameter.data = torch.randn(parameter.shape, generator=generator) * std
        for module in model.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.weight.data += 1
        # The file holds half of the digits, and so timm computes with the same.
        half = {key: tensor.half() for key, tensor in model.state_dict().items()}
        model.load_state_dict(half)
        pixels = torch.randn(2, 3, 16, 16, generator=generator)
        with torch.no_grad():
            features = model.forward_features(pixels)
            numbers[f"{kind}_logits"] = model(pixels).numpy()
            if kind == "distilled":
                numbers["distilled_cls_logits"] = model.head(features[:, 0]).numpy()
                numbers["distilled_distillation_logits"] = model.head_dist(features[:, 1]).numpy()
        numbers[f"{kind}_pixel_values"] = pixels.numpy()
        published = {"model": half}
        if kind == "plain":
            published |= {"epoch": 3, "args": argparse.Namespace(model=name, lr=5e-4)}
        torch.save(published, FOLDER / f"{kind}.pth", _use_new_zipfile_serialization=kind == "distilled")
    np.savez_compressed(FOLDER / "numbers.npz", **numbers)
    versions = {"timm": timm.__version__, "torch": torch.__version__, "numpy": np.__version__}
    (FOLDER / "versions.json").write_text(json.dumps({"sizes": SIZES, "models": MODELS, **versions}, indent=2) + "\n")


if __name__ == "__main__":
    main()
