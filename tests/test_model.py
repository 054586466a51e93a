"""Chapter 8: embed, encode and the four tasks; NumPy against torch at every step, over every option."""

import dataclasses

import numpy as np
import pytest
import torch
from both import BACKENDS, array, chapter
from hypothesis import given
from hypothesis import strategies as st
from strategies import TINY, configs, random_mask, random_pixels, random_weights, seeds, tasks
from tolerances import assert_close, distance

import deit_ref
from deit_ref.arrays import as_numpy
from deit_ref.trace import Trace

both_backends = pytest.mark.parametrize("backend", BACKENDS)


def tokens_of(config, height, width):
    return config.num_prefix_tokens + (height // config.patch_shape[0]) * (width // config.patch_shape[1])


@given(data=st.data(), seed=seeds, dtype=st.sampled_from(["float32", "float64"]))
def test_numpy_equals_torch_at_every_step(data, seed, dtype):
    """All tasks, image sizes, batch sizes and masks."""
    config = data.draw(configs() if dtype == "float64" else configs(num_labels=5), label="config")  # see tolerances
    task = data.draw(tasks(config), label="task")
    weights = random_weights(config, task, seed=seed, dtype=np.dtype(dtype).type, mask_token=True)
    rows, columns = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5)), label="grid")
    height, width = rows * config.patch_shape[0], columns * config.patch_shape[1]
    batch = data.draw(st.integers(1, 3), label="batch")
    pixels = np.random.default_rng(seed).standard_normal((batch, config.num_channels, height, width)).astype(dtype)
    options = {"interpolate_pos_encoding": True, "output_hidden_states": True, "output_attentions": True}
    masks = data.draw(st.sets(st.sampled_from(["bool_masked_pos", "head_mask", "attention_mask"])), label="masks")
    if "bool_masked_pos" in masks:
        options["bool_masked_pos"] = random_mask((batch, rows * columns))
    if "head_mask" in masks:
        shape = (config.num_hidden_layers, config.num_attention_heads)
        options["head_mask"] = np.random.default_rng(seed).random(shape)
    if "attention_mask" in masks:
        options["attention_mask"] = random_mask((batch, tokens_of(config, height, width)))
    if task == "classification":
        options["labels"] = np.arange(batch) % config.num_labels
        if config.num_labels == 1:
            options["labels"] = options["labels"].astype(dtype)
    traces, outputs = [], []
    for backend in BACKENDS:
        traces.append(Trace())
        outputs.append(deit_ref.forward(weights, pixel_values=pixels, backend=backend, trace=traces[-1], **options))
    assert list(traces[0]) == list(traces[1])
    for name, value in traces[0].items():
        assert_close(traces[1][name], value, dtype, name)
    for field, value in vars(outputs[0]).items():
        other = getattr(outputs[1], field)
        if isinstance(value, tuple):
            assert len(value) == len(other)
        for a, b in zip(
            value if isinstance(value, tuple) else [value], other if isinstance(value, tuple) else [other], strict=True
        ):
            if isinstance(a, np.ndarray | np.floating):
                assert_close(b, a, dtype, field)
            else:
                assert a is b or a == b, field


@given(data=st.data(), config=configs(hidden_act="gelu", pooler_act="tanh", num_labels=5), seed=seeds)
def test_float32_is_as_good_as_float32_can_be(data, config, seed):
    """Both backends against float64, on weights that are the same numbers in both dtypes."""
    weights = random_weights(config, data.draw(tasks(config)), seed=seed)
    pixels = random_pixels(config, seed=seed)
    for backend in BACKENDS:
        exact = deit_ref.forward(weights, pixel_values=pixels, backend=backend, dtype="float64")
        rounded = deit_ref.forward(weights, pixel_values=pixels, backend=backend)
        for a, b in zip(vars(rounded).values(), vars(exact).values(), strict=True):
            if isinstance(a, np.ndarray | torch.Tensor):
                assert_close(a, b, "float32 against float64")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("task", deit_ref.config.TASKS)
def test_half_precision_on_the_cpu(task, dtype):
    weights, pixels = random_weights(TINY, task), random_pixels()
    options = {"attention_mask": np.array([[1] * 17 + [0]] * 2), "head_mask": [1, 0.5, 0, 1]}
    for given_options in ({}, options):
        exact = deit_ref.forward(weights, pixel_values=pixels, **given_options)
        half = deit_ref.forward(weights, pixel_values=pixels, backend="torch", dtype=dtype, **given_options)
        result = next(iter(vars(half).values()))
        assert str(result.dtype) == f"torch.{dtype}"
        assert_close(result, next(iter(vars(exact).values())), dtype)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize(("dtype", "bound"), [("float32", 1e-5), ("float16", 2e-3), ("bfloat16", 2e-2)])
