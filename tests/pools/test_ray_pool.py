"""What the pool of replicas promises, with replicas that answer as told, without Ray."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.api.pretend import write_store
from tests.pools.fake_replicas import FakeReplicas, done, failed, snapshot
from virtual_codec.cli import main
from virtual_codec.counts import RunnerCounts
from virtual_codec.errors import (
    BadModel,
    DeadlineExceeded,
    Draining,
    NoWorker,
    Overloaded,
    PoisonInput,
    Unavailable,
    UndecodableImage,
    VirtualCodecError,
)
from virtual_codec.jobs import CompressOptions, CompressResult, Job
from virtual_codec.serving import PoolPolicy, PoolState, ReplicaPolicy, _ray_cluster
from virtual_codec.serving._ray_autoscaling import WORK, WaitPolicy
from virtual_codec.serving._ray_pool import RayPool
from virtual_codec.serving._replica_policy import check_health, replica_policy
from virtual_codec.serving._replica_states import ReplicaStates
from virtual_codec.serving._replicas import Call, ReplicaLost


@contextlib.asynccontextmanager
async def running(replicas: FakeReplicas, **policy: float) -> AsyncIterator[RayPool]:
    limits = PoolPolicy(devices="cpu", stop_grace_s=0.1, **policy)  # type: ignore[arg-type]  # numbers, by name
    pool = RayPool("", {"model": "a"}, limits, replicas=replicas)
    await pool.start()
    try:
        await until(lambda: pool.state().is_ready or replicas.opening_error or not replicas.snapshots)
        yield pool
    finally:
        await pool.stop()


async def until(condition: object) -> None:
    assert callable(condition)
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def job(data: bytes = b"x", seconds: float | None = None) -> Job:
    deadline = None if seconds is None else time.monotonic() + seconds
    return Job(data=data, options=CompressOptions(), request_id="r", deadline=deadline)


async def test_a_job_travels_with_the_time_it_has_left_and_its_result_comes_back() -> None:
    replicas = FakeReplicas(done)
    async with running(replicas) as pool:
        result = await pool.submit(job(b"image", 30), pixels=6)
    assert isinstance(result, CompressResult)
    assert (result.stream, result.worker) == (b"image", "one/cpu/0")
    (call,) = replicas.calls
    assert call.seconds_left is not None
    assert 29 < call.seconds_left <= 30
    assert call.job().options == CompressOptions()
    assert not replicas.is_open


async def test_a_job_whose_replica_is_lost_is_done_by_another() -> None:
    async with running(FakeReplicas(lambda _: ReplicaLost("died"), done)) as pool:
        assert (await pool.submit(job(), pixels=6)).worker
        assert pool.state().retries == 1


async def test_a_job_that_loses_every_replica_fails_without_blame() -> None:
    async with running(FakeReplicas(*3 * [lambda _: ReplicaLost("died")], done)) as pool:
        with pytest.raises(Unavailable) as caught:
            await pool.submit(job(), pixels=6)
        assert caught.value.retry_after_s
        assert (await pool.submit(job(), pixels=6)).worker  # the same input is taken again


async def test_a_replica_without_a_worker_or_about_to_end_is_passed_over() -> None:
    refusals = [lambda _: failed(NoWorker("none", retry_after_s=1)), lambda _: failed(Draining("ends"))]
    async with running(FakeReplicas(*refusals, *refusals, done)) as pool:
        assert (await pool.submit(job(), pixels=6)).worker
        assert pool.state().retries == 0


async def test_an_admitted_job_waits_for_a_full_replica() -> None:
    full = Overloaded("all replicas are busy", retry_after_s=3)
    async with running(FakeReplicas(lambda _: failed(full), lambda _: full, done)) as pool:
        assert (await pool.submit(job(), pixels=6)).worker
        assert pool.state().retries == 0


async def test_replicas_that_stay_full_end_the_job_at_its_deadline() -> None:
    async with running(FakeReplicas(*99 * [lambda _: failed(Overloaded("full"))])) as pool:
        with pytest.raises(DeadlineExceeded):
            await pool.submit(job(seconds=0.6), pixels=6)
        assert (pool.state().running_items, pool.state().queued_items) == (0, 0)


async def test_errors_come_home_as_what_they_were() -> None:
    error = UndecodableImage("truncated", limit=1, actual=2)
    async with running(FakeReplicas(lambda _: failed(error))) as pool:
        with pytest.raises(UndecodableImage) as caught:
            await pool.submit(job(), pixels=6)
    assert (caught.value.detail, caught.value.limit, caught.value.actual) == ("truncated", 1, 2)


async def test_a_poison_input_is_sent_to_no_further_replica() -> None:
    replicas = FakeReplicas(lambda _: failed(PoisonInput("kills")))
    async with running(replicas) as pool:
        for _ in range(2):
            with pytest.raises(PoisonInput):
                await pool.submit(job(b"bad"), pixels=6)
    assert len(replicas.calls) == 1


@pytest.mark.parametrize("frame", [(b"{", b""), (b'{"message": "Ready", "notes": {}}', b""), (b"[]", b"x")])
async def test_nonsense_of_a_replica_is_an_error_of_the_service(frame: tuple[bytes, bytes]) -> None:
    async with running(FakeReplicas(lambda _: frame)) as pool:
        with pytest.raises(VirtualCodecError, match="internal error"):
            await pool.submit(job(), pixels=6)


async def test_a_deadline_ends_the_call() -> None:
    replicas = FakeReplicas(lambda _: None)
    async with running(replicas) as pool:
        with pytest.raises(DeadlineExceeded):
            await pool.submit(job(seconds=0.1), pixels=6)
        await until(lambda: replicas.cancelled)
        assert pool.state().running_items == 0


async def test_a_caller_that_leaves_ends_the_call() -> None:
    replicas = FakeReplicas(lambda _: None)
    async with running(replicas) as pool:
        caller = asyncio.create_task(pool.submit(job(), pixels=6))
        await until(lambda: replicas.calls)
        caller.cancel()
        await until(lambda: replicas.cancelled)
        assert pool.state().cancelled == {"queue": 0, "worker": 1}


async def test_work_is_refused_by_its_estimated_wait() -> None:
    replicas = FakeReplicas(*20 * [lambda _: None])
    async with running(replicas, queue_limit_s=3) as pool:
        callers = [asyncio.create_task(pool.submit(job(), pixels=2_000_000)) for _ in range(20)]
        await until(lambda: sum(it.done() for it in callers) + pool.state().queued_items + len(replicas.calls) == 20)
        refused = [caller for caller in callers if caller.done()]
        with pytest.raises(Overloaded):
            refused[0].result()
        with pytest.raises(Overloaded):
            pool.admit()
        state = pool.state()
        assert (state.running_items, len(replicas.calls)) == (4, 4)  # two replicas: one at work, one more at hand, each
        assert state.queued_items == 20 - len(refused) - 4
        assert state.queued_s > 3
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)


async def test_a_pool_that_cannot_open_says_why() -> None:
    replicas = FakeReplicas()
    replicas.opening_error = ConnectionError("no cluster there")
    async with running(replicas) as pool:
        await until(lambda: "no cluster there" in "".join(pool.state().reasons))
        with pytest.raises(NoWorker, match="no cluster there"):
            pool.admit()
        assert not pool.state().is_ready


async def test_callers_are_not_told_the_text_of_an_unexpected_error() -> None:
    replicas = FakeReplicas()
    replicas.opening_error = RuntimeError("no server, see /tmp/session/logs\nTraceback")
    async with running(replicas) as pool:
        await until(lambda: "the log says why" in "".join(pool.state().reasons))
        with pytest.raises(NoWorker) as refused:
            pool.admit()
        assert "/tmp" not in refused.value.detail
        assert "Traceback" not in refused.value.detail


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are listed by Linux alone")
def test_processes_of_a_failed_start_are_killed(tmp_path: Path) -> None:
    wait = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen([*wait, f"--log_dir={tmp_path}/logs"]) as left, subprocess.Popen(wait) as other:
        _ray_cluster._kill_children(tmp_path)
        assert left.wait(10) == -signal.SIGKILL
        assert other.poll() is None
        other.kill()


async def test_jobs_wait_for_the_first_replica() -> None:
    replicas = FakeReplicas(done, snapshots=[])
    async with running(replicas) as pool:
        assert not pool.state().is_ready
        caller = asyncio.create_task(pool.submit(job(), pixels=6))
        await until(lambda: pool.state().queued_items)
        replicas.snapshots = [snapshot("one")]
        assert (await caller).worker


async def test_a_model_is_warmed_by_all_or_by_none() -> None:
    replicas = FakeReplicas()
    async with running(replicas) as pool:
        replicas.bad_model = BadModel("damaged")
        with pytest.raises(BadModel, match="damaged"):
            await pool.warm_model("b")
        assert ("forget_model", ("b",)) in replicas.asked
        replicas.bad_model = None
        await pool.warm_model("c")
        assert ("forget_model", ("c",)) not in replicas.asked


async def test_a_replica_that_opened_with_another_model_is_told() -> None:
    replicas = FakeReplicas(snapshots=[snapshot("one"), snapshot("late", model="old")])
    async with running(replicas):
        await until(lambda: ("warm_model", ("a",)) in replicas.asked)


async def test_a_pool_that_cannot_reach_its_replicas_is_not_ready() -> None:
    replicas = FakeReplicas()
    async with running(replicas) as pool:
        replicas.asking_error = TimeoutError()  # one hangs
        await asyncio.sleep(1.2)
        assert pool.state().is_ready
        replicas.asking_error = ConnectionError("the cluster has gone")
        await until(lambda: not pool.state().is_ready)
        replicas.asking_error = None
        await until(lambda: pool.state().is_ready)


def test_without_ray_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write_store(tmp_path)
    monkeypatch.setattr("virtual_codec.serving._ray_cluster.find_spec", lambda _name: None)
    monkeypatch.setenv("VCODEC_MODEL_STORE", str(tmp_path))
    assert main(["serve", "--pool", "ray", "--check"]) == 2
    assert "pip install 'virtual-codec[ray]'" in capsys.readouterr().err


def test_counters_of_ended_replicas_stay() -> None:
    states = ReplicaStates()
    counts = {"cpu": RunnerCounts(bisections=2, waiting_items=5)}
    states.update([snapshot("one", retries=3, counts=counts, restarts={"hang": 1}), snapshot("two", retries=1)])
    assert states.threads == 2
    states.note_loss()
    states.update([snapshot("two", retries=2, is_ready=False), snapshot("three", notes={"speed": "modest"})])
    merged = states.merged()
    assert merged.retries == 5
    assert merged.restarts == {"crash": 1, "hang": 1, "start": 0}
    assert (merged.counts["cpu"].bisections, merged.counts["cpu"].waiting_items) == (2, 0)
    assert [(worker.name, worker.is_ready) for worker in merged.workers] == [
        ("three/cpu/0", True),
        ("two/cpu/0", False),
    ]
    assert merged.notes == {"speed": "modest"}
    for number in range(200):
        states.update([snapshot(f"short-lived-{number}", retries=1)])
    assert states.merged().retries == 5 + 200
    assert len(states._known) <= 64


def test_replicas_follow_the_waiting_work() -> None:
    def wanted(work_s: dict[str, float] | None) -> int:
        context = SimpleNamespace(
            aggregated_metrics=None if work_s is None else {WORK: work_s}, target_num_replicas=3, current_num_replicas=3
        )
        return WaitPolicy(target_wait_s=2, threads=2)(context)[0]

    assert wanted(None) == 3  # nothing is known: as it is
    assert wanted({"one": 0}) == 1
    assert wanted({"one": 17, "two": 16}) == 5  # 4 seconds of work each


def test_a_replica_has_the_cores_and_the_device_that_it_was_given() -> None:
    on_cpu = replica_policy(PoolPolicy(workers_per_device=None, cores=8, replicas=ReplicaPolicy(cpus=2.5)))
    assert (on_cpu.devices, on_cpu.workers_per_device, on_cpu.cores, on_cpu.standby) == ("cpu", 1, 2, "off")
    on_gpu = replica_policy(PoolPolicy(standby="on", replicas=ReplicaPolicy(gpus=0.5)))
    assert (on_gpu.devices, on_gpu.cores, on_gpu.standby) == ("auto", None, "on")


def test_a_replica_that_is_up_and_stuck_is_unhealthy() -> None:
    policy = PoolPolicy(start_timeout_s=10, job_timeout_s=5, hang_grace_s=1)
    check_health(PoolState(oldest_age_s=15), policy, unready_s=9)
    with pytest.raises(RuntimeError, match="no worker was ready for 11 seconds: worker cpu/0: gone"):
        check_health(PoolState(reasons=("worker cpu/0: gone",)), policy, unready_s=11)
    with pytest.raises(RuntimeError, match="waited for 17 seconds"):
        check_health(PoolState(oldest_age_s=17), policy, unready_s=0)


@pytest.mark.parametrize(
    "wrong", [{"least": 0}, {"least": 2, "most": 1}, {"cpus": -1}, {"gpus": -0.5}, {"target_wait_s": 0}]
)
def test_replica_policies_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must be|at least"):
        ReplicaPolicy(**wrong)  # type: ignore[arg-type]  # out of range, not of another type


def test_a_call_without_a_deadline_has_none() -> None:
    call = Call.of(job(), 6)
    assert call.seconds_left is None
    assert call.job().deadline is None
