"""The contract of every public function: for any argument, a right result or one clear line.

Each argument meets every value of `odd_values.py`, whatever its type. What comes is either a ValueError of one short
line, raised in this package, that names the argument; or a result, and then the value must be of a kind that the
argument takes, and give what its plain form gives. The usual run draws a part, the thorough one takes all.
"""

import contextlib
import dataclasses
import functools
import inspect
import io
import os
import random
import re
import traceback
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import pytest
import torch
from both import BACKENDS
from odd_values import GENERAL, Odd, arrays, photo
from strategies import TINY, random_mask, random_weights

import deit_ref
from deit_ref import plots
from deit_ref.arrays import as_numpy
from deit_ref.photos import load_image
from deit_ref.weights import DeiTWeights, named_arrays

THOROUGH = os.environ.get("DEIT_REF_HYPOTHESIS_PROFILE") == "thorough"
SHARE = 1.0 if THOROUGH else 0.07
PACKAGE = str(Path(deit_ref.__file__).parent)

WEIGHTS = random_weights(TINY)
MASKED = random_weights(TINY, "features", mask_token=True)
# Quarters, which every float dtype holds.
PIXELS = np.random.default_rng(0).integers(-8, 8, (2, 3, 32, 32)).astype(np.float32) / 4
SEVERAL = dataclasses.replace(TINY, problem_type="regression")
STEPS = deit_ref.ImageProcessing.huggingface(32)
TOKENS = TINY.num_prefix_tokens + TINY.num_patches


class Argument(NamedTuple):
    """One argument of one function: how to call it with a value, what kinds it takes, how messages may name it."""

    function: str
    name: str
    call: Callable[[Any], Any]
    takes: frozenset[str]
    named: str
    values: tuple[Odd, ...]


def tried(
    function: str,
    run: Callable[..., Any],
    takes: Mapping[str, str],
    usual: Mapping[str, Any] | None = None,
    *,
    named: str = "",
    values: Any = (),
) -> list[Argument]:
    """The arguments in `takes`, each with the kinds that it takes, beside `usual` ones; `values` besides all others."""

    def call(name: str) -> Callable[[Any], Any]:
        return lambda value: run(**{**(usual or {}), name: value})

    return [
        Argument(function, name, call(name), frozenset(kinds.split()), named or name, tuple(values))
        for name, kinds in takes.items()
    ]


IMAGE = {"named": "image|photo|file", "values": arrays(photo(), "image")}


def of_forward(backend: str) -> list[Argument]:
    name, in_torch = f"forward by {backend}", backend == "torch"
    dtypes, devices, own = ("torch-dtype", "none cpu", "torch") if in_torch else ("dtype", "none", "np")
    by_pixels = {"weights": WEIGHTS, "pixel_values": PIXELS, "backend": backend}
    by_photo = {"weights": WEIGHTS, "images": photo(), "backend": backend}
    masked = by_pixels | {"weights": MASKED}
    several = by_pixels | {"weights": dataclasses.replace(WEIGHTS, config=SEVERAL)}
    bare = {"weights": WEIGHTS, "backend": backend}
    plain = {
        "weights": "weights", "backend": "numpy torch", "device": devices, "dtype": f"none {dtypes}",
        "interpolate_pos_encoding": "bool", "output_hidden_states": "none bool", "output_attentions": "none bool",
        "generator": f"none {own}-generator", "trace": "none trace",
    }  # fmt: skip

    def masks(values: Any) -> list[Odd]:
        return arrays(np.array(values, np.float32), "numbers")

    forward = deit_ref.forward
    return [
        *tried(name, forward, plain, by_pixels),
        *tried(name, forward, {"images": "image more less truth"}, bare, **IMAGE),
        *tried(name, forward, {"pixel_values": "numbers nan"}, bare, values=masks(PIXELS)),
        *tried(name, forward, {"image_processing": "none processing"}, by_photo),
        *tried(name, forward, {"bool_masked_pos": "none numbers"}, masked, values=masks(random_mask((2, 16)))),
        *tried(name, forward, {"head_mask": "none numbers minus less"}, by_pixels, values=masks(np.eye(2, 4))),
        *tried(name, forward, {"attention_mask": "none numbers"}, by_pixels, values=masks(random_mask((2, TOKENS)))),
        *tried(name, forward, {"labels": "none numbers"}, by_pixels, values=arrays(np.array([3, 1]), "numbers")),
        *tried(
            f"{name}, regression",
            forward,
            {"labels": "none numbers minus truth"},
            several,
            values=masks(np.eye(2, 5) * 3),
        ),
    ]


