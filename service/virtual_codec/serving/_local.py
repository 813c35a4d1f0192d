"""Pool of worker processes on this machine.

    submit ──► admission ──► queue ──► the least loaded worker ──► result
                               ▲              │ dies
                               └─ each alone ─┘

A worker has only the jobs that it is running, so a queued job can go to any worker. The death of a worker is noticed at
once and it is replaced. Its jobs run again, each alone in a worker, until their deadlines.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from typing import Final, final

from virtual_codec.errors import Draining, VirtualCodecError
from virtual_codec.jobs import Job
from virtual_codec.logs import Event
from virtual_codec.serving import PoolPolicy, PoolState, Result
from virtual_codec.serving._admission import Cost, check_wait, check_workers
from virtual_codec.serving._devices import find_devices
from virtual_codec.serving._intake import Intake
from virtual_codec.serving._job_queue import QueuedJob
from virtual_codec.serving._layout import Layout, PlannedWorker
from virtual_codec.serving._outcomes import JobAnswered, WorkerDied
from virtual_codec.serving._process import WorkerProcess
from virtual_codec.serving._retries import internal_error
from virtual_codec.serving._rollout import bring_up, roll_out
from virtual_codec.serving._settlement import settle
from virtual_codec.serving._slot import StartProcess, WorkerSlot
from virtual_codec.serving._summary import counts_by_device, merged_notes
from virtual_codec.serving._usable import awaited_slots, usable_slots

_LOG: Final = logging.getLogger(__name__)
_FIND_RETRY_S: Final = 1.0


@final
class LocalPool:
    """Pool of worker processes, each with its own device, threads and `JobHandler`."""

    def __init__(
        self,
        worker_factory: str,
        arguments: Mapping[str, object],
        policy: PoolPolicy,
        *,
        start_process: StartProcess = WorkerProcess,
    ) -> None:
        self._start_process = start_process
        self._worker_factory = worker_factory
        self._arguments = arguments
        self._policy = policy
        self._intake = Intake(admit=self._admit, dispatch=self._dispatch, leave=self._leave)
        self._queue = self._intake.queue
        self._throughput = self._intake.throughput
        self._retries = self._intake.retries
        self._layout: Layout | None = None
        self._slots: list[WorkerSlot] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._has_warm_worker = asyncio.Event()
        self._is_started = False
        self._is_stopping = False
        self._restarts: Counter[str] = Counter(crash=0, hang=0, start=0)

    async def start(self) -> None:
        """Start the workers. Returns before they are warm."""
        self._is_started = True
        self._spawn(self._open_slots(), "pool")

    async def stop(self) -> None:
        """Let admitted jobs finish within the grace period, then end the workers."""
        self._is_stopping = True
        await self._intake.finish(self._policy.stop_grace_s)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for slot in self._slots:
            await slot.end()
        if self._layout is not None:
            self._layout.close()

    def admit(self, deadline: float | None = None) -> None:
        """Raise `Draining`, `NoWorker` or `Overloaded` if a job would be refused now."""
        self._admit(deadline, Cost())

    async def submit(self, job: Job, *, pixels: int) -> Result:
        """Run a job on an image of `pixels` pixels."""
        return await self._intake.submit(job, pixels=pixels)

    async def warm_model(self, model: str) -> None:
        """Load the model of that id in every warm worker; later workers open with it."""
        kept = self._arguments.get("model")
        task = self._spawn(roll_out(self._slots, model, self._policy.start_timeout_s, kept=kept), "warm model")
        try:
            await task
        except asyncio.CancelledError:
            if self._is_stopping:
                raise Draining("the service stopped before the model was loaded", retry_after_s=5.0) from None
            raise
        self._arguments = {**self._arguments, "model": model}
        for slot in self._slots:
            slot.opening = replace(slot.opening, arguments=self._arguments)

    def forget_model(self, model: str) -> None:
        """Let workers free a model's memory until a job names it again."""
        for slot in self._slots:
            slot.forget_model(model)

    def state(self) -> PoolState:
        """Snapshot of the pool."""
        now = time.monotonic()
        queued = list(self._queue)
        return PoolState(
            workers=tuple(slot.state() for slot in self._slots),
            running_items=sum(len(slot.running) for slot in self._slots),
            queued_items=len(queued),
            queued_pixels=sum(job.pixels for job in queued),
            oldest_age_s=max((now - job.queued_at for job in queued), default=0.0),
            queued_s=self._queued_s(),
            estimated_wait_s=self._estimated_wait_s(),
            is_stopping=self._is_stopping,
            notes=merged_notes(self._slots),
            reasons=tuple(
                f"worker {slot.name}: {slot.reason}" for slot in self._slots if not (slot.is_ready or slot.is_spare)
            ),
            restarts=dict(self._restarts),
            retries=self._retries.count,
            quarantined=self._retries.refused_inputs,
            cancelled=dict(self._intake.cancelled),
            counts=counts_by_device(self._slots),
        )

    def _admit(self, deadline: float | None, cost: Cost) -> None:
        if self._is_stopping:
            raise Draining("the service is shutting down; send the request again in a moment", retry_after_s=5.0)
        if not self._usable():
            check_workers(awaited_slots(self._slots), is_starting=self._is_started)
        check_wait(
            queued_s=self._queued_s(),
            wait_s=self._estimated_wait_s(),
            limit_s=self._policy.queue_limit_s,
            deadline=deadline,
            cost=cost,
        )

    def _leave(self, job: QueuedJob) -> None:
        for slot in self._slots:
            slot.cancel(job)

    async def _open_slots(self) -> None:
        layout = self._layout = await self._find_layout()
        self._queue.large_pixels = layout.most_large_pixels
        for worker in (*layout.device_processes(), *layout.workers()):
            self._add_slot(worker)
        await self._has_warm_worker.wait()  # a spare must not slow down the start of the others
        if await asyncio.to_thread(layout.wants_spares):
            for spare in layout.spares():
                self._add_slot(spare)

    async def _find_layout(self) -> Layout:
        while True:
            try:
                return await asyncio.to_thread(self._new_layout)
            except Exception:  # such as a lack of threads or disk space; without the retry no worker would come
                _LOG.exception(Event("supervision_failed", worker="all"))
                await asyncio.sleep(_FIND_RETRY_S)

    def _new_layout(self) -> Layout:
        return Layout(self._worker_factory, self._policy, find_devices(self._policy.devices))

    def _add_slot(self, worker: PlannedWorker) -> None:
        slot = WorkerSlot(
            worker.name,
            worker.opening(self._arguments),
            is_spare=worker.is_spare,
            policy=self._policy,
            start_process=self._start_process,
        )
        self._slots.append(slot)
        self._spawn(self._supervise(slot), f"worker {worker.name}")

    async def _supervise(self, slot: WorkerSlot) -> None:
        """Run one worker after the other. Any exception counts as the death of a worker, and the next worker starts."""
        while True:
            try:
                died = await slot.reap(await self._run_worker(slot))
                self._restarts[died.cause] += 1
                self._retry(died)
                self._dispatch()
            except Exception:
                _LOG.exception(Event("supervision_failed", worker=slot.name))
            await asyncio.sleep(slot.retry_s)

    async def _run_worker(self, slot: WorkerSlot) -> Exception | None:
        """Handle the outcomes of one worker until it has ended. Returns the error that interrupted this, or None."""
        try:
            async with contextlib.aclosing(slot.outcomes()) as outcomes:
                async for outcome in outcomes:
                    if isinstance(outcome, JobAnswered):
                        settle(outcome, slot.name, self._throughput, self._retries)
                    else:
                        self._on_ready(slot)
                    self._dispatch()
                    del outcome  # do not keep a large result until the next one arrives
        except Exception as error:
            _LOG.exception(Event("supervision_failed", worker=slot.name))
            return error
        return None

    def _retry(self, died: WorkerDied) -> None:
        try:
            self._retries.after_death(died.jobs, is_blamed=died.is_blamed)
        except Exception:
            for job in died.jobs:
                job.fail(internal_error())
            raise

    def _on_ready(self, slot: WorkerSlot) -> None:
        if slot.takes_jobs:
            self._has_warm_worker.set()
        model = self._arguments.get("model")
        if slot.is_outdated and isinstance(model, str):
            self._spawn(bring_up(slot, model, self._policy.start_timeout_s), f"model of {slot.name}")

    def _dispatch(self) -> None:
        for job, slot in self._queue.assign(self._usable()):
            job.started_at = now = time.monotonic()
            deadline = job.job.deadline or now + self._policy.job_timeout_s
            slot.start(job, timeout_s=deadline + self._policy.hang_grace_s - now)

    def _usable(self) -> list[WorkerSlot]:
        return [] if self._layout is None else usable_slots(self._slots, self._layout.most_ready)

    def _queued_s(self) -> float:
        return self._queue.queued_s(self._usable(), self._slots)

    def _estimated_wait_s(self) -> float:
        return self._queue.estimated_wait_s(self._usable(), self._slots)

    def _spawn(self, work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_log_failure)
        return task


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, VirtualCodecError):
        _LOG.critical(Event("task_failed", name=task.get_name()), exc_info=error)
