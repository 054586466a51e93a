"""Trace: the right names, nothing but what was asked for, and never a changed result."""

import numpy as np
import pytest
import torch
from strategies import TINY, random_pixels, random_weights

from deit_ref.numpy_backend import model as book
from deit_ref.torch_backend import model as mirror
from deit_ref.trace import Trace, record, scope, wants

BACKENDS = {"numpy": (book, np.asarray), "torch": (mirror, torch.from_numpy)}


def test_scopes_make_names():
    trace = Trace()
    inner = scope(scope(trace, "blocks.3"), "attention")
    record(trace, "tokens", 1)
    record(inner, "scores", 2)
    record(scope(trace, "blocks.3"), "output", 3)
    assert dict(trace) == {"tokens": 1, "blocks.3.attention.scores": 2, "blocks.3.output": 3}
    assert list(trace) == ["tokens", "blocks.3.attention.scores", "blocks.3.output"]
    assert list(inner) == list(trace)
    assert repr(trace) == "Trace(3 steps: tokens, blocks.3.attention.scores, blocks.3.output)"


def test_without_a_trace_nothing_happens():
    value = np.ones(2)
    assert record(None, "x", value) is value
    assert scope(None, "blocks.0") is None
    assert not wants(None, "x")


def test_record_returns_the_value_itself():
    value = np.ones(2)
    assert record(Trace(), "x", value) is value
    assert record(Trace([]), "x", value) is value


def test_only_keeps_what_matches_the_whole_name():
    trace = Trace(["blocks.*.attention.probabilities", "tokens"])
    attention = scope(scope(trace, "blocks.11"), "attention")
    record(trace, "tokens", 0)
    record(trace, "tokens_too", 1)
    record(attention, "tokens", 2)
    record(attention, "probabilities", 3)
    record(attention, "scores", 4)
    assert dict(trace) == {"tokens": 0, "blocks.11.attention.probabilities": 3}
    assert wants(attention, "probabilities")
    assert not wants(attention, "scores")
    assert not wants(trace, "probabilities")
    assert len(Trace([])) == 0
    assert not wants(Trace([]), "x")


def test_also_is_told_everything():
    outer = Trace(["blocks.0.a", "blocks.0.c"])
    inner = Trace(["blocks.0.b", "blocks.0.c"], also=outer)
    within = scope(inner, "blocks.0")
    for i, name in enumerate("abcd"):
        record(within, name, i)
    assert dict(inner) == {"blocks.0.b": 1, "blocks.0.c": 2}
    assert dict(outer) == {"blocks.0.a": 0, "blocks.0.c": 2}
    assert [wants(within, name) for name in "abcd"] == [True, True, True, False]


def test_matching_in_order():
    trace = Trace()
    for i in (0, 1, 10):
        record(scope(trace, f"blocks.{i}"), "output", i)
    record(trace, "output", "other")
    assert trace.matching("blocks.*.output") == (0, 1, 10)
    assert trace.matching("nothing") == ()


def test_a_step_is_recorded_once():
    trace = Trace()
    record(scope(trace, "blocks.0"), "q", 1)
    with pytest.raises(ValueError, match=r"already holds 'blocks\.0\.q': use a new Trace for each call"):
        record(trace, "blocks.0.q", 2)
    assert trace["blocks.0.q"] == 1


def test_only_as_a_string_is_refused():
    with pytest.raises(
        ValueError, match=r"only must be a list of strings, patterns of names such as 'blocks\.\*'; got 'scores'"
    ):
        Trace("scores")


