"""Workers that share a device through a process of its own: layout, start, death of the device's process."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import os
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.models import make_store
from tests.pictures import saved, scene
from tests.serving.test_local import all_ready, until
from virtual_codec.errors import NoWorker, Unavailable
from virtual_codec.jobs import Job, RestoreOptions, RestoreResult
from virtual_codec.serving import PoolPolicy
from virtual_codec.serving._layout import Layout
from virtual_codec.serving._local import LocalPool
from virtual_codec.store import Manifest, ModelStore

if TYPE_CHECKING:
    from virtual_codec.runner import Network

POLICY = PoolPolicy(
    devices="synthetic:0", workers_per_device=2, threads=2, standby="off", stop_grace_s=0.2, device_factory="a:b"
)
DEVICE = f"{__name__}:open_processor"
SMALL_DEVICE = f"{__name__}:open_small_processor"
BROKEN = f"{__name__}:open_broken_device"
CODEC = "virtual_codec.codec:open_codec"


def open_processor(*, store: Path, device_process: Path, model: str | None = None, **_: object) -> object:
    """Process of a device that is the processor."""
    from virtual_codec.runner import Processor
    from virtual_codec.runner.device_process import DeviceProcess

    return DeviceProcess(Processor(threads=1), store, device_process, model)


def open_small_processor(*, store: Path, device_process: Path, model: str | None = None, **_: object) -> object:
    """Process of a device that has no memory for the model `second` while the file `full` lies in the store."""
    from virtual_codec.runner import Processor
    from virtual_codec.runner.device_process import DeviceProcess

    device = Processor(threads=1)
    prepare = device.prepare

    def prepare_if_there_is_room(store: ModelStore, manifest: Manifest, key: str) -> Network:
        if manifest.name == "second" and (store.root / "full").exists():
            raise MemoryError
        return prepare(store, manifest, key)

    device.prepare = prepare_if_there_is_room  # type: ignore[method-assign]
    return DeviceProcess(device, store, device_process, model)


def open_broken_device(**_: object) -> object:
    """Process of a device that is not there."""
    raise OSError("no such device")


def layout(policy: PoolPolicy, *devices: str) -> Layout:
    return Layout(CODEC, policy, devices)


@contextlib.asynccontextmanager
async def running(store: Path, device_factory: str) -> AsyncIterator[LocalPool]:
    policy = PoolPolicy(
        devices="processor:0",
        workers_per_device=2,
        threads=1,
        standby="off",
        stop_grace_s=0.2,
        device_factory=device_factory,
    )
    pool = LocalPool(CODEC, {"store": store}, policy)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()


def restore(seed: int) -> Job:
    return Job(data=saved(scene(40 + seed, 48), "JPEG"), options=RestoreOptions())


def test_several_workers_of_an_accelerator_share_its_process() -> None:
    planned = layout(POLICY, "cuda:0", "cuda:1")
    processes = list(planned.device_processes())
    workers = list(planned.workers())
    assert [it.name for it in processes] == ["cuda:0/device", "cuda:1/device"]
    assert [it.threads for it in processes] == [0, 0]
    assert [it.name for it in workers] == ["cuda:0/0", "cuda:0/1", "cuda:1/0", "cuda:1/1"]
    assert [it.device_process for it in workers] == [processes[it // 2].device_process for it in range(4)]
    planned.close()


@pytest.mark.parametrize("change", [{"workers_per_device": 1}, {"devices": "cpu"}, {"device_factory": None}])
def test_a_worker_alone_and_those_on_the_processor_have_their_own_device(change: dict[str, object]) -> None:
    policy = PoolPolicy(**{"devices": "cuda:0", "workers_per_device": 2, "device_factory": "a:b", **change})  # type: ignore[arg-type]
    planned = layout(policy, policy.devices)
    assert not list(planned.device_processes())
    assert all(it.device_process is None for it in planned.workers())
    planned.close()


def test_workers_on_the_processor_have_places_of_their_own_among_the_cores() -> None:
    planned = layout(PoolPolicy(devices="cpu", workers_per_device=3, cores=4), "cpu")
    places = [it.cores for it in (*planned.workers(), *planned.spares())]
    assert [it and (it.place, it.cores) for it in places] == [(0, 4), (1, 4), (2, 4), (3, 4)]
    assert places[0] is not None
    assert places[0].path.read_bytes() == bytes(4)
    planned.close()
    assert not places[0].path.exists()


def test_a_layout_that_fails_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("virtual_codec.serving._layout.create_table", fail)
    with contextlib.suppress(OSError):
        layout(POLICY, "synthetic:0")
        pytest.fail("a layout without a table")
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_the_shared_folder_is_locked_against_cleaners_of_tmp() -> None:
    planned = layout(PoolPolicy(devices="cpu", cores=1), "cpu")
    place = next(planned.workers()).cores
    assert place is not None
    folder = os.open(place.path.parent, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    planned.close()
    fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(folder)


async def test_jobs_run_through_the_devices_process_and_outlive_it(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    async with running(store.root, DEVICE) as pool:
        await all_ready(pool)
        before = [await pool.submit(restore(seed), pixels=2000) for seed in range(2)]
        await until(pool, lambda state: state.counts["processor:0"].batches >= 2)  # they come twice a second
        device = next(slot for slot in pool._slots if not slot.takes_jobs)
        os.kill(device.pid, signal.SIGSTOP)
        jobs = [asyncio.create_task(pool.submit(restore(seed % 2), pixels=2000)) for seed in range(4)]
        await asyncio.sleep(0.3)
        os.kill(device.pid, signal.SIGKILL)
        for seed, job in enumerate(jobs):
            result = await asyncio.wait_for(job, 60)
            expected = before[seed % 2]
            assert isinstance(result, RestoreResult)
            assert isinstance(expected, RestoreResult)
            assert result.image == expected.image
        assert pool.state().restarts == {"crash": 1, "hang": 0, "start": 0}
        assert pool.state().quarantined == 0


async def test_a_lack_of_memory_for_a_network_is_the_answer_of_its_jobs_alone(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    second = make_store(tmp_path / "store", name="second", seed=1).get("second")
    (store.root / "CURRENT").write_text("tiny\n")
    (store.root / "full").touch()
    other = Job(data=saved(scene(40, 48), "JPEG"), options=RestoreOptions(model=second.id))
    async with running(store.root, SMALL_DEVICE) as pool:
        await all_ready(pool)
        pids = [slot.pid for slot in pool._slots]
        async with asyncio.timeout(60):
            with pytest.raises(Unavailable, match="not enough memory") as caught:
                await pool.submit(other, pixels=2000)
            assert caught.value.retry_after_s
            assert isinstance(await pool.submit(restore(0), pixels=2000), RestoreResult)
            (store.root / "full").unlink()
            result = await pool.submit(other, pixels=2000)
        assert result.model == second.id
        assert [slot.pid for slot in pool._slots] == pids
        assert pool.state().restarts == {"crash": 0, "hang": 0, "start": 0}


async def test_without_its_device_no_worker_is_up(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    async with running(store.root, BROKEN) as pool:
        await until(pool, lambda state: state.restarts["start"])
        assert not pool.state().is_ready
        with pytest.raises(NoWorker, match="OSError"):
            pool.admit()
