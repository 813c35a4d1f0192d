"""Accelerator device, run here on the CPU except where a test is marked `gpu`."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from tests.models import make_store
from tests.pictures import scene
from virtual_codec.networks.condition import CONDITION_SIZE
from virtual_codec.runner import DirectRunner, Pixels, Processor, Task, open_device, run_error_gradient, run_network
from virtual_codec.runner._accelerator import Accelerator
from virtual_codec.runner._sizes import BatchSizes
from virtual_codec.store import ModelStore

VECTOR = np.linspace(-1, 1, CONDITION_SIZE, dtype=np.float32)
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    return make_store(tmp_path_factory.mktemp("store"), strength=0.2, full_size=True)


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("key", ["postprocess-1", "postprocess-2", "description-1", "description-2"])
def test_a_tile_has_the_same_bytes_in_every_batch(store: ModelStore, key: str, name: str) -> None:
    device = Accelerator(name, try_after=0)
    network = device.prepare(store, store.default, key)
    tasks = [
        Task(network=network, pixels=scene(32, 48, seed=seed), condition=VECTOR * seed, to_bytes=seed < 0)
        for seed in range(9)
    ]
    alone = [device.run([task], concurrent=0)[0] for task in tasks]
    for count in (2, 3, 9, 5):
        for one, other in zip(alone, device.run(tasks[:count], concurrent=0), strict=False):
            assert (one == other).all()


@pytest.mark.parametrize("name", DEVICES)
def test_it_agrees_with_the_processor(store: ModelStore, name: str) -> None:
    results, gradients = [], []
    for device in (Processor(), Accelerator(name)):
        runner = DirectRunner(device)
        network = runner.prepare(store, store.default, "postprocess-2")
        results.append(run_network(runner, network, scene(40, 56), VECTOR))
        gradients.append(run_error_gradient(runner, network, scene(40, 56), VECTOR, scene(80, 112, seed=1)))
    assert np.abs(results[0] - results[1]).max() < 4, "levels of 255; bfloat16 has 8 bits"
    assert np.abs(gradients[0] - gradients[1]).max() < 0.05 * np.abs(gradients[0]).max()


def test_an_unused_network_is_freed(store: ModelStore) -> None:
    device = Accelerator("cpu")
    network = device.prepare(store, store.default, "postprocess-1")
    task = Task(network=network, pixels=scene(16, 16), condition=VECTOR)
    device.run([task, task], concurrent=0)
    kept = weakref.ref(network.module)
    del network, task
    gc.collect()
    assert kept() is None


def test_a_device_is_opened_by_its_name() -> None:
    assert isinstance(open_device("cpu", threads=1), Processor)
    assert open_device("cpu", threads=1).notes["cores"] == "1"


def told(wrong: Sequence[int] = (), slow: Sequence[int] = (), full: int = 100) -> BatchSizes:
    sizes = BatchSizes(16, try_after=0)

    def attempt(tiles: Sequence[int]) -> tuple[list[Pixels], float]:
        count = len(tiles)
        if count >= full:
            raise torch.OutOfMemoryError
        results: list[Pixels] = [np.full(3, 10 * tile + (count in wrong), np.uint8) for tile in tiles]
        return results, float(count if count in slow else 0.5 * count + 0.5)

    sizes.sizes_for("kind", 3, attempt)
    return sizes


def allowed(sizes: BatchSizes) -> tuple[int, ...]:
    def never(tiles: Sequence[int]) -> tuple[list[Pixels], float]:
        raise AssertionError("a kind is tried once")

    return sizes.sizes_for("kind", 2, never).allowed


def test_only_sizes_that_keep_every_bit_and_save_time_are_used() -> None:
    assert allowed(told()) == (1, 2, 4, 8, 16)
    assert allowed(told(wrong=[2, 8])) == (1, 4, 16)
    assert allowed(told(slow=[16])) == (1, 2, 4, 8)
    assert allowed(told(full=8)) == (1, 2, 4)
    assert allowed(told(wrong=[2, 4, 8, 16])) == (1,)


def test_sizes_are_tried_only_for_a_kind_that_comes_often() -> None:
    sizes, attempts = BatchSizes(4, try_after=2), []

    def attempt(tiles: Sequence[int]) -> tuple[list[Pixels], float]:
        attempts.append(len(tiles))
        return [np.zeros(3, np.uint8) for _ in tiles], 1.0

    for kind in ("rare", "rarer", "often", "often", "rare"):
        assert sizes.sizes_for(kind, 2, attempt).allowed == (1,)
    assert attempts == []
    assert sizes.sizes_for("often", 2, attempt).allowed == (1, 2, 4)
    assert attempts == [1, 1, 2, 4]


def test_other_batches_do_not_wait_for_a_trial() -> None:
    sizes, other = BatchSizes(4, try_after=0), []

    def attempt(tiles: Sequence[int]) -> tuple[list[Pixels], float]:
        if len(tiles) == 1:  # another thread comes meanwhile
            other.append(sizes.sizes_for("other", 1, attempt).allowed)
            other.append(sizes.sizes_for("kind", 1, attempt).allowed)
        return [np.zeros(3, np.uint8) for _ in tiles], 1.0

    assert sizes.sizes_for("kind", 1, attempt).allowed == (1, 2, 4)
    assert set(other) == {(1,)}
    assert sizes.sizes_for("other", 1, attempt).allowed == (1, 2, 4)


def test_a_trial_that_fails_is_made_again() -> None:
    sizes = BatchSizes(4, try_after=0)

    def failing(tiles: Sequence[int]) -> tuple[list[Pixels], float]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        sizes.sizes_for("kind", 1, failing)
    assert sizes.sizes_for("kind", 1, lambda tiles: ([np.zeros(3, np.uint8) for _ in tiles], 1.0)).allowed == (1, 2, 4)


def test_a_batch_is_cut_into_sizes_that_are_allowed() -> None:
    sizes = told(wrong=[2, 16]).sizes_for("kind", 1, lambda tiles: ([], 0.0))
    assert list(sizes.cuts(19)) == [(0, 8), (8, 16), (16, 19)]
    assert [sizes.at_least(count) for count in (1, 2, 4, 5)] == [1, 4, 4, 8]
