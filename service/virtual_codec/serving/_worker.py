"""A worker process: opens what does the work, then does whole jobs, several at a time.

    parent ──(number, job)──► job threads ──► JobRunner.run ──(Done | Failed | ...)──► parent
    parent ──Load | Unload──► one thread ───► JobRunner.load ──────────Loaded──────────► parent
    parent ──Cancel──► the job ends at its next stage or tile ─────────Left────────────► parent

It runs until the parent's end of the pipe closes. Its log lines go to the parent, which knows how to write
them.
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
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Final, final

from virtual_codec.counts import RunnerCounts
from virtual_codec.errors import BadModel, Unavailable, VirtualCodecError, is_out_of_memory
from virtual_codec.jobs import Abandoned, Job, check_deadline, deadline_scope
from virtual_codec.logs import bound, facts_of
from virtual_codec.serving import JobRunner, load
from virtual_codec.serving._messages import (
    Broken,
    Cancel,
    CannotOpen,
    Done,
    Failed,
    Left,
    Load,
    Loaded,
    Logged,
    Message,
    NoMemory,
    Opening,
    Ready,
    Unload,
)

DEVICE_LOST: Final = 70  # exit status of a worker whose device is beyond use


def main(descriptor: int) -> None:
    """Serve the parent at the other end of the socket with this descriptor, until it closes."""
    os.set_inheritable(descriptor, False)
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # the parent says when; a terminal or an init may tell us all
        signal.signal(number, signal.SIG_IGN)
    connection: Connection[object, object] = Connection(descriptor)
    sending = threading.Lock()

    def send(message: Message) -> None:
        with sending:
            connection.send(message)

    logging.getLogger().addHandler(_Forwarder(send))
    logging.getLogger("virtual_codec").setLevel(logging.INFO)
    try:
        opening = connection.recv()
        assert isinstance(opening, Opening)
        codec = _open(opening, send)
        jobs = _Jobs()
        for place in range(opening.threads):
            threading.Thread(target=_work, args=(codec, jobs, send), name=f"job-{place}", daemon=True).start()
        orders: queue.SimpleQueue[Load | Unload] = queue.SimpleQueue()
        threading.Thread(target=_obey, args=(codec, orders, send), name="models", daemon=True).start()
        while True:
            message = connection.recv()
            if isinstance(message, Load | Unload):
                orders.put(message)
            elif isinstance(message, Cancel):
                jobs.cancel(message.number)
            else:
                jobs.put(*message)  # type: ignore[misc]  # else it is (number, job)
            del message  # a large image is not kept until the next one comes
    except (EOFError, OSError):
        os._exit(0)  # without waiting for threads that may be deep in a job nobody wants any more


def _open(opening: Opening, send: Callable[[Message], None]) -> JobRunner:
    try:
        codec: JobRunner = load(opening.codec)(device=opening.device, **opening.arguments)
    except BaseException as error:
        expected = isinstance(error, VirtualCodecError)
        if not expected:
            send(Logged(logger=__name__, level=logging.ERROR, facts={"exception": traceback.format_exc()}))
        send(CannotOpen(reason=str(error) if expected else f"{type(error).__name__} while opening the codec"))
        os._exit(1)
    send(Ready(notes=dict(getattr(codec, "notes", {}))))
    return codec


@final
class _Jobs:
    """The jobs that came and have not ended, and which of them nobody waits for any more."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[int, Job]] = queue.SimpleQueue()
        self._unwanted: dict[int, threading.Event] = {}

    def put(self, number: int, job: Job) -> None:
        """A job came."""
        self._unwanted[number] = threading.Event()
        self._queue.put((number, job))

    def cancel(self, number: int) -> None:
        """Nobody waits for it any more; that may come after its end."""
        if (unwanted := self._unwanted.get(number)) is not None:
            unwanted.set()

    @contextmanager
    def next(self) -> Iterator[tuple[int, Job]]:
        """The next job, under `deadline_scope` while the context lasts."""
        number, job = self._queue.get()
        try:
            with deadline_scope(job.deadline, self._unwanted[number].is_set):
                yield number, job
        finally:
            del self._unwanted[number]


def _work(codec: JobRunner, jobs: _Jobs, send: Callable[[Message], None]) -> None:
    while True:
        with jobs.next() as (number, job):
            outcome = _outcome(codec, number, job)
        try:
            try:
                send(outcome)  # outside: the parent may send the job again, under its number, as soon as it has this
            except MemoryError:  # before a byte of it went
                send(NoMemory(number=number))
        except OSError:
            os._exit(0)  # the parent has gone
        del job, outcome  # a large image is not kept until the next one comes


def _obey(codec: JobRunner, orders: queue.SimpleQueue[Load | Unload], send: Callable[[Message], None]) -> None:
    while True:
        order = orders.get()
        try:
            if isinstance(order, Unload):
                codec.unload(order.model)
            else:
                send(Loaded(model=order.model, error=_load_error(codec, order.model, send)))
        except OSError:
            os._exit(0)  # the parent has gone


def _load_error(codec: JobRunner, model: str, send: Callable[[Message], None]) -> VirtualCodecError | None:
    try:
        codec.load(model)
    except VirtualCodecError as error:
        return error
    except BaseException as error:
        if _is_fatal(error):
            traceback.print_exc()
            os._exit(DEVICE_LOST)
        send(Logged(logger=__name__, level=logging.ERROR, facts={"exception": traceback.format_exc()}))
        if is_out_of_memory(error):
            return Unavailable("there is not enough memory to load the model beside the other", retry_after_s=60.0)
        return BadModel(f"the model cannot be loaded ({type(error).__name__})")
    return None


def _outcome(codec: JobRunner, number: int, job: Job) -> Message:
    started = time.monotonic()
    try:
        check_deadline()
        with bound(**job.marks):
            result = codec.run(job)
        seconds = time.monotonic() - started
        counts = getattr(codec, "counts", RunnerCounts())
        return Done(number=number, result=result, seconds=seconds, counts=counts)
    except VirtualCodecError as error:
        return Failed(number=number, error=error)
    except Abandoned:
        return Left(number=number)
    except BaseException as error:
        if _is_fatal(error):
            traceback.print_exc()
            os._exit(DEVICE_LOST)  # a fresh worker does the jobs again, each alone
        if is_out_of_memory(error):
            return NoMemory(number=number)
        return Broken(number=number, report=traceback.format_exc())


def _is_fatal(error: BaseException) -> bool:
    # After a CUDA error other than "out of memory" every later call in this process fails too.
    return type(error).__name__ == "AcceleratorError" or "CUDA error" in str(error)


class _Forwarder(logging.Handler):
    """Sends log records to the parent."""

    def __init__(self, send: Callable[[Message], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        try:
            facts = {name: _plain(value) for name, value in facts_of(record).items()}
            self._send(Logged(logger=record.name, level=record.levelno, facts=facts))
        except Exception:
            self.handleError(record)


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
