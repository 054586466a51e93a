"""The engine in JavaScript against the NumPy book, in Node: every traced step, every byte, every name."""

import dataclasses
import importlib
import inspect
import itertools
import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from engine import FOLDER, Engine, EngineError, Watched, node, read_files, saved_files
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image
from strategies import TINY, configs, random_pixels, random_weights, seeds, tasks
from test_resize import noise
from tolerances import assert_close

import deit_ref
from deit_ref.config import ACTIVATION_NAMES
from deit_ref.image_processing import RESAMPLING, ImageProcessing
from deit_ref.numpy_backend import activations, attention, image, losses, resize
from deit_ref.photos import BUNDLED_PHOTOS, bundled_photo, load_image
from deit_ref.trace import Trace

ROOT = FOLDER.parents[2]
PRETRAINED = bundled_photo().parent
MODULES = sorted(path.stem for path in FOLDER.glob("*.js"))
CHAPTERS = [name for name in MODULES if (ROOT / f"deit_ref/numpy_backend/{name}.py").exists()]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


def assert_same_steps(found: dict[str, Any], expected: Trace) -> None:
    assert list(found) == list(expected)
    for name, value in expected.items():
        if value.dtype == np.uint8:
            np.testing.assert_array_equal(found[name], value, err_msg=name)
        else:
            assert_close(found[name], value, "float32", name)


def assert_same_output(found: dict[str, Any], expected: Any) -> None:
    for name, value in vars(expected).items():
        if name in ("hidden_states", "attentions") and value is not None:
            assert len(found[name]) == len(value)
            for one, other in zip(found[name], value, strict=True):
                assert_close(one, other, "float32", name)
        elif isinstance(value, np.ndarray | np.floating):
            assert_close(np.asarray(found[name]), value, "float32", name)
        elif name == "class_names":
            assert found[name] == (None if value is None else list(value))
        elif name != "loss" or value is not None:
            assert found[name] == value


# --- every step


INTERVENTIONS = ("plain", "attention_mask", "head_mask", "bool_masked_pos", "interpolate_pos_encoding")


@pytest.mark.parametrize("intervention", INTERVENTIONS)
@pytest.mark.parametrize("model", ["cifar10-distilled", "cifar10-simmim"])
def test_every_step_on_the_bundled_photos(engine, model, intervention):
    if (model, intervention) == ("cifar10-distilled", "bool_masked_pos"):
        model = "cifar10-simmim"  # a classifier has no mask token; this one once more, blended
    weights, kept = deit_ref.load_weights(model), engine.keep(PRETRAINED / model)
    photos = [load_image(bundled_photo(name)) for name in BUNDLED_PHOTOS]
    config, generator = weights.config, np.random.default_rng(7)
    options: dict[str, Any] = {"output_attentions": True, "output_hidden_states": True}
    if intervention == "attention_mask":
        options[intervention] = generator.random((4, config.num_prefix_tokens + config.num_patches)) < 0.6
    elif intervention == "head_mask":
        options[intervention] = generator.random((config.num_hidden_layers, config.num_attention_heads)).round(1)
    elif intervention == "bool_masked_pos":
        options[intervention] = generator.random((4, config.num_patches)) < 0.5
    elif intervention == "interpolate_pos_encoding":
        processing = dataclasses.replace(weights.image_processing, size=(40, 24), crop_size=(40, 24))
        options |= {intervention: True, "image_processing": processing}
    trace, found = Trace(), Watched()
    output = deit_ref.forward(weights, photos, trace=trace, **options)
    if "image_processing" in options:
        changed = engine.call("image_processing", "image_processing_from_dict", processing.to_dict())
        options["image_processing"] = changed
    assert_same_output(engine.call("api", "forward", kept, photos, {**options, "trace": found}), output)
    assert_same_steps(found, trace)
    for i in range(len(photos)):
        assert found[f"images.{i}.normalized"].tobytes() == trace[f"images.{i}.normalized"].tobytes()


