"""Chapter 14, what a decision rests on: by hand, by hiding, and the same in torch."""

import inspect

import numpy as np
import pytest
import torch
from both import BACKENDS, array, normal
from hypothesis import given
from hypothesis import strategies as st
from strategies import TINY, random_pixels, random_weights
from tolerances import assert_close

import deit_ref
from deit_ref.arrays import as_numpy
from deit_ref.numpy_backend.attention import attention_rollout
from deit_ref.numpy_backend.backward import relevance
from deit_ref.torch_backend import relevance as torch_relevance

CHAPTERS = {"numpy": relevance, "torch": torch_relevance}
FUNCTIONS = ["attention_relevance", "head_importance", "saliency"]


def drawn(seed, *, batch=2, layers=3, heads=2, tokens=5):
    """Attentions whose rows sum to 1, and gradients of any sign."""
    attentions = np.exp(normal(seed, layers, batch, heads, tokens, tokens))
    return [*(attentions / attentions.sum(-1, keepdims=True))], [*normal(seed + 1, *attentions.shape)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_saliency_by_hand(backend):
    gradient = np.array([[[[1.0, -2.0]], [[-3.0, 0.5]]]])  # (1, 2 channels, 1, 2)
    assert as_numpy(CHAPTERS[backend].saliency(array(backend, gradient, "float64"))).tolist() == [[[3.0, 2.0]]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_relevance_by_hand(backend):
    """Two tokens, two layers of two heads, of which the second has no gradient; what speaks against counts nothing."""
    a = np.array([[[[0.5, 0.5], [0.25, 0.75]], [[0.5, 0.5], [0.5, 0.5]]]])
    d = np.array([[[[4.0, -2.0], [8.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]])
    # Mean over the heads of the positive part of the product: (2, 0; 2, 0) / 2, and R = I + that.
    first = as_numpy(
        CHAPTERS[backend].attention_relevance([array(backend, a, "float64")], [array(backend, d, "float64")])
    )
    assert first.tolist() == [[[2.0, 0.0], [1.0, 1.0]]]
    both = [array(backend, a, "float64")] * 2, [array(backend, d, "float64")] * 2
    # R + (1, 0; 1, 0) R = (2, 0; 1, 1) + (2, 0; 2, 0).
    assert as_numpy(CHAPTERS[backend].attention_relevance(*both)).tolist() == [[[4.0, 0.0], [3.0, 1.0]]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_later_layers_are_applied_from_the_left(backend):
    zero, one = np.zeros((1, 1, 3, 3)), np.ones((1, 1, 3, 3))
    first, second = zero.copy(), zero.copy()
    first[..., 1, 2] = 1  # token 1 takes from 2, and only then 0 from 1
    second[..., 0, 1] = 1
    layers = [array(backend, x, "float64") for x in (first, second)]
    ones = [array(backend, one, "float64")] * 2
    found = as_numpy(CHAPTERS[backend].attention_relevance(layers, ones))[0]
    assert found.tolist() == [[1.0, 1.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_importance_by_hand(backend):
    """A head that helps one image and harms another as much is important for both."""
    a = np.full((2, 1, 2, 2), 0.5)
    d = np.stack([np.full((1, 2, 2), 3.0), np.full((1, 2, 2), -1.0)])
    found = CHAPTERS[backend].head_importance([array(backend, a, "float64")], [array(backend, d, "float64")])
    assert as_numpy(found).tolist() == [[4.0]]  # (6 + 2) / 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_other_numbers_of_layers_are_refused(backend):
    layers, gradients = ([array(backend, x, "float64") for x in part] for part in drawn(0))
    for function in (CHAPTERS[backend].attention_relevance, CHAPTERS[backend].head_importance):
        with pytest.raises(ValueError, match="got 3 and 2"):
            function(layers, gradients[:2])
        with pytest.raises(ValueError, match="at least one layer"):
            function([], [])


def test_the_mirror_has_the_same_functions_and_arguments():
    for chapter in CHAPTERS.values():
        assert [name for name, _ in inspect.getmembers(chapter, inspect.isfunction)] == FUNCTIONS
    for name in FUNCTIONS:
        here, there = (inspect.signature(getattr(chapter, name)).parameters for chapter in CHAPTERS.values())
        assert [*here] == [*there]
        assert [(p.kind, p.default) for p in here.values()] == [(p.kind, p.default) for p in there.values()]


@given(seed=st.integers(0, 1000), batch=st.integers(1, 3), layers=st.integers(1, 4), heads=st.integers(1, 3))
def test_the_mirror_has_the_same_values(seed, batch, layers, heads):
    attentions, gradients = drawn(seed, batch=batch, layers=layers, heads=heads)
    tensors = [[torch.from_numpy(x) for x in part] for part in (attentions, gradients)]
    for name in ("attention_relevance", "head_importance"):
        ours = getattr(relevance, name)(attentions, gradients)
        assert_close(ours, getattr(torch_relevance, name)(*tensors), "float64", name)
    pixels = normal(seed, batch, 3, 4, 5)
    assert_close(relevance.saliency(pixels), torch_relevance.saliency(torch.from_numpy(pixels)), "float64", "saliency")


@given(seed=st.integers(0, 1000))
def test_relevance_is_a_share_of_itself_and_never_below_zero(seed):
    """Every token has itself, and no token counts against: R - I has no negative entry."""
    attentions, gradients = drawn(seed)
    found = relevance.attention_relevance(attentions, gradients)
    assert (found - np.eye(5) >= 0).all()
    nothing = relevance.attention_relevance(attentions, [np.zeros_like(d) for d in gradients])
    np.testing.assert_array_equal(nothing, np.broadcast_to(np.eye(5), nothing.shape))


def of_class(weights, pixel_values, target, **options):
    found = deit_ref.gradients(
        weights, pixel_values=pixel_values, target=target, with_respect_to=("attentions",), **options
    )
    return [as_numpy(d) for d in found.attentions]


@pytest.mark.parametrize("backend", BACKENDS)
def test_relevance_depends_on_the_class_and_rollout_does_not(backend):
    weights = random_weights(TINY, "classification-with-teacher", std=0.2)
    pixel_values = random_pixels(batch=1)
    output = deit_ref.forward(weights, pixel_values=pixel_values, output_attentions=True)
    maps, looked = [], []
    for label in range(3):
        trace = deit_ref.Trace()
        gradients = of_class(weights, pixel_values, label, backend=backend, trace=trace)
        attentions = [as_numpy(a) for a in trace.matching("blocks.*.attention.probabilities")]
        maps.append(relevance.attention_relevance(attentions, gradients)[0, :2, 2:])
        looked.append(attention_rollout(attentions))
    rollout = attention_rollout(output.attentions)
    for i in range(3):
        assert_close(looked[i], rollout, "float32", "rollout")
        for j in range(i):
            correlation = np.corrcoef(maps[i].ravel(), maps[j].ravel())[0, 1]
            assert correlation < 0.95
    for label in range(3):
        assert of_class(weights, pixel_values, label, backend=backend)[0].any()


def test_importance_is_the_gradient_of_head_mask_image_by_image():
    """And a head whose result goes nowhere, or is masked, has none."""
    weights = random_weights(TINY, std=0.2, dtype=np.float64)
    pixel_values = random_pixels(dtype=np.float64)
    mask = np.ones((2, 4))
    mask[1, 2] = 0
    trace = deit_ref.Trace()
    given = {"target": 1, "with_respect_to": ("attentions", "head_mask"), "head_mask": mask}
    found = deit_ref.gradients(weights, pixel_values=pixel_values, trace=trace, **given)
    attentions = trace.matching("blocks.*.attention.probabilities")  # behind the mask
    importance = relevance.head_importance(attentions, found.attentions)
    assert importance.shape == (2, 4)
    assert importance[1, 2] == 0
    assert (np.delete(importance.ravel(), 6) > 0).all()
    each = []
    for i in range(2):
        one = deit_ref.gradients(weights, pixel_values=pixel_values[i : i + 1], **given)
        each.append(np.abs(as_numpy(one.head_mask)))
    mean = np.mean(each, axis=0)
    mean[1, 2] = 0  # its own gradient is that of being heard again
    assert_close(importance, mean, "float64", "importance")


def test_bundled_model_falls_faster_by_what_is_relevant():
    """The test that the chapter asks for: hide a third of the patches, and compare with as many by chance."""
    weights, photo = deit_ref.load_weights(), deit_ref.photos.bundled_photo("chelsea")
    pixel_values = deit_ref.preprocess(photo, weights.image_processing)
    output = deit_ref.forward(weights, pixel_values=pixel_values, output_attentions=True)
    label = int(output.logits[0].argmax())
    gradients = of_class(weights, pixel_values, label)
    found = relevance.attention_relevance(output.attentions, gradients)[0, :2, 2:].sum(axis=0)  # (patches,)

    def logit(hidden):
        mask = np.ones((1, 2 + found.size), bool)
        mask[0, 2 + np.asarray(hidden)] = False
        return deit_ref.forward(weights, pixel_values=pixel_values, attention_mask=mask).logits[0, label]

    count = found.size // 3
    generator = np.random.default_rng(0)
    by_chance = np.mean([logit(generator.permutation(found.size)[:count]) for _ in range(20)])
    most, least = logit(np.argsort(-found)[:count]), logit(np.argsort(found)[:count])
    assert most < by_chance < least
