"""Batches beside each other: how many, with how many threads each, and that all is as before afterwards."""

from threading import Barrier

import numpy as np
import pytest
import torch
from PIL import Image
from strategies import TINY
from threadpoolctl import threadpool_info, threadpool_limits

import deit_ref
from deit_ref.commands import pipeline
from deit_ref.commands.threads import MOST, threads


def of_blas():
    return max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")


HOW_MANY = {"numpy": of_blas, "torch": torch.get_num_threads}


@pytest.fixture
def four():
    """Four threads for both, whatever the machine has and the environment says."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    with threadpool_limits(4, user_api="blas"):
        yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("backend", HOW_MANY)
@pytest.mark.parametrize(("batches", "at_once", "each"), [(0, 1, 4), (1, 1, 4), (2, 2, 2), (3, 2, 2), (50, 4, 1)])
def test_batches_divide_the_threads(four, backend, batches, at_once, each):
    with threads(backend, batches) as found:
        assert found.at_once == at_once
        both = Barrier(at_once, timeout=20)  # so that each thread answers once
        running = [found.executor.submit(lambda: (both.wait(), HOW_MANY[backend]())[1]) for _ in range(at_once)]
        assert [thread.result() for thread in running] == [each] * at_once
        assert of_blas() == each  # photos are resized meanwhile
    with threads(backend, 1) as found:
        assert found.executor.submit(HOW_MANY[backend]).result() == 4
    assert (of_blas(), torch.get_num_threads()) == (4, 4)


@pytest.mark.parametrize("backend", HOW_MANY)
def test_an_error_gives_them_back(four, backend):
    with pytest.raises(KeyError), threads(backend, 9):
        raise KeyError
    with threads(backend, 1) as found:
        assert found.executor.submit(HOW_MANY[backend]).result() == 4


@pytest.mark.parametrize(("cores", "at_once", "each"), [(3 * MOST, MOST, 3), (2 * MOST - 1, MOST - 1, 2)])
def test_many_cores_do_not_hold_many_batches_and_none_is_idle(four, cores, at_once, each):
    torch.set_num_threads(cores)
    with threads("torch", 1000) as found:
        assert found.at_once == at_once
        assert found.executor.submit(torch.get_num_threads).result() == each


@pytest.mark.parametrize("backend", HOW_MANY)
@pytest.mark.parametrize("workers", [0, 1])
def test_two_batches_are_computed_at_once_and_answered_in_order(four, monkeypatch, tmp_path, backend, workers):
    weights = deit_ref.init_weights(TINY, "classification", seed=0)
    names = [str(tmp_path / f"{i}.png") for i in range(5)]
    for name, pixels in zip(names, np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8), strict=True):
        Image.fromarray(pixels).save(name)
    expected = [deit_ref.forward(weights, name).top(1)[0][0][0] for name in names]
    both = Barrier(2, timeout=20)
    threads_each = []

    def waiting(weights, photos, *, backend):
        if len(photos) == 2:  # neither of the first two ends before the other begins
            both.wait()
        threads_each.append(HOW_MANY[backend]())
        return deit_ref.forward(weights, photos, backend=backend)

    monkeypatch.setattr(pipeline, "forward", waiting)
    found = list(pipeline.classify_files(weights, names, backend=backend, batch_size=2, workers=workers, top=1))
    assert [answer.name for answer in found] == names
    assert [answer.top[0][0] for answer in found] == expected
    assert threads_each == [2] * 3  # of four, for three batches


def test_processes_that_decode_resize_with_one_thread(monkeypatch):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "2")
    with pipeline._pool(1) as pool:
        assert pool.submit(of_blas).result(timeout=300) == 1
