"""Faults injected while the server is under load. Each runs until `stop` and returns its facts."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.reliability._misbehaving_clients import disconnect_early, open_slow_connections
from benchmarks.reliability._server import ServerUnderTest
from virtual_codec.load_test import Request

Facts = dict[str, object]
_CLOCK_STEP_S: Final = 6.0  # libfaketime reads its file, and the server the clock, once a second
_FAKETIME: Final = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/local/lib/faketime/libfaketimeMT.so.1")


@dataclass(frozen=True, kw_only=True)
class FaultContext:
    """Context of a fault: the server, the callers' requests and rate, a folder, and the event that stops it.

    `deaths_caused` counts the workers that the fault itself ended.
    """

    subject: ServerUnderTest
    requests: Sequence[Request]
    rate_per_s: float
    folder: Path
    stop: threading.Event
    deaths_caused: list[int] = field(default_factory=list)


Fault = Callable[[FaultContext], Facts]


def no_fault(context: FaultContext) -> Facts:
    """Load without a fault. Health checks run during it and must never wait."""
    times_ms: list[float] = []
    while not context.stop.wait(0.2):
        start = time.monotonic()
        context.subject.get("/healthz")
        times_ms.append(1000 * (time.monotonic() - start))
    times_ms.sort()
    return {"healthz_p50_ms": round(times_ms[len(times_ms) // 2], 1), "healthz_slowest_ms": round(times_ms[-1], 1)}


def kill_9(context: FaultContext) -> Facts:
    """Send SIGKILL to a warm worker every three seconds, except to the last warm one."""
    return {"workers killed": _signal_workers(context, signal.SIGKILL, every_s=3.0)}


def freeze(context: FaultContext) -> Facts:
    """Send SIGSTOP to a worker every ten seconds, so that it hangs."""
    return {"workers stopped": _signal_workers(context, signal.SIGSTOP, every_s=10.0)}


def jump_clock(context: FaultContext) -> Facts:
    """Set the clock forward by an hour, back by a day, and right again."""
    dates = [context.subject.date()]
    file = context.folder / "clock"
    for shift in ("+1h", "-1d", "+0"):
        part = file.with_suffix(".part")
        part.write_text(f"{shift}\n")
        part.replace(file)
        if not context.stop.wait(_CLOCK_STEP_S):
            dates.append(context.subject.date())
    context.stop.wait()
    return {"the server's clock": [date.removesuffix(" GMT") for date in dates]}


def disconnecting_clients(context: FaultContext) -> Facts:
    """Send as many requests again from clients that disconnect before the answer."""
    done = disconnect_early(context.subject, context.requests, context.rate_per_s, context.stop)
    return {"hung up": dict(sorted(done.items())), "vanished": sum(done.values())}


def slow_connections(context: FaultContext) -> Facts:
    """Open ninety connections that send or read a byte at a time."""
    largest = max(context.requests, key=lambda request: len(request.content))
    return {"how they ended": dict(sorted(open_slow_connections(context.subject, largest, 90, context.stop).items()))}


def faketime_environment(folder: Path) -> Mapping[str, str]:
    """Environment that makes a process ask libfaketime for the time of day. Raises `OSError` if it is not installed.

    Only the time of day jumps: no administrator and no NTP moves the monotonic clock.
    """
    root = Path("/")
    library = next((path for pattern in _FAKETIME for path in root.glob(pattern[1:])), None)
    if library is None:
        raise FileNotFoundError("libfaketime is not installed (Debian, Ubuntu: libfaketime)")
    (folder / "clock").write_text("+0\n")
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(folder / "clock"),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def _signal_workers(context: FaultContext, number: signal.Signals, *, every_s: float) -> int:
    generator = random.Random(0)  # noqa: S311 - which worker, not secrets
    while not context.stop.wait(every_s):
        workers = context.subject.warm_workers()
        if len(workers) > 1:
            victim = generator.choice(workers)
            os.kill(victim, number)
            context.deaths_caused.append(victim)
    return len(context.deaths_caused)
