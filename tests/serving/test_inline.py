"""The pool without processes keeps the promises that need none."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.serving.fakes import OPEN, OPEN_BROKEN, job
from virtual_codec.errors import (
    DeadlineExceeded,
    Draining,
    NoWorker,
    Overloaded,
    UndecodableImage,
    VirtualCodecError,
)
from virtual_codec.jobs import CompressResult
from virtual_codec.serving import Pool, PoolPolicy, open_pool


@contextlib.asynccontextmanager
async def running(scratch: Path, *, worker_factory: str = OPEN, queue_limit_s: float = 60) -> AsyncIterator[Pool]:
    policy = PoolPolicy(devices="cpu", threads=1, queue_limit_s=queue_limit_s)
    pool = open_pool("inline", {"scratch": scratch}, policy, worker_factory=worker_factory)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()


async def test_a_job_is_done_and_timed(tmp_path: Path) -> None:
    async with running(tmp_path) as pool:
        result = await pool.submit(job("echo"), pixels=100)
        assert isinstance(result, CompressResult)
        assert result.stages_s["queue"] >= 0
        state = pool.state()
        assert state.is_ready
        assert state.notes == {"speed": "none at all on cpu"}
        assert state.queued_items == state.running_items == 0


async def test_errors_are_those_of_the_job_and_strange_ones_internal(tmp_path: Path) -> None:
    async with running(tmp_path) as pool:
        with pytest.raises(UndecodableImage):
            await pool.submit(job("bad"), pixels=100)
        with pytest.raises(VirtualCodecError) as caught:
            await pool.submit(job("surprise"), pixels=100)
        assert caught.value.code == "internal"


async def test_a_deadline_is_kept_and_a_full_queue_refuses(tmp_path: Path) -> None:
    async with running(tmp_path, queue_limit_s=2) as pool:
        taken = [asyncio.create_task(pool.submit(job("sleep 0.3"), pixels=10_000_000)) for _ in range(2)]
        await asyncio.sleep(0.05)
        with pytest.raises(Overloaded):
            await pool.submit(job("echo"), pixels=100)
        await asyncio.gather(*taken)
        with pytest.raises(DeadlineExceeded):
            await pool.submit(job("sleep 0.4", seconds=0.1), pixels=100)


async def test_a_codec_that_cannot_be_opened_is_no_worker(tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    async with running(tmp_path, worker_factory=OPEN_BROKEN) as pool:
        with pytest.raises(NoWorker, match="the model is damaged"):
            await pool.submit(job("echo"), pixels=100)
        assert not pool.state().is_ready
        assert pool.state().reasons == ("worker inline: the model is damaged",)


async def test_a_stopped_pool_takes_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as pool:
        await pool.stop()
        with pytest.raises(Draining):
            await pool.submit(job("echo"), pixels=100)
