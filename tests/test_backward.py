"""Chapter 10, the way back: every vjp against its forward function, against central differences and against autograd.

One table draws the arguments of every function; the same checks hold for all.
"""

import dataclasses
import importlib
import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from both import CHAPTER_FILES, chapter, normal
from hypothesis import given
from hypothesis import strategies as st
from strategies import TINY, configs, random_pixels, random_weights, seeds
from test_mirror import public
from test_pretrained import CHECKPOINTS
from tolerances import BOUNDS, assert_close, distance

import deit_ref
from deit_ref.arrays import as_numpy
from deit_ref.config import ACTIVATION_NAMES, SOFT_DIVISIONS, TASKS, DeiTConfig
from deit_ref.image_processing import ImageProcessing
from deit_ref.numpy_backend.activations import ACTIVATIONS, gelu
from deit_ref.numpy_backend.backward.activations import SLOPES
from deit_ref.numpy_backend.backward.gradients import gradients
from deit_ref.numpy_backend.backward.tasks import TASK_VJPS
from deit_ref.photos import bundled_photo
from deit_ref.torch_backend import gradients as autograd
from deit_ref.trace import Trace
from deit_ref.weights import Attention, LayerNorm, Linear, Mlp, PatchEmbed, named_arrays

FOLDER = Path(deit_ref.__file__).parent / "numpy_backend" / "backward"
FILES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")
# Chapters that go on in a second file on the way back.
FOUND_IN = {"model": ["model", "tasks"]}
# What has no way back, and why.
NO_WAY_BACK = {
    "patch_grid": "counts",
    "attention_rollout": "is read, not trained",
    # bytes and files: what stands before pixel_values
    **dict.fromkeys(("resize", "pixels", "image"), "works on bytes"),
}


def backward(name):
    return importlib.import_module(f"deit_ref.numpy_backend.backward.{name}")


VJPS = {
    name: vjp
    for file in FILES
    for name, vjp in public(backward(file), inspect.isfunction).items()
    if name.endswith("_vjp")
}


def forward_of(backend, vjp):
    """The function that a vjp belongs to, of either backend."""
    name = vjp.removesuffix("_vjp")
    for file in CHAPTER_FILES:
        if hasattr(chapter(backend, file), name):
            return getattr(chapter(backend, file), name)
    raise AssertionError(f"no chapter has {name}")


def test_every_function_with_a_gradient_has_its_vjp():
    for file in CHAPTER_FILES:
        if file in NO_WAY_BACK:
            continue
        for name, function in public(chapter("torch", file), inspect.isfunction).items():
            if name in NO_WAY_BACK or (
                function in chapter("torch", "activations").ACTIVATIONS.values() and name != "gelu"
            ):
                continue
            homes = [
                home
                for home in FOUND_IN.get(file, [file])
                if f"{name}_vjp" in public(backward(home), inspect.isfunction)
            ]
            if file == "activations" and name in ("sigmoid", "softplus"):
                continue  # steps of activations, whose slopes are written out
            assert len(homes) == 1, name
            book = inspect.signature(getattr(backward(homes[0]), f"{name}_vjp")).parameters
            forward = inspect.signature(getattr(chapter("numpy", file), name)).parameters
            assert [(p.name, p.kind, p.default) for p in book.values()] == [
                (p.name, p.kind, p.default) for p in forward.values()
            ], name
    assert {*SLOPES} == {name for name, function in ACTIVATIONS.items() if function is not gelu}


# --- trees


def mapped(function, tree):
    """The same tree with a function applied to every array of real numbers."""
    if isinstance(tree, np.ndarray | torch.Tensor | np.floating):
        real = tree.dtype.kind == "f" if not isinstance(tree, torch.Tensor) else tree.is_floating_point()
        return function(tree) if real else tree
    if isinstance(tree, dict):
        return {name: mapped(function, entry) for name, entry in tree.items()}
    if isinstance(tree, tuple):
        return tuple(mapped(function, entry) for entry in tree)
    if dataclasses.is_dataclass(tree) and not isinstance(tree, DeiTConfig | ImageProcessing):
        return dataclasses.replace(
            tree, **{f.name: mapped(function, getattr(tree, f.name)) for f in dataclasses.fields(tree)}
        )
    return tree


def leaves(tree):
    found = []
    mapped(lambda array: found.append(array) or array, tree)
    return found


