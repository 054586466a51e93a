"""Captured forwards, on the CPU: the bookkeeping, with a recording that only remembers what it would replay.

What CUDA itself does is tested where there is one, in test_cuda.py.
"""

import contextlib
import dataclasses
import gc
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from strategies import TINY

import deit_ref
from deit_ref.torch_backend import graphs
from deit_ref.torch_backend.model import TASKS
from deit_ref.weights import map_weights

PLAIN = {
    "interpolate_pos_encoding": False,
    "output_hidden_states": False,
    "output_attentions": False,
    "generator": None,
    "trace": None,
}


@pytest.fixture
def recorded(monkeypatch):
    """As on a GPU; the list holds the shape of each recording."""
    shapes = []

    def capture(function, pixel_values):
        shapes.append(tuple(pixel_values.shape))
        output = function(pixel_values)

        def replay():  # writes into the same places, as a graph does
            again = function(pixel_values)
            for field in dataclasses.fields(output):
                if isinstance(value := getattr(output, field.name), torch.Tensor):
                    value.copy_(getattr(again, field.name))

        event = SimpleNamespace(wait=lambda: None, record=lambda: None)
        return graphs.Captured(replay, pixel_values, output, event)

    monkeypatch.setattr(graphs, "_on_gpu", lambda pixel_values: True)
    monkeypatch.setattr(graphs, "_capture", capture)
    graphs.clear()
    yield shapes
    graphs.clear()


def new(seed=0, task="classification-with-teacher"):
    return deit_ref.init_weights(TINY, task, seed=seed).to("torch")


def pixels(batch=2, seed=0):
    height, width = TINY.image_shape
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def forward(weights, x, **options):
    with torch.no_grad():
        return graphs.forward(TASKS[weights.task], weights, x, {**PLAIN, **options})


def plain(weights, x):
    with torch.no_grad():
        return TASKS[weights.task](weights, x)


def test_recording_and_replay_happen_on_the_device_of_the_photos(recorded, monkeypatch):
    """Of two GPUs one is the current one; a stream of that one would record nothing of what runs on the other."""
    current, seen = [], []

    @contextlib.contextmanager
    def device_of(tensor):
        current.append(tensor)
        yield
        current.pop()

    capture = graphs._capture

    def watched(function, pixel_values):
        found = capture(function, pixel_values)
        seen.append(("recorded", list(current)))
        return found._replace(replay=lambda: (seen.append(("replayed", list(current))), found.replay()))

    monkeypatch.setattr(torch.cuda, "device_of", device_of)
    monkeypatch.setattr(graphs, "_capture", watched)
    weights, x = new(), pixels()
    forward(weights, x)
    forward(weights, x)
    (first, on), (second, on_too) = seen
    assert (first, second) == ("recorded", "replayed")
    assert on[0] is on_too[0] is x


@pytest.mark.parametrize("task", TASKS)
def test_the_first_call_is_plain_the_second_records_and_all_give_the_same(recorded, task):
    weights = new(task=task)
    for seed in range(5):
        x = pixels(seed=seed)
        ours, expected = forward(weights, x), plain(weights, x)
        assert len(recorded) == (seed > 0)
        for field in dataclasses.fields(expected):
            value = getattr(expected, field.name)
            if isinstance(value, torch.Tensor):
                torch.testing.assert_close(getattr(ours, field.name), value, rtol=0, atol=0)
            else:
                assert getattr(ours, field.name) == value


def test_results_are_the_callers_own(recorded):
    weights, first = new(), pixels(seed=1)
    forward(weights, first)
    kept = forward(weights, first)
    before = kept.logits.clone()
    kept.cls_logits.zero_()
    forward(weights, pixels(seed=2))
    assert torch.equal(kept.logits, before)
    assert torch.equal(forward(weights, first).cls_logits, plain(weights, first).cls_logits)


def test_every_shape_has_a_graph_and_the_least_used_goes_first(recorded):
    weights = new()
    for batch in range(1, graphs.MOST + 1):
        forward(weights, pixels(batch))
        forward(weights, pixels(batch))
    assert [shape[0] for shape in recorded] == list(range(1, graphs.MOST + 1))
    forward(weights, pixels(1))  # so that batch 2 is the one that was not used for longest
    forward(weights, pixels(graphs.MOST + 1))
    recorded.clear()
    forward(weights, pixels(1))
    assert recorded == []
    forward(weights, pixels(2))
    forward(weights, pixels(2))
    assert [shape[0] for shape in recorded] == [2]


def test_weights_that_change_in_place_are_seen_and_others_have_graphs_of_their_own(recorded):
    weights, x = new(), pixels()
    for _ in range(3):
        before = forward(weights, x).logits
    weights.head.bias.add_(1.0)
    after = forward(weights, x).logits
    torch.testing.assert_close(after, before + 0.5, rtol=1e-6, atol=1e-6)
    other = new(seed=1)
    assert torch.equal(forward(other, x).logits, plain(other, x).logits)
    assert len(recorded) == 1


def test_graphs_go_with_their_weights(recorded):
    weights = new()
    forward(weights, pixels())
    forward(weights, pixels())
    assert len(graphs._captured) == 1
    captured = next(iter(graphs._captured.values()))
    assert isinstance(captured, graphs.Captured)
    graphs._captured[next(iter(graphs._captured))] = None  # the fake's closure holds the weights; a graph does not
    del captured, weights
    gc.collect()
    assert len(graphs._captured) == 0