@given(st.data(), seeds)
def test_every_step_of_drawn_models(engine, data, seed):
    # A regression's one logit may be close to 0, and 3 channels of 1 x 1 pixels have nothing to measure by.
    config = data.draw(configs(num_labels=data.draw(st.sampled_from([2, 5]))))
    task = data.draw(tasks(config))
    mask_token = task in ("features", "masked-image-modeling") and data.draw(st.booleans())
    weights = random_weights(config, task, seed=seed, pooler=data.draw(st.booleans()), mask_token=mask_token)
    grid = data.draw(st.sampled_from([config.grid, (config.grid[0] + 1, config.grid[1] + 2)]))
    shape = (grid[0] * config.patch_shape[0], grid[1] * config.patch_shape[1])
    patches, batch = grid[0] * grid[1], data.draw(st.sampled_from([1, 3]))
    generator = np.random.default_rng(seed)
    pixels = random_pixels(dataclasses.replace(config, image_size=shape), batch=batch, seed=seed)
    options: dict[str, Any] = {"interpolate_pos_encoding": grid != config.grid}
    if data.draw(st.booleans()):
        mask = generator.random((batch, config.num_prefix_tokens + patches)) < 0.6
        mask[:, generator.integers(mask.shape[1])] = True
        options["attention_mask"] = mask
    if config.num_hidden_layers and data.draw(st.booleans()):
        layers, heads = config.num_hidden_layers, config.num_attention_heads
        rows = data.draw(st.sampled_from([(heads,), (layers, heads), (layers, 1)]))
        options["head_mask"] = generator.random(rows).astype(np.float32)
    if weights.mask_token is not None and data.draw(st.booleans()):
        numbers = generator.random((batch, patches)).astype(np.float32)
        options["bool_masked_pos"] = numbers if data.draw(st.booleans()) else numbers < 0.5
    trace, found = Trace(), Watched()
    output = deit_ref.forward(weights, pixel_values=pixels, trace=trace, **options)
    kept = engine.keep(weights)
    answer = engine.call("api", "forward", kept, None, {**options, "pixel_values": pixels, "trace": found})
    assert_same_output(answer, output)
    assert_same_steps(found, trace)


def test_a_trace_keeps_what_its_patterns_name_and_changes_nothing(engine):
    weights = random_weights(TINY, "classification")
    kept, pixels = engine.keep(weights), random_pixels()
    plain = engine.call("api", "forward", kept, None, {"pixel_values": pixels})
    found = Watched()
    watched = engine.call("api", "forward", kept, None, {"pixel_values": pixels, "trace": found})
    assert watched["logits"].tobytes() == plain["logits"].tobytes()
    patterns = ["blocks.?.output", "logits", "blocks.[!0].attention.*"]
    messages = [
        {"id": 0, "type": "load", "files": saved_files(weights)},
        {"id": 1, "type": "run", "options": {"pixel_values": pixels}, "trace": patterns},
    ]
    (answers,) = engine.ask([{"messages": messages}])
    expected = Trace(patterns)
    deit_ref.forward(weights, pixel_values=pixels, trace=expected)
    assert sorted(answers[1]["trace"]) == sorted(expected)
    for name, value in answers[1]["trace"].items():
        assert value.tobytes() == found[name].tobytes()


# --- bytes


@given(st.data(), seeds)
def test_resized_bytes_are_those_of_pillow(engine, data, seed):
    # A batch for every draw: all filters and modes at these sizes.
    side = st.integers(1, 90)
    shape, size = data.draw(st.tuples(side, side)), data.draw(st.tuples(side, side))
    calls, expected = [], []
    for mode, channels in (("L", 1), ("RGB", 3), ("LA", 2), ("RGBA", 4)):
        pixels = noise(seed, *shape, channels)
        function = ("pixels", "resize_with_alpha") if mode.endswith("A") else ("resize", "resize")
        for resample, number in RESAMPLING.items():
            arguments = (pixels, size, {"resample": resample})
            calls.append({"module": function[0], "function": function[1], "arguments": arguments})
            picture = Image.fromarray(pixels[..., 0] if mode == "L" else pixels)
            assert picture.mode == mode
            resized = np.asarray(picture.resize((size[1], size[0]), number))
            expected.append(resized.reshape(*size, channels))
    for call, found, bytes_of_pillow in zip(calls, engine.ask(calls), expected, strict=True):
        np.testing.assert_array_equal(found, bytes_of_pillow, err_msg=str(call["arguments"][2]))


