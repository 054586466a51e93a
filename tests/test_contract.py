"""The contract of every public function: for any argument, a right result or one clear line.

Each argument meets every value of `odd_values.py`, whatever its type. What comes is either a ValueError of one short
line, raised in this package, that names the argument; or a result, and then the value must be of a kind that the
argument takes, and give what its plain form gives. The usual run draws a part, the thorough one takes all.
"""

import dataclasses
import os
import random
import re
import traceback
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from odd_values import GENERAL, Odd, arrays, photo
from strategies import TINY, random_mask, random_weights

import deit_ref
from deit_ref import plots
from deit_ref.arrays import as_numpy
from deit_ref.weights import DeiTWeights, named_arrays

THOROUGH = os.environ.get("DEIT_REF_HYPOTHESIS_PROFILE") == "thorough"
SHARE = 1.0 if THOROUGH else 0.07
PACKAGE = str(Path(deit_ref.__file__).parent)

WEIGHTS = random_weights(TINY)
MASKED = random_weights(TINY, "features", mask_token=True)
# Quarters, which every float dtype holds.
PIXELS = np.random.default_rng(0).integers(-8, 8, (2, 3, 32, 32)).astype(np.float32) / 4
TOKENS = TINY.num_prefix_tokens + TINY.num_patches


class Argument(NamedTuple):
    """One argument of one function: how to call it with a value, what kinds it takes, how messages may name it."""

    function: str
    name: str
    call: Callable[[Any], Any]
    takes: frozenset[str]
    named: str
    values: tuple[Odd, ...] = ()

    @property
    def label(self) -> str:
        return f"{self.function}, {self.name}"


def argument(
    function: str, name: str, call: Callable[[Any], Any], takes: str = "", *, named: str = "", values: Any = ()
):
    return Argument(function, name, call, frozenset(takes.split()), named or re.escape(name), tuple(values))


def of_forward(backend: str) -> list[Argument]:
    def forward(name: str, weights: DeiTWeights = WEIGHTS, **options: Any) -> Callable[[Any], Any]:
        usual = {"pixel_values": PIXELS} if "images" not in options and name != "images" else {}
        return lambda value: deit_ref.forward(
            **({"weights": weights, "backend": backend} | usual | options | {name: value})
        )

    torch_only = backend == "torch"
    own = "torch-generator" if torch_only else "np-generator"
    name = f"forward by {backend}"
    switches = ("interpolate_pos_encoding", "output_hidden_states", "output_attentions")
    return [
        argument(name, "weights", forward("weights"), "weights"),
        argument(
            name,
            "images",
            forward("images"),
            "image more less truth",
            named="image|photo|file",
            values=arrays(photo(), "image"),
        ),
        argument(
            name,
            "pixel_values",
            forward("pixel_values"),
            "numbers nan",
            named="pixel_values",
            values=arrays(PIXELS, "numbers"),
        ),
        argument(name, "backend", forward("backend"), "numpy torch"),
        argument(name, "device", forward("device"), "none cpu" if torch_only else "none", named="device"),
        argument(name, "dtype", forward("dtype"), "none torch-dtype" if torch_only else "none dtype"),
        argument(name, "image_processing", forward("image_processing", images=photo()), "none processing"),
        argument(
            name,
            "bool_masked_pos",
            forward("bool_masked_pos", MASKED),
            "none numbers",
            values=arrays(random_mask((2, 16)).astype(np.float32), "numbers"),
        ),
        argument(
            name,
            "head_mask",
            forward("head_mask"),
            "none numbers minus less",
            values=arrays(np.array([[0, 1, 1, 0], [1, 0, 1, 1]], np.float32), "numbers"),
        ),
        argument(
            name,
            "attention_mask",
            forward("attention_mask"),
            "none numbers",
            values=arrays(random_mask((2, TOKENS)).astype(np.float32), "numbers"),
        ),
        argument(name, "labels", forward("labels"), "none numbers", values=arrays(np.array([3, 1]), "numbers")),
        argument(
            f"{name} of several labels",
            "labels",
            forward(
                "labels", dataclasses.replace(WEIGHTS, config=dataclasses.replace(TINY, problem_type="regression"))
            ),
            "none numbers minus truth",
            values=arrays(np.array([[0, 1, 2, 0, 3], [1, 0, 1, 1, 1]], np.float32), "numbers"),
        ),
        *(
            argument(name, switch, forward(switch), "bool" if switch in switches[:1] else "bool none")
            for switch in switches
        ),
        argument(name, "generator", forward("generator"), f"none {own}"),
        argument(name, "trace", forward("trace"), "none trace"),
    ]


