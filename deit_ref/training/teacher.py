"""The teacher: a small convolutional network that knows photos of 32 x 32 pixels.

The paper's teacher is a RegNet of 84 million parameters, and the point is that it is convolutional: near pixels belong
together, which a transformer must first learn. This one has two million parameters and is ours: convolutions in three
stages that each halve the image, batch norm, GELU. Its first layer is not learned: it decorrelates patches of 2 x 2
pixels ("whitening", the principal components of the training photos divided by their size), so that training starts
from inputs of equal strength; and new kernels hand their input on, so that it reaches the head from the first step.

On several processes each norm sees its process's share of the batch; what it remembers of the photos is that of the
first process.

Source: Touvron et al. 2021, section 5.2, for what a teacher is good for; Jordan 2024 ("94% on CIFAR-10 in 3.29
seconds on a single GPU"), for the whitened input, the shape of the stages, their widths and first values, norms that
learn a bias alone, and the size of logits.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import nn

from deit_ref import checks
from deit_ref.checkpoints.files import json_bytes, locate, read_json, write
from deit_ref.image_processing import ImageProcessing
from deit_ref.training.recipe import Recipe

Array: TypeAlias = torch.Tensor
# What distillation asks for: photos in 0..1 (batch, 3, height, width) to logits (batch, classes).
Teach: TypeAlias = Callable[[Array], Array]

WIDTHS = (64, 256, 256)
_LOGIT_SCALE = 1 / 9  # the largest of 256 channels are large numbers, and the first steps too long without
_KIND, _VERSION = "deit_ref-convolutional-teacher", 2


class Teacher(nn.Module):
    """Photos in 0..1 (batch, 3, height, width), at least 16 pixels a side -> logits (batch, classes).

    It learns from one look at a photo. When asked, it looks at the photo and at its mirror image and answers with the
    mean, so that mirroring a photo changes nothing. `image_size` says what it was trained on, and `apply_exif` whether
    photos were turned as their EXIF orientation says; it computes on any size.
    """

    def __init__(
        self, num_classes: int, *, image_size: int = 32, widths: tuple[int, ...] = WIDTHS, apply_exif: bool = False
    ) -> None:
        super().__init__()
        self.image_size, self.widths, self.apply_exif = image_size, widths, apply_exif
        self.whiten = nn.Conv2d(3, 24, 2)
        self.whiten.requires_grad_(False)
        before = [24, *widths[:-1]]
        self.stages = nn.Sequential(*(_stage(a, b) for a, b in zip(before, widths, strict=True)))
        self.head = nn.Linear(widths[-1], num_classes)

    @property
    def image_processing(self) -> ImageProcessing:
        """What is done to a photo before: all but the normalization, which the first layer does."""
        processing = Recipe(image_size=self.image_size, apply_exif=self.apply_exif).image_processing
        return dataclasses.replace(processing, image_mean=0.0, image_std=1.0)

    def forward(self, images: Float[Array, "batch 3 height width"]) -> Float[Array, "batch classes"]:
        if self.training:
            return self.look(images)
        return (self.look(images) + self.look(images.flip(3))) / 2

    def look(self, images: Float[Array, "batch 3 height width"]) -> Float[Array, "batch classes"]:
        """The answer to a photo without its mirror image: half the work."""
        # On a CPU, convolutions of channels-last images are faster.
        x = images.contiguous(memory_format=torch.channels_last)
        x = F.gelu(self.whiten(x))  # (batch, 24, height - 1, width - 1)
        x = self.stages(x)  # (batch, width of the last stage, height / 8, width / 8)
        return _LOGIT_SCALE * self.head(x.amax(dim=(2, 3)))  # (batch, classes)

    @torch.no_grad()
    def fit_whitening(self, images: Float[Array, "batch 3 height width"], *, eps: float = 1e-4) -> None:
        r"""Set the first layer from photos in 0..1: $\pm v_i \cdot (x - \mu) / \sqrt{\lambda_i + \epsilon}$.

        $v_i$ and $\lambda_i$ are the principal components of patches x of 2 x 2 pixels, $\mu$ their mean. Both signs,
        because GELU keeps only one half of each.
        """
        rows = F.unfold(images, 2).transpose(1, 2).reshape(-1, 12).double()  # (batch * places, 12)
        sizes, components = torch.linalg.eigh(torch.cov(rows.T))  # (12,), (12, 12): one component per column
        kernels = (components / torch.sqrt(sizes + eps)).T
        kernels = torch.cat([kernels, -kernels])  # (24, 12)
        self.whiten.weight.copy_(kernels.reshape(24, 3, 2, 2))
        assert self.whiten.bias is not None
        self.whiten.bias.copy_(-kernels @ rows.mean(dim=0))


class Convolution(nn.Module):
    """A convolution of 3 x 3, whose kernels are kept as a matrix (out, in * 9): Muon takes nothing else."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels_out, channels_in * 9))

    def forward(self, x: Float[Array, "batch channels height width"]) -> Float[Array, "batch out height width"]:
        return F.conv2d(x, self.weight.reshape(len(self.weight), -1, 3, 3), padding=1)


