"""Worker slot: the jobs and the process of one worker, replaced when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import replace
from typing import Final, final

from virtual_codec.core_shares import clear_place
from virtual_codec.counts import RunnerCounts
from virtual_codec.errors import BadModel
from virtual_codec.logs import Event
from virtual_codec.serving import PoolPolicy, WorkerState
from virtual_codec.serving._job_queue import QueuedJob
from virtual_codec.serving._messages import (
    Answer,
    Cancel,
    CannotOpen,
    Counted,
    Done,
    ForgetModel,
    Logged,
    ModelWarmed,
    NoMemory,
    Opening,
    Ready,
    WarmModel,
)
from virtual_codec.serving._outcomes import Cause, JobAnswered, Outcome, WorkerDied, WorkerEnded, WorkerReady
from virtual_codec.serving._process import WorkerProcess

StartProcess = Callable[[Opening, asyncio.AbstractEventLoop], WorkerProcess]

_LOG: Final = logging.getLogger(__name__)
_SHORTEST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 30.0
_MAX_START_FAILURES: Final = 3
_MAX_SHORTAGES: Final = 3
_HUNG_REASON: Final = "hung and was killed"
_FIXED_ANSWER_BYTES: Final = 64 * 2**20  # metadata and format headers
_ANSWER_BYTES_PER_PIXEL: Final = 8
_MAX_LOGGERS: Final = 1000


@final
class WorkerSlot:
    """Slot of one worker at a time. It owns the worker and its jobs, and yields their outcomes.

        while True:
            async for outcome in slot.outcomes(): ...    # one worker, from its start to its end
            died = await slot.reap()
            await asyncio.sleep(slot.retry_s)

    The next worker starts at once. If workers end before they are ready, it starts after a delay that doubles each
    time, unless a signal ended them, since that need not happen again.
    """

    def __init__(
        self,
        name: str,
        opening: Opening,
        *,
        is_spare: bool,
        policy: PoolPolicy,
        start_process: StartProcess = WorkerProcess,
    ) -> None:
        self.name = name
        self.device = opening.device
        self.threads = opening.threads
        self.is_spare = is_spare
        self.opening = opening
        self.warm = asyncio.Event()
        self.reason = "starting"
        self.notes: Mapping[str, str] = {}
        self.running: dict[int, QueuedJob] = {}
        self._counts = RunnerCounts()
        self._counts_of_ended = RunnerCounts()
        self._start_timeout_s = policy.start_timeout_s
        self._start_process = start_process
        self._process: WorkerProcess | None = None
        self._opened_model: object = None
        self._watchdogs: dict[int, asyncio.TimerHandle] = {}
        self._order_numbers = itertools.count(1)
        self._warming: dict[int, asyncio.Future[None]] = {}
        self._failures = 0  # workers in a row that ended before they were ready
        self._shortages = 0  # jobs in a row that ran out of memory
        self._end_reason = ""
        self._was_signal = False

    @property
    def is_ready(self) -> bool:
        """True if the worker is warm."""
        return self.warm.is_set()

    @property
    def takes_jobs(self) -> bool:
        """True for a worker; False for a device process."""
        return self.threads > 0

    @property
    def pid(self) -> int:
        """Process id of the worker; 0 while there is none."""
        return 0 if self._process is None else self._process.pid

    @property
    def is_outdated(self) -> bool:
        """True if a new worker would open with another model than this one did."""
        return self._opened_model != self.opening.arguments.get("model")

    @property
    def counts(self) -> RunnerCounts:
        """Counters of the runners in this slot, including those of ended workers."""
        return self._counts_of_ended + self._counts

    @property
    def retry_s(self) -> float:
        """Seconds between the end of the last worker and the start of the next."""
        if not self._failures:
            return 0.0
        doublings = 0 if self._was_signal else min(self._failures - 1, 10)
        return min(_LONGEST_WAIT_S, _SHORTEST_WAIT_S * 2.0**doublings)

    @property
    def fails_to_start(self) -> bool:
        """True if workers fail to start, repeatedly or without a signal. Jobs should then not wait for the next one."""
        return self._failures >= _MAX_START_FAILURES or (self._failures > 0 and not self._was_signal)

    def state(self) -> WorkerState:
        """Snapshot of the worker."""
        return WorkerState(
            name=self.name,
            device=self.device,
            is_ready=self.is_ready,
            is_spare=self.is_spare,
            jobs=len(self.running),
            threads=self.threads,
        )

    def start(self, job: QueuedJob, *, timeout_s: float) -> None:
        """Give the worker a job. The worker is killed if it does not answer within the timeout."""
        assert self._process is not None
        self.running[job.number] = job
        self._watchdogs[job.number] = asyncio.get_running_loop().call_later(timeout_s, self._on_hang, job)
        max_answer_bytes = _FIXED_ANSWER_BYTES + _ANSWER_BYTES_PER_PIXEL * job.pixels
        self._process.send(job.number, job.job, max_answer_bytes=max_answer_bytes)

    def cancel(self, job: QueuedJob) -> None:
        """Cancel a job, if the worker has it."""
        if job.number in self.running and self._process is not None:
            self._process.send_order(Cancel(number=job.number))

    async def warm_model(self, model: str, timeout_s: float) -> None:
        """Load a model in the worker while its jobs go on.

        Raises the model's error, or `WorkerEnded`. A worker that takes longer than the timeout is killed.
        """
        if self._process is None:
            raise WorkerEnded(f"worker {self.name} is not up")
        number = next(self._order_numbers)  # the answer to an older order must not confirm this one
        warmed = self._warming[number] = asyncio.get_running_loop().create_future()
        self._process.send_order(WarmModel(number=number, model=model))
        try:
            async with asyncio.timeout(timeout_s):
                await warmed
        except TimeoutError:
            self._kill(_HUNG_REASON)
            raise BadModel(f"worker {self.name} could not load the model within {timeout_s:.0f} seconds") from None
        finally:
            self._warming.pop(number, None)

    def forget_model(self, model: str) -> None:
        """Free the worker's memory of a model."""
        if self._process is not None:
            self._process.send_order(ForgetModel(model=model))

    async def outcomes(self) -> AsyncGenerator[Outcome]:
        """Start a worker, and yield outcomes until it has ended. Raises the errors of starting a process."""
        self._end_reason, self._shortages = "", 0
        self._opened_model = self.opening.arguments.get("model")
        process = self._process = self._start_process(self.opening, asyncio.get_running_loop())
        timer = asyncio.get_running_loop().call_later(self._start_timeout_s, self._kill, _HUNG_REASON)
        try:
            while (message := await process.next()) is not None:
                match message:
                    case Ready():
                        timer.cancel()
                        self._on_ready(message, process.pid)
                        yield WorkerReady()
                    case CannotOpen():
                        self._end_reason = message.reason
                    case ModelWarmed():
                        self._on_model_warmed(message)
                    case Counted():
                        self._counts = message.counts
                    case Logged():
                        facts = {**message.facts, "worker": self.name}
                        _logger(message.logger).log(message.level, Event.of(facts))
                    case _:
                        yield JobAnswered(job=self._take_back(message), answer=message)
                del message  # do not keep a large result until the next one arrives
        finally:
            timer.cancel()

    async def reap(self, error: Exception | None = None) -> WorkerDied:
        """End the worker if it still runs, and return its jobs. `error` is the one that interrupted its supervision."""
        process, self._process = self._process, None
        was_ready, status = self.is_ready, 0
        self.warm.clear()
        if process is not None:
            if error is not None:
                process.kill()
            await process.end()
            status = process.exit_code or 0
        if self.opening.cores is not None:
            with contextlib.suppress(OSError):  # such as no descriptor; the next worker clears its place as it opens
                clear_place(self.opening.cores)  # other workers may use its cores until the next worker has jobs
        if error is not None:
            self._end_reason = _reason_of(error)
        self._was_signal = status < 0 and not self._end_reason
        self.reason = self._end_reason or f"ended with status {status}"
        cause: Cause = ("hang" if self.reason == _HUNG_REASON else "crash") if was_ready else "start"
        self._failures += not was_ready
        self._counts_of_ended += replace(self._counts, waiting_items=0, waiting_pixels=0, budget_pixels=0)
        self._counts = RunnerCounts()
        _LOG.error(Event("worker_died", worker=self.name, cause=cause, jobs=len(self.running), reason=self.reason))
        died = WorkerDied(cause=cause, jobs=self._take_all_back(), is_blamed=not self._warming)
        for warmed in self._warming.values():
            if not warmed.done():
                warmed.set_exception(WorkerEnded(f"worker {self.name} {self.reason}"))
        return died

    async def end(self) -> None:
        """End the worker without a successor. Its jobs are dropped."""
        self.warm.clear()
        self._take_all_back()
        if self._process is not None:
            await self._process.end()
            self._process = None

    def _on_ready(self, message: Ready, pid: int) -> None:
        self.reason, self._failures = "", 0
        self.notes = message.notes
        self.warm.set()
        _LOG.info(Event("worker_ready", worker=self.name, pid=pid))

    def _on_model_warmed(self, message: ModelWarmed) -> None:
        warmed = self._warming.get(message.number)
        if warmed is None or warmed.done():
            return
        if message.error is None:
            warmed.set_result(None)
        else:
            warmed.set_exception(message.error)

    def _take_back(self, answer: Answer) -> QueuedJob:
        job = self.running.pop(answer.number)
        self._watchdogs.pop(answer.number).cancel()
        if isinstance(answer, Done):
            self._counts = answer.counts
            self._shortages = 0
        elif isinstance(answer, NoMemory) and job.alone:
            self._shortages += 1
            if self._shortages >= _MAX_SHORTAGES:
                self._kill("ran out of memory again and again")
        return job

    def _take_all_back(self) -> list[QueuedJob]:
        jobs = list(self.running.values())
        self.running.clear()
        for watchdog in self._watchdogs.values():
            watchdog.cancel()
        self._watchdogs.clear()
        return jobs

    def _on_hang(self, job: QueuedJob) -> None:
        _LOG.error(Event("worker_hung", worker=self.name, **job.job.log_fields))
        self._kill(_HUNG_REASON)

    def _kill(self, reason: str) -> None:
        self._end_reason = reason
        if self._process is not None:
            self._process.kill()


def _logger(name: str) -> logging.Logger:
    """Logger of that name, or this module's logger if workers have used too many names."""
    known = logging.Logger.manager.loggerDict
    return logging.getLogger(name) if name in known or len(known) < _MAX_LOGGERS else _LOG


def _reason_of(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"cannot start a process: {error.strerror}"
    return f"was ended, since its supervision failed ({type(error).__name__})"