def test_numpy_arrays_are_copied_and_tensors_are_not():
    trace = Trace()
    array, tensor = np.zeros(3), torch.zeros(3)
    record(trace, "array", array)
    record(trace, "tensor", tensor)
    array += 1
    assert trace["array"].tolist() == [0, 0, 0]
    assert trace["tensor"] is tensor


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("task", ["features", "masked-image-modeling"])
def test_tracing_changes_no_bit(backend, task):
    model, convert = BACKENDS[backend]
    weights = random_weights(TINY, task).to(backend)
    options = {"bool_masked_pos": convert(np.eye(2, 16, dtype=bool))} if task.startswith("masked") else {}
    for keep in (False, True):  # what is returned is traced too
        traces = [None, Trace(), Trace(["blocks.*.scores"]), Trace(["blocks.0.*"], also=Trace())]
        kept = {"output_attentions": keep, "output_hidden_states": keep}
        results = []
        for trace in traces:
            output = model.TASKS[task](weights, convert(random_pixels()), trace=trace, **kept, **options)
            results.append(np.asarray(next(iter(vars(output).values()))))
        assert [len(trace) > 0 for trace in traces[1:]] == [True, True, True]
        for result in results[1:]:
            np.testing.assert_array_equal(results[0], result)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_was_recorded_is_what_the_formula_says(backend):
    """Recomputed in float64 from other steps, so that a step that is overwritten later would show."""
    model, convert = BACKENDS[backend]
    weights = random_weights(TINY, "features", dtype=np.float64)
    trace = Trace()
    model.features(weights.to(backend), convert(random_pixels(dtype=np.float64)), trace=trace)
    steps = {name: np.asarray(array) for name, array in trace.items()}
    near = {"rtol": 1e-11, "atol": 1e-12}
    for i, before in ((0, steps["embeddings"]), (1, steps["blocks.0.output"])):
        block, inside = f"blocks.{i}", f"blocks.{i}.attention"
        q, k, v, scores = (steps[f"{inside}.{name}"] for name in ("q", "k", "v", "scores"))
        np.testing.assert_allclose(scores, q @ k.swapaxes(-1, -2) / np.sqrt(8), **near)
        shares = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        np.testing.assert_allclose(steps[f"{inside}.probabilities"], shares, **near)
        context = (shares @ v).swapaxes(1, 2).reshape(2, -1, 32)
        np.testing.assert_allclose(steps[f"{inside}.context"], context, **near)
        fc1, fc2 = weights.blocks[i].mlp.fc1, weights.blocks[i].mlp.fc2
        hidden = steps[f"{block}.norm2"] @ fc1.weight.T + fc1.bias
        np.testing.assert_allclose(steps[f"{block}.mlp.fc1"], hidden, **near)
        after = steps[f"{block}.mlp.activation"] @ fc2.weight.T + fc2.bias
        np.testing.assert_allclose(steps[f"{block}.mlp.fc2"], after, **near)
        output = before + steps[f"{inside}.proj"] + steps[f"{block}.mlp.fc2"]
        np.testing.assert_allclose(steps[f"{block}.output"], output, **near)
    np.testing.assert_array_equal(steps["embeddings"], steps["tokens"] + steps["pos_embed"])


def test_torch_takes_the_kernel_also_when_traced(monkeypatch):
    """A kernel that answers 7 must be seen in the result of a traced call: the formula is for the record only."""
    calls = []

    def seven(q, k, v, **options):
        calls.append(options)
        return torch.full_like(v, 7)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", seven)
    weights = random_weights(TINY, "features").to("torch")
    trace = Trace()
    mirror.features(weights, torch.from_numpy(random_pixels()), trace=trace)
    assert len(calls) == 2
    for i in range(2):
        assert (trace[f"blocks.{i}.attention.context"] == 7).all()
        rows = trace[f"blocks.{i}.attention.probabilities"].sum(-1)
        torch.testing.assert_close(rows, torch.ones_like(rows))


def test_numpy_attention_runs_head_by_head_unless_watched(monkeypatch):
    """Nobody watching means the memory of one head's scores; the result is the same (see above)."""
    from deit_ref.numpy_backend import attention

    seen = []
    original = attention.scaled_dot_product_attention

    def spy(q, *others, **options):
        seen.append(q.shape[1])
        return original(q, *others, **options)

    monkeypatch.setattr(attention, "scaled_dot_product_attention", spy)
    weights, pixels = random_weights(TINY, "features"), random_pixels()
    book.features(weights, pixels, trace=Trace(["tokens"]))
    assert seen == [1] * 8
    seen.clear()
    book.features(weights, pixels, trace=Trace(["blocks.*.probabilities"]))
    assert seen == [4, 4]


def test_matching_takes_whole_names_by_their_pattern():
    trace = Trace()
    for name in ("blocks.0.output", "blocks.0.mlp.fc1", "blocks.10.output", "output", "blocks.1.output.more"):
        record(trace, name, name)
    assert trace.matching("blocks.*.output") == ("blocks.0.output", "blocks.10.output")
    assert trace.matching("output") == ("output",)
    assert trace.matching("blocks.?.*") == ("blocks.0.output", "blocks.0.mlp.fc1", "blocks.1.output.more")
    assert trace.matching("nothing") == ()
