"""The two backends are one book in two languages: the same functions, the same arguments, the same shapes."""

import importlib
import inspect
import re
import types
import typing
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from both import BACKWARD_FILES, CHAPTER_FILES, TORCH_FILES
from strategies import TINY, random_mask, random_pixels, random_weights
from transformers.activations import ACT2FN

from deit_ref.chapters import CHAPTERS, PARTS
from deit_ref.config import ACTIVATION_NAMES, TASKS
from deit_ref.trace import Trace

NAMES = CHAPTER_FILES


def chapter_of(backend, name):
    return importlib.import_module(f"deit_ref.{backend}_backend.{name}")


def public(module, kind):
    """What the module itself defines for others to use, in order."""
    found = {}
    for name, value in vars(module).items():
        if not name.startswith("_") and kind(value) and getattr(value, "__module__", None) == module.__name__:
            found[name] = value
    return found


def meaning(annotation):
    """An annotation without the type of its arrays: kind of number and axis string are what both must share."""
    if hasattr(annotation, "dim_str"):
        return annotation.dtype.__name__, annotation.dim_str
    if isinstance(annotation, list):  # the arguments of a Callable
        return tuple(map(meaning, annotation))
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in (np.ndarray, torch.Tensor) or origin is np.ndarray:
        return "array"
    if annotation in (np.random.Generator, torch.Generator):
        return "generator"
    if origin in (typing.Union, types.UnionType):
        return frozenset(map(meaning, parts)) if len(set(map(meaning, parts))) > 1 else meaning(parts[0])
    if origin is not None:
        return origin, *map(meaning, parts)
    if getattr(annotation, "__module__", "").startswith("deit_ref.") and "_backend" in annotation.__module__:
        return annotation.__module__.split(".")[2], annotation.__name__
    return annotation


def shown(function):
    """Everything about a signature that the other backend must repeat."""
    signature = inspect.signature(function)
    parameters = [(p.name, p.kind.name, p.default, meaning(p.annotation)) for p in signature.parameters.values()]
    return parameters, meaning(signature.return_annotation)


def test_the_comparison_sees_each_kind_of_difference():
    from jaxtyping import Float, Int

    def one(x: Float[np.ndarray, "batch dim"] | None, *, eps: float) -> tuple[Float[np.ndarray, "dim"], ...]: ...
    def same(x: Float[torch.Tensor, "batch dim"] | None, *, eps: float) -> tuple[Float[torch.Tensor, "dim"], ...]: ...
    def axes(x: Float[torch.Tensor, "batch dims"] | None, *, eps: float) -> tuple[Float[torch.Tensor, "dim"], ...]: ...
    def kind(x: Int[torch.Tensor, "batch dim"] | None, *, eps: float) -> tuple[Float[torch.Tensor, "dim"], ...]: ...
    def plain(x: Float[torch.Tensor, "batch dim"], *, eps: float) -> tuple[Float[torch.Tensor, "dim"], ...]: ...
    def result(x: Float[torch.Tensor, "batch dim"] | None, *, eps: float) -> tuple[Float[torch.Tensor, "d"], ...]: ...
    def place(x: Float[torch.Tensor, "batch dim"] | None, eps: float) -> tuple[Float[torch.Tensor, "dim"], ...]: ...
    def default(
        x: Float[torch.Tensor, "batch dim"] | None, *, eps: float = 1
    ) -> tuple[Float[torch.Tensor, "dim"], ...]: ...

    assert shown(one) == shown(same)
    for other in (axes, kind, plain, result, place, default):
        assert shown(one) != shown(other), other


def test_chapters_are_numbered_in_order():
    assert [chapter.number for chapter in CHAPTERS] == list(range(1, len(CHAPTERS) + 1))
    assert len({chapter.name for chapter in CHAPTERS}) == len(CHAPTERS)
    assert [chapter.part for chapter in CHAPTERS] == sorted((c.part for c in CHAPTERS), key=PARTS.index)


def test_every_file_belongs_to_one_chapter():
    numpy = [file for chapter in CHAPTERS for file in chapter.numpy]
    assert sorted(numpy) == sorted([*CHAPTER_FILES, *(f"backward.{file}" for file in BACKWARD_FILES)])
    torch_files = [file for chapter in CHAPTERS for file in chapter.torch]
    assert sorted(torch_files) == sorted({*CHAPTER_FILES, *TORCH_FILES} - {"graphs", "compiled"})


