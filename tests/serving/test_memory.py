"""Memory that runs out inside a job: its caller may come again, and nobody else is any the worse."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.models import make_store
from tests.serving import limited_memory
from tests.serving.test_local import SMALL, all_ready
from virtual_codec.errors import Unavailable
from virtual_codec.jobs import CompressOptions, CompressResult, Job, RestoreOptions, RestoreResult
from virtual_codec.serving import Pool, PoolPolicy, open_pool

WIDTH, HEIGHT = 900, 700
PIXELS = WIDTH * HEIGHT
LIMITED = pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps to RLIMIT_AS")


def written(width: int, height: int, form: str) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(noise).save(file, form)
    return file.getvalue()


@asynccontextmanager
async def running(scratch: Path) -> AsyncIterator[Pool]:
    """One worker of two threads, with real limits of memory for those who ask for them."""
    make_store(scratch / "store")
    arguments = {"store": scratch / "store", "scratch": scratch}
    policy = PoolPolicy(devices="cpu", workers_per_device=1, threads=2, standby="off", stop_grace_s=0.2)
    pool = open_pool("local", arguments, policy, worker_factory=limited_memory.OPEN)
    await pool.start()
    try:
        await all_ready(pool)
        yield pool
    finally:
        await pool.stop()


def restoring(request_id: str) -> Job:
    return Job(data=written(WIDTH, HEIGHT, "JPEG"), options=RestoreOptions(), request_id=request_id)


def compressing(request_id: str) -> Job:
    picture = written(64, 48, "PNG")
    return Job(data=picture, options=CompressOptions(effort=0), request_id=request_id)


@LIMITED
async def test_its_caller_may_come_again_and_the_worker_lives_on(tmp_path: Path) -> None:
    async with running(tmp_path) as pool:
        for stage in limited_memory.STAGES:
            outcomes = await asyncio.gather(
                pool.submit(restoring(f"{stage} 2"), pixels=PIXELS),
                *(pool.submit(compressing(f"beside {stage} {it}"), pixels=SMALL) for it in range(3)),
                return_exceptions=True,
            )
            assert isinstance(outcomes[0], Unavailable), (stage, outcomes[0])
            assert "not enough memory" in outcomes[0].detail
            assert outcomes[0].retry_after_s
            assert all(isinstance(it, CompressResult) for it in outcomes[1:]), (stage, outcomes)
            again = await pool.submit(restoring(f"{stage} 0"), pixels=PIXELS)
            assert isinstance(again, RestoreResult)
        assert len({line.rpartition(" ")[2] for line in (tmp_path / "log").read_text().splitlines()}) == 1, (
            "one process"
        )
        assert sum(pool.state().restarts.values()) == pool.state().quarantined == 0


@LIMITED
async def test_an_image_that_fits_alone_is_done_to_the_same_bytes(tmp_path: Path) -> None:
    async with running(tmp_path) as pool:
        calm = await pool.submit(restoring("calm 0"), pixels=PIXELS)
        assert isinstance(calm, RestoreResult)
        for count, stage in enumerate(limited_memory.STAGES, 1):
            tight = await pool.submit(restoring(f"{stage} 1"), pixels=PIXELS)
            assert isinstance(tight, RestoreResult)
            assert tight.image == calm.image
            assert pool.state().retries == count