@pytest.mark.parametrize(
    "options",
    [
        {"output_attentions": True},
        {"output_hidden_states": True},
        {"trace": deit_ref.Trace()},
        {"generator": torch.Generator()},
        {"head_mask": torch.ones(TINY.num_hidden_layers, TINY.num_attention_heads)},
    ],
)
def test_what_a_graph_cannot_stand_for_runs_plainly(recorded, options):
    weights = new()
    for _ in range(3):
        with contextlib.suppress(ValueError):  # a trace can be used once
            forward(weights, pixels(), **options)
    assert recorded == []
    assert len(graphs._captured) == 0


def test_calls_in_and_out_of_inference_mode_share_a_graph(recorded):
    weights = new()
    for seed, mode in enumerate([torch.inference_mode, torch.inference_mode, torch.no_grad, torch.inference_mode]):
        x = pixels(seed=seed)
        with mode():
            found = graphs.forward(TASKS[weights.task], weights, x, PLAIN).logits
        torch.testing.assert_close(found, plain(weights, x).logits)
    assert len(recorded) == 1


def test_autocast_runs_plainly(recorded, monkeypatch):
    weights, x = new(), pixels()
    monkeypatch.setattr(torch, "is_autocast_enabled", {"cuda": True}.__getitem__)
    for _ in range(3):
        forward(weights, x)
    assert recorded == []


def test_products_of_another_precision_are_recorded_anew(recorded):
    weights, x = new(), pixels()
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    before = products.fp32_precision, convolutions.fp32_precision
    try:
        for recordings, setting in enumerate([("ieee", "ieee"), ("tf32", "ieee"), ("tf32", "tf32")], 1):
            products.fp32_precision, convolutions.fp32_precision = setting
            for _ in range(3):
                forward(weights, x)
            assert len(recorded) == recordings
    finally:
        products.fp32_precision, convolutions.fp32_precision = before


def test_gradients_and_large_batches_run_plainly(recorded, monkeypatch):
    weights = new()
    x = pixels().requires_grad_()
    for _ in range(3):
        output = graphs.forward(TASKS[weights.task], weights, x, PLAIN)
    assert output.logits.requires_grad
    monkeypatch.setattr(graphs, "MOST_FEATURES", 2 * TINY.num_patches * TINY.hidden_size)
    for _ in range(3):
        forward(weights, pixels(3))
    assert recorded == []
    for _ in range(3):
        forward(weights, pixels(2))
    assert len(recorded) == 1


def test_a_failed_recording_is_said_once_and_the_result_is_right(recorded, monkeypatch):
    def fails(function, pixel_values):
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    monkeypatch.setattr(graphs, "_capture", fails)
    weights, x = new(), pixels()
    forward(weights, x)
    with pytest.warns(UserWarning, match=r"runs without a captured graph: operation not permitted when stream is capt"):
        result = forward(weights, x)
    assert torch.equal(result.logits, plain(weights, x).logits)
    assert torch.equal(forward(weights, x).logits, result.logits)  # and no second warning


def test_threads_do_not_read_each_others_images(recorded):
    weights = new()
    forward(weights, pixels())
    forward(weights, pixels())
    wrong = []

    def work(seed):
        for i in range(20):
            x = pixels(seed=100 * seed + i)
            if not torch.equal(forward(weights, x).logits, plain(weights, x).logits):
                wrong.append((seed, i))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(1, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_without_a_gpu_nothing_is_recorded():
    graphs.clear()
    weights, x = new(), pixels()
    for _ in range(3):
        forward(weights, x)
    assert len(graphs._captured) == 0
    np.testing.assert_array_equal(forward(weights, x).logits, plain(weights, x).logits)


def test_forward_of_the_package_replays_and_converts_once(recorded):
    weights, x = deit_ref.init_weights(TINY, "classification-with-teacher", seed=0), pixels()
    plainly = deit_ref.forward(weights, pixel_values=x).logits
    for _ in range(4):
        logits = deit_ref.forward(weights, pixel_values=x, backend="torch").logits
        np.testing.assert_allclose(logits, plainly, rtol=1e-4, atol=1e-5)
    assert recorded == [tuple(x.shape)]
    assert deit_ref.forward(weights, pixel_values=x, backend="torch", output_attentions=True).attentions is not None
    assert len(recorded) == 1


def test_weights_that_learn_are_captured_where_nothing_is_learned(recorded):
    weights = new()
    learning = map_weights(lambda array: array.clone().requires_grad_(), weights)
    assert graphs.may_capture(weights, pixels(), PLAIN)
    assert not graphs.may_capture(learning, pixels(), PLAIN)
    assert not graphs.may_capture(weights, pixels().requires_grad_(), PLAIN)
    with torch.no_grad():
        assert graphs.may_capture(learning, pixels().requires_grad_(), PLAIN)


def test_what_was_captured_with_interpolation_is_no_answer_without(recorded):
    weights, x = new(), torch.randn(1, 3, 40, 48)
    for _ in range(3):
        deit_ref.forward(weights, pixel_values=x, backend="torch", interpolate_pos_encoding=True)
    assert len(recorded) == 1
    with pytest.raises(ValueError, match="made for 32x32 pixels, got 40x48"):
        deit_ref.forward(weights, pixel_values=x, backend="torch")
