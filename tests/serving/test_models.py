"""What the pools promise of models: another one is loaded beside the work, or nothing changes."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.serving.fakes import OPEN, OPEN_BROKEN, OPEN_SLOWLY, job
from tests.serving.test_local import SMALL, all_ready, running, until
from virtual_codec.errors import BadModel, Unavailable
from virtual_codec.jobs import CompressResult
from virtual_codec.serving import Pool, PoolPolicy, open_pool


def orders(scratch: Path) -> list[str]:
    """What the workers were told, each without the process id."""
    file = scratch / "models"
    return [line.rpartition(" ")[0] for line in file.read_text().splitlines()] if file.exists() else []


async def model_of(pool: Pool) -> str:
    result = await pool.submit(job("echo"), pixels=SMALL)
    assert isinstance(result, CompressResult)
    return result.model


async def test_every_worker_loads_the_model_and_jobs_go_on_meanwhile(tmp_path: Path) -> None:
    async with running(tmp_path, workers=2, standby=True) as pool:
        await all_ready(pool, 3)
        working = asyncio.create_task(pool.submit(job("sleep 0.5"), pixels=SMALL))
        await pool.load("new")
        assert orders(tmp_path) == ["load new"] * 3
        assert await model_of(pool) == "new"
        assert isinstance(await working, CompressResult)
        assert pool.state().restarts == {"crash": 0, "hang": 0, "start": 0}
        pool.unload("old")
        await until(pool, lambda _: orders(tmp_path)[3:] == ["unload old"] * 3)


@pytest.mark.parametrize(
    ("model", "error", "says"),
    [
        ("bad", BadModel, "as told"),
        ("surprise", BadModel, "cannot be loaded"),
        ("memory", Unavailable, "not enough memory"),
    ],
)
async def test_a_bad_model_changes_nothing(tmp_path: Path, model: str, error: type[Exception], says: str) -> None:
    async with running(tmp_path, workers=2) as pool:
        await all_ready(pool, 2)
        await pool.load("good")
        with pytest.raises(error, match=says):
            await pool.load(model)
        assert orders(tmp_path) == ["load good", "load good", f"load {model}"], "the others were not even asked"
        assert await model_of(pool) == "good"
        assert sum(pool.state().restarts.values()) == 0


async def test_a_model_that_ends_workers_is_refused_and_their_jobs_are_done(tmp_path: Path) -> None:
    async with running(tmp_path) as pool:
        await all_ready(pool)
        working = asyncio.create_task(pool.submit(job("sleep 0.3", "there"), pixels=SMALL))
        await until(pool, lambda state: state.running_items)
        with pytest.raises(BadModel, match="workers end while they load"):
            await pool.load("crash")
        assert isinstance(await working, CompressResult)
        assert await model_of(pool) == "0badf00d"
        assert pool.state().quarantined == 0
        assert pool.state().restarts["crash"] == 2


async def test_a_worker_that_ends_for_another_reason_is_asked_again(tmp_path: Path) -> None:
    async with running(tmp_path) as pool:
        await all_ready(pool)
        await pool.load("crash-once")
        assert orders(tmp_path) == ["load crash-once"] * 2
        assert await model_of(pool) == "crash-once"


async def test_those_that_loaded_a_model_that_others_cannot_forget_it(tmp_path: Path) -> None:
    async with running(tmp_path, workers=2) as pool:
        await all_ready(pool, 2)
        with pytest.raises(BadModel, match="as told"):
            await pool.load("bad-elsewhere")
        await until(pool, lambda _: len(orders(tmp_path)) == 3)
        lines = (tmp_path / "models").read_text().splitlines()
        first, second, forgotten = (line.split() for line in lines)
        assert first[:2] == second[:2] == ["load", "bad-elsewhere"]
        assert forgotten == ["unload", "bad-elsewhere", first[2]]
        results = await asyncio.gather(*(pool.submit(job("sleep 0.1", f"after {it}"), pixels=SMALL) for it in range(2)))
        assert {result.model for result in results} == {"0badf00d"}


async def test_a_worker_that_is_still_loading_when_nobody_waits_forgets_the_model(tmp_path: Path) -> None:
    async with running(tmp_path) as pool:
        await all_ready(pool)
        loading = asyncio.create_task(pool.load("slow"))
        await until(pool, lambda _: orders(tmp_path))
        loading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await loading
        await until(pool, lambda _: orders(tmp_path) == ["load slow", "unload slow"])
        assert await model_of(pool) == "0badf00d"


async def test_a_worker_that_hangs_over_a_model_is_replaced(tmp_path: Path) -> None:
    policy = PoolPolicy(devices="cpu", threads=1, standby="off", start_timeout_s=8, stop_grace_s=0.2)
    pool = open_pool("local", {"scratch": tmp_path}, policy, codec=OPEN)
    await pool.start()
    try:
        await all_ready(pool)
        with pytest.raises(BadModel, match="could not load the model within 8 seconds"):
            await pool.load("hang")
        assert await model_of(pool) == "0badf00d"
        assert pool.state().restarts["hang"] == 1
    finally:
        await pool.stop()


async def test_workers_to_come_open_with_the_model(tmp_path: Path) -> None:
    async with running(tmp_path) as pool:
        await all_ready(pool)
        await pool.load("new")
        pid = int((tmp_path / "models").read_text().split()[-1])
        os.kill(pid, signal.SIGKILL)
        await until(pool, lambda state: state.restarts["crash"])
        assert await model_of(pool) == "new"
        assert orders(tmp_path) == ["load new"]


async def test_a_worker_that_was_opening_loads_it_afterwards(tmp_path: Path) -> None:
    async with running(tmp_path, codec=OPEN_SLOWLY) as pool:
        await until(pool, lambda _: list(tmp_path.glob("*.opening")))
        await pool.load("new")
        await until(pool, lambda _: orders(tmp_path) == ["load new"])
        async with asyncio.timeout(20):
            while await model_of(pool) != "new":
                pass


async def test_a_pool_without_a_worker_takes_the_model_for_the_next(tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    async with running(tmp_path, codec=OPEN_BROKEN) as pool:
        await until(pool, lambda state: state.restarts["start"])
        await pool.load("new")
        (tmp_path / "broken").unlink()
        await all_ready(pool)
        assert await model_of(pool) == "new"


async def test_the_inline_pool_does_the_same(tmp_path: Path) -> None:
    pool = open_pool("inline", {"scratch": tmp_path}, PoolPolicy(devices="cpu"), codec=OPEN)
    await pool.load("first")
    await pool.start()
    try:
        assert await model_of(pool) == "first"
        await pool.load("new")
        assert await model_of(pool) == "new"
        with pytest.raises(BadModel):
            await pool.load("bad")
        assert await model_of(pool) == "new"
        pool.unload("first")
        assert orders(tmp_path) == ["load new", "load bad", "unload first"]
    finally:
        await pool.stop()
