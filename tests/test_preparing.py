"""prepared: what it answers is what forward answers, and it knows when it would not."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from strategies import TINY
from torch._inductor.exc import InductorError

import deit_ref
from deit_ref.config import TASKS
from deit_ref.photos import bundled_photo
from deit_ref.torch_backend import compiled
from deit_ref.weights import map_weights

MANY = 3


@pytest.fixture(scope="module")
def run():
    """Prepared once, for those tests that change nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "made_by_amd", lambda: False)
        patch.setattr(torch._inductor, "compile", lambda graph, example_inputs, options: graph)
        return deit_ref.prepared(new(), batch_size=MANY)


@pytest.fixture
def graphs(monkeypatch):
    """The recorded graphs run as they are, because to compile one takes ten seconds; the list holds how they came."""
    came = []

    def compile_graph(graph, example_inputs, options=None):
        came.append((tuple(example_inputs[0].shape), options))
        return graph

    monkeypatch.setattr(compiled, "made_by_amd", lambda: False)
    monkeypatch.setattr(torch._inductor, "compile", compile_graph)
    return came


def new(task="classification-with-teacher", config=TINY):
    return deit_ref.init_weights(config, task, seed=0).to("torch")


def pixels(batch, seed=0):
    return torch.randn(batch, 3, *TINY.image_shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("task", TASKS)
def test_one_photo_and_all_get_the_answers_of_forward(graphs, task):
    weights = new(task)
    run = deit_ref.prepared(weights, batch_size=MANY)
    assert graphs == [((MANY, 3, *TINY.image_shape), {"freezing": True})]
    for batch in (MANY, 1, 2):
        x = pixels(batch, seed=batch)
        found, expected = run(pixel_values=x), deit_ref.forward(weights, pixel_values=x, backend="torch")
        assert type(found) is type(expected)
        for field in fields(expected):
            value = getattr(expected, field.name)
            if isinstance(value, torch.Tensor):
                torch.testing.assert_close(getattr(found, field.name), value, rtol=1e-5, atol=1e-6)
            else:
                assert getattr(found, field.name) == value, field.name
    assert len(graphs) == 1


# What torch says of its own code when its compiler is imported first.
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("amd", [False, True])
def test_a_compiled_program_answers_as_numpy_does(monkeypatch, amd):
    monkeypatch.setattr(compiled, "made_by_amd", lambda: amd)
    weights = deit_ref.load_weights("cifar10-distilled")
    weights = replace(weights, blocks=weights.blocks[:1])  # every operation that there is, in a tenth of the time
    photos = [bundled_photo("chelsea"), bundled_photo("coffee")]
    run = deit_ref.prepared(weights, batch_size=2)
    expected = deit_ref.forward(weights, photos)
    with ThreadPoolExecutor(4) as threads:  # each call has its own arrays
        swapped = [*threads.map(run, [photos, photos[::-1]] * 20)]
    for i, found in enumerate(swapped):
        for name in ("logits", "cls_logits", "distillation_logits"):
            book = getattr(expected, name)[:: -1 if i % 2 else 1]
            np.testing.assert_allclose(getattr(found, name), book, rtol=0, atol=1e-5 * np.abs(book).max())
    assert swapped[0].top(1)[0][0][0] == expected.top(1)[0][0][0]


@pytest.mark.parametrize(
    ("name", "amd"),
    [("AMD EPYC", True), ("Intel(R) Xeon(R) Platinum 8488C", False), ("Apple M4", False), (None, False)],
)
def test_onednn_is_for_processors_of_amd(monkeypatch, name, amd):
    capabilities = {} if name is None else {"cpu_name": name}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert compiled.made_by_amd() is amd


def test_a_program_of_onednn_leaves_no_file(monkeypatch):
    """The weights stand in it: a file for each would fill the disk."""
    folders = []

    def compile_graph(graph, example_inputs, options):
        folders.append(Path(options["aot_inductor.output_path"]))
        assert options["freezing"]
        return "files"

    monkeypatch.setattr(compiled, "made_by_amd", lambda: True)
    monkeypatch.setattr(torch._inductor, "aot_compile", compile_graph)
    monkeypatch.setattr("torch._inductor.package.package.package_aoti", lambda path, files: (path, files))
    loaded = []

    def load(package, num_runners):
        loaded.append((package, num_runners))
        return lambda pixel_values: {}

    monkeypatch.setattr("torch._inductor.package.package.load_package", load)
    deit_ref.prepared(new())
    assert loaded == [((f"{folders[0]}/pass.pt2", "files"), 16)]
    assert not folders[0].exists()


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_another_dtype_is_that_of_its_answers(graphs, dtype):
    weights, x = new(), pixels(1)
    found = deit_ref.prepared(weights, dtype=dtype)(pixel_values=x)
    expected = deit_ref.forward(weights, pixel_values=x, backend="torch", dtype=dtype)
    assert found.logits.dtype == expected.logits.dtype == getattr(torch, dtype)
    torch.testing.assert_close(found.logits, expected.logits)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_weights_that_change_are_noticed(graphs, backend):
    weights, x = new().to(backend), pixels(1)
    run = deit_ref.prepared(weights)
    before = run(pixel_values=x)
    weights.blocks[0].mlp.fc1.weight[0, 0] += 1
    with pytest.raises(ValueError, match="changed since they were prepared: prepare them again"):
        run(pixel_values=x)
    after = deit_ref.prepared(weights)(pixel_values=x)
    assert not torch.equal(after.logits, before.logits)
    torch.testing.assert_close(after.logits, deit_ref.forward(weights, pixel_values=x, backend="torch").logits)


def test_weights_made_in_inference_mode_are_looked_through(graphs):
    with torch.inference_mode():
        weights = map_weights(torch.clone, new())
        run = deit_ref.prepared(weights)
        assert torch.isfinite(run(pixel_values=pixels(1)).logits).all()
        weights.head.bias[0] += 1
    with pytest.raises(ValueError, match="changed since"):
        run(pixel_values=pixels(1))


def test_answers_have_no_gradient_whatever_the_weights_have(graphs):
    weights = map_weights(lambda array: array.clone().requires_grad_(), new())
    run = deit_ref.prepared(weights)
    assert not run(pixel_values=pixels(1).requires_grad_()).logits.requires_grad
    with torch.inference_mode():
        again = run(pixel_values=pixels(1))
    torch.testing.assert_close(again.logits, deit_ref.forward(weights, pixel_values=pixels(1), backend="torch").logits)


def test_answers_are_the_callers_own(run):
    kept = run(pixel_values=pixels(2))
    before = kept.logits.clone()
    run(pixel_values=pixels(2, seed=1))
    assert torch.equal(kept.logits, before)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"pixel_values": torch.zeros(4, 3, 32, 32)}, r"Prepared for \(3, 3, 32, 32\) or fewer images, got \(4, 3"),
        (
            {"pixel_values": torch.zeros(1, 3, 16, 32)},
            r"got \(1, 3, 16, 32\): prepare with another batch_size, or call",
        ),
        ({"pixel_values": torch.zeros(1, 1, 32, 32)}, r"got \(1, 1, 32, 32\)"),
        ({"pixel_values": np.zeros((1, 3, 32, 32), np.uint8)}, "photos of 0..255 go to images="),
        ({}, "got neither: give one"),
        ({"images": "cat.jpg", "pixel_values": torch.zeros(1, 3, 32, 32)}, "got both: give one"),
    ],
)
def test_what_it_was_not_prepared_for_is_refused(run, given, message):
    with pytest.raises(ValueError, match=message):
        run(**given)