def in_torch(tree):
    if isinstance(tree, np.ndarray):
        return torch.from_numpy(np.array(tree))
    if isinstance(tree, dict):
        return {name: in_torch(entry) for name, entry in tree.items()}
    if isinstance(tree, tuple):
        return tuple(in_torch(entry) for entry in tree)
    return mapped(lambda array: torch.from_numpy(np.array(array)), tree)


# --- what every function is given


class Draw:
    """Numbers from one generator."""

    def __init__(self, seed, dtype="float64"):
        self.generator, self.dtype = np.random.default_rng(seed), dtype

    def __call__(self, *shape, std=1.0):
        return (self.generator.standard_normal(shape) * std).astype(self.dtype)

    def linear(self, out, inner, bias=True):
        return Linear(self(out, inner, std=0.5), self(out) if bias else None)

    def norm(self, dim):
        return LayerNorm(self(dim) + 1, self(dim))

    def whole(self, high, *shape):
        return self.generator.integers(0, high, shape)

    def mask(self, *shape):
        mask = self.generator.random(shape) < 0.6
        mask[..., 0] = True
        return mask

    def shares(self, *shape):
        values = self.generator.random(shape) + 0.1
        return (values / values.sum(axis=-1, keepdims=True)).astype(self.dtype)

    def attention(self, dim):
        return Attention(self.linear(3 * dim, dim, bias=self.generator.random() < 0.7), self.linear(dim, dim))

    def heads(self, heads):
        return self(heads) if self.generator.random() < 0.5 else None

    def may(self, value):
        return value if self.generator.random() < 0.5 else None


def sizes(d):
    return [int(n) for n in d.generator.integers(1, 5, 3)]


def tiny(d, **changes):
    changes = {
        "hidden_size": 12,
        "num_attention_heads": 3,
        "intermediate_size": 10,
        "image_size": 8,
        "patch_size": 4,
        "encoder_stride": 4,
        "hidden_act": "silu",
        **changes,
    }
    return dataclasses.replace(TINY, **changes)


def whole_model(d, task="features", **changes):
    return random_weights(
        tiny(d, **changes), task, seed=int(d.whole(1000)), std=0.3, dtype=np.dtype(d.dtype).type, mask_token=True
    )


