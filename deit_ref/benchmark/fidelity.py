"""How closely this project matches others, measured: the table of the README and of the site.

    python -m deit_ref.benchmark.fidelity [--json FILE]

Models of a published size (DeiT-Ti, 224 pixels) get random weights on which mistakes show (see `draw`) and go through
transformers' own folders, or a file of timm's. Differences are the largest absolute ones, divided by the largest value
of the reference. Needs the `dev` extra; timm is compared where it is installed.
"""

import argparse
import datetime
import platform
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

import deit_ref
from deit_ref.arrays import as_numpy
from deit_ref.checkpoints.files import json_bytes, write
from deit_ref.image_processing import RESAMPLING, ImageProcessing
from deit_ref.photos import bundled_photo, load_image
from deit_ref.weights import DeiTWeights

CLASSES = (
    "DeiTModel",
    "DeiTForImageClassification",
    "DeiTForImageClassificationWithTeacher",
    "DeiTForMaskedImageModeling",
    "ViTModel",
    "ViTForImageClassification",
    "ViTForMaskedImageModeling",
)


def difference(actual: Any, reference: Any) -> float:
    """The largest absolute difference, divided by the largest value of the reference."""
    actual, reference = (as_numpy(x).astype(np.float64) for x in (actual, reference))
    return float(np.abs(actual - reference).max() / np.abs(reference).max())


def first(output: Any) -> Any:
    """The main result of any output: tokens, logits or picture."""
    return next(iter(vars(output).values()))


def draw(module: Any, *, seed: int = 0, gain: float = 1.4) -> None:
    """Weights for somebody else's model on which mistakes show: none is 0 or 1, and no branch is faint.

    Norms multiply by about 1, and a matrix hands on `gain` times what it gets, so that softmax has decided something
    and GELU is used where its forms differ. Tokens before the first block are short, so that its norm's eps counts.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            alone = parameter.ndim == 1 or "pos" in name or "token" in name
            std = 0.02 if "embed" in name or "token" in name else 0.2 if alone else gain
            mean = 1 if "norm" in name and name.endswith("weight") else 0
            parameter.normal_(mean, std if alone else std / parameter[0].numel() ** 0.5, generator=generator)


def models(names: Sequence[str] = CLASSES) -> Iterator[tuple[Any, DeiTWeights]]:
    """A random transformers model of each class, and our weights read from its folder."""
    import transformers

    sizes: dict[str, Any] = {"hidden_size": 192, "num_attention_heads": 3, "intermediate_size": 768, "num_labels": 1000}
    for name in names:
        config = transformers.ViTConfig if name.startswith("ViT") else transformers.DeiTConfig
        peer: Any = getattr(transformers, name)(config(**sizes)).train(False)
        draw(peer)
        with tempfile.TemporaryDirectory() as folder:
            peer.save_pretrained(folder)
            yield peer, deit_ref.load_weights(folder)


def model_rows() -> Iterator[tuple[str, str, str]]:
    """Both backends against transformers, each other, and float64."""
    import torch

    x = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    found: dict[str, list[float]] = {}
    for peer, weights in models():
        mask = np.random.default_rng(1).random((1, 196)) < 0.5 if weights.task == "masked-image-modeling" else None
        options: dict[str, Any] = {} if mask is None else {"bool_masked_pos": mask}
        with torch.no_grad():
            answer = peer(torch.from_numpy(x), **{name: torch.from_numpy(value) for name, value in options.items()})
            reference = answer[1 if options else 0]  # the loss comes first
        exact = first(deit_ref.forward(weights, pixel_values=x, dtype="float64", **options))
        for backend in ("numpy", "torch"):
            result = first(deit_ref.forward(weights, pixel_values=x, backend=backend, **options))
            found.setdefault(f"{backend}, transformers", []).append(difference(result, reference))
            found.setdefault(f"{backend}, float64", []).append(difference(result, exact))
        for dtype in ("float32", "float64"):
            comparison = deit_ref.compare(weights, pixel_values=x, dtype=dtype, **options)
            found.setdefault(f"mirror, {dtype}", []).append(comparison.worst.difference)
    worst = {name: f"{max(values):.1e}" for name, values in found.items()}
    count = len(CLASSES)
    peer_name = f"transformers {version('transformers')}, {count} model classes"
    yield f"NumPy backend against {peer_name}, float32", worst["numpy, transformers"], "1e-5"
    yield f"torch backend against {peer_name}, float32", worst["torch, transformers"], "1e-5"
    yield "NumPy against torch, every traced step, float32", worst["mirror, float32"], "1e-5"
    yield "NumPy against torch, every traced step, float64", worst["mirror, float64"], "1e-10"
    yield "NumPy backend, float32 against float64", worst["numpy, float64"], "5e-6"
    yield "torch backend, float32 against float64", worst["torch, float64"], "5e-6"


def timm_rows() -> Iterator[tuple[str, str, str]]:
    """Both backends against timm, on a file of timm's names."""
    if not _there("timm"):
        yield "both backends against timm, 2 model classes, float32", "not measured: timm is not installed", "1e-5"
        return
    import timm
    import torch

    name = f"timm {version('timm')}"
    x = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    worst = 0.0
    for kind in ("deit_tiny_patch16_224", "deit_tiny_distilled_patch16_224"):
        peer = timm.create_model(kind).eval()
        draw(peer)
        with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
            torch.save(peer.state_dict(), Path(folder) / "timm.pth")
            weights, reference = deit_ref.load_weights(Path(folder) / "timm.pth"), peer(torch.from_numpy(x))
        for backend in ("numpy", "torch"):
            logits = deit_ref.forward(weights, pixel_values=x, backend=backend).logits
            worst = max(worst, difference(logits, reference))
    yield f"both backends against {name}, 2 model classes, float32", f"{worst:.1e}", "1e-5"