def test_cuda(dtype, bound):
    config = dataclasses.replace(deit_ref.VARIANTS["deit-tiny-distilled-patch16-224"])
    weights = random_weights(config, "classification-with-teacher", std=0.03)
    images = [np.random.default_rng(0).integers(0, 256, (300, 200, 3), dtype=np.uint8)]
    exact = deit_ref.forward(weights, images)
    fast = deit_ref.forward(weights, images, backend="torch", device="cuda", dtype=dtype)
    assert fast.logits.device.type == "cuda"
    assert distance(fast.logits, exact.logits) < bound
    assert as_numpy(fast.logits).argmax() == exact.logits.argmax()


@both_backends
def test_hidden_states_and_attentions(backend):
    """L + 1 states: embeddings, then each block's output; the last one is before the last norm (trap 18)."""
    weights, pixels = random_weights(TINY, "features"), random_pixels()
    output = deit_ref.forward(
        weights, pixel_values=pixels, backend=backend, output_hidden_states=True, output_attentions=True
    )
    assert len(output.hidden_states) == 3
    assert len(output.attentions) == 2
    assert tuple(output.attentions[0].shape) == (2, 4, 18, 18)
    np.testing.assert_allclose(as_numpy(output.attentions[1]).sum(-1), 1, rtol=1e-5)
    inner = weights.to(backend)
    normed = chapter(backend, "layers").layer_norm(inner.norm, output.hidden_states[-1], eps=TINY.layer_norm_eps)
    assert_close(normed, output.last_hidden_state, "float32")
    plain = deit_ref.forward(weights, pixel_values=pixels, backend=backend)
    assert plain.hidden_states is None
    assert plain.attentions is None
    assert (as_numpy(plain.last_hidden_state) == as_numpy(output.last_hidden_state)).all()


@both_backends
def test_hidden_states_join_a_trace_of_the_callers(backend):
    """output_* and trace= together give both, and a filtered trace stays filtered."""
    weights, pixels = random_weights(TINY, "features"), random_pixels()
    trace = Trace(["blocks.1.mlp.fc2"])
    output = deit_ref.forward(weights, pixel_values=pixels, backend=backend, output_hidden_states=True, trace=trace)
    assert list(trace) == ["blocks.1.mlp.fc2"]
    assert len(output.hidden_states) == 3


@both_backends
def test_positions_tell_places_apart(backend):
    """Two patches swapped: other features with positions, merely swapped ones without."""
    weights = random_weights(TINY, "features", dtype=np.float64)
    pixels = random_pixels(dtype=np.float64)
    swapped = pixels.copy()
    swapped[:, :, :8, :8], swapped[:, :, :8, 8:16] = pixels[:, :, :8, 8:16], pixels[:, :, :8, :8]
    order = [0, 1, 3, 2, *range(4, 18)]

    def states(w, x):
        return as_numpy(deit_ref.forward(w, pixel_values=x, backend=backend).last_hidden_state)

    assert distance(states(weights, swapped), states(weights, pixels)[:, order]) > 1e-3
    flat = dataclasses.replace(weights, pos_embed=np.zeros_like(weights.pos_embed))
    assert distance(states(flat, swapped), states(flat, pixels)[:, order]) < 1e-10


@both_backends
def test_masked_pixels_are_not_seen(backend):
    weights = random_weights(TINY, "masked-image-modeling")
    pixels, mask = random_pixels(), random_mask((2, 16))
    other = pixels.copy()
    hidden = np.repeat(np.repeat(mask.reshape(2, 1, 4, 4), 8, axis=2), 8, axis=3)
    other[np.broadcast_to(hidden, other.shape)] = 9
    first, second = (
        deit_ref.forward(weights, pixel_values=x, backend=backend, bool_masked_pos=mask) for x in (pixels, other)
    )
    assert (as_numpy(first.reconstruction) == as_numpy(second.reconstruction)).all()
    assert float(first.loss) != float(second.loss)
    bare = deit_ref.forward(weights, pixel_values=pixels, backend=backend)
    assert bare.loss is None
    assert distance(bare.reconstruction, first.reconstruction) > 1e-3


