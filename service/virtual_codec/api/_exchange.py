"""What is known of one request and its answer, from the first byte to the log line."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from starlette.types import Scope

from virtual_codec.keys import Key

_KEY: Final = "vcodec.exchange"


@dataclass(kw_only=True)
class Exchange:
    """Filled as the request goes along.

    `code` is that of the problem it ended in, if it did; `vary` the header that the answer depends on; `key`
    the API key it bears, where one is wanted; `time_limit_s` how long a job may take from `started_at` on;
    `submitted_at` when the pool got its job, `job_stages_s` how long each stage of that took, `stages_s` what took how
    long outside it. `facts` go into the log: never anything that a caller wrote, but numbers, names of ours and what a
    table knows.
    """

    request_id: str
    method: str
    trace_id: str = ""
    started_at: float = field(default_factory=time.monotonic)
    answered_at: float = field(default_factory=time.monotonic)
    received_bytes: int = 0
    sent_bytes: int = 0
    status: int = 0
    code: str = ""
    vary: str = ""
    key: Key | None = None
    time_limit_s: float | None = None
    submitted_at: float = 0.0
    job_stages_s: Mapping[str, float] = field(default_factory=dict)
    facts: dict[str, object] = field(default_factory=dict)
    stages_s: dict[str, float] = field(default_factory=dict)

    def attach(self, scope: Scope) -> None:
        """Let everything that handles the request find it."""
        scope[_KEY] = self


def exchange_of(scope: Scope) -> Exchange:
    """The exchange of the request with this scope."""
    exchange: Exchange = scope[_KEY]
    return exchange
