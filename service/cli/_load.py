"""A closed loop of clients against a server: each sends its next request when it has its answer."""

from __future__ import annotations

import http.client
import itertools
import math
import threading
import time
import urllib.parse
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

_PAUSE_AFTER_REFUSAL_S = 0.1  # a client that is turned away must not turn into a busy loop


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is sent, by how many clients, for how long."""

    url: str
    path: str
    bodies: Sequence[bytes] = field(repr=False)
    clients: int = 4
    seconds: float = 10.0
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 130.0


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """What came back. Latencies and stages are those of answers 200."""

    statuses: Mapping[str, int]
    seconds: float
    latencies_s: Sequence[float] = field(repr=False)
    megapixels: float
    received_bytes: int
    stages_ms: Mapping[str, float]

    def percentile_ms(self, percent: float) -> float:
        """The latency that `percent` of the answers kept, by nearest rank; NaN without answers."""
        if not self.latencies_s:
            return math.nan
        rank = max(1, math.ceil(percent / 100 * len(self.latencies_s)))
        return 1000 * sorted(self.latencies_s)[rank - 1]

    def as_dict(self) -> dict[str, object]:
        """Plain values, latencies as percentiles."""
        answers = len(self.latencies_s)
        percentiles = {f"p{percent}": self.percentile_ms(percent) for percent in (50, 90, 95, 99, 100)}
        return {
            "seconds": round(self.seconds, 3),
            "statuses": dict(self.statuses),
            "images_per_s": round(answers / self.seconds, 3),
            "megapixels_per_s": round(self.megapixels / self.seconds, 3),
            "received_bytes": self.received_bytes,
            "latency_ms": {name: round(value, 1) for name, value in percentiles.items() if answers},
            "stages_ms": {name: round(value, 1) for name, value in self.stages_ms.items()},
        }


def run_load(load: Load) -> LoadReport:
    """Send one unmeasured request a client, then measure for `seconds`; what is begun by then is finished."""
    tally = _Tally()
    ready = threading.Barrier(load.clients + 1)
    numbers = itertools.count()
    threads = [
        threading.Thread(target=_client, args=(load, numbers, ready, tally), daemon=True) for _ in range(load.clients)
    ]
    for thread in threads:
        thread.start()
    ready.wait()
    start = time.perf_counter()
    for thread in threads:
        thread.join()
    return tally.report(time.perf_counter() - start)


def request(connection: http.client.HTTPConnection, load: Load, body: bytes) -> tuple[str, Mapping[str, str], bytes]:
    """One request: status (or the kind of failure), headers by lower-case name, body."""
    headers = {"Content-Type": "application/octet-stream", **load.headers}
    try:
        connection.request("POST", load.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return type(error).__name__, {}, b""
    return str(answer.status), {name.lower(): value for name, value in answer.getheaders()}, content


def connect(load: Load) -> http.client.HTTPConnection:
    """A connection to the load's server, kept for many requests. Raises `ValueError` for a bad address."""
    address = urllib.parse.urlsplit(load.url)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise ValueError(f"not an http address: {load.url}")
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    return kind(address.hostname, address.port, timeout=load.timeout_s)


@final
class _Tally:
    """What the clients have seen, together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._statuses: Counter[str] = Counter()
        self._latencies_s: list[float] = []
        self._pixels = 0
        self._received_bytes = 0
        self._stages_ms: defaultdict[str, float] = defaultdict(float)

    def add(self, status: str, headers: Mapping[str, str], size_bytes: int, latency_s: float) -> None:
        with self._lock:
            self._statuses[status] += 1
            if status == "200":
                self._latencies_s.append(latency_s)
                self._received_bytes += size_bytes
                self._pixels += _pixels(headers.get("vcodec-size", ""))
                for stage, milliseconds in _stages(headers.get("server-timing", "")):
                    self._stages_ms[stage] += milliseconds

    def report(self, seconds: float) -> LoadReport:
        answers = max(1, len(self._latencies_s))
        return LoadReport(
            statuses=dict(self._statuses),
            seconds=seconds,
            latencies_s=tuple(self._latencies_s),
            megapixels=self._pixels / 1e6,
            received_bytes=self._received_bytes,
            stages_ms={stage: total / answers for stage, total in self._stages_ms.items()},
        )


def _client(load: Load, numbers: itertools.count[int], ready: threading.Barrier, tally: _Tally) -> None:
    connection = connect(load)
    request(connection, load, load.bodies[next(numbers) % len(load.bodies)])
    ready.wait()
    end = time.perf_counter() + load.seconds
    while (start := time.perf_counter()) < end:
        status, headers, content = request(connection, load, load.bodies[next(numbers) % len(load.bodies)])
        tally.add(status, headers, len(content), time.perf_counter() - start)
        if status != "200":
            time.sleep(_PAUSE_AFTER_REFUSAL_S)
    connection.close()


def _pixels(size: str) -> int:
    width, separator, height = size.partition("x")
    return int(width) * int(height) if separator and width.isdigit() and height.isdigit() else 0


def _stages(timing: str) -> list[tuple[str, float]]:
    """Server-Timing: `decode;dur=3.1, queue;dur=0.2` -> pairs."""
    entries = ([part.strip() for part in entry.split(";")] for entry in timing.split(","))
    return [
        (name, float(parameter.removeprefix("dur=")))
        for name, *parameters in entries
        for parameter in parameters
        if parameter.startswith("dur=")
    ]