def of_gradients(backend: str) -> list[Argument]:
    name, in_torch = f"gradients by {backend}", backend == "torch"
    dtypes, devices, own = ("torch-dtype", "none cpu", "torch") if in_torch else ("dtype", "none", "np")
    two_heads = random_weights(TINY, "classification-with-teacher")
    by_target = {"weights": WEIGHTS, "pixel_values": PIXELS, "backend": backend, "target": 1}
    by_photo = {"weights": WEIGHTS, "images": photo(), "backend": backend, "target": 1}
    masked = by_target | {"weights": MASKED}
    bare = {"weights": WEIGHTS, "backend": backend, "target": 1}
    labeled = {"weights": WEIGHTS, "pixel_values": PIXELS, "backend": backend}
    teacher = np.eye(2, 5, dtype=np.float32)
    taught = {
        "weights": two_heads, "pixel_values": PIXELS, "backend": backend, "labels": [3, 1], "distillation": "soft",
        "teacher_logits": teacher,
    }  # fmt: skip
    plain = {
        "weights": "weights", "backend": "numpy torch", "device": devices, "dtype": f"none {dtypes}",
        "interpolate_pos_encoding": "bool", "generator": f"none {own}-generator", "trace": "none trace",
        "gradient_trace": "none trace", "with_respect_to": "", "distillation": "",
    }  # fmt: skip

    def masks(values: Any) -> list[Odd]:
        return arrays(np.array(values, np.float32), "numbers")

    run = deit_ref.gradients
    return [
        *tried(name, run, plain, by_target),
        *tried(name, run, {"images": "image more less truth"}, bare, **IMAGE),
        *tried(name, run, {"pixel_values": "numbers nan"}, bare, values=masks(PIXELS)),
        *tried(name, run, {"image_processing": "none processing"}, by_photo),
        *tried(name, run, {"bool_masked_pos": "none numbers"}, masked, values=masks(random_mask((2, 16)))),
        *tried(name, run, {"head_mask": "none numbers minus less"}, by_target, values=masks(np.eye(2, 4))),
        *tried(name, run, {"attention_mask": "none numbers"}, by_target, values=masks(random_mask((2, TOKENS)))),
        *tried(name, run, {"target": "int numbers less"}, labeled, values=arrays(np.array([3, 1]), "numbers")),
        *tried(name, run, {"labels": "numbers"}, labeled, values=arrays(np.array([3, 1]), "numbers")),
        *tried(name, run, {"labels": "numbers"}, taught, values=arrays(np.array([3, 1]), "numbers")),
        *tried(name, run, {"teacher_logits": "numbers minus more less"}, taught, values=masks(teacher)),
        *tried(name, run, {"alpha": "none number int", "tau": "none number int"}, taught),
    ]


def of_preprocess(backend: str) -> list[Argument]:
    name, devices = f"preprocess by {backend}", "none cpu" if backend == "torch" else "none"
    usual = {"images": photo(), "image_processing": STEPS, "backend": backend}
    takes = {
        "image_processing": "processing", "backend": "numpy torch", "device": devices, "data_format": "channels_last",
        "trace": "none trace",
    }  # fmt: skip
    run = deit_ref.preprocess
    return [*tried(name, run, takes, usual), *tried(name, run, {"images": "image more less truth"}, usual, **IMAGE)]


