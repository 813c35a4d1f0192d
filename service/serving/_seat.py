"""One worker's seat: whoever sits there dies and is replaced, the seat stays."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final, Protocol, final

from service.logs import Event
from service.serving import WorkerState
from service.serving._process import WorkerProcess
from service.serving._ticket import Ticket
from service.serving._worker import Broken, CannotOpen, Done, Failed, Logged, Opening, Ready

_LOG: Final = logging.getLogger(__name__)
_SHORTEST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 30.0
_HOPELESS_FAILURES: Final = 3

Answer = Done | Failed | Broken


class Keeper(Protocol):
    """Who hears what happens in a seat."""

    def on_ready(self) -> None:
        """A warm worker sits there."""

    def on_answer(self, seat: Seat, answer: Answer) -> None:
        """A job came back."""

    def on_death(self, seat: Seat, cause: str) -> None:
        """The worker ended, by cause: crash, hang, start. `seat.running` holds what it had."""


@final
class Seat:
    """Starts a worker, listens to it, and starts the next one when it ends.

    The next one starts at once, unless workers end before they are ready: then after a wait that doubles, but
    not where it was a signal that ended them, since that need not happen again.
    """

    def __init__(self, name: str, opening: Opening, *, is_spare: bool, start_timeout_s: float) -> None:
        self.name = name
        self.device = opening.device
        self.threads = opening.threads
        self.is_spare = is_spare
        self.is_ready = False
        self.reason = "starting"
        self.failures = 0
        self.notes: Mapping[str, str] = {}
        self.running: dict[int, Ticket] = {}
        self._opening = opening
        self._start_timeout_s = start_timeout_s
        self._process: WorkerProcess | None = None
        self._was_hung = False
        self._was_signal = False

    @property
    def retry_s(self) -> float:
        """Seconds between the last failed start and the next."""
        if not self.failures:
            return 0.0
        doublings = 0 if self._was_signal else min(self.failures - 1, 10)
        return min(_LONGEST_WAIT_S, _SHORTEST_WAIT_S * 2.0**doublings)

    @property
    def is_hopeless(self) -> bool:
        """Whether nobody should wait for the next worker here: starts fail by themselves, or again and again."""
        return self.failures >= _HOPELESS_FAILURES or (self.failures > 0 and not self._was_signal)

    def state(self) -> WorkerState:
        """The seat now."""
        return WorkerState(
            name=self.name,
            device=self.device,
            is_ready=self.is_ready,
            is_spare=self.is_spare,
            jobs=len(self.running),
        )

    def start(self, ticket: Ticket) -> None:
        """Give the worker a job."""
        assert self._process is not None
        self.running[ticket.number] = ticket
        self._process.send(ticket.number, ticket.job)

    def kill_hung(self) -> None:
        """End the worker: a job of its is long past its deadline."""
        self._was_hung = True
        if self._process is not None:
            self._process.kill()

    async def keep(self, keeper: Keeper) -> None:
        """Have a worker sit here, for ever."""
        while True:
            self._was_hung = False
            try:
                self._process = WorkerProcess(self._opening, asyncio.get_running_loop())
            except OSError as error:
                self._was_signal = False
                self._ended(keeper, f"cannot start a process: {error.strerror}")
            else:
                await self._listen(keeper, self._process)
            await asyncio.sleep(self.retry_s)

    async def end(self) -> None:
        """End the worker for good, after `keep` was cancelled."""
        self.is_ready = False
        if self._process is not None:
            await self._process.end()
            self._process = None

    async def _listen(self, keeper: Keeper, process: WorkerProcess) -> None:
        timer = asyncio.get_running_loop().call_later(self._start_timeout_s, self.kill_hung)
        reason = ""
        try:
            while (message := await process.next()) is not None:
                match message:
                    case Ready():
                        timer.cancel()
                        self.is_ready, self.reason, self.failures = True, "", 0
                        self.notes = message.notes
                        _LOG.info(Event("worker_ready", worker=self.name, pid=process.pid))
                        keeper.on_ready()
                    case CannotOpen():
                        reason = message.reason
                    case Logged():
                        logging.getLogger(message.logger).log(message.level, "%s", message.message)
                    case _:
                        keeper.on_answer(self, message)
                del message  # a large result is not kept until the next one comes
        finally:
            timer.cancel()
        status = process.exit_code or 0
        self._was_signal = status < 0 and not self._was_hung
        if not reason:
            reason = "hung and was killed" if self._was_hung else f"ended with status {status}"
        self._ended(keeper, reason)

    def _ended(self, keeper: Keeper, reason: str) -> None:
        cause = ("hang" if self._was_hung else "crash") if self.is_ready else "start"
        if not self.is_ready:
            self.failures += 1
        self.is_ready, self.reason, self._process = False, reason, None
        _LOG.error(Event("worker_died", worker=self.name, cause=cause, jobs=len(self.running), reason=reason))
        keeper.on_death(self, cause)
