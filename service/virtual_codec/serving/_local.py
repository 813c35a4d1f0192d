"""The pool of worker processes on this machine.

    submit ──► admission ──► line ──► the least loaded worker ──► result
                               ▲              │ dies
                               └─ each alone ─┘

Each worker holds only as many jobs as it works on, so a waiting job can go anywhere. A worker that dies is
seen at once and replaced; what it held runs again, each job alone in a worker, until its deadline.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, final

from virtual_codec.errors import DeadlineExceeded, Draining, NoWorker
from virtual_codec.jobs import Job, check_deadline
from virtual_codec.logs import Event
from virtual_codec.serving import PoolPolicy, PoolState, Result
from virtual_codec.serving._backlog import Throughput, kind_of, refuse_above, retry_after_s
from virtual_codec.serving._chances import SecondChances
from virtual_codec.serving._devices import default_threads, find_devices, has_memory_for_spares
from virtual_codec.serving._messages import Broken, Done, Failed, Left, NoMemory, Opening
from virtual_codec.serving._rollout import bring_up, roll_out
from virtual_codec.serving._seat import Answer, Seat, counts_by_device, merged_notes
from virtual_codec.serving._ticket import Line, Ticket

_LOG: Final = logging.getLogger(__name__)
_SURE: Final = 0.75  # of the time a caller has left may go by estimates, which cannot see what else the machine does


@final
class LocalPool:
    """Worker processes, each with a device, threads and a `JobRunner` of its own; a `Pool`."""

    def __init__(self, codec: str, arguments: Mapping[str, object], policy: PoolPolicy) -> None:
        self._codec = codec
        self._arguments = arguments
        self._policy = policy
        self._line = Line()
        self._throughput = Throughput()
        self._chances = SecondChances(self._line)
        self._numbers = itertools.count(1)
        self._open: set[Ticket] = set()
        self._seats: list[Seat] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._warm = asyncio.Event()
        self._is_stopping = False
        self._restarts: Counter[str] = Counter(crash=0, hang=0, start=0)
        self._cancelled: Counter[str] = Counter(queue=0, worker=0)

    async def start(self) -> None:
        """Start the workers; they warm up while this has returned."""
        self._tasks.append(asyncio.create_task(self._populate(), name="pool"))

    async def stop(self) -> None:
        """Let what was taken finish, within the grace, then end the workers."""
        self._is_stopping = True
        if waiting := [ticket.future for ticket in self._open]:
            await asyncio.wait(waiting, timeout=self._policy.stop_grace_s)
        for ticket in list(self._open):
            ticket.fail(Draining("the service stopped before the work was done", retry_after_s=5.0))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for seat in self._seats:
            for ticket in seat.running.values():
                ticket.disarm()
            await seat.end()

    def admit(self, deadline: float | None = None, own_s: float = 0.0) -> None:
        """Raise `Draining`, `NoWorker` or `Overloaded` when a job would not be taken now.

        Where others wait, one that would take `own_s` itself must be likely to be done in time: what is given up at its
        deadline has cost the others their turn.
        """
        if self._is_stopping:
            raise Draining("the service is stopping; send this again in a moment", retry_after_s=5.0)
        workers = [seat for seat in self._seats if not seat.is_spare]
        if not self._usable() and all(seat.is_hopeless for seat in workers) and (workers or not self._tasks):
            reasons = "; ".join(sorted({seat.reason for seat in workers})) or "not started"
            wait_s = min((seat.retry_s for seat in workers), default=1.0)
            raise NoWorker(f"no worker is up ({reasons})", retry_after_s=retry_after_s(wait_s))
        wait_s = self._estimated_wait_s()
        refuse_above(self._policy.queue_limit_s, wait_s)
        check_deadline(deadline)
        if deadline is not None and wait_s > 0:
            refuse_above(_SURE * (deadline - time.monotonic()) - own_s, wait_s)

    async def submit(self, job: Job, *, pixels: int) -> Result:
        """Do a job on an image of so many pixels."""
        self.admit(job.deadline)
        digest = await asyncio.to_thread(lambda: hashlib.sha256(job.data).digest())
        self._chances.check(digest)
        ticket = self._ticket(job, pixels, digest)
        self.admit(job.deadline, ticket.estimate_s)  # again: others came meanwhile; from here on nothing is awaited
        self._open.add(ticket)
        self._line.add(ticket)
        self._dispatch()
        time_left_s = None if job.deadline is None else job.deadline - time.monotonic()
        try:
            async with asyncio.timeout(time_left_s):
                return await ticket.future
        except TimeoutError:
            raise DeadlineExceeded(
                "the deadline passed before the work was done; send a smaller image or allow more time"
            ) from None
        except asyncio.CancelledError:
            self._cancelled["queue" if ticket in self._line else "worker"] += 1
            raise
        finally:
            ticket.future.cancel()
            self._open.discard(ticket)
            for seat in self._seats:
                seat.give_up(ticket)
            if self._line.remove(ticket):
                self._dispatch()  # others may have waited for what it was to have, a worker of its own above all

    async def load(self, model: str) -> None:
        """Have every warm worker load the model of that id; workers to come open with it."""
        task = asyncio.create_task(roll_out(self._seats, model, self._policy.start_timeout_s), name="load")
        self._tasks.append(task)
        try:
            await task
        except asyncio.CancelledError:
            if self._is_stopping:
                raise Draining("the service stopped before the model was loaded", retry_after_s=5.0) from None
            task.cancel()
            raise
        finally:
            self._tasks.remove(task)
        self._arguments = {**self._arguments, "model": model}
        for seat in self._seats:
            seat.opening = replace(seat.opening, arguments=self._arguments)

    def unload(self, model: str) -> None:
        """Let workers forget a model until a job asks for it again."""
        for seat in self._seats:
            seat.unload(model)

    def state(self) -> PoolState:
        """The pool now."""
        now = time.monotonic()
        waiting = list(self._line)
        return PoolState(
            workers=tuple(seat.state() for seat in self._seats),
            running_items=sum(len(seat.running) for seat in self._seats),
            queued_items=len(waiting),
            queued_pixels=sum(ticket.pixels for ticket in waiting),
            oldest_age_s=max((now - ticket.queued_at for ticket in waiting), default=0.0),
            estimated_wait_s=self._estimated_wait_s(),
            is_stopping=self._is_stopping,
            notes=merged_notes(self._seats),
            reasons=tuple(
                f"worker {seat.name}: {seat.reason}" for seat in self._seats if not (seat.is_ready or seat.is_spare)
            ),
            restarts=dict(self._restarts),
            retries=self._chances.given,
            quarantined=self._chances.refused_inputs,
            cancelled=dict(self._cancelled),
            counts=counts_by_device(self._seats),
        )

    def on_ready(self, seat: Seat) -> None:
        """A warm worker sits there."""
        model = self._arguments.get("model")
        if isinstance(model, str) and model != seat.model:  # it began to open before that was loaded
            task = asyncio.create_task(bring_up(seat, model, self._policy.start_timeout_s))
            self._tasks.append(task)
            task.add_done_callback(self._tasks.remove)
        self._warm.set()
        self._dispatch()

    def on_answer(self, seat: Seat, answer: Answer) -> None:
        """A job came back."""
        ticket = seat.running.pop(answer.number)
        ticket.disarm()
        was_alone = ticket.alone
        match answer:
            case Done():
                self._throughput.learn(ticket.kind, ticket.pixels, answer.seconds)
                seat.counts = answer.counts
                seat.tell_memory(suffices=True)
                waited_s = ticket.started_at - ticket.queued_at
                stages_s = dict(answer.result.stages_s)
                stages_s["queue"] = stages_s.get("queue", 0.0) + waited_s
                if not ticket.future.done():
                    ticket.future.set_result(replace(answer.result, stages_s=stages_s, worker=seat.name))
            case Failed():
                answer.error.worker = seat.name
                ticket.fail(answer.error)
            case Broken():
                self._chances.after_error(ticket, answer.report)
            case NoMemory():
                self._chances.after_shortage(ticket, seat.name)
                if was_alone:
                    seat.tell_memory(suffices=False)
            case Left():
                pass  # who had waited has left before
        if was_alone and not isinstance(answer, Left) and not _ran_out_of_time(answer):
            self._chances.clear(ticket)
        self._dispatch()

    def on_death(self, seat: Seat, cause: str) -> None:
        """The worker ended. What it held runs again, alone; what killed it alone, twice, is refused."""
        self._restarts[cause] += 1
        tickets = list(seat.running.values())
        seat.running.clear()
        for ticket in tickets:
            ticket.disarm()
        self._chances.after_death(tickets, is_blamed=not seat.is_loading)
        self._dispatch()

    async def _populate(self) -> None:
        policy = self._policy
        devices = await asyncio.to_thread(find_devices, policy.devices)
        count = len(devices) * policy.workers_per_device
        for device in devices:
            for index in range(policy.workers_per_device):
                self._add_seat(f"{device}/{index}", device, count, is_spare=False)
        if policy.standby == "off":
            return
        await self._warm.wait()  # a spare must not slow down the start of the others
        if policy.standby == "on" or await asyncio.to_thread(has_memory_for_spares, len(set(devices))):
            for device in sorted(set(devices)):
                self._add_seat(f"{device}/spare", device, count, is_spare=True)

    def _add_seat(self, name: str, device: str, count: int, *, is_spare: bool) -> None:
        opening = Opening(
            codec=self._codec,
            arguments=self._arguments,
            device=device,
            threads=self._policy.threads or default_threads(device, count),
        )
        seat = Seat(name, opening, is_spare=is_spare, start_timeout_s=self._policy.start_timeout_s)
        task = asyncio.create_task(seat.keep(self), name=f"worker {name}")
        task.add_done_callback(_log_failure)
        self._seats.append(seat)
        self._tasks.append(task)

    def _ticket(self, job: Job, pixels: int, digest: bytes) -> Ticket:
        kind = kind_of(job)
        return Ticket(
            number=next(self._numbers),
            job=job,
            pixels=pixels,
            kind=kind,
            digest=digest,
            estimate_s=self._throughput.estimate_s(kind, pixels),
            future=asyncio.get_running_loop().create_future(),
            alone=self._chances.is_suspect(digest),
        )

    def _dispatch(self) -> None:
        for ticket, seat in self._line.assign(self._usable()):
            now = time.monotonic()
            ticket.started_at = now
            deadline = ticket.job.deadline or now + self._policy.job_timeout_s
            ticket.watchdog = asyncio.get_running_loop().call_later(
                deadline + self._policy.hang_grace_s - now, self._on_hang, seat, ticket
            )
            seat.start(ticket)

    def _usable(self) -> list[Seat]:
        # A spare comes last on its device, so it is used only while a worker before it is not ready.
        usable: list[Seat] = []
        taken: Counter[str] = Counter()
        for seat in self._seats:
            if seat.is_ready and taken[seat.device] < self._policy.workers_per_device:
                taken[seat.device] += 1
                usable.append(seat)
        return usable

    def _on_hang(self, seat: Seat, ticket: Ticket) -> None:
        if ticket.number in seat.running:
            _LOG.error(Event("worker_hung", worker=seat.name, **ticket.job.marks))
            seat.kill_hung()

    def _estimated_wait_s(self) -> float:
        return self._line.estimated_wait_s(self._usable(), self._seats)


def _ran_out_of_time(answer: Answer) -> bool:
    return isinstance(answer, Failed) and isinstance(answer.error, DeadlineExceeded)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _LOG.critical(Event("seat_lost", name=task.get_name()), exc_info=error)
