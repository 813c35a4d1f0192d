"""What the batching runner promises its jobs, each in a thread of its own."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models import make_store
from tests.pictures import scene
from tests.runner.fakes import POISON, ObedientDevice, tile
from virtual_codec.errors import DeadlineExceeded
from virtual_codec.jobs import Abandoned, deadline_scope
from virtual_codec.networks.condition import CONDITION_SIZE
from virtual_codec.runner import BatchingRunner, DirectRunner, Processor, Task, run_network_to_bytes


@contextmanager
def opened(device: ObedientDevice) -> Iterator[BatchingRunner]:
    runner = BatchingRunner(device)
    try:
        yield runner
    finally:
        device.gate.set()
        runner.close()


def values(runner: BatchingRunner, tasks: list[Task]) -> list[int]:
    return [int(result[0, 0, 0]) for result in runner.run(tasks)]


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def submit_behind_a_batch(
    pool: ThreadPoolExecutor, runner: BatchingRunner, device: ObedientDevice, tasks: list[Task]
) -> list[Future[list[int]]]:
    """One job for each task, all waiting while the device is held by another."""
    device.gate.clear()
    pool.submit(values, runner, [tile(99)])
    until(lambda: runner.running == 1)
    jobs = []
    for index, task in enumerate(tasks):
        jobs.append(pool.submit(values, runner, [task]))
        until(lambda index=index: runner.counts.waiting_items == index + 1)  # type: ignore[misc]
    device.gate.set()
    return jobs


def test_jobs_that_are_over_leave_nothing_behind() -> None:
    with opened(ObedientDevice()) as runner:
        for _ in range(50):
            assert values(runner, [tile(1), tile(2)]) == [2, 3]
        assert runner.owners == 0


def test_results_come_back_in_order_each_to_its_job() -> None:
    device = ObedientDevice(parallel_batches=3)
    with opened(device) as runner, ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(values, runner, [tile(10 * job + it) for it in range(7)]) for job in range(8)]
        for job, future in enumerate(jobs):
            assert future.result() == [10 * job + it + 1 for it in range(7)]
    assert sum(len(batch) for batch in device.batches) == 56
    assert runner.counts.items.total == 56
    assert runner.counts.batches == len(device.batches)


def test_tiles_of_several_jobs_share_batches_while_the_device_is_busy() -> None:
    device = ObedientDevice(max_items=4)
    with opened(device) as runner, ThreadPoolExecutor(8) as pool:
        jobs = submit_behind_a_batch(pool, runner, device, [tile(value) for value in range(6)])
        assert [job.result() for job in jobs] == [[value + 1] for value in range(6)]
        assert device.batches == [[99], [0, 1, 2, 3], [4, 5]]


def test_only_the_faulty_tile_fails() -> None:
    device = ObedientDevice(max_items=8)
    with opened(device) as runner, ThreadPoolExecutor(8) as pool:
        jobs = submit_behind_a_batch(pool, runner, device, [tile(it) for it in (1, 2, POISON, 4, 5)])
        with pytest.raises(ZeroDivisionError):
            jobs.pop(2).result()
        assert [job.result() for job in jobs] == [[2], [3], [5], [6]]
        assert runner.counts.bisections >= 2


def test_a_lost_device_fails_all_at_once_instead_of_being_asked_again() -> None:
    device = ObedientDevice(max_items=8)
    device.error = lambda: RuntimeError("CUDA error: an illegal memory access was encountered")
    with opened(device) as runner, ThreadPoolExecutor(8) as pool:
        jobs = submit_behind_a_batch(pool, runner, device, [tile(it) for it in (1, POISON, 3)])
        for job in jobs:
            with pytest.raises(RuntimeError, match="CUDA error"):
                job.result()
        assert len(device.batches) == 2


def test_a_batch_that_does_not_fit_into_memory_is_run_in_parts() -> None:
    device = ObedientDevice(max_items=8, memory_pixels=40)
    with opened(device) as runner, ThreadPoolExecutor(8) as pool:
        jobs = submit_behind_a_batch(pool, runner, device, [tile(value) for value in range(7)])
        assert [job.result() for job in jobs] == [[value + 1] for value in range(7)]
        assert device.most_pixels <= 40
        assert device.releases >= 1
        assert runner.counts.out_of_memory >= 1
        assert runner.counts.budget_pixels < device.limits.max_pixels


def test_a_tile_that_does_not_fit_beside_others_runs_alone() -> None:
    device = ObedientDevice(parallel_batches=2, max_items=1, memory_pixels=100)
    with opened(device) as runner, ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(values, runner, [tile(value, side=10)] * 3) for value in range(6)]
        assert [job.result() for job in jobs] == [[value + 1] * 3 for value in range(6)]


def test_a_tile_that_never_fits_fails_and_only_that_one() -> None:
    device = ObedientDevice(memory_pixels=50)
    with opened(device) as runner:
        with pytest.raises(torch.OutOfMemoryError):
            values(runner, [tile(1, side=10)])
        assert values(runner, [tile(1)]) == [2]
        assert runner.counts.failures == 1


def test_a_job_whose_time_is_over_leaves_and_its_tiles_never_run() -> None:
    device = ObedientDevice(max_items=1)
    with opened(device) as runner, ThreadPoolExecutor(1) as pool:
        device.gate.clear()
        first = pool.submit(values, runner, [tile(1)])
        until(lambda: runner.running == 1)
        with deadline_scope(time.monotonic() + 0.05, lambda: False), pytest.raises(DeadlineExceeded):
            values(runner, [tile(2), tile(3), tile(4)])
        assert runner.counts.waiting_items == 0
        device.gate.set()
        assert first.result() == [2]
    assert device.batches == [[1]]


def test_a_job_without_a_caller_is_removed() -> None:
    device = ObedientDevice(max_items=1)
    gone = threading.Event()
    with opened(device) as runner:
        device.gate.clear()
        threading.Timer(0.05, gone.set).start()
        with deadline_scope(None, gone.is_set), pytest.raises(Abandoned):
            values(runner, [tile(value) for value in range(100)])
        assert runner.counts.waiting_items == 0
        assert len(device.batches) == 1


def test_one_job_never_has_more_than_a_few_tiles_in_memory() -> None:
    device = ObedientDevice(max_items=2)
    made = []

    def tiles() -> Iterator[Task]:
        for value in range(50):
            made.append(value)
            yield tile(value)

    with opened(device) as runner:
        device.gate.clear()
        results = runner.run(tiles())
        threading.Timer(0.1, device.gate.set).start()
        next(results)
        assert len(made) <= 2 + device.limits.max_items
        assert len(list(results)) == 49


def test_closing_abandons_what_waits_and_what_comes_later() -> None:
    device = ObedientDevice(max_items=1)
    others = set(threading.enumerate())
    runner = BatchingRunner(device)
    device.gate.clear()
    with ThreadPoolExecutor(3) as pool:
        running = pool.submit(values, runner, [tile(1)])
        until(lambda: runner.running == 1)
        waiting = pool.submit(values, runner, [tile(2), tile(3)])
        until(lambda: runner.counts.waiting_items == 2)
        closing = pool.submit(runner.close)
        with pytest.raises(Abandoned):
            waiting.result()
        assert not closing.done()
        device.gate.set()
        assert running.result() == [2]
        closing.result()
    with pytest.raises(Abandoned):
        values(runner, [tile(4)])
    assert device.batches == [[1]]
    assert set(threading.enumerate()) <= others


def test_a_process_may_end_in_the_middle_of_a_tile(tmp_path: Path) -> None:
    make_store(tmp_path)
    code = f"""
