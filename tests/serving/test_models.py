"""Models of the pools: another one is warmed beside the jobs, or nothing changes."""

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

FIRST = "0badf00d"


def orders(scratch: Path) -> list[str]:
    """Orders that the workers got, each without the process id."""
    file = scratch / "models"
    return [line.rpartition(" ")[0] for line in file.read_text().splitlines()] if file.exists() else []


async def warm_models(pool: Pool) -> list[str]:
    result = await pool.submit(job("echo"), pixels=SMALL)
    assert isinstance(result, CompressResult)
    return result.model.split()


async def test_every_worker_warms_the_model_and_jobs_go_on_meanwhile(tmp_path: Path) -> None:
    async with running(tmp_path, workers=2, standby=True) as pool:
        await all_ready(pool, 3)
        working = asyncio.create_task(pool.submit(job("sleep 0.5"), pixels=SMALL))
        await pool.warm_model("new")
        assert orders(tmp_path) == ["warm new"] * 3
        assert await warm_models(pool) == [FIRST, "new"]
        assert isinstance(await working, CompressResult)
        assert pool.state().restarts == {"crash": 0, "hang": 0, "start": 0}
        pool.forget_model("old")
        await until(pool, lambda _: orders(tmp_path)[3:] == ["forget old"] * 3)


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
        await pool.warm_model("good")
        with pytest.raises(error, match=says):
            await pool.warm_model(model)
        assert orders(tmp_path) == ["warm good", "warm good", f"warm {model}"], "the others were not even asked"
        assert await warm_models(pool) == [FIRST, "good"]
        assert sum(pool.state().restarts.values()) == 0


async def test_a_model_that_ends_workers_is_refused_and_their_jobs_are_done(tmp_path: Path) -> None:
    async with running(tmp_path) as pool:
        await all_ready(pool)
        working = asyncio.create_task(pool.submit(job("sleep 0.3", "there"), pixels=SMALL))
        await until(pool, lambda state: state.running_items)
        with pytest.raises(BadModel, match="workers end while they load"):
            await pool.warm_model("crash")
        assert isinstance(await working, CompressResult)
        assert await warm_models(pool) == [FIRST]
        assert pool.state().quarantined == 0
        assert pool.state().restarts["crash"] == 2


async def test_a_worker_that_ends_once_is_asked_again(tmp_path: Path) -> None:
    async with running(tmp_path) as pool:
        await all_ready(pool)
        await pool.warm_model("crash-once")
        assert orders(tmp_path) == ["warm crash-once"] * 2
        assert await warm_models(pool) == [FIRST, "crash-once"]


async def test_workers_forget_a_model_that_another_worker_cannot_load(tmp_path: Path) -> None:
    async with running(tmp_path, workers=2) as pool:
        await all_ready(pool, 2)
        with pytest.raises(BadModel, match="as told"):
            await pool.warm_model("bad-elsewhere")
        await until(pool, lambda _: len(orders(tmp_path)) == 3)
        lines = (tmp_path / "models").read_text().splitlines()
        first, second, forgotten = (line.split() for line in lines)
        assert first[:2] == second[:2] == ["warm", "bad-elsewhere"]
        assert forgotten == ["forget", "bad-elsewhere", first[2]]
        results = await asyncio.gather(*(pool.submit(job("sleep 0.1", f"after {it}"), pixels=SMALL) for it in range(2)))
        assert {result.model for result in results} == {FIRST}


async def test_a_worker_forgets_the_model_of_a_cancelled_activation(tmp_path: Path) -> None:
    async with running(tmp_path) as pool:
        await all_ready(pool)
        loading = asyncio.create_task(pool.warm_model("slow"))
        await until(pool, lambda _: orders(tmp_path))
        loading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await loading
        await until(pool, lambda _: orders(tmp_path) == ["warm slow", "forget slow"])
        assert await warm_models(pool) == [FIRST]


async def test_a_worker_that_hangs_over_a_model_is_replaced(tmp_path: Path) -> None:
    policy = PoolPolicy(devices="cpu", threads=1, standby="off", start_timeout_s=8, stop_grace_s=0.2)
    pool = open_pool("local", {"scratch": tmp_path}, policy, worker_factory=OPEN)
    await pool.start()
    try:
        await all_ready(pool)
        with pytest.raises(BadModel, match="could not load the model within 8 seconds"):
            await pool.warm_model("hang")
        assert await warm_models(pool) == [FIRST]
        assert pool.state().restarts["hang"] == 1
    finally:
        await pool.stop()


async def test_a_later_worker_opens_with_the_model(tmp_path: Path) -> None:
    async with running(tmp_path) as pool:
        await all_ready(pool)
        await pool.warm_model("new")
        pid = int((tmp_path / "models").read_text().split()[-1])
        os.kill(pid, signal.SIGKILL)
        await until(pool, lambda state: state.restarts["crash"])
        assert await warm_models(pool) == ["new"]
        assert orders(tmp_path) == ["warm new"]


async def test_a_worker_that_was_opening_warms_the_model_afterwards(tmp_path: Path) -> None:
    async with running(tmp_path, worker_factory=OPEN_SLOWLY) as pool:
        await until(pool, lambda _: list(tmp_path.glob("*.opening")))
        await pool.warm_model("new")
        await until(pool, lambda _: orders(tmp_path) == ["warm new"])
        async with asyncio.timeout(120):  # a busy machine takes its time
            while await warm_models(pool) != [FIRST, "new"]:
                pass


async def test_a_pool_without_a_worker_opens_the_next_with_the_model(tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    async with running(tmp_path, worker_factory=OPEN_BROKEN) as pool:
        await until(pool, lambda state: state.restarts["start"])
        await pool.warm_model("new")
        (tmp_path / "broken").unlink()
        await all_ready(pool)
        assert await warm_models(pool) == ["new"]


async def test_the_inline_pool_warms_and_forgets_models(tmp_path: Path) -> None:
    pool = open_pool("inline", {"scratch": tmp_path}, PoolPolicy(devices="cpu"), worker_factory=OPEN)
    await pool.warm_model("first")
    await pool.start()
    try:
        assert await warm_models(pool) == ["first"]
        await pool.warm_model("new")
        assert await warm_models(pool) == ["first", "new"]
        with pytest.raises(BadModel):
            await pool.warm_model("bad")
        assert await warm_models(pool) == ["first", "new"]
        pool.forget_model("first")
        assert orders(tmp_path) == ["warm new", "warm bad", "forget first"]
    finally:
        await pool.stop()