def of_preprocess(backend: str) -> list[Argument]:
    steps = deit_ref.ImageProcessing.huggingface(32)

    def preprocess(name: str) -> Callable[[Any], Any]:
        usual = {"images": photo(), "image_processing": steps, "backend": backend}
        return lambda value: deit_ref.preprocess(**(usual | {name: value}))

    name = f"preprocess by {backend}"
    return [
        argument(
            name,
            "images",
            preprocess("images"),
            "image more less truth",
            named="image|photo|file",
            values=arrays(photo(), "image"),
        ),
        argument(name, "image_processing", preprocess("image_processing"), "processing"),
        argument(name, "backend", preprocess("backend"), "numpy torch"),
        argument(name, "device", preprocess("device"), "none cpu" if backend == "torch" else "none"),
        argument(name, "data_format", preprocess("data_format"), "channels_last"),
        argument(name, "trace", preprocess("trace"), "none trace"),
    ]


def of_compare() -> list[Argument]:
    def compare(name: str, **options: Any) -> Callable[[Any], Any]:
        usual = {"images": photo()} if not options else {}
        return lambda value: deit_ref.compare(**({"weights": WEIGHTS} | usual | options | {name: value}))

    by_pixels = {"pixel_values": PIXELS}
    return [
        argument("compare", "weights", compare("weights"), "weights"),
        argument("compare", "images", compare("images"), "image", named="image|photo|file"),
        argument("compare", "device", compare("device"), "none cpu"),
        argument("compare", "dtype", compare("dtype"), "none torch-dtype"),
        argument("compare", "image_processing", compare("image_processing"), "none processing"),
        argument("compare", "head_mask", compare("head_mask", **by_pixels), "none"),
        argument("compare", "labels", compare("labels", **by_pixels), "none numbers"),
        argument("compare", "output_attentions", compare("output_attentions", **by_pixels), "none bool"),
        argument("compare", "trace", compare("trace", **by_pixels), ""),
    ]


def of_checkpoints(folder: Path) -> list[Argument]:
    def load(name: str, **options: Any) -> Callable[[Any], Any]:
        return lambda value: deit_ref.load_weights(**(options | {name: value}))

    def save(name: str) -> Callable[[Any], Any]:
        def run(value: Any) -> Any:
            place = folder / name
            usual = {"weights": WEIGHTS, "folder": place, "provenance": None}
            deit_ref.save_weights(**(usual | {name: value}))
            return deit_ref.load_weights(value if name == "folder" else place)

        return run

    own = {"source": "cifar10-simmim"}
    return [
        argument("load_weights", "source", load("source"), "none checkpoint", named="source|folder|file|checkpoint|name|deit_ref|There is|missing|path|holds"),
        argument("load_weights", "task", load("task", seed=0, source="cifar10-distilled"), "none features classification"),
        argument("load_weights", "seed", load("seed", task="classification", **own), "int none"),
        argument("load_weights", "config", load("config", **own), "none config", named="config"),
        argument("load_weights", "image_processing", load("image_processing", **own), "none processing"),
        argument("load_weights", "class_names", load("class_names", task="classification", seed=0, config=dataclasses.replace(deit_ref.load_weights("cifar10-simmim").config, num_labels=5), source="cifar10-simmim"), "none names"),
        argument("load_weights", "revision", load("revision", **own), "none"),
        argument("save_weights", "weights", save("weights"), "weights"),
        argument("save_weights", "folder", save("folder"), "text path"),
        argument("save_weights", "provenance", save("provenance"), "none mapping"),
    ]  # fmt: skip


