"""What the pool of worker processes promises, with real processes and a codec that obeys commands."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.serving.fakes import OPEN, OPEN_BROKEN, OPEN_SLOWLY, job
from virtual_codec.errors import (
    DeadlineExceeded,
    Draining,
    NoWorker,
    Overloaded,
    PoisonInput,
    Unavailable,
    UndecodableImage,
    VirtualCodecError,
)
from virtual_codec.jobs import CompressResult, Job, RestoreOptions, RestoreResult
from virtual_codec.serving import Pool, PoolPolicy, PoolState, open_pool

SMALL = 10_000
LARGE = 10_000_000


@dataclass
class Traces:
    """What the workers wrote down: who ran where, among how many."""

    scratch: Path

    def runs(self, request_id: str) -> list[tuple[int, int]]:
        """(process id, jobs in that process at that moment) of every run of a job."""
        if not (self.scratch / "log").exists():
            return []
        lines = [line.rsplit(" ", 2) for line in (self.scratch / "log").read_text().splitlines()]
        return [(int(pid), int(beside)) for name, pid, beside in lines if name == request_id]

    def opening(self) -> int:
        """The process id of a worker that opens slowly, 0 before there is one."""
        return next((int(path.stem) for path in self.scratch.glob("*.opening")), 0)


@pytest.fixture
def traces(tmp_path: Path) -> Traces:
    return Traces(tmp_path)


@contextlib.asynccontextmanager
async def running(
    scratch: Path,
    *,
    worker_factory: str = OPEN,
    workers: int = 1,
    threads: int = 1,
    standby: bool = False,
    queue_limit_s: float = 60,
    hang_grace_s: float = 10,
    stop_grace_s: float = 0.2,
) -> AsyncIterator[Pool]:
    policy = PoolPolicy(
        devices="cpu",
        workers_per_device=workers,
        threads=threads,
        standby="on" if standby else "off",
        queue_limit_s=queue_limit_s,
        hang_grace_s=hang_grace_s,
        stop_grace_s=stop_grace_s,
    )
    pool = open_pool("local", {"scratch": scratch}, policy, worker_factory=worker_factory)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()


async def until(pool: Pool, condition: Callable[[PoolState], object]) -> PoolState:
    async with asyncio.timeout(120):  # a busy machine takes its time
        while not condition(pool.state()):  # noqa: ASYNC110  # what other processes do sets no event
            await asyncio.sleep(0.005)
    return pool.state()


async def all_ready(pool: Pool, workers: int = 1) -> None:
    await until(pool, lambda state: sum(it.is_ready for it in state.workers) == workers)


async def test_a_job_goes_to_a_worker_and_its_result_comes_back(tmp_path: Path) -> None:
    async with running(tmp_path) as pool:
        result = await pool.submit(job("echo"), pixels=SMALL)
        assert isinstance(result, CompressResult)
        assert result.stream == b"echo"
        assert result.stages_s["device"] == 0.002
        assert result.stages_s["queue"] > 0
        restored = await pool.submit(
            Job(data=b"echo", options=RestoreOptions(output="bmp"), request_id="r"), pixels=SMALL
        )
        assert isinstance(restored, RestoreResult)


async def test_ready_means_warm_and_says_what_was_replaced(tmp_path: Path) -> None:
    async with running(tmp_path, worker_factory=OPEN_SLOWLY) as pool:
        await until(pool, lambda state: state.workers)
        assert not pool.state().is_ready
        assert pool.state().reasons == ("worker cpu/0: starting",)
        early = asyncio.create_task(pool.submit(job("echo"), pixels=SMALL))
        await all_ready(pool)
        assert pool.state().is_ready
        assert pool.state().reasons == ()
        assert pool.state().notes == {"speed": "none at all on cpu"}
        assert isinstance(await early, CompressResult)


async def test_errors_keep_their_limits_and_affect_no_other_job(tmp_path: Path) -> None:
    async with running(tmp_path, threads=3) as pool:
        others = [asyncio.create_task(pool.submit(job("sleep 0.1", str(n)), pixels=SMALL)) for n in range(2)]
        with pytest.raises(UndecodableImage, match="as told") as caught:
            await pool.submit(job("bad"), pixels=SMALL)
        assert (caught.value.limit, caught.value.actual) == (1, 2)
        assert all(isinstance(it, CompressResult) for it in await asyncio.gather(*others))
        assert sum(pool.state().restarts.values()) == 0


async def test_an_unknown_exception_is_tried_once_more_alone_then_internal(
    tmp_path: Path, traces: Traces, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path, threads=2) as pool:
        with pytest.raises(VirtualCodecError, match="internal error") as caught:
            await pool.submit(job("surprise"), pixels=SMALL)
        assert caught.value.code == "internal"
        assert "as told" not in caught.value.detail
        assert len(traces.runs("surprise")) == 2
        assert "ZeroDivisionError: as told" in caplog.text
        assert "event=told" in caplog.text  # the worker's own line came home
        assert isinstance(await pool.submit(job("echo"), pixels=SMALL), CompressResult)


async def test_a_job_without_memory_is_tried_once_more_alone_then_its_caller_may_come_again(
    tmp_path: Path, traces: Traces
) -> None:
    async with running(tmp_path, threads=2) as pool:
        await all_ready(pool)
        beside = asyncio.create_task(pool.submit(job("sleep 0.5"), pixels=SMALL))
        await until(pool, lambda _: traces.runs("sleep 0.5"))
        with pytest.raises(Unavailable, match="not enough memory") as caught:
            await pool.submit(job("memory"), pixels=SMALL)
        assert caught.value.retry_after_s == 10
        assert isinstance(await beside, CompressResult)
        assert [count for _, count in traces.runs("memory")] == [2, 1]
        state = pool.state()
        assert (sum(state.restarts.values()), state.retries, state.quarantined) == (0, 1, 0)


async def test_a_worker_that_has_too_little_memory_again_and_again_makes_way(tmp_path: Path, traces: Traces) -> None:
    async with running(tmp_path) as pool:
        await all_ready(pool)
        for commands in (("memory", "memory", "echo"), ("memory", "memory", "memory")):
            assert sum(pool.state().restarts.values()) == 0
            for command in commands:
                with contextlib.suppress(Unavailable):
                    await pool.submit(job(command), pixels=SMALL)
        await pool.submit(job("echo"), pixels=SMALL)
        assert pool.state().restarts == {"crash": 1, "hang": 0, "start": 0}
        assert len({pid for pid, _ in traces.runs("echo")}) == 2
        assert pool.state().quarantined == 0


async def test_a_killed_worker_is_replaced_and_none_of_its_jobs_is_lost(tmp_path: Path, traces: Traces) -> None:
    async with running(tmp_path, threads=2) as pool:
        jobs = [asyncio.create_task(pool.submit(job("sleep 0.3", str(n)), pixels=SMALL)) for n in range(4)]
        await until(pool, lambda state: state.running_items == 2)
        await until(pool, lambda _: traces.runs("0") and traces.runs("1"))
        os.kill(traces.runs("0")[0][0], signal.SIGKILL)
        results = await asyncio.gather(*jobs)
        assert all(isinstance(result, CompressResult) for result in results)
        assert pool.state().restarts["crash"] == 1
        assert pool.state().retries == 2
        for name in ("0", "1"):
            runs = traces.runs(name)
            assert len(runs) == 2
            assert runs[1][1] == 1, "the second time it was alone in its worker"


async def test_only_the_input_that_kills_workers_alone_is_refused_and_from_then_on(
    tmp_path: Path, traces: Traces
) -> None:
    async with running(tmp_path, threads=2) as pool:
        neighbour = asyncio.create_task(pool.submit(job("sleep 0.3"), pixels=SMALL))
        await until(pool, lambda _: traces.runs("sleep 0.3"))
        with pytest.raises(PoisonInput):
            await pool.submit(job("crash"), pixels=SMALL)
        assert isinstance(await neighbour, CompressResult)
        assert len(traces.runs("crash")) == 3  # once among others, twice alone
        assert pool.state().quarantined == 1
        with pytest.raises(PoisonInput):
            await pool.submit(job("crash"), pixels=SMALL)
        assert len(traces.runs("crash")) == 3
        await all_ready(pool)


async def test_an_input_sent_many_times_kills_no_more_workers_than_one_sent_once(
    tmp_path: Path, traces: Traces
) -> None:
    async with running(tmp_path) as pool:
        await all_ready(pool)
        answers = await asyncio.gather(
            *(pool.submit(job("crash"), pixels=SMALL) for _ in range(5)), return_exceptions=True
        )
        assert [type(answer) for answer in answers] == [PoisonInput] * 5
        assert len(traces.runs("crash")) == 3  # once as any other, twice alone
        assert sum(pool.state().restarts.values()) == 3


async def test_jobs_behind_a_job_that_must_be_alone_start_when_it_leaves(tmp_path: Path) -> None:
    async with running(tmp_path, threads=2) as pool:
        await all_ready(pool)
        long = asyncio.create_task(pool.submit(job("sleep 3"), pixels=SMALL))
        await until(pool, lambda state: state.running_items == 1)
        lonely = asyncio.create_task(pool.submit(job("surprise"), pixels=SMALL))
        await until(pool, lambda state: state.retries == 1 and state.queued_items == 1)
        behind = asyncio.create_task(pool.submit(job("echo"), pixels=SMALL))
        await until(pool, lambda state: state.queued_items == 2)
        lonely.cancel()
        assert isinstance(await behind, CompressResult)
        assert not long.done()
        await long


async def test_an_input_whose_solo_run_killed_one_worker_only_is_done(tmp_path: Path, traces: Traces) -> None:
    async with running(tmp_path) as pool:
        assert isinstance(await pool.submit(job("crash 2 twice"), pixels=SMALL), CompressResult)
        assert len(traces.runs("crash 2 twice")) == 3
        assert pool.state().quarantined == 0


async def test_a_warm_spare_takes_over_at_once(tmp_path: Path, traces: Traces) -> None:
    async with running(tmp_path, worker_factory=OPEN_SLOWLY, standby=True) as pool:
        await all_ready(pool, 2)
        assert isinstance(await pool.submit(job("crash 1 once"), pixels=SMALL), CompressResult)
        assert sum(it.is_ready for it in pool.state().workers) == 1, "nobody waited for a worker to warm up"
        pids = [pid for pid, _ in traces.runs("crash 1 once")]
        assert len(set(pids)) == 2
        await all_ready(pool, 2)
        await pool.submit(job("echo"), pixels=SMALL)
        assert traces.runs("echo")[0][0] not in pids, "the spare is spare again"


async def test_a_hung_worker_is_killed_after_the_deadline_at_which_its_caller_gets_an_error(
    tmp_path: Path, traces: Traces
) -> None:
    async with running(tmp_path, threads=2, hang_grace_s=2.0) as pool:
        await all_ready(pool)
        neighbour = asyncio.create_task(pool.submit(job("sleep 3", seconds=60), pixels=SMALL))
        with pytest.raises(DeadlineExceeded):
            await pool.submit(job("hang", seconds=0.3), pixels=SMALL)
        assert pool.state().restarts["hang"] == 0, "told at the deadline, not when the worker is killed"
        state = await until(pool, lambda state: state.restarts["hang"] == 1)
        assert state.retries == 1
        assert isinstance(await neighbour, CompressResult)
        assert len(traces.runs("hang")) == 1
        assert len(traces.runs("sleep 3")) == 2


async def test_a_job_whose_deadline_passes_in_the_queue_never_runs(tmp_path: Path, traces: Traces) -> None:
    async with running(tmp_path) as pool:
        await all_ready(pool)
        first = asyncio.create_task(pool.submit(job("sleep 1.5"), pixels=SMALL))
        await until(pool, lambda state: state.running_items == 1)
        with pytest.raises(DeadlineExceeded):
            await pool.submit(job("late", seconds=0.5), pixels=SMALL)
        assert not first.done()
        assert pool.state().queued_items == 0
        await first
        assert traces.runs("late") == []


async def test_a_deadline_already_past_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as pool:
        with pytest.raises(DeadlineExceeded):
            await pool.submit(job("echo", seconds=-1), pixels=SMALL)


async def test_a_caller_who_leaves_frees_the_place(tmp_path: Path, traces: Traces) -> None:
    async with running(tmp_path) as pool:
        await all_ready(pool)
        first = asyncio.create_task(pool.submit(job("sleep 0.2"), pixels=SMALL))
        await until(pool, lambda state: state.running_items == 1)
        gone = asyncio.create_task(pool.submit(job("gone"), pixels=SMALL))
        await until(pool, lambda state: state.queued_items == 1)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert pool.state().queued_items == 0
        assert pool.state().cancelled == {"queue": 1, "worker": 0}
        await first
        await pool.submit(job("after"), pixels=SMALL)
        assert traces.runs("gone") == []


async def test_more_work_than_fits_the_limit_is_refused_with_a_time_to_come_back(tmp_path: Path) -> None:
    async with running(tmp_path, queue_limit_s=3) as pool:
        await all_ready(pool)
        jobs = [asyncio.create_task(pool.submit(job("sleep 0.05", str(n)), pixels=2_000_000)) for n in range(20)]
        results = await asyncio.gather(*jobs, return_exceptions=True)
        refused = [result for result in results if isinstance(result, Overloaded)]
        done = [result for result in results if isinstance(result, CompressResult)]
        assert len(refused) + len(done) == 20
        assert 2 <= len(done) <= 7  # about a second each, by the first guess
        assert all(it.retry_after_s is not None and it.retry_after_s >= 1 for it in refused)
        assert isinstance(await pool.submit(job("after"), pixels=SMALL), CompressResult)


async def test_a_running_job_does_not_count_against_the_queue_limit(tmp_path: Path) -> None:
    async with running(tmp_path, queue_limit_s=3) as pool:
        await all_ready(pool)
        large = asyncio.create_task(pool.submit(job("sleep 0.3"), pixels=100 * LARGE))
        await until(pool, lambda state: state.running_items == 1)
        assert pool.state().estimated_wait_s > 100
        assert isinstance(await pool.submit(job("echo"), pixels=SMALL), CompressResult)
        await large


async def test_jobs_that_are_given_up_raise_the_estimate(tmp_path: Path) -> None:
    async with running(tmp_path) as pool:
        await all_ready(pool)
        for name in ("one", "two"):
            with pytest.raises(DeadlineExceeded):
                await pool.submit(job("stages", name, seconds=0.5), pixels=SMALL)
        await until(pool, lambda state: not state.running_items)
        running_job = asyncio.create_task(pool.submit(job("sleep 0.3", "three"), pixels=LARGE))
        await until(pool, lambda state: state.running_items)
        assert pool.state().estimated_wait_s > 10 * 0.5, "0.5 s for a small picture is many for a large one"
        await running_job


async def test_a_deadline_that_cannot_be_kept_is_refused_at_once(tmp_path: Path, traces: Traces) -> None:
    async with running(tmp_path) as pool:
        await all_ready(pool)
        for number in range(3):
            await pool.submit(job("sleep 0.1", str(number)), pixels=SMALL)
        with pytest.raises(DeadlineExceeded, match="takes about") as caught:
            await pool.submit(job("echo", seconds=1), pixels=LARGE)
        assert caught.value.limit is not None
        assert caught.value.actual is not None
        assert caught.value.actual > caught.value.limit
        assert traces.runs("echo") == []
        assert isinstance(await pool.submit(job("echo", seconds=60), pixels=LARGE), CompressResult)


async def test_a_job_that_would_start_after_its_deadline_is_refused_and_not_queued(tmp_path: Path) -> None:
    async with running(tmp_path) as pool:
        await all_ready(pool)
        first = asyncio.create_task(pool.submit(job("sleep 0.2"), pixels=20_000_000))  # ten seconds, it guesses
        await until(pool, lambda state: state.running_items == 1)
        with pytest.raises(Overloaded):
            await pool.submit(job("echo", seconds=5), pixels=SMALL)
        await first


async def test_a_job_that_could_hardly_be_done_in_time_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as pool:
        await all_ready(pool)
        first = asyncio.create_task(pool.submit(job("sleep 0.2"), pixels=20_000_000))  # ten seconds, it guesses
        await until(pool, lambda state: state.running_items == 1)
        with pytest.raises(Overloaded):
            await pool.submit(job("echo", seconds=12), pixels=SMALL)  # it would be, if the guess is right
        assert (await pool.submit(job("echo", seconds=60), pixels=SMALL)) is not None
        await first


async def test_large_images_leave_a_place_for_small_ones(tmp_path: Path, traces: Traces) -> None:
    async with running(tmp_path, threads=2) as pool:
        await all_ready(pool)
        large = [asyncio.create_task(pool.submit(job("sleep 0.4", f"L{n}"), pixels=LARGE)) for n in range(2)]
        await until(pool, lambda state: state.running_items == 1 and state.queued_items == 1)
        await pool.submit(job("echo"), pixels=SMALL)
        assert not large[0].done()
        assert traces.runs("L1") == []
        await asyncio.gather(*large)


async def test_jobs_go_to_the_worker_with_the_fewest_pixels(tmp_path: Path, traces: Traces) -> None:
    async with running(tmp_path, workers=2, threads=4) as pool:
        await all_ready(pool, 2)
        jobs = [asyncio.create_task(pool.submit(job("sleep 0.3", "big"), pixels=LARGE))]
        await until(pool, lambda state: state.running_items == 1)
        jobs += [asyncio.create_task(pool.submit(job("sleep 0.2", str(n)), pixels=SMALL)) for n in range(3)]
        await asyncio.gather(*jobs)
        [(busy, _)] = traces.runs("big")
        assert all(pid != busy for n in range(3) for pid, _ in traces.runs(str(n)))


async def test_a_codec_that_cannot_be_opened_is_no_worker_until_it_can(tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    async with running(tmp_path, worker_factory=OPEN_BROKEN) as pool:
        await until(pool, lambda state: state.restarts["start"] >= 1)
        with pytest.raises(NoWorker, match="the model is damaged") as caught:
            await pool.submit(job("echo"), pixels=SMALL)
        assert caught.value.retry_after_s is not None
        assert pool.state().reasons == ("worker cpu/0: the model is damaged",)
        (tmp_path / "broken").unlink()
        await all_ready(pool)
        assert isinstance(await pool.submit(job("echo"), pixels=SMALL), CompressResult)


async def test_a_worker_killed_while_it_starts_is_replaced_and_jobs_wait_for_the_next(
    tmp_path: Path, traces: Traces
) -> None:
    async with running(tmp_path, worker_factory=OPEN_SLOWLY) as pool:
        waiting = asyncio.create_task(pool.submit(job("echo"), pixels=SMALL))
        await until(pool, lambda _: traces.opening())
        os.kill(traces.opening(), signal.SIGKILL)
        state = await until(pool, lambda state: state.restarts["start"])
        assert state.reasons == ("worker cpu/0: ended with status -9",)
        pool.admit()
        assert isinstance(await waiting, CompressResult)


async def test_stopping_takes_nothing_new_and_finishes_what_it_can(tmp_path: Path) -> None:
    async with running(tmp_path, threads=2, stop_grace_s=1) as pool:
        await all_ready(pool)
        short = asyncio.create_task(pool.submit(job("sleep 0.2"), pixels=SMALL))
        long = asyncio.create_task(pool.submit(job("hang"), pixels=SMALL))
        await until(pool, lambda state: state.running_items == 2)
        stopping = asyncio.create_task(pool.stop())
        await asyncio.sleep(0)
        assert not pool.state().is_ready
        with pytest.raises(Draining):
            await pool.submit(job("echo"), pixels=SMALL)
        assert isinstance(await short, CompressResult)
        with pytest.raises(Draining):
            await long
        await stopping


async def test_workers_end_with_their_parent(tmp_path: Path, traces: Traces) -> None:
    async with running(tmp_path) as pool:
        await pool.submit(job("echo"), pixels=SMALL)
    [(pid, _)] = traces.runs("echo")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_nothing_is_taken_before_the_start(tmp_path: Path) -> None:
    pool = open_pool("local", {"scratch": tmp_path}, PoolPolicy(devices="cpu"), worker_factory=OPEN)
    with pytest.raises(NoWorker, match="not started"):
        await pool.submit(job("echo"), pixels=SMALL)


async def test_a_caller_that_leaves_ends_the_work_too_and_frees_the_place(tmp_path: Path, traces: Traces) -> None:
    async with running(tmp_path) as pool:
        await all_ready(pool)
        caller = asyncio.create_task(pool.submit(job("stages", "left"), pixels=SMALL))
        await until(pool, lambda _: traces.runs("left"))
        caller.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await caller
        assert isinstance(await pool.submit(job("echo"), pixels=SMALL), CompressResult)
        assert not (tmp_path / "left.finished").exists()
        assert pool.state().cancelled == {"queue": 0, "worker": 1}
        assert sum(pool.state().restarts.values()) == 0


async def test_a_deadline_that_passes_between_stages_ends_the_work(tmp_path: Path, traces: Traces) -> None:
    async with running(tmp_path) as pool:
        await all_ready(pool)
        with pytest.raises(DeadlineExceeded):
            await pool.submit(job("stages", "late", seconds=0.3), pixels=SMALL)
        assert isinstance(await pool.submit(job("echo"), pixels=SMALL), CompressResult)
        assert not (tmp_path / "late.finished").exists()


async def test_a_job_that_would_wait_until_its_deadline_is_refused_before_its_body_is_there(tmp_path: Path) -> None:
    async with running(tmp_path) as pool:
        await all_ready(pool)
        busy = [asyncio.create_task(pool.submit(job("sleep 0.5", str(n)), pixels=LARGE)) for n in range(3)]
        await until(pool, lambda state: state.running_items == 1 and state.queued_items == 2)
        pool.admit(time.monotonic() + 60)
        with pytest.raises(Overloaded):
            pool.admit(time.monotonic() + 1)
        await asyncio.gather(*busy)


async def test_counters_of_runners_survive_their_workers(tmp_path: Path) -> None:
    async with running(tmp_path) as pool:
        await pool.submit(job("echo"), pixels=SMALL)
        assert pool.state().counts["cpu"].bisections == 7
        await pool.submit(job("crash 1 once"), pixels=SMALL)
        assert pool.state().counts["cpu"].bisections == 14
