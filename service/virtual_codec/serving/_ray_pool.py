"""Pool of replicas in a Ray cluster.

    submit ──► admission ──► queue ──► connection ──► replica: a pool of worker processes ──► result
                               ▲                        │ ends
                               └────────────────────────┘

Ray places and replaces replicas. Admission, order, deadlines, retries and quarantine use the same code as
the pool of worker processes, and each replica contains such a pool.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, final

from virtual_codec.errors import BadModel, Draining, NoWorker, Overloaded, PoisonInput, VirtualCodecError
from virtual_codec.jobs import Job
from virtual_codec.logs import Event
from virtual_codec.serving import PoolPolicy, PoolState, Result, import_from_string
from virtual_codec.serving._admission import Cost, check_wait
from virtual_codec.serving._frames import FrameError, decode
from virtual_codec.serving._intake import Intake
from virtual_codec.serving._job_queue import QueuedJob
from virtual_codec.serving._messages import Answer, Done, Failed, ModelWarmed
from virtual_codec.serving._outcomes import JobAnswered
from virtual_codec.serving._replica_states import ReplicaStates
from virtual_codec.serving._replicas import Call, ReplicaLost, Replicas, Snapshot
from virtual_codec.serving._retries import internal_error
from virtual_codec.serving._settlement import settle

_LOG: Final = logging.getLogger(__name__)
_OWN_REPLICAS: Final = "virtual_codec.serving._ray_cluster:OwnReplicas"
_POLL_S: Final = 1.0
_POLL_TIMEOUT_S: Final = 10.0
_MAX_FAILURES: Final = 3
_REOPEN_DELAY_S: Final = 5.0
_NOT_STARTED_REASON: Final = "Ray did not start; the log says why"
_LOST_PAUSE_S: Final = 0.2  # until the router knows the replica
_FULL_PAUSE_S: Final = 0.2  # until a job goes to a full replica again, which other pools fill too
_WARM_RETRY_S: Final = 10.0


@dataclass(eq=False)
class _Calls:
    """Running jobs of all replicas, which the queue sees as one slot with the threads of all."""

    threads: int = 0
    running: dict[int, QueuedJob] = field(default_factory=dict)


@final
class RayPool:
    """Pool of replicas in a Ray cluster; by default it deploys the replicas itself."""

    def __init__(
        self,
        worker_factory: str,
        arguments: Mapping[str, object],
        policy: PoolPolicy,
        *,
        replicas: Replicas | None = None,
    ) -> None:
        if replicas is None:
            replicas = _own_replicas(worker_factory, arguments, policy)
        self._replicas = replicas
        self._name = secrets.token_hex(8)  # several of these pools may use the same replicas
        self._policy = policy
        self._model = arguments.get("model")
        self._intake = Intake(admit=self._admit, dispatch=self._dispatch, leave=self._leave)
        self._queue = self._intake.queue
        self._calls = _Calls()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._supervision: asyncio.Task[None] | None = None
        self._orders: set[asyncio.Task[None]] = set()
        self._warming: asyncio.Task[None] | None = None
        self._warm_again_at = 0.0
        self._states = ReplicaStates()
        self._reason = "not started"
        self._is_stopping = False

    async def start(self) -> None:
        """Start the replicas. Returns before they are warm."""
        self._reason = ""
        self._supervision = asyncio.create_task(self._supervise(), name="replicas")

    async def stop(self) -> None:
        """Let admitted jobs finish within the grace period, then end the replicas."""
        self._is_stopping = True
        await self._intake.finish(self._policy.stop_grace_s)
        tasks = [task for task in (self._supervision, *self._orders, *self._tasks.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._replicas.close()

    def admit(self, deadline: float | None = None) -> None:
        """Raise `Draining`, `NoWorker` or `Overloaded` if a job would be refused now."""
        self._admit(deadline, Cost())

    async def submit(self, job: Job, *, pixels: int) -> Result:
        """Run a job on an image of `pixels` pixels."""
        return await self._intake.submit(job, pixels=pixels)

    async def warm_model(self, model: str) -> None:
        """Load the model of that id in every replica; later replicas load it too."""
        await self._warm_all(model)
        self._model = model

    def forget_model(self, model: str) -> None:
        """Let replicas free a model's memory until a job names it again."""
        self._spawn(self._forget_all(model))

    def state(self) -> PoolState:
        """Snapshot of the pool; its workers and counters may be some seconds old."""
        now = time.monotonic()
        queued, merged = list(self._queue), self._states.merged()
        return replace(
            merged,
            running_items=len(self._calls.running),
            queued_items=len(queued),
            queued_pixels=sum(job.pixels for job in queued),
            oldest_age_s=max((now - job.queued_at for job in queued), default=0.0),
            queued_s=self._queued_s(),
            estimated_wait_s=self._estimated_wait_s(),
            is_stopping=self._is_stopping,
            reasons=(*merged.reasons, *([] if self._states.up else [f"replicas: {self._reason or 'starting'}"])),
            retries=merged.retries + self._intake.retries.count,
            cancelled=dict(self._intake.cancelled),
        )

    def _admit(self, deadline: float | None, cost: Cost) -> None:
        if self._is_stopping:
            raise Draining("the service is shutting down; send the request again in a moment", retry_after_s=5.0)
        if self._reason and not self._states.up:
            raise NoWorker(f"no worker is ready ({self._reason})", retry_after_s=_REOPEN_DELAY_S)
        check_wait(
            queued_s=self._queued_s(),
            wait_s=self._estimated_wait_s(),
            limit_s=self._policy.queue_limit_s,
            deadline=deadline,
            cost=cost,
        )

    async def _supervise(self) -> None:
        while True:
            try:
                await self._replicas.open()
                break
            except Exception as error:
                self._reason = _reason_of(error)
                _LOG.exception(Event("replicas_not_open", again_in_s=_REOPEN_DELAY_S))
                await asyncio.sleep(_REOPEN_DELAY_S)
        self._reason = ""
        failures = 0
        while True:
            try:
                async with asyncio.timeout(_POLL_TIMEOUT_S):
                    self._take(await self._replicas.call_all("snapshot", self._name, self._work_s()))
                failures = 0
            except TimeoutError:  # one that hangs: the others are as they were
                _LOG.warning(Event("replica_silent"))
            except Exception as error:
                failures += 1
                if failures == _MAX_FAILURES:
                    _LOG.error(Event("replicas_silent", reason=str(error) or type(error).__name__))
                    self._take([])
            await asyncio.sleep(_POLL_S)

    def _take(self, snapshots: list[Snapshot]) -> None:
        before = {snapshot.replica for snapshot in self._states.up}
        self._states.update(snapshots)
        if before != (now := {snapshot.replica for snapshot in snapshots}):
            _LOG.info(Event("replicas", up=len(now), came=len(now - before), went=len(before - now)))
        # One more for each replica, so that its next job is there when one ends.
        self._calls.threads = self._states.threads + sum(snapshot.state.is_ready for snapshot in snapshots)
        self._bring_up(snapshots)
        self._dispatch()

    def _bring_up(self, snapshots: list[Snapshot]) -> None:
        """Load the model in replicas that opened with another one."""
        is_busy = self._warming is not None and not self._warming.done()
        if is_busy or time.monotonic() < self._warm_again_at or not isinstance(self._model, str):
            return
        if any(snapshot.model != self._model for snapshot in snapshots):
            self._warm_again_at = time.monotonic() + _WARM_RETRY_S
            self._warming = self._spawn(self._warm_all(self._model))

    async def _warm_all(self, model: str) -> None:
        """Load a model in all replicas. If one fails, the others forget the model and the first error is raised."""
        async with asyncio.timeout(self._policy.start_timeout_s):
            answers = [decode(*frame) for frame in await self._replicas.call_all("warm_model", model)]
        errors = [answer.error for answer in answers if isinstance(answer, ModelWarmed) and answer.error is not None]
        if errors:
            if model != self._model:
                await self._forget_all(model)
            raise errors[0]
        if not all(isinstance(answer, ModelWarmed) for answer in answers):
            raise BadModel("a replica did not answer the request to load the model")

    async def _forget_all(self, model: str) -> None:
        await self._replicas.call_all("forget_model", model)

    def _dispatch(self) -> None:
        for job, _ in self._queue.assign([self._calls]):
            job.started_at = time.monotonic()
            self._calls.running[job.number] = job
            self._tasks[job.number] = asyncio.create_task(self._call(job), name=f"call {job.number}")

    def _leave(self, job: QueuedJob) -> None:
        if self._calls.running.pop(job.number, None) is not None:
            self._tasks.pop(job.number).cancel()
            asyncio.get_running_loop().call_soon(self._dispatch)

    async def _call(self, job: QueuedJob) -> None:
        answer: Answer | None = None
        was_lost = False
        try:
            answer = await self._answer(job)
        except ReplicaLost as error:
            _LOG.warning(Event("replica_lost", reason=error, **job.job.log_fields))
            self._states.note_loss()
            await asyncio.sleep(_LOST_PAUSE_S)
            was_lost = True
        except Exception:
            _LOG.exception(Event("call_failed", **job.job.log_fields))
            answer = Failed(number=job.number, error=internal_error())
        self._calls.running.pop(job.number, None)
        self._tasks.pop(job.number, None)
        if was_lost:
            self._intake.retries.after_loss(job)
        elif answer is not None:
            worker = answer.result.worker if isinstance(answer, Done) else "replica"
            settle(JobAnswered(job=job, answer=answer), worker, self._intake.throughput, self._intake.retries)
        elif not job.future.done():
            self._queue.add(job)
        self._dispatch()

    async def _answer(self, job: QueuedJob) -> Answer | None:
        """Answer of a replica; None if the replica is full, has no worker now, or is about to end: the job waits."""
        try:
            message = decode(*await self._replicas.run(Call.of(job.job, job.pixels)))
        except VirtualCodecError as error:
            message = Failed(number=job.number, error=error)
            if not isinstance(error, Overloaded):
                return message
        if not isinstance(message, Done | Failed):
            raise FrameError(f"an answer to a job cannot be {type(message).__name__}")
        if isinstance(message, Failed):
            if isinstance(message.error, Overloaded):
                await asyncio.sleep(_FULL_PAUSE_S)
            if isinstance(message.error, Draining | NoWorker | Overloaded):
                return None
            if isinstance(message.error, PoisonInput):
                self._intake.retries.refuse(job.digest)
        return message

    def _queued_s(self) -> float:
        return self._queue.queued_s([self._capacity()], [])

    def _estimated_wait_s(self) -> float:
        return self._queue.estimated_wait_s([self._capacity()], [])

    def _work_s(self) -> float:
        """Estimated seconds of work, queued and running, for one thread."""
        now = time.monotonic()
        running_s = sum(job.remaining_s(now) for job in self._calls.running.values())
        return running_s + sum(job.estimate_s for job in self._queue)

    def _capacity(self) -> _Calls:
        return _Calls(self._states.threads or self._policy.replicas.least, self._calls.running)

    def _spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._orders.add(task)
        task.add_done_callback(self._orders.discard)
        task.add_done_callback(_log_failure)
        return task


def _reason_of(error: Exception) -> str:
    """Reason for callers. It does not show the text of an unexpected error, which may contain paths."""
    if isinstance(error, VirtualCodecError):
        return error.detail
    return str(error).partition("\n")[0] if isinstance(error, ConnectionError) else _NOT_STARTED_REASON


def _own_replicas(worker_factory: str, arguments: Mapping[str, object], policy: PoolPolicy) -> Replicas:
    replicas: Replicas = import_from_string(_OWN_REPLICAS)(worker_factory, arguments, policy)
    return replicas


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _LOG.error(Event("order_failed", reason=str(error) or type(error).__name__))
