"""Supervision of workers: whatever raises counts as the death of a worker, and the next one comes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, final

import pytest

from tests.serving.fakes import OPEN, job
from tests.serving.test_local import SMALL, all_ready
from tests.serving.test_pool_parts import queued
from virtual_codec.core_shares import CorePlace
from virtual_codec.errors import VirtualCodecError
from virtual_codec.jobs import CompressResult
from virtual_codec.serving import PoolPolicy
from virtual_codec.serving._local import LocalPool
from virtual_codec.serving._messages import Done, Message, Opening
from virtual_codec.serving._process import WorkerProcess
from virtual_codec.serving._slot import WorkerSlot

POLICY = PoolPolicy(devices="cpu", threads=1, standby="off", stop_grace_s=0.2)


@contextlib.asynccontextmanager
async def running(scratch: Path, start_process: Any) -> AsyncIterator[LocalPool]:
    pool = LocalPool(OPEN, {"scratch": scratch}, POLICY, start_process=start_process)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()


@final
class Starts:
    """Start of processes that fails with each of some errors once, then works."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    def __call__(self, opening: Opening, loop: asyncio.AbstractEventLoop) -> WorkerProcess:
        if self.errors:
            raise self.errors.pop(0)
        return WorkerProcess(opening, loop)


@final
class Garbling:
    """Worker process whose first result has a text for its seconds, which nobody expects."""

    def __init__(self, opening: Opening, loop: asyncio.AbstractEventLoop) -> None:
        self._process = WorkerProcess(opening, loop)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._process, name)

    async def next(self) -> Message | None:
        message = await self._process.next()
        return replace(message, seconds=cast(float, "long")) if isinstance(message, Done) else message


async def test_a_slot_survives_a_system_without_threads(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    starts = Starts(RuntimeError("can't start new thread"), OSError(11, "Resource temporarily unavailable"))
    async with running(tmp_path, starts) as pool:
        await all_ready(pool)
        assert pool.state().restarts == {"crash": 0, "hang": 0, "start": 2}
        assert isinstance(await pool.submit(job("echo"), pixels=SMALL), CompressResult)
    assert "supervision_failed" in caplog.text


async def test_an_error_over_an_answer_ends_the_worker_and_its_caller_is_told(tmp_path: Path) -> None:
    processes = iter([Garbling, Garbling])

    def start(opening: Opening, loop: asyncio.AbstractEventLoop) -> Any:
        return next(processes, WorkerProcess)(opening, loop)

    async with running(tmp_path, start) as pool:
        for deaths in (1, 2):
            with pytest.raises(VirtualCodecError, match="internal error"):
                await pool.submit(job("echo", seconds=60), pixels=SMALL)
            await all_ready(pool)
            assert pool.state().restarts["crash"] == deaths
        assert isinstance(await pool.submit(job("echo"), pixels=SMALL), CompressResult)


async def test_jobs_of_a_worker_whose_supervision_failed_run_again(tmp_path: Path) -> None:
    processes = iter([Garbling])

    def start(opening: Opening, loop: asyncio.AbstractEventLoop) -> Any:
        return next(processes, WorkerProcess)(opening, loop)

    policy = replace(POLICY, threads=2)
    pool = LocalPool(OPEN, {"scratch": tmp_path}, policy, start_process=start)
    await pool.start()
    try:
        await all_ready(pool)
        long = asyncio.create_task(pool.submit(job("sleep 0.5"), pixels=SMALL))
        with pytest.raises(VirtualCodecError, match="internal error"):
            await pool.submit(job("echo"), pixels=SMALL)
        assert isinstance(await long, CompressResult)
        assert pool.state().retries == 1
    finally:
        await pool.stop()


async def test_the_jobs_of_a_dead_worker_are_kept_where_its_place_cannot_be_cleared(tmp_path: Path) -> None:
    place = CorePlace(path=tmp_path / "gone", place=0, cores=1)
    opening = Opening(worker_factory=OPEN, arguments={}, device="cpu", threads=1, cores=place)
    slot = WorkerSlot("cpu/0", opening, is_spare=False, policy=POLICY)
    slot.running[1] = queued(1)
    died = await slot.reap()
    assert [it.number for it in died.jobs] == [1]
    assert slot.running == {}
