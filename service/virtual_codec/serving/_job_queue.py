"""Job queue, ordered so that short jobs do not wait behind long ones."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar, final

from virtual_codec.errors import VirtualCodecError
from virtual_codec.jobs import Job
from virtual_codec.serving import Result

_LARGE_PIXELS: Final = 4_000_000
_OVERRUN_SHARE: Final = 0.25  # least remaining time, as a share of the time that a job has run


@dataclass(eq=False, kw_only=True)
class QueuedJob:
    """Job in a pool, queued or running, with the future of its caller. Times are on `time.monotonic`'s clock.

    `estimate_s` is the estimated run time, `digest` the sha256 of the input. A job with `alone` set shares its worker
    with no other job. `losses` is the number of replicas that ended while they had it.
    """

    number: int
    job: Job
    pixels: int
    kind: str
    digest: bytes
    estimate_s: float
    future: asyncio.Future[Result]
    alone: bool = False
    was_retried: bool = False
    losses: int = 0
    queued_at: float = field(default_factory=time.monotonic)
    started_at: float = 0.0

    @property
    def is_large(self) -> bool:
        """True if the image is so large that small ones must not wait for it."""
        return self.pixels > _LARGE_PIXELS

    def remaining_s(self, now: float) -> float:
        """Estimated remaining seconds of a running job. A job that exceeds its estimate counts as a long one."""
        elapsed_s = now - self.started_at
        return max(self.estimate_s - elapsed_s, _OVERRUN_SHARE * elapsed_s)

    def fail(self, error: VirtualCodecError) -> None:
        """Raise the error in the caller, if the caller still waits."""
        if not self.future.done():
            self.future.set_exception(error)


class Slot(Protocol):
    """Worker as the queue sees it: its running jobs, and the number that it can run at the same time."""

    @property
    def running(self) -> Mapping[int, QueuedJob]: ...

    @property
    def threads(self) -> int: ...


AnySlot = TypeVar("AnySlot", bound=Slot)


@final
class JobQueue:
    """Queue ordered by arrival time plus estimated run time: short jobs overtake long ones.

    Only jobs that arrive within a long job's own run time overtake it, so it waits at most that much longer than under
    first come, first served. Three more rules: a job that must run alone goes first, and gets an empty worker. Large
    images never take the last free thread of all workers, so that a small image finds one. The large images that run at
    the same time have at most `large_pixels` together, unless there is only one.
    """

    def __init__(self, large_pixels: float = math.inf) -> None:
        self.large_pixels = large_pixels
        self._shared: dict[int, QueuedJob] = {}
        self._alone: dict[int, QueuedJob] = {}

    def __len__(self) -> int:
        return len(self._shared) + len(self._alone)

    def __iter__(self) -> Iterator[QueuedJob]:
        yield from self._alone.values()
        yield from self._shared.values()

    def add(self, job: QueuedJob) -> None:
        """Queue a job."""
        (self._alone if job.alone else self._shared)[job.number] = job

    def remove(self, job: QueuedJob) -> bool:
        """Remove a job; False if it was not queued."""
        return self._alone.pop(job.number, None) is not None or self._shared.pop(job.number, None) is not None

    def assign(self, slots: Sequence[AnySlot]) -> Iterator[tuple[QueuedJob, AnySlot]]:
        """Yield the jobs that can start now, each with its slot, and remove them from the queue.

        The caller must start each job in its slot before it takes the next.
        """
        for job in list(self._alone.values()):
            empty = next((slot for slot in slots if not slot.running), None)
            if empty is None:
                break
            del self._alone[job.number]
            yield job, empty
        open_slots = [slot for slot in slots if not any(running_job.alone for running_job in slot.running.values())]
        if self._alone and open_slots:
            open_slots.remove(min(open_slots, key=_running_pixels))  # emptied for the job that must run alone
        most_large = max(1, sum(slot.threads for slot in slots) - 1)
        is_short = False  # memory is short for the first large job; no later job may take it
        for job in sorted(self._shared.values(), key=lambda queued: queued.queued_at + queued.estimate_s):
            if job.is_large:
                running = _large(slots)
                is_short = is_short or bool(running and sum(running) + job.pixels > self.large_pixels)
                if is_short or len(running) >= most_large:
                    continue
            free = [slot for slot in open_slots if len(slot.running) < slot.threads]
            if not free:
                break
            del self._shared[job.number]
            yield job, min(free, key=_running_pixels)

    def queued_s(self, usable: Sequence[Slot], slots: Sequence[Slot]) -> float:
        """Estimated seconds of queued work for each thread; running jobs are not counted."""
        return sum(job.estimate_s for job in self) / _count_threads(usable or slots)

    def estimated_wait_s(self, usable: Sequence[Slot], slots: Sequence[Slot]) -> float:
        """Estimated wait of a new job for a usable slot, or for any slot if none is usable."""
        count = _count_threads(usable or slots)
        if not self and sum(len(slot.running) for slot in usable) < count:
            return 0.0
        now = time.monotonic()
        running_s = sum(job.remaining_s(now) for slot in usable for job in slot.running.values())
        return running_s / count + self.queued_s(usable, slots)


def _count_threads(slots: Sequence[Slot]) -> int:
    return sum(slot.threads for slot in slots) or 1


def _running_pixels(slot: Slot) -> int:
    return sum(job.pixels for job in slot.running.values())


def _large(slots: Sequence[Slot]) -> list[int]:
    """Pixels of each running large image."""
    return [job.pixels for slot in slots for job in slot.running.values() if job.is_large]
