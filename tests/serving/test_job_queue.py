"""State machine test of the job queue: jobs arrive, leave, end and die in any order, on a stopped clock."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from virtual_codec.jobs import CompressOptions, Job
from virtual_codec.serving._job_queue import JobQueue, QueuedJob


@dataclass(eq=False)
class FakeSlot:
    """Worker slot as the queue sees it."""

    threads: int
    running: dict[int, QueuedJob] = field(default_factory=dict)


class Machine(RuleBasedStateMachine):
    """Jobs come and leave; workers finish them, die, and give them back to run alone."""

    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        super().__init__()
        self.queue = JobQueue(large_pixels=30_000_000)
        self.slots = [FakeSlot(threads=3), FakeSlot(threads=1)]
        self.now = 0.0
        self.numbers = iter(range(1, 10_000))
        self.waiting: dict[int, QueuedJob] = {}
        self.done: set[int] = set()

    @rule(pixels=st.sampled_from([10_000, 1_000_000, 20_000_000]), estimate_s=st.sampled_from([0.1, 1.0, 20.0]))
    def come(self, pixels: int, estimate_s: float) -> None:
        queued = QueuedJob(
            number=next(self.numbers),
            job=Job(data=b"", options=CompressOptions()),
            pixels=pixels,
            kind="any",
            digest=b"",
            estimate_s=estimate_s,
            future=self.loop.create_future(),
            queued_at=self.now,
        )
        self.queue.add(queued)
        self.waiting[queued.number] = queued

    @rule(seconds=st.sampled_from([0.1, 5.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.waiting)))
        queued = self.waiting.pop(number)
        assert self.queue.remove(queued)
        assert not self.queue.remove(queued)

    @rule()
    def dispatch(self) -> None:
        for queued, slot in self.queue.assign(self.slots):
            del self.waiting[queued.number]  # raises for one that started twice, or has left
            assert len(slot.running) < slot.threads
            assert not any(it.alone for it in slot.running.values()), "nobody joins a job that runs alone"
            assert not (queued.alone and slot.running), "it must be alone"
            slot.running[queued.number] = queued
            large = [it.pixels for each in self.slots for it in each.running.values() if it.is_large]
            assert not queued.is_large or queued.alone or len(large) == 1 or sum(large) <= 30_000_000
        if self.waiting:
            assert any(slot.running for slot in self.slots), "all workers are idle, and jobs wait"

    @rule(slot=st.integers(0, 1))
    def finish(self, slot: int) -> None:
        if self.slots[slot].running:
            number = next(iter(self.slots[slot].running))
            del self.slots[slot].running[number]
            assert number not in self.done, "done twice"
            self.done.add(number)

    @rule(slot=st.integers(0, 1))
    def die(self, slot: int) -> None:
        for queued in self.slots[slot].running.values():
            queued.alone = True
            self.queue.add(queued)
            self.waiting[queued.number] = queued
        self.slots[slot].running.clear()

    @invariant()
    def nothing_is_lost(self) -> None:
        assert {queued.number for queued in self.queue} == set(self.waiting)
        assert self.queue.estimated_wait_s(self.slots, self.slots) >= 0

    def teardown(self) -> None:
        for _ in range(2 * len(self.waiting) + 6):
            self.dispatch()
            self.finish(0)
            self.finish(1)
        assert not self.waiting, "every job starts in the end"


@pytest.fixture(autouse=True)
def loop() -> Iterator[None]:
    Machine.loop = asyncio.new_event_loop()
    yield
    Machine.loop.close()


TestJobQueue = Machine.TestCase
TestJobQueue.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