def case_of(name, d):
    """The arguments of a function: those that get a gradient, and its options."""
    batch, tokens, dim = sizes(d)
    heads = int(d.whole(3)) + 1
    attend = {"head_mask": d.heads(heads), "attention_mask": d.may(d.mask(batch, tokens))}
    two_heads = d(batch, 5), d(batch, 5)
    labels = d.whole(5, batch) if d.generator.random() < 0.5 else d.shares(batch, 5)
    # A step of a difference must not cross a bend: those of activations lie at whole numbers.
    bent = d(batch, dim, std=3)
    bent = np.where(np.abs(bent - np.round(bent)) < 0.01, bent + np.dtype(d.dtype).type(0.02), bent)
    image = d(batch, 3, 4, 6)
    guess = image + np.sign(d(*image.shape)) * (np.abs(d(*image.shape)) + np.dtype(d.dtype).type(0.1))
    masked = d.mask(batch, 4) if d.generator.random() < 0.5 else d.generator.random((batch, 4)).astype(d.dtype)
    pixels = {"patch_shape": (2, 3)}
    cases = {
        "linear_vjp": lambda: ((d.linear(4, dim, bias=d.generator.random() < 0.5), d(batch, tokens, dim)), {}),
        "layer_norm_vjp": lambda: ((d.norm(dim + 2), d(batch, tokens, dim + 2)), {"eps": 1e-6}),
        "softmax_vjp": lambda: ((d(batch, tokens, dim),), {}),
        "dropout_vjp": lambda: ((d(batch, dim),), {"probability": 0.5, "generator": None}),
        "drop_path_vjp": lambda: ((d(batch, dim),), {"probability": 0.5, "generator": None}),
        "gelu_vjp": lambda: ((d(batch, dim, std=2),), {}),
        "activate_vjp": lambda: ((bent,), {"name": ACTIVATION_NAMES[int(d.whole(len(ACTIVATION_NAMES)))]}),
        "patchify_vjp": lambda: ((d(batch, 3, 4, 9),), pixels),
        "unpatchify_vjp": lambda: ((d(batch, 6, 18),), {**pixels, "grid": (2, 3)}),
        "patch_embed_vjp": lambda: ((PatchEmbed(Linear(d(dim, 3, 2, 3), d(dim))), d(batch, 3, 4, 9)), {}),
        "interpolate_pos_embed_vjp": lambda: (
            (d(1, 2 + 2 * 3, dim),),
            {"num_prefix_tokens": 2, "source_grid": (2, 3), "target_grid": (batch + 1, tokens)},
        ),
        "add_pos_embed_vjp": lambda: ((d(1, tokens, dim), d(batch, tokens, dim)), {}),
        "mask_tokens_vjp": lambda: ((d(1, 1, dim), d(batch, 4, dim)), {"bool_masked_pos": masked}),
        "prepend_tokens_vjp": lambda: ((d(1, 1, dim), d.may(d(1, 1, dim)), d(batch, tokens, dim)), {}),
        "split_tokens_vjp": lambda: ((d(batch, tokens + 2, dim),), {"distilled": bool(d.whole(2))}),
        "split_heads_vjp": lambda: ((d(batch, tokens, 3 * heads * dim),), {"num_heads": heads}),
        "merge_heads_vjp": lambda: ((d(batch, heads, tokens, dim),), {}),
        "scaled_dot_product_attention_vjp": lambda: (tuple(d(batch, heads, tokens, dim) for _ in range(3)), attend),
        "multi_head_attention_vjp": lambda: (
            (d.attention(heads * dim), d(batch, tokens, heads * dim)), {"num_heads": heads, **attend}
        ),
        "mlp_vjp": lambda: ((Mlp(d.linear(7, dim), d.linear(dim, 7)), d(batch, tokens, dim)), {"activation": "gelu"}),
        "encoder_block_vjp": lambda: (
            (whole_model(d).blocks[0], d(batch, tokens, 12)),
            {"config": tiny(d), "head_mask": d.heads(3), "attention_mask": attend["attention_mask"]},
        ),
        "encoder_vjp": lambda: (
            (whole_model(d), d(batch, tokens, 12)),
            {"head_mask": d.may(d(2, 3)), "attention_mask": attend["attention_mask"]},
        ),
        "embed_vjp": lambda: (
            (whole_model(d), d(batch, 3, 8, 12)),
            {"bool_masked_pos": d.may(d.mask(batch, 6)), "interpolate_pos_encoding": True},
        ),
        "pooler_vjp": lambda: ((d.linear(4, dim), d(batch, dim)), {"activation": "tanh"}),
        "classify_vjp": lambda: ((d.may(d.linear(4, dim)), d(batch, dim)), {}),
        "classify_with_teacher_vjp": lambda: (
            (d.linear(4, dim), d.linear(4, dim), d(batch, dim), d(batch, dim)), {}
        ),
        "pixel_shuffle_vjp": lambda: ((d(batch, 2, 3, 12),), {"stride_shape": (2, 3)}),
        "reconstruct_vjp": lambda: (
            (whole_model(d, "masked-image-modeling"), d(batch, 6, 12)),
            {"grid": (2, 2), "shifted_slice": bool(d.whole(2))},
        ),
        "log_softmax_vjp": lambda: ((d(batch, dim),), {}),
        "cross_entropy_vjp": lambda: ((d(batch, 5),), {"labels": labels}),
        "binary_cross_entropy_vjp": lambda: ((d(batch, 5),), {"labels": d.shares(batch, 5)}),
        "mean_squared_error_vjp": lambda: ((d(batch, 5),), {"labels": d(batch, 5)}),
        "classification_loss_vjp": lambda: (
            (d(batch, 5),), {"labels": labels if labels.ndim == 1 else d(batch, 5)},
        ),
        "masked_l1_vjp": lambda: (
            (guess, image), {"bool_masked_pos": masked, "patch_shape": (2, 3)},
        ),
        "hard_distillation_vjp": lambda: (two_heads, {"teacher_logits": d(batch, 5), "labels": labels, "alpha": 0.3}),
        "soft_distillation_vjp": lambda: (
            two_heads, {
                "teacher_logits": d(batch, 5), "labels": labels, "alpha": 0.3, "tau": 2.5,
                "divided_by": SOFT_DIVISIONS[int(d.whole(2))],
            }
        ),
    }  # fmt: skip
    return cases[name]()


# Tasks and encode return more than arrays, and are checked as a whole below.
PARTS = [
    name
    for name in VJPS
    if name.removesuffix("_vjp") not in ("encode", "objective") and name not in {f.__name__ for f in TASK_VJPS.values()}
]
each_part = pytest.mark.parametrize("name", PARTS)


