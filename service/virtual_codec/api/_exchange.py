"""State of one request and its answer, from the first byte to the log line."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from starlette.types import Scope

from virtual_codec.keys import Key

_SCOPE_KEY: Final = "vcodec.exchange"


@dataclass(kw_only=True)
class Exchange:
    """Record of one request, filled in while the request is handled.

    `code` is the code of the problem that the request ended in, if any. `vary` is the request header that the answer
    depends on. `key` is the API key of the request. `time_limit_s` is the time a job may take, counted from
    `started_at`. `submitted_at` is the time of submission to the pool, `job_stages_s` the duration of each stage in the
    worker, `stages_s` that of receiving and sending. `resources` are closed after the last byte of the answer. `facts`
    are logged: numbers and names from our own tables, never text that a caller wrote.
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
    resources: ExitStack = field(default_factory=ExitStack)

    @property
    def is_done_post(self) -> bool:
        """True for a successful job: a POST with a success status."""
        return self.method == "POST" and self.status < 300

    def attach(self, scope: Scope) -> None:
        """Store this exchange in the scope, where `exchange_of` finds it."""
        scope[_SCOPE_KEY] = self


def exchange_of(scope: Scope) -> Exchange:
    """Exchange of the request with this scope."""
    exchange: Exchange = scope[_SCOPE_KEY]
    return exchange
