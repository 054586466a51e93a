"""What the pages that look inside the model cannot compute themselves: words, lines of code, sizes of other models.

The attention viewer and the stepper run the model in the reader's browser. What they need beside its files is said
here: what each kind of step is, and where the NumPy chapters make it. That is not written down anywhere: the
interpreter is watched while the model runs. `files(weights)` returns path below the site -> content.
"""

import ast
import io
import json
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

import deit_ref
from deit_ref import trace as trace_module
from deit_ref.chapters import CHAPTERS
from deit_ref.config import DeiTConfig
from deit_ref.photos import bundled_photo
from deit_ref.variants import VARIANTS

CODE = Path(deit_ref.__file__).parent / "numpy_backend"
# Below the site: the page of a chapter's NumPy source, and in it the anchor of a line.
SOURCE_LINK = "source/numpy_backend/{module}/#L{line}"
CHAPTER_LINK = "chapters/{module}/"


class Step(NamedTuple):
    """What to say of a step, and how to draw it."""

    title: str
    picture: str  # photo, rgb, planes, tiles, tokens, heads, maps or bars
    sentence: str


# By the last part of the step's name. Words in braces are filled in by `_words`.
STEPS: Mapping[str, Step] = {
    "image": Step(
        "The photo", "photo", "The file's pixels: height, width and three colors per pixel, bytes from 0 to 255."
    ),
    "resized": Step(
        "Resized",
        "rgb",
        "The photo is resampled ({resample}) to the size that the model reads; each new pixel is a weighted mean of "
        "many old ones.",
    ),
    "cropped": Step("Cropped", "rgb", "The middle square is kept: {image_height} x {image_width} pixels."),
    "rescaled": Step("Rescaled", "rgb", "Bytes become floats: every value is multiplied by 1/255."),
    "normalized": Step(
        "Normalized",
        "rgb",
        "From each color the mean of the training photos is subtracted, and the result divided by their standard "
        "deviation, so that values lie around 0. The picture stretches them to what a screen can show.",
    ),
    "pixel_values": Step(
        "Pixel values",
        "planes",
        "The color axis moves to the front and a batch axis is added; the picture shows the three channels, red, "
        "green and blue.",
    ),
    "patches": Step(
        "Patches",
        "tiles",
        "The image is cut into {rows} x {columns} squares of {patch_height} x {patch_width} pixels, and each is "
        "written as one row of {patch_values} numbers. The picture shows the rows as squares again.",
    ),
    "patch_embed": Step(
        "Patch embedding",
        "tokens",
        "One matrix maps every patch to a token of {dim} numbers. In the picture each row is a token.",
    ),
    "tokens": Step(
        "Tokens",
        "tokens",
        "The class token and the distillation token, which were learned and are the same for every photo, go in front.",
    ),
    "pos_embed": Step(
        "Position embeddings",
        "tokens",
        "What will be added to each token so that it knows its place: learned, the same for every photo.",
    ),
    "embeddings": Step("Embeddings", "tokens", "Tokens plus positions: what the encoder reads."),
    "norm1": Step(
        "Norm before attention",
        "tokens",
        "Each token is shifted and scaled to mean 0 and variance 1, then weighted per feature. Attention reads this "
        "copy; the token itself goes on unchanged beside it.",
    ),
    "q": Step(
        "Queries",
        "heads",
        "One matrix makes queries, keys and values. The query is what a token asks; each of the {heads} heads gets "
        "{head_dim} of its numbers.",
    ),
    "k": Step("Keys", "heads", "The key is the label under which a token is found, in each of the {heads} heads."),
    "v": Step("Values", "heads", "The value is what a token hands on to those that look at it."),
    "scores": Step(
        "Scores",
        "maps",
        "Every query times every key, divided by the root of {head_dim}: row i, column j says how well the label of "
        "token j fits the question of token i.",
    ),
    "probabilities": Step(
        "Attention probabilities",
        "maps",
        "Softmax turns each row of scores into shares that sum to 1. This is what the attention viewer shows.",
    ),
    "context": Step(
        "Context",
        "tokens",
        "For each token the mean of all values, weighted by its row of probabilities; the heads' results stand side "
        "by side again.",
    ),
    "proj": Step("Projection", "tokens", "One matrix mixes what the heads found. This is added to the tokens."),
    "norm2": Step("Norm before the mlp", "tokens", "The tokens, with the result of attention added, normalized again."),
    "fc1": Step("Mlp: widen", "tokens", "Each token on its own goes from {dim} to {hidden} numbers by a linear map."),
    "activation": Step("Mlp: bend", "tokens", "{act} lets large values through and presses negative ones towards 0."),
    "fc2": Step("Mlp: narrow", "tokens", "Back to {dim} numbers. This is added to the tokens."),
    "output": Step(
        "Block output", "tokens", "The tokens after both additions: what block {block} hands to what follows."
    ),
    "norm": Step("Last norm", "tokens", "The tokens after the last block, normalized once more. The heads read these."),
    "cls_logits": Step("Class head", "bars", "A linear map reads the class token, and only it: one score per class."),
    "distillation_logits": Step(
        "Distillation head",
        "bars",
        "Another linear map reads the distillation token. It was trained to agree with a teacher.",
    ),
    "logits": Step("Logits", "bars", "The mean of both heads' scores. The largest names the photo."),
}


