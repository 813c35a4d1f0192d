"""Load test run: client threads that send the requests of a load profile and time the answers."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol, final

from virtual_codec.load_test._arrivals import ARRIVALS
from virtual_codec.load_test._client import Request
from virtual_codec.load_test._profile import LoadProfile
from virtual_codec.load_test._report import Report
from virtual_codec.load_test._samples import Answer, Sample, sample_of

_PAUSE_AFTER_REFUSAL_S: Final = 0.1  # keeps a refused client from a busy loop
_WARM_UP_CLIENTS: Final = 8
_STACK_BYTES: Final = 256 * 1024  # stack of a client thread; there may be a thousand


class Sender(Protocol):
    """Transport of requests to a server; called from many threads."""

    def send(self, request: Request) -> Answer:
        """Send a request and wait for its answer. A failure of the connection is an answer too."""


class Clock(Protocol):
    """Clock of a load test, in seconds."""

    def now(self) -> float:
        """Return the seconds since some fixed moment."""

    def sleep(self, seconds: float) -> None:
        """Sleep for some seconds."""


@final
class WallClock:
    """Monotonic clock of this machine."""

    def now(self) -> float:
        """Return the seconds since some fixed moment."""
        return time.perf_counter()

    def sleep(self, seconds: float) -> None:
        """Sleep for some seconds."""
        time.sleep(seconds)


def run_load_test(profile: LoadProfile, sender: Sender, *, clock: Clock | None = None) -> Report:
    """Run a load test: a few warm-up requests, then the measured ones. Waits for requests in flight at the end."""
    clock = clock or WallClock()
    first = min(profile.clients, _WARM_UP_CLIENTS)
    _in_threads(first, lambda number: sender.send(profile.requests[number % len(profile.requests)]))
    samples: list[Sample] = []
    start = clock.now()
    schedule = _Schedule(profile, start, clock)
    _in_threads(profile.clients, lambda _: _client(profile, schedule, sender, clock, samples))
    return Report.of(profile, samples, clock.now() - start)


@final
class _Schedule:
    """Schedule of requests and the seconds at which each is due. Thread-safe; `next` returns None at the end."""

    def __init__(self, profile: LoadProfile, start: float, clock: Clock) -> None:
        self._requests = itertools.cycle(profile.requests)
        self._due_s: Sequence[float] | None = None
        if profile.rate_per_s is not None:
            self._due_s = ARRIVALS[profile.arrivals](profile.rate_per_s, profile.seconds, profile.seed)
        self._seconds = profile.seconds
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


def _client(profile: LoadProfile, schedule: _Schedule, sender: Sender, clock: Clock, samples: list[Sample]) -> None:
    while (entry := schedule.next()) is not None:
        request, due_s = entry
        if (wait_s := schedule.start + due_s - clock.now()) > 0:
            clock.sleep(wait_s)
        sent_s = clock.now() - schedule.start
        answer = sender.send(request)
        times_s = (due_s, sent_s, clock.now() - schedule.start)
        samples.append(sample_of(request.label, answer, request.pixels, times_s))
        if profile.rate_per_s is None and answer.status != "200":
            clock.sleep(_PAUSE_AFTER_REFUSAL_S)


def _in_threads(count: int, task: Callable[[int], object]) -> None:
    """Run a task in `count` threads at once. Raises the exception of the first that failed."""
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
