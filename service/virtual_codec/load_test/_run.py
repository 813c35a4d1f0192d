"""One load, from its first request to its last answer."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, final

from virtual_codec.load_test._arrivals import ARRIVALS
from virtual_codec.load_test._client import Request
from virtual_codec.load_test._report import Report
from virtual_codec.load_test._samples import Answer, Sample, sample_of

_PAUSE_AFTER_REFUSAL_S: Final = 0.1  # a client that is turned away must not turn into a busy loop
_WARM_UP_CLIENTS: Final = 8
_STACK_BYTES: Final = 256 * 1024  # of each of what may be a thousand clients


class Sender(Protocol):
    """How a request gets to a server and its answer back; called from many threads."""

    def send(self, request: Request) -> Answer:
        """Wait for the answer."""


class Clock(Protocol):
    """What the time is, in seconds, and waiting."""

    def now(self) -> float:
        """Seconds since some fixed moment."""

    def sleep(self, seconds: float) -> None:
        """Return so many seconds later."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is sent, in turn, for how long, and at what pace.

    Without `rate_per_s` it is a closed loop of `clients`; with it requests arrive so often, `clients` is the most
    that are on their way at once, and what finds none free goes out late. `limit_s` is the latency above which an
    answer is of no use.
    """

    requests: Sequence[Request] = field(repr=False)
    clients: int = 4
    seconds: float = 10.0
    rate_per_s: float | None = None
    arrivals: str = "poisson"
    seed: int = 0
    limit_s: float | None = None

    def __post_init__(self) -> None:
        if not self.requests:
            raise ValueError("a load needs at least one request")
        if self.clients < 1 or self.seconds <= 0:
            raise ValueError(f"a load needs clients and seconds, got {self.clients} and {self.seconds}")
        if self.rate_per_s is not None and self.rate_per_s <= 0:
            raise ValueError(f"rate_per_s must be above 0, got {self.rate_per_s}")
        if self.arrivals not in ARRIVALS:
            raise ValueError(f"arrivals must be one of {', '.join(ARRIVALS)}, got {self.arrivals!r}")


@final
class WallClock:
    """The machine's."""

    def now(self) -> float:
        """Seconds since some fixed moment."""
        return time.perf_counter()

    def sleep(self, seconds: float) -> None:
        """Return so many seconds later."""
        time.sleep(seconds)


def run_load(load: Load, sender: Sender, *, clock: Clock | None = None) -> Report:
    """Send a few unmeasured requests, then measure for `seconds`; what is begun by then is finished."""
    clock = clock or WallClock()
    first = min(load.clients, _WARM_UP_CLIENTS)
    _in_threads(first, lambda number: sender.send(load.requests[number % len(load.requests)]))
    samples: list[Sample] = []
    start = clock.now()
    turns = _Turns(load, start, clock)
    _in_threads(load.clients, lambda _: _client(load, turns, sender, clock, samples))
    return Report.of(load, samples, clock.now() - start)


@final
class _Turns:
    """Hands out requests and when they are due; None when there are no more."""

    def __init__(self, load: Load, start: float, clock: Clock) -> None:
        self._requests = itertools.cycle(load.requests)
        self._due_s: Sequence[float] | None = None
        if load.rate_per_s is not None:
            self._due_s = ARRIVALS[load.arrivals](load.rate_per_s, load.seconds, load.seed)
        self._seconds = load.seconds
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._clock = clock
        self.start = start

    def next(self) -> tuple[Request, float] | None:
        with self._lock:
            if self._due_s is None:
                due_s = self._clock.now() - self.start
                return (next(self._requests), due_s) if due_s < self._seconds else None
            number = next(self._numbers)
            return (next(self._requests), self._due_s[number]) if number < len(self._due_s) else None


def _client(load: Load, turns: _Turns, sender: Sender, clock: Clock, samples: list[Sample]) -> None:
    while (turn := turns.next()) is not None:
        request, due_s = turn
        if (wait_s := turns.start + due_s - clock.now()) > 0:
            clock.sleep(wait_s)
        sent_s = clock.now() - turns.start
        answer = sender.send(request)
        times_s = (due_s, sent_s, clock.now() - turns.start)
        samples.append(sample_of(request.label, answer, request.pixels, times_s))
        if load.rate_per_s is None and answer.status != "200":
            clock.sleep(_PAUSE_AFTER_REFUSAL_S)


def _in_threads(count: int, task: Callable[[int], object]) -> None:
    """Run it so many times at once. Raises what the first that failed raised."""
    failures: list[Exception] = []

    def guarded(number: int) -> None:
        try:
            task(number)
        except Exception as error:  # raised again below
            failures.append(error)

    before = threading.stack_size(_STACK_BYTES)
    try:
        threads = [threading.Thread(target=guarded, args=(number,), daemon=True) for number in range(count)]
        for thread in threads:
            thread.start()
    finally:
        threading.stack_size(before)
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