@both_backends
def test_interpolation_is_skipped_only_for_the_same_grid(backend):
    """64 x 16 pixels have as many patches as 32 x 32, and still other places (traps 7 and 22)."""
    weights = random_weights(TINY, "features")
    tall = np.random.default_rng(0).standard_normal((1, 3, 64, 16)).astype(np.float32)
    trace = Trace(["pos_embed"])
    deit_ref.forward(weights, pixel_values=tall, backend=backend, interpolate_pos_encoding=True, trace=trace)
    assert tuple(trace["pos_embed"].shape) == weights.pos_embed.shape
    assert distance(trace["pos_embed"], weights.pos_embed) > 0.1
    with pytest.raises(ValueError, match="made for 32x32 pixels, got 64x16"):
        deit_ref.forward(weights, pixel_values=tall, backend=backend)
    square = random_pixels()
    with_flag = deit_ref.forward(weights, pixel_values=square, backend=backend, interpolate_pos_encoding=True)
    without = deit_ref.forward(weights, pixel_values=square, backend=backend)
    assert (as_numpy(with_flag.last_hidden_state) == as_numpy(without.last_hidden_state)).all()


@both_backends
def test_dropout_needs_a_generator_and_a_probability(backend):
    config = dataclasses.replace(TINY, hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.1)
    weights, pixels = random_weights(config), random_pixels()

    def logits(seed):
        generator = None
        if seed is not None:
            generator = np.random.default_rng(seed) if backend == "numpy" else torch.Generator().manual_seed(seed)
        return as_numpy(deit_ref.forward(weights, pixel_values=pixels, backend=backend, generator=generator).logits)

    still = as_numpy(deit_ref.forward(random_weights(TINY), pixel_values=pixels, backend=backend).logits)
    assert (logits(None) == still).all()
    assert (logits(1) == logits(1)).all()
    assert distance(logits(1), logits(2)) > 1e-4


@both_backends
@pytest.mark.parametrize("task", deit_ref.config.TASKS)
def test_every_task_hands_drop_path_to_the_encoder(backend, task):
    weights, pixels = random_weights(TINY, task).to(backend), array(backend, random_pixels(batch=8))
    model, tokens, encoder = (chapter(backend, name) for name in ("model", "tokens", "encoder"))

    def draw(seed):
        return np.random.default_rng(seed) if backend == "numpy" else torch.Generator().manual_seed(seed)

    def result(**options):
        return as_numpy(next(iter(vars(model.TASKS[task](weights, pixels, **options)).values())))

    still, drawn = result(), result(drop_path=0.5, generator=draw(1))
    assert (result(drop_path=0.5) == still).all()
    assert (result(drop_path=0.5, generator=draw(1)) == drawn).all()
    assert distance(drawn, still) > 1e-4
    assert (result(generator=draw(1)) == still).all()
    # the same draw, step by step
    expected = encoder.encoder(weights, tokens.embed(weights, pixels), drop_path=0.5, generator=draw(1))
    encoded = model.encode(weights, pixels, drop_path=0.5, generator=draw(1))
    assert (as_numpy(encoded.x) == as_numpy(expected)).all()


@both_backends
def test_one_image_does_not_see_another(backend):
    weights, pixels = random_weights(TINY, "classification-with-teacher"), random_pixels(batch=3)
    together = deit_ref.forward(weights, pixel_values=pixels, backend=backend).logits
    alone = [deit_ref.forward(weights, pixel_values=pixels[i : i + 1], backend=backend).logits for i in range(3)]
    assert_close(together, np.concatenate([as_numpy(x) for x in alone]), "float32")


def test_the_teacher_task_averages_its_heads():
    weights, pixels = random_weights(TINY, "classification-with-teacher"), random_pixels()
    output = deit_ref.forward(weights, pixel_values=pixels)
    assert_close(output.logits, (output.cls_logits + output.distillation_logits) / 2, "float32")
    assert distance(output.cls_logits, output.distillation_logits) > 0.1


@both_backends
def test_chapters_can_be_called_without_the_api(backend):
    weights = random_weights(TINY, "classification").to(backend)
    pixels = array(backend, random_pixels())
    output = chapter(backend, "model").TASKS["classification"](weights, pixels)
    assert_close(output.logits, deit_ref.forward(weights, pixel_values=pixels, backend=backend).logits, "float32")


