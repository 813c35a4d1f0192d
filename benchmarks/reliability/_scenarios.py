"""The heavy days, a row each: what is sent, what is done meanwhile, and how requests may honestly end."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.reliability import _faults
from benchmarks.reliability._check import FULL, LATE, NO_MEMORY, OK, POISON, Honest
from benchmarks.reliability._faults import Fault
from benchmarks.reliability.faulty import CRASH, MEMORY, marked
from virtual_codec.load_test import Request, synthetic_png

REAL: Final = ("virtual_codec", "serve", "--host", "127.0.0.1", "--port")
FAULTY: Final = ("benchmarks.reliability.faulty", "--port")
_HONEST: Final = Honest()
_REFUSES: Final = Honest(others=frozenset({OK, FULL}))
Mix = Callable[[Sequence[Request], int], list[Request]]
Proof = Callable[[Mapping[str, Any]], bool]


def as_they_are(requests: Sequence[Request], count: int) -> list[Request]:
    """The requests in turn."""
    return [requests[number % len(requests)] for number in range(count)]


def uploads(_requests: Sequence[Request], count: int) -> list[Request]:
    """Forms with a file of three megabytes, which servers like to keep on disk."""
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


def one_in_a_hundred(mark: bytes) -> Mix:
    """The requests in turn, but every hundredth ends the worker that decodes it, and each of those is another file."""

    def mix(requests: Sequence[Request], count: int) -> list[Request]:
        mixed = as_they_are(requests, count)
        picture = synthetic_png(96, 96)
        for number in range(20, count, 100):
            mixed[number] = Request(path="/compress", content=marked(picture, mark, number), label="poison")
        return mixed

    return mix


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One heavy day. `rate` is in shares of the capacity that was measured before, at most `most_per_s`.

    `took_place` tells of the results whether the day was heavy: otherwise nothing was lost because nothing happened.
    """

    story: str
    fault: Fault = _faults.nothing
    honest: Honest = _HONEST
    rate: float = 0.4
    most_per_s: float = 1000.0
    seconds: float = 30.0
    mix: Mix = as_they_are
    module: Sequence[str] = REAL
    timeout_ms: int = 600_000
    environment: Mapping[str, str] = field(default_factory=dict)
    needs_environment: Callable[[Path], Mapping[str, str]] | None = None
    needs_full_disk: bool = False
    deaths_by_request: Mapping[str, int] = field(default_factory=dict)
    took_place: Proof = field(default=lambda _: True)


def _had(outcome: str) -> Proof:
    """Some requests ended so."""
    return lambda it: any(outcome in name for name in it["outcomes"])


def _did(fact: str, most: int = 0) -> Proof:
    """The fault was done more than so many times."""
    return lambda it: it["facts"][fact] > most


def _clock_jumped(it: Mapping[str, Any]) -> bool:
    return len({date[:16] for date in it["facts"]["the server's clock"]}) > 1  # days


def _slow_ones_were_cut(it: Mapping[str, Any]) -> bool:
    """Heads and bodies that dripped were refused, but for those that began late; the slow readers may be served."""
    ends = {end for end in it["facts"]["how they ended"] if not end.startswith("reading")}
    refused = {"a head: 408", "a body: 408"}
    return refused <= ends <= refused | {f"{what}: still served when it ended" for what in ("a head", "a body")}


_POISONED: Final = Honest(by_label={"poison": frozenset({POISON})})
# A job that was in a worker with others dies with it and then, alone, with two more; a suspect at once alone.
_DEATHS: Final = {"poison": 3}

SCENARIOS: Final[dict[str, Scenario]] = {
    "overload_2x": Scenario(
        story="twice as many requests as it can do; at most 2 s of work may wait",
        honest=_REFUSES,
        rate=2.0,
        environment={"VCODEC_QUEUE_LIMIT_S": "2"},
        took_place=_had(FULL),
    ),
    "overload_10x": Scenario(
        story="ten times as many requests as it can do; at most 2 s of work may wait",
        honest=_REFUSES,
        rate=10.0,
        environment={"VCODEC_QUEUE_LIMIT_S": "2"},
        took_place=_had(FULL),
    ),
    "poison": Scenario(
        story="one request in a hundred, each another file, ends its worker by SIGSEGV",
        honest=_POISONED,
        mix=one_in_a_hundred(CRASH),
        module=FAULTY,
        seconds=60.0,
        deaths_by_request=_DEATHS,
        took_place=_had("poison:"),
    ),
    "kill_9": Scenario(
        story="kill -9 of a warm worker every 3 s, but never of the last that is warm",
        fault=_faults.kill_9,
        seconds=45.0,
        took_place=_did("workers killed"),
    ),
    "freeze": Scenario(
        story="SIGSTOP of a worker every 10 s; requests have 6 s, a worker is given up 2 s later",
        fault=_faults.freeze,
        honest=Honest(others=frozenset({OK, LATE, FULL})),
        timeout_ms=6_000,
        seconds=45.0,
        environment={"VCODEC_HANG_GRACE_S": "2"},
        took_place=_did("workers stopped"),
    ),
    "full_disk": Scenario(
        story="no byte left where temporary files and the log go; uploads of 3 MB",
        mix=uploads,
        most_per_s=4.0,
        needs_full_disk=True,
    ),
    "clock_jump": Scenario(
        story="the clock is set an hour on, a day back, and right again",
        fault=_faults.jump_clock,
        needs_environment=_faults.faketime_environment,
        took_place=_clock_jumped,
    ),
    "out_of_memory": Scenario(
        story="one request in a hundred, each another file, brings its worker to a limit of memory (RLIMIT_AS)",
        honest=Honest(by_label={"poison": frozenset({NO_MEMORY})}),
        mix=one_in_a_hundred(MEMORY),
        module=FAULTY,
        seconds=60.0,
        took_place=_had("poison:"),
    ),
    "vanishing_clients": Scenario(
        story="half of all callers hang up: in the head, in the body, before the answer",
        fault=_faults.hang_up,
        rate=0.25,
        took_place=_did("vanished", 3),
    ),
    "slow_clients": Scenario(
        story="90 connections send heads and bodies, or read, a byte at a time",
        fault=_faults.dawdle,
        seconds=45.0,
        environment={"VCODEC_BODY_TIMEOUT_S": "10"},
        took_place=_slow_ones_were_cut,
    ),
}


def everyday_requests() -> list[Request]:
    """Small pictures to compress, as PNGs; their streams are added by `streams_of`."""
    return [
        Request(path=f"/compress?quality={quality}", content=synthetic_png(side, side, seed=side), label="compress")
        for side, quality in ((64, 30), (96, 50), (160, 70))
    ]


def _chunk(kind: bytes, content: bytes) -> bytes:
    import struct
    import zlib

    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