@given(st.integers(1, 300), st.integers(1, 120), seeds)
def test_other_arithmetic_and_order_as_in_the_book(engine, in_size, out_size, seed):
    options = [
        {"arithmetic": "torchvision", "resample": name} for name in ("nearest", "bilinear", "bicubic", "lanczos")
    ]
    options += [{"pass_order": "pillow-12", "resample": name} for name in ("hamming", "lanczos")]
    pixels, size = noise(seed, in_size, 7), (out_size, 5)
    calls = [{"module": "resize", "function": "resize", "arguments": (pixels, size, chosen)} for chosen in options]
    for chosen, found in zip(options, engine.ask(calls), strict=True):
        np.testing.assert_array_equal(found, resize.resize(pixels, size, **chosen), err_msg=str(chosen))


@pytest.mark.parametrize("resample", sorted(resize.FILTERS))
@pytest.mark.parametrize(("in_size", "out_size"), [(300, 32), (7, 12), (33, 32), (2, 1)])
def test_weights_of_the_filters_are_those_of_the_book(engine, in_size, out_size, resample):
    first, weights, taps = engine.call("resize", "resample_coefficients", in_size, out_size, {"resample": resample})
    expected_first, expected = resize.resample_coefficients(in_size, out_size, resample=resample)
    assert (first, taps) == (expected_first.tolist(), expected.shape[1])
    np.testing.assert_allclose(weights.reshape(expected.shape), expected, rtol=1e-13, atol=1e-16)


@st.composite
def processings(draw):
    """Steps of all kinds that the engine knows."""
    arithmetic = draw(st.sampled_from(["pillow", "torchvision"]))
    filters = [name for name in RESAMPLING if arithmetic == "pillow" or name not in ("box", "hamming")]
    side, factors = st.integers(3, 40), st.sampled_from([1 / 255, 2 / 255, 0.3])
    number = draw(side)
    sizes = (
        number,
        {"height": draw(side), "width": draw(side)},
        {"shortest_edge": number},
        {"shortest_edge": number, "longest_edge": draw(st.integers(number, 60))},
        {"max_height": draw(side), "max_width": draw(side)},
    )
    alpha = arithmetic == "pillow" and draw(st.booleans())
    channels = 2 if alpha else 3
    values = st.sampled_from([0.1, 0.225, 0.5, 0.9999, 3.0])
    return ImageProcessing(
        do_resize=draw(st.booleans()),
        size=draw(st.sampled_from(sizes)),
        default_to_square=draw(st.booleans()),
        resample=draw(st.sampled_from(filters)),
        do_center_crop=draw(st.booleans()),
        crop_size=(draw(side), draw(side)),
        do_rescale=draw(st.booleans()),
        rescale_factor=draw(factors),
        do_normalize=draw(st.booleans()),
        image_mean=draw(st.tuples(*[values] * channels)),
        image_std=draw(st.one_of(values, st.tuples(*[values] * channels))),
        do_convert_rgb=not alpha,
        alpha=alpha,
        crop_rounding=draw(st.sampled_from(["floor", "round"])),
        arithmetic=arithmetic,
        pass_order=draw(st.sampled_from(["pillow-13", "pillow-12"])),
    )


@given(processings(), st.integers(1, 70), st.integers(1, 70), seeds)
def test_preprocessing_is_equal_bit_for_bit(engine, processing, height, width, seed):
    photo, trace, watched = noise(seed, height, width, 2 if processing.alpha else 3), Trace(), Watched()
    try:
        expected = image.preprocess([photo], processing, trace=trace)
    except ValueError as error:
        assume("leaves no pixel" in str(error))
        with pytest.raises(EngineError, match="would be resized to"):
            engine.call(
                "image_processing",
                "resized_shape",
                engine.call("image_processing", "image_processing_from_dict", processing.to_dict()),
                height,
                width,
            )
        return
    steps = engine.call("image_processing", "image_processing_from_dict", processing.to_dict())
    found = engine.call("image", "preprocess", [photo], steps, {"trace": watched})
    assert found.tobytes() == expected.tobytes()
    assert list(watched) == list(trace)
    for name, value in trace.items():
        assert (watched[name].dtype, watched[name].tobytes()) == (value.dtype, value.tobytes()), name