def of_init_weights() -> list[Argument]:
    def init(name: str) -> Callable[[Any], Any]:
        usual = {"config": TINY, "task": "features", "seed": 0}
        return lambda value: deit_ref.init_weights(**(usual | {name: value}))

    takes = {
        "config": "config variant", "task": "features classification", "seed": "int", "pooler": "bool",
        "mask_token": "bool", "image_processing": "none processing", "class_names": "none names",
    }  # fmt: skip
    return [argument("init_weights", name, init(name), kinds) for name, kinds in takes.items()]


def of_settings() -> list[Argument]:
    found = []
    wholes = "int" if True else ""
    for field in dataclasses.fields(deit_ref.DeiTConfig):
        kinds = {bool: "bool", float: "number int", int: wholes, str: "gelu"}.get(type(field.default), "none")
        kinds += {"image_size": " pair", "patch_size": " pair", "encoder_stride": " pair", "problem_type": " regression", "pooler_output_size": " int"}.get(field.name, "")  # fmt: skip
        usual = {"image_size": 48, "patch_size": 8, "hidden_size": 96, "num_attention_heads": 3}

        def build(value: Any, name: str = field.name, usual: Mapping[str, Any] = usual) -> Any:
            config = deit_ref.DeiTConfig(**{**usual, name: value})
            assert deit_ref.DeiTConfig.from_dict(config.to_dict()) == config
            return config

        found.append(argument("DeiTConfig", field.name, build, kinds))
    sizes = "int pair size edge"
    for field in dataclasses.fields(deit_ref.ImageProcessing):
        kinds = {bool: "bool", float: "number int", str: "bicubic floor pillow"}.get(type(field.default), "none")
        kinds = {
            "size": sizes, "crop_size": sizes, "image_mean": "number int means list", "image_std": "number int means list",
            "resample": "int bicubic", "input_data_format": "none channels_last",
        }.get(field.name, kinds)  # fmt: skip

        def steps(value: Any, name: str = field.name) -> Any:
            processing = deit_ref.ImageProcessing(**{name: value})
            assert deit_ref.ImageProcessing.from_dict(processing.to_dict()) == processing
            return processing

        found.append(argument("ImageProcessing", field.name, steps, kinds))
    steps_of, config_of = deit_ref.ImageProcessing.from_dict, deit_ref.DeiTConfig.from_dict
    processing = deit_ref.ImageProcessing()
    return [
        *found,
        argument("ImageProcessing.huggingface", "size", deit_ref.ImageProcessing.huggingface, "int"),
        argument("ImageProcessing.original", "size", deit_ref.ImageProcessing.original, "int"),
        argument("ImageProcessing.resized_shape", "height", lambda v: processing.resized_shape(v, 8), "int"),
        argument("ImageProcessing.resized_shape", "width", lambda v: processing.resized_shape(8, v), "int"),
        argument("ImageProcessing.from_dict", "values", steps_of, "mapping", named="config|size"),
        argument(
            "ImageProcessing.from_dict",
            "image_processor_type",
            lambda value: steps_of({"image_processor_type": value}),
            "none",
        ),
        argument("ImageProcessing.from_dict", "do_pad", lambda value: steps_of({"do_pad": value}), "none bool"),
        argument("DeiTConfig.from_dict", "values", config_of, "mapping", named="config"),
        argument("DeiTConfig.from_dict", "model_type", lambda value: config_of({"model_type": value}), ""),
        argument("DeiTConfig.from_dict", "id2label", lambda value: config_of({"id2label": value}), "none mapping"),
    ]