@pytest.mark.parametrize("chapter", CHAPTERS, ids=[chapter.name for chapter in CHAPTERS])
def test_modules_name_their_chapter(chapter):
    for backend, files in (("numpy", chapter.numpy), ("torch", chapter.torch)):
        for file in files:
            first_line = chapter_of(backend, file).__doc__.splitlines()[0]
            continued = file != chapter.name and chapter.name in files
            assert re.match(rf"Chapter {chapter.number}{', continued' if continued else '[:,.] '}", first_line), (
                first_line
            )
            assert backend == "torch" or "Source:" in chapter_of(backend, file).__doc__


@pytest.mark.parametrize("name", NAMES)
def test_same_functions_with_the_same_signatures(name):
    book, mirror = (public(chapter_of(backend, name), inspect.isfunction) for backend in ("numpy", "torch"))
    assert book
    assert list(book) == list(mirror)
    for function in book:
        assert shown(book[function]) == shown(mirror[function]), function


@pytest.mark.parametrize("name", NAMES)
def test_same_classes_and_tables(name):
    book, mirror = (chapter_of(backend, name) for backend in ("numpy", "torch"))
    classes = [public(module, inspect.isclass) for module in (book, mirror)]
    assert list(classes[0]) == list(classes[1])
    for one, other in zip(*(found.values() for found in classes), strict=True):
        assert typing.get_type_hints(one).keys() == typing.get_type_hints(other).keys()
    tables = [
        {key: list(value) for key, value in vars(module).items() if isinstance(value, Mapping) and key.isupper()}
        for module in (book, mirror)
    ]
    assert tables[0] == tables[1]


@pytest.mark.parametrize("name", NAMES)
def test_the_mirror_points_to_the_book(name):
    module = chapter_of("torch", name)
    for function in {**public(module, inspect.isfunction), **public(module, inspect.isclass)}:
        pointer = rf"Mirror of numpy_backend\.{name}\.{function}[.;,:]"
        assert re.match(pointer, getattr(module, function).__doc__ or ""), function


@pytest.mark.parametrize("name", NAMES)
def test_the_book_explains_its_functions(name):
    for function, value in public(chapter_of("numpy", name), inspect.isfunction).items():
        text = value.__doc__ or ""
        assert len(text) > 20, function
        parameters = inspect.signature(value).parameters.values()
        explained = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
        for parameter in explained:
            assert re.search(rf"\b{parameter}\b", text), f"{function} does not say what {parameter} is"


def test_activations_are_those_of_transformers_and_selu():
    with_parameters = {"prelu", "xielu"}
    assert set(ACTIVATION_NAMES) == set(ACT2FN) - with_parameters | {"selu"}
    assert with_parameters < set(ACT2FN)
    for backend in ("numpy", "torch"):
        assert list(chapter_of(backend, "activations").ACTIVATIONS) == list(ACTIVATION_NAMES)


@pytest.mark.parametrize("task", TASKS)
def test_same_trace_names(task):
    weights = random_weights(TINY, task, mask_token=True)
    assert set(chapter_of("numpy", "model").TASKS) == set(TASKS)
    mask = random_mask((2, TINY.num_patches))
    recorded = {}
    for masked in (False, True):
        traces = {"numpy": Trace(), "torch": Trace()}
        for backend, convert in (("numpy", np.asarray), ("torch", torch.from_numpy)):
            options = {"bool_masked_pos": convert(mask)} if masked else {}
            run = chapter_of(backend, "model").TASKS[task]
            run(weights.to(backend), convert(random_pixels()), trace=traces[backend], **options)
        assert list(traces["numpy"]) == list(traces["torch"])
        for step, array in traces["numpy"].items():
            assert array.shape == tuple(traces["torch"][step].shape), step
        recorded[masked] = list(traces["numpy"])
    assert [step for step in recorded[True] if step != "masked"] == recorded[False]
    assert recorded[True].count("masked") == 1
    assert "blocks.1.attention.probabilities" in recorded[False]