def test_the_steps_of_both_arithmetics_on_all_bytes(engine):
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    for factor, mean, std in ((1 / 255, 0.485, 0.229), (0.3, 0.225, 0.7), (1 / 127.5, 0.1, 3.0)):
        found = engine.call("image", "rescale_and_normalize", pixels, factor, mean, std)
        assert found.tobytes() == image.rescale_and_normalize(pixels, factor, mean, std).tobytes()
        for arithmetic in ("pillow", "torchvision"):
            found = engine.call("image", "rescale", pixels, factor, {"arithmetic": arithmetic})
            assert found.tobytes() == image.rescale(pixels, factor, arithmetic=arithmetic).tobytes()


def test_where_a_crop_starts(engine):
    asked, expected = [], []
    for rounding in ("floor", "truncate", "round"):
        for in_size, out_size in itertools.product(range(1, 9), range(1, 9)):
            arguments = (in_size, out_size, {"rounding": rounding})
            asked.append({"module": "image", "function": "crop_start", "arguments": arguments})
            expected.append(image.crop_start(in_size, out_size, rounding=rounding))
    assert engine.ask(asked) == expected
    for arithmetic, rounding in itertools.product(("pillow", "torchvision"), ("floor", "round")):
        processing = ImageProcessing(arithmetic=arithmetic, crop_rounding=rounding)
        steps = engine.call("image_processing", "image_processing_from_dict", processing.to_dict())
        assert steps["crop_rule"] == processing.crop_rule


def test_shapes_after_the_resize(engine):
    sizes = (
        (20, 30),
        {"shortest_edge": 20},
        {"shortest_edge": 20, "longest_edge": 27},
        {"max_height": 9, "max_width": 14},
    )
    for size in sizes:
        processing = ImageProcessing(size=size)
        steps = engine.call("image_processing", "image_processing_from_dict", processing.to_dict())
        shapes = [(height, width) for height in (5, 12, 13, 20, 26, 30, 31) for width in range(6, 42)]
        asked = {"module": "image_processing", "function": "resized_shape"}
        found = engine.ask([{**asked, "arguments": (steps, *shape)} for shape in shapes])
        assert found == [list(processing.resized_shape(*shape)) for shape in shapes], size


def test_photos_of_one_two_and_four_channels(engine):
    for channels in (1, 3, 4):
        pixels = noise(3, 9, 11, channels)
        np.testing.assert_array_equal(engine.call("photos", "load_image", pixels), load_image(pixels))
    with pytest.raises(EngineError, match="got 2: choose the channels"):
        engine.call("photos", "load_image", noise(3, 9, 11, 2))


# --- parts


def test_activations_of_all_names(engine):
    x = np.concatenate([np.linspace(-12, 12, 4001), [-1e4, -90, -30, 0, 30, 90, 1e4]]).astype(np.float32)
    for name in ACTIVATION_NAMES:
        found, expected = engine.call("activations", "activate", x, {"name": name}), activations.activate(x, name=name)
        # One rounding to float32, of numbers up to 1, 12 and 1e4 (its square for relu2) on their own scale.
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=4e-7, err_msg=name)
    exact = activations.gelu(x.astype(np.float64))
    assert np.abs(engine.call("activations", "gelu", x)[:4001] - exact[:4001]).max() < 6e-7
    with pytest.raises(EngineError, match=r"activation must be one of gelu, .*; got \"gulp\"\.$"):
        engine.call("activations", "activate", x, {"name": "gulp"})


def test_rollout_tokens_and_patches_one_by_one(engine):
    generator = np.random.default_rng(1)
    attentions = [generator.random((2, 3, 5, 5)).astype(np.float32) for _ in range(4)]
    for residual in (0.5, 0.2):
        found = engine.call("attention", "attention_rollout", attentions, {"residual": residual})
        assert_close(found, attention.attention_rollout(attentions, residual=residual), "float32")
    pixels = random_pixels(batch=3)
    patches = engine.call("patches", "patchify", pixels, {"patch_shape": (4, 8)})
    back = engine.call("patches", "unpatchify", patches, {"patch_shape": (4, 8), "grid": (8, 4)})
    assert back.tobytes() == pixels.tobytes()
    with pytest.raises(EngineError, match="at least one layer"):
        engine.call("attention", "attention_rollout", [])