def of_the_rest() -> list[Argument]:
    def recorded(**options: Any) -> Any:
        trace = deit_ref.Trace(**options)
        deit_ref.forward(WEIGHTS, pixel_values=PIXELS, trace=trace)
        return dict(trace)

    output = deit_ref.forward(WEIGHTS, pixel_values=PIXELS)
    trace = deit_ref.Trace()
    deit_ref.forward(WEIGHTS, pixel_values=PIXELS, trace=trace)
    return [
        argument("Trace", "only", lambda value: recorded(only=value), "none texts"),
        argument("Trace", "also", lambda value: recorded(also=value), "none trace"),
        argument("Trace.matching", "pattern", trace.matching, "text"),
        argument("output.top", "k", output.top, "int"),
        argument("weights.to", "backend", WEIGHTS.to, "numpy torch"),
        argument("weights.to", "device", lambda value: WEIGHTS.to("torch", device=value), "none cpu"),
        argument("weights.to", "dtype", lambda value: WEIGHTS.to("torch", dtype=value), "none torch-dtype"),
        argument("weights.to NumPy", "dtype", lambda value: WEIGHTS.to("numpy", dtype=value), "none dtype"),
        argument("load_image", "image", deit_ref.photos.load_image, "image less truth", named="image|photo|file", values=arrays(photo(), "image")),
        argument("load_image", "do_convert_rgb", lambda value: deit_ref.photos.load_image(photo(), do_convert_rgb=value), "bool"),
        argument("load_image", "input_data_format", lambda value: deit_ref.photos.load_image(photo(), input_data_format=value), "none channels_last"),
        argument("load_image", "apply_exif", lambda value: deit_ref.photos.load_image(photo(), apply_exif=value), "bool"),
    ]  # fmt: skip


def of_plots() -> list[Argument]:
    small, grid = photo(16, 24), (2, 3)
    attention = np.full((1, 2, 8, 8), 1 / 8, np.float32)
    mask = np.array([1, 0, 1, 0, 0, 1], np.float32)
    steps = deit_ref.ImageProcessing()

    def maps(**changes: Any) -> Any:
        usual = {"photo": small, "attentions": [attention], "grid": grid, "num_prefix_tokens": 2}
        return type(plots.attention_maps(**(usual | changes)))

    def panel(**changes: Any) -> Any:
        usual = {"photo": small, "reconstruction": small, "mask": mask, "patch_shape": (8, 8)}
        return type(plots.reconstruction_panel(**(usual | changes)))

    def hide(**changes: Any) -> Any:
        return plots.hide_patches(**({"photo": small, "mask": mask, "patch_shape": 8} | changes))

    flags = arrays(mask, "numbers")
    return [
        argument("to_photos", "pixel_values", lambda value: plots.to_photos(value, steps), "numbers nan", values=arrays(PIXELS, "numbers")),
        argument("to_photos", "image_processing", lambda value: plots.to_photos(PIXELS, value), "processing"),
        argument("attention_maps", "photo", lambda value: maps(photo=value), "", named="image"),
        argument("attention_maps", "attentions", lambda value: maps(attentions=value), "", values=arrays(attention, "")),
        argument("attention_maps", "grid", lambda value: maps(grid=value), "", named="grid|patches"),
        argument("attention_maps", "num_prefix_tokens", lambda value: maps(num_prefix_tokens=value), "int", named="prefix"),
        argument("attention_maps", "token", lambda value: maps(token=value), ""),
        argument("attention_maps", "layers", lambda value: maps(layers=value), "none int list"),
        argument("attention_maps", "heads", lambda value: maps(heads=value), "none int list"),
        argument("rollout_overlay", "attentions", lambda value: plots.rollout_overlay(small, value, grid=grid, num_prefix_tokens=2), ""),
        argument("hide_patches", "photo", lambda value: hide(photo=value), "", named="image"),
        argument("hide_patches", "mask", lambda value: hide(mask=value), "numbers truth more", values=flags),
        argument("hide_patches", "patch_shape", lambda value: hide(patch_shape=value), "pair int", named="mask|patch_shape"),
        argument("reconstruction_panel", "mask", lambda value: panel(mask=value), "numbers truth more", values=flags[:40]),
        argument("reconstruction_panel", "reconstruction", lambda value: panel(reconstruction=value), "", named="image|reconstruction"),
        argument("confusion_matrix", "counts", lambda value: type(plots.confusion_matrix(value, ["a", "b"])), "", values=arrays(np.eye(2), "")[-5:]),
        argument("confusion_matrix", "class_names", lambda value: type(plots.confusion_matrix(np.eye(5), value)), "names", named="class"),
    ]  # fmt: skip