def _stage(channels_in: int, channels_out: int) -> nn.Module:
    return nn.Sequential(
        Convolution(channels_in, channels_out),
        nn.MaxPool2d(2),
        _norm(channels_out),
        nn.GELU(),
        Convolution(channels_out, channels_out),
        _norm(channels_out),
        nn.GELU(),
    )


def _norm(channels: int) -> nn.Module:
    norm = nn.BatchNorm2d(channels)
    norm.weight.requires_grad_(False)  # the kernels behind it scale its channels
    return norm


def new_teacher(
    num_classes: int,
    *,
    seed: int,
    image_size: int = 32,
    widths: tuple[int, ...] = WIDTHS,
    apply_exif: bool = False,
) -> Teacher:
    """A teacher with seeded random weights: normal, of variance 1 / (3 inputs).

    The first kernels of a convolution, as many as it has inputs, are not random ones: each hands on one channel.
    """
    checks.integer("num_classes", num_classes, minimum=2)
    teacher = Teacher(num_classes, image_size=image_size, widths=widths, apply_exif=apply_exif)
    generator = torch.Generator().manual_seed(checks.integer("seed", seed, minimum=0))
    with torch.no_grad():
        for name, parameter in teacher.named_parameters():
            if parameter.ndim >= 2:
                std = (1 / (3 * parameter[0].numel())) ** 0.5
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)
            if name.startswith("stages.") and parameter.ndim == 2:
                kernels = parameter.view(len(parameter), -1, 3, 3)
                nn.init.dirac_(kernels[: kernels.shape[1]])
        for layer in (teacher.whiten, teacher.head):
            assert layer.bias is not None
            layer.bias.zero_()
    return teacher


def save_teacher(
    teacher: Teacher,
    folder: str | os.PathLike[str],
    *,
    class_names: tuple[str, ...],
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write config.json, with where it comes from, and model.safetensors (float16), each beside and then renamed."""
    from safetensors.torch import save

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in teacher.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    values: dict[str, Any] = {"kind": _KIND, "version": _VERSION, "class_names": list(class_names)}
    values |= {"image_size": teacher.image_size, "widths": list(teacher.widths), "apply_exif": teacher.apply_exif}
    if provenance is not None:
        values["provenance"] = dict(provenance)
    write(folder / "config.json", json_bytes(values))
    write(folder / "model.safetensors", save(arrays))


def is_teacher(folder: str | os.PathLike[str]) -> bool:
    """Whether `save_teacher` wrote this folder, or it is "cifar10-teacher", which comes with the package."""
    file = locate(folder) / "config.json"
    return file.is_file() and read_json(file).get("kind") == _KIND


def load_teacher(folder: str | os.PathLike[str]) -> tuple[Teacher, tuple[str, ...]]:
    """The teacher that `save_teacher` wrote, in float32 and ready to be asked, and its class names.

    "cifar10-teacher" is the one that comes with the package.

    Raises:
        ValueError: the folder holds no such teacher, or tensors cannot be read, are missing or of another shape.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = locate(folder)
    if not is_teacher(folder):
        raise ValueError(f"{folder} holds no teacher: expected a folder that train-teacher has written.")
    values: Mapping[str, Any] = read_json(folder / "config.json")
    names, widths = values.get("class_names"), values.get("widths")
    if not (isinstance(names, list) and len(names) > 1 and isinstance(widths, list) and len(widths) > 0) or not all(
        type(width) is int and 0 < width <= 4096 for width in widths
    ):
        raise ValueError(f"{folder / 'config.json'} must hold class_names and widths: train the teacher again.")
    image_size = checks.integer(f"image_size in {folder / 'config.json'}", values.get("image_size", 32))
    apply_exif = checks.boolean(f"apply_exif in {folder / 'config.json'}", values.get("apply_exif", False))
    teacher = Teacher(len(names), image_size=image_size, widths=tuple(widths), apply_exif=apply_exif)
    expected = {name: tuple(v.shape) for name, v in teacher.state_dict().items() if not name.endswith("_tracked")}
    try:
        arrays = {name: value.float() for name, value in load_file(folder / "model.safetensors").items()}
    except (OSError, SafetensorError) as error:
        raise ValueError(
            f"{folder / 'model.safetensors'} cannot be read ({error}): train the teacher again."
        ) from error
    if expected != {name: tuple(value.shape) for name, value in arrays.items()}:
        raise ValueError(f"{folder / 'model.safetensors'} does not fit its config.json: train the teacher again.")
    if "version" not in values:  # written before logits had their size
        for name in ("head.weight", "head.bias"):
            arrays[name] /= _LOGIT_SCALE
    teacher.load_state_dict(arrays, strict=False)
    return teacher.eval().requires_grad_(False), tuple(str(name) for name in names)
