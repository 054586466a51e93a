"""docs/coming_from.md as a program: its blocks, the rows of its tables, and what a line gives, in plain values."""

import ast
import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from strategies import random_weights

import deit_ref
from deit_ref.arrays import as_numpy
from deit_ref.weights import DeiTWeights, named_arrays

PAGE = Path(__file__).parent.parent / "docs" / "coming_from.md"
DIFFERS = "**Differs**"
CODE = re.compile(r"`[^`]+`")
OUTPUTS = (
    deit_ref.ClassificationOutput,
    deit_ref.FeaturesOutput,
    deit_ref.MaskedImageOutput,
    deit_ref.TeacherOutput,
)
CONFIG_FIELDS = [field.name for field in dataclasses.fields(deit_ref.DeiTConfig) if field.name != "distilled"]
PHOTO = np.random.default_rng(0).integers(0, 256, (300, 260, 3), dtype=np.uint8)


class Row(NamedTuple):
    """A line of a table: what to run there and here, and whether the two differ."""

    there: str
    here: str
    differs: bool


def section(title: str) -> str:
    """The text under a second heading."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert found, title
    return found[1]


def blocks(text: str) -> list[str]:
    """The Python blocks, in order."""
    return re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)


def rows(text: str) -> Iterator[Row]:
    """The rows of all tables, in order."""
    for table in re.findall(r"(?:^\|.*\n)+", text, re.M):
        for line in table.splitlines()[2:]:
            there, here = (cell.split("<br>") for cell in line[2:-2].split(" | "))
            notes = [part for part in here if not CODE.fullmatch(part)]
            assert all(CODE.fullmatch(part) for part in there), line
            assert here[len(here) - len(notes) :] == notes, line  # at most one, and at the end
            assert len(notes) <= 1, line
            code = "\n".join(part[1:-1] for part in here if part not in notes)
            yield Row("\n".join(part[1:-1] for part in there), code, bool(notes) and notes[0].startswith(DIFFERS))


def run(code: str, names: dict[str, Any]) -> Any:
    """The value of the last line, which is an expression or gives something a name."""
    tree = ast.parse(code)
    last = tree.body[-1]
    if isinstance(last, ast.Expr):
        tree.body.pop()
        value = last.value
    else:
        assert isinstance(last, ast.Assign), code
        value = ast.parse(ast.unparse(last.targets[0]), mode="eval").body
    exec(compile(tree, code, "exec"), names)
    return eval(compile(ast.fix_missing_locations(ast.Expression(value)), code, "eval"), names)


def plain(value: Any) -> Any:
    """Arrays, numbers, text, lists and dictionaries of those; of a model or processor what it makes of an input."""
    if isinstance(value, DeiTWeights):
        output = deit_ref.forward(value, pixel_values=pixels(value.config.image_size))
        return plain(next(iter(vars(output).values())))
    if isinstance(value, deit_ref.DeiTConfig):
        return {name: getattr(value, name) for name in CONFIG_FIELDS}
    if isinstance(value, deit_ref.ImageProcessing):
        return deit_ref.preprocess(PHOTO, value)
    if isinstance(value, OUTPUTS):
        told = {name: part for name, part in vars(value).items() if name not in ("class_names", "problem_type")}
        return {name: plain(part) for name, part in told.items() if part is not None}
    if hasattr(value, "state_dict"):  # a model, in torch
        import torch

        size = value.config.image_size if hasattr(value, "config") else value.patch_embed.img_size[0]
        with torch.no_grad():
            output = value(torch.from_numpy(pixels(size)))
        return plain(output if hasattr(output, "detach") else next(iter(output.values())))
    if hasattr(value, "model_type"):  # a config of transformers
        return {name: getattr(value, name) for name in CONFIG_FIELDS}
    if hasattr(value, "preprocess"):  # a processor of transformers
        return value(PHOTO, return_tensors="np").pixel_values
    if hasattr(value, "shape") and not isinstance(value, tuple):
        return as_numpy(value)
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        if value and isinstance(value[0], dict):  # the answers of a pipeline
            return [[answer["label"], answer["score"]] for answer in value]
        return [plain(part) for part in value]
    return value


def pixels(size: int) -> np.ndarray[Any, Any]:
    """What models are asked about."""
    return np.random.default_rng(0).standard_normal((1, 3, size, size)).astype(np.float32)


def sampled(value: Any) -> Any:
    """Plain values with 32 numbers of each larger array, spread over it, and its shape: what golden files hold."""
    if isinstance(value, np.ndarray):
        chosen = np.linspace(0, value.size - 1, min(value.size, 32)).astype(int)
        values = value.ravel()[chosen].tolist()
        return {"shape": list(value.shape), "values": [float(f"{number:.9g}") for number in values]}
    if isinstance(value, list):
        return [sampled(part) for part in value]
    return value


def stand_in(name: str) -> DeiTWeights:
    """Weights of the size of a model that timm would download, such as "deit_tiny_patch16_224"; drawn, not trained."""
    config = dataclasses.replace(deit_ref.VARIANTS[name.replace("_", "-")], layer_norm_eps=1e-6)
    return random_weights(config, "classification-with-teacher" if config.distilled else "classification")


def write_stand_in(name: str, folder: Path) -> Path:
    """The folder that timm publishes for it, with timm's names."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True)
    save_file(dict(named_arrays(stand_in(name))), folder / "model.safetensors")
    settings = {
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "interpolation": "bicubic",
        "crop_pct": 0.9,
    }
    config = {"architecture": name, "num_classes": 1000, "global_pool": "token", "pretrained_cfg": settings}
    (folder / "config.json").write_text(json.dumps(config))
    return folder / "model.safetensors"
