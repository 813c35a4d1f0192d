"""Pool without processes: jobs run in threads of this process, for tests and small use.

It loads everything that the job handler needs, including torch, into this process. It cannot stop a job that hangs, and
does not survive one that crashes.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final, final

from virtual_codec.errors import DeadlineExceeded, Draining, NoWorker, VirtualCodecError, is_out_of_memory
from virtual_codec.jobs import Job, check_deadline, deadline_scope
from virtual_codec.logs import Event, bound
from virtual_codec.serving import JobHandler, PoolPolicy, PoolState, Result, WorkerState, import_from_string
from virtual_codec.serving._admission import Cost, check_wait
from virtual_codec.serving._backlog import Throughput, kind_of, no_memory
from virtual_codec.serving._devices import default_threads, find_devices

_LOG: Final = logging.getLogger(__name__)


@final
class InlinePool:
    """Pool with one `JobHandler` on the first device, called from threads of this process."""

    def __init__(self, worker_factory: str, arguments: Mapping[str, object], policy: PoolPolicy) -> None:
        self._worker_factory = worker_factory
        self._arguments = arguments
        self._policy = policy
        self._device = policy.devices
        self._threads = policy.threads or default_threads("cpu", 1)
        self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix="job")
        self._throughput = Throughput()
        self._opening: asyncio.Task[JobHandler] | None = None
        self._estimates_s: dict[asyncio.Future[Result], tuple[float, int]] = {}
        self._is_stopping = False

    async def start(self) -> None:
        """Open the handler in a thread. Returns before it is warm."""
        self._opening = asyncio.create_task(asyncio.to_thread(self._open))

    async def stop(self) -> None:
        """Let admitted jobs finish, within the grace period."""
        self._is_stopping = True
        if self._estimates_s:
            await asyncio.wait(list(self._estimates_s), timeout=self._policy.stop_grace_s)
        if self._opening is not None:
            await asyncio.gather(self._opening, return_exceptions=True)
        self._executor.shutdown(wait=False, cancel_futures=True)

    def admit(self, deadline: float | None = None) -> None:
        """Raise `Draining`, `NoWorker` or `Overloaded` if a job would be refused now."""
        self._admit(deadline, Cost())

    async def submit(self, job: Job, *, pixels: int) -> Result:
        """Run a job on an image of `pixels` pixels."""
        if self._opening is not None:
            await asyncio.wait([self._opening])
        kind, queued_at = kind_of(job), time.monotonic()
        estimate_s, least_s = (of(kind, pixels) for of in (self._throughput.estimate_s, self._throughput.least_s))
        self._admit(job.deadline, Cost(estimate_s=estimate_s, least_s=least_s))
        assert self._opening is not None
        handler = self._opening.result()
        is_cancelled = threading.Event()

        def run() -> Result:
            started_at = time.monotonic()
            with deadline_scope(job.deadline, is_cancelled.is_set), bound(**job.log_fields):
                check_deadline()
                result = handler.run(job)
            self._throughput.learn(kind, pixels, time.monotonic() - started_at)
            stages_s = dict(result.stages_s)
            stages_s["queue"] = stages_s.get("queue", 0.0) + started_at - queued_at
            return replace(result, stages_s=stages_s, worker="inline")

        future = asyncio.get_running_loop().run_in_executor(self._executor, run)
        self._estimates_s[future] = (estimate_s, pixels)
        future.add_done_callback(self._estimates_s.pop)
        time_left_s = None if job.deadline is None else job.deadline - time.monotonic()
        try:
            async with asyncio.timeout(time_left_s):
                return await future
        except TimeoutError:
            raise DeadlineExceeded(
                "the deadline passed before the work was done; send a smaller image or allow more time"
            ) from None
        except (VirtualCodecError, asyncio.CancelledError):
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise no_memory() from error
            _LOG.exception(Event("job_broke", **job.log_fields))
            raise VirtualCodecError("internal error; the log has the details") from error
        finally:
            is_cancelled.set()

    async def warm_model(self, model: str) -> None:
        """Load the model of that id in the handler; a handler that is opened later opens with it."""
        if self._opening is not None:
            await asyncio.wait([self._opening])
            if self._opening.exception() is None:
                await asyncio.to_thread(self._opening.result().warm_model, model)
        self._arguments = {**self._arguments, "model": model}
        if self._opening is not None and self._opening.exception() is not None:
            self._opening = asyncio.create_task(asyncio.to_thread(self._open))

    def forget_model(self, model: str) -> None:
        """Let the handler free a model's memory until a job names it again."""
        if self._opening is not None and self._opening.done() and not self._reason():
            self._opening.result().forget_model(model)

    def state(self) -> PoolState:
        """Snapshot of the pool."""
        is_open = self._opening is not None and self._opening.done() and not self._reason()
        running = min(len(self._estimates_s), self._threads)
        notes = getattr(self._opening.result(), "notes", {}) if self._opening and is_open else {}
        counts = getattr(self._opening.result(), "counts", None) if self._opening and is_open else None
        reason = "" if is_open else self._reason() or "starting"
        return PoolState(
            workers=(
                WorkerState(name="inline", device=self._device, is_ready=is_open, jobs=running, threads=self._threads),
            ),
            running_items=running,
            queued_items=len(self._estimates_s) - running,
            queued_pixels=sum(pixels for _, pixels in list(self._estimates_s.values())[running:]),
            queued_s=self._queued_s(),
            estimated_wait_s=self._estimated_wait_s(),
            is_stopping=self._is_stopping,
            notes=dict(notes),
            counts={self._device: counts} if counts is not None else {},
            reasons=(f"worker inline: {reason}",) if reason else (),
        )

    def _admit(self, deadline: float | None, cost: Cost) -> None:
        if self._is_stopping:
            raise Draining("the service is shutting down; send the request again in a moment", retry_after_s=5.0)
        if self._opening is None or self._reason():
            raise NoWorker(f"no worker is ready ({self._reason() or 'not started'})", retry_after_s=30.0)
        check_wait(
            queued_s=self._queued_s(),
            wait_s=self._estimated_wait_s(),
            limit_s=self._policy.queue_limit_s,
            deadline=deadline,
            cost=cost,
        )

    def _open(self) -> JobHandler:
        self._device = find_devices(self._policy.devices)[0]
        handler: JobHandler = import_from_string(self._worker_factory)(device=self._device, **self._arguments)
        return handler

    def _reason(self) -> str:
        if self._opening is None or not self._opening.done():
            return ""
        error = self._opening.exception()
        return "" if error is None else str(error) or type(error).__name__

    def _queued_s(self) -> float:
        return sum(estimate for estimate, _ in list(self._estimates_s.values())[self._threads :]) / self._threads

    def _estimated_wait_s(self) -> float:
        if len(self._estimates_s) < self._threads:
            return 0.0
        return sum(estimate for estimate, _ in self._estimates_s.values()) / self._threads
