"""Load profile: requests, duration and pace of a load test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from virtual_codec.load_test._arrivals import ARRIVALS
from virtual_codec.load_test._client import Request


@dataclass(frozen=True, kw_only=True)
class LoadProfile:
    """Load profile: the requests to send in turn, the duration in seconds and the pace.

    Without `rate_per_s` the load is a closed loop of `clients`. With it, the load is an open loop: requests arrive at
    that rate per second, `clients` is the largest number of requests in flight, and a request is sent late if no client
    is free. `arrivals` is a key of `ARRIVALS`, and `seed` the seed of random arrivals. Answers with a latency above
    `limit_s` do not count as goodput. Raises `ValueError` for values out of range.
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
            raise ValueError("a load profile needs at least one request")
        if self.clients < 1 or self.seconds <= 0:
            raise ValueError(f"a load profile needs clients and seconds, got {self.clients} and {self.seconds}")
        if self.rate_per_s is not None and self.rate_per_s <= 0:
            raise ValueError(f"rate_per_s must be above 0, got {self.rate_per_s}")
        if self.arrivals not in ARRIVALS:
            raise ValueError(f"arrivals must be one of {', '.join(ARRIVALS)}, got {self.arrivals!r}")