def image_rows() -> Iterator[tuple[str, str, str]]:
    """Bytes against Pillow, and pixel values against transformers' processor."""
    from PIL import Image
    from transformers.models.deit.image_processing_pil_deit import DeiTImageProcessorPil

    from deit_ref.numpy_backend.resize import resize

    generator = np.random.default_rng(0)
    photo = load_image(bundled_photo())
    cases = wrong = 0
    for _ in range(300):
        height, width, *size = (int(side) for side in generator.integers(1, 120, 4))
        for image in (generator.integers(0, 256, (height, width, 3), dtype=np.uint8), photo[:height, -width:]):
            for name, number in RESAMPLING.items():
                expected = np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling(number)))
                cases += 1
                wrong += not np.array_equal(resize(image, (size[0], size[1]), resample=name), expected)
    pillow = f"Pillow {version('pillow')}"
    yield f"resize against {pillow}, 6 filters, images with another byte", f"{wrong} of {cases}", "0"
    processing = ImageProcessing.huggingface()
    peer: Any = DeiTImageProcessorPil(image_mean=processing.image_mean, image_std=processing.image_std)
    sizes = [(300, 451), (150, 451), (300, 77), (224, 224), (31, 33)]
    prepared = [peer(photo[:h, :w], return_tensors="np")["pixel_values"] for h, w in sizes]
    worst = max(
        float(np.abs(as_numpy(deit_ref.preprocess(photo[:h, :w], processing, backend=backend)) - reference).max())
        for (h, w), reference in zip(sizes, prepared, strict=True)
        for backend in ("numpy", "torch")
    )
    yield "preprocess against transformers' DeiTImageProcessorPil, normalized", f"{worst:.1g}", "0"


def position_rows() -> Iterator[tuple[str, str, str]]:
    """Interpolated positions against torch."""
    import torch
    from torch.nn.functional import interpolate

    from deit_ref.numpy_backend.positions import interpolate_pos_embed

    pos_embed = np.random.default_rng(0).standard_normal((1, 198, 64))
    for dtype, bound in (("float32", "2e-5"), ("float64", "1e-12")):
        values, worst = pos_embed.astype(dtype), 0.0
        plane = torch.from_numpy(values[:, 2:].reshape(1, 14, 14, 64)).permute(0, 3, 1, 2)
        for grid in ((24, 24), (7, 7), (16, 30), (37, 5)):
            reference = interpolate(plane, size=grid, mode="bicubic").flatten(2).transpose(1, 2)
            ours = interpolate_pos_embed(values, num_prefix_tokens=2, source_grid=(14, 14), target_grid=grid)
            worst = max(worst, difference(ours[:, 2:], reference))
        yield f"position interpolation against torch {version('torch')}, {dtype}", f"{worst:.1e}", bound


def trap_rows() -> Iterator[tuple[str, str, str]]:
    """What plausible mistakes would change in one of the models above, for comparison."""
    ((_, weights),) = models(["DeiTForImageClassificationWithTeacher"])
    x = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    right = deit_ref.forward(weights, pixel_values=x).logits
    mistakes: dict[str, dict[str, Any]] = {
        "eps 1e-6 instead of 1e-12": {"layer_norm_eps": 1e-6},
        "the tanh form of GELU": {"hidden_act": "gelu_pytorch_tanh"},
    }
    for name, changes in mistakes.items():
        other = replace(weights, config=replace(weights.config, **changes))
        wrong = difference(first(deit_ref.forward(other, pixel_values=x)), right)
        yield f"for comparison: {name}", f"{wrong:.1e}", ""


def _there(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def main(argv: list[str] | None = None) -> None:
    """Measure all, print the table."""
    parser = argparse.ArgumentParser(prog="python -m deit_ref.benchmark.fidelity", description="Measure agreement.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="gets the table, with versions and date")
    args = parser.parse_args(argv)
    columns, rows = ["what", "measured", "bound in the tests"], []
    print(f"| {' | '.join(columns)} |\n|---|---|---|")
    for group in (model_rows(), timm_rows(), image_rows(), position_rows(), trap_rows()):
        for row in group:
            print(f"| {' | '.join(row)} |", flush=True)
            rows.append(list(row))
    if args.json is not None:
        packages = {
            name: version(name) for name in ("numpy", "pillow", "torch", "transformers", "timm") if _there(name)
        }
        record = {
            "columns": columns,
            "rows": rows,
            "command": "python -m deit_ref.benchmark.fidelity --json FILE",
            "date": datetime.date.today().isoformat(),
            "versions": {"python": platform.python_version(), "machine": platform.machine(), **packages},
        }
        write(args.json, json_bytes(record))


if __name__ == "__main__":
    main()
