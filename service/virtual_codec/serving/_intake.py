"""Intake of a pool: admitted jobs, from the call to the result."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import time
from collections import Counter
from collections.abc import Callable
from typing import final

from virtual_codec.errors import DeadlineExceeded, Draining
from virtual_codec.jobs import Job
from virtual_codec.serving import Result
from virtual_codec.serving._admission import Cost
from virtual_codec.serving._backlog import Throughput, kind_of
from virtual_codec.serving._job_queue import JobQueue, QueuedJob
from virtual_codec.serving._retries import Retries


@final
class Intake:
    """Admitted jobs of a pool, with its queue, estimates and retries.

    `admit(deadline, cost)` raises if a job must be refused, `dispatch()` starts queued jobs, and `leave(job)` cancels a
    running job whose caller has left.
    """

    def __init__(
        self,
        *,
        admit: Callable[[float | None, Cost], None],
        dispatch: Callable[[], None],
        leave: Callable[[QueuedJob], None],
    ) -> None:
        self.queue = JobQueue()
        self.throughput = Throughput()
        self.retries = Retries(self.queue)
        self.cancelled: Counter[str] = Counter(queue=0, worker=0)
        self._admit = admit
        self._dispatch = dispatch
        self._leave = leave
        self._numbers = itertools.count(1)
        self._jobs: set[QueuedJob] = set()

    async def submit(self, job: Job, *, pixels: int) -> Result:
        """Admit and queue a job, and wait for its result. Raises the errors of `Pool.submit`."""
        digest = await asyncio.to_thread(lambda: hashlib.sha256(job.data).digest())
        self.retries.check(digest)
        kind = kind_of(job)
        estimate_s = self.throughput.estimate_s(kind, pixels)
        cost = Cost(estimate_s=estimate_s, least_s=self.throughput.least_s(kind, pixels))
        self._admit(job.deadline, cost)  # no `await` between this check and the queue
        queued = QueuedJob(
            number=next(self._numbers),
            job=job,
            pixels=pixels,
            kind=kind,
            digest=digest,
            estimate_s=estimate_s,
            future=asyncio.get_running_loop().create_future(),
            alone=self.retries.is_suspect(digest),
        )
        self._jobs.add(queued)
        self.queue.add(queued)
        self._dispatch()
        return await self._result(queued)

    async def finish(self, grace_s: float) -> None:
        """Let the jobs finish within the grace period, then fail the remaining ones."""
        if pending := [job.future for job in self._jobs]:
            await asyncio.wait(pending, timeout=grace_s)
        for job in self._jobs:
            job.fail(Draining("the service stopped before the work was done", retry_after_s=5.0))

    async def _result(self, job: QueuedJob) -> Result:
        deadline = job.job.deadline
        try:
            async with asyncio.timeout(None if deadline is None else deadline - time.monotonic()):
                return await job.future
        except TimeoutError:
            raise DeadlineExceeded(
                "the deadline passed before the work was done; send a smaller image or allow more time"
            ) from None
        except asyncio.CancelledError:
            self.cancelled["queue" if job in self.queue else "worker"] += 1
            raise
        finally:
            job.future.cancel()
            self._jobs.discard(job)
            self._leave(job)
            if self.queue.remove(job):
                self._dispatch()  # other jobs may have waited, because a worker was reserved for this one