# The chapter in which a step's formula stands, where that is not the one that records the step.
FORMULAS: Mapping[str, str] = {
    "resized": "resize",
    "patch_embed": "patches",
    "pos_embed": "positions",
    "embeddings": "positions",
    **dict.fromkeys(["norm1", "norm2", "norm"], "layers"),
    "activation": "activations",
    **dict.fromkeys(["cls_logits", "distillation_logits", "logits"], "heads"),
}


def files(weights: Any) -> dict[str, bytes]:
    """Everything that is fetched by these pages alone.

    Args:
        weights: the bundled model; any size, of the task "classification-with-teacher".

    Raises:
        ValueError: weights of another task.
    """
    if weights.task != "classification-with-teacher":
        raise ValueError(f"The pages show both heads, so the weights must have them; got the task {weights.task!r}.")
    return {"inside/steps.json": _json(steps(weights)), "inside/variants.json": _json(variants(weights.config))}


def _json(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


# Photos, for all that shows some


def encoded(image: np.ndarray, form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, form, **options)
    return stream.getvalue()


def same_part(photo: np.ndarray, seen: np.ndarray, processing: Any) -> np.ndarray:
    """The part of the photo that the model saw, in the photo's own pixels; what it saw itself if that was padded."""
    height, width = photo.shape[:2]
    resized = processing.resized_shape(height, width) if processing.do_resize else (height, width)
    if resized[0] < seen.shape[0] or resized[1] < seen.shape[1]:
        return seen
    top, left = (resized[0] - seen.shape[0]) // 2, (resized[1] - seen.shape[1]) // 2
    scale_y, scale_x = height / resized[0], width / resized[1]
    rows = slice(round(top * scale_y), round((top + seen.shape[0]) * scale_y))
    columns = slice(round(left * scale_x), round((left + seen.shape[1]) * scale_x))
    return np.ascontiguousarray(photo[rows, columns])


# The stepper


class Place(NamedTuple):
    """The statement that made a step: file, first line, the function around it, and the statement itself."""

    module: str
    line: int
    function: str
    code: str


def steps(weights: Any) -> dict[str, dict[str, Any]]:
    """What is said of each kind of step, by the last part of its name. Where the sentence of a step in a block says
    `{block}`, the page puts the block's number, counted from 1."""
    with _watched() as places:
        deit_ref.forward(weights, bundled_photo(), trace=deit_ref.Trace())
    chapters = {chapter.name: chapter for chapter in CHAPTERS}
    words = _words(weights)
    kinds: dict[str, dict[str, Any]] = {}
    for name, place in places.items():
        kind = name.split(".")[-1]
        step, chapter = STEPS[kind], chapters[place.module]
        formula = chapters[FORMULAS.get(kind, place.module)]
        kinds[kind] = {  # the same in every block
            "title": step.title,
            "picture": step.picture,
            "sentence": step.sentence.format_map(words),
            "chapter": [chapter.number, chapter.title],
            "chapter_link": CHAPTER_LINK.format(module=place.module),
            "formula": {
                "number": formula.number,
                "title": formula.title,
                "link": CHAPTER_LINK.format(module=formula.name),
            },
            "source_link": SOURCE_LINK.format(module=place.module, line=place.line),
            **place._asdict(),
        }
    return kinds


def _words(weights: Any) -> dict[str, Any]:
    config = weights.config
    patch_height, patch_width = config.patch_shape
    return {
        "resample": weights.image_processing.resample,
        "image_height": config.image_shape[0],
        "image_width": config.image_shape[1],
        "rows": config.grid[0],
        "columns": config.grid[1],
        "patch_height": patch_height,
        "patch_width": patch_width,
        "patch_values": patch_height * patch_width * config.num_channels,
        "dim": config.hidden_size,
        "hidden": config.intermediate_size,
        "heads": config.num_attention_heads,
        "head_dim": config.hidden_size // config.num_attention_heads,
        "act": config.hidden_act.upper(),
        "block": "{block}",
    }


@contextmanager
def _watched() -> Iterator[dict[str, Place]]:
    """While it is open, every step that a chapter records gets its place in the source."""
    places: dict[str, Place] = {}
    executed: dict[FrameType, list[int]] = {}
    record = trace_module.record.__code__

    def watch(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code is record and event == "call":
            caller, trace = frame.f_back, frame.f_locals["trace"]
            if caller in executed and trace is not None:
                name = frame.f_locals["name"]
                places[trace._prefix + name] = _place(caller, name, executed[caller])
        if Path(frame.f_code.co_filename).parent != CODE:
            return None
        if event == "line":
            executed[frame].append(frame.f_lineno)
        elif event == "call":
            executed[frame] = []
        elif event == "return":
            del executed[frame]
        return watch

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        yield places
    finally:
        sys.settrace(before)


@cache
def _parsed(path: str, _time: int) -> tuple[list[str], ast.Module]:
    text = Path(path).read_text(encoding="utf-8")
    return text.splitlines(), ast.parse(text)


def _place(frame: FrameType, name: str, executed: Sequence[int]) -> Place:
    """The statement that made what `frame` is about to record as `name`.

    It is the statement with the `record` call, unless that is handed a variable: then it is the last one that ran and
    gave the variable its value. Dropout does nothing here, so what it was given counts.
    """
    path = frame.f_code.co_filename
    lines, tree = _parsed(path, Path(path).stat().st_mtime_ns)  # a changed file is read anew
    around = [n for n in ast.walk(tree) if isinstance(n, ast.stmt) and n.lineno <= frame.f_lineno <= _end(n)]
    function = max((n for n in around if isinstance(n, ast.FunctionDef)), key=lambda n: n.lineno)
    statement = max(around, key=lambda n: n.lineno)
    value = _recorded(statement, name)
    if isinstance(value, ast.Call) and _called(value) == "dropout":
        value = value.args[0]
    if isinstance(value, ast.Name):
        wanted = _behind_the_loop(around, value.id, name)
        makers = [
            n
            for n in ast.walk(function)
            if isinstance(n, ast.Assign)
            and n.lineno < statement.lineno
            and any(n.lineno <= line <= _end(n) for line in executed)
            and wanted in {t.id for target in n.targets for t in ast.walk(target) if isinstance(t, ast.Name)}
            and not (isinstance(n.value, ast.Call) and _called(n.value) == "dropout")
        ]
        statement = max(makers, key=lambda n: n.lineno, default=statement)
    code = textwrap.dedent("\n".join(lines[statement.lineno - 1 : _end(statement)]))
    return Place(Path(path).stem, statement.lineno, function.name, code)


def _end(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno


def _called(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _recorded(statement: ast.stmt, name: str) -> ast.expr | None:
    """What the statement hands to `record` under that name (or under a variable's)."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Call) and _called(node) == "record":
            said = node.args[1]
            if not isinstance(said, ast.Constant) or said.value == name:
                return node.args[2]
    return None


def _behind_the_loop(around: Sequence[ast.stmt], variable: str, name: str) -> str:
    """In `for name, value in (("q", q), ("k", k))` the variable `value` is `q` when the name is "q"."""
    for node in around:
        if isinstance(node, ast.For) and isinstance(node.iter, ast.Tuple):
            for pair in node.iter.elts:
                if isinstance(pair, ast.Tuple) and isinstance(pair.elts[0], ast.Constant):
                    said, behind = pair.elts
                    if said.value == name and isinstance(behind, ast.Name):
                        return behind.id
    return variable


# The map


def variants(bundled: DeiTConfig) -> list[dict[str, Any]]:
    """The sizes of the eight published models and of the bundled one, by the words that stand in the map's shapes."""
    configs = {**VARIANTS, "cifar10-distilled (bundled)": bundled}
    return [{"name": name, **sizes(config)} for name, config in configs.items()]


def sizes(config: DeiTConfig) -> dict[str, Any]:
    """What the words in the map's shapes stand for."""
    height, width = config.image_shape
    patch_height, patch_width = config.patch_shape
    patches = config.grid[0] * config.grid[1]
    return {
        "height": height,
        "width": width,
        "channels": config.num_channels,
        "patches": patches,
        "patch_values": config.num_channels * patch_height * patch_width,
        "tokens": config.num_prefix_tokens + patches,
        "dim": config.hidden_size,
        "heads": config.num_attention_heads,
        "head_dim": config.hidden_size // config.num_attention_heads,
        "hidden": config.intermediate_size,
        "layers": config.num_hidden_layers,
        "num_labels": config.num_labels,
        "distilled": config.distilled,
    }
