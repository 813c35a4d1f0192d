"""A device in another process: same results, memory that is shared, and tiles that outlive the process."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models import list_alternatives, make_store
from tests.pictures import scene
from tests.runner.fakes import NETWORK, POISON, ObedientDevice
from virtual_codec.errors import BadModel, DeadlineExceeded, DeviceLost
from virtual_codec.jobs import Abandoned, deadline_scope
from virtual_codec.networks.condition import CONDITION_SIZE
from virtual_codec.runner import (
    BatchingRunner,
    Network,
    Processor,
    Task,
    run_error_gradient,
    run_network,
    run_network_to_bytes,
)
from virtual_codec.runner._link import Link
from virtual_codec.runner.device_process import DeviceProcess
from virtual_codec.runner.remote import RemoteRunner
from virtual_codec.store import Manifest, ModelStore

VECTOR = np.full(CONDITION_SIZE, 0.5, np.float32)
PROCESS = """
import sys, threading
from pathlib import Path
from virtual_codec.runner.device_process import open_device_process
open_device_process(store=Path(sys.argv[1]), device="cpu", device_process=Path(sys.argv[2]), threads=1)
threading.Event().wait()
"""


@contextmanager
def remote(path: Path) -> Iterator[RemoteRunner]:
    runner = RemoteRunner(path)
    try:
        yield runner
    finally:
        runner.close()


@contextmanager
def processes(store: Path, path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Start of device processes that listen at `path`; those that still run are ended at last."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", PROCESS, str(store), str(path)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        started.append(subprocess.Popen(command, env=environment))
        return started[-1]

    try:
        yield start
    finally:
        for process in started:
            process.kill()
            process.wait()


def obedient(tmp_path: Path, **options: int) -> tuple[ObedientDevice, ModelStore]:
    """Fake device behind a link, whose networks change no size."""
    store = make_store(tmp_path / "store")
    device = ObedientDevice(**options)
    network = Network(module=torch.nn.Identity(), ratio=1, radius=0, multiple=1, stride=1)
    device.prepare = lambda *_: network  # type: ignore[method-assign]
    DeviceProcess(device, store.root, tmp_path / "socket", None)
    return device, store


def forgetful(tmp_path: Path) -> tuple[ObedientDevice, ModelStore, threading.Event]:
    """Fake device behind a link that loads every network anew, unless the event is set: then it has no memory."""
    store = make_store(tmp_path / "store")
    device = ObedientDevice()
    is_full = threading.Event()

    def prepare(_store: ModelStore, _manifest: Manifest, _key: str) -> Network:
        if is_full.is_set():
            raise torch.OutOfMemoryError("CUDA out of memory")
        return Network(module=torch.nn.Identity(), ratio=1, radius=0, multiple=1, stride=1)

    device.prepare = prepare  # type: ignore[method-assign, assignment]
    DeviceProcess(device, store.root, tmp_path / "socket", None).forget_model(store.default.id)
    return device, store, is_full


def tile(network: Network, value: int) -> Task:
    return Task(
        network=network,
        pixels=np.full((4, 4, 3), value, np.uint8),
        condition=np.zeros(1, np.float32),
        to_bytes=True,
    )


def values(runner: RemoteRunner, tasks: list[Task]) -> list[int]:
    return [int(result[0, 0, 0]) for result in runner.run(tasks)]


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def any_network(runner: RemoteRunner, store: ModelStore) -> Network:
    return runner.prepare(store, store.default, "postprocess-1")


def test_results_are_those_of_a_device_in_this_process(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    DeviceProcess(Processor(threads=1), store.root, tmp_path / "socket", None)
    here = BatchingRunner(Processor(threads=1))
    with remote(tmp_path / "socket") as there:
        for key in store.default.networks:
            pixels = scene(88, 72)
            results = []
            for runner in (here, there):
                network = runner.prepare(store, store.default, key)
                floats = run_network(runner, network, pixels, VECTOR, core=32)
                levels = run_network_to_bytes(runner, network, pixels, VECTOR, core=32)
                gradient = run_error_gradient(runner, network, pixels, VECTOR, 255 - levels)
                results.append((floats, levels, gradient))
            for expected, found in zip(*results, strict=True):
                np.testing.assert_array_equal(found, expected)
        assert there.notes["device"] == "cpu"
    here.close()


def test_tiles_of_several_processes_share_a_batch_and_come_back_to_their_jobs(tmp_path: Path) -> None:
    device, store = obedient(tmp_path, max_items=8)
    with remote(tmp_path / "socket") as one, remote(tmp_path / "socket") as two, ThreadPoolExecutor(8) as pool:
        networks = {runner: any_network(runner, store) for runner in (one, two)}
        device.gate.clear()
        first = pool.submit(values, one, [tile(networks[one], 99)])
        until(lambda: len(device.batches) == 1)
        jobs = [pool.submit(values, it, [tile(networks[it], 10), tile(networks[it], 20)]) for it in (one, two, one)]
        time.sleep(0.2)
        device.gate.set()
        assert first.result() == [100]
        assert [job.result() for job in jobs] == [[11, 21]] * 3
        assert sorted(len(batch) for batch in device.batches) == [1, 6]


def test_a_poisonous_tile_fails_alone_and_a_shortage_of_memory_is_told_as_one(tmp_path: Path) -> None:
    device, store = obedient(tmp_path)
    with remote(tmp_path / "socket") as runner:
        network = any_network(runner, store)
        with pytest.raises(RuntimeError, match="as told"):
            values(runner, [tile(network, POISON)])
        device.memory_pixels = 1
        with pytest.raises(torch.OutOfMemoryError):
            values(runner, [tile(network, 1)])
        device.memory_pixels = 10**9
        assert values(runner, [tile(network, 1)]) == [2]


def test_a_job_that_is_given_up_leaves_nothing_behind_and_others_go_on(tmp_path: Path) -> None:
    device, store = obedient(tmp_path, max_items=1)
    with remote(tmp_path / "socket") as runner, ThreadPoolExecutor(2) as pool:
        network = any_network(runner, store)
        device.gate.clear()
        first = pool.submit(values, runner, [tile(network, 1)])
        until(lambda: len(device.batches) == 1)
        with deadline_scope(time.monotonic() + 0.1, lambda: False), pytest.raises(DeadlineExceeded):
            values(runner, [tile(network, 2), tile(network, 3)])
        until(lambda: runner._tiles.bytes_in_use == 2**16)  # the block of the tile that runs
        device.gate.set()
        assert first.result() == [2]
        until(lambda: runner._tiles.bytes_in_use == 0)
        assert values(runner, [tile(network, 4)]) == [5]
        assert device.batches == [[1], [4]]


def test_blocks_are_used_again(tmp_path: Path) -> None:
    _, store = obedient(tmp_path)
    with remote(tmp_path / "socket") as runner:
        network = any_network(runner, store)
        open_files = len(os.listdir("/proc/self/fd"))
        for _ in range(50):
            values(runner, [tile(network, it) for it in range(10)])
        assert len(os.listdir("/proc/self/fd")) < open_files + 2 * 16
        assert runner._tiles.bytes_in_use == 0


def test_a_runner_that_is_closed_abandons_its_jobs(tmp_path: Path) -> None:
    device, store = obedient(tmp_path)
    runner = RemoteRunner(tmp_path / "socket")
    network = any_network(runner, store)
    device.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(values, runner, [tile(network, 1)])
        until(lambda: len(device.batches) == 1)
        runner.close()
        with pytest.raises(Abandoned):
            job.result()
        with pytest.raises(Abandoned):
            values(runner, [tile(network, 1)])
    device.gate.set()


def test_a_network_that_cannot_be_loaded_is_refused_with_the_reason(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    process = DeviceProcess(Processor(threads=1), store.root, tmp_path / "socket", None)
    process.forget_model(store.default.id)
    weights = store.root / store.default.name / store.default.networks["postprocess-1"].file
    weights.write_bytes(weights.read_bytes()[:-1])
    with remote(tmp_path / "socket") as runner:
        with pytest.raises(BadModel, match=weights.name):
            runner.prepare(store, store.default, "postprocess-1")
        assert runner.prepare(store, store.default, "postprocess-2").ratio == 2


def test_the_alternatives_of_a_model_are_loaded_and_freed_with_it(tmp_path: Path) -> None:
    root = tmp_path / "store"
    alternative = make_store(root, name="drawings", seed=1).default
    store = make_store(root, seed=2)
    device, loaded = Processor(threads=1), weakref.WeakSet[Network]()
    prepare = device.prepare

    def prepare_and_note(store: ModelStore, manifest: Manifest, key: str) -> Network:
        network = prepare(store, manifest, key)
        if manifest.id == alternative.id:
            loaded.add(network)
        return network

    device.prepare = prepare_and_note  # type: ignore[method-assign]
    list_alternatives(store, [alternative.id, "00000000"])
    process = DeviceProcess(device, root, tmp_path / "socket", None)
    assert len(loaded) == 2, "both post-processing networks, no description network"
    process.forget_model(store.default.id)
    gc.collect()
    assert not loaded
    (root / "drawings" / "postprocess-2.safetensors").write_bytes(b"damaged")
    process.warm_model(store.default.id)
    assert process.network(store.default.id, "postprocess-2").ratio == 2


def test_a_lack_of_memory_for_a_network_is_told_and_later_it_is_loaded(tmp_path: Path) -> None:
    device, store, is_full = forgetful(tmp_path)
    is_full.set()
    with remote(tmp_path / "socket") as runner, deadline_scope(time.monotonic() + 20, lambda: False):
        for _ in range(2):
            with pytest.raises(torch.OutOfMemoryError, match="out of memory"):
                any_network(runner, store)
        assert device.releases == 2
        is_full.clear()
        assert values(runner, [tile(any_network(runner, store), 1)]) == [2]


def test_a_network_that_a_later_process_has_no_memory_for_fails_its_tiles_until_there_is(tmp_path: Path) -> None:
    device, store, is_full = forgetful(tmp_path)
    with remote(tmp_path / "socket") as runner, deadline_scope(time.monotonic() + 20, lambda: False):
        network = any_network(runner, store)
        is_full.set()
        link = runner._tiles._link
        assert link is not None
        link.close()  # as at the end of a process; the next one has to load the network again
        until(lambda: runner._tiles._link not in (None, link) and device.releases > 0)
        for _ in range(2):
            with pytest.raises(torch.OutOfMemoryError, match="out of memory"):
                values(runner, [tile(network, 1)])
        is_full.clear()
        assert values(runner, [tile(network, 1)]) == [2]


def test_a_lack_of_memory_is_no_damage_of_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory")

    store = make_store(tmp_path / "store")
    monkeypatch.setattr("virtual_codec.runner._network.load", fail)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        Processor(threads=1).prepare(store, store.default, "postprocess-1")


@pytest.mark.parametrize("answers", [False, True])
def test_a_network_that_ends_processes_while_it_is_loaded_is_given_up(tmp_path: Path, answers: bool) -> None:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind(str(tmp_path / "socket"))
    listening.listen()
    asked: list[int] = []

    def play() -> None:
        for count in range(3):
            with suppress(OSError), closing(Link(listening.accept()[0])) as link:
                link.send({"did": "hello", "notes": {}, "max_items": 1})
                while (received := link.receive()) is not None:
                    if received[0]["do"] != "open":
                        continue
                    asked.append(count)
                    if not (answers and count):
                        break
                    facts = {"ratio": 1.0, "radius": 0, "multiple": 1, "stride": 1}
                    link.send({"did": "opened", "network": received[0]["network"], **facts})

    threading.Thread(target=play, daemon=True).start()
    store = make_store(tmp_path / "store")
    with remote(tmp_path / "socket") as runner, deadline_scope(time.monotonic() + 20, lambda: False):
        if answers:
            assert any_network(runner, store).ratio == 1
        else:
            with pytest.raises(torch.OutOfMemoryError, match="ended 2 times as it loaded a network"):
                any_network(runner, store)
        assert asked == [0, 1]
        assert set(runner._tiles._networks) == set()
    listening.close()


def test_a_network_whose_job_was_given_up_is_not_asked_for_again(tmp_path: Path) -> None:
    device, store, _ = forgetful(tmp_path)
    going_on = threading.Event()

    def prepare(_store: ModelStore, _manifest: Manifest, _key: str) -> Network:
        assert going_on.wait(20)
        return NETWORK

    device.prepare = prepare  # type: ignore[method-assign, assignment]
    with remote(tmp_path / "socket") as runner:
        with pytest.raises(DeadlineExceeded), deadline_scope(time.monotonic() + 0.1, lambda: False):
            any_network(runner, store)
        assert not runner._tiles._networks
        going_on.set()


def test_jobs_outlive_the_process_of_the_device(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    path = tmp_path / "socket"
    with processes(store.root, path) as start:
        process = start()
        with remote(path) as runner:
            network = runner.prepare(store, store.default, "postprocess-2")
            pixels = scene(48, 40)
            expected = run_network_to_bytes(runner, network, pixels, VECTOR)
            os.kill(process.pid, signal.SIGSTOP)  # it has the tiles and will never answer
            with ThreadPoolExecutor(2) as pool:
                jobs = [pool.submit(run_network_to_bytes, runner, network, pixels, VECTOR) for _ in range(2)]
                time.sleep(0.2)
                process.kill()
                process.wait()
                start()
                for job in jobs:
                    np.testing.assert_array_equal(job.result(timeout=60), expected)


@pytest.mark.parametrize("blamed", [True, False])
def test_only_a_tile_that_ends_processes_alone_is_given_up(tmp_path: Path, blamed: bool) -> None:
    """The other side, played by hand, ends its links over a tile, having said that the tile runs, or not."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind(str(tmp_path / "socket"))
    listening.listen()
    alone: list[bool] = []

    def play() -> None:
        for count in range(4):
            with suppress(OSError), closing(Link(listening.accept()[0])) as link:
                link.send({"did": "hello", "notes": {}, "max_items": 1})
                while (received := link.receive()) is not None:
                    message, descriptors = received
                    for descriptor in descriptors:
                        os.close(descriptor)
                    if message["do"] == "open":
                        facts = {"ratio": 1.0, "radius": 0, "multiple": 1, "stride": 1}
                        link.send({"did": "opened", "network": message["network"], **facts})
                    elif message["do"] == "run":
                        alone.append(message["alone"])
                        if count == 3:
                            link.send({"did": "done", "tile": message["tile"]})
                            continue
                        if blamed and message["alone"]:
                            link.send({"did": "started", "tile": message["tile"]})
                        break

    thread = threading.Thread(target=play, daemon=True)
    thread.start()
    store = make_store(tmp_path / "store")
    with remote(tmp_path / "socket") as runner:
        job = [tile(any_network(runner, store), 1)]
        if blamed:
            with pytest.raises(DeviceLost, match="2 times"):
                values(runner, job)
        else:
            assert len(values(runner, job)) == 1
    thread.join(10)
    listening.close()
    assert alone == ([False, True, True] if blamed else [False, True, True, True])