@pytest.mark.parametrize("task", deit_ref.config.TASKS)
def test_gradients_of_the_whole_model(task):
    """torch's gradient along a random direction of all weights is the slope that NumPy measures, in float64."""
    config = dataclasses.replace(TINY, hidden_act="gelu")
    weights = random_weights(config, task, dtype=np.float64)
    direction = random_weights(config, task, seed=9, std=1.0, dtype=np.float64)
    pixels, covector = random_pixels(dtype=np.float64), np.random.default_rng(4)
    steps = dict(deit_ref.weights.named_arrays(direction))

    def moved(step):
        arrays = {name: array + step * steps[name] for name, array in deit_ref.weights.named_arrays(weights)}
        return deit_ref.weights.weights_from_arrays(arrays, config, task, image_processing=weights.image_processing)

    def result(w, backend):
        return next(iter(vars(deit_ref.forward(w, pixel_values=pixels, backend=backend)).values()))

    cotangent = covector.standard_normal(result(weights, "numpy").shape)
    numeric = sum(sign * (result(moved(sign * 1e-6), "numpy") * cotangent).sum() for sign in (1, -1)) / 2e-6
    variables = weights.to("torch")
    leaves = dict(deit_ref.weights.named_arrays(variables))
    for leaf in leaves.values():
        leaf.requires_grad_()
    (result(variables, "torch") * torch.from_numpy(cotangent)).sum().backward()
    slope = sum(
        float((leaf.grad * torch.from_numpy(steps[name])).sum())
        for name, leaf in leaves.items()
        if leaf.grad is not None
    )
    assert slope == pytest.approx(numeric, rel=1e-6)


def exported(run, *inputs):
    """A function of tensors as torch.export sees it, the first axis of every tensor being of any length."""

    class Traced(torch.nn.Module):
        def forward(self, *inputs):
            return run(*inputs)

    axes = ({0: torch.export.Dim("batch")},) * len(inputs)
    return torch.export.export(Traced(), inputs, dynamic_shapes={"inputs": axes}).module()


@pytest.mark.parametrize("task", deit_ref.config.TASKS)
def test_the_mirror_is_exported_for_a_batch_of_any_size(task):
    """len() of a tensor is a number that tracing fixes, its shape[0] is not."""
    weights = random_weights(TINY, task, mask_token=True).to("torch")

    def run(pixels, mask):
        output = chapter("torch", "model").TASKS[task](weights, pixels, bool_masked_pos=mask, output_attentions=True)
        rollout = chapter("torch", "attention").attention_rollout(output.attentions)
        return next(iter(vars(output).values())), rollout

    inputs = [torch.from_numpy(random_pixels(batch=3)), torch.from_numpy(random_mask((3, TINY.num_patches)))]
    program = exported(run, *inputs)
    for batch in (1, 2, 3):
        few = [value[:batch] for value in inputs]
        for found, expected in zip(program(*few), run(*few), strict=True):
            assert_close(found, expected, "float32")


def test_patches_are_exported_for_a_batch_of_any_size():
    patches = chapter("torch", "patches")
    pixels = torch.from_numpy(random_pixels(batch=3))

    def there_and_back(x):
        cut = patches.patchify(x, patch_shape=TINY.patch_shape)
        return patches.unpatchify(cut, patch_shape=TINY.patch_shape, grid=TINY.grid)

    program = exported(there_and_back, pixels)
    assert torch.equal(program(pixels[:1]), pixels[:1])


DTYPES = [
    ("numpy", "float32"),
    ("numpy", "float64"),
    *(("torch", f"{kind}") for kind in ("float16", "bfloat16", "float32", "float64")),
]


@pytest.mark.parametrize(("backend", "dtype"), DTYPES)
@pytest.mark.parametrize("task", deit_ref.config.TASKS)
def test_every_step_and_every_result_has_the_dtype_that_was_asked_for(backend, dtype, task):
    """Interpolated positions, masks, dropout and labels on the way: none of them widens or narrows what follows."""
    config = dataclasses.replace(TINY, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)
    weights, pixels = random_weights(config, task), random_pixels(dataclasses.replace(TINY, image_size=(40, 48)))
    options = {"head_mask": [1, 0.5, 1, 1], "attention_mask": np.ones((2, 32), np.int64)}
    options |= {"labels": [1, 2]} if task == "classification" else {}
    options |= {"bool_masked_pos": random_mask((2, 30))} if task == "masked-image-modeling" else {}
    draw = np.random.default_rng(0) if backend == "numpy" else torch.Generator().manual_seed(0)
    for generator in (None, draw):
        trace = Trace()
        output = deit_ref.forward(
            weights, pixel_values=pixels, backend=backend, dtype=dtype, interpolate_pos_encoding=True,
            output_hidden_states=True, output_attentions=True, generator=generator, trace=trace, **options
        )  # fmt: skip
        kinds = {name: str(value.dtype).removeprefix("torch.") for name, value in trace.items()}
        assert kinds == dict.fromkeys(trace, dtype)
        arrays = [value for value in vars(output).values() if hasattr(value, "dtype")]
        arrays += [*output.hidden_states, *output.attentions]
        assert {str(value.dtype).removeprefix("torch.") for value in arrays} == {dtype}


