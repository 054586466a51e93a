"""What only a GPU can show: captured graphs against the plain pass. Skipped, visibly, where there is none."""

import threading

import numpy as np
import pytest
import torch

import deit_ref
from deit_ref.torch_backend import graphs
from deit_ref.torch_backend.model import TASKS

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
BOUNDS = {"float16": 2e-2, "bfloat16": 1e-1, "float32": 1e-5}  # of DESIGN's table: half precision against float64


@pytest.fixture(autouse=True)
def no_graphs():
    graphs.clear()
    yield
    graphs.clear()


def new(dtype="float16", seed=0):
    return deit_ref.load_weights().to("torch", device="cuda", dtype=dtype)


def pixels(weights, batch=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 3, *weights.config.image_shape, generator=generator).to("cuda", weights.pos_embed.dtype)


def plain(weights, x):
    with torch.no_grad():
        return TASKS[weights.task](weights, x).logits


def forward(weights, x):
    return deit_ref.forward(weights, pixel_values=x, backend="torch").logits


@pytest.mark.parametrize("dtype", BOUNDS)
def test_replays_equal_the_plain_pass_for_changing_inputs_and_sizes(dtype):
    weights = new(dtype)
    for seed in range(6):
        for batch in (1, 3):
            x = pixels(weights, batch, seed)
            torch.testing.assert_close(forward(weights, x), plain(weights, x), rtol=0, atol=1e-2 * BOUNDS[dtype])
    assert sum(isinstance(each, graphs.Captured) for each in graphs._captured.values()) == 2
    exact = deit_ref.forward(deit_ref.load_weights(), pixel_values=x.double().cpu().numpy(), dtype="float64").logits
    gap = np.abs(forward(weights, x).double().cpu().numpy() - exact).max() / np.abs(exact).max()
    assert gap < BOUNDS[dtype]


def test_weights_that_change_in_place_are_seen():
    weights = new("float32")
    x = pixels(weights)
    for _ in range(3):
        before = forward(weights, x)
    weights.head.bias.add_(1.0)
    torch.testing.assert_close(forward(weights, x), before + 0.5, rtol=1e-5, atol=1e-5)


def test_memory_does_not_grow():
    weights = new()
    x = pixels(weights)
    for _ in range(10):
        forward(weights, x)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    for _ in range(1000):
        forward(weights, x)
    torch.cuda.synchronize()
    assert torch.cuda.memory_allocated() == before


def test_two_threads_and_two_streams_do_not_mix():
    weights = new("float32")
    for _ in range(3):
        forward(weights, pixels(weights))
    wrong = []

    def work(seed):
        with torch.cuda.stream(torch.cuda.Stream()):
            for i in range(50):
                x = pixels(weights, seed=100 * seed + i)
                if not torch.allclose(forward(weights, x), plain(weights, x), atol=1e-5):
                    wrong.append((seed, i))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_photos_are_prepared_on_the_gpu_with_the_same_bytes():
    rng = np.random.default_rng(0)
    photos = [rng.integers(0, 256, size, np.uint8) for size in ((300, 451, 3), (40, 50, 3), (300, 451, 3))]
    processing = deit_ref.load_weights().image_processing
    ours = deit_ref.preprocess(photos, processing, backend="torch", device="cuda")
    assert ours.device.type == "cuda"
    np.testing.assert_array_equal(ours.cpu(), deit_ref.preprocess(photos, processing))
