"""Scenarios of fault injection: requests, fault and allowed outcomes of each."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.reliability import _faults
from benchmarks.reliability._check import NO_MEMORY, OK, OVERLOADED, POISON, TOO_LATE, AllowedOutcomes
from benchmarks.reliability._faults import Fault
from benchmarks.reliability.faulty import CRASH, MEMORY, marked
from virtual_codec.load_test import Request, synthetic_png

REAL: Final = ("virtual_codec", "serve", "--host", "127.0.0.1", "--port")
FAULTY: Final = ("benchmarks.reliability.faulty", "--port")
_ONLY_OK: Final = AllowedOutcomes()
_MAY_REFUSE: Final = AllowedOutcomes(others=frozenset({OK, OVERLOADED}))
Mix = Callable[[Sequence[Request], int], list[Request]]
FaultCheck = Callable[[Mapping[str, Any]], bool]


def in_turn(requests: Sequence[Request], count: int) -> list[Request]:
    """Requests in turn, `count` of them."""
    return [requests[number % len(requests)] for number in range(count)]


def uploads(_requests: Sequence[Request], count: int) -> list[Request]:
    """Forms with a file of three megabytes, which many servers spool to disk."""
    noise = random.Random(0).randbytes(3_000_000)  # noqa: S311 - bytes, not secrets
    picture = synthetic_png(64, 64)
    form = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
        + picture[:33]
        + _chunk(b"noIs", noise)
        + picture[33:]
        + b"\r\n--x--\r\n"
    )
    return [
        Request(path="/compress", content=form, content_type="multipart/form-data; boundary=x", label="upload")
    ] * count


def with_poison(mark: bytes) -> Mix:
    """Requests in turn; every hundredth is a new file that crashes the worker that decodes it."""

    def mix(requests: Sequence[Request], count: int) -> list[Request]:
        mixed = in_turn(requests, count)
        picture = synthetic_png(96, 96)
        for number in range(20, count, 100):
            mixed[number] = Request(path="/compress", content=marked(picture, mark, number), label="poison")
        return mixed

    return mix


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Scenario of fault injection. `rate` is a share of the measured capacity, limited to `most_per_s`.

    `fault_happened` says whether the results show the fault; without it, a scenario without losses shows nothing.
    """

    description: str
    fault: Fault = _faults.no_fault
    allowed: AllowedOutcomes = _ONLY_OK
    rate: float = 0.4
    most_per_s: float = 1000.0
    seconds: float = 30.0
    mix: Mix = in_turn
    module: Sequence[str] = REAL
    timeout_ms: int = 600_000
    environment: Mapping[str, str] = field(default_factory=dict)
    needs_environment: Callable[[Path], Mapping[str, str]] | None = None
    needs_full_disk: bool = False
    deaths_by_request: Mapping[str, int] = field(default_factory=dict)
    fault_happened: FaultCheck = field(default=lambda _: True)


def _has_outcome(outcome: str) -> FaultCheck:
    """Check that some request had an outcome."""
    return lambda result: any(outcome in name for name in result["outcomes"])


def _was_injected(fact: str, most: int = 0) -> FaultCheck:
    """Check that the fault was injected more than `most` times."""
    return lambda result: result["facts"][fact] > most


def _clock_jumped(result: Mapping[str, Any]) -> bool:
    return len({date[:16] for date in result["facts"]["the server's clock"]}) > 1  # days


def _slow_requests_were_refused(result: Mapping[str, Any]) -> bool:
    """Check that slow heads and bodies were refused, except late ones. Slow readers may be served."""
    ends = {end for end in result["facts"]["how they ended"] if not end.startswith("reading")}
    refused = {"a head: 408", "a body: 408"}
    return refused <= ends <= refused | {f"{what}: still served when it ended" for what in ("a head", "a body")}


_POISONED: Final = AllowedOutcomes(by_label={"poison": frozenset({POISON})})
# The most worker deaths of one poison input: one beside other jobs, then two alone.
_DEATHS: Final = {"poison": 3}

SCENARIOS: Final[dict[str, Scenario]] = {
    "overload_2x": Scenario(
        description="twice as many requests as it can do; at most 2 s of work may wait",
        allowed=_MAY_REFUSE,
        rate=2.0,
        environment={"VCODEC_QUEUE_LIMIT_S": "2"},
        fault_happened=_has_outcome(OVERLOADED),
    ),
    "overload_10x": Scenario(
        description="ten times as many requests as it can do; at most 2 s of work may wait",
        allowed=_MAY_REFUSE,
        rate=10.0,
        environment={"VCODEC_QUEUE_LIMIT_S": "2"},
        fault_happened=_has_outcome(OVERLOADED),
    ),
    "poison": Scenario(
        description="one request in a hundred, each another file, ends its worker by SIGSEGV",
        allowed=_POISONED,
        mix=with_poison(CRASH),
        module=FAULTY,
        seconds=60.0,
        deaths_by_request=_DEATHS,
        fault_happened=_has_outcome("poison:"),
    ),
    "kill_9": Scenario(
        description="kill -9 of a warm worker every 3 s, but never of the last that is warm",
        fault=_faults.kill_9,
        seconds=45.0,
        fault_happened=_was_injected("workers killed"),
    ),
    "freeze": Scenario(
        description="SIGSTOP of a worker every 10 s; requests have 6 s, a worker is given up 2 s later",
        fault=_faults.freeze,
        allowed=AllowedOutcomes(others=frozenset({OK, TOO_LATE, OVERLOADED})),
        timeout_ms=6_000,
        seconds=45.0,
        environment={"VCODEC_HANG_GRACE_S": "2"},
        fault_happened=_was_injected("workers stopped"),
    ),
    "full_disk": Scenario(
        description="no byte left where temporary files and the log go; uploads of 3 MB",
        mix=uploads,
        most_per_s=4.0,
        needs_full_disk=True,
    ),
    "clock_jump": Scenario(
        description="the clock is set an hour on, a day back, and right again",
        fault=_faults.jump_clock,
        needs_environment=_faults.faketime_environment,
        fault_happened=_clock_jumped,
    ),
    "out_of_memory": Scenario(
        description="one request in a hundred, each another file, brings its worker to a limit of memory (RLIMIT_AS)",
        allowed=AllowedOutcomes(by_label={"poison": frozenset({NO_MEMORY})}),
        mix=with_poison(MEMORY),
        module=FAULTY,
        seconds=60.0,
        fault_happened=_has_outcome("poison:"),
    ),
    "vanishing_clients": Scenario(
        description="half of all callers hang up: in the head, in the body, before the answer",
        fault=_faults.disconnecting_clients,
        rate=0.25,
        fault_happened=_was_injected("vanished", 3),
    ),
    "slow_clients": Scenario(
        description="90 connections send heads and bodies, or read, a byte at a time",
        fault=_faults.slow_connections,
        seconds=45.0,
        environment={"VCODEC_BODY_TIMEOUT_S": "10"},
        fault_happened=_slow_requests_were_refused,
    ),
}


def ordinary_requests() -> list[Request]:
    """Ordinary requests: small PNGs to compress."""
    return [
        Request(path=f"/compress?quality={quality}", content=synthetic_png(side, side, seed=side), label="compress")
        for side, quality in ((64, 30), (96, 50), (160, 70))
    ]


def _chunk(kind: bytes, content: bytes) -> bytes:
    import struct
    import zlib

    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