def of_compare() -> list[Argument]:
    by_photo, by_pixels = {"weights": WEIGHTS, "images": photo()}, {"weights": WEIGHTS, "pixel_values": PIXELS}
    takes = {
        "weights": "weights",
        "device": "none cpu",
        "dtype": "none torch-dtype",
        "image_processing": "none processing",
    }
    more = {"head_mask": "none", "labels": "none numbers", "output_attentions": "none bool", "trace": ""}
    run = deit_ref.compare
    return [
        *tried("compare", run, takes, by_photo),
        *tried("compare", run, more, by_pixels),
        *tried("compare", run, {"images": "image"}, {"weights": WEIGHTS}, named=IMAGE["named"]),
    ]


def of_prepared() -> list[Argument]:
    def prepared(**options: Any) -> Any:
        with (  # which would take ten seconds
            patch("deit_ref.torch_backend.compiled.made_by_amd", lambda: False),
            patch("torch._inductor.compile", lambda graph, x, options: graph),
        ):
            return deit_ref.prepared(**options)

    once = functools.cache(lambda: prepared(weights=WEIGHTS))
    takes = {"weights": "weights", "batch_size": "int", "dtype": "none torch-dtype"}
    return [
        *tried("prepared", lambda **options: prepared(**options)(pixel_values=PIXELS[:1]), takes, {"weights": WEIGHTS}),
        *tried("prepared", lambda images: once()(images), {"images": "image"}, named=IMAGE["named"]),
    ]


def of_checkpoints(folder: Path) -> list[Argument]:
    def saved(**options: Any) -> DeiTWeights:
        with contextlib.chdir(here):  # a folder of any name is written here, where nobody looks for checkpoints
            deit_ref.save_weights(**options)
            return deit_ref.load_weights(options["folder"])

    here = folder / "here"
    here.mkdir()

    load = deit_ref.load_weights
    simmim = {"source": "cifar10-simmim"}
    five = {
        "config": dataclasses.replace(load("cifar10-simmim").config, num_labels=5),
        "task": "classification",
        "seed": 0,
    }
    plain = {"config": "none config", "image_processing": "none processing", "revision": "none"}
    usual = {"weights": WEIGHTS, "folder": folder / "saved"}
    source = "source|folder|file|There is|missing|holds"
    return [
        *tried("load_weights", load, {"source": "none checkpoint"}, named=source),
        *tried("load_weights", load, {"task": "none features classification"}, {"seed": 0}),
        *tried("load_weights", load, {"seed": "none int"}, simmim | {"task": "classification"}),
        *tried("load_weights", load, {"class_names": "none names"}, simmim | five),
        *tried("load_weights", load, plain, simmim),
        *tried(
            "save_weights", saved, {"weights": "weights", "folder": "text path", "provenance": "none mapping"}, usual
        ),
    ]