def test_reconstruction_with_the_tokens_shifted(engine):
    from deit_ref.numpy_backend.simmim import reconstruct

    weights = random_weights(TINY, "masked-image-modeling")
    kept, x = engine.keep(weights), np.random.default_rng(0).standard_normal((2, 18, 32)).astype(np.float32)
    for shifted in (True, False):
        options = {"grid": (4, 4), "shifted_slice": shifted}
        assert_close(
            engine.call("simmim", "reconstruct", kept, x, options), reconstruct(weights, x, **options), "float32"
        )


def test_nothing_hidden_gives_no_loss(engine):
    options = {"pixel_values": random_pixels(), "bool_masked_pos": np.zeros((2, 16), bool)}
    output = engine.call("api", "forward", engine.keep(random_weights(TINY, "masked-image-modeling")), None, options)
    assert output["loss"] == 0


def test_losses_are_those_of_the_book(engine):
    generator = np.random.default_rng(5)
    logits = [(4 * generator.standard_normal((3, 5))).astype(np.float32) for _ in range(3)]
    numbers, shares = np.array([4, 0, 2]), generator.dirichlet(np.ones(5), 3).astype(np.float32)
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        ("cross_entropy", (logits[0], np.array([1, -7, 3])), {"ignore_index": -7}),
    ]
    for labels in (numbers, shares):
        calls += [("cross_entropy", (logits[0], labels), {}), ("hard_distillation", (*logits, labels), {"alpha": 0.3})]
        for options in ({}, {"tau": 3.0, "alpha": 0.1}, {"tau": 0.5, "divided_by": "images"}):
            calls.append(("soft_distillation", (*logits, labels), options))
    calls.append(("log_softmax", (1000 * logits[0],), {}))
    asked = [{"module": "losses", "function": name, "arguments": (*inputs, options)} for name, inputs, options in calls]
    for (name, inputs, options), found in zip(calls, engine.ask(asked), strict=True):
        expected = np.asarray(getattr(losses, name)(*inputs, **options))
        np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6, err_msg=f"{name} {options}")
    with pytest.raises(EngineError, match="divided_by must be one of entries, images"):
        engine.call("losses", "soft_distillation", *logits, numbers, {"divided_by": "batch"})


@pytest.mark.parametrize("problem_type", [None, "single_label_classification", "multi_label_classification"])
def test_probabilities_and_the_most_probable_classes(engine, problem_type):
    config = dataclasses.replace(TINY, problem_type=problem_type)
    weights, pixels = random_weights(config, "classification", std=0.5), random_pixels(batch=3)
    output = deit_ref.forward(weights, pixel_values=pixels)
    answer = engine.call("api", "forward", engine.keep(weights), None, {"pixel_values": pixels})
    answer["logits"] = np.array(answer["logits"])
    assert_close(engine.call("outputs", "probabilities", answer), output.probabilities, "float32")
    found = engine.ask([{"module": "outputs", "function": "top", "arguments": (answer, 3)}])[0]
    assert [list(dict(row)) for row in found] == [list(dict(row)) for row in output.top(3)]


# --- files