@both_backends
@pytest.mark.parametrize("channels", [1, 2])
def test_a_decoder_draws_every_channel_of_its_own_patch(backend, channels):
    """One step before the image the decoder's rows are those of patches: channel, row, column."""
    config = dataclasses.replace(
        TINY, num_channels=channels, image_size=(16, 24), patch_size=(8, 4), encoder_stride=(8, 4)
    )
    weights, pixels = random_weights(config, "masked-image-modeling"), random_pixels(config)
    trace = Trace()
    output = deit_ref.forward(weights, pixel_values=pixels, backend=backend, trace=trace)
    assert output.reconstruction.shape == (2, channels, 16, 24)
    rows = trace["decoder"]
    assert tuple(rows.shape) == (2, 12, channels * 8 * 4)
    expected = chapter(backend, "patches").unpatchify(rows, patch_shape=(8, 4), grid=(2, 6))
    assert (as_numpy(output.reconstruction) == as_numpy(expected)).all()


@both_backends
@pytest.mark.parametrize("task", deit_ref.config.TASKS)
def test_every_task_hands_the_generator_to_embeddings_and_encoder(backend, task):
    config = dataclasses.replace(TINY, hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.2)
    weights, pixels = random_weights(config, task).to(backend), array(backend, random_pixels())
    model, tokens, encoder = (chapter(backend, name) for name in ("model", "tokens", "encoder"))

    def draw():
        return np.random.default_rng(1) if backend == "numpy" else torch.Generator().manual_seed(1)

    generator = draw()
    embedded = tokens.embed(weights, pixels, generator=generator)
    expected = as_numpy(encoder.encoder(weights, embedded, generator=generator))
    assert (as_numpy(model.encode(weights, pixels, generator=draw()).x) == expected).all()
    whole = model.TASKS[task](weights, pixels, generator=draw(), output_hidden_states=True)
    assert (as_numpy(whole.hidden_states[0]) == as_numpy(embedded)).all()


@both_backends
@pytest.mark.parametrize("problem_type", deit_ref.config.PROBLEM_TYPES)
def test_the_loss_is_that_of_the_configs_problem(backend, problem_type):
    """Also where the labels would be taken for another one."""
    weights = random_weights(dataclasses.replace(TINY, problem_type=problem_type)).to(backend)
    single = problem_type == "single_label_classification"
    labels = array(backend, [1, 4], "int64") if single else array(backend, np.eye(5)[[1, 4]], "float32")
    output = chapter(backend, "model").classification(weights, array(backend, random_pixels()), labels=labels)
    losses = chapter(backend, "losses")
    function = {
        "regression": losses.mean_squared_error,
        "single_label_classification": losses.cross_entropy,
        "multi_label_classification": losses.binary_cross_entropy,
    }[problem_type]
    assert float(output.loss) == float(function(output.logits, labels))
    assert output.problem_type == problem_type


@both_backends
@pytest.mark.parametrize("task", ["classification", "classification-with-teacher"])
def test_answers_carry_the_names_and_the_problem_of_their_weights(backend, task):
    config = dataclasses.replace(TINY, problem_type="multi_label_classification")
    weights = dataclasses.replace(random_weights(config, task), class_names=tuple("abcde")).to(backend)
    output = chapter(backend, "model").TASKS[task](weights, array(backend, random_pixels()))
    assert (output.class_names, output.problem_type) == (tuple("abcde"), "multi_label_classification")
    assert {name for name, _ in output.top(1)[0]} <= {*"abcde"}


@both_backends
def test_attention_records_each_part_under_its_own_name(backend):
    """Of the first block, from its input on: what is called q is q, and so are k and v."""
    weights, trace = random_weights().to(backend), Trace()
    chapter(backend, "model").encode(weights, array(backend, random_pixels()), trace=trace)
    block, attention, layers = weights.blocks[0], chapter(backend, "attention"), chapter(backend, "layers")
    parts = attention.split_heads(layers.linear(block.attn.qkv, trace["blocks.0.norm1"]), num_heads=4)
    for name, expected in zip("qkv", parts, strict=True):
        assert (as_numpy(trace[f"blocks.0.attention.{name}"]) == as_numpy(expected)).all()