def backs_of(name, inputs, options, d):
    """Value, random gradients of it, and the gradients of the inputs by name, as lists of arrays."""
    value, back = VJPS[name](*inputs, **options)
    dvalues = [d(*np.shape(leaf)) for leaf in leaves(value)]
    if any(np.ndim(leaf) == 0 for leaf in leaves(value)):
        dvalues = [float(dvalue) for dvalue in dvalues]
    if name == "split_tokens_vjp" and not options["distilled"]:
        dvalues.insert(1, None)
    found = back(*dvalues)
    return value, dvalues, found if isinstance(found, tuple) else (found,)


def in_order(inputs, found):
    """Gradients in the order of the inputs' arrays; a tree that was used in part is 0 elsewhere."""
    arrays = []
    for tree, gradient in zip(inputs, found, strict=False):
        if isinstance(gradient, dict):
            zeros = mapped(np.zeros_like, tree)
            gradient = dataclasses.replace(zeros, **gradient)
        arrays += leaves(gradient)
    return arrays


@each_part
@given(seed=seeds)
def test_the_value_is_the_forward_function_s(name, seed):
    inputs, options = case_of(name, Draw(seed))
    value, _ = VJPS[name](*inputs, **options)
    for mine, other in zip(leaves(value), leaves(forward_of("numpy", name)(*inputs, **options)), strict=True):
        assert_close(np.asarray(mine), np.asarray(other), "float64", name)


@each_part
@given(seed=seeds)
def test_against_autograd(name, seed):
    for dtype in ("float64", "float32"):
        d = Draw(seed, dtype)
        inputs, options = case_of(name, d)
        _, dvalues, found = backs_of(name, inputs, options, d)
        _, back = autograd.vjp(forward_of("torch", name), *in_torch(inputs), **in_torch(options))
        expected = back(*[torch.as_tensor(np.asarray(dvalue, dtype)) for dvalue in dvalues if dvalue is not None])
        mine, theirs = in_order(inputs, found), leaves(expected)
        for one, other in zip(mine, theirs, strict=True):
            assert one.dtype == dtype
            largest = max(float(np.abs(leaf.numpy()).max(initial=0)) for leaf in theirs)
            if np.any(one):
                assert_close(one, other, f"gradients {dtype}", name)
            else:  # such as softmax's slope over one key: torch has the rounding of what it took from itself
                assert np.abs(other.numpy()).max(initial=0) <= 8 * np.finfo(dtype).eps * largest


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_activation_has_torch_s_slope(name, dtype):
    """At bends too, where there is none: at 0, and at the ends of hardswish (3), relu6 (6) and gelu_10 (10)."""
    x = np.concatenate([np.linspace(-12, 12, 481), [1e-6, -1e-6, 30, -30]]).astype(dtype)
    assert {0.0, -3.0, 3.0, 6.0, -10.0, 10.0} <= {*x.round(9).tolist()}
    dy = normal(0, *x.shape).astype(dtype)
    (expected,) = autograd.vjp(forward_of("torch", "activate_vjp"), torch.from_numpy(x), name=name)[1](in_torch(dy))
    assert_close(VJPS["activate_vjp"](x, name=name)[1](dy), expected, f"gradients {dtype}", name)


@each_part
@given(seed=seeds)
def test_against_central_differences(name, seed):
    """Along one random direction of all inputs at once."""
    d = Draw(seed)
    inputs, options = case_of(name, d)
    _, dvalues, found = backs_of(name, inputs, options, d)
    way = mapped(lambda array: d(*array.shape), inputs)

    def number(step):
        moved = iter([a + step * b for a, b in zip(leaves(inputs), leaves(way), strict=True)])
        value = forward_of("numpy", name)(*mapped(lambda _: next(moved), inputs), **options)
        weights = [dvalue for dvalue in dvalues if dvalue is not None]
        return sum(float((dvalue * leaf).sum()) for dvalue, leaf in zip(weights, leaves(value), strict=True))

    products = [a * b for a, b in zip(in_order(inputs, found), leaves(way), strict=True)]
    slope = sum(float(p.sum()) for p in products)
    size = sum(float(np.abs(p).sum()) for p in products)
    h = 1e-5
    # The fourth-order formula: its own error stays below what is asked.
    measured = (8 * (number(h) - number(-h)) - (number(2 * h) - number(-2 * h))) / (12 * h)
    assert abs(measured - slope) <= 1e-6 * max(size, 1e-3), (measured, slope)


