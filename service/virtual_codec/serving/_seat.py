"""One worker's seat: whoever sits there dies and is replaced, the seat stays."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol, final

from virtual_codec.counts import RunnerCounts
from virtual_codec.errors import BadModel
from virtual_codec.logs import Event
from virtual_codec.serving import WorkerState
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
    NoMemory,
    Opening,
    Ready,
    Unload,
)
from virtual_codec.serving._process import WorkerProcess
from virtual_codec.serving._ticket import Ticket

_LOG: Final = logging.getLogger(__name__)
_SHORTEST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 30.0
_HOPELESS_FAILURES: Final = 3
_MOST_SHORTAGES: Final = 3
_HUNG: Final = "hung and was killed"

Answer = Done | Failed | Broken | NoMemory | Left


@final
class WorkerEnded(Exception):
    """The worker ended while something was asked of it."""


class Keeper(Protocol):
    """Who hears what happens in a seat."""

    def on_ready(self, seat: Seat) -> None:
        """A warm worker sits there."""

    def on_answer(self, seat: Seat, answer: Answer) -> None:
        """A job came back."""

    def on_death(self, seat: Seat, cause: str) -> None:
        """The worker ended, by cause: crash, hang, start. `seat.running` holds what it had."""


@final
class Seat:
    """Starts a worker, listens to it, and starts the next one when it ends. `model` is the default it was given.

    The next one starts at once, unless workers end before they are ready: then after a wait that doubles, but
    not where it was a signal that ended them, since that need not happen again.
    """

    def __init__(self, name: str, opening: Opening, *, is_spare: bool, start_timeout_s: float) -> None:
        self.name = name
        self.device = opening.device
        self.threads = opening.threads
        self.is_spare = is_spare
        self.warm = asyncio.Event()
        self.reason = "starting"
        self.failures = 0
        self.notes: Mapping[str, str] = {}
        self.running: dict[int, Ticket] = {}
        self.opening = opening
        self.model = ""
        self.counts = RunnerCounts()
        self._counts_of_ended = RunnerCounts()
        self._start_timeout_s = start_timeout_s
        self._process: WorkerProcess | None = None
        self._shortages = 0  # of memory, in a row
        self._killed_for = ""
        self._was_signal = False
        self._loads: dict[str, asyncio.Future[None]] = {}

    @property
    def is_ready(self) -> bool:
        """Whether a warm worker sits there."""
        return self.warm.is_set()

    @property
    def pid(self) -> int:
        """The worker's process id; 0 while there is none."""
        return 0 if self._process is None else self._process.pid

    @property
    def is_loading(self) -> bool:
        """Whether the worker has a model to load."""
        return bool(self._loads)

    @property
    def all_counts(self) -> RunnerCounts:
        """What runners counted here, those of workers that ended included. `counts` is the present worker's."""
        return self._counts_of_ended + self.counts

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
            threads=self.threads,
        )

    def start(self, ticket: Ticket) -> None:
        """Give the worker a job."""
        assert self._process is not None
        self.running[ticket.number] = ticket
        self._process.send(ticket.number, ticket.job)

    def give_up(self, ticket: Ticket) -> None:
        """Tell the worker that nobody waits for a job of its any more."""
        if ticket.number in self.running and self._process is not None:
            self._process.tell(Cancel(number=ticket.number))

    async def load(self, model: str, timeout_s: float) -> None:
        """Have the worker load a model beside its jobs, and make it the default.

        Raises what was wrong with it, or `WorkerEnded`. A worker that takes longer than the timeout is killed; the
        jobs of one that ends are done again elsewhere.
        """
        if self._process is None:
            raise WorkerEnded(f"worker {self.name} is not up")
        loaded = self._loads.setdefault(model, asyncio.get_running_loop().create_future())
        self._process.tell(Load(model=model))
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.shield(loaded)
        except TimeoutError:
            self.kill_hung()
            raise BadModel(f"worker {self.name} could not load the model within {timeout_s:.0f} seconds") from None
        finally:
            self._loads.pop(model, None)

    def unload(self, model: str) -> None:
        """Have the worker forget a model."""
        if self.model == model:
            self.model = str(self.opening.arguments.get("model", ""))
        if self._process is not None:
            self._process.tell(Unload(model=model))

    def kill_hung(self) -> None:
        """End the worker: a job of its is long past its deadline."""
        self._kill(_HUNG)

    def tell_memory(self, *, suffices: bool) -> None:
        """Whether memory sufficed for the last job: a worker that has too little again and again makes way."""
        self._shortages = 0 if suffices else self._shortages + 1
        if self._shortages >= _MOST_SHORTAGES:
            self._kill("ran out of memory again and again")

    async def keep(self, keeper: Keeper) -> None:
        """Have a worker sit here, for ever."""
        while True:
            self._killed_for, self._shortages = "", 0
            try:
                self.model = str(self.opening.arguments.get("model", ""))
                self._process = WorkerProcess(self.opening, asyncio.get_running_loop())
            except OSError as error:
                self._was_signal = False
                self._ended(keeper, f"cannot start a process: {error.strerror}")
            else:
                await self._listen(keeper, self._process)
            await asyncio.sleep(self.retry_s)

    async def end(self) -> None:
        """End the worker for good, after `keep` was cancelled."""
        self.warm.clear()
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
                        self.warm.set()
                        self.reason, self.failures = "", 0
                        self.notes = message.notes
                        _LOG.info(Event("worker_ready", worker=self.name, pid=process.pid))
                        keeper.on_ready(self)
                    case CannotOpen():
                        reason = message.reason
                    case Loaded():
                        self._on_loaded(message)
                    case Logged():
                        logging.getLogger(message.logger).log(
                            message.level, Event.of({**message.facts, "worker": self.name})
                        )
                    case _:
                        keeper.on_answer(self, message)
                del message  # a large result is not kept until the next one comes
        finally:
            timer.cancel()
        status = process.exit_code or 0
        self._was_signal = status < 0 and not self._killed_for
        self._ended(keeper, reason or self._killed_for or f"ended with status {status}")

    def _kill(self, reason: str) -> None:
        self._killed_for = reason
        if self._process is not None:
            self._process.kill()

    def _on_loaded(self, message: Loaded) -> None:
        waiting = self._loads.get(message.model)
        if waiting is None or waiting.done():
            return
        if message.error is None:
            self.model = message.model
            waiting.set_result(None)
        else:
            waiting.set_exception(message.error)

    def _ended(self, keeper: Keeper, reason: str) -> None:
        cause = ("hang" if self._killed_for == _HUNG else "crash") if self.is_ready else "start"
        if not self.is_ready:
            self.failures += 1
        self.warm.clear()
        self.reason, self._process = reason, None
        self._counts_of_ended += replace(self.counts, waiting_items=0, waiting_pixels=0, budget_pixels=0)
        self.counts = RunnerCounts()
        _LOG.error(Event("worker_died", worker=self.name, cause=cause, jobs=len(self.running), reason=reason))
        keeper.on_death(self, cause)
        for waiting in self._loads.values():
            if not waiting.done():
                waiting.set_exception(WorkerEnded(f"worker {self.name} {reason}"))


def merged_notes(seats: Sequence[Seat]) -> dict[str, str]:
    """What the workers replaced for want of something better, each thing once."""
    notes = [seat.notes for seat in seats]
    names = {name for of_seat in notes for name in of_seat}
    return {name: ", ".join(sorted({of_seat[name] for of_seat in notes if name in of_seat})) for name in sorted(names)}


def counts_by_device(seats: Sequence[Seat]) -> dict[str, RunnerCounts]:
    """What runners counted, added up by device."""
    found: dict[str, RunnerCounts] = {}
    for seat in seats:
        found[seat.device] = found.get(seat.device, RunnerCounts()) + seat.all_counts
    return found
