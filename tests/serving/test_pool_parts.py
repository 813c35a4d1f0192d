"""Parts of a pool: estimates, the job queue, the quarantine, devices."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.serving.fakes import job, open_obedient
from virtual_codec.errors import Overloaded, PoisonInput
from virtual_codec.jobs import CompressOptions, CompressResult, Job, RestoreOptions
from virtual_codec.serving import POOLS, PoolPolicy, _devices, import_from_string
from virtual_codec.serving._backlog import Throughput, kind_of, refuse_above
from virtual_codec.serving._devices import cgroup_bytes, default_threads, default_workers, find_devices
from virtual_codec.serving._job_queue import JobQueue, QueuedJob
from virtual_codec.serving._messages import Failed, Message
from virtual_codec.serving._quarantine import Quarantine
from virtual_codec.serving._worker import ReceivedJobs, run_jobs


@dataclass
class FakeSlot:
    """Worker slot as the queue sees it."""

    threads: int = 1
    running: dict[int, QueuedJob] = field(default_factory=dict)


def queued(number: int, *, pixels: int = 1000, alone: bool = False) -> QueuedJob:
    return QueuedJob(
        number=number,
        job=Job(data=b"", options=CompressOptions()),
        pixels=pixels,
        kind="",
        digest=b"",
        estimate_s=1.0,
        future=asyncio.get_running_loop().create_future(),
        alone=alone,
    )


def assign(job_queue: JobQueue, slots: list[FakeSlot]) -> list[int]:
    taken = []
    for it, slot in job_queue.assign(slots):
        slot.running[it.number] = it
        taken.append(it.number)
    return taken


async def test_first_come_is_first_served() -> None:
    job_queue, slots = JobQueue(), [FakeSlot(threads=2)]
    for number in (1, 2, 3):
        job_queue.add(queued(number))
    assert assign(job_queue, slots) == [1, 2]
    assert len(job_queue) == 1
    slots[0].running.pop(1)
    assert assign(job_queue, slots) == [3]


async def test_a_job_that_must_be_alone_gets_an_empty_worker_before_all_others() -> None:
    job_queue, slots = JobQueue(), [FakeSlot(threads=2), FakeSlot(threads=2)]
    for number in (1, 2, 3, 4):
        job_queue.add(queued(number))
    assert assign(job_queue, slots) == [1, 2, 3, 4]
    job_queue.add(queued(5))
    job_queue.add(queued(6, alone=True))
    slots[0].running.clear()
    assert assign(job_queue, slots) == [6]
    assert list(slots[0].running) == [6]
    slots[1].running.popitem()
    assert assign(job_queue, slots) == [5]
    assert list(slots[0].running) == [6], "nobody joins it"


async def test_a_worker_is_emptied_for_a_job_that_must_be_alone() -> None:
    job_queue, slots = JobQueue(), [FakeSlot(threads=2)]
    job_queue.add(queued(1))
    assert assign(job_queue, slots) == [1]
    job_queue.add(queued(2, alone=True))
    job_queue.add(queued(3))
    assert assign(job_queue, slots) == []
    slots[0].running.clear()
    assert assign(job_queue, slots) == [2]


async def test_large_images_are_overtaken_only_at_the_last_place() -> None:
    job_queue, slots = JobQueue(), [FakeSlot(threads=3)]
    for number in (1, 2, 3):
        job_queue.add(queued(number, pixels=10_000_000))
    job_queue.add(queued(4))
    assert assign(job_queue, slots) == [1, 2, 4]
    only = JobQueue(), [FakeSlot(threads=1)]
    only[0].add(queued(1, pixels=10_000_000))
    assert assign(*only) == [1]


async def test_short_jobs_overtake_long_ones_that_came_within_the_time_these_take() -> None:
    job_queue, slot = JobQueue(), FakeSlot(threads=1)
    for number, estimate_s, queued_at in ((1, 30.0, 0.0), (2, 1.0, 10.0), (3, 1.0, 40.0)):
        waiting = queued(number)
        waiting.estimate_s, waiting.queued_at = estimate_s, queued_at
        job_queue.add(waiting)
    order = []
    while called := assign(job_queue, [slot]):
        order += called
        slot.running.clear()
    assert order == [2, 1, 3]


async def test_a_removed_job_is_not_assigned() -> None:
    job_queue, gone = JobQueue(), queued(1)
    job_queue.add(gone)
    assert job_queue.remove(gone)
    assert not job_queue.remove(gone)
    assert assign(job_queue, [FakeSlot()]) == []


def test_estimates_follow_what_was_measured() -> None:
    throughput = Throughput()
    for _ in range(20):
        throughput.learn("restore", 900_000, 4.0)
    assert throughput.estimate_s("restore", 1_900_000) == pytest.approx(8.0)
    assert throughput.estimate_s("never seen", 1_900_000) == pytest.approx(8.0)
    throughput.learn("restore", 900_000, 2.0)
    assert throughput.estimate_s("restore", 900_000) < 4.0


def test_estimates_learn_lower_bounds_only_from_jobs_that_outlast_them() -> None:
    throughput = Throughput()
    throughput.learn("restore", 900_000, 4.0)
    throughput.learn_lower_bound("restore", 900_000, 1.0)
    assert throughput.estimate_s("restore", 900_000) == pytest.approx(4.0)
    throughput.learn_lower_bound("restore", 900_000, 8.0)
    assert 4.0 < throughput.estimate_s("restore", 900_000) < 8.0


def test_few_jobs_or_jobs_that_were_given_up_refuse_nothing() -> None:
    throughput = Throughput()
    for _ in range(2):
        throughput.learn("restore", 900_000, 4.0)
    for _ in range(5):
        throughput.learn_lower_bound("restore", 900_000, 100.0)
    assert throughput.least_s("restore", 900_000) == 0
    throughput.learn("restore", 900_000, 4.0)
    assert 0 < throughput.least_s("restore", 900_000) < throughput.estimate_s("restore", 900_000)


async def test_a_job_that_outlasts_its_estimate_is_taken_for_a_long_one() -> None:
    job_queue, slots = JobQueue(), [FakeSlot()]
    slots[0].running[1] = running = queued(1)
    running.started_at = time.monotonic() - 100
    assert job_queue.estimated_wait_s(slots, slots) > 20
    assert job_queue.queued_s(slots, slots) == 0


def test_tiny_images_do_not_make_large_ones_look_like_hours() -> None:
    throughput = Throughput()
    for _ in range(100):
        throughput.learn("restore", 1, 0.02)
    assert throughput.estimate_s("restore", 50_000_000) < 30


def test_codec_effort_and_targets_are_kinds_of_their_own() -> None:
    jobs = [
        Job(data=b"", options=options)
        for options in (
            RestoreOptions(),
            CompressOptions(),
            CompressOptions(effort=9),
            CompressOptions(min_psnr=40.0),
            CompressOptions(codec="avif"),
        )
    ]
    assert len({kind_of(job) for job in jobs}) == len(jobs)


def test_a_refusal_says_how_much_waits_and_when_to_come_back() -> None:
    refuse_above(10.0, 10.0)
    with pytest.raises(Overloaded) as caught:
        refuse_above(10.0, 12.3)
    assert (caught.value.limit, caught.value.actual, caught.value.retry_after_s) == (10.0, 12.3, 13.0)


def test_two_strikes_are_needed_and_only_lone_runs_count() -> None:
    quarantine = Quarantine()
    quarantine.suspect(b"a")
    quarantine.suspect(b"a")
    quarantine.check(b"a")
    assert quarantine.is_suspect(b"a")
    quarantine.strike(b"a")
    quarantine.check(b"a")
    quarantine.strike(b"a")
    with pytest.raises(PoisonInput):
        quarantine.check(b"a")
    assert quarantine.refused_inputs == 1


def test_an_input_that_got_through_alone_is_cleared() -> None:
    quarantine = Quarantine()
    quarantine.strike(b"a")
    quarantine.clear(b"a")
    quarantine.strike(b"a")
    quarantine.check(b"a")


def test_a_refused_input_stays_refused_after_a_success() -> None:
    quarantine = Quarantine()
    quarantine.strike(b"a")
    quarantine.strike(b"a")
    quarantine.clear(b"a")
    with pytest.raises(PoisonInput):
        quarantine.check(b"a")


def test_the_quarantine_forgets_the_oldest() -> None:
    quarantine = Quarantine(capacity=2)
    for digest in (b"a", b"b", b"c"):
        quarantine.suspect(digest)
    assert [quarantine.is_suspect(digest) for digest in (b"a", b"b", b"c")] == [False, True, True]


def test_a_job_may_be_sent_again_as_soon_as_its_answer_is_sent(tmp_path: Path) -> None:
    jobs, outcomes = ReceivedJobs(), queue.SimpleQueue[Message]()
    again = [job("bad")]

    def send(outcome: Message) -> None:
        if again:
            jobs.put(1, again.pop())
        outcomes.put(outcome)

    jobs.put(1, job("bad"))
    codec = open_obedient(device="cpu", scratch=tmp_path)
    threading.Thread(target=run_jobs, args=(codec, jobs, send), daemon=True).start()
    assert [type(outcomes.get(timeout=20)), type(outcomes.get(timeout=20))] == [Failed, Failed]


def test_devices_are_taken_as_listed() -> None:
    assert find_devices("cpu") == ["cpu"]
    assert find_devices("cuda:0, cuda:2") == ["cuda:0", "cuda:2"]


def test_a_worker_alone_has_a_place_for_a_second_job_and_so_has_one_that_waits_for_its_device() -> None:
    assert 2 <= default_threads("cpu", 1) <= 4
    assert default_threads("cpu", 1000) == 1
    assert default_threads("cuda:0", 1000) == 2
    assert 2 <= default_threads("cuda:0", 1) <= 16


def test_workers_follow_the_cores_as_far_as_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_devices, "usable_cores", lambda: 8)
    for gibibytes, workers in ((100, 8), (5, 5), (0, 1)):
        monkeypatch.setattr(_devices, "available_bytes", lambda gibibytes=gibibytes: gibibytes * 2**30)
        assert default_workers(1) == workers
    monkeypatch.setattr(_devices, "available_bytes", lambda: None)
    assert default_workers(1) == 8
    assert default_workers(3) == 2
    assert default_workers(16) == 1


@pytest.mark.parametrize("names", [("memory.max", "memory.current"), ("limit_in_bytes", "usage_in_bytes")])
def test_a_containers_limit_is_respected(names: tuple[str, str], tmp_path: Path) -> None:
    folder = tmp_path
    if names[0] == "limit_in_bytes":
        folder = tmp_path / "memory"
        folder.mkdir()
        names = (f"memory.{names[0]}", f"memory.{names[1]}")
    assert cgroup_bytes(tmp_path) is None
    (folder / names[1]).write_text("1000\n")
    (folder / names[0]).write_text("4000\n")
    assert cgroup_bytes(tmp_path) == 3000
    (folder / names[0]).write_text("max\n" if folder == tmp_path else f"{2**63 - 4096}\n")
    assert cgroup_bytes(tmp_path) is None


@pytest.mark.parametrize("name", list(POOLS))
def test_every_pool_in_the_table_is_there(name: str) -> None:
    assert callable(import_from_string(POOLS[name]))


@pytest.mark.parametrize("wrong", [{"queue_limit_s": 0}, {"workers_per_device": 0}, {"threads": 0}])
def test_a_policy_that_cannot_work_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PoolPolicy(**wrong)  # type: ignore[arg-type]


def test_a_result_says_its_rate() -> None:
    result = CompressResult(
        stream=b"12345678", media_type="image/jpeg", model="", scale=1, width=8, height=4, quality=50
    )
    assert result.rate_bpp == 2.0