def of_settings() -> list[Argument]:
    def config(**options: Any) -> Any:
        found = deit_ref.DeiTConfig(
            **{"image_size": 48, "patch_size": 8, "hidden_size": 96, "num_attention_heads": 3} | options
        )
        assert deit_ref.DeiTConfig.from_dict(found.to_dict()) == found
        return found

    def steps(**options: Any) -> Any:
        found = deit_ref.ImageProcessing(**options)
        assert deit_ref.ImageProcessing.from_dict(found.to_dict()) == found
        return found

    kinds = {bool: "bool", float: "number int", int: "int", str: "gelu bicubic floor pillow"}
    pairs, sizes, means = "int pair", "int pair size edge", "number int means list"
    of_config = {
        field.name: kinds.get(type(field.default), "none") for field in dataclasses.fields(deit_ref.DeiTConfig)
    }
    of_config |= dict.fromkeys(("image_size", "patch_size", "encoder_stride"), pairs)
    of_config |= {"problem_type": "none regression", "pooler_output_size": "none int"}
    of_steps = {
        field.name: kinds.get(type(field.default), "none") for field in dataclasses.fields(deit_ref.ImageProcessing)
    }
    of_steps |= {"size": sizes, "crop_size": sizes, "image_mean": means, "image_std": means}
    of_steps |= {"resample": "int bicubic", "input_data_format": "none channels_last"}
    processing, preset = deit_ref.ImageProcessing(), deit_ref.ImageProcessing.huggingface
    init = {
        "config": "config variant", "task": "features classification", "seed": "int", "pooler": "bool",
        "mask_token": "bool", "image_processing": "none processing", "class_names": "none names",
    }  # fmt: skip
    return [
        *tried("DeiTConfig", config, of_config),
        *tried("ImageProcessing", steps, of_steps),
        *tried("ImageProcessing.huggingface", preset, {"size": "int"}),
        *tried("ImageProcessing.original", deit_ref.ImageProcessing.original, {"size": "int"}),
        *tried("resized_shape", processing.resized_shape, {"height": "int", "width": "int"}, {"height": 8, "width": 8}),
        *tried(
            "ImageProcessing.from_dict", deit_ref.ImageProcessing.from_dict, {"values": "mapping"}, named="config|size"
        ),
        *tried("DeiTConfig.from_dict", deit_ref.DeiTConfig.from_dict, {"values": "mapping"}, named="config"),
        *tried(
            "ImageProcessing.from_dict",
            lambda **values: deit_ref.ImageProcessing.from_dict(values),
            {"image_processor_type": "none", "do_pad": "none bool"},
        ),
        *tried(
            "DeiTConfig.from_dict",
            lambda **values: deit_ref.DeiTConfig.from_dict(values),
            {"model_type": "", "id2label": "none mapping"},
        ),
        *tried("init_weights", deit_ref.init_weights, init, {"config": TINY, "task": "features", "seed": 0}),
    ]


def of_methods() -> list[Argument]:
    def recorded(**options: Any) -> Any:
        trace = deit_ref.Trace(**options)
        deit_ref.forward(WEIGHTS, pixel_values=PIXELS, trace=trace)
        return dict(trace)

    trace = deit_ref.Trace()
    output = deit_ref.forward(WEIGHTS, pixel_values=PIXELS, trace=trace)
    tree = {
        "config": "config", "task": "classification", "image_processing": "processing", "class_names": "none names",
        "blocks": "texts",        "pos_embed": "", "head": "", "dist_token": "", "norm": "",
    }  # fmt: skip
    switches = {"do_convert_rgb": "bool", "apply_exif": "bool", "input_data_format": "none channels_last"}
    return [
        *tried("Trace", recorded, {"only": "none texts", "also": "none trace"}),
        *tried("Trace.matching", trace.matching, {"pattern": "text"}),
        *tried("output.top", output.top, {"k": "int"}),
        *tried("weights.to", WEIGHTS.to, {"backend": "numpy torch"}),
        *tried("weights.to", WEIGHTS.to, {"device": "none cpu", "dtype": "none torch-dtype"}, {"backend": "torch"}),
        *tried("weights.to", WEIGHTS.to, {"device": "none", "dtype": "none dtype"}, {"backend": "numpy"}),
        *tried(
            "DeiTWeights",
            lambda **changes: dataclasses.replace(WEIGHTS, **changes),
            tree,
            named="weights|blocks|_|task|config",
        ),
        *tried("load_image", load_image, {"image": "image less truth"}, **IMAGE),
        *tried("load_image", load_image, switches, {"image": photo()}),
    ]


