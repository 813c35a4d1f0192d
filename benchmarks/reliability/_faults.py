"""What is done to the server while it is under load. Each runs until `stop` and returns what it did."""

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

from benchmarks.reliability._rude import crawl, vanish
from benchmarks.reliability._subject import Subject
from virtual_codec.load_test import Request

Facts = dict[str, object]
_SEEN_S: Final = 6.0  # libfaketime looks at its file once a second, the server at the clock as often
_FAKETIME: Final = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/local/lib/faketime/libfaketimeMT.so.1")


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a fault works with: the server, what callers send at which rate, a folder, and when to stop.

    `deaths_caused` counts the workers that the fault itself ended.
    """

    subject: Subject
    requests: Sequence[Request]
    rate_per_s: float
    folder: Path
    stop: threading.Event
    deaths_caused: list[int] = field(default_factory=list)


Fault = Callable[[Scene], Facts]


def nothing(scene: Scene) -> Facts:
    """The load itself is the fault. Meanwhile health is asked for, which must never wait."""
    times_ms: list[float] = []
    while not scene.stop.wait(0.2):
        start = time.monotonic()
        scene.subject.get("/healthz")
        times_ms.append(1000 * (time.monotonic() - start))
    times_ms.sort()
    return {"healthz_p50_ms": round(times_ms[len(times_ms) // 2], 1), "healthz_slowest_ms": round(times_ms[-1], 1)}


def kill_9(scene: Scene) -> Facts:
    """SIGKILL to a warm worker every three seconds, whatever it does, but never to the last that is warm."""
    return {"workers killed": _signal_workers(scene, signal.SIGKILL, every_s=3.0)}


def freeze(scene: Scene) -> Facts:
    """SIGSTOP to a worker every ten seconds: it neither works nor dies."""
    return {"workers stopped": _signal_workers(scene, signal.SIGSTOP, every_s=10.0)}


def jump_clock(scene: Scene) -> Facts:
    """Set the clock an hour on, a day back, and right again."""
    dates = [scene.subject.date()]
    file = scene.folder / "clock"
    for shift in ("+1h", "-1d", "+0"):
        part = file.with_suffix(".part")
        part.write_text(f"{shift}\n")
        part.replace(file)
        if not scene.stop.wait(_SEEN_S):
            dates.append(scene.subject.date())
    scene.stop.wait()
    return {"the server's clock": [date.removesuffix(" GMT") for date in dates]}


def hang_up(scene: Scene) -> Facts:
    """As many callers again as there are, and none of these waits for its answer."""
    done = vanish(scene.subject, scene.requests, scene.rate_per_s, scene.stop)
    return {"hung up": dict(sorted(done.items())), "vanished": sum(done.values())}


def dawdle(scene: Scene) -> Facts:
    """Ninety connections that send or read a byte at a time."""
    largest = max(scene.requests, key=lambda request: len(request.content))
    return {"how they ended": dict(sorted(crawl(scene.subject, largest, 90, scene.stop).items()))}


def faketime_environment(folder: Path) -> Mapping[str, str]:
    """What makes a process ask libfaketime for the time of day. Raises `OSError` where that is not installed.

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


def _signal_workers(scene: Scene, number: signal.Signals, *, every_s: float) -> int:
    generator = random.Random(0)  # noqa: S311 - which worker, not secrets
    while not scene.stop.wait(every_s):
        workers = scene.subject.warm_workers()
        if len(workers) > 1:
            victim = generator.choice(workers)
            os.kill(victim, number)
            scene.deaths_caused.append(victim)
    return len(scene.deaths_caused)
