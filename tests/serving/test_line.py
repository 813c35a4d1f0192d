"""What the line promises, whatever comes, leaves, ends or dies, on a clock that stands."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from virtual_codec.jobs import CompressOptions, Job
from virtual_codec.serving._ticket import Line, Ticket


@dataclass(eq=False)
class Desk:
    """A worker as the line sees it."""

    threads: int
    running: dict[int, Ticket] = field(default_factory=dict)


class Machine(RuleBasedStateMachine):
    """Jobs come and leave; workers finish them, die, and give them back to run alone."""

    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        super().__init__()
        self.line = Line()
        self.desks = [Desk(threads=2), Desk(threads=1)]
        self.now = 0.0
        self.numbers = iter(range(1, 10_000))
        self.waiting: dict[int, Ticket] = {}
        self.done: set[int] = set()

    @rule(pixels=st.sampled_from([10_000, 1_000_000, 20_000_000]), estimate_s=st.sampled_from([0.1, 1.0, 20.0]))
    def come(self, pixels: int, estimate_s: float) -> None:
        ticket = Ticket(
            number=next(self.numbers),
            job=Job(data=b"", options=CompressOptions()),
            pixels=pixels,
            kind="any",
            digest=b"",
            estimate_s=estimate_s,
            future=self.loop.create_future(),
            queued_at=self.now,
        )
        self.line.add(ticket)
        self.waiting[ticket.number] = ticket

    @rule(seconds=st.sampled_from([0.1, 5.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.waiting)))
        ticket = self.waiting.pop(number)
        assert self.line.remove(ticket)
        assert not self.line.remove(ticket)

    @rule()
    def dispatch(self) -> None:
        for ticket, desk in self.line.assign(self.desks):
            del self.waiting[ticket.number]  # raises for one that was called twice, or has left
            assert len(desk.running) < desk.threads
            assert not any(it.alone for it in desk.running.values()), "nobody joins a job that runs alone"
            assert not (ticket.alone and desk.running), "it must be alone"
            desk.running[ticket.number] = ticket
        if self.waiting:
            assert any(desk.running for desk in self.desks), "all workers are idle, and jobs wait"

    @rule(desk=st.integers(0, 1))
    def finish(self, desk: int) -> None:
        if self.desks[desk].running:
            number = next(iter(self.desks[desk].running))
            del self.desks[desk].running[number]
            assert number not in self.done, "done twice"
            self.done.add(number)

    @rule(desk=st.integers(0, 1))
    def die(self, desk: int) -> None:
        for ticket in self.desks[desk].running.values():
            ticket.alone = True
            self.line.add(ticket)
            self.waiting[ticket.number] = ticket
        self.desks[desk].running.clear()

    @invariant()
    def nothing_is_lost(self) -> None:
        assert {ticket.number for ticket in self.line} == set(self.waiting)
        assert self.line.estimated_wait_s(self.desks, self.desks) >= 0

    def teardown(self) -> None:
        for _ in range(2 * len(self.waiting) + 6):
            self.dispatch()
            self.finish(0)
            self.finish(1)
        assert not self.waiting, "every job is called in the end"


@pytest.fixture(autouse=True)
def loop() -> Iterator[None]:
    Machine.loop = asyncio.new_event_loop()
    yield
    Machine.loop.close()


TestLine = Machine.TestCase
TestLine.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