def of_plots() -> list[Argument]:
    small, attention = photo(16, 24), np.full((1, 2, 8, 8), 1 / 8, np.float32)
    mask = np.array([1, 0, 1, 0, 0, 1], np.float32)
    flags = {"takes": {"mask": "numbers truth more"}, "values": arrays(mask, "numbers")}

    def drawn(figure: Callable[..., Any]) -> Callable[..., Any]:
        return lambda **options: type(figure(**options))

    seen = {"photo": small, "attentions": [attention], "grid": (2, 3), "num_prefix_tokens": 2}
    chosen = {"num_prefix_tokens": "int", "token": "", "layers": "none int list", "heads": "none int list", "grid": ""}
    guess = {"photo": small, "reconstruction": small, "mask": mask, "patch_shape": 8}
    hidden = {"photo": small, "mask": mask, "patch_shape": 8}
    maps, rollout, panel = map(drawn, (plots.attention_maps, plots.rollout_overlay, plots.reconstruction_panel))
    steps = {"pixel_values": PIXELS, "image_processing": STEPS}
    of_pixels = {"takes": {"pixel_values": "numbers nan"}, "values": arrays(PIXELS, "numbers")}
    relevance, pull = drawn(plots.relevance_overlay), drawn(plots.saliency_overlay)
    of_gradient = {
        "takes": {"dpixel_values": "numbers"},
        "values": arrays(np.ones((1, 3, 16, 24), np.float32), "numbers"),
    }
    of_counts = {"takes": {"counts": "numbers"}, "values": arrays(np.eye(2), "numbers")}
    table, two = drawn(plots.confusion_matrix), {"class_names": ["a", "b"]}
    return [
        *tried("to_photos", plots.to_photos, usual=steps, **of_pixels),
        *tried("to_photos", plots.to_photos, {"image_processing": "processing"}, steps),
        *tried("attention_maps", maps, chosen, seen, named="prefix|token|layers|heads|patches|grid"),
        *tried("attention_maps", maps, {"photo": ""}, seen, named="image"),
        *tried("attention_maps", maps, {"attentions": ""}, seen, values=arrays(attention, "")),
        *tried("rollout_overlay", rollout, {"attentions": ""}, seen),
        *tried("relevance_overlay", relevance, {"dattentions": ""}, seen | {"dattentions": [attention]}),
        *tried("saliency_overlay", pull, usual={"photo": small}, **of_gradient),
        *tried("hide_patches", plots.hide_patches, usual=hidden, **flags),
        *tried(
            "hide_patches",
            plots.hide_patches,
            {"photo": "", "patch_shape": "pair int"},
            hidden,
            named="image|mask|patch",
        ),
        *tried("reconstruction_panel", panel, {"reconstruction": ""}, guess, named="image|reconstruction"),
        *tried("confusion_matrix", table, usual=two, **of_counts),
        *tried("confusion_matrix", table, {"class_names": "names"}, {"counts": np.eye(5)}, named="class"),
    ]


def every_argument(folder: Path) -> list[Argument]:
    by_backend = [each(backend) for backend in BACKENDS for each in (of_forward, of_gradients, of_preprocess)]
    rest = [of_compare(), of_prepared(), of_checkpoints(folder), of_settings(), of_methods(), of_plots()]
    return [argument for some in (*by_backend, *rest) for argument in some]


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
    with value if isinstance(value, io.IOBase) and not value.closed else contextlib.nullcontext():
        return judged(argument, odd, value)


def judged(argument: Argument, odd: Odd, value: Any) -> str | None:
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
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:200]!r} in {last.filename}:{last.lineno}"
    if wrong := [warning for warning in said if warning.category is not UserWarning]:
        return f"warned: {wrong[0].category.__name__} {wrong[0].message}"
    if not odd.kinds & argument.takes:
        return f"took it, and gave {str(result)[:200]}"
    if odd.plain is not None:
        with warnings.catch_warnings(action="ignore"):
            expected = argument.call(odd.plain())
        try:
            np.testing.assert_equal(summary(result), summary(expected))
        except AssertionError as error:
            return f"gave another result than its plain form: {str(error)[:300]}"
    return None


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    folder = tmp_path_factory.mktemp("contract")
    with contextlib.chdir(folder):  # where no file has one of the names that are tried
        yield every_argument(folder)


def test_a_right_result_or_one_clear_line(arguments):
    draw = random.Random(20261128)
    pairs = [(one, odd) for one in arguments for odd in (*one.values, *GENERAL)]
    assert len(pairs) > 20_000
    chosen = [pair for pair in pairs if draw.random() < SHARE]
    found = {f"{one.function}, {one.name} = {odd.name}": what for one, odd in chosen if (what := broken(one, odd))}
    listed = "\n".join(f"{where}: {what}" for where, what in list(found.items())[:60])
    assert not found, f"{len(found)} of {len(chosen)} calls break the contract:\n{listed}"


def test_every_public_function_and_argument_is_there(arguments):
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