@each_part
@given(seed=seeds)
def test_back_is_linear(name, seed):
    """What comes back from a sum of gradients is the sum of what comes back from each; from twice one, twice that."""
    d = Draw(seed)
    inputs, options = case_of(name, d)
    _, one, _ = backs_of(name, inputs, options, d)
    _, other, _ = backs_of(name, inputs, options, d)
    back = VJPS[name](*inputs, **options)[1]

    def gradients_of(dvalues):
        found = back(*dvalues)
        return in_order(inputs, found if isinstance(found, tuple) else (found,))

    both = [None if a is None else 2 * a + b for a, b in zip(one, other, strict=True)]
    for sum_, a, b in zip(*map(gradients_of, (both, one, other)), strict=True):
        assert_close(2 * a + b, sum_, "float64", name)


# --- the whole model


def model_case(d, task, config, *, dropout=False):
    """Weights, pixels and options of a task, all of whose parts may be there or not."""
    std = 0.3 if d.dtype == "float64" else 0.05
    dtype = np.dtype(d.dtype).type
    changes = {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.2} if dropout else {}
    config = dataclasses.replace(config, **changes)
    weights = random_weights(config, task, seed=int(d.whole(1000)), std=std, dtype=dtype, mask_token=bool(d.whole(2)))
    rows, columns = (int(n) + 1 for n in d.whole(3, 2)) if d.whole(2) else config.grid
    batch = int(d.whole(3)) + 1
    pixels = d(batch, config.num_channels, rows * config.patch_shape[0], columns * config.patch_shape[1])
    tokens = config.num_prefix_tokens + rows * columns
    options = {
        "interpolate_pos_encoding": True,
        "head_mask": d.may(d(config.num_hidden_layers, config.num_attention_heads)),
        "attention_mask": d.may(d.mask(batch, tokens)),
        "bool_masked_pos": d.mask(batch, rows * columns) if weights.mask_token is not None else None,
    }
    return weights, pixels, {name: value for name, value in options.items() if value is not None}


def objectives(d, weights, pixels, options):
    """What of this model can be differentiated, one way drawn."""
    config, batch = weights.config, len(pixels)
    if weights.task == "masked-image-modeling":
        return {} if "bool_masked_pos" in options else None
    width = config.num_labels
    if weights.task == "features":
        width = config.hidden_size if weights.pooler is None else config.pooler_output_size
    target = {"target": d.whole(width, batch)}
    if weights.task == "features":
        return target
    ways = [target, {"labels": d.whole(width, batch)}]
    if weights.task == "classification" and width > 1:
        ways.append({"labels": d.generator.random((batch, width)).astype(d.dtype)})
    if weights.task == "classification-with-teacher":
        teach = {"teacher_logits": d(batch, width), "labels": d.shares(batch, width), "alpha": 0.3}
        ways += [{"distillation": "hard", **teach}, {"distillation": "soft", "tau": 3.0, **teach}]
    return ways[int(d.whole(len(ways)))]


SMALL = configs(num_hidden_layers=2, hidden_act="gelu", distilled=True, num_labels=5)
every_task = pytest.mark.parametrize("task", TASKS)


@every_task
@given(config=SMALL, seed=seeds, dropout=st.booleans())
def test_a_task_s_value_and_every_step_are_the_forward_s(task, config, seed, dropout):
    weights, pixels, options = model_case(Draw(seed), task, config, dropout=dropout)
    recorded, outputs = [], []
    for run in (chapter("numpy", "model").TASKS[task], lambda *a, **o: TASK_VJPS[task](*a, **o)[0]):
        trace = Trace()
        if dropout:
            options |= {"generator": np.random.default_rng(seed), "drop_path": 0.4}
        outputs.append(run(weights, pixels, trace=trace, output_attentions=True, output_hidden_states=True, **options))
        recorded.append(trace)
    assert list(recorded[0]) == list(recorded[1])
    for step in recorded[0]:
        assert_close(recorded[1][step], recorded[0][step], "float64", step)
    for one, other in zip(leaves(outputs[1]), leaves(outputs[0]), strict=True):
        assert_close(np.asarray(one), np.asarray(other), "float64")


PARTS_OF_OUTPUT = {
    "features": ("last_hidden_state", "pooler_output"),
    "classification": ("logits", "loss"),
    "classification-with-teacher": ("logits", "cls_logits", "distillation_logits"),
    "masked-image-modeling": ("reconstruction", "loss"),
}