import contextlib, threading, time
import numpy as np
from pathlib import Path
from virtual_codec.jobs import Abandoned
from virtual_codec.networks.condition import CONDITION_SIZE
from virtual_codec.runner import BatchingRunner, Processor, run_network_to_bytes
from virtual_codec.store import ModelStore
store, runner = ModelStore(Path({str(tmp_path)!r})), BatchingRunner(Processor(threads=1))
network = runner.prepare(store, store.default, "postprocess-2")
picture, vector = np.zeros((4000, 1000, 3), np.uint8), np.zeros(CONDITION_SIZE, np.float32)

def job():
    with contextlib.suppress(Abandoned):
        run_network_to_bytes(runner, network, picture, vector)

threading.Thread(target=job, daemon=True).start()
while not runner.running:
    time.sleep(0.001)
raise SystemExit(3)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (3, "")


@pytest.mark.parametrize("precision", ["float32", "native"])
def test_the_same_tile_gives_the_same_bytes_whatever_runs_beside_it(
    tmp_path_factory: pytest.TempPathFactory, precision: str
) -> None:
    store = make_store(tmp_path_factory.mktemp("store"), strength=0.2)
    vector = np.linspace(-1, 1, CONDITION_SIZE, dtype=np.float32)
    direct, runner = DirectRunner(Processor(threads=2)), BatchingRunner(Processor(threads=2))
    pictures = [scene(64, 48 + 16 * (seed % 2), seed=seed) for seed in range(6)]
    network = direct.prepare(store, store.default, "postprocess-2")
    if precision == "float32":
        network.module.float()
    alone = [run_network_to_bytes(direct, network, picture, vector, core=32) for picture in pictures]
    with ThreadPoolExecutor(6) as pool:
        for _ in range(3):
            together = pool.map(lambda it: run_network_to_bytes(runner, network, it, vector, core=32), pictures)
            for one, other in zip(alone, together, strict=True):
                assert (one == other).all()
    runner.close()
