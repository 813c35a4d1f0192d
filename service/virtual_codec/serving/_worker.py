"""Worker process: opens a job handler, then runs whole jobs, several at the same time.

    parent ──(number, job)──► job threads ──► JobHandler.run ────(Done | Failed | ...)──► parent
    parent ──WarmModel──► one thread ───────► JobHandler.warm_model ─────ModelWarmed────► parent
    parent ──Cancel──► the job ends at its next stage or tile ───────────Cancelled──────► parent

The worker runs until the parent closes its end of the pipe. Log lines go to the parent, which writes them.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from multiprocessing.connection import Connection
from typing import Final, final

from virtual_codec.core_shares import CoreShares
from virtual_codec.counts import RunnerCounts
from virtual_codec.errors import BadModel, Unavailable, VirtualCodecError, is_device_lost, is_out_of_memory
from virtual_codec.jobs import Abandoned, Job, check_deadline, deadline_scope
from virtual_codec.logs import bound, facts_of
from virtual_codec.serving import JobHandler, import_from_string
from virtual_codec.serving._frames import encode, write_frame
from virtual_codec.serving._messages import (
    Answer,
    Broken,
    Cancel,
    Cancelled,
    CannotOpen,
    Counted,
    Done,
    Failed,
    ForgetModel,
    Logged,
    Message,
    ModelWarmed,
    NoMemory,
    Opening,
    Ready,
    WarmModel,
)

_DEVICE_LOST_STATUS: Final = 70
_REPORT_S: Final = 0.5


def main(descriptor: int) -> None:
    """Serve the parent at the other end of the socket with this descriptor, until it closes."""
    os.set_inheritable(descriptor, False)
    for number in (signal.SIGINT, signal.SIGTERM):  # a terminal or init may send them to all; the parent decides
        signal.signal(number, signal.SIG_IGN)
    connection: Connection[object, object] = Connection(descriptor)  # for receiving only; answers are frames
    sending = threading.Lock()

    def send(message: Message) -> None:
        head, body = encode(message)
        with sending:
            write_frame(descriptor, head, body)

    logging.getLogger().addHandler(_Forwarder(send))
    logging.getLogger("virtual_codec").setLevel(logging.INFO)
    try:
        opening = connection.recv()
        assert isinstance(opening, Opening)
        shares = None if opening.cores is None else CoreShares(opening.cores)
        handler = _open(opening, shares, send)
        jobs = ReceivedJobs(shares)
        for index in range(opening.threads):
            threading.Thread(target=run_jobs, args=(handler, jobs, send), name=f"job-{index}", daemon=True).start()
        if not opening.threads:
            threading.Thread(target=_report_counts, args=(handler, send), name="counts", daemon=True).start()
        orders: queue.SimpleQueue[WarmModel | ForgetModel] = queue.SimpleQueue()
        threading.Thread(target=_follow_orders, args=(handler, orders, send), name="models", daemon=True).start()
        while True:
            message = connection.recv()
            if isinstance(message, WarmModel | ForgetModel):
                orders.put(message)
            elif isinstance(message, Cancel):
                jobs.cancel(message.number)
            else:
                jobs.put(*message)  # type: ignore[misc]  # else it is (number, job)
            del message  # a large image is not kept until the next one comes
    except (EOFError, OSError):
        os._exit(0)  # without waiting for threads that may be busy with an abandoned job


def _open(opening: Opening, shares: CoreShares | None, send: Callable[[Message], None]) -> JobHandler:
    try:
        factory = import_from_string(opening.worker_factory)
        given: dict[str, object] = {**opening.arguments, "device": opening.device}
        if shares is not None:
            given["shares"] = shares
        if opening.device_process is not None:
            given["device_process"] = opening.device_process
        handler: JobHandler = factory(**given)
    except BaseException as error:
        expected = isinstance(error, VirtualCodecError)
        if not expected:
            send(Logged(logger=__name__, level=logging.ERROR, facts={"exception": traceback.format_exc()}))
        send(CannotOpen(reason=str(error) if expected else f"{type(error).__name__} while opening the codec"))
        os._exit(1)
    send(Ready(notes=dict(getattr(handler, "notes", {}))))
    return handler


@final
class ReceivedJobs:
    """Queue of received jobs, and the cancellations of unfinished jobs.

    A job counts in `shares`, the shares of the cores, from the moment a thread takes it until its end.
    """

    def __init__(self, shares: CoreShares | None = None) -> None:
        self._running = nullcontext if shares is None else shares.job
        self._queue: queue.SimpleQueue[tuple[int, Job]] = queue.SimpleQueue()
        self._cancelled: dict[int, threading.Event] = {}

    def put(self, number: int, job: Job) -> None:
        """Add a job under its number."""
        self._cancelled[number] = threading.Event()
        self._queue.put((number, job))

    def cancel(self, number: int) -> None:
        """Cancel the job of that number, if it has not ended."""
        if (cancelled := self._cancelled.get(number)) is not None:
            cancelled.set()

    @contextmanager
    def next(self) -> Iterator[tuple[int, Job]]:
        """Take the next job; its deadline and cancellation apply inside the context."""
        number, job = self._queue.get()
        try:
            with self._running(), deadline_scope(job.deadline, self._cancelled[number].is_set):
                yield number, job
        finally:
            del self._cancelled[number]


def run_jobs(handler: JobHandler, jobs: ReceivedJobs, send: Callable[[Message], None]) -> None:
    """Run jobs one after the other, for ever. This is the body of a job thread."""
    while True:
        with jobs.next() as (number, job):
            answer = _answer(handler, number, job)
        try:
            try:
                send(answer)  # outside the context: the parent may then reuse the job's number at once
            except MemoryError:  # before any byte was sent
                send(NoMemory(number=number))
        except OSError:
            os._exit(0)  # the parent has gone
        del job, answer  # a large image is not kept until the next one comes


def _report_counts(handler: JobHandler, send: Callable[[Message], None]) -> None:
    told = RunnerCounts()
    while True:
        time.sleep(_REPORT_S)
        if (counts := getattr(handler, "counts", told)) != told:
            told = counts
            try:
                send(Counted(counts=counts))
            except OSError:
                os._exit(0)  # the parent has gone


def _answer(handler: JobHandler, number: int, job: Job) -> Answer:
    started = time.monotonic()
    try:
        check_deadline()
        with bound(**job.log_fields):
            result = handler.run(job)
        seconds = time.monotonic() - started
        counts = getattr(handler, "counts", RunnerCounts())
        return Done(number=number, result=result, seconds=seconds, counts=counts)
    except VirtualCodecError as error:
        return Failed(number=number, error=error)
    except Abandoned:
        return Cancelled(number=number)
    except BaseException as error:
        _end_if_device_lost(error)  # a fresh worker runs the jobs again, each alone
        if is_out_of_memory(error):
            return NoMemory(number=number)
        return Broken(number=number, report=traceback.format_exc())


def _follow_orders(
    handler: JobHandler, orders: queue.SimpleQueue[WarmModel | ForgetModel], send: Callable[[Message], None]
) -> None:
    while True:
        order = orders.get()
        try:
            if isinstance(order, ForgetModel):
                handler.forget_model(order.model)
            else:
                send(ModelWarmed(number=order.number, error=_warm(handler, order.model, send)))
        except OSError:
            os._exit(0)  # the parent has gone


def _warm(handler: JobHandler, model: str, send: Callable[[Message], None]) -> VirtualCodecError | None:
    try:
        handler.warm_model(model)
    except VirtualCodecError as error:
        return error
    except BaseException as error:
        _end_if_device_lost(error)
        send(Logged(logger=__name__, level=logging.ERROR, facts={"exception": traceback.format_exc()}))
        if is_out_of_memory(error):
            return Unavailable("there is not enough memory to load the model beside the other", retry_after_s=60.0)
        return BadModel(f"the model cannot be loaded ({type(error).__name__})")
    return None


def _end_if_device_lost(error: BaseException) -> None:
    if is_device_lost(error):
        traceback.print_exc()
        os._exit(_DEVICE_LOST_STATUS)


@final
class _Forwarder(logging.Handler):
    """Log handler that sends records to the parent."""

    def __init__(self, send: Callable[[Message], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        try:
            facts = {name: _plain(value) for name, value in facts_of(record).items()}
            self._send(Logged(logger=record.name, level=record.levelno, facts=facts))
        except Exception:
            self.handleError(record)


def _plain(value: object) -> str | int | float | bool | None:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