@every_task
def test_what_comes_back_from_all_parts_of_an_output_is_the_sum(task):
    weights, pixels, labels = example(task)
    options = {"classification": {"labels": labels}, "masked-image-modeling": {"bool_masked_pos": Draw(0).mask(3, 16)}}
    output, back = TASK_VJPS[task](weights, pixels, **options.get(task, {}))
    d = Draw(1)
    given = {f"d{name}": d(*np.shape(getattr(output, name))) for name in PARTS_OF_OUTPUT[task]}
    given = {name: value if np.ndim(value) else float(value) for name, value in given.items()}
    each = [leaves(tuple(back(**{name: value})[:2])) for name, value in given.items()]
    for whole, *parts in zip(leaves(tuple(back(**given)[:2])), *each, strict=True):
        assert_close(sum(parts), whole, "float64", task)


INPUTS = ("weights", "pixel_values", "attentions", "head_mask")


def check_against_autograd(weights, pixels, options, objective, dtype):
    """All four gradients and those of all steps."""
    layers, heads = weights.config.num_hidden_layers, weights.config.num_attention_heads
    options = {"head_mask": np.ones((layers, heads), dtype), **options}
    steps, theirs = Trace(), Trace()
    mine = gradients(weights, pixels, with_respect_to=INPUTS, gradient_trace=steps, **options, **objective)
    other = autograd.gradients(
        weights.to("torch"),
        torch.from_numpy(pixels),
        with_respect_to=INPUTS,
        gradient_trace=theirs,
        **in_torch(options),
        **in_torch(objective),
    )
    assert_close(np.asarray(mine.value), other.value, f"gradients {dtype}")
    assert [name for name, _ in named_arrays(mine.weights)] == [name for name, _ in named_arrays(weights)]
    assert list(steps) == list(theirs)
    for name in INPUTS:
        assert_all_close(leaves(getattr(mine, name)), leaves(getattr(other, name)), dtype, name)
    assert_all_close([*steps.values()], [*theirs.values()], dtype, "steps")


def assert_all_close(mine, theirs, dtype, what):
    """In float64 each array by its own largest entry, but for what is rounding alone; in float32 by that of all.

    A small array is often the rest of large sums that cancel: its digits are then those that float32 has lost.
    """
    largest = max(float(np.abs(as_numpy(array)).max(initial=0)) for array in theirs)
    for i, (one, other) in enumerate(zip(mine, theirs, strict=True)):
        assert one.dtype == dtype
        own = float(np.abs(as_numpy(other)).max(initial=0)) if dtype == "float64" else 0
        gap = float(np.abs(one - as_numpy(other)).max(initial=0))
        assert gap <= BOUNDS[f"gradients {dtype}"] * (own or largest) or gap <= 1e-14 * largest, (what, i, gap, largest)


@every_task
@given(config=SMALL, seed=seeds)
def test_gradients_are_those_of_autograd(task, config, seed):
    for dtype in ("float64", "float32"):
        d = Draw(seed, dtype)
        weights, pixels, options = model_case(d, task, config)
        objective = objectives(d, weights, pixels, options)
        if objective is not None:
            check_against_autograd(weights, pixels, options, objective, dtype)


def with_drawn_masks(monkeypatch, generator):
    """torch's dropout and drop_path with NumPy's draws, in the same order."""

    def drop(shape, x, probability):
        keep = torch.from_numpy(generator.random(shape, dtype=np.float32) >= probability)
        return torch.where(keep, x / (1 - probability), 0)

    def dropout(x, *, probability, generator):
        return x if probability == 0 else drop(tuple(x.shape), x, probability)

    def drop_path(x, *, probability, generator):
        return x if probability == 0 else drop((len(x), *[1] * (x.ndim - 1)), x, probability)

    for file in ("tokens", "attention", "encoder"):
        monkeypatch.setattr(chapter("torch", file), "dropout", dropout)
    monkeypatch.setattr(chapter("torch", "encoder"), "drop_path", drop_path)