def every_argument(folder: Path) -> list[Argument]:
    by_backend = [each(backend) for backend in ("numpy", "torch") for each in (of_forward, of_preprocess)]
    rest = [of_compare(), of_checkpoints(folder), of_init_weights(), of_settings(), of_the_rest(), of_plots()]
    return [one for some in (*by_backend, *rest) for one in some]


def summary(result: Any) -> Any:
    """A result as NumPy arrays and plain values that can be compared."""
    if isinstance(result, DeiTWeights):
        named = {name: as_numpy(array) for name, array in named_arrays(result)}
        return [named, result.config, result.image_processing, result.class_names, result.task]
    if isinstance(result, np.ndarray | torch.Tensor):
        return as_numpy(result)
    if isinstance(result, Mapping):
        return {name: summary(value) for name, value in result.items()}
    if isinstance(result, list | tuple):
        return [summary(value) for value in result]
    if dataclasses.is_dataclass(result) and not isinstance(result, deit_ref.DeiTConfig | deit_ref.ImageProcessing):
        return {field.name: summary(getattr(result, field.name)) for field in dataclasses.fields(result)}
    return result


def broken(argument: Argument, odd: Odd) -> str | None:
    """How the contract is broken, or None."""
    with warnings.catch_warnings(action="ignore"):  # what torch says of its own prototypes
        value = odd.make()
    try:
        with warnings.catch_warnings(record=True) as said, np.errstate(all="ignore"):
            warnings.simplefilter("always")
            result = argument.call(value)
    except ValueError as error:
        where = traceback.extract_tb(error.__traceback__)[-1].filename
        message = str(error)
        if type(error) is not ValueError or not where.startswith(PACKAGE):
            return f"{type(error).__name__} raised in {where}: {message[:200]}"
        if len(message.splitlines()) != 1 or len(message) >= 1500 or not message.isprintable():
            return f"not one short line ({len(message)} letters): {message[:300]!r}"
        if not re.search(argument.named, message):
            return f"names no {argument.named}: {message[:300]}"
        return None
    except BaseException as error:  # noqa: BLE001
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:200]!r} in {last.filename}:{last.lineno}"
    if wrong := [warning for warning in said if warning.category is not UserWarning]:
        return f"warned: {wrong[0].category.__name__} {wrong[0].message}"
    if not odd.kinds & argument.takes:
        return f"took it, and gave {str(result)[:200]}"
    if odd.plain is not None:
        expected = argument.call(odd.plain())
        try:
            np.testing.assert_equal(summary(result), summary(expected))
        except AssertionError as error:
            return f"gave another result than its plain form: {str(error)[:300]}"
    return None


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    folder = tmp_path_factory.mktemp("contract")
    before = Path.cwd()
    os.chdir(folder)  # a folder of any name may be written
    yield every_argument(folder)
    os.chdir(before)


def test_a_right_result_or_one_clear_line(arguments):
    draw = random.Random(20261128)
    pairs = [(one, odd) for one in arguments for odd in (*one.values, *GENERAL)]
    assert len(pairs) > 20_000
    chosen = [pair for pair in pairs if draw.random() < SHARE]
    found = {f"{one.label} = {odd.name}": what for one, odd in chosen if (what := broken(one, odd))}
    listed = "\n".join(f"{where}: {what}" for where, what in list(found.items())[:60])
    assert not found, f"{len(found)} of {len(chosen)} calls break the contract:\n{listed}"


def test_every_public_function_and_argument_is_there(arguments):
    import inspect

    known = {(one.function.split(" ")[0], one.name) for one in arguments}
    for name in deit_ref.__all__:
        value = getattr(deit_ref, name)
        if inspect.isfunction(value):
            for parameter in inspect.signature(value).parameters.values():
                if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
                    assert (name, parameter.name) in known, f"{name}({parameter.name}=) is never tried"
    for settings in (deit_ref.DeiTConfig, deit_ref.ImageProcessing):
        for field in dataclasses.fields(settings):
            assert (settings.__name__, field.name) in known
