"""One job in the pool, and the line that jobs wait in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar, final

from virtual_codec.errors import VirtualCodecError
from virtual_codec.jobs import Job
from virtual_codec.serving import Result

_LARGE_PIXELS: Final = 4_000_000


@dataclass(eq=False, kw_only=True)
class Ticket:
    """A job, who waits for it, and how it fares. `alone`: nothing else may be in its worker."""

    number: int
    job: Job
    pixels: int
    kind: str
    digest: bytes
    estimate_s: float
    future: asyncio.Future[Result]
    alone: bool = False
    was_repeated: bool = False
    queued_at: float = field(default_factory=time.monotonic)
    started_at: float = 0.0
    watchdog: asyncio.TimerHandle | None = None

    @property
    def is_large(self) -> bool:
        """Whether small images must not have to wait for it."""
        return self.pixels > _LARGE_PIXELS

    def remaining_s(self, now: float) -> float:
        """Seconds of work left, by the estimate, while it runs."""
        return max(0.0, self.estimate_s - (now - self.started_at))

    def fail(self, error: VirtualCodecError) -> None:
        """Tell who waits, if anybody still does."""
        if not self.future.done():
            self.future.set_exception(error)

    def disarm(self) -> None:
        """Let nobody watch over it any more: it is back."""
        if self.watchdog is not None:
            self.watchdog.cancel()
            self.watchdog = None


class Place(Protocol):
    """What `Line` must know of a worker: what runs there, and how many jobs it does at a time."""

    @property
    def running(self) -> Mapping[int, Ticket]: ...

    @property
    def threads(self) -> int: ...


SomePlace = TypeVar("SomePlace", bound=Place)


@final
class Line:
    """Jobs that wait, each as if it had come later by the time it takes, so that short ones are not stuck behind long.

    A long job is overtaken only by what comes within its own length, so it waits at most that much more than first
    come, first served. Two rules besides: a job that must run alone goes before all others and gets a worker that is
    empty; large images never take the last place of all workers together, so that a small one finds it free.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, Ticket] = {}
        self._alone: dict[int, Ticket] = {}

    def __len__(self) -> int:
        return len(self._waiting) + len(self._alone)

    def __iter__(self) -> Iterator[Ticket]:
        yield from self._alone.values()
        yield from self._waiting.values()

    def add(self, ticket: Ticket) -> None:
        """Let it wait."""
        (self._alone if ticket.alone else self._waiting)[ticket.number] = ticket

    def remove(self, ticket: Ticket) -> bool:
        """Take it out; False when it was not in."""
        return self._alone.pop(ticket.number, None) is not None or self._waiting.pop(ticket.number, None) is not None

    def assign(self, places: Sequence[SomePlace]) -> Iterator[tuple[Ticket, SomePlace]]:
        """Take out what can start now, each with a place that must be taken before the next is asked for."""
        for ticket in list(self._alone.values()):
            empty = next((place for place in places if not place.running), None)
            if empty is None:
                break
            del self._alone[ticket.number]
            yield ticket, empty
        shared = [place for place in places if not any(it.alone for it in place.running.values())]
        if self._alone and shared:
            shared.remove(min(shared, key=_load))  # no more for this one: it is the first that will be empty
        most_large = max(1, sum(place.threads for place in places) - 1)
        for ticket in sorted(self._waiting.values(), key=lambda it: it.queued_at + it.estimate_s):
            if ticket.is_large and _count_large(places) >= most_large:
                continue
            free = [place for place in shared if len(place.running) < place.threads]
            if not free:
                break
            del self._waiting[ticket.number]
            yield ticket, min(free, key=_load)

    def estimated_wait_s(self, usable: Sequence[Place], places: Sequence[Place]) -> float:
        """How long a new job would wait for one of the usable places; where there is none yet, for one of all."""
        count = sum(place.threads for place in usable or places) or 1
        if not self and sum(len(place.running) for place in usable) < count:
            return 0.0
        now = time.monotonic()
        running_s = sum(ticket.remaining_s(now) for place in usable for ticket in place.running.values())
        return (running_s + sum(ticket.estimate_s for ticket in self)) / count


def _load(place: Place) -> int:
    return sum(ticket.pixels for ticket in place.running.values())


def _count_large(places: Sequence[Place]) -> int:
    return sum(ticket.is_large for place in places for ticket in place.running.values())