@pytest.mark.parametrize("seed", range(4))
def test_dropout_and_drop_path(seed, monkeypatch):
    """By autograd, with the drawn masks handed in, and by central differences, with the generator seeded again."""
    d = Draw(seed)
    config = dataclasses.replace(TINY, hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.2)
    weights = random_weights(config, "classification-with-teacher", std=0.3, dtype=np.float64)
    pixels, labels = random_pixels(config, batch=3, dtype=np.float64), d.whole(5, 3)

    def run(pixels):
        options = {"generator": np.random.default_rng(seed), "drop_path": 0.5, "labels": labels}
        return gradients(weights, pixels, with_respect_to=("weights", "pixel_values"), **options)

    mine = run(pixels)
    with_drawn_masks(monkeypatch, np.random.default_rng(seed))
    other = autograd.gradients(
        weights.to("torch"),
        torch.from_numpy(pixels),
        labels=torch.from_numpy(labels),
        with_respect_to=("weights", "pixel_values"),
        generator=torch.Generator(),
        drop_path=0.5,
    )
    assert distance(mine.value, other.value) < 1e-12
    assert_all_close(leaves(mine.weights), leaves(other.weights), "float64", "weights")
    way = d(*pixels.shape)
    h = 1e-5
    near, far = (float(run(pixels + k * h * way).value - run(pixels - k * h * way).value) for k in (1, 2))
    slope = float((mine.pixel_values * way).sum())
    assert abs((8 * near - far) / (12 * h) - slope) <= 1e-6 * float(np.abs(mine.pixel_values * way).sum())