def safetensors(header: Any, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def entry(dtype: str, shape: list[int], start: int, stop: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def test_numbers_of_16_bits_become_float32_exactly(engine):
    halves = np.arange(2**16, dtype=np.uint16)
    header = {"a": entry("F16", [2**16], 0, 2**17), "b": entry("BF16", [2**8, 2**8], 2**17, 2**18), "__metadata__": {}}
    found = engine.call("safetensors", "read_safetensors", safetensors(header, 2 * halves.tobytes()))
    np.testing.assert_array_equal(found["a"], halves.view(np.float16).astype(np.float32))
    widened = (halves.astype(np.uint32) << 16).view(np.float32).reshape(2**8, 2**8)
    np.testing.assert_array_equal(found["b"], widened)


DAMAGED = {
    "empty": (b"", "no header fits its 0 bytes"),
    "long header": ((2**40).to_bytes(8, "little") + b"{}", "no header fits its 10 bytes"),
    "no JSON": (safetensors(b"{]"), "its header is not a JSON object"),
    "a list": (safetensors([1]), "its header is not a JSON object"),
    "no UTF-8": (safetensors(b'{"\xff": 1}'), "its header is not a JSON object"),
    "dtype": (safetensors({"a": entry("F64", [1], 0, 8)}, bytes(8)), 'a must be of dtype F16, BF16, F32; got "F64"'),
    "no dtype": (safetensors({"a": 3}), "a must be of dtype"),
    "inherited dtype": (safetensors({"a": entry("toString", [1], 0, 8)}, bytes(8)), "a must be of dtype"),
    "shape": (safetensors({"a": entry("F32", [3], 0, 8)}, bytes(8)), "a must have 3 numbers of 4 bytes"),
    "negative": (safetensors({"a": entry("F32", [-1], 4, 0)}, bytes(8)), "a must have -1 numbers"),
    "cut off": (safetensors({"a": entry("F32", [2], 0, 8)}, bytes(7)), "a must have 2 numbers of 4 bytes"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_refused_in_one_line(engine, name):
    content, message = DAMAGED[name]
    with pytest.raises(EngineError, match=re.escape(message)) as found:
        engine.call("safetensors", "read_safetensors", content)
    assert "\n" not in str(found.value)


def test_checkpoints_of_other_kinds_are_refused(engine):
    weights = random_weights(TINY, "classification-with-teacher")
    files = saved_files(weights)
    teacher = json.loads((PRETRAINED / "cifar10-teacher" / "config.json").read_text())
    deeper = {**files["config"], "num_hidden_layers": 3}
    shallow = {**files["config"], "num_hidden_layers": 1}
    wider = {**files["config"], "intermediate_size": 65}
    other = {**files["config"], "architectures": ["DeiTForMaskedImageModeling"]}
    for changes, message in (
        ({"config": teacher}, '"architectures" in config.json must be one of'),
        ({"config": deeper}, "The weights lack encoder.layer.2.layernorm_before.weight"),
        ({"config": shallow}, "The weights hold encoder.layer.1."),
        ({"config": wider}, "mlp.fc1.weight has shape (64,32), expected (65,32)"),
        ({"config": other}, "The weights lack embeddings.mask_token"),
        ({"config": [1]}, "A config must be a JSON object, got [1]"),
        ({"config": {**files["config"], "model_type": "swin"}}, 'model_type must be one of deit, vit; got "swin"'),
        ({"config": {**files["config"], "hidden_act": "gulp"}}, "hidden_act must be one of"),
        ({"config": {**files["config"], "num_attention_heads": 5}}, "must be a multiple of num_attention_heads"),
        ({"config": {**files["config"], "image_size": 33}}, "image_size must be a multiple of patch_size"),
        ({"preprocessor_config": {"do_pad": True}}, "do_pad is on"),
        ({"preprocessor_config": {"alpha": True}}, "alpha: true needs do_convert_rgb: false"),
        ({"preprocessor_config": {"resample": 9}}, "resample must be one of"),
        ({"preprocessor_config": {"size": {"edge": 3}}}, "size must have one of these sets of keys"),
        ({"preprocessor_config": {"image_processor_type": "CLIPImageProcessor"}}, "that of a DeiT or a ViT"),
    ):
        with pytest.raises(EngineError, match=re.escape(message)) as found:
            engine.keep(weights, **changes)
        assert "\n" not in str(found.value)


def test_inputs_that_do_not_fit_are_refused(engine):
    weights = random_weights(TINY, "masked-image-modeling")
    kept, pixels = engine.keep(weights), random_pixels(batch=1)
    nobody = np.zeros((1, 18), bool)
    for images, options, message in (
        (None, {}, "got neither: give one"),
        ([noise(1, 32, 32)], {"pixel_values": pixels}, "got both: give one"),
        (None, {"pixel_values": pixels[0]}, "pixel_values must have the shape"),
        (None, {"pixel_values": pixels[:, :, :24]}, "made for 32x32 pixels, got 24x32: resize the images, or set"),
        (None, {"pixel_values": pixels[:, :, :30], "interpolate_pos_encoding": True}, "a whole number of patches"),
        (None, {"pixel_values": pixels[:, :2]}, "The model reads images of 3 channels, got 2"),
        (
            None,
            {"pixel_values": pixels, "head_mask": [1.0, 1.0]},
            "head_mask must have the shape (4) or (2, 1) or (2, 4)",
        ),
        (None, {"pixel_values": pixels, "attention_mask": nobody}, "at least one token of every image"),
        (None, {"pixel_values": pixels, "attention_mask": nobody[:, 1:]}, "attention_mask must have the shape (1, 18)"),
        (None, {"pixel_values": pixels, "attention_mask": [[0.5] * 18]}, "and nothing between"),
        (None, {"pixel_values": pixels, "bool_masked_pos": [[2] * 16]}, "bool_masked_pos must be true or false"),
        (None, {"pixel_values": pixels, "bool_masked_pos": [[1] * 15]}, "bool_masked_pos must have the shape (1, 16)"),
    ):
        with pytest.raises(EngineError, match=re.escape(message)) as found:
            engine.call("api", "forward", kept, images, options)
        assert "\n" not in str(found.value)
    kept = engine.keep(random_weights(TINY, "classification"))
    with pytest.raises(EngineError, match="needs weights with a mask token"):
        engine.call("api", "forward", kept, None, {"pixel_values": pixels, "bool_masked_pos": [[1] * 16]})


# --- the worker


def test_the_worker_answers_the_newest_of_a_lane_and_lanes_first(engine):
    pixels = random_pixels(batch=1)
    load = {"id": 0, "type": "load", "files": read_files(PRETRAINED / "cifar10-distilled")}
    run = {"type": "run", "images": [noise(1, 40, 50)], "options": {}}
    messages = [
        {**run, "id": 1},
        {**run, "id": 2, "lane": "answer"},
        {**run, "id": 3, "lane": "answer"},
        {**run, "id": 4, "lane": "row"},
        {"id": 5, "type": "cancel", "lane": "row"},
        {**run, "id": 6, "model": "another"},
        {**run, "id": 7, "options": {"pixel_values": pixels}},
        {"id": 8, "type": "dance"},
        {"id": 9, "type": "preprocess", "images": [noise(1, 40, 50)]},
    ]
    first, second = engine.ask([{"messages": [load, *messages]}, {"messages": messages[:1]}])
    assert [(answer["id"], answer["type"]) for answer in first] == [
        (2, "superseded"),
        (4, "superseded"),
        (3, "error"),  # before "load", which has no lane: a page waits for that answer first
        (0, "loaded"),
        (1, "result"),
        (6, "error"),
        (7, "error"),
        (8, "error"),
        (9, "result"),
    ]
    assert first[3]["task"] == "classification-with-teacher"
    assert first[4]["output"]["logits"].shape == (1, 10)
    assert first[4]["milliseconds"] > 0
    assert 'No model is loaded as "another"' in first[5]["message"]
    assert "type must be one of load, run, preprocess, weights" in first[7]["message"]
    assert first[8]["output"]["pixel_values"].shape == (1, 3, 32, 32)
    assert second[0]["type"] == "error"  # a service of its own, without a model


def test_the_lines_for_node_in_the_documentation_run():
    text = (ROOT / "docs" / "elsewhere.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"```js\n(.*?)```", text, re.DOTALL)
    done = subprocess.run(
        [node(), "--input-type=module", "--eval", lines], cwd=ROOT, capture_output=True, text=True, check=True
    )
    weights = deit_ref.load_weights()
    (expected,) = deit_ref.forward(weights, np.full((48, 64, 3), 128, np.uint8)).top(3)
    assert [name for name, _ in expected] == re.findall(r"\[ '(\w+)', [\d.]+ \]", done.stdout)
    assert f"'blocks.{weights.config.num_hidden_layers - 1}.output'" in done.stdout


def test_what_the_worker_hands_over_is_not_the_weights_own(engine):
    load = {"id": 0, "type": "load", "files": read_files(PRETRAINED / "cifar10-distilled")}
    run = {"type": "run", "images": [noise(1, 40, 50)], "trace": ["*"]}
    (answers,) = engine.ask([{"messages": [load, {**run, "id": 1}, {**run, "id": 2}]}])
    assert [answer["type"] for answer in answers] == ["loaded", "result", "result"]
    for name, value in answers[1]["trace"].items():
        assert answers[2]["trace"][name].tobytes() == value.tobytes()


def test_parts_of_the_weights_are_copied_and_replaced_for_one_pass(engine):
    weights = deit_ref.load_weights()
    other = dataclasses.replace(weights, pos_embed=np.zeros_like(weights.pos_embed))
    ask = {"type": "weights", "names": ["pos_embed", "head"]}
    run = {"type": "run", "images": [noise(1, 40, 50)]}
    messages = [
        {"id": 0, "type": "load", "files": read_files(PRETRAINED / "cifar10-distilled")},
        {**ask, "id": 1},
        {**run, "id": 2, "replace": {"pos_embed": other.pos_embed}},
        {**ask, "id": 3},
        {**run, "id": 4},
        {**ask, "id": 5, "names": ["secret"]},
    ]
    (answers,) = engine.ask([{"messages": messages}])
    for answer in (answers[1], answers[3]):
        np.testing.assert_array_equal(answer["parts"]["pos_embed"], weights.pos_embed)
        np.testing.assert_array_equal(answer["parts"]["head"]["weight"], weights.head.weight)
    for answer, expected in ((answers[2], other), (answers[4], weights)):
        logits = deit_ref.forward(expected, noise(1, 40, 50)).logits
        assert_close(answer["output"]["logits"], logits, "float32")
    assert "names must be one of config, task" in answers[5]["message"]


# --- the mirror

# What belongs to training, and what is one with something else here.
LEFT_OUT = {
    "layers": {"dropout", "drop_path"},
    "losses": {"binary_cross_entropy", "mean_squared_error", "classification_loss"},
    "pixels": {"round_to", "resample_deep_lines", "resize_deep"},
}
NOT_HERE = {"generator", "dropout_probability", "drop_path", "drop_path_probability", "labels"}


def arguments_of(source: str) -> tuple[list[str], set[str]]:
    """Positional and optional names of a function in JavaScript."""
    inside = source[source.index("(") + 1 :]
    depths = itertools.accumulate((letter in "([{") - (letter in ")]}") for letter in inside)
    text = inside[: next(place for place, depth in enumerate(depths) if depth < 0)]
    block = re.search(r"\{([^}]*)\}", text)
    plain = text if block is None else text[: block.start()]

    def names(words: str) -> list[str]:
        return [word.split("=")[0].strip() for word in words.split(",") if word.split("=")[0].strip()]

    options = names(block[1]) if block else []
    return names(plain), {name for name in options if not name.startswith("...")}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_functions_and_arguments_are_those_of_the_book(engine, chapter):
    book = importlib.import_module(f"deit_ref.numpy_backend.{chapter}")
    here = engine.ask([{"signatures": chapter}])[0]
    public = {
        name: function
        for name, function in vars(book).items()
        if inspect.isfunction(function) and function.__module__ == book.__name__ and not name.startswith("_")
    }
    expected = set(public) - LEFT_OUT.get(chapter, set())
    assert set(here) == expected
    for name in expected:
        parameters = inspect.signature(public[name]).parameters.values()
        positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        options = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY} - NOT_HERE
        found, found_options = arguments_of(here[name])
        if any(p.kind is p.VAR_KEYWORD for p in parameters):  # the tasks hand all that they are given to `encode`
            found = [argument for argument in found if argument != "options"]
        assert (found, found_options) == (positional, options), name


def test_the_engine_needs_nothing_but_itself_and_says_whose_twin_it_is():
    assert len(CHAPTERS) == 14
    for name in MODULES:
        source = (FOLDER / f"{name}.js").read_text(encoding="utf-8")
        assert source.startswith("/**\n * ")
        for target in re.findall(r'(?:from|import) "([^"]*)"', source):
            assert re.fullmatch(r"\./\w+\.js", target), f"{name}.js imports {target}"
            assert target[2:-3] in MODULES
        if name in CHAPTERS:
            assert f"deit_ref/numpy_backend/{name}.py" in source
        assert len(source.splitlines()) <= 205, name