def test_it_warns_as_forward_does(run):
    with pytest.warns(UserWarning, match="not finite: pixel_values contain NaN"):
        run(pixel_values=torch.full((1, 3, *TINY.image_shape), torch.nan))
    with pytest.warns(UserWarning, match="photos of 0..255 go to images=") as warned:
        run(pixel_values=torch.full((1, 3, *TINY.image_shape), 255.0))
    assert warned[0].filename == __file__


@pytest.mark.parametrize(
    ("weights", "given", "message"),
    [
        ("cifar10-distilled", {}, r"did you mean load_weights\('cifar10-distilled'\)"),
        (new(), {"batch_size": 0}, "batch_size must be"),
        (new(), {"batch_size": 4097}, "batch_size must be at most 4096, got 4097: call it more than once"),
        (new(config=replace(TINY, output_attentions=True)), {}, "the config says output_attentions: call forward"),
        (map_weights(lambda array: array.to("meta"), new()), {}, "compiles for a CPU, got weights on meta"),
    ],
)
def test_what_cannot_be_prepared_is_refused(graphs, weights, given, message):
    with pytest.raises(ValueError, match=message):
        deit_ref.prepared(weights, **given)
    assert graphs == []


@pytest.mark.parametrize("amd", [False, True])
def test_without_a_compiler_it_says_what_to_do(monkeypatch, amd):
    def fails(graph, example_inputs, options=None):
        raise InductorError(RuntimeError(reason), None)

    monkeypatch.setattr(torch._inductor, "aot_compile" if amd else "compile", fails)
    monkeypatch.setattr(compiled, "made_by_amd", lambda: amd)
    reason = "InvalidCxxCompiler: No working C++ compiler found in torch._inductor.config.cpp.cxx: (None, 'g++')"
    with pytest.raises(ValueError, match="needs a C\\+\\+ compiler and torch found none: install one"):
        deit_ref.prepared(new())
    reason = "LoweringException: something else"
    with pytest.raises(InductorError, match="something else"):
        deit_ref.prepared(new())


def test_a_model_without_labels_has_no_class_names(graphs):
    weights = new(config=replace(TINY, num_labels=0))
    assert deit_ref.prepared(weights)(pixel_values=pixels(1)).class_names == ()