@pytest.mark.parametrize("name", CHECKPOINTS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_trained_weights(name, dtype):
    """Every gradient of trained weights, the loss that they were trained by, on a bundled photo and noise."""
    weights = deit_ref.load_weights(name).to("numpy", dtype=dtype)
    photo = deit_ref.preprocess(bundled_photo("chelsea"), weights.image_processing)
    pixels = np.concatenate([photo, normal(0, *photo.shape)]).astype(dtype)
    classes = weights.config.num_labels
    objective = {"target": np.array([3, 5]) % max(classes, 1)}
    options = {}
    if weights.task == "masked-image-modeling":
        objective, options = {}, {"bool_masked_pos": Draw(0).mask(2, weights.config.num_patches)}
    if weights.task == "classification-with-teacher":
        teacher = normal(1, 2, classes).astype(dtype)
        objective = {"distillation": "hard", "teacher_logits": teacher, "labels": np.array([3, 5]) % classes}
    check_against_autograd(weights, pixels, options, objective, dtype)


# --- what is true of every DeiT


def example(task="classification", **changes):
    """A model in float64, three images, labels."""
    weights = random_weights(dataclasses.replace(TINY, **changes), task, std=0.3, dtype=np.float64, seed=7)
    return weights, random_pixels(TINY, batch=3, dtype=np.float64), np.array([4, 0, 2])


def test_the_gradient_of_a_sum_over_images_is_the_sum_of_their_gradients():
    weights, pixels, target = example()
    whole = gradients(weights, pixels, target=target, with_respect_to=("weights", "pixel_values"))
    parts = [
        gradients(weights, pixels[i : i + 1], target=target[i : i + 1], with_respect_to=("weights", "pixel_values"))
        for i in range(3)
    ]
    assert_close(np.concatenate([part.pixel_values for part in parts]), whole.pixel_values, "float64")
    for name, array in named_arrays(whole.weights):
        assert_close(sum(dict(named_arrays(part.weights))[name] for part in parts), array, "float64", name)


def test_nothing_comes_back_through_a_silent_head():
    weights, pixels, labels = example()
    mask = np.ones((2, 4))
    mask[1, 2] = 0
    found = gradients(weights, pixels, labels=labels, head_mask=mask, with_respect_to=("weights", "head_mask"))
    qkv = found.weights.blocks[1].attn.qkv.weight.reshape(3, 4, 8, 32)  # (q k v, heads, head_dim, dim)
    assert np.abs(qkv[:, 2]).max() == 0
    assert np.abs(found.weights.blocks[1].attn.proj.weight.reshape(32, 4, 8)[:, 2]).max() == 0
    assert (np.abs(qkv).max(axis=(0, 2, 3)) > 1e-3)[[0, 1, 3]].all()
    assert np.abs(found.head_mask).min() > 1e-6  # the loss would still like to hear it, or not


def test_adding_to_all_scores_of_a_row_changes_nothing():
    weights, pixels, labels = example()
    steps = Trace(["blocks.*.attention.scores"])
    found = gradients(weights, pixels, labels=labels, gradient_trace=steps)
    for scores in steps.values():
        assert np.abs(scores.sum(axis=-1)).max() < 1e-14 * scores.size * np.abs(scores).max()
    for block in found.weights.blocks:
        q, k, v = block.attn.qkv.bias.reshape(3, 32)
        assert np.abs(k).max() < 1e-13 * np.abs(v).max()
        assert np.abs(q).max() > 1e-4 * np.abs(v).max()


def test_what_is_added_gets_the_same_gradient():
    """A token and its position are added; so are two biases in a row."""
    weights, pixels, labels = example("classification-with-teacher")
    found = gradients(weights, pixels, labels=labels).weights
    assert_close(found.pos_embed[:, 0], found.cls_token[:, 0], "float64")
    assert_close(found.pos_embed[:, 1], found.dist_token[:, 0], "float64")
    assert_close(found.pos_embed[0, 2:].sum(axis=0), found.patch_embed.proj.bias, "float64")


def test_a_forbidden_token_hears_nothing_from_the_others():
    weights, pixels, labels = example()
    mask = np.ones((3, 2 + 16), bool)
    mask[:, 7] = False
    steps = Trace(["blocks.*.attention.[kv]"])
    gradients(weights, pixels, labels=labels, attention_mask=mask, gradient_trace=steps)
    assert len(steps) == 4
    for gradient in steps.values():
        assert np.abs(gradient[:, :, 7]).max() == 0
        assert np.abs(gradient[:, :, 8]).max() > 0


def test_a_weight_that_nothing_depends_on_has_gradient_0():
    weights, pixels, labels = example("classification-with-teacher")
    weights = dataclasses.replace(weights, mask_token=np.ones((1, 1, 32)))
    teacher = normal(3, 3, 5)
    given = {"labels": labels, "teacher_logits": teacher, "distillation": "hard"}
    found = gradients(weights, pixels, alpha=0.0, **given).weights
    for unused in (found.mask_token, found.head_dist.weight, found.head_dist.bias):
        assert np.abs(unused).max() == 0
    other = gradients(weights, pixels, alpha=1.0, **given).weights
    assert np.abs(other.head.weight).max() == 0
    assert np.abs(other.head_dist.weight).max() > 0


@each_part
def test_back_can_be_asked_twice(name):
    """It remembers, and changes nothing of what it remembers, a generator included."""
    d = Draw(5)
    inputs, options = case_of(name, d)
    if "generator" in options:
        options["generator"] = np.random.default_rng(0)
    before = [leaf.copy() for leaf in leaves(inputs)]
    _, back = VJPS[name](*inputs, **options)
    _, dvalues, _ = backs_of(name, inputs, options, d)
    once, again = (found if isinstance(found, tuple) else (found,) for found in (back(*dvalues), back(*dvalues)))
    for one, other in zip(in_order(inputs, once), in_order(inputs, again), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(before, leaves(inputs), strict=True):
        np.testing.assert_array_equal(one, other)


# --- by hand


def test_softmax_by_hand():
    p, back = VJPS["softmax_vjp"](np.log(np.array([[1.0, 3.0]])))
    np.testing.assert_allclose(p, [[0.25, 0.75]])
    np.testing.assert_allclose(back(np.array([[1.0, 0.0]])), [[0.1875, -0.1875]])  # p (1 - p) and -p q


def test_layer_norm_by_hand():
    """(1, 3) has mean 2 and deviation 1: n = (-1, 1). Two features leave no freedom, so nothing comes back."""
    weights = LayerNorm(np.array([2.0, 1.0]), np.zeros(2))
    _, back = VJPS["layer_norm_vjp"](weights, np.array([[1.0, 3.0]]), eps=0.0)
    dweights, dx = back(np.array([[5.0, 7.0]]))
    np.testing.assert_allclose(dx, [[0, 0]], atol=1e-15)
    np.testing.assert_allclose(dweights.weight, [-5, 7])
    np.testing.assert_allclose(dweights.bias, [5, 7])


def test_cross_entropy_by_hand():
    loss, back = VJPS["cross_entropy_vjp"](np.log(np.array([[1.0, 3.0], [1.0, 1.0]])), np.array([1, -100]))
    np.testing.assert_allclose(loss, -np.log(0.75))
    np.testing.assert_allclose(back(2.0), [[0.5, -0.5], [0, 0]])


def test_a_soft_teacher_by_hand():
    """Temperature 2, two classes: (p_s - p_t) alpha tau / (B K) with p_s = (1, 1) / 2 and p_t = (1, 3) / 4."""
    zero = np.zeros((1, 2))
    teacher = 2 * np.log(np.array([[1.0, 3.0]]))
    _, back = VJPS["soft_distillation_vjp"](zero, zero, teacher, np.array([0]), alpha=0.5, tau=2.0)
    dcls, ddist = back()
    np.testing.assert_allclose(dcls, [[-0.25, 0.25]])
    np.testing.assert_allclose(ddist, [[0.125, -0.125]])
